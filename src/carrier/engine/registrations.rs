//! Direct publishers that are registered at one broker and known at all: those of this broker, as the others are told, and
//! those of the others. Owned by the engine's state.
//!
//! A lease is renewed at the broker that gives it, and no other hears of that. A registration of another broker lasts for as long
//! as that broker is there, and for its lease beyond.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use ahash::AHashMap;
use bytes::{Buf as _, Bytes};
use corecast_executors::MonotonicNs;

use super::lists::{ListNews, ToldList};
use super::word::{HeardRound, ListPart};
use crate::auth::Identity;
use crate::carrier::link_item::LinkItem;
use crate::ids::PublisherId;
use crate::limits::{PUBLISHERS_MAX, REGISTRY_BYTES_MAX, USER_NAME_BYTES_MAX};
use crate::registry::{
    Gone, GoneReason, Registration, RegistryChange, endpoints_to_lines, filters_to_lines, lines_to_endpoints,
    lines_to_filters,
};

/// The registrations of this broker, as the others are told.
#[derive(Default)]
pub(super) struct OwnRegistrations {
    list: ToldList,
}

/// The bytes of an entry: numbers are little-endian, text has its length (`u16`) before it.
fn write(registration: &Registration, user: Option<&str>, lease: Duration) -> Bytes {
    let mut out = Vec::new();
    out.extend_from_slice(&registration.epoch.to_le_bytes());
    let lease_ms = u32::try_from(lease.as_millis()).unwrap_or(u32::MAX);
    out.extend_from_slice(&lease_ms.to_le_bytes());
    out.push(u8::from(user.is_some()));
    let (endpoints, topics) =
        (endpoints_to_lines(&registration.endpoints), filters_to_lines(&registration.topics));
    for text in [user.unwrap_or_default(), &endpoints, &topics] {
        let length = u16::try_from(text.len()).expect("a registration is short");
        out.extend_from_slice(&length.to_le_bytes());
        out.extend_from_slice(text.as_bytes());
    }
    out.into()
}

/// An entry, as another broker has written it.
struct ReadRegistration {
    registration: Registration,
    user: Option<Box<str>>,
    lease: Duration,
}

/// Reads an entry. `None`: no broker of this version writes that.
fn read(publisher: u64, mut entry: Bytes) -> Option<ReadRegistration> {
    let (epoch, lease_ms) = (entry.try_get_u64_le().ok()?, entry.try_get_u32_le().ok()?);
    let has_user = match entry.try_get_u8().ok()? {
        0 => false,
        1 => true,
        _ => return None,
    };
    let mut text = || {
        let length = usize::from(entry.try_get_u16_le().ok()?);
        (entry.len() >= length).then(|| entry.split_to(length))
    };
    let [user, endpoints, topics] = [text()?, text()?, text()?];
    let user = std::str::from_utf8(&user).ok().filter(|user| user.len() <= USER_NAME_BYTES_MAX)?;
    let endpoints = lines_to_endpoints(std::str::from_utf8(&endpoints).ok()?)?;
    let topics = lines_to_filters(std::str::from_utf8(&topics).ok()?)?;
    let registration = Registration { publisher: PublisherId(publisher), epoch, endpoints, topics };
    let is_sound = entry.is_empty() && registration.fault().is_none();
    let user = has_user.then(|| user.into());
    let lease = Duration::from_millis(lease_ms.into());
    is_sound.then_some(ReadRegistration { registration, user, lease })
}

impl OwnRegistrations {
    /// The registry of this broker has changed, which gives leases of this length.
    pub(super) fn on_change(&mut self, change: &RegistryChange, lease: Duration) {
        match change {
            RegistryChange::Up(registration, registrant) => {
                let entry = write(registration, registrant.user(), lease);
                self.list.set(registration.publisher.0, entry);
            }
            RegistryChange::Down(gone) => self.list.remove(gone.publisher.0),
        }
    }

    /// The list, which the others are told.
    pub(super) fn list(&mut self) -> &mut ToldList {
        &mut self.list
    }
}

/// A registration of another broker.
struct KnownRegistration {
    /// The start of that broker.
    of: u64,
    epoch: u64,
    /// As it was told.
    entry: Bytes,
}

