//! Subscriptions and cancels that a ZeroMQ publisher has not been told yet. Owned by its session.

use ahash::AHashMap;
use bytes::Bytes;

use crate::zmtp::command;

/// Changes that a publisher has not been told, since it does not read those before: of each prefix what it must be told
/// now, if anything. So one that reads nothing holds no more than there are prefixes, however often they come and go.
#[derive(Default, Debug)]
pub(super) struct LatePrefixes {
    changes: AHashMap<Bytes, bool>,
}

impl LatePrefixes {
    pub(super) fn is_empty(&self) -> bool {
        self.changes.is_empty()
    }

    /// A prefix has come to be wanted, or ceased to be. The change before, if it was not told either, was the opposite.
    pub(super) fn add(&mut self, prefix: &[u8], wanted: bool) {
        if self.changes.remove(prefix).is_none() {
            self.changes.insert(Bytes::copy_from_slice(prefix), wanted);
        }
    }

    /// All of them as commands or messages, and how many they are. They count as told.
    pub(super) fn take(&mut self, commands: bool) -> (Bytes, u32) {
        let changes = std::mem::take(&mut self.changes);
        let count = u32::try_from(changes.len()).expect("each has its bytes");
        let each =
            changes.iter().flat_map(|(prefix, wanted)| command::subscription(*wanted, prefix, commands));
        (Bytes::from(each.collect::<Vec<u8>>()), count)
    }
}
