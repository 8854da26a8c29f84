//! Logins at the ZeroMQ door of a real broker that fail, or are too many: each is counted, the log names its address once a second,
//! its host is slowed down, and a good client beside it does not notice.

#![expect(clippy::panic, reason = "in a test every failure is a panic")]

mod broker_process;
mod watchdog;
mod zmtp_peer;

use std::fs;
use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::time::Instant;

use broker_process::{BrokerProcess, Transport};
use corecast::internals::limits::{LOGIN_DELAY, LOGIN_FAILURES_HERE_MAX, PASSWORDS_WAITING_HERE_MAX};
use corecast::internals::zmtp::command;
use corecast::internals::zmtp::curve::{KeyPair, PublicKey, SecretKey, secret_text};
use corecast::internals::zmtp::greeting::Mechanism;
use tempfile::TempDir;
use zmtp_peer::curve::CurveClient;
use zmtp_peer::{Said, ZmtpPeer, command_of, message};

/// A hash of the password sesame; the unit tests of `auth` say how it was made.
const SESAME: &str =
    "$argon2id$v=19$m=19456,t=2,p=1$Y29yZWNhc3Qgc2FsdCAxNg$KcWNHtN6TgCsl4hAxvX2U7/5MSf4IWcDnp+2/d2guE4";

/// A broker with a ZeroMQ door on TCP, whose users are one with a password and one with a key.
struct House {
    broker: BrokerProcess,
    door: SocketAddr,
    /// The public key of the door.
    public: PublicKey,
    /// The key of its user.
    robot: SecretKey,
    _folder: TempDir,
}

impl House {
    fn open() -> House {
        let folder = tempfile::tempdir().expect("a folder");
        let (pair, robot) = (KeyPair::generate(), SecretKey::generate());
        let users = format!(
            "[[user]]\nname = 'alice'\npassword = '{SESAME}'\nsubscribe = ['>']\n\
             [[user]]\nname = 'robot'\ncurve_keys = ['{}']\npublish = ['>']\nsubscribe = ['>']\n",
            robot.public()
        );
        let [key, users] = [("key", &*secret_text(&pair)), ("users.toml", &users)]
            .map(|(name, text)| file(folder.path(), name, text));
        let args = ["--shards", "1", "--zmtp", "tcp://127.0.0.1:0"];
        let secrets = ["--zmtp-curve-key", &key, "--users", &users];
        let broker = BrokerProcess::start(Transport::Tcp, &[args, secrets].concat());
        let door = broker.zmtp()[0].strip_prefix("tcp://").and_then(|door| door.parse().ok());
        House {
            door: door.expect("an address in digits"),
            broker,
            public: pair.public(),
            robot,
            _folder: folder,
        }
    }

    fn comes_by_plain(&self, password: &str) -> ZmtpPeer {
        let mut peer = ZmtpPeer::connect_tcp(self.door).greeted_by(Mechanism::Plain);
        let short = |text: &str| [&[u8::try_from(text.len()).expect("short")], text.as_bytes()].concat();
        peer.send(&command_of(b"HELLO", &[short("alice"), short(password)].concat()));
        peer
    }

    /// A peer of this key that has said INITIATE.
    fn comes_by_curve(&self, client: &mut CurveClient, kind: &str) -> ZmtpPeer {
        let mut peer = ZmtpPeer::connect_tcp(self.door).greeted_by(Mechanism::Curve);
        peer.send(&client.hello());
        let Said::Command(name, data) = peer.hear() else { unreachable!("WELCOME") };
        assert_eq!(name, "WELCOME");
        let cookie = client.welcome(&data).expect("it opens");
        peer.send(&client.initiate(&cookie, kind));
        peer
    }

    /// The user with the key, let in.
    fn robot(&self, kind: &str) -> Robot {
        let mut client = CurveClient::new(self.robot.clone(), self.public);
        let mut peer = self.comes_by_curve(&mut client, kind);
        let Said::Command(name, ready) = peer.hear() else { unreachable!("READY") };
        assert_eq!(name, "READY");
        client.ready(&ready).expect("it opens");
        Robot { client, peer }
    }

    /// Somebody with a key that no user has.
    fn nobody(&self) {
        let mut unknown = CurveClient::unknown(self.public);
        let mut peer = self.comes_by_curve(&mut unknown, "SUB");
        assert_eq!(peer.hear(), Said::End, "no ERROR: it may become a user");
    }
}

fn file(folder: &Path, name: &str, text: &str) -> String {
    let path = folder.join(name);
    fs::write(&path, text).expect("written");
    fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).expect("a mode");
    path.display().to_string()
}

/// An encrypted connection.
struct Robot {
    client: CurveClient,
    peer: ZmtpPeer,
}

impl Robot {
    fn sends(&mut self, frames: &[u8]) {
        let sealed = self.client.seal(frames);
        self.peer.send(&sealed);
    }

