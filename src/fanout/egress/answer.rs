//! Answers that wait for one session, one behind the other. Owned by its egress queue.

use bytes::Bytes;

use crate::limits::{EGRESS_ITEM_BYTES, JOINED_ANSWERS_BYTES_MAX};

/// Frames that are not dropped.
#[derive(Clone, Debug)]
pub(crate) struct Answer {
    bytes: Written,
    pub(crate) frames: u32,
}

#[derive(Clone, Debug)]
enum Written {
    /// Some short ones.
    Own(Vec<u8>),
    /// A long one, which other sessions may have as well.
    Shared(Bytes),
}

impl Answer {
    pub(crate) fn new(encoded: Bytes, frames: u32) -> Self {
        let short = encoded.len() <= JOINED_ANSWERS_BYTES_MAX;
        let bytes = if short { Written::Own(encoded.into()) } else { Written::Shared(encoded) };
        Answer { bytes, frames }
    }

    /// Takes what follows it in, if both are short together. It must not have begun to leave.
    pub(crate) fn join(&mut self, next: &Answer) -> bool {
        let Written::Own(bytes) = &mut self.bytes else { return false };
        if bytes.len() + next.bytes().len() > JOINED_ANSWERS_BYTES_MAX {
            return false;
        }
        bytes.extend_from_slice(next.bytes());
        self.frames += next.frames;
        true
    }

    pub(crate) fn bytes(&self) -> &[u8] {
        match &self.bytes {
            Written::Own(bytes) => bytes,
            Written::Shared(bytes) => bytes,
        }
    }

    pub(crate) fn into_bytes(self) -> Bytes {
        match self.bytes {
            Written::Own(bytes) => bytes.into(),
            Written::Shared(bytes) => bytes,
        }
    }

    /// Memory that it takes in a queue, in bytes, if nobody shares it.
    pub(crate) fn held_bytes(&self) -> usize {
        self.bytes().len() + EGRESS_ITEM_BYTES
    }
}
