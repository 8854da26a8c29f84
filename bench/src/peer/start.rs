//! Owns how each peer is started: its program, found; its configuration, the same that `scripts/peers.sh` uses; the
//! wait until it serves.

use super::name::{PeerName, System};
use super::plan::Contest;
use crate::process::broker::{self, BrokerError, BrokerOptions, find_program};
use crate::process::child::{Process, Program};
use crate::process::server::Server;
use crate::process::transport::Transport;
use crate::swarm::raw::{floor, socket};
use corecast::{Endpoint, Mode};
use serde_json::Value;
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use tempfile::TempDir;

const REDIS_CONF: &str = include_str!("../../peers/redis.conf");
const NATS_CONF: &str = include_str!("../../peers/nats.conf");
const MOSQUITTO_CONF: &str = include_str!("../../peers/mosquitto.conf");
const ZMQ_PROXY: &str = include_str!("../../python/zmq_proxy.py");
/// The environment variable that names a Python with pyzmq.
pub const PYTHON_VARIABLE: &str = "CORECAST_BENCH_PYTHON";
/// Folders of servers that are not on everybody's PATH.
const SERVER_FOLDERS: [&str; 3] = ["/usr/sbin", "/usr/local/sbin", "/sbin"];
/// Tries to start a server whose port somebody took between the choice and its start.
const PORT_TRIES_MAX: usize = 3;

/// The reason for which a peer is not measured.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum StartError {
    /// Its program is not there.
    #[error("{program} is not there: {fix}")]
    Missing {
        /// The missing program.
        program: String,
        /// The way to get it.
        fix: String,
    },
    /// The peer cannot do what was asked for.
    #[error("{0}")]
    Unsupported(String),
    /// The peer does not start.
    #[error("{program} does not start: {why}")]
    Failed {
        /// The program.
        program: String,
        /// The reason.
        why: String,
    },
}

/// Starts a peer of its own for one round.
pub fn start(name: PeerName, plan: &Contest, guard: Option<&Path>) -> Result<Server, StartError> {
    let transport = plan.transport_of(name);
    if let (Transport::Uds, Some(why)) = (transport, name.system.why_not_uds()) {
        return Err(StartError::Unsupported(why.into()));
    }
    let start = Start { name, plan, transport, guard };
    match name.system {
        System::Corecast => start.corecast(false),
        System::CorecastBefore => start.corecast_before(),
        System::CorecastZmtp => start.corecast_zmtp(),
        System::Libzmq | System::LibzmqOnePart => start.libzmq(),
        System::Nats => start.server("nats-server", "--version", NATS_CONF, &["-c"]),
        System::Redis => start.server("redis-server", "--version", REDIS_CONF, &[]),
        System::Mosquitto => start.server("mosquitto", "-h", MOSQUITTO_CONF, &["-c"]),
        System::Floor => start.floor(&[]),
        System::FloorBlocks => start.floor(&["--blocks"]),
        System::FloorFrames => start.floor(&["--blocks", "--frames"]),
        System::CorecastDirect | System::PyzmqProxy | System::PyzmqDirect => {
            Err(StartError::Unsupported("its subscribers are not ours".into()))
        }
    }
}

struct Start<'a> {
    name: PeerName,
    plan: &'a Contest,
    transport: Transport,
    guard: Option<&'a Path>,
}

