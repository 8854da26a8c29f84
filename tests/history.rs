//! Subscribers that start with history, at a broker as users run it: over real connections, on several shards, and by the
//! command.

#![expect(clippy::panic, reason = "in a test every failure is a panic")]

mod broker_process;
#[allow(dead_code, reason = "other tests silence it, too")]
#[path = "direct_trouble/cable.rs"]
mod cable;
mod running;
mod watchdog;
mod zmtp_peer;

use std::collections::BTreeMap;
use std::fs;
use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::time::Duration;

use broker_process::{BrokerProcess, Transport};
use cable::Cable;
use corecast::{
    ClientConfig, ConnectionEvent, ConnectionEvents, Event, Filter, Message, OverflowPolicy, Publisher,
    PublisherId, Start, Subscriber,
};
use running::{at, run, start, text};
use zmtp_peer::ZmtpPeer;

/// Time limit of any step, on a machine that is busy with something else.
const PATIENCE: Duration = Duration::from_secs(60);

fn filter(text: &str) -> Filter {
    Filter::parse(text).expect("a filter")
}

/// A publisher with a session of its own, wherever the broker puts it.
fn publisher(broker: &BrokerProcess) -> Publisher {
    Publisher::with_config(broker.client()).expect("a broker is there")
}

fn subscriber(config: ClientConfig, filters: &[&str]) -> Subscriber {
    let filters: Vec<Filter> = filters.iter().map(|text| filter(text)).collect();
    Subscriber::with_config(config, &filters).expect("a broker is there")
}

fn next(subscriber: &mut Subscriber) -> Event {
    subscriber.recv_timeout(PATIENCE).expect("the session stands").expect("there is more")
}

fn next_message(subscriber: &mut Subscriber) -> Message {
    match next(subscriber) {
        Event::Message(message) => message,
        other => panic!("{other:?}"),
    }
}

/// All up to the end of history: topic and payload of each message, which says that it is history.
fn history(subscriber: &mut Subscriber) -> Vec<(String, String)> {
    let mut all = Vec::new();
    loop {
        match next(subscriber) {
            Event::Message(message) => {
                assert!(message.from_history, "{message:?}");
                let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
                all.push((text(&message.topic), text(&message.payload)));
            }
            Event::CaughtUp => return all,
            other => panic!("{other:?}"),
        }
    }
}

fn pairs(all: &[(&str, &str)]) -> Vec<(String, String)> {
    all.iter().map(|(topic, payload)| ((*topic).to_owned(), (*payload).to_owned())).collect()
}

#[test]
fn a_late_subscriber_has_the_last_value_of_each_topic_and_then_what_comes() {
    let _watchdog = watchdog::watch("a_late_subscriber_has_the_last_value_of_each_topic_and_then_what_comes");
    for transport in [Transport::Tcp, Transport::Uds] {
        let broker = BrokerProcess::start(transport, &["--shards", "2", "--keep", "prices.>=last,chat.*=3"]);
        // On both shards.
        let mut publishers = [publisher(&broker), publisher(&broker)];
        for (number, publisher) in publishers.iter_mut().enumerate() {
            for value in 1..=5 {
                let payload = format!("{number}.{value}");
                for topic in [
                    format!("prices.{number}"),
                    "prices.both".into(),
                    format!("chat.{number}"),
                    "other".into(),
                ] {
                    publisher.publish(topic.as_str(), payload.as_bytes()).expect("it is taken");
                }
            }
            publisher.flush(PATIENCE).expect("it is taken");
        }
        let last = broker.client().start(Start::Last);
        let mut late = subscriber(last.clone(), &["prices.>", "other"]);
        let wanted = pairs(&[("prices.0", "0.5"), ("prices.1", "1.5"), ("prices.both", "1.5")]);
        assert_eq!(history(&mut late), wanted);
        publishers[0].publish("prices.0", b"0.6").expect("it is taken");
        publishers[0].publish("other", b"0.7").expect("it is taken");
        for payload in ["0.6", "0.7"] {
            let live = next_message(&mut late);
            assert_eq!((&live.payload[..], live.from_history), (payload.as_bytes(), false));
        }
        let mut two = subscriber(broker.client().start(Start::Count(2)), &["chat.1", "prices.1"]);
        assert_eq!(history(&mut two), pairs(&[("chat.1", "1.4"), ("chat.1", "1.5"), ("prices.1", "1.5")]));
        let mut all = subscriber(broker.client().start(Start::All), &["chat.>"]);
        assert_eq!(history(&mut all).len(), 6);
        let mut recent = subscriber(broker.client().start(Start::Since(PATIENCE * 60)), &["chat.0"]);
        assert_eq!(history(&mut recent).len(), 3);
        let mut none = subscriber(broker.client().start(Start::Since(Duration::ZERO)), &["chat.0"]);
        assert_eq!(history(&mut none), []);
        let mut live = subscriber(broker.client(), &["prices.>"]);
        publishers[1].publish("prices.1", b"1.6").expect("it is taken");
        assert!(!next_message(&mut live).from_history, "who asks for nothing gets what comes");
        broker.until(|page| {
            page.sum("corecast_history_starts_total") == 5 && page.sum("corecast_history_messages") > 0
        });
    }
}

