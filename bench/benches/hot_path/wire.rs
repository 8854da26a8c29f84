//! Frames out of messages, and frames out of what was read.

use std::hint::black_box;

use bytes::Bytes;
use corecast::internals::limits::{
    FRAME_BYTES_MAX_DEFAULT, LENGTH_BYTES, READ_BYTES_PER_TURN, RUN_BYTES_MAX,
};
use corecast::internals::wire::{CheckedFrame, Reader, RunWriter, Slab, Span, split};

use crate::case::Measured;
use crate::rig::{message, push_message, received};

/// Messages encoded in one iteration.
pub(crate) const ENCODED: u64 = 64;
/// Whole frames in a read of messages of 64 bytes; `split` asserts it.
pub(crate) const FRAMES_OF_64_BYTES: u64 = 532;
/// The same for 1,024 bytes.
pub(crate) const FRAMES_OF_1_KIB: u64 = 60;

/// Messages of 64 bytes in a read of whole runs; `split` asserts it.
pub(crate) const MESSAGES_IN_RUNS: u64 = 896;

/// As many whole runs of messages of 64 bytes as a turn reads.
pub(crate) fn read_of_runs() -> Vec<u8> {
    let (mut writer, mut bytes) = (RunWriter::for_bodies_of(FRAME_BYTES_MAX_DEFAULT), Vec::new());
    for sequence in 1.. {
        writer.push(&message("prices.eur.usd", &[7; 64], sequence), &mut bytes);
        if bytes.len() + RUN_BYTES_MAX + LENGTH_BYTES > READ_BYTES_PER_TURN {
            break;
        }
    }
    bytes
}

/// A turn's read is full, and ends within a frame.
pub(crate) fn full_read(payload_bytes: usize) -> Vec<u8> {
    full_read_of(|sequence, out| push_message("prices.eur.usd", &vec![7; payload_bytes], sequence, out))
}

/// The same, of these messages: `push` appends the one of that number.
pub(crate) fn full_read_of(mut push: impl FnMut(u64, &mut Vec<u8>)) -> Vec<u8> {
    let (mut bytes, mut sequence) = (Vec::new(), 0);
    while bytes.len() < READ_BYTES_PER_TURN {
        sequence += 1;
        push(sequence, &mut bytes);
    }
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

pub(crate) fn encode_64_byte_runs() -> Box<dyn Measured> {
    let writer = RunWriter::for_bodies_of(FRAME_BYTES_MAX_DEFAULT);
    Box::new(EncodeRuns { payload: [7; 64], writer, out: Vec::new() })
}

pub(crate) fn split_64_byte_runs() -> Box<dyn Measured> {
    let splitting = Splitting::of(read_of_runs());
    let messages = splitting.spans.iter().map(|span| {
        let body = &splitting.read[span.start() + LENGTH_BYTES..span.end()];
        u64::from(CheckedFrame::check(body).expect("it was split").frame().messages())
    });
    assert_eq!(messages.sum::<u64>(), MESSAGES_IN_RUNS, "the list of cases says so");
    Box::new(splitting)
}

struct EncodeRuns {
    payload: [u8; 64],
    writer: RunWriter,
    out: Vec<u8>,
}

impl Measured for EncodeRuns {
    fn restore(&mut self) {
        self.out.clear();
    }

    fn run(&mut self) {
        for sequence in 0..ENCODED {
            let message = message(black_box("prices.eur.usd"), &self.payload, sequence);
            self.writer.push(&message, &mut self.out);
        }
        self.writer.write(&mut self.out);
    }
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
        let splitting = Splitting::of(full_read(payload_bytes));
        assert_eq!(splitting.spans.len() as u64, frames, "the list of cases says so");
        splitting
    }

    fn of(read: Vec<u8>) -> Self {
        let mut spans = Vec::new();
        assert_eq!(split(&read, FRAME_BYTES_MAX_DEFAULT, &mut spans).error, None);
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
