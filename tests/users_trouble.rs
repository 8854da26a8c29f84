//! Trouble with users: files that are at fault when a broker starts or reads them again, tokens that are not quite right. A broker
//! is never more open than before.

#![expect(clippy::panic, reason = "in a test every failure is a panic")]

mod broker_process;
mod raw_client;
mod running;
mod watchdog;

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;
use std::process::Command;

use broker_process::{BrokerProcess, Transport, corecast};
use corecast::internals::wire::{Features, Frame, greeting};
use corecast::{ClientConfig, ErrorCode, ErrorKind, Event, Filter, Publisher, Subscriber, Token};
use nix::sys::signal::Signal;
use raw_client::{RawClient, Said};
use running::{run, said};
use tempfile::TempDir;
use watchdog::LIMIT;

/// A folder with a file of users, and their tokens.
struct Team {
    folder: TempDir,
}

impl Team {
    /// A user `feeds`, who publishes, and a user `desk`, who subscribes.
    fn gather() -> Team {
        let team = Team { folder: tempfile::tempdir().expect("a folder") };
        for (name, right) in [("feeds", "--publish"), ("desk", "--subscribe")] {
            let users = team.users().display().to_string();
            let added = corecast().args(["user", "add", name, "--users", &users, right, "t"]).output();
            let added = added.expect("the command can be started");
            assert!(added.status.success(), "{}", String::from_utf8_lossy(&added.stderr));
            team.write(name, &added.stdout, 0o600);
        }
        team
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn users(&self) -> PathBuf {
        self.path("users.toml")
    }

    fn write(&self, name: &str, bytes: &[u8], mode: u32) {
        fs::write(self.path(name), bytes).expect("a file");
        fs::set_permissions(self.path(name), fs::Permissions::from_mode(mode)).expect("it is ours");
    }

    /// The token of a user, as it stands in the file.
    fn token(&self, name: &str) -> String {
        fs::read_to_string(self.path(name)).expect("a token").trim().to_owned()
    }

    fn broker(&self) -> BrokerProcess {
        let users = self.users().display().to_string();
        BrokerProcess::start(Transport::Tcp, &["--shards", "2", "--users", &users])
    }

    fn client(&self, broker: &BrokerProcess, name: &str) -> ClientConfig {
        broker.client().token(Token::new(&self.token(name)).expect("a token"))
    }
}

fn filters() -> [Filter; 1] {
    [Filter::parse("t").expect("a filter")]
}

/// A publisher and a subscriber, each with its token.
struct Stream {
    publisher: Publisher,
    subscriber: Subscriber,
}

impl Stream {
    fn open(team: &Team, broker: &BrokerProcess) -> Stream {
        let subscriber = Subscriber::with_config(team.client(broker, "desk"), &filters()).expect("a user");
        let publisher = Publisher::with_config(team.client(broker, "feeds")).expect("a user");
        Stream { publisher, subscriber }
    }

