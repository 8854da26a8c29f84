//! Gaps that publishers report themselves, on other hosts and in history that is stored: each at its place, and nothing is lost for it.

use std::time::Duration;

use corecast::{Event, GapReason, Publisher, Start, Subscriber};
use corecast_executors::pause;

use super::broker_process::BrokerProcess;
use super::cable::Cable;
use super::nats_server::NatsServer;
use super::oracle::{PATIENCE, publisher, subscriber, topic};
use super::{broker, two_brokers, watchdog};

/// A publisher, and its way to a broker.
struct Cabled {
    cable: Cable,
    publisher: Publisher,
}

impl Cabled {
    fn to(broker: &BrokerProcess) -> Cabled {
        let cable = Cable::to(broker.address());
        let publisher = publisher(cable.client());
        Cabled { cable, publisher }
    }

    fn say(&mut self, name: &str, text: &str) {
        self.publisher.publish(topic(name), text.as_bytes()).expect("room");
    }

    /// Says something that is lost on the way, with the connection.
    fn lose(&mut self, name: &str) {
        self.cable.silence();
        self.say(name, "lost");
        // It leaves at once, and the cable reads it.
        pause(Duration::from_millis(300));
        self.cable.cut();
        pause(Duration::from_millis(100));
        self.cable.mend();
        // The loss is told to the publisher as well.
        let _ = self.publisher.flush(PATIENCE);
    }
}

/// The next events, up to this message: messages as their text, gaps as `?` or their number.
fn heard(subscriber: &mut Subscriber, until: &str) -> String {
    let mut all = Vec::new();
    loop {
        match subscriber.recv_timeout(PATIENCE).expect("the session stands") {
            Some(Event::Message(message)) => all.push(String::from_utf8_lossy(&message.payload).into_owned()),
            Some(Event::Gap(gap)) => {
                assert!(matches!(gap.reason, GapReason::Engine | GapReason::Publisher), "{gap:?}");
                all.push(gap.missed.map_or_else(|| "?".to_owned(), |missed| missed.to_string()));
            }
            Some(Event::CaughtUp) => {}
            None => panic!("nothing after {all:?}"),
        }
        if all.last().is_some_and(|last| last == until) {
            return all.join(" ");
        }
    }
}

#[test]
fn a_gap_that_a_publisher_reports_is_told_on_other_hosts_however_quiet_its_topic_is() {
    let _watchdog =
        watchdog::watch("a_gap_that_a_publisher_reports_is_told_on_other_hosts_however_quiet_its_topic_is");
    let Some(server) = NatsServer::start() else { return };
    let [a, b] = two_brokers(&server, &[]);
    let mut subscribers = [subscriber(a.client(), &["x"]), subscriber(b.client(), &["x"])];
    let mut source = Cabled::to(&a);
    source.publisher.wait_for_subscribers(topic("x"), 2, PATIENCE).expect("both");
    for quiet in [Duration::ZERO, Duration::from_millis(2_500)] {
        source.say("x", "1");
        source.publisher.flush(PATIENCE).expect("it has arrived");
        pause(quiet);
        source.lose("x");
        source.say("x", "3");
        source.publisher.flush(PATIENCE).expect("it has arrived");
        for subscriber in &mut subscribers {
            assert_eq!(heard(subscriber, "3"), "1 ? 3", "quiet for {quiet:?}");
        }
    }
    // The last thing that it says.
    source.lose("x");
    for subscriber in &mut subscribers {
        assert_eq!(heard(subscriber, "?"), "?");
    }
}

#[test]
fn what_a_publisher_says_behind_a_gap_is_there_when_everything_was_killed() {
    let _watchdog = watchdog::watch("what_a_publisher_says_behind_a_gap_is_there_when_everything_was_killed");
    let Some(server) = NatsServer::with_jetstream() else { return };
    let mut a = broker(
        &server,
        &["--engine-history", "--keep", "q.>=1h,confirmed", "--keep", "last.>=last,confirmed"],
    );
    let mut source = Cabled::to(&a);
    for (name, then) in [("q.a", Some("3")), ("last.x", None)] {
        source.say(name, "1");
        source.publisher.flush(PATIENCE).expect("it is stored");
        source.lose(name);
        then.into_iter().for_each(|text| source.say(name, text));
        source.publisher.flush(PATIENCE).expect("it is stored");
    }
    for (filter, until, wanted) in [("q.>", "3", "1 ? 3"), ("last.>", "1", "1")] {
        let mut late = subscriber(a.client().start(Start::All), &[filter]);
        assert_eq!(heard(&mut late, until), wanted, "{filter}");
    }
    a.kill();
    a.start_again();
    for (filter, until, wanted) in [("q.>", "3", "1 ? 3"), ("last.>", "1", "1")] {
        let mut late = subscriber(a.client().start(Start::All), &[filter]);
        assert_eq!(heard(&mut late, until), wanted, "{filter} after kill -9");
    }
}
