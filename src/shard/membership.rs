//! Subscriptions of sessions: which egress group a session is in, and what the router knows. Owned by a shard.

mod audit;
#[cfg(test)]
mod tests;

use super::base::Base;
use super::demand::{Demand, Told};
use super::session_state::Transit;
use super::subscriptions::{Changed, Subscriptions};
use super::withdrawals::{Withdrawal, Withdrawals};
use crate::error::ErrorCode;
use crate::fanout::{Encoding, FILING_STEPS, Fanout, Join, Target};
use crate::ids::{GroupId, Neighbour, SessionId, SubscriberId};
use crate::limits::{GROUP_FILTERS_MAX, SUBSCRIPTIONS_PER_SESSION_MAX};
use crate::topic::Filter;

/// The outcome of a subscription, or of its end.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Subscribed {
    /// The subscriber has the filter now, or has it no longer.
    Changed,
    /// It was so before.
    Unchanged,
    /// The session has too many and is being closed.
    Refused,
}

/// The groups of sessions that have the same filters.
#[derive(Default)]
pub(super) struct Membership {
    fanout: Fanout,
    /// Filters of sessions with very many of them that have left.
    withdrawals: Withdrawals,
    /// Carriers that everything goes to, since they do not know yet who wants what behind them.
    unmet: Vec<Neighbour>,
}

impl Membership {
    /// The way of messages to the groups.
    #[inline]
    pub(super) fn fanout(&self) -> &Fanout {
        &self.fanout
    }

    /// The way of messages to the groups, to send some.
    #[inline]
    pub(super) fn fanout_mut(&mut self) -> &mut Fanout {
        &mut self.fanout
    }

    /// A neighbour has sessions with this filter (`wanted`), or has none any more.
    pub(super) fn on_interest(
        &mut self,
        base: &mut Base,
        demand: &mut Demand,
        (from, filter, wanted): (Neighbour, &Filter, bool),
    ) {
        base.turn.spend(FILING_STEPS);
        if !wanted && self.has_met(from, filter) {
            self.fanout.unfile(filter, Target::Neighbour(from));
        } else if wanted {
            self.fanout.file(filter, Target::Neighbour(from));
            demand.add(base, filter, Told::Publishers);
        } else {
            self.fanout.unfile(filter, Target::Neighbour(from));
            demand.remove(base, filter, Told::Publishers);
        }
    }

    /// Has go to carriers, from the first message on, all that they store, and everything until they have met the others: nobody has
    /// asked for that, so ZeroMQ publishers are not told.
    pub(super) fn file_carriers(&mut self, base: &mut Base, demand: &mut Demand) {
        let stored = base.config.retention.rules().iter().filter(|_| base.config.carriers_store);
        let stored: Vec<Filter> = stored.map(|rule| rule.filter.clone()).collect();
        let carriers: Vec<Neighbour> = base.links.carriers().collect();
        for carrier in carriers {
            stored.iter().for_each(|filter| self.on_interest(base, demand, (carrier, filter, true)));
            if base.config.carriers_meet {
                self.fanout.file(&Filter::everything(), Target::Neighbour(carrier));
                self.unmet.push(carrier);
            }
        }
    }

    /// True if a carrier says by this filter that it has met the others.
    fn has_met(&mut self, carrier: Neighbour, filter: &Filter) -> bool {
        let unmet = self.unmet.iter().position(|unmet| *unmet == carrier && *filter == Filter::everything());
        unmet.map(|at| self.unmet.swap_remove(at)).is_some()
    }

    /// True if filters of sessions that have left are still to be withdrawn.
    pub(super) fn has_leaving(&self) -> bool {
        !self.withdrawals.is_empty()
    }