/// The numbers that a subscriber has had of each publisher, each the next, up to `last` of each.
fn all_in_order(subscriber: &mut Subscriber, ids: &[PublisherId], last: u64) -> usize {
    let mut seen: BTreeMap<PublisherId, u64> = BTreeMap::new();
    let mut from_history = 0;
    while ids.iter().any(|id| seen.get(id) != Some(&last)) {
        match next(subscriber) {
            Event::Message(message) => {
                let before = seen.insert(message.publisher, message.sequence);
                assert_eq!(before.unwrap_or(0) + 1, message.sequence, "of {}", message.publisher);
                from_history += usize::from(message.from_history);
            }
            Event::CaughtUp => {}
            other => panic!("{other:?}"),
        }
    }
    from_history
}

/// A broker of two shards that keeps all of some topics by this rule, with room for so many frames in each queue.
fn keeping(rule: &str, egress_frames: &str) -> BrokerProcess {
    // A subscriber that has no processor for a while is bounded by its messages alone.
    let bounds = ["--keep-bytes", "1GiB", "--egress-bytes", "256MiB", "--egress-frames", egress_frames];
    BrokerProcess::start(Transport::Tcp, &[&["--shards", "2", "--keep", rule], &bounds[..]].concat())
}

#[test]
fn under_a_flood_history_and_live_messages_meet_without_a_hole_or_a_double() {
    let _watchdog =
        watchdog::watch("under_a_flood_history_and_live_messages_meet_without_a_hole_or_a_double");
    const MESSAGES: u64 = 30_000;
    const PUBLISHERS: usize = 4;
    let broker = keeping("t.>=1h", "1000000");
    let publishers: Vec<Publisher> = (0..PUBLISHERS).map(|_| publisher(&broker)).collect();
    let ids: Vec<PublisherId> = publishers.iter().map(Publisher::id).collect();
    std::thread::scope(|scope| {
        for (number, mut publisher) in publishers.into_iter().enumerate() {
            scope.spawn(move || {
                let topic = format!("t.{number}");
                for _ in 0..MESSAGES {
                    publisher.publish(topic.as_str(), &[7; 100]).expect("it is taken");
                }
                publisher.close().expect("all is taken");
            });
        }
        // One after the other, while they publish and when they have.
        let mut counts = Vec::new();
        for _ in 0..6 {
            let mut joins = subscriber(broker.client().start(Start::All), &["t.*"]);
            counts.push(all_in_order(&mut joins, &ids, MESSAGES));
        }
        assert!(counts.is_sorted(), "later ones have more of it from history: {counts:?}");
        assert_eq!(counts.last(), Some(&(PUBLISHERS * usize::try_from(MESSAGES).expect("it is small"))));
    });
}

