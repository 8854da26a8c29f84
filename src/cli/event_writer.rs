//! Owns how `sub` prints what it receives. `subscribe` writes to it; where the bytes go is not known here.

use std::io::{self, Write};

use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use clap::ValueEnum;
use serde::Serialize;

use super::message_format::MessageFormat;
use super::message_out::MessageOut;
use super::utc::Utc;
use crate::printable::{printable, printable_json};
use crate::{Event, Gap, Message};

/// The form in which events are printed.
#[derive(Clone, Copy, PartialEq, Eq, Debug, ValueEnum)]
pub(super) enum EventFormat {
    /// Each payload, and a newline after it; on a terminal, without what would act on it. Gaps go to stderr.
    Text,
    /// Each payload, with nothing between them; gaps go to stderr.
    Raw,
    /// One object a line, for a message or a gap.
    Json,
}

/// Prints events to `out`, and what is not data to `notes`.
pub(super) struct EventWriter<W, N> {
    out: MessageOut<W>,
    notes: N,
    format: EventFormat,
    /// The form of a message, if it is more than its payload.
    layout: Option<MessageFormat>,
    /// Messages that were written.
    messages: u64,
    /// One object, before it is written.
    json: Vec<u8>,
    /// Gaps for which `notes` had no room.
    unwritten: GapSum,
}

/// The sum of several gaps.
#[derive(Default)]
struct GapSum {
    gaps: u64,
    missed: u64,
    /// One of them is of unknown size.
    has_unknown: bool,
}

impl<W: Write, N: Write> EventWriter<W, N> {
    /// `on_terminal`: `out` is one, on which payloads might act.
    pub(super) fn new(out: W, notes: N, format: EventFormat, on_terminal: bool) -> Self {
        let out = MessageOut::new(out, on_terminal && format == EventFormat::Text);
        let (json, unwritten) = (Vec::new(), GapSum::default());
        EventWriter { out, notes, format, layout: None, messages: 0, json, unwritten }
    }

    /// Messages in this form rather than as their payloads; JSON has a form of its own.
    pub(super) fn with_layout(mut self, layout: Option<MessageFormat>) -> Self {
        self.layout = layout;
        self
    }

    /// Prints one event; fails only when `out` does.
    pub(super) fn write(&mut self, event: &Event) -> io::Result<()> {
        self.messages += u64::from(matches!(event, Event::Message(_)));
        match (event, self.format) {
            (Event::Message(message), EventFormat::Text) => {
                self.message(message, b"\t")?;
                self.out.bytes(b"\n")
            }
            (Event::Message(message), EventFormat::Raw) => self.message(message, b""),
            (Event::Message(message), EventFormat::Json) => self.line(&MessageObject::of(message)),
            (Event::CaughtUp, EventFormat::Json) => self.line(&CaughtUpObject { caught_up: true }),
            (Event::CaughtUp, EventFormat::Text | EventFormat::Raw) => {
                // As with gaps: where nobody reads it, it must not hold up data.
                let _ = self.notes.write_all(b"note: caught up, what follows is live\n");
                Ok(())
            }
            (Event::Gap(gap), EventFormat::Json) => self.line(&GapObject::of(gap)),
            (Event::Gap(gap), EventFormat::Text | EventFormat::Raw) => {
                // That nobody reads them must not hold up data: where there is no room they are added up.
                let line = format!("{}\n", sentence(gap));
                if !self.note_unwritten() || self.notes.write_all(line.as_bytes()).is_err() {
                    self.unwritten.add(gap);
                }
                Ok(())
            }
        }
    }

    /// Writes a line of our own between messages.
    pub(super) fn line_of_ours(&mut self, line: &str) -> io::Result<()> {
        self.out.bytes(line.as_bytes())
    }

    pub(super) fn format(&self) -> EventFormat {
        self.format
    }

    /// Hands on all that is buffered.
    pub(super) fn flush(&mut self) -> io::Result<()> {
        self.note_unwritten();
        self.out.flush()
    }

