//! The rule for a session's egress queue that is full. Read by the queue, chosen by broker and client.

use std::fmt;
use std::str::FromStr;

use crate::error::{Error, ErrorKind};
use crate::limits::{EGRESS_BYTES_MAX_DEFAULT, EGRESS_FRAMES_MAX_DEFAULT};
use crate::printable::printable;

/// The rule for a subscriber that does not keep up.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Default, Debug)]
pub enum OverflowPolicy {
    /// The oldest messages that wait are dropped and told: the subscriber sees the newest.
    #[default]
    DropOldest,
    /// New messages are dropped and told until half of the queue has left: the subscriber sees an unbroken past,
    /// one gap, and goes on from there.
    DropNewest,
    /// Only the newest message of each topic waits: the subscriber sees the current state.
    Latest,
    /// The session is closed, with the reason.
    Disconnect,
    /// Nothing is dropped: the publisher is slowed down. The only policy that can touch anyone else.
    Block,
}

impl OverflowPolicy {
    /// Every policy with its name, in the order of the numbers on the wire, which begin at 1.
    const NAMES: [(OverflowPolicy, &'static str); 5] = [
        (OverflowPolicy::DropOldest, "drop-oldest"),
        (OverflowPolicy::DropNewest, "drop-newest"),
        (OverflowPolicy::Latest, "latest"),
        (OverflowPolicy::Disconnect, "disconnect"),
        (OverflowPolicy::Block, "block"),
    ];

    /// Every policy.
    pub fn all() -> impl Iterator<Item = OverflowPolicy> {
        Self::NAMES.iter().map(|(policy, _)| *policy)
    }

    /// Its name in options, logs and metrics.
    pub fn name(self) -> &'static str {
        Self::NAMES[self.to_wire() as usize - 1].1
    }

    /// Its number on the wire.
    pub fn to_wire(self) -> u8 {
        match self {
            OverflowPolicy::DropOldest => 1,
            OverflowPolicy::DropNewest => 2,
            OverflowPolicy::Latest => 3,
            OverflowPolicy::Disconnect => 4,
            OverflowPolicy::Block => 5,
        }
    }

    /// The policy of that number, if there is one.
    pub fn from_wire(number: u8) -> Option<Self> {
        Self::NAMES.get(usize::from(number).checked_sub(1)?).map(|(policy, _)| *policy)
    }
}

impl fmt::Display for OverflowPolicy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for OverflowPolicy {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        let found = Self::NAMES.iter().find(|(_, name)| *name == text);
        found.map(|(policy, _)| *policy).ok_or_else(|| {
            let names: Vec<_> = Self::NAMES.iter().map(|(_, name)| *name).collect();
            let text = printable(text);
            let text = format!("`{text}` is no overflow policy; it is one of {}", names.join(", "));
            Error::new(ErrorKind::Invalid, text)
        })
    }
}

/// The bounds of what may wait for one session.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct QueueBounds {
    /// Bytes, behind what the kernel has taken.
    pub bytes_max: usize,
    /// Frames, of which one of several messages counts as so many.
    pub frames_max: usize,
}

impl Default for QueueBounds {
    fn default() -> Self {
        QueueBounds { bytes_max: EGRESS_BYTES_MAX_DEFAULT, frames_max: EGRESS_FRAMES_MAX_DEFAULT }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_numbers_go_both_ways() {
        for policy in OverflowPolicy::all() {
            assert_eq!(policy.name().parse::<OverflowPolicy>().unwrap(), policy);
            assert_eq!(OverflowPolicy::from_wire(policy.to_wire()), Some(policy));
        }
        assert_eq!(OverflowPolicy::from_wire(0), None);
        assert_eq!(OverflowPolicy::from_wire(6), None);
        assert!("oldest".parse::<OverflowPolicy>().unwrap_err().to_string().contains("drop-oldest"));
    }
}
