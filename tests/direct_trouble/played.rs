//! A broker and direct publishers that the test plays word for word, so that a subscriber of the library hears them in the one
//! order that is asked about.

use std::io::Write as _;
use std::net::{TcpListener, TcpStream};

use corecast::internals::wire::{Frame, encode_to_vec};
use corecast::{ClientConfig, Endpoint, Event, Filter, Sessions, Subscriber};
use corecast_executors::spawn_plain;

use super::away::RECONNECT;
use super::raw_client::{RawClient, Said};
use super::{PATIENCE, watchdog};

const PROXY: Frame<'static> = Frame::Modes { rules: ">=proxy" };
const DIRECT: Frame<'static> = Frame::Modes { rules: ">=direct" };

/// The listener of somebody that the test plays.
struct Played {
    listener: TcpListener,
    endpoint: String,
}

impl Played {
    fn listen() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let endpoint = format!("tcp://{}", listener.local_addr().expect("its address"));
        Played { listener, endpoint }
    }

    /// A broker that restarts: a subscriber comes back to it, and asks for its filter and for the direct publishers of that.
    fn broker_again(&self) -> (RawClient, Vec<u32>) {
        let mut session = RawClient::welcome(&self.listener, &[DIRECT]);
        let asked = (0..2).map(|_| asked(&mut session)).collect();
        (session, asked)
    }

    /// The word of a broker that this publisher has registered for the first time.
    fn up(&self, publisher: u64) -> Frame<'_> {
        let endpoints = &self.endpoint;
        Frame::PublisherUp { endpoints, topics: "t", publisher, epoch: 1, lease_left_ms: 0 }
    }

    /// A publisher to which the subscriber connects.
    fn meet(&self, publisher: u64) -> Met {
        let mut session = RawClient::welcome(&self.listener, &[Frame::Identity { publisher }]);
        let request = asked(&mut session);
        Met { publisher, session, request }
    }

    /// As [`Played::meet`], for one that confirms at once what it is asked for.
    fn confirm(&self, publisher: u64) -> Confirmed {
        self.meet(publisher).confirm()
    }
}

/// The stream of a publisher that is asked for its topic.
struct Met {
    publisher: u64,
    session: RawClient,
    request: u32,
}

impl Met {
    /// Confirms that, and all that it is asked for later.
    fn confirm(mut self) -> Confirmed {
        let Met { publisher, request, .. } = self;
        let writer = self.session.writer();
        self.session.send(&Frame::Done { request });
        let confirm = move || {
            while let Said::Asked(request) = self.session.next() {
                self.session.send(&Frame::Done { request });
            }
        };
        spawn_plain("publisher", confirm).expect("a thread");
        Confirmed { publisher, writer }
    }
}

/// The stream of a publisher that has confirmed its subscriber.
struct Confirmed {
    publisher: u64,
    writer: TcpStream,
}

impl Confirmed {
    /// Sends its message of this number.
    fn publish(&mut self, sequence: u64) {
        let publisher = self.publisher;
        let message = Frame::Message { topic: b"t", payload: b"", publisher, sequence, sent_at_ns: 0 };
        self.writer.write_all(&encode_to_vec(&message)).expect("the subscriber reads");
    }
}

/// Takes the next request.
fn asked(session: &mut RawClient) -> u32 {
    match session.next() {
        Said::Asked(request) => request,
        other => panic!("a request, not {other:?}"),
    }
}

