//! Bounds of what operators ask of a running broker.

use std::time::Duration;

/// Sessions that a shard looks at for an operator in one turn: far below the millisecond that a look may cost in one turn.
pub const CENSUS_SESSIONS_PER_TURN: usize = 512;

/// Topics that a shard counts for an operator in one turn: a look-up each, together as long as for the sessions.
pub const CENSUS_TOPICS_PER_TURN: usize = 1_024;

/// Most sessions and topics of which a shard gives the details in one turn: their filters are copied.
pub const CENSUS_DETAILS_PER_TURN: usize = 128;

/// Filters of a session that are shown; of the others there is the number.
pub const CENSUS_FILTERS_SHOWN_MAX: usize = 8;

/// Shortest time between two counts of all sessions: all who ask meanwhile get the same one, so that readers cost the shards
/// nothing. Rates are over this time at the least.
pub const CENSUS_PERIOD: Duration = Duration::from_millis(500);

/// Time for which a count is kept for the rates of the next one: twice the usual time between two looks of a page or a script.
pub const CENSUS_KEPT: Duration = Duration::from_secs(10);
const _: () = assert!(CENSUS_KEPT.as_millis() >= 4 * CENSUS_PERIOD.as_millis());

/// Time for which a count waits for shards: one that is held up for longer is left out, and found by `/healthz`.
pub const CENSUS_ANSWER_MAX: Duration = Duration::from_secs(2);

/// Time for which something has to wait for a session until it counts as slow: longer than any flood that it can take, and a
/// person would notice.
pub const SLOW_AFTER: Duration = Duration::from_secs(1);

/// Most sessions of a shard that have become slow and wait to be named in the log, one a second: of others there is the number.
pub const SLOW_UNNAMED_MAX: usize = 60;

/// Most users that have a label of their own in the metrics of a shard: the others share one.
pub const SLOW_USERS_MAX: usize = 100;

/// Requests for a count that wait, over all connections to the HTTP server, and readers of the live page.
pub const CENSUS_ASKS_MAX: usize = 128;

/// Bytes of a filter that are shown, of the 1,024 that it may have: what is longer ends with three dots.
pub const CENSUS_FILTER_BYTES_SHOWN_MAX: usize = 256;

/// Most readers of live events: some people with a page open. They have places of their own, and take none from scrapers; one more
/// is told that there is no room.
pub const EVENT_READERS_MAX: usize = 16;

/// Time between two live events: twice the time between two counts, so that each has news.
pub const EVENT_PERIOD: Duration = Duration::from_secs(1);
const _: () = assert!(EVENT_PERIOD.as_millis() >= 2 * CENSUS_PERIOD.as_millis());

/// Time for which a reader of live events may take none until its connection ends.
pub const EVENT_STALL_MAX: Duration = Duration::from_secs(30);

/// Rows of an answer of the API, if the request does not say how many.
pub const API_ROWS_DEFAULT: usize = 100;

/// Most rows of an answer of the API: 1 MiB of usual sessions.
pub const API_ROWS_MAX: usize = 1_000;

/// Default for the time over which clients are sent to another broker: ten thousand of them are two thousand connections a second
/// there.
pub const DRAIN_SPREAD_DEFAULT: Duration = Duration::from_secs(5);

/// The interval at which some more of them are sent: many are told in each, and no shard is held up.
pub const SEND_OFF_PERIOD: Duration = Duration::from_millis(100);

/// The time for which a session is open before its client is sent to another broker: one that was sent in a circle goes round it
/// once a second at the most.
pub const SEND_OFF_AFTER: Duration = Duration::from_secs(1);

/// The time for which a broker waits, once it has told all clients, for those that have not gone: as long as a transfer may take.
pub const SEND_OFF_PATIENCE: Duration = Duration::from_secs(5);
