//! Every bound of this crate: its unit, its reason, what it costs, and how it stands to the others. Nobody writes
//! a literal capacity at a call site; options override the ones marked *default*, within the assertions below.

use std::time::Duration;

// ---------------------------------------------------------------- Frames

/// Default for the longest frame body a peer may send, in bytes. 4 MiB carries a compressed camera frame or an
/// order-book snapshot; above that a stream of several messages is kinder to the others. Costs at most this much
/// per connection, and only for bytes that have arrived.
pub const FRAME_BYTES_MAX_DEFAULT: usize = 4 << 20;

/// The most `--frame-bytes-max` may be set to, in bytes: relative pointers in a frame are 32-bit, and one frame
/// should not hold a shard for longer than a tick or two of copying.
pub const FRAME_BYTES_MAX_LIMIT: usize = 256 << 20;

/// The least it may be set to, in bytes: with less, the longest filter, or the longest name in a hello, would be too
/// long for the broker that is to take it.
pub const FRAME_BYTES_MAX_LEAST: usize = 2 << 10;

/// Bytes of the length that stands before each frame body.
pub const LENGTH_BYTES: usize = 4;

/// Longest text in an error frame and longest client name, in bytes: for people, not for data.
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

/// Bytes one turn of a session reads at most. 64 KiB is about what loopback hands over in one go, and a turn of
/// it routes in well under a millisecond, so that neighbours wait no longer than that.
pub const READ_BYTES_PER_TURN: usize = 64 << 10;

/// Frames one turn of a session reads at most: what it kept of the last turn and what it reads now, in the shortest
/// frames that there are (41 bytes of body). They reach a queue together, so no queue may take fewer.
pub const FRAMES_PER_TURN_MAX: usize = (PARTIAL_BYTES_IN_SLAB + READ_BYTES_PER_TURN) / (LENGTH_BYTES + 41);

/// Bytes of a read slab: those of a turn, behind the frame that the turn before had begun.
pub const SLAB_BYTES: usize = PARTIAL_BYTES_IN_SLAB + READ_BYTES_PER_TURN;

/// Whole frames of one turn that are at least so many bytes together take the slab with them, and the next turn has
/// another; fewer are copied out of it. So what waits in queues keeps at most a third more alive than it has bytes.
pub const SLAB_TAKEN_BYTES_MIN: usize = SLAB_BYTES / 4 * 3;

/// A begun frame with more bytes than this here is read into a buffer of its own, which grows with what arrives;
/// a shorter one is copied to the front of the slab, which costs less than a buffer.
pub const PARTIAL_BYTES_IN_SLAB: usize = READ_BYTES_PER_TURN / 4;

/// Longest body of the first frame of a session, a hello, in bytes: the longest name and what is around it, twice. Nobody
/// is known before it, and with this a thousand strangers hold a megabyte.
pub const HELLO_BYTES_MAX: usize = 1 << 10;

/// Bytes of frames longer than [`PARTIAL_BYTES_IN_SLAB`] that have begun and may come to their end, of all sessions of
/// a shard: 16 of the longest by default. Others wait, with one read each; one frame is always let in.
pub const UNFINISHED_BYTES_MAX: usize = 64 << 20;

/// A piece of a batch that is shorter than this is copied for each egress group, which costs less than to share it. A
/// longer one is a slice of the batch until it has to wait.
pub const COPY_BELOW_BYTES: usize = 4 << 10;

// ---------------------------------------------------------------- Egress

/// Default for the most bytes that wait for one session, behind what the kernel has taken, with
/// [`EGRESS_ITEM_BYTES`] for each batch: about a second of a 16 MB/s stream. Frames are shared between queues, so 512
/// stalled sessions of one stream cost this once.
pub const EGRESS_BYTES_MAX_DEFAULT: usize = 16 << 20;

/// Bytes that anything which waits takes beside its own, and counts with them: two allocations (16 each), what is
/// known of the frames (72), and two places in a queue that grows by doubling (16 each), with some to spare for an
/// index by topic.
pub const EGRESS_ITEM_BYTES: usize = 144;