    /// A line with the sum of the gaps that are not written yet, if there are any.
    pub(super) fn unwritten_gaps(&mut self) -> Option<String> {
        let line = self.unwritten.sentence();
        self.unwritten = GapSum::default();
        line
    }

    /// Writes the sum of the gaps for which there was no room; false if there still is none.
    fn note_unwritten(&mut self) -> bool {
        let Some(line) = self.unwritten.sentence() else { return true };
        let is_written = self.notes.write_all(format!("{line}\n").as_bytes()).is_ok();
        if is_written {
            self.unwritten = GapSum::default();
        }
        is_written
    }

    fn message(&mut self, message: &Message, between: &[u8]) -> io::Result<()> {
        match &self.layout {
            Some(layout) => layout.write(message, self.messages, &mut self.out),
            None => self.out.parts(message, between),
        }
    }

    fn line(&mut self, object: &impl Serialize) -> io::Result<()> {
        self.json.clear();
        serde_json::to_writer(&mut self.json, object)?;
        let text = std::str::from_utf8(&self.json).expect("JSON is text");
        self.out.bytes(printable_json(text).as_bytes())?;
        self.out.bytes(b"\n")
    }
}

/// A message as JSON. Of `topic` and `topic_base64` one is there, of `payload`, `payload_base64` and `parts`, too.
#[derive(Serialize)]
struct MessageObject<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    topic: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    topic_base64: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    payload: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    payload_base64: Option<String>,
    /// Parts behind the topic, for a ZeroMQ message in one part or in more than two.
    #[serde(skip_serializing_if = "Option::is_none")]
    parts: Option<Vec<PartObject>>,
    /// In hexadecimal: JSON's numbers do not hold 64 bits everywhere.
    publisher: String,
    sequence: u64,
    /// RFC 3339, by the publisher's clock.
    time: String,
    /// It comes from history. Of live messages nothing is said.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    history: bool,
}

/// The end of history as JSON.
#[derive(Serialize)]
struct CaughtUpObject {
    caught_up: bool,
}

/// One part as JSON.
#[derive(Serialize)]
struct PartObject {
    #[serde(skip_serializing_if = "Option::is_none")]
    payload: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    payload_base64: Option<String>,
}

/// A gap as JSON. A `topic` of null is any topic of the subscription.
#[derive(Serialize)]
struct GapObject<'a> {
    topic: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    topic_base64: Option<String>,
    gap: GapFacts,
}

#[derive(Serialize)]
struct GapFacts {
    /// Null when nobody knows.
    missed: Option<u64>,
    reason: String,
}

impl<'a> MessageObject<'a> {
    fn of(message: &'a Message) -> Self {
        let (topic, topic_base64) = text_or_base64(&message.topic);
        let (payload, payload_base64) =
            if message.multipart { (None, None) } else { text_or_base64(&message.payload) };
        let part = |part: bytes::Bytes| {
            let (payload, payload_base64) = text_or_base64(&part);
            PartObject { payload: payload.map(str::to_owned), payload_base64 }
        };
        let parts = message.multipart.then(|| message.parts().map(part).collect());
        MessageObject {
            topic,
            topic_base64,
            payload,
            payload_base64,
            parts,
            publisher: message.publisher.to_string(),
            sequence: message.sequence,
            time: Utc { unix_ns: message.sent_at_ns }.to_string(),
            history: message.from_history,
        }
    }
}

impl<'a> GapObject<'a> {
    fn of(gap: &'a Gap) -> Self {
        let (topic, topic_base64) = gap.topic.as_deref().map_or((None, None), text_or_base64);
        GapObject {
            topic,
            topic_base64,
            gap: GapFacts { missed: gap.missed, reason: gap.reason.to_string() },
        }
    }
}

