//! The messages that a subscriber has had lately, so that it can go on where its connection was lost. Pure; part of a session's
//! state.

use std::mem;
use std::time::Duration;

use ahash::AHashMap;
use bytes::Bytes;
use corecast_executors::MonotonicNs;

use super::out::OutBuffer;
use crate::limits::{ENGINE_PEER_KEPT, POSITIONS_BYTES_MAX, POSITIONS_MAX};
use crate::wire::Frame;

/// The last sequence of each publisher, of one topic.
type Last = Vec<(u64, u64)>;

/// The positions of one session's subscriber.
///
/// A ping is answered behind all that waits for the session. So when an answer comes, all has come that the broker had sent before the
/// ping. What was on its way from another shard then has come by the ping behind that one: all that the broker took before a ping
/// is known to have come when the next one is answered, and positions are needed since then.
#[derive(Default)]
pub(super) struct Track {
    /// Since the last answer to a ping, since the one before, and since the one before that.
    ages: [AHashMap<Bytes, Last>; 3],
    count: usize,
    /// Bytes of the topics.
    bytes: usize,
    /// When the last ping was sent that is answered, and the one before.
    answered: Option<[MonotonicNs; 2]>,
    /// When that answer came.
    answered_at: MonotonicNs,
    /// There were too many, until so many answers later.
    lost_for: u8,
    /// Positions of the client when it came back last: it may come again, from a broker that heard of it later.
    had: AHashMap<Bytes, Last>,
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
        let [recent, ..] = &mut self.ages;
        if let Some(last) = recent.get_mut(topic) {
            match last.iter_mut().find(|(of, _)| *of == publisher) {
                Some((_, last)) => return *last = sequence.max(*last),
                None if self.count < POSITIONS_MAX => last.push((publisher, sequence)),
                None => return self.lost_for = LOST_FOR,
            }
        } else if self.count < POSITIONS_MAX && self.bytes + topic.len() <= POSITIONS_BYTES_MAX {
            self.bytes += topic.len();
            recent.insert(Bytes::copy_from_slice(topic), vec![(publisher, sequence)]);
        } else {
            return self.lost_for = LOST_FOR;
        }
        self.count += 1;
    }

    /// A ping that was sent at that time is answered now. One that was sent before the last answer came proves nothing more.
    pub(super) fn on_pong(&mut self, sent_at: MonotonicNs, now: MonotonicNs) {
        if now > self.had_until {
            self.had = AHashMap::new();
        }
        let Some(answered) = &mut self.answered else { return };
        if sent_at < self.answered_at || sent_at <= answered[0] {
            return;
        }
        *answered = [sent_at, answered[0]];
        self.answered_at = now;
        self.ages.rotate_right(1);
        self.ages[0] = AHashMap::new();
        self.count = self.ages.iter().flat_map(|age| age.values()).map(Vec::len).sum();
        self.bytes = self.ages.iter().flat_map(|age| age.keys()).map(Bytes::len).sum();
        self.lost_for = self.lost_for.saturating_sub(1);
    }

    /// The positions that the broker has to know, some perhaps twice, of which the later counts. `None`: they are not known.
    pub(super) fn positions(&self) -> Option<impl Iterator<Item = (&Bytes, u64, u64)>> {
        self.answered.filter(|_| self.lost_for == 0)?;
        let all = self.ages.iter().flatten();
        Some(
            all.flat_map(|(topic, last)| {
                last.iter().map(move |(publisher, last)| (topic, *publisher, *last))
            }),
        )
    }

    /// The client comes back, and goes on from these positions.
    pub(super) fn go_on(&mut self, now: MonotonicNs) {
        let mut had = mem::take(&mut self.had);
        for (topic, publisher, sequence) in self.positions().into_iter().flatten() {
            let last = match had.get_mut(topic) {
                Some(last) => last,
                None => had.entry(topic.clone()).or_default(),
            };
            match last.iter_mut().find(|(of, _)| *of == publisher) {
                Some((_, last)) => *last = sequence.max(*last),
                None => last.push((publisher, sequence)),
            }
        }
        (self.had, self.had_until) = (had, now + ENGINE_PEER_KEPT);
    }

    /// The last message of a publisher and topic that the client had had when it came back; `None`: that is not known.
    #[inline]
    pub(super) fn had_up_to(&self, topic: &[u8], publisher: u64) -> Option<u64> {
        if self.had.is_empty() {
            return None;
        }
        self.had.get(topic)?.iter().find(|(of, _)| *of == publisher).map(|(_, last)| *last)
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
