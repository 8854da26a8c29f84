//! A session's subscribers: what each asked for, whether it is in force, and what it is to be told of a connection
//! that was lost.

use std::collections::BTreeMap;
use std::mem;
use std::rc::Rc;
use std::time::Duration;

use corecast_executors::MonotonicNs;

use super::out::OutBuffer;
use super::promise::Promise;
use super::requests::{Asked, Requests};
use super::track::Track;
use crate::client::config::ClientConfig;
use crate::client::message::GapReason;
use crate::error::{Error, ErrorCode, ErrorKind};
use crate::ids::{RequestId, SubscriberId};
use crate::registry::{Mode, ModeRules};
use crate::topic::Filter;
use crate::wire::{Features, Frame, Start};

/// All subscribers of a session.
pub(in crate::client) struct Subscribers {
    by_id: BTreeMap<SubscriberId, Subscribed>,
    /// The number of those that have something to be told of a lost connection: mostly none, so that events need one look.
    untold: usize,
    /// The reason why the connection was lost that they are to be told of.
    lost_by: GapReason,
    /// Subscribers whose subscriptions are in force again, to be told of the gap now.
    returned: Vec<SubscriberId>,
    /// Those that are to be told once they are in force at direct publishers, too.
    half_returned: Vec<SubscriberId>,
    /// Where they start.
    start: Start,
    /// Messages that they have had lately, if they go on from there.
    track: Track,
    resumes: bool,
    /// The broker of the connection before is still there, or has ended in order, and this one can go on from there.
    may_resume: bool,
    /// The broker of the connection before has ended in order, and they have had all that it had for them.
    has_all: bool,
    /// The run of the broker that welcomed last.
    broker: Option<u64>,
    /// The number of those that get history now.
    with_history: usize,
    /// Those that have had all of it, to be told now.
    caught_up: Vec<SubscriberId>,
    next_id: u32,
}

/// A subscriber of this session.
struct Subscribed {
    filters: Rc<[Filter]>,
    /// Watches of direct publishers.
    watches: Vec<RequestId>,
    /// Subscribers and watches not yet in force.
    outstanding: usize,
    promise: Promise,
    /// Whoever subscribes has been told that all is in force, at direct publishers too.
    is_settled: bool,
    history: History,
    /// The reason for which something of it was refused.
    refusal: Option<(ErrorCode, String)>,
    /// The time up to which all was in force and the broker was heard; `None` before the first connection is lost.
    seen_until: Option<MonotonicNs>,
}

/// The history with which a subscriber starts.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum History {
    /// It is to be asked for, or was and has not begun.
    Wanted,
    /// It comes.
    Begun,
    /// It was lost with the connection, and is not asked for again: a part of it has come.
    Lost,
    /// Messages that came while there was no connection are asked for.
    Resumes,
    /// It comes.
    Resumed,
    /// There is none, or it is over.
    None,
}

/// An open session's means to ask for something.
pub(super) struct Asking<'a> {
    pub(super) out: &'a mut OutBuffer,
    pub(super) requests: &'a mut Requests,
    /// Rules by which some topics go direct.
    pub(super) modes: &'a ModeRules,
}

impl Default for Subscribers {
    fn default() -> Self {
        Subscribers {
            by_id: BTreeMap::new(),
            untold: 0,
            lost_by: GapReason::Reconnect,
            returned: Vec::new(),
            half_returned: Vec::new(),
            start: Start::Live,
            track: Track::default(),
            resumes: false,
            may_resume: false,
            has_all: false,
            broker: None,
            with_history: 0,
            caught_up: Vec::new(),
            next_id: 1,
        }
    }
}

