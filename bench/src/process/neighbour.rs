//! Owns the neighbour of a comparison: a process that keeps one core busy, as another program of the same host would. It
//! is this command under a hidden name, started by `nice`, and ends by itself after a time, however its parent ends.

use super::child::Program;
use anyhow::{Context, ensure};
use clap::Args;
use corecast_executors::{CoreId, Topology};
use nix::sched::{CpuSet, sched_setaffinity};
use nix::unistd::Pid;
use std::fmt;
use std::io::{self, Write};
use std::path::PathBuf;
use std::str::FromStr;
use std::time::{Duration, Instant};

/// The hidden subcommand's name.
pub const SUBCOMMAND: &str = "neighbour";
/// Time after which it ends by itself, in seconds: more than a peer takes in one round.
const SECONDS_MAX: u64 = 900;
/// Nice values that the kernel has.
const NICE: std::ops::RangeInclusive<i32> = -20..=19;

/// A process that takes all that it can get of one core.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Neighbour {
    /// The only core that it runs on.
    pub core: CoreId,
    /// Its nice value: below 0 it goes before others, and takes root or `CAP_SYS_NICE`.
    pub nice: i32,
}

impl FromStr for Neighbour {
    type Err = String;

    /// `CORE` or `CORE:NICE`
    fn from_str(text: &str) -> Result<Self, String> {
        let (core, nice) = text.split_once(':').unwrap_or((text, "0"));
        let parsed = core.parse().ok().zip(nice.parse().ok().filter(|nice| NICE.contains(nice)));
        let (core, nice) =
            parsed.ok_or_else(|| format!("`{text}`: write CORE or CORE:NICE, such as 1 or 1:-10"))?;
        Ok(Neighbour { core: CoreId(core), nice })
    }
}

impl fmt::Display for Neighbour {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "a neighbour at nice {} keeps core {} busy", self.nice, self.core)
    }
}

impl Neighbour {
    /// Refuses a core that this process may not use.
    pub fn check(self, topology: &Topology) -> anyhow::Result<()> {
        let Neighbour { core, .. } = self;
        ensure!(topology.allowed().contains(&core), "core {core} is none that this process may use");
        Ok(())
    }

    /// The way to start it, by the file of this command. It says a word when it runs as it should.
    pub fn program(self, command: PathBuf) -> Program {
        // `nice` adds to the value of whoever calls it.
        let more = self.nice - own_nice().unwrap_or_default();
        let nice = format!("--nice={}", self.nice);
        let words = [SUBCOMMAND.to_owned(), format!("--core={}", self.core), nice];
        let mut args = vec!["-n".into(), more.to_string().into(), command.into()];
        args.extend(words.map(Into::into));
        Program { name: "the neighbour", file: "nice".into(), args, stdin: false, stdout: true }
    }
}

/// Arguments of the hidden subcommand.
#[derive(Args, Clone, Debug)]
pub struct NeighbourArgs {
    /// Core to run on.
    #[arg(long)]
    pub core: u32,
    /// Nice value that it must have.
    #[arg(long, allow_negative_numbers = true)]
    pub nice: i32,
}

/// Is the neighbour: says that it runs, and keeps its core busy until its time is over.
pub fn be_the_neighbour(args: &NeighbourArgs) -> anyhow::Result<()> {
    let mut cores = CpuSet::new();
    cores.set(args.core as usize).with_context(|| format!("core {} is not there", args.core))?;
    sched_setaffinity(Pid::this(), &cores).with_context(|| format!("cannot run on core {}", args.core))?;
    ensure!(
        own_nice() == Some(args.nice),
        "its nice value is not {}: less than 0 takes root, or CAP_SYS_NICE",
        args.nice
    );
    writeln!(io::stdout(), "busy").context("cannot write to stdout")?;
    let end = Instant::now() + Duration::from_secs(SECONDS_MAX);
    while Instant::now() < end {
        std::hint::spin_loop();
    }
    Ok(())
}

/// The nice value of this process.
fn own_nice() -> Option<i32> {
    nice_in(&std::fs::read_to_string("/proc/self/stat").ok()?)
}

/// The nice value in a process's `stat`: field 19, counted from behind its name.
fn nice_in(stat: &str) -> Option<i32> {
    let (_, after_name) = stat.rsplit_once(')')?;
    after_name.split_ascii_whitespace().nth(16)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_read_as_they_are_written() {
        let named = |text: &str| text.parse::<Neighbour>();
        assert_eq!(named("1"), Ok(Neighbour { core: CoreId(1), nice: 0 }));
        assert_eq!(named("3:-10"), Ok(Neighbour { core: CoreId(3), nice: -10 }));
        assert_eq!(named("3:-10").unwrap().to_string(), "a neighbour at nice -10 keeps core 3 busy");
        for wrong in ["", "x", "1:", "1:20", "1:-21", "-1"] {
            assert!(named(wrong).unwrap_err().contains("such as 1 or 1:-10"), "{wrong}");
        }
    }

    #[test]
    fn a_nice_value_is_found_behind_a_name_with_spaces() {
        let stat = "7 (a (b) c) S 1 7 7 0 -1 4194560 99 0 1 0 250 50 3 4 10 -10 9 0 100 1 2 3";
        assert_eq!(nice_in(stat), Some(-10));
        assert_eq!(nice_in("7 (a) S 1"), None);
    }
}
