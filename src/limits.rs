//! Every bound of this crate: its unit, its reason, its cost, and its relation to the others. No call site has a
//! literal capacity; options override the *default* ones, within the assertions below.

use std::time::Duration;

mod access;
mod balance;
mod client;
mod engine;
mod history;
mod nats;
mod operators;
mod tls;

pub use access::*;
pub use balance::*;
pub use client::*;
pub use engine::*;
pub use history::*;
pub use nats::*;
pub use operators::*;
pub use tls::*;

// ---------------------------------------------------------------- Frames

/// Default for the longest frame body that a peer may send, in bytes. 4 MiB carries a compressed camera frame or an
/// order-book snapshot; above that, a stream of several messages is kinder to the others. Costs at most this much per
/// connection, and only for bytes that have arrived.
pub const FRAME_BYTES_MAX_DEFAULT: usize = 4 << 20;

/// Upper bound of `--frame-bytes-max`, in bytes: relative pointers in a frame are 32-bit, and one frame should not hold
/// a shard for longer than a tick or two of copying.
pub const FRAME_BYTES_MAX_LIMIT: usize = 256 << 20;

/// Lower bound of `--frame-bytes-max`, in bytes: with less, the longest filter, or the longest name in a hello, would
/// exceed the limit of the broker that has to take it.
pub const FRAME_BYTES_MAX_LEAST: usize = 2 << 10;

/// Bytes of the length prefix of each frame body.
pub const LENGTH_BYTES: usize = 4;

/// Bytes of the number of messages in a run, the frame of several messages of one topic and publisher.
pub const RUN_COUNT_BYTES: usize = 4;

/// Bytes of a message in a run beside its payload: its length and its time.
pub const RUN_MESSAGE_BYTES: usize = 8;

/// Most messages in a run. For a peer that takes no runs each becomes a frame of its own with the whole topic, so that a run
/// of 9 KiB may become 1 MiB, and not more.
pub const RUN_MESSAGES_MAX: usize = 1 << 10;

/// Longest body of the runs that publishers make, in bytes. A frame is passed on once it is whole, so the first message of a
/// long one would wait; and a reader keeps an unfinished frame of this length in its slab.
pub const RUN_BYTES_MAX: usize = 8 << 10;

/// Longest text in an error frame and longest client name, in bytes: they are for people, not for data.
pub const TEXT_BYTES_MAX: usize = 512;

// ---------------------------------------------------------------- Topics

/// Longest topic and longest filter, in bytes. Topics are names, not data: every route that a router caches
/// holds one, and a prefix tree of them is at most this deep. 1 KiB is four times what NATS advises.
pub const TOPIC_BYTES_MAX: usize = 1024;

/// Most levels of a topic or of a pattern. It bounds the depth of the pattern trie, and so its recursion: one
/// stack frame of some 100 bytes a level. Topics that come in through the ZeroMQ door may have more levels;
/// a pattern that ends in `>` still matches them, at no greater depth.
pub const TOPIC_LEVELS_MAX: usize = 64;

const _: () =
    assert!(TOPIC_LEVELS_MAX * 2 <= TOPIC_BYTES_MAX, "a name of that many one-byte levels must fit");

// ---------------------------------------------------------------- Reading

/// Most bytes that one turn of a session reads. 64 KiB is about what loopback hands over in one go, and so much is
/// routed in well under a millisecond, so that neighbours wait no longer than that.
pub const READ_BYTES_PER_TURN: usize = 64 << 10;

/// Bytes for each session to be flushed up to which a flush waits while more input waits, of the session that was read or of
/// others: below that a send costs more than its bytes.
pub const SEND_BYTES_WORTHWHILE: usize = 16 << 10;

/// Longest time that a flush waits for such reads, of all sessions of a shard: as long as a turn of flushing takes, so that no
/// message is late by more. With short queues it is less: what is read ahead takes at most half of one.
pub const READ_AHEAD_MAX: Duration = Duration::from_millis(1);

