//! The API of a real broker: rows of its shards, sessions, topics and direct publishers, and the orders of operators.

#![expect(clippy::panic, reason = "in a test every failure is a panic")]

mod broker_process;
mod raw_client;
mod running;
mod watchdog;

use std::fs;
use std::io::{BufRead as _, BufReader, Write as _};
use std::net::TcpStream;
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::net::UnixStream;
use std::process::Stdio;
use std::time::Duration;

use broker_process::corecast;
use corecast::{
    ClientConfig, ConnectionEvent, Endpoint, ErrorCode, ErrorKind, Event, Filter, GapReason, OverflowPolicy,
    Publisher, Subscriber, Topic,
};
use corecast_executors::pause;
use raw_client::{RawClient, message};
use running::{Running, run, said, start, text};
use serde_json::Value;
use tempfile::TempDir;
use watchdog::LIMIT;

/// Time limit of any step, on a machine that is busy with something else.
const PATIENCE: Duration = Duration::from_secs(60);

/// Between two looks at something that no signal tells of.
const LOOK_PAUSE: Duration = Duration::from_millis(20);

/// A broker whose HTTP server is at a socket file, where this user is an operator.
struct Broker {
    process: Running,
    endpoint: String,
    /// The option of commands that leads there.
    metrics: String,
    folder: TempDir,
}

impl Broker {
    fn start(args: &[&str]) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let metrics = format!("uds://{}", folder.path().join("http.sock").display());
        let mut process = start(
            corecast()
                .args(["broker", "-o", "json", "--listen", "tcp://127.0.0.1:0"])
                .args(["--metrics", &metrics])
                .args(args)
                .stdout(Stdio::piped())
                .stderr(fs::File::create(folder.path().join("log")).expect("a log file")),
        );
        let mut line = String::new();
        BufReader::new(process.stdout()).read_line(&mut line).expect("a line");
        let ready: Value = serde_json::from_str(&line).expect("the ready line");
        let endpoint = ready["endpoints"][0].as_str().expect("an address").to_owned();
        Broker { process, endpoint, metrics, folder }
    }

    fn client(&self) -> ClientConfig {
        ClientConfig::new(self.endpoint.parse::<Endpoint>().expect("the broker's own address"))
    }

    fn raw(&self) -> RawClient {
        let address = self.endpoint.strip_prefix("tcp://").expect("a broker on TCP");
        RawClient::connect_narrow(address.parse().expect("an address in digits"), 4 << 10)
    }

    fn log(&self) -> String {
        fs::read_to_string(self.folder.path().join("log")).expect("its log")
    }

    /// Status and body of an answer.
    fn ask(&self, request: &str) -> (String, String) {
        let path = self.metrics.strip_prefix("uds://").expect("a socket file");
        let mut peer = UnixStream::connect(path).expect("it serves");
        peer.set_read_timeout(Some(LIMIT)).expect("a watchdog");
        write!(peer, "{request} HTTP/1.1\r\nHost: test\r\n\r\n").expect("room for a request");
        answer_of(&mut peer)
    }

    fn get(&self, page: &str) -> Value {
        let (status, body) = self.ask(&format!("GET /api/v1/{page}"));
        assert_eq!(status, "200", "{page}: {body}");
        serde_json::from_str(&body).expect("an object")
    }

    /// Waits until a page is so, and gives it.
    fn until(&self, page: &str, is_so: impl Fn(&Value) -> bool) -> Value {
        loop {
            let value = self.get(page);
            if is_so(&value) {
                return value;
            }
            pause(LOOK_PAUSE);
        }
    }

    fn fault(&self, request: &str) -> (String, String) {
        let (status, body) = self.ask(request);
        let object: Value = serde_json::from_str(&body).unwrap_or_else(|_| panic!("{request}: {body}"));
        (status, object["error"].as_str().expect("words").to_owned())
    }

    /// The output of a command for operators.
    fn run(&self, args: &[&str]) -> std::process::Output {
        run(&[args, &["--metrics", &self.metrics]].concat())
    }
}

