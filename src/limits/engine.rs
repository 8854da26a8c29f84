//! Bounds of what brokers exchange over an engine. Part of `limits`.

use std::time::Duration;

use super::{PARCEL_BYTES_MAX, TOPIC_BYTES_MAX};

/// Bytes of the head of each payload at the engine.
pub const ENGINE_HEAD_BYTES: usize = 32;

/// Longest name of a cluster, in bytes: it stands in every subject, which are at most 4 KiB at the engine.
pub const ENGINE_CLUSTER_BYTES_MAX: usize = 64;
const _: () = assert!(ENGINE_CLUSTER_BYTES_MAX + TOPIC_BYTES_MAX + 16 < 4 << 10);

/// Bytes of frames from which a crossing is not made longer. A longer frame still crosses whole, if the engine's own limit
/// of payloads permits.
pub const ENGINE_CROSSING_BYTES_MAX: usize = PARCEL_BYTES_MAX;

/// Longest payload of words between brokers, in bytes: well below the limit of payloads that engines have by default, 1 MiB.
pub const ENGINE_WORD_BYTES_MAX: usize = 64 << 10;
const _: () = assert!(ENGINE_WORD_BYTES_MAX > 8 * TOPIC_BYTES_MAX);

/// Words that wait to leave, in bytes. More only gather if the connection takes nothing; brokers repeat what was lost of them.
pub const ENGINE_WORDS_BYTES_MAX: usize = 8 << 20;

/// Default for the messages that wait to leave while the engine is away or slow, in bytes; the oldest are given up for the
/// newest. 64 MiB is 2 s of a link of 250 Mbit/s.
pub const ENGINE_BUFFER_BYTES_DEFAULT: usize = 64 << 20;

/// Messages that have come and wait until shards take them, in bytes: the time for which a subscriber with the policy `block`
/// may pause. What comes beyond that is dropped, and told as a gap.
pub const ENGINE_LANDED_BYTES_MAX: usize = 16 << 20;

/// Crossings that wait until all channels have been looked at, in bytes. Beyond that a jump is believed without a look.
pub const ENGINE_HELD_BYTES_MAX: usize = 4 << 20;

/// Memory that a waiting crossing takes beside its bytes.
pub const ENGINE_ITEM_BYTES: usize = 128;

/// Topics of which a broker keeps the position up to which it has sent: those that were published last. 64 Ki of them take
/// some 10 MiB with topics of 64 bytes.
pub const ENGINE_TOPICS_MAX: usize = 64 << 10;

/// Topics, over all brokers, of which the position is kept up to which they have come. Brokers that publish as many as they
/// can take four of these shares.
pub const ENGINE_HEARD_MAX: usize = 4 * ENGINE_TOPICS_MAX;

/// Batches of one shard that wait for a carrier, in bytes: a thread that is held up for 2 s misses nothing at 8 MB/s. The oldest are
/// given up, down to half of it. No publisher waits for a carrier.
pub const CARRIER_WAITING_BYTES_MAX: usize = 16 << 20;

/// Topics of batches that were given up whose messages are counted each: others are told to miss some. With as many as the engine
/// knows positions of, these would be forgotten soon anyway.
pub const CARRIER_GIVEN_UP_TOPICS_MAX: usize = ENGINE_TOPICS_MAX;

/// Other brokers that are known. A foreign client that makes up more pushes out those that have left.
pub const ENGINE_PEERS_MAX: usize = 1 << 10;

/// Filters of one other broker.
pub const ENGINE_FILTERS_MAX: usize = 64 << 10;

/// Filters of which a broker tells the others. With more of them it wants everything, and drops what nobody here asks for.
pub const ENGINE_OWN_FILTERS_MAX: usize = ENGINE_FILTERS_MAX / 2;

