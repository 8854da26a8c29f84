//! Owns the decisions of a seed before the first step: the size of the world, the size of its queues, and the frequency
//! of its events.

use corecast::internals::config::OptionShape as _;
use corecast::internals::limits::{EGRESS_ITEM_BYTES, KEEP_AGE_DEFAULT, KEEP_BYTES_DEFAULT, TURN_STEPS_MAX};
use corecast::internals::shard::{KeepList, Retention, ShardConfig};
use corecast::{OverflowPolicy, QueueBounds};

/// The topics of the world. The first [`TOPICS_OWNED`] have one publisher each, so that missing messages can be counted
/// at their place of the stream; any client publishes on the others.
pub(crate) const TOPICS: [&str; 8] = ["x.0", "x.1", "x.2", "y.0", "y.1", "y.2", "x.s", "y.s"];

/// The number of topics with a publisher of their own.
pub(crate) const TOPICS_OWNED: usize = 6;

/// The filters of subscriptions: exact names, patterns, and (for a second one with the same start) prefixes.
pub(crate) const FILTERS: [&str; 14] = [
    "x.0",
    "x.1",
    "x.2",
    "y.0",
    "y.1",
    "y.2",
    "x.s",
    "x.*",
    "y.>",
    ">",
    "*.1",
    "prefix:x.",
    "prefix:",
    "none.here",
];

/// Longest payload, in bytes.
pub(crate) const PAYLOAD_BYTES_MAX: usize = 200;

/// Most messages that a publisher puts into one frame.
pub(crate) const RUN_MESSAGES: usize = 5;

/// The most memory that the gaps of a queue take: one that leaves, one behind it, one at the end.
pub(crate) const GAPS_BYTES_MAX: usize = 3 * (EGRESS_ITEM_BYTES + TOPICS.len() * 200);

/// The decisions of a seed.
#[derive(Clone, Debug)]
pub(crate) struct Plan {
    pub(crate) seed: u64,
    pub(crate) config: ShardConfig,
    /// Items a link between two shards holds.
    pub(crate) link_items: usize,
    /// Bytes that the kernel holds for a client that does not read.
    pub(crate) kernel_bytes: usize,
    /// The most that one turn reads from a publisher, in bytes.
    pub(crate) read_bytes: usize,
    /// Buffers of one vectored send.
    pub(crate) send_slices: usize,
    /// Publishers and subscribers before the first publish.
    pub(crate) publishers: usize,
    pub(crate) subscribers: usize,
    /// Steps before the end begins.
    pub(crate) steps: u64,
    /// The number, of 1,000 steps, that start or stop a client's reading.
    pub(crate) stalls: u32,
    /// Nobody leaves and nobody is thrown out before the end, so that the counters can be exact.
    pub(crate) calm: bool,
    /// True if publishers send gaps of their own, so that more is reported missing than was dropped.
    pub(crate) tells_gaps: bool,
    /// The number, of 1,000 steps, that change the rules of what clients may do, unless it is calm: whoever does what the
    /// rules forbid is refused, or thrown out.
    pub(crate) rule_changes: u32,
    /// The rules are a file of users.
    pub(crate) has_users: bool,
    /// The number, of 1,000 steps, that begin to move sessions from one shard to another.
    pub(crate) moves: u32,
    /// It ends with a drain, not with everybody leaving.
    pub(crate) drains: bool,
    /// Some clients start with the history that the broker keeps.
    pub(crate) has_history: bool,
    /// All messages are kept.
    pub(crate) keeps_all: bool,
}

/// Rules of what is kept. By the first, it is everything; by the last, nothing, and clients ask for it all the same.
const KEPT: [&str; 6] = [">=1h", "x.*=last,y.>=3,>=1h", ">=last", ">=4", "y.>=2", ""];

fn retention(rules: &str) -> Retention {
    let texts: Vec<&str> = rules.split_terminator(',').collect();
    let rules = KeepList::read(&texts).expect("rules");
    Retention::new(rules, KEEP_BYTES_DEFAULT, KEEP_AGE_DEFAULT).expect("few rules")
}

