//! The state that all sessions of one executor share: the clock, the read slab, and the tick that drives them.

use std::cell::{Cell, RefCell};
use std::rc::{Rc, Weak};

use corecast_executors::{
    MonotonicNs, PassedTicks, Stir, TICK, TICKS_PER_REST, Tick, TickClock, Ticks, spawn_local,
};
use tracing::warn;

use super::dials::Dials;
use super::losses::LossesTold;
use crate::telemetry::OncePerSecond;
use crate::wire::{Slab, Span};

/// A session, as the runtime sees it.
pub(super) trait Ticked {
    /// A tick.
    fn on_tick(self: Rc<Self>, now: MonotonicNs);

    /// True if it needs no tick soon: none but to see that time passes.
    fn may_rest(&self) -> bool;

    /// True while it is on its way out.
    fn is_closing(&self) -> bool;
}

pub(in crate::client) struct ClientRuntime {
    pub(in crate::client) clock: TickClock,
    pub(in crate::client) slab: RefCell<Slab>,
    pub(super) spans: RefCell<Vec<Span>>,
    pub(in crate::client) log_limit: RefCell<OncePerSecond>,
    pub(super) losses_told: RefCell<LossesTold>,
    /// The executor's ticks, passed on to the shards of direct publishers here.
    passed_ticks: RefCell<Vec<PassedTicks>>,
    /// The rest of the executor.
    stir: Stir,
    /// Permits to connect to direct publishers.
    pub(super) dials: Rc<Dials>,
    sessions: RefCell<Vec<Weak<dyn Ticked>>>,
    /// Direct publishers that nobody holds any more, on their way out; their sessions close after them.
    ending: Cell<usize>,
}

/// A direct publisher is on its way out for as long as this lives.
pub(in crate::client) struct Ending(Rc<ClientRuntime>);

impl Drop for Ending {
    fn drop(&mut self) {
        self.0.ending.update(|ending| ending - 1);
    }
}

impl ClientRuntime {
    /// Takes the executor's ticks over.
    pub(in crate::client) fn start(mut ticks: Ticks) -> Rc<Self> {
        let (now, stir) = (MonotonicNs::now(), ticks.stir());
        let runtime = Rc::new(ClientRuntime {
            clock: TickClock::stirring(now, stir.clone()),
            dials: Dials::new(now),
            slab: RefCell::default(),
            spans: RefCell::default(),
            log_limit: RefCell::default(),
            losses_told: RefCell::default(),
            passed_ticks: RefCell::default(),
            stir,
            sessions: RefCell::default(),
            ending: Cell::new(0),
        });
        let ticked = Rc::downgrade(&runtime);
        spawn_local(async move {
            while let Some(tick) = ticks.next().await {
                let Some(runtime) = ticked.upgrade() else { return };
                runtime.tick(tick.now);
                if runtime.may_rest() {
                    ticks.rest();
                } else {
                    // It may have rested until now, and a wait has come near.
                    runtime.clock.end_rest();
                }
            }
        })
        .detach();
        runtime
    }

    /// The ticks of one more shard on this executor.
    pub(in crate::client) fn pass_ticks_on(&self) -> Ticks {
        let (passed, ticks) = Ticks::pass_on(&self.stir);
        self.passed_ticks.borrow_mut().push(passed);
        ticks
    }

    /// Adds a session that is to hear of ticks.
    pub(super) fn file(&self, session: Weak<dyn Ticked>) {
        self.sessions.borrow_mut().push(session);
    }

    /// A direct publisher begins to end.
    pub(in crate::client) fn begin_ending(self: &Rc<Self>) -> Ending {
        self.ending.update(|ending| ending + 1);
        Ending(Rc::clone(self))
    }

    /// True while sessions or direct publishers that nobody uses are still closing.
    pub(in crate::client) fn is_closing(&self) -> bool {
        self.ending.get() > 0
            || self.sessions.borrow().iter().filter_map(Weak::upgrade).any(|session| session.is_closing())
    }

    /// True if nobody needs a tick before the first of a rest. Waits end one by themselves, and so does what is sent.
    fn may_rest(&self) -> bool {
        let rest_is_over = self.clock.now() + TICK * (TICKS_PER_REST + 1);
        self.passed_ticks.borrow().iter().all(PassedTicks::rests)
            && !self.clock.is_awaited_by(rest_is_over)
            && self.sessions.borrow().iter().filter_map(Weak::upgrade).all(|session| session.may_rest())
    }

    fn tick(&self, now: MonotonicNs) {
        self.clock.advance(now);
        self.dials.on_tick(now);
        self.slab.borrow_mut().on_tick();
        if let Some(attempts) = self.losses_told.borrow_mut().take_untold(now) {
            warn!(attempts, "more direct publishers cannot be reached, or their streams were cut off");
        }
        self.passed_ticks.borrow_mut().retain(|passed| passed.send(Tick { now }));
        // Whoever comes first connects first: each has its turn. Sessions may end subscriptions, tell gaps and start other sessions: nobody holds the list meanwhile.
        let sessions: Vec<Rc<dyn Ticked>> = self.sessions.borrow().iter().filter_map(Weak::upgrade).collect();
        for session in sessions {
            session.on_tick(now);
        }
        let mut sessions = self.sessions.borrow_mut();
        sessions.retain(|session| session.strong_count() > 0);
        if sessions.len() > 1 {
            sessions.rotate_left(1);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use corecast_executors::{PoolConfig, ShardContext, link, start};

    use super::*;

    #[test]
    fn a_wait_that_comes_near_in_a_rest_ends_with_its_tick() {
        let (done, mut result) = link(1);
        let body = move |context: ShardContext<()>| {
            let done = done.clone();
            async move {
                let runtime = ClientRuntime::start(context.ticks);
                let mut least = Duration::MAX;
                for _ in 0..5 {
                    // The tick of a rest that comes before it leaves a part of another rest.
                    let due = runtime.clock.now() + TICK * (2 * TICKS_PER_REST + 2);
                    runtime.clock.until(due).await;
                    least = least.min(MonotonicNs::now().saturating_since(due));
                }
                done.try_send(least).expect("there is room");
            }
        };
        let pool = start(&PoolConfig::single("test"), body).expect("an executor");
        let least = result.recv_blocking().expect("the body has ended");
        pool.stop().expect("it ends in order");
        // The host may be late now and then; one that rests on would be late each time.
        assert!(least < TICK * TICKS_PER_REST / 2, "{least:?}");
    }
}
