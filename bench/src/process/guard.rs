//! Owns the promise that no broker outlives this process, however it ends. The broker is not started itself, but
//! through this command again (`corecast-bench guard PARENT PROGRAM ARG…`), which asks the kernel for SIGTERM at
//! its parent's death and then becomes the program: the process id stays the same, and no unsafe code is needed.

use std::ffi::OsString;
use std::os::unix::process::CommandExt;
use std::process::Command;

/// The hidden subcommand's name.
pub const SUBCOMMAND: &str = "guard";

/// Becomes `program`, to be ended with process `parent`. Returns only if that fails.
pub fn become_guarded(parent: u32, program: &OsString, args: &[OsString]) -> anyhow::Error {
    use nix::sys::prctl::set_pdeathsig;
    use nix::sys::signal::Signal;

    if let Err(error) = set_pdeathsig(Signal::SIGTERM) {
        return anyhow::Error::new(error).context("cannot ask for a signal at the parent's death");
    }
    // The parent may have died before it was asked for: then nobody would end the program.
    if u32::try_from(nix::unistd::getppid().as_raw()) != Ok(parent) {
        return anyhow::anyhow!("the process that asked for this is gone");
    }
    let error = Command::new(program).args(args).exec();
    anyhow::Error::new(error).context(format!("cannot run {}", program.display()))
}
