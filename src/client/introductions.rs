//! Direct publishers, as subscribers deal with them: a session to each that the broker introduces, with the same
//! sinks as the session to the broker, for as long as it is there.

use std::cell::Cell;
use std::rc::Rc;

use corecast_executors::{MonotonicNs, TICK};
use tracing::warn;

use super::message::{EventRef, GapReason, GapRef};
use super::session::{Peer, Session};
use super::state::News;
use crate::endpoint::Endpoint;
use crate::error::{Error, ErrorCode, ErrorKind};
use crate::ids::{PublisherId, SubscriberId};
use crate::limits::{DIRECT_SETTLE, LEASE_DEFAULT};
use crate::registry::Registration;
use crate::topic::Filter;

/// What subscribers are told when a publisher has died with their connection to it.
const PUBLISHER_LOST: GapRef<'static> = GapRef { topic: None, missed: None, reason: GapReason::Publisher };

/// A session to a direct publisher.
pub(super) struct Introduced {
    pub(super) session: Rc<Session>,
    registration: Registration,
    since: MonotonicNs,
    /// The broker knows of it. After the broker was away that is not sure until it says so.
    confirmed: Cell<bool>,
}

impl Introduced {
    fn endpoint(&self) -> &Endpoint {
        &self.session.config.broker
    }

    /// Whether a new subscriber need not wait for it: its subscription is in force there, or the publisher has
    /// not answered for so long that it is taken for dead.
    fn is_settled(&self, id: SubscriberId, now: MonotonicNs) -> bool {
        let state = self.session.state.borrow();
        !state.has_subscriber(id)
            || state.is_in_force(id)
            || state.alive().is_err()
            || now.saturating_since(self.since) >= DIRECT_SETTLE
    }
}

impl Session {
    /// Acts on what the broker has said of direct publishers.
    pub(super) fn hear_news(self: &Rc<Self>) {
        let all = self.state.borrow_mut().take_news();
        for news in all {
            match news {
                News::Up(registration) => self.on_publisher_up(registration),
                News::Down(publisher, epoch) => self.on_publisher_down(publisher, epoch),
            }
        }
    }

    fn on_publisher_up(self: &Rc<Self>, registration: Registration) {
        let Some(endpoint) = registration.endpoints.first().cloned() else { return };
        let publisher = registration.publisher;
        let known = self.introduced.borrow().get(&publisher).is_some_and(|known| {
            *known.endpoint() == endpoint && known.session.state.borrow().alive().is_ok()
        });
        if !known {
            self.part_from(publisher);
            let session = self.start_direct(endpoint, publisher);
            let since = self.runtime.clock.now();
            let introduced =
                Introduced { session, registration: registration.clone(), since, confirmed: Cell::new(true) };
            self.introduced.borrow_mut().insert(publisher, introduced);
        }
        if let Some(known) = self.introduced.borrow_mut().get_mut(&publisher) {
            known.confirmed.set(true);
            known.session.keep_trying(true);
            known.registration = registration;
        }
        let subscribers: Vec<(SubscriberId, Vec<Filter>)> =
            self.state.borrow().subscribers().map(|(id, filters)| (id, filters.to_vec())).collect();
        for (id, filters) in subscribers {
            self.introduce(publisher, id, &filters);
        }
    }

    /// Subscribes at that publisher as well, if it publishes what is asked for.
    fn introduce(&self, publisher: PublisherId, id: SubscriberId, filters: &[Filter]) {
        let introduced = self.introduced.borrow();
        let Some(known) = introduced.get(&publisher) else { return };
        let wanted = filters.iter().any(|filter| known.registration.overlaps(filter));
        let mut state = known.session.state.borrow_mut();
        if wanted && !state.has_subscriber(id) {
            state.subscribe_as(id, filters);
            drop(state);
            known.session.send_later();
        }
    }

    /// A new subscriber: it is introduced to the publishers that are known.
    pub(super) fn introduce_everywhere(&self, id: SubscriberId, filters: &[Filter]) {
        let publishers: Vec<PublisherId> = self.introduced.borrow().keys().copied().collect();
        for publisher in publishers {
            self.introduce(publisher, id, filters);
        }
    }

