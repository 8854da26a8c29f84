//! The streams of direct publishers, as a session to a broker deals with them: a session to each that the broker
//! introduces, with the same sinks, for as long as it is there.

use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;

use corecast_executors::{MonotonicNs, first, spawn_local};
use tracing::warn;

use super::dials::DialPermit;
use super::introduced::{DirectSession, FAILURES_MAX, Introduced, StreamEnd};
use super::life::{ConnectionEnd, Session, is_final, jittered};
use super::naming::PublisherNews;
use super::paused::PausedStream;
use super::peer::Peer;
use super::state::State;
use super::uncovered::{Denial, Denied};
use crate::client::deadline::Deadline;
use crate::client::message::{EventRef, GapReason, GapRef};
use crate::error::{Error, ErrorCode, ErrorKind};
use crate::ids::{PublisherId, SubscriberId};
use crate::limits::{DIRECT_SETTLE, HEARING_GAP_MAX, LEASE_DEFAULT, TICKET_GRACE};
use crate::registry::{Registration, endpoints_to_lines};
use crate::topic::Filter;

/// The gap that subscribers get when a publisher has died with their connection to it.
const PUBLISHER_LOST: GapRef<'static> = GapRef { topic: None, missed: None, reason: GapReason::Publisher };

/// Parts of [`DIRECT_SETTLE`], of which the first may have begun before.
const SETTLE_PARTS: u128 = DIRECT_SETTLE.as_millis() / HEARING_GAP_MAX.as_millis() + 1;

/// In which a publisher has not registered before.
const FIRST_EPOCH: u64 = 1;

impl DirectSession for Session {
    fn state(&self) -> &RefCell<State> {
        &self.state
    }

    fn send_later(&self) {
        Session::send_later(self);
    }
}

impl Session {
    /// Acts on what the broker has said of direct publishers.
    pub(super) fn hear_news(self: &Rc<Self>) {
        let (all, tickets) = {
            let mut state = self.state.borrow_mut();
            (state.naming.take_news(), state.tickets.take_fresh())
        };
        if all.is_empty() && tickets.is_empty() {
            return;
        }
        self.runtime.clock.end_rest();
        let mut changed = tickets;
        for publisher in &changed {
            self.show_ticket(*publisher);
        }
        for news in all {
            match news {
                PublisherNews::Up(registration) => {
                    changed.push(registration.publisher);
                    self.on_publisher_up(Arc::new(registration));
                }
                PublisherNews::Down(publisher, epoch) => self.on_publisher_down(publisher, epoch),
                PublisherNews::Revoked(publisher, epoch) => self.on_publisher_revoked(publisher, epoch),
            }
        }
        changed.into_iter().for_each(|publisher| self.ask_denied(publisher));
        self.connect_due(self.runtime.clock.now());
    }

    /// There is another ticket to a publisher: it is shown where there is a connection, or made one with if that was missing.
    fn show_ticket(&self, publisher: PublisherId) {
        let mut introductions = self.introductions.borrow_mut();
        introductions.on_ticket(publisher, self.runtime.clock.now());
        let Some(session) = introductions.get(publisher).and_then(Introduced::session) else { return };
        if let Some(ticket) = self.state.borrow().tickets.of(publisher) {
            session.state.borrow_mut().set_ticket(ticket);
            session.send_later();
        }
    }

    /// Behind another ticket to a publisher, and the word of its topics, it is asked again for what it has denied.
    fn ask_denied(&self, publisher: PublisherId) {
        let introductions = self.introductions.borrow();
        let Some(known) = introductions.get(publisher) else { return };
        let Some(session) = known.session() else { return };
        let own = self.state.borrow();
        // What the broker has not confirmed yet may have been allowed behind this ticket.
        session
            .state
            .borrow_mut()
            .ask_denied(|id, filter| known.registration().overlaps(filter) && own.is_in_force(id));
        session.send_later();
    }