/// Most messages that one turn of a session reads: the rest of the last turn and what this one reads, in runs of empty
/// messages. They reach a queue together, so no queue may take fewer.
pub const MESSAGES_PER_TURN_MAX: usize = (PARTIAL_BYTES_IN_SLAB + READ_BYTES_PER_TURN) / RUN_MESSAGE_BYTES;

/// Bytes of a read slab: one turn's read, after the frame that the previous turn left unfinished.
pub const SLAB_BYTES: usize = PARTIAL_BYTES_IN_SLAB + READ_BYTES_PER_TURN;

/// Whole frames of one turn that come to at least this many bytes keep the slab, and the next turn gets another; fewer
/// are copied out of it. So queued frames keep at most a third more memory alive than they have bytes.
pub const SLAB_TAKEN_BYTES_MIN: usize = SLAB_BYTES / 4 * 3;

/// Most bytes of an unfinished frame that stay in the slab. A longer one is read into a buffer of its own, which grows
/// with what arrives; a shorter one is copied to the front of the slab, which costs less than a buffer.
pub const PARTIAL_BYTES_IN_SLAB: usize = READ_BYTES_PER_TURN / 4;

/// Least length of a long frame's buffer that is kept when the frame has been taken, for another. A shorter one is had from the
/// allocator's own stock at little cost.
pub const LONG_BUFFER_BYTES_MIN: usize = 128 << 10;

/// Most bytes of such buffers, for each shard and each thread of clients: as much as one slow subscriber may have waiting, so
/// that its frames do not each need new memory.
pub const LONG_BUFFERS_BYTES_MAX: usize = EGRESS_BYTES_MAX_DEFAULT;

/// Ticks without a long frame after which they are given up: a second. A stream of long frames that is slower gains nothing by
/// them.
pub const LONG_BUFFERS_IDLE_TICKS: u32 = 100;
const _: () =
    assert!(FRAME_BYTES_MAX_DEFAULT + READ_BYTES_PER_TURN <= LONG_BUFFERS_BYTES_MAX, "one must fit");

/// Longest body of the first frame of a session, a hello, in bytes: twice the longest name and what surrounds it.
/// Before the hello a peer is a stranger, and with this bound a thousand strangers hold a megabyte.
pub const HELLO_BYTES_MAX: usize = 1 << 10;

/// Most bytes of unfinished frames longer than [`PARTIAL_BYTES_IN_SLAB`], over all sessions of a shard: 16 frames of
/// the default maximum, which a ZeroMQ message of several parts counts as until its last part is announced. Further
/// frames wait, each with one read's worth of bytes; one frame is always let in.
pub const UNFINISHED_BYTES_MAX: usize = 64 << 20;

/// Length below which a piece of a batch is copied for each egress group, behind the short piece before it if there is one,
/// which costs less than sharing it. A longer piece is a slice of the batch until it has to wait.
pub const COPY_BELOW_BYTES: usize = 4 << 10;

// ---------------------------------------------------------------- Egress

/// Default for the most bytes queued for one session beyond what the kernel has taken, with [`EGRESS_ITEM_BYTES`] for
/// each batch: about a second of a 16 MB/s stream. Queues share frames, so 512 stalled sessions of one stream cost this
/// once.
pub const EGRESS_BYTES_MAX_DEFAULT: usize = 16 << 20;

/// Bytes that a queued item takes besides its own, and that count with them: two allocations (16 each), the description
/// of its frames (72), and two places in a queue that grows by doubling (16 each), with some to spare for an index by
/// topic.
pub const EGRESS_ITEM_BYTES: usize = 144;

/// Default for the most frames queued for one session, a frame of several messages counted as so many. It bounds the walk
/// through a full queue.
pub const EGRESS_FRAMES_MAX_DEFAULT: usize = 256 << 10;

/// Most bytes of answers (welcome, done, pong, count) queued for one session. Answers are not dropped, so a peer that
/// asks and never reads is closed at this bound.
pub const CONTROL_BYTES_MAX: usize = 256 << 10;

