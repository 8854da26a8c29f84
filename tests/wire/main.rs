//! Tests of the wire: every frame comes back, however the stream is cut; memory follows what has arrived; a million
//! mutated frames neither panic nor reach outside their bytes.

mod frames;
mod stream;

use std::ops::Range;

use corecast::ErrorCode;
use corecast::internals::limits::{
    COPY_BELOW_BYTES, FRAME_BYTES_MAX_LIMIT, PARTIAL_BYTES_IN_SLAB, READ_BYTES_PER_TURN, SLAB_BYTES,
};
use corecast::internals::wire::{
    CheckedFrame, FRAME_BODY_BYTES_MIN, Frame, Reader, Slab, encode, encode_to_vec, split,
};
use frames::Parts;
use proptest::prelude::*;
use stream::{End, Stream};

/// The frame of one whole, encoded frame.
fn read(encoded: &[u8]) -> Frame<'_> {
    CheckedFrame::check(&encoded[4..]).expect("a frame's body checks").frame()
}

fn message(payload: &[u8]) -> Vec<u8> {
    encode_to_vec(&Frame::Message { topic: b"t", payload, publisher: 1, sequence: 2, sent_at_ns: 3 })
}

proptest! {
    #[test]
    fn every_frame_comes_back(parts in Parts::any(3_000)) {
        let frame = parts.frame();
        let encoded = encode_to_vec(&frame);
        let mut spans = Vec::new();
        let found = split(&encoded, FRAME_BYTES_MAX_LIMIT, &mut spans);
        prop_assert_eq!((found.whole_bytes, found.error), (encoded.len(), None));
        prop_assert_eq!(spans.iter().map(|s| (s.start(), s.end())).collect::<Vec<_>>(), [(0, encoded.len())]);
        prop_assert_eq!(read(&encoded), frame);
        prop_assert_eq!(encode_to_vec(&read(&encoded)), encoded);
    }

    #[test]
    fn a_stream_is_the_same_in_every_two_parts(parts in prop::collection::vec(Parts::any(60), 1..5)) {
        let stream = Stream::of(&parts);
        for cut in 0..=stream.bytes.len() {
            for end in End::BOTH {
                prop_assert_eq!(stream.received_in(&[cut], end), stream.frames(), "cut at {}", cut);
            }
        }
    }

    #[test]
    fn a_stream_is_the_same_byte_by_byte(parts in prop::collection::vec(Parts::any(200), 1..6)) {
        let stream = Stream::of(&parts);
        let everywhere: Vec<usize> = (1..stream.bytes.len()).collect();
        for end in End::BOTH {
            prop_assert_eq!(stream.received_in(&everywhere, end), stream.frames());
        }
    }
}

/// Sizes about every threshold of the reader: copied, sliced, kept in the slab, in a buffer of its own, longer
/// than a read, longer than the slab.
fn long_stream(rng: &mut fastrand::Rng) -> Stream {
    let about = [
        0,
        COPY_BELOW_BYTES,
        PARTIAL_BYTES_IN_SLAB,
        PARTIAL_BYTES_IN_SLAB + READ_BYTES_PER_TURN,
        READ_BYTES_PER_TURN,
        2 * READ_BYTES_PER_TURN,
        SLAB_BYTES + READ_BYTES_PER_TURN,
    ];
    let frames = rng.usize(3..9);
    let all: Vec<Parts> = (0..frames)
        .map(|_| {
            let mut parts = Parts::random(rng, 300);
            let bytes = (about[rng.usize(..about.len())] + rng.usize(0..120)).saturating_sub(60);
            parts.payload = std::iter::repeat_with(|| rng.u8(..)).take(bytes).collect();
            parts.variant = if rng.bool() { 0 } else { parts.variant };
            parts
        })
        .collect();
    Stream::of(&all)
}

#[test]
fn long_frames_are_the_same_however_they_are_cut() {
    let mut rng = fastrand::Rng::with_seed(0x5eed);
    for _ in 0..60 {
        let stream = long_stream(&mut rng);
        for cut in stream.places_to_cut(&mut rng) {
            let end = End::BOTH[rng.usize(..2)];
            assert_eq!(stream.received_in(&[cut], end), stream.frames(), "cut at {cut}");
        }
        for bytes_max in [7_000, 30_000, 200_000] {
            let cuts = stream.random_cuts(&mut rng, bytes_max);
            for end in End::BOTH {
                assert_eq!(stream.received_in(&cuts, end), stream.frames(), "cuts at {cuts:?}");
            }
        }
    }
}

#[test]
fn a_frame_over_the_slabs_share_may_come_byte_by_byte() {
    let mut rng = fastrand::Rng::with_seed(7);
    let mut parts = Parts::random(&mut rng, 0);
    (parts.variant, parts.payload) = (0, vec![0xa5; PARTIAL_BYTES_IN_SLAB + 2_000]);
    let stream = Stream::of(&[parts.clone(), parts]);
    let everywhere: Vec<usize> = (1..stream.bytes.len()).collect();
    for end in End::BOTH {
        assert_eq!(stream.received_in(&everywhere, end), stream.frames());
    }
}