    /// Has the session to the broker decide on what its direct publisher does not let subscribers have.
    pub(super) fn report_denied(&self) {
        let (Peer::Publisher(publisher), Some(introducer)) = (self.peer, self.introducer.upgrade()) else {
            return;
        };
        let all = self.state.borrow_mut().take_denied();
        for denied in &all {
            introducer.on_denied(publisher, self, denied);
        }
        if !all.is_empty() {
            self.tell_returned();
            self.changed.wake_all();
        }
    }

    /// A direct publisher denies a filter to a subscriber. If it has topics of that, the subscriber would hear less than the broker
    /// permits: it is told so, as of a refusal of the broker.
    fn on_denied(&self, publisher: PublisherId, session: &Session, denied: &Denied) {
        let id = denied.place.0;
        let introductions = self.introductions.borrow();
        let registration = introductions.get(publisher).map(Introduced::registration);
        let has_topics = registration.is_some_and(|known| known.overlaps(&denied.filter));
        match denied.by {
            _ if !has_topics => session.state.borrow_mut().leave_out(denied),
            // Until there is another ticket its stream has holes, which are told.
            Denial::YetRefused => {}
            Denial::OwnRules => {
                session.state.borrow_mut().leave_out(denied);
                drop(introductions);
                self.sinks.deliver(id, EventRef::Gap(PUBLISHER_LOST));
            }
            Denial::Refused | Denial::Ended => {
                self.state.borrow_mut().subscribers.on_refused(id, denied.code, denied.text.clone());
            }
        }
    }

    fn on_publisher_up(self: &Rc<Self>, registration: Arc<Registration>) {
        let publisher = registration.publisher;
        let (is_news, has_moved) = {
            let mut introductions = self.introductions.borrow_mut();
            let is_news = introductions.add(&registration);
            let before = introductions.get(publisher).map(|known| Arc::clone(known.registration()));
            introductions.hurry(&registration, self.runtime.clock.now());
            (is_news, before.is_some_and(|before| before.endpoints != registration.endpoints))
        };
        if has_moved {
            self.part_from(publisher);
        }
        // One that is news may have begun before, or at the broker before this one.
        let has_begun = has_moved || (is_news && registration.epoch > FIRST_EPOCH);
        let wanting: Vec<(SubscriberId, Rc<[Filter]>)> = {
            let state = self.state.borrow();
            let subscribers = state.subscribers.iter();
            let wanting = subscribers.filter(|(_, all)| all.iter().any(|f| registration.overlaps(f)));
            wanting.map(|(id, filters)| (id, Rc::clone(filters))).collect()
        };
        for (id, filters) in wanting {
            self.introduce(&registration, id, &filters, has_begun);
        }
    }

    /// Subscribes at that publisher as well. One that has not begun, or a topic that is new to it, waits for who asks
    /// for it; of one that has begun, who relies on its filters may have missed something.
    fn introduce(
        &self,
        registration: &Arc<Registration>,
        id: SubscriberId,
        filters: &Rc<[Filter]>,
        has_begun: bool,
    ) {
        let now = self.runtime.clock.now();
        {
            let mut introductions = self.introductions.borrow_mut();
            let known = introductions.want(registration, now);
            if !known.has(id) {
                // Not before it was heard of, whenever the last tick was.
                let since = MonotonicNs::now();
                let promise = self.state.borrow().subscribers.promise_at_publisher(id, has_begun, since);
                known.subscribe(id, filters, promise);
            }
        }
        while let Some(surplus) = self.surplus_introduction() {
            self.part_from(surplus);
        }
    }

    fn surplus_introduction(&self) -> Option<PublisherId> {
        self.introductions.borrow().surplus()
    }

    /// A new subscriber: it is introduced to the publishers that are known, those among them whose stream flows while
    /// the broker does not know of them again.
    pub(in crate::client) fn introduce_everywhere(self: &Rc<Self>, id: SubscriberId) {
        let Some(filters) = self.state.borrow().subscribers.filters_of(id).cloned() else { return };
        let publishers = self.introductions.borrow().matching(&filters);
        for registration in publishers {
            self.introduce(&registration, id, &filters, false);
        }
        self.connect_due(self.runtime.clock.now());
    }

