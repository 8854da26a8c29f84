//! `corecast-bench run`: arguments as typed, then plans that are checked, then the runs, then what is printed and
//! written about them.

use super::exit::{Exit, OrWrongUsage};
use super::output::{check_json, complain, complain_of_each, json, publish_both};
use crate::experiment::error::DriveError;
use crate::experiment::one_or_both::OneOrBoth;
use crate::experiment::plan::{BrokerChoice, Plan, Slow};
use crate::experiment::run::{RunError, run};
use crate::experiment::settings::SlowShare;
use crate::experiment::topic_args::TopicArgs;
use crate::experiment::values::{parse_reactor, parse_size, parse_time};
use crate::experiment::watch::Ending;
use crate::host::fleet::FleetError;
use crate::host::hosts_file::Hosts;
use crate::interrupt::Interrupt;
use crate::measure::environment::Environment;
use crate::process::broker::BrokerOptions;
use crate::process::engine::Engine;
use crate::process::transport::Transport;
use crate::record::assertion::Assertion;
use crate::record::{Record, RunRecord};
use crate::report::text;
use crate::swarm::schedule::{Amount, Rate};
use anyhow::{Context, bail};
use clap::Args;
use corecast::internals::cli::Size;
use corecast::internals::telemetry::{self, LogFormat};
use corecast::{Endpoint, Mode, OverflowPolicy, Reactor, Sessions};
use corecast_executors::{CoreSet, Idle, Topology};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

const EXAMPLES: &str = "\
Examples:
  The main job: 512 subscribers with a socket each, 20 messages a second for 5 seconds
    corecast-bench run --subscribers 512 --rate 20 --duration 5
  The same through the broker and past it, and by how much it differs
    corecast-bench run --mode both --subscribers 512 --rate 20 --duration 5 --json both.json
  As fast as it goes, with every delivery accounted for; results for a script
    corecast-bench run --subscribers 512 --rate flood --messages 20000 --json flood.json --assert 'lost==0'
  Clients that may not use io_uring, as in most containers
    corecast-bench run --reactor epoll
  How it grows, over Unix sockets and shared sessions
    corecast-bench run --subscribers 1,8,64,512 --transport uds --sessions per-executor
  Partial interest: each subscriber wants 20 of 100 topics, some of which have far more messages than others
    corecast-bench run --subscribers 256 --topics 100 --topics-per-subscriber 20 --topic-spread zipf
  A bound on latency, in microseconds
    corecast-bench run --assert 'latency_us.p99 < 20e3' --assert 'last_subscriber_us.median < 10e3'
  Subscribers on other hosts, each with an agent
    corecast-bench run --hosts hosts.toml --mode both --subscribers 512
  Two brokers, as on two hosts, with an engine between them
    corecast-bench run --engine nats --subscribers 512 --assert 'lost==0'
  A broker that runs already
    corecast-bench run --broker tcp://127.0.0.1:6680 --broker-pid \"$(pidof corecast)\"

Latency counts from when a message should have been sent, whether or not it was: a stall shows in every message that
it delayed. Rates, messages and durations are those of each publisher. Exit codes: 0 fine, 1 failed or interrupted,
2 wrong usage or a failed --assert, 3 the asked rate was not reached (less than 99 % of the messages were sent within
an interval, or 10 ms if that is longer, of their time), 27 timed out.";

