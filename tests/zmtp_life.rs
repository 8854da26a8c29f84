//! The life of ZeroMQ peers of each version at a real broker: a live peer is not given up, and one that may come back
//! is not turned away for good.

#![expect(clippy::panic, reason = "in a test every failure is a panic")]

mod broker_process;
mod watchdog;
mod zmtp_broker;
mod zmtp_peer;

use std::time::{Duration, Instant};

use corecast::Publisher;
use corecast::internals::zmtp::{command, greeting};
use zmtp_broker::Door;
use zmtp_peer::{Said, ZmtpPeer, command_of, message, ready};

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
        door.many_heartbeats();
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
fn who_may_come_back_is_told_no_error_before_it_is_ready() {
    let _watchdog = watchdog::watch("who_may_come_back_is_told_no_error_before_it_is_ready");
    let mut door = Door::open(&[]);
    let mut slow = ZmtpPeer::greet(&door.path, true);
    assert_eq!(slow.end(), None, "libzmq would not come again after an ERROR");
    door.broker.until(|page| page.closes("handshake_timeout") == 1);
    let mut wrong = ZmtpPeer::greet(&door.path, true);
    wrong.send(&ready("REP"));
    assert!(wrong.end().is_some(), "it can never work");
    let (mut begun, mut open) = (ZmtpPeer::greet(&door.path, true), door.peer("SUB"));
    std::thread::scope(|scope| {
        let stopped = scope.spawn(|| door.broker.stop());
        assert_eq!(begun.end(), None);
        assert!(open.end().expect("it is told").contains("shutting down"));
        assert!(stopped.join().expect("it was waited for").success());
    });
}

#[test]
fn peers_of_2_0_publish_and_subscribe() {
    let _watchdog = watchdog::watch("peers_of_2_0_publish_and_subscribe");
    let door = Door::open(&["--heartbeat", "100ms"]);
    let (mut subscriber, mut publisher) =
        (ZmtpPeer::open_2_0(&door.path, 2), ZmtpPeer::open_2_0(&door.path, 1));
    let mut newer = ZmtpPeer::greet(&door.path, false).ready("SUB");
    subscriber.send(&message(&[b"\x01a"]));
    assert_eq!(publisher.message(), [b"\x01a"]);
    newer.send(&message(&[b"\x01ab"]));
    assert_eq!(publisher.message(), [b"\x01ab"]);
    door.many_heartbeats();
    let long = vec![7; 300];
    publisher.publish(&[b"abc", &long, b""]);
    assert_eq!(subscriber.message(), [&b"abc"[..], &long, b""], "and nothing came before: no heartbeats");
    let native = Publisher::connect(door.broker.endpoint());
    let topic = corecast::Topic::new("a.native").expect("a topic");
    native.expect("the broker serves").publish(&topic, b"x").expect("it is taken");
    assert_eq!(subscriber.message(), [&b"a.native"[..], b"x"]);
    subscriber.send(&message(&[b"\x00a"]));
    assert_eq!(publisher.message(), [b"\x00a"]);
    subscriber.send(&command::ping());
    assert_eq!(subscriber.end(), None, "it knows no ERROR");
    door.broker.until(|page| page.closes("malformed") == 1);
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
