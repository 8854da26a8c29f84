//! CURVE without sockets: the machine of the door against a client on the same ciphers, which are libsodium's by the figures in
//! their unit tests; `zmtp_security` has real peers. A handshake ends as it should, nothing that is changed or sent again
//! opens, and however the stream is cut, it comes to the same.

mod watchdog;
mod zmtp_peer;

use std::convert::Infallible;
use std::io::IoSlice;
use std::sync::Arc;

use corecast::ErrorCode;
use corecast::internals::limits::SEALED_BYTES_PER_VISIT;
use corecast::internals::zmtp::curve::{KeyPair, PublicKey, SecretKey};
use corecast::internals::zmtp::greeting::{self, Mechanism};
use corecast::internals::zmtp::{Machine, Offers, Output, PeerClaim, Role, Sides, Step, command, frame};
use zmtp_peer::curve::{CurveClient, named, opened_frames};
use zmtp_peer::message;

const LIMIT: usize = 1 << 16;

/// The end of the broker, and what it has read and not used up.
struct End {
    machine: Machine,
    held: Vec<u8>,
}

/// The result of a read: the steps, messages with their parts; and the error.
#[derive(PartialEq, Eq, Default, Debug)]
struct Heard {
    steps: Vec<String>,
    sent: Vec<Vec<u8>>,
    claims: Vec<PeerClaim>,
    error: Option<ErrorCode>,
}

impl End {
    fn of(pair: &Arc<KeyPair>) -> End {
        let offers = Offers::default().null(false).curve(Some(Arc::clone(pair)));
        End { machine: Machine::new(Sides::Both, offers, LIMIT), held: Vec::new() }
    }

    fn reads(&mut self, bytes: &[u8]) -> Heard {
        let mut heard = Heard::default();
        let mut out = Output::default();
        self.held.extend_from_slice(bytes);
        let read = self.machine.read(&self.held, &mut out);
        assert!(read.whole_bytes <= self.held.len());
        let frames = read.opened.as_deref().unwrap_or(&self.held[..read.whole_bytes]);
        for step in &out.steps {
            match step {
                Step::Seal => self.machine.seal(),
                Step::Send(bytes) => heard.sent.push(bytes.clone()),
                Step::Claim(claim) => heard.claims.push(claim.clone()),
                Step::Messages(range) => {
                    for span in &out.spans[range.clone()] {
                        heard.steps.push(format!("{:?}", span.parts(frames).collect::<Vec<_>>()));
                    }
                }
                Step::Message(bytes, span) => {
                    heard.steps.push(format!("{:?}", span.parts(bytes).collect::<Vec<_>>()));
                }
                step => heard.steps.push(format!("{step:?}")),
            }
        }
        heard.error = read.error.map(|error| error.code);
        self.held.drain(..read.whole_bytes);
        let partial = self.machine.partial(&self.held);
        assert!(partial.held_bytes >= self.held.len());
        heard
    }
}

fn greeted(end: &mut End) {
    let ours = greeting::ours_for(Mechanism::Curve);
    let heard = end.reads(&ours);
    assert_eq!((&heard.steps[..], heard.error), (&["Greeted".to_owned()][..], None));
    assert_eq!([&Machine::begin()[..], &heard.sent[0]].concat(), ours);
}

/// A connection that is open, and its client.
fn open(pair: &Arc<KeyPair>, kind: &str) -> (End, CurveClient) {
    let (mut end, mut client) = (End::of(pair), CurveClient::unknown(pair.public()));
    greeted(&mut end);
    let cookie = welcome(&mut end, &mut client);
    let heard = end.reads(&client.initiate(&cookie, kind));
    assert_eq!(heard.claims, [PeerClaim::CurveKey(client.public().0)]);
    let role = if kind.ends_with("SUB") { Role::Subscriber } else { Role::Publisher };
    assert_eq!((&heard.steps[..], heard.error), (&[format!("{:?}", Step::Open(role))][..], None));
    assert!(end.machine.is_sealed());
    let (name, data) = named(&heard.sent[0]);
    assert_eq!(name, b"READY");
    let metadata = client.ready(&data).expect("it opens");
    let as_type = if role == Role::Subscriber { "XPUB" } else { "XSUB" };
    assert_eq!(metadata, command::metadata(as_type));
    // READY leaves as it is, and everything behind it in boxes.
    let sent = sends(&mut end.machine, &heard.sent[0], usize::MAX);
    assert_eq!(sent, heard.sent[0]);
    (end, client)
}

