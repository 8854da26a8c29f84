//! Sessions over streams of each kind, on an executor of their own.

use std::io::{self, IoSlice, Write};
use std::sync::mpsc;
use std::time::Duration;

use corecast_executors::{Idle, PoolConfig, ShardContext, Topology, first, link, start};

use super::super::{ExecutorConfig, Listener, body, listener};
use super::*;
use crate::ids::SessionId;
use crate::shard::ShardConfig;
use crate::telemetry::{CloseReason, Pulse};
use crate::transport::{
    ConnectConfig, Endpoint, KNOCK, ListenConfig, Listening, SEALED_HOST, SocketFile, Stranger, listen,
    sealed_pair, tls_pair,
};
use crate::wire::greeting::{self, GREETING_BYTES};
use crate::wire::{Frame, encode, split};

mod moves;

/// Runs `body` beside the pumps of a shard, whose executor is idle in this way, and then the shard to its end.
fn beside_a_shard<T: Send + 'static, F: Future<Output = T>>(
    idle: Idle,
    body: impl Fn(Rc<Runtime>) -> F + Send + Clone + 'static,
) -> T {
    let cores = Topology::detect().expect("this process has some").allowed().to_vec();
    let config = PoolConfig { cores, idle, ..PoolConfig::single("test") };
    let (done, mut result) = link(1);
    let run = move |context: ShardContext<Item>| {
        let (done, body) = (done.clone(), body.clone());
        async move {
            let config = ExecutorConfig {
                shard: ShardConfig::default(),
                connect: ConnectConfig::default(),
                carrier: None,
            };
            let (runtime, commands) = body::begin(context, &config, Pulse::default());
            let _ = done.try_send(body(Rc::clone(&runtime)).await);
            body::serve(runtime, commands).await;
        }
    };
    let pool = start(&config, run).expect("an executor");
    let result = result.recv_blocking().expect("the body has ended");
    pool.stop().expect("it ends in order");
    result
}

/// Waits until something is so, turn by turn.
async fn until(mut is_so: impl FnMut() -> bool) {
    while !is_so() {
        end_turn().await;
    }
}

/// Accepts native sessions at an endpoint. Returns the endpoint with its port, and its file.
fn accept_at(runtime: &Rc<Runtime>, endpoint: &str) -> (Endpoint, Option<SocketFile>) {
    let endpoint: Endpoint = endpoint.parse().expect("an endpoint");
    let listening = listen(&endpoint, &ListenConfig::default()).expect("nobody listens there");
    let Listening { file, sockets, endpoint } = listening;
    for socket in sockets {
        let listener = Listener { socket, endpoint: endpoint.clone(), door: Door::Native };
        let acceptor = runtime.placement.add_acceptor();
        spawn_local(listener::accept(Rc::clone(runtime), listener, acceptor)).detach();
    }
    (endpoint, file)
}

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

/// The words of a session that says hello, and subscribes to what it publishes.
fn words_to_itself(messages: u64) -> Vec<u8> {
    let mut bytes = greeting::ours().to_vec();
    encode(&Frame::Hello { name: "", overflow: 0, previous: 0, ticket: 0 }, &mut bytes);
    encode(&Frame::Subscribe { filter: b"a", request: 1, subscriber: 1, kind: 1 }, &mut bytes);
    for sequence in 1..=messages {
        let payload = vec![sequence as u8; 30_000];
        let message =
            Frame::Message { topic: b"a", payload: &payload, publisher: 1, sequence, sent_at_ns: 0 };
        encode(&message, &mut bytes);
    }
    bytes
}

/// Makes two ends of a stream with a handshake.
type Pair = fn() -> io::Result<(Stream, Stream)>;

/// Every kind of stream with a handshake, on executors that are idle in every way.
fn ways() -> impl Iterator<Item = (Idle, Pair)> {
    let pairs: [Pair; 2] = [sealed_pair, tls_pair];
    let idle = [Idle::Park, Idle::Spin(Duration::from_micros(50)), Idle::Busy];
    idle.into_iter().flat_map(move |idle| pairs.map(|pair| (idle, pair)))
}

#[test]
fn a_stream_that_must_write_before_it_reads_is_served_like_any_other() {
    const MESSAGES: u64 = 100;
    for (idle, pair) in ways() {
        let payloads = beside_a_shard(idle, move |runtime| async move {
            let (ours, theirs) = pair().unwrap();
            runtime.placement.place(|_| false);
            assert!(adopt(&runtime, ours, Door::Native));
            // The broker greets at once; nothing is read before all is sent.
            theirs.readable().await.unwrap();
            send_all(&theirs, &words_to_itself(MESSAGES)).await;
            read_messages(&theirs, MESSAGES).await
        });
        let wanted = (1..=MESSAGES).map(|sequence| vec![sequence as u8; 30_000]);
        assert!(payloads.into_iter().eq(wanted), "every message, once and in order");
    }
}

#[test]
fn input_that_waits_in_a_stream_is_read_though_its_socket_has_none() {
    for (idle, pair) in ways() {
        beside_a_shard(idle, move |_| async move {
            let (one, other) = pair().unwrap();
            // Both have to read for it to open.
            let sent = first(one.readable(), send_all(&one, b"abc"));
            first(sent, other.readable()).await;
            for byte in b"abc" {
                other.readable().await.unwrap();
                let mut buffer = [0];
                assert_eq!((other.try_recv(&mut buffer).unwrap(), buffer[0]), (Some(1), *byte));
            }
        });
    }
}

