//! The news of direct publishers for one session: the filters that it watches, the publishers that it has been told of, the
//! changes that it has not, and the lists that it asks for. It is told in parts, as it reads, so that one that does not read
//! holds a part and a set of numbers, however often publishers come and go.

use std::collections::{BTreeMap, VecDeque};
use std::ops::Bound;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use corecast_executors::MonotonicNs;

use crate::ids::{PublisherId, RequestId};
use crate::limits::{NEWS_BYTES_AHEAD, TICKET_RENEWAL, TURN_STEPS_MAX};
use crate::registry::{DOWN_FORGOTTEN, Directory, Registration, endpoints_to_lines, filters_to_lines};
use crate::topic::Filter;
use crate::wire::{Frame, encode, encode_to_vec};

/// A change that is still to be told. A later one takes its place.
#[derive(Clone, Copy, Debug)]
enum Change {
    Up,
    /// There as before, with another ticket.
    Ticket,
    /// Gone, with the reason as the wire has it.
    Down(u8),
}

/// A list under way.
#[derive(Debug)]
struct Listing {
    request: RequestId,
    /// The last publisher that has come.
    last: Option<PublisherId>,
    /// The next part is asked for.
    is_asked: bool,
}

/// The news for one session.
#[derive(Default, Debug)]
pub(super) struct News {
    watches: BTreeMap<RequestId, Filter>,
    /// The number of watches that have each filter.
    filters: BTreeMap<Filter, u32>,
    /// The epoch of each publisher that the session has been told of.
    told: BTreeMap<PublisherId, u64>,
    changed: BTreeMap<PublisherId, Change>,
    /// Watches to confirm once all that is there has been told.
    unconfirmed: VecDeque<RequestId>,
    listing: Option<Listing>,
    /// Lists to begin when the one under way is whole.
    lists: VecDeque<RequestId>,
    /// More publishers have left than are remembered.
    forgotten: Forgotten,
    /// When tickets to all that it knows were given last, or the first was.
    tickets_given: Option<MonotonicNs>,
}

/// The word to a session that more publishers have left than it is told of, and the time since the last of them left. It is
/// said once: a session that comes back begins with its watches.
#[derive(Clone, Copy, Default, Debug)]
enum Forgotten {
    #[default]
    None,
    ToTell(Duration),
    Told,
}

impl News {
    pub(super) fn watch_count(&self) -> usize {
        self.watches.len()
    }

    /// Adds a watch. `true`: its filter is new to this session.
    pub(super) fn watch(&mut self, request: RequestId, filter: &Filter) -> bool {
        self.watches.insert(request, filter.clone());
        self.unconfirmed.push_back(request);
        let watches = self.filters.entry(filter.clone()).or_insert(0);
        *watches += 1;
        *watches == 1
    }

    /// Takes a watch back. Gives its filter, if no other watch of this session has it.
    pub(super) fn unwatch(&mut self, request: RequestId) -> Option<Filter> {
        let filter = self.watches.remove(&request)?;
        let watches = self.filters.get_mut(&filter)?;
        *watches -= 1;
        if *watches > 0 {
            return None;
        }
        self.filters.remove(&filter);
        Some(filter)
    }

    /// Takes some watch back. `None`: there is none; else its filter, if no other watch of this session has it.
    pub(super) fn unwatch_any(&mut self) -> Option<Option<Filter>> {
        let request = *self.watches.first_key_value()?.0;
        Some(self.unwatch(request))
    }

    /// The watches behind this one, or all of them, in order.
    pub(super) fn watches_behind(
        &self,
        behind: Option<RequestId>,
    ) -> impl Iterator<Item = (RequestId, &Filter)> {
        let from = behind.map_or(Bound::Unbounded, Bound::Excluded);
        self.watches.range((from, Bound::Unbounded)).map(|(request, filter)| (*request, filter))
    }

    /// True if the session has heard of a publisher, or is about to.
    pub(super) fn knows(&self, publisher: PublisherId) -> bool {
        self.told.contains_key(&publisher) || matches!(self.changed.get(&publisher), Some(Change::Up))
    }

    pub(super) fn on_up(&mut self, publisher: PublisherId) {
        self.changed.insert(publisher, Change::Up);
    }

    pub(super) fn on_down(&mut self, publisher: PublisherId, reason: u8) {
        if self.told.contains_key(&publisher) {
            self.changed.insert(publisher, Change::Down(reason));
        } else {
            self.changed.remove(&publisher);
        }
    }

    /// Tickets to all publishers that it knows are to be told again.
    pub(super) fn renew_tickets(&mut self, now: MonotonicNs) {
        self.tickets_given = Some(now);
        for publisher in self.told.keys() {
            self.changed.entry(*publisher).or_insert(Change::Ticket);
        }
    }

    /// True if the tickets that it was told are to be followed by others.
    pub(super) fn tickets_are_due(&self, now: MonotonicNs) -> bool {
        self.tickets_given.is_some_and(|at| now.saturating_since(at) >= TICKET_RENEWAL)
    }

