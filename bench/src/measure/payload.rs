//! Owns the bytes of a measuring payload: who sent it, in which run, as which message, when it should have been
//! sent, and a checksum over all of it. The swarm writes and reads these; nobody else knows the layout.
//!
//! All integers are little-endian.
//!
//! | offset | bytes | what |
//! |---|---|---|
//! | 0 | 8 | checksum over every byte after it |
//! | 8 | 8 | run id |
//! | 16 | 8 | sequence: 0, 1, 2… for each publisher |
//! | 24 | 8 | intended send time: `CLOCK_MONOTONIC`, ns |
//! | 32 | 4 | publisher: 0, 1, 2… |
//! | 36 | 4 | length of the whole payload |
//! | 40 | 8 | only where publishers share topics: number among the publisher's messages on this topic, from 0 |
//! | 48 | 4 | the same: the topic: 0, 1, 2… |
//! | 40 or 52 | … | filler: a fixed pattern that differs at each place and for each publisher |
//!
//! The checksum is XXH3-64 of the header from byte 8 on, seeded with the XXH3-64 of the filler. So a sender hashes the
//! filler once, and stamping a message costs the same at any size. XXH3 rather than a CRC because a flood checks
//! tens of millions of small payloads a second (measured at 64 bytes: 6 ns against 15 ns for crc32fast).

use corecast_executors::MonotonicNs;
use serde::{Deserialize, Serialize};
use xxhash_rust::xxh3::{xxh3_64, xxh3_64_with_seed};

/// The least payload that holds a header, in bytes.
pub const SIZE_BYTES_MIN: usize = 40;
/// The least payload that holds a header with a topic.
const TOPIC_SIZE_BYTES_MIN: usize = 52;

const CHECKSUM: std::ops::Range<usize> = 0..8;
const RUN: std::ops::Range<usize> = 8..16;
const SEQUENCE: std::ops::Range<usize> = 16..24;
const INTENDED: std::ops::Range<usize> = 24..32;
const PUBLISHER: std::ops::Range<usize> = 32..36;
const LENGTH: std::ops::Range<usize> = 36..40;
const NUMBER: std::ops::Range<usize> = 40..48;
const TOPIC: std::ops::Range<usize> = 48..52;

/// One run of the swarm; random, so that a message of an earlier run is never taken for one of this run.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct RunId(pub u64);

/// One of the swarm's publishers: 0, 1, 2…
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct PublisherIndex(pub u32);

/// The kind of a payload's header.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Head {
    /// Each publisher has one topic, with its own number.
    Plain,
    /// Publishers share topics.
    Topic,
}

impl Head {
    /// Its length, and the least payload that holds it, in bytes.
    pub const fn bytes(self) -> usize {
        match self {
            Head::Plain => SIZE_BYTES_MIN,
            Head::Topic => TOPIC_SIZE_BYTES_MIN,
        }
    }
}

/// The contents of an intact payload's header.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Stamp {
    /// The publisher that sent it.
    pub publisher: PublisherIndex,
    /// Its place among that publisher's messages, from 0.
    pub sequence: u64,
    /// Time at which it should have been sent.
    pub intended: MonotonicNs,
    /// Its topic.
    pub topic: u32,
    /// Its place among that publisher's messages on that topic, from 0.
    pub number: u64,
}

/// A size that is too small for the header, or too large for its length field.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[error(
    "a payload of {size_bytes} bytes is not possible: it takes {} to {} bytes to carry run, publisher, sequence, time{} and checksum",
    .head.bytes(),
    u32::MAX,
    if *.head == Head::Topic { ", topic" } else { "" }
)]
pub struct SizeError {
    /// The size that was asked for.
    pub size_bytes: usize,
    /// The header that it has to hold.
    pub head: Head,
}

/// Refuses a size that payloads with such a header cannot have.
pub fn check_size(size_bytes: usize, head: Head) -> Result<(), SizeError> {
    let possible = size_bytes >= head.bytes() && u32::try_from(size_bytes).is_ok();
    if possible { Ok(()) } else { Err(SizeError { size_bytes, head }) }
}

