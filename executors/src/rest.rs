//! The rest of a shard: while it has nothing to do, it gets few ticks, and the thread that sends them sleeps as well. Shared
//! between a shard, everybody who sends to it, and the tick thread of its pool.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};
use std::thread::{Thread, current, park_timeout};
use std::time::{Duration, Instant};

/// The state of a shard's rest: ends it, and prevents it while messages wait. Clones refer to the same shard.
#[derive(Debug, Clone, Default)]
pub struct Stir(Arc<Pace>);

#[derive(Debug, Default)]
struct Pace {
    rests: AtomicBool,
    /// Messages that are being sent to the shard, or that it has not taken. Counted before they can be taken, so that
    /// there is no moment in between; a tick that reads an old number is followed by the next within 10 ms.
    waiting: AtomicUsize,
    alarm: Alarm,
    /// The rest of the executor that passes its ticks on to this shard.
    outer: Option<Stir>,
}

impl Stir {
    /// The state of a shard whose tick thread has this alarm.
    pub(crate) fn of(alarm: &Alarm) -> Self {
        Stir(Arc::new(Pace { alarm: alarm.clone(), ..Pace::default() }))
    }

    /// The state of a shard within another executor, whose rest it ends with its own.
    pub(crate) fn within(outer: &Stir) -> Self {
        Stir(Arc::new(Pace { outer: Some(outer.clone()), ..Pace::default() }))
    }

    /// Ends the rest: the next tick is at most [`TICK`](crate::TICK) away.
    #[inline]
    pub fn stir(&self) {
        // Read first: while nobody rests, the flag stays in every core's cache.
        if self.0.rests.load(Ordering::Relaxed) {
            self.0.rests.store(false, Ordering::SeqCst);
            self.0.alarm.ring();
            if let Some(outer) = &self.0.outer {
                outer.stir();
            }
        }
    }

    /// Begins the rest.
    pub(crate) fn rest(&self) {
        // Read first, as above.
        if !self.0.rests.load(Ordering::Relaxed) {
            self.0.rests.store(true, Ordering::Relaxed);
        }
    }

    /// True from the beginning of a rest until it is ended, whether messages wait or not.
    #[inline]
    pub(crate) fn is_at_rest(&self) -> bool {
        self.0.rests.load(Ordering::Relaxed)
    }

    /// Counts a message that is about to be sent to the shard.
    #[inline]
    pub(crate) fn message(&self) -> MessageWaits<'_> {
        self.0.waiting.fetch_add(1, Ordering::SeqCst);
        if self.0.rests.load(Ordering::Relaxed) {
            self.0.alarm.ring();
        }
        MessageWaits(self)
    }

    /// Counts a message that the shard has taken.
    #[inline]
    pub(crate) fn message_taken(&self) {
        self.0.waiting.fetch_sub(1, Ordering::Relaxed);
    }

    /// True if the shard needs no tick now.
    pub(crate) fn rests(&self) -> bool {
        self.0.rests.load(Ordering::SeqCst) && self.0.waiting.load(Ordering::SeqCst) == 0
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

/// The alarm of a tick thread: wakes it from a long sleep, and ends it. Clones ring the same thread.
#[derive(Debug, Clone, Default)]
pub(crate) struct Alarm(Arc<Sleep>);

#[derive(Debug, Default)]
struct Sleep {
    /// The thread that sleeps, once it runs.
    thread: OnceLock<Thread>,
    /// It sleeps for longer than a tick: whoever needs one has to wake it.
    is_long: AtomicBool,
    is_over: AtomicBool,
}

impl Alarm {
    /// Makes the calling thread the one that is woken. The first call counts.
    pub(crate) fn wake_this_thread(&self) {
        self.0.thread.get_or_init(current);
    }

    /// Wakes the thread, if it sleeps for longer than a tick.
    #[inline]
    fn ring(&self) {
        if self.0.is_long.load(Ordering::SeqCst) {
            self.wake();
        }
    }

    #[cold]
    fn wake(&self) {
        // Only the first of those that ring has to.
        if self.0.is_long.swap(false, Ordering::SeqCst)
            && let Some(thread) = self.0.thread.get()
        {
            thread.unpark();
        }
    }

    /// Ends the thread, as soon as it looks.
    pub(crate) fn end(&self) {
        self.0.is_over.store(true, Ordering::SeqCst);
        if let Some(thread) = self.0.thread.get() {
            thread.unpark();
        }
    }

    /// True if the thread is to end.
    pub(crate) fn is_over(&self) -> bool {
        self.0.is_over.load(Ordering::SeqCst)
    }

    /// Sleeps until so many times `tick` have passed since `from`, and not so long if the number falls meanwhile or the
    /// thread is to end.
    pub(crate) fn sleep(&self, from: Instant, tick: Duration, ticks: impl FnOnce() -> u32) {
        // First: whoever is stirred behind the count sees that it has to wake the thread.
        self.0.is_long.store(true, Ordering::SeqCst);
        let ticks = ticks();
        if ticks <= 1 {
            self.0.is_long.store(false, Ordering::SeqCst);
        }
        let left = (from + tick * ticks).saturating_duration_since(Instant::now());
        if left > Duration::ZERO && !self.is_over() {
            park_timeout(left);
        }
        self.0.is_long.store(false, Ordering::SeqCst);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::thread::spawn_plain;

    const TICK: Duration = Duration::from_millis(10);

    #[test]
    fn a_long_sleep_ends_with_the_rest_or_with_a_message_and_a_short_one_with_its_time() {
        const LONG: u32 = 1_000_000;
        let events: [fn(&Stir); 3] =
            [Stir::stir, |stir| stir.message().until_taken(), |stir| stir.0.alarm.end()];
        for event in events {
            let alarm = Alarm::default();
            let stir = Stir::of(&alarm);
            let sleeper = alarm.clone();
            stir.rest();
            let thread = spawn_plain("sleeper", move || {
                sleeper.wake_this_thread();
                sleeper.sleep(Instant::now(), TICK, || LONG);
            });
            let thread = thread.unwrap();
            while !alarm.0.is_long.load(Ordering::SeqCst) {
                std::thread::yield_now();
            }
            event(&stir);
            thread.join().unwrap();
        }
        let alarm = Alarm::default();
        alarm.wake_this_thread();
        let began = Instant::now();
        alarm.sleep(began, TICK, || 1);
        assert!(began.elapsed() >= TICK || alarm.is_over());
    }
}
