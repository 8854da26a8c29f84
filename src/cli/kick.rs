//! `corecast kick`: ends a session of a running broker, or all of a user.

use clap::Args;
use serde_json::Value;

use super::operator_args::{OperatorArgs, encoded};
use super::output::{Format, note};
use super::{Exit, Failure};
use crate::ids::SessionNumber;

const EXAMPLES: &str = "\
Examples:
  corecast kick 000100000000002a --metrics 127.0.0.1:9680 --http-token-file http.token
  corecast kick desk --metrics uds:///run/corecast/http.sock     # all sessions of the user desk

The client is told that an operator has ended its session, and what waited for it is lost. Clients of this version connect \
again: to keep a user out, take its rights away in the file of users and run `corecast reload`. It prints the sessions that \
were ended. A session that is not there is a failure; a user without sessions is none.";

/// End a session of a running broker, or all sessions of a user.
#[derive(Args, Debug)]
#[command(after_help = EXAMPLES)]
pub(super) struct KickArgs {
    /// Session, the 16 hexadecimal digits that `corecast sessions` and the log have; or the name of a user.
    #[arg(value_name = "SESSION|USER")]
    whom: String,

    /// Take it as the name of a user, also if it looks like a session.
    #[arg(long)]
    user: bool,

    /// Output format: text with a session per line, or json for an object.
    #[arg(short, long, value_name = "FORMAT", default_value = "text")]
    output: Format,

    #[command(flatten)]
    operator: OperatorArgs,
}

pub(super) fn run(args: KickArgs) -> Result<Exit, Failure> {
    let is_session = !args.user && args.whom.parse::<SessionNumber>().is_ok();
    let name = if is_session { "session" } else { "user" };
    let request = format!("POST /api/v1/kick?{name}={}", encoded(&args.whom));
    let object = args.operator.ask_for_object(&request)?;
    let kicked: Vec<&str> =
        object["kicked"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
    args.output.print(|| kicked.iter().map(|session| format!("{session}\n")).collect(), &object)?;
    if kicked.is_empty() && args.output == Format::Text {
        note(format!("the user {} has no sessions", args.whom));
    }
    Ok(Exit::Fine)
}
