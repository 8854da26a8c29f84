//! The ZeroMQ door of a real broker, by peers that say exactly what a test wants: what is wrong is refused with a reason
//! that is counted, and touches nobody else; policies, old peers and silence.

#![expect(clippy::panic, reason = "in a test every failure is a panic")]

mod broker_process;
mod healthy_pair;
mod watchdog;
mod zmtp_peer;

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use broker_process::{BrokerProcess, Transport};
use corecast::limits::{TOPIC_BYTES_MAX, ZMTP_COMMAND_BYTES_MAX, ZMTP_IDENTITY_BYTES_MAX};
use corecast::wire::FRAME_BODY_BYTES_MIN;
use corecast::zmtp::{command, frame, greeting};
use corecast::{Event, Filter, Subscriber};
use healthy_pair::HealthyPair;
use tempfile::TempDir;
use zmtp_peer::{Said, ZmtpPeer, command_of, message, property, ready};

/// A broker with a door.
struct Door {
    broker: BrokerProcess,
    path: PathBuf,
    _folder: TempDir,
}

impl Door {
    fn open(args: &[&str]) -> Door {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("zmtp.sock");
        let url = format!("ipc://{}", path.display());
        let broker = BrokerProcess::start(Transport::Tcp, &[&["--zmtp", &url], args].concat());
        Door { broker, path, _folder: folder }
    }

    fn peer(&self, kind: &str) -> ZmtpPeer {
        ZmtpPeer::open(&self.path, kind)
    }

    /// A subscriber of all that begins so, and a publisher who knows of it.
    fn pair(&self, prefix: &[u8]) -> (ZmtpPeer, ZmtpPeer) {
        let mut subscriber = self.peer("SUB");
        subscriber.subscribe(prefix);
        let mut publisher = self.peer("XPUB");
        let told = Said::Command("SUBSCRIBE".into(), prefix.to_vec());
        while publisher.hear() != told {}
        (subscriber, publisher)
    }
}

/// Makes a peer that is about to go wrong.
type Begin<'a> = &'a dyn Fn(&Path) -> ZmtpPeer;

/// What is wrong, what a peer says, and the reason that is counted. Who cannot understand it is not told.
type Case = (&'static str, Vec<u8>, &'static str, bool);

fn greetings() -> Vec<Case> {
    let ours = greeting::ours();
    let changed = |at: usize, bytes: &[u8]| {
        let mut wrong = ours;
        wrong[at..at + bytes.len()].copy_from_slice(bytes);
        wrong.to_vec()
    };
    let not_null = |name: &[u8]| changed(12, &[name, &vec![0; 20 - name.len()]].concat());
    vec![
        ("HTTP", b"GET / HTTP/1.1\r\n\r\n".to_vec(), "not_zmtp", false),
        ("TLS", b"\x16\x03\x01\x02\x00\x01".to_vec(), "not_zmtp", false),
        ("a native client", corecast::wire::greeting::ours().to_vec(), "not_zmtp", false),
        ("a signature that does not end", changed(9, b"\x7e"), "not_zmtp", false),
        ("ZMTP 1", b"\x01\x00".to_vec(), "version", false),
        ("ZMTP 2", changed(10, b"\x01"), "version", false),
        ("ZMTP 2 again", changed(10, b"\x02"), "version", false),
        ("PLAIN", not_null(b"PLAIN"), "mechanism", true),
        ("CURVE", not_null(b"CURVE"), "mechanism", true),
        ("no mechanism", not_null(b""), "mechanism", true),
        ("NULL and more", changed(20, b"x"), "mechanism", true),
        ("a greeting cut short", ours[..63].to_vec(), "peer_closed", false),
    ]
}

