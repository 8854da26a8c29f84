//! Owns a stream of frames and ways to receive it in parts, as one connection among others does: the slab is shared
//! with a second reader that overwrites everything that is not ours.

use bytes::Bytes;
use corecast::internals::limits::{FRAME_BYTES_MAX_LIMIT, READ_BYTES_PER_TURN};
use corecast::internals::wire::{Reader, Slab, encode, split};

use crate::frames::Parts;

/// The end of a turn.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum End {
    /// The whole frames are kept, as a broker does.
    Take,
    /// They are read in place, as a client does.
    Discard,
}

impl End {
    /// Both of them.
    pub(crate) const BOTH: [End; 2] = [End::Take, End::Discard];
}

/// Encoded frames, one after the other.
pub(crate) struct Stream {
    /// All of them.
    pub(crate) bytes: Vec<u8>,
    /// Where each ends.
    ends: Vec<usize>,
}

impl Stream {
    /// The frames of these parts.
    pub(crate) fn of(all: &[Parts]) -> Stream {
        let (mut bytes, mut ends) = (Vec::new(), Vec::new());
        for parts in all {
            encode(&parts.frame(), &mut bytes);
            ends.push(bytes.len());
        }
        Stream { bytes, ends }
    }

    /// The frames that must arrive.
    pub(crate) fn frames(&self) -> Vec<Bytes> {
        let starts = std::iter::once(0).chain(self.ends.iter().copied());
        starts.zip(&self.ends).map(|(start, end)| Bytes::copy_from_slice(&self.bytes[start..*end])).collect()
    }

    /// The frames that arrive when the stream is cut there. They are read only when all have arrived, so that a buffer
    /// which is reused too early shows.
    pub(crate) fn received_in(&self, cuts: &[usize], end: End) -> Vec<Bytes> {
        let mut receiver = Receiver::default();
        let mut from = 0;
        for cut in cuts.iter().copied().chain([self.bytes.len()]) {
            let mut part = &self.bytes[from..cut];
            while !part.is_empty() {
                part = receiver.turn(part, end);
            }
            from = cut;
        }
        assert_eq!(receiver.reader.partial_bytes(), 0, "the stream ends with a whole frame");
        receiver.frames
    }

    /// The first bytes, all about the ends of frames and of reads, and some more.
    pub(crate) fn places_to_cut(&self, rng: &mut fastrand::Rng) -> Vec<usize> {
        let reads = (0..self.bytes.len()).step_by(READ_BYTES_PER_TURN);
        let edges: Vec<usize> = self.ends.iter().copied().chain(reads).collect();
        let about = edges.iter().flat_map(|edge| edge.saturating_sub(6)..edge + 6);
        let more: Vec<usize> = (0..20).map(|_| rng.usize(..self.bytes.len())).collect();
        about.chain(more).filter(|cut| *cut <= self.bytes.len()).collect()
    }

    /// Cuts after at most so many bytes each.
    pub(crate) fn random_cuts(&self, rng: &mut fastrand::Rng, bytes_max: usize) -> Vec<usize> {
        let mut cuts = Vec::new();
        let mut at = 0;
        loop {
            at += rng.usize(1..=bytes_max);
            if at >= self.bytes.len() {
                return cuts;
            }
            cuts.push(at);
        }
    }
}

#[derive(Default)]
struct Receiver {
    slab: Slab,
    reader: Reader,
    frames: Vec<Bytes>,
}

impl Receiver {
    /// One turn of reading; gives what did not fit in.
    fn turn<'a>(&mut self, part: &'a [u8], end: End) -> &'a [u8] {
        let Receiver { slab, reader, frames } = self;
        let before = reader.partial_bytes();
        let space = reader.space(slab);
        let taken = part.len().min(space.len());
        space[..taken].copy_from_slice(&part[..taken]);
        reader.received(taken);
        let filled = reader.filled(slab);
        assert_eq!(filled.len(), before + taken);
        let mut spans = Vec::new();
        let found = split(filled, FRAME_BYTES_MAX_LIMIT, &mut spans);
        assert_eq!(found.error, None);
        let filled_bytes = filled.len();
        match end {
            End::Take => {
                let bytes = reader.take(slab, found.whole_bytes);
                assert_eq!(bytes.len(), found.whole_bytes);
                frames.extend(spans.iter().map(|span| bytes.slice(span.start()..span.end())));
            }
            End::Discard => {
                let copy = |start: usize, end: usize| Bytes::copy_from_slice(&filled[start..end]);
                frames.extend(spans.iter().map(|span| copy(span.start(), span.end())));
                reader.discard(slab, found.whole_bytes);
            }
        }
        assert_eq!(reader.partial_bytes(), filled_bytes - found.whole_bytes);
        self.scribble();
        &part[taken..]
    }

    /// Another connection of the same executor has its turn.
    fn scribble(&mut self) {
        let mut other = Reader::default();
        let space = other.space(&mut self.slab);
        let scribbled = space.len().min(2_000);
        space[..scribbled].fill(0xee);
        other.received(0);
        other.discard(&mut self.slab, 0);
    }
}