fn welcome(end: &mut End, client: &mut CurveClient) -> Vec<u8> {
    let heard = end.reads(&client.hello());
    assert_eq!((heard.steps.len(), heard.error), (0, None));
    let (name, data) = named(&heard.sent[0]);
    assert_eq!((&name[..], heard.sent[0].len()), (&b"WELCOME"[..], 170));
    client.welcome(&data).expect("it opens")
}

fn pair() -> Arc<KeyPair> {
    Arc::new(KeyPair::generate())
}

/// Sends these frames, to a kernel that takes at most so many bytes at a time and between two of them nothing.
fn sends(machine: &mut Machine, frames: &[u8], most: usize) -> Vec<u8> {
    let (mut wire, mut at, mut room, mut has_room) = (Vec::new(), 0, Vec::new(), true);
    while at < frames.len() {
        let kernel = |parts: &[IoSlice<'_>]| {
            has_room = most == usize::MAX || !has_room;
            let before = wire.len();
            let all = parts.iter().flat_map(|part| part.iter().copied());
            wire.extend(all.take(if has_room { most } else { 0 }));
            Ok::<_, Infallible>(has_room.then_some(wire.len() - before))
        };
        let Ok((tried, taken)) = machine.send_sealed(&[IoSlice::new(&frames[at..])], &mut room, kernel);
        assert!(taken.unwrap_or(0) <= tried && tried <= frames.len() - at);
        at += taken.unwrap_or(0);
    }
    wire
}

/// All that a publisher may send, in frames of ZMTP.
fn published() -> Vec<u8> {
    let mut frames = Vec::new();
    for parts in [&[&b"topic"[..], b"payload"][..], &[b""], &[b"t", &[7; 255], &[8; 256]], &[&[9; 60_000]]] {
        frames.extend(message(parts));
        frames.extend(command::ping());
    }
    // A heartbeat within a message, and a message that is too long.
    frame::put_frame(&mut frames, frame::MORE, b"in");
    frames.extend(command::ping());
    frame::put_frame(&mut frames, 0, b"terrupted");
    frames.extend(message(&[b"long", &[1; 50_000], &[2; 50_000], b"end"]));
    frames.extend(message(&[b"last"]));
    frames
}