/// Arguments of `corecast-bench run`.
#[derive(Args, Clone, Debug)]
#[command(after_help = EXAMPLES)]
pub struct RunArgs {
    /// Path of messages from publishers to subscribers: proxy (through the broker), direct (from publisher to
    /// subscriber), or both, one after the other
    #[arg(long, default_value = "proxy", value_name = "MODE")]
    pub mode: OneOrBoth<Mode>,
    /// Number of subscribers; several counts with commas are several runs
    #[arg(long, value_name = "N[,N…]", default_value = "512", value_delimiter = ',')]
    pub subscribers: Vec<usize>,
    /// Number of publishers
    #[arg(long, value_name = "N", default_value_t = 1)]
    pub publishers: usize,
    /// Topics that publishers share.
    #[command(flatten)]
    pub topics: TopicArgs,
    /// Messages a second of each publisher, or `flood`: as fast as they are taken
    #[arg(long, value_name = "HZ|flood", default_value = "20")]
    pub rate: Rate,
    /// Payload; at least 40 bytes, for run, publisher, sequence, time and checksum, or 52 with --topics
    #[arg(long, value_name = "BYTES", default_value_t = 64, value_parser = parse_size)]
    pub size: usize,
    /// Time that each publisher sends [default: 5, if --messages is not given]
    #[arg(long, value_name = "SECS", value_parser = parse_time, conflicts_with = "messages")]
    pub duration: Option<Duration>,
    /// Number of messages that each publisher sends
    #[arg(long, value_name = "N")]
    pub messages: Option<u64>,
    /// A session (a socket) for each subscriber, or one for each executor: per-subscriber, per-executor
    #[arg(long, default_value = "per-subscriber")]
    pub sessions: Sessions,
    /// Reactor that these clients wait with, publishers and subscribers: io_uring, epoll
    #[arg(long, value_name = "NAME", default_value = "io_uring", value_parser = parse_reactor)]
    pub reactor: Reactor,
    /// Transport between clients and the broker: tcp, tls, uds [default: tcp, or that of --broker]
    #[arg(long)]
    pub transport: Option<Transport>,
    /// Cores of the subscribers' executors: all, physical, 0-3,8, numa:0
    #[arg(long, value_name = "SET", default_value = "all")]
    pub cores: CoreSet,
    /// Cores of the publishers' executors [default: those of --cores]
    #[arg(long, value_name = "SET")]
    pub publisher_cores: Option<CoreSet>,
    /// Idle policy of the swarm's executors: park, spin:MICROSECONDS, busy
    #[arg(long, default_value = "park")]
    pub idle: Idle,
    /// Use the broker that runs there instead of starting one: tcp://HOST:PORT or uds://PATH
    #[arg(long, value_name = "URL", conflicts_with_all = ["broker_cores", "broker_idle", "egress_bytes", "transport", "engine"])]
    pub broker: Option<Endpoint>,
    /// The process of --broker, if its cost shall be measured
    #[arg(long, value_name = "PID", requires = "broker")]
    pub broker_pid: Option<u32>,
    /// Cores that messages are fanned out from: of the broker's shards, or in direct mode of the publishers' own
    /// [default: all]
    #[arg(long, value_name = "SET")]
    pub broker_cores: Option<CoreSet>,
    /// Idle policy of the shards on those cores [default: the broker's]
    #[arg(long, value_name = "IDLE")]
    pub broker_idle: Option<Idle>,
    /// Policy for a subscriber whose queue is full: drop-oldest, drop-newest, latest, disconnect, block
    /// [default: the broker's]
    #[arg(long, value_name = "POLICY")]
    pub overflow: Option<OverflowPolicy>,
    /// Bytes that may wait for a subscriber at whoever fans out, such as 16MiB [default: the broker's]
    #[arg(long, value_name = "BYTES")]
    pub egress_bytes: Option<Size>,
    /// Subscribers that are slow on purpose, and not measured: how many, or a share such as 1%
    #[arg(long, value_name = "N|SHARE")]
    pub slow: Option<SlowShare>,
    /// Time that a slow subscriber takes for each message, such as 50ms; without it, it reads nothing
    #[arg(long, value_name = "TIME", value_parser = parse_time, requires = "slow")]
    pub slow_delay: Option<Duration>,
    /// Play the subscribers on the hosts that this file names, through their agents (corecast-bench agent --help);
    /// --cores is then for those that name no cores
    #[arg(long, value_name = "FILE")]
    pub hosts: Option<PathBuf>,
    /// Join the broker by an engine (nats, nats-2.15, or the URL of one that runs) with a second one, at which every other
    /// executor's subscribers are, or with the brokers that --hosts names
    #[arg(long, value_name = "NAME|URL")]
    pub engine: Option<Engine>,
    /// Write the record (corecast-bench/1) into this file; `-`: to stdout, instead of the tables
    #[arg(long, value_name = "FILE")]
    pub json: Option<PathBuf>,
    /// Condition on every run, such as 'lost==0' or 'latency_us.p99 < 5000'; may be given several times
    #[arg(long = "assert", value_name = "EXPR")]
    pub assertions: Vec<Assertion>,
    /// Time without any progress after which a run is given up
    #[arg(long, value_name = "SECS", default_value = "10", value_parser = parse_time)]
    pub timeout: Duration,
    /// Log lines that go to stderr: error, warn, info, debug, trace, off, or by module (warn,corecast=debug)
    #[arg(long, value_name = "LEVEL", default_value = "warn")]
    pub log: String,
}

