//! Owns the figures of a whole experiment, which no single run has: what one run's figure is over another's, round by
//! round, and what `--assert` asks of them.

use super::catalogue::{self, Experiment};
use crate::report::assert_expr::Expression;
use crate::report::assertion::{Assertion, AssertionError};
use crate::report::peer_record::RatioRecord;
use crate::report::record::RunRecord;
use crate::results::Entry;
use std::collections::BTreeMap;
use std::str::FromStr;

/// Figures by name: over the rounds the median, the least and the greatest.
pub type Figures = BTreeMap<String, RatioRecord>;

/// Round by round, the figures of one name.
pub type Rounds = Vec<(&'static str, Vec<f64>)>;

/// Sums up the rounds; a figure that no round has is absent.
pub fn over_rounds(rounds: Rounds) -> Figures {
    rounds
        .into_iter()
        .filter_map(|(name, values)| Some((name.to_owned(), RatioRecord::over(values)?)))
        .collect()
}

/// The runs that went to their end.
pub fn whole(runs: &[Entry]) -> impl Iterator<Item = &RunRecord> + Clone {
    runs.iter().map(|entry| &entry.record).filter(|record| record.incomplete.is_none())
}

/// Something that must hold: of every run, or of the experiment as a whole.
#[derive(Clone, PartialEq, Debug)]
pub enum Asserted {
    /// Of every run.
    Runs(Assertion),
    /// Of the experiment.
    Whole {
        /// As it was typed.
        text: String,
        /// What it says.
        expression: Expression,
    },
}

impl FromStr for Asserted {
    type Err = AssertionError;

    fn from_str(text: &str) -> Result<Self, AssertionError> {
        let expression = Expression::parse(text)?;
        let fields = expression.fields();
        let names: Vec<&str> =
            catalogue::ALL.iter().flat_map(|experiment| experiment.figures).copied().collect();
        if !fields.is_empty() && fields.iter().all(|field| names.contains(&stem(field))) {
            return Ok(Asserted::Whole { text: text.to_owned(), expression });
        }
        match text.parse() {
            Ok(assertion) => Ok(Asserted::Runs(assertion)),
            Err(AssertionError::UnknownField { text, field, mut fields }) => {
                fields.extend(names.into_iter().map(ToOwned::to_owned));
                Err(AssertionError::UnknownField { text, field, fields })
            }
            Err(error) => Err(error),
        }
    }
}

/// The name of the figure that a field is a part of.
fn stem(field: &str) -> &str {
    field.strip_suffix(".min").or_else(|| field.strip_suffix(".max")).unwrap_or(field)
}

impl Asserted {
    /// What keeps it from being asked of this experiment, if anything does.
    pub fn check_for(&self, experiment: &Experiment) -> Result<(), String> {
        let Asserted::Whole { text, expression } = self else { return Ok(()) };
        let known = |field: &&str| experiment.figures.contains(&stem(field));
        match expression.fields().into_iter().find(|field| !known(field)) {
            None => Ok(()),
            Some(field) => Err(format!(
                "`{text}` asks for `{field}`, which the experiment {} has not: as a whole it has {}",
                experiment.name,
                if experiment.figures.is_empty() {
                    "no figures".into()
                } else {
                    experiment.figures.join(", ")
                }
            )),
        }
    }

    /// What does not hold, a line each.
    pub fn check(&self, figures: &Figures, runs: &[Entry]) -> Vec<String> {
        match self {
            Asserted::Runs(assertion) => {
                runs.iter().filter_map(|entry| assertion.check(&entry.record)).collect()
            }
            Asserted::Whole { text, expression } => {
                check_whole(text, expression, figures).into_iter().collect()
            }
        }
    }
}

fn check_whole(text: &str, expression: &Expression, figures: &Figures) -> Option<String> {
    let value = |field: &str| {
        let figure = figures.get(stem(field))?;
        Some(match field.rsplit_once('.') {
            Some((_, "min")) => figure.min,
            Some((_, "max")) => figure.max,
            _ => figure.median,
        })
    };
    expression.complaint(text, "", &value)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_have_a_median_a_least_and_a_greatest() {
        let figures = over_rounds(vec![
            ("ratio.echo.busy", vec![1.5, 1.25, 1.75, 1.3]),
            ("ratio.echo.park", vec![f64::NAN]),
        ]);
        let wanted = RatioRecord { median: 1.4, min: 1.25, max: 1.75 };
        assert_eq!(figures, Figures::from([("ratio.echo.busy".to_owned(), wanted)]));
        assert_eq!(wanted.to_string(), "1.4 (1.25–1.75)");
        let said = |text: &str| text.parse::<Asserted>().unwrap().check(&figures, &[]);
        assert!(said("ratio.echo.busy <= 1.4").is_empty() && said("ratio.echo.busy.min < 1.3").is_empty());
        let failed = said("ratio.echo.busy.max <= 1.5");
        assert_eq!(
            failed,
            ["--assert 'ratio.echo.busy.max <= 1.5' does not hold: ratio.echo.busy.max = 1.75"]
        );
        assert!(said("ratio.echo.park < 9")[0].contains("ratio.echo.park was not measured"));
    }

    #[test]
    fn a_name_of_a_run_is_asked_of_every_run_and_an_unknown_one_is_refused() {
        let asserted: Asserted = "lost == 0".parse().unwrap();
        let lossy = RunRecord { lost: 1, ..RunRecord::default() };
        let runs =
            [lossy.clone(), RunRecord::default(), lossy].map(|record| Entry { id: String::new(), record });
        assert_eq!(asserted.check(&Figures::new(), &runs).len(), 2);
        let error = "ratio.echo.fast < 1".parse::<Asserted>().unwrap_err().to_string();
        assert!(error.contains("ratio.echo.busy") && error.contains("deliveries_expected"), "{error}");
        assert!("lost = 0".parse::<Asserted>().is_err());
    }

    #[test]
    fn a_figure_of_another_experiment_is_refused_before_the_first_run() {
        let asserted: Asserted = "quiet.cpu_cores <= 0.01".parse().unwrap();
        assert_eq!(asserted.check_for(catalogue::find("quiet").unwrap()), Ok(()));
        let error = asserted.check_for(catalogue::find("echo").unwrap()).unwrap_err();
        assert!(error.contains("`quiet.cpu_cores`") && error.contains("ratio.echo.busy"), "{error}");
    }
}
