//! The pulse that brings time to shards: one plain thread serves a whole pool.
//!
//! It is also a safety net. The runtime parks with runnable tasks if a wake-up meant for its previous sleep is
//! delivered late, between its poll and its tasks: a foreign thread was preempted in the middle of waking it. The next
//! wake-up repairs that, so there must always be one that cannot be lost in the same way. A message on a link can be:
//! the link stays full, and a full link wakes nobody. A tick is therefore a count in an eventfd that the shard polls
//! through its ring: the kernel ends the sleep, whatever state the wake-ups of user space are in.
//!
//! An idle shard may rest: it then gets one tick in [`TICKS_PER_REST`]. A tick costs a parked shard eight system calls
//! and 70 us here, more than everything else that an idle broker does. While a message waits on a link of the pool, its
//! shard gets every tick, resting or not, so that the net is as fine as ever where a wake-up could be lost.

use std::os::fd::{AsRawFd, RawFd};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use glommio::io::PollableFd;
use nix::sys::eventfd::{EfdFlags, EventFd};
use tracing::error;

use crate::clock::MonotonicNs;
use crate::link::{Inbox, Link, RecvTimeout, link};
use crate::thread::spawn_plain;

/// Interval between two ticks. Every deadline of the product is a multiple of this, or late by at most this.
pub const TICK: Duration = Duration::from_millis(10);

/// Ticks per tick that a resting shard gets: 80 ms, less than the shortest lease, heartbeat or pause between attempts,
/// all of which are at least 100 ms.
pub const TICKS_PER_REST: u32 = 8;

/// The state of a shard's rest: ends it, and prevents it while messages wait. Clones refer to the same shard.
#[derive(Debug, Clone, Default)]
pub struct Stir(Arc<Pace>);

#[derive(Debug, Default)]
struct Pace {
    rests: AtomicBool,
    /// Messages that are being sent to the shard, or that it has not taken. Counted before they can be taken, so that
    /// there is no moment in between; a tick that reads an old number is followed by the next within 10 ms.
    waiting: AtomicUsize,
}

impl Stir {
    /// Ends the rest: the next tick is at most [`TICK`] away.
    #[inline]
    pub fn stir(&self) {
        // Read first: while nobody rests, the flag stays in every core's cache.
        if self.0.rests.load(Ordering::Relaxed) {
            self.0.rests.store(false, Ordering::Relaxed);
        }
    }

    fn rest(&self) {
        // Read first, as above.
        if !self.0.rests.load(Ordering::Relaxed) {
            self.0.rests.store(true, Ordering::Relaxed);
        }
    }

    /// Counts a message that is about to be sent to the shard.
    #[inline]
    pub(crate) fn message(&self) -> MessageWaits<'_> {
        self.0.waiting.fetch_add(1, Ordering::Relaxed);
        MessageWaits(self)
    }

    /// Counts a message that the shard has taken.
    #[inline]
    pub(crate) fn message_taken(&self) {
        self.0.waiting.fetch_sub(1, Ordering::Relaxed);
    }

    /// True if the shard needs no tick now.
    pub(crate) fn rests(&self) -> bool {
        self.0.rests.load(Ordering::Relaxed) && self.0.waiting.load(Ordering::Relaxed) == 0
    }
}

/// A message that counts as waiting, until this is dropped.
#[derive(Debug)]
pub(crate) struct MessageWaits<'a>(&'a Stir);

impl MessageWaits<'_> {
    /// Marks it as sent: from now on its inbox counts it off.
    #[inline]
    pub(crate) fn until_taken(self) {
        std::mem::forget(self);
    }
}

impl Drop for MessageWaits<'_> {
    fn drop(&mut self) {
        self.0.message_taken();
    }
}

/// The time as a shard sees it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Tick {
    /// The time at which the tick was received. Never earlier than the previous tick's.
    pub now: MonotonicNs,
}

/// A shard's ticks. Ticks that it missed are merged into one.
#[derive(Debug)]
pub struct Ticks(Source);

#[derive(Debug)]
enum Source {
    /// Ticks of a pool's tick thread.
    Pulse { count: Arc<EventFd>, stir: Stir },
    /// Ticks of the clock's owner: a test, or an executor that passes its own ticks on.
    Inbox(Inbox<Tick>),
}

/// The descriptor in the form that the runtime takes.
#[derive(Debug)]
struct Count(Arc<EventFd>);