/// Where log lines of this thread go.
struct Lines(mpsc::Sender<Vec<u8>>);

impl Write for Lines {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        self.0.send(line.to_vec()).map_err(io::Error::other)?;
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// The reason why a session ended whose peer says this instead of its half of a handshake and then no more, and what the
/// log says of it, with `PEER` in the place of its address.
fn end_after(words: &'static [u8]) -> (CloseReason, String) {
    beside_a_shard(Idle::Park, move |runtime| async move {
        let (lines, logged) = mpsc::channel();
        let writer = move || Lines(lines.clone());
        let subscriber = tracing_subscriber::fmt().with_writer(writer).with_ansi(false).finish();
        // While there is but one dispatcher, the first thread that comes by a line decides whether it is of interest, and
        // that may be the thread of another test, which has none (tracing-core 0.1).
        let _another = tracing::Dispatch::new(tracing::subscriber::NoSubscriber::default());
        let _logs = tracing::subscriber::set_default(subscriber);
        let (endpoint, _) = accept_at(&runtime, &format!("tcp://{SEALED_HOST}:0"));
        let mut peer = Stranger::connect(&endpoint);
        peer.say(words);
        peer.fall_silent();
        until(|| runtime.shard.borrow().counters().closes.total() == 1).await;
        let reasons = [CloseReason::PeerClosed, CloseReason::IoError, CloseReason::StreamHandshake];
        let closes = runtime.shard.borrow().counters().closes.clone();
        let reason = reasons.into_iter().find(|reason| closes[*reason] == 1).expect("one of these");
        let log = String::from_utf8(logged.try_iter().flatten().collect()).unwrap();
        (reason, log.replace(&peer.address().to_string(), "PEER"))
    })
}

#[test]
fn a_handshake_that_fails_is_a_reason_with_the_peer_and_the_error() {
    for (words, error) in [(&b"GET /"[..], "it does not knock"), (&KNOCK[..1], "unexpected end of file")] {
        let (reason, log) = end_after(words);
        assert_eq!(reason, CloseReason::StreamHandshake);
        let line = format!(" peer=PEER reason=\"stream_handshake\" error={error} ");
        assert!(log.contains("session ended") && log.contains(&line), "{line} is not in {log}");
    }
    let (reason, log) = end_after(b"");
    assert_eq!((reason, log.as_str()), (CloseReason::PeerClosed, ""), "as a probe of the port does");
}

#[test]
fn a_connection_whose_handshake_fails_is_closed_though_a_task_waits_to_send_on_it() {
    beside_a_shard(Idle::Park, |runtime| async move {
        let (endpoint, _) = accept_at(&runtime, &format!("tcp://{SEALED_HOST}:0"));
        let mut peer = Stranger::connect(&endpoint);
        let id = SessionId { slot: 0, generation: 1 };
        until(|| runtime.connections.get(id).is_some()).await;
        let connection = Rc::downgrade(&runtime.connections.get(id).expect("it is there"));
        // The greeting of the broker waits, and so does the peer.
        peer.say(b"GET /");
        until(|| connection.strong_count() == 0).await;
        peer.hear_the_end();
    });
}

#[test]
fn handshakes_take_turns_and_everybody_else_has_a_turn_between_two() {
    const PAIRS: usize = 64;
    let rounds = beside_a_shard(Idle::Park, |_| async {
        let pairs: Vec<_> = (0..PAIRS).map(|_| tls_pair().unwrap()).collect();
        let ends: Vec<Rc<Stream>> =
            pairs.into_iter().flat_map(|(one, other)| [one, other]).map(Rc::new).collect();
        for end in &ends {
            let end = Rc::clone(end);
            // There is nothing to be read: it opens, and waits.
            spawn_local(async move { drop(end.readable().await) }).detach();
        }
        let mut rounds = 0;
        until(|| {
            rounds += 1;
            ends.iter().all(|end| end.is_open())
        })
        .await;
        rounds
    });
    // A server takes two steps, and a client one.
    assert!(rounds >= 2 * PAIRS, "{rounds} rounds for the handshakes of {PAIRS} pairs");
}

#[test]
fn an_encrypted_stream_tells_whether_more_waits_than_was_read() {
    let reads = beside_a_shard(Idle::Park, |_| async {
        let (one, other) = tls_pair().unwrap();
        let one = Rc::new(one);
        let sender = Rc::clone(&one);
        // It has to read for it to open.
        let send = async move { drop(first(sender.readable(), send_all(&sender, &[7; 150_000])).await) };
        spawn_local(send).detach();
        other.readable().await.unwrap();
        let (mut reads, mut received) = (Vec::new(), 0);
        let mut buffer = vec![0; 64 << 10];
        while received < 150_000 {
            other.readable().await.unwrap();
            let Some(bytes) = other.try_recv(&mut buffer).unwrap() else { continue };
            received += bytes;
            reads.push(other.may_have_more(bytes, buffer.len()));
        }
        reads
    });
    assert_eq!(reads.last(), Some(&false), "{reads:?}");
    assert!(reads.contains(&true), "{reads:?}");
}