/// Default for the most frames that wait for one session: so that it is known how long the walk through a full queue
/// is.
pub const EGRESS_FRAMES_MAX_DEFAULT: usize = 256 << 10;

/// Bytes of answers (welcome, done, pong, count) that may wait for one session. They are not dropped, so a peer
/// that asks and never reads is closed at this.
pub const CONTROL_BYTES_MAX: usize = 256 << 10;

/// Bytes up to which answers that wait one behind the other are one item, so that a thousand short ones do not count as
/// a thousand items.
pub const JOINED_ANSWERS_BYTES_MAX: usize = 4 << 10;

/// Bytes of what the registry says that are queued for one session before it has read them: news and lists come in
/// parts of this, the next when the last has left. A tenth of a second of a slow link, and far below
/// [`CONTROL_BYTES_MAX`].
pub const NEWS_BYTES_AHEAD: usize = 64 << 10;

/// Lists of publishers that one session may ask for while others are under way: they come one after the other.
pub const LISTS_WAITING_MAX: usize = 64;

/// Topics told apart at one place of a stream; what was missed beyond them is told as one sum.
pub const GAP_TOPICS_MAX: usize = 1024;

/// Bytes that those topics take at the most, with what is known of each; the notices that tell them take as much again
/// while they leave. So a subscriber that is stalled for ever holds no more than this for what it missed.
pub const GAP_BYTES_MAX: usize = 128 << 10;

/// Buffers of one vectored send: above 64 the copy into the kernel costs more than the call.
pub const SEND_SLICES_MAX: usize = 64;

/// Sessions that one turn flushes: at the 10 us that a loopback send takes, 0.6 ms.
pub const FLUSH_SESSIONS_PER_TURN: usize = 64;

/// Bytes one visit sends to one session before the next has its turn.
pub const FLUSH_BYTES_PER_VISIT: usize = 256 << 10;

/// A publisher that was held by a full `block` queue goes on when the queue has drained to this part of its
/// bound: a half, so that it neither starves the subscriber nor wakes for each frame. So does `drop-newest`.
pub const LOW_WATER_DIVISOR: usize = 2;

// ---------------------------------------------------------------- Sessions

/// Subscriptions one session may hold: room for a shared session of a host with tens of thousands of topics.
pub const SUBSCRIPTIONS_PER_SESSION_MAX: usize = 128 << 10;

/// Filters up to which sessions of the same subscriptions share an egress group; a session with more is a group
/// of its own, because comparing long sets on each change costs more than it saves.
pub const GROUP_FILTERS_MAX: usize = 64;

/// Subscriber-count watches one session may hold.
pub const WATCHES_PER_SESSION_MAX: usize = 64;

/// Sessions one shard may hold: a sanity bound above what descriptors allow.
pub const SESSIONS_PER_SHARD_MAX: usize = 1 << 20;

/// Sessions more that a full shard takes at a time, only to say that it is full.
pub const REFUSALS_PER_SHARD_MAX: usize = 64;

/// Topics whose routes a shard caches, the oldest giving way: 64 Ki, about 10 MiB with few targets each, without the
/// topics' own bytes.
pub const ROUTE_CACHE_MAX: usize = 64 << 10;

/// Bytes of the cached topics together: room for [`ROUTE_CACHE_MAX`] of 128 bytes. With the longest ones, which a
/// publisher may make up as it goes, it would be 64 MiB a shard.
pub const ROUTE_CACHE_TOPIC_BYTES_MAX: usize = 8 << 20;

/// Targets of all cached routes together: a topic that thousands of groups want is worth thousands of others. At 4
/// bytes each, 16 MiB a shard.
pub const ROUTE_CACHE_TARGETS_MAX: usize = 4 << 20;

/// Levels up to which a pattern may have its wildcards anywhere: a look-up that goes down both ways at each of them,
/// by name and by `*`, visits 511 nodes of the index at the most, whatever sessions have asked for.
pub const FREE_WILDCARD_LEVELS: usize = 8;

