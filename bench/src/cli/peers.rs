//! `corecast-bench peers`: arguments as typed, then a plan that is checked, then the comparison, then what is printed
//! and written about it.

use super::exit::{Exit, OrWrongUsage};
use super::output::{check_json, complain, complain_of_each, json, now, print_lines, publish_both};
use crate::experiment::plan::{BrokerChoice, Plan};
use crate::experiment::topic_args::TopicArgs;
use crate::experiment::values::{parse_reactor, parse_size, parse_time};
use crate::interrupt::Interrupt;
use crate::measure::environment::Environment;
use crate::peer::assertion;
use crate::peer::compare::{ContestRuns, compare};
use crate::peer::elsewhere::{Elsewhere, parse_elsewhere};
use crate::peer::installed;
use crate::peer::name::{PeerName, PeerNames, System};
use crate::peer::plan::{Clients, Contest, window_default};
use crate::peer::summary::{ContestSummary, summarize};
use crate::peer::text;
use crate::process::broker::BrokerOptions;
use crate::process::engine::Engine;
use crate::process::neighbour::Neighbour;
use crate::process::transport::Transport;
use crate::record::Record;
use crate::record::expression::Expression;
use crate::results::{Kind, Results, ResultsError, ResultsFolder};
use crate::swarm::schedule::{Amount, Rate};
use anyhow::Context;
use clap::Args;
use corecast::internals::telemetry::{self, LogFormat};
use corecast::{Mode, Reactor, Sessions};
use corecast_executors::{CoreSet, Idle, Topology};
use std::path::{Path, PathBuf};
use std::time::Duration;

const QUESTION: &str = "How does the same fan-out go through other systems, and through bare sockets?";

const EXAMPLES: &str = "\
Examples:
  What there is, side by side, three rounds
    corecast-bench peers --subscribers 512 --size 64 --json peers.json
  What is installed, and what is not there yet, got first (Debian packages, and newer releases)
    corecast-bench peers --list
    scripts/peers.sh install
  Ours beside the best redis-server and the best nats-server of all that are installed
    corecast-bench peers --peers corecast,redis-all,nats-all --assert 'ratio.best_redis.deliveries_per_s >= 5'
  Only ours, the best rival and the floor, with bounds on ratios
    corecast-bench peers --peers corecast,libzmq,floor-tcp --rounds 5 \\
      --assert 'ratio.libzmq.deliveries_per_s >= 10' \\
      --assert 'ratio.floor_tcp.last_subscriber_us.median <= 1.2' --assert 'lost == 0'
  Over Unix sockets, and both in one record
    corecast-bench peers --transport uds
    corecast-bench peers --peers corecast-uds,corecast-tcp,floor-uds,floor-tcp
  Under TLS, with a certificate that is made for each, and beside TCP; a redis-server that was built without TLS is skipped
    corecast-bench peers --peers corecast-tls,corecast,nats-all-tls,redis-all-tls,floor-tls-blocks
  Sessions that subscribers share, with our own library
    corecast-bench peers --sessions per-executor --clients native --assert 'ratio.best.last_subscriber_us.median <= 0.1'
  Partial interest: each subscriber wants 20 of 100 topics
    corecast-bench peers --subscribers 256 --topics 100 --topics-per-subscriber 20 --assert 'lost + wrong == 0'
  Many publishers, few subscribers
    corecast-bench peers --publishers 256 --subscribers 4 --rate 2 --flood-messages 2000
  Beside a program that takes one of two cores, and goes before all others there
    corecast-bench peers --peers corecast,redis-all,nats-all --flood-messages 0 --neighbour 1:-10 \\
      --assert 'ratio.best.last_subscriber_us.median <= 1'
  Two brokers that NATS joins, beside two clustered nats-servers, and beside one broker
    corecast-bench peers --peers corecast-joined,nats-clustered,nats-2.15-clustered,corecast \\
      --assert 'ratio.nats_clustered.deliveries_per_s >= 8' --assert 'ratio.corecast.deliveries_per_s >= 0.95'
  The ancestor's way, beside our own library, and beside our own package for Python with sessions that a process shares
    corecast-bench peers --peers corecast,pyzmq-proxy --rate 4 --flood-messages 0
    corecast-bench peers --peers corecast-direct,pyzmq-direct --rate 4 --flood-messages 0
    corecast-bench peers --peers corecast-python,pyzmq-proxy --rate 4 --flood-messages 0 --sessions per-executor \\
      --assert 'ratio.pyzmq_proxy.last_subscriber_us.median <= 0.25' --assert 'lost == 0'
  Clients that may not use io_uring, beside those that do
    corecast-bench peers --peers corecast-epoll,corecast --clients native --subscribers 64 --flood-messages 100000 \\
      --assert 'ratio.corecast.last_subscriber_us.median <= 1.3' --assert 'ratio.corecast.deliveries_per_s >= 0.7'
  Another build of ours, to see what a change did
    corecast-bench peers --peers corecast --before OTHER/target/release/corecast --rounds 5 \\
      --assert 'ratio.corecast_before.deliveries_per_s >= 0.97'
  One that runs already
    corecast-bench peers --peers corecast --peer redis=tcp://127.0.0.1:6379,pid=4711

