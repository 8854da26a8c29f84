//! The messages that a subscriber has had lately, so that it can go on where its connection was lost. Pure; part of a session's
//! state.

use std::mem;
use std::time::Duration;

use bytes::Bytes;
use corecast_executors::MonotonicNs;

use super::last_messages::LastMessages;
use super::out::OutBuffer;
use crate::limits::ENGINE_PEER_KEPT;
use crate::wire::Frame;

/// The positions of one session's subscriber.
///
/// A ping is answered behind all that waits for the session. So when an answer comes, all has come that the broker had sent before the
/// ping. What was on its way from another shard then has come by the ping behind that one: all that the broker took before a ping
/// is known to have come when the next one is answered, and positions are needed since then.
#[derive(Default)]
pub(super) struct Track {
    /// Since the last answer to a ping, since the one before, and since the one before that.
    ages: [LastMessages; 3],
    /// When the last ping was sent that is answered, and the one before.
    answered: Option<[MonotonicNs; 2]>,
    /// When that answer came.
    answered_at: MonotonicNs,
    /// There were too many, until so many answers later.
    lost_for: u8,
    /// Messages that the client had had when it came back: they may come again, from a broker that heard of it later.
    had: LastMessages,
    /// The time after which nothing of that comes any more: a broker that was away for so long is another to the others.
    had_until: MonotonicNs,
}

impl Track {
    /// The subscriptions are asked for, and nothing has come yet.
    pub(super) fn begin(&mut self, now: MonotonicNs) {
        let (had, had_until) = (mem::take(&mut self.had), self.had_until);
        *self = Track { answered: Some([now; 2]), answered_at: now, had, had_until, ..Track::default() };
    }

    /// True if positions are noted.
    pub(super) fn is_on(&self) -> bool {
        self.answered.is_some()
    }

    /// A message has come.
    pub(super) fn note(&mut self, topic: &[u8], publisher: u64, sequence: u64) {
        let [recent, older @ ..] = &mut self.ages;
        if !recent.note((topic, publisher, sequence), older) {
            self.lost_for = LOST_FOR;
        }
    }

    /// A ping that was sent at that time is answered now. One that was sent before the last answer came proves nothing more.
    pub(super) fn on_pong(&mut self, sent_at: MonotonicNs, now: MonotonicNs) {
        if now > self.had_until {
            self.had = LastMessages::default();
        }
        let Some(answered) = &mut self.answered else { return };
        if sent_at < self.answered_at || sent_at <= answered[0] {
            return;
        }
        *answered = [sent_at, answered[0]];
        self.answered_at = now;
        self.ages.rotate_right(1);
        self.ages[0] = LastMessages::default();
        self.lost_for = self.lost_for.saturating_sub(1);
    }

    /// The positions that the broker has to know, some perhaps twice, of which the later counts. `None`: they are not known.
    pub(super) fn positions(&self) -> Option<impl Iterator<Item = (&Bytes, u64, u64)>> {
        self.answered.filter(|_| self.lost_for == 0)?;
        Some(self.ages.iter().flat_map(LastMessages::iter))
    }

    /// The client comes back, and goes on from these positions. Of those of earlier returns, as many are kept as there is room for.
    pub(super) fn go_on(&mut self, now: MonotonicNs) {
        let before = mem::take(&mut self.had);
        let mut had = LastMessages::default();
        for (topic, publisher, sequence) in self.positions().into_iter().flatten() {
            had.note((topic, publisher, sequence), &[]);
        }
        for (topic, publisher, sequence) in before.iter() {
            had.note((topic, publisher, sequence), &[]);
        }
        (self.had, self.had_until) = (had, now + ENGINE_PEER_KEPT);
    }

    /// The last message of a publisher and topic that the client had had when it came back; `None`: that is not known.
    #[inline]
    pub(super) fn had_up_to(&self, topic: &[u8], publisher: u64) -> Option<u64> {
        self.had.sequence(topic, publisher)
    }

    /// The time since all had come.
    pub(super) fn age(&self, now: MonotonicNs) -> Duration {
        self.answered.map_or(Duration::ZERO, |[_, since]| now.saturating_since(since))
    }

    /// Says the positions.
    pub(super) fn say(&self, out: &mut OutBuffer) {
        for (topic, publisher, sequence) in self.positions().into_iter().flatten() {
            out.push(&Frame::Position { topic, publisher, sequence });
        }
    }
}