    /// A subscriber leaves, and with it the sessions to publishers that nobody else needs.
    pub(in crate::client) fn unsubscribe_everywhere(&self, id: SubscriberId) {
        self.state.borrow_mut().unsubscribe(id);
        self.send_later();
        let unwanted = self.introductions.borrow_mut().unsubscribe(id);
        close_all(&unwanted);
    }

    /// Waits until a subscriber's filters are in force at every publisher that is known, for [`DIRECT_SETTLE`] at the
    /// most, not counting time in which this process was stopped, and not past the deadline. What it misses of those that
    /// come later it is told, and of nothing before.
    pub(in crate::client) async fn settle(&self, id: SubscriberId, deadline: Deadline) {
        let clock = &self.runtime.clock;
        // Each look visits those that have settled since the last, and all of them once none is left.
        let mut unsettled: Vec<PublisherId> = Vec::new();
        let is_settled = || {
            let (introductions, now) = (self.introductions.borrow(), clock.now());
            loop {
                while let Some(last) = unsettled.last() {
                    if introductions.get(*last).is_some_and(|known| !known.is_settled(id, now)) {
                        return None;
                    }
                    unsettled.pop();
                }
                unsettled = introductions.unsettled(id, now);
                if unsettled.is_empty() {
                    return Some(());
                }
            }
        };
        // In parts: of a time in which this process was stopped no more than one counts.
        let long_enough = async {
            for _ in 0..SETTLE_PARTS {
                clock.until(clock.now() + HEARING_GAP_MAX).await;
            }
        };
        first(first(self.changed.until(is_settled), long_enough), clock.until(deadline.at)).await;
        self.introductions.borrow_mut().iter_mut().for_each(|known| known.promise(id));
        self.state.borrow_mut().subscribers.settled(id);
    }

    /// A subscriber is in force at the broker again, after a change of rules: it is told of its gap once it is in force at all
    /// publishers that are known, behind what they have sent before, or in [`DIRECT_SETTLE`].
    pub(super) fn return_half(&self, id: SubscriberId) {
        self.runtime.clock.end_rest();
        let now = self.runtime.clock.now();
        self.returning.borrow_mut().add(id, now, &mut self.introductions.borrow_mut());
        self.return_settled(now);
    }

    /// Tells those of their gap that are in force everywhere, or have waited for long enough.
    fn return_settled(&self, now: MonotonicNs) {
        let settled = self.returning.borrow_mut().take_settled(now, &mut self.introductions.borrow_mut());
        for id in settled {
            self.state.borrow_mut().release(id);
            self.listeners().tell_gap(id);
        }
    }

    /// Connects to publishers whose turn has come, as many as may begin now.
    fn connect_due(self: &Rc<Self>, now: MonotonicNs) {
        for failures in 0..=FAILURES_MAX {
            while let Some(publisher) = self.publisher_due(failures, now) {
                let Some(permit) = self.runtime.dials.begin(failures == 0) else { return };
                self.connect_to(publisher, permit);
            }
        }
    }

    fn publisher_due(&self, failures: u8, now: MonotonicNs) -> Option<PublisherId> {
        self.introductions.borrow().due(failures, now)
    }

    /// Makes one connection to a publisher, and serves it until it ends.
    fn connect_to(self: &Rc<Self>, publisher: PublisherId, permit: DialPermit) {
        let begun = {
            let mut introductions = self.introductions.borrow_mut();
            let Some(known) = introductions.take_turn(publisher) else { return };
            let registration = Arc::clone(known.registration());
            known.begin(|paused| self.direct_session(&registration, paused))
        };
        let Some(session) = begun else { return };
        let parent = Rc::downgrade(self);
        spawn_local(async move {
            let end = session.live_once(Some(permit)).await;
            if let Some(parent) = parent.upgrade() {
                parent.on_stream_ended(publisher, &session, &end);
            }
            session.end(&end.error);
        })
        .detach();
    }

