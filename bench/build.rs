//! Finds out which commit this is built from, for the results: `CORECAST_GIT_COMMIT` if that is set, else what git says,
//! with `-dirty` behind it where files differ from it. Where there is no git, or no repository, it stays unknown.

use std::env;
use std::path::{Path, PathBuf};
use std::process::Command;

const VARIABLE: &str = "CORECAST_GIT_COMMIT";
/// Contents of the build: only changes of these make it dirty.
const BUILT: [&str; 8] = [
    "src",
    "build.rs",
    "Cargo.toml",
    "reference",
    "../src",
    "../executors",
    "../Cargo.toml",
    "../Cargo.lock",
];

fn main() {
    println!("cargo::rerun-if-env-changed={VARIABLE}");
    if env::var(VARIABLE).is_ok_and(|commit| !commit.is_empty()) {
        return;
    }
    // A copy of the sources inside another repository is none of its commits.
    if git(&["ls-files", "--error-unmatch", "build.rs"]).is_none() {
        return;
    }
    let Some(commit) = git(&["rev-parse", "--short=12", "HEAD"]) else { return };
    watch();
    let status = [&["status", "--porcelain", "--"], &BUILT[..]].concat();
    let dirty = git(&status).is_none_or(|changes| !changes.is_empty());
    println!("cargo::rustc-env={VARIABLE}={commit}{}", if dirty { "-dirty" } else { "" });
}

/// Builds again when another commit is checked out, or this one is committed upon, and when a source changes: that may
/// make it dirty.
fn watch() {
    let path = |name: &str| git(&["rev-parse", "--git-path", name]).map(PathBuf::from);
    let branch = git(&["symbolic-ref", "--quiet", "HEAD"]);
    let names = ["HEAD", "logs/HEAD", "packed-refs"].map(str::to_owned).into_iter().chain(branch);
    for file in names.filter_map(|name| path(&name)).filter(|file| file.exists()) {
        println!("cargo::rerun-if-changed={}", absolute(&file).display());
    }
    for path in BUILT {
        println!("cargo::rerun-if-changed={path}");
    }
}

/// Output of git here, without the newline at its end; nothing if it fails.
fn git(arguments: &[&str]) -> Option<String> {
    let output =
        Command::new("git").args(arguments).output().ok().filter(|output| output.status.success())?;
    Some(String::from_utf8(output.stdout).ok()?.trim().to_owned())
}

fn absolute(path: &Path) -> PathBuf {
    env::current_dir().map(|here| here.join(path)).unwrap_or_else(|_| path.to_owned())
}
