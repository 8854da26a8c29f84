//! Owns the numbers of a record under their names, and `--assert` over the runs that have them.

use super::expression::{AssertionError, Expression};
use super::run::{BrokerRecord, ExecutorsRecord, RunRecord};
use crate::measure::latency::Summary;
use serde::Serialize;
use serde_json::Value;
use std::collections::BTreeMap;
use std::str::FromStr;

/// Every number of a record under its dotted name; `None` for one that was not measured.
pub type Numbers = BTreeMap<String, Option<f64>>;

/// A comparison over fields that runs have.
#[derive(Clone, PartialEq, Debug)]
pub struct Assertion(Expression);

impl FromStr for Assertion {
    type Err = AssertionError;

    fn from_str(text: &str) -> Result<Self, AssertionError> {
        Assertion::of_runs(text.parse()?, &[])
    }
}

impl Assertion {
    /// An expression over fields of runs. One that has others is refused with all that there are, and with those that
    /// there are `beside` them.
    pub fn of_runs(expression: Expression, beside: &[&str]) -> Result<Self, AssertionError> {
        let known = numbers_of(&full_run());
        expression.check_fields(
            |field| known.contains_key(field),
            |_| {
                let names: Vec<&str> =
                    known.keys().map(String::as_str).chain(beside.iter().copied()).collect();
                format!("which is not a number of a run; those are: {}", names.join(", "))
            },
        )?;
        Ok(Assertion(expression))
    }

    /// The complaint about this run, if it does not keep the assertion: a line that names the figures.
    pub fn check(&self, run: &RunRecord) -> Option<String> {
        let numbers = numbers_of(run);
        // Absent where sender and receivers read the same clock.
        let same_clock = |name: &str| (name == CLOCK_ERROR).then_some(0.0);
        let value = |name: &str| numbers.get(name).copied().flatten().or_else(|| same_clock(name));
        let run = format!(" ({} mode, {} subscribers, {} bytes)", run.mode, run.subscribers, run.size_bytes);
        self.0.complaint(&run, &value)
    }
}

/// The figure by which one-way latencies may be wrong.
const CLOCK_ERROR: &str = "clock_error_us";

/// The numbers of a record.
pub fn numbers_of(record: &impl Serialize) -> Numbers {
    let mut numbers = Numbers::new();
    // A record is always representable; should it not be, no assertion about it can be told.
    collect("", &serde_json::to_value(record).unwrap_or_default(), &mut numbers);
    numbers
}

fn collect(name: &str, value: &Value, into: &mut Numbers) {
    match value {
        Value::Null => drop(into.insert(name.to_owned(), None)),
        Value::Number(number) => drop(into.insert(name.to_owned(), number.as_f64())),
        Value::Object(fields) => {
            for (field, value) in fields {
                let name = if name.is_empty() { field.clone() } else { format!("{name}.{field}") };
                collect(&name, value, into);
            }
        }
        Value::Bool(_) | Value::String(_) | Value::Array(_) => {}
    }
}

/// Figures in `extra` that can be asked about. A run that has one not says so when it is asked.
const EXTRA: [&str; 10] = [
    "cpu_user_ns_per_delivery",
    "cpu_system_ns_per_delivery",
    "cpu_cores",
    "quiet_cpu_cores",
    "syscalls_per_delivery",
    "slow_delay_ms",
    "slow_dropped",
    "isolation_ratio",
    "visits",
    "whole",
];

/// The name of every number that a run can have.
pub(crate) fn known_numbers() -> Vec<String> {
    numbers_of(&full_run()).into_keys().collect()
}

/// A run in which every number is there: its names are the names there are.
fn full_run() -> RunRecord {
    RunRecord {
        rate_hz: Some(0.0),
        topics: Some(0),
        topics_per_subscriber: Some(0),
        misdelivered: Some(0),
        latency_us: Some(Summary::default()),
        first_subscriber_us: Some(Summary::default()),
        last_subscriber_us: Some(Summary::default()),
        broker: BrokerRecord { cpu_ns_per_delivery: Some(0.0), rss_bytes: Some(0) },
        publisher_executors: ExecutorsRecord { cpu_ns_per_delivery: Some(0.0) },
        round: Some(0),
        cpu_ns_per_delivery: Some(0.0),
        rss_per_subscriber_bytes: Some(0.0),
        slow_subscribers: Some(0),
        clock_error_us: Some(0.0),
        extra: EXTRA.iter().map(|name| ((*name).to_owned(), 0.0)).collect(),
        ..RunRecord::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::run::tests::sample_run;

    fn check(text: &str, run: &RunRecord) -> Option<String> {
        text.parse::<Assertion>().unwrap().check(run)
    }

    #[test]
    fn what_holds_says_nothing() {
        let run = sample_run();
        for text in [
            "lost==0",
            "deliveries==deliveries_expected",
            "latency_us.median<5000",
            "latency_us.p99_9 >= 0",
            "broker.rss_bytes < 100e6",
            "deliveries + gaps_reported == messages_sent * subscribers",
            "rate_hz == 20",
            "latency_us.median + clock_error_us < 5000",
        ] {
            assert_eq!(check(text, &run), None, "{text}");
        }
    }

    #[test]
    fn what_does_not_hold_names_the_figures() {
        let run = RunRecord { lost: 3, ..sample_run() };
        assert_eq!(
            check("lost==0", &run).unwrap(),
            "--assert 'lost==0' does not hold (proxy mode, 512 subscribers, 64 bytes): lost = 3"
        );
    }

    #[test]
    fn what_was_not_measured_cannot_be_told() {
        let run = RunRecord { latency_us: None, broker: BrokerRecord::default(), ..sample_run() };
        for field in ["latency_us.median", "broker.rss_bytes"] {
            let said = check(&format!("{field} < 1"), &run).unwrap();
            assert!(
                said.contains("cannot be told") && said.contains(&format!("{field} was not measured")),
                "{said}"
            );
        }
    }

    #[test]
    fn an_unknown_field_lists_those_there_are() {
        for text in ["losts == 0", "latency_us == 0", "mode == 0", "latency_us.p98 < 1"] {
            let error = text.parse::<Assertion>().unwrap_err();
            assert!(matches!(error, AssertionError::Unknown(_)), "{error}");
            let said = error.to_string();
            assert!(said.contains("latency_us.p99_9") && said.contains("broker.rss_bytes"), "{said}");
        }
        assert!(matches!("lost = 0".parse::<Assertion>(), Err(AssertionError::Syntax(_))));
    }
}
