//! Owns the grammar of topics: names of levels separated by dots. Publishers make them, and the router checks each new
//! topic once.

use std::borrow::Borrow;
use std::fmt;
use std::str::FromStr;

use bytes::Bytes;

use crate::error::{Error, ErrorKind};
use crate::limits::{TOPIC_BYTES_MAX, TOPIC_LEVELS_MAX};
use crate::printable::printable;

/// The separator of a topic's levels.
pub(super) const SEPARATOR: u8 = b'.';
/// The wildcard for exactly one level in a filter.
pub(super) const ANY_LEVEL: u8 = b'*';
/// The wildcard for one or more levels, at the end of a filter.
pub(super) const ALL_THE_REST: u8 = b'>';

/// The name under which messages are published: 1 to [`Topic::BYTES_MAX`] bytes, at most [`Topic::LEVELS_MAX`] levels
/// separated by dots, none of them empty; no `*`, no `>`, no ASCII white space or control byte. Cloning is a reference
/// count.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Topic(Bytes);

/// The reason why some bytes are not a topic. Positions are in bytes, from 0.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum TopicError {
    /// The topic has no bytes.
    #[error("the topic is empty")]
    Empty,
    /// It is longer than [`Topic::BYTES_MAX`].
    #[error("the topic has {bytes} bytes, and at most {TOPIC_BYTES_MAX} are allowed")]
    TooLong {
        /// The length of the topic.
        bytes: usize,
    },
    /// It has more than [`Topic::LEVELS_MAX`] levels.
    #[error("the topic has {levels} levels, and at most {TOPIC_LEVELS_MAX} are allowed")]
    TooManyLevels {
        /// The number of levels.
        levels: usize,
    },
    /// A dot at the start, at the end, or next to another.
    #[error("the topic has an empty level at byte {at}: no dot may be first, last or next to another")]
    EmptyLevel {
        /// The start of the empty level.
        at: usize,
    },
    /// A wildcard, which only filters may have.
    #[error("the topic has a '{wildcard}' at byte {at}: wildcards are for filters")]
    Wildcard {
        /// `*` or `>`.
        wildcard: char,
        /// The position of the wildcard.
        at: usize,
    },
    /// White space or a control byte.
    #[error("the topic has the byte {byte:#04x} at byte {at}: no white space, no control characters")]
    Unprintable {
        /// The byte.
        byte: u8,
        /// The position of the byte.
        at: usize,
    },
}

impl Topic {
    /// Longest topic, in bytes.
    pub const BYTES_MAX: usize = TOPIC_BYTES_MAX;
    /// Most levels of a topic.
    pub const LEVELS_MAX: usize = TOPIC_LEVELS_MAX;

    /// A topic with these bytes, which are copied.
    ///
    /// # Errors
    /// The fault and its position.
    pub fn new(bytes: impl AsRef<[u8]>) -> Result<Self, TopicError> {
        let bytes = bytes.as_ref();
        Self::check(bytes)?;
        Ok(Topic(Bytes::copy_from_slice(bytes)))
    }

    /// Checks that these bytes are a topic; copies nothing.
    ///
    /// # Errors
    /// The fault and its position.
    pub fn check(bytes: &[u8]) -> Result<(), TopicError> {
        check_length(bytes)?;
        check_levels(bytes, |level, at| {
            let wildcard = level.iter().position(|b| matches!(*b, ANY_LEVEL | ALL_THE_REST));
            match wildcard {
                Some(i) => Err(TopicError::Wildcard { wildcard: char::from(level[i]), at: at + i }),
                None => Ok(()),
            }
        })
    }

    /// The bytes, as they travel.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// The bytes, shared: one more reference.
    pub fn to_bytes(&self) -> Bytes {
        self.0.clone()
    }
}

/// Checks the length, whose bounds topics and patterns share.
pub(super) fn check_length(bytes: &[u8]) -> Result<(), TopicError> {
    match bytes.len() {
        0 => Err(TopicError::Empty),
        n if n > TOPIC_BYTES_MAX => Err(TopicError::TooLong { bytes: n }),
        _ => Ok(()),
    }
}

