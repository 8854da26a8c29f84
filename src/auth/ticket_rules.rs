//! Tickets at a direct publisher: those that it asks for by the word of its broker, and what one that was shown
//! permits. Pure: time comes in.

use std::time::Duration;

use corecast_executors::MonotonicNs;

use super::rights::Scope;
use super::ticket::{Ticket, TicketFault};
use super::{Action, TicketKey, Verdict};
use crate::ids::PublisherId;
use crate::limits::{TICKET_GRACE, TICKET_LIFE};

/// A broker's word on the tickets that one of its direct publishers is to ask for.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct TicketRules {
    /// The key that they must be signed by.
    pub key: TicketKey,
    /// The least number of the broker's rules by which they must have been given.
    pub epoch: u64,
    /// The broker's clock of tickets, in milliseconds, when this was said.
    pub broker_ms: u64,
    /// The clock of this host then.
    pub heard_at: MonotonicNs,
}

/// A ticket that was shown and accepted.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct AcceptedTicket {
    holder: Box<str>,
    scope: Scope,
    key: TicketKey,
    epoch: u64,
    ends_at: MonotonicNs,
}

impl TicketRules {
    /// Accepts a ticket at the publisher that is here, or says why not. Hosts need no common time: the broker's clock is known as it was heard last.
    ///
    /// # Errors
    /// The fault of the ticket.
    pub fn admit(
        &self,
        ticket: &[u8],
        here: PublisherId,
        now: MonotonicNs,
    ) -> Result<AcceptedTicket, TicketFault> {
        let Ticket { publisher, epoch, ends_ms, holder, scope } = Ticket::check(ticket, &self.key)?;
        if publisher != here {
            return Err(TicketFault::OtherPublisher);
        }
        if epoch < self.epoch {
            return Err(TicketFault::Void);
        }
        let left = Duration::from_millis(ends_ms.saturating_sub(self.broker_ms));
        let left = left.saturating_sub(now.saturating_since(self.heard_at)).min(TICKET_LIFE);
        if left.is_zero() {
            return Err(TicketFault::Ended);
        }
        Ok(AcceptedTicket { holder, scope, key: self.key, epoch, ends_at: now + left })
    }

    /// An accepted ticket as it goes on by these rules. One by the key of an earlier start of the broker has some time to be renewed:
    /// what that broker has revoked since, nobody can tell.
    pub(super) fn go_on(
        &self,
        accepted: &AcceptedTicket,
        now: MonotonicNs,
    ) -> Result<AcceptedTicket, TicketFault> {
        if accepted.key == self.key {
            return if accepted.epoch < self.epoch { Err(TicketFault::Void) } else { Ok(accepted.clone()) };
        }
        let ends_at = accepted.ends_at.min(now + TICKET_GRACE);
        Ok(AcceptedTicket { ends_at, ..accepted.clone() })
    }

    /// True if `other` says something else than these rules do: another key or epoch, or a time that is another by more than
    /// `by`.
    pub(crate) fn differs_from(&self, other: &TicketRules, by: Duration) -> bool {
        let since = other.heard_at.saturating_since(self.heard_at);
        let expected = u128::from(self.broker_ms) + since.as_millis();
        let apart_ms = expected.abs_diff(u128::from(other.broker_ms));
        (self.key, self.epoch) != (other.key, other.epoch) || apart_ms > by.as_millis()
    }
}

impl AcceptedTicket {
    /// The user whom it has let in, for logs.
    pub fn holder(&self) -> &str {
        &self.holder
    }

    /// True if its time is over.
    pub(crate) fn has_ended(&self, now: MonotonicNs) -> bool {
        self.ends_at <= now
    }

    /// The topics that may be subscribed to.
    pub(super) fn scope(&self) -> &Scope {
        &self.scope
    }

    /// Decides on an action: it is a right to subscribe, and to nothing else.
    pub(super) fn permit(&self, action: Action<'_>) -> Verdict {
        Verdict::from(matches!(action, Action::Subscribe(filter) if self.scope.covers(filter)))
    }
}

#[cfg(all(test, feature = "tls"))]
mod tests {
    use super::super::TicketSigner;
    use super::*;
    use crate::topic::Filter;

    const START: MonotonicNs = MonotonicNs(5_000_000_000_000);
    const HERE: PublisherId = PublisherId(7);

