//! A view of the registry: what its session knows, and what of that the viewer has not been told. Pure; part of
//! a session's state.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;
use std::time::Duration;

use crate::client::listed::{DownReason, Listed, PublisherChange};
use crate::ids::PublisherId;
use crate::limits::{NAMED_BYTES_MAX, PUBLISHERS_NAMED_MAX};
use crate::registry::Registration;

/// The place for the answer to a list; `None` in it: the connection was lost before.
pub(in crate::client) type ListSlot = Rc<RefCell<Option<Option<Vec<Listed>>>>>;

/// Two pictures of the registry, the broker's and the viewer's: what differs is to be told. So a viewer that is slow
/// holds no more than both of them, however often publishers come and go.
#[derive(Default, Debug)]
pub(in crate::client) struct RegistryFeed {
    known: Picture,
    told: Picture,
    /// Publishers whose `told` and `known` entries differ.
    changed: BTreeSet<PublisherId>,
    /// Why those are gone that were told and are not known any more.
    gone: BTreeMap<PublisherId, DownReason>,
    /// Publishers that are known, and that the broker has not named since this connection stands.
    unnamed: BTreeSet<PublisherId>,
    /// It has named all.
    whole: bool,
    /// The answer to a list, as far as it has come.
    listing: Vec<Listed>,
}

/// Publishers, as one side sees them.
#[derive(Default, Debug)]
struct Picture {
    publishers: BTreeMap<PublisherId, Rc<Registration>>,
    /// The length of their registrations together.
    bytes: usize,
}

impl Picture {
    fn get(&self, publisher: PublisherId) -> Option<&Rc<Registration>> {
        self.publishers.get(&publisher)
    }

    fn insert(&mut self, registration: Rc<Registration>) {
        self.bytes += registration.bytes();
        let before = self.publishers.insert(registration.publisher, registration);
        self.bytes -= before.map_or(0, |before| before.bytes());
    }

    fn remove(&mut self, publisher: PublisherId) -> Option<Rc<Registration>> {
        let removed = self.publishers.remove(&publisher)?;
        self.bytes -= removed.bytes();
        Some(removed)
    }

    /// True if there are more than a broker may name on one connection.
    fn is_over_full(&self) -> bool {
        self.publishers.len() > PUBLISHERS_NAMED_MAX || self.bytes > NAMED_BYTES_MAX
    }
}

impl RegistryFeed {
    /// A connection stands, maybe to another start of the broker: it will name everybody again.
    pub(super) fn on_open(&mut self) {
        self.unnamed = self.known.publishers.keys().copied().collect();
        self.whole = false;
        self.listing.clear();
    }

    /// True once the broker has named everybody on this connection.
    pub(in crate::client) fn is_whole(&self) -> bool {
        self.whole
    }

    /// A publisher is there, or has changed; with a lease it belongs to the answer to a list.
    pub(super) fn on_up(&mut self, registration: Registration, lease_left: Option<Duration>) {
        if lease_left.is_some() {
            self.listing.push(Listed::of(&registration, lease_left));
            return;
        }
        let publisher = registration.publisher;
        self.unnamed.remove(&publisher);
        self.known.insert(Rc::new(registration));
        self.compare(publisher);
        // A broker that never says that it has named all would pile them up, one connection after another.
        while self.known.is_over_full()
            && let Some(surplus) = self.unnamed.first().copied()
        {
            self.remove(surplus, DownReason::Forgotten);
        }
    }

    /// A publisher is not there any more.
    pub(super) fn on_down(&mut self, publisher: PublisherId, epoch: u64, reason: DownReason) {
        if self.known.get(publisher).is_some_and(|known| known.epoch <= epoch) {
            self.remove(publisher, reason);
        }
    }

    /// The broker has named everybody: whom it has not is not there any more.
    pub(super) fn on_watched(&mut self) {
        self.whole = true;
        for publisher in std::mem::take(&mut self.unnamed) {
            self.remove(publisher, DownReason::Forgotten);
        }
    }

    /// A list has come whole.
    pub(super) fn on_listed(&mut self) -> Vec<Listed> {
        std::mem::take(&mut self.listing)
    }

    /// The viewer takes this list for what is there: from now on it is told what differs from it.
    pub(in crate::client) fn told_by_list(&mut self, list: &[Listed]) {
        self.told = Picture::default();
        list.iter().for_each(|listed| self.told.insert(Rc::new(listed.registration())));
        let both = self.known.publishers.keys().chain(self.told.publishers.keys());
        let everybody: BTreeSet<PublisherId> = both.copied().collect();
        self.changed.clear();
        self.gone.retain(|publisher, _| everybody.contains(publisher));
        for publisher in everybody {
            self.compare(publisher);
        }
    }

    /// The next change that the viewer is to be told.
    pub(in crate::client) fn pop(&mut self) -> Option<PublisherChange> {
        // A viewer that knows of very many is told of those that have gone before it hears of more.
        let gone = self.gone.first_key_value().map(|(publisher, _)| *publisher);
        let publisher = match gone.filter(|_| self.told.is_over_full()) {
            Some(publisher) => self.changed.take(&publisher)?,
            None => self.changed.pop_first()?,
        };
        if let Some(known) = self.known.get(publisher) {
            self.told.insert(Rc::clone(known));
            return Some(PublisherChange::Up(Listed::of(known, None)));
        }
        let epoch = self.told.remove(publisher).map_or(0, |told| told.epoch);
        let reason = self.gone.remove(&publisher).unwrap_or(DownReason::Forgotten);
        Some(PublisherChange::Down { publisher, epoch, reason })
    }