fn answer_of(peer: &mut impl std::io::Read) -> (String, String) {
    let mut answer = String::new();
    peer.read_to_string(&mut answer).expect("an answer, and its end");
    let (head, body) = answer.split_once("\r\n\r\n").expect("an HTTP answer");
    (head.split(' ').nth(1).expect("a status").to_owned(), body.to_owned())
}

fn subscriber(broker: &Broker, name: &str, filters: &[&str]) -> Subscriber {
    let filters: Vec<Filter> = filters.iter().map(|text| Filter::parse(text).expect("a filter")).collect();
    Subscriber::with_config(broker.client().name(name), &filters).expect("a subscriber")
}

fn topic(name: &str) -> Topic {
    Topic::new(name).expect("a topic")
}

fn rows<'a>(page: &'a Value, name: &str) -> &'a Vec<Value> {
    page[name].as_array().unwrap_or_else(|| panic!("{name} in {page}"))
}

/// The session of the client with this name.
fn named<'a>(page: &'a Value, name: &str) -> &'a Value {
    let found = rows(page, "sessions").iter().find(|row| row["name"] == name);
    found.unwrap_or_else(|| panic!("{name} is not in {page}"))
}

fn number(row: &Value, name: &str) -> f64 {
    row[name].as_f64().unwrap_or_else(|| panic!("{name} in {row}"))
}

#[test]
fn rows_tell_what_sessions_topics_and_shards_do() {
    let _watchdog = watchdog::watch("rows_tell_what_sessions_topics_and_shards_do");
    let broker = Broker::start(&["--shards", "2"]);
    let mut reader = subscriber(&broker, "reader \"<b>\u{1b}[2J", &["a.>", "b"]);
    let mut publisher = Publisher::with_config(broker.client().name("writer")).expect("a publisher");
    for _ in 0..1_000 {
        publisher.publish(topic("a.x"), b"payload").expect("it is taken");
    }
    publisher.publish(topic("b"), b"payload").expect("it is taken");
    publisher.publish(topic("c"), b"payload").expect("it is taken");
    publisher.flush(PATIENCE).expect("all is taken");
    for _ in 0..1_001 {
        assert!(matches!(reader.recv_timeout(PATIENCE), Ok(Some(Event::Message(_)))));
    }
    let page = broker.until("sessions?sort=messages_out", |page| {
        rows(page, "sessions").first().is_some_and(|row| number(row, "messages_out") >= 1_001.0)
    });
    let (status, body) = broker.ask("GET /api/v1/sessions");
    assert!(status == "200" && body.is_ascii() && body.lines().count() == 1, "{body}");
    let row = named(&page, "reader \"<b>\u{1b}[2J");
    assert_eq!(
        (&row["kind"], &row["state"], &row["policy"]),
        (&"native".into(), &"open".into(), &"drop-oldest".into())
    );
    assert_eq!(row["filters"], serde_json::json!({ "count": 2, "first": ["b", "a.>"] }));
    assert_eq!(
        (number(row, "messages_out"), number(row, "drops"), number(row, "waiting_bytes")),
        (1_001.0, 0.0, 0.0)
    );
    assert!(
        row["address"].as_str().is_some_and(|address| address.starts_with("127.0.0.1:"))
            && row["user"].is_null()
    );
    assert!(number(row, "bytes_out") > 7_000.0 && number(row, "age_seconds") > 0.0, "{row}");
    let writer = named(&page, "writer");
    assert_eq!((number(writer, "messages_in"), writer["held"].as_bool()), (1_002.0, Some(false)));
    assert_eq!(page["total"], 2);

    let page = broker.get("shards");
    let shards = rows(&page, "shards");
    let sum = |name: &str| shards.iter().map(|row| number(row, name)).sum::<f64>();
    assert_eq!(
        (shards.len(), sum("sessions"), sum("publishers"), sum("messages_in")),
        (2, 2.0, 1.0, 1_002.0)
    );
    assert_eq!((sum("messages_out"), sum("drops"), sum("subscriptions")), (1_001.0, 0.0, 2.0));
    assert!(shards.iter().all(|row| row["core"].is_u64() && row["starved"] == false), "{page}");
    assert!(
        shards.iter().all(|row| row["busy_share"].as_f64().is_none_or(|share| (0.0..=1.0).contains(&share)))
    );

    let page = broker.get("topics?sort=topic");
    let counted: Vec<(&str, f64, f64)> = rows(&page, "topics")
        .iter()
        .map(|row| {
            (row["topic"].as_str().expect("text"), number(row, "messages"), number(row, "subscribers"))
        })
        .collect();
    assert_eq!(counted, [("a.x", 1_000.0, 1.0), ("b", 1.0, 1.0), ("c", 1.0, 0.0)]);
    let page = broker.get("topics?filter=a.%3E");
    assert_eq!((rows(&page, "topics").len(), page["total"].as_u64()), (1, Some(1)));
}

