//! Owns a series of questions: how many, how long, which of them count, and what is told of it meanwhile.

use crate::experiment::run::RunError;
use crate::measure::latency::Latencies;
use crate::swarm::reports::Failure;
use crate::swarm::schedule::Amount;
use corecast_executors::{Link, MonotonicNs, PoolError};
use std::time::Duration;

/// Questions before the first one that counts: caches, branch predictors and the sockets' buffers are warm then.
const WARM_UP: u64 = 200;
/// Interval between two reports: seldom enough to cost nothing, often enough to show that it goes on.
const TELL_EVERY: Duration = Duration::from_millis(250);

/// Reports of a series.
#[derive(Debug)]
pub(super) enum Told {
    /// Progress.
    SoFar {
        /// Answers that count.
        answered: u64,
        /// The part of it that is done, 0 to 1.
        done: f64,
    },
    /// The end.
    Done(Box<Asked>),
    /// A failure.
    Failed(Failure),
}

/// The result of a series.
#[derive(Debug)]
pub(super) struct Asked {
    /// Times from a question to its answer.
    pub(super) latencies: Latencies,
    /// Time from the first question that counts to the last answer.
    pub(super) duration: Duration,
}

/// A series under way.
#[derive(Debug)]
pub(super) struct Asker {
    amount: Amount,
    warm_up: u64,
    latencies: Latencies,
    started: MonotonicNs,
    told: MonotonicNs,
    last: MonotonicNs,
    link: Link<Told>,
}

impl Asker {
    /// A series that begins now.
    pub(super) fn new(amount: Amount, link: Link<Told>) -> Self {
        let now = MonotonicNs::now();
        let latencies = Latencies::new();
        Asker { amount, warm_up: WARM_UP, latencies, started: now, told: now, last: now, link }
    }

    /// Takes one answer in; `false`: that was the last one.
    pub(super) fn answered(&mut self, asked: MonotonicNs, answered: MonotonicNs) -> bool {
        self.last = answered;
        if self.warm_up > 0 {
            self.warm_up -= 1;
            self.started = answered;
        } else {
            self.latencies.record(answered.saturating_since(asked));
        }
        if answered.saturating_since(self.told) >= TELL_EVERY {
            self.told = answered;
            let told = Told::SoFar { answered: self.latencies.len(), done: self.done() };
            // A full link says that it goes on, too.
            let _ = self.link.try_send(told);
        }
        self.done() < 1.0
    }

    /// True once nobody waits for it any more.
    pub(super) fn is_given_up(&self) -> bool {
        self.link.is_closed()
    }

    /// Says how it ended.
    pub(super) fn finish(self, ended: Result<(), Failure>) {
        let duration = self.last.saturating_since(self.started);
        let told = match ended {
            Ok(()) => Told::Done(Box::new(Asked { latencies: self.latencies, duration })),
            Err(failure) => Told::Failed(failure),
        };
        // Nobody waits: then nobody is told.
        let _ = self.link.try_send(told);
    }

    fn done(&self) -> f64 {
        if self.warm_up > 0 {
            return 0.0;
        }
        match self.amount {
            Amount::Messages(messages) => self.latencies.len() as f64 / messages.max(1) as f64,
            Amount::Duration(duration) => {
                let taken = self.last.saturating_since(self.started);
                // At least one, however short it is to be.
                if self.latencies.is_empty() { 0.0 } else { taken.as_secs_f64() / duration.as_secs_f64() }
            }
        }
    }
}

pub(super) fn pool_failed(error: PoolError) -> RunError {
    RunError::Drive { error: error.into(), broker: String::new() }
}

pub(super) fn failed(what: &str, why: &str) -> RunError {
    RunError::Drive { error: Failure::new(what, why).into(), broker: String::new() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use corecast_executors::link;

    #[test]
    fn what_comes_while_it_warms_up_does_not_count() {
        let (link, mut inbox) = link(4);
        let mut asker = Asker::new(Amount::Messages(3), link);
        let base = MonotonicNs::now();
        let mut questions = 0;
        while asker.answered(base, base + Duration::from_micros(10)) {
            questions += 1;
        }
        assert_eq!(questions + 1, WARM_UP + 3);
        asker.finish(Ok(()));
        let Some(Told::Done(asked)) = inbox.try_recv() else { panic!("it is done") };
        assert_eq!(asked.latencies.len(), 3);
    }

    #[test]
    fn a_series_that_lasts_so_long_says_that_it_goes_on() {
        let (link, mut inbox) = link(4);
        let mut asker = Asker::new(Amount::Duration(Duration::from_secs(1)), link);
        asker.warm_up = 0;
        let base = asker.started;
        assert!(asker.answered(base, base + Duration::from_millis(500)));
        let Some(Told::SoFar { answered: 1, done }) = inbox.try_recv() else { panic!("it says so") };
        assert!((done - 0.5).abs() < 1e-9, "{done}");
        assert!(!asker.answered(base, base + Duration::from_secs(1)));
        drop(inbox);
        assert!(asker.is_given_up());
    }
}
