//! Bounds of clients.

use std::time::Duration;

use super::{LEASE_DEFAULT, LINGER, MODE_RULES_MAX, TOPIC_BYTES_MAX};

/// Events that a subscriber takes from a full queue before the held session is read again, at the most: those of four
/// hand-overs. With half of a long queue a slow subscriber would hold a publisher under `block` for minutes.
pub const CLIENT_QUEUE_FRAMES_FREED: usize = 1 << 10;

/// The same, in bytes.
pub const CLIENT_QUEUE_BYTES_FREED: usize = 1 << 20;

/// Longest body of a frame that a client takes from a broker before its welcome, in bytes: that of its mode rules, each
/// as long as a filter can be. After the welcome it takes no less, and nothing longer than the welcome allows.
pub const WELCOME_BYTES_MAX: usize = MODE_RULES_MAX * (TOPIC_BYTES_MAX + 16) + 1024;

/// Default for how long the first connection is tried: scripts start broker and clients side by side.
pub const CONNECT_TIMEOUT_DEFAULT: Duration = Duration::from_secs(5);

/// First pause before connecting again, doubled up to [`RECONNECT_PAUSE_MAX`]; each is drawn between half and whole.
pub const RECONNECT_PAUSE_MIN: Duration = Duration::from_millis(20);

/// Most events of a connection that wait for a watcher, besides the newest: all of a broker that comes and goes ten
/// times.
pub const CONNECTION_EVENTS_MAX: usize = 20;

/// Shortest time between two log lines about the same loss of a broker's connection for the same reason: hundreds of
/// sessions may lose it together, and one may lose it again and again.
pub const LOSS_TOLD_AGAIN_AFTER: Duration = Duration::from_secs(10);

/// Shortest time between two events about a slow session: people and graphs look once a second at the most.
pub const SLOW_TOLD_AGAIN_AFTER: Duration = Duration::from_secs(1);

/// Longest pause before connecting again: a quarter of the 2 s in which clients must be back.
pub const RECONNECT_PAUSE_MAX: Duration = Duration::from_millis(500);

/// Longest pause before a subscriber connects again to a direct publisher that does not answer: as long as the broker
/// keeps the lease of one that has died. A publisher that registers again is tried at once.
pub const DIAL_PAUSE_MAX: Duration = LEASE_DEFAULT;

/// Most connections to direct publishers that one executor opens at a time, and that begin at once after a rest: more
/// than there are on a usual host, and a fraction of the usual 1,024 descriptors.
pub const DIALS_MAX: usize = 256;

/// Most connections to direct publishers that one executor begins in a second: 20,000 refused ones once took 6.6 s of CPU,
/// 0.3 ms each, so that any number of publishers at closed ports takes half a core.
pub const DIALS_PER_SEC: usize = 1_600;

/// Most connections to direct publishers that one executor begins in a second after one that failed, however many do not
/// answer: 20,000 at closed ports take three hundredths of a core, and each is tried every 200 s. Those that have failed less
/// go first.
pub const DIALS_AGAIN_PER_SEC: usize = 100;

/// Lines of a log about direct publishers that cannot be reached, or whose streams were cut off, in
/// [`LOSS_TOLD_AGAIN_AFTER`]: the others are counted in one line.
pub const LOSSES_TOLD_MAX: usize = 32;

/// Most addresses of brokers of one client: those of a large cluster, which one client tries one after the other within seconds.
/// A broker that is about to end names as many at the most.
pub const BROKERS_MAX: usize = 16;

/// The time for which a client that goes to another broker hears both, after its subscriptions there are in force, and before that
/// the old one alone: brokers may be behind one another by as much. A hundred times as long as a message takes over an engine.
pub const OVERLAP_SETTLE: Duration = Duration::from_millis(250);

/// The time after which it hears the old one no longer, in any case, and its subscribers are told a gap: as long as a connection is
/// heard out at the end.
pub const OVERLAP_MAX: Duration = LINGER;

/// The time for which it knows afterwards what the old one has brought: the new one may be behind.
pub const OVERLAP_MEMORY: Duration = OVERLAP_MAX;

/// Most bytes of the new one that wait meanwhile; beyond that its subscribers are told a gap.
pub const OVERLAP_BYTES_MAX: usize = 4 << 20;

/// Most topics of publishers of which it knows what the old one has brought: as many as there may be unacknowledged.
pub const OVERLAP_TOPICS_MAX: usize = 65_536;

/// Default timeout of one attempt to connect: a LAN answers in a thousandth of this.
pub const CONNECT_ATTEMPT_DEFAULT: Duration = Duration::from_secs(1);

/// Topics published since the last acknowledgement that a session remembers, to report a gap to their subscribers
/// should the connection be lost; at this many it asks for an acknowledgement.
pub const UNACKED_TOPICS_MAX: usize = 1024;

/// Interval at which a publishing session asks for an acknowledgement, so that a lost connection means a gap for few
/// subscribers.
pub const ACK_PERIOD: Duration = Duration::from_millis(500);

/// Default for the most events queued for one subscriber in its own process.
pub const CLIENT_QUEUE_FRAMES_DEFAULT: usize = 64 << 10;

/// Default for their bytes: a second of a 64 MB/s stream, which an application hardly notices. Without this bound a
/// queue of the longest frames could take 256 GiB.
pub const CLIENT_QUEUE_BYTES_DEFAULT: usize = 64 << 20;

/// Most bytes that a publisher's session gathers before `publish` waits for the kernel.
pub const PUBLISH_BYTES_MAX: usize = 256 << 10;

/// Default for how long a publish waits for room while there is no connection to the broker: longer than a broker takes
/// to restart, and short enough to report a broker that does not come back.
pub const PUBLISH_TIMEOUT_DEFAULT: Duration = Duration::from_secs(30);

/// Time for which dropping a publisher that was not closed waits for its messages to leave: the longest that an orderly
/// end of a connection takes, since the caller did not ask to wait.
pub const DROP_LINGER: Duration = LINGER;

/// Default for how long closing a publisher waits for the broker to take what was published.
pub const CLOSE_TIMEOUT_DEFAULT: Duration = Duration::from_secs(30);

/// Time after its deadline at which a thread gives up on an answer of its client executor: the task that works on the
/// answer has the same deadline, checks it with each tick, and can give a better error. Five ticks.
pub const ANSWER_GRACE: Duration = Duration::from_millis(50);

/// Messages of one publisher's thread that its executor takes before the reactor polls again.
pub const PUBLISHES_PER_TURN: usize = 256;

/// Most events handed to a subscriber's thread at a time.
pub const EVENTS_PER_HANDOVER: usize = 256;

/// Bytes after which a hand-over takes no more events: 16 of them are 4 MiB, and a message each.
pub const EVENT_BYTES_PER_HANDOVER: usize = 256 << 10;

/// Most hand-overs that wait for a subscriber's thread; further events stay in its queue.
pub const HANDOVERS_MAX: usize = 16;

/// Bytes of payload after which an application's thread waits until its client executor has taken the previous ones:
/// with the limit of messages alone, 4,096 of 4 MiB could take 16 GiB.
pub const PUBLISH_BYTES_AHEAD: usize = 4 * PUBLISH_BYTES_MAX;

/// Most messages that wait between an application's thread and its client executor.
pub const PUBLISH_ITEMS_MAX: usize = 4096;
