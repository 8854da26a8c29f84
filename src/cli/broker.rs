//! `corecast broker`: serves until it is asked to stop, then drains.

use std::cell::Cell;
use std::future::pending;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use std::{io, mem};

use clap::Args;
use corecast_executors::{
    Inbox, Link, SignalRequest, TerminationSignals, exit_now, ignore_stray_signals, link, raise_open_files,
    spawn_plain,
};
use serde::Serialize;

use super::broker_options::{BrokerOptions, Prepared};
use super::core_dumps::forbid_core_dumps;
use super::http_address::HttpAddress;
use super::live_config::LiveConfig;
use super::live_files::{LiveFiles, Reloaded};
use super::log_options::LogOptions;
use super::output::{Format, json_line, note, print_for_a_reader};
use super::settings::Settings;
use super::systemd;
use super::{Exit, Failure};
use crate::broker::{Broker, BrokerConfig};
use crate::control::{DrainRequest, HttpServer, Pages, ReloadRequest, SendOff};
use crate::error::Error;
use crate::limits::ENGINE_TICK;
use crate::telemetry::{MetricsPage, Pulse};
use crate::{Endpoint, InheritedSockets};

const EXAMPLES: &str = "\
Examples:
  corecast broker
  corecast broker --config broker.toml                      # its options, from a file
  corecast broker --listen tcp://127.0.0.1:6680 --listen uds:///run/corecast.sock --cores 2-15
  corecast broker --users users.toml                # only users of this file: see `corecast user --help`
  corecast broker --listen tcp://127.0.0.1:0 -o json        # a free port, shown in the ready line
  corecast broker --overflow block --metrics 127.0.0.1:9680
  corecast broker --metrics 'https://*:9680' --metrics uds:///run/corecast/http.sock \
      --http-token-file http.token --tls-cert server.pem --tls-key server.key   # operators of this host have a socket
  corecast broker --listen 'tls://*:6680' --tls-cert server.pem --tls-key server.key --users users.toml   # see `corecast cert`
  corecast broker --zmtp tcp://127.0.0.1:5555               # PUB, SUB, XPUB and XSUB sockets of ZeroMQ
  corecast broker --zmtp 'tcp://*:5555' --zmtp-curve-key broker.key_secret --users users.toml   # see `corecast curve-keygen`
  corecast broker --mode-rule 'video.>=direct'              # video goes direct, all else through the broker

A listener that other hosts reach needs --users and encryption, or --insecure, which leaves it open to everybody.

Once it serves, it prints the ready line on stdout: ready tcp://127.0.0.1:6680 shards=2 cores=0,1
SIGTERM, SIGINT or SIGHUP stops it gracefully: it drains, delivering what it has taken, for at most --drain-timeout. If \
that is too short, the exit code is 27 and the losses are logged. A second signal ends it at once, with exit code 1. \
With --config, --users, --tls-cert or --http-token-file, SIGHUP does not stop it: these files are read again, sessions that may no \
longer do what they do are ended, and connections from then on get the new certificate and token. Of the config file it takes up \
other such files and the log level; the log names what else has changed and needs a restart. `corecast reload` asks for the same, \
and reports the result.";

/// Run the broker, with one shard per core.
#[derive(Args, Debug)]
#[command(after_help = EXAMPLES)]
pub(super) struct BrokerArgs {
    #[command(flatten)]
    pub(super) options: BrokerOptions,

    /// Format of the ready line.
    #[arg(short, long, value_name = "FORMAT", default_value = "text")]
    output: Format,
}

/// The level of the broker's logs where no option chooses one.
pub(super) const LOG_LEVEL: &str = "info";

