//! Owns the file form of an experiment: TOML whose keys are the names of the options of `corecast-bench experiment`. What
//! is wrong with it is said with the key, the line, and what there is instead.
//!
//! ```toml
//! experiment = "canonical"
//! subscribers = [1, 2, 512]
//! mode = "direct"
//! messages = 1000
//! assert = ["lost==0"]
//! ```

use super::assertion::Asserted;
use super::settings::Settings;
use super::values;
use crate::toml_file::{self, TomlFileError};
use serde::Deserialize;
use std::path::Path;

/// An experiment as a file says it.
#[derive(Clone, Debug)]
pub struct FileExperiment {
    /// Its name.
    pub experiment: String,
    /// Its settings.
    pub settings: Settings,
    /// Conditions on its runs and on the whole.
    pub assertions: Vec<Asserted>,
}

/// Reads a file.
pub fn read(path: &Path) -> Result<FileExperiment, TomlFileError> {
    toml_file::read(path, parse)
}

fn parse(text: &str) -> Result<FileExperiment, String> {
    let mut settings: Settings = toml_file::parse(text)?;
    settings.shared = toml_file::parse(text)?;
    let Head { experiment, assertions } = toml_file::parse(text)?;
    if settings.duration.is_some() && settings.messages.is_some() {
        return Err("`duration` and `messages` exclude each other: leave one of them out".to_owned());
    }
    if settings.shared.lack_their_number() {
        return Err("`topics` says how many topics there are: say that too".to_owned());
    }
    Ok(FileExperiment { experiment, settings, assertions })
}

/// The keys that are no settings.
#[derive(Deserialize)]
struct Head {
    experiment: String,
    #[serde(default, rename = "assert", deserialize_with = "values::words")]
    assertions: Vec<Asserted>,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::experiment::one_or_both::OneOrBoth;
    use crate::swarm::schedule::{Amount, Rate};
    use corecast::{Mode, Reactor};
    use std::path::PathBuf;
    use std::time::Duration;

    #[test]
    fn every_key_is_read_as_its_option() {
        let text = r#"
            experiment = "canonical"
            quick = true
            mode = "direct"
            subscribers = [1, 2]
            size = 64
            rate = 4
            messages = 10
            sessions = "both"
            reactor = "epoll"
            rounds = 2
            shards = [1]
            publishers = 3
            topics = 100
            topics-per-subscriber = 20
            topic-spread = "zipf"
            topic-filters = "wildcard:5"
            transport = "uds"
            cores = "0"
            slow = "1%"
            slow-delay = "50ms"
            timeout = 2.5
            hosts = "hosts.toml"
            engine = "nats-2.15"
            assert = ["lost == 0"]
        "#;
        let file = parse(text).unwrap();
        let settings = file.settings;
        assert_eq!((file.experiment.as_str(), file.assertions.len()), ("canonical", 1));
        let amount = settings.amount();
        assert_eq!((settings.quick, settings.modes), (true, Some(OneOrBoth::One(Mode::Direct))));
        assert_eq!((settings.subscribers, settings.sizes_bytes), (Some(vec![1, 2]), Some(vec![64])));
        assert_eq!((settings.rate, amount), (Some(Rate::Hz(4.0)), Some(Amount::Messages(10))));
        assert_eq!(
            (settings.rounds, settings.shards, settings.publishers),
            (Some(2), Some(vec![1]), Some(3))
        );
        let topics = settings.shared.shared().map(|topics| topics.to_string());
        assert_eq!(topics.as_deref(), Some("20 times wildcard:5 of 100 topics, zipf"));
        assert_eq!(settings.slow_delay, Some(Duration::from_millis(50)));
        assert_eq!(settings.timeout, Some(Duration::from_millis(2_500)));
        assert!(settings.sessions.is_some() && settings.cores.is_some() && settings.transport.is_some());
        assert!(settings.engine.is_some());
        assert_eq!(settings.reactor, Some(Reactor::Epoll));
        assert_eq!(settings.hosts, Some(PathBuf::from("hosts.toml")));
    }

    #[test]
    fn what_is_wrong_is_said_with_its_line_and_what_there_is_instead() {
        for (line, says) in [
            ("subscriber = 3", &["line 2", "subscriber", "`subscribers`"][..]),
            ("subscribers = 0", &["line 2", "0 is no count", "at least 1"]),
            ("subscribers = [1, -4]", &["line 2", "-4 is no count"]),
            ("subscribers = \"many\"", &["line 2", "many"]),
            ("subscribers = []", &["line 2", "leave the key out"]),
            ("size = 8", &["line 2", "it takes 40"]),
            ("rate = \"fast\"", &["line 2", "`flood`"]),
            ("rate = [1]", &["line 2", "a number or a text"]),
            ("mode = \"fast\"", &["line 2", "`proxy`, `direct` and `both`"]),
            ("mode = 3", &["line 2", "string"]),
            ("reactor = \"auto\"", &["line 2", "`io_uring` or `epoll`"]),
            ("quick = 1", &["line 2", "boolean"]),
            ("assert = \"losts == 0\"", &["line 2", "deliveries_expected"]),
            ("rounds 3", &["line 2"]),
            ("duration = 1\nmessages = 2", &["leave one of them out"]),
            ("topic-spread = \"even\"", &["line 2", "`zipf`"]),
            ("topics-per-subscriber = 2", &["how many topics there are"]),
        ] {
            let said = parse(&format!("experiment = \"idle\"\n{line}\n")).unwrap_err();
            for wanted in says {
                assert!(said.contains(wanted), "`{line}` says no `{wanted}`:\n{said}");
            }
        }
        assert!(parse("rounds = 1").unwrap_err().contains("missing field `experiment`"));
    }

    #[test]
    fn a_file_that_is_not_there_is_named() {
        let error = read(Path::new("/nowhere/e.toml")).unwrap_err().to_string();
        assert!(error.contains("/nowhere/e.toml"), "{error}");
    }
}
