//! Clients that go from one broker to another, or wait for the next one at the same address: because their own has died, hangs,
//! or is about to end. Numbers that are published without a pause show what is lost, comes twice or out of order.
//!
//! | file | owns |
//! |---|---|
//! | `numbers` | the publisher of numbers, and listeners that judge what they hear |
//! | `kinds` | clients of other kinds: with users and TLS, direct ones, ZeroMQ sockets |
//! | `upgrades` | one broker that is started again at a socket that stays; signals at once; a new version that does not start |

#![expect(clippy::panic, reason = "in a test every failure is a panic")]

#[path = "../broker_process/mod.rs"]
mod broker_process;
#[path = "../certificates/mod.rs"]
mod certificates;
mod kinds;
#[path = "../engine/nats_server.rs"]
#[allow(dead_code, reason = "this file asks for a part of it")]
mod nats_server;
mod numbers;
#[path = "../raw_client/mod.rs"]
mod raw_client;
mod upgrades;
#[path = "../watchdog/mod.rs"]
mod watchdog;
#[path = "../zmtp_peer/mod.rs"]
mod zmtp_peer;

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::process::Output;
use std::sync::Once;

use broker_process::{BrokerProcess, OPERATOR_TOKEN, Transport, corecast};
use corecast::internals::wire::{Features, Frame, greeting};
use corecast::{Brokers, ClientConfig, Endpoint, ErrorCode, Sessions};
use corecast_executors::pause;
use nats_server::NatsServer;
use nix::sys::signal::Signal;
use numbers::{Crowd, LOOK_PAUSE, Listener, Numbers, report};
use raw_client::{RawClient, Said};

fn endpoint(broker: &BrokerProcess) -> Endpoint {
    broker.endpoint().parse().expect("an endpoint")
}

/// Clients that know of these brokers, in this order.
fn client_of(brokers: &[&BrokerProcess]) -> ClientConfig {
    let brokers = Brokers::new(brokers.iter().map(|broker| endpoint(broker))).expect("they differ");
    ClientConfig::default().broker(brokers).sessions(Sessions::PerSubscriber)
}

/// The file with the token of operators.
fn token_file() -> &'static str {
    const FILE: &str = concat!(env!("CARGO_TARGET_TMPDIR"), "/transfers.token");
    static WRITTEN: Once = Once::new();
    WRITTEN.call_once(|| {
        fs::write(FILE, OPERATOR_TOKEN).expect("written");
        fs::set_permissions(FILE, fs::Permissions::from_mode(0o600)).expect("a mode");
    });
    FILE
}

/// A broker that operators may drain, with these options.
fn start(args: &[&str]) -> BrokerProcess {
    BrokerProcess::start(Transport::Tcp, &[&["--http-token-file", token_file()], args].concat())
}

/// The command by which operators have a broker send its clients elsewhere.
fn drain_command(broker: &BrokerProcess, args: &[&str]) -> Output {
    let metrics = broker.metrics().to_string();
    let mut command = corecast();
    command.args(["drain", "--metrics", &metrics, "--http-token-file", token_file()]).args(args);
    command.output().expect("the command runs")
}

