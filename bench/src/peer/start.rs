//! Owns how each peer is started, and the wait until it serves.

use super::error::{StartError, broker_missing, failed};
use super::name::{PeerName, System};
use super::plan::Contest;
use super::product::Product;
use super::program::{find, find_pyzmq, version_of};
use crate::process::broker::{self, BrokerOptions, find_program};
use crate::process::certificate::ServerCertificate;
use crate::process::child::{Process, Program};
use crate::process::neighbour::Neighbour;
use crate::process::server::Server;
use crate::process::transport::Transport;
use crate::swarm::raw::{floor, socket};
use corecast::{Endpoint, Mode};
use serde_json::Value;
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use tempfile::TempDir;

const ZMQ_PROXY: &str = include_str!("../../python/zmq_proxy.py");
/// Tries to start a server whose port somebody took between the choice and its start.
const PORT_TRIES_MAX: usize = 3;
/// The words of a redis-server that knows no TLS when it is to speak it.
const WITHOUT_TLS: &str = "Failed finding TLS support";

/// Starts a peer of its own for one round.
pub fn start(name: PeerName, plan: &Contest, guard: Option<&Path>) -> Result<Server, StartError> {
    let transport = plan.transport_of(name);
    if let Some(why) = name.system.why_not_over(transport) {
        return Err(StartError::Unsupported(why.into()));
    }
    let start = Start { name, plan, transport, guard };
    match name.system {
        System::Corecast | System::CorecastSingles => start.corecast(false),
        System::CorecastBefore => start.corecast_before(),
        System::CorecastZmtp => start.corecast_zmtp(),
        System::Libzmq | System::LibzmqOnePart => start.libzmq(),
        System::Floor => start.floor(&[]),
        System::FloorBlocks => start.floor(&["--blocks"]),
        System::FloorFrames => start.floor(&["--blocks", "--frames"]),
        system => match Product::of(system) {
            Some(product) => start.server(product),
            None => Err(StartError::Unsupported("its subscribers are not ours".into())),
        },
    }
}

/// Starts the neighbour of a peer, and waits until it runs as it should. It ends when it is dropped.
pub(super) fn start_neighbour(neighbour: Neighbour, guard: Option<&Path>) -> Result<Process, StartError> {
    const NAME: &str = "the neighbour";
    let program = neighbour.program(own_file(guard).map_err(|error| failed(NAME, error))?);
    let mut process = Process::start(&program, guard).map_err(|error| failed(NAME, error))?;
    process.first_line().map_err(|why| failed(NAME, why))?;
    Ok(process)
}

/// The file of this command.
fn own_file(guard: Option<&Path>) -> std::io::Result<PathBuf> {
    guard.map_or_else(std::env::current_exe, |guard| Ok(guard.to_owned()))
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
        let python = find_pyzmq()?;
        let folder = folder()?;
        let script = folder.path().join("zmq_proxy.py");
        write(&script, ZMQ_PROXY)?;
        let address = |name: &str| match self.transport {
            Transport::Tcp | Transport::Tls => OsString::from("tcp://127.0.0.1:*"),
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
        let file = own_file(self.guard).map_err(|error| failed(program, error))?;
        let folder = folder()?;
        let (listen, certificate) = self.listen((folder.path(), "floor.sock"), 0)?;
        let mut args: Vec<OsString> = vec![floor::SUBCOMMAND.into()];
        for (flag, value) in [
            ("--listen", listen.to_string()),
            ("--subscribers", self.plan.run.subscribers.to_string()),
            ("--filters", self.plan.run.topics.map_or(1, |shared| shared.per_subscriber).to_string()),
            ("--threads", self.plan.floor_threads.to_string()),
        ] {
            args.extend([flag.into(), value.into()]);
        }
        args.extend(what.iter().map(Into::into));
        if certificate.is_some() {
            args.extend(["--certificate".into(), folder.path().into()]);
        }
        let (process, line) = self.first_line(program, file, args)?;
        let endpoint =
            floor::endpoint_in(&line).ok_or_else(|| failed(program, format!("it says `{line}`")))?;
        let server = Server::started(process, endpoint, Some(folder));
        trusted(server, certificate)
    }

    /// A server that says nothing when it serves: it does when it takes connections.
    fn server(&self, product: &Product) -> Result<Server, StartError> {
        let file = find(product.program)?;
        let version = version_of(&file, product.version_flag);
        let mut tries = 0;
        loop {
            tries += 1;
            match self.serve(product, &file) {
                Ok(mut server) => {
                    server.version = version;
                    return Ok(server);
                }
                Err(StartError::Failed { why, .. })
                    if tries < PORT_TRIES_MAX && why.to_lowercase().contains("in use") => {}
                Err(StartError::Failed { program, why })
                    if self.transport == Transport::Tls && why.contains(WITHOUT_TLS) =>
                {
                    return Err(StartError::Unsupported(format!("this {program} was built without TLS")));
                }
                Err(error) => return Err(error),
            }
        }
    }

    fn serve(&self, product: &Product, file: &Path) -> Result<Server, StartError> {
        let program = product.program;
        let folder = folder()?;
        let port = free_port().map_err(|error| failed(program, error))?;
        let (endpoint, certificate) = self.listen((folder.path(), "peer.sock"), port)?;
        let path = folder.path().join("peer.conf");
        write(&path, &product.configuration(&endpoint, folder.path()))?;
        let mut args: Vec<OsString> = product.before.iter().map(Into::into).collect();
        args.push(path.into());
        args.extend(product.behind.iter().map(Into::into));
        let served = Program { name: "it", file: file.to_owned(), args, stdin: false, stdout: false };
        let mut process = Process::start(&served, self.guard).map_err(|error| failed(program, error))?;
        let address = socket::address(&endpoint).map_err(|error| failed(program, error))?;
        let serves = || {
            let probe = socket2::Socket::new(address.domain(), socket2::Type::STREAM, None);
            probe.is_ok_and(|probe| probe.connect(&address).is_ok())
        };
        process.wait_until(serves).map_err(|why| failed(program, why))?;
        trusted(Server::started(process, endpoint, Some(folder)), certificate)
    }

    /// The endpoint of a server: at this port, or with a socket of this name in its folder. With TLS its certificate is
    /// there.
    fn listen(
        &self,
        (folder, socket): (&Path, &str),
        port: u16,
    ) -> Result<(Endpoint, Option<ServerCertificate>), StartError> {
        let host = "127.0.0.1".to_owned();
        Ok(match self.transport {
            Transport::Tcp => (Endpoint::Tcp { host, port }, None),
            Transport::Tls => {
                let certificate = ServerCertificate::make(folder);
                let certificate = certificate.map_err(|error| failed("a certificate", error))?;
                (Endpoint::Tls { host, port, pin: None }, Some(certificate))
            }
            Transport::Uds => (Endpoint::Uds { path: folder.join(socket) }, None),
        })
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

/// The server, with trust in its certificate if it has one.
fn trusted(mut server: Server, certificate: Option<ServerCertificate>) -> Result<Server, StartError> {
    let trust = certificate.map(|certificate| certificate.trust()).transpose();
    server.trust = trust.map_err(|error| failed("a certificate", error))?;
    Ok(server)
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