/// Text where the bytes are UTF-8, else base64.
fn text_or_base64(bytes: &[u8]) -> (Option<&str>, Option<String>) {
    match std::str::from_utf8(bytes) {
        Ok(text) => (Some(text), None),
        Err(_) => (None, Some(BASE64.encode(bytes))),
    }
}

impl GapSum {
    fn add(&mut self, gap: &Gap) {
        self.gaps += 1;
        self.missed = self.missed.saturating_add(gap.missed.unwrap_or(0));
        self.has_unknown |= gap.missed.is_none();
    }

    fn sentence(&self) -> Option<String> {
        let GapSum { gaps, missed, has_unknown } = self;
        let more = if *has_unknown { " and nobody knows how many more" } else { "" };
        let why = "stderr was not read fast enough for a line each";
        (*gaps > 0).then(|| format!("gap: {missed} messages{more} missed in {gaps} gaps ({why})"))
    }
}

fn sentence(gap: &Gap) -> String {
    let missed = match gap.missed {
        Some(1) => "1 message".to_owned(),
        Some(n) => format!("{n} messages"),
        None => "nobody knows how many messages".to_owned(),
    };
    let topic = match &gap.topic {
        Some(topic) => format!(" of {}", printable(topic)),
        None => String::new(),
    };
    format!("gap: {missed}{topic} missed ({})", gap.reason)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::GapReason;
    use crate::ids::PublisherId;

    fn message(topic: &'static [u8], payload: &'static [u8]) -> Event {
        Event::Message(Message {
            topic: bytes::Bytes::from_static(topic),
            payload: bytes::Bytes::from_static(payload),
            multipart: false,
            publisher: PublisherId(0xab),
            sequence: 7,
            sent_at_ns: 1_000_000_001,
            from_history: false,
        })
    }

    fn gap(topic: Option<&'static [u8]>, missed: Option<u64>) -> Event {
        Event::Gap(Gap { topic: topic.map(bytes::Bytes::from_static), missed, reason: GapReason::Overflow })
    }

    fn written(format: EventFormat, events: &[Event]) -> (Vec<u8>, String) {
        written_to(false, format, events)
    }

    fn written_to(terminal: bool, format: EventFormat, events: &[Event]) -> (Vec<u8>, String) {
        let (mut out, mut notes) = (Vec::new(), Vec::new());
        let mut writer = EventWriter::new(&mut out, &mut notes, format, terminal);
        for event in events {
            writer.write(event).expect("a vector takes all");
        }
        writer.flush().expect("a vector takes all");
        (out, String::from_utf8(notes).expect("notes are text"))
    }

    #[test]
    fn text_and_raw_are_payloads_and_gaps_are_notes() {
        let events =
            [message(b"t", b"one\xff"), gap(Some(b"t"), Some(3)), message(b"t", b""), gap(None, None)];
        let notes = "gap: 3 messages of t missed (overflow)\n\
                     gap: nobody knows how many messages missed (overflow)\n";
        assert_eq!(written(EventFormat::Text, &events), (b"one\xff\n\n".to_vec(), notes.to_owned()));
        assert_eq!(written(EventFormat::Raw, &events), (b"one\xff".to_vec(), notes.to_owned()));
    }

    /// Notes with room for a line, whenever somebody has read the one before.
    #[derive(Default)]
    struct OneLine(Option<String>);

    impl Write for OneLine {
        fn write(&mut self, text: &[u8]) -> io::Result<usize> {
            if self.0.is_some() {
                return Err(io::ErrorKind::WouldBlock.into());
            }
            self.0 = Some(String::from_utf8(text.to_vec()).expect("notes are text"));
            Ok(text.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn gaps_for_which_stderr_has_no_room_are_added_up() {
        let mut writer = EventWriter::new(Vec::new(), OneLine::default(), EventFormat::Text, false);
        let mut write = |events: &[Event]| {
            events.iter().for_each(|event| writer.write(event).expect("a vector takes all"));
            let line = writer.notes.0.take();
            writer.flush().expect("a vector takes all");
            (line, writer.notes.0.take(), writer.unwritten_gaps())
        };
        let one = Some("gap: 1 message of t missed (overflow)\n".to_owned());
        let sum = |missed: &str, gaps| {
            Some(format!(
                "gap: {missed} missed in {gaps} gaps (stderr was not read fast enough for a line each)\n"
            ))
        };
        let gaps = [1, 20, 300].map(|missed| gap(Some(b"t"), Some(missed)));
        assert_eq!(write(&gaps), (one.clone(), sum("320 messages", 2), None));
        let all = [&gaps[..], &[gap(None, None)]].concat();
        assert_eq!(write(&all), (one, sum("320 messages and nobody knows how many more", 3), None));
        assert_eq!(write(&[message(b"t", b"x")]), (None, None, None));
        gaps.iter().for_each(|event| writer.write(event).expect("a vector takes all"));
        let last = writer.unwritten_gaps().map(|line| format!("{line}\n"));
        assert_eq!((last, writer.unwritten_gaps()), (sum("320 messages", 2), None));
    }

    #[test]
    fn nothing_of_a_publisher_acts_on_a_terminal() {
        let forged = b"\x1b]0;x\x07 1\ngap: none\xff\xc2\x9bm";
        let events = [message(b"t", forged), gap(Some(b"a\x1b[31m\nerror: forged"), Some(1))];
        let shown = "\\x1b]0;x\\x07 1\\ngap: none\\xff\\u{9b}m\n";
        let note = "gap: 1 message of a\\x1b[31m\\nerror: forged missed (overflow)\n".to_owned();
        assert_eq!(written_to(true, EventFormat::Text, &events), (shown.into(), note.clone()));
        // A file or a pipe gets the bytes, and so does a terminal that asks for them; notes are for people everywhere.
        let line = [&forged[..], b"\n"].concat();
        assert_eq!(written_to(false, EventFormat::Text, &events), (line, note.clone()));
        assert_eq!(written_to(true, EventFormat::Raw, &events), (forged.to_vec(), note));
        let (json, _) = written(EventFormat::Json, &[message(b"t", "\u{9b}m\u{202e}".as_bytes())]);
        assert!(text(&json).contains(r#""payload":"\u009bm\u202e""#), "{}", text(&json));
    }

    fn text(bytes: &[u8]) -> &str {
        std::str::from_utf8(bytes).expect("text")
    }

    #[test]
    fn json_is_an_object_a_line() {
        let mut from_history = message(b"a", b"b");
        if let Event::Message(message) = &mut from_history {
            message.from_history = true;
        }
        let events = [
            message(b"a.b", b"say \"hi\"\n"),
            message(b"\xff", b"\xfe\xff"),
            gap(Some(b"a.b"), Some(3)),
            gap(None, None),
            from_history,
            Event::CaughtUp,
        ];
        let (out, notes) = written(EventFormat::Json, &events);
        assert_eq!(notes, "");
        let lines: Vec<&str> = std::str::from_utf8(&out).expect("JSON is text").lines().collect();
        assert_eq!(
            lines,
            [
                r#"{"topic":"a.b","payload":"say \"hi\"\n","publisher":"00000000000000ab","sequence":7,"time":"1970-01-01T00:00:01.000000001Z"}"#,
                r#"{"topic_base64":"/w==","payload_base64":"/v8=","publisher":"00000000000000ab","sequence":7,"time":"1970-01-01T00:00:01.000000001Z"}"#,
                r#"{"topic":"a.b","gap":{"missed":3,"reason":"overflow"}}"#,
                r#"{"topic":null,"gap":{"missed":null,"reason":"overflow"}}"#,
                r#"{"topic":"a","payload":"b","publisher":"00000000000000ab","sequence":7,"time":"1970-01-01T00:00:01.000000001Z","history":true}"#,
                r#"{"caught_up":true}"#,
            ]
        );
    }
}
