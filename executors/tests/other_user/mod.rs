//! Runs programs as a user that nobody else is: root does not feel the limits that users have.

use std::io::Write as _;
use std::sync::atomic::{AtomicU32, Ordering};

use nix::unistd::Uid;

/// The words in front of a command that make it another user's, with this limit of locked memory. `None`, which is said
/// on stderr: only root may become somebody else.
pub(crate) fn runner(test: &str, memlock_kib: u64) -> Option<Vec<String>> {
    if !Uid::effective().is_root() {
        let _ = writeln!(std::io::stderr(), "{test}: SKIPPED, only root may become another user");
        return None;
    }
    // The limit is of a user over all processes: each test has one of its own.
    static TESTS: AtomicU32 = AtomicU32::new(0);
    let user = 100_000 + 16 * std::process::id() + TESTS.fetch_add(1, Ordering::Relaxed);
    let setpriv = format!("setpriv --reuid {user} --regid {user} --clear-groups sh -c");
    let limited = format!("ulimit -l {memlock_kib}; exec \"$0\" \"$@\"");
    Some(setpriv.split(' ').map(str::to_owned).chain([limited]).collect())
}
