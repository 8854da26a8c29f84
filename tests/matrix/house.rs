//! The broker of the table, with a door for each column, and the clients that are always trusted.

use std::fs;
use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;
use std::time::Duration;

use corecast::internals::zmtp::curve::{KeyPair, PublicKey, secret_text};
use corecast::{Endpoint, Publisher, Token};
use corecast_executors::pause;
use nix::sys::signal::Signal;

use super::broker_process::{BrokerProcess, Transport};
use super::certificates::{Authority, Validity, argument};
use super::native::Native;
use super::table::{self, Act, NAME, OLD, Outcome, STRANGER, Standing, TRUSTED};

/// The topic of all acts but of those of direct publishers, and that of these.
pub(crate) const TOPIC: &str = "t.x";
pub(crate) const DIRECT_TOPIC: &str = "d.x";

/// Between two looks at the registry, which a direct publisher is entered in behind its first message.
const LOOK_PAUSE: Duration = Duration::from_millis(10);

/// A broker and its users. One shard: an answer behind a message shows that nothing else came before it.
pub(crate) struct House {
    broker: BrokerProcess,
    pub(crate) authority: Authority,
    /// The public key of the broker's ZeroMQ door, and the client's pair.
    pub(crate) server_key: PublicKey,
    pub(crate) client_key: KeyPair,
    users: String,
    reloads: u64,
    source: Native,
    observer: Native,
    /// A direct publisher of a user who is trusted.
    direct: Publisher,
    fences: u32,
}

impl House {
    pub(crate) fn open() -> House {
        let authority = Authority::new();
        authority.sign_server("server");
        for (file, name, validity) in [
            ("client", NAME, Validity::Now),
            ("old", OLD, Validity::Past),
            ("stranger", STRANGER, Validity::Now),
        ] {
            authority.sign(file, &format!("DNS:{name}"), "clientAuth", validity);
        }
        let (server, client_key) = (KeyPair::generate(), KeyPair::generate());
        let users = table::users(Standing::Nobody, Act::Publish, client_key.public());
        write(&authority, "users.toml", &users);
        write(&authority, "broker.key_secret", &secret_text(&server));
        let curve_key = authority.path("broker.key_secret");
        let [cert, key] = authority.files("server");
        let uds = format!("uds://{}", authority.path("broker.sock").display());
        let (ca, file) = (authority.ca(), authority.path("users.toml"));
        let tls = [
            "--tls-cert",
            &cert,
            "--tls-key",
            &key,
            "--tls-client-ca",
            argument(&ca),
            "--tls-clients",
            "optional",
        ];
        let listen = [
            "--listen",
            "tls://127.0.0.1:0",
            "--listen",
            &uds,
            "--zmtp",
            "tcp://127.0.0.1:0",
            "--zmtp-curve-key",
            argument(&curve_key),
        ];
        let rest = ["--shards", "1", "--users", argument(&file), "--mode-rule", "d.>=direct"];
        let broker = BrokerProcess::start(Transport::Tcp, &[&tls[..], &listen, &rest].concat());
        let trusted = || Native::over_tcp(broker.address(), Some(TRUSTED)).expect("it is a user");
        let (source, mut observer) = (trusted(), trusted());
        observer.subscribe(">");
        let mut config = broker.client().token(Token::new(TRUSTED).expect("a token"));
        let path = authority.path("publisher.sock");
        config.direct = config.direct.listen(Some(Endpoint::Uds { path }));
        let direct = Publisher::with_config(config).expect("it is a user");
        let server_key = server.public();
        let (reloads, fences) = (0, 0);
        let mut house = House {
            broker,
            authority,
            server_key,
            client_key,
            users,
            reloads,
            source,
            observer,
            direct,
            fences,
        };
        house.fence_directly();
        while !house.knows(house.direct_number()) {
            pause(LOOK_PAUSE);
        }
        house
    }

    /// The users are those of this cell from now on.
    pub(crate) fn follow(&mut self, standing: Standing, act: Act) {
        let users = table::users(standing, act, self.client_key.public());
        if self.users != users {
            write(&self.authority, "users.toml", &users);
            self.users = users;
            self.broker.signal(Signal::SIGHUP);
            self.reloads += 1;
            self.broker.until(|page| page.sum("corecast_reloads_total") == self.reloads);
        }
    }

    pub(crate) fn tcp(&self) -> SocketAddr {
        self.broker.address()
    }

    pub(crate) fn tls(&self) -> &str {
        self.broker.endpoints()[1].strip_prefix("tls://").expect("it is the second")
    }

    pub(crate) fn uds(&self) -> PathBuf {
        self.authority.path("broker.sock")
    }

    pub(crate) fn zmtp(&self) -> SocketAddr {
        let address = self.broker.zmtp()[0].strip_prefix("tcp://").expect("it is on TCP");
        address.parse().expect("an address in digits")
    }

    /// Whoever is trusted publishes a message; returns its payload, and what was published before it since the last one.
    pub(crate) fn fence(&mut self) -> (Vec<u8>, Vec<Vec<u8>>) {
        self.fences += 1;
        let fence = format!("fence {}", self.fences).into_bytes();
        assert_eq!(self.source.publish(TOPIC, &fence), Outcome::Done, "whoever is trusted notices nothing");
        (fence.clone(), self.observer.hear_until(&fence))
    }

    /// The direct publisher publishes a message; returns its payload.
    pub(crate) fn fence_directly(&mut self) -> Vec<u8> {
        self.fences += 1;
        let fence = format!("direct fence {}", self.fences).into_bytes();
        self.direct.publish(DIRECT_TOPIC, &fence).expect("whoever is trusted notices nothing");
        fence
    }

    /// The number of the direct publisher, and its listener.
    pub(crate) fn direct_number(&self) -> u64 {
        self.direct.id().0
    }

    pub(crate) fn direct_door(&self) -> PathBuf {
        self.authority.path("publisher.sock")
    }

    /// True if a direct publisher of this number is known.
    pub(crate) fn knows(&mut self, publisher: u64) -> bool {
        self.source.list().contains(&publisher)
    }
}

fn write(authority: &Authority, name: &str, text: &str) {
    let file = authority.path(name);
    fs::write(&file, text).expect("written");
    fs::set_permissions(&file, fs::Permissions::from_mode(0o600)).expect("a mode");
}