#[test]
fn one_that_reads_its_history_too_slowly_is_told_the_exact_number_that_it_missed() {
    let _watchdog =
        watchdog::watch("one_that_reads_its_history_too_slowly_is_told_the_exact_number_that_it_missed");
    const KEPT: u64 = 20_000;
    const LATER: u64 = 100_000;
    let broker = keeping("t=1h", "10240");
    let mut publisher = publisher(&broker);
    let mut publish = |messages| {
        for _ in 0..messages {
            publisher.publish("t", &[7; 1_000]).expect("it is taken");
        }
        publisher.flush(PATIENCE).expect("it is taken");
    };
    publish(KEPT);
    let config =
        broker.client().start(Start::All).queue_frames(16).overflow(Some(OverflowPolicy::DropOldest));
    let mut slow = subscriber(config, &["t"]);
    publish(LATER);
    let (mut accounted, mut missed, mut has_caught_up) = (0, 0, false);
    while accounted < KEPT + LATER {
        match next(&mut slow) {
            Event::Message(message) => {
                accounted += 1;
                assert_eq!(message.sequence, accounted, "after {missed} that were missed");
                assert_eq!(message.from_history, !has_caught_up);
            }
            Event::Gap(gap) => {
                let number = gap.missed.expect("it is counted");
                (accounted, missed) = (accounted + number, missed + number);
            }
            Event::CaughtUp => {
                has_caught_up = true;
                assert_eq!(accounted, KEPT, "history is not dropped");
            }
        }
    }
    assert!(has_caught_up && missed > 0, "it was too slow");
}

#[test]
fn the_command_starts_with_history_and_says_where_it_ends() {
    let _watchdog = watchdog::watch("the_command_starts_with_history_and_says_where_it_ends");
    let broker = BrokerProcess::start(Transport::Tcp, &["--shards", "2", "--keep", "a.>=last"]);
    for payload in ["one", "two"] {
        let output = start(&mut at(&broker, &["pub", "a.b", payload])).output();
        assert!(output.status.success(), "{}", text(&output.stderr));
    }
    let output = start(&mut at(&broker, &["sub", "a.>", "--from", "last", "--count", "1"])).output();
    assert_eq!((text(&output.stdout), output.status.code()), ("two\n", Some(0)), "{}", text(&output.stderr));
    let mut json = start(&mut at(&broker, &["sub", "a.>", "--from", "all", "-o", "json", "--count", "2"]));
    let mut lines = std::io::BufReader::new(json.stdout());
    let mut line = || {
        let mut line = String::new();
        std::io::BufRead::read_line(&mut lines, &mut line).expect("a line");
        serde_json::from_str::<serde_json::Value>(&line).expect("JSON")
    };
    let first = line();
    assert_eq!((&first["payload"], &first["history"]), (&"two".into(), &true.into()));
    assert_eq!(line()["caught_up"], true);
    start(&mut at(&broker, &["pub", "a.c", "three"])).output();
    let live = line();
    assert_eq!((&live["payload"], live.get("history")), (&"three".into(), None));
    for (args, part) in [
        (&["sub", "a", "--from", "first"][..], "last, all"),
        (&["broker", "--keep", "a.>=never"], "last, a number"),
        (&["broker", "--keep", "a.>"], "FILTER=last"),
        (&["broker", "--keep-bytes", "1"], "too little"),
    ] {
        let output = run(args);
        assert!(!output.status.success() && text(&output.stderr).contains(part), "{}", text(&output.stderr));
    }
}

