//! Bad input: its sender is told why, counted under its reason and closed; nobody else notices.

#![expect(clippy::panic, reason = "in a test every failure is a panic")]

mod broker_process;
mod healthy_pair;
mod raw_client;
mod watchdog;

use std::io::Write as _;
use std::time::{Duration, Instant};

use broker_process::{BrokerProcess, Transport};
use corecast::internals::limits::{
    FRAME_BYTES_MAX_DEFAULT, FRAME_DEADLINE, HANDSHAKE_DEADLINE, LENGTH_BYTES, TEXT_BYTES_MAX,
    TOPIC_BYTES_MAX,
};
use corecast::internals::wire::{FRAME_BODY_BYTES_MIN, Frame, encode_to_vec, greeting};
use corecast::{ErrorCode, OverflowPolicy};
use corecast_executors::pause;
use healthy_pair::HealthyPair;
use raw_client::{RawClient, Said, message};

/// A fault, how to commit it, the error sent to the peer, and a part of its text.
struct Case {
    name: &'static str,
    wrong: Box<dyn Fn(RawClient) -> RawClient>,
    code: ErrorCode,
    text: &'static str,
}

fn case(
    name: &'static str,
    code: ErrorCode,
    text: &'static str,
    wrong: impl Fn(RawClient) -> RawClient + 'static,
) -> Case {
    Case { name, wrong: Box::new(wrong), code, text }
}

/// Says these bytes before anything else.
fn first_bytes(bytes: &'static [u8]) -> impl Fn(RawClient) -> RawClient {
    move |mut client| {
        client.send_bytes(bytes);
        client
    }
}

/// Greets, and says this in place of a hello.
fn instead_of_hello(frame: Frame<'static>) -> impl Fn(RawClient) -> RawClient {
    move |client| {
        let mut client = client.greet();
        client.send(&frame);
        client
    }
}

/// Says this once it is open.
fn when_open(bytes: Vec<u8>) -> impl Fn(RawClient) -> RawClient {
    move |client| {
        let mut client = client.open();
        client.send_bytes(&bytes);
        client
    }
}

fn frame(frame: &Frame<'_>) -> impl Fn(RawClient) -> RawClient + use<> {
    when_open(encode_to_vec(frame))
}

fn topic(topic: &[u8]) -> impl Fn(RawClient) -> RawClient + use<> {
    frame(&Frame::Message { topic, payload: b"x", publisher: 1, sequence: 1, sent_at_ns: 0 })
}

fn filter(filter: &[u8], kind: u8) -> impl Fn(RawClient) -> RawClient + use<> {
    frame(&Frame::Subscribe { filter, request: 7, subscriber: 1, kind })
}

/// A frame of this body, whatever it is.
fn framed(body: &[u8]) -> Vec<u8> {
    let mut bytes = length(body.len()).to_vec();
    bytes.extend_from_slice(body);
    bytes
}

fn length(body_bytes: usize) -> [u8; LENGTH_BYTES] {
    u32::try_from(body_bytes).expect("a length of 32 bits").to_le_bytes()
}

/// The begin of a frame that announces so many bytes, and the first of them.
fn announced(body_bytes: usize) -> Vec<u8> {
    [&length(body_bytes)[..], b"\0"].concat()
}

/// A message cut short, in a frame that is as long as it says.
fn truncated() -> Vec<u8> {
    let whole = encode_to_vec(&message("topic", &[7; 500], 1));
    framed(&whole[LENGTH_BYTES..whole.len() - 100])
}

/// A message with a payload pointer beyond the frame.
fn pointing_outside() -> Vec<u8> {
    let mut bytes = encode_to_vec(&message("topic", b"payload", 1));
    let root = bytes.len() - FRAME_BODY_BYTES_MIN;
    for byte in &mut bytes[root + 1..root + 17] {
        *byte = 0x7f;
    }
    bytes
}

