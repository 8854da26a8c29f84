//! Strangers: connections whose peers have not said who they are, from the accept to the hello. Owned by a shard.

use std::collections::BTreeSet;
use std::fmt;

use ahash::AHashMap;

use super::session_table::SessionTable;
use super::stranger_bounds::StrangerBounds;
use crate::auth::PeerHost;
use crate::ids::SessionId;

/// The reason why a connection is turned away before anything is read from it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Crowd {
    /// Too many strangers are there from its host.
    OfHost,
    /// Too many are there from all other hosts, and none of these has many more than its own.
    Elsewhere,
    /// Too many are there from this host.
    Here,
}

impl fmt::Display for Crowd {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Crowd::OfHost => "too many connections from its address have not said hello",
            Crowd::Elsewhere => "too many connections from other hosts have not said hello",
            Crowd::Here => "too many connections from this host have not said hello",
        })
    }
}

/// The strangers of one shard.
#[derive(Default, Debug)]
pub(super) struct Strangers {
    here: usize,
    elsewhere: usize,
    /// Those of other hosts, each host's in the order in which they came.
    by_host: AHashMap<PeerHost, Vec<SessionId>>,
    /// These hosts, by the number of their strangers.
    crowds: BTreeSet<(usize, PeerHost)>,
}

impl Strangers {
    /// Asks for room for one more from this host. Returns the one that has to give way for it, if one has to: the newest of the
    /// host that has the most, so that hosts with few can come however many others have.
    pub(super) fn make_room(
        &self,
        bounds: StrangerBounds,
        host: PeerHost,
    ) -> Result<Option<SessionId>, Crowd> {
        if host == PeerHost::Here {
            return if self.here < bounds.here { Ok(None) } else { Err(Crowd::Here) };
        }
        let own = self.of_host(host);
        if own >= bounds.per_host {
            return Err(Crowd::OfHost);
        }
        if self.elsewhere < bounds.elsewhere {
            return Ok(None);
        }
        let (most, crowd) = self.crowds.last().copied().unwrap_or((0, host));
        // With one more here and one less there, neither could push the other out again.
        let newest = self.by_host.get(&crowd).filter(|_| most > own + 1).and_then(|there| there.last());
        newest.copied().map(Some).ok_or(Crowd::Elsewhere)
    }

    /// Adds one.
    pub(super) fn add(&mut self, host: PeerHost, id: SessionId) {
        if host == PeerHost::Here {
            self.here += 1;
            return;
        }
        self.elsewhere += 1;
        let there = self.by_host.entry(host).or_default();
        there.push(id);
        self.crowds.remove(&(there.len() - 1, host));
        self.crowds.insert((there.len(), host));
    }

    /// Forgets one that is no stranger any more, or has gone.
    pub(super) fn forget(&mut self, host: PeerHost, id: SessionId) {
        if host == PeerHost::Here {
            self.here -= 1;
            return;
        }
        let there = self.by_host.get_mut(&host).expect("it has come from there");
        let at = there.iter().position(|stranger| *stranger == id).expect("it was added");
        there.remove(at);
        let left = there.len();
        self.elsewhere -= 1;
        self.crowds.remove(&(left + 1, host));
        if left == 0 {
            self.by_host.remove(&host);
        } else {
            self.crowds.insert((left, host));
        }
    }

    /// The number of strangers.
    pub(super) fn len(&self) -> usize {
        self.here + self.elsewhere
    }

    fn of_host(&self, host: PeerHost) -> usize {
        self.by_host.get(&host).map_or(0, Vec::len)
    }

    /// Counts again.
    pub(super) fn audit(&self, sessions: &SessionTable) {
        let strangers = || sessions.iter().filter(|(_, session)| session.is_stranger);
        let here = strangers().filter(|(_, session)| session.host() == PeerHost::Here).count();
        assert_eq!((self.here, self.len()), (here, strangers().count()), "strangers here, and all");
        for (host, there) in &self.by_host {
            assert!(self.crowds.contains(&(there.len(), *host)), "{host:?} is counted");
            for id in there {
                let is_there = sessions.get(*id).is_some_and(|s| s.is_stranger && s.host() == *host);
                assert!(is_there, "{id} is a stranger from {host:?}");
            }
        }
        assert_eq!(self.crowds.len(), self.by_host.len());
    }
}

#[cfg(test)]
mod tests {
    use std::net::SocketAddr;

    use super::super::admission::Admission;
    use super::super::config::ShardConfig;
    use super::super::door::Door;
    use super::super::rig::Rig;
    use super::*;
    use crate::auth::Identity;
    use crate::error::ErrorCode;
    use crate::fanout::OverflowPolicy;
    use crate::limits::{HANDSHAKE_DEADLINE, LINGER};
    use crate::telemetry::CloseReason;
    use crate::wire::{Features, Frame};

