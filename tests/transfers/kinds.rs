//! Clients of other kinds that are sent to another broker: users over TLS, direct publishers and their subscribers, ZeroMQ sockets.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;

use corecast::internals::auth::{Secret, TokenHash};
use corecast::{Brokers, ClientConfig, Sessions, TlsClientFiles, Token};

use super::broker_process::BrokerProcess;
use super::certificates::{Authority, Validity};
use super::numbers::{Listener, Numbers};
use super::zmtp_peer::{Said, ZmtpPeer};
use super::{client_of, drain, start, watchdog};

/// A broker with users behind TLS, and a door without that for the operators of its host.
fn broker_of(authority: &Authority) -> BrokerProcess {
    let users = authority.path("users.toml");
    let user = |name: &str, right: &str| {
        let token = TokenHash::of(&Secret::new(name.as_bytes()));
        format!("[[user]]\nname = '{name}'\ntokens = ['{token}']\n{right} = ['n']\n")
    };
    fs::write(&users, user("feeds", "publish") + &user("desk", "subscribe")).expect("written");
    fs::set_permissions(&users, fs::Permissions::from_mode(0o600)).expect("a mode");
    let [users, cert, key] =
        ["users.toml", "server.pem", "server.key"].map(|name| authority.path(name).display().to_string());
    let listen = ["--shards", "1", "--listen", "tls://127.0.0.1:0"];
    let files = ["--users", &users, "--tls-cert", &cert, "--tls-key", &key];
    start(&[&listen[..], &files].concat())
}

fn tls_of(broker: &BrokerProcess) -> String {
    broker.endpoints().iter().find(|url| url.starts_with("tls:")).expect("it has one").clone()
}

#[test]
fn users_go_on_behind_tls_with_their_tokens_and_nowhere_without() {
    let _watchdog = watchdog::watch("users_go_on_behind_tls_with_their_tokens_and_nowhere_without");
    let authority = Authority::new();
    authority.sign("server", "IP:127.0.0.1", "serverAuth", Validity::Now);
    let [mut a, b] = [(); 2].map(|()| broker_of(&authority));
    let trust = TlsClientFiles::default().ca(Some(authority.ca())).read().expect("it was made");
    let client = |user: &str| {
        let brokers: Brokers = tls_of(&a).parse().expect("an endpoint");
        let config = ClientConfig::default().broker(brokers).sessions(Sessions::PerSubscriber);
        let connect = config.connect.clone().tls(trust.clone());
        config.connect(connect).token(Token::new(user).expect("a token"))
    };
    let mut listener = Listener::new(client("desk"));
    let numbers = Numbers::start(client("feeds"));
    listener.until(220);
    // Anybody could read along there: they are served to the end, and come back when the broker does.
    drain(&a, b.endpoint(), "0");
    assert_eq!(a.wait().code(), Some(0), "{}", a.log());
    assert!(a.log().contains("and have not gone"), "{}", a.log());
    assert_eq!(b.page().sum("corecast_accepts_total"), 0, "nobody has shown a token there");
    a.start_again();
    a.until(|page| page.sum("corecast_sessions") == 2);
    let now = listener.last;
    listener.until(now + 220);
    drain(&a, &tls_of(&b), "0");
    assert_eq!(a.wait().code(), Some(0), "{}", a.log());
    b.until(|page| page.sum("corecast_sessions") == 2);
    let now = listener.last;
    listener.until(now + 100);
    listener.until(numbers.stop());
}

#[test]
fn direct_publishers_and_their_subscribers_lose_nothing_on_the_way() {
    let _watchdog = watchdog::watch("direct_publishers_and_their_subscribers_lose_nothing_on_the_way");
    let direct = ["--shards", "1", "--mode", "direct"];
    let [mut a, b] = [(); 2].map(|()| start(&direct));
    let config = client_of(&[&a]);
    let mut listener = Listener::new(config.clone());
    let numbers = Numbers::start(config.clone());
    listener.until(220);
    drain(&a, b.endpoint(), "0");
    assert_eq!(a.wait().code(), Some(0), "{}", a.log());
    assert!(a.log().contains("every client that could has gone"), "{}", a.log());
    b.until(|page| page.sum("corecast_sessions") == 2);
    let now = listener.last;
    listener.until(now + 100);
    assert_eq!(listener.told, 0, "their messages go past brokers");
    // One that comes now learns of the publisher at the other broker.
    let mut late = Listener::new(client_of(&[&b]));
    late.until(listener.last + 100);
    let last = numbers.stop();
    listener.until(last);
    late.until(last);
    assert_eq!(listener.told, 0);
}

#[test]
fn zeromq_sockets_cannot_be_told_and_are_served_until_the_end() {
    let _watchdog = watchdog::watch("zeromq_sockets_cannot_be_told_and_are_served_until_the_end");
    let folder = tempfile::tempdir().expect("a folder");
    let door = folder.path().join("zmtp.sock");
    let url = format!("ipc://{}", door.display());
    let mut a = start(&["--shards", "2", "--zmtp", &url]);
    let b = start(&["--shards", "1"]);
    let mut peer = ZmtpPeer::open(&door, "SUB");
    peer.subscribe(b"n");
    a.until(|page| page.sum("corecast_subscriptions") == 1);
    let config = client_of(&[&a]);
    let mut listener = Listener::new(config.clone());
    let numbers = Numbers::start(config);
    listener.until(220);
    drain(&a, b.endpoint(), "0");
    b.until(|page| page.sum("corecast_sessions") == 2);
    assert_eq!(a.wait().code(), Some(0), "{}", a.log());
    assert!(a.log().contains("every client that could has gone"), "nobody waits for it: {}", a.log());
    let mut heard = 0;
    loop {
        match peer.hear() {
            Said::Message(parts) => {
                heard += 1;
                let number = u64::from_le_bytes(parts[1][..].try_into().expect("a number"));
                assert_eq!(number, heard, "all that was published here");
            }
            // The last word, which libzmq does not mind behind the handshake.
            Said::Command(name, words)
                if name == "ERROR" && words.ends_with(b"the broker is shutting down") => {}
            Said::End => break,
            other => panic!("{other:?}"),
        }
    }
    assert!(heard >= 220, "{heard}");
    let now = listener.last;
    listener.until(now + 50);
    listener.until(numbers.stop());
}