const HELLO: Frame<'static> = Frame::Hello { name: "again", overflow: 0, previous: 0, ticket: 0 };
const LONG: &[u8] = &[b'a'; 2000];
const TLS_HELLO: &[u8] = b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03 and thirty-two random bytes";

fn handshakes() -> Vec<Case> {
    use ErrorCode::{Malformed, NotCorecast, PolicyRefused, TooLarge, Unexpected, Version};
    let long_name: &'static str = std::str::from_utf8(&LONG[..TEXT_BYTES_MAX + 1]).expect("text");
    let hello = |overflow| instead_of_hello(Frame::Hello { name: "", overflow, previous: 0, ticket: 0 });
    vec![
        case("HTTP", NotCorecast, "corecast port", first_bytes(b"GET / HTTP/1.1\r\nHost: broker\r\n\r\n")),
        case("TLS", NotCorecast, "corecast port", first_bytes(TLS_HELLO)),
        case("one wrong byte", NotCorecast, "corecast port", first_bytes(b"c")),
        case("a later version", Version, "version 1", first_bytes(b"CORECAST\x03\x00\x02\x00\0\0\0\0")),
        case("an earlier version", Version, "version 1", first_bytes(b"CORECAST\x00\x00\x00\x00\0\0\0\0")),
        case(
            "a message before the hello",
            Unexpected,
            "before the hello",
            instead_of_hello(message("t", b"", 1)),
        ),
        case("a ping before the hello", Unexpected, "hello", instead_of_hello(Frame::Ping { token: 1 })),
        case(
            "a long name",
            Unexpected,
            "name",
            instead_of_hello(Frame::Hello { name: long_name, overflow: 0, previous: 0, ticket: 0 }),
        ),
        case("an unknown policy", PolicyRefused, "policy", hello(77)),
        case(
            "a policy not granted",
            PolicyRefused,
            "--overflow block",
            hello(OverflowPolicy::Block.to_wire()),
        ),
        case("1 GiB before the hello", TooLarge, "1073741824", |client| {
            let mut client = client.greet();
            client.send_bytes(&announced(1 << 30));
            client
        }),
        case("no frame in place of the hello", Malformed, "archive", |client| {
            let mut client = client.greet();
            client.send_bytes(&framed(&[0xff; 60]));
            client
        }),
    ]
}

fn frames() -> Vec<Case> {
    use ErrorCode::{BadTopic, Malformed, TooLarge, Unexpected};
    let ends_within_a_frame = |client: RawClient| {
        let mut client = client.open();
        let whole = encode_to_vec(&message("healthy.pair", b"in part", 1));
        client.send_bytes(&whole[..whole.len() - 1]);
        client.end_sending();
        client
    };
    let watch = |topic| frame(&Frame::WatchSubscribers { topic, request: 7 });
    let welcome =
        Frame::Welcome { session: 1, epoch: 1, frame_bytes_max: 1, heartbeat_ms: 1, overflow: 1, ticket: 0 };
    vec![
        case("no archive", Malformed, "archive", when_open(framed(&[0xff; 60]))),
        case("an archive cut short", Malformed, "archive", when_open(truncated())),
        case("a pointer out of the frame", Malformed, "archive", when_open(pointing_outside())),
        case("a frame of nothing", Malformed, "the least is", when_open(framed(b""))),
        case(
            "a frame too short for any",
            Malformed,
            "the least is",
            when_open(announced(FRAME_BODY_BYTES_MIN - 1)),
        ),
        case("the end within a frame", Malformed, "within a frame", ends_within_a_frame),
        case("1 GiB announced", TooLarge, "1073741824", when_open(announced(1 << 30))),
        case("all that 32 bits say", TooLarge, "4294967295", when_open(vec![0xff; 4])),
        case(
            "a byte over the limit",
            TooLarge,
            "the limit is",
            when_open(announced(FRAME_BYTES_MAX_DEFAULT + 1)),
        ),
        case("an empty topic", BadTopic, "0 bytes", topic(b"")),
        case("a topic of 2,000 bytes", BadTopic, "2000 bytes", topic(LONG)),
        case("a topic a byte too long", BadTopic, "1025 bytes", topic(&LONG[..TOPIC_BYTES_MAX + 1])),
        case("a watch of no topic", BadTopic, "watch", watch(b"")),
        case("a watch of a long topic", BadTopic, "watch", watch(LONG)),
        case("a second hello", Unexpected, "hello", frame(&HELLO)),
        case("a welcome", Unexpected, "only a broker", frame(&welcome)),
        case("a done", Unexpected, "only a broker", frame(&Frame::Done { request: 1 })),
    ]
}

