//! The way to stores that are there, with their bounds: question by question, one store after another. Pure; owned by loading, and by
//! the upkeep of the stores.

use bytes::Bytes;

use super::StoredHistory;
use super::store_ask::{StoreAnswer, StoreAsk, StoreBounds};
use super::subject::Subjects;

/// The next thing to do about the store under way.
#[derive(Clone, PartialEq, Eq, Debug)]
enum Step {
    Look,
    Make,
    Change(Bytes),
}

/// The making of all stores.
pub(super) struct Making {
    stores: Vec<StoreBounds>,
    /// The store under way; behind the last: all are there.
    at: usize,
    step: Step,
}

/// The stores of these rules in a cluster, whose name is checked: one for each.
pub fn stores_of(cluster: &str, rules: &[StoredHistory]) -> Vec<StoreBounds> {
    let subjects = Subjects::new(cluster);
    rules.iter().map(|rule| bounds_of(rule, &subjects)).collect()
}

/// The store of a rule.
pub(super) fn bounds_of(rule: &StoredHistory, subjects: &Subjects) -> StoreBounds {
    StoreBounds {
        filter: rule.filter.clone(),
        name: subjects.store(&rule.filter),
        subjects: subjects.all_stored(&rule.filter),
        age: rule.age,
        bytes: rule.bytes,
        of_each: rule.of_each,
    }
}

impl Making {
    /// Begins with the first store of these rules.
    pub(super) fn of(rules: &[StoredHistory], subjects: &Subjects) -> Making {
        let stores = rules.iter().map(|rule| bounds_of(rule, subjects)).collect();
        Making { stores, at: 0, step: Step::Look }
    }

    /// Begins again.
    pub(super) fn begin_again(&mut self) {
        (self.at, self.step) = (0, Step::Look);
    }

    /// The next question; `None`: all stores are there.
    pub(super) fn ask(&self) -> Option<StoreAsk> {
        let store = self.stores.get(self.at)?.clone();
        Some(match &self.step {
            Step::Look => StoreAsk::Look(store),
            Step::Make => StoreAsk::Make(store),
            Step::Change(config) => StoreAsk::Change(store, config.clone()),
        })
    }

    /// Notes the answer to the last question.
    ///
    /// # Errors
    /// An answer to something else, as a sentence.
    pub(super) fn on_answer(&mut self, answer: StoreAnswer) -> Result<(), String> {
        match (answer, &self.step) {
            (StoreAnswer::Absent, Step::Look) => self.step = Step::Make,
            (StoreAnswer::Differs(config), Step::Look) => self.step = Step::Change(config),
            (StoreAnswer::Fits, _) => (self.at, self.step) = (self.at + 1, Step::Look),
            (answer, step) => {
                return Err(format!("an answer that nobody has asked for: {answer:?} to {step:?}"));
            }
        }
        Ok(())
    }
}