    /// A publisher had left before its filter was watched. The session may have been away, and is told unless it knows of it.
    pub(super) fn on_left(&mut self, registration: &Registration, reason: u8) {
        let publisher = registration.publisher;
        if !self.told.contains_key(&publisher) && !self.changed.contains_key(&publisher) {
            self.told.insert(publisher, registration.epoch);
            self.changed.insert(publisher, Change::Down(reason));
        }
    }

    /// More publishers had left before its filter was watched than are remembered, the last of them so long ago.
    pub(super) fn on_forgotten(&mut self, ago: Duration) {
        if !matches!(self.forgotten, Forgotten::Told) {
            self.forgotten = Forgotten::ToTell(ago);
        }
    }

    /// Asks for a list. Gives how many wait.
    pub(super) fn ask_list(&mut self, request: RequestId) -> usize {
        self.lists.push_back(request);
        self.lists.len()
    }

    /// The next part of a list to ask the registry for, behind that publisher.
    pub(super) fn next_list(&mut self) -> Option<(RequestId, Option<PublisherId>)> {
        if self.listing.is_none() {
            let request = self.lists.pop_front()?;
            self.listing = Some(Listing { request, last: None, is_asked: false });
        }
        let listing = self.listing.as_mut().filter(|listing| !listing.is_asked)?;
        listing.is_asked = true;
        Some((listing.request, listing.last))
    }

    /// A part of a list has come, up to this publisher; `None`: to its end.
    pub(super) fn on_list(&mut self, last: Option<PublisherId>) {
        match (&mut self.listing, last) {
            (Some(listing), Some(last)) => (listing.last, listing.is_asked) = (Some(last), false),
            (listing, _) => *listing = None,
        }
    }

    /// As much of what is to be told as one part holds. Watches are confirmed behind all of it. `ticket` gives the ticket to a
    /// publisher, which comes before the word that it is there, and the work that it took.
    pub(super) fn next_part(
        &mut self,
        directory: &Directory,
        now: MonotonicNs,
        mut ticket: impl FnMut(&Arc<Registration>) -> (Option<Bytes>, usize),
    ) -> NewsPart {
        let (mut part, mut frames, mut work) = (Vec::new(), 0, 0);
        if let Forgotten::ToTell(ago) = self.forgotten {
            self.forgotten = Forgotten::Told;
            let epoch = u64::try_from(ago.as_millis()).unwrap_or(u64::MAX);
            encode(&Frame::PublisherDown { publisher: 0, epoch, reason: DOWN_FORGOTTEN }, &mut part);
            frames += 1;
        }
        while part.len() < NEWS_BYTES_AHEAD
            && work < TURN_STEPS_MAX
            && let Some((publisher, change)) = self.changed.pop_first()
        {
            match change {
                Change::Up | Change::Ticket => {
                    let Some(registration) = directory.get(publisher) else { continue };
                    let (ticket, steps) = ticket(registration);
                    work += steps;
                    if let Some(ticket) = ticket {
                        self.tickets_given.get_or_insert(now);
                        encode(&Frame::Ticket { ticket: &ticket, publisher: publisher.0 }, &mut part);
                        frames += 1;
                    }
                    if matches!(change, Change::Ticket) {
                        continue;
                    }
                    self.told.insert(publisher, registration.epoch);
                    part.extend_from_slice(&up_frame(registration, 0));
                }
                Change::Down(reason) => {
                    let Some(epoch) = self.told.remove(&publisher) else { continue };
                    encode(&Frame::PublisherDown { publisher: publisher.0, epoch, reason }, &mut part);
                }
            }
            frames += 1;
        }
        while self.changed.is_empty()
            && part.len() < NEWS_BYTES_AHEAD
            && let Some(RequestId(request)) = self.unconfirmed.pop_front()
        {
            encode(&Frame::Done { request }, &mut part);
            frames += 1;
        }
        NewsPart { bytes: part, frames, work }
    }
}

/// The news that a session is told at once.
pub(super) struct NewsPart {
    /// Frames.
    pub(super) bytes: Vec<u8>,
    /// The number of those frames.
    pub(super) frames: u32,
    /// The work that its tickets took, in steps of a turn.
    pub(super) work: usize,
}

impl NewsPart {
    /// True if it took a turn, so that the next part has to wait until this one has left.
    pub(super) fn is_hard_work(&self) -> bool {
        self.work >= TURN_STEPS_MAX
    }
}

/// A publisher that is there, as frames say it.
pub(super) fn up_frame(registration: &Registration, lease_left_ms: u32) -> Vec<u8> {
    encode_to_vec(&Frame::PublisherUp {
        endpoints: &endpoints_to_lines(&registration.endpoints),
        topics: &filters_to_lines(&registration.topics),
        publisher: registration.publisher.0,
        epoch: registration.epoch,
        lease_left_ms,
    })
}
