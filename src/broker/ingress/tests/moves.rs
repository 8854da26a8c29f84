//! Sessions that move from executor to executor and back at every tick, over sockets, while their clients talk.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;

use corecast_executors::{TICK, pause};

use super::*;
use crate::fanout::{OverflowPolicy, QueueBounds};
use crate::ids::ShardId;
use crate::wire::encode_to_vec;

/// Moves to be seen.
const MOVES: u64 = 200;

const PUBLISHERS: u64 = 2;

/// Time limit of whatever a client waits for.
const PATIENCE: Duration = Duration::from_secs(120);

/// An order to two executors, and their figures as of their last ticks.
#[derive(Default)]
struct Swing {
    /// Sessions that may move do.
    goes: AtomicBool,
    /// By shard: the sessions that have come from the other one.
    moved: [AtomicU64; 2],
    /// By shard: the subscriptions in force.
    subscriptions: [AtomicU64; 2],
}

impl Swing {
    fn moved(&self) -> u64 {
        self.moved.iter().map(|moved| moved.load(Ordering::Relaxed)).sum()
    }

    fn subscriptions(&self) -> u64 {
        self.subscriptions.iter().map(|count| count.load(Ordering::Relaxed)).sum()
    }

    /// Waits until so many sessions have moved.
    fn wait_for(&self, moved: u64) {
        wait_until(|| self.moved() >= moved);
    }
}

fn wait_until(mut is_so: impl FnMut() -> bool) {
    let began = MonotonicNs::now();
    while !is_so() {
        assert!(MonotonicNs::now().saturating_since(began) < PATIENCE, "it does not come to it");
        pause(Duration::from_millis(1));
    }
}

/// Moves the sessions of a shard to the other one, tick by tick.
async fn push(runtime: Rc<Runtime>, swing: Arc<Swing>) {
    let here = usize::from(runtime.id.0);
    while !runtime.drain.is_over() {
        runtime.after(TICK).await;
        if swing.goes.load(Ordering::Relaxed) {
            Moving::of(&mut runtime.shard.borrow_mut()).begin(ShardId(1 - runtime.id.0));
            settle(&runtime).await;
        }
        let shard = runtime.shard.borrow();
        let counters = shard.counters();
        swing.moved[here].store(counters.sessions_moved, Ordering::Relaxed);
        swing.subscriptions[here].store(counters.subscriptions, Ordering::Relaxed);
    }
}

/// Runs clients of two shards, whose executors are idle in this way.
fn beside_two_shards(idle: Idle, clients: impl FnOnce(&Endpoint, &Swing)) {
    let cores = Topology::detect().expect("this process has some").allowed().to_vec();
    let config = PoolConfig { cores, idle, shards: 2, link_capacity: 256, ..PoolConfig::single("test") };
    let swing = Arc::<Swing>::default();
    let (say, heard) = mpsc::channel();
    let shared = Arc::clone(&swing);
    let run = move |context: ShardContext<Item>| {
        let (swing, say) = (Arc::clone(&shared), say.clone());
        async move {
            let shard = ShardConfig {
                shards: 2,
                overflow: OverflowPolicy::Block,
                bounds: QueueBounds { bytes_max: 1 << 18, ..QueueBounds::default() },
                heartbeat: PATIENCE,
                ..ShardConfig::default()
            };
            let config = ExecutorConfig { shard, connect: ConnectConfig::default(), carrier: None };
            let (runtime, commands) = body::begin(context, &config, Pulse::default());
            if runtime.id == ShardId(0) {
                let (endpoint, _) = accept_at(&runtime, "tcp://127.0.0.1:0");
                say.send(endpoint).expect("somebody listens");
            }
            spawn_local(push(Rc::clone(&runtime), swing)).detach();
            body::serve(runtime, commands).await;
        }
    };
    let pool = start(&config, run).expect("two executors");
    clients(&heard.recv().expect("the first of them listens"), &swing);
    pool.stop().expect("they end in order");
}

/// A frame that a client has read.
#[derive(Debug, PartialEq, Eq)]
enum Heard {
    Welcome { session: u64, ticket: u64 },
    Done(u32),
    Message { publisher: u64, sequence: u64, is_last: bool },
}

/// A client that waits for whatever it reads.
struct Client {
    stranger: Stranger,
    bytes: Vec<u8>,
    heard: VecDeque<Heard>,
}

impl Client {
    /// Connects, and greets. Its kernel takes little more than so many bytes before they are read.
    fn connect(endpoint: &Endpoint, buffer_bytes: usize) -> Self {
        let mut stranger = Stranger::connect_narrow(endpoint, buffer_bytes, PATIENCE);
        stranger.say(&greeting::ours());
        stranger.hear(GREETING_BYTES);
        Client { stranger, bytes: Vec::new(), heard: VecDeque::new() }
    }

    /// The same, and says hello.
    fn open(endpoint: &Endpoint, buffer_bytes: usize) -> (Self, Heard) {
        let mut client = Client::connect(endpoint, buffer_bytes);
        client.say(&Frame::Hello { name: "", overflow: 0, previous: 0, ticket: 0 });
        let welcome = client.hear();
        (client, welcome)
    }

    fn say(&mut self, frame: &Frame<'_>) {
        self.stranger.say(&encode_to_vec(frame));
    }

