//! `corecast broker`: serves until it is asked to stop, then drains.

use std::time::Duration;

use clap::Args;
use corecast_executors::{
    CoreSet, Idle, Inbox, Link, TerminationSignals, exit_now, ignore_stray_signals, link, raise_open_files,
    spawn_plain,
};
use serde::Serialize;

use super::http_address::HttpAddress;
use super::output::{Format, json_line, note, print_for_a_reader};
use super::quantity::{Size, TimeSpan};
use super::socket_args::SocketArgs;
use super::{Exit, Failure};
use crate::broker::{Broker, BrokerConfig};
use crate::control::{self, HttpServer, Pages};
use crate::limits::{
    DRAIN_DEFAULT, EGRESS_BYTES_MAX_DEFAULT, EGRESS_FRAMES_MAX_DEFAULT, FRAME_BYTES_MAX_DEFAULT,
    HEARTBEAT_DEFAULT, LEASE_DEFAULT,
};
use crate::registry::{Mode, ModeRules};
use crate::telemetry::MetricsPage;
use crate::{Endpoint, Filter, OverflowPolicy};

const EXAMPLES: &str = "\
Examples:
  corecast broker
  corecast broker --listen tcp://0.0.0.0:6680 --listen uds:///run/corecast.sock --cores 2-15
  corecast broker --listen tcp://127.0.0.1:0 -o json        # a free port, shown in the ready line
  corecast broker --overflow block --metrics 127.0.0.1:9680
  corecast broker --zmtp tcp://127.0.0.1:5555               # PUB, SUB, XPUB and XSUB sockets of ZeroMQ
  corecast broker --mode-rule 'video.>=direct'              # video goes direct, all else through the broker

Once it serves, it prints the ready line on stdout: ready tcp://127.0.0.1:6680 shards=2 cores=0,1
SIGTERM, SIGINT or SIGHUP stops it gracefully: it drains, delivering what it has taken, for at most --drain-timeout. If \
that is too short, the exit code is 27 and the losses are logged. A second signal ends it at once, with exit code 1.";

