//! The pulse that brings time to shards: one plain thread serves a whole pool.
//!
//! It is also a net. The runtime parks with runnable tasks when a wake-up meant for its last sleep
//! is delivered late, between its poll and its tasks: a foreign thread was taken off its core in
//! the middle of waking it. The next wake-up of any kind puts that right. A shard that waits for
//! its ticks therefore stalls for 10 ms at most where one that does not may stall for good.

use std::time::{Duration, Instant};

use tracing::error;

use crate::clock::MonotonicNs;
use crate::link::{Inbox, Link, RecvTimeout, Refused, link};
use crate::thread::spawn_plain;

/// How often every shard hears the time. Every deadline of the product is a multiple of this, or
/// late by at most this.
pub const TICK: Duration = Duration::from_millis(10);

/// One tick waits at most: a shard that is late needs to hear the time once, not ten times.
const TICKS_WAITING_MAX: usize = 1;

/// The time, as sent to a shard.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Tick {
    /// When the tick was sent. Never earlier than the tick before it.
    pub now: MonotonicNs,
}

/// A shard's ticks. A test makes its own with [`Ticks::from`] an inbox and so owns the clock.
#[derive(Debug)]
pub struct Ticks(Inbox<Tick>);

impl Ticks {
    /// Waits for the next tick. `None`: the pool's tick thread is gone.
    pub async fn next(&mut self) -> Option<Tick> {
        self.0.recv().await
    }
}

impl From<Inbox<Tick>> for Ticks {
    fn from(inbox: Inbox<Tick>) -> Self {
        Self(inbox)
    }
}

/// The sending end and the receiving end of one shard's ticks.
pub(crate) fn ticks() -> (Link<Tick>, Ticks) {
    let (link, inbox) = link(TICKS_WAITING_MAX);
    (link, Ticks(inbox))
}

/// A running tick thread. It ends when it is stopped, or else with the last shard.
#[derive(Debug)]
pub(crate) struct TickSource {
    thread: std::thread::JoinHandle<()>,
    stop: Link<()>,
}

impl TickSource {
    /// Starts to send a tick on each of `links` every [`TICK`].
    pub(crate) fn start(name: &str, links: Vec<Link<Tick>>) -> std::io::Result<Self> {
        let (stop, stopped) = link(1);
        // Kept by the thread too: shards whose pool was dropped still need the time to end well.
        let open = stop.clone();
        let thread = spawn_plain(name, move || {
            pulse(links, stopped);
            drop(open);
        })?;
        Ok(Self { thread, stop })
    }

    /// Ends the thread and waits for it.
    pub(crate) fn stop(self) {
        // Refused only when the thread has ended by itself.
        let _ = self.stop.try_send(());
        if self.thread.join().is_err() {
            error!("the tick thread panicked");
        }
    }
}

/// Sends ticks until it is told to stop or every shard is gone.
fn pulse(mut links: Vec<Link<Tick>>, mut stopped: Inbox<()>) {
    let mut due = Instant::now() + TICK;
    while !links.is_empty() && stopped.recv_deadline(due) == Err(RecvTimeout::TimedOut) {
        let now = MonotonicNs::now();
        links.retain(|link| !matches!(link.try_send(Tick { now }), Err(Refused::Closed(_))));
        // After a pause of the host the missed ticks are skipped, not sent in a burst.
        due = (due + TICK).max(Instant::now());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ticks_come_in_order_and_about_every_ten_milliseconds() {
        let (link, mut ticks) = ticks();
        let source = TickSource::start("test-tick", vec![link]).unwrap();
        let first = ticks.0.recv_blocking().unwrap();
        let mut last = first;
        for _ in 0..10 {
            let tick = ticks.0.recv_blocking().unwrap();
            assert!(tick.now > last.now);
            last = tick;
        }
        // Late ticks are the host's business; early ones would be ours.
        let elapsed = last.now.saturating_since(first.now);
        assert!(elapsed >= TICK * 8, "ten ticks took {elapsed:?}");
        source.stop();
        // One may have been under way.
        let _ = ticks.0.try_recv();
        assert_eq!(ticks.0.recv_blocking(), None);
    }

    #[test]
    fn ticks_coalesce_for_a_shard_that_is_late() {
        let (link, mut ticks) = ticks();
        assert!(link.try_send(Tick { now: MonotonicNs(1) }).is_ok());
        assert!(matches!(link.try_send(Tick { now: MonotonicNs(2) }), Err(Refused::Full(_))));
        assert_eq!(ticks.0.try_recv(), Some(Tick { now: MonotonicNs(1) }));
        assert_eq!(ticks.0.try_recv(), None);
    }

    #[test]
    fn the_thread_ends_by_itself_when_every_shard_is_gone() {
        let (link, ticks) = ticks();
        let source = TickSource::start("test-tick", vec![link]).unwrap();
        drop(ticks);
        // The stop link is still held: only the closed ticks can end it.
        source.thread.join().unwrap();
        assert!(source.stop.is_closed());
    }

    #[test]
    fn a_source_that_is_dropped_goes_on_while_a_shard_is_there() {
        let (link, mut ticks) = ticks();
        drop(TickSource::start("test-tick", vec![link]).unwrap());
        for _ in 0..3 {
            assert!(ticks.0.recv_blocking().is_some());
        }
    }
}
