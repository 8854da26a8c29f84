//! The `corecast` command: see `corecast::cli`, which owns it.

use std::process::ExitCode;

fn main() -> ExitCode {
    corecast::cli::main()
}
