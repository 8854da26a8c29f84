//! The addresses of a broker: every address of a name, socket files with modes and long paths, names without a file.
//! And a name server that does not answer, which holds up only those who ask for that name.

#![expect(clippy::panic, reason = "in a test every failure is a panic")]

mod broker_process;
mod watchdog;

use std::io::Write as _;
use std::net::{TcpStream, UdpSocket};
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use broker_process::{BrokerProcess, Transport, corecast};
use corecast::{ClientConfig, Endpoint, ErrorKind, Event, Filter, Publisher, Sessions, Subscriber, Topic};
use corecast_executors::spawn_plain;
use nix::unistd::geteuid;
use watchdog::LIMIT;

/// Time for which the name server stays mute: the look-up is not given up earlier, and nothing else may wait for it.
const MUTE_FOR: Duration = Duration::from_secs(20);

/// A user without any rights of others.
const NOBODY: u32 = 65_534;

/// Tests that only root can run say so elsewhere.
fn is_root() -> bool {
    let is_root = geteuid().is_root();
    if !is_root {
        let _ = writeln!(std::io::stderr(), "skipped: only root can do this");
    }
    is_root
}

/// A subscriber and a publisher that have met.
struct Pair {
    subscriber: Subscriber,
    publisher: Publisher,
    topic: Topic,
}

impl Pair {
    fn meet(broker: &str) -> Self {
        let mut config = ClientConfig::new(broker.parse().expect("an endpoint"));
        config.sessions = Sessions::PerSubscriber;
        let filters = [Filter::parse("meet").expect("a filter")];
        let subscriber = Subscriber::with_config(config.clone(), &filters).expect("a subscriber");
        let publisher = Publisher::with_config(config).expect("a publisher");
        Pair { subscriber, publisher, topic: Topic::new("meet").expect("a topic") }
    }

    fn exchange(&mut self) -> Duration {
        let start = Instant::now();
        self.publisher.publish(&self.topic, b"well").expect("the broker takes it");
        let event = self.subscriber.recv_timeout(LIMIT).expect("the session stands");
        assert!(matches!(event, Some(Event::Message(_))), "{event:?}");
        start.elapsed()
    }
}

#[test]
fn names_of_the_abstract_namespace_are_met_at() {
    let _watchdog = watchdog::watch("names_of_the_abstract_namespace_are_met_at");
    let name = format!("ipc://@corecast-test-{}", std::process::id());
    let _broker = BrokerProcess::start(Transport::Tcp, &["--listen", &name]);
    Pair::meet(&name).exchange();
}

#[test]
fn a_path_that_is_long_enough_for_the_broker_is_for_direct_topics() {
    let _watchdog = watchdog::watch("a_path_that_is_long_enough_for_the_broker_is_for_direct_topics");
    let dir = tempfile::tempdir().expect("a directory");
    // The longest that a socket address holds, and one that it does not.
    for length in [107, 200] {
        let path = path_of_length(dir.path(), length);
        let endpoint = format!("uds://{}", path.display());
        let _broker = BrokerProcess::start(Transport::Tcp, &["--listen", &endpoint, "--mode", "direct"]);
        let mut pair = Pair::meet(&endpoint);
        pair.exchange();
        let files = std::fs::read_dir(path.parent().expect("a folder")).expect("it can be read").count();
        assert_eq!(files, 2, "the broker's and the publisher's");
    }
}

fn path_of_length(dir: &Path, length: usize) -> PathBuf {
    let folder = dir.join(length.to_string());
    std::fs::create_dir(&folder).expect("a folder");
    let name = length - folder.as_os_str().len() - 1;
    // As much of it as a socket address holds behind the number of a descriptor.
    if name <= 80 {
        return folder.join("n".repeat(name));
    }
    let inner = folder.join("f".repeat(name - 20));
    std::fs::create_dir(&inner).expect("a folder");
    inner.join("n".repeat(19))
}

