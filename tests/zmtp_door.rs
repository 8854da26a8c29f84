//! The ZeroMQ door of a real broker, with peers that send exactly what a test wants: faults are refused with a counted
//! reason, without effect on others; policies, old peers and silence.

#![expect(clippy::panic, reason = "in a test every failure is a panic")]

mod broker_process;
mod healthy_pair;
mod watchdog;
mod zmtp_broker;
mod zmtp_peer;

use std::path::Path;
use std::time::{Duration, Instant};

use corecast::internals::limits::{
    TOPIC_BYTES_MAX, ZMTP_COMMAND_BYTES_MAX, ZMTP_IDENTITY_BYTES_MAX, ZMTP_SKIPPED_BYTES_MAX,
};
use corecast::internals::wire::FRAME_BODY_BYTES_MIN;
use corecast::internals::zmtp::{command, frame, greeting};
use corecast::{Event, Filter, Subscriber};
use healthy_pair::HealthyPair;
use zmtp_broker::Door;
use zmtp_peer::{Said, ZmtpPeer, command_of, message, property, ready};

/// Makes a peer that is about to go wrong.
type Begin<'a> = &'a dyn Fn(&Path) -> ZmtpPeer;

/// A fault, the peer's bytes, and the counted reason; `false` if the peer could not understand an error, and gets none.
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
        ("a native client", corecast::internals::wire::greeting::ours().to_vec(), "not_zmtp", false),
        ("a signature that does not end", changed(9, b"\x7e"), "not_zmtp", false),
        ("ZMTP 1", b"\x01\x00".to_vec(), "version", false),
        ("ZMTP 2.0 of no known type", changed(10, b"\x01\x0b"), "socket_type", false),
        ("a ROUTER of ZMTP 2.0", changed(10, b"\x01\x06\0\0"), "socket_type", false),
        ("an identity of two parts", changed(10, b"\x01\x01\x01"), "malformed", false),
        ("no version", changed(10, b"\x02"), "version", false),
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
    for size in [ZMTP_SKIPPED_BYTES_MAX as u64, 1 << 31, 1 << 63] {
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
    cases
}

