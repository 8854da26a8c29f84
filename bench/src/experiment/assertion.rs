//! Owns `--assert` over an experiment: conditions on every run, and on the figures of the whole.

use super::catalogue::{self, Experiment};
use super::rounds::FiguresByName;
use crate::record::assertion::Assertion;
use crate::record::expression::{AssertionError, Expression};
use crate::results::Entry;
use std::str::FromStr;

/// Something that must hold: of every run, or of the experiment as a whole.
#[derive(Clone, PartialEq, Debug)]
pub enum Asserted {
    /// A condition on every run.
    Runs(Assertion),
    /// A condition on the experiment as a whole.
    Whole(Expression),
}

impl FromStr for Asserted {
    type Err = AssertionError;

    fn from_str(text: &str) -> Result<Self, AssertionError> {
        let expression: Expression = text.parse()?;
        let names: Vec<&str> =
            catalogue::ALL.iter().flat_map(|experiment| experiment.figures).copied().collect();
        let fields = expression.fields();
        if !fields.is_empty() && fields.iter().all(|field| names.contains(&stem(field))) {
            return Ok(Asserted::Whole(expression));
        }
        Assertion::of_runs(expression, &names).map(Asserted::Runs)
    }
}

/// The name of the figure that a field is a part of.
fn stem(field: &str) -> &str {
    field.strip_suffix(".min").or_else(|| field.strip_suffix(".max")).unwrap_or(field)
}

impl Asserted {
    /// Refuses a figure that the experiment does not have as a whole.
    pub fn check_for(&self, experiment: &Experiment) -> Result<(), AssertionError> {
        let Asserted::Whole(expression) = self else { return Ok(()) };
        let figures = match experiment.figures {
            [] => "no figures".into(),
            figures => figures.join(", "),
        };
        let Experiment { name, .. } = experiment;
        expression.check_fields(
            |field| experiment.figures.contains(&stem(field)),
            |_| format!("which the experiment {name} has not: as a whole it has {figures}"),
        )
    }

    /// The complaints, a line each: about each run, or about the whole.
    pub fn check(&self, figures: &FiguresByName, runs: &[Entry]) -> Vec<String> {
        let value = |field: &str| {
            let figure = figures.get(stem(field))?;
            Some(match field.rsplit_once('.') {
                Some((_, "min")) => figure.min,
                Some((_, "max")) => figure.max,
                _ => figure.median,
            })
        };
        match self {
            Asserted::Runs(assertion) => {
                runs.iter().filter_map(|entry| assertion.check(&entry.record)).collect()
            }
            Asserted::Whole(expression) => expression.complaint("", &value).into_iter().collect(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::experiment::rounds::over_rounds;
    use crate::record::{RatioRecord, RunRecord};

    #[test]
    fn figures_have_a_median_a_least_and_a_greatest() {
        let figures = over_rounds(vec![
            ("ratio.echo.busy", vec![1.5, 1.25, 1.75, 1.3]),
            ("ratio.echo.park", vec![f64::NAN]),
        ]);
        let wanted = RatioRecord { median: 1.4, min: 1.25, max: 1.75 };
        assert_eq!(figures, FiguresByName::from([("ratio.echo.busy".to_owned(), wanted)]));
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
        assert_eq!(asserted.check(&FiguresByName::new(), &runs).len(), 2);
        let error = "ratio.echo.fast < 1".parse::<Asserted>().unwrap_err().to_string();
        assert!(error.contains("ratio.echo.busy") && error.contains("deliveries_expected"), "{error}");
        assert!("lost = 0".parse::<Asserted>().is_err());
    }

    #[test]
    fn a_figure_of_another_experiment_is_refused_before_the_first_run() {
        let asserted: Asserted = "quiet.cpu_cores <= 0.01".parse().unwrap();
        assert_eq!(asserted.check_for(catalogue::find("quiet").unwrap()), Ok(()));
        let error = asserted.check_for(catalogue::find("echo").unwrap()).unwrap_err().to_string();
        assert!(error.contains("`quiet.cpu_cores`") && error.contains("ratio.echo.busy"), "{error}");
    }
}