    /// Adds one subscription; a second one of the same subscriber and filter changes nothing. If the broker is verbose,
    /// ZeroMQ publishers are told of a new one even if others have the same.
    pub(super) fn subscribe(
        &mut self,
        base: &mut Base,
        demand: &mut Demand,
        (id, filter, subscriber): (SessionId, &Filter, SubscriberId),
    ) -> Subscribed {
        let before = demand.changes().count();
        let subscribed = self.add(base, demand, (id, filter, subscriber));
        let is_known = demand.changes().count() == before;
        if subscribed != Subscribed::Refused && base.config.zmtp_verbose && is_known {
            demand.upstream.repeat(base, filter);
        }
        subscribed
    }

    fn add(
        &mut self,
        base: &mut Base,
        demand: &mut Demand,
        (id, filter, subscriber): (SessionId, &Filter, SubscriberId),
    ) -> Subscribed {
        if let Some(text) = self.too_many(base, id, filter) {
            base.end(id, ErrorCode::TooManySubscriptions, text);
            return Subscribed::Refused;
        }
        let Some(session) = base.sessions.get_mut(id) else { return Subscribed::Refused };
        base.turn.spend(1);
        let changed = session.subscriptions.add(filter, subscriber);
        if changed == Changed::Nothing {
            return Subscribed::Unchanged;
        }
        base.counters.subscriptions += 1;
        if changed == Changed::Filters {
            base.counters.filter_bytes += filter.as_bytes().len() as u64;
            self.regroup(base, demand, (id, filter, true));
        }
        Subscribed::Changed
    }

