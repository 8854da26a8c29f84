//! The judgement whether a session is slow: something has waited for its connection for longer than a moment. It is until it has
//! caught up. No state of its own.

use super::base::Base;
use crate::ids::SessionId;
use crate::limits::SLOW_AFTER;

impl Base {
    /// Judges, now and then, if an open session has become slow, or has caught up.
    pub(super) fn judge_pace(&mut self, id: SessionId) {
        let now = self.clock.now();
        let Some(session) = self.sessions.get_mut(id) else { return };
        let is_slow = session.egress.is_stalled() && now.saturating_since(session.stalled_at) >= SLOW_AFTER;
        if is_slow == session.is_slow {
            return;
        }
        session.is_slow = is_slow;
        if is_slow {
            session.tally.slow_spells += 1;
            self.counters.sessions_slow += 1;
            self.outbox.slow.note(id, session.identity.user());
        } else {
            self.counters.sessions_slow -= 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::super::flush::Visit;
    use super::super::rig::{Rig, message, subscribe};
    use super::*;
    use crate::fanout::OverflowPolicy;

    #[test]
    fn a_session_is_slow_while_something_waits_for_long() {
        let mut rig = Rig::with_shards(1);
        let [slow, brisk] = [(); 2].map(|()| rig.open(0, OverflowPolicy::DropOldest));
        let publisher = rig.open(0, OverflowPolicy::DropOldest);
        [slow, brisk].iter().for_each(|id| rig.say(0, *id, &[subscribe("a", 1)]));
        [slow, brisk].iter().for_each(|id| _ = rig.hears(0, *id));
        let counted = |rig: &Rig| rig.shards[0].counters().sessions_slow;
        for spells in 1..=2 {
            rig.say(0, publisher, &[message("a", spells)]);
            assert_eq!(rig.hears(0, brisk), format!("a={spells}"));
            assert_eq!(rig.shards[0].flush(slow, |_| Ok::<_, ()>(None)), Ok(Visit::Full));
            rig.wait(SLOW_AFTER - Duration::from_millis(200));
            assert_eq!(counted(&rig), 0, "that may happen");
            rig.wait(Duration::from_millis(400));
            assert_eq!(counted(&rig), 1);
            let news = &mut rig.shards[0].outbox().slow;
            assert_eq!((news.take_next(), news.take_next()), (Some((slow, 0)), None));
            let mut told = Vec::new();
            news.export(|user, times| told.push((user.to_owned(), times)));
            assert_eq!(told, [("anonymous".to_owned(), 1)]);
            rig.wait(3 * SLOW_AFTER);
            assert_eq!(rig.shards[0].outbox().slow.waiting(), 0, "it is named once");
            assert_eq!(rig.hears(0, slow), format!("a={spells}"));
            rig.wait(Duration::from_millis(200));
            assert_eq!(counted(&rig), 0, "it has caught up");
        }
        rig.say(0, publisher, &[message("a", 3)]);
        assert_eq!(rig.shards[0].flush(slow, |_| Ok::<_, ()>(None)), Ok(Visit::Full));
        rig.wait(2 * SLOW_AFTER);
        assert_eq!(counted(&rig), 1);
        rig.shards[0].on_closed(slow, None);
        assert_eq!(counted(&rig), 0, "it is gone");
        rig.audit();
    }
}
