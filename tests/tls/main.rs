//! TLS, end to end: brokers and commands as users run them, certificates by OpenSSL and by `corecast cert`, and clients and
//! servers that are not ours.

#![expect(clippy::panic, reason = "in a test every failure is a panic")]

#[path = "../broker_process/mod.rs"]
mod broker_process;
#[path = "../certificates/mod.rs"]
mod certificates;
mod direct;
mod files;
mod identity;
mod memory;
mod peers;
mod renewal;
#[path = "../running/mod.rs"]
mod running;
mod setup;
mod silence;
mod trust;
#[path = "../watchdog/mod.rs"]
mod watchdog;

use broker_process::{BrokerProcess, Transport};
use certificates::Authority;

/// A broker on TCP with encryption, whose certificate is signed as this name.
fn broker_with(authority: &Authority, name: &str, args: &[&str]) -> (BrokerProcess, String) {
    let [cert, key] = authority.files(name);
    let tls = ["--listen", "tls://127.0.0.1:0", "--tls-cert", &cert, "--tls-key", &key];
    let broker = BrokerProcess::start(Transport::Tcp, &[&tls, args].concat());
    let endpoint = broker.endpoints()[1].clone();
    (broker, endpoint)
}
