//! Owns the grammar of filters: an exact name, a pattern with wildcards, or a prefix of bytes. Subscribers make them,
//! the index stores them.

use std::borrow::Cow;
use std::fmt;
use std::str::FromStr;

use bytes::Bytes;

use super::name::{ALL_THE_REST, ANY_LEVEL, SEPARATOR, check_length, check_levels};
use super::{Topic, TopicError};
use crate::error::{Error, ErrorKind};
use crate::limits::{FREE_WILDCARD_LEVELS, TOPIC_BYTES_MAX, TOPIC_LEVELS_MAX};
use crate::printable::printable;

/// The topics that a subscriber asks for. Cloning is a reference count.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Filter {
    /// The one topic with this name.
    Exact(Topic),
    /// All topics that match these levels.
    Pattern(Pattern),
    /// All topics that begin with these bytes, wherever the dots are, like a ZeroMQ subscription.
    Prefix(Prefix),
}

/// Levels separated by dots, at least one of them a wildcard: `*` is any one level, and `>`, which must be the last, is
/// one or more levels.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Pattern(Bytes);

/// The places of the wildcards in a pattern of more than [`FREE_WILDCARD_LEVELS`] levels. A look-up in the index visits
/// at most one node of a level for each shape, however many patterns have that shape.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Shape {
    /// A bit for each level that is `*`.
    any: u64,
    levels: u8,
    /// True if it ends in `>`.
    is_open: bool,
}

const _: () = assert!(TOPIC_LEVELS_MAX <= u64::BITS as usize, "a shape has a bit for each level");

/// A prefix of up to [`TOPIC_BYTES_MAX`] arbitrary bytes; the empty prefix matches every topic.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Prefix(Bytes);

/// The reason why something is not a filter. Positions are in bytes, from 0.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum FilterError {
    /// A fault that a topic could have, too.
    #[error("not a filter: {0}")]
    Name(#[from] TopicError),
    /// A wildcard that is not alone in its level.
    #[error("not a filter: the '{wildcard}' at byte {at} must stand alone in its level")]
    WildcardNotAlone {
        /// `*` or `>`.
        wildcard: char,
        /// The position of the wildcard.
        at: usize,
    },
    /// A `>` followed by more levels.
    #[error("not a filter: the '>' at byte {at} must be the last level")]
    RestNotLast {
        /// The position of the `>`.
        at: usize,
    },
    /// A prefix longer than [`Topic::BYTES_MAX`].
    #[error("the prefix has {bytes} bytes, and at most {TOPIC_BYTES_MAX} are allowed")]
    PrefixTooLong {
        /// The length of the prefix.
        bytes: usize,
    },
    /// A kind of filter unknown to this version.
    #[error("unknown kind of filter: {kind}")]
    UnknownKind {
        /// The number on the wire.
        kind: u8,
    },
}

impl Filter {
    /// The wire's number for a pattern; an exact name is a pattern without wildcards. 0 is unused, so that a zeroed
    /// frame is not a filter.
    pub const WIRE_PATTERN: u8 = 1;
    /// The wire's number for a byte prefix.
    pub const WIRE_PREFIX: u8 = 2;

    /// A filter as people write it: `prices.eur.usd`, `prices.*.usd`, `prices.>`, `>`.
    ///
    /// # Errors
    /// The fault and its position.
    pub fn parse(text: &str) -> Result<Self, FilterError> {
        Self::pattern(text.as_bytes())
    }

    /// All topics that begin with these bytes, which are copied.
    ///
    /// # Errors
    /// More than [`Topic::BYTES_MAX`] bytes.
    pub fn prefix(bytes: &[u8]) -> Result<Self, FilterError> {
        if bytes.len() > TOPIC_BYTES_MAX {
            return Err(FilterError::PrefixTooLong { bytes: bytes.len() });
        }
        Ok(Filter::Prefix(Prefix(Bytes::copy_from_slice(bytes))))
    }

    /// The filter that every topic matches, whatever its bytes.
    pub(crate) fn everything() -> Self {
        Filter::Prefix(Prefix(Bytes::new()))
    }

    /// A filter from a frame; the bytes are copied.
    ///
    /// # Errors
    /// An unknown kind, or bytes that are not valid for the kind.
    pub fn from_wire(kind: u8, bytes: &[u8]) -> Result<Self, FilterError> {
        match kind {
            Self::WIRE_PATTERN => Self::pattern(bytes),
            Self::WIRE_PREFIX => Self::prefix(bytes),
            kind => Err(FilterError::UnknownKind { kind }),
        }
    }

