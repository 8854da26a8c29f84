//! A session's pump: waits until there is something to read, reads one turn of it, and hands whole frames to the
//! shard. [`ingest`] is the part without I/O, which simulations drive too.

use std::rc::Rc;

use corecast_executors::{MonotonicNs, end_turn};

use super::Item;
use super::runtime::{Connection, Runtime, is_peers_end};
use super::zmtp_ingress::{ingest_zmtp, unix_ns};
use crate::auth::Identity;
use crate::error::ErrorCode;
use crate::ids::SessionId;
use crate::limits::{HELLO_BYTES_MAX, LENGTH_BYTES, PARTIAL_BYTES_IN_SLAB};
use crate::shard::{Door, Phase, Shard};
use crate::transport::Stream;
use crate::wire::greeting::{self, GREETING_BYTES, Greeting};
use crate::wire::{Reader, Slab, Span, WireError, announced_bytes, split};

/// What a turn of reading came to.
enum Turn {
    /// Wait for more.
    More,
    /// The stream has ended, in order or (`true`) with an error of the operating system.
    Ended(bool),
}

/// Takes what a session's reader holds after a read: the greeting first, then frames. What is whole goes to the
/// shard, what is not stays in the reader, and what is wrong ends the session.
pub fn ingest(shard: &mut Shard, id: SessionId, reader: &mut Reader, slab: &mut Slab, spans: &mut Vec<Span>) {
    let mut greeted = 0;
    match shard.phase(id) {
        Some(Phase::Hello | Phase::Open) => {}
        Some(Phase::Greeting) => match greeting::parse(reader.filled(slab)) {
            Ok(Greeting::NeedMore) => return reader.discard(slab, 0),
            Ok(Greeting::Version(_)) => {
                greeted = GREETING_BYTES;
                shard.on_greeting(id, Ok(()));
            }
            Err(code) => {
                shard.on_greeting(id, Err(code));
                return discard_all(reader, slab);
            }
        },
        Some(Phase::Closing | Phase::Shut) | None => return discard_all(reader, slab),
    }
    spans.clear();
    let filled = &reader.filled(slab)[greeted..];
    if shard.phase(id) == Some(Phase::Hello)
        && let Some(error) = too_long_for_a_hello(filled)
    {
        shard.on_wire_error(id, &error);
        return discard_all(reader, slab);
    }
    let found = split(filled, shard.frame_bytes_max(), spans);
    let bytes = reader.take(slab, greeted + found.whole_bytes).slice(greeted..);
    shard.on_frames(id, &bytes, spans);
    if let Some(error) = found.error {
        shard.on_wire_error(id, &error);
    }
    shard.on_partial(id, reader.partial_frame(), !spans.is_empty());
}

/// Before the hello nobody is known: little of a stranger is kept.
fn too_long_for_a_hello(bytes: &[u8]) -> Option<WireError> {
    let body_bytes = announced_bytes(bytes)? - LENGTH_BYTES;
    if body_bytes <= HELLO_BYTES_MAX {
        return None;
    }
    let text =
        format!("the first frame, a hello, announces {body_bytes} bytes; the limit is {HELLO_BYTES_MAX}");
    Some(WireError::new(ErrorCode::TooLarge, text))
}

pub(super) fn discard_all(reader: &mut Reader, slab: &mut Slab) {
    let all = reader.filled(slab).len();
    reader.discard(slab, all);
}

impl Runtime {
    /// Takes a connection over and starts its pump. `false`: this shard takes none, and it is closed.
    pub(super) fn adopt(self: &Rc<Self>, stream: Stream, door: Door) -> bool {
        self.stir();
        // Asked now: the kernel forgets it with the connection.
        let identity = Identity::Anonymous(stream.peer());
        let opened = self.shard.borrow_mut().on_open(door, identity);
        let Some(id) = opened else { return false };
        let connection = Rc::new(Connection::new(id, door, stream));
        self.file(&connection);
        corecast_executors::spawn_local(pump(Rc::clone(self), connection)).detach();
        true
    }

