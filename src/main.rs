//! The `corecast` command: reads the arguments, does what they ask, and is the one place that prints an error.

use std::io::Write;
use std::process::ExitCode;

use clap::Parser;
use corecast::cli::Cli;

fn main() -> ExitCode {
    match Cli::parse().run() {
        Ok(exit) => exit.into(),
        Err(failure) => {
            // Where stderr cannot be written, the exit code still tells.
            let _ = write!(std::io::stderr(), "{failure}");
            failure.exit().into()
        }
    }
}