    /// The next frame, as before it was sealed.
    fn hears(&mut self) -> Vec<u8> {
        let boxed = self.peer.message();
        self.client.open(&boxed[0]).expect("it opens")
    }
}

/// The number of sessions that the log says have ended so, and the number of its lines that say so.
fn ended(log: &str, reason: &str, address: &str) -> (u64, usize) {
    let of_reason = |line: &&str| line.contains(&format!("reason=\"{reason}\""));
    let lines: Vec<&str> = log.lines().filter(of_reason).collect();
    let more = |line: &str| line.split("more=").nth(1)?.split(' ').next()?.parse::<u64>().ok();
    let left_out = lines.iter().filter_map(|line| more(line)).sum::<u64>();
    let told: Vec<_> = lines.iter().filter(|line| line.contains("session ended")).collect();
    assert!(told.iter().all(|line| line.contains(&format!("peer={address}:"))), "{log}");
    (left_out + told.len() as u64, lines.len())
}

#[test]
fn a_curve_key_of_nobody_is_a_failed_login_and_who_tries_many_is_slowed_down() {
    let _watchdog =
        watchdog::watch("a_curve_key_of_nobody_is_a_failed_login_and_who_tries_many_is_slowed_down");
    let house = House::open();
    let mut subscriber = house.robot("SUB");
    subscriber.sends(&command::subscription(true, b"t", true));
    let mut publisher = house.robot("XPUB");
    assert_eq!(publisher.hears(), command::subscription(true, b"t", true));
    let began = Instant::now();
    for number in 0..LOGIN_FAILURES_HERE_MAX {
        house.nobody();
        if number % 10 == 0 {
            let told = message(&[b"t", &number.to_le_bytes()]);
            publisher.sends(&told);
            let parts = [subscriber.hears(), subscriber.hears()].concat();
            assert_eq!(parts, told);
        }
    }
    let failures = u64::from(LOGIN_FAILURES_HERE_MAX);
    let page = house.broker.until(|page| page.sum("corecast_logins_failed_total") == failures);
    assert_eq!(page.sum("corecast_logins_slowed_total"), 0);
    // From now on everybody on this host is read late, and who may come in does.
    let asked = Instant::now();
    house.nobody();
    assert!(asked.elapsed() >= LOGIN_DELAY, "{:?}", asked.elapsed());
    let mut late = house.robot("SUB");
    late.sends(&command::subscription(true, b"t", true));
    publisher.sends(&message(&[b"t", b"last"]));
    assert_eq!([subscriber.hears(), subscriber.hears()].concat(), message(&[b"t", b"last"]));
    let page = house.broker.until(|page| page.sum("corecast_logins_slowed_total") == 2);
    assert_eq!(page.sum("corecast_logins_failed_total"), failures + 1);
    assert_eq!(page.closes("unauthenticated"), failures + 1);
    // The log names the address, has a line a second, and accounts for every one.
    let in_log = || ended(&house.broker.log(), "unauthenticated", "127.0.0.1");
    house.broker.until(|_| in_log().0 == failures + 1);
    let lines = u64::try_from(in_log().1).expect("a few");
    assert!((1..=2 + began.elapsed().as_secs()).contains(&lines), "{}", house.broker.log());
    assert!(house.broker.log().contains("too many failed logins from this host"), "{}", house.broker.log());
}

#[test]
fn a_host_whose_passwords_fill_its_places_is_turned_away_and_gets_in_later() {
    let _watchdog =
        watchdog::watch("a_host_whose_passwords_fill_its_places_is_turned_away_and_gets_in_later");
    let house = House::open();
    let mut robot = house.robot("SUB");
    robot.sends(&command::subscription(true, b"t", true));
    // Below what slows a host down, and three times what may wait of it: the check of one takes longer than the words of many.
    let many = 3 * PASSWORDS_WAITING_HERE_MAX;
    let wrong: Vec<ZmtpPeer> = (0..many).map(|_| house.comes_by_plain("wrong")).collect();
    for mut peer in wrong {
        assert_eq!(peer.hear(), Said::End, "no ERROR, so that it tries again");
    }
    let of = |name: &'static str| house.broker.page().sum(name);
    let all = many as u64;
    house.broker.until(|page| page.closes("unauthenticated") + page.closes("too_many_sessions") == all);
    let turned_away = of("corecast_passwords_turned_away_total");
    assert!(turned_away > 0 && of("corecast_logins_failed_total") == all - turned_away, "{turned_away}");
    assert!(all - turned_away >= PASSWORDS_WAITING_HERE_MAX as u64, "{turned_away} of {all}");
    house.broker.until(|_| ended(&house.broker.log(), "too_many_sessions", "127.0.0.1").0 == turned_away);
    // Nobody who comes otherwise had to wait, and the places are free again.
    house.robot("SUB");
    let mut alice = house.comes_by_plain("sesame");
    assert_eq!(alice.hear(), Said::Command("WELCOME".into(), Vec::new()));
}