/// Another broker that has registrations, or had.
#[derive(Default)]
struct Registrar {
    round: HeardRound,
    publishers: BTreeSet<u64>,
    /// Those of a list before that have not come again.
    stale: BTreeSet<u64>,
    /// The longest of its leases.
    lease: Duration,
    /// The broker is to be told how much of its list was heard.
    is_due: bool,
    /// When it was seen to be silent.
    silent_since: Option<MonotonicNs>,
}

/// The registrations of all other brokers.
#[derive(Default)]
pub(super) struct OtherRegistrations {
    publishers: BTreeMap<u64, KnownRegistration>,
    bytes: usize,
    registrars: AHashMap<u64, Registrar>,
}

impl OtherRegistrations {
    /// Takes a word of a broker's list. Endpoints that only its own host can reach are left out, unless `is_near`. Returns what
    /// to tell the registry here. `None`: no broker says that.
    pub(super) fn on_part(&mut self, start: u64, part: ListPart, is_near: bool) -> Option<Vec<LinkItem>> {
        let mut changes = Vec::with_capacity(part.changes.len());
        for (publisher, entry) in &part.changes {
            let read = match entry {
                Some(entry) => Some((read(*publisher, entry.clone())?, entry.clone())),
                None => None,
            };
            changes.push((*publisher, read));
        }
        let registrar = self.registrars.entry(start).or_default();
        (registrar.is_due, registrar.silent_since) = (true, None);
        match registrar.round.hear(&part) {
            ListNews::Nothing => return Some(Vec::new()),
            ListNews::Begins => registrar.stale.clone_from(&registrar.publishers),
            ListNews::GoesOn => {}
        }
        for (publisher, _) in &changes {
            registrar.stale.remove(publisher);
        }
        let mut items = Vec::new();
        for (publisher, new) in changes {
            let Some((mut read, entry)) = new else {
                items.extend(self.remove(start, publisher));
                continue;
            };
            read.registration.endpoints.retain(|endpoint| is_near || !endpoint.is_of_one_host());
            if read.registration.endpoints.is_empty() {
                items.extend(self.remove(start, publisher));
            } else {
                items.extend(self.add(start, read, entry));
            }
        }
        if part.is_whole {
            let stale = self.registrars.get_mut(&start).map(|registrar| std::mem::take(&mut registrar.stale));
            for publisher in stale.into_iter().flatten() {
                items.extend(self.remove(start, publisher));
            }
        }
        Some(items)
    }

    fn add(&mut self, start: u64, read: ReadRegistration, entry: Bytes) -> Option<LinkItem> {
        let ReadRegistration { registration, user, lease } = read;
        let (publisher, epoch) = (registration.publisher.0, registration.epoch);
        let known = self.publishers.get(&publisher);
        if known.is_some_and(|known| known.of == start && known.entry == entry) {
            return None;
        }
        let before = known.map_or(0, |known| known.entry.len());
        let is_over = known.is_none() && self.publishers.len() >= PUBLISHERS_MAX
            || self.bytes - before + entry.len() > REGISTRY_BYTES_MAX;
        // One that has moved from one broker to another is known by its later registration.
        if is_over || known.is_some_and(|known| known.of != start && known.epoch > epoch) {
            return None;
        }
        if let Some(known) = known.filter(|known| known.of != start)
            && let Some(registrar) = self.registrars.get_mut(&known.of)
        {
            registrar.publishers.remove(&publisher);
        }
        self.bytes = self.bytes - before + entry.len();
        self.publishers.insert(publisher, KnownRegistration { of: start, epoch, entry });
        let registrar = self.registrars.entry(start).or_default();
        registrar.publishers.insert(publisher);
        registrar.lease = registrar.lease.max(lease);
        let registrant = Arc::new(Identity::Elsewhere(user));
        Some(LinkItem::Registry { change: RegistryChange::Up(Arc::new(registration), registrant), lease })
    }

    fn remove(&mut self, start: u64, publisher: u64) -> Option<LinkItem> {
        self.end(start, publisher, GoneReason::Left)
    }