fn filters() -> Vec<Case> {
    let bad =
        |name, text, wrong: &'static [u8], kind| case(name, ErrorCode::BadFilter, text, filter(wrong, kind));
    vec![
        bad("an unknown kind of filter", "kind", b"a", 9),
        bad("no kind of filter", "kind", b"a", 0),
        bad("an empty filter", "empty", b"", 1),
        bad("a filter of 2,000 bytes", "2000 bytes", LONG, 1),
        bad("a prefix of 2,000 bytes", "2000 bytes", LONG, 2),
        bad("an empty level", "level", b"a..b", 1),
        bad("the rest not last", ">", b"a.>.b", 1),
        bad("a wildcard within a level", "*", b"a.b*", 1),
        bad("white space", "white space", b"a b", 1),
        case("a bad filter to unsubscribe", ErrorCode::BadFilter, "level", {
            frame(&Frame::Unsubscribe { filter: b".", request: 7, subscriber: 1, kind: 1 })
        }),
    ]
}

#[test]
fn what_is_wrong_is_told_counted_and_closed() {
    let _watchdog = watchdog::watch("what_is_wrong_is_told_counted_and_closed");
    let broker = BrokerProcess::start(Transport::Tcp, &["--shards", "2"]);
    let healthy = HealthyPair::start(&broker.client());
    // One that is subscribed to everything sees nothing of what is refused.
    let mut witness = RawClient::connect(broker.address()).open();
    witness.subscribe("topic.>");
    for Case { name, wrong, code, text } in [handshakes(), frames(), filters()].into_iter().flatten() {
        let before = broker.page().closes(code.label());
        let (told, said) = wrong(RawClient::connect(broker.address())).refused();
        assert_eq!(told, code, "{name}: {said}");
        assert!(said.contains(text), "{name}: {said}");
        broker.until(|page| page.closes(code.label()) == before + 1);
    }
    witness.send(&Frame::Ping { token: 5 });
    assert_eq!(witness.next(), Said::Pong(5), "nothing was delivered");
    healthy.assert_well();
    assert_eq!(broker.page().closes("unknown"), 0);
}

#[test]
fn what_looks_odd_and_is_right_is_taken() {
    let _watchdog = watchdog::watch("what_looks_odd_and_is_right_is_taken");
    let broker = BrokerProcess::start(Transport::Tcp, &["--shards", "2"]);
    let mut subscriber = RawClient::connect(broker.address()).greet();
    // A hello, a subscription and a ping in one packet; a prefix of any bytes; a version 1 among others.
    let prefix = Frame::Subscribe { filter: b"\xff\0", request: 3, subscriber: 1, kind: 2 };
    subscriber
        .send_bytes(&[HELLO, prefix, Frame::Ping { token: 4 }].map(|frame| encode_to_vec(&frame)).concat());
    assert!(matches!(subscriber.next(), Said::Welcome { .. }));
    let mut answers = [subscriber.next(), subscriber.next()];
    answers.sort_by_key(|said| matches!(said, Said::Pong(_)));
    assert_eq!(answers, [Said::Done(3), Said::Pong(4)]);

    let mut publisher = RawClient::connect(broker.address());
    for byte in [&b"CORECAST\x09\x00\x01\x00\xff\xff\xff\xff"[..], &encode_to_vec(&HELLO)].concat() {
        publisher.send_bytes(&[byte]);
    }
    let mut topic = vec![b'.'; TOPIC_BYTES_MAX];
    topic[..2].copy_from_slice(b"\xff\0");
    let message = Frame::Message {
        topic: &topic,
        payload: b"",
        publisher: u64::MAX,
        sequence: 0,
        sent_at_ns: u64::MAX,
    };
    for byte in encode_to_vec(&message) {
        publisher.send_bytes(&[byte]);
    }
    assert_eq!(subscriber.next(), Said::Message { topic, payload: Vec::new(), sequence: 0 });
}

