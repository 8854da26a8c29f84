//! Forks: threads are not copied, so a process that was forked after the library was used can use none of it. It is told
//! so, instead of waiting for ever.

use std::sync::atomic::{AtomicBool, Ordering};

use pyo3::prelude::*;

use crate::errors;

static IS_USED: AtomicBool = AtomicBool::new(false);
static IS_FORKED: AtomicBool = AtomicBool::new(false);

/// Notes that the library is about to start its threads.
///
/// # Errors
/// `ForkedError`, as for [`check`].
pub(crate) fn begin_to_use() -> PyResult<()> {
    check()?;
    IS_USED.store(true, Ordering::Relaxed);
    Ok(())
}

/// Refuses a call in a forked process.
///
/// # Errors
/// `ForkedError`.
pub(crate) fn check() -> PyResult<()> {
    if !is_forked() {
        return Ok(());
    }
    let text = "this process was forked from one that had used corecast, whose threads were not copied: fork before \
                the first use, or start processes by \"spawn\" or \"forkserver\" (multiprocessing.set_start_method)";
    Err(errors::raised("forked", text, None))
}

/// True in a process that was forked after the library was used.
#[pyfunction]
#[pyo3(name = "_is_forked")]
pub(crate) fn is_forked() -> bool {
    IS_FORKED.load(Ordering::Relaxed)
}

/// Python calls this in the child of a fork.
#[pyfunction]
#[pyo3(name = "_forked")]
pub(crate) fn forked() {
    if IS_USED.load(Ordering::Relaxed) {
        IS_FORKED.store(true, Ordering::Relaxed);
    }
}
