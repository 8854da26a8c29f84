//! Sessions under pumps of a few lines, with a shard in the same thread: no executor, no socket, no clock. It holds the state
//! to its word that it runs under any pumps: they call the functions that `life` and `connection` call, and no others.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::convert::Infallible;
use std::rc::Rc;
use std::time::Duration;

use bytes::Bytes;
use corecast_executors::{MonotonicNs, TICK};

use super::incoming::{Arrived, Incoming};
use super::listeners::Listeners;
use super::requests::Flushed;
use super::sinks::Sinks;
use super::state::State;
use crate::auth::Identity;
use crate::broker::ingest;
use crate::client::config::ClientConfig;
use crate::client::message::{EventRef, GapRef, MessageRef};
use crate::error::ErrorKind;
use crate::fanout::QueueBounds;
use crate::ids::{SessionId, ShardId, SubscriberId};
use crate::limits::{HEARTBEATS_MISSED_MAX, KEEP_AGE_DEFAULT, KEEP_BYTES_DEFAULT};
use crate::shard::{Door, Retention, Shard, ShardConfig, Visit};
use crate::topic::Filter;
use crate::wire::{Features, Frame, FrameKind, Reader, Slab, Span, Start, greeting};

/// Bytes that a cable holds each way.
const CABLE_BYTES: usize = 1 << 10;

/// One connection: two queues of bytes, and the shard's end of it.
struct Cable {
    session: SessionId,
    to_shard: VecDeque<u8>,
    to_client: VecDeque<u8>,
    reader: Reader,
    /// Its client has left it. The shard sees that behind what was sent.
    is_left: bool,
}

/// A client with one session and one subscriber at the most.
struct Client {
    state: RefCell<State>,
    sinks: Sinks,
    incoming: Incoming,
    cable: Option<SessionId>,
    heard: Rc<RefCell<Vec<String>>>,
    last_sequence: u64,
}

/// A shard, its cables, and the read buffers of all.
struct House {
    shard: Shard,
    cables: Vec<Cable>,
    slab: Slab,
    spans: Vec<Span>,
    now: MonotonicNs,
    /// Bytes that are read in one turn.
    turn_bytes: usize,
    /// True if the shard passes for one of a time before features.
    is_plain: bool,
    /// The configuration of its clients.
    config: ClientConfig,
}

impl House {
    fn new(config: ShardConfig, turn_bytes: usize) -> House {
        let now = MonotonicNs(1);
        let shard = Shard::new(ShardId(0), config, now);
        House {
            shard,
            cables: Vec::new(),
            slab: Slab::default(),
            spans: Vec::new(),
            now,
            turn_bytes,
            is_plain: false,
            config: ClientConfig::new(crate::Endpoint::default()),
        }
    }

    /// A client that is connected, and has said nothing yet.
    fn client(&mut self) -> Client {
        let mut client = Client {
            state: RefCell::new(State::new(self.now)),
            sinks: Sinks::default(),
            incoming: Incoming::default(),
            cable: None,
            heard: Rc::default(),
            last_sequence: 0,
        };
        self.connect(&mut client);
        client
    }

    fn connect(&mut self, client: &mut Client) {
        let session = self.shard.on_open(Door::Native, Identity::Anonymous(None)).expect("there is room");
        let (to_shard, to_client) = (VecDeque::new(), VecDeque::new());
        self.cables.push(Cable { session, to_shard, to_client, reader: Reader::default(), is_left: false });
        client.cable = Some(session);
        if self.is_plain {
            self.serve();
            let plain = greeting::offering(Features::NONE);
            self.cable(session).to_client.iter_mut().zip(plain).for_each(|(byte, plain)| *byte = plain);
        }
        client.incoming = Incoming::default();
        client.state.borrow_mut().on_connected(&self.config, None, self.now);
    }

    /// The client's connection is lost.
    fn cut(&mut self, client: &mut Client) {
        let left = client.cable.take().expect("it was connected");
        self.cable(left).is_left = true;
        client.state.borrow_mut().subscribers.on_lost(ErrorKind::Lost);
        client.state.borrow_mut().on_disconnected();
    }

