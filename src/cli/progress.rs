//! Words on how far `pub` is: on a terminal a line that is written over each second, and a result for programs.

use std::time::Instant;

use serde::Serialize;

use super::amounts::{bytes, count};
use super::output::{is_watched, json_line};
use super::seconds::Seconds;
use super::{Failure, output};
use crate::telemetry::say;

/// Clears the line that the cursor is in.
const CLEAR_LINE: &str = "\r\x1b[K";

/// The sums of what was sent so far.
pub(super) struct SendProgress {
    start: Instant,
    /// Messages to come in all, if that is known.
    total: Option<u64>,
    messages: u64,
    bytes: u64,
    seconds: Seconds,
    /// A line on it stands on the terminal.
    is_shown: bool,
}

/// The same at the end, for programs.
#[derive(Serialize)]
struct Published<'a> {
    topic: &'a str,
    messages: u64,
    bytes: u64,
    seconds: f64,
    messages_per_second: f64,
}

impl SendProgress {
    /// Nothing is sent yet.
    pub(super) fn start(total: Option<u64>) -> Result<Self, Failure> {
        let seconds = Seconds::start_if(is_watched())?;
        Ok(SendProgress { start: Instant::now(), total, messages: 0, bytes: 0, seconds, is_shown: false })
    }

    /// A message was sent. Says where it stands, if a second is over.
    pub(super) fn add(&mut self, payload_bytes: usize) {
        self.messages += 1;
        self.bytes += payload_bytes as u64;
        if self.seconds.take() {
            self.is_shown = true;
            say(&format!("{CLEAR_LINE}{}", self.words()));
        }
    }

    /// Takes the line away; a send of more than a second has a last word.
    pub(super) fn end(&mut self) {
        if std::mem::take(&mut self.is_shown) {
            say(CLEAR_LINE);
            output::note(self.words());
        }
    }

    /// The result as an object.
    pub(super) fn object(&self, topic: &str) -> String {
        let seconds = self.start.elapsed().as_secs_f64();
        let messages_per_second = self.per_second();
        json_line(&Published {
            topic,
            messages: self.messages,
            bytes: self.bytes,
            seconds,
            messages_per_second,
        })
    }

    fn per_second(&self) -> f64 {
        self.messages as f64 / self.start.elapsed().as_secs_f64().max(1e-9)
    }

    fn words(&self) -> String {
        let of = match self.total {
            Some(total) if total > self.messages => {
                // The share that is there already, never rounded up to all of it.
                let share = (100.0 * self.messages as f64 / total as f64).floor();
                format!(" of {total} ({share} %)")
            }
            _ => String::new(),
        };
        let noun = if self.messages == 1 && of.is_empty() { "message" } else { "messages" };
        let (sum, rate) = (bytes(self.bytes as f64), count(self.per_second()));
        format!("sent {}{of} {noun}, {sum}, {rate} a second", self.messages)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_say_how_much_is_left() {
        let mut progress = SendProgress::start(Some(3)).expect("no thread where nobody watches");
        progress.add(1024);
        progress.add(512);
        let words = progress.words();
        assert!(words.starts_with("sent 2 of 3 (66 %) messages, 1.5 KiB, "), "{words}");
        progress.add(0);
        assert!(progress.words().starts_with("sent 3 messages, 1.5 KiB, "));
        let object: serde_json::Value = serde_json::from_str(&progress.object("t")).expect("an object");
        assert_eq!(
            (&object["topic"], &object["messages"], &object["bytes"]),
            (&"t".into(), &3.into(), &1536.into())
        );
    }

    #[test]
    fn without_an_end_in_sight_there_is_no_share() {
        let mut progress = SendProgress::start(None).expect("no thread");
        progress.add(1);
        assert!(progress.words().starts_with("sent 1 message, 1 B, "));
    }
}
