//! The `corecast-bench` command: arguments, dispatch, and the one place that turns an error into an exit code.

use clap::Parser;
use corecast_bench::cli::{Cli, Exit, output};
use std::process::ExitCode;

fn main() -> ExitCode {
    let exit = Cli::parse().execute().unwrap_or_else(|error| {
        output::complain(&error);
        Exit::Failed
    });
    exit.into()
}
