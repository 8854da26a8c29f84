//! The head of every payload at the engine, and the crossings behind it. Bytes in, values out; owned by nobody.
//!
//! | bytes | |
//! |---|---|
//! | 0 | `0xcc` |
//! | 1 | version: 1 |
//! | 2 | kind: 1 a crossing, 2 words |
//! | 3 | 1: before this crossing something of unknown number is missing; else 0 |
//! | 4..8 | messages of the crossing; of words 0 |
//! | 8..16 | the start of the broker that sends |
//! | 16..24 | position of the first message, among those of this broker and topic; of words 0 |
//! | 24..32 | position at which this count of the topic began; of words 0 |
//!
//! Numbers are little-endian. Behind the head of a crossing stand whole native frames of one topic.

use bytes::Bytes;

use crate::limits::ENGINE_HEAD_BYTES;

const MAGIC: u8 = 0xcc;
const VERSION: u8 = 1;
const CROSSING: u8 = 1;
const WORDS: u8 = 2;

/// The kind of a payload.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum HeadKind {
    /// Messages of one topic.
    Crossing,
    /// Words between brokers.
    Words,
}

/// A place in the count of a topic's messages.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default, Debug)]
pub(super) struct TopicPlace {
    /// The position at which the count began. A broker that has forgotten a topic begins anew, beyond all positions before.
    pub(super) base: u64,
    /// The position.
    pub(super) position: u64,
}

/// The head of a payload.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct PayloadHead {
    pub(super) kind: HeadKind,
    /// The start of the broker that sends.
    pub(super) start: u64,
    /// The place of the first message.
    pub(super) place: TopicPlace,
    /// The number of messages.
    pub(super) count: u32,
    /// Something of unknown number is missing before it. Whoever knows the count before sees that by itself.
    pub(super) is_doubted: bool,
}

impl PayloadHead {
    /// The head of words.
    pub(super) fn of_words(start: u64) -> Self {
        PayloadHead {
            kind: HeadKind::Words,
            start,
            place: TopicPlace::default(),
            count: 0,
            is_doubted: false,
        }
    }

    /// Appends the head.
    pub(super) fn write(&self, out: &mut Vec<u8>) {
        let kind = match self.kind {
            HeadKind::Crossing => CROSSING,
            HeadKind::Words => WORDS,
        };
        out.extend_from_slice(&[MAGIC, VERSION, kind, u8::from(self.is_doubted)]);
        out.extend_from_slice(&self.count.to_le_bytes());
        for number in [self.start, self.place.position, self.place.base] {
            out.extend_from_slice(&number.to_le_bytes());
        }
    }

    /// Takes the head off a payload. `None`: it is none of this version.
    pub(super) fn take(payload: &mut Bytes) -> Option<Self> {
        let head: &[u8; ENGINE_HEAD_BYTES] = payload.first_chunk()?;
        let [MAGIC, VERSION, kind, flags @ 0..=1, a, b, c, d, numbers @ ..] = *head else { return None };
        let kind = match kind {
            CROSSING => HeadKind::Crossing,
            WORDS => HeadKind::Words,
            _ => return None,
        };
        let number = |at: usize| {
            let bytes: &[u8; 8] = numbers[at..].first_chunk().expect("three numbers of eight bytes");
            u64::from_le_bytes(*bytes)
        };
        let place = TopicPlace { position: number(8), base: number(16) };
        let (count, is_doubted) = (u32::from_le_bytes([a, b, c, d]), flags == 1);
        let parsed = PayloadHead { kind, start: number(0), place, count, is_doubted };
        let is_sound = parsed.start != 0
            && match kind {
                HeadKind::Crossing => {
                    place.base > 0
                        && place.base <= place.position
                        && place.position.checked_add(parsed.count.into()).is_some()
                }
                HeadKind::Words => parsed == PayloadHead::of_words(parsed.start),
            };
        *payload = payload.slice(ENGINE_HEAD_BYTES..);
        is_sound.then_some(parsed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const CROSSING: PayloadHead = PayloadHead {
        kind: HeadKind::Crossing,
        start: 0x0102_0304_0506_0708,
        place: TopicPlace { base: 9, position: 10 },
        count: 3,
        is_doubted: false,
    };

    fn written(head: &PayloadHead) -> Vec<u8> {
        let mut out = Vec::new();
        head.write(&mut out);
        out
    }

    #[test]
    fn the_bytes_of_a_head_are_frozen() {
        let bytes = written(&CROSSING);
        let golden = [
            0xcc, 1, 1, 0, 3, 0, 0, 0, 8, 7, 6, 5, 4, 3, 2, 1, 10, 0, 0, 0, 0, 0, 0, 0, 9, 0, 0, 0, 0, 0, 0,
            0,
        ];
        assert_eq!(bytes, golden);
    }

    #[test]
    fn a_head_comes_back_and_leaves_the_rest() {
        for head in [CROSSING, PayloadHead { is_doubted: true, ..CROSSING }, PayloadHead::of_words(7)] {
            let mut payload = Bytes::from([&written(&head)[..], b"rest"].concat());
            assert_eq!(PayloadHead::take(&mut payload), Some(head));
            assert_eq!(&payload[..], b"rest");
        }
    }

    #[test]
    fn what_no_broker_writes_is_no_head() {
        let good = written(&CROSSING);
        for cut in 0..good.len() {
            assert_eq!(PayloadHead::take(&mut Bytes::copy_from_slice(&good[..cut])), None, "{cut} bytes");
        }
        for (at, byte) in [(0, 0), (1, 2), (2, 0), (2, 3), (3, 2), (24, 11), (24, 0)] {
            let mut bad = good.clone();
            bad[at] = byte;
            assert_eq!(PayloadHead::take(&mut bad.into()), None, "byte {at}");
        }
        let end = PayloadHead { place: TopicPlace { base: 1, position: u64::MAX }, ..CROSSING };
        assert_eq!(PayloadHead::take(&mut written(&end).into()), None, "its last position is no number");
        let words = PayloadHead { is_doubted: true, ..PayloadHead::of_words(7) };
        assert_eq!(PayloadHead::take(&mut written(&words).into()), None, "words have no count");
        let nobody = PayloadHead { start: 0, ..CROSSING };
        assert_eq!(PayloadHead::take(&mut written(&nobody).into()), None);
    }
}
