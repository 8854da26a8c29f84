//! Egress queues to the kernel, pending items to links: what follows each turn, in bounded turns of its own.

use std::io::IoSlice;
use std::rc::Rc;

use corecast_executors::{Refused, end_turn, spawn_local};

use super::Item;
use super::runtime::{Connection, Runtime};
use crate::ids::Neighbour;
use crate::limits::FLUSH_SESSIONS_PER_TURN;
use crate::shard::{Shard, Visit};

impl Runtime {
    /// Does all that the shard has left to be done. A publisher's pump comes here before it reads again: so a
    /// shard never takes in faster than it gives out.
    pub(super) async fn settle(self: &Rc<Self>) {
        while self.settle_turn() {
            end_turn().await;
        }
    }

    /// One turn of it; `true` if there is more.
    fn settle_turn(self: &Rc<Self>) -> bool {
        let mut shard = self.shard.borrow_mut();
        self.send_links(&mut shard);
        self.dial_all(&mut shard);
        for _ in 0..FLUSH_SESSIONS_PER_TURN {
            let Some(id) = shard.outbox().dirty.pop_front() else { break };
            let Some(connection) = self.connection(id) else {
                self.answer_local(&mut shard, id);
                continue;
            };
            match visit(&mut shard, &connection) {
                Visit::Done => {}
                Visit::Again => shard.outbox().dirty.push_back(id),
                Visit::Full => self.flush_when_writable(connection),
            }
        }
        // Releases may have left answers, closes may have left items for links.
        self.apply(&mut shard);
        self.send_links(&mut shard);
        !shard.outbox().dirty.is_empty()
    }

    /// Starts a task that waits for the kernel to take more; until it has taken all, nobody else flushes there.
    fn flush_when_writable(self: &Rc<Self>, connection: Rc<Connection>) {
        let runtime = Rc::clone(self);
        spawn_local(async move {
            loop {
                if connection.stream.writable().await.is_err() {
                    return;
                }
                let visited = visit(&mut runtime.shard.borrow_mut(), &connection);
                runtime.settle().await;
                if visited == Visit::Done {
                    return;
                }
            }
        })
        .detach();
    }

    /// Hands pending items to the links that have room; for those that have none, a task waits.
    fn send_links(self: &Rc<Self>, shard: &mut Shard) {
        while let Some(to) = shard.outbox().links.pop() {
            if !self.link_waits[usize::from(to.0)].get() && !self.send_link(shard, to) {
                self.link_waits[usize::from(to.0)].set(true);
                spawn_local(send_when_room(Rc::clone(self), to)).detach();
            }
        }
    }

    /// `false`: the link is full.
    fn send_link(&self, shard: &mut Shard, to: Neighbour) -> bool {
        let Some(link) = &self.links[usize::from(to.0)] else { return true };
        while let Some(item) = shard.link_next(to) {
            match link.try_send(Item::Link(item)) {
                // A shard that has ended wants nothing.
                Ok(()) | Err(Refused::Closed(_)) => {}
                Err(Refused::Full(Item::Link(item))) => {
                    shard.link_put_back(to, item);
                    return false;
                }
                Err(Refused::Full(_)) => {}
            }
        }
        shard.on_link_room(to);
        true
    }
}

/// Sends as much of a session's queue as the kernel takes, up to a visit's share.
fn visit(shard: &mut Shard, connection: &Connection) -> Visit {
    let send = |parts: &[IoSlice<'_>]| connection.stream.try_send_vectored(parts);
    shard.flush(connection.id, send).unwrap_or_else(|error| {
        // Its pump will find the end and tell the shard.
        connection.fail(&error);
        Visit::Done
    })
}

/// Waits for room on a link and sends what is pending there, in order. It drains no link itself.
async fn send_when_room(runtime: Rc<Runtime>, to: Neighbour) {
    let Some(link) = &runtime.links[usize::from(to.0)] else { return };
    loop {
        let Some(item) = runtime.shard.borrow_mut().link_next(to) else { break };
        if link.send(Item::Link(item)).await.is_err() {
            continue;
        }
        let mut shard = runtime.shard.borrow_mut();
        shard.on_link_room(to);
        runtime.apply(&mut shard);
    }
    runtime.link_waits[usize::from(to.0)].set(false);
    runtime.settle().await;
}
