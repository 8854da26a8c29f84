//! Words between brokers: what they say to one another beside messages. Bytes in, values out; owned by nobody.
//!
//! A payload of words has the head of its sender, a byte for the word, and its fields: numbers are little-endian, bytes and
//! text have their length (`u16`) before them, a list has none and goes on to the end.

use bytes::Bytes;

use super::head::{PayloadHead, TopicPlace};
use crate::limits::{
    ENGINE_WORD_BYTES_MAX, REGISTRATION_BYTES_MAX, TEXT_BYTES_MAX, TOPIC_BYTES_MAX, USER_NAME_BYTES_MAX,
};
use crate::topic::Filter;

/// The position of a topic, as words tell it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct ToldPosition {
    pub(super) topic: Bytes,
    /// The place of the next message.
    pub(super) next: TopicPlace,
    /// The sender forgets the topic: no message follows at this place.
    pub(super) is_last: bool,
}

/// The lists that brokers tell one another.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum ListKind {
    /// Topics of which the sender wants the number of subscribers.
    Topics,
    /// Direct publishers that are registered at the sender.
    Publishers,
}

impl ListKind {
    /// The number in a word.
    fn to_wire(self) -> u8 {
        match self {
            ListKind::Topics => 0,
            ListKind::Publishers => 1,
        }
    }

    /// The longest entry, in bytes.
    fn entry_bytes_max(self) -> usize {
        match self {
            ListKind::Topics => TOPIC_BYTES_MAX,
            ListKind::Publishers => REGISTRATION_BYTES_MAX + USER_NAME_BYTES_MAX + REGISTRATION_HEAD_BYTES,
        }
    }
}

/// Bytes of a registration in a list beside its texts: epoch, lease, a flag, three lengths.
const REGISTRATION_HEAD_BYTES: usize = 8 + 4 + 1 + 3 * 2;

/// A word of a list.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct ListPart {
    /// Grows with each list that begins anew.
    pub(super) round: u64,
    /// Counts the words of the round, from 1. The first one takes the place of all that was said before.
    pub(super) number: u64,
    /// True if the list is told as it stands.
    pub(super) is_whole: bool,
    /// Entries by number; `None`: it is there no longer.
    pub(super) changes: Vec<(u64, Option<Bytes>)>,
}

/// The heard end, of one broker's list.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub(super) struct HeardRound {
    /// The round.
    pub(super) round: u64,
    /// Words of it that were heard.
    pub(super) heard: u64,
}

/// A word from one broker to one or all others.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum EngineWord {
    /// The sender is there.
    Hello {
        /// For people.
        name: Box<str>,
        /// Changes of the receiver's interest that the sender knows; `None`: it is said to all.
        have: Option<u64>,
        /// True if it answers a hello.
        is_reply: bool,
    },
    /// Changes of the sender's interest, in order: a filter, and whether it is wanted.
    Interest {
        /// The number of changes before these; the receiver must know all of them.
        from: u64,
        /// The number with these. A question to be answered by `Seen`, even if there are none.
        to: u64,
        changes: Vec<(Filter, bool)>,
    },
    /// A part of the sender's whole interest.
    Restated {
        /// The number of changes that led to it.
        to: u64,
        /// Counts the parts, from 0.
        part: u32,
        is_last: bool,
        filters: Vec<Filter>,
    },
    /// The sender routes by all changes of the receiver's interest up to this one: whatever it says from now on is complete.
    Seen {
        /// The changes before those that are answered, whose answer is another; 0: there is none.
        from: u64,
        to: u64,
        /// The words of positions that belong to this answer.
        parts: u32,
    },
    /// Positions up to which the sender has sent.
    Positions {
        /// The `to` of the answer that they belong to; 0: of none.
        answer: u64,
        told: Vec<ToldPosition>,
    },
    /// A part of a list of the sender.
    List { kind: ListKind, part: ListPart },
    /// The words of the receiver's list of direct publishers that the sender has heard.
    Heard(HeardRound),
    /// The subscribers of topics in the list of the receiver; or none, as a sign of life.
    Counts {
        /// The round of the receiver that is answered.
        round: u64,
        /// Words with counts in this round so far, with this one.
        number: u64,
        /// Words of the receiver in this round that were heard.
        heard: u64,
        counts: Vec<(u64, u32)>,
    },
    /// A sign of life, with the number of changes of the sender's interest.
    Beat { to: u64 },
    /// The receiver is to restate its interest.
    Ask,
    /// The sender stops in order.
    Bye,
}

