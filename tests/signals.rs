//! Signals: none ends a broker without draining unless that is its meaning, and none without a meaning ends it at all.

#![expect(clippy::panic, reason = "in a test every failure is a panic")]

mod broker_process;
mod healthy_pair;
mod watchdog;

use std::fs::File;
use std::process::{Command, Stdio};

use broker_process::{BrokerProcess, Transport, corecast};
use corecast::{Publisher, Topic};
use healthy_pair::HealthyPair;
use nix::sys::signal::Signal;

#[test]
fn signals_that_mean_nothing_here_change_nothing() {
    let _watchdog = watchdog::watch("signals_that_mean_nothing_here_change_nothing");
    let mut broker = BrokerProcess::start(Transport::Tcp, &["--shards", "2"]);
    let pair = HealthyPair::start(&broker.client());
    for _ in 0..20 {
        for name in ["USR1", "ALRM", "VTALRM", "PROF", "IO", "STKFLT", "XFSZ", "PIPE", "34", "64"] {
            let pid = broker.pid().to_string();
            let sent = Command::new("kill").args(["-s", name, &pid]).status().expect("there is a kill");
            assert!(sent.success(), "{name}");
        }
    }
    pair.assert_well();
    assert_eq!(broker.stop().code(), Some(0));
}

#[test]
fn a_hangup_is_ignored_by_a_broker_that_is_to_outlive_its_terminal() {
    let _watchdog = watchdog::watch("a_hangup_is_ignored_by_a_broker_that_is_to_outlive_its_terminal");
    let nohup = ["sh", "-c", "trap '' HUP; exec \"$0\" \"$@\""];
    let mut broker = BrokerProcess::start_under(&nohup, Transport::Tcp, &["--shards", "2"]);
    broker.signal(Signal::SIGHUP);
    HealthyPair::start(&broker.client()).assert_well();
    assert_eq!(broker.stop().code(), Some(0));
    assert_eq!(broker.log().matches("asked to stop").count(), 1, "{}", broker.log());
}

#[test]
fn a_file_that_may_not_grow_is_an_error_that_names_it() {
    let _watchdog = watchdog::watch("a_file_that_may_not_grow_is_an_error_that_names_it");
    let broker = BrokerProcess::start(Transport::Tcp, &["--shards", "1"]);
    let dir = tempfile::tempdir().expect("a directory");
    let out = File::create(dir.path().join("out")).expect("a file");
    let mut limited = Command::new("sh");
    limited.args(["-c", "ulimit -f 1; exec \"$0\" \"$@\""]).arg(corecast().get_program());
    limited.args(["sub", "--broker", broker.endpoint(), "t"]).stdout(out).stderr(Stdio::piped());
    let sub = limited.spawn().expect("the command can be started");
    broker.until(|page| page.sum("corecast_subscriptions") == 1);
    let mut publisher = Publisher::with_config(broker.client()).expect("a publisher");
    publisher.publish(Topic::new("t").expect("a topic"), &[b'x'; 10_000]).expect("it is taken");
    let output = sub.wait_with_output().expect("it is ours");
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(said.contains("cannot write to stdout") && said.contains("too large"), "{said}");
}
