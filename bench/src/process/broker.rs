//! Owns the broker of a run: its file, its arguments, and its ready line.

use super::certificate::ServerCertificate;
use super::child::{NotServing, Process, Program};
use super::server::Server;
use super::transport::Transport;
use corecast::internals::cli::Size;
use corecast::{Endpoint, Mode, OverflowPolicy};
use corecast_executors::{CoreSet, Idle};
use serde_json::Value;
use std::ffi::OsString;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::{env, io, iter};

/// The command's file name.
const PROGRAM: &str = "corecast";
/// The environment variable that names the command's file.
pub const PROGRAM_VARIABLE: &str = "CORECAST_BIN";

/// Options of a broker; `None` leaves one to the broker's own default.
#[derive(Clone, Debug, Default)]
pub struct BrokerOptions {
    /// The command's file, if it is not the one that comes with this command.
    pub program: Option<PathBuf>,
    /// The sockets of its clients.
    pub transport: Transport,
    /// `--cores`.
    pub cores: Option<CoreSet>,
    /// `--idle`.
    pub idle: Option<Idle>,
    /// `--overflow`.
    pub overflow: Option<OverflowPolicy>,
    /// `--egress-bytes`.
    pub egress_bytes: Option<Size>,
    /// `--frame-bytes-max`.
    pub frame_bytes_max: Option<Size>,
    /// Set if it serves its counters, which tell the work of each shard.
    pub metrics: bool,
    /// Set if it is measured through its listener for ZeroMQ.
    pub zmtp: bool,
}

/// An error that leaves a run without a broker.
#[derive(Debug, thiserror::Error)]
pub enum BrokerError {
    /// The `corecast` command is not there.
    #[error(
        "there is no `corecast` command beside {beside} nor on the PATH: build it (cargo build --release --bin corecast), or name its file with CORECAST_BIN"
    )]
    NotFound {
        /// The folder that was searched first.
        beside: PathBuf,
    },
    /// `CORECAST_BIN` names no file.
    #[error("CORECAST_BIN names {path}, which is no file")]
    NoSuchFile {
        /// The name.
        path: PathBuf,
    },
    /// The process could not be made, or its socket's folder.
    #[error("cannot start {program}: {source}")]
    Spawn {
        /// The command's file.
        program: PathBuf,
        /// The kernel's answer.
        source: io::Error,
    },
    /// The broker does not serve.
    #[error(transparent)]
    NotServing(#[from] NotServing),
    /// The broker does not say where it serves.
    #[error("the broker's first line names no endpoint: `{line}`")]
    NotReady {
        /// The line.
        line: String,
    },
}

/// Starts the `corecast` command as a broker and waits until it serves: at `listen`, or else where only this host
/// reaches it. With `guard`, the file of this command, it is ended even if this process is killed.
pub fn start(
    options: &BrokerOptions,
    mode: Mode,
    listen: Option<&Endpoint>,
    guard: Option<&Path>,
) -> Result<Server, BrokerError> {
    let file = options.program.clone().map_or_else(find_program, Ok)?;
    let failed = |source| BrokerError::Spawn { program: file.clone(), source };
    let folder = match options.transport {
        Transport::Tcp => None,
        Transport::Tls | Transport::Uds => {
            Some(tempfile::Builder::new().prefix("corecast-bench-").tempdir().map_err(failed)?)
        }
    };
    let (host, port) = ("127.0.0.1".to_owned(), 0);
    let (listen, certificate) = match (&folder, listen) {
        (Some(folder), _) if options.transport == Transport::Tls => {
            let certificate = ServerCertificate::make(folder.path()).map_err(failed)?;
            (Endpoint::Tls { host, port, pin: None }, Some(certificate))
        }
        (Some(folder), _) => (Endpoint::Uds { path: folder.path().join("broker.sock") }, None),
        (None, Some(listen)) => (listen.clone(), None),
        (None, None) => (Endpoint::Tcp { host, port }, None),
    };
    let args = arguments(options, mode, (&listen, certificate.as_ref()));
    let program = Program { name: "the broker", file: file.clone(), args, stdin: false, stdout: true };
    let mut process = Process::start(&program, guard).map_err(failed)?;
    let line = process.first_line()?;
    let ready: Value = serde_json::from_str(&line).unwrap_or_default();
    let endpoint = if options.zmtp { first_endpoint(&ready["zmtp"]) } else { first_endpoint(&ready) };
    let endpoint = endpoint.ok_or(BrokerError::NotReady { line })?;
    let mut server = Server::started(process, endpoint, folder);
    server.trust = certificate.map(|certificate| certificate.trust()).transpose().map_err(failed)?;
    server.metrics = metrics_in(&ready);
    server.version = Some(env!("CARGO_PKG_VERSION").to_owned());
    Ok(server)
}

