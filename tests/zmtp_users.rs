//! Users at the ZeroMQ door of a broker in this process: by PLAIN and by CURVE they are let in with their rights, and nobody else
//! is; no passing refusal is an ERROR, which would keep libzmq from ever trying again.

mod watchdog;
mod zmtp_peer;

use std::path::{Path, PathBuf};

use corecast::internals::auth::Users;
use corecast::internals::zmtp::command;
use corecast::internals::zmtp::curve::{KeyPair, PublicKey, secret_text};
use corecast::internals::zmtp::greeting::Mechanism;
use corecast::{Broker, BrokerConfig, CurveServerKey, Endpoint, Permissions};
use tempfile::TempDir;
use zmtp_peer::curve::CurveClient;
use zmtp_peer::{Said, ZmtpPeer, command_of};

/// A hash of the password sesame; the unit tests of `auth` say how it was made.
const SESAME: &str =
    "$argon2id$v=19$m=19456,t=2,p=1$Y29yZWNhc3Qgc2FsdCAxNg$KcWNHtN6TgCsl4hAxvX2U7/5MSf4IWcDnp+2/d2guE4";

/// A broker with users, and its door.
struct House {
    broker: Option<Broker>,
    door: PathBuf,
    /// The public key of the door.
    public: PublicKey,
    _folder: TempDir,
}

impl House {
    /// A broker with these users; with a CURVE key, or without.
    fn open(users: &str, has_key: bool) -> House {
        let folder = tempfile::tempdir().expect("a folder");
        let door = folder.path().join("zmtp.sock");
        let pair = KeyPair::generate();
        let key = folder.path().join("broker.key_secret");
        std::fs::write(&key, &*secret_text(&pair)).expect("written");
        std::fs::set_permissions(&key, std::os::unix::fs::PermissionsExt::from_mode(0o600)).expect("a mode");
        let key = has_key.then(|| CurveServerKey::read(&key).expect("a key"));
        let listen: Endpoint = "tcp://127.0.0.1:0".parse().expect("an endpoint");
        let zmtp: Endpoint = format!("ipc://{}", door.display()).parse().expect("an endpoint");
        let config = BrokerConfig::default()
            .listen([listen])
            .zmtp([zmtp])
            .zmtp_curve_key(key)
            .shards(1)
            .permissions(Permissions::of_users(Users::parse(users).expect("users")));
        let broker = Some(Broker::start(config).expect("a broker"));
        House { broker, door, public: pair.public(), _folder: folder }
    }

    fn comes_by_plain(&self, name: &str, password: &str) -> ZmtpPeer {
        let mut peer = ZmtpPeer::greet_by(&self.door, Mechanism::Plain);
        let short = |text: &str| [&[u8::try_from(text.len()).expect("short")], text.as_bytes()].concat();
        peer.send(&command_of(b"HELLO", &[short(name), short(password)].concat()));
        peer
    }

    /// A peer of this key that has said INITIATE.
    fn comes_by_curve(&self, client: &mut CurveClient, kind: &str) -> ZmtpPeer {
        let mut peer = ZmtpPeer::greet_by(&self.door, Mechanism::Curve);
        peer.send(&client.hello());
        let Said::Command(name, data) = peer.hear() else { unreachable!("WELCOME") };
        assert_eq!(name, "WELCOME");
        let cookie = client.welcome(&data).expect("it opens");
        peer.send(&client.initiate(&cookie, kind));
        peer
    }
}

impl Drop for House {
    fn drop(&mut self) {
        let broker = self.broker.take().expect("it is there");
        broker.stop(std::time::Duration::ZERO).expect("it stops");
    }
}

fn users(key: PublicKey) -> String {
    format!(
        "[[user]]\nname = 'alice'\npassword = '{SESAME}'\nsubscribe = ['>']\n\
         [[user]]\nname = 'robot'\ncurve_keys = ['{key}']\npublish = ['>']\n"
    )
}

/// Lets a peer that was told WELCOME go on, as such a socket, which meets one of ours.
fn goes_on_as(socket: &str, ours: &str, mut peer: ZmtpPeer) -> ZmtpPeer {
    assert_eq!(peer.hear(), Said::Command("WELCOME".into(), Vec::new()));
    peer.send(&command_of(b"INITIATE", &command::metadata(socket)));
    assert_eq!(peer.hear(), Said::Command("READY".into(), command::metadata(ours)));
    peer
}

