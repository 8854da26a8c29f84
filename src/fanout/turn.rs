//! The work that one turn may do, so that neither new topics nor subscriptions hold the other sessions of a shard for
//! longer than messages do. Owned by a shard, which begins a turn for each thing that happens.

/// Steps of work that a filter in the router, or out of it, is worth.
pub(crate) const FILING_STEPS: usize = 4;

/// The steps of work that a turn has left; see [`crate::limits::TURN_STEPS_MAX`].
#[derive(Debug)]
pub(crate) struct Turn {
    steps: usize,
    left: usize,
}

impl Turn {
    /// Turns of so many steps.
    pub(crate) fn new(steps: usize) -> Self {
        Turn { steps, left: steps }
    }

    pub(crate) fn begin(&mut self) {
        self.left = self.steps;
    }

    #[inline]
    pub(crate) fn spend(&mut self, steps: usize) {
        self.left = self.left.saturating_sub(steps);
    }

    /// The work that was done.
    #[cfg(test)]
    pub(crate) fn spent(&self) -> usize {
        self.steps - self.left
    }

    /// True if what is left to do must wait for the next turn. Each turn does something, however long that is.
    #[inline]
    pub(crate) fn is_over(&self) -> bool {
        self.left == 0
    }
}