/// Makes the runs, prints their tables, writes their record, and says how it went.
pub fn execute(args: &RunArgs) -> anyhow::Result<Exit> {
    telemetry::install_logs(&args.log, LogFormat::Text).context("--log").or_wrong_usage()?;
    check_json(args.json.as_deref()).or_wrong_usage()?;
    let plans = plans(args).or_wrong_usage()?;
    let interrupt = Interrupt::by_signal().context("cannot listen for signals")?;
    let guard = std::env::current_exe().context("cannot find this command's own file")?;
    let mut runs = Vec::new();
    let mut exit = Exit::Fine;
    for plan in &plans {
        match run(plan, Some(&guard), &interrupt) {
            Ok(outcome) => {
                exit = worse(exit, exit_of(&outcome.ending, outcome.rate_missed.is_none()));
                runs.push(outcome.record);
            }
            Err(error) => {
                exit = worse(exit, exit_of_error(&error));
                complain(&anyhow::Error::new(error));
                break;
            }
        }
        if interrupt.is_set() || exit == Exit::TimedOut || exit == Exit::Failed {
            break;
        }
    }
    // What was measured is kept, whatever became of the rest.
    if !runs.is_empty() {
        publish(args, &runs)?;
        exit = worse(exit, check(&args.assertions, &runs));
    }
    Ok(exit)
}

/// The tables on stdout, the record in its file: the one, whatever becomes of the other.
fn publish(args: &RunArgs, runs: &[RunRecord]) -> anyhow::Result<()> {
    publish_both(args.json.as_deref(), &text::render(runs), || {
        json(&Record::new(Environment::read(), runs.to_vec()))
    })
}

fn check(assertions: &[Assertion], runs: &[RunRecord]) -> Exit {
    complain_of_each(
        runs.iter().flat_map(|run| assertions.iter().filter_map(|assertion| assertion.check(run))),
    )
}

pub(super) fn exit_of(ending: &Ending, rate_reached: bool) -> Exit {
    match ending {
        Ending::Complete if rate_reached => Exit::Fine,
        Ending::Complete => Exit::RateMissed,
        Ending::Interrupted | Ending::Failed(_) => Exit::Failed,
        Ending::TimedOut(_) => Exit::TimedOut,
    }
}

pub(super) fn exit_of_error(error: &RunError) -> Exit {
    match error {
        RunError::Plan(_) | RunError::Descriptors(_) | RunError::Skipped(_) => Exit::Usage,
        RunError::Drive { error: DriveError::TimedOut { .. }, .. } => Exit::TimedOut,
        RunError::Drive { error: DriveError::Failed(failure), .. } if failure.timed_out => Exit::TimedOut,
        RunError::Drive { error: DriveError::Fleet(error), .. } => exit_of_fleet(error),
        RunError::Fleet(error) => exit_of_fleet(error),
        RunError::Broker(_) | RunError::Usage(_) | RunError::Drive { .. } => Exit::Failed,
    }
}

fn exit_of_fleet(error: &FleetError) -> Exit {
    match error {
        error if error.timed_out() => Exit::TimedOut,
        error if error.is_impossible() => Exit::Usage,
        _ => Exit::Failed,
    }
}

/// The one that says more: nothing is as bad as having no result, and a missed rate may be why an assertion fails.
pub(super) fn worse(one: Exit, other: Exit) -> Exit {
    let rank = |exit: Exit| match exit {
        Exit::Fine => 0,
        Exit::RateMissed => 1,
        Exit::Usage => 2,
        Exit::Failed => 3,
        Exit::TimedOut => 4,
    };
    if rank(other) > rank(one) { other } else { one }
}

