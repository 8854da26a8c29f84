//! Bounds of the moves of sessions from a shard that does not get its core to another. Part of `limits`.

use std::time::Duration;

/// The interval at which a shard asks the kernel how long it ran, and how long it waited for its core: short beside
/// [`STARVED_FOR`], and 3 us of work.
pub const RUN_DELAY_PERIOD: Duration = Duration::from_millis(100);

/// The time over which the share is smoothed for which a shard is busy: as long as most intervals between two scrapes, so that
/// what Prometheus sees stands for the time in between, and 100 of [`RUN_DELAY_PERIOD`].
pub const BUSY_SPAN: Duration = Duration::from_secs(10);

/// Intervals over which these figures are smoothed.
pub const RUN_DELAY_PERIODS: u32 = 8;

/// The share of time, in percent, from which on a shard that waits for its core is starved, if it also waits for
/// [`STARVED_RUNS`] times as long as it runs: a neighbour of the same priority leaves it half.
pub const STARVED_PERCENT: u32 = 30;

/// See [`STARVED_PERCENT`].
pub const STARVED_RUNS: u32 = 4;

/// The share of time, in percent, up to which a shard that waits for its core still has room for sessions of others.
pub const ROOM_WAIT_PERCENT: u32 = 10;

/// The share of time, in percent, up to which a shard that runs still has such room.
pub const ROOM_RUN_PERCENT: u32 = 50;

/// The time for which a shard is starved before its sessions move: a compiler's burst is shorter.
pub const STARVED_FOR: Duration = Duration::from_secs(1);

/// The time for which a shard has had room before sessions return to it. It doubles each time that it is starved again, up
/// to [`RETURN_AFTER_MAX`], and is what it was at first when the shard has had room for that long.
pub const RETURN_AFTER: Duration = Duration::from_secs(30);

/// See [`RETURN_AFTER`].
pub const RETURN_AFTER_MAX: Duration = Duration::from_secs(16 * 60);

/// Most sessions of one move; the next ones follow when these are under way.
pub const MOVED_SESSIONS_MAX: usize = 64;

/// Most filters of the sessions of one move together: each is filed twice on the shard that they leave, and twice on the
/// one that they come to. A session with more than [`GROUP_FILTERS_MAX`](super::GROUP_FILTERS_MAX) stays.
pub const MOVED_FILTERS_MAX: usize = 256;

/// Sessions that a shard looks at in one tick to find those that may move.
pub const MOVE_LOOKS_PER_TICK: usize = 1024;
