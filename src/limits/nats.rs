//! Bounds of the connection to an engine.

use std::time::Duration;

use super::FRAME_BYTES_MAX_DEFAULT;

/// Most addresses of `--engine`, and of servers that those tell of: a cluster of NATS has three or five of them.
pub const ENGINE_SERVERS_MAX: usize = 32;

/// Longest file of `--engine-credentials`, in bytes: a token of NATS with hundreds of rights has 30 KiB.
pub const ENGINE_CREDENTIALS_BYTES_MAX: usize = 128 << 10;

/// Time between two pings of an engine's server. Two that are not answered end the connection, so that a network that is cut off
/// is seen after 2 to 3 s; with the 60 s of the library it was 179 s.
pub const ENGINE_PING_PERIOD: Duration = Duration::from_secs(1);

/// Time for one attempt to connect to a server of an engine, TLS and login included.
pub const ENGINE_CONNECT_MAX: Duration = Duration::from_secs(3);

/// Time for a question that a server of an engine answers itself. A server that takes longer is as good as away; a stopped one
/// keeps its connections, and its host takes what is sent.
pub const ENGINE_ROUND_TRIP_MAX: Duration = Duration::from_secs(3);

/// First pause before an engine is tried again, doubled up to [`ENGINE_PAUSE_MAX`]; each is drawn between half and whole.
pub const ENGINE_PAUSE_MIN: Duration = Duration::from_millis(50);

/// Longest pause before an engine is tried again.
pub const ENGINE_PAUSE_MAX: Duration = Duration::from_secs(1);

/// Most messages of one subscription at an engine that wait inside the client library, which drops what comes beyond. The
/// library takes all that its socket has in one turn, up to 128 reads of 64 KiB, before ours is next: that many of the shortest
/// messages, of 128 bytes.
pub const ENGINE_INBOX_MAX: usize = 128 * (64 << 10) / 128;

/// Most commands that wait inside the client library. What waits there is lost with the connection, so that it is short; our
/// own queue is the one with a bound in bytes.
pub const ENGINE_COMMANDS_MAX: usize = 64;

/// Most subscriptions at an engine, and so of notes that one of them has something: the cover of what a broker's sessions want is
/// far smaller.
pub const ENGINE_SUBSCRIPTIONS_MAX: usize = 1 << 17;

/// Most events of a connection to an engine that wait to be seen: more are of the same kinds.
pub const ENGINE_EVENTS_MAX: usize = 64;

/// Rounds of the engine's task in one turn, in each of which it takes a turn's share of the link of each shard. Behind a turn the
/// other tasks of the control thread have theirs.
pub const ENGINE_ROUNDS_PER_TURN: usize = 16;

/// Looks at all that has arrived from an engine, one after the other, in one round: a second one is rare.
pub const ENGINE_LOOKS_PER_TURN: usize = 4;

/// Time that the end of a broker waits for its goodbye to reach the engine. Without one the other brokers notice its silence.
pub const ENGINE_GOODBYE_MAX: Duration = Duration::from_millis(500);

const _: () = assert!(super::ENGINE_BUFFER_BYTES_DEFAULT >= 2 * FRAME_BYTES_MAX_DEFAULT);
const _: () = assert!(ENGINE_PAUSE_MIN.as_nanos() < ENGINE_PAUSE_MAX.as_nanos());
