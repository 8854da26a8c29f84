//! The place in a stream at which a subscription starts, as people write it and as it travels.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use crate::config::TimeSpan;
use crate::error::{Error, ErrorKind};
use crate::printable::printable;

/// The place in the stream of its topics at which a subscription starts. The broker has what came before as far as it keeps
/// history.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Default, Debug)]
pub enum Start {
    /// The next message.
    #[default]
    Live,
    /// The last message of each topic.
    Last,
    /// All that is kept.
    All,
    /// This many of the newest messages of each topic: 1 or more.
    Count(u64),
    /// The messages that the broker took within this time.
    Since(Duration),
}

impl Start {
    /// The kind on the wire of the start of a client that comes back, behind its positions. Its number is the time before which the
    /// client has had everything, in nanoseconds ago.
    pub(crate) const RESUME: u8 = 5;

    /// The numbers on the wire. `None` for [`Start::Live`], for which nothing is said.
    pub(crate) fn to_wire(self) -> Option<(u8, u64)> {
        match self {
            Start::Live => None,
            Start::Last => Some((1, 0)),
            Start::All => Some((2, 0)),
            Start::Count(count) => Some((3, count)),
            Start::Since(time) => Some((4, u64::try_from(time.as_nanos()).unwrap_or(u64::MAX))),
        }
    }

    /// The start that these numbers mean; `None` for those that this version does not know.
    pub(crate) fn from_wire(kind: u8, value: u64) -> Option<Start> {
        match kind {
            1 => Some(Start::Last),
            2 => Some(Start::All),
            3 if value > 0 => Some(Start::Count(value)),
            4 => Some(Start::Since(Duration::from_nanos(value))),
            _ => None,
        }
    }

    /// The number of messages of each topic that are wanted of what is kept.
    pub(crate) fn count(self) -> u64 {
        match self {
            Start::Live => 0,
            Start::Last => 1,
            Start::Count(count) => count,
            Start::All | Start::Since(_) => u64::MAX,
        }
    }
}

impl fmt::Display for Start {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Start::Live => f.write_str("live"),
            Start::Last => f.write_str("last"),
            Start::All => f.write_str("all"),
            Start::Count(count) => count.fmt(f),
            Start::Since(time) => TimeSpan(*time).fmt(f),
        }
    }
}

impl FromStr for Start {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        let wrong = || {
            let text = format!(
                "`{}` is no place to start: write last, all, a number of messages for each topic, or a time with its unit, such \
                 as 10m",
                printable(text)
            );
            Error::new(ErrorKind::Invalid, text)
        };
        match text {
            "live" => Ok(Start::Live),
            "last" => Ok(Start::Last),
            "all" => Ok(Start::All),
            // A time without a unit would read as a number of messages.
            count if count.bytes().all(|byte| byte.is_ascii_digit()) => match count.parse() {
                Ok(count @ 1..) => Ok(Start::Count(count)),
                _ => Err(wrong()),
            },
            time => time.parse::<TimeSpan>().map(|TimeSpan(time)| Start::Since(time)).map_err(|_| wrong()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_start_is_written_and_read() {
        for (text, start, wire) in [
            ("live", Start::Live, None),
            ("last", Start::Last, Some((1, 0))),
            ("all", Start::All, Some((2, 0))),
            ("100", Start::Count(100), Some((3, 100))),
            ("10m", Start::Since(Duration::from_secs(600)), Some((4, 600_000_000_000))),
            ("250ms", Start::Since(Duration::from_millis(250)), Some((4, 250_000_000))),
        ] {
            assert_eq!(text.parse::<Start>().expect(text), start);
            assert_eq!(start.to_string().parse::<Start>().expect(text), start);
            assert_eq!(start.to_wire(), wire);
            if let Some((kind, value)) = wire {
                assert_eq!(Start::from_wire(kind, value), Some(start));
            }
        }
    }

    #[test]
    fn what_is_no_start_is_an_error_that_says_what_to_write() {
        for text in ["", "0", "first", "-1", "10 parsecs", "99999999999999999999999"] {
            let error = text.parse::<Start>().expect_err(text);
            assert!(error.to_string().contains("last, all"), "{error}");
        }
        for (kind, value) in [(0, 0), (3, 0), (5, 1), (255, 0)] {
            assert_eq!(Start::from_wire(kind, value), None);
        }
    }
}