const HELLO: u8 = 1;
const INTEREST: u8 = 2;
const RESTATED: u8 = 3;
const SEEN: u8 = 4;
const POSITIONS: u8 = 5;
const BEAT: u8 = 6;
const ASK: u8 = 7;
const BYE: u8 = 8;
const LIST: u8 = 9;
const COUNTS: u8 = 10;
const HEARD: u8 = 11;
/// The answer to changes; `SEEN` answers all that is wanted. A broker of an earlier build does not know it; it tells all that it wants
/// after a beat or two, and knows the answer to that.
const SEEN_SINCE: u8 = 12;

/// In a hello, the place of the number that one to all does not have.
const TO_ALL: u64 = u64::MAX;

/// Bytes of an item of a list beside its topic or filter.
const ITEM_BYTES: usize = 24;

/// The number of items, from the first on, that fit into one payload: at least one.
pub(super) fn fitting(lengths: impl Iterator<Item = usize>) -> usize {
    let mut left = ENGINE_WORD_BYTES_MAX;
    let fit = lengths.take_while(|length| {
        let room = left.checked_sub(length + ITEM_BYTES);
        left = room.unwrap_or(0);
        room.is_some()
    });
    fit.count().max(1)
}

impl EngineWord {
    /// The payload of this word from the broker of this start.
    pub(super) fn write(&self, start: u64) -> Bytes {
        let mut out = Vec::new();
        PayloadHead::of_words(start).write(&mut out);
        match self {
            EngineWord::Hello { name, have, is_reply } => {
                out.extend_from_slice(&[HELLO, u8::from(*is_reply)]);
                put(&mut out, have.unwrap_or(TO_ALL));
                put_bytes(&mut out, name.as_bytes());
            }
            EngineWord::Interest { from, to, changes } => {
                out.push(INTEREST);
                put(&mut out, *from);
                put(&mut out, *to);
                for (filter, wanted) in changes {
                    out.push(u8::from(*wanted));
                    put_filter(&mut out, filter);
                }
            }
            EngineWord::Restated { to, part, is_last, filters } => {
                out.extend_from_slice(&[RESTATED, u8::from(*is_last)]);
                put(&mut out, *to);
                out.extend_from_slice(&part.to_le_bytes());
                filters.iter().for_each(|filter| put_filter(&mut out, filter));
            }
            EngineWord::Seen { from, to, parts } => {
                match from {
                    0 => out.push(SEEN),
                    from => put_numbered(&mut out, SEEN_SINCE, *from),
                }
                put(&mut out, *to);
                out.extend_from_slice(&parts.to_le_bytes());
            }
            EngineWord::Positions { answer, told } => {
                put_numbered(&mut out, POSITIONS, *answer);
                for ToldPosition { topic, next, is_last } in told {
                    out.push(u8::from(*is_last));
                    put(&mut out, next.base);
                    put(&mut out, next.position);
                    put_bytes(&mut out, topic);
                }
            }
            EngineWord::List { kind, part: ListPart { round, number, is_whole, changes } } => {
                out.extend_from_slice(&[LIST, kind.to_wire(), u8::from(*is_whole)]);
                put(&mut out, *round);
                put(&mut out, *number);
                for (number, entry) in changes {
                    out.push(u8::from(entry.is_some()));
                    put(&mut out, *number);
                    entry.iter().for_each(|entry| put_bytes(&mut out, entry));
                }
            }
            EngineWord::Heard(HeardRound { round, heard }) => {
                put_numbered(&mut out, HEARD, *round);
                put(&mut out, *heard);
            }
            EngineWord::Counts { round, number, heard, counts } => {
                put_numbered(&mut out, COUNTS, *round);
                [*number, *heard].iter().for_each(|number| put(&mut out, *number));
                for (number, count) in counts {
                    put(&mut out, *number);
                    out.extend_from_slice(&count.to_le_bytes());
                }
            }
            EngineWord::Beat { to } => put_numbered(&mut out, BEAT, *to),
            EngineWord::Ask => out.push(ASK),
            EngineWord::Bye => out.push(BYE),
        }
        out.into()
    }