    fn cable(&mut self, session: SessionId) -> &mut Cable {
        self.cables.iter_mut().find(|cable| cable.session == session).expect("the cable stands")
    }

    /// A turn of sending: the cable takes what it has room for. True if it took something.
    fn send(&mut self, client: &Client) -> bool {
        let Some(session) = client.cable else { return false };
        let queue = &mut self.cable(session).to_shard;
        let mut state = client.state.borrow_mut();
        let taken = state.out.unsent().len().min(CABLE_BYTES - queue.len());
        queue.extend(&state.out.unsent()[..taken]);
        state.out.sent(taken);
        taken > 0
    }

    /// A turn of the client's reading. True if something was read.
    fn read(&mut self, client: &mut Client) -> bool {
        let Some(session) = client.cable else { return false };
        let Client { state, sinks, incoming, .. } = client;
        let turn_bytes = self.turn_bytes;
        let mut queue = std::mem::take(&mut self.cable(session).to_client);
        let read = fill(incoming.space(&mut self.slab), &mut queue, turn_bytes);
        self.cable(session).to_client = queue;
        if read > 0 {
            state.borrow_mut().on_received(self.now);
        }
        let frame_bytes_max = state.borrow().frame_bytes_max_of_peer();
        let config = self.config.clone();
        let listeners = Listeners { state, sinks, lent: None };
        let taken =
            incoming.take(
                (&mut self.slab, &mut self.spans),
                read,
                frame_bytes_max,
                |arrived| match arrived {
                    Arrived::Greeting(features) => state.borrow_mut().on_greeted(&config, features),
                    Arrived::Frame(frame, lent) if frame.kind() == FrameKind::Routable => {
                        Listeners { lent, ..listeners }.tell(frame);
                    }
                    Arrived::Frame(frame, _) => {
                        state.borrow_mut().on_control(frame);
                        listeners.tell_returned();
                    }
                },
            );
        taken.expect("a broker sends frames");
        read > 0
    }

    /// A turn of the shard on every cable, the newest first, so that a session is greeted before its predecessor is heard out.
    /// True if something was read or sent.
    fn serve(&mut self) -> bool {
        let House { shard, cables, slab, spans, turn_bytes, .. } = self;
        let mut moved = false;
        for cable in cables.iter_mut().rev() {
            let read = fill(cable.reader.space(slab), &mut cable.to_shard, *turn_bytes);
            cable.reader.received(read);
            ingest(shard, cable.session, &mut cable.reader, slab, spans);
            while shard.sessions().is_behind(cable.session) {
                shard.go_on(cable.session);
            }
            if read == 0 && cable.is_left {
                shard.on_closed(cable.session, None).expect("a session ends once");
            }
            moved |= read > 0 || cable.is_left;
        }
        cables.retain(|cable| shard.sessions().phase(cable.session).is_some());
        for Cable { session, to_client, .. } in cables {
            let flushed = shard.flush(*session, |parts| {
                let room = CABLE_BYTES - to_client.len();
                let before = to_client.len();
                to_client.extend(parts.iter().flat_map(|part| part.iter()).take(room));
                moved |= to_client.len() > before;
                Ok::<_, Infallible>((room > 0).then_some(to_client.len() - before))
            });
            moved |= flushed == Ok(Visit::Again);
        }
        let outbox = shard.outbox();
        outbox.dirty.clear();
        // Both are of cables whose clients have left.
        outbox.shut.clear();
        outbox.abort.clear();
        shard.audit();
        moved
    }

    /// Everything travels until nothing does. Only `readers` read.
    fn settle(&mut self, silent: &[&Client], readers: &mut [&mut Client]) {
        let mut moves = true;
        while moves {
            moves = self.serve();
            for client in silent {
                moves |= self.send(client);
            }
            for client in &mut *readers {
                moves |= self.send(client) | self.read(client);
            }
        }
    }

    /// Time goes on by a tick, at the shard as well. True if the client gives its broker up.
    fn tick(&mut self, client: &Client) -> bool {
        self.now = self.now + TICK;
        self.shard.on_tick(self.now);
        client.state.borrow_mut().on_tick(self.now, true)
    }
}

