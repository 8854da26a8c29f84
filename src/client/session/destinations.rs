//! The endpoints of a session's peer, in the order in which they are tried. Pure.

use std::cell::{Cell, RefCell};

use crate::transport::Endpoint;

/// Those of one session.
pub(in crate::client) struct Destinations {
    /// Its own, in order of preference: at least one for a broker.
    own: Vec<Endpoint>,
    /// The one of its own that is tried first: a connection to the one before it has ended.
    next: Cell<usize>,
    /// Those that a broker named as it was about to end.
    named: RefCell<Vec<Endpoint>>,
    /// They come before its own, until a connection to one of them has ended.
    are_named_first: Cell<bool>,
    /// The one that was connected to last.
    current: RefCell<Option<Endpoint>>,
}

impl Destinations {
    pub(super) fn new(own: Vec<Endpoint>) -> Self {
        Destinations {
            own,
            next: Cell::new(0),
            named: RefCell::default(),
            are_named_first: Cell::new(false),
            current: RefCell::default(),
        }
    }

    /// The number of its own.
    pub(super) fn own(&self) -> usize {
        self.own.len()
    }

    /// All of them, in the order in which they are tried now.
    pub(super) fn in_turn(&self) -> Vec<Endpoint> {
        let (earlier, later) = self.own.split_at(self.next.get().min(self.own.len()));
        let own = later.iter().chain(earlier);
        let named = self.named.borrow();
        let unknown = named.iter().filter(|endpoint| !self.own.contains(endpoint));
        if self.are_named_first.get() {
            let others = own.filter(|endpoint| !named.contains(endpoint));
            named.iter().chain(others).cloned().collect()
        } else {
            own.chain(unknown).cloned().collect()
        }
    }

    /// The same without the one that it is connected to.
    pub(super) fn elsewhere(&self) -> Vec<Endpoint> {
        let current = self.current.borrow();
        self.in_turn().into_iter().filter(|endpoint| Some(endpoint) != current.as_ref()).collect()
    }

    /// The one that was connected to last; before that, the first.
    pub(in crate::client) fn current(&self) -> Endpoint {
        let current = self.current.borrow().clone();
        current.or_else(|| self.own.first().cloned()).unwrap_or_default()
    }

    /// The broker is about to end, and names these to go on with.
    pub(super) fn name(&self, named: Vec<Endpoint>) {
        self.are_named_first.set(!named.is_empty());
        *self.named.borrow_mut() = named;
    }

    /// A connection to this one stands.
    pub(super) fn on_connected(&self, endpoint: &Endpoint) {
        *self.current.borrow_mut() = Some(endpoint.clone());
    }

    /// The connection that stood has ended, before its session was open or after: another one is tried first.
    pub(super) fn on_ended(&self) {
        let current = self.current.borrow();
        let Some(current) = &*current else { return };
        if self.named.borrow().contains(current) {
            self.are_named_first.set(false);
        }
        if let Some(at) = self.own.iter().position(|endpoint| endpoint == current) {
            self.next.set((at + 1) % self.own.len());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(text: &str) -> Vec<Endpoint> {
        text.split_ascii_whitespace().map(|word| format!("tcp://{word}:1").parse().expect("one")).collect()
    }

    fn one(text: &str) -> Endpoint {
        of(text).remove(0)
    }

    #[test]
    fn a_connection_that_has_ended_is_tried_last() {
        let destinations = Destinations::new(of("a b c"));
        assert_eq!((destinations.in_turn(), destinations.current()), (of("a b c"), one("a")));
        destinations.on_ended();
        assert_eq!(destinations.in_turn(), of("a b c"), "there was none");
        for (connected, then) in [("a", "b c a"), ("b", "c a b"), ("a", "b c a"), ("c", "a b c")] {
            destinations.on_connected(&one(connected));
            assert_eq!(destinations.current(), one(connected));
            destinations.on_ended();
            assert_eq!(destinations.in_turn(), of(then));
        }
    }

    #[test]
    fn those_that_a_broker_names_come_first_until_a_connection_to_them_has_ended() {
        let destinations = Destinations::new(of("a b"));
        destinations.on_connected(&one("a"));
        assert_eq!(destinations.elsewhere(), of("b"));
        destinations.name(of("x b"));
        assert_eq!(destinations.in_turn(), of("x b a"));
        assert_eq!(destinations.elsewhere(), of("x b"));
        destinations.on_ended();
        destinations.on_connected(&one("x"));
        assert_eq!(destinations.in_turn(), of("x b a"), "it stands");
        destinations.on_ended();
        assert_eq!(destinations.in_turn(), of("b a x"), "and is known for later");
        // Nothing else is known: the client's own are all there is.
        destinations.name(Vec::new());
        assert_eq!(destinations.in_turn(), of("b a"));
    }

    #[test]
    fn a_lone_one_has_nowhere_else() {
        let destinations = Destinations::new(of("a"));
        destinations.on_connected(&one("a"));
        destinations.on_ended();
        assert_eq!((destinations.in_turn(), destinations.elsewhere()), (of("a"), Vec::new()));
    }
}
