//! `corecast-bench agent`: waits on a host for controllers, and plays their subscribers.

use super::exit::{Exit, OrWrongUsage};
use super::output::print;
use crate::host::agent::serve;
use crate::host::hosts_file::parse_tcp;
use crate::host::token::AgentToken;
use crate::interrupt::Interrupt;
use anyhow::{Context, anyhow};
use clap::Args;
use corecast::internals::printable::printable;
use corecast::internals::telemetry::{self, LogFormat};
use corecast::internals::transport::{Listening, listen};
use corecast::{Endpoint, ListenConfig};
use std::io::Write;
use std::net::TcpListener;
use std::os::fd::OwnedFd;
use std::path::PathBuf;

const EXAMPLES: &str = "\
Examples:
  A token for all hosts, which is copied to each of them
    (umask 077; head -c 32 /dev/urandom | base64 >agent.token)
  On every host that plays subscribers, at the address that the controller reaches
    corecast-bench agent --listen tcp://10.0.0.2:6690 --token-file agent.token
  On the controller, with a file that names these hosts and the token
    corecast-bench run --hosts hosts.toml --subscribers 512

hosts.toml:
    token_file = \"agent.token\"
    [[host]]
    name = \"worker1\"
    agent = \"tcp://10.0.0.2:6690\"

Whoever has the token can make this host connect to a broker anywhere, as often as it may have open files. It never
travels: controller and agent prove to each other that they have it. What they say then is not encrypted, and anybody
on the way can change it. Without a token an agent listens on loopback alone, unless --insecure is given. It serves
one controller at a time, and ends in order on SIGTERM or SIGINT, with 0.";

/// The remedies for an agent that other hosts reach, and that asks for no token.
const WAY_OUT: &str = "ask for a token with --token-file FILE (corecast-bench agent --help), listen on 127.0.0.1, or accept it with --insecure";

/// Arguments of `corecast-bench agent`.
#[derive(Args, Clone, Debug)]
#[command(after_help = EXAMPLES)]
pub struct AgentArgs {
    /// Address to wait for controllers at: tcp://HOST:PORT; with port 0 the first line on stdout says which it is
    #[arg(long, value_name = "URL", default_value = "tcp://127.0.0.1:6690", value_parser = parse_tcp)]
    pub listen: Endpoint,
    /// File of the token that controllers must have (token_file in their file of hosts), for its owner alone (mode
    /// 0600)
    #[arg(long, value_name = "FILE")]
    pub token_file: Option<PathBuf>,
    /// Listen without a token where other hosts reach it, which may then make this host connect anywhere
    #[arg(long)]
    pub insecure: bool,
    /// Log lines that go to stderr: error, warn, info, debug, trace, off, or by module (warn,corecast=debug)
    #[arg(long, value_name = "LEVEL", default_value = "warn")]
    pub log: String,
}

/// Serves until it is told to end.
pub fn execute(args: &AgentArgs) -> anyhow::Result<Exit> {
    telemetry::install_logs(&args.log, LogFormat::Text).context("--log").or_wrong_usage()?;
    let interrupt = Interrupt::by_signal().context("cannot listen for signals")?;
    let token = args.token_file.as_deref().map(AgentToken::read).transpose();
    let token = token.context("--token-file").or_wrong_usage()?;
    let listening = listen(&args.listen, &ListenConfig::default())?;
    if token.is_none() && listening.is_remote() {
        let open =
            format!("everybody who reaches {} may make this host connect anywhere", listening.endpoint);
        if !args.insecure {
            return Err(anyhow!("{open}: {WAY_OUT}")).or_wrong_usage();
        }
        say(&open);
    }
    let Listening { file: _file, sockets, endpoint } = listening;
    let sockets = sockets.into_iter().map(OwnedFd::from);
    let listeners: Vec<TcpListener> = sockets.map(TcpListener::from).collect();
    for listener in &listeners {
        listener.set_nonblocking(false).context("cannot wait for connections")?;
    }
    print(format!("ready {endpoint}\n").as_bytes())?;
    serve(listeners, token, &interrupt, say)?;
    Ok(Exit::Fine)
}

/// A line for whoever looks after the agent. Nobody may: no reason to end.
fn say(line: &str) {
    let _ = writeln!(std::io::stderr(), "corecast-bench agent: {}", printable(line));
}
