//! The examples, run as they are against a broker.

#![expect(clippy::panic, reason = "in a test every failure is a panic")]

mod broker_process;
mod watchdog;

use std::process::{Child, Command, Output, Stdio};

use broker_process::{BrokerProcess, Transport};

/// An example that cargo has built beside this test.
fn example(name: &str, broker: &BrokerProcess) -> Command {
    let this = std::env::current_exe().expect("Linux says what runs");
    let built = this.parent().and_then(|deps| deps.parent()).expect("target/PROFILE/deps");
    let path = built.join("examples").join(name);
    assert!(path.exists(), "{}: `cargo build --examples` makes it", path.display());
    let mut command = Command::new(path);
    command.arg(broker.endpoint()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

fn start(command: &mut Command) -> Child {
    command.spawn().expect("the example can be started")
}

/// The output of a successful run.
fn printed(output: Output) -> String {
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && said.is_empty(), "{}: {said}", output.status);
    String::from_utf8(output.stdout).expect("text")
}

/// Brokers in each mode: the examples are the same for all.
const MODES: [&[&str]; 3] =
    [&[], &["--mode", "direct"], &["--mode", "direct", "--mode-rule", "prices.>=proxy"]];

#[test]
fn ten_prices_go_from_the_publisher_to_the_subscribers() {
    let _watchdog = watchdog::watch("ten_prices_go_from_the_publisher_to_the_subscribers");
    for mode in MODES {
        let broker = BrokerProcess::start(Transport::Tcp, mode);
        ten_prices(&broker);
        let through_it = if mode == MODES[1] { 0 } else { 10 };
        // However each has gone: a process that ends with something unread resets its connection.
        let came = |page: &broker_process::Page| page.sum("corecast_accepts_total");
        let page = broker.until(|page| came(page) == 2 && page.sum("corecast_sessions") == 0);
        assert_eq!(page.sum("corecast_messages_in_total"), through_it, "{mode:?}");
    }
}

fn ten_prices(broker: &BrokerProcess) {
    // The publisher may come first: it waits for a subscriber.
    let publisher = start(&mut example("publisher", broker));
    let subscriber = start(&mut example("subscriber", broker));
    let prices: String =
        (10_840..10_850).map(|price| format!("{:.4}\n", f64::from(price) / 10_000.0)).collect();
    assert_eq!(printed(subscriber.wait_with_output().expect("its output")), prices);
    assert_eq!(printed(publisher.wait_with_output().expect("its output")), "");
}

#[test]
fn one_price_goes_round_on_any_runtime_and_inside_an_executor() {
    let _watchdog = watchdog::watch("one_price_goes_round_on_any_runtime_and_inside_an_executor");
    for (transport, mode) in
        [(Transport::Tcp, MODES[0]), (Transport::Uds, MODES[0]), (Transport::Tcp, MODES[1])]
    {
        let broker = BrokerProcess::start(transport, mode);
        for name in ["any_runtime", "in_executor"] {
            let output = example(name, &broker).output().expect("the example can be started");
            assert_eq!(printed(output), "1.0842\n", "{name}");
        }
        broker.until(|page| page.sum("corecast_sessions") == 0);
    }
}
