//! Subscribers of a session, which is lost and comes back.

use super::super::rig::{WELCOME, answer, open, open_after, requests};
use super::super::state::State;
use super::*;
use crate::ClientConfig;
use crate::registry::DOWN_FORGOTTEN;

#[test]
fn a_lost_connection_is_told_once_when_all_is_in_force_again() {
    let filters = ["a", "b"].map(|text| Filter::parse(text).expect(text));
    let mut state = open(State::new(MonotonicNs(1)));
    let id = state.subscribe(&filters, MonotonicNs(1));
    for request in requests(&mut state) {
        state.on_control(Frame::Done { request });
    }
    assert!(state.is_in_force(id) && !state.subscribers.has_untold());
    assert_eq!(state.subscribers.pop_returned(), None, "it was never away");

    state.on_disconnected();
    let mut state = open(state);
    let late = state.subscribe(&filters[..1], MonotonicNs(1));
    assert!(state.subscribers.is_untold(id), "what comes now has holes");
    assert!(!state.subscribers.is_untold(late), "it misses nothing that it was promised");
    let requests = requests(&mut state);
    assert_eq!(requests.len(), 3);
    state.on_control(Frame::Done { request: requests[0] });
    assert_eq!(state.subscribers.pop_returned(), None, "the other subscription may still miss messages");
    state.on_control(Frame::Done { request: requests[1] });
    assert_eq!((state.subscribers.pop_returned(), state.subscribers.pop_returned()), (Some(id), None));
    state.on_control(Frame::Done { request: requests[2] });
    assert_eq!(state.subscribers.pop_returned(), None);
    assert!(!state.subscribers.has_untold() && state.is_in_force(late));
}

#[test]
fn a_mark_is_answered_behind_what_was_sent_and_holds_nothing_up() {
    let mut state = open(State::new(MonotonicNs(1)));
    let id = state.subscribe(&[Filter::parse("a").expect("a filter")], MonotonicNs(1));
    let answer = |state: &mut State| {
        requests(state).into_iter().for_each(|request| state.on_control(Frame::Done { request }));
    };
    answer(&mut state);
    state.mark(id);
    assert!(!state.is_in_force(id) && !state.subscribers.is_untold(id));
    answer(&mut state);
    assert!(state.is_in_force(id));
    assert_eq!((state.subscribers.pop_returned(), state.subscribers.pop_half_returned()), (None, None));
}

#[test]
fn who_relies_on_what_is_not_in_force_is_told_of_what_that_missed() {
    let second = Duration::from_secs(1);
    let filters: Rc<[Filter]> = Rc::new([Filter::parse("a").expect("a filter")]);
    let mut state = open(State::new(MonotonicNs(1)));
    let [settled, late] = [1, 2].map(SubscriberId);
    state.subscribe_as(settled, &filters, Promise::new(MonotonicNs(1)));
    for request in requests(&mut state) {
        state.on_control(Frame::Done { request });
    }
    state.promise(settled);
    assert!(!state.subscribers.has_untold(), "it has missed nothing");
    state.subscribe_as(late, &filters, Promise::new(MonotonicNs(1)));
    assert!(
        state.promise_overdue(MonotonicNs(1), second).is_some() && !state.subscribers.has_untold(),
        "it has some time"
    );
    assert_eq!(state.promise_overdue(MonotonicNs(1) + second, second), None);
    assert!(state.subscribers.has_untold());
    assert_eq!(state.subscribers.who_missed(false), [late], "should it end now");
    for request in requests(&mut state) {
        state.on_control(Frame::Done { request });
    }
    assert_eq!((state.subscribers.pop_returned(), state.subscribers.pop_returned()), (Some(late), None));
    assert_eq!(
        (state.subscribers.who_missed(false), state.subscribers.who_missed(true)),
        (vec![], vec![settled, late])
    );

    // Promised while nobody answers, it is told when somebody does.
    let mut state = State::new(MonotonicNs(1));
    state.subscribe_as(late, &filters, Promise::new(MonotonicNs(1)));
    state.promise(late);
    let mut state = open(state);
    for request in requests(&mut state) {
        state.on_control(Frame::Done { request });
    }
    assert_eq!(state.subscribers.pop_returned(), Some(late));
}

