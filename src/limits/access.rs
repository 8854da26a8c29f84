//! Bounds of who is let in: files of users, config files, logins, connections whose peers are not known yet.

use std::time::Duration;

use super::{HANDSHAKE_DEADLINE, LISTEN_BACKLOG, TLS_HELLO_BYTES_MAX, UNFINISHED_BYTES_MAX};

/// Largest file of users, in bytes: some 50,000 users of a token and a few filters each, which are read in a quarter of a
/// second.
pub const USERS_FILE_BYTES_MAX: usize = 16 << 20;

/// Largest config file, in bytes: a hundred times one that has every option with its documentation. Other bytes than those of a
/// config file are mostly more.
pub const CONFIG_FILE_BYTES_MAX: usize = 1 << 20;

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

/// Most of them from one other host, or network of /64, and never more than are left free: many hosts have less each, and one that
/// has none finds a place. Enough that the thread always has one to check while a host lets all its sockets in.
pub const PASSWORDS_WAITING_PER_HOST_MAX: usize = PASSWORDS_WAITING_MAX / 8;

/// Most of them from this host, whose users may share it: as many as are left free for others.
pub const PASSWORDS_WAITING_HERE_MAX: usize = PASSWORDS_WAITING_MAX / 2;

/// Time before a wrong password is answered: a connection is worth one guess in it.
pub const WRONG_PASSWORD_PAUSE: Duration = Duration::from_secs(1);

/// Time after which a client that was refused as nobody's, or whose TLS handshake has failed, tries again if it was open
/// before, drawn between half and whole: its token file or a certificate may have been replaced. Long, so that many clients with
/// an old token are no load.
pub const LOGIN_PAUSE: Duration = Duration::from_secs(30);

/// Burst of a `publish_rate`: the messages of this time may be published at once. Ten ticks, so that a publisher which is
/// held until a tick comes near its rate.
pub const QUOTA_RATE_BURST: Duration = Duration::from_millis(100);

/// Most connections of a shard from one other host, or network of /64, whose peers have not said hello: as many as its
/// listener's queue holds, so that a host that connects all its clients again at once is not turned away. Beyond it the newest
/// is.
pub const STRANGERS_PER_HOST_MAX: usize = 4 << 10;
const _: () = assert!(STRANGERS_PER_HOST_MAX == LISTEN_BACKLOG as usize);

/// Most such connections of a shard from all other hosts: two hosts with all that they may have. Beyond it the newest of the
/// host with the most gives way. A TLS handshake may hold [`TLS_HELLO_BYTES_MAX`] before it costs its peer anything, so that
/// they hold 64 MiB at the most.
pub const STRANGERS_MAX: usize = 2 * STRANGERS_PER_HOST_MAX;
const _: () = assert!(STRANGERS_MAX * TLS_HELLO_BYTES_MAX <= UNFINISHED_BYTES_MAX);

/// Most such connections of a shard from this host, by loopback or Unix sockets: experiments connect 10,000 at once.
pub const STRANGERS_HERE_MAX: usize = 16 << 10;

/// Divisor of the limit of open files that gives the most connections from other hosts, over all shards, whose peers have not
/// said hello: strangers leave three quarters of the descriptors to those that are known.
pub const STRANGERS_OPEN_FILES_DIVISOR: usize = 4;

/// Failed logins from one host within [`LOGIN_FAILURES_PERIOD`], at one shard, from which on its connections are read late:
/// more than the mistakes of a person, and than clients of this library make, which pause for [`LOGIN_PAUSE`].
pub const LOGIN_FAILURES_MAX: u32 = 10;

/// The same from this host, whose users may share it, or come by way of a proxy on it.
pub const LOGIN_FAILURES_HERE_MAX: u32 = 100;

/// Time within which so many have to fail, and for which the host is slowed down after its last failure.
pub const LOGIN_FAILURES_PERIOD: Duration = Duration::from_secs(10);

/// Time for which nothing is read from a new connection of such a host: nobody learns earlier whether a login is right, and
/// whoever has a right one gets in all the same, long before its handshake is given up.
pub const LOGIN_DELAY: Duration = Duration::from_millis(500);
const _: () = assert!(LOGIN_DELAY.as_millis() * 4 <= HANDSHAKE_DEADLINE.as_millis());

/// Most hosts whose failed logins a shard remembers, at 40 bytes each.
pub const LOGIN_FAILURES_HOSTS_MAX: usize = 4 << 10;

/// Longest ticket to a direct publisher, in bytes: some 200 usual filters. It is shown before the hello, so it bounds what a
/// direct publisher keeps of a stranger.
pub const TICKET_BYTES_MAX: usize = 4 << 10;

/// Time for which a ticket lets in: as long may a direct publisher whose broker does not answer go on without it.
pub const TICKET_LIFE: Duration = Duration::from_secs(60);

/// Time after which a ticket is followed by another: as long may the second one take.
pub const TICKET_RENEWAL: Duration = Duration::from_secs(30);
const _: () = assert!(TICKET_RENEWAL.as_secs() * 2 <= TICKET_LIFE.as_secs());

/// Time for which those go on that a direct publisher has let in by tickets of an earlier start of its broker: enough to
/// connect to that broker again, and to be given others. As long may a direct publisher take to register there again before its
/// subscribers, to which that broker has given no ticket, end its stream.
pub const TICKET_GRACE: Duration = Duration::from_secs(10);

/// Time between a change of a broker's rules, after which it gives new tickets, and its word to direct publishers that the old
/// ones are void. It is a part of the second in which a revoked right ends.
pub const TICKET_VOID_DELAY: Duration = Duration::from_millis(300);

/// Difference between the clocks of a broker and of a direct publisher that is put right: far below [`TICKET_RENEWAL`].
pub const TICKET_CLOCK_SKEW: Duration = Duration::from_secs(1);

/// Tickets that a shard of a broker keeps for the other sessions of the same users: 1 MiB of usual ones.
pub const TICKETS_KEPT_MAX: usize = 4 << 10;