/// Run the broker, with one shard per core.
#[derive(Args, Debug)]
#[command(after_help = EXAMPLES)]
pub(super) struct BrokerArgs {
    /// Address to listen on: tcp://HOST:PORT, with * as HOST for all addresses of this host, or uds://PATH;
    /// repeatable or comma-separated.
    #[arg(
        long,
        value_name = "URL",
        value_delimiter = ',',
        default_values_t = [Endpoint::default()],
    )]
    listen: Vec<Endpoint>,

    /// Address for ZeroMQ clients, publishers and subscribers alike: tcp://HOST:PORT or ipc://PATH; repeatable or
    /// comma-separated.
    #[arg(long, value_name = "URL", value_delimiter = ',')]
    zmtp: Vec<Endpoint>,

    /// Address for ZeroMQ publishers only, like the XSUB socket of a proxy.
    #[arg(long, value_name = "URL", value_delimiter = ',')]
    zmtp_xsub: Vec<Endpoint>,

    /// Address for ZeroMQ subscribers only, like the XPUB socket of a proxy.
    #[arg(long, value_name = "URL", value_delimiter = ',')]
    zmtp_xpub: Vec<Endpoint>,

    #[command(flatten)]
    sockets: SocketArgs,

    /// Pass every subscription on to ZeroMQ publishers, not only the first of each prefix (for last-value caches).
    #[arg(long)]
    zmtp_verbose: bool,

    /// CPU cores to run on: all, physical, 0-3,8 or numa:0.
    #[arg(long, value_name = "SET", default_value_t = CoreSet::default())]
    cores: CoreSet,

    /// Number of shards [default: one per core of the set].
    #[arg(long, value_name = "N")]
    shards: Option<usize>,

    /// Behaviour of an idle shard: park, spin:MICROSECONDS before parking, or busy.
    #[arg(long, value_name = "POLICY", default_value_t = Idle::default())]
    idle: Idle,

    /// Overflow policy for slow consumers: drop-oldest, drop-newest, latest, disconnect or block.
    #[arg(long, value_name = "POLICY", default_value_t = OverflowPolicy::default())]
    overflow: OverflowPolicy,

    /// Limit of each egress queue in bytes; every batch counts 144 bytes extra.
    #[arg(
        long,
        value_name = "BYTES",
        default_value_t = Size(EGRESS_BYTES_MAX_DEFAULT)
    )]
    egress_bytes: Size,

    /// Limit of each egress queue in frames.
    #[arg(long, value_name = "N", default_value_t = EGRESS_FRAMES_MAX_DEFAULT)]
    egress_frames: usize,

    /// Maximum frame size: topic, payload and about 40 bytes of overhead.
    #[arg(
        long,
        value_name = "BYTES",
        default_value_t = Size(FRAME_BYTES_MAX_DEFAULT)
    )]
    frame_bytes_max: Size,

    /// Heartbeat interval: a session that stays silent for three of them is closed.
    #[arg(long, value_name = "SECS", default_value_t = TimeSpan(HEARTBEAT_DEFAULT))]
    heartbeat: TimeSpan,

    /// Mode of topics that no rule matches: proxy (through the broker) or direct (from publisher to subscriber).
    #[arg(long, value_name = "MODE", default_value_t = Mode::default())]
    mode: Mode,

    /// Mode of the topics that match a filter, such as 'video.>=direct'; repeatable or comma-separated, the first
    /// match wins.
    #[arg(
        long,
        value_name = "FILTER=MODE",
        value_delimiter = ',',
        value_parser = ModeRules::parse_rule,
    )]
    mode_rule: Vec<(Filter, Mode)>,

    /// Lease of a direct publisher: it is removed unless it renews within this time.
    #[arg(long, value_name = "SECS", default_value_t = TimeSpan(LEASE_DEFAULT))]
    lease: TimeSpan,

    /// Drain timeout on shutdown.
    #[arg(long, value_name = "SECS", default_value_t = TimeSpan(DRAIN_DEFAULT))]
    drain_timeout: TimeSpan,

    /// Address of the HTTP server: metrics for Prometheus at http://HOST:PORT/metrics, health at /health.
    #[arg(long, value_name = "HOST:PORT")]
    metrics: Option<HttpAddress>,

    /// Format of the ready line.
    #[arg(short, long, value_name = "FORMAT", default_value = "text")]
    output: Format,
}

impl BrokerArgs {
    fn config(&self) -> Result<BrokerConfig, Failure> {
        Ok(BrokerConfig {
            listen: self.listen.clone(),
            zmtp: self.zmtp.clone(),
            zmtp_xsub: self.zmtp_xsub.clone(),
            zmtp_xpub: self.zmtp_xpub.clone(),
            socket_access: self.sockets.access(),
            zmtp_verbose: self.zmtp_verbose,
            cores: self.cores.clone(),
            shards: self.shards,
            idle: self.idle,
            overflow: self.overflow,
            egress_bytes_max: self.egress_bytes.0,
            egress_frames_max: self.egress_frames,
            frame_bytes_max: self.frame_bytes_max.0,
            heartbeat: self.heartbeat.0,
            modes: ModeRules::new(self.mode_rule.clone(), self.mode)?,
            lease: self.lease.0,
        })
    }
}

