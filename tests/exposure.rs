//! Closed by default, over random configurations of the command: which of them start, by an oracle of a few lines; and the sockets on
//! which those that start really listen, as the kernel tells.

#![expect(clippy::panic, reason = "in a test every failure is a panic")]

mod broker_process;
mod certificates;
mod running;
mod watchdog;

use std::collections::BTreeSet;
use std::fs;
use std::io::{BufRead as _, BufReader};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::os::unix::fs::PermissionsExt as _;
use std::process::Stdio;

use broker_process::corecast;
use certificates::Authority;
use running::Running;

const SEED: u64 = 16;

/// Configurations, each of which is a process: some 10 s of one core in the dev profile.
const CONFIGURATIONS: usize = 100;

/// Hosts to listen on, and whether others reach them.
const HOSTS: [(&str, bool); 8] = [
    ("127.0.0.1", false),
    ("127.0.0.7", false),
    ("localhost", false),
    ("[::1]", false),
    ("[::ffff:127.0.0.1]", false),
    ("0.0.0.0", true),
    ("[::]", true),
    ("*", true),
];

/// Options that open listeners.
const OPTIONS: [&str; 6] = ["--listen", "--listen", "--zmtp", "--zmtp-xsub", "--zmtp-xpub", "--metrics"];

/// A listener that is asked for.
struct Listener {
    option: &'static str,
    url: String,
    is_remote: bool,
}

impl Listener {
    fn draw(rng: &mut fastrand::Rng, authority: &Authority, option: &'static str) -> Listener {
        let (host, is_remote) = HOSTS[rng.usize(..HOSTS.len())];
        let file = authority.path(&format!("{}.sock", rng.u32(..))).display().to_string();
        let (url, is_remote) = match (option, rng.u8(..8)) {
            (_, 0) => (format!("uds://{file}"), false),
            ("--metrics", _) => (format!("{host}:0"), is_remote),
            (_, 1) => (format!("uds://@{file}"), false),
            ("--listen", 2..5) => (format!("tls://{host}:0"), is_remote),
            _ => (format!("tcp://{host}:0"), is_remote),
        };
        Listener { option, url, is_remote }
    }

    fn is_encrypted(&self) -> bool {
        self.url.starts_with("tls:")
    }
}

/// A configuration of the command.
struct Configuration {
    listeners: Vec<Listener>,
    has_users: bool,
    is_insecure: bool,
    /// The word stands in the environment.
    is_in_environment: bool,
}

impl Configuration {
    fn draw(rng: &mut fastrand::Rng, authority: &Authority) -> Configuration {
        let mut listeners = vec![Listener::draw(rng, authority, "--listen")];
        for _ in 0..rng.usize(..3) {
            let option = OPTIONS[rng.usize(..OPTIONS.len())];
            // Only one of these is possible.
            if option != "--metrics" || listeners.iter().all(|there| there.option != option) {
                listeners.push(Listener::draw(rng, authority, option));
            }
        }
        let is_insecure = rng.u8(..3) == 0;
        Configuration { listeners, has_users: rng.bool(), is_insecure, is_in_environment: rng.bool() }
    }

    /// The oracle: some listener lets everybody in, or lets others read what passes.
    fn is_open(&self) -> bool {
        self.listeners
            .iter()
            .any(|listener| listener.is_remote && !(self.has_users && listener.is_encrypted()))
    }

    fn start(&self, authority: &Authority) -> Running {
        let mut command = corecast();
        // Without core dumps, the kernel shows the sockets of a process to root alone.
        command.args(["broker", "-o", "json", "--shards", "1", "--core-dumps"]);
        self.listeners.iter().for_each(|listener| _ = command.args([listener.option, &listener.url]));
        if self.listeners.iter().any(Listener::is_encrypted) {
            let [cert, key] = authority.files("server");
            command.args(["--tls-cert", &cert, "--tls-key", &key]);
        }
        if self.has_users {
            command.arg("--users").arg(authority.path("users.toml"));
        }
        match (self.is_insecure, self.is_in_environment) {
            (true, true) => _ = command.env("CORECAST_BROKER_INSECURE", "true"),
            (true, false) => _ = command.arg("--insecure"),
            (false, _) => {}
        }
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        running::start(&mut command)
    }

    fn text(&self) -> String {
        let listeners = self.listeners.iter().map(|l| format!("{} {}", l.option, l.url)).collect::<Vec<_>>();
        let Configuration { has_users, is_insecure, .. } = self;
        format!("{}, users: {has_users}, insecure: {is_insecure}", listeners.join(" "))
    }
}

