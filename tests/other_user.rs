//! Broker, clients and `doctor` as an ordinary user, for whom the kernel counts ring memory.

#![expect(clippy::panic, reason = "in a test every failure is a panic")]

mod broker_process;
mod ended;
#[path = "../executors/tests/other_user/mod.rs"]
mod other_user;
mod watchdog;

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::process::{Command, Output, Stdio};

use broker_process::{BrokerProcess, Transport, corecast};
use ended::Ended;

/// The command under test, as that user.
fn corecast_as(runner: &[&str], args: &[&str]) -> Command {
    let plain = corecast();
    let mut command = Command::new(runner[0]);
    command.args(&runner[1..]).arg(plain.get_program()).args(args);
    for (name, _) in plain.get_envs() {
        command.env_remove(name);
    }
    command.stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&[&output.stdout[..], &output.stderr].concat()).into_owned()
}

#[test]
fn a_broker_and_24_client_processes_run_within_the_usual_memlock_limit() {
    const TEST: &str = "a_broker_and_24_client_processes_run_within_the_usual_memlock_limit";
    const SUBSCRIBERS: usize = 24;
    let _watchdog = watchdog::watch(TEST);
    let Some(runner) = other_user::runner(TEST, 8 * 1024) else { return };
    let runner: Vec<&str> = runner.iter().map(String::as_str).collect();
    let broker = BrokerProcess::start_under(&runner, Transport::Tcp, &["--shards", "2"]);
    let subscribe = ["sub", "--broker", broker.endpoint(), "--count", "1", "t"];
    let subscribers: Vec<_> = (0..SUBSCRIBERS)
        .map(|_| corecast_as(&runner, &subscribe).spawn().expect("the command can be started"))
        .collect();
    let number = SUBSCRIBERS.to_string();
    let publish = ["pub", "--broker", broker.endpoint(), "--wait-subscribers", &number, "t", "hello"];
    let published = corecast_as(&runner, &publish).output().expect("the command can be started");
    assert!(published.status.success(), "{}", said(&published));
    for subscriber in subscribers {
        let output = subscriber.wait_with_output().expect("a child can be waited for");
        assert!(output.status.success(), "{}", said(&output));
        assert_eq!(output.stdout, b"hello\n");
    }
}

#[test]
fn memlock_is_named_when_it_is_used_up() {
    const TEST: &str = "memlock_is_named_when_it_is_used_up";
    let _watchdog = watchdog::watch(TEST);
    let Some(runner) = other_user::runner(TEST, 512) else { return };
    let runner: Vec<&str> = runner.iter().map(String::as_str).collect();
    // The least limit is enough for this, and for some clients, which run until it is used up.
    let broker = BrokerProcess::start_under(&runner, Transport::Tcp, &["--shards", "1"]);
    let subscribe = ["sub", "--broker", broker.endpoint(), "t"];
    let mut running = Vec::new();
    let error = loop {
        let mut next = Ended(corecast_as(&runner, &subscribe).spawn().expect("the command can be started"));
        let mut ended = None;
        broker.until(|page| {
            ended = next.0.try_wait().expect("it is ours");
            ended.is_some() || page.sum("corecast_subscriptions") > running.len() as u64
        });
        match ended {
            Some(status) => {
                assert_eq!(status.code(), Some(1));
                let mut error = String::new();
                let stderr = next.0.stderr.as_mut().expect("it is piped");
                stderr.read_to_string(&mut error).expect("a sentence");
                break error;
            }
            None if running.len() > 8 => {
                return writeln!(std::io::stderr(), "{TEST}: SKIPPED, this kernel does not count rings")
                    .expect("stderr");
            }
            None => running.push(next),
        }
    };
    assert!(error.contains("memlock") && error.contains("is used up"), "{error}");
    let doctor = corecast_as(&runner, &["doctor", "--jitter", "0"]).output().expect("it can be started");
    let report = said(&doctor);
    assert_eq!(doctor.status.code(), Some(1), "{report}");
    let line = report.lines().find(|line| line.contains("memlock ")).expect("a line about it");
    assert!(line.starts_with("error") && line.contains("used up"), "{report}");
    assert!(!report.contains("seccomp"), "{report}");
}

#[test]
fn doctor_says_how_many_shards_can_start() {
    const TEST: &str = "doctor_says_how_many_shards_can_start";
    let _watchdog = watchdog::watch(TEST);
    let Some(runner) = other_user::runner(TEST, 512) else { return };
    let runner: Vec<&str> = runner.iter().map(String::as_str).collect();
    let mut verdicts = Vec::new();
    for shards in ["1", "2", "4"] {
        let doctor = corecast_as(&runner, &["doctor", "--jitter", "0", "--shards", shards]).output();
        let doctor = doctor.expect("the command can be started");
        let report = said(&doctor);
        let line = report.lines().find(|line| line.contains("memlock ")).expect("a line about it");
        let shards_start = can_start(&runner, shards);
        assert_eq!(line.starts_with("error"), !shards_start, "{shards} shards: {report}");
        assert_eq!(doctor.status.success(), shards_start, "{report}");
        verdicts.push((shards_start, line.to_owned()));
    }
    let [(true, one), (_, _), (four_start, four)] = &verdicts[..] else { panic!("{verdicts:?}") };
    assert!(one.starts_with("ok"), "{one}");
    if *four_start {
        return writeln!(std::io::stderr(), "{TEST}: SKIPPED, this kernel does not count rings")
            .expect("stderr");
    }
    assert!(four.contains("there is room for ") && four.contains("4 shards lock 1392 KiB"), "{four}");
}

/// True if a broker of so many shards starts; the error names memlock otherwise.
fn can_start(runner: &[&str], shards: &str) -> bool {
    let broker = ["broker", "--listen", "tcp://127.0.0.1:0", "--shards", shards];
    let mut broker = Ended(corecast_as(runner, &broker).spawn().expect("the command can be started"));
    let mut ready = String::new();
    let stdout = broker.0.stdout.take().expect("it is piped");
    BufReader::new(stdout).read_line(&mut ready).expect("a line, or its end");
    if !ready.is_empty() {
        return true;
    }
    let mut error = String::new();
    broker.0.stderr.take().expect("it is piped").read_to_string(&mut error).expect("a sentence");
    assert!(error.contains("memlock") && error.contains("is used up"), "{error}");
    false
}

#[test]
fn a_broker_starts_in_the_memory_of_one_that_has_just_been_killed() {
    const TEST: &str = "a_broker_starts_in_the_memory_of_one_that_has_just_been_killed";
    let _watchdog = watchdog::watch(TEST);
    let Some(runner) = other_user::runner(TEST, 512) else { return };
    let runner: Vec<&str> = runner.iter().map(String::as_str).collect();
    for _ in 0..10 {
        assert!(can_start(&runner, "1"), "the limit is enough for one");
    }
}
