//! Owns where the value of each option came from. Errors of the library name a field; this names what its user wrote.

use std::collections::BTreeMap;
use std::fmt;

/// The source of a value, the weakest first: a stronger one takes its place.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Source {
    /// Nobody chose it.
    Default,
    /// A line of the config file.
    File {
        /// The file, as it was named.
        path: String,
        /// Counted from 1.
        line: usize,
    },
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

    /// The place to change the value of a field: `--egress-bytes`, `CORECAST_BROKER_EGRESS_BYTES`, `broker.toml:3:
    /// egress-bytes`, or `the default of --egress-bytes`. The field itself where no option sets it.
    pub(super) fn place(&self, field: &str) -> String {
        match self.0.get(field) {
            None => field.to_owned(),
            Some((long, Source::Default)) => format!("the default of --{long}"),
            Some((long, Source::File { path, line })) => format!("{path}:{line}: {long}"),
            Some((_, Source::Environment(variable))) => variable.clone(),
            Some((long, Source::CommandLine)) => format!("--{long}"),
        }
    }

    /// The environment variable, or the line of a file, that a field has its value from: `the environment variable
    /// CORECAST_BROKER`.
    pub(super) fn unseen(&self, field: &str) -> Option<String> {
        match self.of(field) {
            Source::Environment(variable) => Some(format!("the environment variable {variable}")),
            Source::File { path, line } => Some(format!("{path}:{line}")),
            _ => None,
        }
    }

    /// The source of the value of a field.
    pub(super) fn of(&self, field: &str) -> &Source {
        self.0.get(field).map_or(&Source::Default, |(_, source)| source)
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
        sources.put("users", "users", Source::File { path: "b.toml".into(), line: 3 });
        for (field, place) in [
            ("egress_bytes_max", "CORECAST_BROKER_EGRESS_BYTES"),
            ("frame_bytes_max", "--frame-bytes-max"),
            ("lease", "the default of --lease"),
            ("users", "b.toml:3: users"),
            ("queue_frames", "queue_frames"),
        ] {
            assert_eq!(sources.place(field), place);
        }
        assert_eq!(sources.unseen("users").as_deref(), Some("b.toml:3"));
        let unseen = sources.unseen("egress_bytes_max");
        assert_eq!(unseen.as_deref(), Some("the environment variable CORECAST_BROKER_EGRESS_BYTES"));
        assert_eq!((sources.unseen("frame_bytes_max"), sources.unseen("queue_frames")), (None, None));
        let said = "--egress-bytes is set by the environment variable CORECAST_BROKER_EGRESS_BYTES";
        assert_eq!(sources.to_string(), said);
    }

    #[test]
    fn sources_have_an_order() {
        let file = Source::File { path: "z".into(), line: 9 };
        assert!(Source::Default < file && file < Source::Environment(String::new()));
        assert!(Source::Environment(String::new()) < Source::CommandLine);
    }
}
