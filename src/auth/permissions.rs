//! The rules of who may do what. [`Permissions`] is the only one that decides: publishing, subscribing, watching and registering
//! all come through it. A value: whoever gets another one asks it everything again.

use std::net::SocketAddr;

use super::rights::Scope;
use super::{Action, Identity, Rights, Verdict};

/// The rules of who may do what. A peer has proved nothing but its address, so there are two kinds of them: those on the
/// same host, which come over a Unix socket or a loopback address, and all others. By default everybody may do everything.
///
/// ```
/// use corecast::{Filter, Permissions, Rights};
///
/// // Other hosts may receive prices, and nothing else.
/// let permissions = Permissions::all().remote(Rights::none().subscribe([Filter::parse("prices.>")?]));
/// # Ok::<(), corecast::FilterError>(())
/// ```
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct Permissions {
    local: Rights,
    remote: Rights,
}

impl Default for Permissions {
    fn default() -> Self {
        Permissions::all()
    }
}

impl Permissions {
    /// Everybody may do everything.
    pub fn all() -> Self {
        Permissions { local: Rights::all(), remote: Rights::all() }
    }

    /// The same, but peers on this host have these rights. What connects by way of a proxy on this host is one of them.
    #[must_use]
    pub fn local(self, rights: Rights) -> Self {
        Permissions { local: rights, ..self }
    }

    /// The same, but peers on other hosts have these rights.
    #[must_use]
    pub fn remote(self, rights: Rights) -> Self {
        Permissions { remote: rights, ..self }
    }

    /// Decides whether `identity` may take an action.
    pub(crate) fn permit(&self, identity: &Identity, action: Action<'_>) -> Verdict {
        match (identity, action) {
            (_, Action::Publish(topic)) => Verdict::from(self.publishable(identity).has(topic)),
            (Identity::Own, _) => Verdict::Allowed,
            (Identity::Anonymous(address) | Identity::Relayed(_, address), action) => {
                self.at(*address).permit(action)
            }
        }
    }

    /// The topics that `identity` may publish: one look-up for all messages of a batch.
    pub(crate) fn publishable(&self, identity: &Identity) -> &Scope {
        match identity {
            Identity::Own => &Scope::All,
            Identity::Anonymous(address) => self.at(*address).publishable(),
            // Its subscribers are there by its registration.
            Identity::Relayed(_, address) => self.at(*address).registrable(),
        }
    }

    /// The steps of a turn that one verdict is worth at the most.
    pub(crate) fn steps(&self) -> usize {
        1 + self.local.filters().max(self.remote.filters()) / FILTERS_PER_STEP
    }

    fn at(&self, address: Option<SocketAddr>) -> &Rights {
        match address {
            Some(address) if !address.ip().to_canonical().is_loopback() => &self.remote,
            _ => &self.local,
        }
    }
}

/// Filters that are compared in a step of about 100 ns.
const FILTERS_PER_STEP: usize = 4;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ids::PublisherId;
    use crate::topic::Filter;

    #[test]
    fn an_address_tells_this_host_from_others() {
        let permissions = Permissions::all().remote(Rights::none());
        let may = |address: Option<&str>| {
            let address = address.map(|text| text.parse().expect("an address"));
            permissions.permit(&Identity::Anonymous(address), Action::Publish(b"a")) == Verdict::Allowed
        };
        assert!(may(None), "a Unix socket");
        assert!(may(Some("127.0.0.1:1")) && may(Some("[::1]:1")) && may(Some("[::ffff:127.9.9.9]:1")));
        assert!(
            !may(Some("192.0.2.1:1")) && !may(Some("[2001:db8::1]:1")) && !may(Some("[::ffff:192.0.2.1]:1"))
        );
    }

    #[test]
    fn a_relay_is_judged_as_the_direct_publisher_that_it_is_and_this_process_not_at_all() {
        let topic = Filter::parse("direct").expect("a filter");
        let permissions = Permissions::all().local(Rights::none().register([topic]));
        let relayed = Identity::Relayed(PublisherId(1), None);
        assert_eq!(permissions.permit(&relayed, Action::Publish(b"direct")), Verdict::Allowed);
        assert_eq!(permissions.permit(&relayed, Action::Publish(b"other")), Verdict::Refused);
        assert_eq!(
            permissions.permit(&Identity::Anonymous(None), Action::Publish(b"direct")),
            Verdict::Refused
        );
        assert_eq!(permissions.permit(&Identity::Own, Action::Publish(b"other")), Verdict::Allowed);
    }
}
