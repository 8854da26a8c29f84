//! Bounds that a broker keeps whatever its clients store in it: the cost of one message, registration or question does
//! not grow with the requests of others.

#![expect(clippy::panic, reason = "in a test every failure is a panic")]

mod broker_process;
mod raw_client;
mod watchdog;

use broker_process::{BrokerProcess, Transport};
use corecast::ErrorCode;
use corecast::internals::wire::{Frame, encode};
use raw_client::{RawClient, Said};

/// The n-th of all patterns of 16 levels, each `a` or `*`.
fn wide(n: usize) -> String {
    (0..16).map(|level| if n >> level & 1 == 1 { "*" } else { "a" }).collect::<Vec<_>>().join(".")
}

#[test]
fn wildcards_everywhere_do_not_stop_the_broker() {
    const TOPICS: u64 = 800;
    let _watchdog = watchdog::watch("wildcards_everywhere_do_not_stop_the_broker");
    let broker = BrokerProcess::start(Transport::Tcp, &["--shards", "2"]);
    let mut greedy = RawClient::connect(broker.address()).open();
    let mut words = Vec::new();
    for (n, request) in (0..1 << 16).zip(1..) {
        let filter = wide(n);
        encode(&Frame::Subscribe { filter: filter.as_bytes(), request, subscriber: 1, kind: 1 }, &mut words);
    }
    // It may be cut off before it has said it all.
    let _ = greedy.try_send_bytes(&words);
    let refusal = std::iter::from_fn(|| Some(greedy.next())).find(|said| !matches!(said, Said::Done(_)));
    match refusal {
        Some(Said::Error(ErrorCode::TooManySubscriptions, text)) => {
            assert!(text.contains("wildcards"), "{text}")
        }
        // The reset of what it had still to say may come first.
        Some(Said::Reset) => {}
        other => panic!("a refusal, not {other:?}"),
    }
    // As much as a session may have stays cheap.
    let mut modest = RawClient::connect(broker.address()).open();
    for n in 0..60 {
        modest.subscribe(&wide(n << 6));
    }
    let mut subscriber = RawClient::connect(broker.address()).open();
    subscriber.subscribe(">");
    let mut publisher = RawClient::connect(broker.address()).open();
    for sequence in 1..=TOPICS {
        let topic = format!("{}.x{sequence}", vec!["a"; 15].join("."));
        publisher.send(&Frame::Message {
            topic: topic.as_bytes(),
            payload: b"",
            publisher: 1,
            sequence,
            sent_at_ns: 0,
        });
    }
    for wanted in 1..=TOPICS {
        let Said::Message { sequence, .. } = subscriber.next() else { panic!("no message") };
        assert_eq!(sequence, wanted);
    }
    broker.until(|page| page.closes("too_many_subscriptions") == 1);
}

#[test]
fn lists_that_nobody_reads_are_not_held() {
    const PUBLISHERS: u64 = 4_000;
    let _watchdog = watchdog::watch("lists_that_nobody_reads_are_not_held");
    let broker =
        BrokerProcess::start(Transport::Tcp, &["--shards", "2", "--mode", "direct", "--lease", "60"]);
    let mut publisher = RawClient::connect(broker.address()).open();
    let topics = (0..10).map(|n| format!("shop.prices.of.all.things.{n}")).collect::<Vec<_>>().join("\n");
    for number in 0..PUBLISHERS {
        let endpoints = format!("tcp://10.0.0.1:{}", 10_000 + number);
        let register = Frame::Register {
            endpoints: &endpoints,
            topics: &topics,
            publisher: number,
            epoch: 1,
            request: 1,
        };
        publisher.send(&register);
    }
    publisher.send(&Frame::Subscribe { filter: b"done", request: 2, subscriber: 1, kind: 1 });
    while publisher.next() != Said::Done(2) {}
    let before = broker.rss_bytes();
    // A list is 1.3 MB.
    let askers: Vec<RawClient> = (0..10)
        .map(|_| {
            let mut asker = RawClient::connect_narrow(broker.address(), 4 << 10).open();
            asker.send(&Frame::WatchPublishers { filter: b">", request: 1, kind: 1 });
            (2..40).for_each(|request| asker.send(&Frame::ListPublishers { request }));
            asker
        })
        .collect();
    // Behind those: all shards have done what was asked.
    for _ in 0..2 {
        let mut last = RawClient::connect(broker.address()).open();
        last.subscribe("last");
    }
    let more = broker.rss_bytes().saturating_sub(before);
    assert!(more < 32 << 20, "{} MiB for 10 sessions that read nothing", more >> 20);
    drop(askers);
}