/// Receives `bytes` in one turn and ends it without a whole frame.
fn receive(reader: &mut Reader, slab: &mut Slab, bytes: &[u8]) {
    let space = reader.space(slab);
    assert!(space.len() <= READ_BYTES_PER_TURN, "a turn reads no more");
    space[..bytes.len()].copy_from_slice(bytes);
    reader.received(bytes.len());
    reader.discard(slab, 0);
}

#[test]
fn memory_grows_with_what_arrived_not_with_what_was_announced() {
    let announced = u32::try_from(FRAME_BYTES_MAX_LIMIT).unwrap().to_le_bytes();
    let (mut reader, mut slab) = (Reader::default(), Slab::default());
    receive(&mut reader, &mut slab, &announced);
    let mut arrived = announced.len();
    let mut most = 0;
    for turn in 0..400_usize {
        let bytes = vec![7; (turn * 37) % 8_000];
        receive(&mut reader, &mut slab, &bytes);
        arrived += bytes.len();
        assert_eq!(reader.partial_bytes(), arrived);
        assert_eq!(reader.partial_frame().at_least_bytes, 4 + FRAME_BYTES_MAX_LIMIT);
        most = most.max(reader.memory_bytes());
        assert!(
            reader.memory_bytes() <= 2 * (arrived + READ_BYTES_PER_TURN),
            "{} for {arrived}",
            reader.memory_bytes()
        );
    }
    assert!(most > arrived, "the accessor tells the whole buffer");
}

#[test]
fn who_has_nothing_begun_holds_no_memory() {
    let mut slab = Slab::default();
    for payload_bytes in [0, 10, PARTIAL_BYTES_IN_SLAB + 1, SLAB_BYTES] {
        let encoded = message(&vec![1; payload_bytes]);
        let mut reader = Reader::default();
        for part in encoded[..encoded.len() - 1].chunks(READ_BYTES_PER_TURN) {
            receive(&mut reader, &mut slab, part);
        }
        assert!(reader.memory_bytes() > 0);
        reader.space(&mut slab)[0] = encoded[encoded.len() - 1];
        reader.received(1);
        assert_eq!(reader.filled(&slab), encoded);
        let taken = reader.take(&mut slab, encoded.len());
        assert_eq!((reader.memory_bytes(), reader.partial_bytes()), (0, 0));
        assert_eq!(taken, encoded);
    }
}

/// A long begun frame that is over leaves a short one that has begun: it does not keep the long one's buffer.
#[test]
fn a_short_begun_frame_holds_little_memory() {
    let mut slab = Slab::default();
    for first_bytes in [60, 10_000, PARTIAL_BYTES_IN_SLAB + 1, SLAB_BYTES] {
        let encoded = message(&vec![1; first_bytes]);
        let mut reader = Reader::default();
        for part in encoded[..encoded.len() - 1].chunks(READ_BYTES_PER_TURN) {
            receive(&mut reader, &mut slab, part);
        }
        reader.space(&mut slab)[..4].copy_from_slice(&[encoded[encoded.len() - 1], 9, 9, 9]);
        reader.received(4);
        drop(reader.take(&mut slab, encoded.len()));
        assert_eq!(reader.partial_bytes(), 3);
        assert!(reader.memory_bytes() <= 1_024, "{} for 3 bytes", reader.memory_bytes());
    }
}

#[test]
fn a_length_outside_the_limits_is_told_at_once_and_the_frames_before_it_are_good() {
    let good = message(b"good");
    for (announced, code) in [
        (0, ErrorCode::Malformed),
        (FRAME_BODY_BYTES_MIN as u32 - 1, ErrorCode::Malformed),
        (1_001, ErrorCode::TooLarge),
        (u32::MAX, ErrorCode::TooLarge),
        (u32::from_le_bytes(*b"GET "), ErrorCode::TooLarge),
    ] {
        let mut bytes = good.clone();
        bytes.extend(announced.to_le_bytes());
        let mut spans = Vec::new();
        let found = split(&bytes, 1_000, &mut spans);
        assert_eq!(found.error.map(|e| e.code), Some(code), "{announced}");
        assert_eq!((found.whole_bytes, spans.len()), (good.len(), 1));
    }
    // The longest and the shortest that are allowed.
    let longest = message(&vec![0; 1_000 - FRAME_BODY_BYTES_MIN - 1]);
    for encoded in [longest, encode_to_vec(&Frame::Done { request: 0 })] {
        let mut spans = Vec::new();
        let found = split(&encoded, 1_000, &mut spans);
        assert_eq!((found.error, found.whole_bytes, spans.len()), (None, encoded.len(), 1));
    }
}