/// Arrangements of wildcards over more levels than that in which one session may have patterns. Names are not
/// limited, only the places of `*` and `>`: real naming schemes use a handful.
pub const WILDCARD_SHAPES_PER_SESSION_MAX: usize = 64;

/// The same for all sessions of a broker together: a look-up follows each at most once, so a topic of 16 levels
/// costs at most 511 + 8 x 512 visits, about half a millisecond.
pub const WILDCARD_SHAPES_MAX: usize = 512;

/// Work that a shard does in one turn before its reactor polls again, in steps of about 100 ns: a visit to a node of
/// the index, a filter filed, a subscriber counted. Batches are cut at this, so that a read full of new topics holds
/// nobody for longer than a read full of messages.
pub const TURN_STEPS_MAX: usize = 10_000;

// ---------------------------------------------------------------- ZeroMQ

/// Longest ZMTP command taken before READY, in bytes: room for metadata that nobody here reads. Later a command may have as
/// many as a message: a subscription is one.
pub const ZMTP_COMMAND_BYTES_MAX: usize = 8 << 10;

/// Longest identity in a READY, in bytes: RFC 37's.
pub const ZMTP_IDENTITY_BYTES_MAX: usize = 255;

/// Longest context of a PING, in bytes: RFC 37's.
pub const ZMTP_PING_CONTEXT_BYTES_MAX: usize = 16;

/// Longest ZMTP message that is passed over for being longer than `--frame-bytes-max`, in bytes: as long as any broker
/// may be told to take. It costs its publisher and its subscribers this one message, and no memory. Longer ones end the
/// connection: such a length is no mistake of a configuration.
pub const ZMTP_SKIPPED_BYTES_MAX: usize = FRAME_BYTES_MAX_LIMIT;

/// Commands that may stand within one message, between its parts: libzmq sends heartbeats there, some a second, and a
/// message has to be whole within [`FRAME_DEADLINE`] and a little.
pub const ZMTP_COMMANDS_WITHIN_MAX: usize = 1024;

/// Bytes of subscriptions that may wait for a ZeroMQ publisher one by one. Of more, only the last change of each prefix
/// waits, until these are read.
pub const ZMTP_UPSTREAM_BYTES_MAX: usize = 1 << 20;

/// Seconds without a word after which the kernel asks whether a ZeroMQ peer's host is there: those of 3.0 cannot be
/// asked otherwise.
pub const ZMTP_KEEPALIVE: Duration = Duration::from_secs(60);

/// Pause before a broker connects again to a direct publisher that its ZeroMQ subscribers want to hear: as long as a
/// client's longest, since nobody waits for it with a message in hand.
pub const RELAY_PAUSE: Duration = RECONNECT_PAUSE_MAX;

// ---------------------------------------------------------------- Registry

/// Default for how long a direct publisher is known without a word from it: long enough for a stall that is none
/// of its fault, short enough that its subscribers hear of its death while they still care.
pub const LEASE_DEFAULT: Duration = Duration::from_secs(5);

/// The least lease that may be chosen: a renewal each third of it, each worth some ticks.
pub const LEASE_MIN: Duration = Duration::from_millis(300);

/// A lease is renewed so often in its time: two renewals may be lost.
pub const RENEWALS_PER_LEASE: u32 = 3;

/// Direct publishers one registry holds, at about 500 bytes each in every shard.
pub const PUBLISHERS_MAX: usize = 64 << 10;

/// Bytes of all their registrations together, as frames carry them: those 500 each.
pub const REGISTRY_BYTES_MAX: usize = PUBLISHERS_MAX * 512;

/// Longest registration, in bytes of endpoints and topics: room for [`ENDPOINTS_PER_PUBLISHER_MAX`] of the longest
/// endpoints and one of the longest topics. A publisher of more registers the filters of the rules that made them
/// direct.
pub const REGISTRATION_BYTES_MAX: usize = 4 << 10;

