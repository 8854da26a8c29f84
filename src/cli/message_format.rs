//! The form in which `sub -F` prints a message: text with placeholders such as `%t`.

use std::io::{self, Write};
use std::str::FromStr;
use std::time::{SystemTime, UNIX_EPOCH};

use super::message_out::MessageOut;
use super::utc::Utc;
use crate::Message;
use crate::printable::printable;

/// The placeholders, for help texts; what they stand for is in [`Piece`].
pub(super) const PLACEHOLDERS: &str = "  %t  topic                      %T  time of publication, RFC 3339
  %p  payload                    %U  the same, in seconds since 1970
  %x  payload in hexadecimal     %a  age in milliseconds: from publication to this line
  %l  length of the payload      %P  publisher, in hexadecimal
  %n  number of the line, from 1 %s  sequence number at its publisher
  %%  a percent sign             \\n \\t \\\\  newline, tab, backslash";

/// The letters of all placeholders.
const LETTERS: &str = "%t %p %x %l %n %T %U %a %P %s %%";

const NS_PER_S: u64 = 1_000_000_000;

/// A part of each line.
#[derive(Clone, PartialEq, Eq, Debug)]
enum Piece {
    Text(String),
    Topic,
    Payload,
    Hex,
    Length,
    Number,
    Time,
    UnixTime,
    Age,
    Publisher,
    Sequence,
}

/// Text with placeholders, as it was typed and checked.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct MessageFormat(Vec<Piece>);

impl FromStr for MessageFormat {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let mut pieces: Vec<Piece> = Vec::new();
        let mut chars = text.chars();
        while let Some(char) = chars.next() {
            let (mark, next) = match char {
                '%' | '\\' => (char, chars.next()),
                other => {
                    push_char(&mut pieces, other);
                    continue;
                }
            };
            match (mark, next) {
                ('%', Some('t')) => pieces.push(Piece::Topic),
                ('%', Some('p')) => pieces.push(Piece::Payload),
                ('%', Some('x')) => pieces.push(Piece::Hex),
                ('%', Some('l')) => pieces.push(Piece::Length),
                ('%', Some('n')) => pieces.push(Piece::Number),
                ('%', Some('T')) => pieces.push(Piece::Time),
                ('%', Some('U')) => pieces.push(Piece::UnixTime),
                ('%', Some('a')) => pieces.push(Piece::Age),
                ('%', Some('P')) => pieces.push(Piece::Publisher),
                ('%', Some('s')) => pieces.push(Piece::Sequence),
                ('%', Some('%')) => push_char(&mut pieces, '%'),
                ('\\', Some('n')) => push_char(&mut pieces, '\n'),
                ('\\', Some('t')) => push_char(&mut pieces, '\t'),
                ('\\', Some('\\')) => push_char(&mut pieces, '\\'),
                ('%', Some(other)) => {
                    return Err(format!("`%{}` is no placeholder; there are {LETTERS}", safe(other)));
                }
                (_, Some(other)) => {
                    return Err(format!("`\\{}` is nothing; there are \\n, \\t and \\\\", safe(other)));
                }
                (mark, None) => return Err(format!("a `{mark}` at the end; write it twice")),
            }
        }
        Ok(MessageFormat(pieces))
    }
}

fn safe(char: char) -> String {
    printable(char.encode_utf8(&mut [0; 4])).to_string()
}

fn push_char(pieces: &mut Vec<Piece>, char: char) {
    match pieces.last_mut() {
        Some(Piece::Text(text)) => text.push(char),
        _ => pieces.push(Piece::Text(char.into())),
    }
}

impl MessageFormat {
    /// The topic, a blank and the payload: what `-v` prints.
    pub(super) fn with_topic() -> Self {
        MessageFormat(vec![Piece::Topic, Piece::Text(" ".to_owned()), Piece::Payload])
    }