impl AsRawFd for Count {
    fn as_raw_fd(&self) -> RawFd {
        self.0.as_raw_fd()
    }
}

impl Ticks {
    /// Waits for the next tick. `None`: the owner of the clock is gone.
    ///
    /// # Panics
    /// Outside an executor, for the ticks of a pool.
    pub async fn next(&mut self) -> Option<Tick> {
        match &mut self.0 {
            Source::Inbox(inbox) => inbox.recv().await,
            Source::Pulse { count, .. } => {
                // Made anew each time: it belongs to an executor, and ticks are made before their executor.
                let polled = PollableFd::new(Count(Arc::clone(count))).ok()?;
                polled.readable().await.ok()?;
                // An empty read means that another poll has read it: the time has come all the same.
                let _ = count.read();
                Some(Tick { now: MonotonicNs::now() })
            }
        }
    }

    /// Starts a rest: until the shard is stirred it gets only one tick in [`TICKS_PER_REST`]. Ticks that do not come
    /// from a pool are not affected.
    pub fn rest(&self) {
        if let Source::Pulse { stir, .. } = &self.0 {
            stir.rest();
        }
    }

    /// The handle that ends the rest.
    #[must_use]
    pub fn stir(&self) -> Stir {
        match &self.0 {
            Source::Pulse { stir, .. } => stir.clone(),
            Source::Inbox(_) => Stir::default(),
        }
    }
}

impl From<Inbox<Tick>> for Ticks {
    fn from(inbox: Inbox<Tick>) -> Self {
        Self(Source::Inbox(inbox))
    }
}

/// The sending end of one shard's ticks.
#[derive(Debug)]
pub(crate) struct TickLink {
    count: Arc<EventFd>,
    stir: Stir,
    /// Ticks skipped since the last one, because the shard rests.
    skipped: u32,
}

impl TickLink {
    /// Adds a tick to those that wait, if one is due. `false`: the shard is gone.
    fn send(&mut self) -> bool {
        if self.stir.rests() && self.skipped + 1 < TICKS_PER_REST {
            self.skipped += 1;
        } else {
            self.skipped = 0;
            // Full only after 2^64 ticks.
            let _ = self.count.write(1);
        }
        Arc::strong_count(&self.count) > 1
    }
}

/// The sending end and the receiving end of one shard's ticks.
///
/// # Errors
/// If no descriptor is left.
pub(crate) fn ticks() -> std::io::Result<(TickLink, Ticks)> {
    let count = Arc::new(EventFd::from_flags(EfdFlags::EFD_NONBLOCK | EfdFlags::EFD_CLOEXEC)?);
    let stir = Stir::default();
    let link = TickLink { count: Arc::clone(&count), stir: stir.clone(), skipped: 0 };
    Ok((link, Ticks(Source::Pulse { count, stir })))
}

/// A running tick thread. It ends when it is stopped, or else with the last shard.
#[derive(Debug)]
pub(crate) struct TickSource {
    thread: std::thread::JoinHandle<()>,
    stop: Link<()>,
}

impl TickSource {
    /// Starts a thread that sends a tick on each of `links` every [`TICK`].
    pub(crate) fn start(name: &str, links: Vec<TickLink>) -> std::io::Result<Self> {
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
        // Refused only if the thread has ended by itself.
        let _ = self.stop.try_send(());
        if self.thread.join().is_err() {
            error!("the tick thread panicked");
        }
    }
}

/// Sends ticks until it is stopped or every shard is gone.
fn pulse(mut links: Vec<TickLink>, mut stopped: Inbox<()>) {
    let mut due = Instant::now() + TICK;
    while !links.is_empty() && stopped.recv_deadline(due) == Err(RecvTimeout::TimedOut) {
        links.retain_mut(TickLink::send);
        // After a pause of the host the missed ticks are skipped, not sent in a burst.
        due = (due + TICK).max(Instant::now());
    }
}

#[cfg(test)]
mod tests {
    use futures_lite::future::{block_on, poll_once};

    use super::*;
    use crate::executor::{self, Sockets};
    use crate::idle::Idle;
    use crate::link::link_to_shard;
    use crate::thread::become_executor;

