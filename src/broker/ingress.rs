//! A session's pump: waits until there is something to read, reads one turn of it, and hands it to the shard.

use std::rc::Rc;

use corecast_executors::{Either, MonotonicNs, end_turn, first, readable_sockets, spawn_local};
use tracing::field::display;
use tracing::warn;

use super::Item;
use super::connection::Connection;
use super::flush::{may_wait, settle};
use super::hand_over::Arrival;
use super::ingest::{end_stream, ingest};
use super::passwords;
use super::runtime::{ReadBuffers, Runtime};
use super::zmtp_ingest::{ingest_zmtp, unix_ns};
use crate::auth::Proof;
use crate::error::ErrorCode;
use crate::limits::{PARTIAL_BYTES_IN_SLAB, WRONG_PASSWORD_PAUSE};
use crate::shard::{Admission, Door, Moving, Parting};
use crate::transport::{Accepted, Stream};

/// The result of a turn of reading.
enum Turn {
    /// Wait for more.
    More,
    /// More is there: read it before what came is sent.
    Ahead,
    /// Other sessions have input, which is read before what came is sent.
    Others,
    /// The stream has ended or failed.
    Ended,
}

/// Takes a connection that was placed here. If the shard is full or stopping, or there are too many strangers, it is closed, and
/// placement is told.
pub(super) fn adopt_or_refuse(runtime: &Rc<Runtime>, accepted: Accepted, door: Door) {
    // Before any work is done for it.
    let taken =
        has_room(runtime, &accepted) && accepted.adopt().is_ok_and(|stream| adopt(runtime, stream, door));
    if !taken {
        let runtime = Rc::clone(runtime);
        spawn_local(async move { tell_acceptor(&runtime, Item::Left(runtime.id)).await }).detach();
    }
}

fn has_room(runtime: &Runtime, accepted: &Accepted) -> bool {
    let peer = accepted.peer();
    let room = Admission::of(&mut runtime.shard.borrow_mut()).make_room(peer);
    if let Err(crowd) = room {
        runtime.log_limited("turned_away", |more| {
            let peer = peer.map(display);
            warn!(shard = %runtime.id, peer, reason = %crowd, more, "turned a connection away");
        });
    }
    room.is_ok()
}

/// Takes a connection over and starts its pump. `false`: this shard takes none, and it is closed.
pub(super) fn adopt(runtime: &Rc<Runtime>, stream: Stream, door: Door) -> bool {
    runtime.stir();
    // Asked now: the kernel forgets it with the connection.
    let shown = stream.peer_uid().map_or(Proof::None, Proof::Uid);
    let identity = door.identity(shown, stream.peer());
    let opened = runtime.shard.borrow_mut().on_open(door, identity);
    let Some(id) = opened else { return false };
    if !stream.can_move() {
        Moving::of(&mut runtime.shard.borrow_mut()).bind(id);
    }
    start(runtime, Connection::new(id, door, stream));
    true
}

/// Starts the pump of a connection whose session is open.
pub(super) fn start(runtime: &Rc<Runtime>, connection: Connection) {
    let connection = Rc::new(connection);
    runtime.connections.file(&connection);
    spawn_local(pump(Rc::clone(runtime), connection)).detach();
}

