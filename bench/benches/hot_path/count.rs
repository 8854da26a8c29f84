//! A case run a fixed number of times, so that two builds can be compared by what they execute.

use std::io::{self, Write as _};
use std::process::ExitCode;

use crate::case::{CASES, Case, Measured};

/// Iterations before the count begins: buffers have grown and routes are cached by then.
const ITERATIONS_BEFORE: usize = 8;

/// Names all cases, a line each.
pub(crate) fn list() -> ExitCode {
    let mut out = io::stdout().lock();
    match CASES.iter().try_for_each(|case| writeln!(out, "{}", case.name)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(_) => ExitCode::FAILURE,
    }
}

/// Runs the case of this name so many times. Wrong words end with exit code 2.
pub(crate) fn run(name: &str, iterations: &str) -> ExitCode {
    let found = CASES.iter().find(|case| case.name == name);
    let (Some(case), Ok(iterations)) = (found, iterations.parse()) else {
        // Nobody is left to tell if this fails.
        let _ = writeln!(io::stderr(), "usage: hot_path cases | count CASE ITERATIONS; `cases` names them");
        return ExitCode::from(2);
    };
    repeat(case, iterations);
    ExitCode::SUCCESS
}

/// Runs every case, so that a test notices when one no longer works.
pub(crate) fn once() -> ExitCode {
    CASES.iter().for_each(|case| repeat(case, 1));
    ExitCode::SUCCESS
}

fn repeat(case: &Case, iterations: usize) {
    let mut measured = (case.prepare)();
    for _ in 0..ITERATIONS_BEFORE {
        measured.restore();
        measured.run();
    }
    let mut counted = 0;
    for _ in 0..iterations {
        measured.restore();
        counted_part(&mut *measured, &mut counted);
    }
    assert_eq!(counted, iterations, "each iteration was counted");
}

/// All that is counted: scripts/perf-gate.sh knows this function by its name. It ends with an instruction of its own,
/// so that it calls `run` and does not jump there for good.
#[inline(never)]
fn counted_part(measured: &mut dyn Measured, counted: &mut usize) {
    measured.run();
    *counted += 1;
}
