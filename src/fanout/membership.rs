//! Subscriptions of sessions: which egress group a session is in, what the router knows, what the other shards
//! are told.

use super::groups::Join;
use super::outbox::LinkItem;
use super::router::Target;
use super::shard::Shard;
use crate::error::ErrorCode;
use crate::ids::{GroupId, SessionId, SubscriberId};
use crate::limits::SUBSCRIPTIONS_PER_SESSION_MAX;
use crate::topic::Filter;

impl Shard {
    /// Adds one subscription; a second one of the same subscriber and filter changes nothing. `false`: the
    /// session has too many and is being closed.
    pub(super) fn subscribe(&mut self, id: SessionId, filter: Filter, subscriber: SubscriberId) -> bool {
        let Some(session) = self.sessions.get_mut(id) else { return false };
        let new_filter = !session.subscriptions.contains_key(&filter);
        if new_filter && session.subscriptions.len() >= SUBSCRIPTIONS_PER_SESSION_MAX {
            self.close(id, ErrorCode::TooManySubscriptions, "one session may hold 131,072 subscriptions");
            return false;
        }
        let subscribers = session.subscriptions.entry(filter.clone()).or_default();
        if subscribers.contains(&subscriber) {
            return true;
        }
        subscribers.push(subscriber);
        self.counters.subscriptions += 1;
        self.recount = true;
        if new_filter {
            self.regroup(id, &filter);
        }
        true
    }

    /// Takes one subscription back, if it is there.
    pub(super) fn unsubscribe(&mut self, id: SessionId, filter: &Filter, subscriber: SubscriberId) {
        let Some(session) = self.sessions.get_mut(id) else { return };
        let Some(subscribers) = session.subscriptions.get_mut(filter) else { return };
        let before = subscribers.len();
        subscribers.retain(|s| *s != subscriber);
        if subscribers.len() == before {
            return;
        }
        self.counters.subscriptions -= 1;
        self.recount = true;
        if subscribers.is_empty() {
            session.subscriptions.remove(filter);
            self.regroup(id, filter);
        }
    }

    /// Moves a session whose set of filters has changed by `changed` to the group of its filters.
    fn regroup(&mut self, id: SessionId, changed: &Filter) {
        let Some(session) = self.sessions.get(id) else { return };
        let old = session.group;
        if let Some((group, _)) = old
            && self.groups.is_private(group)
        {
            let wanted = session.subscriptions.contains_key(changed);
            return self.change_in_place(group, changed, wanted);
        }
        let filters: Vec<Filter> = session.subscriptions.keys().cloned().collect();
        // The new group first, so that a filter that both have is not withdrawn in between.
        let encoding = session.encoding;
        let new = (!filters.is_empty()).then(|| match self.groups.join(encoding, filters) {
            Join::Found(group) => group,
            Join::Made(group) => {
                for filter in self.groups.get(group).filters.clone() {
                    self.file(&filter, group);
                }
                group
            }
        });
        self.leave_group(id);
        if let Some(group) = new {
            let place = self.groups.add_member(group, id);
            if let Some(session) = self.sessions.get_mut(id) {
                session.group = Some((group, place));
            }
        }
    }

    fn change_in_place(&mut self, group: GroupId, filter: &Filter, wanted: bool) {
        let filters = &mut self.groups.get_mut(group).filters;
        match (filters.binary_search(filter), wanted) {
            (Err(at), true) => {
                filters.insert(at, filter.clone());
                self.file(filter, group);
            }
            (Ok(at), false) => {
                filters.remove(at);
                self.unfile(filter, group);
            }
            _ => debug_assert!(false, "the group's filters are its member's"),
        }
    }

    /// Takes a session out of its group, and the group away if nobody is left.
    pub(super) fn leave_group(&mut self, id: SessionId) {
        let Some((group, place)) = self.sessions.get_mut(id).and_then(|s| s.group.take()) else { return };
        if let Some(moved) = self.groups.remove_member(group, place)
            && let Some(session) = self.sessions.get_mut(moved)
        {
            session.group = Some((group, place));
        }
        if let Some(gone) = self.groups.remove_if_empty(group) {
            for filter in &gone.filters {
                self.unfile(filter, group);
            }
        }
    }

    fn file(&mut self, filter: &Filter, group: GroupId) {
        self.router.insert(filter, Target::Group(group));
        if let Some(seq) = self.interest.add(filter) {
            self.tell_interest(seq, filter, true);
            self.tell_upstream(filter, true);
        }
    }

    fn unfile(&mut self, filter: &Filter, group: GroupId) {
        self.router.remove(filter, Target::Group(group));
        if let Some(seq) = self.interest.remove(filter) {
            self.tell_interest(seq, filter, false);
            self.tell_upstream(filter, false);
        }
    }

    fn tell_interest(&mut self, seq: u64, filter: &Filter, wanted: bool) {
        for shard in self.others() {
            self.send_link(shard, LinkItem::Interest { seq, filter: filter.clone(), wanted });
        }
    }
}