/// Bytes up to which consecutive queued answers are joined into one item, so that a thousand short ones do not count as
/// a thousand items.
pub const JOINED_ANSWERS_BYTES_MAX: usize = 4 << 10;

/// Bytes of registry news that are queued for one session before it has read them: news and lists come in parts of this
/// size, the next one when the last has left. A tenth of a second of a slow link, and far below [`CONTROL_BYTES_MAX`].
pub const NEWS_BYTES_AHEAD: usize = 64 << 10;

/// Most lists of publishers that one session may have requested at a time: they are sent one after the other.
pub const LISTS_WAITING_MAX: usize = 64;

/// Most topics with a count of their own at one place of a stream; losses of further topics there are reported as one
/// sum.
pub const GAP_TOPICS_MAX: usize = 1024;

/// Most bytes that those topics and their counts take; the gap notices for them take as much again while they are sent.
/// So a subscriber that is stalled for ever holds no more than this for what it missed.
pub const GAP_BYTES_MAX: usize = 128 << 10;

/// Buffers of one vectored send: above 64 the copy into the kernel costs more than the call.
pub const SEND_SLICES_MAX: usize = 64;

/// Sessions that one turn flushes: at the 10 us that a loopback send takes, 0.6 ms.
pub const FLUSH_SESSIONS_PER_TURN: usize = 64;

/// Bytes sent to one session before the next has its turn.
pub const FLUSH_BYTES_PER_VISIT: usize = 256 << 10;

/// The same for a session whose peer reads boxes of CURVE: to close 16 KiB takes about as long as to send 256.
pub const SEALED_BYTES_PER_VISIT: usize = 16 << 10;

/// Room that a shard keeps to close boxes in: for what a visit sends, and a short frame more. For a longer one it is made, and
/// given back.
pub const SEALING_ROOM_BYTES: usize = 4 * SEALED_BYTES_PER_VISIT;

/// Divisor of a queue's bound that gives its low-water mark. A publisher held by a full `block` queue goes on when the
/// queue has drained to half of its bound, so that it neither starves the subscriber nor wakes for each frame.
/// `drop-newest` takes new messages again at the same mark.
pub const LOW_WATER_DIVISOR: usize = 2;

// ---------------------------------------------------------------- Sessions

/// Most subscriptions of one session: room for a shared session of a host with tens of thousands of topics.
pub const SUBSCRIPTIONS_PER_SESSION_MAX: usize = 128 << 10;

/// Most filters of a session that shares an egress group with sessions of the same subscriptions; a session with more
/// is a group of its own, because comparing long sets on each change costs more than it saves.
pub const GROUP_FILTERS_MAX: usize = 64;

/// Most subscriber-count watches of one session.
pub const WATCHES_PER_SESSION_MAX: usize = 64;

/// Most sessions of one shard: a sanity bound above what descriptors allow.
pub const SESSIONS_PER_SHARD_MAX: usize = 1 << 20;

/// Most sessions that a full shard takes on top at a time, only to tell them that it is full.
pub const REFUSALS_PER_SHARD_MAX: usize = 64;

/// Topics whose routes a shard caches; the oldest is evicted. 64 Ki take about 10 MiB with few targets each, without
/// the topics' own bytes.
pub const ROUTE_CACHE_MAX: usize = 64 << 10;

/// Ticks in which a shard looks at each cached route once, and forgets those not used since: 10 to 30 s after their last.
pub const ROUTE_LOOK_TICKS: usize = 1_000;

/// Bytes of all cached topics together: room for [`ROUTE_CACHE_MAX`] of 128 bytes. With the longest topics, which a
/// publisher may make up as it goes, the cache would take 64 MiB a shard.
pub const ROUTE_CACHE_TOPIC_BYTES_MAX: usize = 8 << 20;

/// Targets of all cached routes together: a topic that thousands of groups want costs as much as thousands of others.
/// At 4 bytes each, 16 MiB a shard.
pub const ROUTE_CACHE_TARGETS_MAX: usize = 4 << 20;