#[test]
fn operators_see_what_is_kept_and_have_it_given_up() {
    let _watchdog = watchdog::watch("operators_see_what_is_kept_and_have_it_given_up");
    let broker = BrokerProcess::start(Transport::Tcp, &["--shards", "2", "--keep", "a.>=last,b.>=3"]);
    let mut publishers = [publisher(&broker), publisher(&broker)];
    for publisher in &mut publishers {
        for topic in ["a.one", "a.two", "b.one", "b.one"] {
            publisher.publish(topic, b"payload").expect("it is taken");
        }
        publisher.flush(PATIENCE).expect("it is taken");
    }
    let metrics = broker.metrics().to_string();
    let history = |args: &[&str]| {
        let output = run(&[&["history"], args, &["--metrics", &metrics]].concat());
        (text(&output.stdout).to_owned(), text(&output.stderr).to_owned(), output.status.code())
    };
    let rows = |args: &[&str]| {
        let (out, notes, code) = history(&[&["list", "-o", "json"], args].concat());
        assert_eq!(code, Some(0), "{notes}");
        let row = |line: &str| {
            let row: serde_json::Value = serde_json::from_str(line).expect("JSON");
            assert!(row["bytes"].as_u64() > Some(0) && row["oldest_seconds"].as_f64() >= Some(0.0), "{row}");
            format!("{}={}", row["topic"].as_str().expect("a topic"), row["messages"])
        };
        (out.lines().map(row).collect::<Vec<_>>().join(" "), notes)
    };
    // Each shard that has a publisher has its own last value. Messages that came together are kept, and given up, together.
    let (all, notes) = rows(&[]);
    let counted: Vec<&str> = all.split(' ').collect();
    assert!(["a.one=1", "a.one=2"].contains(&counted[0]), "{all}");
    assert!(["a.two=1", "a.two=2"].contains(&counted[1]), "{all}");
    assert!(["b.one=3", "b.one=4"].contains(&counted[2]) && counted.len() == 3, "{all}");
    assert!(notes.contains("of 64 MiB") && !notes.contains("--after"), "{notes}");
    let (first, notes) = rows(&["--limit", "1"]);
    assert!(first.starts_with("a.one=") && !first.contains("a.two"), "{first}");
    let after = notes.lines().find_map(|line| line.split_once("--after ")).expect("there are more").1;
    assert!(rows(&["--limit", "1", "--after", after]).0.starts_with("a.two="));
    assert!(rows(&["b.>"]).0.starts_with("b.one="));
    let (table, _, _) = history(&["list", "a.one"]);
    assert!(table.starts_with("MESSAGES") && table.contains("a.one"), "{table}");
    // By TCP, without the token of operators.
    let (_, refused, code) = history(&["clear", "a.one"]);
    assert!(code == Some(1) && refused.contains("--http-token-file"), "{refused}");
    assert_eq!(rows(&[]).0, all);
    let (_, wrong, code) = history(&["list", "a..b"]);
    assert!(code == Some(2) && wrong.contains("a..b"), "{wrong}");
}

#[test]
fn what_an_operator_has_given_up_no_subscriber_starts_with() {
    let _watchdog = watchdog::watch("what_an_operator_has_given_up_no_subscriber_starts_with");
    let folder = tempfile::tempdir().expect("a folder");
    // Whoever shows the token is an operator.
    let token = folder.path().join("token").display().to_string();
    let mut options = fs::OpenOptions::new();
    let file = options.write(true).create_new(true).mode(0o600).open(&token);
    file.expect("a file").write_all(b"corecast_sesame\n").expect("room for it");
    let broker = BrokerProcess::start(
        Transport::Tcp,
        &["--shards", "2", "--keep", ">=3", "--http-token-file", &token],
    );
    let metrics = broker.metrics().to_string();
    let mut publisher = publisher(&broker);
    for topic in ["a", "b", "a", "b.c"] {
        publisher.publish(topic, b"before").expect("it is taken");
    }
    publisher.flush(PATIENCE).expect("it is taken");
    let clear = |filter: &str| {
        let output = run(&["history", "clear", filter, "--metrics", &metrics, "--http-token-file", &token]);
        (text(&output.stdout).to_owned(), output.status.code())
    };
    assert_eq!(clear("a"), ("2\n".to_owned(), Some(0)));
    assert_eq!(clear("a"), ("0\n".to_owned(), Some(0)));
    let start_all = || subscriber(broker.client().start(Start::All), &[">"]);
    assert_eq!(history(&mut start_all()), pairs(&[("b", "before"), ("b.c", "before")]));
    publisher.publish("a", b"later").expect("it is taken");
    publisher.flush(PATIENCE).expect("it is taken");
    assert_eq!(history(&mut start_all()), pairs(&[("a", "later"), ("b", "before"), ("b.c", "before")]));
    assert_eq!(clear(">"), ("3\n".to_owned(), Some(0)));
    assert_eq!(history(&mut start_all()), []);
}

