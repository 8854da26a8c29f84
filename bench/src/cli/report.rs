//! `corecast-bench report`: reads results, writes a report of them, and says where it is.

use super::exit::{Exit, OrWrongUsage};
use super::output::{check_folder, print, write_file};
use crate::report::publish::{PAGE, files};
use crate::report::source::Source;
use anyhow::Context;
use clap::Args;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

const EXAMPLES: &str = "\
Examples:
  An experiment, and its report
    corecast-bench experiment canonical --quick --out results/canonical
    corecast-bench report results/canonical --open
  Several results in one report
    corecast-bench report results/canonical results/peers --out report
  The record of a few runs
    corecast-bench run --mode both --subscribers 1,8,64,512 --json both.json
    corecast-bench report both.json

The report is a folder: report.html (one file that needs no network and no script), report.md for
a README, and each plot as SVG (light and dark) and PNG under plots/. An earlier report in the
same place is replaced. The path of the page goes to stdout. Exit codes: 0 fine, 1 failed, 2
wrong usage.";

/// Arguments of `corecast-bench report`.
#[derive(Args, Clone, Debug)]
#[command(after_help = EXAMPLES)]
pub struct ReportArgs {
    /// Folders of results, or files of `run --json`
    #[arg(required = true, value_name = "RESULTS", value_delimiter = None)]
    pub results: Vec<PathBuf>,
    /// The folder to write the report into [default: report in the first folder of results]
    #[arg(long, value_name = "DIR")]
    pub out: Option<PathBuf>,
    /// Show the page in the browser, by xdg-open
    #[arg(long)]
    pub open: bool,
}

/// Writes the report.
pub fn execute(args: &ReportArgs) -> anyhow::Result<Exit> {
    let sources = Source::read_all(&args.results)?;
    let folder = args.out.clone().unwrap_or_else(|| default_folder(&args.results[0]));
    check_folder(&folder).or_wrong_usage()?;
    for file in files(&sources)? {
        let path = folder.join(&file.path);
        let parent = path.parent().unwrap_or(&folder);
        std::fs::create_dir_all(parent).with_context(|| format!("cannot make {}", parent.display()))?;
        write_file(&path, &file.content)?;
    }
    let page = folder.join(PAGE);
    print(format!("{}\n", page.display()).as_bytes())?;
    if args.open {
        open(&page)?;
    }
    Ok(Exit::Fine)
}

/// The default folder: in a folder of results, or beside a record.
fn default_folder(results: &Path) -> PathBuf {
    if results.is_dir() {
        return results.join("report");
    }
    let is_manifest = results.file_name().is_some_and(|name| name == "results.json");
    let name = if is_manifest { "report".into() } else { format!("{}-report", stem(results)) };
    results.with_file_name(name)
}

fn stem(path: &Path) -> String {
    path.file_stem().map_or_else(|| "run".into(), |stem| stem.to_string_lossy().into_owned())
}

fn open(page: &Path) -> anyhow::Result<()> {
    let mut opener = Command::new("xdg-open");
    opener.arg(page).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    let status = opener.status();
    let status = status.with_context(|| {
        format!("cannot run xdg-open (apt-get install xdg-utils); the report is {}", page.display())
    })?;
    anyhow::ensure!(status.success(), "xdg-open found nothing to show {} with ({status})", page.display());
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_report_has_a_place_if_none_was_named() {
        let folder = tempfile::tempdir().unwrap();
        assert_eq!(default_folder(folder.path()), folder.path().join("report"));
        assert_eq!(default_folder(Path::new("a/both.json")), Path::new("a/both-report"));
        assert_eq!(default_folder(Path::new("a/results.json")), Path::new("a/report"));
    }
}
