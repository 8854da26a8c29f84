//! A server of NATS as a process on a port of its own, which keeps it over restarts. Ended by its pid when it is dropped.

use std::io::{BufRead as _, BufReader, Write as _};
use std::net::{TcpListener, TcpStream};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use corecast_executors::pause;
use nix::sys::signal::{Signal, kill};
use nix::sys::wait::{WaitPidFlag, waitpid};
use nix::unistd::Pid;
use tempfile::TempDir;

/// Between two looks at whether it answers.
const LOOK_PAUSE: Duration = Duration::from_millis(20);

/// Time limit of a start, on a machine that is busy with something else.
const START_MAX: Duration = Duration::from_secs(30);

/// A server.
pub(crate) struct NatsServer {
    child: Option<Child>,
    port: u16,
    dir: TempDir,
}

/// The program of the server: `nats-server`, unless `CORECAST_NATS_SERVER` names another.
fn program() -> PathBuf {
    std::env::var_os("CORECAST_NATS_SERVER").map_or_else(|| "nats-server".into(), PathBuf::from)
}

/// A port of this host that nobody had a moment ago.
pub(crate) fn free_port() -> u16 {
    let free = TcpListener::bind("127.0.0.1:0").expect("a port");
    free.local_addr().expect("it is bound").port()
}

impl NatsServer {
    /// Starts one, which answers when this returns. `None`, and a line that says so: it is not installed.
    pub(crate) fn start() -> Option<NatsServer> {
        Self::start_with("")
    }

    /// As [`NatsServer::start`], with lines of configuration.
    pub(crate) fn start_with(lines: &str) -> Option<NatsServer> {
        let mut server = Self::at_rest()?;
        server.configure(lines);
        server.start_again();
        Some(server)
    }

    /// One with JetStream, which keeps what it stores over restarts.
    pub(crate) fn with_jetstream() -> Option<NatsServer> {
        let mut server = Self::at_rest()?;
        server.configure(&format!("jetstream {{ store_dir: {:?} }}", server.dir.path().join("stored")));
        server.start_again();
        Some(server)
    }

    /// Takes all that it has stored away, while it does not run, and JetStream as well unless it is to have it.
    pub(crate) fn forget_stored(&self, has_jetstream: bool) {
        let stored = self.dir.path().join("stored");
        // It may have stored nothing.
        let _ = std::fs::remove_dir_all(&stored);
        let jetstream = format!("jetstream {{ store_dir: {stored:?} }}");
        self.configure(if has_jetstream { &jetstream } else { "" });
    }

    /// One that does not run yet.
    pub(crate) fn at_rest() -> Option<NatsServer> {
        let known = Command::new(program()).arg("--version").stdout(Stdio::null()).status();
        if !known.is_ok_and(|status| status.success()) {
            // Written past the harness, which would keep it to itself.
            let line = "skipped: nats-server is not installed (scripts/peers.sh install)";
            let _ = writeln!(std::io::stderr(), "{line}");
            return None;
        }
        let server =
            NatsServer { child: None, port: free_port(), dir: tempfile::tempdir().expect("a folder") };
        server.configure("");
        Some(server)
    }

    /// Changes its configuration, for the next start.
    pub(crate) fn configure(&self, lines: &str) {
        let text = format!("listen: \"127.0.0.1:{}\"\n{lines}\n", self.port);
        std::fs::write(self.dir.path().join("conf"), text).expect("a file");
    }

    /// Has it read its configuration again while it runs.
    pub(crate) fn reload(&self) {
        kill(self.pid(), Signal::SIGHUP).expect("it is ours");
    }

    /// Starts it, with nothing that it knew before but what it has stored.
    pub(crate) fn start_again(&mut self) {
        assert!(self.child.is_none(), "it runs");
        let log = std::fs::File::create(self.dir.path().join("log")).expect("a log file");
        let mut command = Command::new(program());
        command.arg("-c").arg(self.dir.path().join("conf"));
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(log);
        self.child = Some(command.spawn().expect("it is installed"));
        let give_up = Instant::now() + START_MAX;
        while !self.answers() {
            assert!(Instant::now() < give_up, "it does not answer:\n{}", self.log());
            pause(LOOK_PAUSE);
        }
    }

    /// True if it says hello.
    fn answers(&self) -> bool {
        let Ok(stream) = TcpStream::connect(("127.0.0.1", self.port)) else { return false };
        let mut hello = String::new();
        BufReader::new(stream).read_line(&mut hello).is_ok() && hello.starts_with("INFO ")
    }

    fn log(&self) -> String {
        std::fs::read_to_string(self.dir.path().join("log")).unwrap_or_default()
    }

    /// The address, as brokers are given it.
    pub(crate) fn url(&self) -> String {
        format!("nats://127.0.0.1:{}", self.port)
    }

    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    fn pid(&self) -> Pid {
        let child = self.child.as_ref().expect("it runs");
        Pid::from_raw(i32::try_from(child.id()).expect("Linux has no longer pids"))
    }

    /// Ends it at once, with kill -9.
    pub(crate) fn kill(&mut self) {
        let mut child = self.child.take().expect("it runs");
        child.kill().expect("it is ours");
        child.wait().expect("a child can be waited for");
    }

    /// Stops it where it is, and returns when it has.
    pub(crate) fn freeze(&self) {
        kill(self.pid(), Signal::SIGSTOP).expect("it is ours");
        waitpid(self.pid(), Some(WaitPidFlag::WUNTRACED)).expect("it stops");
    }

    /// Lets it go on.
    pub(crate) fn thaw(&self) {
        kill(self.pid(), Signal::SIGCONT).expect("it is ours");
    }
}

impl Drop for NatsServer {
    fn drop(&mut self) {
        if let Some(mut child) = self.child.take() {
            // Gone already is as good.
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}