    /// A session to a direct publisher for the subscribers of this one, which goes on with what was kept of the last.
    fn direct_session(self: &Rc<Self>, registration: &Registration, paused: &PausedStream) -> Rc<Session> {
        let session = self.start_direct(registration);
        {
            let mut state = session.state.borrow_mut();
            state.resume(registration.publisher, paused.previous, paused.lost_by);
            let own = self.state.borrow();
            if let Some(ticket) = own.tickets.of(registration.publisher) {
                state.set_ticket(ticket);
            }
            for (id, promise) in &paused.subscribers {
                let filters = own.subscribers.filters_of(*id);
                let filters = filters.expect("whoever subscribes at a publisher does so at the broker");
                state.subscribe_as(*id, filters, *promise);
            }
        }
        session
    }

    fn on_stream_ended(&self, publisher: PublisherId, session: &Rc<Session>, end: &ConnectionEnd) {
        self.runtime.clock.end_rest();
        session.warn_of_end(&end.error, end.held_for.is_some());
        // The broker may give another.
        let lacks_ticket = matches!(end.error.kind(), ErrorKind::Refused(ErrorCode::Unauthenticated));
        let keeps_trying = {
            let mut introductions = self.introductions.borrow_mut();
            let Some(known) = introductions.get_mut(publisher) else { return };
            let paused = session.state.borrow().paused();
            let stream_end = StreamEnd {
                held_for: end.held_for,
                cut_off: !matches!(end.error.kind(), ErrorKind::Refused(ErrorCode::ShuttingDown)),
                lacks_ticket,
                down_since: session.patience.down_since(),
                paused,
            };
            let Some(pause) = known.on_ended(session, stream_end) else { return };
            let keeps_trying = known.keeps_trying();
            introductions.rest(publisher, self.runtime.clock.now(), jittered(pause));
            keeps_trying
        };
        if is_final(&end.error) && !lacks_ticket {
            // Another attempt would only be refused again.
            self.part_from_barred(publisher);
        } else if !keeps_trying {
            self.part_from(publisher);
        }
    }

    /// The broker says that a publisher is gone. A stream that flows goes on for as long as it does: the publisher
    /// may only have been cut off from the broker, or asleep.
    fn on_publisher_down(&self, publisher: PublisherId, epoch: u64) {
        if self.introductions.borrow_mut().forget(publisher, epoch) {
            self.give_up(publisher);
        }
    }

    /// The broker has taken a publisher's registration back: its stream ends at once, also one that flows, and that of a session
    /// which was away at that moment. Whatever the publisher still sends is nobody's.
    fn on_publisher_revoked(&self, publisher: PublisherId, epoch: u64) {
        let Some(known) = self.introductions.borrow_mut().revoke(publisher, epoch) else { return };
        self.end_stream(known, "the broker has taken back the registration of a direct publisher");
    }

    /// The broker was started again, and has given no ticket since to publishers that it does not know of either. Their streams
    /// end as those of publishers whose registration was taken back: they could go on without a right for as long as the tickets
    /// of the broker before it last.
    fn part_from_unproven(&self) {
        let outdated = self.state.borrow_mut().tickets.take_outdated();
        for publisher in outdated {
            let known = {
                let mut introductions = self.introductions.borrow_mut();
                if introductions.is_there(publisher) { None } else { introductions.remove(publisher) }
            };
            if let Some(known) = known {
                self.end_stream(known, "the broker was started again, and does not know a direct publisher");
            }
        }
    }

    /// Ends the stream of a publisher that the broker does not stand for any more, also if it flows: all who have it are told
    /// of a gap.
    fn end_stream(&self, known: Introduced<Session>, why: &str) {
        let publisher = known.registration().publisher;
        if self.is_worth_telling(ErrorKind::Refused(ErrorCode::NotPermitted)) {
            warn!(broker = %self.config.broker, %publisher, "{why}: its stream ends");
        }
        let missed = known.subscribers();
        known.stop();
        close_all(&[known]);
        self.tell_lost(missed);
    }

    /// A publisher is not there, as far as the broker knows.
    fn give_up(&self, publisher: PublisherId) {
        let flows = self.introductions.borrow_mut().get_mut(publisher).is_some_and(|known| {
            known.give_up();
            known.flows()
        });
        if !flows {
            self.part_from(publisher);
        }
    }

