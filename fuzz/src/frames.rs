//! A stream after the handshake: however it is cut into reads, the outcome is the same, and nothing is reported for
//! bytes that have not arrived.

use corecast::ErrorCode;
use corecast::internals::zmtp::{Machine, Offers, Output, Sides, Step, command, frame, greeting};

/// Short, so that inputs reach it.
const MESSAGE_BYTES_MAX: usize = 600;

/// Runs one input. The first byte gives the length of reads and the kind of the peer; the others are what it sends.
pub fn frames(data: &[u8]) {
    let Some((cut, stream)) = data.split_first() else { return };
    let kind = ["PUB", "XPUB", "SUB", "XSUB"][usize::from(*cut) & 3];
    let opened = [&greeting::ours()[..], &ready(kind)].concat();
    let whole = told(&[&opened, stream].concat(), usize::MAX);
    let pieces = told(&[&opened, stream].concat(), 1 + usize::from(cut >> 2));
    assert_eq!(whole, pieces);
}

/// The READY of a peer of this type.
pub(super) fn ready(kind: &str) -> Vec<u8> {
    let length = u32::try_from(kind.len()).expect("it is short");
    let body = [b"\x05READY\x0bSocket-Type", &length.to_be_bytes()[..], kind.as_bytes()].concat();
    let mut out = Vec::new();
    frame::put_frame(&mut out, frame::COMMAND, &body);
    out
}

/// The steps, with the bytes of messages, and the end of the connection.
fn told(stream: &[u8], piece: usize) -> (Vec<String>, Option<ErrorCode>) {
    let (mut machine, mut out) =
        (Machine::new(Sides::Both, Offers::default(), MESSAGE_BYTES_MAX), Output::default());
    let (mut held, mut said) = (Vec::new(), Vec::new());
    for arrived in stream.chunks(piece) {
        held.extend_from_slice(arrived);
        let read = machine.read(&held, &mut out);
        assert!(read.whole_bytes <= held.len(), "bytes are used that have not come");
        for step in &out.steps {
            match step {
                Step::Messages(range) => said.extend(out.spans[range.clone()].iter().map(|span| {
                    assert!(span.start() < span.end() && span.end() <= read.whole_bytes);
                    assert!(span.native_bytes() <= MESSAGE_BYTES_MAX);
                    let parts: Vec<_> = span.parts(&held).collect();
                    assert_eq!(parts.len(), span.part_count() as usize);
                    format!("{parts:?}")
                })),
                Step::Message(bytes, span) => {
                    said.push(format!("{:?}", span.parts(bytes).collect::<Vec<_>>()))
                }
                step => said.push(format!("{step:?}")),
            }
        }
        if let Some(error) = read.error {
            let farewell = machine.farewell(&error.text);
            let body = command_body(&farewell);
            assert!(
                matches!(command::parse(body), Ok(command::ZmtpCommand::Error(_))),
                "a farewell is an ERROR"
            );
            return (said, Some(error.code));
        }
        held.drain(..read.whole_bytes);
    }
    (said, None)
}

fn command_body(bytes: &[u8]) -> &[u8] {
    let head = frame::parse_head(bytes).ok().flatten().expect("it is whole");
    assert!(head.command && bytes.len() as u64 == head.head_bytes as u64 + head.body_bytes);
    &bytes[head.head_bytes..]
}
