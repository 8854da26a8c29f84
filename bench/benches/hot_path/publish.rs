//! A publisher's read, all the way to a subscriber's queue: by anybody where everybody may do everything, and by one of very many
//! users, who may publish what it does; and where history is kept. Every message is of another topic than the one before it, and all routes are known.

use corecast::internals::ids::SessionId;
use corecast::internals::wire::Frame;
use corecast::{Permissions, QueueBounds, Users};

use crate::case::Measured;
use crate::rig::{NEAR, Rig, push_message};

/// Messages of one iteration, and topics of them.
pub(crate) const MESSAGES: u64 = 512;
const TOPICS: u64 = 64;

/// Users of the file.
const USERS: u64 = 1_000;

pub(crate) fn by_anybody() -> Box<dyn Measured> {
    let mut rig = Rig::new(NEAR, QueueBounds::default());
    rig.open_subscriber(">");
    let publisher = rig.open();
    Box::new(Publishing::new(rig, publisher))
}

/// As by anybody, where the last message of each topic is kept.
pub(crate) fn kept_last() -> Box<dyn Measured> {
    kept(">=last")
}

/// The same where the newest ten are: each message takes the place of another.
pub(crate) fn kept_newest() -> Box<dyn Measured> {
    kept(">=10")
}

/// The same where nothing is kept of these topics, but of others.
pub(crate) fn kept_elsewhere() -> Box<dyn Measured> {
    kept("chat.>=last")
}

fn kept(rule: &str) -> Box<dyn Measured> {
    let mut rig = Rig::keeping(NEAR, rule);
    rig.open_subscriber(">");
    let publisher = rig.open();
    Box::new(Publishing::new(rig, publisher))
}

pub(crate) fn by_a_user() -> Box<dyn Measured> {
    // The hash of a token is that of `printf %s TOKEN | sha256sum`; those of the others are of nothing.
    const TOKEN_HASH: &str = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
    let mut text = format!(
        "[[user]]\nname = 'feeds'\ntokens = ['sha256:{TOKEN_HASH}']\npublish = ['news', 'prices.*.usd', 'orders.>']\n"
    );
    text += "[[user]]\nname = 'anonymous'\nsubscribe = ['>']\n";
    for n in 2..USERS {
        text +=
            &format!("[[user]]\nname = 'u{n}'\ntokens = ['sha256:{n:064}']\npublish = ['prices.p{n}.>']\n");
    }
    let users = Users::parse(&text).expect("a file of users");
    let mut rig = Rig::with_permissions(NEAR, QueueBounds::default(), Permissions::of_users(users));
    rig.open_subscriber(">");
    let publisher = rig.open_with(&[Frame::Login { token: b"abc" }]);
    Box::new(Publishing::new(rig, publisher))
}

struct Publishing {
    rig: Rig,
    publisher: SessionId,
    read: Vec<u8>,
}

impl Publishing {
    fn new(mut rig: Rig, publisher: SessionId) -> Self {
        let mut read = Vec::new();
        for sequence in 0..MESSAGES {
            push_message(&format!("prices.p{}.usd", sequence % TOPICS), &[7; 64], sequence, &mut read);
        }
        rig.say(publisher, &read);
        assert_eq!(rig.shard.counters().messages_in, MESSAGES, "they are permitted, and come in one read");
        Publishing { rig, publisher, read }
    }
}

impl Measured for Publishing {
    fn restore(&mut self) {
        self.rig.flush();
    }

    fn run(&mut self) {
        self.rig.say(self.publisher, &self.read);
    }
}
