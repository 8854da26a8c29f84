//! A broker under a service manager: it says how it fares, and serves on sockets that it is started with. The files that packages
//! have for it: the configuration, and the profile for containers.

#![expect(clippy::panic, reason = "in a test every failure is a panic")]

mod broker_process;
mod watchdog;

use std::net::TcpListener;
use std::os::fd::AsRawFd as _;
use std::os::unix::net::{UnixDatagram, UnixListener};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use broker_process::{BrokerProcess, Transport, corecast};
use corecast::{ClientConfig, Event, Filter, Publisher, Subscriber, Topic};
use corecast_executors::spawn_plain;
use nix::fcntl::{FcntlArg, FdFlag, fcntl};
use nix::sys::signal::Signal;

/// Longest wait for a word of the broker, on a machine that is busy with something else.
const PATIENCE: Duration = Duration::from_secs(30);

/// Time between two meals of the watchdog, as these tests want it.
const WATCHDOG: Duration = Duration::from_millis(400);

/// The end of the service manager.
struct ServiceManager {
    socket: UnixDatagram,
    /// Starts a program that knows of it.
    runner: String,
    _dir: tempfile::TempDir,
}

impl ServiceManager {
    fn new() -> Self {
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join("notify");
        let socket = UnixDatagram::bind(&path).expect("a socket");
        socket.set_read_timeout(Some(PATIENCE)).expect("a socket takes a time");
        let runner = format!(
            "NOTIFY_SOCKET={} WATCHDOG_USEC={} exec \"$0\" \"$@\"",
            path.display(),
            WATCHDOG.as_micros()
        );
        ServiceManager { socket, runner, _dir: dir }
    }

    fn start(&self, args: &[&str]) -> BrokerProcess {
        BrokerProcess::start_under(&["sh", "-c", &self.runner], Transport::Tcp, args)
    }

    /// The next word that it gets.
    fn heard(&self) -> Option<String> {
        let mut bytes = [0; 4096];
        let got = self.socket.recv(&mut bytes).ok()?;
        Some(String::from_utf8_lossy(&bytes[..got]).into_owned())
    }

    /// Waits for a word with this line.
    fn until(&self, line: &str) -> String {
        loop {
            let word = self.heard().unwrap_or_else(|| panic!("no word with {line}"));
            if word.lines().any(|said| said == line) {
                return word;
            }
        }
    }
}

#[test]
fn a_service_manager_hears_of_start_reload_and_stop() {
    let _watchdog = watchdog::watch("a_service_manager_hears_of_start_reload_and_stop");
    let dir = tempfile::tempdir().expect("a directory");
    let users = dir.path().join("users.toml");
    let mut add = corecast();
    add.args(["user", "add", "--users"]).arg(&users).args(["someone", "--subscribe", ">"]);
    assert!(add.output().expect("the command runs").status.success());
    let manager = ServiceManager::new();
    let mut broker = manager.start(&["--users", &users.display().to_string(), "--shards", "1"]);
    let word = manager.until("READY=1");
    assert!(word.contains("STATUS=ready tcp://127.0.0.1:"), "{word}");
    broker.signal(Signal::SIGHUP);
    let word = manager.until("RELOADING=1");
    assert!(word.lines().any(|line| line.starts_with("MONOTONIC_USEC=")), "{word}");
    manager.until("READY=1");
    broker.signal(Signal::SIGTERM);
    let word = manager.until("STOPPING=1");
    assert!(word.contains("EXTEND_TIMEOUT_USEC=15000000"), "{word}");
    assert_eq!(broker.wait().code(), Some(0));
}

#[test]
fn the_watchdog_is_fed_under_load_and_not_by_a_broker_that_hangs() {
    let _watchdog = watchdog::watch("the_watchdog_is_fed_under_load_and_not_by_a_broker_that_hangs");
    let manager = ServiceManager::new();
    let broker = manager.start(&["--shards", "2"]);
    let _subscriber = Subscriber::with_config(broker.client(), &[Filter::parse(">").expect("a filter")]);
    let mut publisher = Publisher::with_config(broker.client()).expect("a publisher");
    let topic = Topic::new("flood").expect("a topic");
    for _ in 0..3 {
        for _ in 0..20_000 {
            publisher.publish(&topic, &[0; 64]).expect("it is taken");
        }
        manager.until("WATCHDOG=1");
    }
    broker.freeze();
    manager.socket.set_read_timeout(Some(3 * WATCHDOG)).expect("a socket takes a time");
    while manager.heard().is_some() {}
    manager.socket.set_read_timeout(Some(PATIENCE)).expect("a socket takes a time");
    broker.signal(Signal::SIGCONT);
    manager.until("WATCHDOG=1");
}

