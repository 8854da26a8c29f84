//! Judging whether a silent ZeroMQ peer still lives. Owned by its session; time is an input.
//!
//! Silence alone says nothing: a socket answers at the pace at which its application takes what was sent before the
//! question. libzmq, for one, stops reading when the queue in front of its application is full, heartbeats included. So a
//! peer is given up only if it leaves a question unanswered that nothing unread can stand before, or breaks its own
//! promise to speak. Whether its host is there is asked by its kernel and ours.

use std::time::Duration;

use corecast_executors::MonotonicNs;

/// The questions (PING) that a peer was asked, and the promise that came with its own.
#[derive(Debug)]
pub(super) struct Liveness {
    /// Asked and not answered.
    open: u32,
    /// When the first of these was asked, or the peer could be heard again.
    since: MonotonicNs,
    /// Something may be unread that was sent before the first of them.
    behind: bool,
    /// Something was sent after the last of them.
    after: bool,
    /// The peer sends heartbeats of its own.
    beats: bool,
    /// Time without a word after which it says that it may be given up.
    time_to_live: Option<Duration>,
}

impl Liveness {
    /// The liveness of a peer that has just connected.
    pub(super) fn new(now: MonotonicNs) -> Self {
        Liveness { open: 0, since: now, behind: false, after: false, beats: false, time_to_live: None }
    }

    /// The peer has been sent something that its application takes, or is going to be.
    pub(super) fn fed(&mut self) {
        if self.open == 0 {
            self.behind = true;
        } else {
            self.after = true;
        }
    }

    /// A question is on its way. `begun`: something that leaves is not whole yet; `waits`: something leaves after it.
    pub(super) fn asked(&mut self, now: MonotonicNs, begun: bool, waits: bool) {
        if self.open == 0 {
            self.since = now;
        }
        self.behind |= begun;
        self.after |= waits;
        self.open = self.open.saturating_add(1);
    }

    /// An answer came: all that was sent before its question is read.
    pub(super) fn answered(&mut self) {
        if self.open == 1 {
            self.behind = std::mem::take(&mut self.after);
        }
        self.open = self.open.saturating_sub(1);
    }

    /// A heartbeat of the peer's own came.
    pub(super) fn beat(&mut self, time_to_live: Option<Duration>) {
        self.beats = true;
        self.time_to_live = time_to_live;
    }

    /// The peer is read again: until now it could not be heard.
    pub(super) fn heard_again(&mut self, now: MonotonicNs) {
        self.since = now;
    }

    /// True if the peer sends heartbeats, and so expects answers.
    pub(super) fn beats(&self) -> bool {
        self.beats
    }

    /// True if a peer that has been silent for so long is due to be asked. One question at a time tells all.
    pub(super) fn is_due(&self, silent: Duration, heartbeat: Duration) -> bool {
        self.open == 0 && silent >= self.time_to_live.map_or(heartbeat, |time| time.min(heartbeat))
    }

    /// True if a peer that has been silent for so long is to be given up: it has not answered in `patience`, or not
    /// within its own time to live after that had passed once.
    pub(super) fn is_over(&self, now: MonotonicNs, silent: Duration, patience: Duration) -> bool {
        let unanswered = silent.min(now.saturating_since(self.since));
        let owes = self.open > 0 && !self.behind && unanswered >= patience;
        let broke = self.open > 0 && self.time_to_live.is_some_and(|time| unanswered >= time);
        owes || broke
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn at(seconds: u64) -> MonotonicNs {
        MonotonicNs(0) + SECOND * u32::try_from(seconds).unwrap()
    }

    fn is_over(liveness: &Liveness, now: u64) -> bool {
        liveness.is_over(at(now), SECOND * u32::try_from(now).unwrap(), 2 * SECOND)
    }

    #[test]
    fn only_an_unanswered_question_ends_a_peer() {
        let mut liveness = Liveness::new(at(0));
        assert!(liveness.is_due(SECOND, SECOND) && !is_over(&liveness, 100));
        liveness.asked(at(1), false, false);
        assert!(!liveness.is_due(5 * SECOND, SECOND), "once is enough");
        assert!(!is_over(&liveness, 2) && is_over(&liveness, 3));
        assert!(!liveness.is_over(at(3), SECOND, 2 * SECOND), "it said something else");
        liveness.answered();
        assert!(!is_over(&liveness, 100));
    }

    #[test]
    fn a_question_behind_unread_messages_judges_nobody() {
        let mut liveness = Liveness::new(at(0));
        liveness.fed();
        liveness.asked(at(1), false, false);
        assert!(!is_over(&liveness, 1000));
        // It has read what was before the question, and was sent more since.
        liveness.fed();
        liveness.answered();
        liveness.asked(at(2), false, false);
        assert!(!is_over(&liveness, 1000));
        liveness.answered();
        liveness.asked(at(3), false, false);
        assert!(is_over(&liveness, 5), "now nothing is before it");
        for (begun, waits) in [(true, false), (false, true)] {
            let mut liveness = Liveness::new(at(0));
            liveness.asked(at(1), begun, waits);
            assert_eq!(is_over(&liveness, 3), !begun);
            liveness.answered();
            liveness.asked(at(4), false, false);
            assert_eq!(is_over(&liveness, 6), !waits);
        }
    }

    #[test]
    fn each_answer_is_to_one_question() {
        let mut liveness = Liveness::new(at(0));
        liveness.fed();
        liveness.asked(at(1), false, false);
        liveness.fed();
        liveness.asked(at(2), false, false);
        liveness.answered();
        assert!(!is_over(&liveness, 1000), "the second stands behind something");
        liveness.answered();
        liveness.answered();
        assert_eq!(liveness.open, 0, "an answer to nothing");
    }

    #[test]
    fn a_promise_is_kept_or_the_question_after_it_answered() {
        let mut liveness = Liveness::new(at(0));
        liveness.beat(Some(SECOND));
        liveness.fed();
        assert!(liveness.is_due(SECOND, 15 * SECOND) && !is_over(&liveness, 100));
        liveness.asked(at(1), false, false);
        assert!(!liveness.is_over(at(1), SECOND, 30 * SECOND));
        assert!(liveness.is_over(at(2), 2 * SECOND, 30 * SECOND), "whatever it has not read");
    }
}
