//! A session's pump: waits until there is something to read, reads one turn of it, and hands it to the shard.

use std::rc::Rc;

use corecast_executors::{MonotonicNs, end_turn, spawn_local};

use super::Item;
use super::connection::{Connection, is_peers_end};
use super::flush::settle;
use super::ingest::{end_stream, ingest};
use super::runtime::{ReadBuffers, Runtime};
use super::zmtp_ingest::{ingest_zmtp, unix_ns};
use crate::limits::PARTIAL_BYTES_IN_SLAB;
use crate::shard::Door;
use crate::transport::{Accepted, Stream};

/// The result of a turn of reading.
enum Turn {
    /// Wait for more.
    More,
    /// The stream has ended, in order or (`true`) with an error of the operating system.
    Ended(bool),
}

/// Takes a connection that was placed here; if the shard is full or stopping it is closed, and placement told.
pub(super) fn adopt_or_refuse(runtime: &Rc<Runtime>, accepted: Accepted, door: Door) {
    let taken = accepted.adopt().is_ok_and(|stream| adopt(runtime, stream, door));
    if !taken {
        let runtime = Rc::clone(runtime);
        spawn_local(async move { tell_acceptor(&runtime).await }).detach();
    }
}

/// Takes a connection over and starts its pump. `false`: this shard takes none, and it is closed.
pub(super) fn adopt(runtime: &Rc<Runtime>, stream: Stream, door: Door) -> bool {
    runtime.stir();
    // Asked now: the kernel forgets it with the connection.
    let identity = door.identity(stream.peer());
    let opened = runtime.shard.borrow_mut().on_open(door, identity);
    let Some(id) = opened else { return false };
    let connection = Rc::new(Connection::new(id, door, stream));
    runtime.connections.file(&connection);
    spawn_local(pump(Rc::clone(runtime), connection)).detach();
    true
}

/// Each round ends in a wait for the ring, so that the reactor polls between turns.
async fn pump(runtime: Rc<Runtime>, connection: Rc<Connection>) {
    let id = connection.id;
    settle(&runtime).await;
    let io_failed = loop {
        if connection.is_cut_off() {
            break false;
        }
        if connection.stream.readable().await.is_err() {
            break true;
        }
        if connection.reader.borrow().partial_bytes() > PARTIAL_BYTES_IN_SLAB {
            runtime.shard.borrow_mut().on_readable(id);
            wait_while_held(&runtime, &connection).await;
        }
        match turn(&runtime, &connection) {
            Turn::Ended(io_failed) => {
                end_stream(&mut runtime.shard.borrow_mut(), id, connection.has_begun.get());
                break io_failed;
            }
            Turn::More => settle(&runtime).await,
        }
        catch_up(&runtime, &connection).await;
        wait_while_held(&runtime, &connection).await;
    };
    // A farewell that has just been said leaves now or never.
    settle(&runtime).await;
    runtime.unfile(id, io_failed || connection.io_failed());
    settle(&runtime).await;
    // Nobody placed a connection that was made from here.
    let was_placed = !matches!(connection.door, Door::Relay(_));
    // Its descriptor is free before the acceptor hears of it.
    drop(connection);
    if was_placed {
        tell_acceptor(&runtime).await;
    }
}

fn turn(runtime: &Runtime, connection: &Connection) -> Turn {
    let began = MonotonicNs::now();
    runtime.hear(began);
    let mut buffers = runtime.buffers.borrow_mut();
    let ReadBuffers { slab, spans, zmtp } = &mut *buffers;
    let mut reader = connection.reader.borrow_mut();
    let space = reader.space(slab);
    let received = match connection.stream.try_recv(space) {
        Ok(Some(0)) => return Turn::Ended(false),
        Ok(received) => received.unwrap_or(0),
        Err(error) => return Turn::Ended(!is_peers_end(&error)),
    };
    reader.received(slab, received);
    if received == 0 {
        reader.discard(slab, 0);
        return Turn::More;
    }
    let mut shard = runtime.shard.borrow_mut();
    let begun = match connection.door {
        Door::Native | Door::Relay(_) | Door::Local => {
            ingest(&mut shard, connection.id, &mut reader, slab, spans)
        }
        Door::Zmtp(_) => ingest_zmtp(&mut shard, connection.id, &mut reader, slab, zmtp, unix_ns()),
    };
    connection.has_begun.set(begun.received_bytes > 0);
    if shard.wants_tick() {
        runtime.time.end_rest();
    }
    let spent_us = MonotonicNs::now().saturating_since(began).as_micros();
    shard.counters_mut().turn_us.record(u64::try_from(spent_us).unwrap_or(u64::MAX));
    Turn::More
}