/// Answers after which nothing is left of positions that were too many.
const LOST_FOR: u8 = 3;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::limits::POSITIONS_MAX;

    const SECOND: Duration = Duration::from_secs(1);

    fn positions(track: &Track) -> Vec<String> {
        let all = track.positions().expect("they are known");
        let text = |(topic, publisher, last): (&Bytes, u64, u64)| {
            format!("{} {publisher}={last}", String::from_utf8_lossy(topic))
        };
        let mut texts: Vec<String> = all.map(text).collect();
        texts.sort();
        texts
    }

    #[test]
    fn positions_are_kept_until_pings_have_shown_that_all_has_come() {
        let start = MonotonicNs(1);
        let at = |seconds| start + SECOND * seconds;
        let mut track = Track::default();
        assert!(!track.is_on() && track.positions().is_none());
        track.begin(start);
        track.note(b"a", 1, 1);
        track.note(b"a", 2, 7);
        track.note(b"a", 1, 2);
        assert_eq!(positions(&track), ["a 1=2", "a 2=7"]);
        track.on_pong(at(10), at(11));
        track.note(b"b", 1, 3);
        track.on_pong(at(10), at(12));
        assert_eq!(
            (positions(&track), track.age(at(20))),
            (vec!["a 1=2".into(), "a 2=7".into(), "b 1=3".into()], 20 * SECOND)
        );
        track.on_pong(at(20), at(21));
        assert_eq!(
            (positions(&track).len(), track.age(at(20))),
            (3, 10 * SECOND),
            "one before 10 may have come before 11"
        );
        // It was sent before the answer to the one before came.
        track.on_pong(at(20) + SECOND / 2, at(22));
        assert_eq!(track.age(at(20)), 10 * SECOND);
        track.on_pong(at(30), at(31));
        assert_eq!((positions(&track), track.age(at(30))), (vec!["b 1=3".to_owned()], 10 * SECOND));
    }

    #[test]
    fn what_was_had_before_a_return_is_known_for_a_while() {
        let start = MonotonicNs(1);
        let mut track = Track::default();
        track.begin(start);
        track.note(b"a", 1, 4);
        assert_eq!(track.had_up_to(b"a", 1), None, "it has not been away");
        track.go_on(start);
        track.note(b"a", 1, 6);
        assert_eq!(
            [track.had_up_to(b"a", 1), track.had_up_to(b"a", 2), track.had_up_to(b"b", 1)],
            [Some(4), None, None]
        );
        track.go_on(start + SECOND);
        assert_eq!(track.had_up_to(b"a", 1), Some(6));
        track.begin(start + SECOND);
        assert_eq!(track.had_up_to(b"a", 1), Some(6), "whatever else is forgotten");
        track.on_pong(start + SECOND * 2, start + ENGINE_PEER_KEPT);
        assert_eq!(track.had_up_to(b"a", 1), Some(6));
        track.on_pong(start + SECOND * 3, start + ENGINE_PEER_KEPT + SECOND * 2);
        assert_eq!(track.had_up_to(b"a", 1), None);
    }

    #[test]
    fn returns_one_after_another_keep_no_more_than_the_newest_that_there_is_room_for() {
        let mut track = Track::default();
        for round in 0..10_u64 {
            let topic = |of: u64| (round << 32 | of).to_be_bytes();
            track.begin(MonotonicNs(round + 1));
            (0..POSITIONS_MAX as u64 / 4).for_each(|of| track.note(&topic(of), 1, round));
            track.go_on(MonotonicNs(round + 1));
            assert_eq!(track.had_up_to(&topic(0), 1), Some(round), "the newest is kept");
            let most = POSITIONS_MAX / 4 * 4.min(round as usize + 1);
            assert_eq!(track.had.iter().count(), most, "and of those before as many as there is room for");
        }
    }

    #[test]
    fn too_many_are_not_known_until_there_are_fewer() {
        let mut track = Track::default();
        track.begin(MonotonicNs(1));
        (0..=POSITIONS_MAX as u64).for_each(|publisher| track.note(b"a", publisher, 1));
        for time in 2..5 {
            assert!(track.positions().is_none());
            track.on_pong(MonotonicNs(time), MonotonicNs(time));
        }
        assert_eq!(positions(&track), [""; 0]);
    }
}
