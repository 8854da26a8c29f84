//! The ZMTP machine without sockets: whole input and input split at every byte have the same result, and a million
//! mutated inputs result in steps or an error, never a panic, and never use more than has arrived.

use corecast::ErrorCode;
use corecast::internals::limits::{TOPIC_BYTES_MAX, ZMTP_SKIPPED_BYTES_MAX};
use corecast::internals::zmtp::{
    Machine, Offers, Output, Sides, Step, command, frame, greeting, put_message,
};
use proptest::prelude::*;

const LIMIT: usize = 1 << 16;

fn ready(kind: &str) -> Vec<u8> {
    let mut body = b"\x05READY\x0bSocket-Type".to_vec();
    body.extend_from_slice(&u32::try_from(kind.len()).expect("short").to_be_bytes());
    body.extend_from_slice(kind.as_bytes());
    let mut out = Vec::new();
    frame::put_frame(&mut out, frame::COMMAND, &body);
    out
}

/// A publisher: messages of all shapes, heartbeats between them and within one.
fn publisher() -> Vec<u8> {
    let mut out = [greeting::ours().to_vec(), ready("PUB")].concat();
    for bytes in [0, 1, 255, 256, 5000] {
        frame::put_frame(&mut out, frame::MORE, b"topic");
        frame::put_frame(&mut out, 0, &vec![7; bytes]);
        out.extend(command::ping());
    }
    for (first, others) in [(&b"long"[..], vec![LIMIT]), (&[9; 2000][..], vec![60_000, 60_000, 0])] {
        frame::put_frame(&mut out, frame::MORE, first);
        for part in others {
            frame::put_frame(&mut out, frame::MORE, &vec![8; part]);
            out.extend(command::ping());
        }
        frame::put_frame(&mut out, 0, b"");
    }
    frame::put_frame(&mut out, 0, &[1; LIMIT]);
    frame::put_frame(&mut out, 0, b"");
    frame::put_frame(&mut out, frame::MORE, b"in");
    out.extend(command::ping());
    frame::put_frame(&mut out, frame::MORE, b"ter");
    frame::put_frame(&mut out, 0, b"rupted");
    out
}

/// The same of ZMTP 2.0, without commands.
fn publisher_2_0() -> Vec<u8> {
    let mut out = b"\xff\0\0\0\0\0\0\0\x01\x7f\x01\x01\0\x05me 20".to_vec();
    for bytes in [0, 255, 256, LIMIT, 5000] {
        frame::put_frame(&mut out, frame::MORE, b"topic");
        frame::put_frame(&mut out, 0, &vec![7; bytes]);
    }
    out
}

fn subscriber_2_0() -> Vec<u8> {
    let mut out = b"\xff\0\0\0\0\0\0\0\x01\x7f\x01\x02\0\0".to_vec();
    for wanted in [true, true, false, true] {
        out.extend(command::subscription(wanted, b"a", false));
    }
    out
}

fn subscriber() -> Vec<u8> {
    let mut out = [greeting::ours().to_vec(), ready("XSUB")].concat();
    for commands in [true, false] {
        out.extend(command::subscription(true, b"a", commands));
        out.extend(command::subscription(false, b"", commands));
    }
    out
}

/// The result of a stream that is fed in pieces: the steps, messages with their bytes; and its end.
fn told(stream: &[u8], piece: usize) -> Told {
    told_in(stream.chunks(piece))
}

type Told = (Vec<String>, Option<ErrorCode>);

fn told_in<'a>(pieces: impl Iterator<Item = &'a [u8]>) -> Told {
    let (mut machine, mut out) = (Machine::new(Sides::Both, Offers::default(), LIMIT), Output::default());
    let (mut held, mut said) = (Vec::new(), Vec::new());
    for arrived in pieces {
        held.extend_from_slice(arrived);
        let read = machine.read(&held, &mut out);
        assert!(read.whole_bytes <= held.len());
        for step in &out.steps {
            match step {
                Step::Messages(range) => {
                    for span in &out.spans[range.clone()] {
                        assert!(span.start() < span.end() && span.end() <= read.whole_bytes);
                        assert!(span.native_bytes() <= LIMIT);
                        said.push(format!("{:?}", span.parts(&held).collect::<Vec<_>>()));
                    }
                }
                Step::Message(bytes, span) => {
                    said.push(format!("{:?}", span.parts(bytes).collect::<Vec<_>>()))
                }
                step => said.push(format!("{step:?}")),
            }
        }
        if let Some(error) = read.error {
            return (said, Some(error.code));
        }
        held.drain(..read.whole_bytes);
    }
    (said, None)
}

