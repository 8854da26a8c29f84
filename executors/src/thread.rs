//! Threads and their panics. The only file that makes plain threads or installs the panic hook.

use std::cell::Cell;
use std::io::Write as _;
use std::panic::PanicHookInfo;
use std::sync::Once;
use std::thread::JoinHandle;

use nix::sched::sched_setaffinity;
use nix::unistd::Pid;
use tracing::error;

use crate::idle::Idle;
use crate::ids::CoreId;
use crate::topology::process_mask;

thread_local! {
    /// Set for good on the threads that carry an executor.
    static ON_EXECUTOR: Cell<bool> = const { Cell::new(false) };
    static CORE: Cell<Option<CoreId>> = const { Cell::new(None) };
    static IDLE: Cell<Idle> = const { Cell::new(Idle::Park) };
}

static PANIC_HOOK: Once = Once::new();

/// Whether this thread carries an executor of a pool: here nothing may block.
#[must_use]
pub fn on_executor() -> bool {
    ON_EXECUTOR.get()
}

/// The CPU that this thread's executor is pinned to; `None` if it is not pinned, or there is none.
#[must_use]
pub fn core_here() -> Option<CoreId> {
    CORE.get()
}

/// What this thread's executor does when it has nothing to do.
pub(crate) fn idle_here() -> Idle {
    IDLE.get()
}

/// Marks this thread as an executor's, pinned to `core`. Called once, by the thread itself.
pub(crate) fn become_executor(core: Option<CoreId>, idle: Idle) {
    ON_EXECUTOR.set(true);
    CORE.set(core);
    IDLE.set(idle);
}

/// Starts a plain thread, which may run on every CPU of the process even when an executor starts
/// it: threads inherit the pin of the one that makes them.
///
/// # Errors
/// When the kernel has no room for another thread.
pub fn spawn_plain<T, F>(name: &str, body: F) -> std::io::Result<JoinHandle<T>>
where
    T: Send + 'static,
    F: FnOnce() -> T + Send + 'static,
{
    std::thread::Builder::new().name(name.to_owned()).spawn(move || {
        // Best effort: a thread that stays where its maker was pinned is slow, not wrong.
        if let Ok(mask) = process_mask() {
            let _ = sched_setaffinity(Pid::from_raw(0), &mask);
        }
        body()
    })
}

/// Waits on a plain thread: for retries outside the data path. Executors wait on ticks.
pub fn pause(time: std::time::Duration) {
    assert!(!on_executor(), "a pause would stop every connection of this executor");
    #[expect(clippy::disallowed_methods, reason = "a plain thread with nothing to wake it")]
    std::thread::sleep(time);
}

/// From now on a panic on an executor thread ends the process; elsewhere nothing changes.
///
/// A panic in a task unwinds its whole executor and takes every connection on it, while the other
/// shards go on and count on it. That is worse than a restart.
pub(crate) fn install_panic_hook() {
    PANIC_HOOK.call_once(|| {
        let previous = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |info| {
            previous(info);
            if on_executor() {
                abort_process(info);
            }
        }));
    });
}

/// Says why on the log and on stderr, then aborts.
fn abort_process(info: &PanicHookInfo<'_>) -> ! {
    let thread = std::thread::current();
    let name = thread.name().unwrap_or("unnamed");
    let place = info.location().map_or_else(String::new, |at| format!(" at {}:{}", at.file(), at.line()));
    let cause = info.payload_as_str().unwrap_or("no message");
    error!(executor = name, "executor panicked{place}, aborting the process: {cause}");
    // The log may have no subscriber yet, and stderr may be gone: neither may hide the abort.
    let _ = writeln!(std::io::stderr(), "executor {name} panicked{place}, aborting the process: {cause}");
    #[expect(clippy::disallowed_methods, reason = "this is the panic hook the rule speaks of")]
    std::process::abort()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_plain_thread_is_named_and_is_no_executor() {
        let thread =
            spawn_plain("plain", || (std::thread::current().name().map(str::to_owned), on_executor()));
        let (name, executor) = thread.unwrap().join().unwrap();
        assert_eq!(name.as_deref(), Some("plain"));
        assert!(!executor);
    }

    #[test]
    fn a_plain_thread_leaves_the_pin_of_its_maker() {
        let everything = process_mask().unwrap();
        let pinned = spawn_plain("pinned", move || {
            let mut one = nix::sched::CpuSet::new();
            let first = (0..nix::sched::CpuSet::count()).find(|&cpu| everything.is_set(cpu).unwrap());
            one.set(first.unwrap()).unwrap();
            sched_setaffinity(Pid::from_raw(0), &one).unwrap();
            let child = spawn_plain("child", || nix::sched::sched_getaffinity(Pid::from_raw(0)).unwrap());
            child.unwrap().join().unwrap() == everything
        });
        assert!(pinned.unwrap().join().unwrap());
    }

    #[test]
    fn a_panic_elsewhere_stays_a_panic_of_that_thread() {
        install_panic_hook();
        install_panic_hook();
        let thread = spawn_plain("panics", || panic!("on purpose, and not on an executor"));
        assert!(thread.unwrap().join().is_err());
    }
}
