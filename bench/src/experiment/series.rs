//! Owns an experiment as it is carried out: its runs one after another, each kept as soon as it has ended, until all are
//! done, somebody asks to stop, or there is no point in going on.

use super::catalogue::flood;
use super::error::DriveError;
use super::outcome::Outcome;
use super::plan::Plan;
use super::rounds::{Rounds, over_rounds};
use super::run::{RunError, Surroundings, note_syscalls, run_in};
use super::search::{RateSearch, is_whole};
use super::step::{Make, Planned, Search, Step};
use super::watch::Ending;
use crate::interrupt::Interrupt;
use crate::process::error::StartError;
use crate::progress::Place;
use crate::record::RunRecord;
use crate::results::{Entry, Results, ResultsError, ResultsFolder};
use crate::swarm::schedule::{Amount, Rate};
use std::path::Path;
use std::time::{Duration, Instant};

/// Runs that fail one after another until the rest is given up: what is wrong is wrong with all of them.
const FAILED_IN_A_ROW_MAX: u32 = 3;
/// Time for which messages are sent while system calls are counted.
const COUNTED: Duration = Duration::from_secs(2);

/// An experiment that can be carried out.
#[derive(Clone, Copy, Debug)]
pub struct Series<'a> {
    /// Its parts, in order.
    pub steps: &'a [Step],
    /// Its figures as a whole.
    pub sum_up: fn(&[Entry]) -> Rounds,
    /// The file of this command.
    pub guard: Option<&'a Path>,
    /// The wish to stop.
    pub interrupt: &'a Interrupt,
}

/// The fate of one run.
#[derive(Debug)]
pub enum Made {
    /// A record.
    Recorded {
        /// The way it ended.
        ending: Ending,
        /// True if the messages were sent in time; a search may ask for more than is possible.
        rate_reached: bool,
    },
    /// A failure that leaves nothing to record.
    Failed {
        /// The title of the run.
        title: String,
        /// The error.
        error: RunError,
    },
}

/// The result of a series.
#[derive(Debug)]
pub struct Ended {
    /// The measurements.
    pub results: Results,
    /// The fate of each run, in order.
    pub made: Vec<Made>,
}

impl Series<'_> {
    /// Makes the runs and writes each into the folder.
    pub fn carry_out(self, folder: ResultsFolder) -> Result<Ended, ResultsError> {
        let mut course =
            Course { series: self, folder, made: Vec::new(), failed_in_a_row: 0, begun: Instant::now() };
        for (index, step) in self.steps.iter().enumerate() {
            match step {
                Step::Run(planned) => course.run_planned(index, planned)?,
                Step::Search(search) => course.search(index, search)?,
            }
            if course.is_over() {
                break;
            }
        }
        let figures = over_rounds((self.sum_up)(&course.folder.results().runs));
        course.folder.sum_up(figures);
        let incomplete = course.incomplete();
        Ok(Ended { results: course.folder.finish(incomplete)?, made: course.made })
    }

    fn runs(&self) -> u64 {
        self.steps.iter().map(Step::runs).sum()
    }
}

/// A series that is under way.
struct Course<'a> {
    series: Series<'a>,
    folder: ResultsFolder,
    made: Vec<Made>,
    failed_in_a_row: u32,
    begun: Instant,
}