    /// A subscriber leaves.
    pub(super) fn unsubscribe_everywhere(&self, id: SubscriberId) {
        self.state.borrow_mut().unsubscribe(id);
        self.send_later();
        for known in self.introduced.borrow().values() {
            known.session.state.borrow_mut().unsubscribe(id);
            known.session.send_later();
        }
    }

    /// Whether a subscriber's filters are in force at the broker and at every publisher that answers.
    pub(super) fn is_settled(&self, id: SubscriberId) -> bool {
        let now = self.runtime.clock.now();
        self.introduced.borrow().values().all(|known| known.is_settled(id, now))
    }

    /// The broker says that a publisher is gone. A stream that flows goes on for as long as it does: the publisher
    /// may only have been cut off from the broker, or asleep.
    fn on_publisher_down(self: &Rc<Self>, publisher: PublisherId, epoch: u64) {
        let open = {
            let introduced = self.introduced.borrow();
            let Some(known) = introduced.get(&publisher).filter(|k| k.registration.epoch <= epoch) else {
                return;
            };
            known.session.keep_trying(false);
            known.session.state.borrow().is_open()
        };
        if !open {
            self.part_from(publisher);
        }
    }

    /// Ends the session to a publisher. Who had a stream from it that ended without a farewell is told of a gap.
    fn part_from(&self, publisher: PublisherId) {
        let Some(known) = self.introduced.borrow_mut().remove(&publisher) else { return };
        let subscribers: Vec<SubscriberId> =
            known.session.state.borrow().subscribers().map(|(id, _)| id).collect();
        let lost = known.session.was_cut_off();
        known.session.close();
        if lost {
            for id in subscribers {
                self.sinks.deliver(id, EventRef::Gap(PUBLISHER_LOST));
            }
        }
    }

    /// The connection to the broker is lost: what it says of publishers is not sure any more.
    pub(super) fn doubt_introductions(&self) {
        self.introduced.borrow().values().for_each(|known| known.confirmed.set(false));
    }

    /// A tick: sessions to publishers that have ended, and those that a broker that came back does not confirm.
    pub(super) fn check_introductions(self: &Rc<Self>, now: MonotonicNs) {
        if self.introduced.borrow().is_empty() {
            return;
        }
        let open_since = self.state.borrow().open_since();
        let overdue = open_since.is_some_and(|since| now.saturating_since(since) > LEASE_DEFAULT);
        let settling = |known: &Introduced| now.saturating_since(known.since) <= DIRECT_SETTLE + 2 * TICK;
        let mut wake = false;
        let mut ended = Vec::new();
        for (publisher, known) in &*self.introduced.borrow() {
            wake |= settling(known);
            if overdue && !known.confirmed.get() {
                known.session.keep_trying(false);
            }
            let given_up = !known.session.keeps_trying() && !known.session.state.borrow().is_open();
            if given_up || known.session.state.borrow().alive().is_err() {
                ended.push(*publisher);
            }
        }
        for publisher in ended {
            self.part_from(publisher);
        }
        if wake {
            self.changed.wake_all();
        }
    }

    /// Everybody has left: so do the sessions to publishers.
    pub(super) fn part_from_all(&self) {
        let all = std::mem::take(&mut *self.introduced.borrow_mut());
        all.values().for_each(|known| known.session.close());
    }

    /// Says that a publisher cannot be reached, or that its stream was cut off, by its name: once a second at the
    /// most. An end in order is not worth a line.
    pub(super) fn warn_of_end(&self, error: &Error, opened: bool) {
        let Peer::Publisher(publisher) = self.peer else { return };
        let in_order = matches!(error.kind(), ErrorKind::Refused(ErrorCode::ShuttingDown));
        if in_order || self.is_left() {
            return;
        }
        let (now, endpoint) = (self.runtime.clock.now(), &self.config.broker);
        let mut limit = self.runtime.log_limit.borrow_mut();
        if opened {
            if limit.allow("publisher_lost", now).is_some() {
                warn!(%publisher, %endpoint, %error, "the stream of a direct publisher was cut off");
            }
        } else if limit.allow("publisher_unreachable", now).is_some() {
            warn!(%publisher, %endpoint, %error, "a direct publisher cannot be reached");
        }
    }
}