/// Each round ends in a wait for the ring, so that the reactor polls between turns.
async fn pump(runtime: Rc<Runtime>, connection: Rc<Connection>) {
    let id = connection.id;
    settle(&runtime).await;
    wait_if_slowed(&runtime, &connection).await;
    let mut reads_ahead = false;
    while !connection.is_cut_off() {
        if reads_ahead {
            end_turn().await;
        } else if let Err(error) = connection.stream.readable_or(|| connection.is_called()).await {
            connection.note_failure(error);
            break;
        }
        if connection.is_called() {
            if departs(&runtime, &connection).await {
                return hand_over(&runtime, connection).await;
            }
            continue;
        }
        if connection.begun.get().held_bytes > PARTIAL_BYTES_IN_SLAB {
            runtime.shard.borrow_mut().on_readable(id);
            wait_while_held(&runtime, &connection).await;
            if connection.is_called() {
                // Of a session that is about to move nothing is read.
                continue;
            }
        }
        let turn = turn(&runtime, &connection);
        reads_ahead = matches!(turn, Turn::Ahead);
        match turn {
            Turn::Ended => {
                end_stream(&mut runtime.shard.borrow_mut(), id, connection.begun.get().received_bytes > 0);
                break;
            }
            Turn::Ahead => continue,
            Turn::More => settle(&runtime).await,
            Turn::Others => {
                // By now they have all had their turn, and the last one has settled. If it waits for something else, this does.
                end_turn().await;
                settle(&runtime).await;
            }
        }
        wait_for_verdict(&runtime, &connection).await;
        catch_up(&runtime, &connection).await;
        wait_while_held(&runtime, &connection).await;
    }
    // A farewell that has just been said leaves now or never.
    settle(&runtime).await;
    runtime.unfile(&connection);
    // A stream may fail on a socket that has not: a task that waits to send there is let go.
    connection.end();
    settle(&runtime).await;
    // Nobody placed a connection that was made from here.
    let was_placed = !matches!(connection.door, Door::Relay(_));
    // Its descriptor is free before the acceptor hears of it.
    drop(connection);
    if was_placed {
        tell_acceptor(&runtime, Item::Left(runtime.id)).await;
    }
}

/// Delays the first read of a connection whose host has had too many failed logins.
async fn wait_if_slowed(runtime: &Runtime, connection: &Connection) {
    let delay = Admission::of(&mut runtime.shard.borrow_mut()).reading_delay(connection.id);
    let Some(delay) = delay else { return };
    runtime.log_limited("login_slowed", |more| {
        let peer = connection.stream.peer().map(display);
        warn!(shard = %runtime.id, peer, more, "too many failed logins from this host: its new connections are read late");
    });
    first(runtime.after(delay), until_ended(connection)).await;
}

fn turn(runtime: &Rc<Runtime>, connection: &Connection) -> Turn {
    let began = MonotonicNs::now();
    runtime.hear(began);
    let mut buffers = runtime.buffers.borrow_mut();
    let ReadBuffers { slab, spans, zmtp } = &mut *buffers;
    let mut reader = connection.reader.borrow_mut();
    let space = reader.space(slab);
    let space_bytes = space.len();
    let received = match connection.stream.try_recv(space) {
        Ok(Some(0)) => return Turn::Ended,
        Ok(received) => received.unwrap_or(0),
        Err(error) => {
            connection.note_failure(error);
            return Turn::Ended;
        }
    };
    reader.received(received);
    if received == 0 {
        reader.discard(slab, 0);
        return Turn::More;
    }
    let mut shard = runtime.shard.borrow_mut();
    if let Some(names) = connection.stream.take_peer_names() {
        shard.on_shown(connection.id, Proof::Certificate(names));
    }
    let begun = match connection.door {
        Door::Native | Door::Relay(_) | Door::Local => {
            ingest(&mut shard, connection.id, &mut reader, slab, spans)
        }
        Door::Zmtp(_) => {
            let begun = ingest_zmtp(&mut shard, connection.id, &mut reader, slab, zmtp, unix_ns());
            connection.password.set(shard.outbox().password.take());
            begun
        }
    };
    connection.begun.set(begun);
    if shard.wants_tick() {
        runtime.time.end_rest();
    }
    let now = MonotonicNs::now();
    let spent_us = now.saturating_since(began).as_micros();
    shard.counters_mut().turn_us.record(u64::try_from(spent_us).unwrap_or(u64::MAX));
    let is_full = connection.stream.may_have_more(received, space_bytes);
    let goes_on = is_full || readable_sockets() > 0;
    let (sessions, id) = (shard.sessions(), connection.id);
    if !goes_on
        || sessions.is_held(id)
        || sessions.is_behind(id)
        || !may_wait(runtime, &mut shard, (began, now))
    {
        Turn::More
    } else if is_full {
        Turn::Ahead
    } else {
        Turn::Others
    }
}

async fn wait_while_held(runtime: &Runtime, connection: &Connection) {
    let is_held = || runtime.shard.borrow().sessions().is_held(connection.id);
    while is_held() && !connection.has_ended() && !connection.is_called() {
        connection.wake.wait().await;
    }
}