/// A command of bash, since other shells take descriptors of one digit alone, that starts another with this socket as its
/// third descriptor, in the way of systemd.
fn passing_on(socket: &impl std::os::fd::AsFd) -> String {
    let socket = socket.as_fd();
    fcntl(socket, FcntlArg::F_SETFD(FdFlag::empty())).expect("it is open");
    let fd = socket.as_raw_fd();
    format!("LISTEN_PID=$$ LISTEN_FDS=1 exec \"$0\" \"$@\" 3<&{fd}")
}

fn publish_one(to: &str) {
    let config = ClientConfig::new(to.parse().expect("an endpoint"));
    let mut publisher = Publisher::with_config(config).expect("the broker takes it, now or later");
    publisher.publish(Topic::new("t").expect("a topic"), b"here").expect("it is taken");
    publisher.close().expect("all was taken");
}

fn is_served_at(endpoint: &str) {
    let config = ClientConfig::new(endpoint.parse().expect("an endpoint"));
    let mut subscriber =
        Subscriber::with_config(config, &[Filter::parse("t").expect("a filter")]).expect("a subscriber");
    publish_one(endpoint);
    match subscriber.recv_timeout(PATIENCE).expect("the session stands") {
        Some(Event::Message(message)) => assert_eq!(&message.payload[..], b"here"),
        other => panic!("{other:?}"),
    }
}

#[test]
fn connections_wait_at_an_inherited_socket_while_the_broker_restarts() {
    let _watchdog = watchdog::watch("connections_wait_at_an_inherited_socket_while_the_broker_restarts");
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let endpoint = format!("tcp://{}", listener.local_addr().expect("it has one"));
    let runner = passing_on(&listener);
    let runner = ["bash", "-c", &runner];
    let args = ["--listen", &endpoint, "--shards", "1"];
    let mut first = BrokerProcess::start_under(&runner, Transport::Tcp, &args);
    is_served_at(&endpoint);
    assert_eq!(first.stop().code(), Some(0));
    // Nobody serves now, and yet the connection is made.
    let waiting = std::net::TcpStream::connect(&endpoint["tcp://".len()..]).expect("the socket listens");
    let to = endpoint.clone();
    let late = spawn_plain("late", move || publish_one(&to)).expect("a thread");
    let _second = BrokerProcess::start_under(&runner, Transport::Tcp, &args);
    late.join().expect("it was served");
    is_served_at(&endpoint);
    drop(waiting);
}

#[test]
fn a_socket_file_that_was_inherited_stays_when_the_broker_ends() {
    let _watchdog = watchdog::watch("a_socket_file_that_was_inherited_stays_when_the_broker_ends");
    let dir = tempfile::tempdir().expect("a directory");
    let path = dir.path().join("s");
    let listener = UnixListener::bind(&path).expect("a socket");
    let endpoint = format!("uds://{}", path.display());
    let runner = passing_on(&listener);
    let args = ["--listen", &endpoint, "--shards", "1"];
    let mut broker = BrokerProcess::start_under(&["bash", "-c", &runner], Transport::Tcp, &args);
    is_served_at(&endpoint);
    assert_eq!(broker.stop().code(), Some(0));
    assert!(path.exists(), "it is not the broker's");
}

#[test]
fn inherited_sockets_that_no_option_names_or_that_do_not_listen_are_errors() {
    let _watchdog =
        watchdog::watch("inherited_sockets_that_no_option_names_or_that_do_not_listen_are_errors");
    let said = |runner: &str| {
        let mut broker = Command::new("bash");
        broker.args(["-c", runner]).arg(corecast().get_program());
        broker.args(["broker", "--listen", "tcp://127.0.0.1:0", "--shards", "1"]);
        let output = broker.output().expect("the command runs");
        (output.status.code(), String::from_utf8_lossy(&output.stderr).into_owned())
    };
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let (code, text) = said(&passing_on(&listener));
    let address = listener.local_addr().expect("it has one").to_string();
    assert_eq!(code, Some(2), "{text}");
    assert!(text.contains(&address) && text.contains("add --listen"), "{text}");
    let file = std::fs::File::open(Path::new("/dev/null")).expect("there is one");
    let (code, text) = said(&passing_on(&file));
    assert_eq!(code, Some(2), "{text}");
    assert!(text.contains("no listening stream socket"), "{text}");
    assert!(text.contains("number 1 of the 1 in LISTEN_FDS"), "{text}");
    // Nothing is guessed: a broker without the sockets that are meant would leave clients waiting.
    for (variables, part) in [
        ("LISTEN_PID=$$ LISTEN_FDS=one", "LISTEN_FDS is `one`"),
        ("LISTEN_PID=$$ LISTEN_FDS=9999999999", "LISTEN_FDS is `9999999999`"),
        ("LISTEN_PID=me LISTEN_FDS=1", "LISTEN_PID is `me`"),
        ("LISTEN_PID=$$ LISTEN_FDS=1 LISTEN_FDS_FIRST_FD=0", "LISTEN_FDS_FIRST_FD is `0`"),
    ] {
        let (code, text) = said(&format!("{variables} exec \"$0\" \"$@\""));
        assert_eq!(code, Some(2), "{variables}: {text}");
        assert!(text.starts_with("error: ") && text.contains(part), "{variables}: {text}");
    }
}

