//! The start of a broker with an engine: waiting for it or not, credentials, and an engine that is not what it should be.

use std::fs;
use std::io::{BufRead as _, BufReader};
use std::os::unix::fs::PermissionsExt as _;
use std::process::Stdio;
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use super::broker_process::{BrokerProcess, Transport, corecast};
use super::nats_server::NatsServer;
use super::oracle::{PATIENCE, publisher, subscriber, topic};
use super::{broker, watchdog};

#[test]
fn without_its_engine_a_broker_serves_its_own_host_and_joins_the_others_later() {
    let _watchdog =
        watchdog::watch("without_its_engine_a_broker_serves_its_own_host_and_joins_the_others_later");
    let Some(mut server) = NatsServer::at_rest() else { return };
    let start = || BrokerProcess::start(Transport::Tcp, &["--engine", &server.url()]);
    let [a, b] = [start(), start()];
    let mut near = subscriber(a.client(), &["x"]);
    let mut far = subscriber(b.client(), &["x"]);
    let mut publisher = publisher(a.client());
    assert_eq!(publisher.wait_for_subscribers(topic("x"), 1, PATIENCE).expect("its own"), 1);
    publisher.publish(topic("x"), b"1").expect("room");
    near.recv_timeout(PATIENCE).expect("the session stands").expect("it is of this host");
    assert_eq!(a.page().sum("corecast_engine_connected"), 0);
    assert!(a.log().contains("the engine is away"), "{}", a.log());
    server.start_again();
    for broker in [&a, &b] {
        broker.until(|page| {
            page.sum("corecast_engine_connected") == 1 && page.sum("corecast_engine_peers") == 1
        });
    }
    publisher.publish(topic("x"), b"2").expect("room");
    for text in [b"1", b"2"] {
        match far.recv_timeout(PATIENCE).expect("the session stands").expect("it comes") {
            corecast::Event::Message(message) => assert_eq!(message.payload[..], *text),
            other => panic!("{other:?}"),
        }
    }
}

#[test]
fn a_broker_that_waits_for_its_engine_is_ready_when_that_answers_and_can_be_stopped_before() {
    let _watchdog = watchdog::watch(
        "a_broker_that_waits_for_its_engine_is_ready_when_that_answers_and_can_be_stopped_before",
    );
    let Some(mut server) = NatsServer::at_rest() else { return };
    let start = || {
        let mut command = corecast();
        command.args(["broker", "--listen", "tcp://127.0.0.1:0", "--engine", &server.url(), "--engine-wait"]);
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        command.spawn().expect("the command can be started")
    };
    let mut children = [start(), start()];
    for child in &mut children {
        let mut log = BufReader::new(child.stderr.as_mut().expect("it is piped"));
        let mut line = String::new();
        while !line.contains("the engine is away") {
            line.clear();
            assert!(log.read_line(&mut line).expect("a line") > 0, "it ended before it said so");
        }
    }
    let [mut waits, mut stops] = children;
    kill(Pid::from_raw(i32::try_from(stops.id()).expect("a pid")), Signal::SIGTERM).expect("it is ours");
    let mut said = String::new();
    BufReader::new(stops.stdout.take().expect("it is piped")).read_line(&mut said).expect("its output");
    assert_eq!(said, "", "it was never ready");
    assert!(stops.wait().expect("it is ours").success());
    server.start_again();
    let mut ready = String::new();
    BufReader::new(waits.stdout.take().expect("it is piped")).read_line(&mut ready).expect("its output");
    assert!(ready.starts_with("ready "), "{ready}");
    waits.kill().expect("it is ours");
    waits.wait().expect("it is ours");
}

