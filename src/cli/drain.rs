//! `corecast drain`: has a running broker send its clients to others, deliver what it has, and end.

use clap::Args;
use serde_json::json;

use super::operator_args::{OperatorArgs, encoded};
use super::output::Format;
use super::{Exit, Failure};
use crate::config::TimeSpan;
use crate::transport::Endpoint;

const EXAMPLES: &str = "\
Examples:
  corecast drain --metrics uds:///run/corecast/http.sock --to tcp://b:6680
  corecast drain --metrics 127.0.0.1:9680 --http-token-file http.token --to tcp://b:6680 --spread 30s
  corecast drain --metrics uds:///run/corecast/http.sock      # end, without sending anybody anywhere

With --to, or --drain-to of the broker, each client is told to go on there, some at a time over the time of --spread; the broker \
serves until they have gone, 5 s longer than that at the most. Clients try the brokers that are named in turn, then those of their own \
--broker. With --spread alone they go where their own --broker has another address.

Then, or at once without any of these, it is the same as the first SIGTERM: nothing new is taken, what was taken is delivered for as \
long as --drain-timeout of the broker says, every client that is left is told, and the broker ends. The command does not wait for that; \
/readyz says `draining` meanwhile, and nobody answers afterwards.";

/// Have a running broker send its clients to others, deliver what it has, and end.
#[derive(Args, Debug)]
#[command(after_help = EXAMPLES)]
pub(super) struct DrainArgs {
    /// Brokers at which clients are to go on, as they reach them; repeatable or comma-separated [default: --drain-to of the broker].
    #[arg(long, value_name = "URL", value_delimiter = ',')]
    to: Vec<Endpoint>,

    /// Time over which clients are sent there, some at a time [default: --drain-spread of the broker].
    #[arg(long, value_name = "SECS", value_parser = parse_spread)]
    spread: Option<TimeSpan>,

    #[command(flatten)]
    operator: OperatorArgs,

    /// Output format: text, or json for an object.
    #[arg(short, long, value_name = "FORMAT", default_value = "text")]
    output: Format,
}

fn parse_spread(text: &str) -> Result<TimeSpan, String> {
    text.parse()
}

pub(super) fn run(args: DrainArgs) -> Result<Exit, Failure> {
    let to: Vec<String> = args.to.iter().map(Endpoint::to_string).collect();
    let mut query = Vec::new();
    if !to.is_empty() {
        query.push(format!("to={}", encoded(&to.join(","))));
    }
    if let Some(spread) = args.spread {
        // Of the units of a time the server does not take the nanoseconds in which nothing is written.
        query.push(format!("spread={}us", spread.0.as_micros()));
    }
    let separator = if query.is_empty() { "" } else { "?" };
    let answer = args.operator.ask(&format!("POST /api/v1/drain{separator}{}", query.join("&")))?;
    args.output.print(|| answer.clone(), &json!({ "state": answer.trim_end() })).map(|()| Exit::Fine)
}
