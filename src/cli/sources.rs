//! Owns where the value of each option came from. Errors of the library name a field; this names what its user wrote.

use std::collections::BTreeMap;
use std::fmt;

/// The source of a value, the weakest first: a stronger one takes its place.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Source {
    /// Nobody chose it.
    Default,
    /// The environment variable of this name.
    Environment(String),
    /// The command line.
    CommandLine,
}

/// The options of a command with the sources of their values, by the name of the field that each sets.
#[derive(Clone, Default, PartialEq, Eq, Debug)]
pub struct Sources(BTreeMap<String, (String, Source)>);

impl Sources {
    /// Notes the source of `--long`, which sets `field`.
    pub(super) fn put(&mut self, field: &str, long: &str, source: Source) {
        self.0.insert(field.to_owned(), (long.to_owned(), source));
    }

    /// The place to change the value of a field: `--egress-bytes`, `CORECAST_BROKER_EGRESS_BYTES`, or `the default of
    /// --egress-bytes`. The field itself where no option sets it.
    pub(super) fn place(&self, field: &str) -> String {
        match self.0.get(field) {
            None => field.to_owned(),
            Some((long, Source::Default)) => format!("the default of --{long}"),
            Some((_, Source::Environment(variable))) => variable.clone(),
            Some((long, Source::CommandLine)) => format!("--{long}"),
        }
    }

    /// The environment variable that a field has its value from.
    pub(super) fn variable(&self, field: &str) -> Option<&str> {
        match self.0.get(field) {
            Some((_, Source::Environment(variable))) => Some(variable),
            _ => None,
        }
    }

    /// True if no value came from the environment.
    pub fn is_without_variables(&self) -> bool {
        self.variables().next().is_none()
    }

    fn variables(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.values().filter_map(|(long, source)| match source {
            Source::Environment(variable) => Some((long.as_str(), variable.as_str())),
            _ => None,
        })
    }
}

/// `--count is set by the environment variable CORECAST_SUB_COUNT`, and so on for each that is.
impl fmt::Display for Sources {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, (long, variable)) in self.variables().enumerate() {
            let before = if index > 0 { ", " } else { "" };
            write!(f, "{before}--{long} is set by the environment variable {variable}")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_field_is_named_by_the_source_of_its_value() {
        let mut sources = Sources::default();
        sources.put(
            "egress_bytes_max",
            "egress-bytes",
            Source::Environment("CORECAST_BROKER_EGRESS_BYTES".into()),
        );
        sources.put("frame_bytes_max", "frame-bytes-max", Source::CommandLine);
        sources.put("lease", "lease", Source::Default);
        let fields = ["egress_bytes_max", "frame_bytes_max", "lease", "queue_frames"];
        assert_eq!(
            fields.map(|field| sources.place(field)),
            ["CORECAST_BROKER_EGRESS_BYTES", "--frame-bytes-max", "the default of --lease", "queue_frames"]
        );
        assert_eq!(sources.variable("egress_bytes_max"), Some("CORECAST_BROKER_EGRESS_BYTES"));
        assert_eq!(sources.variable("frame_bytes_max"), None);
        let said = "--egress-bytes is set by the environment variable CORECAST_BROKER_EGRESS_BYTES";
        assert_eq!(sources.to_string(), said);
    }

    #[test]
    fn sources_have_an_order() {
        assert!(Source::Default < Source::Environment(String::new()));
        assert!(Source::Environment(String::new()) < Source::CommandLine);
    }
}
