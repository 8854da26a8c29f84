//! The state that all sessions of one executor share: the clock, the read slab, and the tick that drives them.

use std::cell::{Cell, RefCell};
use std::rc::{Rc, Weak};

use corecast_executors::{Link, MonotonicNs, Refused, Tick, TickClock, Ticks, spawn_local};
use tracing::warn;

use super::dials::Dials;
use super::losses::LossesTold;
use crate::telemetry::OncePerSecond;
use crate::wire::{Slab, Span};

/// A session, as the runtime sees it.
pub(super) trait Ticked {
    /// A tick.
    fn on_tick(self: Rc<Self>, now: MonotonicNs);

    /// True while it is on its way out.
    fn is_closing(&self) -> bool;
}

pub(in crate::client) struct ClientRuntime {
    pub(in crate::client) clock: TickClock,
    pub(in crate::client) slab: RefCell<Slab>,
    pub(super) spans: RefCell<Vec<Span>>,
    pub(in crate::client) log_limit: RefCell<OncePerSecond>,
    pub(super) losses_told: RefCell<LossesTold>,
    /// Executors' own ticks, passed on to the shards of direct publishers here.
    pub(in crate::client) tick_links: RefCell<Vec<Link<Tick>>>,
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
        let now = MonotonicNs::now();
        let runtime = Rc::new(ClientRuntime {
            clock: TickClock::new(now),
            dials: Dials::new(now),
            slab: RefCell::default(),
            spans: RefCell::default(),
            log_limit: RefCell::default(),
            losses_told: RefCell::default(),
            tick_links: RefCell::default(),
            sessions: RefCell::default(),
            ending: Cell::new(0),
        });
        let ticked = Rc::downgrade(&runtime);
        spawn_local(async move {
            while let Some(tick) = ticks.next().await {
                let Some(runtime) = ticked.upgrade() else { return };
                runtime.tick(tick.now);
            }
        })
        .detach();
        runtime
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

    fn tick(&self, now: MonotonicNs) {
        self.clock.advance(now);
        self.dials.on_tick(now);
        if let Some(attempts) = self.losses_told.borrow_mut().take_untold(now) {
            warn!(attempts, "more direct publishers cannot be reached, or their streams were cut off");
        }
        // A shard that is late hears the next one.
        self.tick_links
            .borrow_mut()
            .retain(|link| !matches!(link.try_send(Tick { now }), Err(Refused::Closed(_))));
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
