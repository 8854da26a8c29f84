//! Owns reading what is to be reported or compared: folders of results, and records that `run --json` wrote.

use crate::record::{Record, SCHEMA as RECORD_SCHEMA};
use crate::results::folder::id_of;
use crate::results::manifest::SCHEMA as RESULTS_SCHEMA;
use crate::results::{Entry, Kind, Raw, Results, ResultsError, read_raw, read_results};
use std::path::{Path, PathBuf};

/// Results, and where they came from.
#[derive(Clone, Debug)]
pub struct Source {
    /// Its name in reports: the last part of its path, made unique.
    pub name: String,
    /// Where the raw measurements are, if there are any.
    pub folder: Option<PathBuf>,
    /// The measurements.
    pub results: Results,
}

/// Why something cannot be reported.
#[derive(Debug, thiserror::Error)]
pub enum SourceError {
    /// A folder without results that can be read.
    #[error(transparent)]
    Results(#[from] ResultsError),
    /// There is nothing.
    #[error("cannot read {path}: {why}: name a folder that an experiment made, or a file of `run --json`")]
    Unreadable {
        /// Where.
        path: PathBuf,
        /// Why.
        why: std::io::Error,
    },
    /// A file that is no record.
    #[error("{path} is neither results nor a record of `run --json`: {why}")]
    NoRecord {
        /// Which.
        path: PathBuf,
        /// The fault.
        why: String,
    },
    /// A record of another version, or something else.
    #[error(
        "{path} has the schema {found}; read are {RESULTS_SCHEMA} (a folder of results) and {RECORD_SCHEMA} (a \
         record of `run --json`): use the version that wrote it, or measure again"
    )]
    OtherSchema {
        /// Which.
        path: PathBuf,
        /// The schema that it names.
        found: String,
    },
}

/// The question of a record of `run --json`, which has none of its own.
const QUESTION_OF_A_RUN: &str = "What did these runs of corecast-bench give?";

impl Source {
    /// Reads a folder of results, its `results.json`, or a record of `run --json`.
    pub fn read(path: &Path) -> Result<Self, SourceError> {
        let unreadable = |why| SourceError::Unreadable { path: path.to_owned(), why };
        let is_folder = path.metadata().map_err(unreadable)?.is_dir();
        if is_folder {
            return Source::of_folder(path);
        }
        let text = std::fs::read(path).map_err(unreadable)?;
        let no_record = |why: String| SourceError::NoRecord { path: path.to_owned(), why };
        let value: serde_json::Value =
            serde_json::from_slice(&text).map_err(|error| no_record(error.to_string()))?;
        match value["schema"].as_str() {
            Some(RECORD_SCHEMA) => {
                let record: Record =
                    serde_json::from_value(value).map_err(|error| no_record(error.to_string()))?;
                Ok(Source { name: name_of(path), folder: None, results: results_of(record) })
            }
            Some(RESULTS_SCHEMA) => Source::of_folder(path.parent().unwrap_or(Path::new("."))),
            Some(found) => Err(SourceError::OtherSchema { path: path.to_owned(), found: found.to_owned() }),
            None => Err(no_record("it names no schema".into())),
        }
    }

    /// Reads all, each under a name of its own.
    pub fn read_all(paths: &[PathBuf]) -> Result<Vec<Self>, SourceError> {
        let mut sources: Vec<Source> = Vec::new();
        for path in paths {
            let mut source = Source::read(path)?;
            let same = sources.iter().filter(|other| other.name == source.name).count();
            if same > 0 {
                source.name = format!("{}-{}", source.name, same + 1);
            }
            sources.push(source);
        }
        Ok(sources)
    }

    fn of_folder(folder: &Path) -> Result<Self, SourceError> {
        let results = read_results(folder)?;
        let whole = folder.canonicalize().unwrap_or_else(|_| folder.to_owned());
        Ok(Source { name: name_of(&whole), folder: Some(folder.to_owned()), results })
    }

    /// The histograms of a run; `None` where they were not kept, or are not readable any more.
    pub(crate) fn raw(&self, id: &str) -> Option<Raw> {
        read_raw(self.folder.as_deref()?, id).ok()
    }
}

fn name_of(path: &Path) -> String {
    let name = path.file_stem().filter(|_| path.is_file()).or(path.file_name());
    name.map_or_else(|| "results".to_owned(), |name| name.to_string_lossy().into_owned())
}

fn results_of(record: Record) -> Results {
    let peers = record.runs.iter().any(|run| run.peer.is_some());
    let kind = if peers { Kind::Peers } else { Kind::Experiment };
    let mut results = Results::new(kind, "run", QUESTION_OF_A_RUN, record.environment);
    results.skipped = record.skipped;
    results.runs_planned = record.runs.len() as u64;
    let entry = |(number, record)| Entry { id: id_of(number + 1, &record), record };
    results.runs = record.runs.into_iter().enumerate().map(entry).collect();
    results
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::measure::environment::Environment;
    use crate::record::run::tests::sample_run;

    #[test]
    fn a_record_of_a_run_is_read_as_results() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("both.json");
        let record = Record::new(Environment::default(), vec![sample_run(), sample_run()]);
        std::fs::write(&path, serde_json::to_vec(&record).unwrap()).unwrap();
        let sources = Source::read_all(&[path.clone(), path]).unwrap();
        assert_eq!((&sources[0].name[..], &sources[1].name[..]), ("both", "both-2"));
        assert_eq!(sources[0].results.runs[1].id, "0002-proxy-per-subscriber-512x64");
    }

    #[test]
    fn what_is_no_record_is_refused_with_what_to_do() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("x.json");
        let refused = |text: &str| {
            std::fs::write(&path, text).unwrap();
            Source::read(&path).unwrap_err().to_string()
        };
        assert!(refused(r#"{"schema": "corecast-bench/2"}"#).contains("the schema corecast-bench/2"));
        assert!(refused("{}").contains("names no schema"));
        assert!(refused("not json").contains("neither results nor a record"));
        assert!(refused(r#"{"schema": "corecast-bench/1"}"#).contains("environment"));
        assert!(Source::read(folder.path()).unwrap_err().to_string().contains("holds no results"));
        let error = Source::read(&folder.path().join("gone")).unwrap_err().to_string();
        assert!(error.contains("name a folder that an experiment made"), "{error}");
    }
}
