//! A newtype for every index, so that none is mistaken for another. Anybody may use these; nobody does arithmetic on
//! them.

use std::fmt;
use std::str::FromStr;

pub use corecast_executors::ShardId;

/// A party with which a shard exchanges interest and batches: another shard, under its own number, or, behind the last of
/// them, a carrier. Only shards are placed on cores and share the registry.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub struct Neighbour(pub u16);

impl From<ShardId> for Neighbour {
    fn from(shard: ShardId) -> Self {
        Neighbour(shard.0)
    }
}

impl fmt::Display for Neighbour {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// One connection within its shard. Slots are reused, so the generation distinguishes a session from the previous one
/// in its slot.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub struct SessionId {
    /// Slot in the shard's session table.
    pub slot: u32,
    /// The number of sessions that had this slot before.
    pub generation: u32,
}

impl fmt::Display for SessionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.slot, self.generation)
    }
}

impl SessionId {
    /// The session's number outside its shard: in welcomes and logs.
    pub fn number(self, shard: ShardId) -> SessionNumber {
        let generation = u64::from(self.generation) & 0xffff;
        SessionNumber(u64::from(shard.0) << 48 | generation << 32 | u64::from(self.slot))
    }
}

/// A session, within the run of its broker. The numbers of a slot's sessions repeat after 65,536.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct SessionNumber(pub u64);

impl SessionNumber {
    /// The shard of the session.
    pub fn shard(self) -> ShardId {
        ShardId((self.0 >> 48) as u16)
    }

    /// The slot on that shard.
    pub fn slot(self) -> u32 {
        self.0 as u32
    }
}

impl FromStr for SessionNumber {
    type Err = NotANumber;

    /// Reads the 16 hexadecimal digits as which it is displayed.
    fn from_str(text: &str) -> Result<Self, NotANumber> {
        sixteen_digits(text).map(SessionNumber)
    }
}

/// The error of a text that is not 16 hexadecimal digits.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct NotANumber;

fn sixteen_digits(text: &str) -> Result<u64, NotANumber> {
    let is_number = text.len() == 16 && text.bytes().all(|digit| digit.is_ascii_hexdigit());
    u64::from_str_radix(text, 16).ok().filter(|_| is_number).ok_or(NotANumber)
}

impl fmt::Display for SessionNumber {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

/// One publisher, for its whole life and across all its reconnects: a random number that the client draws.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub struct PublisherId(pub u64);

impl FromStr for PublisherId {
    type Err = NotANumber;

    /// Reads the 16 hexadecimal digits as which it is displayed.
    fn from_str(text: &str) -> Result<Self, NotANumber> {
        sixteen_digits(text).map(PublisherId)
    }
}

impl fmt::Display for PublisherId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

/// One subscriber within its session; the client chooses the number.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub struct SubscriberId(pub u32);

/// One request of a client within its session; the answer carries it.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub struct RequestId(pub u32);

/// An egress group within its shard: the sessions with the same subscriptions.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub struct GroupId(pub u32);
