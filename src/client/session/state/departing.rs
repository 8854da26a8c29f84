//! A session that leaves a broker which is about to end, as its state takes it.

use std::cell::Cell;
use std::rc::Rc;

use super::super::requests::Flushed;
use super::{ClientPhase, State};
use crate::ids::SubscriberId;
use crate::transport::Endpoint;
use crate::wire::Frame;

impl State {
    /// The broker is about to end. Of a direct publisher that is no word.
    pub(super) fn on_drain(&mut self, frame: Frame<'_>) {
        if !self.is_open() || self.wanted.is_some() {
            return;
        }
        match frame {
            Frame::Drain { ends: 1, .. } => self.leaving.on_last_call(),
            Frame::Drain { endpoints, joined, .. } => self.leaving.on_drain(endpoints, joined),
            _ => {}
        }
    }

    /// Takes the broker's word to go on elsewhere.
    pub(in crate::client::session) fn take_drain(&mut self) -> Option<(Vec<Endpoint>, Vec<u64>)> {
        self.leaving.take_order()
    }

    /// Leaves the broker: what is published from now on waits for another one. Returns whether the broker has confirmed what it was
    /// given before. `None`: it is not open.
    pub(in crate::client::session) fn leave(&mut self) -> Option<Rc<Cell<Option<Flushed>>>> {
        let confirmed = self.flush()?;
        self.phase = ClientPhase::Opening;
        self.leaving.begin(Rc::clone(&confirmed));
        Some(confirmed)
    }

    /// The broker may have said that it ends now: what is published from now on waits for the next one, and everything else goes on
    /// until the end. True if it has.
    pub(in crate::client::session) fn heed_last_call(&mut self) -> bool {
        if !self.leaving.take_last_call() {
            return false;
        }
        if let Some(confirmed) = self.flush() {
            self.phase = ClientPhase::Opening;
            self.leaving.begin_to_stay(confirmed);
        }
        true
    }

    /// True once the broker that it leaves has confirmed everything.
    pub(in crate::client::session) fn has_left(&self) -> bool {
        self.leaving.has_left()
    }

    /// It has left, and brokers of these epochs have the same messages.
    pub(in crate::client::session) fn on_left(&mut self, joined: Vec<u64>) {
        self.unacked.on_all_taken();
        self.leaving.on_left(joined);
    }

    /// The connection to the other broker is lost: the next one does not go on from there.
    pub(in crate::client::session) fn on_overlap_lost(&mut self) {
        self.leaving.on_left(Vec::new());
    }

    /// True if the broker that has welcomed it has all that the one before had.
    pub(in crate::client::session) fn is_seamless(&self) -> bool {
        self.leaving.is_seamless()
    }

    /// True if every subscription is in force.
    pub(in crate::client::session) fn is_all_in_force(&self) -> bool {
        self.is_open() && self.subscribers.are_answered()
    }

