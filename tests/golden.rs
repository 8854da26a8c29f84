//! Golden bytes: protocol version 1 as it stands on the wire. A change of the frame enum, of rkyv or of its
//! features that moves a byte fails here, and is then a new protocol version or a mistake.
//!
//! Format of a row: the length of the body, what stands before the root (bytes and text), the root. The root is
//! 41 bytes: the variant's number, then its fields in order, then zeros. A slice in the root is the distance from
//! there to its first byte (`i32`) and its length (`u32`). `00*3` are three zeros; `|` only divides.

use corecast::internals::wire::{
    CheckedFrame, FRAME_BODY_BYTES_MIN, Features, Frame, encode, encode_to_vec, greeting,
};

/// A number in which every byte is `byte`.
const fn all(byte: u64) -> u64 {
    byte * 0x0101_0101_0101_0101
}

const ROWS: &[(Frame<'static>, &str)] = &[
    (
        Frame::Message {
            topic: b"a.b",
            payload: b"hi",
            publisher: all(0x11),
            sequence: all(0x22),
            sent_at_ns: all(0x33),
        },
        "2e000000 | 612e62 6869 | 00 faffffff 03000000 f5ffffff 02000000
         11111111 11111111 22222222 22222222 33333333 33333333",
    ),
    (
        Frame::Message { topic: b"a", payload: b"", publisher: 1, sequence: 2, sent_at_ns: 3 },
        "2a000000 | 61 | 00 feffffff 01000000 f7ffffff 00000000
         01000000 00000000 02000000 00000000 03000000 00000000",
    ),
    (
        Frame::Gap { topic: b"a.b", missed: all(0x44), reason: 1 },
        "2c000000 | 612e62 | 01 fcffffff 03000000 44444444 44444444 01 00*23",
    ),
    // What an engine between brokers did not bring.
    (
        Frame::Gap { topic: b"a.b", missed: all(0x44), reason: 4 },
        "2c000000 | 612e62 | 01 fcffffff 03000000 44444444 44444444 04 00*23",
    ),
    (
        Frame::Gap { topic: b"", missed: 7, reason: 2 },
        "29000000 | 01 ffffffff 00000000 07000000 00000000 02 00*23",
    ),
    // As it was before there were two fields more.
    (
        Frame::Hello { name: "me", overflow: 5, previous: 0, ticket: 0 },
        "2b000000 | 6d65 | 02 fdffffff 02000000 05 00*31",
    ),
    (
        Frame::Hello { name: "me", overflow: 5, previous: all(0x11), ticket: all(0x22) },
        "2b000000 | 6d65 | 02 fdffffff 02000000 05 11111111 11111111 22222222 22222222 00*15",
    ),
    (
        Frame::Welcome {
            session: all(0x11),
            epoch: all(0x22),
            frame_bytes_max: 0x3333_3333,
            heartbeat_ms: 0x4444_4444,
            overflow: 1,
            ticket: all(0x55),
        },
        "29000000 | 03 11111111 11111111 22222222 22222222 33333333 44444444 01 55555555 55555555 00*7",
    ),
    (
        Frame::Subscribe { filter: b"a.>", request: 0x1111_1111, subscriber: 0x2222_2222, kind: 1 },
        "2c000000 | 612e3e | 04 fcffffff 03000000 11111111 22222222 01 00*23",
    ),
    (
        Frame::Unsubscribe { filter: b"a.>", request: 0x1111_1111, subscriber: 0x2222_2222, kind: 2 },
        "2c000000 | 612e3e | 05 fcffffff 03000000 11111111 22222222 02 00*23",
    ),
    (Frame::Done { request: 0x1111_1111 }, "29000000 | 06 11111111 00*36"),
    (
        Frame::Error { text: "no", request: 0x1111_1111, code: 0x2222 },
        "2b000000 | 6e6f | 07 fdffffff 02000000 11111111 2222 00*26",
    ),
    (
        Frame::WatchSubscribers { topic: b"a.b", request: 0x1111_1111 },
        "2c000000 | 612e62 | 08 fcffffff 03000000 11111111 00*28",
    ),
    (Frame::UnwatchSubscribers { request: 0x1111_1111 }, "29000000 | 09 11111111 00*36"),
    (
        Frame::SubscriberCount { request: 0x1111_1111, count: 0x2222_2222 },
        "29000000 | 0a 11111111 22222222 00*32",
    ),
    (Frame::Flush { request: 0x1111_1111 }, "29000000 | 0b 11111111 00*36"),
    (Frame::Ping { token: all(0x11) }, "29000000 | 0c 11111111 11111111 00*32"),
    (Frame::Pong { token: all(0x11) }, "29000000 | 0d 11111111 11111111 00*32"),
    (Frame::Modes { rules: ">=direct" }, "31000000 | 3e3d646972656374 | 0e f7ffffff 08000000 00*32"),
    (Frame::Identity { publisher: all(0x11) }, "29000000 | 0f 11111111 11111111 00*32"),
    (
        Frame::Register {
            endpoints: "e",
            topics: "tt",
            publisher: all(0x11),
            epoch: all(0x22),
            request: 0x3333_3333,
        },
        "2c000000 | 65 7474 | 10 fcffffff 01000000 f5ffffff 02000000
         11111111 11111111 22222222 22222222 33333333 00*4",
    ),
    (
        Frame::Registered { request: 0x1111_1111, lease_ms: 0x2222_2222 },
        "29000000 | 11 11111111 22222222 00*32",
    ),
    (
        Frame::Renew { publisher: all(0x11), epoch: all(0x22), request: 0x3333_3333 },
        "29000000 | 12 11111111 11111111 22222222 22222222 33333333 00*20",
    ),
    (
        Frame::Unregister { publisher: all(0x11), epoch: all(0x22) },
        "29000000 | 13 11111111 11111111 22222222 22222222 00*24",
    ),
    (
        Frame::WatchPublishers { filter: b"a.>", request: 0x1111_1111, kind: 1 },
        "2c000000 | 612e3e | 14 fcffffff 03000000 11111111 01 00*27",
    ),
    (Frame::UnwatchPublishers { request: 0x1111_1111 }, "29000000 | 15 11111111 00*36"),
    (
        Frame::PublisherUp {
            endpoints: "e",
            topics: "tt",
            publisher: all(0x11),
            epoch: all(0x22),
            lease_left_ms: 0x3333_3333,
        },
        "2c000000 | 65 7474 | 16 fcffffff 01000000 f5ffffff 02000000
         11111111 11111111 22222222 22222222 33333333 00*4",
    ),
    (
        Frame::PublisherDown { publisher: all(0x11), epoch: all(0x22), reason: 1 },
        "29000000 | 17 11111111 11111111 22222222 22222222 01 00*23",
    ),
    (Frame::ListPublishers { request: 0x1111_1111 }, "29000000 | 18 11111111 00*36"),
    (
        Frame::Parts {
            topic: b"a",
            payload: b"\x01\0\0\0x\x02\0\0\0yz",
            publisher: all(0x11),
            sequence: all(0x22),
            sent_at_ns: all(0x33),
        },
        "35000000 | 61 01000000 78 02000000 797a | 19 f3ffffff 01000000 ecffffff 0b000000
         11111111 11111111 22222222 22222222 33333333 33333333",
    ),
    // A feature that both ends have to offer. Two messages: `hi`, and an empty one 258 ns after it.
    (
        Frame::Run {
            topic: b"a.b",
            messages: b"\x02\0\0\0\x02\0\0\0\0\0\0\0hi\0\0\0\0\x02\x01\0\0",
            publisher: all(0x11),
            sequence: all(0x22),
            sent_at_ns: all(0x33),
        },
        "42000000 | 612e62 02000000 02000000 00000000 6869 00000000 02010000 |
         1a e6ffffff 03000000 e1ffffff 16000000
         11111111 11111111 22222222 22222222 33333333 33333333",
    ),
    // Another such feature.
    (Frame::Login { token: b"cc" }, "2b000000 | 6363 | 1b fdffffff 02000000 00*32"),
    (
        Frame::PublishRefused { topic: b"a.b", text: "no", publisher: all(0x11), code: 0x2222 },
        "2e000000 | 612e62 6e6f | 1c faffffff 03000000 f5ffffff 02000000 11111111 11111111 2222 00*14",
    ),
    (
        Frame::Ticket { ticket: b"tt", publisher: all(0x11) },
        "2b000000 | 7474 | 1d fdffffff 02000000 11111111 11111111 00*24",
    ),
    (
        Frame::TicketRules { key: b"k", epoch: all(0x11), now_ms: all(0x22) },
        "2a000000 | 6b | 1e feffffff 01000000 11111111 11111111 22222222 22222222 00*16",
    ),
    (
        Frame::Start { value: all(0x11), request: 0x2222_2222, subscriptions: 0x3333_3333, kind: 4 },
        "29000000 | 1f 11111111 11111111 22222222 33333333 04 00*23",
    ),
    (
        Frame::Position { topic: b"a.b", publisher: all(0x11), sequence: all(0x22) },
        "2c000000 | 612e62 | 20 fcffffff 03000000 11111111 11111111 22222222 22222222 00*16",
    ),
    (
        Frame::Drain { endpoints: "tcp://b:1", joined: &[0x11; 8], ends: 1 },
        "3a000000 | 7463703a2f2f623a31 1111111111111111 | 21 eeffffff 09000000 efffffff 08000000 01 00*23",
    ),
];

/// The bytes that a row writes down.
fn bytes_of(row: &str) -> Vec<u8> {
    let mut bytes = Vec::new();
    for word in row.split_whitespace().filter(|word| *word != "|") {
        let (digits, times) = word.split_once('*').unwrap_or((word, "1"));
        let times: usize = times.parse().expect("a number of times");
        for _ in 0..times {
            let pairs = (0..digits.len()).step_by(2).map(|at| &digits[at..at + 2]);
            bytes.extend(pairs.map(|pair| u8::from_str_radix(pair, 16).expect("hex digits")));
        }
    }
    bytes
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect::<Vec<_>>().join(" ")
}

#[test]
fn every_frame_has_the_bytes_of_version_1() {
    for (frame, row) in ROWS {
        let golden = bytes_of(row);
        let ours = encode_to_vec(frame);
        assert_eq!(hex(&ours), hex(&golden), "{frame:?}");
        let read = CheckedFrame::check(&golden[4..]).expect("version 1 is an archive").frame();
        assert_eq!(read, *frame);
    }
}

/// A variant without a row would not be frozen. The match has no wildcard: a new variant fails to compile here.
#[test]
fn every_variant_has_a_row() {
    let number = |frame: &Frame<'_>| match frame {
        Frame::Message { .. } => 0,
        Frame::Gap { .. } => 1,
        Frame::Hello { .. } => 2,
        Frame::Welcome { .. } => 3,
        Frame::Subscribe { .. } => 4,
        Frame::Unsubscribe { .. } => 5,
        Frame::Done { .. } => 6,
        Frame::Error { .. } => 7,
        Frame::WatchSubscribers { .. } => 8,
        Frame::UnwatchSubscribers { .. } => 9,
        Frame::SubscriberCount { .. } => 10,
        Frame::Flush { .. } => 11,
        Frame::Ping { .. } => 12,
        Frame::Pong { .. } => 13,
        Frame::Modes { .. } => 14,
        Frame::Identity { .. } => 15,
        Frame::Register { .. } => 16,
        Frame::Registered { .. } => 17,
        Frame::Renew { .. } => 18,
        Frame::Unregister { .. } => 19,
        Frame::WatchPublishers { .. } => 20,
        Frame::UnwatchPublishers { .. } => 21,
        Frame::PublisherUp { .. } => 22,
        Frame::PublisherDown { .. } => 23,
        Frame::ListPublishers { .. } => 24,
        Frame::Parts { .. } => 25,
        Frame::Run { .. } => 26,
        Frame::Login { .. } => 27,
        Frame::PublishRefused { .. } => 28,
        Frame::Ticket { .. } => 29,
        Frame::TicketRules { .. } => 30,
        Frame::Start { .. } => 31,
        Frame::Position { .. } => 32,
        Frame::Drain { .. } => 33,
    };
    let mut there: Vec<u8> = ROWS.iter().map(|(frame, _)| number(frame)).collect();
    there.dedup();
    assert_eq!(there, (0..34).collect::<Vec<u8>>());
    for (frame, row) in ROWS {
        let golden = bytes_of(row);
        let root = golden.len() - FRAME_BODY_BYTES_MIN;
        assert_eq!(golden[root], number(frame), "the root begins with the variant's number");
    }
}