#[test]
fn credentials_are_read_from_a_file_and_again_at_each_connection() {
    let _watchdog = watchdog::watch("credentials_are_read_from_a_file_and_again_at_each_connection");
    let lines = "authorization { user: \"broker\", password: \"sesame\" }";
    let Some(mut server) = NatsServer::start_with(lines) else { return };
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("engine.toml");
    let write = |text: &str| {
        fs::write(&path, text).expect("written");
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).expect("a mode");
    };
    write("user = \"broker\"\npassword = \"sesame\"\n");
    let file = path.display().to_string();
    let a = broker(&server, &["--engine-credentials", &file]);
    a.until(|page| page.sum("corecast_engine_connected") == 1);
    // Another password, on both sides.
    server.kill();
    server.configure("authorization { user: \"broker\", password: \"other\" }");
    server.start_again();
    a.until(|page| page.sum("corecast_engine_connected") == 0);
    write("user = \"broker\"\npassword = \"other\"\n");
    a.until(|page| page.sum("corecast_engine_connected") == 1);
    assert!(!a.log().contains("sesame") && !a.log().contains("other"), "{}", a.log());
}

#[test]
fn an_engine_that_does_not_let_a_broker_in_is_named_in_the_log_at_most_once_a_second() {
    let _watchdog =
        watchdog::watch("an_engine_that_does_not_let_a_broker_in_is_named_in_the_log_at_most_once_a_second");
    let lines = "authorization { user: \"broker\", password: \"sesame\" }";
    let Some(server) = NatsServer::start_with(lines) else { return };
    let begun = std::time::Instant::now();
    let a = BrokerProcess::start(Transport::Tcp, &["--engine", &server.url()]);
    let lines = || a.log().lines().filter(|line| line.contains("the engine is away")).count() as u64;
    a.until(|_| lines() >= 3);
    let took = begun.elapsed() + Duration::from_secs(1);
    assert!(lines() <= took.as_secs() + 1, "{} lines in {took:?}:\n{}", lines(), a.log());
    assert!(a.log().to_lowercase().contains("authorization"), "{}", a.log());
    assert!(!a.log().contains("async_nats"), "{}", a.log());
}

#[test]
fn a_password_in_an_address_is_refused_and_not_shown() {
    let output = corecast()
        .args(["broker", "--engine", "nats://me:sesame@127.0.0.1:4222"])
        .stdin(Stdio::null())
        .output()
        .expect("the command can be started");
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(2), "{said}");
    assert!(said.contains("--engine-credentials"), "{said}");
}

#[test]
fn the_doctor_and_the_list_of_peers_say_what_an_operator_wants_to_know() {
    let _watchdog = watchdog::watch("the_doctor_and_the_list_of_peers_say_what_an_operator_wants_to_know");
    let Some(server) = NatsServer::start() else { return };
    let [a, b] = super::two_brokers(&server, &[]);
    let mut heard = subscriber(b.client(), &["x"]);
    publisher(a.client()).publish(topic("x"), b"1").expect("room");
    heard.recv_timeout(PATIENCE).expect("the session stands").expect("it comes");
    let run = |args: &[&str]| {
        let output = corecast().args(args).stdin(Stdio::null()).output().expect("the command can be started");
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        (output.status.code(), String::from_utf8_lossy(&output.stdout).into_owned(), said)
    };
    let (code, found, said) = run(&["doctor", "--jitter", "0", "-o", "json", "--engine", &server.url()]);
    let findings: serde_json::Value = serde_json::from_str(&found).expect("JSON");
    let of_engine: Vec<&serde_json::Value> =
        findings.as_array().expect("an array").iter().filter(|finding| finding["name"] == "engine").collect();
    let says = |part: &str| {
        of_engine.iter().any(|finding| finding["found"].as_str().is_some_and(|found| found.contains(part)))
    };
    assert!(
        says("version") && says("median") && says("1048576") && says("lets in"),
        "{code:?} {found} {said}"
    );
    assert!(!says("sends back") && !says("refuses"), "{found}");
    // What the doctor has said there is no junk to brokers.
    assert_eq!(b.page().sum("corecast_engine_junk_total"), 0);
    let metrics = b.metrics().to_string();
    let (code, found, said) = run(&["peers", "--metrics", &metrics, "-o", "json"]);
    assert_eq!(code, Some(0), "{said}");
    let object: serde_json::Value = serde_json::from_str(&found).expect("JSON");
    assert_eq!(
        (&object["cluster"], &object["peers"][0]["here"]),
        (&"default".into(), &true.into()),
        "{found}"
    );
    assert_eq!((&object["peers"][0]["topics"], &object["filters"]), (&1.into(), &1.into()), "{found}");
    let (code, found, _) = run(&["peers", "--metrics", &metrics]);
    assert!(
        code == Some(0) && found.contains("cluster default, by server") && found.contains("here"),
        "{found}"
    );
    let (head, body) = b.get("/healthz");
    assert!(head.starts_with("HTTP/1.1 200") && body == "ok\nengine connected, 1 other brokers\n", "{body}");
    let (head, body) = b.get("/readyz?engine");
    assert!(head.starts_with("HTTP/1.1 200") && body.starts_with("ok\nengine connected"), "{body}");
    let alone = BrokerProcess::start(Transport::Tcp, &[]);
    let (head, body) = alone.get("/readyz?engine");
    assert!(head.starts_with("HTTP/1.1 503") && body == "this broker has no engine\n", "{body}");
    let (code, _, said) = run(&["peers", "--metrics", &alone.metrics().to_string()]);
    assert!(code == Some(1) && said.contains("no engine"), "{said}");
}