/// One thing that a peer may send, right or wrong.
fn sends() -> impl Strategy<Value = Vec<u8>> {
    let part = prop_oneof![
        prop::collection::vec(any::<u8>(), 0..20),
        (200_usize..300).prop_map(|bytes| vec![7; bytes]),
        (0_usize..2000).prop_map(|bytes| vec![8; bytes]),
    ];
    let message = prop::collection::vec(part, 1..6).prop_map(|parts| {
        let mut out = Vec::new();
        for (at, part) in parts.iter().enumerate() {
            frame::put_frame(&mut out, if at + 1 < parts.len() { frame::MORE } else { 0 }, part);
        }
        out
    });
    let context = prop::collection::vec(any::<u8>(), 0..18);
    let prefix = prop::collection::vec(any::<u8>(), 0..300);
    prop_oneof![
        4 => message,
        1 => context.prop_map(|context| command::pong(&context)),
        1 => Just(command::ping()),
        1 => (prefix, any::<bool>(), any::<bool>())
            .prop_map(|(prefix, wanted, commands)| command::subscription(wanted, &prefix, commands)),
        1 => prop::collection::vec(any::<u8>(), 0..12),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2000, ..ProptestConfig::default() })]

    /// However a stream is cut into reads, it comes to the same steps and the same end.
    #[test]
    fn any_split_of_any_stream_is_the_same(
        kind in prop::sample::select(vec!["PUB", "XPUB", "SUB", "XSUB", "REQ"]),
        sent in prop::collection::vec(sends(), 0..12),
        cuts in prop::collection::vec(any::<prop::sample::Index>(), 0..20),
    ) {
        let stream = [greeting::ours().to_vec(), ready(kind), sent.concat()].concat();
        let mut cuts: Vec<usize> = cuts.iter().map(|cut| cut.index(stream.len())).collect();
        cuts.extend([0, stream.len()]);
        cuts.sort_unstable();
        let pieces = cuts.windows(2).map(|cut| &stream[cut[0]..cut[1]]);
        prop_assert_eq!(told_in(pieces), told_in(std::iter::once(&stream[..])));
    }

    /// Messages that are written can be read: any parts, any number of them.
    #[test]
    fn messages_come_as_they_were_sent(
        messages in prop::collection::vec(prop::collection::vec(prop::collection::vec(any::<u8>(), 0..400), 1..8), 1..8),
    ) {
        let mut stream = [greeting::ours().to_vec(), ready("PUB")].concat();
        for parts in &messages {
            let mut out = bytes::BytesMut::new();
            put_message(&mut out, &parts[0], parts[1..].iter().map(Vec::as_slice));
            stream.extend_from_slice(&out);
        }
        let (said, end) = told(&stream, stream.len());
        prop_assert_eq!(end, None);
        let expected: Vec<String> = messages.iter().map(|parts| format!("{parts:?}")).collect();
        prop_assert_eq!(&said[said.len() - messages.len()..], &expected[..]);
    }
}

#[test]
fn split_anywhere_is_the_same() {
    for stream in [publisher(), subscriber(), publisher_2_0(), subscriber_2_0()] {
        let whole = told(&stream, stream.len());
        assert_eq!(whole.1, None, "{whole:?}");
        assert!(whole.0.len() > 5);
        for piece in [1, 2, 3, 5, 7, 11, 13, 63, 64, 65, 200, 1000, 5000, 60_000] {
            assert_eq!(told(&stream, piece), whole, "in pieces of {piece}");
        }
    }
}

