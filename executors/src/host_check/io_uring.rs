//! The check that this process may use io_uring: it makes the executors of a broker. Used by `host_check` alone.

use std::fs;
use std::io;

use super::Finding;
use crate::executor::{ExecutorError, Sockets};
use crate::idle::Idle;
use crate::ids::CoreId;
use crate::reactor::{Reactor, Runtime};
use crate::thread::spawn_plain;

const NAME: &str = "io_uring";

/// The executors of a broker, made all at once to see if it could start.
#[derive(Debug)]
pub(super) struct Trial {
    /// The number that could be made.
    pub(super) made: usize,
    /// The reason why the next one could not.
    pub(super) error: Option<ExecutorError>,
}

/// Makes executors like those of so many shards, one after the other, and ends them. On a thread of its own, since making
/// one pins the thread.
pub(super) fn try_shards(cores: &[CoreId], shards: usize) -> Trial {
    let cores: Vec<CoreId> = if cores.is_empty() { vec![CoreId(0)] } else { cores.to_vec() };
    let make = move || {
        let mut executors = Vec::new();
        let of_shards = cores.iter().cycle().take(shards);
        let error = of_shards
            .map(|&core| Runtime::make(Reactor::IoUring, Some(core), Idle::Park, Sockets::Many))
            .find_map(|made| made.map(|executor| executors.push(executor)).err());
        Trial { made: executors.len(), error }
    };
    let failed = |error| Trial { made: 0, error: Some(ExecutorError::Rings(error)) };
    match spawn_plain("io-uring-probe", make).map(std::thread::JoinHandle::join) {
        Ok(Ok(trial)) => trial,
        Ok(Err(_panic)) => failed(io::Error::other("the runtime panicked")),
        Err(error) => failed(error),
    }
}

/// The result of [`try_shards`], in words.
pub(super) fn check(trial: &Trial) -> Finding {
    let is_out_of_memory = matches!(trial.error, Some(ExecutorError::MemlockUsedUp { .. }));
    // With one of them io_uring is allowed; the memory for the others is another subject.
    let error = trial.error.as_ref().filter(|_| trial.made == 0 || !is_out_of_memory);
    judge(error, io_uring_disabled())
}

/// The sysctl of Linux 6.6 and of distributions that backported it to older kernels.
fn io_uring_disabled() -> Option<u32> {
    fs::read_to_string("/proc/sys/kernel/io_uring_disabled").ok()?.trim().parse().ok()
}

/// The lock on io_uring that applies, and its remedy.
fn judge(error: Option<&ExecutorError>, disabled: Option<u32>) -> Finding {
    match error {
        None if disabled == Some(1) => Finding::warning(
            NAME,
            "works for this user alone: kernel.io_uring_disabled is 1",
            "sysctl kernel.io_uring_disabled=0, or run as this user or as one of the group in \
             kernel.io_uring_group",
        ),
        None => Finding::ok(NAME, "an executor could be made"),
        Some(ExecutorError::IoUring(_)) if disabled == Some(2) => Finding::error(
            NAME,
            "forbidden for all: kernel.io_uring_disabled is 2",
            "sysctl kernel.io_uring_disabled=0, and the same in /etc/sysctl.d to keep it",
        ),
        Some(ExecutorError::IoUring(_)) if disabled == Some(1) => Finding::error(
            NAME,
            "forbidden for this user: kernel.io_uring_disabled is 1",
            "sysctl kernel.io_uring_disabled=0, or join the group in kernel.io_uring_group",
        ),
        Some(ExecutorError::IoUring(source)) => Finding::error(
            NAME,
            format!("the kernel would allow it, but: {source}"),
            "in a container, its seccomp profile forbids it: run with --security-opt seccomp=FILE, where FILE \
             is the default profile with io_uring_setup, io_uring_enter and io_uring_register added; on bare \
             metal, a kernel with CONFIG_IO_URING",
        ),
        Some(ExecutorError::Memlock { .. }) => {
            Finding::error(NAME, "not tried: the memlock limit is too low", "see memlock")
        }
        Some(ExecutorError::MemlockUsedUp { .. }) => {
            Finding::error(NAME, "allowed, but this user has no memory left to lock", "see memlock")
        }
        Some(error) => Finding::error(NAME, with_cause(error), "see the message: it is the kernel's own"),
    }
}

fn with_cause(error: &ExecutorError) -> String {
    match std::error::Error::source(error) {
        Some(source) => format!("{error}: {source}"),
        None => error.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::super::Level;
    use super::*;

    fn denied() -> ExecutorError {
        ExecutorError::IoUring(io::Error::from_raw_os_error(libc::EPERM))
    }

    #[test]
    fn each_lock_is_told_from_the_others() {
        let sysctl_for_all = judge(Some(&denied()), Some(2));
        assert!(sysctl_for_all.found.contains("kernel.io_uring_disabled is 2"), "{sysctl_for_all:?}");
        let sysctl_for_us = judge(Some(&denied()), Some(1));
        assert!(sysctl_for_us.fix.unwrap().contains("io_uring_group"));
        for disabled in [None, Some(0)] {
            let container = judge(Some(&denied()), disabled);
            assert!(container.fix.unwrap().contains("seccomp"), "{disabled:?}");
        }
        let memlock = judge(Some(&ExecutorError::Memlock { limit_bytes: 1 }), Some(0));
        assert_eq!((memlock.level, memlock.fix.as_deref()), (Level::Error, Some("see memlock")));
        let source = io::Error::from_raw_os_error(libc::ENOMEM);
        let used_up = judge(Some(&ExecutorError::MemlockUsedUp { limit_bytes: 8 << 20, source }), Some(0));
        assert_eq!((used_up.level, used_up.fix.as_deref()), (Level::Error, Some("see memlock")));
    }

    #[test]
    fn other_errors_keep_the_words_of_the_kernel() {
        let full = ExecutorError::Rings(io::Error::from_raw_os_error(libc::EAGAIN));
        assert!(judge(Some(&full), Some(0)).found.contains("Resource temporarily unavailable"));
    }

    #[test]
    fn what_works_is_ok_unless_only_for_some() {
        assert_eq!(judge(None, Some(0)).level, Level::Ok);
        assert_eq!(judge(None, None).level, Level::Ok);
        assert_eq!(judge(None, Some(1)).level, Level::Warning);
    }
}