#[test]
fn the_doctor_says_whether_history_can_be_stored() {
    let _watchdog = watchdog::watch("the_doctor_says_whether_history_can_be_stored");
    let (Some(with), Some(without)) = (NatsServer::with_jetstream(), NatsServer::start()) else { return };
    let folder = tempfile::tempdir().expect("a folder");
    let config = folder.path().join("broker.toml");
    let doctor = |args: &[&str]| {
        let args = [&["doctor", "--jitter", "0"], args].concat();
        let output = corecast().args(args).stdin(Stdio::null()).output().expect("the command can be started");
        (output.status.code(), String::from_utf8_lossy(&output.stdout).into_owned())
    };
    let wrong = "history cannot be stored there";
    for (server, is_there) in [(&with, true), (&without, false)] {
        let (_, found) = doctor(&["--engine", &server.url()]);
        assert!(found.contains("median") && !found.contains(wrong), "nobody has asked for it: {found}");
        let (code, found) = doctor(&["--engine", &server.url(), "--engine-history"]);
        assert_eq!(found.contains(wrong), !is_there, "{found}");
        assert!(is_there || code == Some(1), "{found}");
        let text = format!("engine = \"{}\"\nengine-history = true\nkeep = \"a=last\"\n", server.url());
        fs::write(&config, text).expect("written");
        let (_, found) = doctor(&["--config", &config.display().to_string()]);
        assert_eq!(found.contains(wrong), !is_there, "{found}");
        assert!(found.contains("median"), "{found}");
    }
}

#[test]
fn the_doctor_names_a_right_that_is_missing() {
    let _watchdog = watchdog::watch("the_doctor_names_a_right_that_is_missing");
    let lines = "authorization { users = [ { user: \"broker\", password: \"sesame\", permissions: {
        publish: \"cc.default.>\", subscribe: [\"cc.default.r.>\", \"cc.default.w.>\"] } } ] }";
    let Some(server) = NatsServer::start_with(lines) else { return };
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("engine.toml");
    fs::write(&path, "user = \"broker\"\npassword = \"sesame\"\n").expect("written");
    fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).expect("a mode");
    let file = path.display().to_string();
    let args = ["doctor", "--jitter", "0", "--engine", &server.url(), "--engine-credentials", &file];
    let output = corecast().args(args).stdin(Stdio::null()).output().expect("the command can be started");
    let found = String::from_utf8_lossy(&output.stdout);
    assert_eq!(output.status.code(), Some(1), "{found}");
    assert!(found.contains("it refuses what brokers do") && !found.contains("lets in"), "{found}");
    assert!(!found.contains("sesame"), "{found}");
}
