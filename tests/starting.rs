//! Brokers that start and end beside each other, and the errors of one that cannot start.

#![expect(clippy::panic, reason = "in a test every failure is a panic")]

mod broker_process;
mod healthy_pair;
mod watchdog;

use std::io::{BufRead as _, BufReader, Read as _};
use std::process::{Command, Stdio};

use broker_process::{BrokerProcess, Transport, corecast};
use corecast::ClientConfig;
use healthy_pair::HealthyPair;

#[test]
fn a_broker_that_ends_leaves_the_socket_of_its_successor() {
    let _watchdog = watchdog::watch("a_broker_that_ends_leaves_the_socket_of_its_successor");
    let dir = tempfile::tempdir().expect("a directory");
    let socket = dir.path().join("shared.sock");
    let shared = format!("uds://{}", socket.display());
    let args = ["--shards", "1", "--listen", &shared];
    let mut old = BrokerProcess::start(Transport::Tcp, &args);
    std::fs::remove_file(&socket).expect("the operator's own doing");
    let mut new = BrokerProcess::start(Transport::Tcp, &args);
    assert_eq!(old.stop().code(), Some(0));
    HealthyPair::start(&ClientConfig::new(shared.parse().expect("an endpoint"))).assert_well();
    assert_eq!(new.stop().code(), Some(0));
    assert_eq!(
        std::fs::read_dir(dir.path()).expect("it is there").count(),
        0,
        "each takes away what it made"
    );
}

#[test]
fn a_ready_line_that_nobody_can_read_is_an_error() {
    let _watchdog = watchdog::watch("a_ready_line_that_nobody_can_read_is_an_error");
    let (reader, writer) = std::io::pipe().expect("a pipe");
    drop(reader);
    let mut command = corecast();
    command.args(["broker", "--listen", "tcp://127.0.0.1:0", "--shards", "1"]).stdout(writer);
    let output = command.stderr(Stdio::piped()).output().expect("the command can be started");
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(said.contains("error: cannot write to stdout: Broken pipe"), "{said}");
}

#[test]
fn with_few_descriptors_a_broker_serves_or_says_that_it_has_too_few() {
    let _watchdog = watchdog::watch("with_few_descriptors_a_broker_serves_or_says_that_it_has_too_few");
    let mut serving = 0;
    for descriptors in 5..=40 {
        let mut command = Command::new("sh");
        command.args(["-c", &format!("ulimit -n {descriptors}; exec \"$0\" \"$@\"")]);
        command.arg(corecast().get_program()).args([
            "broker",
            "--listen",
            "tcp://127.0.0.1:0",
            "--shards",
            "2",
        ]);
        command.stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut broker = command.spawn().expect("a shell");
        let mut line = String::new();
        let stdout = broker.stdout.take().expect("it is piped");
        BufReader::new(stdout).read_line(&mut line).expect("a line or the end");
        if line.starts_with("ready") {
            serving += 1;
            broker.kill().expect("it is ours");
            broker.wait().expect("it is ours");
            continue;
        }
        let mut said = String::new();
        broker.stderr.take().expect("it is piped").read_to_string(&mut said).expect("its words");
        let status = broker.wait().expect("it is ours");
        assert_eq!(status.code(), Some(1), "{descriptors}: {said}");
        let error = said.lines().find(|line| line.starts_with("error: ")).unwrap_or_default();
        assert!(error.contains("open files"), "{descriptors}: {said}");
        assert!(!said.contains("io_uring"), "{descriptors}: {said}");
    }
    assert!(serving > 0, "40 are enough");
}
