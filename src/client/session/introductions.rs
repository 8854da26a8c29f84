//! The direct publishers that the broker has introduced: which are there by its word, which of them subscribers want, and
//! when each is to be connected to next. Every visit costs what is due, however many there are. Pure.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use corecast_executors::MonotonicNs;

use super::introduced::{DirectSession, Introduced};
use crate::ids::{PublisherId, SubscriberId};
use crate::limits::{DIRECT_SETTLE, HEARING_GAP_MAX, NAMED_BYTES_MAX, PUBLISHERS_NAMED_MAX};
use crate::registry::{Directory, Registration};
use crate::topic::Filter;

/// A place among those that are to be connected to: the number of failures and the time, so that those which have
/// failed less go first.
type Turn = (u8, MonotonicNs);

/// All of a session to a broker.
pub(super) struct Introductions<S> {
    /// Publishers that are there, by the broker's word on this connection.
    there: Directory,
    /// Those that subscribers want.
    wanted: BTreeMap<PublisherId, Wanted<S>>,
    /// The length of their registrations, in bytes.
    bytes: usize,
    /// Those without a connection, in the order of their turns.
    turns: BTreeSet<(Turn, PublisherId)>,
    /// Those with subscribers that are not in force yet, by the time at which these are overdue.
    settling: BTreeSet<(MonotonicNs, PublisherId)>,
    /// Those that were introduced on an earlier connection to the broker, and not on this one.
    unconfirmed: BTreeSet<PublisherId>,
    /// The time of the last tick.
    ticked: Option<MonotonicNs>,
    /// The time for which the connection to the broker is open, without that in which this process was stopped.
    heard_for: Duration,
}

struct Wanted<S> {
    introduced: Introduced<S>,
    bytes: usize,
    /// Its place in `turns`.
    turn: Option<Turn>,
    /// Its place in `settling`.
    overdue_at: Option<MonotonicNs>,
}

impl<S> Default for Introductions<S> {
    fn default() -> Self {
        Introductions {
            there: Directory::default(),
            wanted: BTreeMap::new(),
            bytes: 0,
            turns: BTreeSet::new(),
            settling: BTreeSet::new(),
            unconfirmed: BTreeSet::new(),
            ticked: None,
            heard_for: Duration::ZERO,
        }
    }
}

impl<S: DirectSession> Introductions<S> {
    /// The broker says that a publisher is there. Returns false if it was known to be.
    pub(super) fn add(&mut self, registration: &Arc<Registration>) -> bool {
        let is_news = !self.there.knows(registration.publisher);
        self.there.up(Arc::clone(registration));
        self.unconfirmed.remove(&registration.publisher);
        is_news
    }

    /// The broker says that it is gone. Returns false if it was not known in that epoch.
    pub(super) fn forget(&mut self, publisher: PublisherId, epoch: u64) -> bool {
        self.there.down(publisher, epoch).is_some()
    }

    /// The registration of a publisher was taken back, in this epoch: takes the publisher out. `None`: no subscriber wants it,
    /// or it has registered since.
    pub(super) fn revoke(&mut self, publisher: PublisherId, epoch: u64) -> Option<Introduced<S>> {
        self.forget(publisher, epoch);
        let known = self.get(publisher).filter(|known| known.registration().epoch <= epoch);
        known.is_some().then(|| self.remove(publisher)).flatten()
    }

    /// The connection to the broker is lost: its word is not sure any more.
    pub(super) fn doubt_all(&mut self) {
        self.there = Directory::default();
        // The next one may be open before a tick.
        self.heard_for = Duration::ZERO;
        self.unconfirmed.extend(self.wanted.keys());
    }

    /// Those that the broker has not confirmed. They are returned once for each of its connections.
    pub(super) fn take_unconfirmed(&mut self) -> BTreeSet<PublisherId> {
        std::mem::take(&mut self.unconfirmed)
    }

    /// Those that a new subscriber wants: all that are there, and those whose stream flows while the broker does not know of
    /// them again.
    pub(super) fn matching(&self, filters: &[Filter]) -> Vec<Arc<Registration>> {
        let wanted = self.wanted.values().map(|wanted| wanted.introduced.registration());
        let there = filters.iter().flat_map(|filter| self.there.matching(filter));
        let both = wanted.chain(there);
        let overlaps = |known: &Registration| filters.iter().any(|filter| known.overlaps(filter));
        both.filter(|known| overlaps(known)).cloned().collect()
    }

    /// True if some are to be connected to, or have to answer by a tick.
    pub(super) fn wants_ticks(&self) -> bool {
        !self.turns.is_empty() || !self.settling.is_empty()
    }

    /// True if nobody wants any.
    pub(super) fn is_empty(&self) -> bool {
        self.wanted.is_empty()
    }

