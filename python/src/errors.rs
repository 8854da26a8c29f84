//! The library's errors as exceptions of `corecast`, with the library's sentences.

use corecast::{Error, ErrorKind};
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;

/// The exception for an error of the library.
pub(crate) fn exception(error: Error) -> PyErr {
    let code = match error.kind() {
        ErrorKind::Refused(code) => Some(code.label()),
        _ => None,
    };
    raised(kind_name(error.kind()), &error.to_string(), code)
}

/// The exception for an error that becomes one of the library.
pub(crate) fn invalid(error: impl Into<Error>) -> PyErr {
    exception(error.into())
}

/// An `InvalidError` with this sentence.
pub(crate) fn invalid_text(text: &str) -> PyErr {
    raised("invalid", text, None)
}

/// The error of a handle that was closed.
pub(crate) fn closed(subject: &str) -> PyErr {
    raised("closed", &format!("the {subject} is closed"), None)
}

/// The exception of this kind: `corecast/errors.py` has the classes.
pub(crate) fn raised(kind: &str, text: &str, code: Option<&str>) -> PyErr {
    static MAKE: PyOnceLock<Py<PyAny>> = PyOnceLock::new();
    Python::attach(|py| {
        let make = MAKE.import(py, "corecast.errors", "_make");
        match make.and_then(|make| make.call1((kind, text, code))) {
            Ok(exception) => PyErr::from_value(exception),
            Err(error) => error,
        }
    })
}

/// The name of a kind, as `kind` of an exception has it.
pub(crate) fn kind_name(kind: ErrorKind) -> &'static str {
    match kind {
        ErrorKind::Invalid => "invalid",
        ErrorKind::Unreachable => "unreachable",
        ErrorKind::AddressInUse => "address_in_use",
        ErrorKind::Refused(_) => "refused",
        ErrorKind::Protocol => "protocol",
        ErrorKind::Closed => "closed",
        ErrorKind::Lost => "lost",
        ErrorKind::TimedOut => "timed_out",
        ErrorKind::Executor => "executor",
        ErrorKind::Io => "io",
        _ => "unknown",
    }
}
