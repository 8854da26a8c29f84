//! Owns the broker of a run: its file, its arguments, and its ready line.

use super::certificate::ServerCertificate;
use super::child::{Process, Program};
use super::engine::Engine;
use super::error::{StartError, failed};
use super::product::{self, folder, trusted};
use super::server::Server;
use super::transport::Transport;
use corecast::internals::cli::Size;
use corecast::{Endpoint, Mode, OverflowPolicy};
use corecast_executors::{CoreSet, Idle};
use serde_json::Value;
use std::ffi::OsString;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::{env, iter};

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
    /// `--engine`: what joins it with other brokers.
    pub engine: Option<Engine>,
}

/// Starts the `corecast` command as a broker and waits until it serves: at `listen`, or else where only this host
/// reaches it. With `guard`, the file of this command, it is ended even if this process is killed.
pub fn start(
    options: &BrokerOptions,
    mode: Mode,
    listen: Option<&Endpoint>,
    guard: Option<&Path>,
) -> Result<Server, StartError> {
    let file = options.program.clone().map_or_else(find_program, Ok)?;
    let folder = folder()?;
    let place = (folder.path(), "broker.sock");
    let (own, certificate) = product::listen(options.transport, place, 0)?;
    let listen = listen.filter(|_| options.transport == Transport::Tcp).cloned().unwrap_or(own);
    let args = arguments(options, mode, (&listen, certificate.as_ref()));
    let program = Program { name: "the broker", file, args, stdin: false, stdout: true };
    let mut process =
        Process::start(&program, guard).map_err(|error| failed(&program.file.to_string_lossy(), error))?;
    let line = process.first_line().map_err(|why| failed(PROGRAM, why))?;
    let ready: Value = serde_json::from_str(&line).unwrap_or_default();
    let endpoint = if options.zmtp { first_endpoint(&ready["zmtp"]) } else { first_endpoint(&ready) };
    let endpoint =
        endpoint.ok_or_else(|| failed(PROGRAM, format!("its first line names no endpoint: `{line}`")))?;
    let mut server = trusted(Server::started(process, endpoint, Some(folder)), certificate)?;
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
    if let Some(Engine::Running(url)) = &options.engine {
        arguments.extend(["--engine".into(), url.into(), "--engine-wait".into()]);
    }
    if let Some(ServerCertificate { certificate, key }) = certificate {
        arguments.extend(["--tls-cert".into(), certificate.into(), "--tls-key".into(), key.into()]);
    }
    // The hosts of an experiment trust each other.
    let is_remote = matches!(listen, Endpoint::Tcp { host, .. } if !host.starts_with("127."));
    arguments.extend(is_remote.then(|| "--insecure".into()));
    arguments
}

/// The command's file: the one that `CORECAST_BIN` names, else one beside this executable, else one on the PATH.
pub(crate) fn find_program() -> Result<PathBuf, StartError> {
    let missing = |fix| StartError::Missing { program: "the `corecast` command".into(), fix };
    if let Some(path) = env::var_os(PROGRAM_VARIABLE) {
        let path = PathBuf::from(path);
        let fix = || format!("{PROGRAM_VARIABLE} names {}, which is no file", path.display());
        return if path.is_file() { Ok(path) } else { Err(missing(fix())) };
    }
    let beside = env::current_exe().unwrap_or_default().parent().map(Path::to_owned).unwrap_or_default();
    let path = env::var_os("PATH").unwrap_or_default();
    let mut files = iter::once(beside.clone()).chain(env::split_paths(&path)).map(|to| to.join(PROGRAM));
    let build = "build it (cargo build --release --bin corecast)";
    let fix = || format!("{build} beside {}, or name its file with {PROGRAM_VARIABLE}", beside.display());
    files.find(|file| file.is_file()).ok_or_else(|| missing(fix()))
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