/// Behind a good greeting.
fn handshakes() -> Vec<Case> {
    let announced = |flags: u8, size: &[u8]| [&[flags], size].concat();
    let pub_ = property(b"Socket-Type", 3, b"PUB");
    let readies = |properties: &[&[u8]]| command_of(b"READY", &properties.concat());
    let identity = vec![b'i'; ZMTP_IDENTITY_BYTES_MAX + 1];
    let mut cases: Vec<Case> = vec![
        ("a REQ socket", ready("REQ"), "socket_type", true),
        ("no socket type", readies(&[]), "socket_type", true),
        ("an empty socket type", readies(&[&property(b"Socket-Type", 0, b"")]), "socket_type", true),
        ("a lower-case type", ready("pub"), "socket_type", true),
        ("two socket types", readies(&[&pub_, &pub_]), "malformed", true),
        ("a property without a name", readies(&[&pub_, &property(b"", 0, b"")]), "malformed", true),
        ("a name with a blank", readies(&[&pub_, &property(b"a b", 0, b"")]), "malformed", true),
        ("a long identity", readies(&[&property(b"Identity", 256, &identity)]), "malformed", true),
        ("a message first", message(&[b"x"]), "unexpected", true),
        ("a ping first", command::ping(), "unexpected", true),
        ("a subscription first", command::subscription(true, b"", true), "unexpected", true),
        ("an error", command::error("I am not well"), "unexpected", true),
        ("a command without a name", vec![frame::COMMAND, 1, 0], "malformed", true),
        ("an empty command", vec![frame::COMMAND, 0], "malformed", true),
        ("a long message first", announced(frame::LONG, &[0xff; 8]), "unexpected", true),
        ("the end within a READY", ready("PUB")[..9].to_vec(), "malformed", true),
    ];
    for value_bytes in [4, 255, 256, 1 << 31, u32::MAX] {
        let short = readies(&[&property(b"Socket-Type", value_bytes, b"PUB")]);
        cases.push(("a value that is not all there", short, "malformed", true));
    }
    for size in [ZMTP_COMMAND_BYTES_MAX as u64 + 1, 1 << 31, 1 << 63, u64::MAX] {
        let flags = frame::COMMAND | frame::LONG;
        cases.push(("a command too long", announced(flags, &size.to_be_bytes()), "too_large", true));
    }
    cases
}

/// From a publisher that is open.
fn streams() -> Vec<Case> {
    let ping = |bytes: usize| command_of(b"PING", &vec![0; bytes]);
    let mut cases: Vec<Case> = vec![
        ("a second READY", ready("PUB"), "unexpected", true),
        ("a subscription by a publisher", command::subscription(true, b"", true), "unexpected", true),
        ("a cancel by a publisher", command::subscription(false, b"", true), "unexpected", true),
        ("a ping without a time", ping(1), "malformed", true),
        ("a ping with a long context", ping(2 + 17), "malformed", true),
        ("an error cut short", command_of(b"ERROR", b"\x05no"), "malformed", true),
        ("an error", command::error("enough"), "unexpected", true),
        ("the end within a message", message(&[b"a", b"b"])[..3].to_vec(), "malformed", true),
    ];
    for flags in (0..=255_u8).filter(|flags| *flags > 7 || flags & 5 == 5) {
        cases.push(("flags that are none", vec![flags], "malformed", true));
    }
    for size in
        [FRAME_BYTES as u64 - FRAME_BODY_BYTES_MIN as u64 + 1, FRAME_BYTES as u64 + 1, 1 << 31, 1 << 63]
    {
        for flags in [frame::LONG, frame::LONG | frame::MORE] {
            cases.push(("a part too long", [&[flags], &size.to_be_bytes()[..]].concat(), "too_large", true));
        }
    }
    cases.push((
        "a part of all ones",
        vec![frame::LONG, 255, 255, 255, 255, 255, 255, 255, 255],
        "too_large",
        true,
    ));
    let halves = vec![0; FRAME_BYTES / 2];
    cases.push(("parts that are too long together", message(&[&halves, &halves, b""]), "too_large", true));
    cases
}

/// From a subscriber that is open.
fn subscriptions() -> Vec<Case> {
    let long = vec![b'a'; TOPIC_BYTES_MAX + 1];
    vec![
        ("a long prefix", command::subscription(true, &long, true), "bad_filter", true),
        ("a long prefix as a message", command::subscription(true, &long, false), "bad_filter", true),
        ("a long cancel", command::subscription(false, &long, true), "bad_filter", true),
    ]
}

/// The longest message that this test's broker takes, as a native frame.
const FRAME_BYTES: usize = 64 << 10;