/// Endpoints of one registration.
pub const ENDPOINTS_PER_PUBLISHER_MAX: usize = 8;

/// Longest endpoint in a registration, in bytes: a host name has 253 at the most, a socket's path 107.
pub const ENDPOINT_BYTES_MAX: usize = 300;

/// Topics one registration lists; a publisher of more registers the filters of the rules that made them direct.
pub const TOPICS_PER_PUBLISHER_MAX: usize = 64;

/// Epochs remembered of publishers that are gone, so that what was sent before they left is known as stale.
pub const GONE_PUBLISHERS_MAX: usize = 64 << 10;

/// Direct publishers that left last of which a shard tells each watch, for subscribers that were away meanwhile: those of
/// a minute in which four a second leave. A registration of each, so 1 MiB at the most, which all shards share.
pub const LEAVERS_MAX: usize = 256;

/// Direct publishers that a session remembers to have heard of: as many as a registry holds.
pub const HEARD_PUBLISHERS_MAX: usize = PUBLISHERS_MAX;

/// How long a publisher whose endpoint is another's tries to register: the default lease, after which one that was
/// killed and started again has its own back, and a second more.
pub const CONTESTED_PATIENCE: Duration = Duration::from_secs(6);

/// The first pause between those, doubled up to [`CONTESTED_PAUSE_MAX`].
pub const CONTESTED_PAUSE: Duration = Duration::from_millis(100);

/// Longest pause between those: twice in the second of [`CONTESTED_PATIENCE`] in which the lease is over.
pub const CONTESTED_PAUSE_MAX: Duration = Duration::from_millis(500);

/// Rules of modes one broker has.
pub const MODE_RULES_MAX: usize = 256;

/// How long the first publish on a direct topic waits for the subscribers that the broker knows of, and a
/// subscription for the direct publishers that are there: connecting takes a thousandth of it on a LAN.
pub const DIRECT_SETTLE: Duration = Duration::from_secs(1);

// ---------------------------------------------------------------- Links

/// Items a link between two shards holds. With batches of up to [`READ_BYTES_PER_TURN`] that is 16 MiB at the
/// most for each pair, and at low rates far more than a tick's worth.
pub const LINK_ITEMS_MAX: usize = 256;

/// Connections and commands that may wait for a shard.
pub const COMMANDS_MAX: usize = 1024;

/// Items one turn of a link's pump takes before the reactor polls again.
pub const LINK_ITEMS_PER_TURN: usize = 16;

/// Shards of one broker: links go from each to each, and the session numbers hold 16 bits of shard.
pub const SHARDS_MAX: usize = 1024;

// ---------------------------------------------------------------- Time

/// The least heartbeat that may be chosen: ten ticks.
pub const HEARTBEAT_MIN: Duration = Duration::from_millis(100);

/// How long a taken address is asked for again: after `kill -9` the kernel was seen to keep one for 15 ms.
pub const ADDRESS_IN_USE_RETRY: Duration = Duration::from_secs(1);

/// The pause between those.
pub const ADDRESS_IN_USE_RETRY_PAUSE: Duration = Duration::from_millis(20);

/// Default interval at which a silent client says that it lives. 9,000 idle subscribers at 15 s are 600 frames a
/// second, measured to cost 1 % of a core.
pub const HEARTBEAT_DEFAULT: Duration = Duration::from_secs(15);

/// The part of the time between two moments in which a shard hears the time that counts for deadlines, at the most. A
/// shard hears it each 80 ms when it rests; beyond that it was stopped, or busy, and could hear nobody: that is no
/// peer's fault, and no lease's. Not more than [`HEARTBEAT_MIN`], so that one such moment is at most one heartbeat.
pub const HEARING_GAP_MAX: Duration = Duration::from_millis(100);

const _: () = assert!(HEARING_GAP_MAX.as_millis() <= HEARTBEAT_MIN.as_millis());

