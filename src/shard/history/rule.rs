//! Rules of what is kept, as people write them: `prices.>=last`, `chat.>=100`, `audit.>=5m,64MiB`. The first that matches a
//! topic applies; what matches none is not kept. Pure.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use crate::config::{Arity, Literal, OptionShape, Size, TimeSpan};
use crate::error::{Error, ErrorKind, Result};
use crate::limits::{KEEP_AGE_DEFAULT, KEEP_BYTES_DEFAULT, KEEP_RULES_MAX};
use crate::printable::printable;
use crate::topic::Filter;

/// The end of a rule whose messages a flush waits for.
const CONFIRMED: &str = ",confirmed";

/// The messages of a topic that are kept: its newest.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Keep {
    /// The last one.
    Last,
    /// This many: 2 or more.
    Newest(u64),
    /// Those of the last time of this length.
    Recent(Duration),
}

/// The part of history that is kept of all topics that match a filter.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct KeepRule {
    /// The topics.
    pub filter: Filter,
    /// The messages of each.
    pub keep: Keep,
    /// Most bytes that all of these topics take together, on all shards; `None`: as many as there is room for.
    pub bytes_max: Option<usize>,
    /// A flush of a publisher waits until what it has said by this rule is stored at the engine.
    pub is_confirmed: bool,
}

impl FromStr for KeepRule {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let wrong = |why: &str| {
            let text = format!("`{}` is no rule of what to keep: {why}", printable(text));
            Error::new(ErrorKind::Invalid, text)
        };
        let Some((filter, kept)) = text.rsplit_once('=') else {
            return Err(wrong("write FILTER=last, FILTER=100 or FILTER=5m,64MiB"));
        };
        let filter = Filter::parse(filter).map_err(|e| wrong(&e.to_string()))?;
        let (kept, is_confirmed) = match kept.strip_suffix(CONFIRMED) {
            Some(kept) => (kept, true),
            None => (kept, false),
        };
        let (kept, bytes_max) = match kept.split_once(',') {
            Some((kept, bytes)) => {
                let bytes: Size = bytes.parse().map_err(|e: String| wrong(&e))?;
                (kept, Some(bytes.0))
            }
            None => (kept, None),
        };
        if bytes_max == Some(0) {
            return Err(wrong("no byte is room for nothing"));
        }
        let keep = match kept {
            "last" => Keep::Last,
            // A time without a unit would read as a number of messages.
            count if !count.is_empty() && count.bytes().all(|byte| byte.is_ascii_digit()) => {
                match count.parse() {
                    Ok(0) => return Err(wrong("without the rule nothing is kept")),
                    Ok(1) => Keep::Last,
                    Ok(count) => Keep::Newest(count),
                    Err(_) => return Err(wrong("that is more than can be counted")),
                }
            }
            time => match time.parse() {
                Ok(TimeSpan(Duration::ZERO)) => return Err(wrong("without the rule nothing is kept")),
                Ok(TimeSpan(time)) => Keep::Recent(time),
                Err(_) => {
                    return Err(wrong(
                        "write last, a number of messages, or a time with its unit, such as 5m",
                    ));
                }
            },
        };
        Ok(KeepRule { filter, keep, bytes_max, is_confirmed })
    }
}

impl fmt::Display for KeepRule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}=", self.filter.text())?;
        match self.keep {
            Keep::Last => f.write_str("last")?,
            Keep::Newest(count) => count.fmt(f)?,
            Keep::Recent(time) => TimeSpan(time).fmt(f)?,
        }
        if let Some(bytes) = self.bytes_max {
            write!(f, ",{}", Size(bytes))?;
        }
        if self.is_confirmed { f.write_str(CONFIRMED) } else { Ok(()) }
    }
}

/// The shape of an option with such rules, repeated or with commas between them. A rule may have a comma itself, before its
/// bytes.
#[derive(Debug)]
pub struct KeepList;

impl OptionShape<Vec<KeepRule>> for KeepList {
    const ARITY: Arity = Arity::Repeated;
    const LITERAL: Literal = Literal::Text;

    fn read(texts: &[&str]) -> Result<Vec<KeepRule>, String> {
        let mut rules: Vec<String> = Vec::new();
        for text in texts {
            for (at, part) in text.split(',').enumerate() {
                match rules.last_mut() {
                    Some(rule) if at > 0 && !part.contains('=') => {
                        rule.push(',');
                        rule.push_str(part);
                    }
                    _ => rules.push(part.to_owned()),
                }
            }
        }
        rules.iter().map(|rule| rule.parse().map_err(|e: Error| e.to_string())).collect()
    }

    fn write(rules: &Vec<KeepRule>) -> Vec<String> {
        rules.iter().map(ToString::to_string).collect()
    }
}

/// All rules of a broker, and the bounds of what is kept.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Retention {
    rules: Vec<KeepRule>,
    /// Most bytes that are kept, on all shards together.
    bytes_max: usize,
    /// The time for which messages are kept by rules that say none.
    age_max: Duration,
}

