//! The configuration of all shards of one process. Read by every part, changed by none.

use std::sync::Arc;
use std::time::Duration;

use crate::auth::{Permissions, TicketSigner};
use crate::fanout::{OverflowPolicy, QueueBounds};
use crate::ids::PublisherId;
use crate::limits::{
    FRAME_BYTES_MAX_DEFAULT, HEARTBEAT_DEFAULT, HELLO_BYTES_MAX, LEASE_DEFAULT, SESSIONS_PER_SHARD_MAX,
    TICKET_BYTES_MAX, TURN_STEPS_MAX,
};
use crate::registry::ModeRules;
use crate::topic::Filter;
use crate::wire::FRAME_BODY_BYTES_MIN;
use crate::zmtp::Offers;

use super::history::Retention;
use super::passwords_waiting::PasswordsWaiting;
use super::stranger_bounds::StrangerBounds;

/// The configuration that all shards of a broker or of a direct publisher share: made at start-up, never changed but for its permissions.
#[derive(Clone, Debug)]
pub struct ShardConfig {
    /// The number of shards.
    pub shards: usize,
    /// Bounds of each egress queue.
    pub bounds: QueueBounds,
    /// Longest frame body taken, in bytes.
    pub frame_bytes_max: usize,
    /// Policy of sessions that ask for none; `Block` is granted only if it is this.
    pub overflow: OverflowPolicy,
    /// Carriers of the broker: neighbours of each shard, behind the last of the shards.
    pub carriers: usize,
    /// They join others, of whom nothing is known yet: everything goes there from the first message on, until they say that it need
    /// not.
    pub carriers_meet: bool,
    /// They store what the rules of history keep: it goes there from the first message on, whoever wants it.
    pub carriers_store: bool,
    /// Settings that clients are told.
    pub heartbeat: Duration,
    /// Tells one start of the broker from the next.
    pub epoch: u64,
    /// Which topics go direct.
    pub modes: Arc<ModeRules>,
    /// The time for which a direct publisher stays registered without a word.
    pub lease: Duration,
    /// Sessions that each takes.
    pub sessions_max: usize,
    /// Connections that each takes whose peers have not said hello.
    pub strangers: StrangerBounds,
    /// Places for passwords that wait to be checked, of all shards together.
    pub passwords_waiting: PasswordsWaiting,
    /// These are the shards of a direct publisher, not of a broker: its id. They take messages from it alone, and
    /// keep no registry.
    pub direct: Option<PublisherId>,
    /// The rules of what sessions may do, until there are others: the only part that may change.
    pub permissions: Permissions,
    /// The key by which the broker signs tickets to its direct publishers, should it have users. `None`: it has none.
    pub tickets: Option<Arc<TicketSigner>>,
    /// The history that is kept.
    pub retention: Retention,
    /// Steps of work in one turn; see [`TURN_STEPS_MAX`].
    pub turn_steps_max: usize,
    /// Sessions move away from a shard that does not get its core.
    pub moves: bool,
    /// Mechanisms by which ZeroMQ sockets may come.
    pub zmtp_offers: Offers,
    /// ZeroMQ publishers may come: what is wanted is kept as they are told it.
    pub zmtp_publishers: bool,
    /// ZeroMQ publishers hear each subscription, not only the first of its prefix.
    pub zmtp_verbose: bool,
    /// ZeroMQ subscribers may come: direct publishers are relayed to them.
    pub zmtp_subscribers: bool,
    /// Topics of which ZeroMQ subscribers have the last message first, as far as it is kept.
    pub zmtp_last: Arc<[Filter]>,
}

impl ShardConfig {
    /// The number of logs of history that share its bytes: one for each shard, and one for each carrier.
    pub(super) fn logs(&self) -> usize {
        self.shards + self.carriers
    }

    /// Longest body of the first frame of a session, in bytes: a hello; at a direct publisher there may be a ticket before it.
    pub(crate) fn first_frame_bytes_max(&self) -> usize {
        match self.direct {
            Some(_) => FRAME_BODY_BYTES_MIN + TICKET_BYTES_MAX,
            None => HELLO_BYTES_MAX,
        }
    }
}

impl Default for ShardConfig {
    fn default() -> Self {
        ShardConfig {
            shards: 1,
            carriers: 0,
            carriers_meet: false,
            carriers_store: false,
            bounds: QueueBounds::default(),
            frame_bytes_max: FRAME_BYTES_MAX_DEFAULT,
            overflow: OverflowPolicy::default(),
            heartbeat: HEARTBEAT_DEFAULT,
            epoch: 0,
            modes: Arc::default(),
            lease: LEASE_DEFAULT,
            sessions_max: SESSIONS_PER_SHARD_MAX,
            strangers: StrangerBounds::default(),
            passwords_waiting: PasswordsWaiting::default(),
            direct: None,
            permissions: Permissions::all(),
            tickets: None,
            retention: Retention::default(),
            turn_steps_max: TURN_STEPS_MAX,
            moves: false,
            zmtp_offers: Offers::default(),
            zmtp_publishers: false,
            zmtp_verbose: false,
            zmtp_subscribers: false,
            zmtp_last: Arc::default(),
        }
    }
}
