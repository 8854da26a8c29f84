//! The numbers of sessions by which connections are placed, and the acceptors that wait for room. On the first shard
//! only.

use std::cell::{Cell, RefCell};
use std::rc::Rc;

use corecast_executors::Wake;

use crate::ids::ShardId;
use crate::transport::TlsServer;

/// The number of sessions of each shard, as far as the acceptors know, and these acceptors.
pub(super) struct Placement {
    counts: RefCell<Counts>,
    /// One for each listener.
    acceptors: RefCell<Vec<Rc<Acceptor>>>,
}

#[derive(Debug)]
struct Counts {
    /// Below zero, if word that a session has moved on comes before word that it has come.
    sessions: Vec<i64>,
    /// The shard that got the last one: among equals the next takes its turn.
    last: usize,
}

/// The events that an acceptor waits for beside its listener.
#[derive(Default)]
pub(super) struct Acceptor {
    /// Raised when it must end.
    pub(super) stop: Wake,
    /// Raised when a session has ended, so that a descriptor may be free.
    pub(super) room: Wake,
    /// A certificate for the connections that come from now on.
    pub(super) certificate: Cell<Option<TlsServer>>,
}

impl Placement {
    pub(super) fn new(shards: usize) -> Self {
        let counts = Counts { sessions: vec![0; shards], last: shards - 1 };
        Placement { counts: RefCell::new(counts), acceptors: RefCell::default() }
    }

    /// The shard with the fewest sessions, which now has one more: of those that are not to be avoided, if there is one.
    pub(super) fn place(&self, is_avoided: impl Fn(ShardId) -> bool) -> ShardId {
        let mut counts = self.counts.borrow_mut();
        let shards = counts.sessions.len();
        let in_turn = (1..=shards).map(|step| (counts.last + step) % shards);
        let id = |shard: usize| ShardId(u16::try_from(shard).expect("shards are counted in 16 bits"));
        let load = |shard: &usize| (is_avoided(id(*shard)), counts.sessions[*shard]);
        let shard = in_turn.min_by_key(load).expect("there is a shard");
        counts.sessions[shard] += 1;
        counts.last = shard;
        id(shard)
    }

    /// Counts the end of a session, or a connection that was not taken: there is room for another.
    pub(super) fn session_left(&self, shard: ShardId) {
        self.counts.borrow_mut().sessions[usize::from(shard.0)] -= 1;
        // Ends the pause of those that have found no descriptor.
        self.acceptors.borrow().iter().for_each(|acceptor| acceptor.room.raise());
    }

    /// Counts a session that has moved from one shard to another.
    pub(super) fn session_moved(&self, from: ShardId, to: ShardId) {
        let sessions = &mut self.counts.borrow_mut().sessions;
        sessions[usize::from(to.0)] += 1;
        sessions[usize::from(from.0)] -= 1;
    }

    /// The signals of an acceptor that is about to start.
    pub(super) fn add_acceptor(&self) -> Rc<Acceptor> {
        let acceptor = Rc::<Acceptor>::default();
        self.acceptors.borrow_mut().push(Rc::clone(&acceptor));
        acceptor
    }

    /// Gives all acceptors this certificate.
    pub(super) fn set_certificate(&self, tls: &TlsServer) {
        self.acceptors.borrow().iter().for_each(|acceptor| acceptor.certificate.set(Some(tls.clone())));
    }

    pub(super) fn stop_acceptors(&self) {
        self.acceptors.take().iter().for_each(|acceptor| acceptor.stop.raise());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn connections_go_where_there_are_fewest_and_equals_take_turns() {
        let placement = Placement::new(3);
        let placed: Vec<u16> = (0..6).map(|_| placement.place(|_| false).0).collect();
        assert_eq!(placed, [0, 1, 2, 0, 1, 2]);
        placement.session_left(ShardId(1));
        placement.session_left(ShardId(1));
        let place = || placement.place(|_| false).0;
        assert_eq!([place(), place()], [1, 1]);
    }

    #[test]
    fn shards_that_are_to_be_avoided_are_passed_over_and_sessions_that_move_are_counted() {
        let placement = Placement::new(2);
        let placed: Vec<u16> = (0..3).map(|_| placement.place(|shard| shard == ShardId(0)).0).collect();
        assert_eq!(placed, [1, 1, 1]);
        assert_eq!(placement.place(|_| true).0, 0, "if all are to be avoided, there are fewest here");
        placement.session_moved(ShardId(1), ShardId(0));
        placement.session_moved(ShardId(1), ShardId(0));
        assert_eq!(placement.place(|_| false).0, 1);
    }
}
