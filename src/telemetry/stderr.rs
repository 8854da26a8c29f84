//! Owns stderr for a command. One plain thread writes it; everybody else hands text over and goes on. A pipe that
//! nobody reads stops only that thread: log lines that find no room are dropped and counted, and once somebody reads
//! again, the log says how many are missing at that place.

use std::cell::Cell;
use std::io::{self, Write};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use corecast_executors::{Inbox, Link, Refused, link, pause, spawn_plain};
use tracing::error;

use crate::error::{Error, ErrorKind, Result};
use crate::limits::{LOG_LINES_MAX, STDERR_PATIENCE};

/// Pause between two attempts when no event announces success: room in a link, or in a non-blocking stderr.
const TRY_AGAIN: Duration = Duration::from_millis(5);

static LANE: OnceLock<Lane> = OnceLock::new();

thread_local! {
    /// Set on the writing thread.
    static WRITES: Cell<bool> = const { Cell::new(false) };
}

/// The queue to the writing thread.
#[derive(Debug)]
pub(super) struct Lane {
    link: Link<Item>,
    /// Log lines that found no room, since the start.
    dropped: AtomicU64,
    /// Those of them that the log does not mention yet.
    unmentioned: AtomicU64,
}

#[derive(Debug)]
enum Item {
    /// A log line, and the number of lines that found no room before it.
    Line { text: Vec<u8>, dropped_before: u64 },
    /// Text that somebody waits to see written.
    Text { text: String, written: Link<()> },
}

impl Lane {
    /// Starts the thread; only once in a process.
    pub(super) fn open() -> Result<&'static Lane> {
        let (link, inbox) = link(LOG_LINES_MAX);
        let lane = Lane { link, dropped: AtomicU64::new(0), unmentioned: AtomicU64::new(0) };
        if LANE.set(lane).is_err() {
            return Err(Error::new(ErrorKind::Invalid, "the logs were set up before"));
        }
        let lane = LANE.get().expect("set above");
        // Nobody joins it: it ends with the process.
        spawn_plain("stderr", || lane.run(inbox))
            .map_err(|e| Error::io("cannot start the thread that writes the log", e))?;
        Ok(lane)
    }

    /// A writer for a logging thread.
    pub(super) fn lines(&'static self) -> StderrLines {
        StderrLines { lane: Some(self), begun: Vec::new() }
    }

    /// Hands a line over, or drops it.
    fn log(&self, text: Vec<u8>) {
        if WRITES.get() {
            return write(&text);
        }
        let dropped_before = self.unmentioned.swap(0, Ordering::Relaxed);
        if self.link.try_send(Item::Line { text, dropped_before }).is_err() {
            self.dropped.fetch_add(1, Ordering::Relaxed);
            self.unmentioned.fetch_add(dropped_before + 1, Ordering::Relaxed);
        }
    }

    /// Writes everything that comes, for as long as the process lives.
    fn run(&self, mut inbox: Inbox<Item>) {
        WRITES.set(true);
        loop {
            let item = match inbox.try_recv() {
                Some(item) => item,
                None => {
                    self.mention(self.unmentioned.swap(0, Ordering::Relaxed));
                    match inbox.recv_blocking() {
                        Some(item) => item,
                        None => return,
                    }
                }
            };
            match item {
                Item::Line { text, dropped_before } => {
                    self.mention(dropped_before);
                    write(&text);
                }
                Item::Text { text, written } => {
                    write(text.as_bytes());
                    // The waiting thread may have given up.
                    let _ = written.try_send(());
                }
            }
        }
    }

    fn mention(&self, lines: u64) {
        if lines > 0 {
            error!(lines, "log lines dropped: stderr was not read fast enough");
        }
    }
}

/// Log lines dropped since the start because stderr was not read.
pub(super) fn log_lines_dropped() -> u64 {
    LANE.get().map_or(0, |lane| lane.dropped.load(Ordering::Relaxed))
}

/// Writes `text` to stderr, after the queued log lines, and returns when it is written, or after [`STDERR_PATIENCE`] if
/// nobody reads. For plain threads.
pub fn say(text: &str) {
    let Some(lane) = LANE.get() else { return write(text.as_bytes()) };
    let deadline = Instant::now() + STDERR_PATIENCE;
    let (written, mut is_written) = link(1);
    let mut item = Item::Text { text: text.to_owned(), written };
    loop {
        item = match lane.link.try_send(item) {
            Err(Refused::Full(item)) if Instant::now() < deadline => item,
            _ => break,
        };
        pause(TRY_AGAIN);
    }
    // Written or not, there is nobody else to report it to.
    let _ = is_written.recv_deadline(deadline);
}

/// Waits until the queued log lines are written, for [`STDERR_PATIENCE`] at most.
pub fn flush_log() {
    say("");
}

/// Writes all of it, as far as stderr accepts it: there is nowhere to report an error.
fn write(mut text: &[u8]) {
    let mut stderr = io::stderr().lock();
    while !text.is_empty() {
        match stderr.write(text) {
            Ok(0) => return,
            Ok(written) => text = &text[written..],
            Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
            // Another process that shares the pipe has made it non-blocking.
            Err(e) if e.kind() == io::ErrorKind::WouldBlock => pause(TRY_AGAIN),
            Err(_) => return,
        }
    }
}

/// Hands whole lines over to the thread that writes stderr. It never blocks and never fails.
#[derive(Debug)]
pub(super) struct StderrLines {
    lane: Option<&'static Lane>,
    begun: Vec<u8>,
}

impl Write for StderrLines {
    fn write(&mut self, text: &[u8]) -> io::Result<usize> {
        self.begun.extend_from_slice(text);
        if self.begun.ends_with(b"\n") {
            let line = std::mem::take(&mut self.begun);
            if let Some(lane) = self.lane {
                lane.log(line);
            }
        }
        Ok(text.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Hands whole lines of data over to the thread that writes stderr. It never blocks: a line for which there is no room is
/// refused with `WouldBlock`, so that its owner can write the rest of the data some other way.
#[derive(Debug)]
pub struct StderrData {
    lane: Option<&'static Lane>,
}

impl StderrData {
    /// A writer for notes beside a command's output. Before [`install_logs`](super::install_logs) they go nowhere.
    pub fn new() -> Self {
        StderrData { lane: LANE.get() }
    }
}

impl Default for StderrData {
    fn default() -> Self {
        StderrData::new()
    }
}

impl Write for StderrData {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        if let Some(lane) = self.lane {
            let item = Item::Line { text: line.to_vec(), dropped_before: 0 };
            lane.link.try_send(item).map_err(|_| io::ErrorKind::WouldBlock)?;
        }
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