#[test]
fn rates_are_those_of_now() {
    let _watchdog = watchdog::watch("rates_are_those_of_now");
    let broker = Broker::start(&["--shards", "1"]);
    let mut publisher = Publisher::with_config(broker.client().name("writer")).expect("a publisher");
    let mut publish = || {
        for _ in 0..500 {
            publisher.publish(topic("t"), b"payload").expect("it is taken");
        }
        publisher.flush(PATIENCE).expect("all is taken");
    };
    publish();
    broker.until("topics", |page| {
        rows(page, "topics").first().is_some_and(|row| number(row, "messages") == 500.0)
    });
    // Nothing for as long as rates are over.
    broker.until("sessions", |page| number(named(page, "writer"), "messages_in_per_second") == 0.0);
    publish();
    let page = broker.until("topics", |page| number(&rows(page, "topics")[0], "messages") == 1_000.0);
    let over = number(&page, "rates_over_seconds");
    let rate = number(&rows(&page, "topics")[0], "messages_per_second");
    assert!(over >= 0.5 && (rate * over - 500.0).abs() < 5.0, "{rate} over {over} s");
}

#[test]
fn the_slowest_session_comes_first_and_pages_have_all_of_them() {
    let _watchdog = watchdog::watch("the_slowest_session_comes_first_and_pages_have_all_of_them");
    let broker = Broker::start(&["--shards", "1", "--egress-bytes", "8MiB"]);
    let _others: Vec<Subscriber> =
        (0..4).map(|n| subscriber(&broker, &format!("other {n}"), &["other"])).collect();
    let mut slow = broker.raw().open_with(Some(OverflowPolicy::DropOldest));
    slow.subscribe("t");
    let mut publisher = Publisher::with_config(broker.client().name("writer")).expect("a publisher");
    let payload = vec![0; 100_000];
    let is_full = |page: &Value| number(&rows(page, "sessions")[0], "drops") > 0.0;
    let page = loop {
        for _ in 0..100 {
            publisher.publish(topic("t"), &payload).expect("it is taken");
        }
        publisher.flush(PATIENCE).expect("all is taken");
        let page = broker.get("sessions?sort=lag");
        if is_full(&page) {
            break page;
        }
    };
    let first = &rows(&page, "sessions")[0];
    assert!(number(first, "lag_seconds") > 0.0 && number(first, "stalled_seconds") > 0.0, "{first}");
    assert!(number(first, "waiting_messages") > 10.0 && number(first, "waiting_bytes") > 1e6, "{first}");
    for sort in ["waiting_bytes", "waiting_messages", "drops", "stalled"] {
        let page = broker.get(&format!("sessions?sort={sort}&limit=1"));
        assert_eq!(rows(&page, "sessions")[0]["session"], first["session"], "{sort}");
        assert_eq!(page["next_offset"], 1);
    }
    let least = broker.get("sessions?sort=drops&order=asc&limit=1");
    assert_ne!(rows(&least, "sessions")[0]["session"], first["session"]);
    let (mut offset, mut seen) = (Some(0), Vec::new());
    while let Some(from) = offset {
        let page = broker.get(&format!("sessions?limit=2&offset={from}"));
        seen.extend(
            rows(&page, "sessions").iter().map(|row| row["session"].as_str().expect("text").to_owned()),
        );
        offset = page["next_offset"].as_u64();
    }
    assert_eq!(seen.len() as u64, broker.get("sessions")["total"].as_u64().expect("a number"));
    assert!(seen.is_sorted(), "by their numbers: {seen:?}");
    assert!(seen.len() >= 3);
    let gone = broker.get("sessions?offset=18446744073709551615");
    assert_eq!((rows(&gone, "sessions").len(), gone["next_offset"].is_null()), (0, true));
    let own = first["session"].as_str().expect("text");
    assert_eq!(broker.get(&format!("sessions?session={own}"))["total"], 1);
    let output = broker.run(&["sessions", "--sort", "lag", "--limit", "1", "-o", "json"]);
    assert!(
        said(&output, 0).starts_with("1 of "),
        "that there are more is said beside the lines: {output:?}"
    );
    let line: Value = serde_json::from_str(text(&output.stdout)).expect("a line");
    assert_eq!(line["session"], own);
    let table = broker.run(&["sessions", "--sort", "drops", "--limit", "1"]);
    assert!(said(&table, 0).contains("1 of "), "{table:?}");
    assert!(text(&table.stdout).lines().nth(1).is_some_and(|line| line.starts_with(own)), "{table:?}");
    let all = broker.run(&["sessions", "--sort", "gaps-told", "--limit", "100000", "-o", "json"]);
    assert_eq!((said(&all, 0), text(&all.stdout).lines().count()), (String::new(), seen.len()));
    let none = said(&broker.run(&["sessions", "--limit", "0"]), 2);
    assert!(none.contains("a whole number from 1"), "{none}");
}

