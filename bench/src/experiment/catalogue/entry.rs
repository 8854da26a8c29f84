//! Owns an entry of the catalogue.

use crate::experiment::base::Base;
use crate::experiment::rounds::Rounds;
use crate::experiment::step::Step;
use crate::results::Entry;

/// An experiment.
#[derive(Clone, Copy, Debug)]
pub struct Experiment {
    /// Its name on the command line.
    pub name: &'static str,
    /// The question that it answers.
    pub question: &'static str,
    /// Options that it chooses itself, so that nobody can, with spaces between them.
    pub chooses: &'static str,
    /// Cores that it takes at least: with fewer it would not compare what it says.
    pub cores_min: usize,
    /// Figures that it has as a whole, for `--assert`.
    pub figures: &'static [&'static str],
    /// Sums these figures up, round by round.
    pub sum_up: fn(&[Entry]) -> Rounds,
    /// Its runs, in the order in which they are made.
    pub steps: fn(&Base) -> Vec<Step>,
}

impl Experiment {
    /// One without figures as a whole, which runs on any number of cores.
    pub(super) const fn new(
        name: &'static str,
        question: &'static str,
        chooses: &'static str,
        steps: fn(&Base) -> Vec<Step>,
    ) -> Self {
        let sum_up = |_: &[Entry]| Vec::new();
        Experiment { name, question, chooses, cores_min: 1, figures: &[], sum_up, steps }
    }

    /// The same with figures as a whole.
    pub(super) const fn with_figures(
        self,
        figures: &'static [&'static str],
        sum_up: fn(&[Entry]) -> Rounds,
    ) -> Self {
        Experiment { figures, sum_up, ..self }
    }
}