/// One publisher's payload: a buffer that is stamped anew for each message.
#[derive(Debug)]
pub struct Payload {
    bytes: Vec<u8>,
    head: Head,
    filler_hash: u64,
}

impl Payload {
    /// A buffer of `size_bytes` for this publisher of this run.
    pub fn new(
        run: RunId,
        publisher: PublisherIndex,
        size_bytes: usize,
        head: Head,
    ) -> Result<Self, SizeError> {
        check_size(size_bytes, head)?;
        let length = u32::try_from(size_bytes).map_err(|_| SizeError { size_bytes, head })?;
        let mut bytes = vec![0; size_bytes];
        bytes[RUN].copy_from_slice(&run.0.to_le_bytes());
        bytes[PUBLISHER].copy_from_slice(&publisher.0.to_le_bytes());
        bytes[LENGTH].copy_from_slice(&length.to_le_bytes());
        fill(&mut bytes[head.bytes()..], publisher);
        let filler_hash = xxh3_64(&bytes[head.bytes()..]);
        Ok(Payload { bytes, head, filler_hash })
    }

    /// The bytes of the message with this stamp, which is its publisher's.
    pub fn stamp(&mut self, stamp: &Stamp) -> &[u8] {
        self.bytes[SEQUENCE].copy_from_slice(&stamp.sequence.to_le_bytes());
        self.bytes[INTENDED].copy_from_slice(&stamp.intended.0.to_le_bytes());
        if self.head == Head::Topic {
            self.bytes[NUMBER].copy_from_slice(&stamp.number.to_le_bytes());
            self.bytes[TOPIC].copy_from_slice(&stamp.topic.to_le_bytes());
        }
        let checksum = xxh3_64_with_seed(&self.bytes[CHECKSUM.end..self.head.bytes()], self.filler_hash);
        self.bytes[CHECKSUM].copy_from_slice(&checksum.to_le_bytes());
        &self.bytes
    }
}

/// The stamp of `payload`, or `None` if it is not, byte for byte, a payload of this run with such a header.
#[inline]
pub fn check(payload: &[u8], run: RunId, head: Head) -> Option<Stamp> {
    match head {
        Head::Plain => {
            let header = intact::<SIZE_BYTES_MIN>(payload, run)?;
            let (publisher, sequence) = (u32_at(header, PUBLISHER), u64_at(header, SEQUENCE));
            Some(stamp_of(header, publisher, sequence))
        }
        Head::Topic => {
            let header = intact::<TOPIC_SIZE_BYTES_MIN>(payload, run)?;
            Some(stamp_of(header, u32_at(header, TOPIC), u64_at(header, NUMBER)))
        }
    }
}

/// The header of an intact payload of this run.
#[inline]
fn intact<const HEAD_BYTES: usize>(payload: &[u8], run: RunId) -> Option<&[u8; HEAD_BYTES]> {
    let (header, filler) = payload.split_first_chunk::<HEAD_BYTES>()?;
    let checksum = xxh3_64_with_seed(&header[CHECKSUM.end..], xxh3_64(filler));
    let intact = checksum == u64_at(header, CHECKSUM)
        && run.0 == u64_at(header, RUN)
        && payload.len() as u64 == u64::from(u32_at(header, LENGTH));
    intact.then_some(header)
}

#[inline]
fn stamp_of(header: &[u8], topic: u32, number: u64) -> Stamp {
    Stamp {
        publisher: PublisherIndex(u32_at(header, PUBLISHER)),
        sequence: u64_at(header, SEQUENCE),
        intended: MonotonicNs(u64_at(header, INTENDED)),
        topic,
        number,
    }
}

/// A pattern without a period that a shift could hide in, and the same in every run.
fn fill(filler: &mut [u8], publisher: PublisherIndex) {
    let mut source = fastrand::Rng::with_seed(u64::from(publisher.0));
    source.fill(filler);
}