impl Start<'_> {
    fn corecast(&self, zmtp: bool) -> Result<Server, StartError> {
        let options = BrokerOptions { zmtp, ..self.plan.broker_options(self.name) };
        broker::start(&options, Mode::Proxy, None, self.guard).map_err(broker_missing)
    }

    fn corecast_before(&self) -> Result<Server, StartError> {
        let Some(file) = &self.plan.before else {
            let fix = "name the command's file of that build with --before".to_owned();
            return Err(StartError::Missing { program: "another build of `corecast`".into(), fix });
        };
        let options = BrokerOptions { program: Some(file.clone()), ..self.plan.broker_options(self.name) };
        let mut server = broker::start(&options, Mode::Proxy, None, self.guard).map_err(broker_missing)?;
        server.version = version_of(file, "--version");
        Ok(server)
    }

    fn corecast_zmtp(&self) -> Result<Server, StartError> {
        let file = find_program().map_err(broker_missing)?;
        let help = Command::new(&file).args(["broker", "--help"]).stdin(Stdio::null()).output();
        if !help.is_ok_and(|help| String::from_utf8_lossy(&help.stdout).contains("--zmtp")) {
            return Err(StartError::Unsupported("this `corecast` has no --zmtp".into()));
        }
        self.corecast(true)
    }

    fn libzmq(&self) -> Result<Server, StartError> {
        let python = find_python()?;
        let folder = folder()?;
        let script = folder.path().join("zmq_proxy.py");
        write(&script, ZMQ_PROXY)?;
        let address = |name: &str| match self.transport {
            Transport::Tcp => OsString::from("tcp://127.0.0.1:*"),
            Transport::Uds => {
                let mut address = OsString::from("ipc://");
                address.push(folder.path().join(name));
                address
            }
        };
        let args = vec![script.clone().into(), address("publish"), address("subscribe")];
        let (process, line) = self.first_line("libzmq's proxy", python, args)?;
        let line: Value = serde_json::from_str(&line).unwrap_or_default();
        let endpoint = |field: &str| -> Option<Endpoint> {
            line[field].as_str()?.replace("ipc://", "uds://").parse().ok()
        };
        let (Some(publish), Some(subscribe)) = (endpoint("publish"), endpoint("subscribe")) else {
            return Err(failed("libzmq's proxy", "it does not say where it listens"));
        };
        let version = line["version"].as_str().map(str::to_owned);
        let mut server = Server::started(process, subscribe, Some(folder));
        server.publish_at = publish;
        server.version = version;
        Ok(server)
    }

    fn floor(&self, what: &[&str]) -> Result<Server, StartError> {
        let program = "the floor";
        let file = match self.guard {
            Some(guard) => guard.to_owned(),
            None => std::env::current_exe().map_err(|error| failed(program, error))?,
        };
        let folder = folder()?;
        let listen = match self.transport {
            Transport::Tcp => Endpoint::Tcp { host: "127.0.0.1".into(), port: 0 },
            Transport::Uds => Endpoint::Uds { path: folder.path().join("floor.sock") },
        };
        let mut args: Vec<OsString> = vec![floor::SUBCOMMAND.into()];
        for (flag, value) in [
            ("--listen", listen.to_string()),
            ("--subscribers", self.plan.run.subscribers.to_string()),
            ("--threads", self.plan.floor_threads.to_string()),
        ] {
            args.extend([flag.into(), value.into()]);
        }
        args.extend(what.iter().map(Into::into));
        let (process, line) = self.first_line(program, file, args)?;
        let endpoint =
            floor::endpoint_in(&line).ok_or_else(|| failed(program, format!("it says `{line}`")))?;
        Ok(Server::started(process, endpoint, Some(folder)))
    }

    /// A server that reads a configuration file and says nothing when it serves: it does when it takes connections.
    fn server(&self, program: &str, version: &str, conf: &str, args: &[&str]) -> Result<Server, StartError> {
        let file = find(program)?;
        let version = version_of(&file, version);
        let mut tries = 0;
        loop {
            tries += 1;
            match self.serve(program, &file, conf, args) {
                Ok(mut server) => {
                    server.version = version;
                    return Ok(server);
                }
                Err(StartError::Failed { why, .. })
                    if tries < PORT_TRIES_MAX && why.to_lowercase().contains("in use") => {}
                Err(error) => return Err(error),
            }
        }
    }

    fn serve(&self, program: &str, file: &Path, conf: &str, args: &[&str]) -> Result<Server, StartError> {
        let folder = folder()?;
        let endpoint = match self.transport {
            Transport::Tcp => {
                let port = free_port().map_err(|error| failed(program, error))?;
                Endpoint::Tcp { host: "127.0.0.1".into(), port }
            }
            Transport::Uds => Endpoint::Uds { path: folder.path().join("peer.sock") },
        };
        let path = folder.path().join("peer.conf");
        write(&path, &filled_in(conf, program, &endpoint, folder.path()))?;
        let mut all: Vec<OsString> = args.iter().map(Into::into).collect();
        all.push(path.into());
        let program_of =
            Program { name: "it", file: file.to_owned(), args: all, stdin: false, stdout: false };
        let mut process = Process::start(&program_of, self.guard).map_err(|error| failed(program, error))?;
        let address = socket::address(&endpoint).map_err(|error| failed(program, error))?;
        let serves = || {
            let probe = socket2::Socket::new(address.domain(), socket2::Type::STREAM, None);
            probe.is_ok_and(|probe| probe.connect(&address).is_ok())
        };
        process.wait_until(serves).map_err(|why| failed(program, why))?;
        Ok(Server::started(process, endpoint, Some(folder)))
    }

    /// Starts a program that says on its first line where it listens.
    fn first_line(
        &self,
        name: &str,
        file: PathBuf,
        args: Vec<OsString>,
    ) -> Result<(Process, String), StartError> {
        let program = Program { name: "it", file, args, stdin: true, stdout: true };
        let mut process = Process::start(&program, self.guard).map_err(|error| failed(name, error))?;
        let line = process.first_line().map_err(|why| failed(name, why))?;
        Ok((process, line))
    }
}