/// Heartbeats that may be missed before a session is given up: one lost, one late, one for luck.
pub const HEARTBEATS_MISSED_MAX: u32 = 3;

/// Heartbeats without a word after which a publish that finds no room takes its broker for gone: one that holds a publisher
/// back, as `block` does, says a word with each heartbeat, and one may be late.
pub const HEARTBEATS_UNHEARD_MAX: u32 = 2;

const _: () = assert!(HEARTBEATS_UNHEARD_MAX <= HEARTBEATS_MISSED_MAX);

/// From the accept to the end of the hello: a LAN round trip takes a thousandth of this.
pub const HANDSHAKE_DEADLINE: Duration = Duration::from_secs(5);

/// From a frame's first byte to its last, for frames that fit one read; see [`FRAME_BYTES_PER_SEC_MIN`].
pub const FRAME_DEADLINE: Duration = Duration::from_secs(10);

/// Longer frames get a second more for each of these: 64 KiB/s is slower than any link that this is used on.
pub const FRAME_BYTES_PER_SEC_MIN: u64 = 64 << 10;

/// How long a frame that is longer than [`PARTIAL_BYTES_IN_SLAB`] may take to grow by [`FRAME_STEP_BYTES`]: so long a
/// pause is no network's, and what has come of it is held meanwhile.
pub const FRAME_STALL: Duration = Duration::from_secs(5);

/// The same while others wait for what it holds.
pub const FRAME_STALL_CROWDED: Duration = Duration::from_secs(1);

/// Bytes by which it grows in that time at the least: those of a read.
pub const FRAME_STEP_BYTES: usize = READ_BYTES_PER_TURN;

/// How long `corecast pub` goes on after a signal, for the broker to take what was sent: within the 10 s that supervisors
/// give.
pub const INTERRUPTED_MAX: Duration = Duration::from_secs(5);

/// How long a closed session may take to read its farewell, and a finished publisher to be read to the end.
pub const LINGER: Duration = Duration::from_secs(2);

/// Default for how long a stopping broker goes on flushing.
pub const DRAIN_DEFAULT: Duration = Duration::from_secs(5);

/// Sessions are looked at for deadlines once in so many ticks (of 10 ms): deadlines are seconds, a tenth is sharp.
pub const SWEEP_TICKS: usize = 10;

/// First wait after a failed accept for want of descriptors; doubles up to [`ACCEPT_BACKOFF_MAX`]. The end of a session
/// ends it at once.
pub const ACCEPT_BACKOFF_MIN: Duration = Duration::from_millis(10);

/// Longest wait between accepts for want of descriptors.
pub const ACCEPT_BACKOFF_MAX: Duration = Duration::from_secs(1);

/// Descriptors that accepted connections leave to scrapes, look-ups of names, files and direct publishers, at most; it
/// is an eighth of a limit of open files below 256. Outgoing connections leave half of them.
pub const OPEN_FILES_RESERVED_MAX: u64 = corecast_executors::OPEN_FILES_RESERVED_MAX;

/// Connections one turn accepts before the reactor polls again.
pub const ACCEPTS_PER_TURN: usize = 64;

/// Length of a listener's queue of connections not yet accepted; the kernel cuts it to `net.core.somaxconn`.
pub const LISTEN_BACKLOG: i32 = 4096;

// ---------------------------------------------------------------- HTTP

/// Connections of `/metrics` and `/health` that may be open: some scrapers and probes, each with one. At the bound the
/// oldest gives way to the newest, so that nobody keeps the others out by holding connections.
pub const HTTP_CONNECTIONS_MAX: usize = 64;

/// From the accept to the last byte of the answer: Prometheus gives up after 10 s, too.
pub const HTTP_CONVERSATION_MAX: Duration = Duration::from_secs(10);

/// Bytes of a request that are gathered: what HTTP servers commonly allow for a head, ten times what Prometheus sends.
pub const HTTP_HEAD_BYTES_MAX: usize = 8 << 10;

/// Header lines of a request; Prometheus sends seven.
pub const HTTP_HEADERS_MAX: usize = 64;

