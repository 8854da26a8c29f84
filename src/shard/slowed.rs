//! Publishers that are not read for a while because their users are ahead of their rates.

use crate::ids::SessionId;

/// Those that wait for the next tick.
#[derive(Default)]
pub(super) struct Slowed(Vec<SessionId>);

impl Slowed {
    /// True if any publisher waits.
    pub(super) fn is_waiting(&self) -> bool {
        !self.0.is_empty()
    }

    /// Adds a publisher.
    pub(super) fn add(&mut self, id: SessionId) {
        self.0.push(id);
    }

    /// Takes all of them; the caller adds those again that still wait.
    pub(super) fn take(&mut self) -> Vec<SessionId> {
        std::mem::take(&mut self.0)
    }
}
