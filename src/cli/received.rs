//! The sums over what `sub` has received: of all, for its summary, and of the last second, for `--rate`.

use std::time::{Duration, Instant};

use serde::Serialize;

use super::amounts::{bytes, count};
use super::message_format::{age_ms, payload_bytes, unix_ns_now};
use super::output::json_line;
use super::utc::Utc;
use crate::Event;

/// Messages, their bytes and what is missing between them.
#[derive(Clone, Copy, PartialEq, Debug)]
struct Sums {
    since: Instant,
    messages: u64,
    bytes: u64,
    gaps: u64,
    missed: u64,
    /// One of the gaps is of unknown size.
    has_unknown: bool,
}

/// The least, the mean and the most of the ages of messages, in milliseconds.
#[derive(Clone, Copy, PartialEq, Debug)]
struct Ages {
    least: f64,
    most: f64,
    sum: f64,
}

/// The sums of a subscriber.
pub(super) struct Received {
    whole: Sums,
    second: Sums,
    /// `None`: nobody asks for them, and no clock is read.
    ages: Option<Ages>,
}

/// A summary, for programs.
#[derive(Serialize)]
struct Summary {
    seconds: f64,
    messages: u64,
    bytes: u64,
    messages_per_second: f64,
    bytes_per_second: f64,
    gaps: u64,
    missed: u64,
    /// Some gaps are of unknown size: more are missed.
    missed_more: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    age_ms: Option<AgeFacts>,
}

#[derive(Serialize)]
struct AgeFacts {
    least: f64,
    mean: f64,
    most: f64,
}

/// A second, for programs.
#[derive(Serialize)]
struct Second {
    time: String,
    #[serde(flatten)]
    sums: Summary,
}

impl Received {
    /// Nothing yet. Ages cost a look at the clock for each message.
    pub(super) fn start(has_ages: bool) -> Self {
        let sums = Sums::start(Instant::now());
        let ages = has_ages.then_some(Ages { least: f64::INFINITY, most: f64::NEG_INFINITY, sum: 0.0 });
        Received { whole: sums, second: sums, ages }
    }

    pub(super) fn add(&mut self, event: &Event) {
        self.whole.add(event);
        self.second.add(event);
        if let (Some(ages), Event::Message(message)) = (&mut self.ages, event) {
            ages.add(age_ms(message.sent_at_ns, unix_ns_now()));
        }
    }

    pub(super) fn messages(&self) -> u64 {
        self.whole.messages
    }

    /// All of it in a sentence.
    pub(super) fn sentence(&self) -> String {
        let ages = self.ages.filter(|_| self.whole.messages > 0).map(|ages| {
            let facts = ages.facts(self.whole.messages);
            format!("; age {:.3} to {:.3} ms, {:.3} ms in the mean", facts.least, facts.most, facts.mean)
        });
        format!("received {}{}", self.whole.words(self.whole.since.elapsed()), ages.unwrap_or_default())
    }

    /// The same as an object.
    pub(super) fn object(&self) -> String {
        let mut summary = self.whole.summary(self.whole.since.elapsed());
        summary.age_ms =
            self.ages.filter(|_| self.whole.messages > 0).map(|ages| ages.facts(self.whole.messages));
        json_line(&summary)
    }

    /// The last second as a line, in words or as an object; the next begins.
    pub(super) fn end_second(&mut self, is_json: bool) -> String {
        let now = Instant::now();
        let second = std::mem::replace(&mut self.second, Sums::start(now));
        let elapsed = now.saturating_duration_since(second.since);
        let time = Utc { unix_ns: unix_ns_now() }.to_string();
        match is_json {
            true => json_line(&Second { time, sums: second.summary(elapsed) }),
            false => format!("{time}  {}\n", second.rates(elapsed)),
        }
    }
}

impl Sums {
    fn start(since: Instant) -> Self {
        Sums { since, messages: 0, bytes: 0, gaps: 0, missed: 0, has_unknown: false }
    }

    fn add(&mut self, event: &Event) {
        match event {
            Event::Message(message) => {
                self.messages += 1;
                self.bytes += payload_bytes(message) as u64;
            }
            Event::Gap(gap) => {
                self.gaps += 1;
                self.missed = self.missed.saturating_add(gap.missed.unwrap_or(0));
                self.has_unknown |= gap.missed.is_none();
            }
            Event::CaughtUp => {}
        }
    }