/// Levels up to which a pattern may have its wildcards anywhere: a look-up that branches at each level, by name and by
/// `*`, visits at most 511 nodes of the index, whatever sessions have asked for.
pub const FREE_WILDCARD_LEVELS: usize = 8;

/// Most arrangements of wildcards in the longer patterns of one session. Names are not limited, only the places of `*`
/// and `>`: real naming schemes use a handful.
pub const WILDCARD_SHAPES_PER_SESSION_MAX: usize = 64;

/// The same for all sessions of a broker together: a look-up follows each arrangement at most once, so a topic of 16
/// levels costs at most 511 + 8 x 512 visits, about half a millisecond.
pub const WILDCARD_SHAPES_MAX: usize = 512;

/// Most work that a shard does in one turn before its reactor polls again, in steps of about 100 ns: a visit to a node
/// of the index, a filter added, a subscriber counted. Batches are cut at this bound, so that a read full of new topics
/// delays others no longer than a read full of messages.
pub const TURN_STEPS_MAX: usize = 10_000;

// ---------------------------------------------------------------- ZeroMQ

/// Longest ZMTP command taken before READY, in bytes: room for metadata, which is ignored. Later a command may be as
/// long as a message: a subscription is a command.
pub const ZMTP_COMMAND_BYTES_MAX: usize = 8 << 10;

/// Longest identity in a READY, in bytes, from RFC 37.
pub const ZMTP_IDENTITY_BYTES_MAX: usize = 255;

/// Longest file with the CURVE key of a broker, in bytes: two keys of 40 characters, and what those who make such files write
/// around them.
pub const CURVE_KEY_FILE_BYTES_MAX: usize = 8 << 10;

/// Longest context of a PING, in bytes, from RFC 37.
pub const ZMTP_PING_CONTEXT_BYTES_MAX: usize = 16;

/// Longest ZMTP message that is skipped for being longer than `--frame-bytes-max`, in bytes: as long as any broker may
/// be configured to take. Skipping costs its publisher and its subscribers this one message, and no memory. A longer
/// one ends the connection: no configuration mistake explains such a length.
pub const ZMTP_SKIPPED_BYTES_MAX: usize = FRAME_BYTES_MAX_LIMIT;

/// Most commands between the parts of one message: libzmq sends heartbeats there, some a second, and a message has to
/// be whole within little more than [`FRAME_DEADLINE`].
pub const ZMTP_COMMANDS_WITHIN_MAX: usize = 1024;

/// Most bytes of subscriptions queued one by one for a ZeroMQ publisher. Beyond that, only the last change of each
/// prefix is kept until the queue has been read.
pub const ZMTP_UPSTREAM_BYTES_MAX: usize = 1 << 20;

/// Silence after which the kernel probes a ZeroMQ peer's host (TCP keepalive): a 3.0 peer cannot be asked otherwise.
pub const ZMTP_KEEPALIVE: Duration = Duration::from_secs(60);

/// Pause before a broker connects again to a direct publisher that its ZeroMQ subscribers want to hear: as long as a
/// client's longest, since nobody waits for it with a message in hand.
pub const RELAY_PAUSE: Duration = RECONNECT_PAUSE_MAX;

/// Most steps in which a shard looks for a ZeroMQ subscription that a direct publisher may have something for: less than
/// half of a turn, so that many registrations in one turn delay nobody. Beyond it the publisher is connected to.
pub const RELAY_VISITS_MAX: usize = 4_096;
const _: () = assert!(RELAY_VISITS_MAX < TURN_STEPS_MAX / 2);

// ---------------------------------------------------------------- Carriers

/// Most bytes in one parcel to the far end of a joint, unless one frame is longer: as much as a shard reads in one turn.
pub const PARCEL_BYTES_MAX: usize = READ_BYTES_PER_TURN;