/// A shard that has not turned for so long is reported by `/health`. One that rests turns every 80 ms, and the longest
/// frame that may be chosen holds one for some hundred: more than this is a fault, or a host without CPU to give.
pub const SHARD_SILENCE_MAX: Duration = Duration::from_secs(3);

// ---------------------------------------------------------------- Logs

/// Log lines that wait for whoever reads stderr; with some 200 bytes a line, 200 KiB. More are dropped and counted: a
/// reader that is late by a burst loses none, one that is stuck costs no more memory than this.
pub const LOG_LINES_MAX: usize = 1024;

/// How long the end of a command, or its last words before that, waits for whoever reads stderr.
pub const STDERR_PATIENCE: Duration = Duration::from_secs(1);

// ---------------------------------------------------------------- Names

/// Host names that are looked up at once, each on a thread: a name server that does not answer holds one for 20 s and
/// more.
pub const LOOK_UPS_MAX: usize = 32;

/// Host names that wait for such a thread; more are an error at once.
pub const LOOK_UPS_WAITING_MAX: usize = 1024;

/// How long listening waits for the addresses of a host name: as long as a first connection is tried.
pub const LOOK_UP_TIMEOUT: Duration = CONNECT_TIMEOUT_DEFAULT;

// ---------------------------------------------------------------- Client

/// Most events that a subscriber takes from a full queue before the session that was held is read again: as many as are
/// handed over at four times. With half of a long queue a slow subscriber would hold a publisher under `block` for minutes.
pub const CLIENT_QUEUE_FRAMES_FREED: usize = 1 << 10;

/// The same, in bytes.
pub const CLIENT_QUEUE_BYTES_FREED: usize = 1 << 20;

/// Longest body of a frame that a client takes from a broker before its welcome, in bytes, and the least that it takes
/// after: that of its mode rules, each as long as a filter can be. Longer ones than the welcome allows it never takes.
pub const WELCOME_BYTES_MAX: usize = MODE_RULES_MAX * (TOPIC_BYTES_MAX + 16) + 1024;

/// Default for how long the first connection is tried: scripts start broker and clients side by side.
pub const CONNECT_TIMEOUT_DEFAULT: Duration = Duration::from_secs(5);

/// First pause before connecting again, doubled up to [`RECONNECT_PAUSE_MAX`], each drawn between half and whole.
pub const RECONNECT_PAUSE_MIN: Duration = Duration::from_millis(20);

/// Events of a connection that wait for a watcher, and the newest: of a broker that comes and goes ten times, all.
pub const CONNECTION_EVENTS_MAX: usize = 20;

/// How long a client is silent about a broker after a line that its connection is lost, while the reason is the same:
/// hundreds of sessions may lose it together, and one may lose it again and again.
pub const LOSS_TOLD_AGAIN_AFTER: Duration = Duration::from_secs(10);

/// The time between two events that say that a session is slow: people and graphs look once a second at the most.
pub const SLOW_TOLD_AGAIN_AFTER: Duration = Duration::from_secs(1);

/// Longest pause before connecting again: a quarter of the 2 s in which clients must be back.
pub const RECONNECT_PAUSE_MAX: Duration = Duration::from_millis(500);

/// Longest pause before a subscriber connects again to a direct publisher that does not answer: as long as the broker
/// believes in one that has died. A publisher that registers again is tried at once.
pub const DIAL_PAUSE_MAX: Duration = LEASE_DEFAULT;

/// Connections to direct publishers that one executor makes at a time, and those that begin at once after a rest: more
/// than there are on a usual host, and a fraction of the usual 1,024 descriptors.
pub const DIALS_MAX: usize = 256;

/// Connections to direct publishers that one executor begins in a second: each that is refused was measured to cost 0.3 ms,
/// so that any number of publishers at closed ports takes half a core.
pub const DIALS_PER_SEC: usize = 1_600;