#[test]
fn a_zeromq_subscriber_has_last_messages_first_and_then_what_comes() {
    let _watchdog = watchdog::watch("a_zeromq_subscriber_has_last_messages_first_and_then_what_comes");
    let keep = ["--keep", "prices.>=5", "--zmtp-last", "prices.>", "--zmtp", "tcp://127.0.0.1:0"];
    let broker = BrokerProcess::start(Transport::Tcp, &[&["--shards", "2"], &keep[..]].concat());
    let mut publishers = [publisher(&broker), publisher(&broker)];
    for (number, publisher) in publishers.iter_mut().enumerate() {
        let topics = [format!("prices.{number}"), "prices.both".into(), "other".into()];
        for payload in [b"old", b"new"] {
            for topic in &topics {
                publisher.publish(topic.as_str(), payload).expect("it is taken");
            }
        }
        publisher.flush(PATIENCE).expect("it is taken");
    }
    let door = broker.zmtp()[0].strip_prefix("tcp://").expect("a door on TCP").parse().expect("an address");
    let mut peer = ZmtpPeer::connect_tcp(door).greeted(true).ready("SUB");
    // Two at once, as a socket sends them that has connected.
    peer.subscribe(b"prices.");
    peer.subscribe(b"other");
    let mut hear = || {
        let parts = peer.message();
        parts.iter().map(|part| text(part).to_owned()).collect::<Vec<_>>().join("=")
    };
    let first: Vec<String> = (0..3).map(|_| hear()).collect();
    assert_eq!(first, ["prices.0=new", "prices.1=new", "prices.both=new"], "one of each, whatever the shard");
    publishers[0].publish("other", b"live").expect("it is taken");
    assert_eq!(hear(), "other=live", "it is not among those of the rule");
    publishers[1].publish("prices.0", b"live").expect("it is taken");
    assert_eq!(hear(), "prices.0=live");
    let output = run(&["broker", "--zmtp-last", "a"]);
    assert!(text(&output.stderr).contains("zmtp-last"), "{}", text(&output.stderr));
}

/// Waits for such an event.
fn until(events: &mut ConnectionEvents, is_it: impl Fn(&ConnectionEvent) -> bool) {
    while !is_it(&events.recv_timeout(PATIENCE).expect("an event of the connection")) {}
}

#[test]
fn a_subscriber_whose_connection_is_lost_under_a_flood_gets_everything_once() {
    let _watchdog =
        watchdog::watch("a_subscriber_whose_connection_is_lost_under_a_flood_gets_everything_once");
    const MESSAGES: u64 = 200_000;
    let broker = keeping("t.>=1h", "1000000");
    let cable = Cable::to(broker.address());
    let mut resumes = subscriber(cable.client().resume(true), &["t.*"]);
    let mut events = resumes.connection_events();
    let publishers: Vec<Publisher> = (0..2).map(|_| publisher(&broker)).collect();
    let ids: Vec<PublisherId> = publishers.iter().map(Publisher::id).collect();
    std::thread::scope(|scope| {
        for (number, mut publisher) in publishers.into_iter().enumerate() {
            scope.spawn(move || {
                let topic = format!("t.{number}");
                for _ in 0..MESSAGES {
                    publisher.publish(topic.as_str(), &[7; 100]).expect("it is taken");
                }
                publisher.close().expect("all is taken");
            });
        }
        let mut seen: BTreeMap<PublisherId, u64> = BTreeMap::new();
        let (mut all, mut cuts) = (0, 0);
        while ids.iter().any(|id| seen.get(id) != Some(&MESSAGES)) {
            match next(&mut resumes) {
                Event::Message(message) => {
                    let before = seen.insert(message.publisher, message.sequence);
                    assert_eq!(before.unwrap_or(0) + 1, message.sequence, "of {}", message.publisher);
                    all += 1;
                }
                other => panic!("{other:?}"),
            }
            if cuts < 5 && all > (cuts + 1) * MESSAGES / 4 {
                cable.cut();
                until(&mut events, |event| matches!(event, ConnectionEvent::Disconnected { .. }));
                cable.mend();
                // What is read until then came before: the next cut is one of the next connection.
                until(&mut events, |event| matches!(event, ConnectionEvent::Connected));
                cuts += 1;
            }
        }
        assert_eq!(cuts, 5);
    });
}