/// The runs that were asked for, all of them possible.
fn plans(args: &RunArgs) -> anyhow::Result<Vec<Plan>> {
    let topology = Topology::detect().context("cannot find out which cores there are")?;
    let cores = |set: &CoreSet, flag: &str| set.resolve(&topology).with_context(|| format!("{flag} {set}"));
    let hosts = match &args.hosts {
        Some(path) => Some(Arc::new(Hosts::load(path, &args.cores).context("--hosts")?)),
        None => None,
    };
    // Those of other hosts are resolved there.
    let subscriber_cores = match &hosts {
        Some(_) => topology.allowed().to_vec(),
        None => cores(&args.cores, "--cores")?,
    };
    let publisher_cores = match &args.publisher_cores {
        Some(set) => cores(set, "--publisher-cores")?,
        None => subscriber_cores.clone(),
    };
    let amount = match (args.duration, args.messages) {
        (Some(duration), _) => Amount::Duration(duration),
        (None, Some(messages)) => Amount::Messages(messages),
        (None, None) => Amount::Duration(DURATION_DEFAULT),
    };
    let fan_out_cores = match &args.broker_cores {
        Some(set) => cores(set, "--broker-cores")?,
        None => topology.allowed().to_vec(),
    };
    let plan = |(subscribers, mode): (usize, Mode)| Plan {
        mode,
        broker: broker(args),
        sessions: args.sessions,
        reactor: args.reactor,
        subscribers,
        slow: args.slow.map(|share| Slow { subscribers: share.of(subscribers), delay: args.slow_delay }),
        publishers: args.publishers,
        topics: args.topics.shared(),
        size_bytes: args.size,
        rate: args.rate,
        amount,
        subscriber_cores: subscriber_cores.clone(),
        publisher_cores: publisher_cores.clone(),
        fan_out_cores: fan_out_cores.clone(),
        idle: args.idle,
        timeout: args.timeout,
        keep_samples: false,
        quiet: None,
        visits: None,
        hosts: hosts.clone(),
    };
    if let (Some(broker), OneOrBoth::Both) = (&args.broker, args.mode) {
        bail!("--broker {broker} has one mode, and --mode both needs one of each: leave --broker out");
    }
    let counts = args.subscribers.iter().copied();
    let plans: Vec<Plan> = counts
        .flat_map(|count| args.mode.each().into_iter().map(move |mode| (count, mode)))
        .map(plan)
        .collect();
    for plan in &plans {
        plan.check()?;
        // Before the first run, not after an hour of smaller ones.
        crate::experiment::descriptors::ensure(plan)?;
    }
    Ok(plans)
}

/// The time that publishers send unless told otherwise.
const DURATION_DEFAULT: Duration = Duration::from_secs(5);