impl Client {
    fn subscribe(&self, filter: &str, now: MonotonicNs) -> SubscriberId {
        let filters = [Filter::parse(filter).expect("a filter")];
        let id = self.state.borrow_mut().subscribe(&filters, now);
        let heard = Rc::clone(&self.heard);
        self.sinks.insert(id, &filters, Box::new(move |event| heard.borrow_mut().push(text(event))));
        id
    }

    fn is_in_force(&self, id: SubscriberId) -> bool {
        self.state.borrow().is_in_force(id)
    }

    /// Publishes the next message on `a`.
    fn publish(&mut self) {
        self.last_sequence += 1;
        let (topic, sequence) = (Bytes::from_static(b"a"), self.last_sequence);
        let frame =
            Frame::Message { topic: &topic, payload: &[7; 50], publisher: 1, sequence, sent_at_ns: 0 };
        self.state.borrow_mut().publish(&frame, &topic);
    }

    fn heard(&self) -> Vec<String> {
        self.heard.take()
    }
}

/// Moves bytes of a queue into the front of a space.
fn fill(space: &mut [u8], queue: &mut VecDeque<u8>, bytes_max: usize) -> usize {
    let bytes = queue.len().min(space.len()).min(bytes_max);
    space.iter_mut().zip(queue.drain(..bytes)).for_each(|(to, byte)| *to = byte);
    bytes
}

/// `a=1` for the message 1 on `a`, `a-2 overflow` for a gap of two, `*-? reconnect` for one on any topic, of unknown length.
fn text(event: EventRef<'_>) -> String {
    let name = |topic| String::from_utf8_lossy(topic).into_owned();
    match event {
        EventRef::Message(MessageRef { topic, sequence, .. }) => format!("{}={sequence}", name(topic)),
        EventRef::Gap(GapRef { topic, missed, reason }) => {
            let missed = missed.map_or("?".to_owned(), |missed| missed.to_string());
            format!("{}-{missed} {reason}", topic.map_or("*".to_owned(), name))
        }
        EventRef::CaughtUp => "caught up".to_owned(),
    }
}

#[test]
fn messages_arrive_in_order_however_the_bytes_are_cut() {
    for turn_bytes in [1, 7, CABLE_BYTES] {
        let mut house = House::new(ShardConfig::default(), turn_bytes);
        let (mut subscriber, mut publisher) = (house.client(), house.client());
        let id = subscriber.subscribe("a", house.now);
        assert!(!subscriber.state.borrow().is_open() && !subscriber.is_in_force(id));
        house.settle(&[], &mut [&mut subscriber, &mut publisher]);
        assert!(subscriber.state.borrow().is_open() && subscriber.is_in_force(id));
        let watched = publisher.state.borrow_mut().watch(Bytes::from_static(b"a"));
        (0..100).for_each(|_| publisher.publish());
        let flushed = publisher.state.borrow_mut().flush().expect("it is open");
        house.settle(&[], &mut [&mut subscriber, &mut publisher]);
        assert_eq!(subscriber.heard(), (1..=100).map(|n| format!("a={n}")).collect::<Vec<_>>());
        assert_eq!(flushed.get(), Some(Flushed::Done));
        assert_eq!(publisher.state.borrow().watched(watched), Some(1));
        subscriber.state.borrow_mut().unsubscribe(id);
        house.settle(&[], &mut [&mut subscriber, &mut publisher]);
        publisher.publish();
        house.settle(&[], &mut [&mut subscriber, &mut publisher]);
        assert!(subscriber.heard().is_empty());
    }
}