#[test]
fn a_password_and_a_key_let_their_users_in_with_their_rights() {
    let _watchdog = watchdog::watch("a_password_and_a_key_let_their_users_in_with_their_rights");
    let robot = CurveClient::unknown(PublicKey([0; 32])).secret();
    let house = House::open(&users(robot.public()), true);
    let mut alice = goes_on_as("SUB", "XPUB", house.comes_by_plain("alice", "sesame"));
    alice.subscribe(b"a");
    let mut client = CurveClient::new(robot, house.public);
    let mut publisher = house.comes_by_curve(&mut client, "XPUB");
    let Said::Command(name, ready) = publisher.hear() else { unreachable!("READY") };
    assert_eq!(name, "READY");
    assert_eq!(client.ready(&ready), Some(command::metadata("XSUB")));
    // The subscription, in a box.
    let Said::Message(body) = publisher.hear() else { unreachable!("a box") };
    assert_eq!(client.open(&body[0]), Some(command::subscription(true, b"a", true)));
    publisher.send(&client.seal(&zmtp_peer::message(&[b"a", b"1"])));
    assert_eq!(alice.message(), [b"a", b"1"]);
    // Each has the rights of its user, and no others.
    let mut publisher = goes_on_as("PUB", "XSUB", house.comes_by_plain("alice", "sesame"));
    publisher.publish(&[b"a", b"2"]);
    assert!(publisher.end().expect("an ERROR").contains("you may not publish"));
}

#[test]
fn nobody_else_is_let_in_and_nobody_is_told_for_good() {
    let _watchdog = watchdog::watch("nobody_else_is_let_in_and_nobody_is_told_for_good");
    let robot = CurveClient::unknown(PublicKey([0; 32])).secret();
    let house = House::open(&users(robot.public()), true);
    for (name, password) in
        [("alice", "Sesame"), ("alice", ""), ("", ""), ("robot", "sesame"), ("nobody", "sesame")]
    {
        assert_eq!(house.comes_by_plain(name, password).hear(), Said::End, "{name}: {password}");
    }
    let mut unknown = CurveClient::unknown(house.public);
    assert_eq!(house.comes_by_curve(&mut unknown, "SUB").hear(), Said::End, "a key of nobody");
    let mut null = ZmtpPeer::greet_by(&house.door, Mechanism::Null);
    null.send(&command::ready("SUB"));
    assert_eq!(null.hear(), Said::End, "there is no anonymous");
    let mut old = ZmtpPeer::connect(&house.door);
    old.send(b"\xff\0\0\0\0\0\0\0\x01\x7f\x01\x02\0\0");
    old.end_sending();
    let mut rest = Vec::new();
    old.read_to_end(&mut rest);
    assert!(rest.len() <= 14, "the greeting, and nothing behind it");
    // A good one still comes in.
    let mut alice = goes_on_as("SUB", "XPUB", house.comes_by_plain("alice", "sesame"));
    alice.subscribe(b"");
}

#[test]
fn without_a_password_nobody_has_to_wait_for_those_that_are_checked() {
    let _watchdog = watchdog::watch("without_a_password_nobody_has_to_wait_for_those_that_are_checked");
    let house = House::open(
        &format!("{}[[user]]\nname = 'anonymous'\nsubscribe = ['>']\n", users(PublicKey([1; 32]))),
        false,
    );
    let wrong: Vec<ZmtpPeer> = (0..20).map(|_| house.comes_by_plain("alice", "wrong")).collect();
    // One shard serves all, and is not held up.
    for _ in 0..10 {
        let mut anonymous = ZmtpPeer::greet_by(&house.door, Mechanism::Null).ready("SUB");
        anonymous.subscribe(b"");
    }
    for mut peer in wrong {
        assert_eq!(peer.hear(), Said::End);
    }
}

#[test]
fn a_door_without_a_key_has_no_curve() {
    let _watchdog = watchdog::watch("a_door_without_a_key_has_no_curve");
    let house = House::open(&users(PublicKey([1; 32])), false);
    let text = mechanism_refused(&house.door, Mechanism::Curve);
    assert!(text.contains("only NULL, PLAIN"), "{text}");
}

/// The reason in the ERROR for a peer of this mechanism.
fn mechanism_refused(door: &Path, mechanism: Mechanism) -> String {
    ZmtpPeer::greet_by(door, mechanism).end().expect("an ERROR")
}