    fn signer() -> TicketSigner {
        TicketSigner::fresh().expect("random bytes").expect("it can sign")
    }

    fn rules(signer: &TicketSigner) -> TicketRules {
        TicketRules { key: signer.key(), epoch: 2, broker_ms: 1_000_000, heard_at: START }
    }

    fn ticket() -> Ticket {
        let scope = Scope::of([Filter::parse("a.*").expect("a filter")]);
        Ticket { publisher: HERE, epoch: 2, ends_ms: 1_060_000, holder: "desk".into(), scope }
    }

    #[test]
    fn a_ticket_lets_in_at_its_publisher_for_its_time_by_the_rules_of_now() {
        let signer = signer();
        let rules = rules(&signer);
        let admit = |ticket: &Ticket, after| {
            let now = START + Duration::from_secs(after);
            rules.admit(&ticket.sign(&signer), HERE, now).map(|accepted| accepted.ends_at)
        };
        let end = START + Duration::from_secs(60);
        assert_eq!((admit(&ticket(), 0), admit(&ticket(), 59)), (Ok(end), Ok(end)));
        assert_eq!(admit(&ticket(), 60), Err(TicketFault::Ended));
        assert_eq!(admit(&Ticket { epoch: 1, ..ticket() }, 0), Err(TicketFault::Void));
        assert!(admit(&Ticket { epoch: 3, ..ticket() }, 0).is_ok(), "it has been given by newer rules");
        let other = Ticket { publisher: PublisherId(8), ..ticket() };
        assert_eq!(admit(&other, 0), Err(TicketFault::OtherPublisher));
        let long = Ticket { ends_ms: u64::MAX, ..ticket() };
        assert_eq!(admit(&long, 0), Ok(START + TICKET_LIFE), "no ticket lives longer");
    }

    #[test]
    fn an_accepted_ticket_permits_what_its_ticket_covers() {
        let signer = signer();
        let accepted = rules(&signer).admit(&ticket().sign(&signer), HERE, START).expect("a ticket");
        let filter = |text| Filter::parse(text).expect("a filter");
        for (text, verdict) in
            [("a.b", Verdict::Allowed), ("a.*", Verdict::Allowed), ("a.>", Verdict::Refused)]
        {
            assert_eq!(accepted.permit(Action::Subscribe(&filter(text))), verdict, "{text}");
        }
        assert_eq!(accepted.permit(Action::WatchSubscribers(b"a.b")), Verdict::Refused);
        assert_eq!(accepted.permit(Action::Publish(b"a.b")), Verdict::Refused);
    }

    #[test]
    fn an_accepted_ticket_ends_with_its_epoch_and_soon_after_its_broker() {
        let [signer, next] = [signer(), signer()];
        let rules = rules(&signer);
        let accepted = rules.admit(&ticket().sign(&signer), HERE, START).expect("a ticket");
        assert_eq!(rules.go_on(&accepted, START), Ok(accepted.clone()));
        assert_eq!(TicketRules { epoch: 3, ..rules }.go_on(&accepted, START), Err(TicketFault::Void));
        let restarted = TicketRules { key: next.key(), epoch: 1, broker_ms: 0, ..rules };
        let going_on = restarted.go_on(&accepted, START).expect("it has some time");
        assert_eq!(going_on.ends_at, START + TICKET_GRACE);
        let again = restarted.go_on(&going_on, START + Duration::from_secs(1)).expect("the rest of it");
        assert_eq!(again.ends_at, START + TICKET_GRACE, "no more of it");
        assert!(restarted.admit(&ticket().sign(&signer), HERE, START).is_err(), "the old key lets nobody in");
    }

    #[test]
    fn clocks_that_drift_apart_are_other_rules() {
        let signer = signer();
        let rules = rules(&signer);
        let second = Duration::from_secs(1);
        let later = |broker_ms| TicketRules { broker_ms, heard_at: START + second, ..rules };
        assert!(
            !rules.differs_from(&later(1_001_000), second) && !rules.differs_from(&later(1_001_900), second)
        );
        assert!(rules.differs_from(&later(1_002_100), second) && rules.differs_from(&later(0), second));
        assert!(rules.differs_from(&TicketRules { epoch: 3, ..rules }, second));
    }
}