impl Subscribers {
    /// The session has just opened: asks again for all that must be in force. Who had it before, and does not hear
    /// from direct publishers alone, by the modes of before and of now, may have missed something of the broker's, if anybody may
    /// have.
    pub(super) fn ask_again(
        &mut self,
        before: &ModeRules,
        asking: &mut Asking<'_>,
        now: MonotonicNs,
        may_miss: bool,
    ) {
        let may_be_proxied = |filter: &Filter| {
            asking.modes.may_have(Mode::Proxy, filter) || before.may_have(Mode::Proxy, filter)
        };
        let proxied = |s: &Subscribed| s.filters.iter().any(may_be_proxied);
        let may_resume = self.may_resume && self.track.positions().is_some();
        for subscribed in self.by_id.values_mut() {
            subscribed.history = match subscribed.history {
                History::Begun => {
                    // What it has had of its history is promised to go on.
                    subscribed.promise.make();
                    History::Lost
                }
                History::None | History::Resumes | History::Resumed
                    if may_resume && !subscribed.promise.is_broken() =>
                {
                    History::Resumes
                }
                History::Resumes | History::Resumed => History::None,
                history => history,
            };
        }
        self.with_history = 0;
        if self.resumes {
            self.track.go_on(now);
        }
        if self.resumes && !may_resume {
            self.track.begin(now);
        }
        let misses = |s: &&mut Subscribed| {
            let misses = may_miss || s.history == History::Lost;
            misses && s.promise.is_made() && proxied(s) && s.history != History::Resumes
        };
        for subscribed in self.by_id.values_mut().filter(misses) {
            subscribed.promise.break_it();
        }
        self.count_untold();
        // Whatever was on its way is lost with the connection, or over.
        self.half_returned.clear();
        let may_be_direct = |filter: &Filter| {
            asking.modes.may_have(Mode::Direct, filter) || before.may_have(Mode::Direct, filter)
        };
        if before != asking.modes {
            // Under other rules messages have changed from the broker to their publishers, or back: the gap stands behind the
            // last that came one way, and before the first that comes the other.
            let moved = |s: &&mut Subscribed| s.filters.iter().any(may_be_direct);
            self.by_id.values_mut().filter(moved).for_each(|s| s.promise.withhold());
        }
        for (id, subscribed) in self.by_id.iter_mut().filter(|(_, s)| s.refusal.is_none()) {
            if subscribed.history == History::Resumes {
                self.track.say(asking.out);
            }
            subscribed.ask(*id, (self.start, self.track.age(now)), asking);
        }
    }

    /// The broker has welcomed; it is this run of it, and has these features.
    pub(super) fn on_broker(&mut self, broker: u64, features: Features) {
        let is_same = self.broker.replace(broker) == Some(broker);
        // Of a broker that has ended in order nothing is missing: what the next one has taken is all there is.
        let has_all = mem::take(&mut self.has_all);
        self.may_resume = self.resumes && (is_same || has_all) && features.has(Features::HISTORY);
    }

    /// A ping that was sent at that time is answered.
    pub(super) fn on_pong(&mut self, sent_at: MonotonicNs, now: MonotonicNs) {
        let are_in_force = |s: &Subscribed| s.outstanding == 0 && s.history == History::None;
        // Before that, not all that the broker has is on its way.
        if self.by_id.values().all(are_in_force) {
            self.track.on_pong(sent_at, now);
        }
    }

    /// True if what they have had is noted.
    pub(super) fn is_tracked(&self) -> bool {
        self.track.is_on() && self.untold == 0
    }

    /// The last message of the publisher of this frame, on its topic, that they had had when they came back.
    pub(super) fn had_up_to(&self, frame: &Frame<'_>) -> Option<u64> {
        let (publisher, _) = frame.author()?;
        self.track.had_up_to(frame.message_topic()?, publisher)
    }

    /// They have had the messages of this frame.
    pub(super) fn note(&mut self, frame: &Frame<'_>) {
        if let (Some(topic), Some((publisher, first))) = (frame.message_topic(), frame.author()) {
            let last = first.saturating_add(u64::from(frame.messages()).saturating_sub(1));
            self.track.note(topic, publisher, last);
        }
    }

    /// The broker has greeted, and offers these features; subscribers start there.
    ///
    /// # Errors
    /// It has no history.
    pub(super) fn on_greeted(&mut self, config: &ClientConfig, features: Features) -> Result<(), String> {
        let start = config.start;
        (self.start, self.resumes) = (start, config.resumes());
        let wants_history = start != Start::Live && !self.by_id.is_empty();
        if wants_history && !features.has(Features::HISTORY) {
            return Err(format!("keeps no history to start from ({start}): it is an older version"));
        }
        Ok(())
    }

    /// The history of a subscriber begins.
    pub(super) fn on_history(&mut self, id: SubscriberId) {
        let Some(subscribed) = self.by_id.get_mut(&id) else { return };
        subscribed.history = match subscribed.history {
            History::Wanted => History::Begun,
            History::Resumes => History::Resumed,
            _ => return,
        };
        self.with_history += 1;
    }

    /// True while messages are from history. Who starts with it has a session of its own.
    pub(super) fn has_history(&self) -> bool {
        self.with_history > 0
    }

    /// A subscriber that has had all of its history.
    pub(super) fn pop_caught_up(&mut self) -> Option<SubscriberId> {
        self.caught_up.pop()
    }