/// Bytes in parcels that the far end of a joint has not confirmed, beyond which no other leaves: 1 MiB, which fills a path
/// of 1 Gbit/s and 8 ms. They are kept to be sent again on the next connection.
pub const PARCELS_AHEAD_BYTES_MAX: usize = 1 << 20;
const _: () = assert!(PARCELS_AHEAD_BYTES_MAX >= 4 * PARCEL_BYTES_MAX);

// ---------------------------------------------------------------- Registry

/// Default for how long a direct publisher stays registered without renewing: long enough for a stall that is not its
/// fault, short enough that its subscribers learn of its death while they still care.
pub const LEASE_DEFAULT: Duration = Duration::from_secs(5);

/// Shortest lease that may be configured: it is renewed each third, and each third is worth some ticks.
pub const LEASE_MIN: Duration = Duration::from_millis(300);

/// Renewals sent within one lease: two may be lost.
pub const RENEWALS_PER_LEASE: u32 = 3;

/// Most direct publishers in one registry, at about 500 bytes each in every shard.
pub const PUBLISHERS_MAX: usize = 64 << 10;

/// Most bytes of all registrations together, as frames carry them: those 500 each.
pub const REGISTRY_BYTES_MAX: usize = PUBLISHERS_MAX * 512;

/// Longest registration, in bytes of endpoints and topics: room for [`ENDPOINTS_PER_PUBLISHER_MAX`] of the longest
/// endpoints and one of the longest topics. A publisher with more topics registers the filters of the rules that made
/// them direct.
pub const REGISTRATION_BYTES_MAX: usize = 4 << 10;

/// Most endpoints of one registration.
pub const ENDPOINTS_PER_PUBLISHER_MAX: usize = 8;

/// Longest endpoint in a registration, in bytes: a host name has 253 at the most, a socket's path 107, a fingerprint 72.
pub const ENDPOINT_BYTES_MAX: usize = 340;

/// Most topics of one registration; a publisher with more registers the filters of the rules that made them direct.
pub const TOPICS_PER_PUBLISHER_MAX: usize = 64;

/// Departed publishers whose epochs are remembered, so that a late frame of theirs is recognised as stale.
pub const GONE_PUBLISHERS_MAX: usize = 64 << 10;

/// Departed direct publishers that a shard remembers and reports to each new watch, for subscribers that were away
/// meanwhile: those of a minute in which four a second leave. One registration each, so 1 MiB at the most, which all
/// shards share.
pub const LEAVERS_MAX: usize = 256;

/// Most direct publishers that a broker may name to one session: those of a full registry, and as many that have left it
/// since and are not reported as gone yet.
pub const PUBLISHERS_NAMED_MAX: usize = 2 * PUBLISHERS_MAX;

/// Most bytes of their registrations together, for the same reason.
pub const NAMED_BYTES_MAX: usize = 2 * REGISTRY_BYTES_MAX;

/// Most direct publishers that a session remembers to have been introduced to: as many as a registry holds.
pub const HEARD_PUBLISHERS_MAX: usize = PUBLISHERS_MAX;

/// Time for which a publisher whose endpoint belongs to another keeps trying to register: the default lease, after
/// which one that was killed and restarted gets its own back, and a second more.
pub const CONTESTED_PATIENCE: Duration = Duration::from_secs(6);

/// First pause between those attempts, doubled up to [`CONTESTED_PAUSE_MAX`].
pub const CONTESTED_PAUSE: Duration = Duration::from_millis(100);

/// Longest pause between those attempts: two fit in the second of [`CONTESTED_PATIENCE`] after the lease has expired.
pub const CONTESTED_PAUSE_MAX: Duration = Duration::from_millis(500);

/// Most mode rules of one broker.
pub const MODE_RULES_MAX: usize = 256;

/// Time for which the first publish on a direct topic waits for the subscribers that the broker knows of, and a
/// subscription for the direct publishers that are registered: connecting takes a thousandth of it on a LAN.
pub const DIRECT_SETTLE: Duration = Duration::from_secs(1);

// ---------------------------------------------------------------- Links