fn broker(args: &RunArgs) -> BrokerChoice {
    match &args.broker {
        Some(endpoint) => BrokerChoice::Running {
            endpoint: endpoint.clone(),
            pid: args.broker_pid,
            overflow: args.overflow,
        },
        None => BrokerChoice::Started(BrokerOptions {
            transport: args.transport.unwrap_or_default(),
            cores: args.broker_cores.clone(),
            idle: args.broker_idle,
            overflow: args.overflow,
            egress_bytes: args.egress_bytes,
            metrics: true,
            engine: args.engine.clone(),
            ..BrokerOptions::default()
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Cli, Command};
    use super::*;
    use clap::Parser;

    fn parse(words: &str) -> Result<RunArgs, clap::Error> {
        let words = ["corecast-bench", "run"].into_iter().chain(words.split_whitespace());
        match Cli::try_parse_from(words)?.command {
            Command::Run(args) => Ok(*args),
            _ => unreachable!("the words begin with run"),
        }
    }

    #[track_caller]
    fn refused(words: &str, says: &str) {
        let error = parse(words).unwrap_err();
        assert_eq!(error.exit_code(), 2);
        assert!(error.to_string().contains(says), "{words}: {error}");
    }

    #[test]
    fn what_is_not_said_has_a_default() {
        let plans = plans(&parse("").unwrap()).unwrap();
        assert_eq!(plans.len(), 1);
        assert_eq!((plans[0].subscribers, plans[0].publishers, plans[0].size_bytes), (512, 1, 64));
        assert_eq!(plans[0].amount, Amount::Duration(Duration::from_secs(5)));
        assert_eq!(plans[0].transport(), Transport::Tcp);
    }

    #[test]
    fn several_counts_are_several_runs() {
        let args = parse("--subscribers 1,8,64 --rate flood --messages 100 --transport uds").unwrap();
        let plans = plans(&args).unwrap();
        assert_eq!(plans.iter().map(|plan| plan.subscribers).collect::<Vec<_>>(), [1, 8, 64]);
        assert!(plans.iter().all(|plan| plan.rate == Rate::Flood && plan.amount == Amount::Messages(100)));
        assert!(plans.iter().all(|plan| plan.transport() == Transport::Uds));
    }

    #[test]
    fn topics_are_shared_if_their_number_is_said() {
        let topics = |words: &str| plans(&parse(words).unwrap()).unwrap()[0].topics;
        assert_eq!(topics(""), None);
        let all = topics("--topics 10 --size 52").unwrap();
        assert_eq!((all.to_string(), all.per_subscriber), ("10 of 10 topics".to_owned(), 10));
        let words = "--topics 10 --topics-per-subscriber 2 --topic-spread zipf --topic-filters wildcard:3";
        assert_eq!(topics(words).unwrap().to_string(), "2 times wildcard:3 of 10 topics, zipf");
    }

    #[test]
    fn both_modes_are_two_runs_of_each_count() {
        let args = parse("--mode both --subscribers 1,8 --broker-cores 0 --egress-bytes 8MiB").unwrap();
        let plans = plans(&args).unwrap();
        let runs: Vec<_> = plans.iter().map(|plan| (plan.subscribers, plan.mode)).collect();
        assert_eq!(runs, [(1, Mode::Proxy), (1, Mode::Direct), (8, Mode::Proxy), (8, Mode::Direct)]);
        assert_eq!(plans[1].fan_out_cores, [corecast_executors::CoreId(0)]);
        assert_eq!(plans[1].direct().bounds.bytes_max, 8 << 20);
    }

    #[test]
    fn wrong_words_are_refused_with_a_reason() {
        refused("--size 39", "it takes 40");
        refused("--size big", "write bytes");
        refused("--size 4294967295", "no broker takes more than 268435456 bytes");
        refused("--mode fast", "it has `proxy`, `direct` and `both`");
        refused("--rate 0", "write messages a second");
        refused("--duration 1 --messages 1", "cannot be used with");
        refused("--duration 0", "seconds above 0");
        refused("--broker-pid 1", "--broker");
        refused("--broker tcp://h:1 --transport uds", "cannot be used with");
        refused("--broker tcp://h:1 --engine nats", "cannot be used with");
        refused("--engine redis", "the URL of one that runs already");
        refused("--assert lost=0", "expected one of");
        refused("--assert losts==0", "deliveries_per_s");
        refused("--subscribers 1,x", "invalid value");
        refused("--topics-per-subscriber 3", "--topics");
        refused("--topics 3 --topic-spread even", "there are `uniform` and `zipf`");
        refused("--topics 3 --topic-filters wildcard:0", "`wildcard:N`");
    }

    #[test]
    fn impossible_plans_are_refused_with_a_reason() {
        let said = |words: &str| format!("{:#}", plans(&parse(words).unwrap()).unwrap_err());
        assert!(said("--subscribers 1,0").contains("subscribers must be at least 1"));
        assert!(said("--subscribers 99000000").contains("hard limit of this process"));
        assert!(said("--cores 9999").contains("9999"));
        assert!(said("--mode both --broker tcp://h:1").contains("leave --broker out"));
        assert!(said("--topics 0").contains("the number of topics must be at least 1"));
        assert!(said("--topics 10 --topics-per-subscriber 11").contains("ask for fewer"));
        assert!(said("--topics 10 --size 51").contains("it takes 52"));
    }

    #[test]
    fn the_exit_code_says_the_worst() {
        assert_eq!(worse(Exit::Fine, Exit::RateMissed), Exit::RateMissed);
        assert_eq!(worse(Exit::Usage, Exit::RateMissed), Exit::Usage);
        assert_eq!(worse(Exit::Usage, Exit::TimedOut), Exit::TimedOut);
        assert_eq!(exit_of(&Ending::Complete, false) as u8, 3);
        assert_eq!(exit_of(&Ending::TimedOut(String::new()), true) as u8, 27);
        assert_eq!(exit_of(&Ending::Interrupted, true) as u8, 1);
    }
}