    /// One of a subscriber's subscriptions or watches is in force.
    pub(super) fn on_subscribed(&mut self, id: SubscriberId) {
        let Some(subscribed) = self.by_id.get_mut(&id) else { return };
        subscribed.outstanding = subscribed.outstanding.saturating_sub(1);
        if subscribed.outstanding > 0 {
            return;
        }
        match mem::replace(&mut subscribed.history, History::None) {
            History::None => {}
            History::Begun => {
                self.with_history -= 1;
                self.caught_up.push(id);
            }
            History::Resumed => self.with_history -= 1,
            History::Resumes => {}
            History::Wanted | History::Lost => self.caught_up.push(id),
        }
        if subscribed.promise.keep() {
            self.untold -= 1;
            self.returned.push(id);
        } else if subscribed.promise.is_withheld() {
            self.half_returned.push(id);
        }
    }

    /// One of its subscriptions, which counted as being in force, is asked for again.
    pub(super) fn on_asked_again(&mut self, id: SubscriberId) {
        if let Some(subscribed) = self.by_id.get_mut(&id) {
            subscribed.outstanding += 1;
        }
    }

    /// The broker has refused one of a subscriber's subscriptions or watches, or permits it no longer: it is asked for no more.
    pub(super) fn on_refused(&mut self, id: SubscriberId, code: ErrorCode, text: String) {
        if let Some(subscribed) = self.by_id.get_mut(&id) {
            subscribed.refusal.get_or_insert((code, text));
        }
    }

    /// The subscriber for which direct publishers are watched by this request.
    pub(super) fn of_watch(&self, request: RequestId) -> Option<SubscriberId> {
        let mut all = self.by_id.iter();
        all.find(|(_, subscribed)| subscribed.watches.contains(&request)).map(|(id, _)| *id)
    }

    /// The error of a subscriber of which something was refused.
    pub(super) fn refusal_of(&self, id: SubscriberId) -> Option<Error> {
        let (code, text) = self.by_id.get(&id)?.refusal.as_ref()?;
        Some(Error::new(ErrorKind::Refused(*code), format!("the broker refused: {text} ({code})")))
    }

    /// A subscriber that is in force here, and whose gap waits until it is in force at direct publishers.
    pub(super) fn pop_half_returned(&mut self) -> Option<SubscriberId> {
        self.half_returned.pop()
    }

    /// The gap of this subscriber is told now.
    pub(super) fn release(&mut self, id: SubscriberId, is_open: bool) {
        if let Some(subscribed) = self.by_id.get_mut(&id) {
            subscribed.promise.release(is_open && subscribed.outstanding == 0);
            self.count_untold();
        }
    }

    /// Asks for the filters of a subscriber once more. The answer comes behind all that it was sent before.
    pub(super) fn mark(&mut self, id: SubscriberId, mut asking: Asking<'_>) {
        if let Some(subscribed) = self.by_id.get_mut(&id).filter(|s| s.outstanding == 0) {
            subscribed.ask(id, (Start::Live, Duration::ZERO), &mut asking);
        }
    }

    /// A publisher has left that was never heard of: it came and went while this session was away. Subscribers that are
    /// coming back, and hear direct publishers, may have missed it.
    pub(super) fn on_stranger_gone(&mut self) {
        self.by_id.values_mut().filter(|s| s.comes_back()).for_each(|s| s.promise.break_it());
        self.count_untold();
    }

    /// More publishers have left than the broker can tell of. Subscribers that are coming back, and were away for longer than
    /// this, may have missed some.
    pub(super) fn on_leavers_forgotten(&mut self, now: MonotonicNs, away_at_most: Duration) {
        let was_away =
            |s: &Subscribed| s.seen_until.is_some_and(|until| now.saturating_since(until) >= away_at_most);
        let missed = self.by_id.values_mut().filter(|s| s.comes_back() && was_away(s));
        missed.for_each(|s| s.promise.break_it());
        self.count_untold();
    }

    /// The connection is lost, over which something was received last at that time.
    pub(super) fn on_disconnected(&mut self, received_at: MonotonicNs) {
        for subscribed in self.by_id.values_mut().filter(|s| s.outstanding == 0) {
            subscribed.seen_until = Some(received_at);
        }
    }

    /// An open connection has ended, and why: before this end is told in a gap, a later one that says less does not
    /// take its place.
    pub(super) fn on_lost(&mut self, kind: ErrorKind) {
        self.has_all = kind == ErrorKind::Refused(ErrorCode::ShuttingDown)
            && self.by_id.values().all(|s| s.outstanding == 0 && s.history == History::None);
        let reason = GapReason::of_loss(kind);
        if self.untold == 0 || reason != GapReason::Reconnect {
            self.lost_by = reason;
        }
    }