/// Items that a link between two shards holds. With batches of up to [`READ_BYTES_PER_TURN`] that is 16 MiB at the most
/// for each pair, and at low rates far more than a tick's worth.
pub const LINK_ITEMS_MAX: usize = 256;

/// Most connections and commands that may wait for a shard.
pub const COMMANDS_MAX: usize = 1024;

/// Items one turn of a link's pump takes before the reactor polls again.
pub const LINK_ITEMS_PER_TURN: usize = 16;

/// Most shards of one broker: links go from each to each, and session numbers have 16 bits for the shard.
pub const SHARDS_MAX: usize = 1024;

// ---------------------------------------------------------------- Time

/// Shortest heartbeat that may be configured: ten ticks.
pub const HEARTBEAT_MIN: Duration = Duration::from_millis(100);

/// Time for which listening on an address in use is retried: after `kill -9` the kernel was seen to keep one for 15 ms.
pub const ADDRESS_IN_USE_RETRY: Duration = Duration::from_secs(1);

/// Pause between those attempts.
pub const ADDRESS_IN_USE_RETRY_PAUSE: Duration = Duration::from_millis(20);

/// Default interval at which a silent client sends a heartbeat. 9,000 idle subscribers at 15 s are 600 frames a second,
/// measured to cost 1 % of a core.
pub const HEARTBEAT_DEFAULT: Duration = Duration::from_secs(15);

/// Most of the time between two looks at the clock that counts towards deadlines. A resting shard looks each 80 ms;
/// beyond that it was stopped, or busy, and could hear nobody: that is no peer's fault, and no lease's. Not more than
/// [`HEARTBEAT_MIN`], so that one such pause is at most one heartbeat.
pub const HEARING_GAP_MAX: Duration = Duration::from_millis(100);

const _: () = assert!(HEARING_GAP_MAX.as_millis() <= HEARTBEAT_MIN.as_millis());

/// Heartbeats that may be missed before a session is given up: one lost, one late, one for luck.
pub const HEARTBEATS_MISSED_MAX: u32 = 3;

/// Heartbeats in silence after which a publish without room gives its broker up: a broker that holds a publisher back,
/// as `block` does, still sends something with each heartbeat, and one may be late.
pub const HEARTBEATS_UNHEARD_MAX: u32 = 2;

const _: () = assert!(HEARTBEATS_UNHEARD_MAX <= HEARTBEATS_MISSED_MAX);

/// Deadline from the accept to the end of the hello: a LAN round trip takes a thousandth of this.
pub const HANDSHAKE_DEADLINE: Duration = Duration::from_secs(5);

/// Deadline from a frame's first byte to its last, for frames that fit one read; see [`FRAME_BYTES_PER_SEC_MIN`].
pub const FRAME_DEADLINE: Duration = Duration::from_secs(10);

/// Lowest rate of longer frames, which get a second more for each of these: 64 KiB/s is slower than any link that this
/// is used on.
pub const FRAME_BYTES_PER_SEC_MIN: u64 = 64 << 10;

/// Time in which a frame longer than [`PARTIAL_BYTES_IN_SLAB`] must grow by [`FRAME_STEP_BYTES`]: no network pauses for
/// so long, and the bytes received so far are held meanwhile.
pub const FRAME_STALL: Duration = Duration::from_secs(5);

/// The same while others wait for the memory that it holds.
pub const FRAME_STALL_CROWDED: Duration = Duration::from_secs(1);

/// Least growth of a frame in that time, in bytes: one read.
pub const FRAME_STEP_BYTES: usize = READ_BYTES_PER_TURN;

/// Time for which `corecast pub` goes on after a signal, for the broker to take what was sent: within the 10 s that
/// supervisors allow.
pub const INTERRUPTED_MAX: Duration = Duration::from_secs(5);

/// Time for a closed session to read its farewell, and for the rest of a finished publisher to be read.
pub const LINGER: Duration = Duration::from_secs(2);

/// Longest wait of a stopping broker for the last messages of clients that it has told, before it takes nothing more: five round
/// trips across a continent.
pub const LAST_CALL_MAX: Duration = Duration::from_millis(500);