    pub(super) fn get(&self, publisher: PublisherId) -> Option<&Introduced<S>> {
        self.wanted.get(&publisher).map(|wanted| &wanted.introduced)
    }

    pub(super) fn get_mut(&mut self, publisher: PublisherId) -> Option<&mut Introduced<S>> {
        self.wanted.get_mut(&publisher).map(|wanted| &mut wanted.introduced)
    }

    pub(super) fn iter_mut(&mut self) -> impl Iterator<Item = &mut Introduced<S>> {
        self.wanted.values_mut().map(|wanted| &mut wanted.introduced)
    }

    /// A publisher that subscribers want: known already, or connected to at the next turn.
    pub(super) fn want(&mut self, registration: &Arc<Registration>, now: MonotonicNs) -> &mut Introduced<S> {
        let publisher = registration.publisher;
        let wanted = self.wanted.entry(publisher).or_insert_with(|| {
            let turn = (0, now);
            let bytes = registration.bytes();
            self.bytes += bytes;
            self.turns.insert((turn, publisher));
            let introduced = Introduced::new(Arc::clone(registration), now);
            Wanted { introduced, bytes, turn: Some(turn), overdue_at: None }
        });
        if wanted.overdue_at.is_none() {
            let at = now + DIRECT_SETTLE;
            wanted.overdue_at = Some(at);
            self.settling.insert((at, publisher));
        }
        &mut wanted.introduced
    }

    /// Takes out a publisher that is wanted no more, or has gone.
    pub(super) fn remove(&mut self, publisher: PublisherId) -> Option<Introduced<S>> {
        let wanted = self.wanted.remove(&publisher)?;
        self.bytes -= wanted.bytes;
        self.unconfirmed.remove(&publisher);
        wanted.turn.map(|turn| self.turns.remove(&(turn, publisher)));
        wanted.overdue_at.map(|at| self.settling.remove(&(at, publisher)));
        Some(wanted.introduced)
    }

    /// Takes all out.
    pub(super) fn remove_all(&mut self) -> Vec<Introduced<S>> {
        let all = std::mem::take(self);
        all.wanted.into_values().map(|wanted| wanted.introduced).collect()
    }

    /// Takes out a subscriber, and publishers that nobody wants then.
    pub(super) fn unsubscribe(&mut self, id: SubscriberId) -> Vec<Introduced<S>> {
        self.iter_mut().for_each(|known| known.unsubscribe(id));
        let unwanted = self.wanted.iter().filter(|(_, wanted)| wanted.introduced.is_unwanted());
        let unwanted: Vec<PublisherId> = unwanted.map(|(publisher, _)| *publisher).collect();
        unwanted.into_iter().filter_map(|publisher| self.remove(publisher)).collect()
    }

    /// A publisher that is given up for room: none that the broker has confirmed, so one only while more are held than one
    /// connection may name.
    pub(super) fn surplus(&self) -> Option<PublisherId> {
        let is_full = self.wanted.len() > PUBLISHERS_NAMED_MAX || self.bytes > NAMED_BYTES_MAX;
        self.unconfirmed.first().copied().filter(|_| is_full)
    }

    /// A publisher has registered again. Without a connection its turn is now.
    pub(super) fn hurry(&mut self, registration: &Arc<Registration>, now: MonotonicNs) {
        let publisher = registration.publisher;
        let Some(wanted) = self.wanted.get_mut(&publisher) else { return };
        let bytes = registration.bytes();
        self.bytes = self.bytes - wanted.bytes + bytes;
        wanted.bytes = bytes;
        wanted.introduced.on_registered(Arc::clone(registration));
        if wanted.turn.is_some() {
            self.give_turn(publisher, now);
        }
    }

    /// There is another ticket to a publisher. If that is what the last connection lacked, the turn of the next is now.
    pub(super) fn on_ticket(&mut self, publisher: PublisherId, now: MonotonicNs) {
        let waits = |wanted: &&Wanted<S>| wanted.turn.is_some() && wanted.introduced.lacks_ticket();
        if self.wanted.get(&publisher).filter(waits).is_some() {
            self.give_turn(publisher, now);
        }
    }

    /// A publisher without a connection is to be connected to after a pause.
    pub(super) fn rest(&mut self, publisher: PublisherId, now: MonotonicNs, pause: Duration) {
        self.give_turn(publisher, now + pause);
    }

    fn give_turn(&mut self, publisher: PublisherId, at: MonotonicNs) {
        let Some(wanted) = self.wanted.get_mut(&publisher) else { return };
        let turn = (wanted.introduced.failures(), at);
        if let Some(old) = wanted.turn.replace(turn) {
            self.turns.remove(&(old, publisher));
        }
        self.turns.insert((turn, publisher));
    }

