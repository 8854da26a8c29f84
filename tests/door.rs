//! Connections whose peers nobody knows: how many there may be, what they may say, and what becomes of those who fail to log in.

#![expect(clippy::panic, reason = "in a test every failure is a panic")]

mod broker_process;
mod healthy_pair;
mod raw_client;
mod watchdog;

use std::fs;
use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::net::UnixStream;
use std::os::unix::process::ExitStatusExt as _;
use std::process::Command;

use broker_process::{BrokerProcess, Transport, corecast};
use corecast::internals::limits::LOGIN_FAILURES_HERE_MAX;
use corecast::internals::wire::Frame;
use corecast::{ErrorCode, Publisher, Token};
use healthy_pair::HealthyPair;
use nix::sys::signal::Signal;
use raw_client::RawClient;
use tempfile::TempDir;
use watchdog::LIMIT;

/// Bytes of noise for each listener.
const ZEROS: usize = 1 << 20;

/// Sends zeros until the broker has had enough, or all have gone, and waits for the end of the connection.
fn say_zeros(peer: &mut (impl Read + Write)) {
    let sent = peer.write_all(&vec![0; ZEROS]);
    let ends = |error: &std::io::Error| {
        let kinds = [ErrorKind::ConnectionReset, ErrorKind::BrokenPipe];
        assert!(kinds.contains(&error.kind()), "it neither takes them nor ends: {error}");
    };
    sent.as_ref().err().into_iter().for_each(ends);
    peer.read_to_end(&mut Vec::new()).as_ref().err().into_iter().for_each(ends);
}

#[test]
fn a_megabyte_of_zeros_at_every_kind_of_listener_hurts_nobody() {
    let _watchdog = watchdog::watch("a_megabyte_of_zeros_at_every_kind_of_listener_hurts_nobody");
    let folder = tempfile::tempdir().expect("a folder");
    let path = |name: &str| folder.path().join(name).display().to_string();
    let (native, zmtp) = (path("native"), path("zmtp"));
    let [uds, ipc] = [&native, &zmtp].map(|path| format!("uds://{path}"));
    let broker = BrokerProcess::start(
        Transport::Tls,
        &["--listen", "tcp://127.0.0.1:0", "--listen", &uds, "--zmtp", "tcp://127.0.0.1:0", "--zmtp", &ipc],
    );
    let pair = HealthyPair::start(&broker.client());
    let port = |endpoint: &str| endpoint.rsplit_once(':').expect("a port").1.parse::<u16>().expect("a port");
    let zmtp_tcp = broker.zmtp().iter().find(|url| url.starts_with("tcp:")).expect("one of TCP");
    let tcp = [
        ("tls", port(broker.endpoint())),
        ("tcp", port(&broker.endpoints()[1])),
        ("ZeroMQ", port(zmtp_tcp)),
        ("HTTP", broker.metrics().port()),
    ];
    for (name, port) in tcp {
        let mut peer = TcpStream::connect(("127.0.0.1", port)).unwrap_or_else(|e| panic!("{name}: {e}"));
        peer.set_read_timeout(Some(LIMIT)).expect("a timeout");
        say_zeros(&mut peer);
    }
    for path in [&native, &zmtp] {
        let mut peer = UnixStream::connect(path).expect("it is listened on");
        peer.set_read_timeout(Some(LIMIT)).expect("a timeout");
        say_zeros(&mut peer);
    }
    let closes = [("stream_handshake", 1), ("not_corecast", 2), ("not_zmtp", 2)];
    let page = broker.until(|page| closes.iter().all(|(reason, count)| page.closes(reason) >= *count));
    closes.iter().for_each(|(reason, count)| assert_eq!(page.closes(reason), *count, "{reason}"));
    // The pair is there, and nobody else.
    let page = broker.until(|page| page.sum("corecast_sessions") == 2);
    assert_eq!(page.sum("corecast_strangers"), 0);
    pair.assert_well();
}

/// A user with a token.
struct Closed {
    folder: TempDir,
    broker: BrokerProcess,
}

impl Closed {
    fn start(runner: &[&str], args: &[&str]) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let users = folder.path().join("users.toml").display().to_string();
        let added = corecast().args(["user", "add", "feeds", "--users", &users, "--publish", "t"]).output();
        let added = added.expect("the command can be started");
        assert!(added.status.success(), "{}", String::from_utf8_lossy(&added.stderr));
        let token = folder.path().join("token");
        fs::write(&token, &added.stdout).expect("a file");
        fs::set_permissions(&token, fs::Permissions::from_mode(0o600)).expect("it is ours");
        let args = [&["--shards", "1", "--users", &users][..], args].concat();
        Closed { broker: BrokerProcess::start_under(runner, Transport::Tcp, &args), folder }
    }

    /// Logs in with the right token, and publishes.
    fn log_in_and_publish(&self) {
        let token = Token::file(self.folder.path().join("token"));
        let mut publisher = Publisher::with_config(self.broker.client().token(token)).expect("a user");
        publisher.publish("t", b"x").expect("it may");
        publisher.flush(LIMIT).expect("it is taken");
    }
}