#[test]
fn a_direct_publisher_is_in_the_registry() {
    let _watchdog = watchdog::watch("a_direct_publisher_is_in_the_registry");
    let broker = Broker::start(&["--shards", "2", "--mode", "direct"]);
    assert_eq!(
        broker.get("publishers"),
        serde_json::json!({ "total": 0, "next_after": null, "publishers": [] })
    );
    let mut publisher = Publisher::with_config(broker.client().name("video")).expect("a publisher");
    publisher.publish(topic("video.a"), b"frame").expect("it is taken");
    let page = broker.until("publishers", |page| page["total"] == 1);
    let row = &rows(&page, "publishers")[0];
    assert_eq!(row["topics"], serde_json::json!({ "count": 1, "first": ["video.a"] }));
    assert!(
        row["endpoints"][0].as_str().is_some_and(|endpoint| endpoint.starts_with("tcp://127.0.0.1:")),
        "{row}"
    );
    assert!((0.0..=5.0).contains(&number(row, "lease_left_seconds")), "{row}");
    let own = row["publisher"].as_str().expect("text");
    assert_eq!(rows(&broker.get(&format!("publishers?after={own}")), "publishers").len(), 0);
}

#[test]
fn a_kicked_session_is_told_and_its_client_comes_back() {
    let _watchdog = watchdog::watch("a_kicked_session_is_told_and_its_client_comes_back");
    let broker = Broker::start(&["--shards", "2"]);
    let mut kicked = subscriber(&broker, "kicked", &["t"]);
    let other = subscriber(&broker, "other", &["t"]);
    let raw = broker.raw().open();
    let (mut events, mut others) = (kicked.connection_events(), other.connection_events());
    let connected = Some(ConnectionEvent::Connected);
    assert_eq!(
        (events.recv_timeout(PATIENCE), others.recv_timeout(PATIENCE)),
        (connected.clone(), connected.clone())
    );
    let page = broker.get("sessions");
    assert_eq!(page["total"], 3);
    let session = named(&page, "kicked")["session"].as_str().expect("text").to_owned();
    let output = broker.run(&["kick", &session]);
    assert_eq!((said(&output, 0).as_str(), text(&output.stdout)), ("", format!("{session}\n").as_str()));
    let ended = events.recv_timeout(PATIENCE).expect("it is told");
    let reason = ErrorKind::Refused(ErrorCode::Kicked);
    assert!(matches!(&ended, ConnectionEvent::Disconnected { kind, .. } if *kind == reason), "{ended:?}");
    assert_eq!(events.recv_timeout(PATIENCE), connected, "it comes back");
    let gap = loop {
        if let Some(Event::Gap(gap)) = kicked.recv_timeout(PATIENCE).expect("the session stands") {
            break gap;
        }
    };
    assert_eq!((gap.reason, gap.missed), (GapReason::Disconnected(ErrorCode::Kicked), None));
    assert_eq!(others.try_recv(), None);
    assert!(broker.log().contains("reason=\"kicked\""), "{}", broker.log());
    let cleared = broker.run(&["history", "clear", ">", "-o", "json"]);
    assert_eq!(
        (said(&cleared, 0).as_str(), text(&cleared.stdout)),
        ("", "{\"cleared_messages\":0,\"cleared_stored\":false}\n")
    );
    let gone = said(&broker.run(&["kick", &session]), 1);
    assert!(gone.contains("no session"), "{gone}");
    // One that speaks no library hears the same.
    let page = broker.until("sessions", |page| page["total"] == 3);
    let raw_row = rows(&page, "sessions").iter().find(|row| row["name"] == "raw");
    let raw_row = raw_row.unwrap_or_else(|| panic!("{page}"))["session"].as_str().expect("text").to_owned();
    assert_eq!(broker.ask(&format!("POST /api/v1/kick?session={raw_row}")).0, "200");
    assert_eq!(raw.refused().0, ErrorCode::Kicked);
}

