//! Egress queues to the kernel, pending items to links: the end of each turn, in bounded turns of its own.

use std::io::IoSlice;
use std::rc::Rc;

use corecast_executors::{Either, MonotonicNs, Refused, end_turn, first, spawn_local};

use super::Item;
use super::connection::{Connection, Flushing};
use super::runtime::Runtime;
use crate::ids::Neighbour;
use crate::limits::FLUSH_SESSIONS_PER_TURN;
use crate::shard::{Shard, Visit};

/// Does all that the shard has left to be done. A publisher's pump comes here before it reads again, or after the few reads
/// of [`super::read_ahead`]: so a shard never takes in faster than it gives out.
pub(super) async fn settle(runtime: &Rc<Runtime>) {
    while settle_turn(runtime) {
        end_turn().await;
    }
}

/// One turn of it. Returns true if there is more.
fn settle_turn(runtime: &Rc<Runtime>) -> bool {
    let mut shard = runtime.shard.borrow_mut();
    runtime.ahead.end();
    shard.outbox().begin_flush();
    send_links(runtime, &mut shard);
    runtime.want_dials(&mut shard);
    for _ in 0..FLUSH_SESSIONS_PER_TURN {
        let Some(id) = shard.outbox().dirty.pop_front() else { break };
        let Some(connection) = runtime.connections.get(id) else {
            runtime.answer_local(&mut shard, id);
            continue;
        };
        match visit(&mut shard, &connection) {
            Visit::Done => {}
            Visit::Again => shard.outbox().dirty.push_back(id),
            Visit::Full => {
                connection.begin_flush();
                spawn_local(flush_when_writable(Rc::clone(runtime), connection)).detach();
            }
        }
    }
    // Releases may have left answers, closes may have left items for links.
    runtime.apply(&mut shard);
    send_links(runtime, &mut shard);
    !shard.outbox().dirty.is_empty()
}

/// Waits for the kernel to take more; until it has taken all, nobody else flushes there.
async fn flush_when_writable(runtime: Rc<Runtime>, connection: Rc<Connection>) {
    let end = loop {
        match first(connection.stream.writable(), connection.until_let_go()).await {
            Either::Left(Ok(())) => {}
            Either::Left(Err(_)) => break Flushing::No,
            Either::Right(()) => break Flushing::Interrupted,
        }
        let visited = visit(&mut runtime.shard.borrow_mut(), &connection);
        settle(&runtime).await;
        if visited == Visit::Done {
            break Flushing::No;
        }
    };
    connection.end_flush(end);
}

/// Sends as much of a session's queue as the kernel takes, up to a visit's share.
fn visit(shard: &mut Shard, connection: &Connection) -> Visit {
    let send = |parts: &[IoSlice<'_>]| connection.stream.try_send_vectored(parts);
    shard.flush(connection.id, send).unwrap_or_else(|error| {
        // Its pump will find the end and tell the shard.
        connection.fail(error);
        Visit::Done
    })
}

/// True if the flush behind a read, which began and ended then, may wait for another, of the same session or the next one.
/// Other shards need not: what goes there leaves now.
pub(super) fn may_wait(runtime: &Rc<Runtime>, shard: &mut Shard, read: (MonotonicNs, MonotonicNs)) -> bool {
    let waits = runtime.ahead.may_go_on(read, shard.outbox()) && shard.outbox().has_short_sends();
    if waits {
        send_links(runtime, shard);
    }
    waits
}

/// Hands pending items to the links that have room; for those that have none, a task waits.
fn send_links(runtime: &Rc<Runtime>, shard: &mut Shard) {
    while let Some(to) = shard.outbox().links.pop() {
        if !runtime.link_waits[usize::from(to.0)].get() && !send_link(runtime, shard, to) {
            runtime.link_waits[usize::from(to.0)].set(true);
            spawn_local(send_when_room(Rc::clone(runtime), to)).detach();
        }
    }
}

/// Hands a link its pending items. Returns false if it is full.
fn send_link(runtime: &Runtime, shard: &mut Shard, to: Neighbour) -> bool {
    let Some(link) = &runtime.links[usize::from(to.0)] else { return true };
    while let Some(item) = shard.links_mut().next(to) {
        match link.try_send(Item::Link(item)) {
            // A shard that has ended wants nothing.
            Ok(()) | Err(Refused::Closed(_)) => {}
            Err(Refused::Full(Item::Link(item))) => {
                shard.links_mut().put_back(to, item);
                return false;
            }
            Err(Refused::Full(_)) => unreachable!("a refused item is the one that was sent"),
        }
    }
    shard.on_link_room(to);
    true
}

/// Waits for room on a link and sends what is pending there, in order. It drains no link itself.
async fn send_when_room(runtime: Rc<Runtime>, to: Neighbour) {
    let Some(link) = &runtime.links[usize::from(to.0)] else { return };
    loop {
        let Some(item) = runtime.shard.borrow_mut().links_mut().next(to) else { break };
        if link.send(Item::Link(item)).await.is_err() {
            continue;
        }
        let mut shard = runtime.shard.borrow_mut();
        shard.on_link_room(to);
        runtime.apply(&mut shard);
    }
    runtime.link_waits[usize::from(to.0)].set(false);
    settle(&runtime).await;
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use corecast_executors::Stir;

    use super::*;
    use crate::ids::{SessionId, ShardId};
    use crate::limits::{READ_AHEAD_MAX, SEND_BYTES_WORTHWHILE};
    use crate::shard::ShardConfig;

    const BEGAN: MonotonicNs = MonotonicNs(7);

    fn session(slot: u32) -> SessionId {
        SessionId { slot, generation: 1 }
    }

    /// True if a flush waits for another read when so much was queued for so many sessions in that time.
    fn waits(queued_bytes: usize, sessions: u32, time: Duration) -> bool {
        let shard = Shard::new(ShardId(0), ShardConfig::default(), BEGAN);
        let runtime = Runtime::new(shard, vec![None], Stir::default(), BEGAN);
        let mut shard = runtime.shard.borrow_mut();
        shard.outbox().dirty.extend((0..sessions).map(session));
        shard.outbox().queued_bytes = queued_bytes;
        may_wait(&runtime, &mut shard, (BEGAN, BEGAN + time))
    }

    #[test]
    fn a_flush_waits_while_its_sends_would_be_short_and_not_for_long() {
        assert!(waits(10, 1, Duration::ZERO));
        assert!(!waits(10, 1, READ_AHEAD_MAX));
        assert!(!waits(0, 0, Duration::ZERO), "there is nothing to send");
        assert!(!waits(SEND_BYTES_WORTHWHILE, 1, Duration::ZERO));
        assert!(waits(SEND_BYTES_WORTHWHILE, 2, Duration::ZERO));
    }
}