#[test]
fn a_host_with_many_failed_logins_is_read_late_and_a_right_token_still_gets_in() {
    let _watchdog =
        watchdog::watch("a_host_with_many_failed_logins_is_read_late_and_a_right_token_still_gets_in");
    let closed = Closed::start(&[], &[]);
    let broker = &closed.broker;
    let guess = || {
        let mut client = RawClient::connect(broker.address()).greet();
        client.send(&Frame::Login { token: b"a guess" });
        assert_eq!(client.refused().0, ErrorCode::Unauthenticated);
    };
    (0..LOGIN_FAILURES_HERE_MAX).for_each(|_| guess());
    let page = broker.until(|page| page.closes("unauthenticated") == u64::from(LOGIN_FAILURES_HERE_MAX));
    assert_eq!(page.sum("corecast_logins_failed_total"), u64::from(LOGIN_FAILURES_HERE_MAX));
    guess();
    closed.log_in_and_publish();
    let page = broker.until(|page| page.sum("corecast_logins_slowed_total") >= 2);
    assert_eq!(page.sum("corecast_logins_failed_total"), u64::from(LOGIN_FAILURES_HERE_MAX) + 1);
    let log = broker.log();
    assert!(
        log.contains("too many failed logins from this host") && log.contains("peer=127.0.0.1:"),
        "{log}"
    );
    assert!(!log.contains("a guess"), "{log}");
}

#[test]
fn a_broker_with_secrets_leaves_no_core_unless_it_is_to() {
    let _watchdog = watchdog::watch("a_broker_with_secrets_leaves_no_core_unless_it_is_to");
    // A core lands in the folder of its process, unless this host collects cores.
    let folder = tempfile::tempdir().expect("a folder");
    let here = format!("ulimit -c unlimited; cd '{}'; exec \"$0\" \"$@\"", folder.path().display());
    let leaves_a_core = |args: &[&str]| {
        let mut closed = Closed::start(&["sh", "-c", &here], args);
        closed.log_in_and_publish();
        closed.broker.signal(Signal::SIGABRT);
        let status = closed.broker.wait();
        assert_eq!(status.signal(), Some(Signal::SIGABRT as i32));
        status.core_dumped()
    };
    assert!(!leaves_a_core(&[]));
    assert_eq!(fs::read_dir(folder.path()).expect("a folder").count(), 0);
    // Where the host allows no cores this shows nothing.
    let _ = leaves_a_core(&["--core-dumps"]);
}

/// The name of the test below, which runs its second half in a network of its own.
const STRANGERS: &str = "strangers_of_one_host_are_turned_away_and_other_hosts_come";
const INSIDE: &str = "CORECAST_TEST_OWN_NETWORK";

#[test]
fn strangers_of_one_host_are_turned_away_and_other_hosts_come() {
    let _watchdog = watchdog::watch(STRANGERS);
    if std::env::var_os(INSIDE).is_some() {
        return crowd_and_guests();
    }
    if !nix::unistd::geteuid().is_root() {
        return;
    }
    // Addresses that are no loopback addresses, all of which are this host's.
    let script =
        "ip link set lo up; for n in 1 2 3; do ip address add 192.0.2.$n/32 dev lo; done; exec \"$@\"";
    let output = Command::new("unshare")
        .args(["--net", "sh", "-ec", script, "sh"])
        .arg(std::env::current_exe().expect("Linux says what runs"))
        .args([STRANGERS, "--exact", "--nocapture"])
        .env(INSIDE, "1")
        .output()
        .expect("unshare is there");
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}\n{}", String::from_utf8_lossy(&output.stdout));
}

/// With 512 files, one shard takes 128 strangers of other hosts, and 64 of one.
fn crowd_and_guests() {
    let few_files = ["sh", "-c", "ulimit -n 512; exec \"$0\" \"$@\""];
    let broker = BrokerProcess::start_under(
        &few_files,
        Transport::Tcp,
        &["--shards", "1", "--listen", "tcp://192.0.2.1:0", "--insecure"],
    );
    let pair = HealthyPair::start(&broker.client());
    let listens: SocketAddr =
        broker.endpoints()[1].strip_prefix("tcp://").expect("TCP").parse().expect("digits");
    let from = |number: u8| RawClient::connect_from(SocketAddr::from(([192, 0, 2, number], 0)), listens);
    // They are mute for 5 s, and then others take their places.
    let crowd = |number| (0..80).map(|_| from(number)).collect::<Vec<_>>();
    let turned_away = || broker.page().sum("corecast_turned_away_total");
    let mut crowds = Vec::new();
    broker.until(|page| {
        crowds = vec![crowd(1)];
        page.sum("corecast_turned_away_total") >= 10
    });
    let log = broker.log();
    assert!(log.contains("turned a connection away") && log.contains("peer=192.0.2.1:"), "{log}");
    for _ in 0..10 {
        let before = turned_away();
        crowds = vec![crowd(1), crowd(2)];
        // There is no room left, and a host that has none there comes all the same.
        from(3).open().send(&Frame::Ping { token: 1 });
        broker.until(|page| page.sum("corecast_turned_away_total") > before);
    }
    drop(crowds);
    pair.assert_well();
}