    fn flows(&mut self) {
        let sent = self.publisher.publish("t", b"x").expect("it is taken");
        match self.subscriber.recv_timeout(LIMIT).expect("it is well") {
            Some(Event::Message(message)) => assert_eq!(message.sequence, sent),
            other => panic!("message {sent}, not {other:?}"),
        }
    }
}

#[test]
fn a_file_at_fault_starts_no_broker_and_changes_nothing_when_it_is_read_again() {
    let _watchdog =
        watchdog::watch("a_file_at_fault_starts_no_broker_and_changes_nothing_when_it_is_read_again");
    let team = Team::gather();
    let good = fs::read_to_string(team.users()).expect("it is there");
    let broker = team.broker();
    let mut stream = Stream::open(&team, &broker);
    // Between two users it would be a file of fewer.
    let half = &good[..good.len() * 3 / 4];
    let (twice, no_filter) = (good.repeat(2), good.replace("\"t\"", "\"t..u\""));
    let cases = [
        ("empty", "", 0o600, "users.toml:1: "),
        ("blank", " \n\n", 0o600, "users.toml:1: "),
        ("half-written", half, 0o600, "users.toml:"),
        ("its last line has no end", good.trim_end(), 0o600, "users.toml:"),
        ("duplicated", twice.as_str(), 0o600, "of this name"),
        ("a filter that is none", no_filter.as_str(), 0o600, "not a filter"),
        ("world-readable", good.as_str(), 0o644, "chmod 0600"),
        ("others may write it", good.as_str(), 0o602, "chmod 0600"),
    ];
    for (number, (name, text, mode, part)) in cases.into_iter().enumerate() {
        team.write("users.toml", text.as_bytes(), mode);
        let users = team.users().display().to_string();
        let said = said(&run(&["broker", "--listen", "tcp://127.0.0.1:0", "--users", &users]), 2);
        assert!(said.starts_with("error: --users: ") && said.contains(part), "{name}: {said}");
        broker.signal(Signal::SIGHUP);
        let failed = number as u64 + 1;
        broker.until(|page| page.sum("corecast_reloads_failed_total") == failed);
        stream.flows();
        let stranger =
            Publisher::with_config(broker.client()).map(drop).expect_err("it is as closed as before");
        assert_eq!(stranger.kind(), ErrorKind::Refused(ErrorCode::Unauthenticated), "{name}");
    }
    assert_eq!(broker.page().sum("corecast_reloads_total"), 0);
    fs::remove_file(team.users()).expect("it is there");
    broker.signal(Signal::SIGHUP);
    broker.until(|page| page.sum("corecast_reloads_failed_total") == 1 + 8);
    team.write("users.toml", good.as_bytes(), 0o600);
    broker.signal(Signal::SIGHUP);
    broker.until(|page| page.sum("corecast_reloads_total") == 1);
    stream.flows();
}

#[test]
fn a_reload_without_a_free_descriptor_changes_nothing() {
    let _watchdog = watchdog::watch("a_reload_without_a_free_descriptor_changes_nothing");
    let team = Team::gather();
    let good = fs::read_to_string(team.users()).expect("it is there");
    let broker = team.broker();
    let mut stream = Stream::open(&team, &broker);
    let removed = corecast().args(["user", "remove", "feeds", "--users"]).arg(team.users()).output();
    assert!(removed.expect("the command can be started").status.success());
    let limit_files = |files: &str| {
        let pid = broker.pid().to_string();
        let status = Command::new("prlimit").args(["--pid", &pid, &format!("--nofile={files}")]).status();
        assert!(status.expect("util-linux is there").success());
    };
    // What is open stays open, and nothing more can be.
    limit_files("4:");
    broker.signal(Signal::SIGHUP);
    // There is no descriptor for a look at the counters either.
    while !broker.log().contains("Too many open files") {
        stream.flows();
    }
    limit_files("1024:");
    let page = broker.until(|page| page.sum("corecast_reloads_failed_total") == 1);
    assert_eq!(page.sum("corecast_reloads_total"), 0);
    stream.flows();
    team.write("users.toml", good.as_bytes(), 0o600);
    broker.signal(Signal::SIGHUP);
    broker.until(|page| page.sum("corecast_reloads_total") == 1);
    stream.flows();
}

/// The answer to a login with these bytes, and a hello.
fn answer_to(broker: &BrokerProcess, token: &[u8]) -> Said {
    let mut client = RawClient::connect(broker.address());
    client.send_bytes(&greeting::offering(Features::NONE));
    client.take_greeting();
    client.send(&Frame::Login { token });
    // It may have hung up by now.
    let hello = Frame::Hello { name: "", overflow: 0, previous: 0, ticket: 0 };
    let _ = client.try_send_bytes(&corecast::internals::wire::encode_to_vec(&hello));
    client.next()
}

#[test]
fn a_token_that_is_cut_or_padded_lets_nobody_in_and_that_of_another_is_the_others() {
    let _watchdog =
        watchdog::watch("a_token_that_is_cut_or_padded_lets_nobody_in_and_that_of_another_is_the_others");
    let team = Team::gather();
    let broker = team.broker();
    let token = team.token("feeds").into_bytes();
    assert!(matches!(answer_to(&broker, &token), Said::Welcome { .. }));
    let with = |before: &[u8], after: &[u8]| [before, &token, after].concat();
    let padded = [with(b" ", b""), with(b"", b" "), with(b"", b"\n"), with(b"", b"\0"), with(b"", &token)];
    let cut = (0..token.len()).map(|length| token[..length].to_vec());
    let cut = cut.chain([token[1..].to_vec()]);
    let mut changed = token.clone();
    *changed.last_mut().expect("it is long") ^= 1;
    let cases: Vec<_> = cut.chain(padded).chain([token.to_ascii_uppercase(), changed]).collect();
    for wrong in &cases {
        match answer_to(&broker, wrong) {
            Said::Error(ErrorCode::Unauthenticated, text) => {
                assert!(!text.contains(&*String::from_utf8_lossy(&token)), "{text}");
            }
            other => panic!("{other:?} to {}", wrong.escape_ascii()),
        }
    }
    broker.until(|page| page.sum("corecast_logins_failed_total") == cases.len() as u64);
    // It is the right of whoever the token belongs to.
    let mut other = Publisher::with_config(team.client(&broker, "desk")).expect("a user");
    other.publish("t", b"x").expect("it is on its way");
    let error = other.flush(LIMIT).expect_err("it may not");
    assert_eq!(error.kind(), ErrorKind::Refused(ErrorCode::NotPermitted), "{error}");
}
