//! `corecast-bench compare`: reads two results, sets one over the other, and checks what was asserted about that.

use super::exit::{Exit, OrWrongUsage};
use super::output::{check_json, complain, complain_of_each, json, publish_both};
use crate::report::compare::claim::Claim;
use crate::report::compare::{compare, text};
use crate::report::source::Source;
use anyhow::anyhow;
use clap::Args;
use std::path::{Path, PathBuf};

const EXAMPLES: &str = "\
Examples:
  Two commits, several rounds each, so that the intervals mean something
    corecast-bench compare results/before results/after
  For a script: the last subscriber may not wait a tenth longer, as far as the rounds can tell
    corecast-bench compare results/before results/after --assert 'last_subscriber_us.median.ratio_low < 1.1'
  Records of single runs; all figures as JSON
    corecast-bench compare tcp.json uds.json --json -

Runs are matched by what was asked for: mode, peer, subscribers, publishers, payload, rate,
sessions, transport, clients and their reactor, slow subscribers, idle and overflow policies (and
shards, where several numbers of them were run). The ratio is B over A, of medians over rounds. Its 95 %
interval comes from the rounds if both have several (bootstrap: what changes from run to run is
in it), else from the histograms of the two runs (samples: only what varies within a run), else
there is none. In --assert each figure of a run has .a, .b, .ratio, .ratio_low and .ratio_high;
every pair must keep it. Exit codes: 0 fine, 1 failed or no run of the one is like any of the
other, 2 wrong usage or a failed --assert.";

/// Arguments of `corecast-bench compare`.
#[derive(Args, Clone, Debug)]
#[command(after_help = EXAMPLES)]
pub struct CompareArgs {
    /// Results that the others are set over: a folder, or a file of `run --json`
    #[arg(value_name = "A")]
    pub a: PathBuf,
    /// Results that are set over them
    #[arg(value_name = "B")]
    pub b: PathBuf,
    /// Condition on every pair of runs, such as 'last_subscriber_us.median.ratio < 1.1'; may be given several
    /// times
    #[arg(long = "assert", value_name = "EXPR")]
    pub claims: Vec<Claim>,
    /// Write every figure (corecast-bench-compare/1) into this file; `-`: to stdout, instead of the tables
    #[arg(long, value_name = "FILE")]
    pub json: Option<PathBuf>,
}

/// Compares.
pub fn execute(args: &CompareArgs) -> anyhow::Result<Exit> {
    check_json(args.json.as_deref()).or_wrong_usage()?;
    let read = |path: &Path| Source::read(path).map_err(anyhow::Error::new);
    let comparison = compare(&read(&args.a)?, &read(&args.b)?);
    publish_both(args.json.as_deref(), &text::render(&comparison), || json(&comparison))?;
    if comparison.pairs.is_empty() {
        complain(&anyhow!(
            "no run of {} was made like any of {}: compare results of the same experiment, or of the same options",
            args.a.display(),
            args.b.display()
        ));
        return Ok(Exit::Failed);
    }
    let broken =
        comparison.pairs.iter().flat_map(|pair| args.claims.iter().filter_map(|claim| claim.check(pair)));
    Ok(complain_of_each(broken))
}