#[test]
fn who_is_only_beginning_has_missed_nothing_of_whom_it_hears_of() {
    let filters = [Filter::parse("a").expect("a filter")];
    let mut state = open(State::new(MonotonicNs(1)));
    let id = state.subscribe(&filters, MonotonicNs(1));
    let may_have_missed = |state: &State, has_begun| {
        state.subscribers.promise_at_publisher(id, has_begun, MonotonicNs(1)).is_broken()
    };
    assert!(!may_have_missed(&state, true));
    for request in requests(&mut state) {
        state.on_control(Frame::Done { request });
    }
    assert!(!may_have_missed(&state, true), "its publishers are still being asked");
    let a_minute = Duration::from_secs(60);
    let mut promise = state.subscribers.promise_at_publisher(id, false, MonotonicNs(1));
    let next = promise.make_if_overdue(MonotonicNs(1) + a_minute, Duration::from_secs(1));
    assert!(next.is_none() && !promise.is_made(), "nor by those that take their time");
    state.subscribers.settled(id);
    assert!(may_have_missed(&state, true) && !may_have_missed(&state, false));
    state.on_disconnected();
    let mut state = open(state);
    assert!(may_have_missed(&state, false), "who began while it was away did not wait for it");
    for request in requests(&mut state) {
        state.on_control(Frame::Done { request });
    }
    assert!(!may_have_missed(&state, false));
}

#[test]
fn a_publisher_that_came_and_went_while_a_subscriber_was_away_is_told() {
    let modes = Frame::Modes { rules: ">=direct" };
    let gone = |publisher| Frame::PublisherDown { publisher, epoch: 1, reason: 1 };
    let up = |publisher| Frame::PublisherUp {
        endpoints: "tcp://127.0.0.1:1",
        topics: "a",
        publisher,
        epoch: 1,
        lease_left_ms: 0,
    };
    let answer_all =
        |state: &mut State| (1..10).for_each(|request| state.on_control(Frame::Done { request }));
    let back = |state: &mut State| {
        state.on_disconnected();
        state.on_connected(&ClientConfig::new(crate::Endpoint::default()), None, MonotonicNs(1));
        state.on_control(modes);
        state.on_control(WELCOME);
    };
    let mut state = State::new(MonotonicNs(1));
    let id = state.subscribe(&[Filter::parse("a").expect("a filter")], MonotonicNs(1));
    back(&mut state);
    // Gone before it came.
    state.on_control(gone(1));
    answer_all(&mut state);
    state.subscribers.settled(id);
    assert_eq!(state.subscribers.pop_returned(), None);
    state.on_control(up(2));
    // The first left before it subscribed, the second was there.
    back(&mut state);
    [gone(1), gone(2)].into_iter().for_each(|frame| state.on_control(frame));
    answer_all(&mut state);
    assert_eq!((state.subscribers.pop_returned(), state.subscribers.has_untold()), (None, false));
    // The third it never heard of.
    back(&mut state);
    (1..=3).for_each(|publisher| state.on_control(gone(publisher)));
    assert!(state.subscribers.is_untold(id));
    answer_all(&mut state);
    assert_eq!((state.subscribers.pop_returned(), state.subscribers.pop_returned()), (Some(id), None));
    assert!(!state.subscribers.has_untold());
    // There, it hears of who leaves, whom it may not have been told of.
    state.on_control(gone(4));
    assert!(!state.subscribers.has_untold());
}

#[test]
fn who_was_away_for_longer_than_the_broker_remembers_leavers_is_told() {
    let heartbeat = Duration::from_secs(15);
    let away = Duration::from_secs(100);
    let back_at = MonotonicNs(1) + away;
    let forgotten = |ago: Duration| Frame::PublisherDown {
        publisher: 0,
        epoch: u64::try_from(ago.as_millis()).expect("it is short"),
        reason: DOWN_FORGOTTEN,
    };
    for (ago, missed) in [(away / 2, true), (away + heartbeat, true), (away + 2 * heartbeat, false)] {
        let mut state = State::new(MonotonicNs(1));
        let id = state.subscribe(&[Filter::parse("a").expect("a filter")], MonotonicNs(1));
        let connect = |state: &mut State, now: MonotonicNs| {
            state.on_connected(&ClientConfig::new(crate::Endpoint::default()), None, now);
            state.on_received(now);
            state.on_control(Frame::Modes { rules: ">=direct" });
            state.on_control(WELCOME);
            state.on_control(forgotten(ago));
            assert_eq!(state.subscribers.is_untold(id), missed && now == back_at, "{ago:?}");
            (1..10).for_each(|request| state.on_control(Frame::Done { request }));
        };
        connect(&mut state, MonotonicNs(1));
        state.subscribers.settled(id);
        state.on_disconnected();
        connect(&mut state, back_at);
        assert_eq!(state.subscribers.pop_returned(), missed.then_some(id), "{ago:?}");
    }
}

