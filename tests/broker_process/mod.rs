//! A broker as users run it: the real command as a process, on a free port or a socket file of its own. Ended by its
//! own pid when it is dropped; tests read its counters.
#![allow(dead_code, reason = "not every test file asks for all of it")]

mod page;

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::Duration;

use corecast::{ClientConfig, Endpoint, TlsClientFiles};
use corecast_executors::pause;
use nix::sys::signal::{Signal, kill};
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::Pid;
use tempfile::TempDir;

pub(crate) use page::Page;

/// Between two looks at something that no signal tells of: counters, which are exported ten times a second.
const LOOK_PAUSE: Duration = Duration::from_millis(20);

/// The transport between clients and broker.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Transport {
    Tcp,
    Uds,
    Tls,
}

/// The token of operators, for brokers that are started with a file of it.
pub(crate) const OPERATOR_TOKEN: &str = "the-token-of-the-operators";

/// A running broker.
#[derive(Debug)]
pub(crate) struct BrokerProcess {
    child: Child,
    /// It was ended on purpose.
    ended: bool,
    line: Line,
    endpoint: String,
    endpoints: Vec<String>,
    zmtp: Vec<String>,
    metrics: SocketAddr,
    dir: TempDir,
}

/// The command under test, without what the environment and the files of this user would choose for it.
pub(crate) fn corecast() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_corecast"));
    command.env("XDG_CONFIG_HOME", "/nonexistent");
    for (name, _) in std::env::vars_os().filter(|(name, _)| name.to_string_lossy().starts_with("CORECAST_")) {
        command.env_remove(name);
    }
    command
}

/// Memory of a process that is really there, in bytes.
pub(crate) fn rss_bytes_of(pid: u32) -> u64 {
    status_bytes_of(pid, "VmRSS:")
}

fn status_bytes_of(pid: u32, key: &str) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).expect("it runs");
    let line = status.lines().find_map(|line| line.strip_prefix(key)).expect("Linux counts it");
    let kib: u64 = line.trim().trim_end_matches(" kB").parse().expect("a number");
    kib * 1024
}

/// Makes an authority and a certificate for this host, by the commands of users.
fn make_certificate(dir: &Path) {
    for args in [&["cert", "ca"][..], &["cert", "server", "127.0.0.1"]] {
        let output =
            corecast().args(args).arg("--dir").arg(dir).output().expect("the command can be started");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    }
}

impl BrokerProcess {
    /// Starts one with these options and returns when it serves.
    pub(crate) fn start(transport: Transport, args: &[&str]) -> Self {
        Self::start_under(&[], transport, args)
    }

    /// As [`BrokerProcess::start`], run by another command, such as a shell that sets limits.
    pub(crate) fn start_under(runner: &[&str], transport: Transport, args: &[&str]) -> Self {
        let dir = tempfile::tempdir().expect("a directory for the socket and the log");
        let endpoint = match transport {
            Transport::Tcp => "tcp://127.0.0.1:0".to_owned(),
            Transport::Uds => format!("uds://{}", dir.path().join("broker.sock").display()),
            Transport::Tls => "tls://127.0.0.1:0".to_owned(),
        };
        let owned = |parts: &[&str]| parts.iter().map(|part| (*part).to_owned()).collect();
        let mut line = Line { runner: owned(runner), args: owned(args), log: dir.path().join("log") };
        if transport == Transport::Tls {
            make_certificate(dir.path());
            let file = |name: &str| dir.path().join(name).display().to_string();
            line.args.extend([
                "--tls-cert".to_owned(),
                file("server.pem"),
                "--tls-key".to_owned(),
                file("server.key"),
            ]);
        }
        let (child, ready) = line.launch(&endpoint);
        BrokerProcess {
            child,
            ended: false,
            line,
            endpoint: ready.endpoints[0].clone(),
            endpoints: ready.endpoints,
            zmtp: ready.zmtp,
            metrics: ready.metrics,
            dir,
        }
    }

