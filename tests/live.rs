//! The live page of a real broker, and its stream of events: their bounds, and who may read them.

#![expect(clippy::panic, reason = "in a test every failure is a panic")]

mod broker_process;
mod running;
mod watchdog;

use std::fs;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::net::UnixStream;
use std::process::{Command, Stdio};

use broker_process::{BrokerProcess, Page, Transport};
use corecast::internals::limits::{EVENT_READERS_MAX, HTTP_CONNECTIONS_MAX};
use serde_json::Value;
use watchdog::LIMIT;

/// A connection on which a request has been sent with these header lines.
fn asked(broker: &BrokerProcess, request: &str, headers: &str) -> BufReader<TcpStream> {
    let mut peer = TcpStream::connect(broker.metrics()).expect("it serves");
    peer.set_read_timeout(Some(LIMIT)).expect("a watchdog");
    write!(peer, "{request} HTTP/1.1\r\nHost: localhost\r\n{headers}\r\n").expect("room for a request");
    BufReader::new(peer)
}

/// The lines of an answer's head, in lower case.
fn head(peer: &mut BufReader<TcpStream>) -> Vec<String> {
    let mut lines = Vec::new();
    loop {
        let mut line = String::new();
        assert!(peer.read_line(&mut line).expect("an answer") > 0, "{lines:?}");
        if line.trim_end().is_empty() {
            return lines;
        }
        lines.push(line.trim_end().to_ascii_lowercase());
    }
}

fn body(mut peer: BufReader<TcpStream>) -> String {
    let mut text = String::new();
    peer.read_to_string(&mut text).expect("the end of an answer");
    text
}

/// The next event of a stream; the chunks that it comes in are passed over.
fn event(peer: &mut BufReader<TcpStream>) -> Value {
    loop {
        let mut line = String::new();
        assert!(peer.read_line(&mut line).expect("a line") > 0, "the stream has ended");
        if let Some(data) = line.strip_prefix("data: ") {
            return serde_json::from_str(data).unwrap_or_else(|error| panic!("{error}: {data}"));
        }
    }
}

/// A stream that has begun.
fn stream(broker: &BrokerProcess) -> BufReader<TcpStream> {
    let mut peer = asked(broker, "GET /api/v1/events", "");
    let head = head(&mut peer);
    assert_eq!(head[0], "http/1.1 200 ok");
    assert!(head.contains(&"content-type: text/event-stream".to_owned()), "{head:?}");
    peer
}

#[test]
fn the_page_is_for_all_and_its_events_for_those_that_show_the_token() {
    let _watchdog = watchdog::watch("the_page_is_for_all_and_its_events_for_those_that_show_the_token");
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("token");
    fs::write(&file, "sesame\n").expect("written");
    fs::set_permissions(&file, fs::Permissions::from_mode(0o600)).expect("a mode");
    let file = file.display().to_string();
    let broker = BrokerProcess::start(Transport::Tcp, &["--shards", "1", "--http-token-file", &file]);
    let mut page = asked(&broker, "GET /", "");
    let lines = head(&mut page);
    assert_eq!(lines[0], "http/1.1 200 ok");
    let policy = lines.iter().find(|line| line.starts_with("content-security-policy: "));
    let policy = policy.expect("a policy").to_owned();
    assert!(policy.contains("default-src 'none'") && policy.contains("frame-ancestors 'none'"), "{policy}");
    let nonce = policy.split("'nonce-").nth(1).and_then(|rest| rest.split('\'').next()).expect("a number");
    let text = body(page);
    assert!(text.starts_with("<!DOCTYPE html>") && text.trim_end().ends_with("</html>"));
    assert_eq!(text.matches(&format!("nonce=\"{nonce}\"")).count(), 2, "its style and its script");
    assert_eq!(head(&mut asked(&broker, "POST /", ""))[0], "http/1.1 405 method not allowed");
    assert_eq!(head(&mut asked(&broker, "GET /api/v1/events", ""))[0], "http/1.1 401 unauthorized");
    let mut events = asked(&broker, "GET /api/v1/events", "Authorization: Bearer sesame\r\n");
    assert_eq!(head(&mut events)[0], "http/1.1 200 ok");
    assert!(event(&mut events)["shards"].as_array().is_some_and(|shards| shards.len() == 1));
}

