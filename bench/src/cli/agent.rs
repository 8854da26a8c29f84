//! `corecast-bench agent`: waits on a host for controllers, and plays their subscribers.

use super::exit::{Exit, OrWrongUsage};
use super::output::print;
use crate::host::agent::serve;
use crate::interrupt::Interrupt;
use anyhow::Context;
use clap::Args;
use corecast::internals::printable::printable;
use corecast::internals::telemetry::{self, LogFormat};
use corecast::internals::transport::{Listening, listen};
use corecast::{Endpoint, ListenConfig};
use std::io::Write;
use std::net::TcpListener;
use std::os::fd::OwnedFd;

const EXAMPLES: &str = "\
Examples:
  On every host that plays subscribers, at the address that the controller reaches
    corecast-bench agent --listen tcp://10.0.0.2:6690
  On the controller, with a file that names these hosts
    corecast-bench run --hosts hosts.toml --subscribers 512

hosts.toml:
    [[host]]
    name = \"worker1\"
    agent = \"tcp://10.0.0.2:6690\"

Whoever reaches the address can make this host connect to a broker anywhere, as often as it may have open files;
there is no authentication: open it only to networks that you trust. It serves one controller at a time, and ends in
order on SIGTERM or SIGINT, with 0.";

/// Arguments of `corecast-bench agent`.
#[derive(Args, Clone, Debug)]
#[command(after_help = EXAMPLES)]
pub struct AgentArgs {
    /// Address to wait for controllers at: tcp://HOST:PORT; with port 0 the first line on stdout says which it is
    #[arg(long, value_name = "URL", default_value = "tcp://127.0.0.1:6690", value_parser = parse_tcp)]
    pub listen: Endpoint,
    /// Log lines that go to stderr: error, warn, info, debug, trace, off, or by module (warn,corecast=debug)
    #[arg(long, value_name = "LEVEL", default_value = "warn")]
    pub log: String,
}

/// Serves until it is told to end.
pub fn execute(args: &AgentArgs) -> anyhow::Result<Exit> {
    telemetry::install_logs(&args.log, LogFormat::Text).context("--log").or_wrong_usage()?;
    let interrupt = Interrupt::by_signal().context("cannot listen for signals")?;
    let Listening { file: _file, sockets, endpoint } = listen(&args.listen, &ListenConfig::default())?;
    let sockets = sockets.into_iter().map(OwnedFd::from);
    let listeners: Vec<TcpListener> = sockets.map(TcpListener::from).collect();
    for listener in &listeners {
        listener.set_nonblocking(false).context("cannot wait for connections")?;
    }
    print(format!("ready {endpoint}\n").as_bytes())?;
    serve(listeners, &interrupt, say)?;
    Ok(Exit::Fine)
}

/// A line for whoever looks after the agent. Nobody may: no reason to end.
fn say(line: &str) {
    let _ = writeln!(std::io::stderr(), "corecast-bench agent: {}", printable(line));
}

fn parse_tcp(text: &str) -> Result<Endpoint, String> {
    match text.parse().map_err(|error: corecast::Error| error.to_string())? {
        endpoint @ Endpoint::Tcp { .. } => Ok(endpoint),
        _ => Err(format!("`{text}` is not for agents: write tcp://HOST:PORT")),
    }
}
