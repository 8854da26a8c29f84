//! Owns, for each message, when its first and its last subscriber had it. One spread belongs to one executor; they
//! are merged when the run is over.

use super::latency::Latencies;
use super::payload::PublisherIndex;
use serde::{Deserialize, Serialize};

/// Messages whose times are allocated at once: 64 KiB a chunk, so that a flood allocates once in 4,096 messages (a
/// few microseconds) and never copies what it has, and a publisher of few messages costs little.
const CHUNK_MESSAGES: usize = 4_096;

/// The least and the greatest latency of one message, in nanoseconds.
#[derive(Clone, Copy, PartialEq, Debug)]
struct Extremes {
    first_ns: u64,
    last_ns: u64,
}

/// A message that no subscriber has had yet.
const NOBODY: Extremes = Extremes { first_ns: u64::MAX, last_ns: 0 };

/// First and last times of every message of every publisher: 16 bytes a message.
///
/// They are over the subscribers that got the message: what one missed (and was told of) it has no time for.
#[derive(PartialEq, Debug, Default)]
pub struct Spread {
    publishers: Vec<Vec<Box<[Extremes]>>>,
}

impl Spread {
    /// A spread of this many publishers, of which nothing has arrived.
    pub fn new(publishers: usize) -> Self {
        Spread { publishers: (0..publishers).map(|_| Vec::new()).collect() }
    }

    /// One subscriber has had message `sequence` after `latency_ns`.
    #[inline]
    pub fn record(&mut self, publisher: PublisherIndex, sequence: u64, latency_ns: u64) {
        let (chunk, place) = (sequence as usize / CHUNK_MESSAGES, sequence as usize % CHUNK_MESSAGES);
        let chunks = &mut self.publishers[publisher.0 as usize];
        if chunk >= chunks.len() {
            grow(chunks, chunk);
        }
        let message = &mut chunks[chunk][place];
        message.first_ns = message.first_ns.min(latency_ns);
        message.last_ns = message.last_ns.max(latency_ns);
    }

    /// Takes in what another executor saw.
    pub fn merge(&mut self, other: &Spread) {
        for (publisher, chunks) in other.publishers.iter().enumerate() {
            let mine = &mut self.publishers[publisher];
            if let Some(last) = chunks.len().checked_sub(1).filter(|last| *last >= mine.len()) {
                grow(mine, last);
            }
            for (mine, theirs) in mine.iter_mut().zip(chunks) {
                for (mine, theirs) in mine.iter_mut().zip(theirs) {
                    mine.first_ns = mine.first_ns.min(theirs.first_ns);
                    mine.last_ns = mine.last_ns.max(theirs.last_ns);
                }
            }
        }
    }

    /// Number of publishers.
    pub fn publishers(&self) -> usize {
        self.publishers.len()
    }

    /// All times, longer by so much; shorter if it is negative, but never below 0.
    pub fn shift(&mut self, by_ns: i64) {
        let messages = self.publishers.iter_mut().flatten().flat_map(|chunk| chunk.iter_mut());
        for message in messages.filter(|message| message.first_ns != NOBODY.first_ns) {
            message.first_ns = message.first_ns.saturating_add_signed(by_ns);
            message.last_ns = message.last_ns.saturating_add_signed(by_ns);
        }
    }

    /// The distributions over all messages that anybody got: time to the first subscriber, time to the last.
    pub fn distributions(&self) -> (Latencies, Latencies) {
        let (mut first, mut last) = (Latencies::new(), Latencies::new());
        let messages = self.publishers.iter().flatten().flat_map(|chunk| chunk.iter());
        for message in messages.filter(|message| message.first_ns != NOBODY.first_ns) {
            first.record_ns(message.first_ns);
            last.record_ns(message.last_ns);
        }
        (first, last)
    }
}

/// Serialises, for each publisher, the first and last times of its messages up to the last that anybody got.
impl Serialize for Spread {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let rows = self.publishers.iter().map(|chunks| {
            let messages = chunks.iter().flat_map(|chunk| chunk.iter());
            let mut row: Vec<(u64, u64)> =
                messages.map(|message| (message.first_ns, message.last_ns)).collect();
            let got =
                row.iter().rposition(|(first_ns, _)| *first_ns != NOBODY.first_ns).map_or(0, |last| last + 1);
            row.truncate(got);
            row
        });
        serializer.collect_seq(rows)
    }
}

