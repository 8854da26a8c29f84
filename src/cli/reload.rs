//! `corecast reload`: has a running broker read its files again, and reports the result.

use clap::Args;
use serde_json::json;

use super::operator_args::OperatorArgs;
use super::output::Format;
use super::{Exit, Failure};

const EXAMPLES: &str = "\
Examples:
  corecast broker --users users.toml --metrics uds:///run/corecast/http.sock
  corecast reload --metrics uds:///run/corecast/http.sock
  corecast reload --metrics https://broker.example.org:9680 --http-token-file http.token --ca ca.pem

At a Unix socket it needs to be root or the user of the broker; elsewhere it shows the token of --http-token-file.
The exit code is 0 once the broker follows its files, and 1 if one of them is at fault: then nothing has changed, and the error \
says where. A broker with --config takes up other such files and another log level; what else has changed in its config file needs a \
restart, and is named.";

/// Have a running broker read its config file, users, certificate and token again, and report the result.
#[derive(Args, Debug)]
#[command(after_help = EXAMPLES)]
pub(super) struct ReloadArgs {
    #[command(flatten)]
    broker: OperatorArgs,

    /// Output format: text, or json for an object with what was read, line by line.
    #[arg(short, long, value_name = "FORMAT", default_value = "text")]
    output: Format,
}

pub(super) fn run(args: ReloadArgs) -> Result<Exit, Failure> {
    let answer = args.broker.answer("POST /reload")?;
    match answer.status {
        200 => {
            let lines: Vec<&str> = answer.text.lines().collect();
            args.output.print(|| answer.text.clone(), &json!({ "reloaded": lines })).map(|()| Exit::Fine)
        }
        _ => {
            let lines = answer.text.lines().map(|line| line.strip_prefix("error: ").unwrap_or(line));
            Err(Failure::of_many(Exit::Failed, lines.map(str::to_owned).collect()))
        }
    }
}