Peers: corecast, corecast-singles (with each message in a frame of its own; else consecutive ones of a topic that leave
together share frames), corecast-before (another build of it, named with --before), corecast-direct (past the broker; always
with our own library), corecast-epoll (subscribers and publishers of our own library that wait with epoll, not with io_uring), corecast-python (those
of our package for Python: a process per core, in each a task of asyncio per subscriber; no flood),
corecast-zmtp (our broker's ZeroMQ listener), corecast-joined (two brokers with --engine between
them, publishers at one, subscribers at both in turns, the first at the other one); libzmq and libzmq-one-part (its XPUB/XSUB proxy);
nats, redis and mosquitto (the system's own); nats-clustered and nats-2.15-clustered (two with a route between them, clients as with
corecast-joined: beside that, and in no ratio.best); nats-2.15, redis-8.2, redis-8.2-io4 (with four I/O threads) and zenoh-1.10
(a router; its subscribers are Zenoh's own in Python, which its times include; no flood), which scripts/peers.sh
installs; floor (a bare send() for each message and socket), floor-blocks (in the flood the same bytes in blocks of 64
KiB), floor-frames (those blocks, of the very frames that our broker sends); pyzmq-proxy and pyzmq-direct (a process per
core, a thread per subscriber). A name may say over what: floor-uds, floor-tcp-blocks, corecast-tls. libzmq-all, nats-all
and redis-all stand for all whose names begin so. A peer that is not there, or does not start, is skipped, and named with
the reason.

Each peer in each round is started afresh with a fair configuration (bench/peers/ in the source), the same raw sockets
subscribe to each, and then come: memory with all of them idle; --rate for --duration; a flood of --flood-messages, or
for --duration if that is over first, with at most --window messages on their way to the slowest subscriber, so that
nobody has to drop any.

--assert compares numbers of the whole comparison; dashes and dots of names are written as underscores:
  lost, gaps_reported, wrong, deliveries, deliveries_expected
                                    over all peers and runs
  PEER.deliveries_per_s             of one peer: median of the rounds; also cpu_ns_per_delivery,
  PEER.latency_us.median            cpu_ns_per_delivery_flood, rss_per_subscriber_bytes, lost and its like, and of our
                                    broker sessions_moved, from shard to shard;
                                    latency_us, first_subscriber_us, last_subscriber_us with min, q1, median, q3,
                                    p99, p99_9, max, mean, stddev
  ratio.PEER.deliveries_per_s       ours (the first corecast of --peers) over theirs: median of the rounds' ratios;
                                    with .min or .max behind it the least or greatest; also of latency_us.median,
                                    latency_us.p99, first_subscriber_us.median, last_subscriber_us.median,
                                    last_subscriber_us.p99, cpu_ns_per_delivery, cpu_ns_per_delivery_flood,
                                    rss_per_subscriber_bytes
  ratio.best.FIGURE                 the same over the best, in each round, of all but the floors and pyzmq
  ratio.best_redis.FIGURE           the same over the best redis-server in each round; also best_nats, best_libzmq, …

Exit codes: 0 fine (also with peers skipped), 1 failed or interrupted, or nothing was measured, 2 wrong usage or a
failed --assert, 3 a paced run did not reach its rate.";

/// Arguments of `corecast-bench peers`.
#[derive(Args, Clone, Debug)]
#[command(after_help = EXAMPLES)]
pub struct PeersArgs {
    /// Number of subscribers
    #[arg(long, value_name = "N", default_value_t = 512)]
    pub subscribers: usize,
    /// Number of publishers
    #[arg(long, value_name = "N", default_value_t = 1)]
    pub publishers: usize,
    /// Topics that publishers share.
    #[command(flatten)]
    pub topics: TopicArgs,
    /// Payload; at least 40 bytes, for run, publisher, sequence, time and checksum, or 52 with --topics
    #[arg(long, value_name = "BYTES", default_value_t = 64, value_parser = parse_size)]
    pub size: usize,
    /// Messages a second of each publisher in the paced run
    #[arg(long, value_name = "HZ", default_value = "20")]
    pub rate: Rate,
    /// Length of the paced run, and the most that a flood takes
    #[arg(long, value_name = "SECS", default_value = "5", value_parser = parse_time)]
    pub duration: Duration,
    /// Messages of each publisher in a flood, at most; 0: no flood
    #[arg(long, value_name = "N", default_value_t = 200_000)]
    pub flood_messages: u64,
    /// Messages of a flood on their way to the slowest subscriber at most [default: 4096 of 256 bytes or less, fewer
    /// of larger ones]
    #[arg(long, value_name = "N")]
    pub window: Option<u64>,
    /// Number of times that each peer is measured
    #[arg(long, value_name = "N", default_value_t = 3)]
    pub rounds: u32,
    /// Peers to compare [default: corecast, corecast-zmtp, libzmq-all, nats-all, redis-all, mosquitto, zenoh-1.10,
    /// floor, floor-blocks, floor-uds; those that have the transport]
    #[arg(long, value_name = "NAME[,NAME…]", value_delimiter = ',')]
    pub peers: Vec<PeerNames>,
    /// List the peers, which are installed, and how to get the others, and measure nothing
    #[arg(long)]
    pub list: bool,
    /// Use the peer that runs there instead of starting one; may be given several times
    #[arg(long = "peer", value_name = "NAME=URL[,publish=URL][,pid=N]", value_parser = parse_elsewhere)]
    pub elsewhere: Vec<(PeerName, Elsewhere)>,
    /// The `corecast` command of another build, to be measured in turn with this one as the peer corecast-before
    #[arg(long, value_name = "FILE", value_parser = parse_program)]
    pub before: Option<PathBuf>,
    /// Engine between the two brokers of corecast-joined: nats, nats-2.15, or the URL of one that runs [default: nats]
    #[arg(long, value_name = "NAME|URL")]
    pub engine: Option<Engine>,
    /// Transport, where a name does not say it: tcp, tls, uds
    #[arg(long, default_value = "tcp")]
    pub transport: Transport,
    /// Sessions of our subscribers: one for each, or one for each of their threads: per-subscriber, per-executor
    #[arg(long, default_value = "per-subscriber")]
    pub sessions: Sessions,
    /// Reactor that clients of our own library wait with: io_uring, epoll
    #[arg(long, value_name = "NAME", default_value = "io_uring", value_parser = parse_reactor)]
    pub reactor: Reactor,
    /// Subscribers of corecast: raw (the bare sockets of all peers), native (its own library)
    #[arg(long, default_value = "raw")]
    pub clients: Clients,
    /// Threads that the floor sends with, each to its share of the sockets
    #[arg(long, value_name = "N", default_value_t = 1)]
    pub floor_threads: usize,
    /// Keep a core busy meanwhile with a process of this nice value, as another program of the host would [default of
    /// NICE: 0]
    #[arg(long, value_name = "CORE[:NICE]")]
    pub neighbour: Option<Neighbour>,
    /// Cores of our broker's shards [default: all]
    #[arg(long, value_name = "SET")]
    pub broker_cores: Option<CoreSet>,
    /// Idle policy of those shards: park, spin:MICROSECONDS, busy [default: the broker's]
    #[arg(long, value_name = "IDLE")]
    pub broker_idle: Option<Idle>,
    /// Write the record (corecast-bench/1) into this file; `-`: to stdout, instead of the tables
    #[arg(long, value_name = "FILE")]
    pub json: Option<PathBuf>,
    /// Write all results into this folder, for `corecast-bench report`
    #[arg(long, value_name = "DIR")]
    pub out: Option<PathBuf>,
    /// Condition, such as 'lost == 0' or 'ratio.libzmq.deliveries_per_s >= 10'; may be given several times
    #[arg(long = "assert", value_name = "EXPR")]
    pub assertions: Vec<Expression>,
    /// Time without any progress after which a run is given up
    #[arg(long, value_name = "SECS", default_value = "10", value_parser = parse_time)]
    pub timeout: Duration,
    /// Log lines that go to stderr: error, warn, info, debug, trace, off, or by module (warn,corecast=debug)
    #[arg(long, value_name = "LEVEL", default_value = "warn")]
    pub log: String,
}

/// Makes the comparison, prints its tables, writes its record, and says how it went.
pub fn execute(args: &PeersArgs) -> anyhow::Result<Exit> {
    telemetry::install_logs(&args.log, LogFormat::Text).context("--log").or_wrong_usage()?;
    if args.list {
        return print_lines(&installed::list()).map(|_| Exit::Fine);
    }
    check_json(args.json.as_deref()).or_wrong_usage()?;
    let plan = plan(args).or_wrong_usage()?;
    let mut folder = match args.out.as_ref().map(|path| results(path, &plan)).transpose() {
        Err(error @ ResultsError::Occupied(_)) => Err(error).or_wrong_usage()?,
        folder => folder?,
    };
    let interrupt = Interrupt::by_signal().context("cannot listen for signals")?;
    let guard = std::env::current_exe().context("cannot find this command's own file")?;
    let comparison = compare(&plan, Some(&guard), &interrupt, |run| match &mut folder {
        Some(folder) => folder.add(run.record.clone(), &run.raw).map(drop),
        None => Ok(()),
    })?;
    let summary = summarize(&plan, &comparison);
    let finished = folder.map_or(Ok(()), |mut folder| {
        folder.skip(&comparison.skipped);
        folder.finish(comparison.interrupted.then(|| "interrupted".to_owned())).map(drop)
    });
    // A full disk takes nothing from the tables.
    publish(args, &plan, &comparison, &summary)?;
    finished?;
    Ok(exit_of(args, &comparison, &summary))
}

fn results(path: &Path, plan: &Contest) -> Result<ResultsFolder, ResultsError> {
    let mut results = Results::new(Kind::Peers, "peers", QUESTION, Environment::read());
    let runs_each = if plan.flood_messages > 0 { 2 } else { 1 };
    results.started_at = now();
    results.runs_planned = u64::from(plan.rounds) * plan.peers.len() as u64 * runs_each;
    ResultsFolder::create(path, results)
}

/// The tables on stdout, the record in its file.
fn publish(
    args: &PeersArgs,
    plan: &Contest,
    comparison: &ContestRuns,
    summary: &ContestSummary,
) -> anyhow::Result<()> {
    let tables = text::render(plan, summary, &comparison.skipped, &notes(comparison));
    if args.json.as_deref() == Some(Path::new("-")) {
        for skipped in &comparison.skipped {
            complain(&anyhow::anyhow!("skipped {}: {}", skipped.peer, skipped.why));
        }
    }
    publish_both(args.json.as_deref(), &tables, || {
        let mut record =
            Record::new(Environment::read(), comparison.runs.iter().map(|run| run.record.clone()).collect());
        record.peers = summary.peers.clone();
        record.ratio_to_best = summary.ratio_to_best.clone();
        record.ratio_to_best_of = summary.ratio_to_best_of.clone();
        record.skipped = comparison.skipped.clone();
        json(&record)
    })
}

/// Remarks on runs, beside those that apply to every flood.
fn notes(comparison: &ContestRuns) -> Vec<String> {
    let mut notes = Vec::new();
    for outcome in &comparison.runs {
        let run = &outcome.record;
        let name = run.peer.as_deref().unwrap_or_default();
        let kind = if run.rate_hz.is_none() { "flood" } else { "paced run" };
        let about = format!("{name}, {kind} of round {}", run.round.unwrap_or_default());
        notes.extend(run.incomplete.iter().map(|why| format!("{about}: incomplete: {why}")));
        notes.extend(outcome.rate_missed.iter().map(|missed| format!("{about}: {missed}")));
    }
    notes.extend(comparison.interrupted.then(|| "interrupted: what was measured before is kept".to_owned()));
    notes
}

fn exit_of(args: &PeersArgs, comparison: &ContestRuns, summary: &ContestSummary) -> Exit {
    let runs = || comparison.runs.iter();
    let numbers = assertion::numbers_of(summary);
    let asserted =
        complain_of_each(args.assertions.iter().filter_map(|asserted| assertion::check(asserted, &numbers)));
    if comparison.interrupted || runs().next().is_none() || runs().any(|run| run.record.incomplete.is_some())
    {
        return Exit::Failed;
    }
    if asserted != Exit::Fine {
        return asserted;
    }
    let late = runs().any(|run| run.rate_missed.is_some());
    if late { Exit::RateMissed } else { Exit::Fine }
}

/// The comparison that was asked for, checked to be possible.
fn plan(args: &PeersArgs) -> anyhow::Result<Contest> {
    let topology = Topology::detect().context("cannot find out which cores there are")?;
    let cores = topology.allowed().to_vec();
    args.neighbour.map_or(Ok(()), |neighbour| neighbour.check(&topology)).context("--neighbour")?;
    let fan_out_cores = match &args.broker_cores {
        Some(set) => set.resolve(&topology).with_context(|| format!("--broker-cores {set}"))?,
        None => cores.clone(),
    };
    let mut peers: Vec<PeerName> = args.peers.iter().flat_map(|names| names.0.clone()).collect();
    if peers.is_empty() {
        peers = default_peers(args.transport);
    }
    let elsewhere = args.elsewhere.iter().map(|(name, _)| *name).filter(|name| !peers.contains(name));
    let elsewhere: Vec<PeerName> = elsewhere.collect();
    peers.extend(elsewhere);
    let before = PeerName { system: System::CorecastBefore, transport: None };
    if args.before.is_some() && !peers.contains(&before) {
        peers.push(before);
    }
    let run = Plan {
        mode: Mode::Proxy,
        broker: BrokerChoice::Started(BrokerOptions {
            transport: args.transport,
            cores: args.broker_cores.clone(),
            idle: args.broker_idle,
            metrics: true,
            ..BrokerOptions::default()
        }),
        sessions: args.sessions,
        reactor: args.reactor,
        subscribers: args.subscribers,
        slow: None,
        publishers: args.publishers,
        topics: args.topics.shared(),
        size_bytes: args.size,
        rate: args.rate,
        amount: Amount::Duration(args.duration),
        subscriber_cores: cores.clone(),
        publisher_cores: cores.clone(),
        fan_out_cores,
        idle: Idle::Park,
        timeout: args.timeout,
        keep_samples: false,
        quiet: None,
        visits: None,
        hosts: None,
    };
    let plan = Contest {
        run,
        peers,
        elsewhere: args.elsewhere.clone(),
        before: args.before.clone(),
        engine: args.engine.clone(),
        rounds: args.rounds,
        flood_messages: args.flood_messages,
        window: args.window.unwrap_or_else(|| window_default(args.size)),
        clients: args.clients,
        threads: cores.len(),
        floor_threads: args.floor_threads,
        neighbour: args.neighbour,
    };
    plan.check()?;
    for asserted in &args.assertions {
        assertion::check_names(asserted, &plan.peers)?;
    }
    Ok(plan)
}

/// The file of a command.
fn parse_program(text: &str) -> Result<PathBuf, String> {
    let file = PathBuf::from(text);
    if file.is_file() {
        Ok(file)
    } else {
        Err("this is no file; build it with `cargo build --release --bin corecast`".into())
    }
}

/// Ours, those that others would use, and the floor, over the other transport too: it shows what that would save.
fn default_peers(transport: Transport) -> Vec<PeerName> {
    let other = if transport == Transport::Tcp { Transport::Uds } else { Transport::Tcp };
    let ours = [System::Corecast, System::CorecastZmtp].into_iter();
    let systems = ours.chain(System::all().filter(|system| system.is_rival()));
    let named = |system, transport| PeerName { system, transport };
    // A floor's name says over what it is: it is what figures of different runs are held against.
    let floors = [(System::Floor, transport), (System::FloorBlocks, transport), (System::Floor, other)];
    let floors = floors.map(|(system, transport)| named(system, Some(transport)));
    systems.map(|system| named(system, None)).chain(floors).collect()
}

#[cfg(test)]
mod tests {
    use super::super::{Cli, Command};
    use super::*;
    use clap::Parser;

    fn parse(words: &[&str]) -> Result<PeersArgs, clap::Error> {
        let words = ["corecast-bench", "peers"].iter().chain(words);
        match Cli::try_parse_from(words)?.command {
            Command::Peers(args) => Ok(*args),
            _ => unreachable!("the words begin with peers"),
        }
    }

    #[test]
    fn what_is_not_said_has_a_default() {
        let plan = plan(&parse(&[]).unwrap()).unwrap();
        let names: Vec<_> = plan.peers.iter().map(ToString::to_string).collect();
        let wanted = "corecast,corecast-zmtp,libzmq,libzmq-one-part,nats,nats-2.15,redis,\
                      redis-8.2,redis-8.2-io4,mosquitto,zenoh-1.10,floor-tcp,floor-tcp-blocks,floor-uds";
        assert_eq!(names.join(","), wanted);
        assert_eq!((plan.rounds, plan.window, plan.clients), (3, 4096, Clients::Raw));
    }

    #[test]
    fn a_peer_that_runs_somewhere_is_compared_with() {
        let args = parse(&["--peers", "corecast", "--peer", "redis=tcp://h:1,pid=7"]).unwrap();
        let plan = plan(&args).unwrap();
        assert_eq!(plan.peers.len(), 2);
        assert_eq!(plan.elsewhere[0].1.pid, Some(7));
    }

    #[test]
    fn wrong_words_are_refused_with_a_reason() {
        let refused = |words: &[&str]| match parse(words) {
            Err(error) => error.to_string(),
            Ok(args) => format!("{:#}", plan(&args).unwrap_err()),
        };
        assert!(refused(&["--peers", "corecast,kafka"]).contains("`kafka` is no peer"));
        assert!(refused(&["--peers", "redis,redis"]).contains("redis is named twice"));
        assert!(refused(&["--peer", "redis"]).contains("write NAME=tcp://HOST:PORT"));
        assert!(refused(&["--clients", "python"]).contains("raw, native"));
        assert!(refused(&["--rate", "flood"]).contains("there is a flood anyway"));
        assert!(refused(&["--assert", "ratio.kafka.deliveries_per_s > 1"]).contains("PEER is one of"));
        assert!(refused(&["--assert", "lost = 0"]).contains("expected one of"));
        assert!(refused(&["--subscribers", "99000000"]).contains("hard limit of this process"));
        assert!(refused(&["--broker-cores", "9999"]).contains("9999"));
        assert!(refused(&["--topics", "4", "--topics-per-subscriber", "5"]).contains("ask for fewer"));
        assert!(refused(&["--neighbour", "9999"]).contains("core 9999 is none that this process may use"));
        assert!(refused(&["--neighbour", "0:99"]).contains("write CORE or CORE:NICE"));
        assert!(refused(&["--publishers", "0"]).contains("publishers must be at least 1"));
        let shared = ["--topics", "4", "--sessions", "per-executor"];
        assert!(refused(&shared).contains("--clients native"));
    }
}