pub(super) fn run(args: BrokerArgs, logs: &Settings<LogOptions>) -> Result<Exit, Failure> {
    let options = args.options.clone();
    let Prepared { config, files, drain_timeout, send_off, metrics, engine_wait, core_dumps } =
        args.options.prepare()?;
    let inherited = InheritedSockets::from_environment()?;
    let listeners = config.listeners.clone().inherited(inherited.clone());
    let config = config.listeners(listeners);
    for (filter, meant) in
        config.mode_rules.iter().filter_map(|(filter, _)| Some((filter, filter.suggestion()?)))
    {
        tracing::warn!(
            "--mode-rule: '{filter}' is taken as a name; + and # are no wildcards here: '{meant}'?"
        );
    }
    let mut live = LiveConfig::new(&options, logs, files.clone(), LOG_LEVEL);
    // Each of them is a secret, or lets others show theirs.
    let has_secrets = files.are_there() || config.zmtp_curve_key.is_some() || !config.engine.is_empty();
    if has_secrets && !core_dumps {
        forbid_core_dumps()?;
    }
    let (news_link, mut news) = link(NEWS_MAX);
    let reloads = live.can_reload().then(|| Arc::new(AtomicBool::new(false)));
    wait_for_signals(news_link.clone(), reloads.clone(), send_off.clone())?;
    let open_files = raise_open_files(u64::MAX);
    // Before the shards, which register with the recorder that is there.
    let page = (!metrics.is_empty()).then(MetricsPage::install).transpose()?;
    let listen = |address| listen_for_readers(address, &config, &files);
    let servers = metrics.iter().map(listen).collect::<Result<Vec<HttpServer>, Error>>()?;
    let mut broker = Broker::start(config)?;
    inherited.check_all_taken()?;
    let ready = Ready::of(&broker, &servers);
    let renewals: Vec<_> = servers.iter().map(HttpServer::renewal).collect();
    if let Some(page) = page {
        let notes = broker.insecure().iter().chain(servers.iter().flat_map(HttpServer::insecure));
        let pages = Pages::new(page, broker.pulses()).with_notes(notes).with_operations(broker.operations());
        let (pages, requests) = pages.with_engine(broker.engine_questions()).with_reload();
        let (pages, drains) = pages.with_drain();
        for server in servers {
            broker.control().spawn("http", server.serve(pages.clone()));
        }
        broker.control().spawn("reload", pass_on(requests, news_link.clone()));
        broker.control().spawn("drain", pass_drains_on(drains, news_link.clone(), send_off));
    }
    // Not before it serves: a start that fails has another reason.
    note_room_for_connections(open_files);
    if engine_wait && wait_for_engine(&mut broker, &mut news, &news_link) {
        return broker.stop(drain_timeout).map(|()| Exit::Fine).map_err(Failure::from);
    }
    announce(ready.line(args.output), news_link.clone())?;
    systemd::ready(&ready.line(Format::Text));
    systemd::feed_watchdog(broker.pulses())?;
    let mut is_sent_off = false;
    let send_off = |order: SendOff| {
        // The first one counts: its clients are on their way.
        if !mem::replace(&mut is_sent_off, true) {
            begin_send_off(&broker, order, news_link.clone());
        }
    };
    let served = until_asked_to_stop(&mut news, send_off, || {
        if let Some(pending) = &reloads {
            // Before the files are read: another signal may come meanwhile.
            pending.store(false, Ordering::SeqCst);
        }
        systemd::reloading();
        let outcome = live.reload(&broker, &renewals);
        systemd::reloaded();
        outcome
    });
    if served.is_ok() {
        systemd::stopping(drain_timeout);
        tracing::info!("asked to stop: draining for at most {:?}", drain_timeout);
    }
    let stopped = broker.stop(if served.is_ok() { drain_timeout } else { Duration::ZERO });
    served?;
    stopped?;
    Ok(Exit::Fine)
}

/// Waits until the engine answers. Returns true if a signal asks to stop before. Other news has to wait.
fn wait_for_engine(broker: &mut Broker, news: &mut Inbox<News>, later: &Link<News>) -> bool {
    let mut early = Vec::new();
    while !broker.wait_for_engine(ENGINE_TICK) {
        match news.try_recv() {
            Some(News::Asked) => return true,
            // Of each kind there is one at the most, so this is short.
            other => early.extend(other),
        }
    }
    // There is room, as each was there before.
    early.into_iter().for_each(|news| drop(later.try_send(news)));
    false
}

/// Listens for readers of the pages, if those have to show what they need to.
fn listen_for_readers(
    address: &HttpAddress,
    config: &BrokerConfig,
    files: &LiveFiles,
) -> Result<HttpServer, Error> {
    let token = files.read_http_token()?;
    let mut server = HttpServer::listen(&address.0, &config.listeners)?.token(token);
    server.check_exposure(config.insecure)?;
    Ok(server)
}

/// Passes requests for a reload on, one after the other.
async fn pass_on(mut requests: Inbox<ReloadRequest>, news: Link<News>) -> Error {
    while let Some(request) = requests.recv().await {
        let (answer, mut answers) = link(1);
        if news.send(News::Reload(Some(answer))).await.is_ok()
            && let Some(outcome) = answers.recv().await
        {
            request.answer(outcome);
        }
    }
    // The server has ended, and with it the broker.
    pending().await
}