#[inline]
fn u64_at(header: &[u8], at: std::ops::Range<usize>) -> u64 {
    u64::from_le_bytes(header[at].try_into().expect("the ranges above are 8 bytes long"))
}

#[inline]
fn u32_at(header: &[u8], at: std::ops::Range<usize>) -> u32 {
    u32::from_le_bytes(header[at].try_into().expect("the ranges above are 4 bytes long"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const HERE: RunId = RunId(0x1122_3344_5566_7788);

    const HEADS: [Head; 2] = [Head::Plain, Head::Topic];

    fn stamp(sequence: u64, (topic, number): (u32, u64)) -> Stamp {
        Stamp { publisher: PublisherIndex(3), sequence, intended: MonotonicNs(77), topic, number }
    }

    fn payload_with(head: Head, size_bytes: usize, stamp: &Stamp) -> Vec<u8> {
        Payload::new(HERE, PublisherIndex(3), size_bytes, head).unwrap().stamp(stamp).to_vec()
    }

    fn payload(size_bytes: usize, sequence: u64) -> Vec<u8> {
        payload_with(Head::Plain, size_bytes, &stamp(sequence, (3, sequence)))
    }

    fn check(payload: &[u8], run: RunId) -> Option<Stamp> {
        super::check(payload, run, Head::Plain)
    }

    #[test]
    fn what_was_stamped_is_read_back() {
        for (head, topic) in [(Head::Plain, (3, 9)), (Head::Topic, (70_000, 8))] {
            let wanted = stamp(9, topic);
            for size_bytes in [head.bytes(), head.bytes() + 1, 64, 1000, 65_536] {
                let payload = payload_with(head, size_bytes, &wanted);
                assert_eq!(super::check(&payload, HERE, head), Some(wanted), "{head:?}, {size_bytes} bytes");
            }
        }
    }

    #[test]
    fn every_single_flipped_bit_is_seen() {
        for head in HEADS {
            let good = payload_with(head, 64, &stamp(5, (3, 5)));
            for bit in 0..good.len() * 8 {
                let mut bad = good.clone();
                bad[bit / 8] ^= 1 << (bit % 8);
                assert_eq!(super::check(&bad, HERE, head), None, "{head:?}, bit {bit}");
            }
        }
    }

    #[test]
    fn a_header_of_the_other_kind_is_seen() {
        let [plain, topic] = HEADS.map(|head| payload_with(head, 64, &stamp(5, (3, 5))));
        assert_eq!(super::check(&plain, HERE, Head::Topic), None);
        assert_eq!(super::check(&topic, HERE, Head::Plain), None);
    }

    #[test]
    fn another_run_a_cut_and_an_extension_are_seen() {
        let good = payload(64, 5);
        assert_eq!(check(&good, RunId(1)), None);
        for end in 0..good.len() {
            assert_eq!(check(&good[..end], HERE), None, "cut to {end} bytes");
        }
        let mut longer = good;
        longer.push(0);
        assert_eq!(check(&longer, HERE), None);
    }

    #[test]
    fn a_size_below_the_header_says_the_least() {
        for (head, says) in [
            (Head::Plain, "39 bytes is not possible: it takes 40"),
            (Head::Topic, "51 bytes is not possible: it takes 52"),
        ] {
            let error = Payload::new(HERE, PublisherIndex(0), head.bytes() - 1, head).unwrap_err();
            assert!(error.to_string().contains(says), "{error}");
        }
    }

    proptest! {
        #[test]
        fn a_payload_shifted_in_its_buffer_is_seen(size_bytes in 41usize..400, shift in 1usize..40) {
            let mut two = payload(size_bytes, 5);
            two.extend(payload(size_bytes, 6));
            let torn = &two[shift..shift + size_bytes];
            prop_assert_eq!(check(torn, HERE), None);
        }
    }
}