/// The configuration with its placeholders filled in.
fn filled_in(conf: &str, program: &str, endpoint: &Endpoint, folder: &Path) -> String {
    let listen = match (program, endpoint) {
        ("redis-server", Endpoint::Tcp { host, port }) => format!("bind {host}\nport {port}"),
        ("redis-server", Endpoint::Uds { path }) => format!("port 0\nunixsocket {}", path.display()),
        ("mosquitto", Endpoint::Tcp { host, port }) => format!("listener {port} {host}"),
        ("mosquitto", Endpoint::Uds { path }) => format!("listener 0 {}", path.display()),
        (_, Endpoint::Tcp { host, port }) => format!("listen: \"{host}:{port}\""),
        (_, endpoint) => format!("# this server cannot listen at {endpoint}"),
    };
    let root = nix::unistd::Uid::effective().is_root();
    let user = if root { "user root" } else { "# not started by root: it stays who it is" };
    let folder = folder.display().to_string();
    conf.replace("@LISTEN@", &listen).replace("@USER@", user).replace("@DIR@", &folder)
}

fn broker_missing(error: BrokerError) -> StartError {
    match error {
        BrokerError::NotFound { .. } | BrokerError::NoSuchFile { .. } => {
            StartError::Missing { program: "corecast".into(), fix: error.to_string() }
        }
        error => failed("corecast", error),
    }
}

fn failed(program: &str, why: impl ToString) -> StartError {
    StartError::Failed { program: program.to_owned(), why: why.to_string() }
}

fn folder() -> Result<TempDir, StartError> {
    let folder = tempfile::Builder::new().prefix("corecast-bench-").tempdir();
    folder.map_err(|error| failed("a peer", format!("cannot make a folder for it: {error}")))
}

fn write(path: &Path, text: &str) -> Result<(), StartError> {
    std::fs::write(path, text)
        .map_err(|error| failed("a peer", format!("cannot write {}: {error}", path.display())))
}

/// A port that nobody has now.
fn free_port() -> std::io::Result<u16> {
    Ok(std::net::TcpListener::bind(("127.0.0.1", 0))?.local_addr()?.port())
}

