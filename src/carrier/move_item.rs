//! Messages between shards about sessions that move from one to another.

use crate::auth::Identity;
use crate::fanout::{OverflowPolicy, PackedEgress};
use crate::ids::{Neighbour, SessionId, SessionNumber, ShardId, SubscriberId};
use crate::telemetry::SessionTally;
use crate::topic::Filter;
use crate::wire::Features;

/// The degree to which a shard gets its core.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub enum Strain {
    /// It has room for sessions of others.
    #[default]
    Free,
    /// It has enough to do.
    Busy,
    /// Something else has its core for most of the time that the shard could run.
    Starved,
}

/// A step of a move, in order with all else on its link.
#[derive(Clone, Debug)]
pub enum MoveItem {
    /// The strain of the sender has changed.
    Strain(Strain),
    /// Sessions of the sender would move to the receiver.
    Prepare {
        /// The sessions.
        travellers: Vec<Traveller>,
    },
    /// The answer to `Prepare`: every neighbour knows that the receiver of the sessions wants what they want.
    Ready {
        /// A place for each session, in order; `None`: there is none, and it stays.
        places: Vec<Option<SessionId>>,
    },
    /// These places are not needed: their sessions stay, or have ended.
    Cancel {
        /// Places at the receiver.
        places: Vec<SessionId>,
    },
    /// A session has left the sender, which has delivered all that came before its cut. Its connection follows by itself.
    Arrive {
        /// Its place at the receiver.
        place: SessionId,
        /// The state that it brings.
        luggage: Box<Luggage>,
    },
    /// To the shard where a session came first: this is where it is now.
    Moved {
        /// Its number there.
        number: SessionNumber,
        /// Where it is: the shard, and its place there. `None`: it has ended.
        to: Option<(ShardId, SessionId)>,
    },
}

/// The part of a session's state that does not change while it moves: nothing is read from it meanwhile.
#[derive(Clone, Debug)]
pub struct Traveller {
    /// The peer.
    pub identity: Identity,
    /// The name that its client gives itself.
    pub client: Option<Box<str>>,
    /// The features that its greeting has offered.
    pub features: Features,
    /// Its overflow policy.
    pub policy: OverflowPolicy,
    /// Its number, from the shard where it came first.
    pub number: SessionNumber,
    /// Its filters, each with the subscribers that asked for it.
    pub filters: Vec<(Filter, Vec<SubscriberId>)>,
}

/// The part of a session's state that changes until it leaves.
#[derive(Clone, Debug)]
pub struct Luggage {
    /// All that waits for it.
    pub egress: PackedEgress,
    /// The publishers that its full queue holds, each with its shard.
    pub holds: Vec<(Neighbour, SessionId)>,
    /// Its counts.
    pub tally: SessionTally,
}

/// A cut through the streams of all publishers. Each neighbour passes it on to all others once, when it first hears of it,
/// and what it says before and behind that is divided by it: sessions that move get the one part from the shard that they
/// leave, the other from the shard that they come to.
///
/// Whatever a message from behind the cut leads to is behind it as well, since the cut travels ahead on every link: so a
/// publisher that moves meanwhile, or comes back on another shard, keeps its order.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Cut {
    /// The shard that the sessions leave.
    pub from: ShardId,
    /// Counts the cuts of that shard, from 1.
    pub number: u64,
    /// The shard that they come to.
    pub to: ShardId,
    /// The sessions, each as the one and as the other shard knows it.
    pub passengers: Vec<(SessionId, SessionId)>,
}
