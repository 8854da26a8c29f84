//! Stored messages that an operator wants to be given up: of each store those of the topics that a filter names, one store after
//! another. Pure; owned by the upkeep of the stores.

use corecast_executors::MonotonicNs;

use super::store_ask::{StoreAnswer, StoreAsk, StoreBounds};
use super::subject::Subjects;
use crate::limits::ENGINE_SILENCE_MAX;
use crate::topic::Filter;

/// The order that is under way.
struct ClearOrder {
    filter: Filter,
    /// Everything before this number is in the stores before they are cleared of it.
    behind: u64,
    /// The store that is cleared.
    at: usize,
    is_asked: bool,
    /// The time of the last sign of progress.
    since: MonotonicNs,
}

/// The clearing of one broker's stores.
pub(super) struct Clearing {
    stores: Vec<StoreBounds>,
    subjects: Subjects,
    order: Option<ClearOrder>,
    outcome: Option<Result<(), String>>,
}

impl Clearing {
    /// Clears these stores when it is told to.
    pub(super) fn of(stores: Vec<StoreBounds>, subjects: Subjects) -> Clearing {
        Clearing { stores, subjects, order: None, outcome: None }
    }

    /// Begins to clear all stores of the topics that this filter matches, with everything that is on its way there before the number
    /// `behind`.
    ///
    /// # Errors
    /// The reason why not, as a sentence.
    pub(super) fn begin(&mut self, filter: &Filter, behind: u64, now: MonotonicNs) -> Result<(), String> {
        if self.order.is_some() {
            return Err("another order to clear history is under way: try again in a moment".to_owned());
        }
        if self.stores.iter().any(|store| self.subjects.some_stored(&store.filter, filter).is_none()) {
            return Err("a prefix is no filter of what is stored".to_owned());
        }
        self.order = Some(ClearOrder { filter: filter.clone(), behind, at: 0, is_asked: false, since: now });
        Ok(())
    }

    /// Takes the next question, if there is one now; all before the number `stored` has reached the stores.
    pub(super) fn next_ask(&mut self, stored: u64, now: MonotonicNs) -> Option<StoreAsk> {
        let order = self.order.as_mut().filter(|order| !order.is_asked && order.behind <= stored)?;
        let Some(store) = self.stores.get(order.at) else {
            self.end(Ok(()));
            return None;
        };
        (order.is_asked, order.since) = (true, now);
        let subject = self.subjects.some_stored(&store.filter, &order.filter)?;
        Some(StoreAsk::Clear { store: store.clone(), subject })
    }

    /// Notes the answer to the last question.
    pub(super) fn on_answer(&mut self, answer: Result<StoreAnswer, String>, now: MonotonicNs) {
        let Some(order) = self.order.as_mut().filter(|order| order.is_asked) else { return };
        match answer {
            Ok(StoreAnswer::Cleared) => {
                (order.is_asked, order.at, order.since) = (false, order.at + 1, now);
                if order.at == self.stores.len() {
                    self.end(Ok(()));
                }
            }
            Ok(answer) => self.end(Err(format!("an answer that nobody has asked for: {answer:?}"))),
            Err(why) => self.end(Err(why)),
        }
    }

    /// Time goes on: who does not answer is not waited for.
    pub(super) fn on_tick(&mut self, now: MonotonicNs) {
        if self.order.as_ref().is_some_and(|order| now.saturating_since(order.since) > ENGINE_SILENCE_MAX) {
            self.end(Err(format!("it has not followed within {ENGINE_SILENCE_MAX:?}")));
        }
    }

    /// The connection is another: whatever was asked is not answered any more.
    pub(super) fn on_connected(&mut self) {
        if self.order.is_some() {
            self.end(Err("the connection to it was lost".to_owned()));
        }
    }

    fn end(&mut self, outcome: Result<(), String>) {
        (self.order, self.outcome) = (None, Some(outcome));
    }

