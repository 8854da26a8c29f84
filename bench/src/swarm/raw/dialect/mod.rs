//! The protocol of each kind of peer: encoding and decoding, nothing else. The sockets, the threads and the
//! bookkeeping are the same for every peer, so that what a client costs is the same too.
//!
//! | file | speaks to |
//! |---|---|
//! | [`native`] | our broker, over its own wire |
//! | [`zmtp`] | libzmq, and our broker's ZeroMQ listener: ZMTP 3.1, NULL mechanism |
//! | [`nats`] | nats-server |
//! | [`redis`] | redis-server: RESP 2 |
//! | [`mqtt`] | mosquitto: MQTT 3.1.1, QoS 0 |
//! | [`lengths`] | the floor: a length, then the payload |

pub mod lengths;
pub mod mqtt;
pub mod native;
pub mod nats;
pub mod redis;
pub mod sink;
pub mod zmtp;

use corecast::internals::wire::Features;
use mqtt::Mqtt;
use native::Native;
use nats::Nats;
use redis::Redis;
use sink::{Role, Sink, Taken};
use zmtp::{Parts, Zmtp};

/// The dialect that a peer speaks.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Language {
    /// Ours, as clients of this version speak it.
    Native,
    /// Ours, as clients without runs speak it: each message in a frame of its own.
    NativeSingles,
    /// ZeroMQ's, topic and payload in one part: what libzmq does fastest.
    ZmtpOnePart,
    /// ZeroMQ's, topic and payload in a part each: the envelope that ZeroMQ's guide advises.
    ZmtpTwoParts,
    /// NATS'.
    Nats,
    /// Redis'.
    Redis,
    /// MQTT.
    Mqtt,
    /// The floor's.
    Lengths,
}

impl Language {
    /// The character between the levels of a topic, where filters match levels.
    pub fn separator(self) -> char {
        if self == Language::Mqtt { '/' } else { '.' }
    }

    /// True if the peer says a line in clear, and TLS begins behind it.
    pub fn begins_in_clear(self) -> bool {
        self == Language::Nats
    }
}

/// One connection's side of a conversation.
#[derive(Debug)]
pub enum Dialect {
    /// Ours.
    Native(Native),
    /// ZeroMQ's.
    Zmtp(Zmtp),
    /// NATS'.
    Nats(Nats),
    /// Redis'.
    Redis(Redis),
    /// MQTT.
    Mqtt(Mqtt),
    /// The floor's, at the subscriber of this number; there is nothing else to remember.
    Lengths(usize),
}

impl Dialect {
    /// A connection that is about to open. `index` tells it from the others of its role.
    pub fn new(language: Language, role: Role, index: usize) -> Self {
        match language {
            Language::Native => Dialect::Native(Native::new(role, index, Features::OURS)),
            Language::NativeSingles => Dialect::Native(Native::new(role, index, Features::NONE)),
            Language::ZmtpOnePart => Dialect::Zmtp(Zmtp::new(role, Parts::One)),
            Language::ZmtpTwoParts => Dialect::Zmtp(Zmtp::new(role, Parts::Two)),
            Language::Nats => Dialect::Nats(Nats::new(role)),
            Language::Redis => Dialect::Redis(Redis::new(role)),
            Language::Mqtt => Dialect::Mqtt(Mqtt::new(role, index)),
            Language::Lengths => Dialect::Lengths(index),
        }
    }

    /// Appends what is said first.
    pub fn open(&mut self, out: &mut Vec<u8>) {
        match self {
            Dialect::Native(native) => native.open(out),
            Dialect::Zmtp(_) => zmtp::greet(out),
            Dialect::Nats(nats) => nats.open(out),
            Dialect::Redis(redis) => redis.open(out),
            Dialect::Mqtt(mqtt) => mqtt.open(out),
            Dialect::Lengths(index) => lengths::open(*index, out),
        }
    }

