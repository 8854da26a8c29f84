//! Owns what all dialects share: the role of a session, the sink of what its peer says, and how text is read.

use crate::swarm::topics::FilterName;

/// The end of a session that this is.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Role {
    /// Receives.
    Subscriber(Wanted),
    /// Sends.
    Publisher,
}

/// The wishes of a session's subscribers.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Wanted {
    /// Number of subscribers that share the connection.
    pub subscribers: u32,
    /// The filters of each of them.
    pub filters: Vec<FilterName>,
    /// Bytes of each topic's name.
    pub topic_bytes: usize,
}

/// Takes what a peer has said.
pub trait Sink {
    /// A subscriber's subscription is in force, as far as the peer says so; a publisher may send.
    fn ready(&mut self);
    /// A message.
    fn message(&mut self, payload: &[u8]);
    /// The peer says that messages are missing: on which topic and how many, if it says that.
    fn gap(&mut self, topic: &[u8], missed: Option<u64>);
}

/// A peer's answer that makes no sense, or is a refusal.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("{0}")]
pub struct DialectError(String);

/// The bytes of whole things at the start of what was read.
pub type Taken = Result<usize, DialectError>;

/// The end of what was done at a peer's word.
pub(super) type Obeyed = Result<(), DialectError>;

impl DialectError {
    pub(super) fn new(text: impl Into<String>) -> Self {
        DialectError(text.into())
    }

    /// The first of these bytes, for people.
    pub(super) fn of(what: &str, bytes: &[u8]) -> Self {
        const SHOWN_BYTES: usize = 60;
        let shown = String::from_utf8_lossy(&bytes[..bytes.len().min(SHOWN_BYTES)]);
        DialectError(format!("{what}: `{}`", shown.escape_debug()))
    }
}

/// The line at the start of `bytes`, without its CR LF, and how many bytes it takes with it.
pub(super) fn line(bytes: &[u8]) -> Option<(&[u8], usize)> {
    let end = bytes.iter().position(|byte| *byte == b'\n')?;
    let text = bytes[..end].strip_suffix(b"\r").unwrap_or(&bytes[..end]);
    Some((text, end + 1))
}

/// A decimal number, and nothing else.
pub(super) fn decimal(digits: &[u8]) -> Option<usize> {
    if digits.is_empty() || digits.len() > 9 {
        return None;
    }
    digits
        .iter()
        .try_fold(0, |number, digit| digit.is_ascii_digit().then(|| number * 10 + usize::from(digit - b'0')))
}
