//! Owns an engine as the simulation has it: a server of subjects with a connection to each broker. It behaves as NATS was seen to,
//! and worse: it loses, doubles and brings late, and connections break.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use bytes::Bytes;
use corecast::internals::carrier::{Engine, EngineOrder, StoreAnswer, StoreAsk, StoreFacts};
use corecast_executors::MonotonicNs;

/// Payloads up to this length are taken.
const PAYLOAD_BYTES_MAX: usize = 4_000;

/// The trouble that the server makes, each as one in so many payloads; 0: never.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub(super) struct Trouble {
    pub(super) lost: u32,
    pub(super) doubled: u32,
    /// Comes once more, when everything has gone on.
    pub(super) late: u32,
    /// Is not stored, and that is told.
    pub(super) refused: u32,
    /// Orders after which a store has taken the first of those that wait for it; 0: each at once.
    pub(super) lag: u32,
}

/// The connection of one broker.
#[derive(Default)]
struct Line {
    is_up: bool,
    /// It cannot come back.
    is_cut: bool,
    /// On the way to the server.
    orders: VecDeque<EngineOrder>,
    /// At the server.
    subscriptions: BTreeMap<u32, String>,
    /// On the way to the broker, in order.
    wire: VecDeque<(u32, Bytes)>,
    /// At the broker, by subscription.
    channels: BTreeMap<u32, VecDeque<Bytes>>,
    round_trips: VecDeque<u64>,
    /// Answers of stores on the way to the broker, and the place up to which it has read a store.
    answers: VecDeque<FromStore>,
    reader: usize,
    /// Payloads that will come once more.
    late: Vec<(u32, Bytes)>,
}

/// Something that a store says.
enum FromStore {
    Stored(u64, bool),
    Answer(u64, StoreAnswer),
    Payload(Bytes, StoreFacts),
}

/// The server and its connections.
pub(super) struct Server {
    lines: Vec<Line>,
    /// All that is stored, by subject, in order.
    stored: Vec<(String, Bytes)>,
    /// On its way into a store: its broker, the number of the order, the subject, the payload.
    storing: VecDeque<(usize, u64, String, Bytes)>,
    trouble: Trouble,
    rng: fastrand::Rng,
    /// Payloads that were lost, doubled, or came late.
    pub(super) troubles: u64,
}

/// True if a subject matches a pattern.
fn matches(pattern: &str, subject: &str) -> bool {
    let mut levels = subject.split('.');
    for asked in pattern.split('.') {
        match (asked, levels.next()) {
            (">", Some(_)) => return true,
            ("*", Some(_)) => {}
            (name, Some(level)) if name == level => {}
            _ => return false,
        }
    }
    levels.next().is_none()
}

impl Server {
    pub(super) fn new(brokers: usize, trouble: Trouble, seed: u64) -> Server {
        let lines = (0..brokers).map(|_| Line::default()).collect();
        Server {
            lines,
            stored: Vec::new(),
            storing: VecDeque::new(),
            trouble,
            rng: fastrand::Rng::with_seed(seed),
            troubles: 0,
        }
    }

    /// Begins to make trouble.
    pub(super) fn trouble(&mut self, trouble: Trouble) {
        self.trouble = trouble;
    }

    /// Makes no more trouble.
    pub(super) fn calm(&mut self) {
        self.trouble = Trouble::default();
    }

    /// Connects a broker that is away, unless its line is cut.
    pub(super) fn connect(&mut self, broker: usize, engine: &mut Engine, now: MonotonicNs) {
        let line = &mut self.lines[broker];
        if !line.is_up && !line.is_cut {
            line.is_up = true;
            engine.on_connected(PAYLOAD_BYTES_MAX, now);
        }
    }

    /// Breaks a connection. What the broker has read counts; the rest is lost, or a part of it comes on the next connection.
    pub(super) fn cut(&mut self, broker: usize, engine: &mut Engine, stays_cut: bool) {
        let line = &mut self.lines[broker];
        let Line { late, .. } = std::mem::take(line);
        (line.late, line.is_cut) = (late, stays_cut);
        self.storing.retain(|(of, ..)| *of != broker);
        engine.on_lost();
    }

    /// Lets a broker come back.
    pub(super) fn mend(&mut self, broker: usize) {
        self.lines[broker].is_cut = false;
    }

