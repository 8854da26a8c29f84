//! The pulse that brings time to shards: one plain thread serves a whole pool.
//!
//! It is also a safety net. The runtime parks with runnable tasks if a wake-up meant for its previous sleep is
//! delivered late, between its poll and its tasks: a foreign thread was preempted in the middle of waking it. The next
//! wake-up repairs that, so there must always be one that cannot be lost in the same way. A message on a link can be:
//! the link stays full, and a full link wakes nobody. A tick is therefore a count in an eventfd that the shard polls
//! through its ring: the kernel ends the sleep, whatever state the wake-ups of user space are in.
//!
//! An idle shard may rest (`rest`): it then gets one tick in [`TICKS_PER_REST`]. A tick costs a parked shard eight system
//! calls and 70 us here, more than everything else that an idle broker does. While a message waits on a link of the pool,
//! its shard gets every tick, resting or not, so that the net is as fine as ever where a wake-up could be lost. While all
//! shards rest, the thread sleeps until the next of them is to have a tick.

use std::os::fd::{AsFd, AsRawFd, BorrowedFd, RawFd};
use std::sync::Arc;
use std::time::{Duration, Instant};

use nix::sys::eventfd::{EfdFlags, EventFd};
use tracing::error;

use crate::clock::MonotonicNs;
use crate::link::{Inbox, Link, Refused, link};
use crate::reactor::Polled;
use crate::rest::{Alarm, Stir};
use crate::thread::spawn_plain;

/// Interval between two ticks. Every deadline of the product is a multiple of this, or late by at most this.
pub const TICK: Duration = Duration::from_millis(10);

/// Ticks per tick that a resting shard gets: 80 ms, less than the shortest lease, heartbeat or pause between attempts,
/// all of which are at least 100 ms.
pub const TICKS_PER_REST: u32 = 8;

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
    Inbox { inbox: Inbox<Tick>, stir: Stir },
}

/// The descriptor in the form that the runtime takes.
#[derive(Debug)]
struct Count(Arc<EventFd>);

impl AsRawFd for Count {
    fn as_raw_fd(&self) -> RawFd {
        self.0.as_raw_fd()
    }
}

impl AsFd for Count {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

impl Ticks {
    /// Waits for the next tick. `None`: the owner of the clock is gone.
    ///
    /// # Panics
    /// Outside an executor, for the ticks of a pool.
    pub async fn next(&mut self) -> Option<Tick> {
        match &mut self.0 {
            Source::Inbox { inbox, .. } => inbox.recv().await,
            Source::Pulse { count, .. } => {
                // Made anew each time: it belongs to an executor, and ticks are made before their executor.
                let polled = Polled::new(Count(Arc::clone(count))).ok()?;
                polled.readable().await.ok()?;
                // An empty read means that another poll has read it: the time has come all the same.
                let _ = count.read();
                Some(Tick { now: MonotonicNs::now() })
            }
        }
    }

    /// Starts a rest: until the shard is stirred it gets only one tick in [`TICKS_PER_REST`], or, of an executor that
    /// passes its ticks on, those that this executor gets while it rests itself.
    pub fn rest(&self) {
        self.rest_of().rest();
    }

    /// The handle that ends the rest.
    #[must_use]
    pub fn stir(&self) -> Stir {
        self.rest_of().clone()
    }

    fn rest_of(&self) -> &Stir {
        match &self.0 {
            Source::Pulse { stir, .. } | Source::Inbox { stir, .. } => stir,
        }
    }

    /// Makes ticks for a shard that runs on the same executor as the owner of these, which passes its own on.
    #[must_use]
    pub fn pass_on(outer: &Stir) -> (PassedTicks, Ticks) {
        let (link, inbox) = link(1);
        let stir = Stir::within(outer);
        (PassedTicks { link, stir: stir.clone() }, Ticks(Source::Inbox { inbox, stir }))
    }
}

/// The sending end of ticks that an executor passes on to a shard on it.
#[derive(Debug)]
pub struct PassedTicks {
    link: Link<Tick>,
    stir: Stir,
}

impl PassedTicks {
    /// Passes a tick on; a shard that is late hears the next one. `false`: the shard is gone.
    pub fn send(&self, tick: Tick) -> bool {
        !matches!(self.link.try_send(tick), Err(Refused::Closed(_)))
    }