#[test]
fn events_go_on_for_as_long_as_they_are_read_and_have_places_of_their_own() {
    let _watchdog = watchdog::watch("events_go_on_for_as_long_as_they_are_read_and_have_places_of_their_own");
    let broker = BrokerProcess::start(Transport::Tcp, &["--shards", "2"]);
    let mut streams: Vec<_> = (0..EVENT_READERS_MAX).map(|_| stream(&broker)).collect();
    let mut refused = asked(&broker, "GET /api/v1/events", "");
    assert_eq!(head(&mut refused)[0], "http/1.1 503 service unavailable");
    assert!(body(refused).contains("try again later"));
    // Readers that say nothing push each other out, and no stream.
    let address = broker.metrics();
    let silent: Vec<_> =
        (0..2 * HTTP_CONNECTIONS_MAX).map(|_| TcpStream::connect(address).expect("it serves")).collect();
    let mut scrape = asked(&broker, "GET /metrics", "");
    assert_eq!(head(&mut scrape)[0], "http/1.1 200 ok");
    assert_eq!(Page::parse(&body(scrape)).sum("corecast_sessions"), 0);
    drop(silent);
    let mut times = Vec::new();
    for _ in 0..3 {
        for events in &mut streams {
            let live = event(events);
            assert_eq!(live["shards"].as_array().map(Vec::len), Some(2), "{live}");
            times.push(live["taken_at_unix_seconds"].as_f64().expect("a time"));
        }
    }
    let (first, last) = (times[0], times[times.len() - 1]);
    assert!(last - first >= 1.0, "{first} to {last}");
    // A place is free again once its reader has gone.
    drop(streams.pop());
    loop {
        let mut peer = asked(&broker, "GET /api/v1/events", "");
        match head(&mut peer)[0].as_str() {
            "http/1.1 200 ok" => break assert!(event(&mut peer)["version"].is_string()),
            _ => corecast_executors::pause(std::time::Duration::from_millis(50)),
        }
    }
}

#[test]
fn a_stream_ends_once_its_token_is_replaced() {
    let _watchdog = watchdog::watch("a_stream_ends_once_its_token_is_replaced");
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("token");
    let put = |token: &str| {
        fs::write(&file, token).expect("written");
        fs::set_permissions(&file, fs::Permissions::from_mode(0o600)).expect("a mode");
    };
    put("sesame");
    let path = file.display().to_string();
    let broker = BrokerProcess::start(Transport::Tcp, &["--shards", "1", "--http-token-file", &path]);
    let stream_by = |token: &str| {
        let mut peer = asked(&broker, "GET /api/v1/events", &format!("Authorization: Bearer {token}\r\n"));
        assert_eq!(head(&mut peer)[0], "http/1.1 200 ok");
        event(&mut peer);
        peer
    };
    let reload_by = |token: &str| {
        let header = format!("Authorization: Bearer {token}\r\n");
        let mut peer = asked(&broker, "POST /reload", &header);
        assert_eq!(head(&mut peer)[0], "http/1.1 200 ok", "whoever replaces the token has an answer");
        assert!(body(peer).contains("streams of the old one end"));
    };
    let mut events = stream_by("sesame");
    // The same token again ends nothing.
    reload_by("sesame");
    for _ in 0..2 {
        event(&mut events);
    }
    put("open");
    reload_by("sesame");
    // There is an end, of whatever kind, or the watchdog barks.
    let _ = events.read_to_end(&mut Vec::new());
    event(&mut stream_by("open"));
}

