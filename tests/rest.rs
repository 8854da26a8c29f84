//! The cost of time itself: resting shards and idle clients are not ticked a hundred times a second.

#![expect(clippy::panic, reason = "in a test every failure is a panic")]

mod broker_process;
#[path = "../executors/tests/child/mod.rs"]
mod child;
mod healthy_pair;
mod watchdog;

use std::fs;
use std::time::{Duration, Instant};

use broker_process::{BrokerProcess, Transport};
use corecast::{Event, Publisher, Subscriber};
use corecast_executors::{TICK, pause};
use healthy_pair::HealthyPair;

/// Shortest measurement: long beside a shard's rest of 80 ms.
const LOOK: Duration = Duration::from_secs(1);

#[test]
fn shards_that_only_pass_messages_on_rest_between_them() {
    let _watchdog = watchdog::watch("shards_that_only_pass_messages_on_rest_between_them");
    let broker = BrokerProcess::start(Transport::Tcp, &["--shards", "2"]);
    // A session on each shard, so that every message crosses a link.
    let pair = HealthyPair::start(&broker.client());
    let before = broker.until(|page| page.sum("corecast_deliveries_total") >= 10);
    let began = Instant::now();
    let wanted = before.sum("corecast_deliveries_total") + 100;
    let after = broker.until(|page| began.elapsed() > LOOK && page.sum("corecast_deliveries_total") > wanted);
    let pulses = began.elapsed().as_millis() / TICK.as_millis();
    let ticks = u128::from(after.sum("corecast_ticks_total") - before.sum("corecast_ticks_total"));
    pair.assert_well();
    // At their pace two shards hear twice as many ticks as there are pulses, resting an eighth of that, and one that a
    // message finds still at work hears one more now and then.
    assert!(ticks * 4 < pulses * 3, "{ticks} ticks in {pulses} pulses");
    assert!(ticks > 0, "resting shards hear the time all the same");
}

/// Threads of this process that belong to the client library, and how often each has gone to sleep.
fn sleeps_of_client_threads() -> u64 {
    let tasks = fs::read_dir("/proc/self/task").expect("Linux lists them").filter_map(Result::ok);
    let statuses = tasks.filter_map(|task| fs::read_to_string(task.path().join("status")).ok());
    let of_client = statuses.filter(|status| status.starts_with("Name:\tcorecast-client"));
    let sleeps = of_client.map(|status| {
        let line = status.lines().find_map(|line| line.strip_prefix("voluntary_ctxt_switches:"));
        line.and_then(|count| count.trim().parse::<u64>().ok()).expect("Linux counts them")
    });
    sleeps.sum()
}

#[test]
fn idle_clients_rest_whether_their_topics_go_direct_or_not() {
    const TEST: &str = "idle_clients_rest_whether_their_topics_go_direct_or_not";
    if !child::is_child_of(TEST) {
        return child::run_to_success(TEST);
    }
    let _watchdog = watchdog::watch(TEST);
    let broker = BrokerProcess::start(Transport::Tcp, &["--mode-rule", "direct.>=direct"]);
    let filters = ["direct.a", "proxied.a"].map(|filter| filter.parse().unwrap());
    let mut subscriber = Subscriber::with_config(broker.client(), &filters).unwrap();
    let mut publisher = Publisher::with_config(broker.client()).unwrap();
    for topic in ["direct.a", "proxied.a"] {
        publisher.wait_for_subscribers(topic, 1, watchdog::LIMIT).unwrap();
        publisher.publish(topic, b"well").unwrap();
        let event = subscriber.recv_timeout(watchdog::LIMIT).unwrap();
        assert!(matches!(event, Some(Event::Message(_))), "{event:?}");
    }
    // The acknowledgement of the last message, and what else comes behind it, may take some looks.
    let mut looks = Vec::new();
    loop {
        let (began, before) = (Instant::now(), sleeps_of_client_threads());
        pause(LOOK);
        let sleeps = u128::from(sleeps_of_client_threads() - before);
        let pulses = began.elapsed().as_millis() / TICK.as_millis();
        looks.push((sleeps, pulses));
        // An executor at its pace goes to sleep at least once a pulse, and so does the thread that ticks it.
        if sleeps < pulses {
            break;
        }
        assert!(looks.len() < 20, "(sleeps, pulses): {looks:?}");
    }
    publisher.close().unwrap();
}
