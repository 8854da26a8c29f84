//! Subscribers that are in force at the broker again after a change of rules, and are told of their gap once they are in force
//! at direct publishers as well: behind the last message that came one way, and before the first that comes the other. Pure.

use corecast_executors::MonotonicNs;

use super::introduced::DirectSession;
use super::introductions::Introductions;
use crate::ids::SubscriberId;
use crate::limits::DIRECT_SETTLE;

/// The returning subscribers of a session, each with the time until which it waits.
#[derive(Default, Debug)]
pub(super) struct Returning(Vec<(SubscriberId, MonotonicNs)>);

impl Returning {
    /// Adds a subscriber. The publishers that are known confirm it once more, behind all that they have sent.
    pub(super) fn add<S: DirectSession>(
        &mut self,
        id: SubscriberId,
        now: MonotonicNs,
        introductions: &mut Introductions<S>,
    ) {
        introductions.iter_mut().for_each(|known| known.mark(id));
        self.0.push((id, now + DIRECT_SETTLE));
    }

    /// Takes the subscribers that are in force everywhere, or have waited for [`DIRECT_SETTLE`]. They are to be told of their
    /// gap now; a publisher that has not answered yet leaves another.
    pub(super) fn take_settled<S: DirectSession>(
        &mut self,
        now: MonotonicNs,
        introductions: &mut Introductions<S>,
    ) -> Vec<SubscriberId> {
        let is_settled = |(id, until): &mut _| *until <= now || introductions.unsettled(*id, now).is_empty();
        let settled: Vec<SubscriberId> = self.0.extract_if(.., is_settled).map(|(id, _)| id).collect();
        for id in &settled {
            introductions.iter_mut().for_each(|known| known.release(*id));
        }
        settled
    }

    /// The broker welcomes the session again: all of them return once more. While it is away they wait for publishers alone.
    pub(super) fn clear(&mut self) {
        self.0.clear();
    }

    /// True if no subscriber waits.
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;
    use std::rc::Rc;
    use std::sync::Arc;
    use std::time::Duration;

    use super::super::promise::Promise;
    use super::super::rig::{answer, open_after};
    use super::super::state::State;
    use super::*;
    use crate::client::message::GapReason;
    use crate::ids::PublisherId;
    use crate::registry::Registration;
    use crate::topic::Filter;
    use crate::wire::Frame;

    const NOW: MonotonicNs = MonotonicNs(1);
    const ID: SubscriberId = SubscriberId(1);

    /// A stream whose other end is the test.
    struct Stream(RefCell<State>);

    impl DirectSession for Stream {
        fn state(&self) -> &RefCell<State> {
            &self.0
        }

        fn send_later(&self) {}
    }

    /// Introduces a publisher, and connects to it. The subscriber has this promise there, and is not confirmed yet.
    fn begin(introductions: &mut Introductions<Stream>, publisher: u64, promise: Promise) -> Rc<Stream> {
        let publisher = PublisherId(publisher);
        let filters: Rc<[Filter]> = Rc::new([Filter::parse("a").expect("a filter")]);
        let registration =
            Registration { publisher, epoch: 1, endpoints: Vec::new(), topics: filters.to_vec() };
        let known = introductions.want(&Arc::new(registration), NOW);
        known.subscribe(ID, &filters, promise);
        let stream = known.begin(|_| {
            let mut state = State::new(NOW);
            state.resume(publisher, (0, 0), GapReason::Reconnect);
            state.subscribe_as(ID, &filters, promise);
            let state = open_after(state, &[Frame::Identity { publisher: publisher.0 }]);
            Rc::new(Stream(RefCell::new(state)))
        });
        stream.expect("it has no connection yet")
    }

    fn is_untold(stream: &Stream) -> bool {
        stream.0.borrow().subscribers.is_untold(ID)
    }

    #[test]
    fn a_returning_subscriber_waits_for_publishers_that_flow_to_confirm_it_once_more() {
        let mut introductions = Introductions::default();
        let streams = [1, 2].map(|publisher| begin(&mut introductions, publisher, Promise::new(NOW)));
        streams.iter().for_each(|stream| answer(&mut stream.0.borrow_mut()));
        let mut returning = Returning::default();
        returning.add(ID, NOW, &mut introductions);
        for stream in &streams {
            assert_eq!(returning.take_settled(NOW, &mut introductions), [], "more may be on its way");
            answer(&mut stream.0.borrow_mut());
        }
        assert_eq!(returning.take_settled(NOW, &mut introductions), [ID]);
        assert!(returning.is_empty() && !streams.iter().any(|stream| is_untold(stream)));
    }

    #[test]
    fn a_returning_subscriber_gets_nothing_of_new_publishers_before_its_gap() {
        let mut introductions = Introductions::default();
        let mut returning = Returning::default();
        let stream = begin(&mut introductions, 1, Promise::covered(NOW));
        returning.add(ID, NOW, &mut introductions);
        assert_eq!(returning.take_settled(NOW, &mut introductions), []);
        answer(&mut stream.0.borrow_mut());
        assert!(is_untold(&stream), "its gap comes first");
        let pop_half_returned = stream.0.borrow_mut().subscribers.pop_half_returned();
        assert_eq!(pop_half_returned, None, "the session to the broker tells it");
        assert_eq!(returning.take_settled(NOW, &mut introductions), [ID]);
        assert!(!is_untold(&stream));
        assert_eq!(stream.0.borrow_mut().subscribers.pop_returned(), None, "one loss is one gap");
    }

    #[test]
    fn a_publisher_that_confirms_too_late_leaves_a_gap_of_its_own() {
        let mut introductions = Introductions::default();
        let mut returning = Returning::default();
        let stream = begin(&mut introductions, 1, Promise::covered(NOW));
        returning.add(ID, NOW, &mut introductions);
        let late = NOW + DIRECT_SETTLE;
        let early = NOW + (DIRECT_SETTLE - Duration::from_nanos(1));
        assert_eq!(returning.take_settled(early, &mut introductions), []);
        assert_eq!(
            returning.take_settled(late, &mut introductions),
            [ID],
            "it waits for so long and no longer"
        );
        answer(&mut stream.0.borrow_mut());
        assert_eq!(stream.0.borrow_mut().subscribers.pop_returned(), Some(ID));
        assert!(!is_untold(&stream));
    }
}