pub(super) fn run(args: BrokerArgs) -> Result<Exit, Failure> {
    let config = args.config()?;
    config.validate()?;
    for (filter, meant) in
        args.mode_rule.iter().filter_map(|(filter, _)| Some((filter, filter.suggestion()?)))
    {
        tracing::warn!(
            "--mode-rule: '{filter}' is taken as a name; + and # are no wildcards here: '{meant}'?"
        );
    }
    let (news_link, mut news) = link(NEWS_MAX);
    wait_for_signals(news_link.clone())?;
    raise_limit_of_connections();
    // Before the shards, which register with the recorder that is there.
    let page = args.metrics.is_some().then(MetricsPage::install).transpose()?;
    let server = args.metrics.as_ref().map(|address| HttpServer::listen(&address.0)).transpose()?;
    let broker = Broker::start(config)?;
    let ready = Ready::of(&broker, server.as_ref().map(HttpServer::endpoint));
    if let (Some(page), Some(server)) = (page, server) {
        control::start(broker.cores(), server.serve(Pages::new(page, broker.pulses())))?;
    }
    announce(ready.line(args.output), news_link)?;
    let served = until_asked_to_stop(&mut news);
    if served.is_ok() {
        tracing::info!("asked to stop: draining for at most {:?}", args.drain_timeout.0);
    }
    let stopped = broker.stop(if served.is_ok() { args.drain_timeout.0 } else { Duration::ZERO });
    served?;
    stopped?;
    Ok(Exit::Fine)
}

/// What may happen to the command while its broker serves.
enum News {
    /// Somebody has read the ready line, or nobody can.
    Announced(Result<(), Failure>),
    /// A signal asks it to stop.
    Asked,
}

/// Each kind of news comes once.
const NEWS_MAX: usize = 2;

/// Returns when a signal asks for it.
///
/// # Errors
/// The ready line cannot be written.
fn until_asked_to_stop(news: &mut Inbox<News>) -> Result<(), Failure> {
    loop {
        match news.recv_blocking().expect("the thread that waits for signals lives as long as the process") {
            News::Announced(announced) => announced?,
            News::Asked => return Ok(()),
        }
    }
}

/// Writes the ready line on a thread of its own: a pipe that nobody reads would keep the command from its signals. One
/// that is closed is an error: whoever waits for the line would wait for ever.
fn announce(line: String, news: Link<News>) -> Result<(), Failure> {
    let write = move || drop(news.try_send(News::Announced(print_for_a_reader(line))));
    spawn_plain("ready", write)
        .map(drop)
        .map_err(|e| Failure::new(Exit::Failed, format!("cannot start the thread that says it serves: {e}")))
}

/// Each session is a file descriptor, and the usual soft limit of 1,024 is for programs that use `select`.
fn raise_limit_of_connections() {
    match raise_open_files(u64::MAX) {
        Ok(limit) => tracing::info!("at most {limit} open files, so somewhat fewer sessions"),
        Err(e) => tracing::warn!("cannot raise the limit of open files: {e}"),
    }
}

/// From now on the first signal is news, and the second ends the process at once: whoever sends it has seen the first
/// one do too little.
fn wait_for_signals(news: Link<News>) -> Result<(), Failure> {
    let failed = |e: std::io::Error| Failure::new(Exit::Failed, format!("cannot wait for signals: {e}"));
    let mut signals = TerminationSignals::install().map_err(failed)?;
    ignore_stray_signals().map_err(failed)?;
    let wait = move || {
        signals.wait();
        // There is room for it, and the command takes it unless it has ended by itself.
        let _ = news.try_send(News::Asked);
        signals.wait();
        note("error: asked again to stop, so what was not sent is lost");
        exit_now(Exit::Failed as u8);
    };
    // Nobody joins it: it ends with the process.
    spawn_plain("signals", wait).map(drop).map_err(failed)
}

/// What is known when the broker serves.
#[derive(Serialize)]
struct Ready {
    endpoints: Vec<String>,
    /// For ZeroMQ sockets, as they write them.
    zmtp: Vec<String>,
    shards: usize,
    cores: Vec<u32>,
    /// `HOST:PORT`.
    metrics: Option<String>,
    pid: u32,
}

impl Ready {
    fn of(broker: &Broker, metrics: Option<&Endpoint>) -> Self {
        Ready {
            endpoints: broker.endpoints().iter().map(Endpoint::to_string).collect(),
            zmtp: broker.zmtp_endpoints().iter().map(Endpoint::to_zmq).collect(),
            shards: broker.shards(),
            cores: broker.cores().iter().map(|core| core.0).collect(),
            metrics: metrics.map(|endpoint| HttpAddress(endpoint.clone()).to_string()),
            pid: std::process::id(),
        }
    }