    /// True if the shard needs no tick now.
    pub fn rests(&self) -> bool {
        self.stir.rests()
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
    /// Pulses until the shard is to have a tick, by what is known now.
    fn pulses_left(&self) -> u32 {
        if self.stir.rests() { TICKS_PER_REST.saturating_sub(self.skipped).max(1) } else { 1 }
    }

    /// Adds a tick to those that wait, if one is due after so many more pulses. `false`: the shard is gone.
    fn send(&mut self, pulses: u32) -> bool {
        if pulses < self.pulses_left() {
            self.skipped += pulses;
        } else {
            self.skipped = 0;
            // Full only after 2^64 ticks.
            let _ = self.count.write(1);
        }
        Arc::strong_count(&self.count) > 1
    }
}

/// The sending end and the receiving end of the ticks of one shard, whose tick thread has this alarm.
///
/// # Errors
/// If no descriptor is left.
pub(crate) fn ticks(alarm: &Alarm) -> std::io::Result<(TickLink, Ticks)> {
    let count = Arc::new(EventFd::from_flags(EfdFlags::EFD_NONBLOCK | EfdFlags::EFD_CLOEXEC)?);
    let stir = Stir::of(alarm);
    let link = TickLink { count: Arc::clone(&count), stir: stir.clone(), skipped: 0 };
    Ok((link, Ticks(Source::Pulse { count, stir })))
}

/// A running tick thread. It ends when it is stopped, or else with the last shard: those whose pool was dropped still need
/// the time to end well.
#[derive(Debug)]
pub(crate) struct TickSource {
    thread: std::thread::JoinHandle<()>,
    alarm: Alarm,
}

impl TickSource {
    /// Starts a thread that sends a tick on each of `links`, which were made with its alarm, every [`TICK`].
    pub(crate) fn start(name: &str, links: Vec<TickLink>, alarm: Alarm) -> std::io::Result<Self> {
        let own = alarm.clone();
        let thread = spawn_plain(name, move || pulse(links, &own))?;
        Ok(Self { thread, alarm })
    }

    /// Ends the thread and waits for it.
    pub(crate) fn stop(self) {
        self.alarm.end();
        if self.thread.join().is_err() {
            error!("the tick thread panicked");
        }
    }
}

/// Sends ticks until it is stopped or every shard is gone.
fn pulse(mut links: Vec<TickLink>, alarm: &Alarm) {
    alarm.wake_this_thread();
    let mut last = Instant::now();
    while !links.is_empty() && !alarm.is_over() {
        alarm.sleep(last, TICK, || links.iter().map(TickLink::pulses_left).min().unwrap_or(1));
        // After a pause of the host the missed ticks are one, not a burst.
        let pulses = last.elapsed().as_nanos() / TICK.as_nanos();
        if let Ok(pulses @ 1..) = u32::try_from(pulses) {
            last += TICK * pulses;
            links.retain_mut(|link| link.send(pulses));
        }
    }
}

#[cfg(test)]
mod tests {
    use futures_lite::future::{block_on, poll_once};

    use super::*;
    use crate::executor::Sockets;
    use crate::idle::Idle;
    use crate::link::link_to_shard;
    use crate::reactor::{Reactor, Runtime};
    use crate::thread::become_executor;

    /// Runs `body` on an executor in a thread of its own.
    fn on_an_executor<T: Send + 'static>(body: impl AsyncFnOnce() -> T + Send + 'static) -> T {
        let thread = spawn_plain("tick-test", move || {
            let executor = Runtime::make(Reactor::Auto, None, Idle::Park, Sockets::Few).unwrap();
            become_executor(None, Idle::Park);
            executor.run(body())
        });
        thread.unwrap().join().unwrap()
    }

