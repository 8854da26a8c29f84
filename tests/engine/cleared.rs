//! Stored history that an operator has given up, with a real JetStream: it is gone for good.

use std::fs::OpenOptions;
use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::process::{Output, Stdio};
use std::time::{Duration, Instant};

use corecast::{Event, Start};
use corecast_executors::pause;

use super::broker_process::{BrokerProcess, corecast};
use super::nats_server::NatsServer;
use super::oracle::{PATIENCE, publisher, subscriber, topic};
use super::{broker, watchdog};

/// The output of a command that asks a broker, as an operator who has its token.
fn ask(broker: &BrokerProcess, token: &str, command: &[&str]) -> Output {
    let metrics = broker.metrics().to_string();
    corecast()
        .args(command)
        .args(["--metrics", &metrics, "--http-token-file", token, "-o", "json"])
        .stdin(Stdio::null())
        .output()
        .expect("corecast runs")
}

fn clear(broker: &BrokerProcess, token: &str, filter: &str) -> Output {
    ask(broker, token, &["history", "clear", filter])
}

/// Waits until a broker knows another one.
fn until_joined(broker: &BrokerProcess, token: &str) {
    until(|| String::from_utf8_lossy(&ask(broker, token, &["peers"]).stdout).contains("\"here\":true"));
}

fn until(is_so: impl Fn() -> bool) {
    let began = Instant::now();
    while !is_so() {
        assert!(began.elapsed() < PATIENCE, "it has its time");
        pause(Duration::from_millis(20));
    }
}

/// The topics and texts that a late subscriber has of history.
fn history(broker: &BrokerProcess) -> Vec<String> {
    let mut late = subscriber(broker.client().start(Start::All), &["prices.>", "last.*"]);
    let mut all = Vec::new();
    loop {
        match late.recv_timeout(PATIENCE).expect("the session stands").expect("there is more") {
            Event::Message(message) => {
                let text = str::from_utf8(&message.payload).expect("text");
                all.push(format!("{}={text}", String::from_utf8_lossy(&message.topic)));
            }
            Event::CaughtUp => return all,
            other => panic!("{other:?}"),
        }
    }
}

#[test]
fn stored_history_that_an_operator_gives_up_is_not_there_after_kill_9() {
    let _watchdog = watchdog::watch("stored_history_that_an_operator_gives_up_is_not_there_after_kill_9");
    let Some(server) = NatsServer::with_jetstream() else { return };
    let folder = tempfile::tempdir().expect("a folder");
    let token = folder.path().join("token").display().to_string();
    let file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&token);
    file.expect("a file").write_all(b"corecast_sesame\n").expect("room for it");
    let args = [
        "--engine-history",
        "--keep",
        "prices.>=1h,confirmed",
        "--keep",
        "last.*=last",
        "--http-token-file",
        &token,
    ];
    let [mut a, mut b] = [broker(&server, &args), broker(&server, &args)];
    until_joined(&a, &token);
    until_joined(&b, &token);
    let mut saying = publisher(a.client());
    for text in ["1", "2"] {
        for name in ["last.x", "prices.eur", "prices.usd", "prices.usd.spot"] {
            saying.publish(topic(name), text.as_bytes()).expect("room");
        }
    }
    saying.flush(PATIENCE).expect("it is stored");
    let left = ["last.x=2", "prices.usd=1", "prices.usd=2", "prices.usd.spot=1", "prices.usd.spot=2"];
    // At the broker that has not taken them from their publisher.
    until(|| history(&b).len() == left.len() + 2);
    let cleared = clear(&b, &token, "prices.eur");
    let said = String::from_utf8_lossy(&cleared.stdout);
    assert_eq!(said, "{\"cleared_messages\":2,\"cleared_stored\":true}\n", "{cleared:?}");
    let note = String::from_utf8_lossy(&cleared.stderr);
    assert!(note.contains("other brokers") && cleared.status.success(), "{note}");
    assert_eq!(history(&b), left);
    a.kill();
    b.kill();
    drop(saying);
    b.start_again();
    assert_eq!(history(&b), left, "it was not stored any more, and nobody is told of a gap");
    a.start_again();
    until_joined(&b, &token);
    let mut saying = publisher(a.client());
    saying.publish(topic("prices.eur"), b"3").expect("room");
    saying.flush(PATIENCE).expect("it is stored");
    for filter in ["prices.*", "last.>"] {
        assert!(clear(&a, &token, filter).status.success());
    }
    // One that comes back would say that it may have lost something.
    drop(saying);
    a.kill();
    a.start_again();
    assert_eq!(history(&a), ["prices.usd.spot=1", "prices.usd.spot=2"], "one level is one level");
    server.freeze();
    let refused = clear(&a, &token, ">");
    let said = String::from_utf8_lossy(&refused.stderr);
    assert!(said.contains("what is stored is not") && refused.status.code() == Some(1), "{said}");
    assert_eq!(history(&a), [""; 0], "what is in memory is given up all the same");
    server.thaw();
    until(|| clear(&a, &token, ">").status.success());
    a.kill();
    a.start_again();
    assert_eq!(history(&a), [""; 0]);
}
