//! The stores of history while the broker runs: one that is deleted, or that could not be made as the broker started, is made when it is
//! missed. Pure; owned by the engine's state.

use corecast_executors::MonotonicNs;

use super::making::Making;
use super::store_ask::StoreAnswer;
use super::subject::Subjects;
use super::{EngineOrder, StoredHistory};
use crate::limits::ENGINE_SILENCE_MAX;

/// Questions of loading have lower numbers.
const FIRST: u64 = 1 << 63;

/// The upkeep of one broker's stores.
pub(super) struct Upkeep {
    making: Making,
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
            is_needed: false,
            asks: FIRST,
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
    }

    /// True if this is the number of a question of its own.
    pub(super) fn has_asked(number: u64) -> bool {
        number > FIRST
    }

    /// Takes the next question, if there is one now.
    pub(super) fn next_order(&mut self, now: MonotonicNs) -> Option<EngineOrder> {
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
    pub(super) fn on_answer(&mut self, number: u64, answer: Result<StoreAnswer, String>) {
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
        let Some(EngineOrder::Ask { number, ask }) = upkeep.next_order(NOW) else { return String::new() };
        assert!(Upkeep::has_asked(number));
        match *ask {
            StoreAsk::Look(store) => format!("look {}", store.filter.text()),
            StoreAsk::Make(store) => format!("make {}", store.filter.text()),
            other => format!("{other:?}"),
        }
    }

    fn answer(upkeep: &mut Upkeep, answer: Result<StoreAnswer, String>) {
        upkeep.on_answer(upkeep.asks, answer);
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
