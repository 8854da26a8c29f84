//! Owns `--assert` about a comparison: each pair must keep it.

use super::Pair;
use crate::record::assertion::known_numbers;
use crate::record::expression::{AssertionError, Expression};
use std::str::FromStr;

/// Aspects of a figure, which stand behind its name.
const ASPECTS: [&str; 5] = ["a", "b", "ratio", "ratio_low", "ratio_high"];

/// A comparison over ratios, such as `last_subscriber_us.median.ratio < 1.1`.
#[derive(Clone, PartialEq, Debug)]
pub struct Claim(Expression);

impl FromStr for Claim {
    type Err = AssertionError;

    fn from_str(text: &str) -> Result<Self, AssertionError> {
        let expression: Expression = text.parse()?;
        let figures = known_numbers();
        let is_known = |figure: &str| figures.iter().any(|known| known == figure);
        expression.check_fields(
            |field| parts(field).is_some_and(|(figure, _)| is_known(figure)),
            |field| match parts(field) {
                None => {
                    "write the name of a figure and one of .a, .b, .ratio, .ratio_low, .ratio_high, such as \
                         last_subscriber_us.median.ratio"
                        .into()
                }
                Some((figure, _)) => {
                    format!("and `{figure}` is not a number of a run; those are: {}", figures.join(", "))
                }
            },
        )?;
        Ok(Claim(expression))
    }
}

/// The figure and what is asked about it.
fn parts(field: &str) -> Option<(&str, &str)> {
    field.rsplit_once('.').filter(|(_, aspect)| ASPECTS.contains(aspect))
}

impl Claim {
    /// The complaint about this pair, if it breaks the claim.
    pub fn check(&self, pair: &Pair) -> Option<String> {
        let value = |field: &str| {
            let (figure, aspect) = parts(field)?;
            let compared = pair.figures.get(figure)?;
            match aspect {
                "a" => Some(compared.a),
                "b" => Some(compared.b),
                "ratio" => compared.ratio,
                "ratio_low" => Some(compared.interval?.low),
                _ => Some(compared.interval?.high),
            }
        };
        self.0.complaint(&format!(" ({})", pair.run), &value)
    }
}

#[cfg(test)]
mod tests {
    use super::super::Compared;
    use super::*;
    use std::collections::BTreeMap;

    fn pair() -> Pair {
        let compared = Compared { a: 2.0, b: 3.0, ratio: Some(1.5), interval: None };
        Pair {
            run: "proxy, 8 subscribers".into(),
            a_runs: vec![],
            b_runs: vec![],
            clock_error_us: None,
            figures: BTreeMap::from([("latency_us.median".to_owned(), compared)]),
        }
    }

    fn check(text: &str) -> Option<String> {
        text.parse::<Claim>().unwrap().check(&pair())
    }

    #[test]
    fn what_holds_says_nothing_and_what_does_not_names_the_figures() {
        assert_eq!(check("latency_us.median.ratio < 1.6"), None);
        assert_eq!(check("latency_us.median.b - latency_us.median.a == 1"), None);
        let said = check("latency_us.median.ratio < 1.1").unwrap();
        let wanted = "--assert 'latency_us.median.ratio < 1.1' does not hold (proxy, 8 subscribers): \
                      latency_us.median.ratio = 1.5";
        assert_eq!(said, wanted);
        assert!(check("latency_us.median.ratio_high < 9").unwrap().contains("cannot be told"));
        assert!(check("latency_us.p99.ratio < 9").unwrap().contains("was not measured"));
    }

    #[test]
    fn what_cannot_be_asked_is_refused_with_what_can() {
        let error = |text: &str| text.parse::<Claim>().unwrap_err().to_string();
        assert!(error("latency_us.median < 2").contains("such as last_subscriber_us.median.ratio"));
        assert!(error("latency_us.p98.ratio < 2").contains("latency_us.p99_9"));
        assert!(error("latency_us.median.ratio = 2").contains("expected one of"));
    }
}