/// Default for how long a stopping broker goes on flushing.
pub const DRAIN_DEFAULT: Duration = Duration::from_secs(5);

/// Ticks (of 10 ms) between two checks of the sessions' deadlines: deadlines are seconds, so a tenth is precise enough.
pub const SWEEP_TICKS: usize = 10;

/// First pause after an accept that failed for want of descriptors; doubles up to [`ACCEPT_BACKOFF_MAX`]. It is cut
/// short when a session ends.
pub const ACCEPT_BACKOFF_MIN: Duration = Duration::from_millis(10);

/// Longest pause between accepts for want of descriptors.
pub const ACCEPT_BACKOFF_MAX: Duration = Duration::from_secs(1);

/// Most descriptors that accepted connections leave to scrapes, look-ups of names, files and direct publishers; an
/// eighth of a limit of open files below 256. Outgoing connections leave half of them.
pub const OPEN_FILES_RESERVED_MAX: u64 = corecast_executors::OPEN_FILES_RESERVED_MAX;

/// Connections one turn accepts before the reactor polls again.
pub const ACCEPTS_PER_TURN: usize = 64;

/// Length of a listener's queue of connections not yet accepted; the kernel cuts it to `net.core.somaxconn`.
pub const LISTEN_BACKLOG: i32 = 4096;

/// Most sockets that a process may be started with: far more than options name, and few enough to look at each. A number that
/// is wrong is none of the bytes of memory that its list would take.
pub const INHERITED_SOCKETS_MAX: u32 = 1024;

// ---------------------------------------------------------------- the control thread

/// Tasks that wait to begin on the control thread of a broker, at the most: it has one of these.
pub const CONTROL_TASKS_MAX: usize = 4;

/// Time that the end of a broker waits for its control thread, whose tasks end where they wait: only one that does not wait
/// takes longer, and then the process is not held up by it.
pub const CONTROL_END_MAX: Duration = Duration::from_secs(1);

// ---------------------------------------------------------------- HTTP

/// Most open connections to the HTTP server: some scrapers and probes, each with one. At the bound one of the host with the most
/// gives way to the newest, so that nobody keeps the others out by holding connections; those that have shown the token come last.
pub const HTTP_CONNECTIONS_MAX: usize = 64;

/// Deadline from the accept to the last byte of the answer: Prometheus gives up after 10 s, too.
pub const HTTP_CONVERSATION_MAX: Duration = Duration::from_secs(10);

/// Longest head of a request, in bytes: as HTTP servers commonly allow, and ten times what Prometheus sends.
pub const HTTP_HEAD_BYTES_MAX: usize = 8 << 10;

/// Most header lines of a request; Prometheus sends seven.
pub const HTTP_HEADERS_MAX: usize = 64;

/// Pause before a request that shows no token, or a wrong one, is answered: with all connections somebody tries 128 tokens a
/// second, and a scraper that is set up in a wrong way waits no longer than people notice.
pub const HTTP_REFUSAL_PAUSE: Duration = Duration::from_millis(500);

/// Longest answer of an HTTP server that a command takes, in bytes: as many rows of the API as there may be, each with filters of
/// the greatest length that is shown, all of which are escaped.
pub const HTTP_ANSWER_BYTES_MAX: usize = 32 << 20;
const _: () = assert!(
    API_ROWS_MAX * (CENSUS_FILTERS_SHOWN_MAX * CENSUS_FILTER_BYTES_SHOWN_MAX * 6 + 4_096)
        <= HTTP_ANSWER_BYTES_MAX
);

/// Time without a turn after which `/health` reports a shard. One that rests turns every 80 ms, and a frame of the
/// greatest length that may be configured takes some hundred: longer than this is a fault, or a host without CPU to
/// give.
pub const SHARD_SILENCE_MAX: Duration = Duration::from_secs(3);

/// Time that a broker asks its service manager for when it stops, above that of its drain: to tell clients, join its threads
/// and exit. Well below the 90 s that systemd allows by default.
pub const STOP_MARGIN: Duration = Duration::from_secs(10);