    /// The number of this kind in [`Filter::from_wire`].
    pub fn wire_kind(&self) -> u8 {
        match self {
            Filter::Exact(_) | Filter::Pattern(_) => Self::WIRE_PATTERN,
            Filter::Prefix(_) => Self::WIRE_PREFIX,
        }
    }

    /// The bytes, as they travel.
    pub fn as_bytes(&self) -> &[u8] {
        match self {
            Filter::Exact(topic) => topic.as_bytes(),
            Filter::Pattern(pattern) => &pattern.0,
            Filter::Prefix(prefix) => &prefix.0,
        }
    }

    /// The filter as text that [`Filter::parse`] reads, for frames that carry filters as lines: bytes that are not
    /// UTF-8 are replaced.
    pub fn text(&self) -> Cow<'_, str> {
        String::from_utf8_lossy(self.as_bytes())
    }

    /// The filter that was probably meant, if a level of this one is a name here but a wildcard elsewhere: MQTT's
    /// `sensors/+/temp` and `sensors/#` are `sensors.*.temp` and `sensors.>`. The original may be intended: topics may
    /// have such names.
    pub fn suggestion(&self) -> Option<String> {
        let text = std::str::from_utf8(self.as_bytes()).ok()?;
        let levels: Vec<&str> = text.split(['/', '.']).filter(|level| !level.is_empty()).collect();
        if !levels.iter().any(|level| matches!(*level, "+" | "#")) {
            return None;
        }
        let ours = levels.iter().map(|level| match *level {
            "+" => "*",
            "#" => ">",
            name => name,
        });
        let meant = ours.collect::<Vec<_>>().join(".");
        Filter::parse(&meant).is_ok().then_some(meant)
    }

    /// The bytes with which every topic begins that matches: those before the first wildcard.
    pub(crate) fn head(&self) -> &[u8] {
        match self {
            Filter::Exact(name) => name.as_bytes(),
            Filter::Pattern(pattern) => pattern.head(),
            Filter::Prefix(prefix) => &prefix.0,
        }
    }

    /// True if a topic matches. The topic may be any bytes: levels are the bytes between dots, and may be empty.
    pub fn matches(&self, topic: &[u8]) -> bool {
        match self {
            Filter::Exact(name) => name.as_bytes() == topic,
            Filter::Pattern(pattern) => pattern.matches(topic),
            Filter::Prefix(prefix) => topic.starts_with(&prefix.0),
        }
    }

    /// The shape of a pattern, if it counts against the limits of shapes.
    pub fn shape(&self) -> Option<Shape> {
        match self {
            Filter::Pattern(pattern) => pattern.shape(),
            Filter::Exact(_) | Filter::Prefix(_) => None,
        }
    }

    fn pattern(bytes: &[u8]) -> Result<Self, FilterError> {
        check_length(bytes)?;
        let mut wildcards = false;
        check_levels(bytes, |level, at| {
            let Some(i) = level.iter().position(|b| matches!(*b, ANY_LEVEL | ALL_THE_REST)) else {
                return Ok(());
            };
            wildcards = true;
            if level.len() > 1 {
                return Err(FilterError::WildcardNotAlone { wildcard: char::from(level[i]), at: at + i });
            }
            if level[i] == ALL_THE_REST && at + 1 < bytes.len() {
                return Err(FilterError::RestNotLast { at });
            }
            Ok(())
        })?;
        if wildcards {
            return Ok(Filter::Pattern(Pattern(Bytes::copy_from_slice(bytes))));
        }
        Ok(Filter::Exact(Topic::new(bytes)?))
    }
}

impl Pattern {
    /// A pattern from bytes that came from a pattern.
    pub(super) fn of_levels(bytes: &[u8]) -> Self {
        Pattern(Bytes::copy_from_slice(bytes))
    }

    /// The levels, wildcards among them.
    pub(super) fn levels(&self) -> impl Iterator<Item = &[u8]> {
        self.0.split(|b| *b == SEPARATOR)
    }

    /// The bytes with which every topic begins that matches: those before the first wildcard.
    pub(super) fn head(&self) -> &[u8] {
        let before = self.levels().take_while(|level| !matches!(level, [ANY_LEVEL] | [ALL_THE_REST]));
        &self.0[..before.map(|level| level.len() + 1).sum::<usize>()]
    }