    /// Ends the session to a publisher. Who had a stream from it that ended without a farewell is told of a gap, and
    /// so is who never had one that was promised.
    fn part_from(&self, publisher: PublisherId) {
        self.part_from_with(publisher, Introduced::who_missed);
    }

    /// Ends the session to a publisher that refuses it for good: all who want it are told of a gap.
    fn part_from_barred(&self, publisher: PublisherId) {
        self.part_from_with(publisher, Introduced::subscribers);
    }

    fn part_from_with(
        &self,
        publisher: PublisherId,
        who: impl FnOnce(&Introduced<Session>) -> Vec<SubscriberId>,
    ) {
        let Some(known) = self.introductions.borrow_mut().remove(publisher) else { return };
        let missed = who(&known);
        close_all(&[known]);
        self.tell_lost(missed);
    }

    /// Tells subscribers of the gap that a publisher leaves.
    fn tell_lost(&self, missed: Vec<SubscriberId>) {
        for id in missed {
            self.sinks.deliver(id, EventRef::Gap(PUBLISHER_LOST));
        }
    }

    /// The connection to the broker is lost: what it says of publishers is not sure any more.
    pub(super) fn doubt_introductions(&self) {
        self.introductions.borrow_mut().doubt_all();
    }

    /// A tick: publishers that are to be connected to, those that a broker that came back does not confirm, and those
    /// that do not answer.
    pub(super) fn check_introductions(self: &Rc<Self>, now: MonotonicNs) {
        if !self.returning.borrow().is_empty() {
            self.return_settled(now);
        }
        let open_since = self.state.borrow().open_since();
        self.introductions.borrow_mut().on_tick(now, open_since.is_some());
        if self.introductions.borrow().is_empty() {
            return;
        }
        self.introductions.borrow_mut().promise_overdue(now);
        if open_since.is_some_and(|since| now.saturating_since(since) > LEASE_DEFAULT) {
            let unconfirmed = self.introductions.borrow_mut().take_unconfirmed();
            unconfirmed.into_iter().for_each(|publisher| self.give_up(publisher));
        }
        if self.introductions.borrow().heard_for() > TICKET_GRACE {
            self.part_from_unproven();
        }
        self.connect_due(now);
    }

    /// Everybody has left: so do the sessions to publishers.
    pub(super) fn part_from_all(&self) {
        let all = self.introductions.borrow_mut().remove_all();
        close_all(&all);
    }

    /// Says that a publisher cannot be reached, or that its stream was cut off, by its name, at most once in
    /// [`LOSS_TOLD_AGAIN_AFTER`](crate::limits::LOSS_TOLD_AGAIN_AFTER) for each and each kind of error. An end in order is
    /// not worth a line.
    fn warn_of_end(&self, error: &Error, opened: bool) {
        let Peer::Publisher(publisher) = self.peer else { return };
        let in_order = matches!(error.kind(), ErrorKind::Refused(ErrorCode::ShuttingDown));
        if in_order || self.is_left() || !self.is_worth_telling(error.kind()) {
            return;
        }
        let endpoint = endpoints_to_lines(&self.destinations.in_turn()).replace('\n', " ");
        if opened {
            warn!(%publisher, endpoint, %error, "the stream of a direct publisher was cut off");
        } else {
            warn!(%publisher, endpoint, %error, "a direct publisher cannot be reached");
        }
    }
}

impl Introduced<Session> {
    /// Nothing that its connection brings from now on reaches a subscriber.
    fn stop(&self) {
        let Some(session) = self.session() else { return };
        self.subscribers().into_iter().for_each(|id| session.state.borrow_mut().unsubscribe(id));
        if let Some(stream) = &*session.stream.borrow() {
            let _ = stream.shutdown_both();
        }
    }
}

fn close_all(introduced: &[Introduced<Session>]) {
    introduced.iter().filter_map(Introduced::session).for_each(Session::close);
}