impl Course<'_> {
    fn run_planned(&mut self, index: usize, planned: &Planned) -> Result<(), ResultsError> {
        let counted = planned.counts_syscalls.then(|| self.count_syscalls(index, &planned.plan));
        if self.series.interrupt.is_set() {
            return Ok(());
        }
        let Some(mut outcome) = self.run(index, &planned.plan, planned.make, planned.round) else {
            return Ok(());
        };
        if let Some(counted) = counted {
            note_counted(&counted, &mut outcome.record);
        }
        if let Some(complete) = planned.complete {
            complete(&self.folder.results().runs, &mut outcome.record);
        }
        let rate_reached = outcome.rate_missed.is_none();
        self.keep(outcome, rate_reached)
    }

    /// Looks for the highest rate that is delivered whole, from that of the run before on.
    fn search(&mut self, index: usize, search: &Search) -> Result<(), ResultsError> {
        let Some(mut rates) = self.last_rate_hz().map(RateSearch::from) else { return Ok(()) };
        for _ in 0..search.runs_max {
            let Some(rate_hz) = rates.next_hz() else { break };
            let plan = Plan { rate: Rate::Hz(rate_hz), ..search.plan.clone() };
            let Some(mut outcome) = self.run(index, &plan, run_in, None) else { break };
            let sending_s = plan.sending_time().unwrap_or_default().as_secs_f64();
            let whole = outcome.rate_missed.is_none() && is_whole(&outcome.record, sending_s);
            rates.take(rate_hz, whole);
            outcome.record.extra.insert(flood::WHOLE.to_owned(), f64::from(u8::from(whole)));
            // That a rate is too high is what the search is for.
            self.keep(outcome, true)?;
            if self.is_over() {
                break;
            }
        }
        Ok(())
    }

    /// Messages a second of each publisher in the run before, if it was recorded whole.
    fn last_rate_hz(&self) -> Option<f64> {
        let record = &self.folder.results().runs.last()?.record;
        let rate_hz = record.messages_sent as f64 / record.duration_s / record.publishers as f64;
        (record.incomplete.is_none() && rate_hz.is_finite() && rate_hz > 0.0).then_some(rate_hz)
    }

    /// A short run of the same plan, for this one figure; the error says why there is none.
    fn count_syscalls(&self, index: usize, plan: &Plan) -> Result<Outcome, String> {
        let amount = match plan.amount {
            Amount::Duration(duration) => Amount::Duration(duration.min(COUNTED)),
            messages => messages,
        };
        let plan = Plan { amount, keep_samples: false, ..plan.clone() };
        let surroundings = Surroundings { counts_syscalls: true, ..self.surroundings(index) };
        let outcome = run_in(&plan, &surroundings).map_err(|error| error.to_string())?;
        match outcome.ending {
            Ending::Complete => Ok(outcome),
            _ => Err("the run in which they should be was not completed".into()),
        }
    }

    /// Makes a run; what fails, or is skipped, is remembered.
    fn run(&mut self, index: usize, plan: &Plan, make: Make, round: Option<u32>) -> Option<Outcome> {
        match make(plan, &self.surroundings(index)) {
            Ok(mut outcome) => {
                outcome.record.round = round;
                Some(outcome)
            }
            Err(RunError::Skipped(skipped)) => {
                if !self.folder.results().skipped.contains(&skipped) {
                    self.folder.skip(&[skipped]);
                }
                None
            }
            Err(error) => {
                self.failed_in_a_row += 1;
                self.made.push(Made::Failed { title: plan.title(), error });
                None
            }
        }
    }

    fn surroundings(&self, index: usize) -> Surroundings<'_> {
        Surroundings {
            guard: self.series.guard,
            interrupt: self.series.interrupt,
            place: Some(self.place(index)),
            counts_syscalls: false,
        }
    }

    fn keep(&mut self, outcome: Outcome, rate_reached: bool) -> Result<(), ResultsError> {
        self.failed_in_a_row = match outcome.ending {
            Ending::Complete | Ending::Interrupted => 0,
            Ending::TimedOut(_) | Ending::Failed(_) => self.failed_in_a_row + 1,
        };
        self.folder.add(outcome.record, &outcome.raw)?;
        self.made.push(Made::Recorded { ending: outcome.ending, rate_reached });
        Ok(())
    }

    fn place(&self, index: usize) -> Place {
        let estimate = |steps: &[Step]| steps.iter().map(Step::estimate).sum::<Duration>();
        let done = estimate(&self.series.steps[..index]);
        // As fast as it went so far.
        let pace = if done.is_zero() { 1.0 } else { self.begun.elapsed().as_secs_f64() / done.as_secs_f64() };
        let after = estimate(&self.series.steps[index + 1..]);
        let left_after = Duration::try_from_secs_f64(after.as_secs_f64() * pace).unwrap_or(after);
        Place { run: self.folder.results().runs.len() as u64 + 1, of: self.series.runs(), left_after }
    }

    fn is_over(&self) -> bool {
        self.series.interrupt.is_set() || self.failed_in_a_row >= FAILED_IN_A_ROW_MAX || self.is_hopeless()
    }

    /// True if the last run failed for a reason that the next one will share.
    fn is_hopeless(&self) -> bool {
        matches!(
            self.made.last(),
            Some(Made::Failed {
                error: RunError::Plan(_)
                    | RunError::Descriptors(_)
                    | RunError::Broker(StartError::Missing { .. }),
                ..
            })
        )
    }

    /// The reason for which it is not all that was planned, if there is one.
    fn incomplete(&self) -> Option<String> {
        let failed = self.made.iter().filter(|made| !made.is_whole()).count();
        let kept = self.folder.results().runs.len();
        let of = self.series.runs();
        if self.series.interrupt.is_set() {
            return Some(format!("interrupted in run {} of {of}", self.interrupted_in()));
        }
        let first = self.made.iter().find_map(Made::failure)?;
        if self.is_over() {
            return Some(format!("given up after {kept} of {of} runs: {first}"));
        }
        Some(format!("{failed} of {of} runs failed, the first of them: {first}"))
    }

    /// The number of the run, from 1.
    fn interrupted_in(&self) -> usize {
        match self.made.last() {
            Some(Made::Recorded { ending: Ending::Interrupted, .. })
            | Some(Made::Failed { error: RunError::Drive { error: DriveError::Interrupted, .. }, .. }) => {
                self.made.len()
            }
            _ => self.made.len() + 1,
        }
    }
}

impl Made {
    fn is_whole(&self) -> bool {
        self.failure().is_none()
    }

    /// The failure, if there was one.
    pub fn failure(&self) -> Option<String> {
        match self {
            Made::Recorded { ending: Ending::Complete, .. } => None,
            Made::Recorded { ending: Ending::Interrupted, .. } => Some("interrupted".into()),
            Made::Recorded { ending: Ending::TimedOut(said) | Ending::Failed(said), .. } => {
                Some(said.clone())
            }
            Made::Failed { title, error } => Some(format!("{title}: {error}")),
        }
    }
}

/// Writes the count of another run of the same plan into a record, or why there is none.
fn note_counted(counted: &Result<Outcome, String>, record: &mut RunRecord) {
    match counted {
        Ok(outcome) => {
            let Some(syscalls) = &outcome.syscalls else { return };
            note_syscalls(syscalls, record);
            if syscalls.is_ok() {
                let messages = outcome.record.messages_sent;
                let note = format!("system calls were counted in a run of its own, of {messages} messages");
                record.notes.push(note);
            }
        }
        Err(why) => note_syscalls(&Err(why.clone()), record),
    }
}
