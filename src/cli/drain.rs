//! `corecast drain`: has a running broker deliver what it has, tell its clients, and end.

use clap::Args;
use serde_json::json;

use super::operator_args::OperatorArgs;
use super::output::Format;
use super::{Exit, Failure};

const EXAMPLES: &str = "\
Examples:
  corecast drain --metrics uds:///run/corecast/http.sock
  corecast drain --metrics 127.0.0.1:9680 --http-token-file http.token

It is the same as the first SIGTERM: from then on nothing new is taken, what was taken is delivered for as long as \
--drain-timeout of the broker says, every client is told, and the broker ends. The command does not wait for that; /readyz says \
`draining` meanwhile, and nobody answers afterwards.";

/// Have a running broker deliver what it has, tell its clients, and end.
#[derive(Args, Debug)]
#[command(after_help = EXAMPLES)]
pub(super) struct DrainArgs {
    #[command(flatten)]
    operator: OperatorArgs,

    /// Output format: text, or json for an object.
    #[arg(short, long, value_name = "FORMAT", default_value = "text")]
    output: Format,
}

pub(super) fn run(args: DrainArgs) -> Result<Exit, Failure> {
    let answer = args.operator.ask("POST /api/v1/drain")?;
    args.output.print(|| answer.clone(), &json!({ "state": answer.trim_end() })).map(|()| Exit::Fine)
}