#[test]
fn whoever_asks_and_does_not_read_is_closed() {
    let _watchdog = watchdog::watch("whoever_asks_and_does_not_read_is_closed");
    let broker = BrokerProcess::start(Transport::Tcp, &["--shards", "2"]);
    let healthy = HealthyPair::start(&broker.client());
    let mut client = RawClient::connect_narrow(broker.address(), 8 << 10).open();
    let pings = encode_to_vec(&Frame::Ping { token: 1 }).repeat(1000);
    // 20 MB of answers are more than any kernel holds.
    let sent = (0..400).map(|_| client.try_send_bytes(&pings)).take_while(Result::is_ok).count();
    let (code, text) = client.refused();
    assert_eq!(code, ErrorCode::SlowSubscriber, "after {sent} thousand pings");
    assert!(text.contains("answers"), "{text}");
    broker.until(|page| page.closes("slow_subscriber") == 1);
    healthy.assert_well();
}

/// A connection that has sent this much, and the error that it gets for sending no more, or too slowly.
struct Slow {
    client: RawClient,
    drip: Vec<u8>,
    code: ErrorCode,
    not_before: Duration,
}

#[test]
fn whoever_is_too_slow_is_closed_at_the_deadline() {
    let _watchdog = watchdog::watch("whoever_is_too_slow_is_closed_at_the_deadline");
    // A frame of up to 64 KiB has a second more than the shortest.
    let broker = BrokerProcess::start(Transport::Tcp, &["--shards", "2", "--frame-bytes-max", "64KiB"]);
    let healthy = HealthyPair::start(&broker.client());
    let connect = || RawClient::connect(broker.address());
    let handshake = |client, drip: &[u8]| Slow {
        client,
        drip: drip.to_vec(),
        code: ErrorCode::HandshakeTimeout,
        not_before: HANDSHAKE_DEADLINE,
    };
    let begun = |bytes: &[u8], drip: Vec<u8>| {
        let mut client = connect().open();
        client.send_bytes(bytes);
        Slow { client, drip, code: ErrorCode::FrameTimeout, not_before: FRAME_DEADLINE }
    };
    let whole = encode_to_vec(&message("healthy.pair", &[b'x'; 100], 1));
    let slow = [
        handshake(connect(), b""),
        handshake(connect().greet(), b""),
        handshake(connect(), &greeting::ours()),
        handshake(connect().greet(), &encode_to_vec(&HELLO)),
        begun(b"\x40", Vec::new()),
        begun(&announced((64 << 10) - 1), Vec::new()),
        begun(&whole[..10], whole[10..].to_vec()),
    ];
    let counts = [("handshake_timeout", 4), ("frame_timeout", 3)];
    std::thread::scope(|threads| {
        for slow in slow {
            threads.spawn(|| assert_closed_at_the_deadline(slow));
        }
    });
    broker.until(|page| counts.iter().all(|(reason, count)| page.closes(reason) == *count));
    healthy.assert_well();
}

/// Sends a byte a second until it is closed for being too slow.
fn assert_closed_at_the_deadline(slow: Slow) {
    let Slow { client, drip, code, not_before } = slow;
    let start = Instant::now();
    let mut writer = client.writer();
    let dripping = corecast_executors::spawn_plain("drip", move || {
        for byte in drip {
            pause(Duration::from_secs(1));
            if writer.write_all(&[byte]).is_err() {
                return;
            }
        }
    });
    let (told, text) = client.refused();
    assert_eq!(told, code, "{text}");
    // Deadlines are looked at ten times a second, by a clock of 10 ms.
    assert!(start.elapsed() + Duration::from_millis(20) >= not_before, "{code} after {:?}", start.elapsed());
    drop(dripping);
}