    /// A publisher whose turn has come, among those with so many failures.
    pub(super) fn due(&self, failures: u8, now: MonotonicNs) -> Option<PublisherId> {
        let due = ((failures, MonotonicNs(0)), PublisherId(0))..=((failures, now), PublisherId(u64::MAX));
        self.turns.range(due).next().map(|(_, publisher)| *publisher)
    }

    /// It takes its turn.
    pub(super) fn take_turn(&mut self, publisher: PublisherId) -> Option<&mut Introduced<S>> {
        let wanted = self.wanted.get_mut(&publisher)?;
        let turn = wanted.turn.take()?;
        self.turns.remove(&(turn, publisher));
        Some(&mut wanted.introduced)
    }

    /// Makes the promise to subscribers that have waited for [`DIRECT_SETTLE`] to be in force somewhere.
    pub(super) fn promise_overdue(&mut self, now: MonotonicNs) {
        while let Some((at, publisher)) = self.settling.first().copied().filter(|(at, _)| *at <= now) {
            self.settling.remove(&(at, publisher));
            let Some(wanted) = self.wanted.get_mut(&publisher) else { continue };
            wanted.overdue_at = wanted.introduced.promise_overdue(now);
            wanted.overdue_at.map(|at| self.settling.insert((at, publisher)));
        }
    }

    /// The time for which the broker could say which publishers are there.
    pub(super) fn heard_for(&self) -> Duration {
        self.heard_for
    }

    /// True if a publisher is there, by the broker's word on this connection.
    pub(super) fn is_there(&self, publisher: PublisherId) -> bool {
        self.there.knows(publisher)
    }

    /// A tick; `is_open`: the broker has welcomed the session. While this process was stopped it could hear no publisher: none is
    /// taken for dead by that time.
    pub(super) fn on_tick(&mut self, now: MonotonicNs, is_open: bool) {
        let passed = self.ticked.replace(now).map_or(Duration::ZERO, |before| now.saturating_since(before));
        if is_open {
            self.heard_for += passed.min(HEARING_GAP_MAX);
        }
        let stopped = passed.saturating_sub(HEARING_GAP_MAX);
        if stopped > Duration::ZERO {
            self.iter_mut().for_each(|known| known.excuse(stopped));
        }
    }

    /// Publishers for which this subscriber may have to wait.
    pub(super) fn unsettled(&self, id: SubscriberId, now: MonotonicNs) -> Vec<PublisherId> {
        let unsettled = self.wanted.iter().filter(|(_, wanted)| !wanted.introduced.is_settled(id, now));
        unsettled.map(|(publisher, _)| *publisher).collect()
    }
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;
    use std::rc::Rc;

    use super::super::introduced::FAILURES_MAX;
    use super::super::promise::Promise;
    use super::super::state::State;
    use super::*;
    use crate::limits::{DIAL_PAUSE_MAX, RECONNECT_PAUSE_MIN};

    /// That of a publisher to which no connection is made.
    enum NoSession {}

    impl DirectSession for NoSession {
        fn state(&self) -> &RefCell<State> {
            match *self {}
        }

        fn send_later(&self) {
            match *self {}
        }
    }

    const NOW: MonotonicNs = MonotonicNs(1);

    fn registration(publisher: u64) -> Arc<Registration> {
        Arc::new(Registration {
            publisher: PublisherId(publisher),
            epoch: 1,
            endpoints: vec!["tcp://127.0.0.1:1".parse().expect("an endpoint")],
            topics: vec![Filter::parse("a").expect("a filter")],
        })
    }

    /// The publisher whose turn is next.
    fn next(introductions: &Introductions<NoSession>, now: MonotonicNs) -> Option<u64> {
        let due = (0..=FAILURES_MAX).find_map(|failures| introductions.due(failures, now));
        due.map(|publisher| publisher.0)
    }

    /// An attempt that ends at once, and the pause after it.
    fn attempt(
        introductions: &mut Introductions<NoSession>,
        publisher: u64,
        now: MonotonicNs,
        held_for: Option<Duration>,
    ) -> Duration {
        let publisher = PublisherId(publisher);
        let pause = introductions.take_turn(publisher).expect("its turn has come").back_off(held_for);
        introductions.rest(publisher, now, pause);
        pause
    }