#[test]
fn a_stream_of_the_brokers_own_user_outlives_the_token() {
    let _watchdog = watchdog::watch("a_stream_of_the_brokers_own_user_outlives_the_token");
    let folder = tempfile::tempdir().expect("a folder");
    let path = |name: &str| folder.path().join(name).display().to_string();
    let put = |token: &str| {
        fs::write(path("token"), token).expect("written");
        fs::set_permissions(path("token"), fs::Permissions::from_mode(0o600)).expect("a mode");
    };
    put("sesame");
    let mut command = broker_process::corecast();
    command.args(["broker", "--shards", "1", "--listen", "tcp://127.0.0.1:0", "-o", "json"]);
    command.args(["--metrics", &path("http.sock"), "--http-token-file", &path("token")]);
    let mut broker = running::start(command.stdout(Stdio::piped()).stderr(Stdio::null()));
    BufReader::new(broker.stdout()).read_line(&mut String::new()).expect("it is ready");
    let mut peer = UnixStream::connect(path("http.sock")).expect("it serves");
    peer.set_read_timeout(Some(LIMIT)).expect("a watchdog");
    write!(peer, "GET /api/v1/events HTTP/1.1\r\nHost: localhost\r\n\r\n").expect("room for a request");
    let mut lines = BufReader::new(peer).lines();
    let mut next =
        || lines.by_ref().map(|line| line.expect("it goes on")).find(|line| line.starts_with("data: "));
    next().expect("an event");
    put("open");
    running::succeeded(&running::run(&["reload", "--metrics", &path("http.sock")]));
    for _ in 0..3 {
        next().expect("an event");
    }
}

#[test]
fn a_stream_outlasts_the_time_that_a_request_has() {
    let _watchdog = watchdog::watch("a_stream_outlasts_the_time_that_a_request_has");
    let broker = BrokerProcess::start(Transport::Tcp, &["--shards", "1"]);
    let mut events = stream(&broker);
    let first = event(&mut events)["taken_at_unix_seconds"].as_f64().expect("a time");
    let most = corecast::internals::limits::HTTP_CONVERSATION_MAX.as_secs_f64();
    while event(&mut events)["taken_at_unix_seconds"].as_f64().expect("a time") < first + most + 2.0 {}
}

#[test]
fn a_browser_shows_the_page_well_and_may_leave_it_open() {
    let name = "a_browser_shows_the_page_well_and_may_leave_it_open";
    let _watchdog = watchdog::watch_for(name, 5 * LIMIT);
    let left_out = |why: &str| drop(writeln!(std::io::stderr(), "left out: {why}"));
    let names = ["chromium", "chromium-browser", "google-chrome"];
    let is_there = |name: &&str| {
        Command::new(name).arg("--version").stdout(Stdio::null()).stderr(Stdio::null()).status().is_ok()
    };
    let chosen = std::env::var("CHROMIUM").ok();
    let Some(browser) = chosen.as_deref().or_else(|| names.into_iter().find(is_there)) else {
        return left_out("there is no Chromium (apt-get install chromium)");
    };
    let folder = tempfile::tempdir().expect("a folder");
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/scripts/page_shots.py");
    let mut python = Command::new("python3");
    // A day has ten times as many, which scripts/page-shots.sh tries.
    python.arg(script).arg(env!("CARGO_BIN_EXE_corecast")).arg(folder.path()).args([browser, "10000"]);
    let done = python.output().expect("this test needs python3 on the PATH");
    let said = String::from_utf8_lossy(&done.stderr).into_owned();
    assert!(done.status.success(), "{said}{}", String::from_utf8_lossy(&done.stdout));
    let shots = ["400-light", "400-dark", "1280-light", "1280-dark"];
    for shot in shots.map(|shot| folder.path().join(format!("page-{shot}.png"))) {
        assert!(fs::metadata(&shot).is_ok_and(|file| file.len() > 10_000), "{}", shot.display());
    }
}
