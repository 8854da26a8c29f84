//! Owns the list of peers: which are there, in which version, and how to get the others.

use super::name::System;
use super::start::product_of;
use crate::process::broker::find_program;
use crate::process::error::StartError;
use crate::process::program::{find, find_package, find_pyzmq, find_zenoh, said_by, version_of};
use std::path::PathBuf;

/// A line for each peer, for a terminal.
pub fn list() -> String {
    let line = |system: System| {
        let (version, place) = match place_of(system) {
            Ok((version, Some(file))) => (version, file.display().to_string()),
            Ok((version, None)) => (version, "this command".to_owned()),
            Err(StartError::Missing { fix, .. }) => (None, format!("missing: {fix}")),
            Err(error) => (None, error.to_string()),
        };
        format!("{:<20} {:<8} {place}\n", system.name(), version.as_deref().unwrap_or("–"))
    };
    System::all().map(line).collect()
}

/// The version of a peer, and its program where that is another than this one.
fn place_of(system: System) -> Result<(Option<String>, Option<PathBuf>), StartError> {
    if system.is_floor() {
        return Ok((Some(env!("CARGO_PKG_VERSION").to_owned()), None));
    }
    if let Some(product) = product_of(system) {
        let file = find(product.program)?;
        return Ok((version_of(&file, product.version_flag), Some(file)));
    }
    let of_python = |python: PathBuf, statement: &str| {
        let version = said_by(&python, &["-c", statement]).map(|said| said.trim().to_owned());
        Ok((version, Some(python)))
    };
    match system {
        System::Zenoh => of_python(
            find_zenoh()?,
            "from importlib.metadata import version; print(version('eclipse-zenoh'))",
        ),
        System::CorecastPython => {
            of_python(find_package()?, "from importlib.metadata import version; print(version('corecast'))")
        }
        System::Libzmq | System::LibzmqOnePart => {
            of_python(find_pyzmq()?, "import zmq; print(zmq.zmq_version())")
        }
        System::PyzmqProxy | System::PyzmqDirect => {
            of_python(find_pyzmq()?, "import zmq; print(zmq.pyzmq_version())")
        }
        System::CorecastBefore => Err(StartError::Missing {
            program: "another build".into(),
            fix: "name its command with --before".into(),
        }),
        _ => {
            let file = find_program()?;
            Ok((version_of(&file, "--version"), Some(file)))
        }
    }
}