    fn line(&self, format: Format) -> String {
        match format {
            Format::Json => json_line(self),
            Format::Text => {
                let cores: Vec<String> = self.cores.iter().map(u32::to_string).collect();
                let metrics =
                    self.metrics.as_ref().map(|address| format!(" metrics={address}")).unwrap_or_default();
                let endpoints = self.endpoints.join(" ");
                let zmtp = self.zmtp.iter().map(|url| format!(" zmtp={url}")).collect::<String>();
                format!("ready {endpoints} shards={} cores={}{zmtp}{metrics}\n", self.shards, cores.join(","))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser, Debug)]
    struct Typed {
        #[command(flatten)]
        args: BrokerArgs,
    }

    fn typed(line: &[&str]) -> Result<BrokerArgs, clap::Error> {
        Typed::try_parse_from(std::iter::once(&"broker").chain(line)).map(|typed| typed.args)
    }

    #[test]
    fn options_reach_the_configuration() {
        let line = "--listen tcp://127.0.0.1:0,uds:///run/x --listen tcp://[::1]:1 --cores all --shards 3 \
                    --idle spin:100 --overflow block --egress-bytes 1MiB --egress-frames 7 \
                    --frame-bytes-max 64KiB --heartbeat 500ms";
        let args = typed(&line.split_whitespace().collect::<Vec<_>>()).expect("as it should be typed");
        let config = args.config().unwrap();
        let listen: Vec<String> = config.listen.iter().map(Endpoint::to_string).collect();
        assert_eq!(listen, ["tcp://127.0.0.1:0", "uds:///run/x", "tcp://[::1]:1"]);
        assert_eq!((config.shards, config.overflow), (Some(3), OverflowPolicy::Block));
        assert_eq!((config.egress_bytes_max, config.egress_frames_max), (1 << 20, 7));
        assert_eq!((config.frame_bytes_max, config.heartbeat), (64 << 10, Duration::from_millis(500)));
        assert_eq!(config.idle.to_string(), "spin:100");
    }

    #[test]
    fn what_is_typed_wrong_is_told() {
        for (line, part) in [
            (["--listen", "9680"], "tcp://*:9680"),
            (["--overflow", "block-all"], "drop-oldest"),
            (["--egress-bytes", "16 parsecs"], "not a unit"),
            (["--heartbeat", "soon"], "seconds"),
            (["--cores", "fast"], "physical"),
            (["--metrics", "9680"], "write HOST:PORT"),
        ] {
            let error = typed(&line).expect_err("it is wrong").to_string();
            assert!(error.contains(part), "{line:?}: {error}");
        }
    }

    #[test]
    fn the_line_that_says_that_it_serves() {
        let mut ready = Ready {
            endpoints: vec!["tcp://127.0.0.1:6680".into(), "uds:///run/x".into()],
            zmtp: vec![],
            shards: 2,
            cores: vec![0, 1],
            metrics: None,
            pid: 5,
        };
        assert_eq!(ready.line(Format::Text), "ready tcp://127.0.0.1:6680 uds:///run/x shards=2 cores=0,1\n");
        ready.zmtp = vec!["tcp://127.0.0.1:5555".into()];
        assert!(ready.line(Format::Text).ends_with(" cores=0,1 zmtp=tcp://127.0.0.1:5555\n"));
        ready.zmtp = vec![];
        ready.metrics = Some("127.0.0.1:9680".into());
        assert!(ready.line(Format::Text).ends_with(" cores=0,1 metrics=127.0.0.1:9680\n"));
        let json: serde_json::Value = serde_json::from_str(&ready.line(Format::Json)).expect("JSON");
        assert_eq!((&json["shards"], &json["cores"]), (&2.into(), &serde_json::json!([0, 1])));
        assert_eq!(json["endpoints"][0], "tcp://127.0.0.1:6680");
    }
}