/// Those among them that are no topics: each change of one is compared with all others, which takes 1 ms with so many.
pub const ENGINE_OWN_PATTERNS_MAX: usize = 4 << 10;
const _: () = assert!(ENGINE_OWN_PATTERNS_MAX < ENGINE_OWN_FILTERS_MAX);

/// Topics of which a broker wants the subscribers of the others counted; those beyond count for nothing.
pub const ENGINE_WATCHES_MAX: usize = 64 << 10;

/// Starts of brokers that were known and are forgotten, which are known again if they come back.
pub const ENGINE_FORGOTTEN_MAX: usize = 4 * ENGINE_PEERS_MAX;

/// The interval at which the state of the engine hears of time.
pub const ENGINE_TICK: Duration = Duration::from_millis(100);

/// The interval of a broker's signs of life, of its true round trips, and of its questions for words that were lost.
pub const ENGINE_BEAT: Duration = Duration::from_secs(1);

/// The silence after which another broker counts as away: subscriptions here do not wait for it any more. Two beats may be lost.
pub const ENGINE_SILENCE_MAX: Duration = Duration::from_secs(4);
const _: () = assert!(ENGINE_SILENCE_MAX.as_millis() > 3 * ENGINE_BEAT.as_millis());

/// The time for which the interest of a broker that is away is kept, so that the messages that it misses are counted.
pub const ENGINE_PEER_KEPT: Duration = Duration::from_secs(600);

/// The time for which subscriptions wait after a connection is made until other brokers, which may not be known, have
/// answered.
pub const ENGINE_SETTLE: Duration = Duration::from_millis(500);

/// The time for which messages wait after a connection is made until all brokers that were there before have said that they are
/// back.
pub const ENGINE_RETURN_MAX: Duration = Duration::from_secs(2);

/// The quiet of a topic after which its position is told, so that a lost last message is seen to be missing. It is told again
/// after twice as long, and so on up to [`ENGINE_PROBE_MAX`].
pub const ENGINE_PROBE_AFTER: Duration = Duration::from_secs(1);

/// See [`ENGINE_PROBE_AFTER`].
pub const ENGINE_PROBE_MAX: Duration = Duration::from_secs(16);

/// Topics whose positions are told in one tick, at most: 4 Ki of them are some 400 KiB of words.
pub const ENGINE_PROBES_PER_TICK: usize = 4 << 10;

/// Most memory of messages that wait to be stored, or for the confirmation of that, in bytes: the oldest are given up, and counted.
/// Some seconds of 4 MB/s while a store is away. A broker that loads them puts as much in order: none is stored farther behind later
/// ones of its topic.
pub const ENGINE_STORE_BYTES_MAX: usize = 16 << 20;

/// Most payloads that are on their way into stores: 128 in each round trip of 0.1 to 0.2 ms, and their answers have room in
/// the channel of answers.
pub const ENGINE_STORES_IN_FLIGHT_MAX: usize = 128;

/// Payloads that are asked of a store at once. Each may be as long as the engine takes.
pub const ENGINE_LOAD_BATCH: usize = 16;

/// Longest time for which a broker that starts waits for its history: subscriptions are confirmed, and it says that it is ready, when
/// that is there, or without it after this. A server that starts with the same host is there by then.
pub const ENGINE_LOAD_MAX: Duration = Duration::from_secs(60);
const _: () = assert!(ENGINE_LOAD_MAX.as_secs() >= 10 * ENGINE_SILENCE_MAX.as_secs());

/// Longest time for which a broker that has read its history waits for what others have said meanwhile and the stores do not have yet:
/// they store a moment later than they send, and try again after a beat what was refused. What is missing then is told.
pub const ENGINE_LOAD_LAG_MAX: Duration = Duration::from_secs(5);
const _: () = assert!(ENGINE_LOAD_LAG_MAX.as_secs() >= 4 * ENGINE_BEAT.as_secs());
const _: () = assert!(ENGINE_LOAD_MAX.as_secs() >= 10 * ENGINE_LOAD_LAG_MAX.as_secs());