impl<'de> Deserialize<'de> for Spread {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let rows: Vec<Vec<(u64, u64)>> = Vec::deserialize(deserializer)?;
        let mut spread = Spread::new(rows.len());
        for (chunks, row) in spread.publishers.iter_mut().zip(&rows) {
            if let Some(last) = row.len().checked_sub(1) {
                grow(chunks, last / CHUNK_MESSAGES);
            }
            let messages = chunks.iter_mut().flat_map(|chunk| chunk.iter_mut());
            messages.zip(row).for_each(|(message, (first_ns, last_ns))| {
                *message = Extremes { first_ns: *first_ns, last_ns: *last_ns };
            });
        }
        Ok(spread)
    }
}

#[cold]
fn grow(chunks: &mut Vec<Box<[Extremes]>>, last: usize) {
    while chunks.len() <= last {
        chunks.push(vec![NOBODY; CHUNK_MESSAGES].into_boxed_slice());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ONE: PublisherIndex = PublisherIndex(0);
    const TWO: PublisherIndex = PublisherIndex(1);

    fn figures(spread: &Spread) -> (Vec<f64>, Vec<f64>) {
        let (first, last) = spread.distributions();
        let ends = |latencies: &Latencies| {
            latencies.summary().map(|summary| vec![summary.min, summary.max]).unwrap_or_default()
        };
        (ends(&first), ends(&last))
    }

    #[test]
    fn first_and_last_over_executors_and_publishers() {
        let mut here = Spread::new(2);
        here.record(ONE, 0, 3_000);
        here.record(ONE, 0, 1_000);
        here.record(TWO, 0, 500_000);
        let mut there = Spread::new(2);
        there.record(ONE, 0, 9_000);
        there.record(TWO, 0, 400_000);
        here.merge(&there);
        let (first, last) = figures(&here);
        assert!((first[0] - 1.0).abs() < 0.01 && (first[1] - 400.0).abs() < 1.0, "{first:?}");
        assert!((last[0] - 9.0).abs() < 0.01 && (last[1] - 500.0).abs() < 1.0, "{last:?}");
    }

    #[test]
    fn a_message_that_nobody_got_has_no_times() {
        let mut spread = Spread::new(1);
        spread.record(ONE, 7, 1_000);
        let (first, last) = spread.distributions();
        assert_eq!((first.len(), last.len()), (1, 1));
    }

    #[test]
    fn it_travels_without_the_messages_that_nobody_got() {
        let mut spread = Spread::new(2);
        spread.record(TWO, CHUNK_MESSAGES as u64 + 1, 1_000);
        spread.record(TWO, 0, 5_000);
        let text = serde_json::to_string(&spread).unwrap();
        assert!(text.starts_with("[[],[[5000,5000],"), "{}", &text[..40]);
        assert!(text.ends_with(",[1000,1000]]]"));
        assert_eq!(serde_json::from_str::<Spread>(&text).unwrap(), spread);
    }

    #[test]
    fn a_shift_moves_what_somebody_got() {
        let mut spread = Spread::new(1);
        spread.record(ONE, 1, 5_000);
        spread.shift(-2_000);
        let (first, last) = figures(&spread);
        assert!((first[0] - 3.0).abs() < 0.01 && (last[0] - 3.0).abs() < 0.01, "{first:?} {last:?}");
        assert_eq!(spread.distributions().0.len(), 1);
    }

    #[test]
    fn merging_what_is_longer_keeps_both() {
        let mut short = Spread::new(1);
        short.record(ONE, 0, 1_000);
        let mut long = Spread::new(1);
        long.record(ONE, 3 * CHUNK_MESSAGES as u64, 2_000);
        short.merge(&long);
        assert_eq!(short.distributions().0.len(), 2);
        long.merge(&Spread::new(1));
        assert_eq!(long.distributions().0.len(), 1);
    }
}