impl Default for Retention {
    fn default() -> Self {
        Retention { rules: Vec::new(), bytes_max: KEEP_BYTES_DEFAULT, age_max: KEEP_AGE_DEFAULT }
    }
}

impl Retention {
    /// These rules, in this order, with these bounds.
    ///
    /// # Errors
    /// `Invalid` for more than [`KEEP_RULES_MAX`] of them.
    pub fn new(rules: Vec<KeepRule>, bytes_max: usize, age_max: Duration) -> Result<Self> {
        if rules.len() > KEEP_RULES_MAX {
            let text = format!("{} rules of what to keep; at most {KEEP_RULES_MAX} are allowed", rules.len());
            return Err(Error::new(ErrorKind::Invalid, text));
        }
        Ok(Retention { rules, bytes_max, age_max })
    }

    /// True if a flush waits for messages of some rule.
    pub(in crate::shard) fn confirms(&self) -> bool {
        self.rules.iter().any(|rule| rule.is_confirmed)
    }

    /// The rules, in order.
    pub(in crate::shard) fn rules(&self) -> &[KeepRule] {
        &self.rules
    }

    /// True if nothing is kept.
    pub(in crate::shard) fn is_empty(&self) -> bool {
        self.rules.is_empty()
    }

    /// The share of one of so many logs in that many bytes.
    pub(super) fn share(bytes: usize, logs: usize) -> usize {
        (bytes / logs.max(1)).max(1)
    }

    /// Most bytes that are kept, on all shards together.
    pub(super) fn bytes_max(&self) -> usize {
        self.bytes_max
    }

    /// The time for which messages are kept by a rule.
    pub(super) fn age_of(&self, rule: &KeepRule) -> Duration {
        match rule.keep {
            Keep::Recent(time) => time,
            Keep::Last | Keep::Newest(_) => self.age_max,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rule(filter: &str, keep: Keep, bytes_max: Option<usize>) -> KeepRule {
        KeepRule { filter: Filter::parse(filter).unwrap(), keep, bytes_max, is_confirmed: false }
    }

    #[test]
    fn rules_are_written_as_they_are_read() {
        let minutes = |minutes: u64| Keep::Recent(Duration::from_secs(60 * minutes));
        for (text, read) in [
            ("prices.>=last", rule("prices.>", Keep::Last, None)),
            ("prices.*=1", rule("prices.*", Keep::Last, None)),
            ("chat.>=100", rule("chat.>", Keep::Newest(100), None)),
            ("chat.>=100,1MiB", rule("chat.>", Keep::Newest(100), Some(1 << 20))),
            ("audit.>=5m,64MiB", rule("audit.>", minutes(5), Some(64 << 20))),
            ("a=b=last", rule("a=b", Keep::Last, None)),
            ("a=last,confirmed", KeepRule { is_confirmed: true, ..rule("a", Keep::Last, None) }),
            ("a=5m,1MiB,confirmed", KeepRule { is_confirmed: true, ..rule("a", minutes(5), Some(1 << 20)) }),
        ] {
            assert_eq!(text.parse::<KeepRule>().expect(text), read);
            assert_eq!(read.to_string().parse::<KeepRule>().expect(text), read);
        }
    }

    #[test]
    fn several_rules_may_stand_in_one_text() {
        let read = |texts: &[&str]| KeepList::read(texts).map(|rules| KeepList::write(&rules).join(" "));
        assert_eq!(read(&["a=last,b=5s,64KiB,c=2"]).unwrap(), "a=last b=5s,64KiB c=2");
        assert_eq!(read(&["a=last,confirmed,b=2"]).unwrap(), "a=last,confirmed b=2");
        assert_eq!(read(&["a=last", "b=5s,64KiB", "c=2"]).unwrap(), "a=last b=5s,64KiB c=2");
        assert!(read(&["64KiB"]).is_err());
        assert!(read(&["a=last", "64KiB"]).is_err(), "it belongs to no rule");
    }

    #[test]
    fn what_is_no_rule_is_an_error_that_says_what_to_write() {
        for (text, part) in [
            ("prices.>", "FILTER=last"),
            ("prices.>=", "last, a number"),
            ("prices.>=first", "last, a number"),
            ("prices.>=0", "nothing is kept"),
            ("prices.>=0s", "nothing is kept"),
            ("prices.>=5m,", "whole number of bytes"),
            ("prices.>=5m,0", "room for nothing"),
            ("pri*=last", "must stand alone"),
            ("a=99999999999999999999999", "more than can be counted"),
        ] {
            let error = text.parse::<KeepRule>().expect_err(text).to_string();
            assert!(error.contains(part), "{error}");
        }
        let rules = vec![rule("a", Keep::Last, None); KEEP_RULES_MAX + 1];
        assert!(Retention::new(rules, 1, Duration::ZERO).is_err());
    }
}