async fn wait_while_held(runtime: &Runtime, connection: &Connection) {
    while runtime.shard.borrow().sessions().is_held(connection.id) && !connection.has_ended() {
        connection.wake.wait().await;
    }
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

/// Tells placement, which counts the sessions of each shard, that one of this shard has ended.
async fn tell_acceptor(runtime: &Runtime) {
    match &runtime.links[0] {
        // The first shard is where the acceptor is: it counts its own.
        None => runtime.placement.session_left(runtime.id),
        Some(link) => {
            // An acceptor that has ended places nothing any more.
            let _ = link.send(Item::Left(runtime.id)).await;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::IoSlice;
    use std::sync::Arc;

    use corecast_executors::{PoolConfig, ShardContext, link, start};

    use super::super::body;
    use super::*;
    use crate::shard::ShardConfig;
    use crate::telemetry::Pulse;
    use crate::transport::sealed_pair;
    use crate::wire::greeting::{self, GREETING_BYTES};
    use crate::wire::{Frame, encode, split};

    async fn send_all(stream: &Stream, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            match stream.try_send_vectored(&[IoSlice::new(bytes)]).unwrap() {
                Some(sent) => bytes = &bytes[sent..],
                None => stream.writable().await.unwrap(),
            }
        }
    }

    /// Reads so many messages, and returns their payloads.
    async fn read_messages(stream: &Stream, messages: u64) -> Vec<Vec<u8>> {
        let (mut bytes, mut at, mut payloads) = (Vec::new(), GREETING_BYTES, Vec::new());
        let mut buffer = vec![0; 64 << 10];
        let mut spans = Vec::new();
        while payloads.len() < messages as usize {
            stream.readable().await.unwrap();
            let Some(received) = stream.try_recv(&mut buffer).unwrap() else { continue };
            assert!(received > 0, "the broker has closed the connection");
            bytes.extend_from_slice(&buffer[..received]);
            let Some(rest) = bytes.get(at..) else { continue };
            spans.clear();
            at += split(rest, usize::MAX, &mut spans).whole_bytes;
            for span in &spans {
                if let Frame::Message { payload, .. } = span.frame(rest) {
                    payloads.push(payload.to_vec());
                }
            }
        }
        payloads
    }

    /// A session that says hello, subscribes to what it publishes, and reads nothing before it has sent all.
    async fn hears_itself(stream: &Stream, messages: u64) -> Vec<Vec<u8>> {
        let mut bytes = greeting::ours().to_vec();
        encode(&Frame::Hello { name: "", overflow: 0, previous: 0, ticket: 0 }, &mut bytes);
        encode(&Frame::Subscribe { filter: b"a", request: 1, subscriber: 1, kind: 1 }, &mut bytes);
        for sequence in 1..=messages {
            let payload = vec![sequence as u8; 30_000];
            let message =
                Frame::Message { topic: b"a", payload: &payload, publisher: 1, sequence, sent_at_ns: 0 };
            encode(&message, &mut bytes);
        }
        send_all(stream, &bytes).await;
        read_messages(stream, messages).await
    }

    #[test]
    fn a_stream_that_must_write_before_it_reads_is_served_like_any_other() {
        const MESSAGES: u64 = 100;
        let config = PoolConfig::single("test");
        let (done, mut result) = link(1);
        let shard_config = Arc::new(ShardConfig::default());
        let pool = start(&config, move |context: ShardContext<Item>| {
            let (done, shard_config) = (done.clone(), Arc::clone(&shard_config));
            async move {
                let (runtime, commands) = body::begin(context, &shard_config, Pulse::default());
                let (ours, theirs) = sealed_pair().unwrap();
                runtime.placement.place();
                assert!(adopt(&runtime, ours, Door::Native));
                let _ = done.try_send(hears_itself(&theirs, MESSAGES).await);
                drop(theirs);
                body::serve(runtime, commands).await;
            }
        });
        let pool = pool.expect("an executor");
        let payloads = result.recv_blocking().expect("the body has ended");
        pool.stop().expect("it ends in order");
        let wanted = (1..=MESSAGES).map(|sequence| vec![sequence as u8; 30_000]);
        assert!(payloads.into_iter().eq(wanted), "every message, once and in order");
    }
}