/// From a subscriber that is open.
fn subscriptions() -> Vec<Case> {
    let size = (FRAME_BYTES as u64 + 1).to_be_bytes();
    vec![
        ("a second READY", ready("SUB"), "unexpected", true),
        (
            "a command as long as no message",
            [&[frame::COMMAND | frame::LONG], &size[..]].concat(),
            "too_large",
            true,
        ),
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
fn a_long_prefix_costs_a_subscriber_nothing_else() {
    let _watchdog = watchdog::watch("a_long_prefix_costs_a_subscriber_nothing_else");
    let door = Door::open(&[]);
    let (mut subscriber, mut publisher) = (door.peer("SUB"), door.peer("XPUB"));
    let long = vec![b'a'; TOPIC_BYTES_MAX + 1];
    let others = [vec![b'a'; 3 * TOPIC_BYTES_MAX], vec![b'b'; 100_000]];
    let told = |wanted: bool, prefix: &[u8]| {
        Said::Command(if wanted { "SUBSCRIBE" } else { "CANCEL" }.into(), prefix.to_vec())
    };
    subscriber.subscribe(b"other");
    subscriber.subscribe(&long);
    assert_eq!(publisher.hear(), told(true, b"other"));
    assert_eq!(publisher.hear(), told(true, &long[..TOPIC_BYTES_MAX]));
    subscriber.send(&command::subscription(true, &others[0], false));
    subscriber.subscribe(&others[1]);
    assert_eq!(publisher.hear(), told(true, &others[1][..TOPIC_BYTES_MAX]));
    for topic in [&b"other"[..], &long, &others[0], &others[1]] {
        publisher.publish(&[topic, b"x"]);
        assert_eq!(subscriber.message(), [topic, b"x"]);
    }
    // Each ends by itself, and what the others have in common with it stays.
    subscriber.send(&command::subscription(false, &long, true));
    subscriber.send(&command::subscription(false, &long, true));
    subscriber.send(&command::subscription(false, &others[1], true));
    assert_eq!(publisher.hear(), told(false, &others[1][..TOPIC_BYTES_MAX]));
    publisher.publish(&[&others[0], b"y"]);
    assert_eq!(subscriber.message(), [&others[0][..], b"y"]);
    subscriber.send(&command::subscription(false, &others[0], false));
    assert_eq!(publisher.hear(), told(false, &long[..TOPIC_BYTES_MAX]));
    publisher.publish(&[b"other", b"z"]);
    assert_eq!(subscriber.message(), [b"other", &b"z"[..]]);
}

#[test]
fn a_message_over_the_limit_is_passed_over_and_told() {
    let _watchdog = watchdog::watch("a_message_over_the_limit_is_passed_over_and_told");
    let door = Door::open(&["--frame-bytes-max", "64KiB", "--shards", "2"]);
    let broker = door.broker.endpoint().to_owned();
    let mut native =
        Subscriber::connect(&broker, &[Filter::parse(">").expect("a filter")]).expect("it serves");
    let (mut subscriber, mut publisher) = door.pair(b"");
    let parts = vec![7; FRAME_BYTES / 2];
    let long: [(&[u8], Vec<&[u8]>); 3] = [
        (b"a.long", vec![&parts, &parts, &parts]),
        (b"b.long", vec![]),
        (b"c.long", vec![b"", &parts, &parts]),
    ];
    let alone = [&b"b.long"[..], &vec![b'.'; 3 << 20]].concat();
    for (topic, others) in &long {
        let first = if others.is_empty() { &alone[..] } else { *topic };
        publisher.publish(&[&[first], &others[..]].concat());
        publisher.publish(&[b"next", b"x"]);
        assert_eq!(subscriber.message(), [b"next", &b"x"[..]], "the connection stands");
        match native.recv().expect("the session stands") {
            Event::Gap(gap) => {
                assert_eq!((gap.missed, gap.reason), (Some(1), corecast::GapReason::Publisher));
                assert!(gap.topic.expect("it is known").starts_with(topic));
            }
            other => unreachable!("a gap before {other:?}"),
        }
        let Event::Message(next) = native.recv().expect("the session stands") else {
            unreachable!("one gap")
        };
        assert_eq!((&next.topic[..], &next.payload[..]), (&b"next"[..], &b"x"[..]));
    }
    door.broker.until(|page| page.sum("corecast_messages_too_long_total") == 3);
    door.broker.until(|page| page.sum("corecast_gaps_untold_total") == 3);
    assert!(door.broker.log().contains("passed over a message longer than --frame-bytes-max"));
    assert_eq!(door.broker.page().closes("too_large"), 0);
}

#[test]
fn a_publisher_that_reads_no_subscriptions_is_told_where_they_have_come_to() {
    let _watchdog =
        watchdog::watch("a_publisher_that_reads_no_subscriptions_is_told_where_they_have_come_to");
    let door = Door::open(&["--shards", "2"]);
    let (mut steady, mut publisher) = (door.peer("SUB"), door.peer("XPUB"));
    steady.subscribe(b"steady");
    assert_eq!(publisher.hear(), Said::Command("SUBSCRIBE".into(), b"steady".to_vec()));
    let mut fickle = door.peer("SUB");
    let before = door.broker.rss_bytes();
    // 24 MB of changes, which come to nothing but the last.
    let changes: Vec<u8> = (0..1000)
        .flat_map(|n: u32| {
            let prefix =
                [&b"fickle, and long enough to fill a socket."[..], &(n % 100).to_le_bytes()].concat();
            [command::subscription(true, &prefix, true), command::subscription(false, &prefix, true)].concat()
        })
        .collect();
    for _ in 0..200 {
        fickle.send(&changes);
    }
    fickle.subscribe(b"last");
    let sent = 200 * changes.len();
    door.broker.until(|page| page.sum("corecast_bytes_in_total") as usize > sent);
    let grown = door.broker.rss_bytes().saturating_sub(before);
    assert!(grown < 32 << 20, "{grown} bytes for {sent} bytes of changes that nobody reads");
    let (mut wanted, mut heard) = (std::collections::BTreeSet::new(), 0);
    while !wanted.contains(&b"last"[..]) {
        match publisher.hear() {
            Said::Command(name, prefix) if name == "SUBSCRIBE" => assert!(wanted.insert(prefix)),
            Said::Command(name, prefix) if name == "CANCEL" => assert!(wanted.remove(&prefix)),
            other => unreachable!("subscriptions, not {other:?}"),
        }
        heard += 1;
    }
    assert!(heard < 200_000, "{heard} of 400,000 changes");
    publisher.publish(&[b"steady"]);
    assert_eq!(steady.message(), [b"steady"]);
}

#[test]
fn a_verbose_broker_passes_each_subscription_on() {
    let _watchdog = watchdog::watch("a_verbose_broker_passes_each_subscription_on");
    for verbose in [true, false] {
        let args = [&["--shards", "2"][..], if verbose { &["--zmtp-verbose"] } else { &[] }].concat();
        let door = Door::open(&args);
        let mut publishers = [(); 3].map(|()| door.peer("XPUB"));
        let mut subscribers: Vec<ZmtpPeer> = Vec::new();
        for n in 0..4 {
            let mut subscriber = door.peer("SUB");
            subscriber.subscribe(b"cache");
            subscribers.push(subscriber);
            for publisher in publishers.iter_mut().filter(|_| verbose || n == 0) {
                assert_eq!(publisher.hear(), Said::Command("SUBSCRIBE".into(), b"cache".to_vec()), "{n}");
            }
            door.broker.until(|page| page.sum("corecast_subscriptions") == n + 1);
        }
        let broker = door.broker.endpoint();
        let native = Subscriber::connect(broker, &[Filter::parse("cache.>").expect("a filter")]);
        let native = native.expect("the broker serves");
        let again = Subscriber::connect(broker, &[Filter::parse("cache.>").expect("a filter")]);
        for publisher in &mut publishers {
            for _ in 0..if verbose { 2 } else { 1 } {
                assert_eq!(publisher.hear(), Said::Command("SUBSCRIBE".into(), b"cache.".to_vec()));
            }
        }
        drop((native, again, subscribers));
        for publisher in &mut publishers {
            let mut ended = [publisher.hear(), publisher.hear()].map(|said| format!("{said:?}"));
            ended.sort_unstable();
            assert!(ended.iter().all(|said| said.contains("CANCEL")) && ended[0] != ended[1], "{ended:?}");
        }
    }
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
                other => unreachable!("{other:?}"),
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
