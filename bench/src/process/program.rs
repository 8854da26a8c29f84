//! Owns where the programs of peers are: those of the system, and those that `scripts/peers.sh install` puts into the
//! target folder.

use super::error::StartError;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// The environment variable that names a Python with the packages of all peers that are to be measured.
pub const PYTHON_VARIABLE: &str = "CORECAST_BENCH_PYTHON";
/// The command that gets what is missing.
pub const INSTALL: &str = "scripts/peers.sh install";
/// The command that makes a Python with our own package.
pub const PACKAGE: &str = "scripts/python-package.sh --env";
/// The Pythons that it makes, within the target folder: in a part of it, or beside the sources.
const PACKAGE_PYTHONS: [&str; 2] = ["python/test-env/bin/python", "../python/target/test-env/bin/python"];
/// Folders of servers that are not on everybody's PATH.
const SERVER_FOLDERS: [&str; 3] = ["/usr/sbin", "/usr/local/sbin", "/sbin"];
/// Folder of the pinned servers, within the target folder.
const PINNED_SERVERS: &str = "peers/bin";
/// The Python of the pinned packages, within the target folder.
const PINNED_PYTHON: &str = "peers/python/bin/python";
/// The Python that `scripts/python-env.sh` makes, within the target folder.
const PYZMQ_PYTHON: &str = "python-env/bin/python";

/// A server's file: on the PATH, where distributions put servers, or in the target folder.
pub fn find(program: &str) -> Result<PathBuf, StartError> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let folders = std::env::split_paths(&path).chain(SERVER_FOLDERS.map(PathBuf::from));
    let folders = folders.chain(in_target(PINNED_SERVERS));
    let found = folders.map(|folder| folder.join(program)).find(|file| file.is_file());
    found.ok_or_else(|| StartError::Missing { program: program.to_owned(), fix: INSTALL.into() })
}

/// A Python that has pyzmq: what the variable names, what `scripts/python-env.sh` made, else that of the PATH.
pub fn find_pyzmq() -> Result<PathBuf, StartError> {
    find_python("pyzmq", "zmq", &[PYZMQ_PYTHON], INSTALL)
}

/// A Python that has Zenoh, found in the same way: `scripts/peers.sh` makes one.
pub fn find_zenoh() -> Result<PathBuf, StartError> {
    find_python("Zenoh", "zenoh", &[PINNED_PYTHON], INSTALL)
}

/// A Python that has our own package, found in the same way: `scripts/python-package.sh` makes one.
pub fn find_package() -> Result<PathBuf, StartError> {
    find_python("the package corecast", "corecast", &PACKAGE_PYTHONS, PACKAGE)
}

fn find_python(what: &str, module: &str, made: &[&str], fix: &str) -> Result<PathBuf, StartError> {
    let made = made.iter().filter_map(|made| in_target(made)).chain([PathBuf::from("python3")]);
    let found = match std::env::var_os(PYTHON_VARIABLE).map(PathBuf::from) {
        Some(named) => Some(named).filter(|python| has_module(python, module)),
        None => made.into_iter().find(|python| has_module(python, module)),
    };
    found.ok_or_else(|| StartError::Missing {
        program: format!("a Python with {what}"),
        fix: format!("{fix}, or name one with {PYTHON_VARIABLE}"),
    })
}

/// A path in the target folder, which this command is in.
fn in_target(path: &str) -> Option<PathBuf> {
    Some(std::env::current_exe().ok()?.parent()?.parent()?.join(path))
}

fn has_module(python: &Path, module: &str) -> bool {
    let mut command = Command::new(python);
    command.arg("-c").arg(format!("import {module}"));
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    command.status().is_ok_and(|status| status.success())
}

/// The version that a program states when it is asked with this flag.
pub fn version_of(file: &Path, flag: &str) -> Option<String> {
    version_in(&said_by(file, &[flag])?)
}

/// The output of a program with these arguments.
pub fn said_by(file: &Path, arguments: &[&str]) -> Option<String> {
    let said = Command::new(file).args(arguments).stdin(Stdio::null()).output().ok()?;
    Some(String::from_utf8_lossy(&said.stdout).into_owned())
}

/// The first word that begins with a digit and has a dot.
fn version_in(text: &str) -> Option<String> {
    let words = text.split_whitespace().map(|word| word.trim_start_matches("v=").trim_start_matches('v'));
    let is_version =
        |word: &&str| word.starts_with(|first: char| first.is_ascii_digit()) && word.contains('.');
    words.into_iter().find(is_version).map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_found_in_what_servers_say() {
        let said = "Redis server v=7.0.15 sha=00000000:0 malloc=jemalloc-5.3.0 bits=64 build=eab";
        assert_eq!(version_in(said).as_deref(), Some("7.0.15"));
        assert_eq!(version_in("nats-server: v2.9.10\n").as_deref(), Some("2.9.10"));
        assert_eq!(version_in("mosquitto version 2.0.11\n\nmosquitto is an MQTT").as_deref(), Some("2.0.11"));
        assert_eq!(version_in("nothing of the kind"), None);
    }

    #[test]
    fn what_is_missing_is_named_with_the_fix() {
        let error = find("no-such-server").unwrap_err();
        assert_eq!(error.to_string(), "no-such-server is not there: scripts/peers.sh install");
    }
}