#[test]
fn whoever_is_silent_for_too_long_is_closed_and_who_pings_is_not() {
    let _watchdog = watchdog::watch("whoever_is_silent_for_too_long_is_closed_and_who_pings_is_not");
    let broker = BrokerProcess::start(Transport::Tcp, &["--shards", "2", "--heartbeat", "200ms"]);
    let healthy = HealthyPair::start(&broker.client());
    let mut idle = corecast::Subscriber::with_config(
        broker.client(),
        &[corecast::Filter::parse("nobody.says.this").expect("a filter")],
    )
    .expect("a subscriber");
    let silent = RawClient::connect(broker.address()).open();
    let start = Instant::now();
    let (code, text) = silent.refused();
    assert_eq!(code, ErrorCode::IdleTimeout, "{text}");
    assert!(start.elapsed() + Duration::from_millis(20) >= Duration::from_millis(600));
    broker.until(|page| page.closes("idle_timeout") == 1);
    // The library says that it lives: no gap, no reconnect.
    assert_eq!(idle.recv_timeout(Duration::from_secs(1)).expect("the session stands"), None);
    assert_eq!(broker.page().closes("idle_timeout"), 1);
    healthy.assert_well();
}

#[test]
fn memory_grows_with_what_has_come_not_with_what_was_announced() {
    let _watchdog = watchdog::watch("memory_grows_with_what_has_come_not_with_what_was_announced");
    const CLIENTS: u64 = 100;
    let broker = BrokerProcess::start(Transport::Tcp, &["--shards", "2"]);
    let open = || RawClient::connect(broker.address()).open();
    let mut clients: Vec<RawClient> = (0..CLIENTS).map(|_| open()).collect();
    let before = broker.rss_bytes();
    for client in &mut clients {
        client.send_bytes(&announced(FRAME_BYTES_MAX_DEFAULT - 1));
    }
    // Nothing counts what is only begun; but who comes after them is served after them.
    let mut last = open();
    last.send(&Frame::Ping { token: 1 });
    assert_eq!(last.next(), Said::Pong(1));
    let grown = broker.rss_bytes().saturating_sub(before);
    assert!(grown < 20 << 20, "{grown} bytes, for 5 that came on each of {CLIENTS} connections");
    drop(clients);
    broker.until(|page| page.sum("corecast_sessions") == 1);
}

#[test]
fn a_session_has_one_number_in_its_welcome_and_in_the_log_and_a_name() {
    let _watchdog = watchdog::watch("a_session_has_one_number_in_its_welcome_and_in_the_log_and_a_name");
    let broker = BrokerProcess::start(Transport::Tcp, &["--shards", "2", "--log-level", "debug"]);
    let mut numbers = std::collections::HashSet::new();
    for round in 0..6 {
        let mut client = RawClient::connect(broker.address()).greet();
        let name = format!("client-{round}");
        client.send(&Frame::Hello { name: &name, overflow: 0, previous: 0, ticket: 0 });
        let Said::Welcome { session, .. } = client.next() else { panic!("no welcome") };
        assert!(numbers.insert(session), "slots are reused, numbers are not");
        client.send_bytes(&[0xff; 8]);
        assert_eq!(client.refused().0, ErrorCode::TooLarge);
        let number = format!("session={session:016x}");
        broker.until(|page| page.closes("too_large") == round + 1);
        let log = broker.log();
        let opened = log.lines().find(|line| line.contains("session opened") && line.contains(&number));
        assert!(opened.is_some_and(|line| line.contains(&name)), "{number} of {name} in {log}");
        if round == 0 {
            // Others within a second are left out.
            assert!(
                log.lines().any(|line| line.contains("session ended") && line.contains(&number)),
                "{log}"
            );
        }
    }
}