#[test]
fn a_body_that_does_not_check_ends_the_stream_there() {
    let mut bytes = message(b"good");
    let good = bytes.len();
    encode(&Frame::Hello { name: "né", overflow: 0, previous: 0, ticket: 0 }, &mut bytes);
    bytes[good + 4 + 1] = 0xff;
    let mut spans = Vec::new();
    let found = split(&bytes, 1_000, &mut spans);
    assert_eq!(found.error.map(|e| e.code), Some(ErrorCode::Malformed));
    assert_eq!((found.whole_bytes, spans.len()), (good, 1));
}

/// One to three changes, of every kind that a broken peer or a hostile one comes up with.
fn mutate(rng: &mut fastrand::Rng, bytes: &mut Vec<u8>, other: &[u8]) {
    for _ in 0..rng.usize(1..4) {
        let at = if bytes.is_empty() { 0 } else { rng.usize(..bytes.len()) };
        match rng.u8(0..8) {
            0 | 1 => bytes.iter_mut().skip(at).take(1).for_each(|b| *b ^= 1 << rng.u8(0..8)),
            2 => bytes.iter_mut().skip(at).take(1).for_each(|b| *b = rng.u8(..)),
            3 => bytes.truncate(at),
            4 if bytes.len() >= 4 => {
                // The length as it is, but for a little, so that the root moves.
                let length = u32::from_le_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]);
                let moved = length.wrapping_add(rng.u32(0..9)).wrapping_sub(4);
                bytes[..4].copy_from_slice(&moved.to_le_bytes());
            }
            5 => {
                // The root's first fields: distances and lengths of slices.
                let field = bytes.len().saturating_sub(FRAME_BODY_BYTES_MIN) + 1 + 4 * rng.usize(0..4);
                let value = [rng.i32(-200..200), rng.i32(..), i32::MIN, i32::MAX, 0][rng.usize(..5)];
                if let Some(field) = bytes.get_mut(field..field + 4) {
                    field.copy_from_slice(&value.to_le_bytes());
                }
            }
            6 => {
                let from = rng.usize(..other.len());
                bytes.truncate(at);
                bytes.extend_from_slice(&other[from..]);
            }
            _ => bytes.extend_from_slice(other),
        }
    }
}

/// The slices of a frame, which must lie within its body.
fn slices<'a>(frame: &Frame<'a>) -> [&'a [u8]; 2] {
    match *frame {
        Frame::Message { topic, payload, .. } | Frame::Parts { topic, payload, .. } => [topic, payload],
        Frame::Run { topic, messages, .. } => [topic, messages],
        Frame::Gap { topic, .. } | Frame::WatchSubscribers { topic, .. } => [topic, &[]],
        Frame::Subscribe { filter, .. } | Frame::Unsubscribe { filter, .. } => [filter, &[]],
        Frame::Hello { name: text, .. } | Frame::Error { text, .. } => [text.as_bytes(), &[]],
        _ => [&[], &[]],
    }
}

fn is_within(inner: &[u8], outer: Range<*const u8>) -> bool {
    let inner = inner.as_ptr_range();
    inner.is_empty() || (outer.start <= inner.start && inner.end <= outer.end)
}

#[test]
fn a_million_mutated_frames_neither_panic_nor_reach_outside() {
    let mut rng = fastrand::Rng::with_seed(0xc0_5eca57);
    let originals: Vec<Vec<u8>> =
        (0..256).map(|_| encode_to_vec(&Parts::random(&mut rng, 60).frame())).collect();
    let (mut bytes, mut again) = (Vec::new(), Vec::new());
    let mut spans = Vec::new();
    let (mut accepted, mut refused, mut begun) = (0, 0, 0);
    for _ in 0..1_000_000 {
        bytes.clear();
        bytes.extend_from_slice(&originals[rng.usize(..originals.len())]);
        let other = rng.usize(..originals.len());
        mutate(&mut rng, &mut bytes, &originals[other]);
        spans.clear();
        let found = split(&bytes, 4_096, &mut spans);
        assert!(found.whole_bytes <= bytes.len());
        assert_eq!(found.whole_bytes, spans.last().map_or(0, |span| span.end()));
        for span in &spans {
            let frame = read(&bytes[span.start()..span.end()]);
            let body = &bytes[span.start() + 4..span.end()];
            assert!(slices(&frame).iter().all(|slice| is_within(slice, body.as_ptr_range())), "{frame:?}");
            let singles = frame.singles().map(|single| single.messages()).sum::<u32>();
            assert_eq!(singles, frame.messages(), "as many as it says: {frame:?}");
            again.clear();
            encode(&frame, &mut again);
            assert_eq!(read(&again), frame);
        }
        accepted += spans.len();
        match found.error {
            Some(_) => refused += 1,
            None if found.whole_bytes < bytes.len() => begun += 1,
            None => {}
        }
    }
    // Each way out must have been taken often, or the mutations test nothing.
    assert!(accepted > 200_000 && refused > 100_000 && begun > 50_000, "{accepted} {refused} {begun}");
}
