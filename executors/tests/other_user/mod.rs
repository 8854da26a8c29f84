//! Runs programs as a user with no other processes: root is exempt from the limits that users have.

use std::io::Write as _;
use std::sync::atomic::{AtomicU32, Ordering};

use nix::unistd::Uid;

/// The words before a command that run it as another user, with this limit of locked memory. `None`, which is reported
/// on stderr: only root may become another user.
pub(crate) fn runner(test: &str, memlock_kib: u64) -> Option<Vec<String>> {
    if !Uid::effective().is_root() {
        let _ = writeln!(std::io::stderr(), "{test}: SKIPPED, only root may become another user");
        return None;
    }
    // The limit covers all processes of a user: each test has a user of its own.
    static TESTS: AtomicU32 = AtomicU32::new(0);
    let user = 100_000 + 16 * std::process::id() + TESTS.fetch_add(1, Ordering::Relaxed);
    let setpriv = format!("setpriv --reuid {user} --regid {user} --clear-groups sh -c");
    let limited = format!("ulimit -l {memlock_kib}; exec \"$0\" \"$@\"");
    Some(setpriv.split(' ').map(str::to_owned).chain([limited]).collect())
}