#[test]
fn a_subscriber_that_does_not_read_is_told_a_gap_with_the_exact_count() {
    let bounds = QueueBounds { frames_max: 8, ..QueueBounds::default() };
    let mut house = House::new(ShardConfig { bounds, ..ShardConfig::default() }, CABLE_BYTES);
    let (mut subscriber, mut publisher) = (house.client(), house.client());
    subscriber.subscribe("a", house.now);
    house.settle(&[], &mut [&mut subscriber, &mut publisher]);
    (0..2_000).for_each(|_| publisher.publish());
    house.settle(&[&subscriber], &mut [&mut publisher]);
    assert!(subscriber.heard().is_empty());
    house.settle(&[], &mut [&mut subscriber, &mut publisher]);
    let heard = subscriber.heard();
    let gaps: Vec<usize> = (0..heard.len()).filter(|at| heard[*at].ends_with(" overflow")).collect();
    let [gap] = gaps[..] else { panic!("one loss is one gap: {heard:?}") };
    let last_before: u64 = heard[gap - 1]["a=".len()..].parse().unwrap();
    let first_behind: u64 = heard[gap + 1]["a=".len()..].parse().unwrap();
    assert_eq!(heard[gap], format!("a-{} overflow", first_behind - last_before - 1));
    assert_eq!(heard.last().unwrap(), "a=2000");
}

#[test]
fn messages_that_wait_together_share_a_frame_with_a_peer_that_takes_it() {
    for (is_plain, frames) in [(false, 1 + 3), (true, 1 + 12)] {
        let mut house = House::new(ShardConfig::default(), CABLE_BYTES);
        house.is_plain = is_plain;
        let (mut subscriber, mut publisher) = (house.client(), house.client());
        subscriber.subscribe("a", house.now);
        house.settle(&[], &mut [&mut subscriber, &mut publisher]);
        let before = house.shard.counters().frames_in;
        for _ in 0..3 {
            (0..4).for_each(|_| publisher.publish());
            house.settle(&[], &mut [&mut subscriber, &mut publisher]);
        }
        publisher.state.borrow_mut().flush().expect("it is open");
        house.settle(&[], &mut [&mut subscriber, &mut publisher]);
        assert_eq!(house.shard.counters().frames_in - before, frames);
        assert_eq!(house.shard.counters().messages_in, 12);
        assert_eq!(subscriber.heard(), (1..=12).map(|n| format!("a={n}")).collect::<Vec<_>>());
    }
}

#[test]
fn ticks_keep_an_idle_session_alive_until_its_broker_says_nothing() {
    let mut house = House::new(ShardConfig::default(), CABLE_BYTES);
    let mut client = house.client();
    house.settle(&[], &mut [&mut client]);
    let heartbeat = client.state.borrow().terms.heartbeat;
    let until = house.now + heartbeat * (4 * HEARTBEATS_MISSED_MAX);
    while house.now < until {
        assert!(!house.tick(&client), "its pings are answered");
        house.settle(&[], &mut [&mut client]);
    }
    let heard = client.state.borrow().last_heard();
    assert!(house.now.saturating_since(heard) <= heartbeat + TICK);
    let mut waited = Duration::ZERO;
    while !house.tick(&client) {
        waited += TICK;
        assert!(waited <= heartbeat * (HEARTBEATS_MISSED_MAX + 1));
    }
    assert!(waited + heartbeat + TICK >= heartbeat * HEARTBEATS_MISSED_MAX);
}

#[test]
fn a_session_takes_the_place_of_one_whose_connection_was_lost() {
    let mut house = House::new(ShardConfig::default(), 16);
    let (mut subscriber, mut publisher) = (house.client(), house.client());
    let id = subscriber.subscribe("a", house.now);
    house.settle(&[], &mut [&mut subscriber, &mut publisher]);
    publisher.publish();
    house.settle(&[], &mut [&mut subscriber, &mut publisher]);
    assert_eq!(subscriber.heard(), ["a=1"]);

    house.cut(&mut subscriber);
    assert!(!subscriber.is_in_force(id));
    publisher.publish();
    house.settle(&[], &mut [&mut publisher]);
    house.connect(&mut subscriber);
    house.settle(&[], &mut [&mut subscriber, &mut publisher]);
    assert!(subscriber.is_in_force(id), "it was asked for again");
    publisher.publish();
    house.settle(&[], &mut [&mut subscriber, &mut publisher]);
    assert_eq!(subscriber.heard(), ["*-? reconnect", "a=3"]);

    // The message 4 has left, and the shard has not read it; 5 is published while there is no connection.
    publisher.publish();
    assert!(house.send(&publisher));
    house.cut(&mut publisher);
    publisher.publish();
    assert_eq!(publisher.state.borrow_mut().unsent_messages(), 1);
    house.connect(&mut publisher);
    house.settle(&[], &mut [&mut subscriber, &mut publisher]);
    assert_eq!(subscriber.heard(), ["a=4", "a-? publisher", "a=5"], "the old session is heard out first");
    assert_eq!((house.cables.len(), house.shard.sessions().len()), (2, 2), "old sessions have ended");
}

