//! Tickets, and the word on them, to sessions: at their welcome, in time, and when the rules change. No state: what there is to
//! say is that of `tickets`, and which publishers a session knows that of `news`.

use super::base::Base;
use super::session_state::Phase;
use super::tickets::TicketNews;
use crate::error::ErrorCode;
use crate::ids::SessionId;

/// A tick: publishers are told of tickets that are void.
pub(super) fn tell_void(base: &mut Base) {
    let now = base.clock.told();
    if !base.tickets.is_due(now) {
        return;
    }
    for id in base.sessions.ids() {
        if base.sessions.get(id).is_some_and(|session| session.registers) {
            tell_rules(base, id);
        }
    }
}

/// Tells a session that takes tickets which of them its publisher is to ask for.
pub(super) fn tell_rules(base: &mut Base, id: SessionId) {
    let takes_tickets = base.sessions.get(id).is_some_and(|session| session.kind.takes_tickets());
    let now = base.clock.told();
    if let Some(rules) = base.tickets.rules(now).filter(|_| takes_tickets) {
        base.answer_raw(id, rules);
    }
}

/// A session goes on under new rules: it is given other tickets, and told what its publisher is to ask for.
pub(super) fn on_judged(base: &mut Base, id: SessionId, news: TicketNews) {
    if news.begins {
        tell_rules(base, id);
    }
    let Some(session) = base.sessions.get_mut(id).filter(|session| session.phase == Phase::Open) else {
        return;
    };
    if news.begins
        && session.registers
        && let Some(why) = base.tickets.why_no_registration(session.kind.takes_tickets())
    {
        return base.end(id, ErrorCode::NotPermitted, why);
    }
    if news.renews {
        renew(base, id);
    }
}

/// A look at a session that is open: its tickets are followed by others in time.
pub(super) fn renew_if_due(base: &mut Base, id: SessionId) {
    let now = base.clock.told();
    let news = base.sessions.get(id).and_then(|session| session.news.as_ref());
    if news.is_some_and(|news| news.tickets_are_due(now)) {
        renew(base, id);
    }
}

/// A session is given other tickets in the place of all that it has.
fn renew(base: &mut Base, id: SessionId) {
    let now = base.clock.told();
    if let Some(news) = base.sessions.get_mut(id).and_then(|session| session.news.as_mut()) {
        news.renew_tickets(now);
        base.untold.has_room(id);
    }
}
