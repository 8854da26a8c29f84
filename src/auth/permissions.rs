//! The rules of who may do what. [`Permissions`] is the only one that decides: publishing, subscribing, watching and registering
//! all come through it. A value: whoever gets another one asks it everything again.

use std::net::SocketAddr;
use std::sync::Arc;

use corecast_executors::MonotonicNs;

use super::rights::Scope;
use super::{Action, Identity, LoginRefusal, Proof, Rights, TicketRules, User, Users, Verdict};

/// The rules of who may do what: by the users of a file, or by addresses alone. By default everybody may do everything.
///
/// With users ([`Permissions::of_users`]) a peer has to show which of them it is, and has their rights; those that show
/// nothing have the rights of the user `anonymous`, and are not let in if there is none. Without users there are two kinds of
/// peers: those on the same host, which come over a Unix socket or a loopback address, and all others.
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
    /// Rights of peers that are no users, by their address.
    local: Rights,
    remote: Rights,
    users: Option<Arc<Users>>,
    /// The tickets without which nobody is let in at a direct publisher.
    tickets: Option<TicketRules>,
}

impl Default for Permissions {
    fn default() -> Self {
        Permissions::all()
    }
}

impl Permissions {
    /// Everybody may do everything.
    pub fn all() -> Self {
        Permissions { local: Rights::all(), remote: Rights::all(), users: None, tickets: None }
    }

    /// These users may do what they may, and others what `anonymous` may: nothing, if there is no such user.
    pub fn of_users(users: Users) -> Self {
        let others = users.anonymous().cloned().unwrap_or_else(Rights::none);
        Permissions { local: others.clone(), remote: others, users: Some(Arc::new(users)), tickets: None }
    }

    /// The same, but peers on this host have these rights, unless they are users. What connects by way of a proxy on this
    /// host is one of them.
    #[must_use]
    pub fn local(self, rights: Rights) -> Self {
        Permissions { local: rights, ..self }
    }

    /// The same, but peers on other hosts have these rights, unless they are users.
    #[must_use]
    pub fn remote(self, rights: Rights) -> Self {
        Permissions { remote: rights, ..self }
    }

    /// The same at a direct publisher, but nobody is let in who shows no such ticket. `None`: nobody is asked for one.
    #[must_use]
    pub(crate) fn asking_for(self, tickets: Option<TicketRules>) -> Self {
        Permissions { tickets, ..self }
    }

    /// The tickets without which nobody is let in.
    pub(crate) fn tickets(&self) -> Option<&TicketRules> {
        self.tickets.as_ref()
    }

    /// The users, if there are any.
    pub fn users(&self) -> Option<&Users> {
        self.users.as_deref()
    }

    /// Tells who a peer at this address is, by what it has shown. A token, a password or a key that is of nobody is refused,
    /// also where peers that show nothing are let in. For a password this takes tens of milliseconds: never on an executor.
    ///
    /// # Errors
    /// The peer is not let in.
    pub(crate) fn identify(
        &self,
        proof: &Proof,
        address: Option<SocketAddr>,
    ) -> Result<Identity, LoginRefusal> {
        if self.tickets.is_some() {
            return Err(LoginRefusal::NoTicket);
        }
        let Some(users) = &self.users else { return Ok(Identity::Anonymous(address)) };
        match (users.login(proof), proof) {
            (Ok(login), _) => Ok(Identity::User(login, address)),
            // These come with the connection, whatever its client wants.
            (Err(_), Proof::None | Proof::Certificate(_) | Proof::Uid(_)) if users.anonymous().is_some() => {
                Ok(Identity::Anonymous(address))
            }
            (Err(refusal), _) => Err(refusal),
        }
    }

    /// The identity of a session by these rules, which may be others than those by which it was let in.
    ///
    /// # Errors
    /// The peer is let in no longer: what it had shown is of nobody now.
    pub(crate) fn identify_again(
        &self,
        identity: &Identity,
        now: MonotonicNs,
    ) -> Result<Identity, LoginRefusal> {
        match (identity, &self.users) {
            (Identity::User(login, address), Some(users)) => match users.login_again(login) {
                Some(login) => Ok(Identity::User(login, *address)),
                None => Err(login.refusal()),
            },
            (Identity::User(_, address), None) => Ok(Identity::Anonymous(*address)),
            (Identity::Anonymous(address), _) => self.identify(&Proof::None, *address),
            (Identity::Shown(proof, address), _) => self.identify(proof, *address),
            (Identity::Relayed(publisher, registrant, address), _) => {
                let registrant = self.identify_again(registrant, now)?;
                Ok(Identity::Relayed(*publisher, Arc::new(registrant), *address))
            }
            (Identity::Admitted(accepted, address), _) => {
                // None are asked for any more: its time does not end with a ticket that nobody renews.
                let Some(rules) = &self.tickets else { return self.identify(&Proof::None, *address) };
                let going_on = rules.go_on(accepted, now).map_err(LoginRefusal::Ticket)?;
                Ok(Identity::Admitted(Arc::new(going_on), *address))
            }
            (Identity::Elsewhere(_) | Identity::Own, _) => Ok(identity.clone()),
        }
    }