    fn hear(&mut self) -> Heard {
        while self.heard.is_empty() {
            let mut buffer = vec![0; 64 << 10];
            let received = self.stranger.hear_some(&mut buffer);
            assert!(received > 0, "the broker has closed the connection");
            self.bytes.extend_from_slice(&buffer[..received]);
            let mut spans = Vec::new();
            let found = split(&self.bytes, usize::MAX, &mut spans);
            assert_eq!(found.error, None);
            self.heard.extend(spans.iter().filter_map(|span| match span.frame(&self.bytes) {
                Frame::Welcome { session, ticket, .. } => Some(Heard::Welcome { session, ticket }),
                Frame::Done { request } => Some(Heard::Done(request)),
                Frame::Message { publisher, sequence, payload, .. } => {
                    Some(Heard::Message { publisher, sequence, is_last: payload[0] == 1 })
                }
                Frame::Modes { .. } => None,
                other => unreachable!("{other:?} is not for this client"),
            }));
            self.bytes.drain(..found.whole_bytes);
        }
        self.heard.pop_front().expect("there is one")
    }

    fn subscribe(&mut self) {
        self.say(&SUBSCRIBE);
        assert_eq!(self.hear(), Heard::Done(1));
    }
}

const SUBSCRIBE: Frame<'static> = Frame::Subscribe { filter: b"a", request: 1, subscriber: 1, kind: 1 };

/// Publishes until enough sessions have moved, in pieces that end anywhere, with pauses in which it moves itself.
fn publish(endpoint: &Endpoint, swing: &Swing, publisher: u64) {
    let (mut client, _) = Client::open(endpoint, 64 << 10);
    let mut rng = fastrand::Rng::with_seed(publisher);
    let mut sequence = 0;
    let mut is_last = false;
    while !is_last {
        sequence += 1;
        is_last = swing.moved() >= MOVES;
        let payload = vec![u8::from(is_last); rng.usize(1..40_000)];
        let message = Frame::Message { topic: b"a", payload: &payload, publisher, sequence, sent_at_ns: 0 };
        for piece in encode_to_vec(&message).chunks(rng.usize(1..20_000)) {
            client.stranger.say(piece);
        }
        if sequence.is_multiple_of(16) {
            client.say(&Frame::Flush { request: 2 });
            assert_eq!(client.hear(), Heard::Done(2));
            let before = swing.moved();
            wait_until(|| swing.moved() > before);
        }
    }
    // Its connection is open until it has all been read.
    client.say(&Frame::Flush { request: 3 });
    assert_eq!(client.hear(), Heard::Done(3));
}

/// Reads all messages, each once and in order, the first ones only after so many moves.
fn listen_to_all(mut client: Client, swing: &Swing, after: u64) {
    swing.wait_for(after);
    let mut heard = [0; PUBLISHERS as usize];
    let mut at_the_end = 0;
    while at_the_end < PUBLISHERS {
        let Heard::Message { publisher, sequence, is_last } = client.hear() else {
            unreachable!("it has asked for nothing else")
        };
        let before = &mut heard[publisher as usize - 1];
        assert_eq!(sequence, *before + 1, "of the publisher {publisher}");
        *before = sequence;
        at_the_end += u64::from(is_last);
    }
}

#[test]
fn sessions_that_move_all_the_time_hear_every_message_once_and_in_order() {
    for idle in [Idle::Park, Idle::Spin(Duration::from_micros(50))] {
        beside_two_shards(idle, |endpoint, swing| {
            let subscribers: Vec<Client> = (0..6)
                .map(|number| {
                    let buffer_bytes = if number % 2 == 0 { 16 << 10 } else { 1 << 20 };
                    let (mut client, _) = Client::open(endpoint, buffer_bytes);
                    client.subscribe();
                    client
                })
                .collect();
            swing.goes.store(true, Ordering::Relaxed);
            thread::scope(|scope| {
                for publisher in 1..=PUBLISHERS {
                    scope.spawn(move || publish(endpoint, swing, publisher));
                }
                for (number, client) in subscribers.into_iter().enumerate() {
                    // Some stall first: they move with more in their queues than the kernel takes.
                    let after = if number < 3 { MOVES / 2 } else { 0 };
                    scope.spawn(move || listen_to_all(client, swing, after));
                }
            });
        });
    }
}

#[test]
fn a_frame_that_has_begun_when_its_session_moves_is_read_to_its_end() {
    beside_two_shards(Idle::Park, |endpoint, swing| {
        let (mut first, welcome) = Client::open(endpoint, 64 << 10);
        let Heard::Welcome { session, ticket } = welcome else { unreachable!("it is not welcome") };
        first.subscribe();
        wait_until(|| swing.subscriptions() == 1);
        // It opens when the first one has ended, and has no deadline for what came with its hello.
        let mut second = Client::connect(endpoint, 64 << 10);
        let hello = encode_to_vec(&Frame::Hello { name: "", overflow: 0, previous: session, ticket });
        let subscribe = encode_to_vec(&SUBSCRIBE);
        let (begin, end) = subscribe.split_at(subscribe.len() / 2);
        second.stranger.say(&[&hello, begin].concat());
        // The first one is left alone from here on: both pieces have been read.
        wait_until(|| swing.subscriptions() == 0);
        drop(first);
        assert!(matches!(second.hear(), Heard::Welcome { .. }));
        swing.goes.store(true, Ordering::Relaxed);
        swing.wait_for(3);
        second.stranger.say(end);
        assert_eq!(second.hear(), Heard::Done(1));
    });
}
