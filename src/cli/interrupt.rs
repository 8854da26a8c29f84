//! Owns how a command hears that it is to end: a signal becomes something that each of its waits can wait for as well.

use std::fs::File;
use std::io::{self, PipeReader, PipeWriter, Read, Write};
use std::os::fd::AsFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use corecast_executors::{
    Either, Inbox, Link, RecvTimeout, TerminationSignals, block_on, exit_now, first, link, pause, spawn_plain,
};
use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

use super::output::note;
use super::{Exit, Failure};

/// The end that a signal asks for.
pub(super) struct Interrupt {
    asked: Inbox<()>,
    /// Set before `asked` is told. One load, for loops that look with each message.
    is_asked: Arc<AtomicBool>,
    /// Holds something to read once it is asked for, which nobody reads.
    pipe: PipeReader,
    asker: Asker,
}

impl Interrupt {
    /// Makes SIGTERM and SIGINT a request to end within `time`. After that the process ends as it is, with `late` as its
    /// last words if there are any.
    pub(super) fn on_signals(time: Duration, late: Option<&'static str>) -> Result<Self, Failure> {
        let interrupt = Self::new().map_err(cannot_wait)?;
        let asker = interrupt.asker();
        on_signal(move || {
            asker.ask();
            pause(time);
            if let Some(late) = late {
                note(late);
            }
            exit_now(Exit::Failed as u8);
        })?;
        Ok(interrupt)
    }

    /// An end that nothing asks for yet.
    pub(super) fn new() -> io::Result<Self> {
        let (link, asked) = link(1);
        let (pipe, open) = io::pipe()?;
        let is_asked = Arc::new(AtomicBool::new(false));
        let asker = Asker { link, is_asked: Arc::clone(&is_asked), open: Arc::new(open) };
        Ok(Interrupt { asked, is_asked, pipe, asker })
    }

    /// Something that asks for the end.
    pub(super) fn asker(&self) -> Asker {
        self.asker.clone()
    }

    /// True once the end was asked for.
    pub(super) fn is_asked(&self) -> bool {
        self.is_asked.load(Ordering::Relaxed)
    }

    /// Waits for `work`; `None` if the end is asked for before it is done.
    pub(super) fn unless_asked<T>(&mut self, work: impl Future<Output = T>) -> Option<T> {
        if self.is_asked() {
            return None;
        }
        match block_on(first(work, self.asked.recv())) {
            Either::Left(done) => Some(done),
            Either::Right(_) => None,
        }
    }

    /// Waits until then, or until the end is asked for.
    pub(super) fn wait_until(&mut self, due: Instant) {
        // Whoever asks lives as long as the process, or has asked.
        while !self.is_asked() && self.asked.recv_deadline(due) != Err(RecvTimeout::TimedOut) {}
    }

    /// For reads that fail when the end is asked for.
    pub(super) fn reads(&self) -> io::Result<InterruptedReads> {
        self.pipe.try_clone().map(InterruptedReads)
    }
}

/// The end that a signal asks for, as whoever reads files sees it.
pub(super) struct InterruptedReads(PipeReader);

impl InterruptedReads {
    /// A file whose reads fail when the end is asked for.
    pub(super) fn reader(&self, file: File) -> io::Result<impl Read + use<>> {
        Ok(InterruptedReader { file, pipe: self.0.try_clone()? })
    }
}

/// The time that the reader of stdout has to take the last lines after a signal, or after --timeout.
pub(super) const LAST_LINE_TIME: Duration = Duration::from_secs(1);

/// The last words where nobody has read them by then.
pub(super) const OUTPUT_LOST: &str = "error: output that nobody has read is lost";

/// The time that a command has. Once it is over, the command has a moment more to write its last lines.
pub(super) struct TimeLimit {
    is_over: Arc<AtomicBool>,
}

impl TimeLimit {
    /// Watches the time, if there is a deadline. So long after it the process ends as it is, with `late` as its last words.
    pub(super) fn start(
        deadline: Option<Instant>,
        time: Duration,
        late: &'static str,
    ) -> Result<Self, Failure> {
        let is_over = Arc::new(AtomicBool::new(false));
        let Some(deadline) = deadline else { return Ok(TimeLimit { is_over }) };
        let passed = Arc::clone(&is_over);
        let watch = move || {
            pause(deadline.saturating_duration_since(Instant::now()));
            passed.store(true, Ordering::Relaxed);
            pause(time);
            note(late);
            exit_now(Exit::TimedOut as u8);
        };
        // Nobody joins it: it ends with the process.
        spawn_plain("deadline", watch)
            .map_err(|e| Failure::new(Exit::Failed, format!("cannot make a thread: {e}")))?;
        Ok(TimeLimit { is_over })
    }

    /// True once the time is over. One load, for loops that look with each message.
    pub(super) fn is_over(&self) -> bool {
        self.is_over.load(Ordering::Relaxed)
    }
}

/// Makes SIGTERM and SIGINT the end of a command that writes whole lines, and so may end anywhere.
pub(super) fn end_on_signals(exit: Exit) -> Result<(), Failure> {
    on_signal(move || exit_now(exit as u8))
}

/// Does this at SIGTERM or SIGINT; at a second one the process ends as it is.
fn on_signal(act: impl FnOnce() + Send + 'static) -> Result<(), Failure> {
    let mut signals = TerminationSignals::install().map_err(cannot_wait)?;
    let wait = move || {
        signals.wait();
        act();
    };
    // Nobody joins it: it ends with the process.
    spawn_plain("signals", wait).map(drop).map_err(cannot_wait)
}

fn cannot_wait(error: io::Error) -> Failure {
    Failure::new(Exit::Failed, format!("cannot wait for signals: {error}"))
}

/// Asks for the end. The first that does is heard.
#[derive(Clone)]
pub(super) struct Asker {
    link: Link<()>,
    is_asked: Arc<AtomicBool>,
    open: Arc<PipeWriter>,
}

impl Asker {
    pub(super) fn ask(&self) {
        self.is_asked.store(true, Ordering::Relaxed);
        // A pipe has room for all that ask.
        let _ = (&*self.open).write_all(b".");
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
        loop {
            let mut asked = [
                PollFd::new(self.file.as_fd(), PollFlags::POLLIN),
                PollFd::new(self.pipe.as_fd(), PollFlags::POLLIN),
            ];
            match poll(&mut asked, PollTimeout::NONE) {
                Err(Errno::EINTR) => return Err(io::ErrorKind::Interrupted.into()),
                Err(error) => return Err(error.into()),
                Ok(_) => {}
            }
            if asked[1].any().unwrap_or(true) {
                return Err(io::Error::other("interrupted"));
            }
            match self.file.read(buf) {
                // Another reader of the same pipe was quicker, or its last writer has gone and another has come.
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                read => return read,
            }
        }
    }
}
