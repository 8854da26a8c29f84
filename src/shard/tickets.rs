//! Tickets to direct publishers, which a broker with users gives to its subscribers and asks its publishers to ask for. Owned by
//! the base of a shard; every shard of a broker follows the same rules in the same order, so that all number them alike.

use std::collections::VecDeque;
use std::sync::Arc;

use ahash::AHashMap;
use bytes::Bytes;
use corecast_executors::MonotonicNs;

use super::config::ShardConfig;
use crate::auth::{ANONYMOUS, Identity, Permissions, Scope, Ticket, TicketSigner};
use crate::ids::PublisherId;
use crate::limits::{TICKET_LIFE, TICKET_RENEWAL, TICKET_VOID_DELAY, TICKETS_KEPT_MAX};
use crate::registry::Registration;
use crate::wire::{Frame, encode_to_vec};

/// Steps of a turn that a signature is worth: some 30 us.
pub(super) const SIGNATURE_STEPS: usize = 300;

/// The holder of the tickets that a broker gives itself, for its relays. No user has this name.
const BROKER: &str = "";

/// The time by the broker's clock of tickets, in milliseconds: it only has to pass.
fn ms_at(now: MonotonicNs) -> u64 {
    now.0 / 1_000_000
}

/// The meaning of new rules for tickets.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub(super) struct TicketNews {
    /// They are asked for from now on: publishers are to be told.
    pub(super) begins: bool,
    /// Those that were given will be void: their holders are to be given others.
    pub(super) renews: bool,
}

impl TicketNews {
    /// The meaning of these rules and of others after them.
    pub(super) fn and(self, later: TicketNews) -> TicketNews {
        TicketNews { begins: self.begins || later.begins, renews: self.renews || later.renews }
    }
}

/// A ticket, kept for the other sessions of its holder.
struct Kept {
    scope: Scope,
    registration: Arc<Registration>,
    given_at: MonotonicNs,
    ticket: Option<Bytes>,
}

/// The tickets of one shard of a broker.
pub(super) struct Tickets {
    /// `None`: this program cannot sign.
    signer: Option<Arc<TicketSigner>>,
    /// There may be direct publishers.
    may_come: bool,
    /// There are users, or were: tickets are asked for.
    in_force: bool,
    /// The number of the rules by which tickets are given.
    epoch: u64,
    /// The number below which tickets are void, as publishers are told it.
    told: u64,
    /// The numbers that they will be told, and when: holders have got others by then.
    to_tell: VecDeque<(MonotonicNs, u64)>,
    kept: AHashMap<(Box<str>, PublisherId), Kept>,
}

impl Tickets {
    pub(super) fn new(config: &ShardConfig) -> Self {
        let may_come = config.direct.is_none() && !config.modes.is_all_proxy();
        Tickets {
            signer: config.tickets.clone(),
            may_come,
            in_force: may_come && config.permissions.users().is_some(),
            epoch: 1,
            told: 1,
            to_tell: VecDeque::new(),
            kept: AHashMap::new(),
        }
    }