    /// The reason of the gap that a lost connection leaves.
    pub(super) fn gap_reason(&self) -> GapReason {
        self.lost_by
    }

    /// True if some subscriber is still to be told of a lost connection.
    pub(super) fn has_untold(&self) -> bool {
        self.untold > 0
    }

    /// True if this one is.
    pub(super) fn is_untold(&self, id: SubscriberId) -> bool {
        self.by_id.get(&id).is_some_and(|s| s.promise.is_broken())
    }

    /// A subscriber whose subscriptions are all in force again, and which is to be told of the gap now.
    pub(super) fn pop_returned(&mut self) -> Option<SubscriberId> {
        self.returned.pop()
    }

    /// Somebody relies on this subscriber's filters from now on, in force or not: what it misses until then is told.
    pub(super) fn promise(&mut self, id: SubscriberId, is_open: bool) {
        let in_force = is_open && self.is_answered(id);
        if let Some(subscribed) = self.by_id.get_mut(&id)
            && !in_force
        {
            subscribed.promise.make();
            self.count_untold();
        }
    }

    /// As [`Subscribers::promise`], for all that are here for so long. Returns the time at which the next of those is due
    /// that are neither in force nor promised.
    pub(super) fn promise_overdue(
        &mut self,
        now: MonotonicNs,
        after: Duration,
        is_open: bool,
    ) -> Option<MonotonicNs> {
        let waiting = self.by_id.values_mut().filter(|s| !is_open || s.outstanding > 0);
        let next = waiting.filter_map(|s| s.promise.make_if_overdue(now, after)).min();
        self.count_untold();
        next
    }

    fn count_untold(&mut self) {
        self.untold = self.by_id.values().filter(|s| s.promise.is_broken()).count();
    }

    /// Whoever subscribes is told that all is in force.
    pub(super) fn settled(&mut self, id: SubscriberId) {
        if let Some(subscribed) = self.by_id.get_mut(&id) {
            subscribed.is_settled = true;
        }
    }

    /// The promise to a subscriber at a publisher that it hears of only now. Broken from the start while the subscriber's gap is
    /// withheld, which covers it; and where the publisher may have published what the subscriber was promised: when
    /// it has begun before, or when the subscriber itself is only coming back.
    pub(super) fn promise_at_publisher(
        &self,
        id: SubscriberId,
        has_begun: bool,
        now: MonotonicNs,
    ) -> Promise {
        let Some(subscribed) = self.by_id.get(&id) else { return Promise::new(now) };
        if subscribed.promise.is_withheld() {
            return Promise::covered(now);
        }
        if !subscribed.is_settled {
            return Promise::beginning();
        }
        let mut promise = Promise::new(now);
        if subscribed.outstanding > 0 || has_begun {
            promise.make();
        }
        promise
    }

    /// The subscribers that have missed something, now that this session ends and does not come back. `cut_off`: without
    /// a farewell.
    pub(super) fn who_missed(&self, cut_off: bool) -> Vec<SubscriberId> {
        self.by_id.iter().filter(|(_, s)| s.promise.has_missed(cut_off)).map(|(id, _)| *id).collect()
    }

    /// An id for another subscriber.
    pub(super) fn next_id(&mut self) -> SubscriberId {
        let id = SubscriberId(self.next_id);
        self.next_id = self.next_id.wrapping_add(1);
        id
    }

    /// Adds a subscriber, of which an open session has to ask.
    pub(super) fn add(
        &mut self,
        id: SubscriberId,
        filters: &Rc<[Filter]>,
        promise: Promise,
        open: Option<Asking<'_>>,
    ) {
        let mut subscribed = Subscribed {
            filters: Rc::clone(filters),
            watches: Vec::new(),
            outstanding: filters.len(),
            promise,
            is_settled: false,
            history: History::Wanted,
            refusal: None,
            seen_until: None,
        };
        self.untold += usize::from(promise.is_broken());
        if let Some(mut asking) = open {
            subscribed.ask(id, (self.start, Duration::ZERO), &mut asking);
        }
        self.by_id.insert(id, subscribed);
    }

    /// Takes a subscriber out. An open session says so.
    pub(super) fn remove(&mut self, id: SubscriberId, open: Option<Asking<'_>>) {
        let Some(subscribed) = self.by_id.remove(&id) else { return };
        let had_history = matches!(subscribed.history, History::Begun | History::Resumed);
        self.with_history -= usize::from(had_history);
        self.untold -= usize::from(subscribed.promise.is_broken());
        let Some(Asking { out, .. }) = open else { return };
        for watch in &subscribed.watches {
            out.push(&Frame::UnwatchPublishers { request: watch.0 });
        }
        for filter in &*subscribed.filters {
            let kind = filter.wire_kind();
            out.push(&Frame::Unsubscribe { filter: filter.as_bytes(), request: 0, subscriber: id.0, kind });
        }
    }

