//! Owns the sets of labels that a counter may have besides its shard. All of them are bounded: never a topic,
//! never a peer.

use std::fmt;
use std::marker::PhantomData;
use std::ops::{Index, IndexMut};

use crate::error::ErrorCode;

/// Room for the largest set of labels: closes, by the wire's error codes and four more. It costs each counter
/// 256 bytes a shard.
const LABELS_MAX: usize = 32;

const _: () = assert!(DropReason::ALL.len() <= LABELS_MAX);
const _: () = assert!(CloseReason::BEFORE_CODES + ErrorCode::ALL.len() <= LABELS_MAX);

/// A bounded set of labels.
pub trait Label: Copy {
    /// The name of the label.
    const KEY: &'static str;

    /// The position in [`Label::names`].
    fn index(self) -> usize;

    /// The values of the label, in order.
    fn names() -> Vec<&'static str>;
}

/// The reason why a message was not delivered to a subscribed session.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum DropReason {
    /// The egress queue was full, and this was the oldest message in it.
    DropOldest,
    /// The egress queue was full, and this was the new message.
    DropNewest,
    /// A newer message of its topic replaced it.
    Latest,
    /// The session was closed for being slow, with this message in its egress queue.
    Disconnect,
    /// The session ended, or the broker's drain timed out, with this message in its egress queue.
    Draining,
}

impl DropReason {
    /// Every reason.
    pub const ALL: &'static [DropReason] = &[
        DropReason::DropOldest,
        DropReason::DropNewest,
        DropReason::Latest,
        DropReason::Disconnect,
        DropReason::Draining,
    ];

    /// The name in logs and metrics.
    pub fn label(self) -> &'static str {
        match self {
            DropReason::DropOldest => "drop_oldest",
            DropReason::DropNewest => "drop_newest",
            DropReason::Latest => "latest",
            DropReason::Disconnect => "disconnect",
            DropReason::Draining => "draining",
        }
    }
}

impl DropReason {
    /// The reason under which its log line is limited: sessions end for some of the same reasons.
    pub fn log_key(self) -> &'static str {
        match self {
            DropReason::DropOldest => "dropped by drop_oldest",
            DropReason::DropNewest => "dropped by drop_newest",
            DropReason::Latest => "dropped by latest",
            DropReason::Disconnect => "dropped by disconnect",
            DropReason::Draining => "dropped by draining",
        }
    }
}

impl Label for DropReason {
    const KEY: &'static str = "reason";

    fn index(self) -> usize {
        self as usize
    }

    fn names() -> Vec<&'static str> {
        Self::ALL.iter().map(|reason| reason.label()).collect()
    }
}

/// The reason why a session ended.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum CloseReason {
    /// The peer closed it, in order.
    PeerClosed,
    /// The kernel reported an error on the socket.
    IoError,
    /// The handshake of the stream itself, before any byte of a session, failed at the peer or here.
    StreamHandshake,
    /// This end closed it, and sent the peer this code.
    Code(ErrorCode),
}

impl CloseReason {
    /// The reasons that are no code.
    const OWN: [CloseReason; 3] =
        [CloseReason::PeerClosed, CloseReason::IoError, CloseReason::StreamHandshake];

    /// Labels before those of the known codes: the reasons that are none, and the unknown code.
    const BEFORE_CODES: usize = Self::OWN.len() + 1;

    /// The name in logs and metrics.
    pub fn label(self) -> &'static str {
        match self {
            CloseReason::PeerClosed => "peer_closed",
            CloseReason::IoError => "io_error",
            CloseReason::StreamHandshake => "stream_handshake",
            CloseReason::Code(code) => code.label(),
        }
    }
}

impl From<ErrorCode> for CloseReason {
    fn from(code: ErrorCode) -> Self {
        CloseReason::Code(code)
    }
}

impl Label for CloseReason {
    const KEY: &'static str = "reason";

    fn index(self) -> usize {
        match self {
            CloseReason::PeerClosed => 0,
            CloseReason::IoError => 1,
            CloseReason::StreamHandshake => 2,
            CloseReason::Code(code) => {
                let place = ErrorCode::ALL.iter().position(|known| *known == code);
                place.map_or(Self::OWN.len(), |i| i + Self::BEFORE_CODES)
            }
        }
    }

    fn names() -> Vec<&'static str> {
        let own = Self::OWN.iter().map(|reason| reason.label());
        own.chain(["unknown"]).chain(ErrorCode::ALL.iter().map(|code| code.label())).collect()
    }
}

/// One count for each label of a set: `counters.drops[DropReason::Latest] += 1`.
#[derive(Clone, PartialEq, Eq)]
pub struct By<L> {
    counts: [u64; LABELS_MAX],
    label: PhantomData<L>,
}

impl<L: Label> By<L> {
    /// The counts, in the order of [`Label::names`].
    pub fn counts(&self) -> &[u64] {
        &self.counts
    }

    /// The sum over all labels.
    pub fn total(&self) -> u64 {
        self.counts.iter().sum()
    }
}

impl<L> Default for By<L> {
    fn default() -> Self {
        By { counts: [0; LABELS_MAX], label: PhantomData }
    }
}

impl<L: Label> Index<L> for By<L> {
    type Output = u64;

    fn index(&self, label: L) -> &u64 {
        &self.counts[label.index()]
    }
}

impl<L: Label> IndexMut<L> for By<L> {
    fn index_mut(&mut self, label: L) -> &mut u64 {
        &mut self.counts[label.index()]
    }
}

impl<L: Label> fmt::Debug for By<L> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let named = L::names().into_iter().zip(self.counts);
        f.debug_map().entries(named.filter(|(_, count)| *count > 0)).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Every value has a place of its own, and its own name stands there.
    fn each_in_its_place<L: Label>(labels: impl IntoIterator<Item = L>, label: impl Fn(L) -> &'static str) {
        let names = L::names();
        let mut counts = By::<L>::default();
        for one in labels {
            assert_eq!(names[one.index()], label(one));
            assert_eq!(counts[one], 0);
            counts[one] += 1;
        }
        assert_eq!(counts.total(), names.len() as u64);
        let distinct: std::collections::BTreeSet<_> = names.iter().collect();
        assert_eq!(distinct.len(), names.len());
    }

    #[test]
    fn labels_and_places_agree() {
        each_in_its_place(DropReason::ALL.iter().copied(), DropReason::label);
        let codes = ErrorCode::ALL.iter().copied().chain([ErrorCode::Unknown(65_535)]);
        each_in_its_place(
            CloseReason::OWN.into_iter().chain(codes.map(CloseReason::Code)),
            CloseReason::label,
        );
    }
}
