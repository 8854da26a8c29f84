//! Owns how `pub` hears that it is to end: a signal becomes something that each of its waits can wait for as well.

use std::fs::File;
use std::io::{self, PipeReader, PipeWriter, Read};
use std::os::fd::AsFd;
use std::time::Instant;

use corecast_executors::{
    Either, Inbox, Link, RecvTimeout, TerminationSignals, block_on, exit_now, first, link, pause, spawn_plain,
};
use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

use super::output::note;
use super::{Exit, Failure};
use crate::limits::INTERRUPTED_MAX;

/// The end that a signal asks for.
pub(super) struct Interrupt {
    asked: Inbox<()>,
    is_asked: bool,
    /// Closed at the other end when it is asked for.
    pipe: PipeReader,
}

impl Interrupt {
    /// Makes SIGTERM and SIGINT a request to end, within [`INTERRUPTED_MAX`]: then the process ends as it is.
    pub(super) fn on_signals() -> Result<Self, Failure> {
        let failed = |e: io::Error| Failure::new(Exit::Failed, format!("cannot wait for signals: {e}"));
        let mut signals = TerminationSignals::install().map_err(failed)?;
        let (asker, interrupt) = Self::pair().map_err(failed)?;
        let wait = move || {
            signals.wait();
            asker.ask();
            pause(INTERRUPTED_MAX);
            note("error: interrupted, and the broker has not taken in time what was sent");
            exit_now(Exit::Failed as u8);
        };
        // Nobody joins it: it ends with the process.
        spawn_plain("signals", wait).map_err(failed)?;
        Ok(interrupt)
    }

    /// The end, and the one that asks for it.
    pub(super) fn pair() -> io::Result<(Asker, Self)> {
        let (link, asked) = link(1);
        let (pipe, open) = io::pipe()?;
        Ok((Asker { link, _open: open }, Interrupt { asked, pipe, is_asked: false }))
    }

    /// Whether the end was asked for.
    pub(super) fn is_asked(&mut self) -> bool {
        self.is_asked = self.is_asked || self.asked.try_recv().is_some();
        self.is_asked
    }

    /// Waits for `work`; `None` if the end is asked for before it is done.
    pub(super) fn unless_asked<T>(&mut self, work: impl Future<Output = T>) -> Option<T> {
        if self.is_asked() {
            return None;
        }
        match block_on(first(work, self.asked.recv())) {
            Either::Left(done) => Some(done),
            Either::Right(_) => {
                self.is_asked = true;
                None
            }
        }
    }

    /// Waits until then, or until the end is asked for.
    pub(super) fn wait_until(&mut self, due: Instant) {
        if !self.is_asked {
            self.is_asked = !matches!(self.asked.recv_deadline(due), Err(RecvTimeout::TimedOut));
        }
    }

    /// A file whose reads fail when the end is asked for.
    pub(super) fn reader(&self, file: File) -> io::Result<impl Read + 'static> {
        Ok(InterruptedReader { file, pipe: self.pipe.try_clone()? })
    }
}

/// Asks for the end, once.
pub(super) struct Asker {
    link: Link<()>,
    _open: PipeWriter,
}

impl Asker {
    fn ask(self) {
        // Nobody may wait for it any more.
        let _ = self.link.try_send(());
    }
}

struct InterruptedReader {
    file: File,
    pipe: PipeReader,
}

impl Read for InterruptedReader {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let mut asked = [
            PollFd::new(self.file.as_fd(), PollFlags::POLLIN),
            PollFd::new(self.pipe.as_fd(), PollFlags::empty()),
        ];
        match poll(&mut asked, PollTimeout::NONE) {
            Err(Errno::EINTR) => return Err(io::ErrorKind::Interrupted.into()),
            Err(error) => return Err(error.into()),
            Ok(_) => {}
        }
        if asked[1].any().unwrap_or(true) {
            return Err(io::Error::other("interrupted"));
        }
        self.file.read(buf)
    }
}