    #[test]
    fn those_that_have_failed_less_go_first_and_pauses_grow() {
        let mut introductions = Introductions::<NoSession>::default();
        (1..=2).for_each(|publisher| _ = introductions.want(&registration(publisher), NOW));
        assert_eq!(next(&introductions, NOW), Some(1));
        assert_eq!(attempt(&mut introductions, 1, NOW, None), RECONNECT_PAUSE_MIN);
        assert_eq!(next(&introductions, NOW), Some(2));
        let mut now = NOW + RECONNECT_PAUSE_MIN;
        assert_eq!(attempt(&mut introductions, 1, now, None), 2 * RECONNECT_PAUSE_MIN);
        for _ in 0..20 {
            now = now + DIAL_PAUSE_MAX;
            assert_eq!(next(&introductions, now), Some(2), "it has never failed");
            assert!(attempt(&mut introductions, 1, now, None) <= DIAL_PAUSE_MAX);
        }
        assert_eq!(attempt(&mut introductions, 2, now, Some(DIRECT_SETTLE)), RECONNECT_PAUSE_MIN);
        assert_eq!(next(&introductions, now), None);
        introductions.hurry(&registration(1), now);
        assert_eq!(next(&introductions, now), Some(1), "it has registered again");
        now = now + DIAL_PAUSE_MAX;
        assert_eq!(
            next(&introductions, now),
            Some(1),
            "a stream that held counts as no failure, but it pauses"
        );
        introductions.remove(PublisherId(1));
        assert_eq!(next(&introductions, now), Some(2));
        introductions.remove(PublisherId(2));
        assert!(introductions.turns.is_empty() && introductions.settling.is_empty());
        assert_eq!((introductions.bytes, next(&introductions, now)), (0, None));
    }

    #[test]
    fn those_of_connections_that_are_lost_make_room_for_those_of_the_next() {
        let mut introductions = Introductions::<NoSession>::default();
        for connection in 0..2 {
            for publisher in 0..PUBLISHERS_NAMED_MAX as u64 {
                let registration = registration(connection << 32 | publisher);
                introductions.add(&registration);
                introductions.want(&registration, NOW);
                let surplus = introductions.surplus();
                assert_eq!(surplus.is_some(), connection > 0, "none that is confirmed is given up");
                surplus.map(|publisher| introductions.remove(publisher));
            }
            introductions.doubt_all();
        }
        assert_eq!(introductions.wanted.len(), PUBLISHERS_NAMED_MAX);
        assert_eq!(introductions.take_unconfirmed().len(), PUBLISHERS_NAMED_MAX);
        assert!(introductions.take_unconfirmed().is_empty());
    }

    #[test]
    fn a_publisher_is_not_taken_for_dead_by_the_time_in_which_its_client_was_stopped() {
        let mut introductions = Introductions::<NoSession>::default();
        let filters: Rc<[Filter]> = Rc::new([Filter::parse("a").expect("a filter")]);
        let id = SubscriberId(1);
        introductions.on_tick(NOW, true);
        introductions.want(&registration(1), NOW).subscribe(id, &filters, Promise::beginning());
        let stopped = NOW + 60 * DIRECT_SETTLE;
        introductions.on_tick(stopped, true);
        assert_eq!(introductions.unsettled(id, stopped), [PublisherId(1)], "it was heard for no time");
        assert_eq!(introductions.heard_for(), HEARING_GAP_MAX, "and so was the broker");
        let mut now = stopped;
        while now < stopped + DIRECT_SETTLE {
            now = now + HEARING_GAP_MAX;
            introductions.on_tick(now, true);
        }
        assert_eq!(introductions.unsettled(id, now), []);
        assert_eq!(introductions.heard_for(), HEARING_GAP_MAX + now.saturating_since(stopped));
        introductions.doubt_all();
        introductions.on_tick(now + HEARING_GAP_MAX, false);
        assert_eq!(introductions.heard_for(), Duration::ZERO, "another connection begins anew");
    }

    #[test]
    fn whoever_waits_for_one_that_does_not_answer_is_promised_to_be_told() {
        let mut introductions = Introductions::<NoSession>::default();
        let filters: Rc<[Filter]> = Rc::new([Filter::parse("a").expect("a filter")]);
        let late = NOW + DIRECT_SETTLE / 2;
        let [first, second] = [1, 2].map(SubscriberId);
        introductions.want(&registration(1), NOW).subscribe(first, &filters, Promise::new(NOW));
        introductions.want(&registration(1), late).subscribe(second, &filters, Promise::new(late));
        assert_eq!(introductions.unsettled(first, late), [PublisherId(1)]);
        let who_missed = |introductions: &Introductions<NoSession>| {
            introductions.wanted[&PublisherId(1)].introduced.who_missed()
        };
        introductions.promise_overdue(late);
        assert_eq!(who_missed(&introductions), []);
        let now = NOW + DIRECT_SETTLE;
        introductions.promise_overdue(now);
        assert_eq!(who_missed(&introductions), [first], "the other has some time left");
        assert_eq!(introductions.unsettled(first, now), [], "it is taken for dead");
        introductions.promise_overdue(late + DIRECT_SETTLE);
        assert_eq!(who_missed(&introductions), [first, second]);
        assert!(introductions.settling.is_empty());
        let unwanted = [first, second].map(|id| introductions.unsubscribe(id).len());
        assert_eq!((unwanted, introductions.is_empty()), ([0, 1], true));
    }
}