#[test]
fn all_sessions_of_a_user_are_kicked() {
    let _watchdog = watchdog::watch("all_sessions_of_a_user_are_kicked");
    let folder = tempfile::tempdir().expect("a folder");
    let secret = |name: &str, text: &str| {
        let path = folder.path().join(name);
        fs::write(&path, text).expect("written");
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).expect("a mode");
        path.display().to_string()
    };
    let file = folder.path().join("users.toml").display().to_string();
    let added = |name: &str| {
        let output = run(&["user", "add", name, "--users", &file, "--subscribe", ">"]);
        said(&output, 0);
        text(&output.stdout).trim().to_owned()
    };
    let tokens = ["desk", "other"].map(|name| secret(name, &added(name)));
    let broker = Broker::start(&["--shards", "2", "--users", &file]);
    let follow = |token: &String| {
        let mut command = corecast();
        command.args(["sub", "t", "--broker", &broker.endpoint, "--token-file", token]);
        start(command.stdout(Stdio::null()).stderr(Stdio::null()))
    };
    let _running = [follow(&tokens[0]), follow(&tokens[0]), follow(&tokens[1])];
    let of = |page: &Value, name: &str| -> Vec<String> {
        let all = rows(page, "sessions").iter().filter(|row| row["user"] == name && row["state"] == "open");
        all.map(|row| row["session"].as_str().expect("text").to_owned()).collect()
    };
    let before = broker.until("sessions", |page| (of(page, "desk").len(), of(page, "other").len()) == (2, 1));
    let output = broker.run(&["kick", "desk"]);
    assert_eq!(said(&output, 0), "");
    let mut kicked: Vec<&str> = text(&output.stdout).lines().collect();
    kicked.sort_unstable();
    let mut wanted = of(&before, "desk");
    wanted.sort_unstable();
    assert_eq!(kicked, wanted);
    let after = broker.until("sessions", |page| {
        let desk = of(page, "desk");
        desk.len() == 2 && desk.iter().all(|session| !wanted.contains(session))
    });
    assert_eq!(of(&after, "other"), of(&before, "other"));
    let none = broker.run(&["kick", "nobody"]);
    assert!(said(&none, 0).contains("the user nobody has no sessions"));
}