    /// The reason why a session may not register a publisher, if it may not for want of tickets.
    pub(super) fn why_no_registration(&self, takes_tickets: bool) -> Option<&'static str> {
        match (self.in_force, &self.signer, takes_tickets) {
            (false, ..) | (true, Some(_), true) => None,
            (true, Some(_), false) => Some(
                "this broker has users, so that direct publishers have to ask for tickets, which this version of the \
                 publisher does not",
            ),
            (true, None, _) => Some(
                "this broker has users and cannot sign tickets, so that it has no direct publishers; build it with the \
                 feature `tls` of corecast",
            ),
        }
    }

    /// These are the rules now.
    pub(super) fn on_permissions(
        &mut self,
        (before, now_in_force): (&Permissions, &Permissions),
        now: MonotonicNs,
    ) -> TicketNews {
        self.kept.clear();
        let begins = self.may_come && !self.in_force && now_in_force.users().is_some();
        self.in_force |= begins;
        let renews = now_in_force.take_from(before);
        if renews {
            self.epoch += 1;
        }
        if begins {
            self.told = self.epoch;
        } else if renews && self.in_force {
            self.to_tell.push_back((now + TICKET_VOID_DELAY, self.epoch));
        }
        TicketNews { begins, renews: self.in_force && (begins || renews) }
    }

    /// True if publishers are to be told now that tickets are void.
    pub(super) fn is_due(&mut self, now: MonotonicNs) -> bool {
        let told = self.told;
        while let Some((_, epoch)) = self.to_tell.front().copied().filter(|(at, _)| *at <= now) {
            self.to_tell.pop_front();
            self.told = epoch;
        }
        self.told != told
    }

    /// True if nobody is let in at a direct publisher without a ticket of this broker.
    pub(super) fn are_in_force(&self) -> bool {
        self.in_force
    }

    /// The word to publishers on the tickets that they are to ask for. `None`: on none.
    pub(super) fn rules(&self, now: MonotonicNs) -> Option<Vec<u8>> {
        let signer = self.signer.as_ref().filter(|_| self.in_force)?;
        let (key, now_ms) = (signer.key(), ms_at(now));
        Some(encode_to_vec(&Frame::TicketRules { key: key.as_bytes(), epoch: self.told, now_ms }))
    }

    /// The ticket that a peer is given to a publisher, by its right to subscribe, and the work that it took. `None`: it has no
    /// right to any of its topics.
    pub(super) fn give(
        &mut self,
        registration: &Arc<Registration>,
        (identity, permissions): (&Identity, &Permissions),
        now: MonotonicNs,
    ) -> (Option<Bytes>, usize) {
        let Some(signer) = self.signer.as_ref().filter(|_| self.in_force) else { return (None, 0) };
        let (holder, scope) = (identity.user().unwrap_or(ANONYMOUS), permissions.receivable(identity));
        let key: (Box<str>, PublisherId) = (holder.into(), registration.publisher);
        let is_good = |kept: &&Kept| {
            Arc::ptr_eq(&kept.registration, registration)
                && kept.scope == *scope
                && now.saturating_since(kept.given_at) < TICKET_RENEWAL / 2
        };
        if let Some(kept) = self.kept.get(&key).filter(is_good) {
            return (kept.ticket.clone(), 0);
        }
        let (narrow, mut work) = scope.overlapping(&registration.topics);
        let ticket = (!narrow.is_empty()).then(|| {
            work += SIGNATURE_STEPS;
            let ticket = self.ticket(registration.publisher, (holder, narrow), now);
            Bytes::from(ticket.sign(signer))
        });
        if self.kept.len() >= TICKETS_KEPT_MAX {
            self.kept.clear();
        }
        let registration = Arc::clone(registration);
        let kept = Kept { scope: scope.clone(), registration, given_at: now, ticket: ticket.clone() };
        self.kept.insert(key, kept);
        (ticket, work)
    }

    /// The frame of a ticket by which this broker itself is let in at a publisher. `None`: none is asked for.
    pub(super) fn give_broker(&self, publisher: PublisherId, now: MonotonicNs) -> Option<Vec<u8>> {
        let signer = self.signer.as_ref().filter(|_| self.in_force)?;
        let ticket = self.ticket(publisher, (BROKER, Scope::All), now).sign(signer);
        Some(encode_to_vec(&Frame::Ticket { ticket: &ticket, publisher: publisher.0 }))
    }

    /// True if a ticket that was given then, by the rules of that number, is to be followed by another.
    pub(super) fn is_stale(&self, (given_at, epoch): (MonotonicNs, u64), now: MonotonicNs) -> bool {
        self.in_force && (epoch != self.epoch || now.saturating_since(given_at) >= TICKET_RENEWAL)
    }

    /// The number of the rules by which tickets are given now.
    pub(super) fn epoch(&self) -> u64 {
        self.epoch
    }

    fn ticket(&self, publisher: PublisherId, (holder, scope): (&str, Scope), now: MonotonicNs) -> Ticket {
        let ends_ms = ms_at(now + TICKET_LIFE);
        Ticket { publisher, epoch: self.epoch, ends_ms, holder: holder.into(), scope }
    }
}

#[cfg(all(test, feature = "broker", feature = "tls"))]
mod tests;