    #[test]
    fn ticks_come_in_order_and_about_every_ten_milliseconds() {
        let alarm = Alarm::default();
        let (link, mut ticks) = ticks(&alarm).unwrap();
        let source = TickSource::start("test-tick", vec![link], alarm).unwrap();
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
        let (mut link, mut ticks) = ticks(&Alarm::default()).unwrap();
        for _ in 0..3 {
            assert!(link.send(1));
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
        let (mut link, ticks) = ticks(&Alarm::default()).unwrap();
        let Source::Pulse { count, .. } = &ticks.0 else { unreachable!() };
        let mut sent = |pulses: u32| {
            (0..pulses).for_each(|_| assert!(link.send(1)));
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
        let (mut link, ticks) = ticks(&Alarm::default()).unwrap();
        let Source::Pulse { count, .. } = &ticks.0 else { unreachable!() };
        let mut sent = |pulses: u32| {
            (0..pulses).for_each(|_| assert!(link.send(1)));
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
    fn a_message_beside_a_shards_link_ends_its_rest_and_may_stay_untaken() {
        let (mut link, ticks) = ticks(&Alarm::default()).unwrap();
        let (commands, _inbox) = link_to_shard::<()>(1, &ticks.stir());
        let (items, of_items) = commands.clone().beside::<()>(1).0.beside::<()>(1);
        ticks.rest();
        assert_eq!(link.pulses_left(), TICKS_PER_REST);
        items.try_send(()).unwrap();
        assert_eq!(link.pulses_left(), 1);
        drop(of_items);
        assert!(link.send(1));
        ticks.rest();
        assert!(items.try_send(()).is_err());
        assert_eq!(link.pulses_left(), TICKS_PER_REST, "nothing was sent");
    }

    #[test]
    fn an_executor_knows_whether_the_shard_within_it_rests_and_is_stirred_with_it() {
        let (link, ticks) = ticks(&Alarm::default()).unwrap();
        let (passed, mut inner) = Ticks::pass_on(&ticks.stir());
        let tick = Tick { now: MonotonicNs(1) };
        assert!(!passed.rests() && passed.send(tick) && passed.send(tick));
        assert_eq!(block_on(inner.next()), Some(tick));
        assert_eq!(block_on(poll_once(inner.next())), None, "it was late for the second");
        inner.rest();
        ticks.rest();
        assert!(passed.rests() && link.pulses_left() == TICKS_PER_REST);
        inner.stir().stir();
        assert!(!passed.rests() && link.pulses_left() == 1);
        drop(inner);
        assert!(!passed.send(tick));
    }

    #[test]
    fn pulses_that_passed_in_one_sleep_count_for_each_shard() {
        let alarm = Alarm::default();
        let mut links = [ticks(&alarm), ticks(&alarm)].map(Result::unwrap);
        let mut pass = |pulses, wanted: [u64; 2]| {
            let sent = links.each_mut().map(|(link, ticks)| {
                assert!(link.send(pulses));
                let Source::Pulse { count, .. } = &ticks.0 else { unreachable!() };
                ticks.rest();
                count.read().unwrap_or(0)
            });
            assert_eq!(sent, wanted);
            links.each_ref().map(|(link, _)| link.pulses_left())
        };
        assert_eq!(pass(1, [1, 1]), [TICKS_PER_REST; 2]);
        assert_eq!(pass(3, [0, 0]), [TICKS_PER_REST - 3; 2]);
        assert_eq!(pass(TICKS_PER_REST - 3, [1, 1]), [TICKS_PER_REST; 2]);
        assert_eq!(pass(1_000, [1, 1]), [TICKS_PER_REST; 2], "a pause of the host is no burst");
        links[1].1.stir().stir();
        assert_eq!(links.each_ref().map(|(link, _)| link.pulses_left()), [TICKS_PER_REST, 1]);
    }

    #[test]
    fn the_thread_ends_by_itself_when_every_shard_is_gone() {
        let alarm = Alarm::default();
        let (link, ticks) = ticks(&alarm).unwrap();
        let source = TickSource::start("test-tick", vec![link], alarm).unwrap();
        // It rests: the thread notices all the same.
        ticks.rest();
        drop(ticks);
        source.thread.join().unwrap();
        assert!(!source.alarm.is_over(), "only the shards' end has ended it");
    }

    #[test]
    fn a_source_that_is_dropped_goes_on_while_a_shard_is_there() {
        let alarm = Alarm::default();
        let (link, mut ticks) = ticks(&alarm).unwrap();
        drop(TickSource::start("test-tick", vec![link], alarm).unwrap());
        on_an_executor(async move || {
            for _ in 0..3 {
                assert!(ticks.next().await.is_some());
            }
        });
    }

    #[test]
    fn a_shard_that_is_stirred_has_its_next_tick_soon_although_the_thread_sleeps() {
        let alarm = Alarm::default();
        let (link, mut ticks) = ticks(&alarm).unwrap();
        let source = TickSource::start("test-tick", vec![link], alarm).unwrap();
        let least = on_an_executor(async move || {
            let mut least = Duration::MAX;
            for _ in 0..10 {
                ticks.next().await.unwrap();
                ticks.rest();
                let began = MonotonicNs::now();
                ticks.stir().stir();
                ticks.next().await.unwrap();
                least = least.min(MonotonicNs::now().saturating_since(began));
            }
            least
        });
        // The host may be late now and then; a thread that sleeps on would be late each time.
        assert!(least < TICK * TICKS_PER_REST / 2, "{least:?}");
        source.stop();
    }
}