    /// Decides whether `identity` may take an action.
    pub(crate) fn permit(&self, identity: &Identity, action: Action<'_>) -> Verdict {
        match (identity, action) {
            (_, Action::Publish(topic)) => Verdict::from(self.publishable(identity).has(topic)),
            // Brokers of a cluster trust one another.
            (Identity::Elsewhere(_) | Identity::Own, _) => Verdict::Allowed,
            (Identity::Admitted(accepted, _), action) if accepted.permit(action) == Verdict::Refused => {
                Verdict::Refused
            }
            (_, action) => self.rights_of(identity).permit(action),
        }
    }

    /// The topics that `identity` may publish: one look-up for all messages of a batch.
    pub(crate) fn publishable<'a>(&'a self, identity: &'a Identity) -> &'a Scope {
        match identity {
            Identity::Elsewhere(_) | Identity::Own => &Scope::All,
            Identity::Relayed(_, registrant, _) if matches!(**registrant, Identity::Elsewhere(_)) => {
                &Scope::All
            }
            // Its subscribers are there by its registration.
            Identity::Relayed(..) => self.rights_of(identity).registrable(),
            Identity::Anonymous(_) | Identity::Shown(..) | Identity::User(..) | Identity::Admitted(..) => {
                self.rights_of(identity).publishable()
            }
        }
    }

    /// The topics for which `identity` may take such an action, for the error that refuses it: "allowed: `a.>`".
    pub(crate) fn allowed(&self, identity: &Identity, action: Action<'_>) -> String {
        match (identity, action) {
            (Identity::Admitted(accepted, _), Action::Subscribe(_)) => {
                format!("allowed by the ticket: {}", accepted.scope())
            }
            _ => format!("allowed: {}", self.rights_of(identity).allowed(action)),
        }
    }

    /// The topics that `identity` may subscribe to, for the tickets that it is given.
    pub(crate) fn receivable<'a>(&'a self, identity: &'a Identity) -> &'a Scope {
        self.rights_of(identity).receivable()
    }

    /// True if these rules take something from somebody who had it by those before: whatever a peer was given by them is to be
    /// given anew.
    pub(crate) fn take_from(&self, before: &Permissions) -> bool {
        match (&self.users, &before.users) {
            (Some(users), Some(before)) => users.take_from(before),
            _ => self != before,
        }
    }

    /// The user whose quotas apply to an identity; `None` where there are no users.
    pub(crate) fn user_of<'a>(&'a self, identity: &'a Identity) -> Option<&'a User> {
        let users = self.users.as_deref()?;
        match identity {
            Identity::User(login, _) => users.user_of(Some(login)),
            Identity::Anonymous(_) | Identity::Shown(..) => users.user_of(None),
            Identity::Relayed(..) | Identity::Admitted(..) | Identity::Elsewhere(_) | Identity::Own => None,
        }
    }

    /// Goes on counting against quotas where the rules that were in force before did.
    pub(crate) fn take_over(&self, before: &Permissions) {
        if let (Some(users), Some(before)) = (&self.users, &before.users) {
            users.take_over(before);
        }
    }

    fn rights_of<'a>(&'a self, identity: &'a Identity) -> &'a Rights {
        match (identity, &self.users) {
            (Identity::User(login, _), Some(users)) => users.rights_of(login),
            (Identity::Relayed(_, registrant, _), _) => self.rights_of(registrant),
            _ => self.at(identity.address()),
        }
    }

    fn at(&self, address: Option<SocketAddr>) -> &Rights {
        match address {
            Some(address) if !address.ip().to_canonical().is_loopback() => &self.remote,
            _ => &self.local,
        }
    }
}

/// Steps of a turn that one verdict is worth: a walk down the levels of a filter, however many filters a right has.
pub(crate) const VERDICT_STEPS: usize = 2;

#[cfg(test)]
mod tests {
    use super::super::Secret;
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
    fn a_relay_is_judged_by_the_rights_of_its_registrant_and_this_process_not_at_all() {
        let topic = Filter::parse("direct").expect("a filter");
        let permissions = Permissions::all().local(Rights::none().register([topic]));
        let relayed = relayed_for(Identity::Anonymous(None));
        assert_eq!(permissions.permit(&relayed, Action::Publish(b"direct")), Verdict::Allowed);
        assert_eq!(permissions.permit(&relayed, Action::Publish(b"other")), Verdict::Refused);
        assert_eq!(
            permissions.permit(&Identity::Anonymous(None), Action::Publish(b"direct")),
            Verdict::Refused
        );
        assert_eq!(permissions.permit(&Identity::Own, Action::Publish(b"other")), Verdict::Allowed);
    }

