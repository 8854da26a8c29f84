//! `corecast top`: a running broker in a terminal: its shards, rates, slowest sessions and topics, each second.
//!
//! | file | owns |
//! |---|---|
//! | `live` | the figures of one moment, as they are shown |
//! | `screen` | where they stand, whatever the size of the terminal |
//! | `terminal` | the terminal while they are shown, and the keys |

mod live;
mod screen;
mod terminal;

use std::io::{IsTerminal as _, stdout};
use std::time::Duration;

use clap::Args;

use self::live::{Live, SESSIONS, SHARDS, TOPICS};
use super::operator_args::OperatorArgs;
use super::output::{Format, json_line, print};
use super::table::table;
use super::{Exit, Failure};
use crate::config::{TimeSpan, parse_timeout};
use crate::limits::{API_ROWS_MAX, CENSUS_PERIOD};

const EXAMPLES: &str = "\
Examples:
  corecast top --metrics 127.0.0.1:9680                        # q ends it
  corecast top --metrics uds:///run/corecast/http.sock --interval 5s
  corecast top --metrics 127.0.0.1:9680 --once                 # tables, once
  corecast top --metrics 127.0.0.1:9680 --once -o json | jq '.slowest[0]'

The slowest sessions come first: those whose oldest waiting message is the oldest. docs/API.md has the meaning of each figure.";

/// Show a running broker in the terminal: shards, rates, slowest sessions, drops, topics by rate.
#[derive(Args, Debug)]
#[command(after_help = EXAMPLES)]
pub(super) struct TopArgs {
    #[command(flatten)]
    operator: OperatorArgs,

    /// Time between two looks, at least 500 ms.
    #[arg(long, value_name = "SECS", value_parser = parse_timeout, default_value_t = TimeSpan(Duration::from_secs(1)))]
    interval: TimeSpan,

    /// Print the figures once, and end.
    #[arg(long)]
    once: bool,

    /// Output format with --once: text for tables, or json for an object.
    #[arg(short, long, value_name = "FORMAT", default_value = "text", requires = "once")]
    output: Option<Format>,

    /// Sessions and topics to ask for, up to 1,000; as many as have room are shown.
    #[arg(long, value_name = "COUNT", default_value_t = 100, value_parser = clap::value_parser!(u64).range(1..=API_ROWS_MAX as u64))]
    limit: u64,
}

pub(super) fn run(args: TopArgs) -> Result<Exit, Failure> {
    let request = format!("GET /api/v1/live?limit={}", args.limit);
    if args.once {
        let object = args.operator.ask_for_object(&request)?;
        return match args.output {
            Some(Format::Json) => print(json_line(&object)),
            Some(Format::Text) | None => print(tables(&Live::of(&object))),
        }
        .map(|()| Exit::Fine);
    }
    if !stdout().is_terminal() {
        return Err(Failure::new(Exit::Usage, "stdout is no terminal: --once prints the figures once"));
    }
    let interval = args.interval.0.max(CENSUS_PERIOD);
    let operator = args.operator;
    terminal::show(interval, move || operator.ask_for_object(&request).map(|object| Live::of(&object)))
}

/// The figures as tables, one behind the other.
fn tables(live: &Live) -> String {
    [
        format!("{}\n\n", live.summary(usize::MAX)),
        table(SHARDS.map(|column| (column.title, column.align)), &live.shards),
        "\n".to_owned(),
        table(SESSIONS.map(|column| (column.title, column.align)), &live.sessions),
        "\n".to_owned(),
        table(TOPICS.map(|column| (column.title, column.align)), &live.topics),
    ]
    .concat()
}