/// Waits until the password that a peer has shown is checked: before that it has nothing to say. A wrong one is answered late, so
/// that nobody tries many.
async fn wait_for_verdict(runtime: &Rc<Runtime>, connection: &Connection) {
    let Some(check) = connection.password.take() else { return };
    let verdict = match passwords::check(check, runtime.time.stir()) {
        Ok(mut answer) => match first(answer.recv(), until_ended(connection)).await {
            Either::Left(Some(verdict)) => verdict,
            Either::Left(None) => {
                Err((ErrorCode::HandshakeTimeout, "nobody checks passwords any more".to_owned()))
            }
            Either::Right(()) => return,
        },
        Err(verdict) => verdict,
    };
    if verdict.is_err() {
        first(runtime.after(WRONG_PASSWORD_PAUSE), until_ended(connection)).await;
    }
    runtime.stir();
    runtime.shard.borrow_mut().on_verdict(connection.id, verdict);
    settle(runtime).await;
}

async fn until_ended(connection: &Connection) {
    while !connection.has_ended() {
        connection.wake.wait().await;
    }
}

/// Waits for what becomes of a session that is about to move, and reads nothing meanwhile. Returns true if it leaves: then
/// no task waits for its connection.
async fn departs(runtime: &Runtime, connection: &Connection) -> bool {
    while !connection.is_cut_off() {
        connection.take_call();
        let departure = Moving::of(&mut runtime.shard.borrow_mut()).departure(connection.id);
        match departure {
            Parting::Leaves if !connection.is_flushing() => return true,
            Parting::Leaves => connection.let_go(true),
            Parting::Waits => {}
            Parting::Stays if connection.is_let_go() && connection.is_flushing() => {}
            Parting::Stays => {
                connection.let_go(false);
                if connection.take_interrupted() {
                    Moving::of(&mut runtime.shard.borrow_mut()).connect(connection.id);
                }
                return false;
            }
        }
        connection.wake.wait().await;
    }
    false
}

/// Gives a session that leaves, and its connection, to another shard.
async fn hand_over(runtime: &Rc<Runtime>, connection: Rc<Connection>) {
    let left = Moving::of(&mut runtime.shard.borrow_mut()).leave(connection.id);
    let (to, place) = left.expect("a session that can leave does so in the same turn");
    runtime.connections.unfile(connection.id);
    let _on_its_way = runtime.hand_overs.begin();
    settle(runtime).await;
    let connection = Rc::into_inner(connection).expect("a connection that nobody waits for is its pump's");
    let door = connection.door;
    let (stream, read) = connection.into_parts();
    let accepted = Accepted::again(stream);
    let link = runtime.links[usize::from(to.0)].as_ref().expect("sessions move to other shards");
    // A shard that has ended has cut its sessions off.
    let arrival = Arrival { place, accepted, read, door, from: runtime.id };
    let _ = link.send(Item::Connection(Box::new(arrival))).await;
}

/// Does the rest of the last turn's reading that was more than a turn's work, in turns of its own.
async fn catch_up(runtime: &Rc<Runtime>, connection: &Connection) {
    while runtime.shard.borrow().sessions().is_behind(connection.id) && !connection.has_ended() {
        end_turn().await;
        runtime.hear(MonotonicNs::now());
        go_on(runtime, connection);
        settle(runtime).await;
    }
}

fn go_on(runtime: &Runtime, connection: &Connection) {
    let mut shard = runtime.shard.borrow_mut();
    shard.go_on(connection.id);
    if shard.wants_tick() {
        runtime.time.end_rest();
    }
}

/// Tells placement, which counts the sessions of each shard, that one of this shard has ended, or has moved here.
pub(super) async fn tell_acceptor(runtime: &Runtime, item: Item) {
    match (&runtime.links[0], item) {
        // The first shard is where the acceptor is: it counts its own.
        (None, Item::Left(shard)) => runtime.placement.session_left(shard),
        (None, Item::Moved { from, to }) => runtime.placement.session_moved(from, to),
        (None, _) => unreachable!("placement counts sessions"),
        (Some(link), item) => {
            // An acceptor that has ended places nothing any more.
            let _ = link.send(item).await;
        }
    }
}

#[cfg(test)]
mod tests;