/// Passes orders to drain on. One that has nowhere to send clients, and no time for that, is the same as the first signal that asks
/// it to stop.
async fn pass_drains_on(mut drains: Inbox<DrainRequest>, news: Link<News>, standing: SendOff) -> Error {
    let (mut has_asked, mut has_sent_off) = (false, false);
    while let Some(request) = drains.recv().await {
        let (asked, before) = match standing.with(&request) {
            Some(order) => (News::SendOff(order), &mut has_sent_off),
            None => (News::Asked, &mut has_asked),
        };
        // The first of each kind counts, and no others take up room.
        if !mem::replace(before, true) {
            // A command that has ended by itself takes no more news.
            let _ = news.try_send(asked);
        }
    }
    pending().await
}

/// Sends the clients of a broker elsewhere; then it is to stop.
fn begin_send_off(broker: &Broker, order: SendOff, news: Link<News>) {
    tracing::info!("asked to drain: clients are told to go on at another broker");
    broker.pulses().iter().for_each(Pulse::send_off);
    let (operations, engine) = (broker.operations(), broker.engine_questions());
    broker.control().spawn("send_off", async move {
        let view = match &engine {
            Some(engine) => engine.ask().await,
            None => None,
        };
        let joined = view.map(|view| view.joined()).unwrap_or_default();
        match order.carry_out(&operations, &joined).await {
            0 => tracing::info!("every client that could has gone to another broker"),
            left => tracing::warn!(
                sessions = left,
                "clients were told to go on at another broker, and have not gone"
            ),
        }
        let _ = news.try_send(News::Asked);
        pending().await
    });
}

/// Events of the command while its broker serves.
enum News {
    /// Somebody has read the ready line, or nobody can.
    Announced(Result<(), Failure>),
    /// A signal, or an operator, asks it to stop.
    Asked,
    /// A signal, or an operator, asks it to send its clients elsewhere first.
    SendOff(SendOff),
    /// It is to read its files again: a signal asks for it, or a request, which is answered.
    Reload(Option<Link<Reloaded>>),
}

/// Each kind of news waits at most once: a stop, a send-off and a reload once for a signal and once for a request, and a stop also at
/// the end of a send-off.
const NEWS_MAX: usize = 8;