    /// Runs `body` on an executor in a thread of its own.
    fn on_an_executor<T: Send + 'static>(body: impl AsyncFnOnce() -> T + Send + 'static) -> T {
        let thread = spawn_plain("tick-test", move || {
            let executor = executor::make(None, Idle::Park, Sockets::Few).unwrap();
            become_executor(None, Idle::Park);
            executor.run(body())
        });
        thread.unwrap().join().unwrap()
    }

    #[test]
    fn ticks_come_in_order_and_about_every_ten_milliseconds() {
        let (link, mut ticks) = ticks().unwrap();
        let source = TickSource::start("test-tick", vec![link]).unwrap();
        let elapsed = on_an_executor(async move || {
            let first = ticks.next().await.unwrap();
            let mut last = first;
            for _ in 0..10 {
                let tick = ticks.next().await.unwrap();
                assert!(tick.now > last.now);
                last = tick;
            }
            last.now.saturating_since(first.now)
        });
        // Late ticks are the host's fault; early ones would be ours.
        assert!(elapsed >= TICK * 8, "ten ticks took {elapsed:?}");
        source.stop();
    }

    #[test]
    fn ticks_coalesce_for_a_shard_that_is_late() {
        let (mut link, mut ticks) = ticks().unwrap();
        for _ in 0..3 {
            assert!(link.send());
        }
        let left = on_an_executor(async move || {
            ticks.next().await.unwrap();
            let Source::Pulse { count, .. } = &ticks.0 else { unreachable!() };
            count.read()
        });
        assert_eq!(left, Err(nix::errno::Errno::EAGAIN), "the three have become one");
    }

    #[test]
    fn who_rests_gets_one_tick_in_eight_until_it_is_stirred() {
        let (mut link, ticks) = ticks().unwrap();
        let Source::Pulse { count, .. } = &ticks.0 else { unreachable!() };
        let mut sent = |pulses: u32| {
            (0..pulses).for_each(|_| assert!(link.send()));
            count.read().unwrap_or(0)
        };
        assert_eq!(sent(3), 3);
        ticks.rest();
        assert_eq!(sent(TICKS_PER_REST - 1), 0);
        assert_eq!(sent(1), 1);
        assert_eq!(sent(10 * TICKS_PER_REST), 10);
        assert_eq!(sent(3), 0);
        ticks.stir().stir();
        assert_eq!(sent(3), 3, "the first of them at once");
    }

    #[test]
    fn who_rests_gets_every_tick_while_a_message_waits() {
        let (mut link, ticks) = ticks().unwrap();
        let Source::Pulse { count, .. } = &ticks.0 else { unreachable!() };
        let mut sent = |pulses: u32| {
            (0..pulses).for_each(|_| assert!(link.send()));
            count.read().unwrap_or(0)
        };
        let inboxes = [(); 2].map(|()| link_to_shard::<()>(1, &ticks.stir()));
        let [(one, mut of_one), (other, mut of_other)] = inboxes;
        // It arrives at the moment in which the rest begins.
        one.try_send(()).unwrap();
        ticks.rest();
        assert_eq!(sent(5), 5);
        // A message on another link, sent and taken, does not change the rest.
        other.try_send(()).unwrap();
        assert_eq!(of_other.try_recv(), Some(()));
        assert_eq!(sent(5), 5);
        assert_eq!(of_one.try_recv(), Some(()));
        assert_eq!(sent(TICKS_PER_REST - 1), 0, "it rests on");
        assert_eq!(sent(1), 1);
        // A message that is refused, or given up while it waits for room, is not sent.
        one.try_send(()).unwrap();
        assert!(one.try_send(()).is_err());
        assert_eq!(block_on(poll_once(one.send(()))), None);
        assert_eq!(of_one.try_recv(), Some(()));
        assert_eq!(sent(TICKS_PER_REST - 1), 0);
        assert_eq!(sent(1), 1);
    }

    #[test]
    fn the_thread_ends_by_itself_when_every_shard_is_gone() {
        let (link, ticks) = ticks().unwrap();
        let source = TickSource::start("test-tick", vec![link]).unwrap();
        drop(ticks);
        // The stop link is still held: only the shards' end can end it.
        source.thread.join().unwrap();
        assert!(source.stop.is_closed());
    }

    #[test]
    fn a_source_that_is_dropped_goes_on_while_a_shard_is_there() {
        let (link, mut ticks) = ticks().unwrap();
        drop(TickSource::start("test-tick", vec![link]).unwrap());
        on_an_executor(async move || {
            for _ in 0..3 {
                assert!(ticks.next().await.is_some());
            }
        });
    }
}
