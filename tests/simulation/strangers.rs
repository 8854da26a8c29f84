//! Clients that break a rule: each must get its error, and nobody else may notice.

use corecast::internals::wire::{Frame, greeting};
use corecast::{ErrorCode, OverflowPolicy};

use crate::rules::Part;
use crate::world::World;

/// A way to break a rule.
#[derive(Clone, Copy, Debug)]
enum Offence {
    Http,
    OtherVersion,
    MessageBeforeHello,
    SecondHello,
    TooLarge,
    TooShort,
    NoArchive,
    BadFilter,
    UnknownKindOfFilter,
    EmptyTopic,
    LongTopic,
    UnknownPolicy,
    BlockUnasked,
    FrameOfABroker,
    WatchOfNothing,
}

const OFFENCES: [(Offence, ErrorCode); 15] = [
    (Offence::Http, ErrorCode::NotCorecast),
    (Offence::OtherVersion, ErrorCode::Version),
    (Offence::MessageBeforeHello, ErrorCode::Unexpected),
    (Offence::SecondHello, ErrorCode::Unexpected),
    (Offence::TooLarge, ErrorCode::TooLarge),
    (Offence::TooShort, ErrorCode::Malformed),
    (Offence::NoArchive, ErrorCode::Malformed),
    (Offence::BadFilter, ErrorCode::BadFilter),
    (Offence::UnknownKindOfFilter, ErrorCode::BadFilter),
    (Offence::EmptyTopic, ErrorCode::BadTopic),
    (Offence::LongTopic, ErrorCode::BadTopic),
    (Offence::UnknownPolicy, ErrorCode::PolicyRefused),
    (Offence::BlockUnasked, ErrorCode::PolicyRefused),
    (Offence::FrameOfABroker, ErrorCode::Unexpected),
    (Offence::WatchOfNothing, ErrorCode::BadTopic),
];

impl World {
    /// Somebody comes, and breaks a rule: at once, or after a while as a good subscriber and publisher.
    pub(crate) fn stranger(&mut self) {
        let (offence, code) = OFFENCES[self.rng.usize(..OFFENCES.len())];
        if matches!(offence, Offence::BlockUnasked) && self.plan.config.overflow == OverflowPolicy::Block {
            return;
        }
        let Some(client) = self.accept(Part::Stranger) else { return };
        self.oracle.ledger.sessions[client].expects = Some(code);
        let begins_well = !matches!(
            offence,
            Offence::Http
                | Offence::OtherVersion
                | Offence::MessageBeforeHello
                | Offence::UnknownPolicy
                | Offence::BlockUnasked
        );
        if begins_well {
            self.clients[client].greet(OverflowPolicy::DropOldest.to_wire());
            for _ in 0..self.rng.u8(0..3) {
                self.subscribe(client);
            }
            for _ in 0..self.rng.u8(0..5) {
                self.say_message(client);
            }
        }
        self.offend(client, offence);
    }

    fn offend(&mut self, client: usize, offence: Offence) {
        let client = &mut self.clients[client];
        let message =
            |topic| Frame::Message { topic, payload: b"", publisher: 0, sequence: 0, sent_at_ns: 0 };
        let long = [b'x'; 1_025];
        match offence {
            Offence::Http => client.say_bytes(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n"),
            Offence::OtherVersion => {
                client.say_bytes(b"CORECAST\x09\x00\x02\x00\0\0\0\0and whatever comes then")
            }
            Offence::MessageBeforeHello => {
                client.say_bytes(&greeting::ours());
                client.say(&message(b"x.s"));
            }
            Offence::SecondHello => {
                client.say(&Frame::Hello { name: "again", overflow: 0, previous: 0, ticket: 0 })
            }
            Offence::TooLarge => client.say_bytes(&(1_u32 << 30).to_le_bytes()),
            Offence::TooShort => client.say_bytes(&[40, 0, 0, 0, 1, 2, 3]),
            Offence::NoArchive => {
                client.say_bytes(&41_u32.to_le_bytes());
                client.say_bytes(&[0xff; 41]);
            }
            Offence::BadFilter => {
                client.say(&Frame::Subscribe { filter: b"x..y", request: 9, subscriber: 0, kind: 1 });
            }
            Offence::UnknownKindOfFilter => {
                client.say(&Frame::Subscribe { filter: b"x", request: 9, subscriber: 0, kind: 7 });
            }
            Offence::EmptyTopic => client.say(&message(b"")),
            Offence::LongTopic => client.say(&message(&long)),
            Offence::UnknownPolicy => client.greet(9),
            Offence::BlockUnasked => client.greet(OverflowPolicy::Block.to_wire()),
            Offence::FrameOfABroker => client.say(&Frame::Done { request: 1 }),
            Offence::WatchOfNothing => client.say(&Frame::WatchSubscribers { topic: b"", request: 1 }),
        }
    }
}
