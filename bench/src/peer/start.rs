//! Owns how each peer is started, and the wait until it serves.

use super::name::{PeerName, System};
use super::plan::{Contest, Turn};
use crate::process::broker::{self, BrokerOptions};
use crate::process::child::{Process, Program};
use crate::process::engine::Engine;
use crate::process::error::{StartError, failed};
use crate::process::joined;
use crate::process::neighbour::Neighbour;
use crate::process::product::{
    MOSQUITTO, NATS, NATS_PINNED, Product, REDIS, REDIS_PINNED, REDIS_PINNED_IO4, folder, free_port, listen,
    trusted, write,
};
use crate::process::program::{find_pyzmq, version_of};
use crate::process::server::Server;
use crate::process::transport::Transport;
use crate::swarm::raw::floor;
use corecast::{Endpoint, Mode};
use serde_json::Value;
use std::ffi::OsString;
use std::path::{Path, PathBuf};

const ZMQ_PROXY: &str = include_str!("../../python/zmq_proxy.py");

/// The server of this system, if it is one that reads a configuration file.
pub(super) fn product_of(system: System) -> Option<&'static Product> {
    Some(match system {
        System::Nats | System::NatsClustered => &NATS,
        System::NatsPinned | System::NatsPinnedClustered => &NATS_PINNED,
        System::Redis => &REDIS,
        System::RedisPinned => &REDIS_PINNED,
        System::RedisPinnedIo4 => &REDIS_PINNED_IO4,
        System::Mosquitto => &MOSQUITTO,
        _ => return None,
    })
}

/// The peer of a turn: one that runs already, or one of its own.
pub(super) fn server(turn: &Turn<'_>) -> Result<Server, StartError> {
    match turn.contest.elsewhere(turn.name) {
        Some(elsewhere) => Ok(elsewhere.server()),
        None => start(turn.name, turn.contest, turn.guard),
    }
}

/// Starts a peer of its own for one round.
fn start(name: PeerName, plan: &Contest, guard: Option<&Path>) -> Result<Server, StartError> {
    let transport = plan.transport_of(name);
    if let Some(why) = name.system.why_not_over(transport) {
        return Err(StartError::Unsupported(why.into()));
    }
    let start = Start { name, plan, transport, guard };
    match name.system {
        System::Corecast | System::CorecastSingles | System::CorecastPython => start.corecast(false),
        System::CorecastBefore => start.corecast_before(),
        System::CorecastZmtp => start.corecast(true),
        System::CorecastJoined => start.corecast_joined(),
        System::NatsClustered => start.clustered(&NATS),
        System::NatsPinnedClustered => start.clustered(&NATS_PINNED),
        System::Libzmq | System::LibzmqOnePart => start.libzmq(),
        System::Floor => start.floor(&[]),
        System::FloorBlocks => start.floor(&["--blocks"]),
        System::FloorFrames => start.floor(&["--blocks", "--frames"]),
        system => match product_of(system) {
            Some(product) => product.start(transport, "", guard),
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
        broker::start(&options, Mode::Proxy, None, self.guard)
    }

    fn corecast_joined(&self) -> Result<Server, StartError> {
        let engine = self.plan.engine.clone().unwrap_or(Engine::Started(&NATS));
        let options = BrokerOptions { engine: Some(engine), ..self.plan.broker_options(self.name) };
        joined::start(&options, Mode::Proxy, None, self.guard)
    }

    /// Two servers, the second of which has a route to the first. No client is told to go to the other.
    fn clustered(&self, product: &Product) -> Result<Server, StartError> {
        let port = || free_port().map_err(|error| failed(product.program, error));
        let first = port()?;
        let start = |port: u16, routes: &str| {
            let listen = format!("listen: \"127.0.0.1:{port}\", no_advertise: true");
            let cluster = format!("cluster {{ name: bench, {listen}, routes: [{routes}] }}\n");
            product.start(Transport::Tcp, &cluster, self.guard)
        };
        let mut server = start(first, "")?;
        let far = start(port()?, &format!("\"nats://127.0.0.1:{first}\""))?;
        server.far_at = Some(far.subscribe_at.clone());
        server.joined.push(far);
        Ok(server)
    }

    fn corecast_before(&self) -> Result<Server, StartError> {
        let Some(file) = &self.plan.before else {
            let fix = "name the command's file of that build with --before".to_owned();
            return Err(StartError::Missing { program: "another build of `corecast`".into(), fix });
        };
        let options = BrokerOptions { program: Some(file.clone()), ..self.plan.broker_options(self.name) };
        let mut server = broker::start(&options, Mode::Proxy, None, self.guard)?;
        server.version = version_of(file, "--version");
        Ok(server)
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
        let (listen, certificate) = listen(self.transport, (folder.path(), "floor.sock"), 0)?;
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
