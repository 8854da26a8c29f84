//! Threads, their panics, and the end of the process. The only file that makes plain threads or installs the panic
//! hook.

use std::cell::Cell;
use std::io::Write as _;
use std::panic::PanicHookInfo;
use std::sync::{Once, OnceLock};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use nix::sched::{CpuSet, sched_setaffinity};
use nix::unistd::Pid;
use tracing::error;

use crate::idle::Idle;
use crate::ids::CoreId;
use crate::link::link;
use crate::topology::process_mask;

/// Time for writing the panic of an executor: a stderr that nobody reads must not keep the process alive, or half of
/// its shards would go on without the other half.
const LAST_WORDS: Duration = Duration::from_secs(1);

thread_local! {
    /// Set for good on threads that run an executor.
    static ON_EXECUTOR: Cell<bool> = const { Cell::new(false) };
    static CORE: Cell<Option<CoreId>> = const { Cell::new(None) };
    static IDLE: Cell<Idle> = const { Cell::new(Idle::Park) };
}

static PANIC_HOOK: Once = Once::new();
static BEFORE_ABORT: OnceLock<fn()> = OnceLock::new();

/// True if this thread runs an executor of a pool: nothing may block here.
#[must_use]
pub fn on_executor() -> bool {
    ON_EXECUTOR.get()
}

/// The CPU to which this thread's executor is pinned; `None` if it is not pinned, or there is none.
#[must_use]
pub fn core_here() -> Option<CoreId> {
    CORE.get()
}

/// The idle policy of this thread's executor.
pub(crate) fn idle_here() -> Idle {
    IDLE.get()
}

/// Marks this thread as an executor's, pinned to `core`. Called once, by the thread itself.
pub(crate) fn become_executor(core: Option<CoreId>, idle: Idle) {
    ON_EXECUTOR.set(true);
    CORE.set(core);
    IDLE.set(idle);
}

/// Starts a plain thread, which may run on every CPU of the process even if an executor starts it: threads inherit the
/// pinning of their creator.
///
/// # Errors
/// If the kernel has no room for another thread.
pub fn spawn_plain<T, F>(name: &str, body: F) -> std::io::Result<JoinHandle<T>>
where
    T: Send + 'static,
    F: FnOnce() -> T + Send + 'static,
{
    std::thread::Builder::new().name(name.to_owned()).spawn(move || {
        // Best effort: a thread that stays on its creator's CPU is slow, not wrong.
        if let Ok(mask) = process_mask() {
            let _ = sched_setaffinity(Pid::from_raw(0), &mask);
        }
        body()
    })
}

/// Starts a plain thread like [`spawn_plain`], but not on these CPUs if the process may use others: they are reserved
/// for executors.
///
/// # Errors
/// If the kernel has no room for another thread.
pub fn spawn_beside<T, F>(name: &str, executors: &[CoreId], body: F) -> std::io::Result<JoinHandle<T>>
where
    T: Send + 'static,
    F: FnOnce() -> T + Send + 'static,
{
    let executors = executors.to_vec();
    spawn_plain(name, move || {
        // Best effort, as above.
        if let Ok(mask) = process_mask().and_then(|mask| without(mask, &executors)) {
            let _ = sched_setaffinity(Pid::from_raw(0), &mask);
        }
        body()
    })
}

/// The CPUs of a mask except these, or all of them if none would be left.
fn without(mask: CpuSet, cores: &[CoreId]) -> nix::Result<CpuSet> {
    let mut rest = mask;
    for core in cores {
        rest.unset(core.index())?;
    }
    let is_any = (0..CpuSet::count()).any(|cpu| rest.is_set(cpu).unwrap_or(false));
    Ok(if is_any { rest } else { mask })
}

/// Sleeps on a plain thread: for retries outside the data path. Executors wait for ticks.
pub fn pause(time: Duration) {
    assert!(!on_executor(), "a pause would stop every connection of this executor");
    #[expect(clippy::disallowed_methods, reason = "a plain thread with nothing to wake it")]
    std::thread::sleep(time);
}

/// Ends the process now, whatever its other threads do: no exit hooks run, and no buffer is flushed into a pipe that
/// may be full.
pub fn exit_now(code: u8) -> ! {
    signal_hook::low_level::exit(i32::from(code))
}

/// Registers `flush`, which runs on a plain thread after a panic on an executor is logged and before it aborts the
/// process. It must return in bounded time. Only the first call counts: logs are set up once.
pub fn before_abort(flush: fn()) {
    // A second caller would have set up the logs a second time, which fails by itself.
    let _ = BEFORE_ABORT.set(flush);
}

/// Makes a panic on an executor thread end the process; elsewhere nothing changes.
///
/// A panic in a task unwinds its whole executor and takes every connection on it, while the other shards go on and rely
/// on it. That is worse than a restart.
pub(crate) fn install_panic_hook() {
    PANIC_HOOK.call_once(|| {
        let previous = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |info| {
            if on_executor() {
                abort_process(info, &*previous);
            }
            previous(info);
        }));
    });
}

/// Writes the cause to the log and to stderr, then aborts, after [`LAST_WORDS`] even if neither can be written.
fn abort_process(info: &PanicHookInfo<'_>, previous: &dyn Fn(&PanicHookInfo<'_>)) -> ! {
    let (written, mut is_written) = link(1);
    let end = move || {
        // Written or not, this is as long as anybody waits.
        let _ = is_written.recv_deadline(Instant::now() + LAST_WORDS);
        if let Some(flush) = BEFORE_ABORT.get() {
            flush();
        }
        abort()
    };
    // Without a thread that ends the process in any case, writing might never return.
    if spawn_plain("abort", end).is_err() {
        abort();
    }
    previous(info);
    write_cause(info);
    // Refused only if the other thread has stopped waiting.
    let _ = written.try_send(());
    loop {
        std::thread::park();
    }
}

fn write_cause(info: &PanicHookInfo<'_>) {
    let thread = std::thread::current();
    let name = thread.name().unwrap_or("unnamed");
    let place = info.location().map_or_else(String::new, |at| format!(" at {}:{}", at.file(), at.line()));
    let cause = info.payload_as_str().unwrap_or("no message");
    error!(executor = name, "executor panicked{place}, aborting the process: {cause}");
    // The log may have no subscriber yet, and stderr may be gone: neither may hide the abort.
    let _ = writeln!(std::io::stderr(), "executor {name} panicked{place}, aborting the process: {cause}");
}

fn abort() -> ! {
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
    fn a_thread_beside_executors_uses_another_core_where_there_is_one() {
        let all = process_mask().unwrap();
        let allowed: Vec<CoreId> = (0..CpuSet::count())
            .filter(|&cpu| all.is_set(cpu).unwrap())
            .map(|cpu| CoreId(u32::try_from(cpu).unwrap()))
            .collect();
        assert_eq!(without(all, &allowed).unwrap(), all);
        let beside = without(all, &allowed[..1]).unwrap();
        assert_eq!(beside.is_set(allowed[0].index()).unwrap(), allowed.len() == 1);
        let thread = spawn_beside("beside", &allowed[..1], || {
            nix::sched::sched_getaffinity(Pid::from_raw(0)).unwrap()
        });
        assert_eq!(thread.unwrap().join().unwrap(), beside);
    }

    #[test]
    fn a_panic_elsewhere_stays_a_panic_of_that_thread() {
        install_panic_hook();
        install_panic_hook();
        let thread = spawn_plain("panics", || panic!("on purpose, and not on an executor"));
        assert!(thread.unwrap().join().is_err());
    }
}