    /// The word in what stands behind a head. `None`: no broker of this version writes that.
    pub(super) fn read(body: &[u8]) -> Option<Self> {
        let mut rest = Rest(body);
        let word = match rest.byte()? {
            HELLO => {
                let (is_reply, have) = (rest.flag()?, rest.number()?);
                let name = std::str::from_utf8(rest.bytes(TEXT_BYTES_MAX)?).ok()?;
                let have = Some(have).filter(|have| *have != TO_ALL);
                EngineWord::Hello { name: name.into(), have, is_reply }
            }
            INTEREST => {
                let (from, to) = (rest.number()?, rest.number()?);
                let changes = rest.list(|rest| Some((rest.flag()?, rest.filter()?)))?;
                let changes = changes.into_iter().map(|(wanted, filter)| (filter, wanted)).collect();
                EngineWord::Interest { from, to, changes }
            }
            RESTATED => {
                let (is_last, to, part) = (rest.flag()?, rest.number()?, rest.short()?);
                EngineWord::Restated { to, part, is_last, filters: rest.list(Rest::filter)? }
            }
            SEEN => EngineWord::Seen { from: 0, to: rest.number()?, parts: rest.short()? },
            SEEN_SINCE => {
                let from = rest.number().filter(|from| *from > 0)?;
                EngineWord::Seen { from, to: rest.number()?, parts: rest.short()? }
            }
            POSITIONS => EngineWord::Positions { answer: rest.number()?, told: rest.list(Rest::told)? },
            LIST => {
                let kind = if rest.flag()? { ListKind::Publishers } else { ListKind::Topics };
                let (is_whole, round, number) = (rest.flag()?, rest.number()?, rest.number()?);
                let changes = rest.list(|rest| rest.entry(kind))?;
                EngineWord::List { kind, part: ListPart { round, number, is_whole, changes } }
            }
            HEARD => EngineWord::Heard(HeardRound { round: rest.number()?, heard: rest.number()? }),
            COUNTS => {
                let (round, number, heard) = (rest.number()?, rest.number()?, rest.number()?);
                let counts = rest.list(|rest| Some((rest.number()?, rest.short()?)))?;
                EngineWord::Counts { round, number, heard, counts }
            }
            BEAT => EngineWord::Beat { to: rest.number()? },
            ASK => EngineWord::Ask,
            BYE => EngineWord::Bye,
            _ => return None,
        };
        rest.0.is_empty().then_some(word)
    }
}

fn put(out: &mut Vec<u8>, number: u64) {
    out.extend_from_slice(&number.to_le_bytes());
}

fn put_numbered(out: &mut Vec<u8>, word: u8, number: u64) {
    out.push(word);
    put(out, number);
}

fn put_bytes(out: &mut Vec<u8>, bytes: &[u8]) {
    let length = u16::try_from(bytes.len()).expect("topics, filters and names are short");
    out.extend_from_slice(&length.to_le_bytes());
    out.extend_from_slice(bytes);
}

fn put_filter(out: &mut Vec<u8>, filter: &Filter) {
    out.push(filter.wire_kind());
    put_bytes(out, filter.as_bytes());
}

/// The bytes that are not read yet.
struct Rest<'a>(&'a [u8]);

