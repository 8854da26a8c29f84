//! The times at which positions are told of topics that have become quiet, so that a lost last message is seen to be missing.
//! Owned by the way out.
//!
//! The word may be lost as the message was, so it comes again, each time after twice as long. A topic stands in one queue for
//! each of these pauses, in which times rise: no tick looks at more than is due.

use std::collections::VecDeque;
use std::time::Duration;

use bytes::Bytes;
use corecast_executors::MonotonicNs;

use crate::limits::{ENGINE_PROBE_AFTER, ENGINE_PROBE_MAX};

/// Pauses, each twice the one before.
const PAUSES: usize = 5;
const _: () = assert!(ENGINE_PROBE_AFTER.as_millis() << (PAUSES - 1) == ENGINE_PROBE_MAX.as_millis());

/// The plan of one topic.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Planned {
    /// The time of its next word; an entry of a queue with another time is void.
    due: MonotonicNs,
    /// The pause before it.
    pause: u8,
    /// The last message.
    sent_at: MonotonicNs,
}

/// The verdict on a topic that is due.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Due {
    /// Its position is to be told.
    Tell,
    /// It was published meanwhile, or its entry is void.
    Not,
}

/// All topics with a plan.
#[derive(Default)]
pub(super) struct Probes {
    queues: [VecDeque<(MonotonicNs, Bytes)>; PAUSES],
}

fn pause(at: u8) -> Duration {
    ENGINE_PROBE_AFTER * (1 << at)
}

impl Probes {
    /// Notes that a topic was published.
    pub(super) fn sent(&mut self, topic: &Bytes, plan: &mut Option<Planned>, now: MonotonicNs) {
        match plan {
            Some(planned) if planned.pause == 0 => planned.sent_at = now,
            _ => self.plan(topic, plan, now),
        }
    }

    /// Plans the first word of a topic, from now on.
    pub(super) fn plan(&mut self, topic: &Bytes, plan: &mut Option<Planned>, now: MonotonicNs) {
        self.queue(topic.clone(), plan, (0, now, now));
    }

    fn queue(
        &mut self,
        topic: Bytes,
        plan: &mut Option<Planned>,
        (at, sent_at, now): (u8, MonotonicNs, MonotonicNs),
    ) {
        let due = now + pause(at);
        *plan = Some(Planned { due, pause: at, sent_at });
        self.queues[usize::from(at)].push_back((due, topic));
    }

    /// Takes a topic for which it is time, with the time that was planned.
    pub(super) fn next_due(&mut self, now: MonotonicNs) -> Option<(MonotonicNs, Bytes)> {
        let queue = self.queues.iter_mut().find(|queue| queue.front().is_some_and(|(due, _)| *due <= now))?;
        queue.pop_front()
    }

    /// Judges a topic that [`Probes::next_due`] gave, and plans its next word.
    pub(super) fn judge(
        &mut self,
        (due, topic): (MonotonicNs, Bytes),
        plan: &mut Option<Planned>,
        now: MonotonicNs,
    ) -> Due {
        let Some(planned) = plan.filter(|planned| planned.due == due) else { return Due::Not };
        if planned.sent_at + ENGINE_PROBE_AFTER > now {
            self.queue(topic, plan, (0, planned.sent_at, now));
            return Due::Not;
        }
        let next = (planned.pause + 1).min(PAUSES as u8 - 1);
        self.queue(topic, plan, (next, planned.sent_at, now));
        Due::Tell
    }

    /// Forgets all plans, once the topics have none.
    pub(super) fn clear(&mut self) {
        self.queues.iter_mut().for_each(VecDeque::clear);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_quiet_topic_is_told_again_and_again_with_longer_pauses() {
        let (mut probes, topic) = (Probes::default(), Bytes::from_static(b"a"));
        let mut plan = None;
        let at = |tenths: u64| MonotonicNs(1) + Duration::from_millis(100 * tenths);
        let mut told = Vec::new();
        for tenth in 0..800 {
            if tenth <= 25 && tenth % 5 == 0 {
                probes.sent(&topic, &mut plan, at(tenth));
            }
            while let Some(due) = probes.next_due(at(tenth)) {
                if probes.judge(due, &mut plan, at(tenth)) == Due::Tell {
                    told.push(tenth);
                }
            }
        }
        assert_eq!(told[0], 40, "a second of quiet, seen when the plan before was due");
        let pauses: Vec<u64> = told.windows(2).map(|pair| pair[1] - pair[0]).collect();
        assert_eq!(pauses, [20, 40, 80, 160, 160, 160]);
    }

    #[test]
    fn a_topic_that_goes_on_is_told_soon_after_it_is_quiet_again() {
        let (mut probes, topic) = (Probes::default(), Bytes::from_static(b"a"));
        let mut plan = None;
        let at = |seconds: u64| MonotonicNs(1) + Duration::from_secs(seconds);
        probes.sent(&topic, &mut plan, at(0));
        for second in 1..20 {
            while let Some(due) = probes.next_due(at(second)) {
                probes.judge(due, &mut plan, at(second));
            }
        }
        probes.sent(&topic, &mut plan, at(20));
        let due = probes.next_due(at(21)).expect("a second later");
        assert_eq!(probes.judge(due, &mut plan, at(21)), Due::Tell);
        let void = probes.next_due(at(60)).expect("the plan before");
        let told = [void].into_iter().chain(std::iter::from_fn(|| probes.next_due(at(22))));
        let void: Vec<_> = told.collect();
        assert!(void.len() <= 2);
    }
}