    fn per_second(&self, elapsed: Duration) -> [f64; 2] {
        // A first message comes later than a nanosecond.
        let seconds = elapsed.as_secs_f64().max(1e-9);
        [self.messages as f64 / seconds, self.bytes as f64 / seconds]
    }

    fn missed(&self) -> String {
        let more = if self.has_unknown { " and nobody knows how many more" } else { "" };
        format!("{} missed{more}", self.missed)
    }

    fn rates(&self, elapsed: Duration) -> String {
        let [messages, per_second] = self.per_second(elapsed);
        format!("{:>6}/s  {:>8}/s  {}", count(messages), bytes(per_second), self.missed())
    }

    fn words(&self, elapsed: Duration) -> String {
        let [messages, _] = self.per_second(elapsed);
        let noun = if self.messages == 1 { "message" } else { "messages" };
        format!(
            "{} {noun} ({}) in {:.1} s: {} a second, {}",
            self.messages,
            bytes(self.bytes as f64),
            elapsed.as_secs_f64(),
            count(messages),
            self.missed()
        )
    }

    fn summary(&self, elapsed: Duration) -> Summary {
        let [messages_per_second, bytes_per_second] = self.per_second(elapsed);
        Summary {
            seconds: elapsed.as_secs_f64(),
            messages: self.messages,
            bytes: self.bytes,
            messages_per_second,
            bytes_per_second,
            gaps: self.gaps,
            missed: self.missed,
            missed_more: self.has_unknown,
            age_ms: None,
        }
    }
}

impl Ages {
    fn add(&mut self, ms: f64) {
        self.least = self.least.min(ms);
        self.most = self.most.max(ms);
        self.sum += ms;
    }

    fn facts(&self, messages: u64) -> AgeFacts {
        AgeFacts { least: self.least, mean: self.sum / messages as f64, most: self.most }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ids::PublisherId;
    use crate::{Gap, GapReason, Message};

    fn message(payload: &'static [u8]) -> Event {
        Event::Message(Message {
            topic: bytes::Bytes::from_static(b"t"),
            payload: bytes::Bytes::from_static(payload),
            multipart: false,
            publisher: PublisherId(1),
            sequence: 1,
            sent_at_ns: unix_ns_now(),
            from_history: false,
        })
    }

    fn gap(missed: Option<u64>) -> Event {
        Event::Gap(Gap { topic: None, missed, reason: GapReason::Overflow })
    }

    #[test]
    fn sums_are_of_all_and_of_the_last_second() {
        let mut received = Received::start(true);
        for event in [message(b"12345"), gap(Some(3)), message(b""), gap(Some(4))] {
            received.add(&event);
        }
        let first = received.end_second(false);
        assert!(first.ends_with("7 missed\n"), "{first}");
        received.add(&message(b"1"));
        let second: serde_json::Value = serde_json::from_str(&received.end_second(true)).expect("an object");
        assert_eq!(
            (&second["messages"], &second["missed"], &second["bytes"]),
            (&1.into(), &0.into(), &1.into())
        );
        assert!(second["time"].is_string() && second["age_ms"].is_null(), "{second}");
        let whole: serde_json::Value = serde_json::from_str(&received.object()).expect("an object");
        assert_eq!((&whole["messages"], &whole["missed"], &whole["gaps"]), (&3.into(), &7.into(), &2.into()));
        assert!(whole["age_ms"]["most"].as_f64().expect("a number") >= 0.0, "{whole}");
        let sentence = received.sentence();
        assert!(
            sentence.starts_with("received 3 messages (6 B) in 0.") && sentence.contains("; age "),
            "{sentence}"
        );
        assert!(sentence.contains(", 7 missed;"), "{sentence}");
    }

    #[test]
    fn what_nobody_knows_is_said() {
        let mut received = Received::start(false);
        assert!(received.sentence().starts_with("received 0 messages (0 B) in 0.0 s: 0 a second, 0 missed"));
        received.add(&gap(None));
        assert!(received.sentence().ends_with("0 missed and nobody knows how many more"));
        assert!(received.object().contains("\"missed_more\":true"));
    }
}
