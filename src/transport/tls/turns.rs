//! Turns of handshakes: a step of one costs a signature, so that an executor makes one step in each round of its reactor.
//! Hundreds of connections that begin together delay everybody else by one step, and each other by as many.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::rc::{Rc, Weak};

use corecast_executors::{Wake, end_turn};

thread_local! {
    static TURNS: Turns = Turns::default();
}

/// The turns of one executor.
#[derive(Default)]
struct Turns {
    /// A handshake has its turn.
    is_taken: Cell<bool>,
    /// Those that wait, in order. Some may have gone.
    waiting: RefCell<VecDeque<Weak<Waiter>>>,
}

#[derive(Default)]
struct Waiter {
    has_turn: Cell<bool>,
    /// Raised when it has.
    wake: Wake,
}

/// The turn of one handshake, or its place in the queue. Dropped, it is the turn of the next.
pub(super) struct HandshakeTurn(Rc<Waiter>);

impl HandshakeTurn {
    /// Waits for a turn.
    pub(super) async fn wait() -> Self {
        let turn = HandshakeTurn(Rc::default());
        TURNS.with(|turns| {
            if turns.is_taken.replace(true) {
                turns.waiting.borrow_mut().push_back(Rc::downgrade(&turn.0));
            } else {
                turn.0.has_turn.set(true);
            }
        });
        while !turn.0.has_turn.get() {
            turn.0.wake.wait().await;
        }
        turn
    }

    /// Ends the turn: the next has one in the next round of the reactor.
    pub(super) async fn end(self) {
        end_turn().await;
    }
}

impl Drop for HandshakeTurn {
    fn drop(&mut self) {
        if self.0.has_turn.get() {
            TURNS.with(Turns::pass_on);
        }
    }
}

impl Turns {
    fn pass_on(&self) {
        let next = || self.waiting.borrow_mut().pop_front();
        while let Some(waiter) = next() {
            if let Some(waiter) = waiter.upgrade() {
                waiter.has_turn.set(true);
                return waiter.wake.raise();
            }
        }
        self.is_taken.set(false);
    }
}

#[cfg(test)]
mod tests {
    use futures_lite::future::{block_on, poll_once};

    use super::*;

    fn now(wait: impl Future<Output = HandshakeTurn> + Unpin) -> Option<HandshakeTurn> {
        block_on(poll_once(wait))
    }

    #[test]
    fn one_has_its_turn_at_a_time_in_order_and_those_that_have_gone_are_passed_over() {
        let first = now(Box::pin(HandshakeTurn::wait())).expect("nobody else is there");
        let mut waits: Vec<_> = (0..4).map(|_| Box::pin(HandshakeTurn::wait())).collect();
        for wait in &mut waits {
            assert!(now(wait).is_none(), "the first has its turn");
        }
        drop(waits.remove(1));
        drop(first);
        let [mut second, mut third, mut fourth] = <[_; 3]>::try_from(waits).map_err(|_| ()).expect("three");
        assert!(now(&mut third).is_none() && now(&mut fourth).is_none());
        let turn = now(&mut second).expect("it is the next");
        drop(turn);
        // It has its turn and goes without having taken it.
        drop(third);
        assert!(now(&mut fourth).is_some());
        assert!(now(Box::pin(HandshakeTurn::wait())).is_some(), "nobody is left");
    }
}
