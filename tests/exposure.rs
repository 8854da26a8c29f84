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
use certificates::{Authority, argument};
use running::Running;

const SEED: u64 = 16;

/// Configurations, each of which is a process: some 15 s of one core in the dev profile.
const CONFIGURATIONS: usize = 150;

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

/// Options that open listeners, as many as are asked for.
const OPTIONS: [&str; 5] = ["--listen", "--listen", "--zmtp", "--zmtp-xsub", "--zmtp-xpub"];

/// The option that opens the one of HTTP.
const METRICS: &str = "--metrics";

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
            (METRICS, 1..5) => (format!("https://{host}:0"), is_remote),
            (METRICS, _) => (format!("{host}:0"), is_remote),
            (_, 1) => (format!("uds://@{file}"), false),
            ("--listen", 2..5) => (format!("tls://{host}:0"), is_remote),
            _ => (format!("tcp://{host}:0"), is_remote),
        };
        Listener { option, url, is_remote }
    }

    fn has_certificate(&self) -> bool {
        self.url.starts_with("tls:") || self.url.starts_with("https:")
    }
}

/// A configuration of the command.
struct Configuration {
    listeners: Vec<Listener>,
    has_users: bool,
    /// The key of CURVE, without which ZeroMQ sockets come unencrypted.
    has_curve_key: bool,
    /// Readers of the pages have to show a token.
    has_http_token: bool,
    is_insecure: bool,
    /// The word stands in the environment.
    is_in_environment: bool,
}

impl Configuration {
    fn draw(rng: &mut fastrand::Rng, authority: &Authority) -> Configuration {
        let mut listeners = vec![Listener::draw(rng, authority, "--listen")];
        for _ in 0..rng.usize(..3) {
            let option = OPTIONS[rng.usize(..OPTIONS.len())];
            listeners.push(Listener::draw(rng, authority, option));
        }
        let has_metrics = rng.bool();
        if has_metrics {
            listeners.push(Listener::draw(rng, authority, METRICS));
        }
        Configuration {
            listeners,
            has_users: rng.u8(..3) > 0,
            has_curve_key: rng.bool(),
            // Without pages it would be refused as of no use.
            has_http_token: has_metrics && rng.u8(..3) > 0,
            is_insecure: rng.u8(..3) == 0,
            is_in_environment: rng.bool(),
        }
    }

    /// The oracle: some listener lets everybody in, or lets others read what passes.
    fn is_open(&self) -> bool {
        self.listeners.iter().any(|listener| listener.is_remote && !self.is_closed(listener))
    }

    fn is_closed(&self, listener: &Listener) -> bool {
        match listener.option {
            METRICS => self.has_http_token && listener.has_certificate(),
            "--listen" => self.has_users && listener.has_certificate(),
            _ => self.has_users && self.has_curve_key,
        }
    }

    fn start(&self, authority: &Authority) -> Running {
        let mut command = corecast();
        // Without core dumps, the kernel shows the sockets of a process to root alone.
        command.args(["broker", "-o", "json", "--shards", "1", "--core-dumps"]);
        self.listeners.iter().for_each(|listener| _ = command.args([listener.option, &listener.url]));
        if self.listeners.iter().any(Listener::has_certificate) {
            let [cert, key] = authority.files("server");
            command.args(["--tls-cert", &cert, "--tls-key", &key]);
        }
        if self.has_users {
            command.arg("--users").arg(authority.path("users.toml"));
        }
        if self.has_curve_key {
            command.arg("--zmtp-curve-key").arg(authority.path("broker.key_secret"));
        }
        if self.has_http_token {
            command.arg("--http-token-file").arg(authority.path("http.token"));
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
        let Configuration { has_users, has_curve_key, has_http_token, is_insecure, .. } = self;
        format!(
            "{}, users: {has_users}, CURVE: {has_curve_key}, HTTP token: {has_http_token}, insecure: {is_insecure}",
            listeners.join(" ")
        )
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

/// The ports in a ready line at which others have to show who they are, and are encrypted.
fn closed_ports(ready: &serde_json::Value, configuration: &Configuration) -> BTreeSet<u16> {
    let of = |key: &str, scheme: &str, is_closed: bool| -> Vec<u16> {
        let listed = ready[key].as_array().cloned().unwrap_or_else(|| vec![ready[key].clone()]);
        let urls =
            listed.iter().filter_map(|url| url.as_str()).filter(|url| is_closed && url.starts_with(scheme));
        // A socket file has no port.
        urls.filter_map(|url| url.rsplit(':').next()?.parse().ok()).collect()
    };
    let Configuration { has_users, has_curve_key, has_http_token, .. } = *configuration;
    let ports = [
        of("endpoints", "tls://", has_users),
        of("zmtp", "", has_users && has_curve_key),
        of("metrics", "https://", has_http_token),
    ];
    ports.concat().into_iter().collect()
}

#[test]
fn no_listener_is_open_to_other_hosts_without_the_word_insecure() {
    let _watchdog = watchdog::watch("no_listener_is_open_to_other_hosts_without_the_word_insecure");
    let authority = Authority::new();
    authority.sign_server("server");
    let users = authority.path("users.toml");
    fs::write(&users, "[[user]]\nname = 'anonymous'\nsubscribe = ['>']\n").expect("written");
    fs::write(authority.path("http.token"), "sesame\n").expect("written");
    for file in [users, authority.path("http.token")] {
        fs::set_permissions(&file, fs::Permissions::from_mode(0o600)).expect("a mode");
    }
    assert!(running::run(&["curve-keygen", argument(&authority.path("broker"))]).status.success());
    let mut rng = fastrand::Rng::with_seed(SEED);
    let (mut refused, mut open, mut remote, mut remote_pages) = (0, 0, 0, 0);
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
            let closed = closed_ports(&ready, &configuration);
            let mut reached = sockets.iter().filter(|(ip, _)| !ip.is_loopback()).peekable();
            remote += usize::from(reached.peek().is_some());
            if !configuration.is_insecure {
                assert!(reached.all(|(_, port)| closed.contains(port)), "{text}: {sockets:?}");
                let has_pages = |listener: &Listener| listener.is_remote && listener.option == METRICS;
                remote_pages += usize::from(configuration.listeners.iter().any(has_pages));
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
        "of {CONFIGURATIONS} configurations {refused} were refused, {open} open but said to be insecure, {remote} remote, \
         {remote_pages} with pages for other hosts that show a token"
    );
    assert!(refused > 20 && open > 10 && remote > open, "{refused}, {open}, {remote}");
    assert!(remote_pages > 3, "{remote_pages}");
}