// ---------------------------------------------------------------- Logs

/// Most log lines that wait for the reader of stderr; with some 200 bytes a line, 200 KiB. More are dropped and
/// counted: a reader that lags by a burst loses none, and one that is stuck costs no more memory than this.
pub const LOG_LINES_MAX: usize = 1024;

/// Time for which the end of a command waits for its last lines on stderr to be read.
pub const STDERR_PATIENCE: Duration = Duration::from_secs(1);

// ---------------------------------------------------------------- Names

/// Most host names looked up at once, each on a thread, besides slow ones: a name server that does not answer holds a thread
/// for 20 s and more.
pub const LOOK_UPS_MAX: usize = 32;

/// Time after which a look-up is slow and gives its place to another: a name server that answers takes a tenth of this.
pub const LOOK_UP_SLOW: Duration = Duration::from_secs(1);

/// Most slow look-ups, each on a thread that sleeps; with as many, new ones take the places of those that end.
pub const LOOK_UPS_SLOW_MAX: usize = 256;

/// Most host names that wait for such a thread; one more is an error at once.
pub const LOOK_UPS_WAITING_MAX: usize = 1024;

/// Time for which listening waits for the addresses of a host name: as long as a first connection is tried.
pub const LOOK_UP_TIMEOUT: Duration = CONNECT_TIMEOUT_DEFAULT;

const _: () = {
    assert!(
        FRAME_BYTES_MAX_DEFAULT <= FRAME_BYTES_MAX_LIMIT && FRAME_BYTES_MAX_LEAST <= FRAME_BYTES_MAX_DEFAULT
    );
    // A queue must take the largest frame and one more turn's batch, or `drop-oldest` could never deliver it.
    assert!(EGRESS_BYTES_MAX_DEFAULT >= 2 * FRAME_BYTES_MAX_DEFAULT + READ_BYTES_PER_TURN);
    assert!(EGRESS_FRAMES_MAX_DEFAULT >= 2 * MESSAGES_PER_TURN_MAX);
    assert!(RUN_BYTES_MAX + LENGTH_BYTES <= PARTIAL_BYTES_IN_SLAB);
    assert!(2 * JOINED_ANSWERS_BYTES_MAX < CONTROL_BYTES_MAX);
    assert!(SLAB_TAKEN_BYTES_MIN <= READ_BYTES_PER_TURN); // a full read is not copied
    assert!(COPY_BELOW_BYTES < READ_BYTES_PER_TURN);
    assert!(HELLO_BYTES_MAX >= TEXT_BYTES_MAX + 128 && HELLO_BYTES_MAX >= TOKEN_BYTES_MAX + 128);
    assert!(UNFINISHED_BYTES_MAX >= 16 * FRAME_BYTES_MAX_DEFAULT);
    assert!(FRAME_STEP_BYTES as u64 <= FRAME_STALL.as_secs() * FRAME_BYTES_PER_SEC_MIN);
    assert!(FLUSH_BYTES_PER_VISIT >= READ_BYTES_PER_TURN);
    assert!(SEND_SLICES_MAX <= 1024); // IOV_MAX
    assert!(
        ENDPOINTS_PER_PUBLISHER_MAX * (ENDPOINT_BYTES_MAX + 1) + TOPIC_BYTES_MAX <= REGISTRATION_BYTES_MAX
    );
    assert!(WELCOME_BYTES_MAX >= 2 * REGISTRATION_BYTES_MAX);
    assert!(2 * NEWS_BYTES_AHEAD + REGISTRATION_BYTES_MAX <= CONTROL_BYTES_MAX);
    assert!(
        CONTESTED_PATIENCE.as_millis() >= LEASE_DEFAULT.as_millis() + 2 * CONTESTED_PAUSE_MAX.as_millis()
    );
    assert!(ZMTP_COMMAND_BYTES_MAX >= TOPIC_BYTES_MAX + 16); // a name and a prefix
};
