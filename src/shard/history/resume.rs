//! The return of a client whose connection was lost: of what is kept it gets what it has not had, and it is told what of the rest
//! is missing. Pure; owned by the session's replay.

use ahash::AHashMap;
use bytes::Bytes;

use crate::carrier::{GivenUp, GivenUpOf, KeptPart};
use crate::limits::{POSITIONS_BYTES_MAX, POSITIONS_MAX};
use crate::wire::{Frame, splitter};

/// The last messages that a client has had, each of a publisher and topic.
#[derive(Default)]
pub(super) struct HadPositions {
    by_topic: AHashMap<Bytes, Vec<(u64, u64)>>,
    count: usize,
    /// Bytes of the topics.
    bytes: usize,
}

impl HadPositions {
    /// Adds one. Returns false if there are too many.
    pub(super) fn add(&mut self, topic: &[u8], publisher: u64, sequence: u64) -> bool {
        if self.count >= POSITIONS_MAX || self.bytes + topic.len() > POSITIONS_BYTES_MAX {
            return false;
        }
        self.count += 1;
        match self.by_topic.get_mut(topic) {
            Some(of_topic) => of_topic.push((publisher, sequence)),
            None => {
                self.bytes += topic.len();
                self.by_topic.insert(Bytes::copy_from_slice(topic), vec![(publisher, sequence)]);
            }
        }
        true
    }

    fn of(&self, topic: &[u8], publisher: u64) -> Option<u64> {
        let of_topic = self.by_topic.get(topic)?.iter();
        of_topic.filter(|(of, _)| *of == publisher).map(|(_, sequence)| *sequence).max()
    }
}

/// The messages that are missing of a topic.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Shortfall {
    /// This number.
    Exactly(u64),
    /// Nobody knows how many, perhaps none.
    Unknown,
}

impl Shortfall {
    pub(super) fn and(self, other: Shortfall) -> Shortfall {
        match (self, other) {
            (Shortfall::Exactly(one), Shortfall::Exactly(other)) => {
                Shortfall::Exactly(one.saturating_add(other))
            }
            _ => Shortfall::Unknown,
        }
    }
}

/// The return of one client.
pub(super) struct Resume {
    positions: HadPositions,
    /// All that the broker took before this time has reached the client.
    since: u64,
}

impl Resume {
    pub(super) fn new(positions: HadPositions, since: u64) -> Self {
        Resume { positions, since }
    }

    /// True if the client has not had a message of these numbers, which may be in a stretch.
    pub(super) fn wants(&self, topic: &[u8], publisher: u64, sequence: u64) -> bool {
        self.positions.of(topic, publisher).is_none_or(|last| sequence > last)
    }

    /// True if the client may have missed something of topics of which nothing is kept any more, the newest of that time.
    pub(super) fn may_miss_forgotten(&self, forgotten_at: u64) -> bool {
        forgotten_at > 0 && forgotten_at >= self.since
    }

    /// The messages that are missing of a topic on one shard, by the first of its parts and the last stretch that is history.
    pub(super) fn missing(&self, part: &KeptPart, up_to: u64) -> Shortfall {
        let Some(given_up) = &part.given_up else { return Shortfall::Exactly(0) };
        let GivenUp { of, others_at } = &**given_up;
        let may_miss_others = *others_at > 0 && *others_at >= self.since && !self.has_newest(part);
        let others = if may_miss_others { Shortfall::Unknown } else { Shortfall::Exactly(0) };
        of.iter().map(|of| self.missing_of(&part.topic, of, up_to)).fold(others, Shortfall::and)
    }

    fn missing_of(&self, topic: &[u8], of: &GivenUpOf, up_to: u64) -> Shortfall {
        let GivenUpOf { publisher, first, last, count, at, order } = *of;
        let had = self.positions.of(topic, publisher);
        if at < self.since || had.is_some_and(|had| last <= had) {
            return Shortfall::Exactly(0);
        }
        if order > up_to {
            // Some of these were live to this session.
            return Shortfall::Unknown;
        }
        let is_dense = last - first + 1 == count;
        match had {
            Some(had) if is_dense && had + 1 >= first => Shortfall::Exactly(last - had),
            None if count == 1 => Shortfall::Exactly(1),
            _ => Shortfall::Unknown,
        }
    }

    /// True if the client has the last message of a topic, or all that was taken since has reached it: then all before it has as
    /// well.
    fn has_newest(&self, part: &KeptPart) -> bool {
        let Some(newest) = part.stretches.back() else { return false };
        let here: u64 = part.stretches.iter().map(|stretch| u64::from(stretch.messages)).sum();
        if here < part.left {
            return false;
        }
        let last = splitter::frames(&newest.bytes).filter_map(|(_, frame)| last_of(&frame)).last();
        newest.at < self.since
            || last.is_some_and(|(publisher, sequence)| {
                self.positions.of(&part.topic, publisher).is_some_and(|had| had >= sequence)
            })
    }
}