impl<'a> Rest<'a> {
    fn take<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (taken, rest) = self.0.split_first_chunk()?;
        self.0 = rest;
        Some(*taken)
    }

    fn byte(&mut self) -> Option<u8> {
        self.take().map(|[byte]| byte)
    }

    fn flag(&mut self) -> Option<bool> {
        match self.byte()? {
            0 => Some(false),
            1 => Some(true),
            _ => None,
        }
    }

    fn short(&mut self) -> Option<u32> {
        self.take().map(u32::from_le_bytes)
    }

    fn number(&mut self) -> Option<u64> {
        self.take().map(u64::from_le_bytes)
    }

    fn bytes(&mut self, bytes_max: usize) -> Option<&'a [u8]> {
        let length = usize::from(u16::from_le_bytes(self.take()?));
        let (bytes, rest) = self.0.split_at_checked(length).filter(|_| length <= bytes_max)?;
        self.0 = rest;
        Some(bytes)
    }

    fn topic(&mut self) -> Option<Bytes> {
        self.bytes(TOPIC_BYTES_MAX).map(Bytes::copy_from_slice)
    }

    fn filter(&mut self) -> Option<Filter> {
        let kind = self.byte()?;
        Filter::from_wire(kind, self.bytes(TOPIC_BYTES_MAX)?).ok()
    }

    fn entry(&mut self, kind: ListKind) -> Option<(u64, Option<Bytes>)> {
        let (is_there, number) = (self.flag()?, self.number()?);
        let mut bytes = || {
            let entry = self.bytes(kind.entry_bytes_max()).filter(|entry| !entry.is_empty());
            entry.map(Bytes::copy_from_slice)
        };
        Some((number, if is_there { Some(bytes()?) } else { None }))
    }

    fn told(&mut self) -> Option<ToldPosition> {
        let is_last = self.flag()?;
        let next = TopicPlace { base: self.number()?, position: self.number()? };
        let is_sound = 0 < next.base && next.base <= next.position;
        Some(ToldPosition { topic: self.topic()?, next, is_last }).filter(|_| is_sound)
    }

    fn list<T>(&mut self, mut item: impl FnMut(&mut Self) -> Option<T>) -> Option<Vec<T>> {
        let mut list = Vec::new();
        while !self.0.is_empty() {
            list.push(item(self)?);
        }
        Some(list)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::limits::ENGINE_HEAD_BYTES;

    fn words() -> Vec<EngineWord> {
        let filter = |text: &str| Filter::parse(text).unwrap();
        let prefix = Filter::prefix(b"\xff.").unwrap();
        let next = TopicPlace { base: 3, position: 300 };
        vec![
            EngineWord::Hello { name: "a".into(), have: Some(7), is_reply: true },
            EngineWord::Hello { name: "".into(), have: None, is_reply: false },
            EngineWord::Interest {
                from: 1,
                to: 3,
                changes: vec![(filter("a.*"), true), (prefix.clone(), false)],
            },
            EngineWord::Interest { from: 3, to: 3, changes: Vec::new() },
            EngineWord::Restated { to: 9, part: 2, is_last: true, filters: vec![filter("a"), prefix] },
            EngineWord::Seen { from: 0, to: u64::MAX, parts: 3 },
            EngineWord::Seen { from: 7, to: 8, parts: 0 },
            EngineWord::Positions {
                answer: 5,
                told: vec![ToldPosition { topic: Bytes::from_static(b" "), next, is_last: false }; 2],
            },
            EngineWord::List {
                kind: ListKind::Topics,
                part: ListPart {
                    round: 2,
                    number: 1,
                    is_whole: false,
                    changes: vec![(4, Some(Bytes::from_static(b"a"))), (3, None)],
                },
            },
            EngineWord::List {
                kind: ListKind::Publishers,
                part: ListPart {
                    round: 3,
                    number: 2,
                    is_whole: true,
                    changes: vec![(5, Some(vec![7; 4_000].into()))],
                },
            },
            EngineWord::Heard(HeardRound { round: 2, heard: 3 }),
            EngineWord::Counts { round: 2, number: 7, heard: 1, counts: vec![(4, 3), (5, u32::MAX)] },
            EngineWord::Beat { to: 5 },
            EngineWord::Ask,
            EngineWord::Bye,
        ]
    }

    #[test]
    fn every_word_comes_back() {
        for word in words() {
            let payload = word.write(1);
            assert_eq!(EngineWord::read(&payload[ENGINE_HEAD_BYTES..]), Some(word));
        }
    }

    #[test]
    fn a_word_that_is_cut_or_goes_on_is_none_or_another() {
        for word in words() {
            let payload = word.write(1);
            let body = &payload[ENGINE_HEAD_BYTES..];
            for cut in 0..body.len() {
                assert_ne!(EngineWord::read(&body[..cut]), Some(word.clone()), "{word:?}");
            }
            assert_ne!(EngineWord::read(&[body, &[0]].concat()), Some(word));
        }
    }

    #[test]
    fn only_what_brokers_may_say_is_a_word() {
        let bad: [&[u8]; 5] = [
            &[],
            &[99],
            &[BEAT, 1],
            // A flag of 2, a filter of no kind.
            &[HELLO, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0],
            &[RESTATED, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 9, 1, 0, b'a'],
        ];
        for body in bad {
            assert_eq!(EngineWord::read(body), None, "{body:?}");
        }
    }

    #[test]
    fn lists_are_cut_to_payloads() {
        assert_eq!(fitting(std::iter::repeat_n(1000, 500)), ENGINE_WORD_BYTES_MAX / (1000 + ITEM_BYTES));
        assert_eq!(fitting([usize::MAX / 2].into_iter()), 1);
        assert_eq!(fitting([1, 2, 3].into_iter()), 3);
    }
}