    /// Takes the outcome of the last order, once.
    pub(super) fn take_outcome(&mut self) -> Option<Result<(), String>> {
        self.outcome.take()
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::super::StoredHistory;
    use super::super::making::bounds_of;
    use super::*;

    const NOW: MonotonicNs = MonotonicNs(1);

    fn filter(text: &str) -> Filter {
        Filter::parse(text).unwrap()
    }

    fn clearing(rules: &[&str]) -> Clearing {
        let subjects = Subjects::new("c");
        let rule = |text: &&str| StoredHistory {
            filter: filter(text),
            age: Duration::from_secs(60),
            bytes: 1 << 20,
            of_each: None,
            is_confirmed: false,
        };
        let stores = rules.iter().map(|text| bounds_of(&rule(text), &subjects)).collect();
        Clearing::of(stores, subjects)
    }

    /// The filter of the store that is asked next, and the subject there.
    fn ask(clearing: &mut Clearing, stored: u64) -> Option<(String, String)> {
        match clearing.next_ask(stored, NOW)? {
            StoreAsk::Clear { store, subject } => Some((store.filter.text().into_owned(), subject)),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn each_store_is_cleared_once_what_was_said_before_is_there() {
        let mut clearing = clearing(&["a.>", "b"]);
        clearing.begin(&filter("a.x"), 8, NOW).unwrap();
        assert!(clearing.begin(&filter("b"), 8, NOW).is_err(), "one at a time");
        assert_eq!(ask(&mut clearing, 7), None, "one is on its way");
        let (store, subject) = ask(&mut clearing, 8).expect("a question");
        assert_eq!((store.as_str(), subject.rsplit_once(".t.").unwrap().1), ("a.>", "a.x"));
        assert_eq!(ask(&mut clearing, 9), None, "one question at a time");
        clearing.on_answer(Ok(StoreAnswer::Cleared), NOW);
        assert_eq!(ask(&mut clearing, 9).expect("another").0, "b");
        assert_eq!(clearing.take_outcome(), None);
        clearing.on_answer(Ok(StoreAnswer::Cleared), NOW);
        assert_eq!([clearing.take_outcome(), clearing.take_outcome()], [Some(Ok(())), None]);
        clearing.begin(&filter("b"), 9, NOW).expect("another order");
    }

    #[test]
    fn whatever_goes_wrong_ends_the_order() {
        type Happens = fn(&mut Clearing);
        let wrong: [(&str, Happens); 4] = [
            ("refused", |clearing| clearing.on_answer(Err("refused".to_owned()), NOW)),
            ("nobody has asked", |clearing| clearing.on_answer(Ok(StoreAnswer::Fits), NOW)),
            ("within", |clearing| clearing.on_tick(NOW + 2 * ENGINE_SILENCE_MAX)),
            ("lost", Clearing::on_connected),
        ];
        for (why, happens) in wrong {
            let mut clearing = clearing(&["a"]);
            clearing.begin(&filter(">"), 0, NOW).unwrap();
            clearing.on_tick(NOW + ENGINE_SILENCE_MAX);
            assert!(ask(&mut clearing, 0).is_some());
            happens(&mut clearing);
            let outcome = clearing.take_outcome().expect("it has ended").expect_err("it went wrong");
            assert!(outcome.contains(why), "{outcome}");
            clearing.on_answer(Ok(StoreAnswer::Cleared), NOW);
            assert_eq!(clearing.take_outcome(), None, "the answer is late");
            clearing.begin(&filter(">"), 0, NOW).expect("another order");
        }
    }

    #[test]
    fn a_prefix_clears_nothing_and_none_has_nothing_to_clear() {
        let prefix = Filter::prefix(b"a").unwrap();
        assert!(clearing(&["a"]).begin(&prefix, 0, NOW).is_err());
        let mut none = clearing(&[]);
        none.begin(&filter(">"), 0, NOW).unwrap();
        assert_eq!((ask(&mut none, 0), none.take_outcome()), (None, Some(Ok(()))));
    }
}
