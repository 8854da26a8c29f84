//! Direct publishers, as subscribers deal with them: a session to each that the broker introduces, with the same
//! sinks as the session to the broker, for as long as it is there.

use std::cell::Cell;
use std::rc::Rc;
use std::sync::Arc;

use corecast_executors::{MonotonicNs, first};
use tracing::warn;

use super::life::Session;
use super::peer::Peer;
use super::state::News;
use crate::client::deadline::Deadline;
use crate::client::message::{EventRef, GapReason, GapRef};
use crate::error::{Error, ErrorCode, ErrorKind};
use crate::ids::{PublisherId, SubscriberId};
use crate::limits::{DIRECT_SETTLE, LEASE_DEFAULT, LOSS_TOLD_AGAIN_AFTER};
use crate::registry::{Directory, Registration, endpoints_to_lines};
use crate::topic::Filter;

/// The gap that subscribers get when a publisher has died with their connection to it.
const PUBLISHER_LOST: GapRef<'static> = GapRef { topic: None, missed: None, reason: GapReason::Publisher };

/// In which a publisher has not registered before.
const FIRST_EPOCH: u64 = 1;

/// A session to a direct publisher.
pub(in crate::client) struct Introduced {
    pub(in crate::client) session: Rc<Session>,
    registration: Arc<Registration>,
    /// The broker knows of it. After the broker was away that is not sure until it says so.
    confirmed: Cell<bool>,
    /// Some subscribers are not in force there yet, and not overdue.
    settling: Cell<bool>,
}

impl Introduced {
    /// True if a new subscriber need not wait for it: its subscription is in force there, or the publisher has
    /// not answered for so long that it is taken for dead.
    fn is_settled(&self, id: SubscriberId, now: MonotonicNs) -> bool {
        let state = self.session.state.borrow();
        let silent = !state.is_open() && now.saturating_since(self.session.down_since()) >= DIRECT_SETTLE;
        !state.subscribers.has(id) || state.is_in_force(id) || state.alive().is_err() || silent
    }
}

impl Session {
    /// Acts on what the broker has said of direct publishers.
    pub(super) fn hear_news(self: &Rc<Self>) {
        let all = self.state.borrow_mut().take_news();
        for news in all {
            match news {
                News::Up(registration) => self.on_publisher_up(Arc::new(registration)),
                News::Down(publisher, epoch) => self.on_publisher_down(publisher, epoch),
            }
        }
    }

    fn on_publisher_up(self: &Rc<Self>, registration: Arc<Registration>) {
        let publisher = registration.publisher;
        let is_news = !self.told.borrow().knows(publisher);
        self.told.borrow_mut().up(Arc::clone(&registration));
        let has_moved = self.introduced.borrow_mut().get_mut(&publisher).is_some_and(|known| {
            known.confirmed.set(true);
            known.session.keep_trying(true);
            known.session.hurry();
            let moved = known.registration.endpoints != registration.endpoints;
            known.registration = Arc::clone(&registration);
            moved || known.session.state.borrow().alive().is_err()
        });
        if has_moved {
            self.part_from(publisher);
        }
        // One that is news may have begun before, or at the broker before this one.
        let has_begun = has_moved || (is_news && registration.epoch > FIRST_EPOCH);
        let wanting: Vec<(SubscriberId, Vec<Filter>)> = {
            let state = self.state.borrow();
            let subscribers = state.subscribers.iter();
            let wanting = subscribers.filter(|(_, all)| all.iter().any(|f| registration.overlaps(f)));
            wanting.map(|(id, filters)| (id, filters.to_vec())).collect()
        };
        for (id, filters) in wanting {
            self.introduce(&registration, id, &filters, has_begun);
        }
    }

    /// Subscribes at that publisher as well. One that has not begun, or a topic that is new to it, waits for who asks
    /// for it; of one that has begun, who relies on its filters may have missed something.
    fn introduce(
        self: &Rc<Self>,
        registration: &Arc<Registration>,
        id: SubscriberId,
        filters: &[Filter],
        has_begun: bool,
    ) {
        let mut introduced = self.introduced.borrow_mut();
        let known = introduced.entry(registration.publisher).or_insert_with(|| Introduced {
            session: self.start_direct(registration),
            registration: Arc::clone(registration),
            confirmed: Cell::new(true),
            settling: Cell::new(false),
        });
        let mut state = known.session.state.borrow_mut();
        if state.subscribers.has(id) {
            return;
        }
        state.subscribe_as(id, filters, self.runtime.clock.now());
        if self.state.borrow().subscribers.may_have_missed(id, has_begun) {
            state.promise(id);
        }
        drop(state);
        known.settling.set(true);
        known.session.send_later();
    }

    /// A new subscriber: it is introduced to the publishers that are known, those among them whose stream flows while
    /// the broker does not know of them again.
    pub(in crate::client) fn introduce_everywhere(self: &Rc<Self>, id: SubscriberId, filters: &[Filter]) {
        let mut publishers: Vec<Arc<Registration>> =
            self.introduced.borrow().values().map(|known| Arc::clone(&known.registration)).collect();
        let told = self.told.borrow();
        publishers.extend(filters.iter().flat_map(|filter| told.matching(filter)).cloned());
        for registration in publishers {
            if filters.iter().any(|filter| registration.overlaps(filter)) {
                self.introduce(&registration, id, filters, false);
            }
        }
    }

