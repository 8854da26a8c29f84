//! The ground on which the contract is tested: a broker, the way that messages take, and the clients.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;

use corecast::internals::auth::{Secret, TokenHash};
use corecast::{ClientConfig, Publisher, Sessions, Subscriber, Token};
use corecast_executors::Reactor;
use tempfile::TempDir;

use super::broker_process::{BrokerProcess, Transport};
use super::{parsed, watchdog};

/// The token of the only user, where there are users.
const TOKEN: &str = "corecast_of_the_team";

/// The way that messages take.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Mode {
    Proxy,
    Direct,
    /// As `Direct`, from executors of the publisher's own.
    DirectFromOwnExecutors,
    /// As `Direct`, of a broker with users: publishers let in who shows a ticket.
    DirectWithUsers,
    /// Some of the topics of each test are proxied, some go direct.
    Mixed,
    /// As `Proxy`, with clients that do without io_uring.
    ProxyOnEpoll,
    /// As `DirectFromOwnExecutors`, with clients that do without io_uring.
    DirectOnEpoll,
}

impl Mode {
    pub(super) fn args(self) -> &'static [&'static str] {
        match self {
            Mode::Proxy | Mode::ProxyOnEpoll => &[],
            Mode::Direct | Mode::DirectFromOwnExecutors | Mode::DirectWithUsers | Mode::DirectOnEpoll => {
                &["--mode", "direct"]
            }
            Mode::Mixed => {
                &["--mode", "direct", "--mode-rule", "news=proxy,a.c=proxy,b=proxy,*.*.x=proxy,t.>=proxy"]
            }
        }
    }

    /// The reactor of the clients.
    pub(super) fn reactor(self) -> Reactor {
        if matches!(self, Mode::ProxyOnEpoll | Mode::DirectOnEpoll) {
            Reactor::Epoll
        } else {
            Reactor::IoUring
        }
    }
}

/// A broker, and how clients reach it.
pub(super) struct Ground {
    pub(super) broker: BrokerProcess,
    pub(super) mode: Mode,
    _folder: TempDir,
    _watchdog: watchdog::Watchdog,
}

impl Ground {
    pub(super) fn new(mode: Mode, transport: Transport, name: &'static str) -> Self {
        let _watchdog = watchdog::watch(name);
        // Three shards, whatever the machine has: publisher, subscriber and neither.
        let mut args = [&["--shards", "3"], mode.args()].concat();
        let folder = tempfile::tempdir().expect("a folder");
        let users = folder.path().join("users.toml").display().to_string();
        if mode == Mode::DirectWithUsers {
            let token = TokenHash::of(&Secret::new(TOKEN.as_bytes()));
            let rights = "register = ['>']\nsubscribe = ['>']\n";
            fs::write(&users, format!("[[user]]\nname = 'team'\ntokens = ['{token}']\n{rights}"))
                .expect("written");
            fs::set_permissions(&users, fs::Permissions::from_mode(0o600)).expect("a mode");
            args.extend(["--users", &users]);
        }
        Ground { broker: BrokerProcess::start(transport, &args), mode, _folder: folder, _watchdog }
    }

    pub(super) fn client(&self) -> ClientConfig {
        let mut client = self.broker.client().reactor(self.mode.reactor());
        if matches!(self.mode, Mode::DirectFromOwnExecutors | Mode::DirectOnEpoll) {
            client.direct.cores = Some("all".parse().expect("cores"));
        }
        if self.mode == Mode::DirectWithUsers {
            client.token = Some(Token::new(TOKEN).expect("a token"));
        }
        client
    }

    pub(super) fn publisher(&self) -> Publisher {
        Publisher::with_config(self.client()).expect("a publisher")
    }

    /// A subscriber that shares a session with everybody here.
    pub(super) fn subscriber(&self, filters: &[&str]) -> Subscriber {
        Subscriber::with_config(self.client(), &parsed(filters)).expect("a subscriber")
    }

    pub(super) fn own_sessions(&self) -> ClientConfig {
        self.client().sessions(Sessions::PerSubscriber)
    }

    /// A subscriber with a session of its own.
    pub(super) fn subscriber_alone(&self, filters: &[&str]) -> Subscriber {
        Subscriber::with_config(self.own_sessions(), &parsed(filters)).expect("a subscriber")
    }
}