#[test]
fn a_drain_is_shown_and_ends_the_broker() {
    let _watchdog = watchdog::watch("a_drain_is_shown_and_ends_the_broker");
    let mut broker = Broker::start(&["--shards", "1", "--drain-timeout", "60s"]);
    assert_eq!(broker.ask("GET /readyz"), ("200".to_owned(), "ok\n".to_owned()));
    // What waits for it keeps the broker until it is read.
    let mut slow = broker.raw().open();
    slow.subscribe("t");
    let mut publisher = Publisher::with_config(broker.client()).expect("a publisher");
    let waits = |page: &Value| rows(page, "sessions").iter().any(|row| number(row, "stalled_seconds") > 0.0);
    while !waits(&broker.get("sessions")) {
        for _ in 0..20 {
            publisher.publish(topic("t"), &[0; 100_000]).expect("it is taken");
        }
        publisher.flush(PATIENCE).expect("all is taken");
    }
    let output = broker.run(&["drain"]);
    assert_eq!((said(&output, 0).as_str(), text(&output.stdout)), ("", "draining\n"));
    while broker.ask("GET /readyz").0 != "503" {
        pause(LOOK_PAUSE);
    }
    assert!(broker.ask("GET /readyz").1.starts_with("draining\n"));
    assert_eq!(slow.refused().0, ErrorCode::ShuttingDown, "it has read all that was for it");
    assert!(broker.process.0.wait().expect("it is ours").success(), "{}", broker.log());
}

#[test]
fn what_is_asked_wrongly_is_told_and_orders_are_for_operators() {
    let _watchdog = watchdog::watch("what_is_asked_wrongly_is_told_and_orders_are_for_operators");
    let broker = Broker::start(&["--shards", "1"]);
    for (request, part) in [
        ("GET /api/v1/sessions?sort=speed", "`sort` is one of id, lag, stalled, "),
        ("GET /api/v1/sessions?limit=0", "`limit` is a number from 1 to 1000, and not `0`"),
        ("GET /api/v1/sessions?limit=1001", "`limit` is a number"),
        ("GET /api/v1/sessions?limit=5&limit=6", "`limit` is there twice"),
        ("GET /api/v1/sessions?session=12", "16 hexadecimal digits"),
        ("GET /api/v1/sessions?user=%zz", "no escape"),
        ("GET /api/v1/shards?limit=1", "no such parameter: `limit`; there is none"),
        ("GET /api/v1/topics?filter=a.%3E.b", "not a filter"),
        ("GET /api/v1/publishers?after=x", "16 hexadecimal digits"),
        ("POST /api/v1/drain?to=here", "`to`: `here` is no endpoint"),
        ("POST /api/v1/drain?now=1", "no such parameter: `now`; there is to, spread"),
        ("POST /api/v1/kick", "name a `session` or a `user`"),
        ("POST /api/v1/kick?user=", "name a `session` or a `user`"),
        ("POST /api/v1/kick?user=a&session=0000000000000000", "and not both"),
    ] {
        let (status, words) = broker.fault(request);
        assert!(status == "400" && words.contains(part), "{request}: {status} {words}");
    }
    let (status, words) = broker.fault("POST /api/v1/kick?session=0000000000000000");
    assert!(status == "404" && words.contains("no session"), "{words}");
    for (request, status) in [
        ("GET /api/v1/kick?user=a", "405"),
        ("POST /api/v1/sessions", "405"),
        ("GET /api/v1/drain", "405"),
        ("GET /api/v1/", "404"),
        ("GET /api/v1/sessions/", "404"),
        ("GET /api/v2/sessions", "404"),
    ] {
        assert_eq!(broker.ask(request).0, status, "{request}");
    }
}

