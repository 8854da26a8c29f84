//! The departure of a session from a broker that is about to end, as its state has it: from the word of the broker to the welcome
//! of another one. Pure.

use std::cell::Cell;
use std::rc::Rc;

use super::requests::Flushed;
use crate::limits::BROKERS_MAX;
use crate::transport::Endpoint;

/// The part of a state that is about leaving.
#[derive(Default)]
pub(super) struct Leaving {
    /// The word of the broker: endpoints of others, and the epochs of those that have the same messages.
    order: Option<(Vec<Endpoint>, Vec<u64>)>,
    /// The word of the broker that it ends now.
    is_last_call: bool,
    /// It goes nowhere: it reads until the broker ends.
    stays: bool,
    /// Once it leaves: whether the broker has confirmed all that was published.
    confirmed: Option<Rc<Cell<Option<Flushed>>>>,
    /// The epochs of brokers at which its subscriptions go on as if nothing had happened.
    joined: Vec<u64>,
    is_seamless: bool,
}

impl Leaving {
    /// The broker says that this client is to go on at one of these, of which those with such epochs have all that it has.
    /// Endpoints that this version cannot read are left out.
    pub(super) fn on_drain(&mut self, endpoints: &str, joined: &[u8]) {
        let endpoints = endpoints.lines().filter_map(|line| line.parse().ok()).take(BROKERS_MAX).collect();
        let (epochs, _) = joined.as_chunks::<8>();
        let joined = epochs.iter().map(|epoch| u64::from_le_bytes(*epoch)).collect();
        self.order = Some((endpoints, joined));
    }

    /// The broker ends as soon as this client has published its last message here.
    pub(super) fn on_last_call(&mut self) {
        self.is_last_call = true;
    }

    /// Takes that word.
    pub(super) fn take_last_call(&mut self) -> bool {
        std::mem::take(&mut self.is_last_call)
    }

    /// It publishes nothing more here, and reads to the end of the broker.
    pub(super) fn begin_to_stay(&mut self, confirmed: Rc<Cell<Option<Flushed>>>) {
        self.confirmed = Some(confirmed);
        self.stays = true;
    }

    /// It leaves from now on, and everything that it has published is confirmed when this says so.
    pub(super) fn begin(&mut self, confirmed: Rc<Cell<Option<Flushed>>>) {
        self.confirmed = Some(confirmed);
    }

    /// Takes the broker's word to go on elsewhere.
    pub(super) fn take_order(&mut self) -> Option<(Vec<Endpoint>, Vec<u64>)> {
        self.order.take()
    }

    /// True once the broker that it leaves has confirmed everything.
    pub(super) fn is_confirmed(&self) -> bool {
        self.confirmed.as_ref().is_some_and(|confirmed| confirmed.get() == Some(Flushed::Done))
    }

    /// True once the broker that it leaves for another one has confirmed everything.
    pub(super) fn has_left(&self) -> bool {
        !self.stays && self.is_confirmed()
    }

    /// It has left, and brokers of these epochs have the same messages.
    pub(super) fn on_left(&mut self, joined: Vec<u64>) {
        self.joined = joined;
    }

    /// True if the broker that has welcomed it has all that the one before had.
    pub(super) fn is_seamless(&self) -> bool {
        self.is_seamless
    }

    /// A connection stands, or has ended.
    pub(super) fn begin_anew(&mut self) {
        let Leaving { joined, is_seamless, .. } = std::mem::take(self);
        *self = Leaving { joined, is_seamless, ..Leaving::default() };
    }

    /// A broker of this epoch welcomes the session. True if subscribers miss nothing.
    pub(super) fn on_welcome(&mut self, epoch: u64) -> bool {
        self.is_seamless = std::mem::take(&mut self.joined).contains(&epoch);
        self.is_seamless
    }

    /// True while it leaves: nothing is published or asked on this connection any more, and what was is being answered.
    pub(super) fn is_begun(&self) -> bool {
        self.confirmed.is_some()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_word_of_a_broker_is_read_as_far_as_it_can_be() {
        let mut leaving = Leaving::default();
        assert_eq!(leaving.take_order(), None);
        let joined: Vec<u8> = [&7_u64.to_le_bytes()[..], &8_u64.to_le_bytes(), b"abc"].concat();
        leaving.on_drain("tcp://b:1\nquic://later:1\ntcp://c:1", &joined);
        let (endpoints, epochs) = leaving.take_order().expect("it is there");
        let endpoints: Vec<String> = endpoints.iter().map(Endpoint::to_string).collect();
        assert_eq!((endpoints.join(" ").as_str(), epochs), ("tcp://b:1 tcp://c:1", vec![7, 8]));
        assert_eq!(leaving.take_order(), None, "it is followed once");
        leaving.on_drain(&"tcp://b:1\n".repeat(1_000), b"");
        assert_eq!(leaving.take_order().expect("it is there").0.len(), BROKERS_MAX);
    }

    #[test]
    fn a_session_that_is_called_for_the_last_time_goes_nowhere() {
        let mut leaving = Leaving::default();
        assert!(!leaving.take_last_call());
        leaving.on_last_call();
        assert!(leaving.take_last_call() && !leaving.take_last_call());
        let confirmed = Rc::new(Cell::new(None));
        leaving.begin_to_stay(Rc::clone(&confirmed));
        confirmed.set(Some(Flushed::Done));
        assert!(leaving.is_begun() && leaving.is_confirmed() && !leaving.has_left());
        leaving.begin_anew();
        leaving.begin(confirmed);
        assert!(leaving.has_left(), "the next connection is another matter");
    }

    #[test]
    fn a_session_has_left_when_all_is_confirmed_and_goes_on_seamlessly_at_a_broker_that_is_joined() {
        let mut leaving = Leaving::default();
        let confirmed = Rc::new(Cell::new(None));
        leaving.begin(Rc::clone(&confirmed));
        assert!(leaving.is_begun() && !leaving.is_confirmed());
        confirmed.set(Some(Flushed::Lost));
        assert!(!leaving.is_confirmed());
        confirmed.set(Some(Flushed::Done));
        assert!(leaving.is_confirmed());
        for (epoch, is_seamless) in [(7, true), (8, false)] {
            leaving.on_left(vec![7]);
            leaving.begin_anew();
            assert!(!leaving.is_begun());
            assert_eq!((leaving.on_welcome(epoch), leaving.is_seamless()), (is_seamless, is_seamless));
            assert!(!leaving.on_welcome(7), "the next connection is another matter");
        }
    }
}