/// Has a broker send its clients there, as an operator does.
fn drain(broker: &BrokerProcess, to: &str, spread: &str) {
    let output = drain_command(broker, &["--to", to, "--spread", spread]);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

#[test]
fn a_client_goes_on_at_the_next_broker_when_its_own_dies_and_comes_back_when_that_one_dies() {
    let _watchdog = watchdog::watch(
        "a_client_goes_on_at_the_next_broker_when_its_own_dies_and_comes_back_when_that_one_dies",
    );
    let [mut a, mut b] = [(); 2].map(|()| start(&["--shards", "1"]));
    let config = client_of(&[&a, &b]);
    let mut listener = Listener::new(config.clone());
    let numbers = Numbers::start(config);
    listener.until(50);
    assert_eq!(a.page().sum("corecast_sessions"), 2, "the first is preferred");
    a.kill();
    b.until(|page| page.sum("corecast_subscriptions") == 1);
    let now = listener.last;
    listener.until(now + 100);
    a.start_again();
    b.kill();
    a.until(|page| page.sum("corecast_subscriptions") == 1);
    let now = listener.last;
    listener.until(now + 100);
    let sent = numbers.stop_after_a_kill();
    listener.until(sent);
}

#[test]
fn a_broker_that_hangs_or_is_none_is_passed_over() {
    let _watchdog = watchdog::watch("a_broker_that_hangs_or_is_none_is_passed_over");
    let [hangs, b] = [(); 2].map(|()| start(&["--shards", "1"]));
    // A port that answers, but not as a broker.
    let web: Endpoint = format!("tcp://{}", b.metrics()).parse().expect("an endpoint");
    hangs.freeze();
    let brokers = Brokers::new([web, endpoint(&hangs), endpoint(&b)]).expect("they differ");
    let config = ClientConfig::default().broker(brokers).sessions(Sessions::PerSubscriber);
    let mut listener = Listener::new(config.clone());
    let numbers = Numbers::start(config);
    listener.until(10);
    listener.until(numbers.stop());
    hangs.signal(Signal::SIGCONT);
}

/// The number of subscribers of the transfer that is measured: more with `CORECAST_TRANSFER_SUBSCRIBERS`.
fn subscribers() -> usize {
    std::env::var("CORECAST_TRANSFER_SUBSCRIBERS").ok().and_then(|text| text.parse().ok()).unwrap_or(24)
}

/// Sends all clients of `a` to `b`, while numbers are published at `a`, and returns what subscribers that knew of `a` alone have
/// heard.
fn transfer(a: &mut BrokerProcess, b: &BrokerProcess) -> (u64, Vec<Listener>) {
    let config = client_of(&[a]);
    let listeners: Vec<Listener> = (0..subscribers()).map(|_| Listener::new(config.clone())).collect();
    let crowds = Crowd::start_all(listeners);
    let numbers = Numbers::start(config);
    let deliveries = |page: &broker_process::Page| page.sum("corecast_deliveries_total");
    a.until(|page| deliveries(page) >= 50 * subscribers() as u64);
    drain(a, b.endpoint(), "1s");
    assert_eq!(a.wait().code(), Some(0), "{}", a.log());
    assert!(a.log().contains("every client that could has gone"), "{}", a.log());
    let before = deliveries(&b.page());
    b.until(|page| deliveries(page) >= before + 50 * subscribers() as u64);
    let sent = numbers.stop();
    (sent, crowds.into_iter().flat_map(|crowd| crowd.end(sent)).collect())
}

#[test]
fn nothing_is_lost_when_clients_are_sent_to_a_broker_of_the_same_cluster() {
    let _watchdog = watchdog::watch("nothing_is_lost_when_clients_are_sent_to_a_broker_of_the_same_cluster");
    let Some(server) = NatsServer::start() else { return };
    let [mut a, b] = [(); 2].map(|()| start(&["--shards", "1", "--engine", &server.url(), "--engine-wait"]));
    for broker in [&a, &b] {
        broker.until(|page| page.sum("corecast_engine_peers") == 1);
    }
    let (sent, listeners) = transfer(&mut a, &b);
    report("brokers of one cluster", sent, &listeners);
    for listener in &listeners {
        assert_eq!((listener.told, listener.all_gaps), (0, 0), "no gap, and nothing lost");
    }
}

#[test]
fn what_is_lost_is_told_when_clients_are_sent_to_a_broker_that_is_not_joined() {
    let _watchdog =
        watchdog::watch("what_is_lost_is_told_when_clients_are_sent_to_a_broker_that_is_not_joined");
    let [mut a, b] = [(); 2].map(|()| start(&["--shards", "1"]));
    let (sent, listeners) = transfer(&mut a, &b);
    report("brokers that are not joined", sent, &listeners);
}

#[test]
fn clients_stay_where_they_are_while_no_other_broker_answers() {
    let _watchdog = watchdog::watch("clients_stay_where_they_are_while_no_other_broker_answers");
    let mut a = start(&["--shards", "1"]);
    let mut b = start(&["--shards", "1"]);
    let to = b.endpoint().to_owned();
    b.kill();
    let config = client_of(&[&a]);
    let mut listener = Listener::new(config.clone());
    let numbers = Numbers::start(config);
    listener.until(20);
    drain(&a, &to, "0");
    // The order is on its way to the thread that carries it out.
    while a.get("/healthz").1 == "ok\n" {
        pause(LOOK_PAUSE);
    }
    assert_eq!(a.get("/healthz").1, "draining\n");
    assert!(a.get("/readyz").0.starts_with("HTTP/1.1 503 "));
    // They are told at once, and are served for some seconds.
    a.until(|page| page.sum("corecast_frames_out_total") > 0);
    let now = listener.last;
    listener.until(now + 300);
    assert_eq!(listener.told, 0, "nothing was lost yet");
    b.start_again();
    assert_eq!(a.wait().code(), Some(0));
    b.until(|page| page.sum("corecast_subscriptions") == 1);
    let now = listener.last;
    listener.until(now + 50);
    listener.until(numbers.stop());
}

#[test]
fn a_signal_sends_clients_to_their_own_next_address_and_a_peer_of_version_1_is_served_until_the_end() {
    let _watchdog = watchdog::watch(
        "a_signal_sends_clients_to_their_own_next_address_and_a_peer_of_version_1_is_served_until_the_end",
    );
    let mut a = start(&["--shards", "2", "--drain-spread", "200ms"]);
    let b = start(&["--shards", "1"]);
    let mut old = RawClient::connect(a.address());
    old.send_bytes(&greeting::offering(Features::NONE));
    old.send(&Frame::Hello { name: "old", overflow: 0, previous: 0, ticket: 0 });
    old.take_greeting();
    assert!(matches!(old.next(), Said::Welcome { .. }));
    let config = client_of(&[&a, &b]);
    let mut listener = Listener::new(config.clone());
    let numbers = Numbers::start(config);
    listener.until(20);
    // A session is open for a second before it is sent anywhere.
    listener.until(220);
    a.signal(Signal::SIGUSR2);
    a.signal(Signal::SIGUSR2);
    b.until(|page| page.sum("corecast_subscriptions") == 1);
    match old.next() {
        Said::Error(code, _) => assert_eq!(code, ErrorCode::ShuttingDown, "it is told nothing else"),
        other => panic!("{other:?}"),
    }
    assert_eq!(a.wait().code(), Some(0), "{}", a.log());
    let now = listener.last;
    listener.until(now + 50);
    listener.until(numbers.stop());
}

#[test]
fn an_order_that_cannot_be_carried_out_is_refused() {
    let _watchdog = watchdog::watch("an_order_that_cannot_be_carried_out_is_refused");
    let broker = start(&["--shards", "1"]);
    for (words, part) in [
        (&["--to", "tcp://*:6680"][..], "could not connect to tcp://*:6680"),
        (&["--to", "tcp://10.0.0.7:0"], "could not connect"),
        (&["--to", "udp://b:1"], "no endpoint"),
        (&["--spread", "soon"], "write seconds"),
    ] {
        let output = drain_command(&broker, words);
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(!output.status.success() && said.contains(part), "{words:?}: {said}");
    }
    assert_eq!(broker.get("/readyz").1, "ok\n");
}