/// Says all of this at once, so that it is read in one turn.
fn say(session: &mut RawClient, words: &[Frame<'_>]) {
    session.send_bytes(&words.iter().flat_map(encode_to_vec).collect::<Vec<u8>>());
}

/// A subscriber of `t` whose broker had these rules and is gone.
fn subscriber_of(broker: &Played, rules: Frame<'static>) -> Subscriber {
    let endpoint: Endpoint = broker.endpoint.parse().expect("an endpoint");
    let listener = broker.listener.try_clone().expect("a descriptor");
    let confirm = move || {
        let mut session = RawClient::welcome(&listener, &[rules]);
        for _ in 0..if rules == DIRECT { 2 } else { 1 } {
            let request = asked(&mut session);
            session.send(&Frame::Done { request });
        }
        session
    };
    let session = spawn_plain("broker", confirm).expect("a thread");
    let config = ClientConfig::new(endpoint).sessions(Sessions::PerSubscriber);
    let filters = [Filter::parse("t").expect("a filter")];
    let subscriber = Subscriber::with_config(config, &filters).expect("a subscriber");
    drop(session.join().expect("no panic"));
    subscriber
}

fn next(subscriber: &mut Subscriber) -> Event {
    subscriber.recv_timeout(PATIENCE).expect("the session stands").expect("more comes")
}

/// The messages that come next, by publisher and sequence.
fn messages(subscriber: &mut Subscriber, count: usize) -> Vec<(u64, u64)> {
    let next = |_| match next(subscriber) {
        Event::Message(message) => (message.publisher.0, message.sequence),
        gap => panic!("one loss is one gap, and then {gap:?}"),
    };
    let mut messages: Vec<_> = (0..count).map(next).collect();
    messages.sort_unstable();
    messages
}

#[test]
fn publishers_that_are_named_before_their_subscriber_is_back_add_no_gap() {
    let _watchdog = watchdog::watch("publishers_that_are_named_before_their_subscriber_is_back_add_no_gap");
    let (broker, publishers) = (Played::listen(), [1, 2].map(|number| (number, Played::listen())));
    let mut subscriber = subscriber_of(&broker, PROXY);
    let (mut session, asked) = broker.broker_again();
    for (number, publisher) in &publishers {
        session.send(&publisher.up(*number));
    }
    // It is in force at all of them before it is at the broker.
    let mut publishers = publishers.map(|(number, publisher)| publisher.confirm(number));
    asked.into_iter().for_each(|request| session.send(&Frame::Done { request }));
    assert_eq!(next(&mut subscriber), Event::Gap(RECONNECT));
    publishers.iter_mut().for_each(|publisher| publisher.publish(5));
    assert_eq!(messages(&mut subscriber, 2), [(1, 5), (2, 5)]);
}

#[test]
fn publishers_that_are_named_with_the_confirmation_are_known_before_it() {
    let _watchdog = watchdog::watch("publishers_that_are_named_with_the_confirmation_are_known_before_it");
    for rules in [PROXY, DIRECT] {
        let (broker, publisher) = (Played::listen(), Played::listen());
        let mut subscriber = subscriber_of(&broker, rules);
        let (mut session, asked) = broker.broker_again();
        let mut words = vec![publisher.up(1)];
        words.extend(asked.into_iter().map(|request| Frame::Done { request }));
        say(&mut session, &words);
        let mut publisher = publisher.confirm(1);
        assert_eq!(
            next(&mut subscriber),
            Event::Gap(RECONNECT),
            "{rules:?}: it has begun without the subscriber"
        );
        publisher.publish(5);
        assert_eq!(messages(&mut subscriber, 1), [(1, 5)]);
    }
}

#[test]
fn a_gap_that_is_withheld_does_not_wait_for_a_broker_that_is_lost_again() {
    let _watchdog = watchdog::watch("a_gap_that_is_withheld_does_not_wait_for_a_broker_that_is_lost_again");
    let (broker, publisher) = (Played::listen(), Played::listen());
    let mut subscriber = subscriber_of(&broker, PROXY);
    let (mut session, asked) = broker.broker_again();
    session.send(&publisher.up(1));
    let publisher = publisher.meet(1);
    asked.into_iter().for_each(|request| session.send(&Frame::Done { request }));
    drop(session);
    // It knows of the loss when it comes again.
    let again = broker.listener.accept().expect("it connects again");
    let mut publisher = publisher.confirm();
    assert_eq!(next(&mut subscriber), Event::Gap(RECONNECT));
    publisher.publish(5);
    assert_eq!(messages(&mut subscriber, 1), [(1, 5)]);
    drop(again);
    let (mut session, asked) = broker.broker_again();
    asked.into_iter().for_each(|request| session.send(&Frame::Done { request }));
    publisher.publish(6);
    assert_eq!(messages(&mut subscriber, 1), [(1, 6)]);
}