    /// A broker sends one order. `false`: it has none, or the connection has no room.
    pub(super) fn send(&mut self, broker: usize, engine: &mut Engine) -> bool {
        let line = &mut self.lines[broker];
        if !line.is_up || line.orders.len() >= 16 {
            return false;
        }
        let order = engine.next_order();
        line.orders.extend(order);
        !line.orders.is_empty()
    }

    /// The server takes one order of a broker. `false`: there is none.
    pub(super) fn carry(&mut self, broker: usize) -> bool {
        let lags = self.trouble.lag > 0 && self.rng.u32(0..self.trouble.lag) > 0;
        let waits = !self.storing.is_empty();
        if !lags && let Some((of, number, subject, payload)) = self.storing.pop_front() {
            self.store(of, number, (subject, payload));
        }
        let Some(order) = self.lines[broker].orders.pop_front() else { return waits };
        let line = &mut self.lines[broker];
        match order {
            EngineOrder::Subscribe { number, subject } => {
                assert!(line.subscriptions.insert(number, subject).is_none());
                line.channels.entry(number).or_default();
            }
            EngineOrder::Unsubscribe { number } => {
                assert!(line.subscriptions.remove(&number).is_some());
            }
            EngineOrder::RoundTrip { number } => line.round_trips.push_back(number),
            EngineOrder::Store { number, subject, payload } if self.trouble.lag > 0 => {
                self.storing.push_back((broker, number, subject, payload));
            }
            EngineOrder::Store { number, subject, payload } => self.store(broker, number, (subject, payload)),
            EngineOrder::Ask { number, ask } => self.answer(broker, number, &ask),
            EngineOrder::Publish { subject, payload } => {
                assert!(payload.len() <= PAYLOAD_BYTES_MAX || subject.contains(".w."), "{subject}");
                for to in (0..self.lines.len()).filter(|to| *to != broker) {
                    self.hand_on(to, &subject, &payload);
                }
            }
        }
        true
    }

    /// A store takes a payload, perhaps twice, or refuses it, or takes it without a word.
    fn store(&mut self, broker: usize, number: u64, (subject, payload): (String, Bytes)) {
        let is_taken = !self.happens(self.trouble.refused);
        for _ in 0..usize::from(is_taken) + usize::from(self.happens(self.trouble.doubled)) {
            self.stored.push((subject.clone(), payload.clone()));
        }
        self.lines[broker].answers.push_back(FromStore::Stored(number, is_taken));
    }

    fn answer(&mut self, broker: usize, number: u64, ask: &StoreAsk) {
        let (StoreAsk::Look(store)
        | StoreAsk::Make(store)
        | StoreAsk::Change(store, _)
        | StoreAsk::Read(store)
        | StoreAsk::More { store, .. }
        | StoreAsk::Clear { store, .. }) = ask;
        let of_store = self.stored.iter().filter(|(subject, _)| matches(&store.subjects, subject));
        let payloads: Vec<Bytes> = of_store.map(|(_, payload)| payload.clone()).collect();
        let Line { answers, reader, .. } = &mut self.lines[broker];
        let left = |from: usize| payloads.len().saturating_sub(from) as u64;
        match ask {
            StoreAsk::Look(_) => answers.push_back(FromStore::Answer(number, StoreAnswer::Absent)),
            StoreAsk::Make(_) | StoreAsk::Change(..) => {
                answers.push_back(FromStore::Answer(number, StoreAnswer::Fits));
            }
            StoreAsk::Read(_) => {
                *reader = 0;
                let reads = StoreAnswer::Reads { reader: "reader".to_owned(), left: left(0) };
                answers.push_back(FromStore::Answer(number, reads));
            }
            StoreAsk::More { count, .. } => {
                let brought = payloads.iter().skip(*reader).take(*count);
                for payload in brought {
                    *reader += 1;
                    let (number, left) = (*reader as u64, left(*reader));
                    let facts = StoreFacts { age: Duration::ZERO, number, left };
                    answers.push_back(FromStore::Payload(payload.clone(), facts));
                }
                if left(*reader) == 0 {
                    answers.push_back(FromStore::Answer(number, StoreAnswer::NoMore));
                }
            }
            StoreAsk::Clear { subject, .. } => {
                self.stored.retain(|(stored, _)| !matches(subject, stored));
                answers.push_back(FromStore::Answer(number, StoreAnswer::Cleared));
            }
        }
    }