    /// Takes every whole thing at the start of `bytes`, appends what has to be answered to `reply`, and returns how
    /// many bytes that was: what is left comes again, with more behind it.
    #[inline]
    pub fn read(&mut self, bytes: &[u8], reply: &mut Vec<u8>, sink: &mut impl Sink) -> Taken {
        match self {
            Dialect::Native(native) => native.read(bytes, reply, sink),
            Dialect::Zmtp(zmtp) => zmtp.read(bytes, reply, sink),
            Dialect::Nats(nats) => nats.read(bytes, reply, sink),
            Dialect::Redis(redis) => redis.read(bytes, sink),
            Dialect::Mqtt(mqtt) => mqtt.read(bytes, reply, sink),
            Dialect::Lengths(_) => lengths::read(bytes, sink),
        }
    }

    /// Appends one message on the topic of this name. It may be kept back until [`Dialect::finish`], for the next ones to join
    /// it.
    #[inline]
    pub fn publish(&mut self, topic: &str, payload: &[u8], out: &mut Vec<u8>) {
        match self {
            Dialect::Native(native) => native.publish(topic, payload, out),
            Dialect::Zmtp(zmtp) => zmtp.publish(topic, payload, out),
            Dialect::Nats(_) => nats::publish(topic, payload, out),
            Dialect::Redis(_) => redis::publish(topic, payload, out),
            Dialect::Mqtt(_) => mqtt::publish(topic, payload, out),
            Dialect::Lengths(_) => lengths::publish(payload, out),
        }
    }

    /// Appends what is kept back: nothing else is sent together with it.
    #[inline]
    pub fn finish(&mut self, out: &mut Vec<u8>) {
        if let Dialect::Native(native) = self {
            native.finish(out);
        }
    }

    /// Appends what a client has to say now and then, or it counts as gone.
    pub fn keep_alive(&self, out: &mut Vec<u8>) {
        if let Dialect::Native(_) = self {
            native::ping(out);
        }
    }
}

#[cfg(test)]
pub(super) mod tests {
    //! The contract of every dialect, written once: any cut of the bytes gives the same messages.

    use super::sink::{DialectError, Wanted, decimal};
    use super::*;
    use crate::swarm::topics::FilterName;
    use proptest::prelude::*;

    /// Events that a dialect has reported.
    #[derive(Clone, PartialEq, Eq, Debug, Default)]
    pub(crate) struct Heard {
        pub(crate) ready: usize,
        pub(crate) messages: Vec<Vec<u8>>,
        pub(crate) gaps: Vec<(Vec<u8>, Option<u64>)>,
        pub(crate) replies: Vec<u8>,
    }

    impl Sink for Heard {
        fn ready(&mut self) {
            self.ready += 1;
        }

        fn message(&mut self, payload: &[u8]) {
            self.messages.push(payload.to_vec());
        }

        fn gap(&mut self, topic: &[u8], missed: Option<u64>) {
            self.gaps.push((topic.to_vec(), missed));
        }
    }

    /// Feeds these bytes as the swarm does: what is not taken comes again, with more behind it.
    pub(crate) fn hear(dialect: &mut Dialect, pieces: &[&[u8]]) -> Result<Heard, DialectError> {
        let (mut heard, mut kept, mut replies) = (Heard::default(), Vec::new(), Vec::new());
        for piece in pieces {
            kept.extend_from_slice(piece);
            let taken = dialect.read(&kept, &mut replies, &mut heard)?;
            kept.drain(..taken);
        }
        assert_eq!(kept, b"", "whole things leave nothing behind");
        heard.replies = replies;
        Ok(heard)
    }

    /// A subscriber of one topic.
    pub(crate) fn one() -> Role {
        let filters = vec![FilterName::Topic("bench.peers.0".into())];
        Role::Subscriber(Wanted { subscribers: 1, filters, topic_bytes: 13 })
    }

    /// One of a topic and a wildcard.
    pub(crate) fn two() -> Role {
        let Role::Subscriber(mut wanted) = one() else { unreachable!("it is a subscriber") };
        wanted.filters.push(FilterName::Below("bench.groups".into()));
        Role::Subscriber(wanted)
    }

    pub(crate) fn hear_all(language: Language, role: Role, bytes: &[u8]) -> Heard {
        hear(&mut Dialect::new(language, role, 3), &[bytes]).unwrap()
    }