#[test]
fn what_is_wrong_is_refused_and_counted_and_touches_nobody_else() {
    let _watchdog = watchdog::watch("what_is_wrong_is_refused_and_counted_and_touches_nobody_else");
    let door = Door::open(&["--frame-bytes-max", "64KiB"]);
    let native = HealthyPair::start(&door.broker.client());
    let (mut subscriber, mut publisher) = door.pair(b"good");
    let mut sent = 0;
    let connected = |path: &Path| ZmtpPeer::connect(path);
    let greeted = |path: &Path| ZmtpPeer::greet(path, true);
    let publishes = |path: &Path| ZmtpPeer::open(path, "PUB");
    let subscribes = |path: &Path| ZmtpPeer::open(path, "SUB");
    let stages: [(Begin<'_>, Vec<Case>); 4] = [
        (&connected, greetings()),
        (&greeted, handshakes()),
        (&publishes, streams()),
        (&subscribes, subscriptions()),
    ];
    for (begin, cases) in stages {
        let before = door.broker.page();
        for (name, bytes, _, told) in &cases {
            let mut peer = begin(&door.path);
            peer.send(bytes);
            peer.end_sending();
            let text = peer.end();
            assert_eq!(text.is_some(), *told, "{name}: {bytes:x?}: {text:?}");
            sent += 1;
            publisher.publish(&[b"good", format!("{sent}").as_bytes(), b""]);
            assert_eq!(subscriber.message()[1], format!("{sent}").as_bytes(), "{name}");
        }
        let mut reasons: Vec<&str> = cases.iter().map(|(_, _, reason, _)| *reason).collect();
        reasons.sort_unstable();
        for of_one in reasons.chunk_by(|a, b| a == b) {
            let expected = before.closes(of_one[0]) + of_one.len() as u64;
            door.broker.until(|page| page.closes(of_one[0]) == expected);
        }
    }
    assert!(sent > 250, "{sent} cases");
    native.assert_well();
}

#[test]
fn each_size_up_to_the_limit_is_taken_and_memory_follows_what_has_come() {
    let _watchdog = watchdog::watch("each_size_up_to_the_limit_is_taken_and_memory_follows_what_has_come");
    let door = Door::open(&["--frame-bytes-max", "4MiB"]);
    let (mut subscriber, mut publisher) = door.pair(b"");
    let most = (4 << 20) - FRAME_BODY_BYTES_MIN;
    for bytes in [0, 1, 254, 255, 256, 257, most] {
        let part = vec![b'x'; bytes];
        publisher.publish(&[&part]);
        assert_eq!(subscriber.message(), [part], "{bytes}");
    }
    // Three hundred who announce the most and send a byte of it.
    let before = door.broker.rss_bytes();
    let begun: Vec<ZmtpPeer> = (0..300)
        .map(|_| {
            let mut peer = door.peer("PUB");
            peer.send(&[&[frame::LONG], &(most as u64).to_be_bytes()[..], b"x"].concat());
            peer
        })
        .collect();
    publisher.publish(&[b"still here"]);
    assert_eq!(subscriber.message(), [b"still here"]);
    let grown = door.broker.rss_bytes().saturating_sub(before);
    assert!(grown < 32 << 20, "{grown} bytes for {} begun messages", begun.len());
}

#[test]
fn a_thousand_mute_peers_do_not_slow_a_good_one() {
    let _watchdog = watchdog::watch("a_thousand_mute_peers_do_not_slow_a_good_one");
    let door = Door::open(&[]);
    let (mut subscriber, mut publisher) = door.pair(b"");
    let mut median = || {
        let mut times: Vec<Duration> = (0..501)
            .map(|n: u32| {
                let begun = Instant::now();
                publisher.publish(&[&n.to_le_bytes()]);
                assert_eq!(subscriber.message(), [n.to_le_bytes()]);
                begun.elapsed()
            })
            .collect();
        times.sort_unstable();
        times[250]
    };
    let alone = median();
    let mute: Vec<ZmtpPeer> = (0..1000).map(|_| ZmtpPeer::connect(&door.path)).collect();
    door.broker.until(|page| page.sum("corecast_sessions") == 1002);
    let among = median();
    // A loaded machine wavers by itself; a look at each of a thousand peers a message would cost more.
    assert!(among < 5 * alone + Duration::from_millis(1), "{among:?} among {}, {alone:?} alone", mute.len());
    door.broker.until(|page| page.closes("handshake_timeout") == 1000);
    let _ = median();
}

#[test]
fn what_a_slow_subscriber_loses_is_counted_to_the_message() {
    let _watchdog = watchdog::watch("what_a_slow_subscriber_loses_is_counted_to_the_message");
    for policy in ["drop-oldest", "drop-newest", "latest"] {
        let door = Door::open(&["--overflow", policy, "--egress-bytes", "8MiB"]);
        let (mut slow, mut publisher) = door.pair(b"");
        let mut good = door.peer("SUB");
        good.subscribe(b"");
        door.broker.until(|page| page.sum("corecast_subscriptions") == 2);
        let filling = vec![7; 50_000];
        let mut sent = 0_u32;
        while sent < 1000 {
            publisher.publish(&[b"t", &sent.to_le_bytes(), &filling]);
            assert_eq!(good.message()[1], sent.to_le_bytes(), "{policy}: the good one has all");
            sent += 1;
        }
        let mut got: Vec<Vec<Vec<u8>>> = Vec::new();
        // Under drop-newest nothing that comes is kept before there is room.
        while got.last().is_none_or(|parts| parts[0] != b"room") {
            publisher.publish(&[b"room"]);
            assert_eq!(good.message(), [b"room"]);
            sent += 1;
            got.push(slow.message());
        }
        publisher.publish(&[b"end"]);
        sent += 1;
        while got.last().is_none_or(|parts| parts[0] != b"end") {
            got.push(slow.message());
        }
        let numbers: Vec<&Vec<u8>> =
            got.iter().filter(|parts| parts[0] == b"t").map(|parts| &parts[1]).collect();
        let numbers: Vec<u32> =
            numbers.iter().map(|n| u32::from_le_bytes(n[..4].try_into().expect("four bytes"))).collect();
        assert!(numbers.is_sorted() && numbers.len() < 1000, "{policy}");
        match policy {
            "drop-newest" => assert_eq!(numbers[..10], [0, 1, 2, 3, 4, 5, 6, 7, 8, 9]),
            _ => assert_eq!(numbers.last(), Some(&999), "{policy}: the newest is there"),
        }
        let lost = u64::from(sent) - got.len() as u64;
        assert!(lost > 0, "{policy}");
        door.broker.until(|page| page.sum("corecast_gaps_untold_total") == lost);
        assert_eq!(door.broker.page().sum("corecast_drops_total"), lost, "{policy}");
        assert_eq!(door.broker.page().sum("corecast_gaps_told_total"), 0, "nobody was told of it");
    }
}

#[test]
fn a_slow_subscriber_is_closed_or_holds_the_publisher_as_its_policy_says() {
    let _watchdog = watchdog::watch("a_slow_subscriber_is_closed_or_holds_the_publisher_as_its_policy_says");
    let filling = vec![7; 50_000];
    let door = Door::open(&["--overflow", "disconnect", "--egress-bytes", "8MiB"]);
    let (mut slow, mut publisher) = door.pair(b"");
    (0..600).for_each(|_| publisher.publish(&[b"t", &filling]));
    assert!(slow.end().expect("it is told").contains("full"));
    door.broker.until(|page| page.closes("slow_subscriber") == 1);

    let door = Door::open(&["--overflow", "block", "--egress-bytes", "8MiB"]);
    let (mut slow, mut publisher) = door.pair(b"");
    let all = std::thread::scope(|scope| {
        scope.spawn(|| (0..1000_u32).for_each(|n| publisher.publish(&[b"t", &n.to_le_bytes(), &filling])));
        door.broker.until(|page| page.sum("corecast_link_held_total") > 0);
        (0..1000_u32).all(|n| slow.message()[1] == n.to_le_bytes())
    });
    assert!(all, "nothing is lost");
    assert_eq!(door.broker.page().sum("corecast_drops_total"), 0);
}

#[test]
fn peers_of_3_0_speak_in_messages_and_are_not_asked_whether_they_live() {
    let _watchdog = watchdog::watch("peers_of_3_0_speak_in_messages_and_are_not_asked_whether_they_live");
    let door = Door::open(&["--heartbeat", "100ms"]);
    let mut subscriber = ZmtpPeer::greet(&door.path, false).ready("SUB");
    let mut publisher = ZmtpPeer::greet(&door.path, false).ready("PUB");
    let mut newer = door.peer("SUB");
    subscriber.send(&message(&[b"\x01a"]));
    assert_eq!(publisher.message(), [b"\x01a"]);
    // Newer ones are asked, and given up if they do not answer.
    assert_eq!(newer.hear(), Said::Command("PING".into(), vec![0, 0]));
    assert!(newer.end().expect("it is told").contains("too long"));
    door.broker.until(|page| page.closes("idle_timeout") == 1);
    publisher.publish(&[b"a", b"", b"b"]);
    assert_eq!(subscriber.message(), [&b"a"[..], b"", b"b"]);
    subscriber.send(&message(&[b"\x00a"]));
    assert_eq!(publisher.message(), [b"\x00a"]);
}

/// More than three heartbeats of 100 ms, by the broker's own time.
fn many_heartbeats(door: &Door) {
    let until = door.broker.page().sum("corecast_ticks_total") + 2 * 60;
    door.broker.until(|page| page.sum("corecast_ticks_total") > until);
}

#[test]
fn a_question_goes_ahead_of_what_waits_and_silence_behind_messages_is_no_death() {
    let _watchdog =
        watchdog::watch("a_question_goes_ahead_of_what_waits_and_silence_behind_messages_is_no_death");
    let door = Door::open(&[
        "--heartbeat",
        "100ms",
        "--overflow",
        "block",
        "--egress-bytes",
        "8MiB",
        "--shards",
        "2",
    ]);
    let (mut slow, mut publisher) = (door.peer("SUB"), door.peer("PUB"));
    slow.subscribe(b"");
    door.broker.until(|page| page.sum("corecast_subscriptions") == 1);
    let filling = vec![7; 50_000];
    std::thread::scope(|scope| {
        scope.spawn(|| (0..600_u32).for_each(|n| publisher.publish(&[b"t", &n.to_le_bytes(), &filling])));
        door.broker.until(|page| page.sum("corecast_link_held_total") > 0);
        many_heartbeats(&door);
        let (mut asked_at, mut next) = (None, 0_u32);
        while next < 600 {
            match slow.hear() {
                Said::Message(parts) => {
                    assert_eq!(parts[1], next.to_le_bytes());
                    next += 1;
                }
                Said::Command(name, _) if name == "PING" => asked_at = asked_at.or(Some(next)),
                other => unreachable!("messages and questions, not {other:?}"),
            }
        }
        let asked_at = asked_at.expect("it was silent, so it was asked");
        assert!(asked_at < 300, "the question was not behind the 8 MiB that waited, but at {asked_at}");
    });
    // It has read all, and answers: the first question, and one that was asked after the last message. From then on
    // nothing can be unread before a question.
    slow.send(&command_of(b"PONG", b""));
    assert_eq!(slow.hear(), Said::Command("PING".into(), vec![0, 0]));
    slow.send(&command_of(b"PONG", b""));
    let silent_since = Instant::now();
    assert!(slow.end().expect("it is told").contains("too long"));
    assert!(silent_since.elapsed() > Duration::from_millis(200), "{:?}", silent_since.elapsed());
    door.broker.until(|page| page.closes("idle_timeout") >= 1);
}

#[test]
fn a_broker_that_was_stopped_gives_nobody_up() {
    let _watchdog = watchdog::watch("a_broker_that_was_stopped_gives_nobody_up");
    let door = Door::open(&["--heartbeat", "100ms"]);
    let mut peers = [door.peer("SUB"), door.peer("XPUB")];
    let mut late = ZmtpPeer::connect(&door.path);
    // Each is asked, and then the broker hears no answer for longer than it would wait for one.
    for peer in &mut peers {
        assert_eq!(peer.hear(), Said::Command("PING".into(), vec![0, 0]));
    }
    door.broker.freeze();
    corecast_executors::pause(Duration::from_secs(6));
    for peer in &mut peers {
        peer.send(&command_of(b"PONG", b""));
    }
    door.broker.signal(nix::sys::signal::Signal::SIGCONT);
    late.send(&greeting::ours());
    let mut late = late.ready("SUB");
    late.subscribe(b"");
    let [_, publisher] = &mut peers;
    while publisher.hear() != Said::Command("SUBSCRIBE".into(), Vec::new()) {}
    publisher.publish(&[b"still here"]);
    assert_eq!(late.message(), [b"still here"]);
    assert_eq!(door.broker.page().sum("corecast_closes_total"), 0);
}

#[test]
fn who_said_that_it_would_not_be_silent_so_long_is_given_up_then() {
    let _watchdog = watchdog::watch("who_said_that_it_would_not_be_silent_so_long_is_given_up_then");
    let door = Door::open(&[]);
    let (mut peer, mut other) = (door.peer("SUB"), door.peer("SUB"));
    // Half a second, and what comes back.
    peer.send(&command_of(b"PING", b"\x00\x05context"));
    other.send(&command_of(b"PING", b"\x00\x00"));
    assert_eq!(peer.hear(), Said::Command("PONG".into(), b"context".to_vec()));
    assert_eq!(other.hear(), Said::Command("PONG".into(), Vec::new()));
    let begun = Instant::now();
    assert!(peer.end().is_some());
    assert!(begun.elapsed() > Duration::from_millis(400), "{:?}", begun.elapsed());
    door.broker.until(|page| page.closes("idle_timeout") == 1);
    other.send(&command_of(b"PING", b"\x00\x00x"));
    assert_eq!(other.hear(), Said::Command("PONG".into(), b"x".to_vec()));
}

/// The table in PROTOCOL.md.
#[test]
fn native_filters_see_levels_between_dots_and_prefixes_see_bytes() {
    let _watchdog = watchdog::watch("native_filters_see_levels_between_dots_and_prefixes_see_bytes");
    let door = Door::open(&[]);
    let long = [b"a.".as_slice(), &[b'x'; 2000]].concat();
    let topics: [&[u8]; 14] = [
        b"a", b"a.b", b"a.bc", b"a.b.c", b"a..b", b"a.", b".", b"", b"ab", b"a.*", b"a.>", b"a b", b"\xff.b",
        &long,
    ];
    let matches: [(&str, &[&[u8]]); 7] = [
        ("a", &[b"a"]),
        ("a.b", &[b"a.b"]),
        ("a.*", &[b"a.b", b"a.bc", b"a.", b"a.*", b"a.>", &long]),
        ("a.*.b", &[b"a..b"]),
        ("a.>", &[b"a.b", b"a.bc", b"a.b.c", b"a..b", b"a.", b"a.*", b"a.>", &long]),
        ("*", &[b"a", b"", b"ab", b"a b"]),
        (">", &topics),
    ];
    let broker = door.broker.client().broker.to_string();
    let mut subscribers: Vec<(Subscriber, Filter)> = matches
        .iter()
        .map(|(text, _)| {
            let filter = Filter::parse(text).expect("a filter");
            (Subscriber::connect(&broker, std::slice::from_ref(&filter)).expect("the broker serves"), filter)
        })
        .collect();
    let mut prefixes: Vec<ZmtpPeer> = (0..2).map(|_| door.peer("SUB")).collect();
    for (peer, prefix) in prefixes.iter_mut().zip([&b"a.b"[..], b""]) {
        peer.subscribe(prefix);
    }
    door.broker.until(|page| page.sum("corecast_subscriptions") == 9);
    let mut publisher = door.peer("PUB");
    // The last, which every one of them gets, says that nothing else was sent before.
    let ends: [&[u8]; 7] = [b"a", b"a.b", b"a.end", b"a.end.b", b"a.end", b"end", b"end"];
    for topic in topics.iter().chain(&ends) {
        publisher.publish(&[topic, b"x"]);
    }
    for ((subscriber, filter), ((text, expected), end)) in
        subscribers.iter_mut().zip(matches.iter().zip(ends))
    {
        let also = ends.iter().copied().filter(|topic| filter.matches(topic));
        let expected: Vec<&[u8]> = expected.iter().copied().chain(also).collect();
        assert!(expected.contains(&end));
        let heard: Vec<Vec<u8>> = expected
            .iter()
            .map(|_| match subscriber.recv().expect("the session stands") {
                Event::Message(message) => message.topic.to_vec(),
                Event::Gap(gap) => unreachable!("{gap:?}"),
            })
            .collect();
        assert_eq!(heard, expected, "{text}");
    }
    for (peer, prefix) in prefixes.iter_mut().zip([&b"a.b"[..], b""]) {
        for topic in topics.iter().chain(&ends).filter(|topic| topic.starts_with(prefix)) {
            assert_eq!(peer.message(), [topic, &b"x"[..]]);
        }
    }
}
