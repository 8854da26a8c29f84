//! The patience of a session's users with a broker that gives no sign of life: when that began, and when it has lasted too
//! long. Pure; part of a session.

use std::cell::{Cell, RefCell};
use std::time::Duration;

use corecast_executors::MonotonicNs;

use super::state::State;
use crate::error::Error;

/// The time for which a broker may give no sign of life, from `earliest` at the earliest. On a connection that stands that
/// is a word, for which so many heartbeats are waited at the least.
#[derive(Clone, Copy)]
pub(super) struct AllowedSilence {
    pub(super) earliest: MonotonicNs,
    pub(super) time: Duration,
    pub(super) heartbeats: u32,
}

/// That of one session.
pub(super) struct Patience {
    /// The time since which the session is not open, if it is not.
    down_since: Cell<MonotonicNs>,
    /// The time at which the first connection is given up. `None`: the session was open once, and is tried until it is closed.
    give_up: Cell<Option<MonotonicNs>>,
    /// The reason why the last connection failed or ended.
    last_failure: RefCell<String>,
}

impl Patience {
    /// That of a new session, whose first connection is given up then.
    pub(super) fn new(now: MonotonicNs, give_up: Option<MonotonicNs>) -> Self {
        Patience { down_since: Cell::new(now), give_up: Cell::new(give_up), last_failure: RefCell::default() }
    }

    /// The time since which the session is not open, if it is not.
    pub(super) fn down_since(&self) -> MonotonicNs {
        self.down_since.get()
    }

    /// The time of the session without its broker, if it is not open.
    pub(super) fn away(&self, now: MonotonicNs) -> Duration {
        now.saturating_since(self.down_since.get())
    }

    /// The reason why the last connection failed or ended.
    pub(super) fn last_failure(&self) -> String {
        self.last_failure.borrow().clone()
    }

    /// True if the session does not give itself up: it was open once.
    pub(super) fn is_endless(&self) -> bool {
        self.give_up.get().is_none()
    }

    /// True if the first connection is given up now.
    pub(super) fn is_over(&self, now: MonotonicNs) -> bool {
        self.give_up.get().is_some_and(|give_up| now >= give_up)
    }

    /// The deadline of an attempt to connect: at the latest when the first connection is given up.
    pub(super) fn at_most(&self, deadline: MonotonicNs) -> MonotonicNs {
        self.give_up.get().map_or(deadline, |give_up| deadline.min(give_up))
    }

    /// A connection that was open has ended, whose broker lived until then.
    pub(super) fn on_lost(&self, lived_until: MonotonicNs) {
        self.down_since.set(lived_until);
    }

    /// The session was open: it is tried until it is closed.
    pub(super) fn on_held(&self) {
        self.give_up.set(None);
    }

    /// A connection has failed or ended.
    pub(super) fn on_failed(&self, error: &Error) {
        self.last_failure.replace(error.to_string());
    }

    /// The time at which the silence of the broker has lasted too long, by what it has said so far. `None` for a session that was never open, which
    /// gives itself up, and for one that has failed.
    pub(super) fn end_of(&self, silence: AllowedSilence, state: &State) -> Option<MonotonicNs> {
        let AllowedSilence { earliest, time, heartbeats } = silence;
        let (since, time) = if state.is_open() {
            (state.last_heard(), time.max(state.terms.heartbeat * heartbeats))
        } else if self.is_endless() && state.alive().is_ok() {
            (self.down_since.get(), time)
        } else {
            return None;
        };
        Some(since.max(earliest) + time)
    }
}

#[cfg(test)]
mod tests {
    use super::super::rig::WELCOME;
    use super::*;
    use crate::client::config::ClientConfig;
    use crate::error::ErrorKind;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn users_wait_from_the_last_sign_of_life_or_from_their_call() {
        let start = MonotonicNs(1);
        let patience = Patience::new(start, Some(start + 5 * SECOND));
        let mut state = State::new(start);
        let silence = AllowedSilence { earliest: start + SECOND, time: 2 * SECOND, heartbeats: 0 };
        assert_eq!(patience.end_of(silence, &state), None, "it gives itself up");
        assert!(!patience.is_over(start + 4 * SECOND) && patience.is_over(start + 5 * SECOND));
        assert_eq!(patience.at_most(start + 9 * SECOND), start + 5 * SECOND);
        state.on_connected(&ClientConfig::default(), None, start + 3 * SECOND);
        state.on_control(WELCOME);
        assert_eq!(patience.end_of(silence, &state), Some(start + 5 * SECOND));
        let heartbeats = AllowedSilence { heartbeats: 2, ..silence };
        let longest = state.terms.heartbeat * 2;
        assert_eq!(patience.end_of(heartbeats, &state), Some(start + 3 * SECOND + longest.max(2 * SECOND)));
        patience.on_held();
        patience.on_lost(start + 6 * SECOND);
        state.on_disconnected();
        assert_eq!(patience.end_of(silence, &state), Some(start + 8 * SECOND));
        assert_eq!(patience.at_most(start + 9 * SECOND), start + 9 * SECOND);
        assert_eq!(patience.away(start + 7 * SECOND), SECOND);
        state.fail(&Error::new(ErrorKind::Closed, "it is closed"));
        assert_eq!(patience.end_of(silence, &state), None);
    }
}