    /// Writes a message, the one of this number.
    ///
    /// # Errors
    /// Those of `out`.
    pub(super) fn write<W: Write>(
        &self,
        message: &Message,
        number: u64,
        out: &mut MessageOut<W>,
    ) -> io::Result<()> {
        for piece in &self.0 {
            match piece {
                Piece::Text(text) => out.plain(format_args!("{text}"))?,
                Piece::Topic => out.data(&message.topic)?,
                Piece::Payload => out.parts(message, b"\t")?,
                Piece::Hex => {
                    for byte in message.parts().flat_map(|part| part.to_vec()) {
                        out.plain(format_args!("{byte:02x}"))?;
                    }
                }
                Piece::Length => out.plain(format_args!("{}", payload_bytes(message)))?,
                Piece::Number => out.plain(format_args!("{number}"))?,
                Piece::Time => out.plain(format_args!("{}", Utc { unix_ns: message.sent_at_ns }))?,
                Piece::UnixTime => {
                    let ns = message.sent_at_ns;
                    out.plain(format_args!("{}.{:09}", ns / NS_PER_S, ns % NS_PER_S))?;
                }
                Piece::Age => out.plain(format_args!("{:.3}", age_ms(message.sent_at_ns, unix_ns_now())))?,
                Piece::Publisher => out.plain(format_args!("{}", message.publisher))?,
                Piece::Sequence => out.plain(format_args!("{}", message.sequence))?,
            }
        }
        Ok(())
    }
}

/// Bytes of a payload, or of all its parts.
pub(super) fn payload_bytes(message: &Message) -> usize {
    if message.multipart { message.parts().map(|part| part.len()).sum() } else { message.payload.len() }
}

/// Nanoseconds since 1970 by this host's clock.
pub(super) fn unix_ns_now() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_nanos()).unwrap_or(u64::MAX)
}

/// The milliseconds between two times; below 0 if the publisher's clock is ahead of ours.
pub(super) fn age_ms(sent_at_ns: u64, now_ns: u64) -> f64 {
    (now_ns as i128 - sent_at_ns as i128) as f64 / 1e6
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ids::PublisherId;

    fn written(format: &str, on_terminal: bool) -> String {
        let message = Message {
            topic: bytes::Bytes::from_static(b"a.b"),
            payload: bytes::Bytes::from_static(b"1\x1b\xff"),
            multipart: false,
            publisher: PublisherId(0xab),
            sequence: 7,
            sent_at_ns: 1_000_000_001,
            from_history: false,
        };
        let mut out = MessageOut::new(Vec::new(), on_terminal);
        let format: MessageFormat = format.parse().expect("a format");
        format.write(&message, 3, &mut out).expect("a vector takes all");
        String::from_utf8_lossy(&out.into_inner()).into_owned()
    }

    #[test]
    fn each_placeholder_stands_for_its_part() {
        let line = written("%t|%x|%l|%n|%T|%U|%P|%s|100 %%\\t\\\\", false);
        let wanted = "a.b|311bff|3|3|1970-01-01T00:00:01.000000001Z|1.000000001|00000000000000ab|7|100 %\t\\";
        assert_eq!(line, wanted);
        let age: f64 = written("%a", false).parse().expect("a number");
        assert!(age > 1e9, "{age} ms since 1970");
        assert_eq!(written("", false), "");
    }

    #[test]
    fn a_payload_is_as_it_is_but_on_a_terminal() {
        assert_eq!(written("%p", false), "1\u{1b}\u{fffd}");
        assert_eq!(written("%t %p\\n", true), "a.b 1\\x1b\\xff\n");
        let verbose = MessageFormat::with_topic();
        assert_eq!(verbose, "%t %p".parse().expect("a format"));
    }

    #[test]
    fn what_is_no_placeholder_is_named() {
        for (format, part) in [
            ("%q", "`%q` is no placeholder; there are %t %p"),
            ("%\u{1b}", "`%\\x1b` is no placeholder"),
            ("\\x", "`\\x` is nothing"),
            ("50%", "a `%` at the end; write it twice"),
            ("c:\\", "a `\\` at the end"),
        ] {
            let error = MessageFormat::from_str(format).expect_err(format);
            assert!(error.contains(part), "{error}");
        }
        for letter in LETTERS.split(' ') {
            assert!(PLACEHOLDERS.contains(&format!("{letter}  ")), "{letter} is not in the table");
            MessageFormat::from_str(letter).expect(letter);
        }
    }

    #[test]
    fn an_age_may_be_negative() {
        assert_eq!(age_ms(2_500_000, 1_000_000), -1.5);
        assert_eq!(age_ms(0, 1_234_567), 1.234567);
    }
}
