//! The `corecast-bench` command: see `corecast_bench::cli`, which owns it.

use std::process::ExitCode;

fn main() -> ExitCode {
    corecast_bench::cli::main()
}
