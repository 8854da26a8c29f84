//! A client written from docs/PROTOCOL.md alone, in another language, against a real broker. It tests the page: if a
//! stranger's client works, the page is sufficient.

mod watchdog;

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::process::{Child, Command, Stdio};

use corecast::internals::wire::{Frame, encode_to_vec};
use corecast::{Broker, BrokerConfig, Endpoint, Event, Filter, Mode, Publisher, Subscriber, Topic};
use watchdog::{LIMIT, watch};

const CLIENT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/examples/python/raw_client.py");

/// A Python client, ended with the test.
struct Python(Child);

impl Python {
    fn start(arguments: &[&str]) -> Python {
        let mut command = Command::new("python3");
        command
            .arg(CLIENT)
            .args(arguments)
            .stdin(Stdio::piped())
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

/// A broker on a free port and a Unix socket in `folder`, on which all topics have this mode; and where it is.
fn broker(folder: &tempfile::TempDir, mode: Mode) -> (Broker, String, String) {
    let listen = vec![
        "tcp://127.0.0.1:0".parse().expect("an endpoint"),
        Endpoint::Uds { path: folder.path().join("broker.sock") },
    ];
    let config = BrokerConfig::default().listen(listen).mode(mode);
    let broker = Broker::start(config).expect("this host runs brokers");
    let (tcp, uds) = (broker.endpoints()[0].to_string(), broker.endpoints()[1].to_string());
    (broker, tcp, uds)
}

#[test]
fn python_and_rust_understand_each_other() {
    let _watched = watch("python_and_rust_understand_each_other");
    let folder = tempfile::tempdir().expect("a folder");
    let (broker, tcp, uds) = broker(&folder, Mode::Proxy);

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
    let _watched = watch("python_is_told_why_and_when_to_go");
    let folder = tempfile::tempdir().expect("a folder");
    let (broker, tcp, uds) = broker(&folder, Mode::Proxy);

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

#[test]
fn python_hears_a_publisher_that_is_direct() {
    let _watched = watch("python_hears_a_publisher_that_is_direct");
    let folder = tempfile::tempdir().expect("a folder");
    let (broker, tcp, uds) = broker(&folder, Mode::Direct);

    let mut python = Python::start(&["sub", &tcp, "video.>", "2"]);
    assert_eq!(python.note(), "ready\n");
    let mut publisher = Publisher::connect(&uds).expect("the broker serves");
    let topic = Topic::new("video.a").expect("a topic");
    assert_eq!(publisher.wait_for_subscribers(&topic, 1, LIMIT).expect("it is there"), 1);
    for payload in ["one", "two"] {
        publisher.publish(&topic, payload.as_bytes()).expect("the session is open");
    }
    assert_eq!(python.end(), (Some(0), "one\ntwo\n".into(), String::new()));
    publisher.close().expect("all is taken");
    broker.stop(LIMIT).expect("the executors are well");
}

#[test]
fn python_reads_and_writes_frames_as_rust_does() {
    let _watched = watch("python_reads_and_writes_frames_as_rust_does");
    let frames = [
        Frame::Message { topic: b"a.b", payload: b"", publisher: u64::MAX, sequence: 1, sent_at_ns: 2 },
        Frame::Gap { topic: b"", missed: 0, reason: 2 },
        Frame::Hello { name: "", overflow: 5, previous: 0, ticket: 0 },
        Frame::Subscribe { filter: b"\xff", request: u32::MAX, subscriber: 7, kind: 2 },
        Frame::Error { text: "n\u{e9}", request: 0, code: u16::MAX },
        Frame::SubscriberCount { request: 1, count: u32::MAX },
        Frame::Register { endpoints: "uds:///x", topics: "a\nb", publisher: 1, epoch: 2, request: 3 },
        Frame::PublisherUp { endpoints: "", topics: "", publisher: 1, epoch: 2, lease_left_ms: 3 },
        Frame::PublisherDown { publisher: 1, epoch: 2, reason: 3 },
        Frame::ListPublishers { request: 9 },
        Frame::Parts { topic: b"", payload: b"\0\0\0\0", publisher: 1, sequence: 2, sent_at_ns: 3 },
    ];
    let hex = |frame| encode_to_vec(frame).iter().map(|byte| format!("{byte:02x}")).collect::<String>();
    let lines: Vec<String> = frames.iter().map(hex).collect();
    let mut python = Python::start(&["decode"]);
    let mut stdin = python.0.stdin.take().expect("it is piped");
    stdin.write_all(lines.join("\n").as_bytes()).expect("a pipe can be written");
    drop(stdin);
    let (code, out, notes) = python.end();
    assert_eq!((code, notes.as_str()), (Some(0), ""));
    for (frame, line) in frames.iter().zip(out.lines()) {
        let name = format!("{frame:?}").split(' ').next().map(str::to_owned);
        assert_eq!(line.split(' ').next(), name.as_deref());
    }
    assert_eq!(out.lines().count(), frames.len());
}