    #[track_caller]
    pub(crate) fn refuses(language: Language, bytes: &[u8], says: &str) {
        let error = hear(&mut Dialect::new(language, one(), 3), &[bytes]).unwrap_err().to_string();
        assert!(error.contains(says), "{error}");
    }

    fn payloads() -> Vec<Vec<u8>> {
        vec![b"one".to_vec(), vec![], vec![b'\n'; 300], vec![0xff; 70_000], b"$3\r\nMSG ".to_vec()]
    }

    /// The bytes that a subscriber of this language gets from its peer, from the first one on.
    fn conversation(language: Language) -> Vec<u8> {
        let mut bytes = match language {
            Language::Native | Language::NativeSingles => native::welcome(1),
            Language::ZmtpOnePart | Language::ZmtpTwoParts => zmtp::tests::welcome(b"PUB"),
            Language::Nats => nats::tests::WELCOME.to_vec(),
            Language::Redis => redis::tests::WELCOME.to_vec(),
            Language::Mqtt => mqtt::tests::WELCOME.to_vec(),
            Language::Lengths => lengths::WELCOME.to_vec(),
        };
        let mut publisher = Dialect::new(language, Role::Publisher, 0);
        for payload in payloads() {
            match language {
                Language::Nats => nats::tests::delivery(&payload, &mut bytes),
                Language::Redis => redis::tests::delivery(&payload, &mut bytes),
                // An empty message is the floor's welcome.
                Language::Lengths if payload.is_empty() => {}
                // What subscribers get is what publishers send.
                _ => publisher.publish("bench.peers.0", &payload, &mut bytes),
            }
        }
        publisher.finish(&mut bytes);
        bytes
    }

    const ALL: [Language; 8] = [
        Language::Native,
        Language::NativeSingles,
        Language::ZmtpOnePart,
        Language::ZmtpTwoParts,
        Language::Nats,
        Language::Redis,
        Language::Mqtt,
        Language::Lengths,
    ];

    #[test]
    fn every_dialect_hears_what_was_published() {
        for language in ALL {
            let heard = hear_all(language, one(), &conversation(language));
            let mut wanted = payloads();
            if language == Language::Lengths {
                wanted.retain(|payload| !payload.is_empty());
            }
            assert!(heard.messages == wanted, "{language:?}: {} messages", heard.messages.len());
            assert_eq!((heard.ready, &heard.gaps[..]), (1, &[][..]), "{language:?}");
        }
    }

    proptest! {
        #[test]
        fn any_cut_of_the_bytes_gives_the_same(cuts in prop::collection::vec(0usize..71_500, 0..12)) {
            for language in ALL {
                let bytes = conversation(language);
                let mut ends: Vec<usize> = cuts.iter().map(|cut| cut.min(&bytes.len()).to_owned()).collect();
                ends.push(bytes.len());
                ends.sort_unstable();
                let mut start = 0;
                let pieces: Vec<&[u8]> = ends.iter().map(|end| &bytes[std::mem::replace(&mut start, *end)..*end]).collect();
                let heard = hear(&mut Dialect::new(language, one(), 3), &pieces).unwrap();
                prop_assert_eq!(heard, hear_all(language, one(), &bytes), "{:?}", language);
            }
        }

        #[test]
        fn no_bytes_panic(bytes in prop::collection::vec(any::<u8>(), 0..200), at in 0usize..2_000) {
            for language in ALL {
                let mut all = conversation(language);
                all.truncate(at);
                all.extend(&bytes);
                let _ = Dialect::new(language, one(), 0).read(&all, &mut Vec::new(), &mut Heard::default());
                let _ = Dialect::new(language, Role::Publisher, 0).read(&all, &mut Vec::new(), &mut Heard::default());
            }
        }
    }

    #[test]
    fn numbers_are_decimal_and_short() {
        assert_eq!((decimal(b"0"), decimal(b"123456789")), (Some(0), Some(123_456_789)));
        assert_eq!([decimal(b""), decimal(b"-1"), decimal(b"1234567890"), decimal(b"1x")], [None; 4]);
    }
}