/// How long one attempt to connect may take before the next: a LAN answers in a thousandth of this.
pub const CONNECT_ATTEMPT: Duration = Duration::from_secs(1);

/// Topics published since the last acknowledgement that a session remembers, to tell their subscribers of a gap
/// should the connection be lost; at this many it asks for an acknowledgement.
pub const UNACKED_TOPICS_MAX: usize = 1024;

/// How often a publishing session asks for an acknowledgement, so that a lost connection tells a gap to few.
pub const ACK_PERIOD: Duration = Duration::from_millis(500);

/// Default for the events that wait for one subscriber in its own process.
pub const CLIENT_QUEUE_FRAMES_DEFAULT: usize = 64 << 10;

/// Default for their bytes: a second of a 64 MB/s stream, and what an application hardly notices. Without it as many
/// of the longest frames were 256 GiB.
pub const CLIENT_QUEUE_BYTES_DEFAULT: usize = 64 << 20;

/// Bytes a publisher's session gathers before `publish` waits for the kernel.
pub const PUBLISH_BYTES_MAX: usize = 256 << 10;

/// Default for how long a publish waits for room while there is no connection to the broker: longer than a broker takes to
/// be started again, and short enough that whoever publishes hears of a broker that does not come back.
pub const PUBLISH_TIMEOUT_DEFAULT: Duration = Duration::from_secs(30);

/// How long dropping a publisher that was not closed waits for what it has published: as long as a connection takes to end
/// in order at the most, since whoever drops it did not ask to wait.
pub const DROP_LINGER: Duration = LINGER;

/// How long closing a publisher waits for the broker to take what was published.
pub const CLOSE_TIMEOUT_DEFAULT: Duration = Duration::from_secs(30);

/// How much later than its deadline a thread gives up a question to its client executor: the task that works on the answer
/// has the same deadline, looks at it with each tick, and can say more than that it has passed. Five ticks.
pub const ANSWER_GRACE: Duration = Duration::from_millis(50);

/// Messages of one publisher's thread that its executor takes before the reactor polls again.
pub const PUBLISHES_PER_TURN: usize = 256;

/// Events handed to a subscriber's thread at a time, at the most.
pub const EVENTS_PER_HANDOVER: usize = 256;

/// Bytes after which a hand-over takes no more events: 16 of them are 4 MiB, and a message each.
pub const EVENT_BYTES_PER_HANDOVER: usize = 256 << 10;

/// Hand-overs that may wait for a subscriber's thread; more wait in its queue.
pub const HANDOVERS_MAX: usize = 16;

/// Bytes of payload after which an application's thread asks its client executor whether those before have been taken
/// over: with the limit of messages alone, 4,096 of 4 MiB were 16 GiB.
pub const PUBLISH_BYTES_AHEAD: usize = 4 * PUBLISH_BYTES_MAX;

/// Messages that may wait between an application's thread and its client executor.
pub const PUBLISH_ITEMS_MAX: usize = 4096;

const _: () = {
    assert!(
        FRAME_BYTES_MAX_DEFAULT <= FRAME_BYTES_MAX_LIMIT && FRAME_BYTES_MAX_LEAST <= FRAME_BYTES_MAX_DEFAULT
    );
    // A queue must take the largest frame and one more turn's batch, or `drop-oldest` could never deliver it.
    assert!(EGRESS_BYTES_MAX_DEFAULT >= 2 * FRAME_BYTES_MAX_DEFAULT + READ_BYTES_PER_TURN);
    assert!(EGRESS_FRAMES_MAX_DEFAULT >= 2 * FRAMES_PER_TURN_MAX);
    assert!(2 * JOINED_ANSWERS_BYTES_MAX < CONTROL_BYTES_MAX);
    assert!(SLAB_TAKEN_BYTES_MIN <= READ_BYTES_PER_TURN); // a full read is not copied
    assert!(COPY_BELOW_BYTES < READ_BYTES_PER_TURN);
    assert!(HELLO_BYTES_MAX >= TEXT_BYTES_MAX + 128);
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
