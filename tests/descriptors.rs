//! A broker at its limit of open files: waiting clients are served as soon as there is room, and the wait costs
//! nothing. Scrapes are answered meanwhile.

#![expect(clippy::panic, reason = "in a test every failure is a panic")]

mod broker_process;
mod healthy_pair;
mod raw_client;
mod watchdog;

use std::net::TcpStream;
use std::time::{Duration, Instant};

use broker_process::{BrokerProcess, Transport};
use corecast::internals::wire::{Frame, greeting};
use corecast_executors::pause;
use healthy_pair::HealthyPair;
use raw_client::{RawClient, Said};

/// A broker that may have so few descriptors that it takes some 30 connections.
fn limited_broker() -> BrokerProcess {
    let limited = ["sh", "-c", "ulimit -n 64; exec \"$0\" \"$@\""];
    BrokerProcess::start_under(&limited, Transport::Tcp, &["--shards", "2"])
}

/// A client that has said hello, and waits for an answer.
fn greeted(broker: &BrokerProcess) -> RawClient {
    let mut client = RawClient::connect(broker.address());
    client.send_bytes(&greeting::ours());
    client.send(&Frame::Hello { name: "raw", overflow: 0, previous: 0, ticket: 0 });
    client
}

fn assert_welcomed(mut client: RawClient) {
    client.take_greeting();
    assert!(matches!(client.next(), Said::Welcome { .. }));
}

#[test]
fn a_crowd_that_has_gone_again_costs_the_next_client_no_pauses() {
    const CROWD: usize = 1_000;
    let _watchdog = watchdog::watch("a_crowd_that_has_gone_again_costs_the_next_client_no_pauses");
    let broker = limited_broker();
    let healthy = HealthyPair::start(&broker.client());
    (0..CROWD).for_each(|_| drop(TcpStream::connect(broker.address()).expect("the kernel takes it")));
    let began = Instant::now();
    assert_welcomed(greeted(&broker));
    // With a pause after each 30 of those before it, it waited for 20 s.
    assert!(began.elapsed() < Duration::from_secs(10), "served after {:?}", began.elapsed());
    broker.until(|page| page.sum("corecast_sessions") <= 2);
    healthy.assert_well();
}

/// Waits until connections wait for a descriptor. Scrapes have theirs.
fn wait_until_used_up(broker: &BrokerProcess) {
    broker.until(|page| page.sum("corecast_accept_errors_total") > 0);
    assert!(broker.log().contains("cannot accept"), "{}", broker.log());
}

#[test]
fn scrapes_are_answered_while_clients_wait_for_descriptors() {
    const CLIENTS: usize = 150;
    const SILENT_READERS: usize = 40;
    const SCRAPES: usize = 50;
    let _watchdog = watchdog::watch("scrapes_are_answered_while_clients_wait_for_descriptors");
    let broker = limited_broker();
    let clients: Vec<RawClient> = (0..CLIENTS).map(|_| greeted(&broker)).collect();
    wait_until_used_up(&broker);
    // More than the reserve has room for: the oldest give way.
    let silent: Vec<TcpStream> = (0..SILENT_READERS)
        .map(|_| TcpStream::connect(broker.metrics()).expect("the kernel takes it"))
        .collect();
    for _ in 0..SCRAPES {
        let began = Instant::now();
        let sessions = broker.page().sum("corecast_sessions");
        assert!(sessions > 0 && sessions < 64, "{sessions} sessions");
        // Silent readers have 10 s each.
        assert!(began.elapsed() < Duration::from_secs(5), "answered after {:?}", began.elapsed());
    }
    drop((silent, clients));
    HealthyPair::start(&broker.client()).assert_well();
}

/// User and system time of a process so far.
fn cpu_time(pid: u32) -> Duration {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).expect("it runs");
    let (_, fields) = stat.rsplit_once(')').expect("a name in parentheses");
    let ticks: u64 =
        fields.split_whitespace().skip(11).take(2).map(|n| n.parse::<u64>().expect("a number")).sum();
    // USER_HZ of Linux is 100, whatever the kernel's own.
    Duration::from_millis(ticks * 10)
}

#[test]
fn clients_that_wait_for_a_descriptor_cost_no_cpu() {
    const CLIENTS: usize = 150;
    const LOOK: Duration = Duration::from_secs(2);
    let _watchdog = watchdog::watch("clients_that_wait_for_a_descriptor_cost_no_cpu");
    let broker = limited_broker();
    let clients: Vec<RawClient> = (0..CLIENTS).map(|_| greeted(&broker)).collect();
    wait_until_used_up(&broker);
    let (began, before) = (Instant::now(), cpu_time(broker.pid()));
    pause(LOOK);
    let spent = cpu_time(broker.pid()) - before;
    assert!(spent < began.elapsed() / 20, "{spent:?} of CPU in {:?}", began.elapsed());
    // Each leaves once it is served, and makes room for another.
    clients.into_iter().for_each(assert_welcomed);
    broker.until(|page| page.sum("corecast_sessions") == 0);
    HealthyPair::start(&broker.client()).assert_well();
}
