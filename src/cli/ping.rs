//! `corecast ping`: says whether a broker answers, and how fast.

use std::time::{Duration, Instant};

use clap::Args;
use serde::Serialize;

use super::interrupt::{Interrupt, LAST_LINE_TIME};
use super::output::{Format, json_line, print};
use super::probe::ProbeArgs;
use super::registry::no_view;
use super::round_trips::{RoundTrips, micros};
use super::{Exit, Failure};
use crate::RegistryView;
use crate::config::{TimeSpan, parse_timeout};

const EXAMPLES: &str = "\
Examples:
  corecast ping
  corecast ping -b tcp://10.0.0.1:6680 -n 1 -t 2s  # for scripts: 0 if it answers in time, 27 if not
  corecast ping -b tls://broker.example.org:6680 --token-file desk.token
  corecast ping -n 100 -i 10ms -o json | jq 'select(.times_us).times_us.p99'

Each time is that of a question to the broker and its answer, on a connection that is open: the network twice, a turn of the \
shard that has the session, and one of the shard that keeps the registry. The time to connect has all that comes before: names, the connection, encryption, the login.
Messages take another way: `corecast latency` measures theirs.";

/// Ask a broker whether it is there, and print how long it takes to answer.
#[derive(Args, Debug)]
#[command(after_help = EXAMPLES)]
pub(super) struct PingArgs {
    /// Number of questions.
    #[arg(short = 'n', long, value_name = "N", default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    count: u32,

    /// Time between two questions.
    #[arg(short, long, value_name = "SECS", value_parser = parse_timeout, default_value_t = TimeSpan(Duration::from_millis(200)))]
    interval: TimeSpan,

    #[command(flatten)]
    pub(super) probe: ProbeArgs,
}

/// The time to connect, for programs.
#[derive(Serialize)]
struct ConnectedIn<'a> {
    broker: &'a str,
    connect_us: f64,
}

/// One answer, for programs.
#[derive(Serialize)]
struct AnswerFacts {
    number: u32,
    time_us: f64,
}

pub(super) fn run(args: PingArgs) -> Result<Exit, Failure> {
    let mut interrupt = Interrupt::on_signals(LAST_LINE_TIME, None)?;
    let timeout = args.probe.timeout();
    let config = args.probe.config("corecast-ping")?;
    let broker = config.broker.to_string();
    let start = Instant::now();
    let Some(connected) = interrupt.unless_asked(RegistryView::with_config_async(config)) else {
        return Ok(Exit::Fine);
    };
    let mut view = connected.map_err(|error| no_view(error, Some(timeout), timeout))?;
    let connect_us = us(start.elapsed());
    let is_json = args.probe.output == Format::Json;
    match is_json {
        true => print(json_line(&ConnectedIn { broker: &broker, connect_us }))?,
        false => print(format!("connected to {broker} in {}\n", micros(connect_us)))?,
    }
    let mut trips = RoundTrips::default();
    for number in 1..=args.count {
        let asked = Instant::now();
        // Of publishers that are registered: the only question that has an answer and changes nothing.
        let Some(answer) = interrupt.unless_asked(view.list_async(timeout)) else { break };
        let time = asked.elapsed();
        answer.map_err(|error| Failure::from(error).at(&broker))?;
        trips.add(time);
        match is_json {
            true => print(json_line(&AnswerFacts { number, time_us: us(time) }))?,
            false => print(format!("answer {number} in {}\n", micros(us(time))))?,
        }
        if number < args.count {
            interrupt.wait_until(asked + args.interval.0);
        }
    }
    args.probe.print_sums(&trips)?;
    Ok(Exit::Fine)
}

fn us(time: Duration) -> f64 {
    time.as_nanos() as f64 / 1e3
}
