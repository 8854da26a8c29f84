//! The `corecast` command: see `corecast::cli`, which owns it.

use std::process::ExitCode;

/// Gives back what nobody uses any more, from threads of its own, within 10 s: glibc's keeps what a flood has taken for
/// good, and no shard should spend its time on that.
#[cfg(feature = "jemalloc")]
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

fn main() -> ExitCode {
    corecast::main()
}