/// Returns when a signal asks for it; reloads when another does, or a request.
///
/// # Errors
/// The ready line cannot be written.
fn until_asked_to_stop(
    news: &mut Inbox<News>,
    mut send_off: impl FnMut(SendOff),
    mut reload: impl FnMut() -> Reloaded,
) -> Result<(), Failure> {
    loop {
        match news.recv_blocking().expect("the thread that waits for signals lives as long as the process") {
            News::Announced(announced) => announced?,
            News::Asked => return Ok(()),
            News::SendOff(order) => send_off(order),
            News::Reload(answer) => {
                let outcome = reload();
                if let Some(answer) = answer {
                    // Whoever asked may have gone.
                    let _ = answer.try_send(outcome);
                }
            }
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

/// Logs how many files the process may open, now that the limit is raised: each session is a file descriptor, and the usual
/// soft limit of 1,024 is for programs that use `select`.
fn note_room_for_connections(open_files: io::Result<u64>) {
    match open_files {
        Ok(limit) => tracing::info!("at most {limit} open files, so somewhat fewer sessions"),
        Err(e) => tracing::warn!("cannot raise the limit of open files: {e}"),
    }
}

/// From now on the first signal is news, and the second ends the process at once: whoever sends it has seen the first
/// one do too little.
///
/// With `reloads` a hang-up is no request to stop: it sets that, and is news unless the last one still waits. SIGUSR2 sends clients
/// elsewhere first.
fn wait_for_signals(
    news: Link<News>,
    reloads: Option<Arc<AtomicBool>>,
    send_off: SendOff,
) -> Result<(), Failure> {
    let failed = |e: std::io::Error| Failure::new(Exit::Failed, format!("cannot wait for signals: {e}"));
    let mut signals = match &reloads {
        Some(_) => TerminationSignals::install_with_reload(),
        None => TerminationSignals::install(),
    }
    .and_then(TerminationSignals::with_send_off)
    .map_err(failed)?;
    ignore_stray_signals().map_err(failed)?;
    let wait = move || {
        let is_sent_off = Cell::new(false);
        until_asked_to_end(&mut signals, |request| match request {
            SignalRequest::Reload => {
                if reloads.as_ref().is_some_and(|pending| !pending.swap(true, Ordering::SeqCst)) {
                    let _ = news.try_send(News::Reload(None));
                }
            }
            SignalRequest::SendOff => {
                if !is_sent_off.replace(true) {
                    let _ = news.try_send(News::SendOff(send_off.clone()));
                }
            }
            SignalRequest::End => {}
        });
        // There is room for it, and the command takes it unless it has ended by itself.
        let _ = news.try_send(News::Asked);
        until_asked_to_end(&mut signals, |_| {});
        note("error: asked again to stop, so what was not sent is lost");
        exit_now(Exit::Failed as u8);
    };
    // Nobody joins it: it ends with the process.
    spawn_plain("signals", wait).map(drop).map_err(failed)
}

fn until_asked_to_end(signals: &mut TerminationSignals, other: impl Fn(SignalRequest)) {
    loop {
        match signals.wait_for_request() {
            SignalRequest::End => return,
            request => other(request),
        }
    }
}

/// Facts about a broker that serves.
#[derive(Serialize)]
struct Ready {
    endpoints: Vec<String>,
    /// For ZeroMQ sockets, as they write them.
    zmtp: Vec<String>,
    shards: usize,
    cores: Vec<u32>,
    /// The first HTTP server: `HOST:PORT`, `https://HOST:PORT` or `uds://PATH`.
    metrics: Option<String>,
    /// All of them.
    http: Vec<String>,
    pid: u32,
}

impl Ready {
    fn of(broker: &Broker, servers: &[HttpServer]) -> Self {
        let http: Vec<String> =
            servers.iter().map(|server| HttpAddress(server.endpoint().clone()).to_string()).collect();
        Ready {
            endpoints: broker.endpoints().iter().map(Endpoint::to_string).collect(),
            zmtp: broker.zmtp_endpoints().iter().map(Endpoint::to_zmq).collect(),
            shards: broker.shards(),
            cores: broker.cores().iter().map(|core| core.0).collect(),
            metrics: http.first().cloned(),
            http,
            pid: std::process::id(),
        }
    }

    fn line(&self, format: Format) -> String {
        match format {
            Format::Json => json_line(self),
            Format::Text => {
                let cores: Vec<String> = self.cores.iter().map(u32::to_string).collect();
                let metrics: String = self.http.iter().map(|address| format!(" metrics={address}")).collect();
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
    use crate::OverflowPolicy;
    use crate::limits::DRAIN_DEFAULT;

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
        let config = args.options.config.0;
        let listen: Vec<String> = config.listen.iter().map(Endpoint::to_string).collect();
        assert_eq!(listen, ["tcp://127.0.0.1:0", "uds:///run/x", "tcp://[::1]:1"]);
        assert_eq!((config.shards, config.overflow), (Some(3), OverflowPolicy::Block));
        assert_eq!((config.egress_bytes_max, config.egress_frames_max), (1 << 20, 7));
        assert_eq!((config.frame_bytes_max, config.heartbeat), (64 << 10, Duration::from_millis(500)));
        assert_eq!(config.idle.to_string(), "spin:100");
        let line = [
            "--mode-rule",
            "a=direct,b=proxy",
            "--mode-rule",
            "c=direct",
            "--zmtp-verbose",
            "--socket-mode",
            "600",
        ];
        let args = typed(&line).expect("as it should be typed");
        let rules: Vec<String> =
            args.options.config.0.mode_rules.iter().map(|(filter, _)| filter.text().into_owned()).collect();
        assert_eq!((rules.concat().as_str(), args.options.config.0.zmtp_verbose), ("abc", true));
        assert_eq!(
            (args.options.listeners.0.file_mode, args.options.listeners.0.file_group),
            (Some(0o600), None)
        );
        assert_eq!(
            (args.options.serving.0.drain_timeout, args.options.serving.0.metrics),
            (DRAIN_DEFAULT, Vec::new())
        );
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
            (["--mode-rule", "a"], "FILTER=proxy"),
            (["--socket-mode", "rw"], "octal"),
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
            http: vec![],
            pid: 5,
        };
        assert_eq!(ready.line(Format::Text), "ready tcp://127.0.0.1:6680 uds:///run/x shards=2 cores=0,1\n");
        ready.zmtp = vec!["tcp://127.0.0.1:5555".into()];
        assert!(ready.line(Format::Text).ends_with(" cores=0,1 zmtp=tcp://127.0.0.1:5555\n"));
        ready.zmtp = vec![];
        (ready.metrics, ready.http) =
            (Some("127.0.0.1:9680".into()), vec!["127.0.0.1:9680".into(), "uds:///h".into()]);
        assert!(ready.line(Format::Text).ends_with(" cores=0,1 metrics=127.0.0.1:9680 metrics=uds:///h\n"));
        let json: serde_json::Value = serde_json::from_str(&ready.line(Format::Json)).expect("JSON");
        assert_eq!((&json["shards"], &json["cores"]), (&2.into(), &serde_json::json!([0, 1])));
        assert_eq!(json["endpoints"][0], "tcp://127.0.0.1:6680");
    }
}
