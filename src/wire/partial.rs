//! The begun item at the end of the received bytes: how much of it is here, and how much is to come.

/// A frame, or a ZeroMQ message or command, that is not whole. The default is the position between two of them.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct Partial {
    /// Bytes of it in memory.
    pub held_bytes: usize,
    /// Bytes of it that have been received: more than are held, while a message that is too long is skipped.
    pub received_bytes: usize,
    /// The least length that it can have.
    pub at_least_bytes: usize,
    /// The greatest length that it may come to in memory. More than the least for a message of parts, of which only the
    /// last part tells that it is the last.
    pub at_most_bytes: usize,
}

impl Partial {
    /// A frame with so many bytes received, of so many in all if its length prefix is among them.
    pub fn frame(received_bytes: usize, announced_bytes: Option<usize>) -> Self {
        let bytes = announced_bytes.unwrap_or(received_bytes);
        Partial { held_bytes: received_bytes, received_bytes, at_least_bytes: bytes, at_most_bytes: bytes }
    }

    /// This one together with another that goes on inside it or beside it.
    pub(crate) fn and(self, other: Partial) -> Self {
        Partial {
            held_bytes: self.held_bytes + other.held_bytes,
            received_bytes: self.received_bytes + other.received_bytes,
            at_least_bytes: self.at_least_bytes.saturating_add(other.at_least_bytes),
            at_most_bytes: self.at_most_bytes.saturating_add(other.at_most_bytes),
        }
    }
}