#[test]
fn sockets_for_another_process_are_left_alone_and_the_log_says_so() {
    let _watchdog = watchdog::watch("sockets_for_another_process_are_left_alone_and_the_log_says_so");
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let runner = passing_on(&listener).replace("LISTEN_PID=$$", "LISTEN_PID=1");
    let endpoint = format!("tcp://{}", listener.local_addr().expect("it has one"));
    let args = ["--listen", "tcp://127.0.0.1:0", "--shards", "1"];
    let broker = BrokerProcess::start_under(&["bash", "-c", &runner], Transport::Tcp, &args);
    let warning = "LISTEN_FDS is for the process 1, by LISTEN_PID, and this one is ";
    assert!(broker.log().contains(warning), "{}", broker.log());
    assert_ne!(broker.endpoint(), endpoint);
    is_served_at(broker.endpoint());
}

/// Loads the profile for containers, then executes another command, to which it then applies.
const UNDER_PROFILE: [&str; 2] =
    ["python3", concat!(env!("CARGO_MANIFEST_DIR"), "/scripts/package/seccomp-test.py")];

fn under_profile(program: impl AsRef<std::ffi::OsStr>) -> Command {
    let mut command = Command::new(UNDER_PROFILE[0]);
    command.arg(UNDER_PROFILE[1]).arg(program).env("XDG_CONFIG_HOME", "/nonexistent");
    command
}

#[test]
fn broker_and_clients_do_with_the_profile_for_containers() {
    let _watchdog = watchdog::watch("broker_and_clients_do_with_the_profile_for_containers");
    let dir = tempfile::tempdir().expect("a directory");
    let uds = format!("uds://{}", dir.path().join("s").display());
    let mut broker = BrokerProcess::start_under(&UNDER_PROFILE, Transport::Tcp, &["--listen", &uds]);
    for endpoint in [broker.endpoint(), &uds] {
        let command = |args: &[&str]| {
            let mut command = under_profile(corecast().get_program());
            command.args(args).args(["--broker", endpoint]).stdout(Stdio::piped()).stderr(Stdio::piped());
            command.spawn().expect("the command can be started")
        };
        let subscriber = command(&["sub", "t", "--count", "1"]);
        let publisher = command(&["pub", "t", "here", "--wait-subscribers", "1"]);
        let sent = publisher.wait_with_output().expect("it ends");
        assert!(sent.status.success(), "{}", String::from_utf8_lossy(&sent.stderr));
        let got = subscriber.wait_with_output().expect("it ends");
        assert_eq!(got.stdout, b"here\n", "{}", String::from_utf8_lossy(&got.stderr));
    }
    assert_eq!(broker.stop().code(), Some(0));
}

#[test]
fn the_profile_for_containers_denies_what_it_does_not_name() {
    let _watchdog = watchdog::watch("the_profile_for_containers_denies_what_it_does_not_name");
    let asks = ["-c", "import os; os.sched_rr_get_interval(0)"];
    assert!(Command::new("python3").args(asks).status().expect("it can be started").success());
    let denied = under_profile("python3").args(asks).output().expect("it can be started");
    let text = String::from_utf8_lossy(&denied.stderr);
    assert!(!denied.status.success() && text.contains("Operation not permitted"), "{text}");
}

#[test]
fn the_configuration_of_packages_has_no_fault() {
    let _watchdog = watchdog::watch("the_configuration_of_packages_has_no_fault");
    let packed = Path::new(env!("CARGO_MANIFEST_DIR")).join("scripts/package/broker.toml");
    let text = std::fs::read_to_string(packed).expect("it is there");
    // Its group is there once the package is installed.
    let group = nix::unistd::Group::from_gid(nix::unistd::getegid()).expect("groups can be read");
    let group = format!("socket-group = \"{}\"", group.expect("ours has a name").name);
    assert!(text.contains("socket-group = \"corecast\""), "{text}");
    let dir = tempfile::tempdir().expect("a directory");
    let file = dir.path().join("broker.toml");
    std::fs::write(&file, text.replace("socket-group = \"corecast\"", &group)).expect("it can be written");
    let checked = corecast().args(["config", "check"]).arg(&file).output().expect("the command runs");
    assert!(checked.status.success(), "{}", String::from_utf8_lossy(&checked.stderr));
    // Without a token, orders are taken at a Unix socket alone: this is where reload, kick and drain reach it.
    let shown =
        corecast().args(["config", "show", "--config"]).arg(&file).output().expect("the command runs");
    let shown = String::from_utf8_lossy(&shown.stdout).into_owned();
    let metrics = shown.lines().find(|line| line.starts_with("metrics = ")).expect("it is shown");
    assert!(metrics.contains("\"uds:///run/corecast/http.sock\""), "{metrics}");
}
