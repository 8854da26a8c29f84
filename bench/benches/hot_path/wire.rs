//! Frames out of messages, and frames out of what was read.

use std::hint::black_box;

use bytes::Bytes;
use corecast::internals::limits::{FRAME_BYTES_MAX_DEFAULT, READ_BYTES_PER_TURN};
use corecast::internals::wire::{Reader, Slab, Span, split};

use crate::case::Measured;
use crate::rig::{messages, push_message, received};

/// Messages encoded in one iteration.
pub(crate) const ENCODED: u64 = 64;
/// Whole frames in a read of messages of 64 bytes; `split` asserts it.
pub(crate) const FRAMES_OF_64_BYTES: u64 = 532;
/// The same for 1,024 bytes.
pub(crate) const FRAMES_OF_1_KIB: u64 = 60;

/// A turn's read is full, and ends within a frame.
pub(crate) fn full_read(payload_bytes: usize) -> Vec<u8> {
    let mut bytes = messages((READ_BYTES_PER_TURN / payload_bytes) as u64, payload_bytes);
    bytes.truncate(READ_BYTES_PER_TURN);
    bytes
}

pub(crate) fn encode_64_bytes() -> Box<dyn Measured> {
    Box::new(Encode { payload: [7; 64], out: Vec::new() })
}

pub(crate) fn split_64_bytes() -> Box<dyn Measured> {
    Box::new(Splitting::new(64, FRAMES_OF_64_BYTES))
}

pub(crate) fn split_1_kib() -> Box<dyn Measured> {
    Box::new(Splitting::new(1 << 10, FRAMES_OF_1_KIB))
}

struct Encode {
    payload: [u8; 64],
    out: Vec<u8>,
}

impl Measured for Encode {
    fn restore(&mut self) {
        self.out.clear();
    }

    fn run(&mut self) {
        for sequence in 0..ENCODED {
            push_message(black_box("prices.eur.usd"), &self.payload, sequence, &mut self.out);
        }
    }
}

/// A read out of a slab: found, checked, and taken as a batch.
struct Splitting {
    read: Vec<u8>,
    slab: Slab,
    reader: Reader,
    spans: Vec<Span>,
    taken: Bytes,
}

impl Splitting {
    fn new(payload_bytes: usize, frames: u64) -> Self {
        let read = full_read(payload_bytes);
        let mut spans = Vec::new();
        assert_eq!(split(&read, FRAME_BYTES_MAX_DEFAULT, &mut spans).error, None);
        assert_eq!(spans.len() as u64, frames, "the list of cases says so");
        Splitting { read, slab: Slab::default(), reader: Reader::default(), spans, taken: Bytes::new() }
    }
}

impl Measured for Splitting {
    fn restore(&mut self) {
        // The slab is given back, as when all queues have sent.
        self.taken = Bytes::new();
        self.spans.clear();
        self.reader = received(&mut self.slab, &self.read);
    }

    fn run(&mut self) {
        let found = split(self.reader.filled(&self.slab), FRAME_BYTES_MAX_DEFAULT, &mut self.spans);
        self.taken = self.reader.take(&mut self.slab, found.whole_bytes);
    }
}