    fn shape(&self) -> Option<Shape> {
        let mut shape = Shape { any: 0, levels: 0, is_open: false };
        for level in self.levels() {
            shape.any |= u64::from(level == [ANY_LEVEL]) << shape.levels;
            shape.is_open = level == [ALL_THE_REST];
            shape.levels += 1;
        }
        (usize::from(shape.levels) > FREE_WILDCARD_LEVELS).then_some(shape)
    }

    fn matches(&self, topic: &[u8]) -> bool {
        let mut there = topic.split(|b| *b == SEPARATOR);
        for asked in self.levels() {
            let Some(level) = there.next() else { return false };
            match asked {
                [ALL_THE_REST] => return true,
                [ANY_LEVEL] => {}
                name if name == level => {}
                _ => return false,
            }
        }
        there.next().is_none()
    }
}

impl Prefix {
    /// The bytes of the prefix.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}

/// `Invalid`, with the same text.
impl From<FilterError> for Error {
    fn from(error: FilterError) -> Self {
        Error::new(ErrorKind::Invalid, error.to_string())
    }
}

impl FromStr for Filter {
    type Err = FilterError;

    fn from_str(text: &str) -> Result<Self, FilterError> {
        Filter::parse(text)
    }
}

impl From<Topic> for Filter {
    fn from(topic: Topic) -> Self {
        Filter::Exact(topic)
    }
}

/// Text for people, escaped where it would act on a terminal. Frames carry [`Filter::text`] or the bytes.
impl fmt::Display for Filter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        printable(self.as_bytes()).fmt(f)
    }
}

impl fmt::Debug for Filter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kind = match self {
            Filter::Exact(_) => "Exact",
            Filter::Pattern(_) => "Pattern",
            Filter::Prefix(_) => "Prefix",
        };
        write!(f, "{kind}({:?})", String::from_utf8_lossy(self.as_bytes()))
    }
}

impl fmt::Debug for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Pattern({:?})", String::from_utf8_lossy(&self.0))
    }
}

