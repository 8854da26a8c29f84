//! Tickets that are shown to this direct publisher, whose broker has users. No state: a session's identity is the ticket that it
//! has shown.

use std::sync::Arc;

use super::base::Base;
use super::session_state::Phase;
use super::tickets::SIGNATURE_STEPS;
use crate::auth::{Action, Identity, LoginRefusal, TicketFault, VERDICT_STEPS, Verdict};
use crate::error::ErrorCode;
use crate::ids::SessionId;
use crate::topic::Filter;

/// A peer shows a ticket: before its hello, or in the place of one that will expire. Returns the filters that the new one does not
/// cover, once for each of their subscribers, whose subscriptions are to end.
pub(super) fn on_shown(base: &mut Base, id: SessionId, ticket: &[u8]) -> Vec<Filter> {
    let now = base.clock.told();
    let Base { sessions, permissions, turn, config, .. } = base;
    let (Some(rules), Some(here)) = (permissions.tickets(), config.direct) else { return Vec::new() };
    let Some(session) = sessions.get_mut(id) else { return Vec::new() };
    turn.spend(SIGNATURE_STEPS);
    match rules.admit(ticket, here, now) {
        Ok(accepted) => {
            session.identity = Identity::Admitted(Arc::new(accepted), session.identity.address());
        }
        // By a key of which this shard has not heard yet, or never will: it goes on by the ticket that it has shown before.
        Err(TicketFault::Unsigned) if session.phase == Phase::Open => return Vec::new(),
        Err(fault) => {
            refuse(base, id, fault);
            return Vec::new();
        }
    }
    let filters = session.subscriptions.filters();
    turn.spend(filters.len() * VERDICT_STEPS);
    let is_refused = |filter: &&Filter| {
        permissions.permit(&session.identity, Action::Subscribe(filter)) == Verdict::Refused
    };
    let refused = filters.keys().filter(is_refused);
    refused.flat_map(|filter| filters.subscribers(filter).iter().map(|_| filter.clone())).collect()
}

/// A look at a session that is open: it ends with its ticket. `false`: it has ended.
pub(super) fn goes_on(base: &mut Base, id: SessionId) -> bool {
    let now = base.clock.told();
    let identity = base.sessions.identity_of(id);
    let has_ended = matches!(identity, Some(Identity::Admitted(accepted, _)) if accepted.has_ended(now));
    if has_ended {
        refuse(base, id, TicketFault::Ended);
    }
    !has_ended
}

fn refuse(base: &mut Base, id: SessionId, fault: TicketFault) {
    base.end(id, ErrorCode::Unauthenticated, &LoginRefusal::Ticket(fault).to_string());
}
