//! The stores of history while the broker runs: one that is deleted, or that could not be made as the broker started, is made when it is
//! missed, and an operator may have some of it given up. Pure; owned by the engine's state.

use corecast_executors::MonotonicNs;

use super::clearing::Clearing;
use super::making::{Making, bounds_of};
use super::store_ask::StoreAnswer;
use super::subject::Subjects;
use super::{EngineOrder, StoredHistory};
use crate::limits::ENGINE_SILENCE_MAX;
use crate::topic::Filter;

/// The numbers of questions begin behind these: those of making stores, and those of clearing them. Questions of loading have lower
/// ones.
const MAKING: u64 = 0b10 << 62;
const CLEARING: u64 = 0b11 << 62;

/// The upkeep of one broker's stores.
pub(super) struct Upkeep {
    making: Making,
    clearing: Clearing,
    /// The number of the last question of clearing.
    clears: u64,
    /// A store has refused something, and it is not known that all are there.
    is_needed: bool,
    /// The number of the last question.
    asks: u64,
    /// The time at which it was asked, until it is answered.
    asked_at: Option<MonotonicNs>,
    /// The last trouble, as a sentence.
    trouble: Option<String>,
}

impl Upkeep {
    /// The upkeep of the stores of these rules, of which none is missed yet.
    pub(super) fn of(rules: &[StoredHistory], subjects: &Subjects) -> Upkeep {
        Upkeep {
            making: Making::of(rules, subjects),
            clearing: Clearing::of(
                rules.iter().map(|rule| bounds_of(rule, subjects)).collect(),
                subjects.clone(),
            ),
            clears: CLEARING,
            is_needed: false,
            asks: MAKING,
            asked_at: None,
            trouble: None,
        }
    }

    /// A store has refused something. It is asked for it again in a moment, by when it may be there.
    pub(super) fn on_refused(&mut self) {
        if !self.is_needed {
            self.is_needed = true;
            self.making.begin_again();
        }
    }

    /// Begins a connection: whatever was asked is not answered any more.
    pub(super) fn on_connected(&mut self) {
        (self.is_needed, self.asked_at) = (false, None);
        self.clearing.on_connected();
    }

    /// Begins to give up what is stored: see [`Clearing::begin`].
    pub(super) fn clear(&mut self, filter: &Filter, behind: u64, now: MonotonicNs) -> Result<(), String> {
        self.clearing.begin(filter, behind, now)
    }

    /// Takes the outcome of that, once.
    pub(super) fn take_cleared(&mut self) -> Option<Result<(), String>> {
        self.clearing.take_outcome()
    }

    /// True if this is the number of a question of its own.
    pub(super) fn has_asked(number: u64) -> bool {
        number > MAKING
    }

    /// Takes the next question, if there is one now; all before the number `stored` has reached the stores.
    pub(super) fn next_order(&mut self, stored: u64, now: MonotonicNs) -> Option<EngineOrder> {
        if let Some(ask) = self.clearing.next_ask(stored, now) {
            self.clears += 1;
            return Some(EngineOrder::Ask { number: self.clears, ask: Box::new(ask) });
        }
        if !self.is_needed || self.asked_at.is_some() {
            return None;
        }
        let Some(ask) = self.making.ask() else {
            self.is_needed = false;
            return None;
        };
        self.asks += 1;
        self.asked_at = Some(now);
        Some(EngineOrder::Ask { number: self.asks, ask: Box::new(ask) })
    }

    /// Notes the answer to a question.
    pub(super) fn on_answer(&mut self, number: u64, answer: Result<StoreAnswer, String>, now: MonotonicNs) {
        if number == self.clears {
            return self.clearing.on_answer(answer, now);
        }
        if self.asked_at.is_none() || number != self.asks {
            return;
        }
        self.asked_at = None;
        if let Err(why) = answer.and_then(|answer| self.making.on_answer(answer)) {
            self.fail(why);
        }
    }

    /// Time goes on: who does not answer is asked again once something more is refused.
    pub(super) fn on_tick(&mut self, now: MonotonicNs) {
        self.clearing.on_tick(now);
        if self.asked_at.is_some_and(|asked_at| now.saturating_since(asked_at) > ENGINE_SILENCE_MAX) {
            self.asked_at = None;
            self.fail(format!("no answer within {ENGINE_SILENCE_MAX:?}"));
        }
    }