#[test]
fn without_a_token_whoever_comes_by_an_address_looks_and_orders_nothing() {
    let _watchdog = watchdog::watch("without_a_token_whoever_comes_by_an_address_looks_and_orders_nothing");
    let broker = broker_process::BrokerProcess::start(broker_process::Transport::Tcp, &["--shards", "1"]);
    let ask = |request: &str, host: &str| {
        let mut peer = TcpStream::connect(broker.metrics()).expect("it serves");
        peer.set_read_timeout(Some(LIMIT)).expect("a watchdog");
        write!(peer, "{request} HTTP/1.1\r\nHost: {host}\r\n\r\n").expect("room for a request");
        answer_of(&mut peer).0
    };
    let own = broker.metrics().to_string();
    for (request, host, status) in [
        ("GET /api/v1/sessions", own.as_str(), "200"),
        ("GET /api/v1/sessions", "localhost:9680", "200"),
        ("GET /api/v1/sessions", "rebound.example.org", "421"),
        ("GET /metrics", "rebound.example.org", "200"),
        ("POST /api/v1/kick?user=a", own.as_str(), "403"),
        ("POST /api/v1/drain", own.as_str(), "403"),
    ] {
        assert_eq!(ask(request, host), status, "{request} at {host}");
    }
    let output = run(&["sessions", "--metrics", &own]);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let mut raw = RawClient::connect(broker.address()).open();
    raw.send(&message("t", b"", 1));
    broker.until(|page| page.sum("corecast_messages_in_total") == 1);
}

#[test]
fn a_slow_session_is_named_once_and_counted_for_its_user() {
    let _watchdog = watchdog::watch("a_slow_session_is_named_once_and_counted_for_its_user");
    let broker = Broker::start(&["--shards", "1", "--egress-bytes", "8MiB"]);
    let mut slow = broker.raw().open();
    slow.subscribe("prices.*");
    let mut publisher = Publisher::with_config(broker.client()).expect("a publisher");
    let counter = |name: &str| {
        let (_, page) = broker.ask("GET /metrics");
        broker_process::Page::parse(&page).sum(name)
    };
    while counter("corecast_sessions_slow") == 0 {
        for _ in 0..20 {
            publisher.publish(topic("prices.eur"), &[0; 100_000]).expect("it is taken");
        }
        publisher.flush(PATIENCE).expect("all is taken");
        pause(LOOK_PAUSE);
    }
    while !broker.log().contains("a session is slow") {
        pause(LOOK_PAUSE);
    }
    let (_, page) = broker.ask("GET /metrics");
    assert!(page.contains("corecast_slow_sessions_total{shard=\"0\",user=\"anonymous\"} 1"), "{page}");
    let log = broker.log();
    let lines: Vec<&str> = log.lines().filter(|line| line.contains("a session is slow")).collect();
    for part in ["client=\"raw\"", "peer=127.0.0.1:", "topic=prices.eur", "policy=drop-oldest", "more=0"] {
        assert!(lines.len() == 1 && lines[0].contains(part) && !lines[0].contains('\u{1b}'), "{part}: {log}");
    }
    let page = broker.get("sessions?sort=lag&limit=1");
    assert_eq!(
        (number(&rows(&page, "sessions")[0], "slow_spells"), &rows(&page, "sessions")[0]["name"]),
        (1.0, &"raw".into())
    );
    slow.reset();
    while counter("corecast_sessions_slow") > 0 {
        pause(LOOK_PAUSE);
    }
    assert_eq!(counter("corecast_slow_sessions_total"), 1);
}