    fn turn(&self, connection: &Connection) -> Turn {
        let begun = MonotonicNs::now();
        self.hear(begun);
        let mut slab = self.slab.borrow_mut();
        let mut reader = connection.reader.borrow_mut();
        let space = reader.space(&mut slab);
        let received = match connection.stream.try_recv(space) {
            Ok(Some(0)) => return Turn::Ended(false),
            Ok(received) => received.unwrap_or(0),
            Err(error) => return Turn::Ended(!is_peers_end(&error)),
        };
        reader.received(&slab, received);
        if received == 0 {
            reader.discard(&mut slab, 0);
            return Turn::More;
        }
        let mut shard = self.shard.borrow_mut();
        let (shard_ref, id) = (&mut *shard, connection.id);
        match connection.door {
            Door::Native | Door::Relay(_) | Door::Local => {
                ingest(shard_ref, id, &mut reader, &mut slab, &mut self.spans.borrow_mut())
            }
            Door::Zmtp(_) => {
                ingest_zmtp(shard_ref, id, &mut reader, &mut slab, &mut self.zmtp.borrow_mut(), unix_ns());
            }
        }
        if shard.wants_tick() {
            self.end_rest();
        }
        let spent_us = MonotonicNs::now().saturating_since(begun).as_micros();
        shard.counters_mut().turn_us.record(u64::try_from(spent_us).unwrap_or(u64::MAX));
        Turn::More
    }
}

/// Each round ends in a wait for the ring, so that the reactor polls between turns.
async fn pump(runtime: Rc<Runtime>, connection: Rc<Connection>) {
    let id = connection.id;
    runtime.settle().await;
    let io_failed = loop {
        if connection.is_cut_off() {
            break false;
        }
        if connection.stream.readable().await.is_err() {
            break true;
        }
        if connection.reader.borrow().partial_bytes() > PARTIAL_BYTES_IN_SLAB {
            runtime.shard.borrow_mut().on_readable(id);
            runtime.wait_while_held(&connection).await;
        }
        match runtime.turn(&connection) {
            Turn::Ended(io_failed) => {
                runtime.refuse_half_frame(&connection);
                break io_failed;
            }
            Turn::More => runtime.settle().await,
        }
        runtime.catch_up(&connection).await;
        runtime.wait_while_held(&connection).await;
    };
    // A farewell that has just been said leaves now or never.
    runtime.settle().await;
    runtime.unfile(id, io_failed || connection.io_failed.get());
    runtime.settle().await;
    // Nobody placed a connection that was made from here.
    let was_placed = !matches!(connection.door, Door::Relay(_));
    // Its descriptor is free before the acceptor hears of it.
    drop(connection);
    if was_placed {
        runtime.tell_acceptor().await;
    }
}

impl Runtime {
    async fn wait_while_held(&self, connection: &Connection) {
        while self.shard.borrow().is_held(connection.id) && !connection.ended.get() {
            connection.wake.wait().await;
        }
    }

    /// Does what of the last turn's reading was more than a turn's work, in turns of its own.
    async fn catch_up(self: &Rc<Self>, connection: &Connection) {
        while self.shard.borrow().is_behind(connection.id) && !connection.ended.get() {
            end_turn().await;
            self.hear(MonotonicNs::now());
            self.go_on(connection.id);
            self.settle().await;
        }
    }

    fn go_on(&self, id: SessionId) {
        let mut shard = self.shard.borrow_mut();
        shard.go_on(id);
        if shard.wants_tick() {
            self.end_rest();
        }
    }

    /// The stream is over, and not where a frame is: a peer that only shut its side down can still read of it.
    fn refuse_half_frame(&self, connection: &Connection) {
        let mut shard = self.shard.borrow_mut();
        let begun = connection.reader.borrow().partial_bytes() > 0;
        if begun && matches!(shard.phase(connection.id), Some(Phase::Hello | Phase::Open)) {
            let error = WireError::new(ErrorCode::Malformed, "the stream ended within a frame");
            shard.on_wire_error(connection.id, &error);
        }
    }

    /// Placement counts the sessions of each shard; one of ours has ended.
    pub(super) async fn tell_acceptor(&self) {
        match &self.links[0] {
            // The first shard is where the acceptor is: it counts its own.
            None => self.session_left(self.id),
            Some(link) => {
                // An acceptor that has ended places nothing any more.
                let _ = link.send(Item::Left).await;
            }
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
    use crate::wire::{Frame, encode};

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
                runtime.placement.borrow_mut().place();
                assert!(runtime.adopt(ours, Door::Native));
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
