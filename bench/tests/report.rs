//! `corecast-bench report` as a person calls it, on made-up results: what it writes, and what it says when it cannot.
//!
//! To look at the results themselves, set CORECAST_TEST_KEEP to a folder: `scripts/report-shots.sh` takes it.
#![expect(clippy::unwrap_used, reason = "a test that cannot read what it wants to check has failed")]

mod command;
mod made_up;

use command::{assert_exit, bench, text};
use std::path::{Path, PathBuf};
use std::process::Output;

/// A folder that is removed at the end, unless somebody wants to look at it.
struct Scratch {
    path: PathBuf,
    _removed: Option<tempfile::TempDir>,
}

impl Scratch {
    fn new(name: &str) -> Self {
        match std::env::var_os("CORECAST_TEST_KEEP") {
            Some(keep) => {
                let path = Path::new(&keep).join(name);
                if path.exists() {
                    std::fs::remove_dir_all(&path).unwrap();
                }
                std::fs::create_dir_all(&path).unwrap();
                Scratch { path, _removed: None }
            }
            None => {
                let folder = tempfile::tempdir().unwrap();
                Scratch { path: folder.path().to_owned(), _removed: Some(folder) }
            }
        }
    }
}

fn report(results: &[&Path], out: &Path) -> Output {
    let mut command = bench(&["report"]);
    command.args(results).arg("--out").arg(out);
    command.output().unwrap()
}

#[test]
fn everything_is_written() {
    let scratch = Scratch::new("everything");
    let path = |name: &str| scratch.path.join(name);
    made_up::canonical(&path("canonical"));
    made_up::crossover(&path("crossover"));
    made_up::peers(&path("peers"));
    made_up::isolation(&path("isolation"));
    made_up::broken_off(&path("hosts"));
    let names = ["canonical", "crossover", "peers", "isolation", "hosts"].map(path);
    let out = path("report");
    let output = report(&names.iter().map(PathBuf::as_path).collect::<Vec<_>>(), &out);
    assert_exit(&output, 0);
    assert_eq!(text(&output.stdout), format!("{}\n", out.join("report.html").display()));
}
