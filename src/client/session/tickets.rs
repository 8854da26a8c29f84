//! Tickets to direct publishers, by the broker's word: those that it gives to a session's subscribers, and those that its direct
//! publishers are to ask for. Pure; part of a session's state.

use std::collections::BTreeSet;
use std::rc::Rc;

use ahash::AHashMap;
use corecast_executors::MonotonicNs;

use crate::auth::{TicketKey, TicketRules};
use crate::ids::PublisherId;
use crate::limits::{NAMED_BYTES_MAX, PUBLISHERS_NAMED_MAX, TICKET_BYTES_MAX, TICKET_CLOCK_SKEW};

/// All that one session was told of tickets.
#[derive(Default)]
pub(in crate::client) struct ToldTickets {
    given: AHashMap<PublisherId, Rc<[u8]>>,
    /// The length of those together.
    bytes: usize,
    /// Publishers to which there is another ticket, which nobody has shown yet.
    fresh: Vec<PublisherId>,
    /// The start of the broker that has welcomed the session last.
    broker: Option<u64>,
    /// Publishers to which an earlier start of the broker has given the ticket, and this one none.
    outdated: BTreeSet<PublisherId>,
    /// Those that are to be asked for, by the last word of the broker: also while it is away.
    rules: Option<TicketRules>,
    /// The same, of a broker that has not welcomed the session yet.
    next_rules: Option<TicketRules>,
}

impl ToldTickets {
    /// A connection stands.
    pub(super) fn on_connected(&mut self) {
        self.next_rules = None;
    }

    /// The broker welcomes the session; the number is that of its start.
    pub(super) fn on_welcome(&mut self, broker: u64) {
        self.rules = self.next_rules.take();
        if self.broker.replace(broker).is_some_and(|before| before != broker) {
            self.outdated.extend(self.given.keys());
        }
    }

    /// The broker says what is to be asked for, before its welcome or behind it.
    pub(super) fn on_rules(&mut self, rules: TicketRules, is_open: bool) {
        if !is_open {
            self.next_rules = Some(rules);
        } else if self.rules.is_none_or(|known| known.differs_from(&rules, TICKET_CLOCK_SKEW)) {
            self.rules = Some(rules);
        }
    }

    /// The tickets that this client's direct publisher is to ask for.
    pub(in crate::client) fn rules(&self) -> Option<TicketRules> {
        self.rules
    }

    /// The broker gives a ticket to a publisher, perhaps in the place of another.
    ///
    /// # Errors
    /// The reason why no broker of ours would.
    pub(super) fn on_given(&mut self, publisher: PublisherId, ticket: &[u8]) -> Result<(), String> {
        if ticket.len() > TICKET_BYTES_MAX {
            return Err(format!("gave a ticket of {} bytes", ticket.len()));
        }
        self.forget(publisher);
        self.bytes += ticket.len();
        self.given.insert(publisher, ticket.into());
        self.fresh.push(publisher);
        if self.given.len() > PUBLISHERS_NAMED_MAX || self.bytes > NAMED_BYTES_MAX {
            return Err("gave tickets to more publishers than any registry holds".to_owned());
        }
        Ok(())
    }

    /// A publisher has left.
    pub(super) fn forget(&mut self, publisher: PublisherId) {
        self.outdated.remove(&publisher);
        self.bytes -= self.given.remove(&publisher).map_or(0, |ticket| ticket.len());
    }

    /// The ticket to a publisher.
    pub(super) fn of(&self, publisher: PublisherId) -> Option<&Rc<[u8]>> {
        self.given.get(&publisher)
    }

    /// Takes the publishers to which an earlier start of the broker has given the ticket, and this one none.
    pub(super) fn take_outdated(&mut self) -> BTreeSet<PublisherId> {
        std::mem::take(&mut self.outdated)
    }

    /// Takes the publishers to which there are other tickets, to be shown now.
    pub(super) fn take_fresh(&mut self) -> Vec<PublisherId> {
        std::mem::take(&mut self.fresh)
    }
}

/// The rules that a frame tells, received at this time; `None` if its key is none.
pub(super) fn rules_of(key: &[u8], epoch: u64, broker_ms: u64, heard_at: MonotonicNs) -> Option<TicketRules> {
    TicketKey::read(key).map(|key| TicketRules { key, epoch, broker_ms, heard_at })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rules(epoch: u64, broker_ms: u64) -> TicketRules {
        rules_of(&[7; 32], epoch, broker_ms, MonotonicNs(0)).expect("a key")
    }

    #[test]
    fn rules_are_those_of_the_broker_that_has_welcomed_the_session() {
        let mut tickets = ToldTickets::default();
        tickets.on_rules(rules(1, 0), false);
        assert_eq!(tickets.rules(), None, "it may be no broker at all");
        tickets.on_welcome(1);
        assert_eq!(tickets.rules(), Some(rules(1, 0)));
        tickets.on_rules(rules(1, 10), true);
        assert_eq!(tickets.rules(), Some(rules(1, 0)), "the clock has only gone on");
        tickets.on_rules(rules(2, 20), true);
        assert_eq!(tickets.rules(), Some(rules(2, 20)));
        tickets.on_connected();
        assert_eq!(tickets.rules(), Some(rules(2, 20)), "also while it is away");
        tickets.on_welcome(1);
        assert_eq!(tickets.rules(), None, "this start of it asks for none");
        assert_eq!(rules_of(&[7; 31], 1, 0, MonotonicNs(0)), None);
    }

    #[test]
    fn a_ticket_takes_the_place_of_the_one_before_and_goes_with_its_publisher() {
        let mut tickets = ToldTickets::default();
        let publisher = PublisherId(1);
        for ticket in [&b"first"[..], b"second"] {
            tickets.on_given(publisher, ticket).expect("it may");
        }
        assert_eq!(
            (tickets.of(publisher).map(|ticket| &ticket[..]), tickets.bytes),
            (Some(&b"second"[..]), 6)
        );
        assert_eq!((tickets.take_fresh(), tickets.take_fresh()), (vec![publisher; 2], Vec::new()));
        tickets.forget(publisher);
        assert_eq!((tickets.of(publisher), tickets.bytes), (None, 0));
        assert!(tickets.on_given(publisher, &[0; TICKET_BYTES_MAX + 1]).is_err());
    }

    #[test]
    fn tickets_of_an_earlier_start_of_the_broker_are_outdated_until_it_gives_others() {
        let mut tickets = ToldTickets::default();
        let [renewed, left, kept] = [1, 2, 3].map(PublisherId);
        tickets.on_welcome(7);
        for publisher in [renewed, left, kept] {
            tickets.on_given(publisher, b"ticket").expect("it may");
        }
        tickets.on_welcome(7);
        assert!(tickets.take_outdated().is_empty(), "the same start, on another connection");
        tickets.on_welcome(8);
        tickets.on_given(renewed, b"another").expect("it may");
        tickets.forget(left);
        assert_eq!(tickets.take_outdated(), BTreeSet::from([kept]));
        assert!(tickets.take_outdated().is_empty(), "once");
    }
}
