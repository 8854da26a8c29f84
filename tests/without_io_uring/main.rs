//! Clients that may not use io_uring, as in a container with the usual profile: the real commands under a filter of system calls
//! that refuses it. They wait with epoll, lose nothing, and say why when they are asked.

#![expect(clippy::panic, reason = "in a test every failure is a panic")]

#[path = "../broker_process/mod.rs"]
mod broker_process;
#[path = "../running/mod.rs"]
mod running;
#[path = "../watchdog/mod.rs"]
mod watchdog;

use std::fmt::Write as _;
use std::io::Write as _;
use std::process::{Command, Stdio};

use broker_process::{BrokerProcess, Transport, corecast};
use running::{start, text};

/// The client's own words for the choice that was made for it.
const SAID: &str = "epoll in place of io_uring";

/// The command of a client that may not use io_uring.
fn forbidden(broker: &BrokerProcess, args: &[&str]) -> Command {
    let client = corecast();
    let mut command = Command::new("python3");
    command.arg(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/without_io_uring/forbid.py"));
    command.arg(client.get_program()).args(args).args(["--broker", broker.endpoint()]);
    for (name, value) in client.get_envs() {
        match value {
            Some(value) => command.env(name, value),
            None => command.env_remove(name),
        };
    }
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

/// Sends so many lines from `pub` to `sub`, both without io_uring.
fn assert_exact(broker: &BrokerProcess, lines: u64, publisher_args: &[&str]) {
    let count = lines.to_string();
    let subscriber = start(&mut forbidden(
        broker,
        &["sub", "t", "--count", &count, "--overflow", "block", "--log-level", "info"],
    ));
    let args =
        [&["pub", "t", "--lines", "-", "--wait-subscribers", "1", "--log-level", "info"], publisher_args]
            .concat();
    let mut publisher = start(forbidden(broker, &args).stdin(Stdio::piped()));
    let mut sent = String::new();
    (0..lines).for_each(|line| writeln!(sent, "{line}").expect("a string takes everything"));
    let mut input = publisher.0.stdin.take().expect("it is piped");
    input.write_all(sent.as_bytes()).expect("it reads");
    drop(input);
    for (client, printed) in [(publisher, ""), (subscriber, sent.as_str())] {
        let output = client.output();
        let said = text(&output.stderr);
        assert_eq!(output.status.code(), Some(0), "{said}");
        assert_eq!(said.matches(SAID).count(), 1, "once in a process: {said}");
        assert!(said.contains("io_uring is not available to this process"), "with the reason: {said}");
        assert!(text(&output.stdout) == printed, "what was sent is what was received");
    }
}

#[test]
fn pub_and_sub_are_exact() {
    let _watchdog = watchdog::watch("pub_and_sub_are_exact");
    for transport in [Transport::Tcp, Transport::Uds] {
        assert_exact(
            &BrokerProcess::start(transport, &["--shards", "2", "--overflow", "block"]),
            100_000,
            &[],
        );
    }
}

#[test]
fn direct_publishers_are_exact_also_with_executors_of_their_own() {
    let _watchdog = watchdog::watch("direct_publishers_are_exact_also_with_executors_of_their_own");
    let broker = BrokerProcess::start(Transport::Tcp, &["--mode", "direct", "--overflow", "block"]);
    assert_exact(&broker, 50_000, &["--overflow", "block"]);
    assert_exact(&broker, 50_000, &["--overflow", "block", "--cores", "all"]);
}

#[test]
fn who_asks_for_io_uring_is_told_that_it_is_not_there() {
    let _watchdog = watchdog::watch("who_asks_for_io_uring_is_told_that_it_is_not_there");
    let broker = BrokerProcess::start(Transport::Tcp, &[]);
    let output = start(&mut forbidden(&broker, &["pub", "t", "hi", "--reactor", "io_uring"])).output();
    let said = text(&output.stderr);
    assert!(!output.status.success() && said.contains("io_uring is not available to this process"), "{said}");
    let output = start(&mut forbidden(&broker, &["pub", "t", "hi", "--reactor", "uring"])).output();
    let said = text(&output.stderr);
    assert_eq!(output.status.code(), Some(2), "{said}");
    assert!(said.contains("use auto, io_uring or epoll"), "{said}");
}