#[test]
fn a_subscriber_is_open_and_its_subscriptions_are_sealed() {
    let (mut end, mut client) = open(&pair(), "SUB");
    let asked = [command::subscription(true, b"a", true), command::subscription(false, b"", true)].concat();
    let heard = end.reads(&client.seal(&asked));
    assert_eq!(heard.steps, [r#"Subscribe(b"a")"#, r#"Cancel(b"")"#]);
    assert_eq!(heard.error, None);
}

#[test]
fn messages_come_out_as_they_went_in_however_the_stream_is_cut() {
    let pair = pair();
    let mut whole: Option<Vec<String>> = None;
    for piece in [usize::MAX, 1, 7, 1_000, 33_333] {
        let (mut end, mut client) = open(&pair, "PUB");
        let wire = client.seal(&published());
        let mut steps = Vec::new();
        for bytes in wire.chunks(piece) {
            let heard = end.reads(bytes);
            assert_eq!(heard.error, None);
            steps.extend(heard.steps);
        }
        assert!(
            steps.iter().any(|step| step.contains("TooLong"))
                && steps.last() == Some(&format!("{:?}", [b"last"]))
        );
        assert_eq!(*whole.get_or_insert_with(|| steps.clone()), steps, "in pieces of {piece}");
    }
}

#[test]
fn what_leaves_is_sealed_once_whatever_the_kernel_takes() {
    let pair = pair();
    let frames = [published(), message(&[&[1; 3 * SEALED_BYTES_PER_VISIT]]), command::pong(b"x")].concat();
    for most in [1, 100, 16_000, usize::MAX] {
        let (mut end, mut client) = open(&pair, "SUB");
        let wire = sends(&mut end.machine, &frames, most);
        assert_eq!(opened_frames(&mut client, &wire), frames, "{most} bytes at a time");
    }
}

#[test]
fn a_send_seals_a_visits_share_and_owes_the_rest() {
    let (mut end, _) = open(&pair(), "SUB");
    let frames = message(&[b"t", &[1; 100]]).repeat(10_000);
    let (mut room, mut given) = (Vec::new(), 0);
    let kernel = |parts: &[IoSlice<'_>]| {
        given = parts.iter().map(|part| part.len()).sum::<usize>();
        Ok::<_, Infallible>(Some(given))
    };
    let Ok((tried, taken)) = end.machine.send_sealed(&[IoSlice::new(&frames)], &mut room, kernel);
    assert_eq!(Some(tried), taken);
    assert!((SEALED_BYTES_PER_VISIT..SEALED_BYTES_PER_VISIT + 200).contains(&given), "{given}");
    // All but the last byte of what is owed counts as sent, so that the queue is not empty before it has left.
    let full = |_: &[IoSlice<'_>]| Ok::<_, Infallible>(None);
    let rest = &frames[tried..];
    let Ok((tried, taken)) = end.machine.send_sealed(&[IoSlice::new(rest)], &mut room, full);
    assert_eq!(taken, Some(tried - 1));
    let Ok(again) = end.machine.send_sealed(&[IoSlice::new(&rest[tried - 1..])], &mut room, full);
    assert_eq!(again, (1, None));
}

#[test]
fn a_wrong_server_key_is_refused_at_the_first_word() {
    let (mut end, mut client) = (End::of(&pair()), CurveClient::unknown(pair().public()));
    greeted(&mut end);
    let heard = end.reads(&client.hello());
    assert_eq!((heard.sent.len(), heard.error), (0, Some(ErrorCode::BadBox)));
    // A transient key with which everybody would have the same.
    let mut end = End::of(&pair());
    greeted(&mut end);
    let mut hello = CurveClient::unknown(pair().public()).hello();
    hello[2 + 80..2 + 112].fill(0);
    assert_eq!(end.reads(&hello).error, Some(ErrorCode::BadBox));
}

#[test]
fn no_changed_byte_of_a_handshake_passes() {
    let pair = pair();
    let flipped = |bytes: &[u8], at: usize| {
        let mut changed = bytes.to_vec();
        changed[at] ^= 1;
        changed
    };
    for at in 2..202 {
        let (mut end, mut client) = (End::of(&pair), CurveClient::unknown(pair.public()));
        greeted(&mut end);
        let heard = end.reads(&flipped(&client.hello(), at));
        // Nobody reads the padding.
        let is_padding = (2 + 8..2 + 80).contains(&at);
        assert_eq!(heard.error.is_none(), is_padding, "byte {at}");
        assert!(heard.claims.is_empty());
    }
    let (mut end, mut client) = (End::of(&pair), CurveClient::unknown(pair.public()));
    greeted(&mut end);
    let cookie = welcome(&mut end, &mut client);
    let initiate = client.initiate(&cookie, "SUB");
    for at in 9..initiate.len() {
        let (mut end, mut client) = (End::of(&pair), CurveClient::unknown(pair.public()));
        greeted(&mut end);
        let cookie = welcome(&mut end, &mut client);
        let heard = end.reads(&flipped(&client.initiate(&cookie, "SUB"), at));
        assert!(heard.error.is_some() && heard.claims.is_empty(), "byte {at}: {heard:?}");
    }
}

/// The two keys in a vouch, of the transient key, that of the server and another.
type Vouch = fn(PublicKey, PublicKey, PublicKey) -> [PublicKey; 2];

#[test]
fn a_vouch_is_of_this_client_for_this_server() {
    let pair = pair();
    let other = SecretKey::generate().public();
    let vouches: [Vouch; 3] = [
        |_, server, other| [other, server],
        |transient, _, other| [transient, other],
        |transient, server, _| [server, transient],
    ];
    for vouch in vouches {
        let (mut end, mut client) = (End::of(&pair), CurveClient::unknown(pair.public()));
        greeted(&mut end);
        let cookie = welcome(&mut end, &mut client);
        let [first, second] = vouch(client.transient(), pair.public(), other);
        let heard = end.reads(&client.initiate_with(&cookie, "SUB", &[first.0, second.0].concat()));
        assert_eq!(heard.error, Some(ErrorCode::BadBox));
    }
}

#[test]
fn what_is_sent_again_on_another_connection_opens_nothing() {
    let pair = pair();
    let (mut first, mut client) = (End::of(&pair), CurveClient::unknown(pair.public()));
    greeted(&mut first);
    let hello = client.hello();
    let (_, data) = named(&first.reads(&hello).sent[0]);
    let cookie = client.welcome(&data).expect("it opens");
    let initiate = client.initiate(&cookie, "PUB");
    assert_eq!(first.reads(&initiate).error, None);
    let mut second = End::of(&pair);
    greeted(&mut second);
    assert_eq!(second.reads(&hello).error, None);
    assert_eq!(second.reads(&initiate).error, Some(ErrorCode::BadBox));
}

#[test]
fn a_box_that_is_changed_or_comes_again_ends_the_session_behind_those_before_it() {
    let pair = pair();
    let one = message(&[b"one"]);
    let first = [format!("{:?}", [b"one"])];
    for at in 2..2 + 33 + 3 {
        let (mut end, mut client) = open(&pair, "PUB");
        let mut wire = client.seal(&one);
        let good = wire.len();
        wire.extend(client.seal(&one));
        wire[good + at] ^= 1;
        let heard = end.reads(&wire);
        assert_eq!(heard.steps, first, "byte {at}");
        assert!(
            matches!(heard.error, Some(ErrorCode::BadBox | ErrorCode::Malformed)),
            "byte {at}: {heard:?}"
        );
    }
    let (mut end, mut client) = open(&pair, "PUB");
    let wire = client.seal(&one);
    assert_eq!(end.reads(&wire).steps, first);
    assert_eq!(end.reads(&wire).error, Some(ErrorCode::BadBox), "again");
    let (mut end, mut client) = open(&pair, "PUB");
    let (earlier, later) = (client.seal(&one), client.seal(&one));
    assert_eq!(end.reads(&later).steps, first, "counts may leave some out");
    assert_eq!(end.reads(&earlier).error, Some(ErrorCode::BadBox), "and never go back");
}

#[test]
fn a_broken_box_ends_the_session() {
    let pair = pair();
    let count = 9_u64.to_be_bytes();
    let bodies: Vec<(Vec<u8>, ErrorCode)> = vec![
        (b"".to_vec(), ErrorCode::Malformed),
        (b"\x07MESSAGE".to_vec(), ErrorCode::Malformed),
        ([b"\x07MESSAGE", &count[..], &[0; 16]].concat(), ErrorCode::Malformed),
        ([b"\x07MESSAGE", &count[..], &[0; 17]].concat(), ErrorCode::BadBox),
        (b"\x04PING\0\0".to_vec(), ErrorCode::Malformed),
        (b"topic".to_vec(), ErrorCode::Malformed),
    ];
    for (body, code) in bodies {
        let (mut end, _) = open(&pair, "PUB");
        let mut wire = Vec::new();
        frame::put_frame(&mut wire, 0, &body);
        assert_eq!(end.reads(&wire).error, Some(code), "{}", body.escape_ascii());
    }
    for flags in [3, 4, 0x80, 0xff] {
        let (mut end, mut client) = open(&pair, "PUB");
        let mut wire = Vec::new();
        client.seal_frame(flags, b"x", &mut wire);
        assert_eq!(end.reads(&wire).error, Some(ErrorCode::Malformed), "flags {flags}");
    }
    // How long it is shows before it is there; that it is not whole does not.
    let (mut end, _) = open(&pair, "PUB");
    let most = (LIMIT + 33) as u64;
    assert_eq!(end.reads(&[&[frame::LONG], &most.to_be_bytes()[..]].concat()).error, None);
    let (mut end, _) = open(&pair, "PUB");
    let heard = end.reads(&[&[frame::LONG], &(most + 1).to_be_bytes()[..]].concat());
    assert_eq!(heard.error, Some(ErrorCode::TooLarge));
}

#[test]
fn commands_out_of_place_end_the_handshake() {
    let pair = pair();
    let (mut end, mut client) = (End::of(&pair), CurveClient::unknown(pair.public()));
    greeted(&mut end);
    let hello = client.hello();
    assert_eq!(end.reads(&hello).error, None);
    assert_eq!(end.reads(&hello).error, Some(ErrorCode::Unexpected), "a second HELLO");
    for (words, code) in [
        (command::ready("SUB"), ErrorCode::Unexpected),
        (message(&[b"x"]), ErrorCode::Unexpected),
        (zmtp_peer::command_of(b"HELLO", b"\x05alice\x06sesame"), ErrorCode::Malformed),
        (zmtp_peer::command_of(b"INITIATE", &[0; 300]), ErrorCode::Unexpected),
    ] {
        let mut end = End::of(&pair);
        greeted(&mut end);
        assert_eq!(end.reads(&words).error, Some(code), "{}", words.escape_ascii());
    }
    let (mut end, mut client) = (End::of(&pair), CurveClient::unknown(pair.public()));
    greeted(&mut end);
    let cookie = welcome(&mut end, &mut client);
    let heard = end.reads(&client.initiate(&cookie, "REQ"));
    assert_eq!((heard.claims.len(), heard.error), (0, Some(ErrorCode::SocketType)));
}

#[test]
fn each_door_takes_the_mechanisms_that_it_offers() {
    let all = Offers::default().plain(true).curve(Some(pair()));
    for mechanism in Mechanism::ALL {
        let others = match mechanism {
            Mechanism::Null => all.clone().null(false),
            Mechanism::Plain => all.clone().plain(false),
            Mechanism::Curve => all.clone().curve(None),
        };
        for (offers, error) in [(all.clone(), None), (others, Some(ErrorCode::Mechanism))] {
            let mut end = End { machine: Machine::new(Sides::Both, offers, LIMIT), held: Vec::new() };
            let ours = greeting::ours_for(mechanism);
            // Its own mechanism is that of the peer, so it waits for that.
            assert_eq!(end.reads(&ours[..greeting::GREETING_BYTES - 1]).sent.len(), 0);
            let heard = end.reads(&ours[greeting::GREETING_BYTES - 1..]);
            assert_eq!(heard.error, error, "{mechanism:?}");
            assert_eq!(heard.sent, [ours[greeting::OPENING_BYTES..].to_vec()]);
        }
    }
    let mut end = End { machine: Machine::new(Sides::Both, all.null(false), LIMIT), held: Vec::new() };
    let old = b"\xff\0\0\0\0\0\0\0\x01\x7f\x01\x01\0\0";
    assert_eq!(end.reads(old).error, Some(ErrorCode::Mechanism), "ZMTP 2.0 has no mechanisms");
}

#[test]
fn plain_waits_for_its_verdict() {
    let offers = Offers::default().null(false).plain(true);
    let mut end = End { machine: Machine::new(Sides::Both, offers, LIMIT), held: Vec::new() };
    end.reads(&greeting::ours_for(Mechanism::Plain));
    let heard = end.reads(&zmtp_peer::command_of(b"HELLO", b"\x05alice\x06sesame"));
    assert!(
        matches!(&heard.claims[..], [PeerClaim::Password(claimed)] if claimed.name == b"alice"),
        "{heard:?}"
    );
    assert_eq!((heard.sent.len(), heard.error), (0, None));
    assert_eq!(end.machine.admit(), Some(zmtp_peer::command_of(b"WELCOME", b"")));
    let metadata = zmtp_peer::property(b"Socket-Type", 3, b"SUB");
    let heard = end.reads(&zmtp_peer::command_of(b"INITIATE", &metadata));
    assert_eq!(heard.sent, [command::ready("XPUB")]);
    assert_eq!((heard.steps, heard.claims.len()), (vec!["Open(Subscriber)".to_owned()], 0));
}