/// A shard that keeps everything, and clients of this configuration.
fn house_with_history(config: ClientConfig) -> House {
    let rule = ">=1h".parse().expect("a rule");
    let retention = Retention::new(vec![rule], KEEP_BYTES_DEFAULT, KEEP_AGE_DEFAULT).expect("one rule");
    let mut house = House::new(ShardConfig { retention, ..ShardConfig::default() }, CABLE_BYTES);
    house.config = config;
    house
}

#[test]
fn a_subscriber_goes_on_where_its_connection_was_lost() {
    let config = ClientConfig::new(crate::Endpoint::default());
    for (config, first) in [
        (config.clone().resume(true), vec![]),
        (config.start(Start::Last), vec!["a=2".to_owned(), "caught up".to_owned()]),
    ] {
        let mut house = house_with_history(config);
        let mut publisher = house.client();
        (0..2).for_each(|_| publisher.publish());
        house.settle(&[], &mut [&mut publisher]);
        let mut subscriber = house.client();
        subscriber.subscribe("a", house.now);
        house.settle(&[], &mut [&mut subscriber, &mut publisher]);
        assert_eq!(subscriber.heard(), first);
        publisher.publish();
        house.settle(&[], &mut [&mut subscriber, &mut publisher]);
        assert_eq!(subscriber.heard(), ["a=3"]);
        for lost in 0..3 {
            let last = publisher.last_sequence;
            // One is on its way to the subscriber, which does not read it any more; others come while it is away.
            publisher.publish();
            house.settle(&[&subscriber], &mut [&mut publisher]);
            house.cut(&mut subscriber);
            (0..lost).for_each(|_| publisher.publish());
            house.settle(&[], &mut [&mut publisher]);
            house.connect(&mut subscriber);
            house.settle(&[], &mut [&mut subscriber, &mut publisher]);
            publisher.publish();
            house.settle(&[], &mut [&mut subscriber, &mut publisher]);
            let all: Vec<String> =
                (last + 1..=last + 2 + lost).map(|sequence| format!("a={sequence}")).collect();
            assert_eq!(subscriber.heard(), all, "each once, and no gap");
            // Some of it comes again, as from a broker that hears of it later.
            publisher.last_sequence = last - 1;
            (0..4 + lost).for_each(|_| publisher.publish());
            house.settle(&[], &mut [&mut subscriber, &mut publisher]);
            let behind: Vec<String> =
                (last + 1..=last + 3 + lost).map(|sequence| format!("a={sequence}")).collect();
            assert_eq!(subscriber.heard(), behind, "without what it had when it came back");
        }
    }
}

#[test]
fn positions_are_forgotten_when_pings_have_shown_that_all_has_come() {
    let mut house = house_with_history(ClientConfig::new(crate::Endpoint::default()).resume(true));
    let (mut subscriber, mut publisher) = (house.client(), house.client());
    subscriber.subscribe("a", house.now);
    house.settle(&[], &mut [&mut subscriber, &mut publisher]);
    publisher.publish();
    house.settle(&[], &mut [&mut subscriber, &mut publisher]);
    let heartbeat = subscriber.state.borrow().terms.heartbeat;
    let until = house.now + heartbeat * 4;
    while house.now < until {
        assert!(!house.tick(&subscriber) && !publisher.state.borrow_mut().on_tick(house.now, true));
        house.settle(&[], &mut [&mut subscriber, &mut publisher]);
    }
    house.cut(&mut subscriber);
    publisher.publish();
    house.settle(&[], &mut [&mut publisher]);
    house.connect(&mut subscriber);
    house.settle(&[], &mut [&mut subscriber, &mut publisher]);
    assert_eq!(subscriber.heard(), ["a=1", "a=2"], "the first is not sent again");
}
