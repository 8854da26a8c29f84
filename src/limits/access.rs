//! Bounds of who is let in: files of users, logins.

use std::time::Duration;

/// Largest file of users, in bytes: some 50,000 users of a token and a few filters each, which are read in a quarter of a
/// second.
pub const USERS_FILE_BYTES_MAX: usize = 16 << 20;

/// Longest token, in bytes: ten times those that `corecast user` makes, and no more than the first frame may have.
pub const TOKEN_BYTES_MAX: usize = 512;

/// Longest password, in bytes: a long sentence.
pub const PASSWORD_BYTES_MAX: usize = 256;

/// Longest name of a user, in bytes: it stands in each log line about a session.
pub const USER_NAME_BYTES_MAX: usize = 64;

/// Most memory for checking one password, in bytes: 13 times as much as for those that `corecast user` makes. One is checked
/// at a time.
pub const PASSWORD_MEMORY_BYTES_MAX: usize = 256 << 20;

/// Most passes over that memory: with the most memory some seconds, which the next password waits.
pub const PASSWORD_PASSES_MAX: u32 = 10;

/// Times within [`STRIKES_PERIOD`] that a session publishes what it may not, the last of which ends it: a program that publishes
/// on a wrong topic hears of it first, and one that takes no notice is stopped.
pub const STRIKES_MAX: u32 = 3;

/// The time in which strikes count together.
pub const STRIKES_PERIOD: Duration = Duration::from_secs(1);

/// Time for which a client takes no messages for a topic that was refused: longer than strikes count, so that one topic is never
/// two of them.
pub const REFUSED_TOPIC_PAUSE: Duration = Duration::from_secs(10);

/// Most topics that a client's session remembers as refused; the oldest are forgotten.
pub const REFUSED_TOPICS_MAX: usize = 64;

/// Most passwords that wait to be checked, over all shards: with those that `corecast user` makes they take two seconds, and a
/// handshake has five.
pub const PASSWORDS_WAITING_MAX: usize = 64;

/// Time before a wrong password is answered: a connection is worth one guess in it.
pub const WRONG_PASSWORD_PAUSE: Duration = Duration::from_secs(1);

/// Time after which a client that was refused as nobody's tries again, drawn between half and whole: its token file may have
/// been replaced. Long, so that many clients with an old token are no load.
pub const LOGIN_PAUSE: Duration = Duration::from_secs(30);

/// Burst of a `publish_rate`: the messages of this time may be published at once. Ten ticks, so that a publisher which is
/// held until a tick comes near its rate.
pub const QUOTA_RATE_BURST: Duration = Duration::from_millis(100);