    fn fail(&mut self, why: String) {
        self.is_needed = false;
        self.trouble = Some(why);
    }

    /// Takes the way things went wrong last, as a sentence.
    pub(super) fn take_trouble(&mut self) -> Option<String> {
        self.trouble.take()
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::super::store_ask::StoreAsk;
    use super::*;
    use crate::topic::Filter;

    const NOW: MonotonicNs = MonotonicNs(1);

    fn upkeep() -> Upkeep {
        let rule = |filter| StoredHistory {
            filter: Filter::parse(filter).unwrap(),
            age: Duration::from_secs(60),
            bytes: 1 << 20,
            of_each: None,
            is_confirmed: false,
        };
        Upkeep::of(&[rule("a"), rule("b")], &Subjects::new("c"))
    }

    /// The next question, as a letter and the filter of its store.
    fn ask(upkeep: &mut Upkeep) -> String {
        let Some(EngineOrder::Ask { number, ask }) = upkeep.next_order(0, NOW) else { return String::new() };
        assert!(Upkeep::has_asked(number));
        match *ask {
            StoreAsk::Look(store) => format!("look {}", store.filter.text()),
            StoreAsk::Make(store) => format!("make {}", store.filter.text()),
            other => format!("{other:?}"),
        }
    }

    fn answer(upkeep: &mut Upkeep, answer: Result<StoreAnswer, String>) {
        upkeep.on_answer(upkeep.asks, answer, NOW);
    }

    #[test]
    fn a_store_that_is_gone_is_made_when_something_is_refused() {
        let mut upkeep = upkeep();
        assert_eq!(ask(&mut upkeep), "", "nothing is wrong");
        upkeep.on_refused();
        assert_eq!(ask(&mut upkeep), "look a");
        upkeep.on_refused();
        assert_eq!(ask(&mut upkeep), "", "one question at a time");
        answer(&mut upkeep, Ok(StoreAnswer::Fits));
        assert_eq!(ask(&mut upkeep), "look b");
        answer(&mut upkeep, Ok(StoreAnswer::Absent));
        assert_eq!(ask(&mut upkeep), "make b");
        answer(&mut upkeep, Ok(StoreAnswer::Fits));
        assert_eq!(ask(&mut upkeep), "");
        upkeep.on_refused();
        assert_eq!(ask(&mut upkeep), "look a", "another time");
    }

    #[test]
    fn stores_are_cleared_and_made_at_the_same_time() {
        let mut upkeep = upkeep();
        upkeep.on_refused();
        assert_eq!(ask(&mut upkeep), "look a");
        upkeep.clear(&Filter::parse("a").unwrap(), 0, NOW).unwrap();
        for store in ["a", "b"] {
            let Some(EngineOrder::Ask { number, ask }) = upkeep.next_order(0, NOW) else {
                panic!("a question")
            };
            assert!(Upkeep::has_asked(number) && number >> 62 != upkeep.asks >> 62);
            assert!(matches!(*ask, StoreAsk::Clear { store: of, .. } if of.filter.text() == store));
            assert_eq!(upkeep.take_cleared(), None);
            upkeep.on_answer(number, Ok(StoreAnswer::Cleared), NOW);
        }
        assert_eq!(upkeep.take_cleared(), Some(Ok(())));
        answer(&mut upkeep, Ok(StoreAnswer::Fits));
        assert_eq!(ask(&mut upkeep), "look b");
    }

    #[test]
    fn who_does_not_answer_is_asked_when_something_more_is_refused() {
        let mut upkeep = upkeep();
        let later = NOW + 2 * ENGINE_SILENCE_MAX;
        for is_late in [true, false] {
            upkeep.on_refused();
            assert_eq!(ask(&mut upkeep), "look a");
            if is_late {
                upkeep.on_tick(later);
            } else {
                answer(&mut upkeep, Err("JetStream is not there".to_owned()));
            }
            assert!(upkeep.take_trouble().is_some());
            assert_eq!(ask(&mut upkeep), "");
        }
        upkeep.on_refused();
        assert_eq!(ask(&mut upkeep), "look a");
        upkeep.on_connected();
        answer(&mut upkeep, Ok(StoreAnswer::Fits));
        assert_eq!(ask(&mut upkeep), "", "the answer is of the connection before");
    }
}