    fn remove(&mut self, publisher: PublisherId, reason: DownReason) {
        self.known.remove(publisher);
        self.unnamed.remove(&publisher);
        self.gone.insert(publisher, reason);
        self.compare(publisher);
    }

    fn compare(&mut self, publisher: PublisherId) {
        let (known, told) = (self.known.get(publisher), self.told.get(publisher));
        if known == told {
            self.changed.remove(&publisher);
        } else {
            self.changed.insert(publisher);
        }
        if known.is_some() || told.is_none() {
            self.gone.remove(&publisher);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::topic::Filter;

    fn registration(publisher: u64, epoch: u64) -> Registration {
        Registration {
            publisher: PublisherId(publisher),
            epoch,
            endpoints: vec![format!("tcp://127.0.0.1:{publisher}").parse().unwrap()],
            topics: vec![Filter::parse("a").unwrap()],
        }
    }

    fn up(publisher: u64, epoch: u64) -> PublisherChange {
        PublisherChange::Up(Listed::of(&registration(publisher, epoch), None))
    }

    fn down(publisher: u64, epoch: u64, reason: DownReason) -> PublisherChange {
        PublisherChange::Down { publisher: PublisherId(publisher), epoch, reason }
    }

    /// A feed of publishers 1 and 2, which were told.
    fn feed() -> RegistryFeed {
        let mut feed = RegistryFeed::default();
        feed.on_open();
        feed.on_up(registration(1, 1), None);
        feed.on_up(registration(2, 1), None);
        assert!(!feed.is_whole());
        feed.on_watched();
        assert!(feed.is_whole());
        assert_eq!([feed.pop(), feed.pop(), feed.pop()], [Some(up(1, 1)), Some(up(2, 1)), None]);
        feed
    }

    #[test]
    fn what_changes_is_told_once() {
        let mut feed = feed();
        feed.on_up(registration(1, 1), None);
        assert_eq!(feed.pop(), None);
        feed.on_up(registration(1, 2), None);
        feed.on_down(PublisherId(1), 1, DownReason::Expired);
        feed.on_down(PublisherId(2), 1, DownReason::Left);
        let told = [feed.pop(), feed.pop(), feed.pop()];
        assert_eq!(told, [Some(up(1, 2)), Some(down(2, 1, DownReason::Left)), None]);
    }

    #[test]
    fn who_comes_and_goes_unseen_costs_nothing() {
        let mut feed = feed();
        for publisher in 100..10_000 {
            feed.on_up(registration(publisher, 1), None);
            feed.on_down(PublisherId(publisher), 1, DownReason::Left);
        }
        assert_eq!(feed.pop(), None);
        assert!(feed.gone.is_empty() && feed.known.publishers.len() == 2);
        feed.on_down(PublisherId(1), 1, DownReason::Expired);
        feed.on_up(registration(1, 1), None);
        assert_eq!(feed.pop(), None, "the viewer knows no other");
    }

    #[test]
    fn a_broker_that_comes_back_tells_only_what_is_new() {
        let mut feed = feed();
        feed.on_open();
        feed.on_up(registration(2, 1), None);
        assert_eq!(feed.pop(), None, "who is not named yet may be named");
        feed.on_watched();
        assert_eq!([feed.pop(), feed.pop()], [Some(down(1, 1, DownReason::Forgotten)), None]);
    }

    #[test]
    fn a_list_is_what_is_there_and_changes_begin_behind_it() {
        let mut feed = feed();
        feed.on_up(registration(3, 1), None);
        feed.on_down(PublisherId(1), 1, DownReason::Left);
        let left = Some(Duration::from_secs(3));
        feed.on_up(registration(2, 1), left);
        feed.on_up(registration(3, 1), left);
        let list = feed.on_listed();
        // It came, and before the viewer takes it there is more.
        feed.on_up(registration(4, 1), None);
        feed.on_down(PublisherId(2), 1, DownReason::Expired);
        feed.told_by_list(&list);
        let told = [feed.pop(), feed.pop(), feed.pop()];
        assert_eq!(told, [Some(down(2, 1, DownReason::Expired)), Some(up(4, 1)), None]);
        assert_eq!(list.iter().map(|listed| listed.lease_left).collect::<Vec<_>>(), [left, left]);
    }
    #[test]
    fn a_broker_that_never_has_named_all_piles_nothing_up() {
        let mut feed = RegistryFeed::default();
        let mut newest = u64::MAX;
        let mut told = BTreeSet::new();
        let endpoints = vec!["tcp://127.0.0.1:1".parse().unwrap()];
        let topics = vec![Filter::parse(&"a".repeat(250)).unwrap()];
        for _ in 0..3 {
            feed.on_open();
            for _ in 0..PUBLISHERS_NAMED_MAX {
                newest -= 1;
                let (publisher, endpoints, topics) = (PublisherId(newest), endpoints.clone(), topics.clone());
                feed.on_up(Registration { publisher, epoch: 1, endpoints, topics }, None);
                // A viewer that is told of the newest first.
                match feed.pop() {
                    Some(PublisherChange::Up(listed)) => _ = told.insert(listed.publisher),
                    Some(PublisherChange::Down { publisher, .. }) => assert!(told.remove(&publisher)),
                    None => {}
                }
                assert!(!feed.known.is_over_full());
            }
        }
        // One that is told goes over the bound; then it is told of those that have gone.
        assert!(feed.told.bytes <= NAMED_BYTES_MAX + 300 && told.len() <= PUBLISHERS_NAMED_MAX + 1);
    }
}