/// A server's file: on the PATH, or where distributions put servers.
fn find(program: &str) -> Result<PathBuf, StartError> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let folders = std::env::split_paths(&path).chain(SERVER_FOLDERS.map(PathBuf::from));
    let found = folders.map(|folder| folder.join(program)).find(|file| file.is_file());
    found.ok_or_else(|| StartError::Missing {
        program: program.to_owned(),
        fix: "scripts/peers.sh install".into(),
    })
}

/// A Python that has pyzmq: what the variable names, what `scripts/python-env.sh` made, else that of the PATH.
pub fn find_python() -> Result<PathBuf, StartError> {
    let named = std::env::var_os(PYTHON_VARIABLE).map(PathBuf::from);
    let target = std::env::current_exe().ok().and_then(|exe| Some(exe.parent()?.parent()?.to_owned()));
    let made = target.map(|target| target.join("python-env").join("bin").join("python"));
    let candidates = match named {
        Some(named) => vec![named],
        None => made.into_iter().chain([PathBuf::from("python3")]).collect(),
    };
    let has_pyzmq = |python: &PathBuf| {
        let mut command = Command::new(python);
        command.args(["-c", "import zmq"]).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        command.status().is_ok_and(|status| status.success())
    };
    candidates.into_iter().find(has_pyzmq).ok_or_else(|| StartError::Missing {
        program: "a Python with pyzmq".into(),
        fix: format!("scripts/peers.sh install, or name one with {PYTHON_VARIABLE}"),
    })
}

/// The first word of what it says about its version that begins with a digit.
fn version_of(file: &Path, flag: &str) -> Option<String> {
    let said = Command::new(file).arg(flag).stdin(Stdio::null()).output().ok()?;
    version_in(&String::from_utf8_lossy(&said.stdout))
}

fn version_in(text: &str) -> Option<String> {
    let words = text.split_whitespace().map(|word| word.trim_start_matches("v=").trim_start_matches('v'));
    let is_version =
        |word: &&str| word.starts_with(|first: char| first.is_ascii_digit()) && word.contains('.');
    words.into_iter().find(is_version).map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_found_in_what_servers_say() {
        let said = "Redis server v=7.0.15 sha=00000000:0 malloc=jemalloc-5.3.0 bits=64 build=eab";
        assert_eq!(version_in(said).as_deref(), Some("7.0.15"));
        assert_eq!(version_in("nats-server: v2.9.10\n").as_deref(), Some("2.9.10"));
        assert_eq!(version_in("mosquitto version 2.0.11\n\nmosquitto is an MQTT").as_deref(), Some("2.0.11"));
        assert_eq!(version_in("nothing of the kind"), None);
    }

    #[test]
    fn no_placeholder_is_left_in_a_configuration() {
        let endpoints = [
            Endpoint::Tcp { host: "127.0.0.1".into(), port: 7 },
            Endpoint::Uds { path: "/tmp/x.sock".into() },
        ];
        for (program, conf) in
            [("redis-server", REDIS_CONF), ("nats-server", NATS_CONF), ("mosquitto", MOSQUITTO_CONF)]
        {
            for endpoint in &endpoints {
                let filled = filled_in(conf, program, endpoint, Path::new("/tmp/d"));
                let lines = filled.lines().filter(|line| !line.starts_with('#'));
                assert!(lines.clone().all(|line| !line.contains('@')), "{program}");
                let wanted = match endpoint {
                    Endpoint::Tcp { .. } => "7",
                    Endpoint::Uds { .. } if program == "nats-server" => "",
                    _ => "/tmp/x.sock",
                };
                assert!(lines.into_iter().any(|line| line.contains(wanted)), "{program}: {filled}");
            }
        }
    }

    #[test]
    fn what_is_missing_is_named_with_the_fix() {
        let error = find("no-such-server").unwrap_err();
        assert_eq!(error.to_string(), "no-such-server is not there: scripts/peers.sh install");
    }
}