impl fmt::Debug for Prefix {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Prefix({:?})", String::from_utf8_lossy(&self.0))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn filter(text: &str) -> Filter {
        Filter::parse(text).expect(text)
    }

    #[test]
    fn wildcards_of_others_have_a_suggestion() {
        for (theirs, ours) in [
            ("#", Some(">")),
            ("+", Some("*")),
            ("sensors.+.temp", Some("sensors.*.temp")),
            ("sensors/+/temp/#", Some("sensors.*.temp.>")),
            ("/sensors/#", Some("sensors.>")),
            ("a.#.b", None),
            ("c#.c++", None),
            ("a.*.>", None),
        ] {
            assert_eq!(filter(theirs).suggestion().as_deref(), ours, "{theirs}");
        }
    }

    #[test]
    fn the_grammar() {
        assert!(matches!(filter("a.b"), Filter::Exact(_)));
        for pattern in ["*", ">", "a.*", "*.b", "a.>", "*.>", "a.*.c.*"] {
            assert!(matches!(filter(pattern), Filter::Pattern(_)), "{pattern}");
        }
        let wrong = |text: &str| Filter::parse(text).expect_err("not a filter");
        assert_eq!(wrong(""), FilterError::Name(TopicError::Empty));
        assert_eq!(wrong("a..b"), FilterError::Name(TopicError::EmptyLevel { at: 2 }));
        assert_eq!(wrong("a b"), FilterError::Name(TopicError::Unprintable { byte: b' ', at: 1 }));
        assert_eq!(wrong("a*.b"), FilterError::WildcardNotAlone { wildcard: '*', at: 1 });
        assert_eq!(wrong("a.**"), FilterError::WildcardNotAlone { wildcard: '*', at: 2 });
        assert_eq!(wrong("a.>b"), FilterError::WildcardNotAlone { wildcard: '>', at: 2 });
        assert_eq!(wrong("a.>.b"), FilterError::RestNotLast { at: 2 });
        assert_eq!(wrong(">.>"), FilterError::RestNotLast { at: 0 });
        let long = "a".repeat(TOPIC_BYTES_MAX + 1);
        assert_eq!(wrong(&long), FilterError::Name(TopicError::TooLong { bytes: TOPIC_BYTES_MAX + 1 }));
    }

    #[test]
    fn wildcards_match_levels() {
        let yes = [
            ("a.b", "a.b"),
            ("*", "a"),
            ("a.*", "a.b"),
            ("*.*", "a.b"),
            ("a.>", "a.b"),
            ("a.>", "a.b.c"),
            (">", "a"),
            (">", "a.b.c"),
            ("*.>", "a.b"),
            // Topics of the ZeroMQ door: any bytes, empty levels too.
            (">", ""),
            ("*", ""),
            ("a.*", "a."),
            ("*.*", "."),
        ];
        for (asked, topic) in yes {
            assert!(filter(asked).matches(topic.as_bytes()), "{asked} {topic}");
        }
        let no = [
            ("a.b", "a.b.c"),
            ("a.b", "a"),
            ("*", "a.b"),
            ("a.*", "a"),
            ("a.*", "a.b.c"),
            ("a.*", "b.b"),
            ("a.>", "a"),
            ("a.>", "ab.c"),
            ("*.>", "a"),
            ("a.*", ""),
        ];
        for (asked, topic) in no {
            assert!(!filter(asked).matches(topic.as_bytes()), "{asked} {topic}");
        }
    }

    #[test]
    fn a_shape_is_the_places_of_the_wildcards_in_a_long_pattern() {
        let shape = |text: &str| filter(text).shape();
        for free in ["a", "*", "*.*.*.*.*.*.*.*", "a.*.b.*.c.*.d.>", "a.b.c.d.e.f.g.h.i.j"] {
            assert_eq!(shape(free), None, "{free}");
        }
        let of = "a.*.c.d.e.f.g.h.i";
        assert!(shape(of).is_some());
        assert_eq!(shape(of), shape("x.*.z.d.e.f.g.h.i"), "names do not count");
        for other in [
            "*.a.c.d.e.f.g.h.i",
            "a.*.c.d.e.f.g.h.*",
            "a.*.c.d.e.f.g.h.>",
            "a.*.c.d.e.f.g.h.i.j",
            "a.b.c.d.e.f.g.h.>",
        ] {
            assert!(shape(other).is_some() && shape(other) != shape(of), "{other}");
        }
    }

    #[test]
    fn prefixes_are_bytes() {
        let prefix = Filter::prefix(b"a.b\xff").expect("any bytes");
        assert!(prefix.matches(b"a.b\xff\0") && prefix.matches(b"a.b\xff"));
        assert!(!prefix.matches(b"a.b"));
        assert!(Filter::prefix(b"").expect("the empty prefix").matches(b""));
        assert!(!Filter::prefix(b"*").expect("no wildcard here").matches(b"a"));
        let over = TOPIC_BYTES_MAX + 1;
        assert_eq!(Filter::prefix(&vec![0; over]), Err(FilterError::PrefixTooLong { bytes: over }));
    }

    #[test]
    fn the_wire_form_leads_back() {
        for there in [filter("a.b"), filter("a.*"), Filter::prefix(b"\0.*").expect("any bytes")] {
            assert_eq!(Filter::from_wire(there.wire_kind(), there.as_bytes()), Ok(there));
        }
        assert_eq!(Filter::from_wire(0, b"a"), Err(FilterError::UnknownKind { kind: 0 }));
        assert!(Filter::from_wire(Filter::WIRE_PATTERN, b"a..b").is_err());
    }

    /// A second implementation of the grammar: whole lists of levels, and recursion.
    fn oracle(asked: &[&[u8]], topic: &[&[u8]]) -> bool {
        match (asked, topic) {
            ([], []) => true,
            ([b">"], [_, ..]) => true,
            ([b"*", asked @ ..], [_, topic @ ..]) => oracle(asked, topic),
            ([a, asked @ ..], [t, topic @ ..]) => a == t && oracle(asked, topic),
            _ => false,
        }
    }

    proptest! {
        #[test]
        fn patterns_agree_with_the_oracle(
            asked in "(a|b|\\*)(\\.(a|b|\\*)){0,4}(\\.>)?",
            topic in prop::collection::vec(prop::sample::select(b"ab..\xff".to_vec()), 0..10),
        ) {
            let levels: Vec<&[u8]> = asked.as_bytes().split(|b| *b == b'.').collect();
            let there: Vec<&[u8]> = topic.split(|b| *b == b'.').collect();
            prop_assert_eq!(filter(&asked).matches(&topic), oracle(&levels, &there));
        }

        #[test]
        fn any_text_is_a_filter_or_an_error(text in "\\PC{0,40}", bytes: Vec<u8>, kind: u8) {
            if let Ok(filter) = Filter::parse(&text) {
                prop_assert_eq!(filter.as_bytes(), text.as_bytes());
            }
            let _ = Filter::from_wire(kind % 4, &bytes);
        }
    }
}