    /// True if this subscriber is one of this session.
    pub(super) fn has(&self, id: SubscriberId) -> bool {
        self.by_id.contains_key(&id)
    }

    /// True if nobody subscribes any more.
    pub(super) fn is_empty(&self) -> bool {
        self.by_id.is_empty()
    }

    /// Every subscriber with its filters.
    pub(super) fn iter(&self) -> impl Iterator<Item = (SubscriberId, &Rc<[Filter]>)> {
        self.by_id.iter().map(|(id, subscribed)| (*id, &subscribed.filters))
    }

    /// The filters of a subscriber.
    pub(super) fn filters_of(&self, id: SubscriberId) -> Option<&Rc<[Filter]>> {
        self.by_id.get(&id).map(|subscribed| &subscribed.filters)
    }

    /// Every subscriber with its promise, to go on with on another connection.
    pub(super) fn promises(&self) -> Vec<(SubscriberId, Promise)> {
        self.by_id.iter().map(|(id, subscribed)| (*id, subscribed.promise)).collect()
    }

    /// Goes on after a connection that was lost for this reason.
    pub(super) fn resume(&mut self, lost_by: GapReason) {
        self.lost_by = lost_by;
    }

    /// True if all that was asked for anybody is answered.
    pub(super) fn are_answered(&self) -> bool {
        self.by_id.values().all(|s| s.outstanding == 0 || s.refusal.is_some())
    }

    /// Subscribers may have missed something that was not to be missed. Returns those that are in force, to be told now; the others
    /// are told when they are.
    pub(super) fn on_overlap_cut(&mut self, is_open: bool) -> Vec<SubscriberId> {
        let mut in_force = Vec::new();
        for (id, subscribed) in self.by_id.iter_mut().filter(|(_, s)| s.promise.is_made()) {
            if is_open && subscribed.outstanding == 0 {
                in_force.push(*id);
            } else {
                subscribed.promise.break_it();
            }
        }
        self.count_untold();
        in_force
    }

    /// True if all that was asked for this subscriber is answered.
    pub(super) fn is_answered(&self, id: SubscriberId) -> bool {
        self.by_id.get(&id).is_some_and(|s| s.outstanding == 0)
    }

    /// True if that is so, or its history has begun, which leads there.
    pub(super) fn has_begun(&self, id: SubscriberId) -> bool {
        self.by_id.get(&id).is_some_and(|s| s.outstanding == 0 || s.history == History::Begun)
    }
}

impl Subscribed {
    /// True if it was in force before, is not again yet, and hears direct publishers.
    fn comes_back(&self) -> bool {
        self.is_settled && self.outstanding > 0 && !self.watches.is_empty()
    }

    /// Asks for its filters, and to hear of the direct publishers of those that may have some.
    fn ask(
        &mut self,
        id: SubscriberId,
        (start, away): (Start, Duration),
        Asking { out, requests, modes }: &mut Asking<'_>,
    ) {
        self.watches.clear();
        let subscriptions = u32::try_from(self.filters.len()).unwrap_or(u32::MAX);
        match (start.to_wire(), self.history) {
            (_, History::Resumes) => {
                let request = requests.next(Asked::Start(id)).0;
                let value = u64::try_from(away.as_nanos()).unwrap_or(u64::MAX);
                out.push(&Frame::Start { value, request, subscriptions, kind: Start::RESUME });
            }
            (Some((kind, value)), History::Wanted) => {
                let request = requests.next(Asked::Start(id)).0;
                out.push(&Frame::Start { value, request, subscriptions, kind });
            }
            (None, History::Wanted) => self.history = History::None,
            _ => {}
        }
        for (at, filter) in self.filters.iter().enumerate() {
            let request = requests.next(Asked::Subscribe(id, Some(at))).0;
            let kind = filter.wire_kind();
            out.push(&Frame::Subscribe { filter: filter.as_bytes(), request, subscriber: id.0, kind });
        }
        for filter in self.filters.iter().filter(|filter| modes.may_have(Mode::Direct, filter)) {
            let request = requests.next(Asked::Subscribe(id, None));
            let kind = filter.wire_kind();
            out.push(&Frame::WatchPublishers { filter: filter.as_bytes(), request: request.0, kind });
            self.watches.push(request);
        }
        self.outstanding = self.filters.len() + self.watches.len();
    }
}

#[cfg(test)]
mod tests;