    /// Starts it again at the same addresses, after it has ended.
    pub(crate) fn start_again(&mut self) {
        assert!(self.ended, "the one before must have ended");
        self.line.keep_ports(&self.endpoints[1..]);
        let (child, ready) = self.line.launch(&self.endpoint);
        assert_eq!(ready.endpoints[0], self.endpoint);
        (self.child, self.metrics, self.ended) = (child, ready.metrics, false);
        (self.endpoints, self.zmtp) = (ready.endpoints, ready.zmtp);
    }

    /// As [`BrokerProcess::start_again`], with other options.
    pub(crate) fn start_again_with(&mut self, args: &[&str]) {
        self.line.args = args.iter().map(|arg| (*arg).to_owned()).collect();
        self.start_again();
    }

    /// Where it listens.
    pub(crate) fn endpoint(&self) -> &str {
        &self.endpoint
    }

    /// Every address at which it listens, in the order of its options.
    pub(crate) fn endpoints(&self) -> &[String] {
        &self.endpoints
    }

    /// Every address at which it listens for ZeroMQ sockets.
    pub(crate) fn zmtp(&self) -> &[String] {
        &self.zmtp
    }

    /// Where it listens, for a socket of the test's own.
    pub(crate) fn address(&self) -> SocketAddr {
        let address = self.endpoint.strip_prefix("tcp://").expect("a broker on TCP");
        address.parse().expect("an address in digits")
    }

    /// The base configuration of its clients.
    pub(crate) fn client(&self) -> ClientConfig {
        let client = ClientConfig::new(self.endpoint.parse::<Endpoint>().expect("the broker's own address"));
        if !self.endpoint.starts_with("tls:") {
            return client;
        }
        let trust =
            TlsClientFiles::default().ca(Some(self.dir.path().join("ca.pem"))).read().expect("it was made");
        let connect = client.connect.clone().tls(trust);
        client.connect(connect)
    }

