//! The reader of this process's output: a pipe shows at once that its reader is gone, but only to a process that
//! checks. For commands that wait for something other than room in the pipe.

use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

use crate::link::Link;
use crate::thread::{pause, spawn_plain};

/// Pause between two checks when the kernel cannot tell.
const RETRY_PAUSE: Duration = Duration::from_secs(1);

/// The reason why a command need not wait any longer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WaitIsOver {
    /// Nobody reads its output any more.
    ReaderGone,
    /// Its time is over.
    DeadlinePassed,
}

/// Watches the reader of `file`, a pipe or a socket, and the time, on a plain thread; reports once which ended first.
/// The reader of a regular file is never gone.
///
/// # Errors
/// If the kernel has no room for another thread.
pub fn watch_reader(file: OwnedFd, deadline: Option<Instant>, over: Link<WaitIsOver>) -> io::Result<()> {
    let watch = move || {
        // The caller may have finished waiting.
        let _ = over.try_send(until_gone(&file, deadline));
    };
    // Nobody joins it: it ends with the process.
    spawn_plain("corecast-reader", watch).map(drop)
}

fn until_gone(file: &OwnedFd, deadline: Option<Instant>) -> WaitIsOver {
    loop {
        let left = deadline.map(|deadline| deadline.saturating_duration_since(Instant::now()));
        if left.is_some_and(|left| left.is_zero()) {
            return WaitIsOver::DeadlinePassed;
        }
        // Rounded up to the next millisecond; if it is too long for one poll, the poll is repeated.
        let timeout = left.map_or(PollTimeout::NONE, |left| {
            PollTimeout::try_from(left + Duration::from_millis(1)).unwrap_or(PollTimeout::MAX)
        });
        // Errors and hang-ups are reported without a request.
        let mut asked = [PollFd::new(file.as_fd(), PollFlags::empty())];
        match poll(&mut asked, timeout) {
            Ok(0) | Err(Errno::EINTR) => {}
            Ok(_) => return WaitIsOver::ReaderGone,
            Err(_) => pause(RETRY_PAUSE),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::link::{Inbox, link};

    fn watched(file: OwnedFd, deadline: Option<Instant>) -> Inbox<WaitIsOver> {
        let (over, watched) = link(1);
        watch_reader(file, deadline, over).unwrap();
        watched
    }

    #[test]
    fn a_reader_that_goes_is_seen_and_one_that_stays_is_not() {
        let (reads, writes) = io::pipe().unwrap();
        let soon = Some(Instant::now() + Duration::from_millis(50));
        let mut passed = watched(writes.try_clone().unwrap().into(), soon);
        assert_eq!(passed.recv_blocking(), Some(WaitIsOver::DeadlinePassed));
        let mut gone = watched(writes.into(), None);
        assert_eq!(gone.try_recv(), None);
        drop(reads);
        assert_eq!(gone.recv_blocking(), Some(WaitIsOver::ReaderGone));
    }

    #[test]
    fn a_file_has_no_reader_that_could_go() {
        let soon = Some(Instant::now() + Duration::from_millis(50));
        let mut passed = watched(tempfile::tempfile().unwrap().into(), soon);
        assert_eq!(passed.recv_blocking(), Some(WaitIsOver::DeadlinePassed));
    }
}