    fn relayed_for(registrant: Identity) -> Identity {
        Identity::Relayed(PublisherId(1), Arc::new(registrant), None)
    }

    #[test]
    fn a_relay_goes_with_the_user_who_has_registered_it() {
        let permissions = users(&KNOWN.replace("subscribe", "register"));
        let known = permissions.identify(&Proof::Uid(7), None).expect("a user");
        let relayed = relayed_for(known);
        assert_eq!(permissions.permit(&relayed, Action::Publish(b"k.a")), Verdict::Allowed);
        assert_eq!(permissions.permit(&relayed, Action::Publish(b"other")), Verdict::Refused);
        assert_eq!(relayed.user(), Some("known"));
        let revoked = users(&KNOWN.replace("[7]", "[8]"));
        assert_eq!(revoked.permit(&relayed, Action::Publish(b"k.a")), Verdict::Refused);
        assert_eq!(again(&revoked, &relayed), Err(LoginRefusal::Uid(7)));
        let nobody = relayed_for(Identity::Anonymous(None));
        assert_eq!(permissions.permit(&nobody, Action::Publish(b"k.a")), Verdict::Refused);
    }

    fn users(text: &str) -> Permissions {
        Permissions::of_users(Users::parse(text).expect("users"))
    }

    const KNOWN: &str = "[[user]]\nname = 'known'\nuids = [7]\nsubscribe = ['k.>']\n";
    const OPEN: &str = "[[user]]\nname = 'anonymous'\nsubscribe = ['open']\n";

    fn may(permissions: &Permissions, identity: &Identity, filter: &str) -> bool {
        let filter = Filter::parse(filter).expect("a filter");
        permissions.permit(identity, Action::Subscribe(&filter)) == Verdict::Allowed
    }

    fn again(permissions: &Permissions, identity: &Identity) -> Result<Identity, LoginRefusal> {
        permissions.identify_again(identity, MonotonicNs(0))
    }

    #[test]
    fn rules_that_only_give_take_nothing() {
        let before = users(KNOWN);
        assert!(!users(&format!("{KNOWN}{OPEN}")).take_from(&before), "a new user");
        assert!(!users(KNOWN).take_from(&before), "the same again");
        assert!(users(&KNOWN.replace("k.>", "k.a")).take_from(&before), "less of a right");
        assert!(users(OPEN).take_from(&before), "a user less");
        assert!(before.take_from(&Permissions::all()) && Permissions::all().take_from(&before));
    }

    #[test]
    fn with_users_only_they_are_let_in_or_those_that_anonymous_stands_for() {
        let token = Proof::Token(Secret::new(b"of nobody"));
        let closed = users(KNOWN);
        assert_eq!(closed.identify(&Proof::None, None), Err(LoginRefusal::Nothing));
        assert_eq!(closed.identify(&Proof::Uid(8), None), Err(LoginRefusal::Uid(8)));
        assert_eq!(closed.identify(&token, None), Err(LoginRefusal::Token));
        assert!(!may(&closed, &Identity::Anonymous(None), "open"), "closed, should it get so far");
        let known = closed.identify(&Proof::Uid(7), None).expect("a user");
        assert!(may(&closed, &known, "k.*") && !may(&closed, &known, "open"));

        let open = users(&format!("{KNOWN}{OPEN}"));
        for proof in [Proof::None, Proof::Uid(8), Proof::Certificate(vec!["nobody".into()])] {
            let anybody = open.identify(&proof, None).expect("anonymous");
            assert!(may(&open, &anybody, "open") && !may(&open, &anybody, "k.a"));
        }
        assert_eq!(open.identify(&token, None), Err(LoginRefusal::Token), "a wrong token is never let in");
        assert_eq!(Permissions::all().identify(&token, None), Ok(Identity::Anonymous(None)), "nobody asks");
    }

    #[test]
    fn a_login_counts_as_the_users_of_now_have_it() {
        let before = users(KNOWN);
        let known = before.identify(&Proof::Uid(7), None).expect("a user");
        let wider = users(&KNOWN.replace("'k.>'", "'k.>', 'new'"));
        assert!(!may(&before, &known, "new") && may(&wider, &known, "new"));
        let known_again = again(&wider, &known).expect("still a user");
        assert!(may(&wider, &known_again, "new"));
        let revoked = users(&KNOWN.replace("[7]", "[8]"));
        assert!(!may(&revoked, &known, "k.a"), "at once");
        assert_eq!(again(&revoked, &known), Err(LoginRefusal::Uid(7)));
        assert_eq!(again(&wider, &Identity::Anonymous(None)), Err(LoginRefusal::Nothing));
        assert_eq!(before, users(KNOWN), "the same users are the same rules");
        assert_ne!(before, wider);
    }
}