/// Checks the rules that topics and patterns share, and each level with `check` (the level, and its start).
pub(super) fn check_levels<E: From<TopicError>>(
    bytes: &[u8],
    mut check: impl FnMut(&[u8], usize) -> Result<(), E>,
) -> Result<(), E> {
    let mut at = 0;
    let mut levels = 0;
    for level in bytes.split(|b| *b == SEPARATOR) {
        if level.is_empty() {
            return Err(TopicError::EmptyLevel { at }.into());
        }
        if let Some(i) = level.iter().position(|b| b.is_ascii_whitespace() || b.is_ascii_control()) {
            return Err(TopicError::Unprintable { byte: level[i], at: at + i }.into());
        }
        check(level, at)?;
        at += level.len() + 1;
        levels += 1;
    }
    if levels > TOPIC_LEVELS_MAX {
        return Err(TopicError::TooManyLevels { levels }.into());
    }
    Ok(())
}

/// `Invalid`, with the same text.
impl From<TopicError> for Error {
    fn from(error: TopicError) -> Self {
        Error::new(ErrorKind::Invalid, error.to_string())
    }
}

/// A reference count more.
impl From<&Topic> for Topic {
    fn from(topic: &Topic) -> Self {
        topic.clone()
    }
}

impl TryFrom<&str> for Topic {
    type Error = TopicError;

    fn try_from(text: &str) -> Result<Self, TopicError> {
        Topic::new(text)
    }
}

impl FromStr for Topic {
    type Err = TopicError;

    fn from_str(text: &str) -> Result<Self, TopicError> {
        Topic::new(text)
    }
}

impl AsRef<[u8]> for Topic {
    fn as_ref(&self) -> &[u8] {
        &self.0
    }
}

/// Lets the bytes of a frame look up a map keyed by topics.
impl Borrow<[u8]> for Topic {
    fn borrow(&self) -> &[u8] {
        &self.0
    }
}

/// Text for people, escaped where it would act on a terminal. Frames carry the bytes.
impl fmt::Display for Topic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        printable(&self.0).fmt(f)
    }
}

impl fmt::Debug for Topic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Topic({:?})", String::from_utf8_lossy(&self.0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_dotted_levels() {
        for good in ["a", "a.b", "prices.eur.usd", "prix.été", "a-b_c:d/e", "0"] {
            let topic = Topic::new(good).expect(good);
            assert_eq!(topic.as_bytes(), good.as_bytes());
            assert_eq!(topic.to_string(), good);
            assert_eq!(Topic::try_from(good), Ok(topic.clone()));
            assert_eq!(good.parse::<Topic>(), Ok(topic));
        }
        assert_eq!(Topic::new([b'a', 0xff]).expect("any high byte").to_string(), "a\\xff");
    }

    #[test]
    fn what_is_wrong_is_said_and_where() {
        let wrong = |bytes: &[u8]| Topic::new(bytes).expect_err("not a topic");
        assert_eq!(wrong(b""), TopicError::Empty);
        assert_eq!(wrong(b"."), TopicError::EmptyLevel { at: 0 });
        assert_eq!(wrong(b"a."), TopicError::EmptyLevel { at: 2 });
        assert_eq!(wrong(b"a..b"), TopicError::EmptyLevel { at: 2 });
        assert_eq!(wrong(b"a.*"), TopicError::Wildcard { wildcard: '*', at: 2 });
        assert_eq!(wrong(b"ab>"), TopicError::Wildcard { wildcard: '>', at: 2 });
        assert_eq!(wrong(b"a.b c"), TopicError::Unprintable { byte: b' ', at: 3 });
        assert_eq!(wrong(b"a\0"), TopicError::Unprintable { byte: 0, at: 1 });
        assert_eq!(wrong(b"a\x7f"), TopicError::Unprintable { byte: 0x7f, at: 1 });
    }

    #[test]
    fn the_limits_are_inclusive() {
        assert!(Topic::new(vec![b'a'; TOPIC_BYTES_MAX]).is_ok());
        let over = TOPIC_BYTES_MAX + 1;
        assert_eq!(Topic::new(vec![b'a'; over]), Err(TopicError::TooLong { bytes: over }));
        assert!(Topic::new(vec!["a"; TOPIC_LEVELS_MAX].join(".")).is_ok());
        let over = TOPIC_LEVELS_MAX + 1;
        assert_eq!(Topic::new(vec!["a"; over].join(".")), Err(TopicError::TooManyLevels { levels: over }));
    }

    #[test]
    fn a_clone_shares_the_bytes() {
        let topic = Topic::new("a.b").expect("a topic");
        assert_eq!(topic.clone().as_bytes().as_ptr(), topic.as_bytes().as_ptr());
    }
}