    /// The limit that one subscription more would break.
    fn too_many(&self, base: &Base, id: SessionId, filter: &Filter) -> Option<&'static str> {
        let session = base.sessions.get(id)?;
        if session.subscriptions.count().max(session.joining as usize) >= SUBSCRIPTIONS_PER_SESSION_MAX {
            return Some("one session may hold 131,072 subscriptions");
        }
        if !session.subscriptions.allow(filter) {
            return Some(
                "the patterns of one session may have their wildcards in 64 different arrangements, \
                 those of up to 8 levels not counted",
            );
        }
        self.fanout.is_too_wide(filter).then_some(
            "the patterns of all sessions may have their wildcards in 512 different arrangements, \
             those of up to 8 levels not counted",
        )
    }

    /// Takes one subscription back, if it is there.
    pub(super) fn unsubscribe(
        &mut self,
        base: &mut Base,
        demand: &mut Demand,
        (id, filter, subscriber): (SessionId, &Filter, SubscriberId),
    ) -> Subscribed {
        let Some(session) = base.sessions.get_mut(id) else { return Subscribed::Unchanged };
        base.turn.spend(1);
        let changed = session.subscriptions.remove(filter, subscriber);
        if changed == Changed::Nothing {
            return Subscribed::Unchanged;
        }
        base.counters.subscriptions -= 1;
        if changed == Changed::Filters {
            base.counters.filter_bytes -= filter.as_bytes().len() as u64;
            self.regroup(base, demand, (id, filter, false));
        }
        Subscribed::Changed
    }

    /// Brings a session that has one filter more (`wanted`) or less to the group of its filters. One that is alone in its
    /// group keeps it, unless another group has the same filters; one with very many filters is alone until it has less
    /// than half as many.
    fn regroup(
        &mut self,
        base: &mut Base,
        demand: &mut Demand,
        (id, changed, wanted): (SessionId, &Filter, bool),
    ) {
        let Some(session) = base.sessions.get(id) else { return };
        let (filters, encoding) = (session.subscriptions.filters().len(), session.kind.encoding());
        let starts = session.starts;
        if starts && session.group.is_none() {
            return self.set_apart(base, demand, (id, false));
        }
        if let Some((group, _)) = session.group {
            let is_private = self.fanout.groups().is_private(group);
            if is_private || self.fanout.change(group, changed, wanted) {
                if wanted {
                    self.file(base, demand, changed, (group, encoding));
                } else {
                    self.unfile(base, demand, changed, (group, encoding));
                }
                if !is_private || starts || filters > GROUP_FILTERS_MAX / 2 {
                    return;
                }
            }
        }
        self.join_group(base, demand, id);
    }

    /// Brings a session to the group of its filters, from whatever group it is in.
    pub(super) fn join_group(&mut self, base: &mut Base, demand: &mut Demand, id: SessionId) {
        let Some(session) = base.sessions.get(id) else { return };
        let encoding = session.kind.encoding();
        let filters: Vec<Filter> = session.subscriptions.filters().keys().cloned().collect();
        base.turn.spend(filters.len());
        // The new group first, so that a filter that both have is not withdrawn in between.
        let new = (!filters.is_empty()).then(|| self.join(base, demand, (encoding, filters)));
        self.leave_group(base, demand, id);
        if let Some(group) = new {
            let place = self.fanout.add_member(group, id);
            if let Some(session) = base.sessions.get_mut(id) {
                session.group = Some((group, place));
                session.subscriptions.share(&self.fanout.groups().get(group).filters);
            }
        }
    }

    /// Gives a session that moves a group of its own, which gets what comes from all neighbours (`hears`), or from none.
    pub(super) fn set_apart(&mut self, base: &mut Base, demand: &mut Demand, (id, hears): (SessionId, bool)) {
        let Some(session) = base.sessions.get(id) else { return };
        let encoding = session.kind.encoding();
        let filters: Vec<Filter> = session.subscriptions.filters().keys().cloned().collect();
        if filters.is_empty() {
            return;
        }
        let group = self.fanout.make_moving(encoding, base.links.of_each(hears));
        // As in any other move from group to group: the new one first.
        for filter in &filters {
            self.file(base, demand, filter, (group, encoding));
        }
        self.leave_group(base, demand, id);
        let place = self.fanout.add_member(group, id);
        if let Some(session) = base.sessions.get_mut(id) {
            session.group = Some((group, place));
        }
    }

    /// From now on a session that moves gets here what comes from that neighbour, or no longer.
    pub(super) fn set_hears(&mut self, base: &Base, id: SessionId, (from, hears): (Neighbour, bool)) {
        if let Some((group, _)) = base.sessions.get(id).and_then(|session| session.group) {
            self.fanout.set_hears(group, from, hears);
        }
    }

    /// The group of these filters, which the router knows then.
    fn join(
        &mut self,
        base: &mut Base,
        demand: &mut Demand,
        (encoding, filters): (Encoding, Vec<Filter>),
    ) -> GroupId {
        let is_private = filters.len() > GROUP_FILTERS_MAX;
        let new = if is_private {
            self.fanout.make_private(encoding)
        } else {
            match self.fanout.join(encoding, filters.clone()) {
                Join::Found(group) => return group,
                Join::Made(group) => group,
            }
        };
        for filter in &filters {
            self.file(base, demand, filter, (new, encoding));
        }
        new
    }

    /// Takes a session out of its group, and the group away if nobody is left.
    fn leave_group(&mut self, base: &mut Base, demand: &mut Demand, id: SessionId) {
        let Some((group, place)) = base.sessions.get_mut(id).and_then(|s| s.group.take()) else {
            return;
        };
        if let Some(moved) = self.fanout.remove_member(group, place)
            && let Some(session) = base.sessions.get_mut(moved)
        {
            session.group = Some((group, place));
        }
        if self.fanout.groups().is_private(group) {
            // What it shrank to, or nothing: the session has left the fan-out, and its filters with it.
            let Some(session) = base.sessions.get(id) else { return };
            let encoding = session.kind.encoding();
            let filters: Vec<Filter> = session.subscriptions.filters().keys().cloned().collect();
            for filter in filters {
                self.unfile(base, demand, &filter, (group, encoding));
            }
        }
        if let Some(gone) = self.fanout.remove_if_empty(group) {
            for filter in &gone.filters {
                self.unfile(base, demand, filter, (group, gone.encoding));
            }
        }
    }

    /// Takes a session out of its group for good. Returns what it had subscribed to; `None`: very many filters, which are
    /// withdrawn in turns. So long, messages for them come to a group without members.
    pub(super) fn leave(
        &mut self,
        base: &mut Base,
        demand: &mut Demand,
        id: SessionId,
    ) -> Option<Subscriptions> {
        let session = base.sessions.get_mut(id)?;
        base.counters.subscriptions -= session.subscriptions.count() as u64;
        base.counters.filter_bytes -= session.subscriptions.filter_bytes() as u64;
        let group = session.group.map(|(group, _)| group);
        let Some(group) = group.filter(|group| self.fanout.groups().is_private(*group)) else {
            self.leave_group(base, demand, id);
            let session = base.sessions.get_mut(id)?;
            return Some(std::mem::take(&mut session.subscriptions));
        };
        session.group = None;
        let filters = std::mem::take(&mut session.subscriptions).into_filters();
        self.fanout.remove_member(group, 0);
        self.withdrawals.add(group, filters);
        self.withdraw(base, demand);
        None
    }

    /// Withdraws filters of those that have left, for as long as this turn has work left and the other shards take it.
    pub(super) fn withdraw(&mut self, base: &mut Base, demand: &mut Demand) {
        while !base.turn.is_over()
            && !base.links.is_backed_up()
            && let Some(withdrawal) = self.withdrawals.next()
        {
            match withdrawal {
                Withdrawal::Filter(group, filter) => {
                    let encoding = self.fanout.groups().get(group).encoding;
                    self.unfile(base, demand, &filter, (group, encoding));
                }
                Withdrawal::Group(group) => drop(self.fanout.remove_if_empty(group)),
            }
        }
    }

    /// Routes what a filter matches to a group, and tells all that may have some.
    fn file(
        &mut self,
        base: &mut Base,
        demand: &mut Demand,
        filter: &Filter,
        (group, encoding): (GroupId, Encoding),
    ) {
        base.turn.spend(FILING_STEPS);
        self.fanout.file(filter, Target::Group(group));
        if encoding.needs_relays() {
            demand.relays.file(filter, group);
        }
        demand.add(base, filter, Told::Everybody);
    }

    /// Takes that back.
    fn unfile(
        &mut self,
        base: &mut Base,
        demand: &mut Demand,
        filter: &Filter,
        (group, encoding): (GroupId, Encoding),
    ) {
        base.turn.spend(FILING_STEPS);
        self.fanout.unfile(filter, Target::Group(group));
        if encoding.needs_relays() {
            demand.relays.unfile(filter, group);
        }
        demand.remove(base, filter, Told::Everybody);
    }

    /// Counts the subscribers of a topic, not its sessions: each once, however many of its filters match.
    pub(super) fn count_subscribers(&mut self, base: &mut Base, topic: &[u8]) -> u32 {
        let (route, mut work) = self.fanout.route_of(topic);
        let (mut of_router, mut scratch): (Option<Vec<Filter>>, _) = (None, Vec::new());
        let mut count = 0;
        for id in &route.groups {
            let group = self.fanout.groups().get(*id);
            let matching: Vec<&Filter> = if self.fanout.groups().is_private(*id) {
                of_router.get_or_insert_with(|| self.fanout.filters_of(topic)).iter().collect()
            } else {
                group.filters.iter().filter(|filter| filter.matches(topic)).collect()
            };
            work += group.filters.len();
            for member in &group.members {
                let Some(session) = base.sessions.get(*member) else { continue };
                let is_deaf = session.starts && !session.egress.is_parked();
                if is_deaf || session.transit == Transit::Arriving {
                    // It starts with history and has missed what comes now, or is counted where it comes from.
                    continue;
                }
                count += session.subscriptions.subscribers_of(&matching, &mut scratch);
                work += matching.len();
            }
        }
        base.turn.spend(work);
        u32::try_from(count).unwrap_or(u32::MAX)
    }
}
