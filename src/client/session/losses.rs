//! The losses that were logged lately: of brokers and of direct publishers, by their kind, for all sessions of an
//! executor. However many are lost, few lines say so.

use std::collections::VecDeque;

use corecast_executors::MonotonicNs;

use super::peer::Peer;
use crate::error::ErrorKind;
use crate::limits::{LOSS_TOLD_AGAIN_AFTER, LOSSES_TOLD_MAX};
use crate::transport::Endpoint;

/// A peer that was lost, with its address and the kind of error.
type Loss = (Peer, Endpoint, ErrorKind);

/// Those of the last [`LOSS_TOLD_AGAIN_AFTER`], in their order: [`LOSSES_TOLD_MAX`] of direct publishers, and those of
/// brokers, of which a process has few.
#[derive(Default)]
pub(super) struct LossesTold {
    told: VecDeque<(MonotonicNs, Loss)>,
    /// Losses that no line tells of, because there were too many.
    untold: u64,
}

impl LossesTold {
    /// Adds a loss. Returns true if it is worth a line of its own: one of the same kind was not told lately, and not too many
    /// others were, if it is a direct publisher's.
    pub(super) fn add(&mut self, loss: Loss, now: MonotonicNs) -> bool {
        self.forget_old(now);
        if self.told.iter().any(|(_, told)| *told == loss) {
            return false;
        }
        let is_publisher = loss.0 != Peer::Broker;
        if is_publisher && self.told.len() >= LOSSES_TOLD_MAX {
            self.untold += 1;
            return false;
        }
        self.told.push_back((now, loss));
        true
    }

    /// The number of losses without a line, once there is room for one again. Attempts count, not peers.
    pub(super) fn take_untold(&mut self, now: MonotonicNs) -> Option<u64> {
        if self.untold == 0 {
            return None;
        }
        self.forget_old(now);
        (self.told.len() < LOSSES_TOLD_MAX).then(|| std::mem::take(&mut self.untold))
    }

    fn forget_old(&mut self, now: MonotonicNs) {
        while self.told.front().is_some_and(|(at, _)| now.saturating_since(*at) >= LOSS_TOLD_AGAIN_AFTER) {
            self.told.pop_front();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ids::PublisherId;

    fn publisher(publisher: u64) -> Loss {
        (Peer::Publisher(PublisherId(publisher)), Endpoint::default(), ErrorKind::Unreachable)
    }

    #[test]
    fn a_few_have_lines_and_the_others_are_counted() {
        let (mut losses, mut now) = (LossesTold::default(), MonotonicNs(1));
        let lines = (0..10_000).filter(|number| losses.add(publisher(*number), now)).count();
        assert_eq!((lines, losses.told.len()), (LOSSES_TOLD_MAX, LOSSES_TOLD_MAX));
        assert!(!losses.add(publisher(0), now), "it was told lately");
        let broker = || (Peer::Broker, Endpoint::default(), ErrorKind::Lost);
        assert!(losses.add(broker(), now) && !losses.add(broker(), now));
        assert_eq!(losses.take_untold(now), None, "there is no room for a line");
        now = now + LOSS_TOLD_AGAIN_AFTER;
        assert_eq!(losses.take_untold(now), Some(10_000 - LOSSES_TOLD_MAX as u64));
        assert_eq!(losses.take_untold(now), None);
        assert!(losses.add(publisher(0), now) && losses.add(broker(), now));
    }
}
