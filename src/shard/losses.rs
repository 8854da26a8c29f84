//! Owns what was dropped since the log last said so: how many messages for each reason, and of which session last. Shards
//! note it where they count drops; whoever writes the log takes it, by reason.

use crate::ids::SessionId;
use crate::telemetry::DropReason;

/// Drops that are in no line of the log yet. There are few reasons, so a list is enough.
#[derive(Default, Debug)]
pub struct Losses(Vec<Loss>);

/// Messages dropped for one reason.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Loss {
    /// Why.
    pub reason: DropReason,
    /// Their number, over all sessions.
    pub messages: u64,
    /// The session that lost the last of them.
    pub session: SessionId,
}

impl Losses {
    pub(super) fn note(&mut self, reason: DropReason, messages: u64, session: SessionId) {
        if messages == 0 {
            return;
        }
        match self.0.iter_mut().find(|loss| loss.reason == reason) {
            Some(loss) => *loss = Loss { reason, messages: loss.messages + messages, session },
            None => self.0.push(Loss { reason, messages, session }),
        }
    }

    /// Takes those that `may_be_said` lets through; the others wait, and grow.
    pub fn take(&mut self, mut may_be_said: impl FnMut(&Loss) -> bool) -> Vec<Loss> {
        self.0.extract_if(.., |loss| may_be_said(loss)).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn losses_add_up_until_they_are_said() {
        let session = |slot| SessionId { slot, generation: 1 };
        let mut losses = Losses::default();
        losses.note(DropReason::Latest, 0, session(1));
        losses.note(DropReason::DropOldest, 2, session(1));
        losses.note(DropReason::DropOldest, 3, session(2));
        losses.note(DropReason::Draining, 1, session(3));
        assert!(losses.take(|_| false).is_empty());
        let said = losses.take(|loss| loss.reason == DropReason::DropOldest);
        assert_eq!(said, [Loss { reason: DropReason::DropOldest, messages: 5, session: session(2) }]);
        assert_eq!(losses.take(|_| true).len(), 1);
        assert!(losses.take(|_| true).is_empty());
    }
}
