//! Accepting connections and placing each on the shard with the fewest. On the first shard only: one acceptor
//! for each listener, so that nobody is left in the queue of a shard that is busy.

use std::cell::RefCell;
use std::rc::Rc;

use corecast_executors::{Either, Wake, end_turn, first, spawn_local};
use nix::errno::Errno;
use tracing::warn;

use super::runtime::Runtime;
use super::{Item, Listener};
use crate::ids::ShardId;
use crate::limits::{ACCEPT_BACKOFF_MAX, ACCEPT_BACKOFF_MIN, ACCEPTS_PER_TURN, ZMTP_KEEPALIVE};
use crate::shard::Door;
use crate::transport::{AcceptQueue, Accepted};

/// The number of sessions of each shard, as far as the acceptor knows.
#[derive(Debug)]
pub(super) struct Placement {
    sessions: Vec<usize>,
    /// Where the last one went: among equals the next takes its turn.
    last: usize,
}

impl Placement {
    pub(super) fn new(shards: usize) -> Self {
        Placement { sessions: vec![0; shards], last: shards - 1 }
    }

    /// The shard with the fewest sessions, which now has one more.
    pub(super) fn place(&mut self) -> ShardId {
        let shards = self.sessions.len();
        let in_turn = (1..=shards).map(|step| (self.last + step) % shards);
        let shard = in_turn.min_by_key(|shard| self.sessions[*shard]).expect("there is a shard");
        self.sessions[shard] += 1;
        self.last = shard;
        ShardId(u16::try_from(shard).expect("shards are counted in 16 bits"))
    }

    fn left(&mut self, shard: ShardId) {
        let sessions = &mut self.sessions[usize::from(shard.0)];
        *sessions = sessions.checked_sub(1).expect("no more leave than came");
    }
}

/// What an acceptor waits for beside its listener.
#[derive(Default)]
pub(super) struct Acceptor {
    /// It must end.
    stop: Wake,
    /// A session has ended, so a descriptor may be free.
    room: Wake,
}

/// The acceptors of one shard, of which only the first has any.
#[derive(Default)]
pub(super) struct Acceptors(RefCell<Vec<Rc<Acceptor>>>);

impl Acceptors {
    /// The signals of one that is about to start.
    pub(super) fn add(&self) -> Rc<Acceptor> {
        let acceptor = Rc::<Acceptor>::default();
        self.0.borrow_mut().push(Rc::clone(&acceptor));
        acceptor
    }

    pub(super) fn stop(&self) {
        self.0.take().iter().for_each(|acceptor| acceptor.stop.raise());
    }

    /// Ends the pause of those that have found no descriptor.
    fn room(&self) {
        self.0.borrow().iter().for_each(|acceptor| acceptor.room.raise());
    }
}

/// Accepts on one listener until `acceptor` is told to stop.
pub(super) async fn accept(runtime: Rc<Runtime>, listener: Listener, acceptor: Rc<Acceptor>) {
    let Acceptor { stop, room } = &*acceptor;
    let Listener { socket, endpoint, door } = listener;
    let queue = match socket.adopt() {
        Ok(queue) => queue,
        Err(error) => return warn!(%endpoint, %error, "cannot listen"),
    };
    let mut pause = ACCEPT_BACKOFF_MIN;
    loop {
        match first(queue.readable(), stop.wait()).await {
            Either::Left(Ok(())) => {}
            Either::Left(Err(error)) => return warn!(%endpoint, %error, "the listener failed"),
            Either::Right(()) => return,
        }
        let (accepted, failed) = runtime.accept_turn(&queue, door).await;
        if accepted > 0 {
            pause = ACCEPT_BACKOFF_MIN;
        }
        let Some(error) = failed else {
            end_turn().await;
            continue;
        };
        runtime.shard.borrow_mut().counters_mut().accept_errors += 1;
        runtime.log_limited("accept_error", |more| {
            warn!(%endpoint, %error, more, "cannot accept; connections wait until there is room");
        });
        // Those that wait may all have gone again: each is a moment's work then, and none may cost the next a pause.
        match first(first(room.wait(), runtime.after(pause)), stop.wait()).await {
            Either::Left(Either::Left(())) => pause = ACCEPT_BACKOFF_MIN,
            Either::Left(Either::Right(())) => pause = (pause * 2).min(ACCEPT_BACKOFF_MAX),
            Either::Right(()) => return,
        }
    }
}

impl Runtime {
    /// The number of connections taken in this turn, and the error that ended it early. What is reserved for scrapes,
    /// look-ups and files is left: without room beside it a connection stays in the listener's queue.
    async fn accept_turn(
        self: &Rc<Self>,
        queue: &AcceptQueue,
        door: Door,
    ) -> (usize, Option<std::io::Error>) {
        for accepted in 0..ACCEPTS_PER_TURN {
            if !queue.has_room() {
                // After the last that had room perhaps nobody waits.
                return (accepted, (accepted == 0).then(|| Errno::EMFILE.into()));
            }
            match queue.try_accept() {
                Ok(Some(connection)) => self.place(connection, door).await,
                Ok(None) => return (accepted, None),
                Err(error) => return (accepted, Some(error)),
            }
        }
        (ACCEPTS_PER_TURN, None)
    }

    /// A session of that shard has ended, or was not taken: there is room for another.
    pub(super) fn session_left(&self, shard: ShardId) {
        self.placement.borrow_mut().left(shard);
        self.acceptors.room();
    }

    async fn place(self: &Rc<Self>, accepted: Accepted, door: Door) {
        if door != Door::Native {
            // One of ZMTP 3.0 cannot be asked whether it lives: the kernel asks.
            accepted.keep_alive(ZMTP_KEEPALIVE);
        }
        let shard = self.placement.borrow_mut().place();
        match &self.links[usize::from(shard.0)] {
            Some(link) => {
                if link.send(Item::Adopt { accepted, door }).await.is_err() {
                    self.session_left(shard);
                }
            }
            None => self.adopt_or_refuse(accepted, door),
        }
    }

    /// Takes a connection that was placed here; if the shard is full or stopping it is closed, and placement told.
    pub(super) fn adopt_or_refuse(self: &Rc<Self>, accepted: Accepted, door: Door) {
        let taken = accepted.adopt().is_ok_and(|stream| self.adopt(stream, door));
        if !taken {
            let runtime = Rc::clone(self);
            spawn_local(async move { runtime.tell_acceptor().await }).detach();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn connections_go_where_there_are_fewest_and_equals_take_turns() {
        let mut placement = Placement::new(3);
        let placed: Vec<u16> = (0..6).map(|_| placement.place().0).collect();
        assert_eq!(placed, [0, 1, 2, 0, 1, 2]);
        placement.left(ShardId(1));
        placement.left(ShardId(1));
        assert_eq!([placement.place().0, placement.place().0], [1, 1]);
    }
}