/// The publisher and number of the last message of a frame.
fn last_of(frame: &Frame<'_>) -> Option<(u64, u64)> {
    let (publisher, first) = frame.author()?;
    Some((publisher, first.saturating_add(u64::from(frame.messages()).saturating_sub(1))))
}

#[cfg(test)]
mod tests {
    use std::collections::VecDeque;

    use super::*;
    use crate::carrier::Stretch;
    use crate::wire::encode_to_vec;

    fn resume(positions: &[(&str, u64, u64)], since: u64) -> Resume {
        let mut all = HadPositions::default();
        for (topic, publisher, sequence) in positions {
            assert!(all.add(topic.as_bytes(), *publisher, *sequence));
        }
        Resume::new(all, since)
    }

    fn part(kept: &[(u64, u64)], given_up: GivenUp) -> KeptPart {
        let stretch = |(at, sequence): &(u64, u64)| {
            let (topic, payload, sequence) = (&b"t"[..], &b""[..], *sequence);
            let frame = Frame::Message { topic, payload, publisher: 1, sequence, sent_at_ns: 0 };
            Stretch { bytes: encode_to_vec(&frame).into(), frames: 1, messages: 1, order: *at, at: *at }
        };
        let stretches: VecDeque<_> = kept.iter().map(stretch).collect();
        let left = stretches.len() as u64;
        KeptPart {
            topic: Bytes::from_static(b"t"),
            stretches,
            left,
            most: u64::MAX,
            floor: 0,
            given_up: Some(Box::new(given_up)),
        }
    }

    fn given(publisher: u64, (first, last, count): (u64, u64, u64), at: u64) -> GivenUp {
        GivenUp { of: vec![GivenUpOf { publisher, first, last, count, at, order: at }], others_at: 0 }
    }

    #[test]
    fn the_number_of_what_is_missing_is_exact_where_the_positions_tell_it() {
        let exactly = Shortfall::Exactly;
        for (positions, given_up, missing) in [
            (&[("t", 1, 5)][..], given(1, (1, 5, 5), 50), exactly(0)),
            (&[("t", 1, 5)], given(1, (1, 9, 9), 50), exactly(4)),
            (&[("t", 1, 5)], given(1, (6, 9, 4), 50), exactly(4)),
            // Its publisher has other topics, or has begun before they are known.
            (&[("t", 1, 5)], given(1, (1, 9, 8), 50), Shortfall::Unknown),
            (&[("t", 1, 5)], given(1, (7, 9, 3), 50), Shortfall::Unknown),
            // All that was taken before 10 has come.
            (&[("t", 1, 5)], given(1, (1, 9, 9), 9), exactly(0)),
            (&[], given(1, (1, 9, 9), 9), exactly(0)),
            (&[("u", 1, 5), ("t", 2, 5)], given(1, (3, 3, 1), 50), exactly(1)),
            (&[], given(1, (3, 4, 2), 50), Shortfall::Unknown),
            // Some of it was live.
            (&[("t", 1, 5)], given(1, (1, 9, 9), 101), Shortfall::Unknown),
        ] {
            let text = format!("{positions:?} {given_up:?}");
            assert_eq!(resume(positions, 10).missing(&part(&[(60, 10)], given_up), 100), missing, "{text}");
        }
    }

    #[test]
    fn who_has_the_last_value_of_a_topic_has_missed_nothing_of_it() {
        let last = |kept: &[(u64, u64)]| part(kept, GivenUp { of: Vec::new(), others_at: 50 });
        let missing =
            |position, kept: &[(u64, u64)]| resume(&[("t", 1, position)], 10).missing(&last(kept), 100);
        assert_eq!(missing(7, &[(60, 7)]), Shortfall::Exactly(0));
        assert_eq!(missing(6, &[(60, 7)]), Shortfall::Unknown);
        assert_eq!(missing(6, &[(9, 7)]), Shortfall::Exactly(0), "it came before");
        assert_eq!(missing(6, &[]), Shortfall::Unknown, "the last is live");
    }

    #[test]
    fn positions_are_bounded() {
        let mut positions = HadPositions::default();
        assert!((0..POSITIONS_MAX as u64).all(|publisher| positions.add(b"t", publisher, 1)));
        assert!(!positions.add(b"t", 0, 2));
        let mut positions = HadPositions::default();
        let topic =
            |number: usize| [&[b'x'; 1020][..], &u32::try_from(number).unwrap().to_le_bytes()].concat();
        assert!((0..POSITIONS_BYTES_MAX / 1024).all(|number| positions.add(&topic(number), 1, 1)));
        assert!(!positions.add(b"t", 0, 2));
    }
}