/// The TCP sockets on which a process listens, as the kernel tells.
fn listening_sockets(pid: u32) -> BTreeSet<(IpAddr, u16)> {
    let files = fs::read_dir(format!("/proc/{pid}/fd")).expect("it runs");
    let links = files.filter_map(|file| fs::read_link(file.ok()?.path()).ok());
    let own: BTreeSet<String> = links.map(|link| link.display().to_string()).collect();
    let mut sockets = BTreeSet::new();
    for table in ["tcp", "tcp6"] {
        let table = fs::read_to_string(format!("/proc/{pid}/net/{table}")).expect("it runs");
        for line in table.lines().skip(1) {
            // See proc_pid_net(5): the local address, the state (0A: listening) and the inode.
            let fields: Vec<&str> = line.split_whitespace().collect();
            let (local, state, inode) = (fields[1], fields[3], fields[9]);
            if state == "0A" && own.contains(&format!("socket:[{inode}]")) {
                let (ip, port) = local.split_once(':').expect("an address and a port");
                sockets.insert((ip_of(ip), u16::from_str_radix(port, 16).expect("a port")));
            }
        }
    }
    sockets
}

/// An address as words of the host's byte order.
fn ip_of(hex: &str) -> IpAddr {
    let word = |at| u32::from_str_radix(&hex[at..at + 8], 16).expect("a word").to_ne_bytes();
    match hex.len() {
        8 => Ipv4Addr::from(word(0)).into(),
        _ => {
            let words = [word(0), word(8), word(16), word(24)].concat();
            Ipv6Addr::from(<[u8; 16]>::try_from(words).expect("four words")).to_canonical()
        }
    }
}

/// The ports of the endpoints in a ready line that are encrypted.
fn encrypted_ports(ready: &serde_json::Value) -> BTreeSet<u16> {
    let endpoints = ready["endpoints"].as_array().expect("a list").iter().filter_map(|url| url.as_str());
    let encrypted = endpoints.filter(|url| url.starts_with("tls:"));
    encrypted.map(|url| url.rsplit(':').next().and_then(|port| port.parse().ok()).expect("a port")).collect()
}

#[test]
fn no_listener_is_open_to_other_hosts_without_the_word_insecure() {
    let _watchdog = watchdog::watch("no_listener_is_open_to_other_hosts_without_the_word_insecure");
    let authority = Authority::new();
    authority.sign_server("server");
    let users = authority.path("users.toml");
    fs::write(&users, "[[user]]\nname = 'anonymous'\nsubscribe = ['>']\n").expect("written");
    fs::set_permissions(&users, fs::Permissions::from_mode(0o600)).expect("a mode");
    let mut rng = fastrand::Rng::with_seed(SEED);
    let (mut refused, mut open, mut remote) = (0, 0, 0);
    for number in 0..CONFIGURATIONS {
        let configuration = Configuration::draw(&mut rng, &authority);
        let text = format!("seed {SEED}, {number}: {}", configuration.text());
        let mut child = configuration.start(&authority);
        let mut ready = String::new();
        BufReader::new(child.stdout()).read_line(&mut ready).expect("a line, or the end");
        let serves = !ready.is_empty();
        if serves {
            let ready = serde_json::from_str(&ready).expect("the ready line is JSON");
            let sockets = listening_sockets(child.0.id());
            let encrypted = encrypted_ports(&ready);
            let mut reached = sockets.iter().filter(|(ip, _)| !ip.is_loopback()).peekable();
            remote += usize::from(reached.peek().is_some());
            if !configuration.is_insecure {
                let is_closed = |port| configuration.has_users && encrypted.contains(port);
                assert!(reached.all(|(_, port)| is_closed(port)), "{text}: {sockets:?}");
            }
            child.0.kill().expect("it is ours");
        }
        let output = child.output();
        let said = String::from_utf8_lossy(&output.stderr);
        assert_eq!(serves, configuration.is_insecure || !configuration.is_open(), "{text}: {said}");
        if !serves {
            assert_eq!(output.status.code(), Some(2), "{text}: {said}");
            assert!(said.contains("other hosts reach") && said.contains("--insecure"), "{text}: {said}");
        }
        refused += usize::from(!serves);
        open += usize::from(serves && configuration.is_open());
    }
    println!(
        "of {CONFIGURATIONS} configurations {refused} were refused, {open} open but said to be insecure, {remote} remote"
    );
    assert!(refused > 20 && open > 10 && remote > open, "{refused}, {open}, {remote}");
}
