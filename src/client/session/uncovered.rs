//! Filters that a direct publisher does not let subscribers have: the ticket to it does not cover them, or not yet. Part of the
//! state of a session to one; the session to the broker, which knows the publisher's topics, decides what becomes of them. Pure.

use std::collections::BTreeMap;

use crate::error::ErrorCode;
use crate::ids::SubscriberId;
use crate::topic::Filter;

/// A filter of a subscriber, by its place among those.
pub(super) type Place = (SubscriberId, usize);

/// A filter that the publisher does not let a subscriber have any more, or has refused.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Denied {
    pub(super) place: Place,
    pub(super) filter: Filter,
    pub(super) code: ErrorCode,
    /// The reason, for people.
    pub(super) text: String,
    /// The denial.
    pub(super) by: Denial,
}

/// The way in which a filter is denied.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Denial {
    /// It was asked for and is refused, and another ticket may cover it.
    YetRefused,
    /// It was refused under a ticket that is newer than the broker's own consent, or for another reason than the ticket.
    Refused,
    /// The publisher has rules of its own, and asks for no tickets.
    OwnRules,
    /// It was in force, and a newer ticket does not cover it.
    Ended,
}

/// The state of a filter that was denied.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Standing {
    /// The publisher has no topic of it: its subscriber is in force without it.
    LeftOut,
    /// Its subscriber waits for a ticket that covers it.
    Waits,
    /// It was asked for again, since the broker has consented and there is another ticket.
    AskedAgain,
}

/// All of a session.
#[derive(Default, Debug)]
pub(super) struct Uncovered {
    all: BTreeMap<Place, Standing>,
    news: Vec<Denied>,
}

impl Uncovered {
    /// A connection stands, and everything is asked for again.
    pub(super) fn clear(&mut self) {
        *self = Uncovered::default();
    }

    /// A filter is refused, or is no longer in force.
    pub(super) fn deny(&mut self, mut denied: Denied) {
        let before = self.all.insert(denied.place, Standing::Waits);
        if denied.by == Denial::YetRefused && before == Some(Standing::AskedAgain) {
            denied.by = Denial::Refused;
        }
        self.news.push(denied);
    }

    /// A filter is in force.
    pub(super) fn cover(&mut self, place: Place) {
        self.all.remove(&place);
    }

    /// A subscriber has left.
    pub(super) fn forget(&mut self, id: SubscriberId) {
        self.all.retain(|place, _| place.0 != id);
        self.news.retain(|denied| denied.place.0 != id);
    }

    /// Takes the denials that nobody has decided on.
    pub(super) fn take_news(&mut self) -> Vec<Denied> {
        std::mem::take(&mut self.news)
    }

    /// A filter of which the publisher has no topic: nothing is missed without it.
    pub(super) fn leave_out(&mut self, place: Place) {
        self.all.insert(place, Standing::LeftOut);
    }

    /// Those that another ticket may cover: without an answer under way.
    pub(super) fn to_ask(&self) -> Vec<(Place, bool)> {
        let asked = self.all.iter().filter(|(_, standing)| **standing != Standing::AskedAgain);
        asked.map(|(place, standing)| (*place, *standing == Standing::LeftOut)).collect()
    }

    /// One of those is asked for again.
    pub(super) fn asked_again(&mut self, place: Place) {
        self.all.insert(place, Standing::AskedAgain);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PLACE: Place = (SubscriberId(1), 0);

    fn denied(by: Denial) -> Denied {
        let filter = Filter::parse("a").expect("a filter");
        Denied { place: PLACE, filter, code: ErrorCode::NotPermitted, text: String::new(), by }
    }

    fn news(uncovered: &mut Uncovered) -> Vec<Denial> {
        uncovered.take_news().into_iter().map(|denied| denied.by).collect()
    }

    #[test]
    fn a_refusal_counts_for_good_once_it_was_asked_again() {
        let mut uncovered = Uncovered::default();
        uncovered.deny(denied(Denial::YetRefused));
        assert_eq!((news(&mut uncovered), news(&mut uncovered)), (vec![Denial::YetRefused], vec![]));
        assert_eq!(uncovered.to_ask(), [(PLACE, false)]);
        uncovered.asked_again(PLACE);
        assert_eq!(uncovered.to_ask(), [], "its answer is under way");
        uncovered.deny(denied(Denial::YetRefused));
        assert_eq!(news(&mut uncovered), [Denial::Refused]);
        uncovered.clear();
        uncovered.deny(denied(Denial::YetRefused));
        assert_eq!(news(&mut uncovered), [Denial::YetRefused], "another connection, and another ticket");
    }

    #[test]
    fn a_filter_that_is_left_out_may_be_asked_for_later_and_one_that_is_covered_is_over() {
        let mut uncovered = Uncovered::default();
        uncovered.deny(denied(Denial::Ended));
        uncovered.leave_out(PLACE);
        assert_eq!(uncovered.to_ask(), [(PLACE, true)]);
        uncovered.asked_again(PLACE);
        uncovered.cover(PLACE);
        assert_eq!(uncovered.to_ask(), []);
        uncovered.deny(denied(Denial::Ended));
        uncovered.forget(SubscriberId(1));
        assert_eq!((uncovered.to_ask(), news(&mut uncovered)), (vec![], vec![]));
    }
}