    fn end(&mut self, start: u64, publisher: u64, reason: GoneReason) -> Option<LinkItem> {
        let known = self.publishers.get(&publisher).filter(|known| known.of == start)?;
        let (epoch, bytes) = (known.epoch, known.entry.len());
        self.publishers.remove(&publisher);
        self.bytes -= bytes;
        let registrar = self.registrars.get_mut(&start).expect("the registration is of this broker");
        registrar.publishers.remove(&publisher);
        let gone = Gone { publisher: PublisherId(publisher), epoch, reason };
        Some(LinkItem::Registry { change: RegistryChange::Down(gone), lease: Duration::ZERO })
    }

    /// A beat has passed; `is_here` tells the brokers that are there. Returns what to tell the registry here: the leases that are
    /// over of brokers that are not.
    pub(super) fn beat(&mut self, now: MonotonicNs, is_here: impl Fn(u64) -> bool) -> Vec<LinkItem> {
        let (mut over, mut empty) = (Vec::new(), Vec::new());
        for (start, registrar) in &mut self.registrars {
            registrar.is_due = !registrar.publishers.is_empty();
            if is_here(*start) {
                registrar.silent_since = None;
                continue;
            }
            let since = *registrar.silent_since.get_or_insert(now);
            if since + registrar.lease <= now {
                over.extend(registrar.publishers.iter().map(|publisher| (*start, *publisher)));
                empty.push(*start);
            }
        }
        let items = over
            .into_iter()
            .filter_map(|(start, publisher)| self.end(start, publisher, GoneReason::Expired))
            .collect();
        for start in empty {
            self.registrars.remove(&start);
        }
        items
    }

    /// The next broker to be told how much of its list was heard.
    pub(super) fn next_heard(&mut self) -> Option<(u64, HeardRound)> {
        let (start, registrar) = self.registrars.iter_mut().find(|(_, registrar)| registrar.is_due)?;
        registrar.is_due = false;
        Some((*start, registrar.round))
    }