impl Plan {
    /// The plan of a seed.
    pub(crate) fn draw(seed: u64) -> Plan {
        let mut rng = fastrand::Rng::with_seed(seed ^ 0x706c_616e);
        let tight = rng.bool();
        let bounds = if tight {
            QueueBounds { bytes_max: rng.usize(100..4_000), frames_max: rng.usize(1..40) }
        } else {
            QueueBounds { bytes_max: rng.usize(16_000..48_000), frames_max: rng.usize(120..300) }
        };
        // Every policy has its turn as the default; `block` also decides whether clients may ask for it.
        let policies: Vec<OverflowPolicy> = OverflowPolicy::all().collect();
        let overflow = if rng.bool() { OverflowPolicy::Block } else { policies[rng.usize(..policies.len())] };
        let shards = rng.usize(1..=4);
        // In half of the worlds a batch is cut wherever something new comes.
        let mut turns = fastrand::Rng::with_seed(seed ^ 0x7475_726e);
        let turn_steps_max = if turns.bool() { TURN_STEPS_MAX } else { turns.usize(1..60) };
        let mut moves = fastrand::Rng::with_seed(seed ^ 0x706c_6163);
        let mut rules = fastrand::Rng::with_seed(seed ^ 0x7275_6c65);
        let mut history = fastrand::Rng::with_seed(seed ^ 0x6b65_6570);
        let (has_history, kept) = (history.bool(), KEPT[history.usize(..KEPT.len())]);
        Plan {
            seed,
            config: ShardConfig {
                shards,
                bounds,
                overflow,
                epoch: seed,
                turn_steps_max,
                moves: true,
                retention: retention(if has_history { kept } else { "" }),
                ..ShardConfig::default()
            },
            link_items: rng.usize(1..12),
            kernel_bytes: rng.usize(60..3_000),
            read_bytes: rng.usize(40..2_000),
            send_slices: rng.usize(1..=64),
            publishers: rng.usize(1..=4),
            subscribers: rng.usize(1..=8),
            steps: rng.u64(1_000..5_000),
            stalls: [2, 10, 40][rng.usize(..3)],
            calm: rng.bool(),
            tells_gaps: rng.u8(0..4) == 0,
            rule_changes: [0, 2, 10][rules.usize(..3)],
            has_users: rules.bool(),
            moves: [0, 5, 50][moves.usize(..3)],
            drains: rng.bool(),
            has_history,
            keeps_all: has_history && kept == KEPT[0],
        }
    }

    /// True if the newest message of every topic fits behind a batch that has begun to leave, so that `latest` drops
    /// only replaced messages.
    pub(crate) fn has_room_for_every_topic(&self) -> bool {
        let frame_bytes = PAYLOAD_BYTES_MAX + 60 + EGRESS_ITEM_BYTES;
        let topics_bytes = TOPICS.len() * frame_bytes + GAPS_BYTES_MAX;
        self.config.bounds.bytes_max >= topics_bytes + self.batch_held_bytes_max()
            && self.config.bounds.frames_max >= TOPICS.len() + self.batch_bytes_max() / 45
    }

    /// The most bytes that one batch has: a read, and a frame that had begun.
    pub(crate) fn batch_bytes_max(&self) -> usize {
        self.read_bytes + RUN_MESSAGES * (PAYLOAD_BYTES_MAX + 8) + 60
    }

    /// The most memory that it takes in a queue: each of its messages may wait by itself, in a frame of its own.
    pub(crate) fn batch_held_bytes_max(&self) -> usize {
        self.batch_bytes_max() + self.batch_bytes_max() / 8 * (EGRESS_ITEM_BYTES + 50)
    }

    /// A policy for a new client, as its hello asks for it.
    pub(crate) fn draw_policy(&self, rng: &mut fastrand::Rng) -> u8 {
        loop {
            let number = rng.u8(0..=5);
            let policy = OverflowPolicy::from_wire(number).unwrap_or(self.config.overflow);
            let granted = policy != OverflowPolicy::Block || self.config.overflow == OverflowPolicy::Block;
            let ends_nobody = !self.calm || policy != OverflowPolicy::Disconnect;
            if granted && ends_nobody {
                return number;
            }
            if self.calm && self.config.overflow == OverflowPolicy::Disconnect {
                return OverflowPolicy::DropOldest.to_wire();
            }
        }
    }
}
