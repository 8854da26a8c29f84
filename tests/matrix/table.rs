//! The axes of the table, the cells that make no sense, and the oracle.

use std::collections::BTreeMap;

use corecast::internals::auth::{Secret, TokenHash};
use corecast::internals::zmtp::curve::PublicKey;

/// A client's standing with the broker.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Standing {
    /// It shows nothing.
    Nobody,
    /// It shows something that is of nobody.
    Wrong,
    /// It is a user who may do everything but this.
    Narrow,
    /// It is a user who may do this.
    Right,
    /// It was one when its session began.
    Revoked,
    /// It was one before its session began.
    Expired,
}

/// Something that a client does.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Act {
    Publish,
    SubscribeExact,
    SubscribeWildcard,
    /// It subscribes to more than any user here may.
    SubscribeWider,
    Watch,
    List,
    Register,
    /// It hears a direct publisher: at that, by a ticket of the broker; a ZeroMQ socket by way of the broker.
    Direct,
}

/// The way to the broker, and with it the credential.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Door {
    /// By a token.
    Tcp,
    /// By a client certificate.
    Tls,
    /// By the uid of the client's process.
    Uds,
    /// A ZeroMQ socket that shows nothing, and has the rights of `anonymous`.
    Null,
    /// One that shows a name and a password.
    Plain,
    /// One that shows its key.
    Curve,
}

impl Door {
    pub(crate) fn is_zmtp(self) -> bool {
        matches!(self, Door::Null | Door::Plain | Door::Curve)
    }
}

pub(crate) const STANDINGS: [Standing; 6] = [
    Standing::Nobody,
    Standing::Wrong,
    Standing::Narrow,
    Standing::Right,
    Standing::Revoked,
    Standing::Expired,
];

pub(crate) const ACTS: [Act; 8] = [
    Act::Publish,
    Act::SubscribeExact,
    Act::SubscribeWildcard,
    Act::SubscribeWider,
    Act::Watch,
    Act::List,
    Act::Register,
    Act::Direct,
];

pub(crate) const DOORS: [Door; 6] = [Door::Tcp, Door::Tls, Door::Uds, Door::Null, Door::Plain, Door::Curve];

/// The outcome of a cell.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Outcome {
    /// It is done, and has its effect.
    Done,
    /// It is refused, and has none.
    NotPermitted,
    /// The client is not let in, or no longer.
    NotLetIn,
}

/// The oracle.
pub(crate) fn expected(standing: Standing, act: Act) -> Outcome {
    match standing {
        Standing::Nobody | Standing::Wrong | Standing::Expired => Outcome::NotLetIn,
        Standing::Right | Standing::Revoked if act != Act::SubscribeWider => Outcome::Done,
        Standing::Narrow | Standing::Right | Standing::Revoked => Outcome::NotPermitted,
    }
}

/// The reason for which a cell makes no sense.
pub(crate) fn senseless(standing: Standing, act: Act, door: Door) -> Option<&'static str> {
    match (door, standing, act) {
        (Door::Uds, Standing::Wrong, _) => Some("the kernel says which uid it is"),
        (Door::Null, Standing::Wrong | Standing::Expired, _) => {
            Some("NULL shows nothing that could be wrong or old")
        }
        (Door::Plain | Door::Curve, Standing::Nobody, _) => Some("PLAIN and CURVE always show something"),
        (door, _, Act::Watch | Act::List | Act::Register) if door.is_zmtp() => {
            Some("ZeroMQ has no such request")
        }
        _ => None,
    }
}

/// The token of those that are trusted, of the client, and of nobody.
pub(crate) const TRUSTED: &str = "corecast_trusted";
pub(crate) const TOKEN: &str = "corecast_client";
pub(crate) const WRONG: &str = "corecast_nobody";

/// The password of the client, one of nobody, and the hash of the first; the unit tests of `auth` say how that was made.
pub(crate) const PASSWORD: &str = "sesame";
pub(crate) const WRONG_PASSWORD: &str = "Sesame";
const PASSWORD_HASH: &str =
    "$argon2id$v=19$m=19456,t=2,p=1$Y29yZWNhc3Qgc2FsdCAxNg$KcWNHtN6TgCsl4hAxvX2U7/5MSf4IWcDnp+2/d2guE4";

/// The names in the client's certificates: the present one, the one that has expired, and one of nobody.
pub(crate) const NAME: &str = "client.example.org";
pub(crate) const OLD: &str = "old.example.org";
pub(crate) const STRANGER: &str = "stranger.example.org";

/// The file of users while a client of this standing does this. Whoever is trusted is always there, and so is the user of the
/// certificate that has expired: the file alone would let it in.
pub(crate) fn users(standing: Standing, act: Act, key: PublicKey) -> String {
    let trusted = format!("[[user]]\nname = 'trusted'\ntokens = ['{}']\n{}", hash(TRUSTED), everything());
    let old = format!("[[user]]\nname = 'old'\ncertificates = ['{OLD}']\n{}", everything());
    let rights = match standing {
        Standing::Nobody | Standing::Wrong | Standing::Expired => return [trusted, old].concat(),
        Standing::Narrow => rights(Some(act)),
        Standing::Right | Standing::Revoked => rights(None),
    };
    let uid = nix::unistd::geteuid();
    let client = format!(
        "[[user]]\nname = 'client'\ntokens = ['{}']\ncertificates = ['{NAME}']\nuids = [{uid}]\n\
         password = '{PASSWORD_HASH}'\ncurve_keys = ['{key}']\n{rights}",
        hash(TOKEN)
    );
    let anonymous = format!("[[user]]\nname = 'anonymous'\n{rights}");
    [trusted, old, client, anonymous].concat()
}

fn hash(token: &str) -> TokenHash {
    TokenHash::of(&Secret::new(token.as_bytes()))
}

fn everything() -> String {
    lines(|_, _| ">")
}

/// By right: the filter that permits the acts of this table, and the acts that it permits.
const RIGHTS: [(&str, &str, &[Act]); 6] = [
    ("publish", "t.>", &[Act::Publish, Act::Watch]),
    ("subscribe", "t.>", &[Act::SubscribeExact, Act::SubscribeWildcard, Act::SubscribeWider]),
    ("subscribe", "d.>", &[Act::Direct]),
    ("register", "d.>", &[Act::Register]),
    ("watch", "t.>", &[Act::Watch]),
    ("list", ">", &[Act::List]),
];

/// Rights to do all of it, but for one act.
fn rights(but: Option<Act>) -> String {
    lines(|wide, acts| if but.is_some_and(|but| acts.contains(&but)) { "other.>" } else { wide })
}

/// A line for each right, with the filters that these are replaced by.
fn lines(filter: impl Fn(&'static str, &[Act]) -> &'static str) -> String {
    let mut lines: BTreeMap<&str, Vec<String>> = BTreeMap::new();
    for (right, wide, acts) in RIGHTS {
        lines.entry(right).or_default().push(format!("'{}'", filter(wide, acts)));
    }
    // The same filter twice would be a fault of the file.
    lines.values_mut().for_each(Vec::dedup);
    lines.iter().map(|(right, filters)| format!("{right} = [{}]\n", filters.join(", "))).collect()
}
