//! Names in the broker's log: each session that ends out of order, and each that loses messages, with name and address.

#![expect(clippy::panic, reason = "in a test every failure is a panic")]

mod broker_process;
mod raw_client;
mod running;
mod watchdog;

use broker_process::{BrokerProcess, Transport};
use corecast::ErrorCode;
use corecast::internals::wire::Frame;
use raw_client::{RawClient, Said};
use running::{at, succeeded};

/// The number in `messages=` of each line of dropped messages, by reason.
fn dropped(log: &str, reason: &str) -> u64 {
    let lines = log.lines().filter(|line| line.contains("messages dropped") && line.contains(reason));
    let counts =
        lines.filter_map(|line| line.split("messages=").nth(1)?.split(' ').next()?.parse::<u64>().ok());
    counts.sum()
}

#[test]
fn who_loses_messages_is_in_the_log() {
    let _watchdog = watchdog::watch("who_loses_messages_is_in_the_log");
    let bounds = ["--shards", "1", "--frame-bytes-max", "64KiB", "--egress-bytes", "256KiB"];
    let broker = BrokerProcess::start(Transport::Tcp, &bounds);
    let mut slow = RawClient::connect_narrow(broker.address(), 4096).greet();
    slow.send(&Frame::Hello { name: "slow\n\x1b[2Jone", overflow: 0, previous: 0, ticket: 0 });
    assert!(matches!(slow.next(), Said::Welcome { .. }));
    slow.subscribe("t");
    let from = slow.writer().local_addr().expect("it is connected");
    let flood = ["pub", "t", "--count", "20000", "--size", "1000"];
    for _ in 0..2 {
        succeeded(&at(&broker, &flood).output().expect("it runs"));
        // What is dropped within a second of a line is in the next one.
        broker.until(|page| {
            let all = page.sum("corecast_drops_total");
            all > 0 && dropped(&broker.log(), "drop_oldest") == all
        });
        let log = broker.log();
        let lines: Vec<&str> = log.lines().filter(|line| line.contains("messages dropped")).collect();
        let who = format!("client=\"slow\\n\\u{{1b}}[2Jone\" peer={}", from);
        assert!(!lines.is_empty() && lines.iter().all(|line| line.contains(&who)), "{who} is not in {log}");
        assert!(!log.contains("left out"), "{log}");
    }
}

#[test]
fn who_is_closed_is_in_the_log() {
    let _watchdog = watchdog::watch("who_is_closed_is_in_the_log");
    let broker = BrokerProcess::start(Transport::Tcp, &["--shards", "1"]);
    let mut stranger = RawClient::connect(broker.address());
    stranger.send_bytes(b"GET / HTTP/1.1\r\n\r\n");
    let mut named = RawClient::connect(broker.address()).greet();
    named.send(&Frame::Hello { name: "frank", overflow: 0, previous: 0, ticket: 0 });
    assert!(matches!(named.next(), Said::Welcome { .. }));
    named.send_bytes(&[0xff; 8]);
    let at = |client: &RawClient| client.writer().local_addr().expect("it is connected");
    let (stranger_at, named_at) = (at(&stranger), at(&named));
    assert_eq!(named.refused().0, ErrorCode::TooLarge);
    drop(stranger);
    broker.until(|page| page.closes("too_large") == 1 && page.closes("not_corecast") == 1);
    let log = broker.log();
    let line =
        |reason: &str| log.lines().find(|line| line.contains("session ended") && line.contains(reason));
    let not_corecast = line("reason=\"not_corecast\"").unwrap_or_else(|| panic!("{log}"));
    assert!(
        not_corecast.contains(&format!(" peer={stranger_at} ")) && !not_corecast.contains("client="),
        "{log}"
    );
    let too_large = line("reason=\"too_large\"").unwrap_or_else(|| panic!("{log}"));
    assert!(too_large.contains(&format!(" client=\"frank\" peer={named_at} ")), "{log}");
}
