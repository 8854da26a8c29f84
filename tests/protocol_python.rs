//! A client written from docs/PROTOCOL.md alone, in another language, against a real broker. What it proves is the
//! page: if a stranger's client works, the page is enough.

use std::io::{BufRead as _, BufReader, Read as _};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use corecast::broker::{Broker, BrokerConfig};
use corecast::{Endpoint, Event, Filter, Publisher, Subscriber, Topic};
use corecast_executors::{Link, RecvTimeout, link, spawn_plain};

const CLIENT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/examples/python/raw_client.py");

/// Far more than a test takes on a busy machine.
const LIMIT: Duration = Duration::from_secs(60);

/// Ends the test process when a test hangs. While the link lives, the test may run.
fn watchdog(test: &'static str) -> Link<()> {
    let (alive, mut inbox) = link::<()>(1);
    let body = move || {
        if inbox.recv_deadline(Instant::now() + LIMIT) == Err(RecvTimeout::TimedOut) {
            let _ = std::io::Write::write_all(&mut std::io::stderr(), format!("{test} hangs\n").as_bytes());
            std::process::exit(101);
        }
    };
    spawn_plain("watchdog", body).expect("a test can make a thread");
    alive
}

/// A Python client, ended with the test.
struct Python(Child);

impl Python {
    fn start(arguments: &[&str]) -> Python {
        let mut command = Command::new("python3");
        command
            .arg(CLIENT)
            .args(arguments)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        Python(command.spawn().expect("this test needs python3 (3.8 or newer) on the PATH"))
    }

    /// Waits for its first line on stderr.
    fn note(&mut self) -> String {
        let mut line = String::new();
        let stderr = self.0.stderr.as_mut().expect("it is piped");
        BufReader::with_capacity(1, stderr).read_line(&mut line).expect("a pipe can be read");
        line
    }

    /// Waits for its end, and gives its exit code, and what it printed and noted.
    fn end(mut self) -> (Option<i32>, String, String) {
        let (mut out, mut notes) = (String::new(), String::new());
        self.0.stdout.take().expect("it is piped").read_to_string(&mut out).expect("it prints text");
        self.0.stderr.take().expect("it is piped").read_to_string(&mut notes).expect("it notes text");
        (self.0.wait().expect("it is our child").code(), out, notes)
    }
}

impl Drop for Python {
    fn drop(&mut self) {
        // It has ended by itself, unless the test has failed.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// A broker on a free port and a Unix socket in `folder`, and where it is.
fn broker(folder: &tempfile::TempDir) -> (Broker, String, String) {
    let listen = vec![
        "tcp://127.0.0.1:0".parse().expect("an endpoint"),
        Endpoint::Uds { path: folder.path().join("broker.sock") },
    ];
    let broker =
        Broker::start(BrokerConfig { listen, ..BrokerConfig::default() }).expect("this host runs brokers");
    let (tcp, uds) = (broker.endpoints()[0].to_string(), broker.endpoints()[1].to_string());
    (broker, tcp, uds)
}

#[test]
fn python_and_rust_understand_each_other() {
    let _watched = watchdog("python_and_rust_understand_each_other");
    let folder = tempfile::tempdir().expect("a folder");
    let (broker, tcp, uds) = broker(&folder);

    let mut python = Python::start(&["sub", &tcp, "prices.*", "3"]);
    assert_eq!(python.note(), "ready\n");
    let mut publisher = Publisher::connect(&uds).expect("the broker serves");
    let topic = Topic::new("prices.eur").expect("a topic");
    assert_eq!(publisher.wait_for_subscribers(&topic, 1, LIMIT).expect("it is there"), 1);
    for payload in ["1.0842", "", "né"] {
        publisher.publish(&topic, payload.as_bytes()).expect("the session is open");
    }
    assert_eq!(python.end(), (Some(0), "1.0842\n\nné\n".into(), String::new()));

    let mut subscriber =
        Subscriber::connect(&tcp, &[Filter::parse("news.>").expect("a filter")]).expect("as above");
    let python = Python::start(&["pub", &uds, "news.sport.chess", "e4", "", "né"]);
    assert_eq!(python.end(), (Some(0), String::new(), String::new()));
    for (sequence, payload) in (1..).zip(["e4", "", "né"]) {
        let Some(Event::Message(message)) = subscriber.recv_timeout(LIMIT).expect("the session is open")
        else {
            panic!("a message was published");
        };
        assert_eq!(
            (&message.topic[..], &message.payload[..]),
            (&b"news.sport.chess"[..], payload.as_bytes())
        );
        assert_eq!(message.sequence, sequence);
    }
    broker.stop(LIMIT).expect("the executors are well");
}

#[test]
fn python_is_told_why_and_when_to_go() {
    let _watched = watchdog("python_is_told_why_and_when_to_go");
    let folder = tempfile::tempdir().expect("a folder");
    let (broker, tcp, uds) = broker(&folder);

    let (code, _, notes) = Python::start(&["sub", &uds, "pri*"]).end();
    assert_eq!(code, Some(1));
    assert!(notes.contains("the '*' at byte 3 must stand alone in its level (code 7)"), "{notes}");

    let mut python = Python::start(&["sub", &tcp, ">"]);
    assert_eq!(python.note(), "ready\n");
    broker.stop(LIMIT).expect("the executors are well");
    let (code, out, notes) = python.end();
    assert_eq!((code, out.as_str()), (Some(1), ""));
    assert!(notes.contains("(code 14)"), "{notes}");
}