#[test]
fn sizes_at_each_boundary() {
    let open = [greeting::ours().to_vec(), ready("PUB")].concat();
    let announced = |size: u64| [&open[..], &[frame::LONG], &size.to_be_bytes()].concat();
    let most = (LIMIT - 41) as u64;
    for size in [0, 1, 255, 256, most] {
        assert_eq!(told(&announced(size), 1000).1, None, "{size}");
    }
    for size in [most + 1, 1 << 20, ZMTP_SKIPPED_BYTES_MAX as u64 - 9] {
        let body = vec![b'x'; 3000];
        let (said, error) = told(&[announced(size), body].concat(), 1000);
        assert_eq!(error, None, "{size}");
        let began = bytes::Bytes::from(vec![b'x'; TOPIC_BYTES_MAX]);
        let too_long = Step::TooLong(began, usize::try_from(size).unwrap() + 9);
        assert_eq!(said.last(), Some(&format!("{too_long:?}")), "{size}");
    }
    for size in [ZMTP_SKIPPED_BYTES_MAX as u64 - 8, 1 << 31, 1 << 63, u64::MAX] {
        assert_eq!(told(&announced(size), 1000).1, Some(ErrorCode::TooLarge), "{size}");
    }
    let whole = told(&publisher(), usize::MAX).0;
    assert_eq!(whole.iter().filter(|step| step.starts_with("TooLong")).count(), 3);
    assert!(whole.last().is_some_and(|last| last.contains("105, 110")), "what follows is taken");
    for flags in 0..=255_u8 {
        let wrong = flags > 7 || flags & 5 == 5;
        let found = told(&[&open[..], &[flags]].concat(), 1000).1;
        assert_eq!(found, wrong.then_some(ErrorCode::Malformed), "{flags}");
    }
}

#[test]
fn who_may_not_come_is_refused() {
    let begin = greeting::ours().to_vec();
    for (stream, code) in [
        ([begin.clone(), ready("REQ")].concat(), ErrorCode::SocketType),
        ([begin.clone(), b"\0\x01x".to_vec()].concat(), ErrorCode::Unexpected),
        ([begin.clone(), command::ping()].concat(), ErrorCode::Unexpected),
        ([begin.clone(), command::error("no")].concat(), ErrorCode::Unexpected),
        ([begin.clone(), ready("PUB"), ready("PUB")].concat(), ErrorCode::Unexpected),
        (
            [begin.clone(), ready("PUB"), command::subscription(true, b"", true)].concat(),
            ErrorCode::Unexpected,
        ),
        (b"GET / HTTP/1.1\r\n\r\n".to_vec(), ErrorCode::NotZmtp),
        (b"\xff\0\0\0\0\0\0\0\x01\x7f\x01\x03\0\0".to_vec(), ErrorCode::SocketType),
        ([subscriber_2_0(), command::ping()].concat(), ErrorCode::Malformed),
    ] {
        assert_eq!(told(&stream, 7).1, Some(code), "{}", stream.escape_ascii());
    }
}

#[test]
fn a_million_mutated_streams_do_not_panic() {
    let mut rng = fastrand::Rng::with_seed(5);
    let originals = [publisher(), subscriber(), publisher_2_0(), subscriber_2_0()];
    let (mut out, mut refused) = (Output::default(), 0);
    for _ in 0..1_000_000 {
        let original = &originals[rng.usize(..4)];
        // Mostly near the handshake and the first frames.
        let length = rng.usize(1..original.len().min(700));
        let mut stream = original[..length].to_vec();
        for _ in 0..rng.usize(1..4) {
            let at = rng.usize(..length);
            stream[at] = if rng.bool() { rng.u8(..) } else { stream[at] ^ (1 << rng.u8(..8)) };
        }
        let mut machine = Machine::new(Sides::Both, Offers::default(), LIMIT);
        let read = machine.read(&stream, &mut out);
        assert!(read.whole_bytes <= stream.len());
        assert!(out.spans.iter().all(|span| span.end() <= read.whole_bytes));
        refused += u32::from(read.error.is_some());
    }
    assert!(refused > 100_000, "{refused}");
}
