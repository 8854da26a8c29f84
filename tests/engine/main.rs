//! Brokers of several hosts with an engine between: real processes, and a real server of NATS, which is killed, stopped, and
//! started again with nothing. Whatever happens, each subscriber hears each message once, in order, or is told at that place of
//! the stream how many are missing. Without a server installed the tests say so, and are skipped.

#![expect(clippy::panic, reason = "in a test every failure is a panic")]

#[path = "../broker_process/mod.rs"]
mod broker_process;
#[allow(dead_code, reason = "other tests silence it in other ways")]
#[path = "../direct_trouble/cable.rs"]
mod cable;
mod changes;
mod cleared;
mod delivery;
mod direct;
mod history;
mod joined;
mod meeting;
mod nats_server;
mod notices;
#[path = "../one_thread/mod.rs"]
mod one_thread;
mod options;
mod oracle;
mod servers;
mod stored;
mod streams;
mod trouble;
#[path = "../watchdog/mod.rs"]
mod watchdog;
#[path = "../zmtp_peer/mod.rs"]
mod zmtp_peer;

use broker_process::{BrokerProcess, Transport};
use nats_server::NatsServer;
use oracle::PATIENCE;

/// A broker of a host on this engine, which has answered.
fn broker(server: &NatsServer, args: &[&str]) -> BrokerProcess {
    let url = server.url();
    let engine = ["--shards", "2", "--engine", &url, "--engine-wait"];
    BrokerProcess::start(Transport::Tcp, &[&engine, args].concat())
}

/// Two of them, which have met.
fn two_brokers(server: &NatsServer, args: &[&str]) -> [BrokerProcess; 2] {
    let brokers = [broker(server, args), broker(server, args)];
    for broker in &brokers {
        broker.until(|page| page.sum("corecast_engine_peers") == 1);
    }
    brokers
}