    /// The stream of the old broker has ended too early: returns those that are to be told so now. The others are when they are
    /// in force.
    pub(in crate::client::session) fn on_overlap_cut(&mut self) -> Vec<SubscriberId> {
        let is_open = self.is_open();
        self.subscribers.on_overlap_cut(is_open)
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use corecast_executors::MonotonicNs;

    use super::*;
    use crate::ClientConfig;
    use crate::client::session::rig::{answer, open};
    use crate::topic::Filter;
    use crate::wire::splitter;

    /// The frames that are unsent. They leave with this.
    fn said(state: &mut State) -> Bytes {
        let said = Bytes::copy_from_slice(state.out.unsent());
        state.out.sent(said.len());
        said
    }

    fn publish(state: &mut State, topic: &'static str) {
        let message = Frame::Message {
            topic: topic.as_bytes(),
            payload: b"p",
            publisher: 1,
            sequence: 1,
            sent_at_ns: 0,
        };
        state.publish(&message, &Bytes::from(topic));
    }

    fn welcome(state: &mut State, epoch: u64) {
        state.on_control(Frame::Welcome {
            session: 1,
            epoch,
            frame_bytes_max: 1 << 20,
            heartbeat_ms: 15_000,
            overflow: 1,
            ticket: 0,
        });
    }

    /// A state with a subscriber in force that has left its broker, where it had published `a`, and published `b` meanwhile.
    fn left() -> (State, SubscriberId) {
        let mut state = open(State::new(MonotonicNs(1)));
        let id = state.subscribe(&[Filter::parse("t").expect("a filter")], MonotonicNs(1));
        answer(&mut state);
        publish(&mut state, "a");
        state.on_control(Frame::Drain { endpoints: "tcp://b:1", joined: &2_u64.to_le_bytes(), ends: 0 });
        let (endpoints, joined) = state.take_drain().expect("the broker has said so");
        assert_eq!((endpoints.len(), joined.as_slice()), (1, &[2_u64][..]));
        state.leave().expect("it is open");
        publish(&mut state, "b");
        let last = said(&mut state);
        let last: Vec<Frame<'_>> = splitter::frames(&last).map(|(_, frame)| frame).collect();
        let [Frame::Message { topic: b"a", .. }, Frame::Flush { request }] = last[..] else {
            panic!("what was published before, and a request to confirm it, and not {last:?}");
        };
        assert!(state.is_served() && !state.is_open() && !state.has_left());
        state.on_control(Frame::Done { request });
        assert!(state.has_left());
        state.on_left(joined);
        state.on_disconnected();
        assert_eq!(state.losses, 0, "the broker has confirmed everything");
        assert!(!state.is_served());
        (state, id)
    }

    #[test]
    fn nothing_is_lost_by_a_session_that_goes_to_a_broker_with_the_same_messages() {
        for (epoch, is_joined) in [(2, true), (3, false)] {
            let (mut state, id) = left();
            state.on_connected(&ClientConfig::new(Endpoint::default()), None, MonotonicNs(2));
            said(&mut state);
            welcome(&mut state, epoch);
            assert_eq!(state.is_seamless(), is_joined);
            assert!(!state.is_all_in_force());
            assert_eq!(state.subscribers.is_untold(id), !is_joined, "a gap is told where there may be one");
            let first = Bytes::copy_from_slice(state.out.unsent());
            answer(&mut state);
            assert!(state.is_all_in_force());
            let topics: Vec<&[u8]> =
                splitter::frames(&first).filter_map(|(_, frame)| frame.message_topic()).collect();
            assert_eq!(topics, [b"b"], "what was published meanwhile, and nothing twice");
        }
    }

    #[test]
    fn a_broker_that_ends_gets_what_was_published_before_its_last_call_and_the_next_one_the_rest() {
        let ends = Frame::Drain { endpoints: "", joined: b"", ends: 1 };
        for is_confirmed in [true, false] {
            let mut state = open(State::new(MonotonicNs(1)));
            assert!(!state.heed_last_call());
            publish(&mut state, "a");
            state.on_control(ends);
            assert!(state.heed_last_call() && !state.heed_last_call());
            publish(&mut state, "b");
            let last = said(&mut state);
            let last: Vec<Frame<'_>> = splitter::frames(&last).map(|(_, frame)| frame).collect();
            let [Frame::Message { topic: b"a", .. }, Frame::Flush { request }] = last[..] else {
                panic!("what was published before, and a request to confirm it, and not {last:?}");
            };
            assert!(state.is_served() && !state.is_open());
            if is_confirmed {
                state.on_control(Frame::Done { request });
            }
            assert!(!state.has_left(), "it reads to the end");
            state.on_disconnected();
            assert_eq!(state.losses, u64::from(!is_confirmed));
            state.on_connected(&ClientConfig::new(Endpoint::default()), None, MonotonicNs(2));
            said(&mut state);
            welcome(&mut state, 3);
            let first = Bytes::copy_from_slice(state.out.unsent());
            let topics: Vec<&[u8]> =
                splitter::frames(&first).filter_map(|(_, frame)| frame.message_topic()).collect();
            assert_eq!(topics, [b"b"]);
        }
    }

    #[test]
    fn an_old_stream_that_ends_too_early_is_told_to_each_when_it_is_in_force() {
        let (mut state, id) = left();
        assert_eq!(state.on_overlap_cut(), [], "it is not in force");
        assert!(state.subscribers.is_untold(id));
        let mut state = open(State::new(MonotonicNs(1)));
        let id = state.subscribe(&[Filter::parse("t").expect("a filter")], MonotonicNs(1));
        answer(&mut state);
        assert_eq!(state.on_overlap_cut(), [id]);
        assert!(!state.subscribers.is_untold(id), "it is told once");
    }

    #[test]
    fn a_broker_that_has_lost_the_other_connection_is_another_matter() {
        let (mut state, id) = left();
        state.on_overlap_lost();
        state.on_connected(&ClientConfig::new(Endpoint::default()), None, MonotonicNs(2));
        welcome(&mut state, 2);
        assert!(!state.is_seamless() && state.subscribers.is_untold(id));
    }
}