    /// A subscriber leaves, and with it the sessions to publishers that nobody else needs.
    pub(in crate::client) fn unsubscribe_everywhere(&self, id: SubscriberId) {
        self.state.borrow_mut().unsubscribe(id);
        self.send_later();
        self.introduced.borrow_mut().retain(|_, known| {
            known.session.state.borrow_mut().unsubscribe(id);
            known.session.send_later();
            let needed = !known.session.state.borrow().subscribers.is_empty();
            if !needed {
                known.session.close();
            }
            needed
        });
    }

    /// Waits until a subscriber's filters are in force at every publisher that is known, for [`DIRECT_SETTLE`] at the
    /// most, and not past the deadline. What it misses of those that come later it is told.
    pub(in crate::client) async fn settle(&self, id: SubscriberId, deadline: Deadline) {
        let clock = &self.runtime.clock;
        let is_settled = || {
            let now = clock.now();
            self.introduced.borrow().values().all(|known| known.is_settled(id, now)).then_some(())
        };
        let end = deadline.at.min(clock.now() + DIRECT_SETTLE);
        first(self.changed.until(is_settled), clock.until(end)).await;
        for known in self.introduced.borrow().values() {
            known.session.state.borrow_mut().promise(id);
        }
        self.state.borrow_mut().subscribers.settled(id);
    }

    /// The broker says that a publisher is gone. A stream that flows goes on for as long as it does: the publisher
    /// may only have been cut off from the broker, or asleep.
    fn on_publisher_down(self: &Rc<Self>, publisher: PublisherId, epoch: u64) {
        if self.told.borrow_mut().down(publisher, epoch).is_none() {
            return;
        }
        let flows = self.introduced.borrow().get(&publisher).is_some_and(|known| {
            known.session.keep_trying(false);
            known.session.state.borrow().is_open()
        });
        if !flows {
            self.part_from(publisher);
        }
    }

    /// Ends the session to a publisher. Who had a stream from it that ended without a farewell is told of a gap, and
    /// so is who never had one that was promised, or cannot have one.
    fn part_from(&self, publisher: PublisherId) {
        let Some(known) = self.introduced.borrow_mut().remove(&publisher) else { return };
        let missed = known.session.who_missed();
        known.session.close();
        for id in missed {
            self.sinks.deliver(id, EventRef::Gap(PUBLISHER_LOST));
        }
    }

    fn who_missed(&self) -> Vec<SubscriberId> {
        let state = self.state.borrow();
        if self.is_barred() {
            return state.subscribers.iter().map(|(id, _)| id).collect();
        }
        state.subscribers.who_missed(self.was_cut_off())
    }

    /// The connection to the broker is lost: what it says of publishers is not sure any more.
    pub(super) fn doubt_introductions(&self) {
        self.told.replace(Directory::default());
        self.introduced.borrow().values().for_each(|known| known.confirmed.set(false));
    }

    /// A tick: sessions to publishers that have ended, those that a broker that came back does not confirm, and those
    /// that do not answer.
    pub(super) fn check_introductions(self: &Rc<Self>, now: MonotonicNs) {
        if self.introduced.borrow().is_empty() {
            return;
        }
        let open_since = self.state.borrow().open_since();
        let overdue = open_since.is_some_and(|since| now.saturating_since(since) > LEASE_DEFAULT);
        let mut ended = Vec::new();
        for (publisher, known) in &*self.introduced.borrow() {
            if overdue && !known.confirmed.get() {
                known.session.keep_trying(false);
            }
            let mut state = known.session.state.borrow_mut();
            if known.settling.get() {
                known.settling.set(state.promise_overdue(now, DIRECT_SETTLE));
            }
            let given_up = !known.session.keeps_trying() && !state.is_open();
            if given_up || state.alive().is_err() {
                ended.push(*publisher);
            }
        }
        for publisher in ended {
            self.part_from(publisher);
        }
    }

    /// Everybody has left: so do the sessions to publishers.
    pub(super) fn part_from_all(&self) {
        let all = std::mem::take(&mut *self.introduced.borrow_mut());
        all.values().for_each(|known| known.session.close());
    }

    /// Says that a publisher cannot be reached, or that its stream was cut off, by its name, at most once in
    /// [`LOSS_TOLD_AGAIN_AFTER`] for each and each kind of error. An end in order is not worth a line.
    pub(super) fn warn_of_end(&self, error: &Error, opened: bool) {
        let Peer::Publisher(publisher) = self.peer else { return };
        let in_order = matches!(error.kind(), ErrorKind::Refused(ErrorCode::ShuttingDown));
        if in_order || self.is_left() || !self.is_worth_telling(error.kind()) {
            return;
        }
        let endpoint = endpoints_to_lines(&self.endpoints).replace('\n', " ");
        if opened {
            warn!(%publisher, endpoint, %error, "the stream of a direct publisher was cut off");
        } else {
            warn!(%publisher, endpoint, %error, "a direct publisher cannot be reached");
        }
    }

    /// True if the peer's loss, of this kind, has not been logged lately, by this session or another.
    pub(super) fn is_worth_telling(&self, what: ErrorKind) -> bool {
        let now = self.runtime.clock.now();
        let mut told = self.runtime.losses_told.borrow_mut();
        told.retain(|_, at| now.saturating_since(*at) < LOSS_TOLD_AGAIN_AFTER);
        let key = (self.peer, self.config.broker.clone(), what);
        let is_new = !told.contains_key(&key);
        if is_new {
            told.insert(key, now);
        }
        is_new
    }
}