#[test]
fn the_least_body_is_a_root_alone() {
    assert_eq!(FRAME_BODY_BYTES_MIN, 41);
    let least = ROWS.iter().map(|(frame, _)| encode_to_vec(frame).len() - 4).min().unwrap();
    assert_eq!(least, FRAME_BODY_BYTES_MIN, "frames without bytes are the shortest");
    let done = encode_to_vec(&Frame::Done { request: 1 });
    for bytes in 0..FRAME_BODY_BYTES_MIN {
        assert!(CheckedFrame::check(&done[4..4 + bytes]).is_none());
    }
}

/// Where a frame stands in a buffer does not change its bytes, and what stood there before stays.
#[test]
fn a_frame_is_appended_at_any_place() {
    let mut out = vec![0xee; 5];
    for (frame, _) in ROWS {
        encode(frame, &mut out);
    }
    let apart: Vec<u8> = ROWS.iter().flat_map(|(_, row)| bytes_of(row)).collect();
    assert_eq!(out[..5], [0xee; 5]);
    assert_eq!(hex(&out[5..]), hex(&apart));
}

#[test]
fn the_greeting_has_the_bytes_of_version_1() {
    // "CORECAST", highest and lowest version, features.
    let plain = greeting::offering(Features::NONE);
    assert_eq!(hex(&plain), hex(&bytes_of("434f5245 43415354 | 0100 0100 | 00*4")));
    assert_eq!(hex(&greeting::ours()), hex(&bytes_of("434f5245 43415354 | 0100 0100 | 3f000000")));
    assert_eq!(greeting::GREETING_BYTES, 16);
}