    const FEW: StrangerBounds = StrangerBounds { per_host: 4, elsewhere: 6, here: 8 };

    fn rig() -> Rig {
        Rig::new(&ShardConfig { strangers: FEW, ..ShardConfig::default() })
    }

    fn host(number: u8) -> SocketAddr {
        SocketAddr::from(([192, 0, 2, number], 1))
    }

    /// A connection comes from this address, or is turned away.
    fn comes(rig: &mut Rig, address: Option<SocketAddr>) -> Result<SessionId, Crowd> {
        let shard = &mut rig.shards[0];
        Admission::of(shard).make_room(address)?;
        let id = shard.on_open(Door::Native, Identity::Anonymous(address)).expect("it has room");
        // One that has to give way is gone in this turn or the next.
        for gone in std::mem::take(&mut shard.outbox().abort) {
            let closed = shard.on_closed(gone, None).expect("it was there");
            assert_eq!(closed.reason, CloseReason::Code(ErrorCode::TooManySessions));
        }
        shard.audit();
        Ok(id)
    }

    fn says_hello(rig: &mut Rig, id: SessionId) {
        rig.shards[0].on_greeting(id, Ok(Features::NONE));
        rig.say(0, id, &[Frame::Hello { name: "", overflow: 0, previous: 0, ticket: 0 }]);
    }

    #[test]
    fn the_newest_of_a_host_with_too_many_is_turned_away_and_others_are_not() {
        let mut rig = rig();
        let early: Vec<_> = (0..4).map(|_| comes(&mut rig, Some(host(1))).expect("there is room")).collect();
        assert_eq!(comes(&mut rig, Some(host(1))), Err(Crowd::OfHost));
        comes(&mut rig, Some(host(2))).expect("another host");
        comes(&mut rig, None).expect("this host");
        says_hello(&mut rig, early[2]);
        comes(&mut rig, Some(host(1))).expect("the one that is known counts no more");
        assert_eq!(rig.shards[0].counters().strangers, 6);
        assert_eq!(rig.shards[0].counters().turned_away, 1);
    }

    #[test]
    fn a_host_with_few_comes_though_others_have_taken_all_the_room() {
        let mut rig = rig();
        for number in [1, 1, 1, 1, 2, 2] {
            comes(&mut rig, Some(host(number))).expect("there is room");
        }
        let late = comes(&mut rig, Some(host(3))).expect("the newest of the first gives way");
        assert_eq!(
            comes(&mut rig, Some(host(2))),
            Err(Crowd::Elsewhere),
            "it would have as many as the first"
        );
        let later = comes(&mut rig, Some(host(4))).expect("the first has the most still");
        for id in [late, later] {
            says_hello(&mut rig, id);
        }
        assert_eq!(rig.shards[0].counters().strangers, 4);
    }

    #[test]
    fn one_that_is_refused_or_silent_counts_until_it_has_gone() {
        let mut rig = rig();
        let ids: Vec<_> = (0..4).map(|_| comes(&mut rig, Some(host(1))).expect("there is room")).collect();
        rig.shards[0].on_greeting(ids[0], Err(ErrorCode::Malformed));
        assert_eq!(comes(&mut rig, Some(host(1))), Err(Crowd::OfHost), "it has its farewell to read");
        rig.wait(HANDSHAKE_DEADLINE + 2 * LINGER);
        rig.shards[0].outbox().abort.clear();
        for id in ids {
            let _ = rig.shards[0].on_closed(id, None);
        }
        rig.shards[0].audit();
        assert_eq!(rig.shards[0].counters().strangers, 0);
        comes(&mut rig, Some(host(1))).expect("there is room again");
    }

    #[test]
    fn this_host_has_room_of_its_own() {
        let mut rig = rig();
        for number in [1, 1, 1, 1, 2, 2] {
            comes(&mut rig, Some(host(number))).expect("there is room");
        }
        let loopback = Some(SocketAddr::from(([127, 0, 0, 1], 1)));
        for address in [None, loopback].into_iter().cycle().take(FEW.here) {
            comes(&mut rig, address).expect("there is room");
        }
        assert_eq!(comes(&mut rig, loopback), Err(Crowd::Here));
    }

    #[test]
    fn a_session_that_is_open_is_never_in_the_way() {
        let mut rig = rig();
        for _ in 0..3 * FEW.per_host {
            let id = comes(&mut rig, Some(host(1))).expect("those before are known");
            says_hello(&mut rig, id);
        }
        rig.open(0, OverflowPolicy::DropOldest);
        assert_eq!(rig.shards[0].counters().strangers, 0);
    }
}