#[test]
fn socket_files_are_for_those_that_the_mode_says() {
    let _watchdog = watchdog::watch("socket_files_are_for_those_that_the_mode_says");
    if !is_root() {
        return;
    }
    let dir = tempfile::tempdir().expect("a directory");
    std::fs::set_permissions(dir.path(), std::fs::Permissions::from_mode(0o755)).expect("it is ours");
    let socket = dir.path().join("closed.sock");
    let closed = format!("uds://{}", socket.display());
    let _broker = BrokerProcess::start(Transport::Tcp, &["--listen", &closed, "--socket-mode", "0600"]);
    let mode = std::fs::metadata(&socket).expect("it is there").permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    let output = publish_as_nobody(&closed);
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(said.contains("this user may not connect to uds://"), "{said}");
    assert!(said.contains("--socket-mode") && !said.contains("start one"), "{said}");

    let open = format!("uds://{}", dir.path().join("open.sock").display());
    let group = NOBODY.to_string();
    let _broker = BrokerProcess::start(Transport::Tcp, &["--listen", &open, "--socket-group", &group]);
    let output = publish_as_nobody(&open);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

fn publish_as_nobody(broker: &str) -> Output {
    let mut command = corecast();
    command.args(["pub", "a", "hi", "--broker", broker]).uid(NOBODY).gid(NOBODY);
    command.output().expect("nobody may run it, too")
}

/// The name of the test below, which runs its second half in a network of its own.
const MUTE: &str = "a_name_is_met_at_all_its_addresses_and_a_mute_name_server_holds_up_nobody_else";
const INSIDE: &str = "CORECAST_TEST_OWN_NETWORK";

#[test]
fn a_name_is_met_at_all_its_addresses_and_a_mute_name_server_holds_up_nobody_else() {
    let _watchdog = watchdog::watch(MUTE);
    if std::env::var_os(INSIDE).is_some() {
        all_addresses_of_a_name_are_listened_on();
        return a_mute_name_server_holds_up_nobody_else();
    }
    if !is_root() {
        return;
    }
    let dir = tempfile::tempdir().expect("a directory");
    let file = |name: &str, text: &str| {
        let path = dir.path().join(name);
        std::fs::write(&path, text).expect("room for a file");
        path
    };
    let resolver = file("resolv.conf", "nameserver 127.0.0.1\noptions timeout:10 attempts:2\n");
    let hosts = file("hosts", "127.0.0.1 localhost both\n::1 localhost both\n");
    let script = "ip link set lo up; mount --bind \"$1\" /etc/resolv.conf; mount --bind \"$2\" /etc/hosts; \
                  shift 2; exec \"$@\"";
    let output = Command::new("unshare")
        .args(["--net", "--mount", "sh", "-ec", script, "sh"])
        .args([&resolver, &hosts, &std::env::current_exe().expect("Linux says what runs")])
        .args([MUTE, "--exact", "--nocapture"])
        .env(INSIDE, "1")
        .output()
        .expect("unshare is there");
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}\n{}", String::from_utf8_lossy(&output.stdout));
}

fn all_addresses_of_a_name_are_listened_on() {
    let broker = BrokerProcess::start(
        Transport::Uds,
        &["--listen", "both:7001", "--zmtp", "tcp://*:7002", "--insecure"],
    );
    for (host, port) in [("127.0.0.1", 7001), ("::1", 7001), ("127.0.0.1", 7002), ("::1", 7002)] {
        TcpStream::connect((host, port)).unwrap_or_else(|e| panic!("{host} {port}: {e}"));
    }
    Pair::meet("tcp://[::1]:7001").exchange();
    Pair::meet("both:7001").exchange();
    drop(broker);
}

fn a_mute_name_server_holds_up_nobody_else() {
    let _mute = UdpSocket::bind("127.0.0.1:53").expect("a port of a network of its own");
    let broker = BrokerProcess::start(Transport::Tcp, &["--mode-rule", "direct.>=direct"]);
    let mut pair = Pair::meet(broker.endpoint());
    let stop = Arc::new(AtomicBool::new(false));
    let stopped = Arc::clone(&stop);
    let exchanges = spawn_plain("exchanges", move || {
        let mut longest = Duration::ZERO;
        while !stopped.load(Ordering::Relaxed) {
            longest = longest.max(pair.exchange());
        }
        longest
    });
    let within = |what: &str, act: &mut dyn FnMut()| {
        let start = Instant::now();
        act();
        // It is over in a second or five, not when the name server is given up.
        assert!(start.elapsed() < MUTE_FOR / 2, "{what} took {:?}", start.elapsed());
    };
    within("connecting", &mut || {
        let mut config = ClientConfig::new("tcp://nobody.example:6680".parse::<Endpoint>().expect("one"));
        config.connect_timeout = Duration::from_secs(1);
        let error = Publisher::with_config(config).expect_err("there is no such host");
        assert_eq!(error.kind(), ErrorKind::Unreachable, "{error}");
        assert!(error.to_string().contains("no name server has answered in time"), "{error}");
    });
    within("sub", &mut || {
        let mut sub = corecast();
        sub.args(["sub", "a", "--broker", "nobody.example:6680", "--timeout", "1"]);
        assert!(!sub.output().expect("it runs").status.success());
    });
    within("a broker", &mut || {
        let output = corecast().args(["broker", "--listen", "nobody.example:0"]).output().expect("it runs");
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(said.contains("the host of tcp://nobody.example:0 is not known"), "{said}");
    });
    within("a direct publisher", &mut || {
        let mut direct = corecast();
        direct.args(["pub", "direct.a", "hi", "--pub-listen", "nobody.example:0", "--timeout", "1"]);
        let output = direct.args(["--broker", broker.endpoint()]).output().expect("it runs");
        assert!(!output.status.success());
    });
    stop.store(true, Ordering::Relaxed);
    let longest = exchanges.expect("a thread").join().expect("no panic");
    assert!(longest < MUTE_FOR / 2, "a message took {longest:?}");
}