    /// Where it serves metrics.
    pub(crate) fn metrics(&self) -> SocketAddr {
        self.metrics
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// All that it has logged.
    pub(crate) fn log(&self) -> String {
        self.line.log()
    }

    /// Memory that is really there, in bytes.
    pub(crate) fn rss_bytes(&self) -> u64 {
        rss_bytes_of(self.pid())
    }

    /// The most of it since it started, or since [`BrokerProcess::forget_rss_peak`].
    pub(crate) fn rss_peak_bytes(&self) -> u64 {
        status_bytes_of(self.pid(), "VmHWM:")
    }

    pub(crate) fn forget_rss_peak(&self) {
        // See proc_pid_clear_refs(5).
        std::fs::write(format!("/proc/{}/clear_refs", self.pid()), "5").expect("it is this user's");
    }

    /// Its counters, as Prometheus reads them.
    pub(crate) fn page(&self) -> Page {
        let (head, body) = self.get("/metrics");
        assert!(head.starts_with("HTTP/1.1 200 "), "{head}");
        Page::parse(&body)
    }

    /// Head and body of the answer to a request for a page.
    pub(crate) fn get(&self, path: &str) -> (String, String) {
        let mut peer = TcpStream::connect(self.metrics).expect("it serves metrics");
        let head = format!("Host: test\r\nAuthorization: Bearer {OPERATOR_TOKEN}");
        write!(peer, "GET {path} HTTP/1.1\r\n{head}\r\n\r\n").expect("room for a request");
        let mut answer = String::new();
        peer.read_to_string(&mut answer).expect("an answer, and its end");
        let (head, body) = answer.split_once("\r\n\r\n").expect("an HTTP answer");
        (head.to_owned(), body.to_owned())
    }

    /// Waits until its counters are so, and gives them.
    pub(crate) fn until(&self, mut is_so: impl FnMut(&Page) -> bool) -> Page {
        loop {
            let page = self.page();
            if is_so(&page) {
                return page;
            }
            pause(LOOK_PAUSE);
        }
    }

    pub(crate) fn signal(&self, signal: Signal) {
        kill(self.nix_pid(), signal).expect("it is there until it is waited for");
    }

    fn nix_pid(&self) -> Pid {
        Pid::from_raw(i32::try_from(self.pid()).expect("Linux has no longer pids"))
    }

    /// Stops it where it is, with every thread, and returns when it has.
    pub(crate) fn freeze(&self) {
        self.signal(Signal::SIGSTOP);
        let stopped = waitpid(self.nix_pid(), Some(WaitPidFlag::WUNTRACED));
        assert!(matches!(stopped, Ok(WaitStatus::Stopped(..))), "{stopped:?}");
    }

    /// Waits until it ends by itself.
    pub(crate) fn wait(&mut self) -> ExitStatus {
        self.ended = true;
        self.child.wait().expect("a child can be waited for")
    }

    /// Asks it to stop, and waits until it has.
    pub(crate) fn stop(&mut self) -> ExitStatus {
        self.signal(Signal::SIGTERM);
        self.wait()
    }

    /// Ends it at once, with kill -9.
    pub(crate) fn kill(&mut self) {
        self.ended = true;
        self.child.kill().expect("it is ours");
        self.child.wait().expect("a child can be waited for");
    }
}

impl Drop for BrokerProcess {
    fn drop(&mut self) {
        let by_itself = self.child.try_wait().ok().flatten().filter(|_| !self.ended);
        // Gone already is as good.
        let _ = self.child.kill();
        let _ = self.child.wait();
        if std::thread::panicking() {
            let _ = writeln!(std::io::stderr(), "the broker's log:\n{}", self.log());
        } else {
            assert_eq!(by_itself, None, "the broker ended by itself:\n{}", self.log());
        }
    }
}

/// The ready line of a broker.
struct Ready {
    endpoints: Vec<String>,
    zmtp: Vec<String>,
    metrics: SocketAddr,
}

/// The command line that starts a broker.
#[derive(Debug)]
struct Line {
    runner: Vec<String>,
    args: Vec<String>,
    log: PathBuf,
}

impl Line {
    /// Starts the process and waits for the line that says that it serves.
    fn launch(&self, endpoint: &str) -> (Child, Ready) {
        let log = std::fs::OpenOptions::new().create(true).append(true).open(&self.log).expect("a log file");
        let mut words = self.runner.iter().map(String::as_str).chain([env!("CARGO_BIN_EXE_corecast")]);
        let mut command = Command::new(words.next().expect("at least the broker's own name"));
        command.args(words).args(["broker", "-o", "json", "--metrics", "127.0.0.1:0", "--listen", endpoint]);
        for (name, value) in corecast().get_envs() {
            match value {
                Some(value) => command.env(name, value),
                None => command.env_remove(name),
            };
        }
        command.args(&self.args).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(log);
        let mut child = command.spawn().expect("the command can be started");
        let mut ready = String::new();
        let stdout = child.stdout.take().expect("it is piped");
        let read = BufReader::new(stdout).read_line(&mut ready);
        if !read.is_ok_and(|bytes| bytes > 0) {
            let status = child.wait().expect("a child can be waited for");
            panic!("the broker did not start: {status}\n{}", self.log());
        }
        let ready: serde_json::Value = serde_json::from_str(&ready).expect("the ready line is JSON");
        let listed = |key: &str| -> Vec<String> {
            let endpoints = ready[key].as_array().expect("it says where it listens").iter();
            endpoints.map(|endpoint| endpoint.as_str().expect("text").to_owned()).collect()
        };
        let (endpoints, zmtp) = (listed("endpoints"), listed("zmtp"));
        let metrics = ready["metrics"].as_str().expect("it says where its metrics are");
        (child, Ready { endpoints, zmtp, metrics: metrics.parse().expect("an address in digits") })
    }

    /// Names the ports that it was given for its further addresses: the next one is to listen there.
    fn keep_ports(&mut self, endpoints: &[String]) {
        let options = self.args.iter_mut().scan(false, |is_listen, arg| {
            let is_address = std::mem::replace(is_listen, arg == "--listen");
            Some(is_address.then_some(arg))
        });
        for (address, endpoint) in options.flatten().zip(endpoints) {
            if address.ends_with(":0") {
                endpoint.clone_into(address);
            }
        }
    }

    fn log(&self) -> String {
        std::fs::read_to_string(&self.log).unwrap_or_default()
    }
}