    /// Registrations of a broker.
    pub(super) fn count_of(&self, start: u64) -> usize {
        self.registrars.get(&start).map_or(0, |registrar| registrar.publishers.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LEASE: Duration = Duration::from_secs(5);

    fn registration(publisher: u64, epoch: u64, endpoint: &str) -> Arc<Registration> {
        Arc::new(Registration {
            publisher: PublisherId(publisher),
            epoch,
            endpoints: endpoint.split(' ').map(|one| one.parse().unwrap()).collect(),
            topics: vec![crate::topic::Filter::parse("a.*").unwrap()],
        })
    }

    fn part(round: u64, number: u64, is_whole: bool, changes: &[(u64, Option<&Registration>)]) -> ListPart {
        let entry = |new: &Registration| write(new, Some("desk"), LEASE);
        let changes = changes.iter().map(|(publisher, new)| (*publisher, new.map(entry))).collect();
        ListPart { round, number, is_whole, changes }
    }

    fn told(items: &[LinkItem]) -> Vec<String> {
        let text = |item: &LinkItem| match item {
            LinkItem::Registry { change: RegistryChange::Up(up, registrant), lease: LEASE } => {
                assert_eq!(registrant.user(), Some("desk"));
                format!("+{}.{} {}", up.publisher.0, up.epoch, endpoints_to_lines(&up.endpoints))
            }
            LinkItem::Registry { change: RegistryChange::Down(gone), .. } => {
                format!(
                    "-{}.{}{}",
                    gone.publisher.0,
                    gone.epoch,
                    if gone.reason == GoneReason::Expired { " expired" } else { "" }
                )
            }
            other => unreachable!("{other:?}"),
        };
        items.iter().map(text).collect()
    }

    #[test]
    fn registrations_come_go_and_are_swept_by_a_new_list() {
        let mut others = OtherRegistrations::default();
        let (one, two) = (registration(1, 3, "tcp://10.0.0.1:1"), registration(2, 1, "tcp://10.0.0.1:2"));
        let items = others.on_part(7, part(1, 1, false, &[(1, Some(&one))]), false).unwrap();
        assert_eq!(told(&items), ["+1.3 tcp://10.0.0.1:1"]);
        let items = others.on_part(7, part(1, 2, true, &[(2, Some(&two)), (9, None)]), false).unwrap();
        assert_eq!(told(&items), ["+2.1 tcp://10.0.0.1:2"]);
        assert_eq!(others.next_heard(), Some((7, HeardRound { round: 1, heard: 2 })));
        assert_eq!((others.next_heard(), others.count_of(7)), (None, 2));
        let items = others.on_part(7, part(2, 1, true, &[(2, Some(&two))]), false).unwrap();
        assert_eq!(told(&items), ["-1.3"]);
        let items = others.on_part(7, part(2, 2, true, &[(2, None)]), false).unwrap();
        assert_eq!(told(&items), ["-2.1"]);
        assert_eq!((others.bytes, others.publishers.len()), (0, 0));
    }

    #[test]
    fn a_publisher_that_has_moved_is_of_the_broker_where_it_registered_last() {
        let mut others = OtherRegistrations::default();
        let old = registration(1, 3, "tcp://10.0.0.1:1");
        let new = registration(1, 4, "tcp://10.0.0.2:1");
        others.on_part(7, part(1, 1, true, &[(1, Some(&old))]), false).unwrap();
        assert_eq!(told(&others.on_part(8, part(1, 1, true, &[(1, Some(&new))]), false).unwrap()).len(), 1);
        assert_eq!(told(&others.on_part(7, part(2, 1, true, &[(1, Some(&old))]), false).unwrap()).len(), 0);
        assert_eq!(told(&others.on_part(7, part(2, 2, true, &[(1, None)]), false).unwrap()).len(), 0);
        assert_eq!(told(&others.on_part(8, part(1, 2, true, &[(1, None)]), false).unwrap()), ["-1.4"]);
    }

    #[test]
    fn a_broker_that_is_gone_leaves_its_registrations_for_a_lease() {
        let mut others = OtherRegistrations::default();
        let (one, now) = (registration(1, 3, "tcp://10.0.0.1:1"), MonotonicNs(1));
        others.on_part(7, part(1, 1, true, &[(1, Some(&one))]), false).unwrap();
        assert!(others.beat(now + 10 * LEASE, |_| true).is_empty());
        assert!(others.beat(now + 11 * LEASE, |_| false).is_empty());
        assert!(others.beat(now + 11 * LEASE + LEASE / 2, |_| false).is_empty());
        assert_eq!(told(&others.beat(now + 12 * LEASE, |_| false)), ["-1.3 expired"]);
        assert!(others.registrars.is_empty() && others.bytes == 0);
    }

    #[test]
    fn what_only_its_own_host_can_reach_is_of_use_there_alone() {
        let mut others = OtherRegistrations::default();
        let both = registration(1, 3, "tcp://127.0.0.1:1 tcp://10.0.0.1:1");
        let near = registration(2, 3, "tcp://127.0.0.1:2");
        let changes = [(1, Some(&*both)), (2, Some(&*near))];
        let items = others.on_part(7, part(1, 1, true, &changes), false).unwrap();
        assert_eq!(told(&items), ["+1.3 tcp://10.0.0.1:1"]);
        let mut others = OtherRegistrations::default();
        let items = others.on_part(7, part(2, 1, true, &changes), true).unwrap();
        assert_eq!(told(&items), ["+1.3 tcp://127.0.0.1:1\ntcp://10.0.0.1:1", "+2.3 tcp://127.0.0.1:2"]);
    }

    #[test]
    fn only_whole_registrations_are_read() {
        let entry = write(&registration(1, 3, "tcp://10.0.0.1:1"), None, LEASE);
        assert!(read(1, entry.clone()).is_some_and(|read| read.user.is_none() && read.lease == LEASE));
        for length in 0..entry.len() {
            assert!(read(1, entry.slice(..length)).is_none(), "{length}");
        }
        assert!(read(1, [&entry[..], b"x"].concat().into()).is_none());
        let wrong = ListPart {
            round: 1,
            number: 1,
            is_whole: true,
            changes: vec![(1, Some(Bytes::from_static(b"x")))],
        };
        assert!(OtherRegistrations::default().on_part(7, wrong, false).is_none());
    }
}
