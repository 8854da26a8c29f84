//! Bounds of the history that a broker keeps. Part of `limits`.

use std::time::Duration;

use super::{FRAME_BYTES_MAX_LIMIT, TURN_STEPS_MAX};

/// Default for the most bytes of history that all shards keep together: a minute of 1 MB/s, and little beside what a host for a
/// broker has. Nothing is kept without a rule.
pub const KEEP_BYTES_DEFAULT: usize = 64 << 20;

/// Lower bound of `--keep-bytes`, in bytes: some reads of messages for each of 16 shards.
pub const KEEP_BYTES_MIN: usize = 1 << 20;

/// Default for the time for which messages are kept by a rule without a time: what nobody has renewed for a day is no
/// present value any more, and is not to be kept for ever because nobody thought of it.
pub const KEEP_AGE_DEFAULT: Duration = Duration::from_secs(24 * 3600);

/// Most rules of what is kept. Each topic that is kept by none is compared with all of them.
pub const KEEP_RULES_MAX: usize = 64;

/// Bytes that a kept stretch of messages takes besides its own: its description (72), its place in a queue that grows by doubling
/// (80), its record by age (24, twice for those of messages that have given way), and an allocation (16), with some to spare.
pub const KEPT_ITEM_BYTES: usize = 224;

/// Bytes that a topic takes of which something is kept, besides twice its name: its description with the newest stretch (176), its places
/// in two indexes (64 each), what is known of the messages that were given up (416), and allocations.
pub const KEPT_TOPIC_BYTES: usize = 768;

/// Topics of which a shard has given up everything and still knows when the last message came, so that nothing older of another shard
/// is taken for its history: 1 MiB of the longest names.
pub const FORGOTTEN_TOPICS_MAX: usize = 1 << 10;

/// Stretches of messages that a tick takes out because they are too old: a turn's work at the most.
pub const KEPT_LOOKS_PER_TICK: usize = 1_000;

/// Bytes of one answer with history from one shard to another, unless one stretch of messages is longer: what a turn of reading
/// brings. Sessions are sent history in parts of this size, the next one when the last has left.
pub const HISTORY_PAGE_BYTES: usize = 64 << 10;

/// Most topics and stretches of messages that a shard looks at for one such answer: a tenth of a turn.
pub const HISTORY_PAGE_STEPS: usize = TURN_STEPS_MAX / 10;

/// Most subscriptions that start with one `Start`: each topic of which something is kept is compared with all of them.
pub const START_SUBSCRIPTIONS_MAX: usize = 1 << 10;

/// Publishers of a topic of which the messages that were given up are known, so that a client that comes back is told how many it
/// has missed.
pub const GIVEN_UP_PUBLISHERS_MAX: usize = 8;

/// Most positions, each of a publisher and topic, that a client keeps and a session says when it comes back.
pub const POSITIONS_MAX: usize = 64 << 10;

/// Most bytes of their topics: room for all of them with topics of 128 bytes. A queue may hold twice as much.
pub const POSITIONS_BYTES_MAX: usize = 8 << 20;

const _: () = assert!(HISTORY_PAGE_STEPS + KEPT_LOOKS_PER_TICK < TURN_STEPS_MAX);
const _: () = assert!(HISTORY_PAGE_BYTES < FRAME_BYTES_MAX_LIMIT);
const _: () = assert!(KEEP_BYTES_MIN <= KEEP_BYTES_DEFAULT);