#[test]
fn who_was_proxied_or_is_has_missed_something_and_who_only_hears_publishers_has_not() {
    // The rules of one start of the broker, and of the next.
    let cases = [
        (">=direct", ">=direct", false),
        (">=proxy", ">=direct", true),
        (">=direct", ">=proxy", true),
        (">=proxy", ">=proxy", true),
    ];
    for (before, now, missed) in cases {
        let mut state = State::new(MonotonicNs(1));
        let id = state.subscribe(&[Filter::parse("a").expect("a filter")], MonotonicNs(1));
        for rules in [before, now] {
            state.on_disconnected();
            state.on_connected(&ClientConfig::new(crate::Endpoint::default()), None, MonotonicNs(1));
            state.on_control(Frame::Modes { rules });
            state.on_control(WELCOME);
            let is_first = !state.subscribers.by_id[&id].promise.is_made();
            assert_eq!(state.subscribers.is_untold(id), missed && !is_first, "{before}, then {now}");
            // Whatever was asked is answered.
            (1..10).for_each(|request| state.on_control(Frame::Done { request }));
            assert!(state.is_in_force(id));
            // Told once, here or when streams of publishers are in force, too.
            let told = (missed && !is_first).then_some(id);
            let (at_once, later) = if before == now { (told, None) } else { (None, told) };
            assert_eq!(state.subscribers.pop_returned(), at_once, "{before}, then {now}");
            assert_eq!(state.subscribers.pop_half_returned(), later, "{before}, then {now}");
            assert_eq!(state.subscribers.is_untold(id), later.is_some(), "nothing is handed out until then");
            let mut introduced = state.subscribers.promise_at_publisher(id, false, MonotonicNs(1));
            assert_eq!(introduced.is_broken(), later.is_some(), "nor of a publisher that is news");
            assert!(!introduced.keep(), "which has no gap of its own");
            state.release(id);
            assert!(!state.subscribers.is_untold(id) && state.subscribers.pop_returned().is_none());
        }
    }
}

/// A subscriber whose gap is withheld by a broker that it has lost again.
fn withheld_and_lost() -> (State, SubscriberId) {
    let mut state = open(State::new(MonotonicNs(1)));
    let id = state.subscribe(&[Filter::parse("a").expect("a filter")], MonotonicNs(1));
    answer(&mut state);
    state.on_disconnected();
    let mut state = open_after(state, &[Frame::Modes { rules: ">=direct" }]);
    answer(&mut state);
    assert_eq!(state.subscribers.pop_half_returned(), Some(id));
    state.on_disconnected();
    (state, id)
}

#[test]
fn a_gap_that_is_withheld_is_so_until_it_is_told() {
    let (state, id) = withheld_and_lost();
    // The rules have not changed again, but there are publishers that it covers.
    let mut state = open_after(state, &[Frame::Modes { rules: ">=direct" }]);
    answer(&mut state);
    assert_eq!(state.subscribers.pop_returned(), None);
    assert_eq!(state.subscribers.pop_half_returned(), Some(id));
    state.release(id);
    assert!(!state.subscribers.is_untold(id));
}

#[test]
fn a_gap_that_is_told_while_the_broker_is_away_is_not_told_again() {
    let (mut state, id) = withheld_and_lost();
    state.release(id);
    let mut state = open_after(state, &[Frame::Modes { rules: ">=direct" }]);
    answer(&mut state);
    assert_eq!((state.subscribers.pop_returned(), state.subscribers.pop_half_returned()), (None, None));
    assert!(!state.subscribers.is_untold(id));
}

#[test]
fn a_return_that_is_cut_off_half_way_begins_again() {
    let direct = [Frame::Modes { rules: ">=direct" }];
    let proxied = [Frame::Modes { rules: ">=proxy" }];
    let mut state = open(State::new(MonotonicNs(1)));
    let id = state.subscribe(&[Filter::parse("a").expect("a filter")], MonotonicNs(1));
    answer(&mut state);
    state.on_disconnected();
    let mut state = open_after(state, &direct);
    answer(&mut state);
    state.on_disconnected();
    let mut state = open_after(state, &proxied);
    assert_eq!(state.subscribers.pop_half_returned(), None, "it is not in force at this broker yet");
    answer(&mut state);
    assert_eq!(state.subscribers.pop_half_returned(), Some(id));
}