fn arguments(
    options: &BrokerOptions,
    mode: Mode,
    (listen, certificate): (&Endpoint, Option<&ServerCertificate>),
) -> Vec<OsString> {
    let mut arguments: Vec<OsString> = vec!["broker".into(), "-o".into(), "json".into()];
    let mut option = |name: &str, value: Option<String>| {
        if let Some(value) = value {
            arguments.push(name.into());
            arguments.push(value.into());
        }
    };
    option("--listen", Some(listen.to_string()));
    option("--mode", Some(mode.to_string()));
    option("--cores", options.cores.as_ref().map(ToString::to_string));
    option("--idle", options.idle.as_ref().map(ToString::to_string));
    option("--overflow", options.overflow.as_ref().map(ToString::to_string));
    option("--egress-bytes", options.egress_bytes.as_ref().map(ToString::to_string));
    option("--frame-bytes-max", options.frame_bytes_max.as_ref().map(ToString::to_string));
    option("--metrics", options.metrics.then(|| "127.0.0.1:0".to_owned()));
    option("--zmtp", options.zmtp.then(|| "tcp://127.0.0.1:0".to_owned()));
    if let Some(ServerCertificate { certificate, key }) = certificate {
        arguments.extend(["--tls-cert".into(), certificate.into(), "--tls-key".into(), key.into()]);
    }
    // The hosts of an experiment trust each other.
    let is_remote = matches!(listen, Endpoint::Tcp { host, .. } if !host.starts_with("127."));
    arguments.extend(is_remote.then(|| "--insecure".into()));
    arguments
}

/// The command's file: the one that `CORECAST_BIN` names, else one beside this executable, else one on the PATH.
pub(crate) fn find_program() -> Result<PathBuf, BrokerError> {
    if let Some(path) = env::var_os(PROGRAM_VARIABLE) {
        let path = PathBuf::from(path);
        return if path.is_file() { Ok(path) } else { Err(BrokerError::NoSuchFile { path }) };
    }
    let beside = env::current_exe().unwrap_or_default().parent().map(Path::to_owned).unwrap_or_default();
    let path = env::var_os("PATH").unwrap_or_default();
    let mut files = iter::once(beside.clone()).chain(env::split_paths(&path)).map(|to| to.join(PROGRAM));
    files.find(|file| file.is_file()).ok_or(BrokerError::NotFound { beside })
}

/// The address at which the ready object says that counters are served.
fn metrics_in(ready: &Value) -> Option<SocketAddr> {
    ready["metrics"].as_str()?.parse().ok()
}

/// The first endpoint that the ready object names.
fn first_endpoint(ready: &Value) -> Option<Endpoint> {
    match ready {
        Value::String(text) => text.parse().ok(),
        Value::Array(values) => values.iter().find_map(first_endpoint),
        Value::Object(fields) => fields.values().find_map(first_endpoint),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_arguments_are_those_that_were_asked_for() {
        let listen = Endpoint::Tcp { host: "127.0.0.1".into(), port: 0 };
        let plain = arguments(&BrokerOptions::default(), Mode::Direct, (&listen, None));
        assert_eq!(plain, ["broker", "-o", "json", "--listen", "tcp://127.0.0.1:0", "--mode", "direct"]);
        let options = BrokerOptions {
            cores: Some("0".parse().unwrap()),
            idle: Some("busy".parse().unwrap()),
            egress_bytes: Some("5MB".parse().unwrap()),
            ..BrokerOptions::default()
        };
        let wanted = ["--mode", "proxy", "--cores", "0", "--idle", "busy", "--egress-bytes", "5000000"];
        assert_eq!(arguments(&options, Mode::Proxy, (&listen, None))[5..], wanted);
        let certificate = ServerCertificate::of(Path::new("/d"));
        let listen = Endpoint::Tls { host: "127.0.0.1".into(), port: 0, pin: None };
        let encrypted = arguments(&BrokerOptions::default(), Mode::Proxy, (&listen, Some(&certificate)));
        assert_eq!(encrypted[7..], ["--tls-cert", "/d/server.pem", "--tls-key", "/d/server.key"]);
    }

    #[test]
    fn the_endpoint_is_found_in_the_ready_object() {
        let ready = |line: &str| serde_json::from_str(line).unwrap_or_default();
        let endpoint = |line: &str| first_endpoint(&ready(line)).map(|endpoint| endpoint.to_string());
        assert_eq!(
            endpoint(r#"{"ready":["tcp://127.0.0.1:4711","uds:///x"],"shards":2}"#).as_deref(),
            Some("tcp://127.0.0.1:4711")
        );
        assert_eq!(endpoint(r#"{"ready":"uds:///tmp/x y"}"#).as_deref(), Some("uds:///tmp/x y"));
        assert_eq!(endpoint(r#"{"shards":2}"#), None);
        assert_eq!(endpoint("ready tcp://127.0.0.1:4711"), None);
    }

    #[test]
    fn the_counters_are_where_the_ready_object_says() {
        let line = r#"{"endpoints":["tcp://127.0.0.1:4711"],"metrics":"127.0.0.1:9680"}"#;
        let metrics = |line: &str| metrics_in(&serde_json::from_str(line).unwrap());
        assert_eq!(metrics(line), Some(SocketAddr::from(([127, 0, 0, 1], 9680))));
        assert_eq!(metrics(r#"{"endpoints":[],"metrics":null}"#), None);
    }
}
