//! Holds one thread of another process where it is, while the others go on: what a thread that hangs looks like.

use std::fs;

use nix::sys::ptrace;
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::Pid;

/// A thread that is held. All of its life is for the test thread that made it, which the kernel knows as its tracer.
#[derive(Debug)]
pub(crate) struct Held(Pid);

impl Held {
    /// Holds the thread of this name, and returns when it has stopped.
    pub(crate) fn hold(process: u32, name: &str) -> Self {
        let thread = thread_named(process, name);
        ptrace::seize(thread, ptrace::Options::empty()).expect("a child may be traced");
        ptrace::interrupt(thread).expect("it is traced");
        let stopped = waitpid(thread, Some(WaitPidFlag::__WALL));
        assert!(matches!(stopped, Ok(WaitStatus::PtraceEvent(..) | WaitStatus::Stopped(..))), "{stopped:?}");
        Held(thread)
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        // A process that has ended has let go of it.
        let _ = ptrace::detach(self.0, None);
    }
}

fn thread_named(process: u32, name: &str) -> Pid {
    let tasks = fs::read_dir(format!("/proc/{process}/task")).expect("it runs");
    let is_it = |task: &fs::DirEntry| {
        fs::read_to_string(task.path().join("comm")).is_ok_and(|comm| comm.trim_end() == name)
    };
    let task = tasks.flatten().find(is_it).unwrap_or_else(|| panic!("there is no thread {name}"));
    Pid::from_raw(task.file_name().to_string_lossy().parse().expect("threads are numbers"))
}