    fn happens(&mut self, one_in: u32) -> bool {
        let happens = one_in > 0 && self.rng.u32(0..one_in) == 0;
        self.troubles += u64::from(happens);
        happens
    }

    /// Gives a payload to each subscription of a broker: as often as it matches.
    fn hand_on(&mut self, to: usize, subject: &str, payload: &Bytes) {
        if !self.lines[to].is_up {
            return;
        }
        let matching = self.lines[to].subscriptions.iter().filter(|(_, pattern)| matches(pattern, subject));
        let numbers: Vec<u32> = matching.map(|(number, _)| *number).collect();
        if numbers.is_empty() || self.happens(self.trouble.lost) {
            return;
        }
        for number in numbers {
            let times = 1 + usize::from(self.happens(self.trouble.doubled));
            let is_late = self.happens(self.trouble.late);
            let line = &mut self.lines[to];
            for _ in 0..times {
                line.wire.push_back((number, payload.clone()));
            }
            // A hello that comes late would say that something was forgotten, which is told as a gap of unknown size.
            let is_hello = payload[2] == 2 && payload[32] == 1;
            if is_late && !is_hello {
                line.late.push((number, payload.clone()));
            }
        }
    }

    /// Something that has come before comes to a broker once more, or for the first time on this connection.
    pub(super) fn bring_late(&mut self, broker: usize) -> bool {
        let line = &mut self.lines[broker];
        if line.late.is_empty() || !line.is_up {
            return false;
        }
        let (number, payload) = line.late.swap_remove(self.rng.usize(..line.late.len()));
        let channel = line.channels.keys().nth(self.rng.usize(..line.channels.len().max(1)));
        let number = channel.copied().unwrap_or(number);
        line.wire.push_back((number, payload));
        true
    }

    /// The next payload reaches the channel of its subscription. `false`: there is none.
    pub(super) fn deliver(&mut self, broker: usize) -> bool {
        let line = &mut self.lines[broker];
        let Some((number, payload)) = line.wire.pop_front() else { return false };
        line.channels.entry(number).or_default().push_back(payload);
        true
    }

    /// A broker takes the next payload of one of its channels. `false`: there is none.
    pub(super) fn read(&mut self, broker: usize, engine: &mut Engine) -> bool {
        let line = &mut self.lines[broker];
        if let Some(number) = line.round_trips.pop_front() {
            engine.on_round_trip(number);
            return true;
        }
        if let Some(said) = line.answers.pop_front() {
            match said {
                FromStore::Stored(number, is_stored) => engine.on_store_answer(number, is_stored),
                FromStore::Answer(number, answer) => engine.on_ask_answer(number, Ok(answer)),
                FromStore::Payload(payload, facts) => engine.on_stored(payload, facts),
            }
            return true;
        }
        let full: Vec<u32> =
            line.channels.iter().filter(|(_, channel)| !channel.is_empty()).map(|(n, _)| *n).collect();
        if full.is_empty() {
            return false;
        }
        let number = full[self.rng.usize(..full.len())];
        let payload = line.channels.get_mut(&number).and_then(VecDeque::pop_front);
        engine.on_message(payload.expect("it is not empty"));
        true
    }

    /// A broker looks at all of its channels for as long as it wants to. Meanwhile more comes.
    pub(super) fn look(&mut self, broker: usize, engine: &mut Engine) {
        while self.lines[broker].is_up && engine.wants_look() {
            let mut numbers: Vec<u32> = self.lines[broker].channels.keys().copied().collect();
            self.rng.shuffle(&mut numbers);
            for number in numbers {
                while let Some(payload) =
                    self.lines[broker].channels.get_mut(&number).and_then(VecDeque::pop_front)
                {
                    engine.on_message(payload);
                }
                for _ in 0..self.rng.usize(..3) {
                    self.deliver(broker);
                }
            }
            engine.on_looked();
        }
    }

    /// True if nothing is under way.
    pub(super) fn is_empty(&self) -> bool {
        let is_empty =
            |line: &Line| line.orders.is_empty() && line.wire.is_empty() && line.answers.is_empty();
        self.storing.is_empty() && self.lines.iter().all(is_empty)
    }
}
