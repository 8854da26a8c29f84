//! Owns writing and reading a folder of results. `results.json` is replaced whole after each run, so that it is never
//! half-written, and is marked incomplete until the end.

use super::manifest::{Entry, Results, SCHEMA};
use super::raw::Raw;
use crate::measure::latency::{HdrError, Latencies};
use crate::measure::samples::Samples;
use crate::record::{RatioRecord, RunRecord, SkippedRecord};
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};

/// The file that makes a folder one of results.
const MANIFEST: &str = "results.json";
const RUNS: &str = "runs";
const SUBSCRIBERS: &str = "subscribers";
const LATENCY: &str = "latency.hdr";
const FIRST: &str = "first_subscriber.hdr";
const LAST: &str = "last_subscriber.hdr";
/// The reason for incompleteness while runs are made.
const RUNNING: &str = "running";

/// An error in writing or reading results.
#[derive(Debug, thiserror::Error)]
pub enum ResultsError {
    /// A file or folder could not be written or read.
    #[error("cannot {doing} {path}: {why}")]
    Io {
        /// `write` or `read`.
        doing: &'static str,
        /// The file or folder.
        path: PathBuf,
        /// The reason.
        why: std::io::Error,
    },
    /// The folder has results already; they are worth too much to be overwritten.
    #[error("{0} has results already: name another folder with --out, or remove it")]
    Occupied(PathBuf),
    /// The folder has no results.
    #[error("{0} holds no results: it has no {MANIFEST}")]
    NoResults(PathBuf),
    /// The file is not what this version writes.
    #[error("{path} is not what this version reads: {why}")]
    Malformed {
        /// The file.
        path: PathBuf,
        /// The fault.
        why: String,
    },
    /// Results of another version.
    #[error(
        "{path} has the schema {found}, and this version reads {SCHEMA}: use the version that wrote it, or measure again"
    )]
    OtherSchema {
        /// The file.
        path: PathBuf,
        /// The schema that it names.
        found: String,
    },
    /// A histogram is not one.
    #[error("{path}: {why}")]
    Hdr {
        /// The file.
        path: PathBuf,
        /// The reason.
        why: HdrError,
    },
}

/// A folder that results are written into.
#[derive(Debug)]
pub struct ResultsFolder {
    path: PathBuf,
    results: Results,
}

impl ResultsFolder {
    /// Makes the folder, with everything above it. Refused if there are results in it.
    pub fn create(path: &Path, mut results: Results) -> Result<Self, ResultsError> {
        if path.join(MANIFEST).exists() {
            return Err(ResultsError::Occupied(path.to_owned()));
        }
        make_folder(&path.join(RUNS))?;
        results.incomplete = Some(RUNNING.to_owned());
        let folder = ResultsFolder { path: path.to_owned(), results };
        folder.write_manifest()?;
        Ok(folder)
    }

    /// Adds a run: its raw measurements, then its record. Returns the name that it was given.
    pub fn add(&mut self, record: RunRecord, raw: &Raw) -> Result<String, ResultsError> {
        let id = id_of(self.results.runs.len() + 1, &record);
        let folder = self.path.join(RUNS).join(&id);
        make_folder(&folder)?;
        write(&folder.join(LATENCY), &raw.latency.to_hdr())?;
        write(&folder.join(FIRST), &raw.first_subscriber.to_hdr())?;
        write(&folder.join(LAST), &raw.last_subscriber.to_hdr())?;
        if let Some(samples) = &raw.samples {
            write_samples(&folder.join(SUBSCRIBERS), samples)?;
        }
        self.results.runs.push(Entry { id: id.clone(), record });
        self.write_manifest()?;
        Ok(id)
    }

    /// Says who was not measured; written with what comes next.
    pub fn skip(&mut self, skipped: &[SkippedRecord]) {
        self.results.skipped.extend_from_slice(skipped);
    }

    /// Says what it is as a whole; written with what comes next.
    pub fn sum_up(&mut self, figures: BTreeMap<String, RatioRecord>) {
        self.results.figures = figures;
    }

    /// Says how it ended: `None` if all that was planned was done, else why not.
    pub fn finish(mut self, incomplete: Option<String>) -> Result<Results, ResultsError> {
        if incomplete.is_none() {
            // A search that found what it looked for has left some out.
            self.results.runs_planned = self.results.runs.len() as u64;
        }
        self.results.incomplete = incomplete;
        self.write_manifest()?;
        Ok(self.results)
    }

    /// The results so far.
    pub fn results(&self) -> &Results {
        &self.results
    }

    /// The path of the folder.
    pub fn path(&self) -> &Path {
        &self.path
    }

    fn write_manifest(&self) -> Result<(), ResultsError> {
        let mut text = serde_json::to_vec_pretty(&self.results).expect("a manifest is text and numbers");
        text.push(b'\n');
        // Renamed into place: whoever reads it meanwhile, or after a crash, reads it whole.
        let (path, half) = (self.path.join(MANIFEST), self.path.join(".results.json.half"));
        write(&half, &text)?;
        std::fs::rename(&half, &path).map_err(cannot("write", &path))
    }
}

/// Reads the results in a folder.
pub fn read_results(folder: &Path) -> Result<Results, ResultsError> {
    let path = folder.join(MANIFEST);
    if !path.exists() {
        return Err(ResultsError::NoResults(folder.to_owned()));
    }
    let text = read(&path)?;
    let malformed =
        |error: serde_json::Error| ResultsError::Malformed { path: path.clone(), why: error.to_string() };
    let value: serde_json::Value = serde_json::from_slice(&text).map_err(malformed)?;
    let found = value["schema"].as_str().unwrap_or("none").to_owned();
    if found != SCHEMA {
        return Err(ResultsError::OtherSchema { path, found });
    }
    serde_json::from_value(value).map_err(malformed)
}

/// The histograms of run `id`. Samples are for other programs to read.
pub fn read_raw(folder: &Path, id: &str) -> Result<Raw, ResultsError> {
    let folder = folder.join(RUNS).join(id);
    let hdr = |name: &str| {
        let path = folder.join(name);
        Latencies::from_hdr(&read(&path)?).map_err(|why| ResultsError::Hdr { path, why })
    };
    let (latency, first_subscriber, last_subscriber) = (hdr(LATENCY)?, hdr(FIRST)?, hdr(LAST)?);
    Ok(Raw { latency, first_subscriber, last_subscriber, samples: None })
}

/// Sorts as the runs were made, and says what was run.
pub(crate) fn id_of(number: usize, record: &RunRecord) -> String {
    let who = record.peer.as_deref().unwrap_or(&record.mode);
    let round = record.round.map(|round| format!("-round{round}")).unwrap_or_default();
    let (sessions, subscribers, size_bytes) = (&record.sessions, record.subscribers, record.size_bytes);
    format!("{number:04}-{who}-{sessions}-{subscribers}x{size_bytes}{round}")
}

/// One file a subscriber, in the form of the ancestor's: its rows in order of arrival, latencies in seconds. With
/// several publishers the message id is `publisher:sequence`.
fn write_samples(folder: &Path, samples: &Samples) -> Result<(), ResultsError> {
    make_folder(folder)?;
    let mut files: BTreeMap<u32, (usize, String)> = BTreeMap::new();
    let many = samples.kept().iter().any(|sample| sample.publisher > 0);
    for sample in samples.kept() {
        let (index, text) =
            files.entry(sample.subscriber).or_insert_with(|| (0, "index,message id,latency_s\n".to_owned()));
        let id = if many {
            format!("{}:{}", sample.publisher, sample.sequence)
        } else {
            sample.sequence.to_string()
        };
        let (seconds, ns) = (sample.latency_ns / 1_000_000_000, sample.latency_ns % 1_000_000_000);
        writeln!(text, "{index},{id},{seconds}.{ns:09}").expect("memory takes all that is written");
        *index += 1;
    }
    for (subscriber, (_, text)) in files {
        write(&folder.join(format!("{subscriber:05}.csv")), text.as_bytes())?;
    }
    Ok(())
}

fn make_folder(path: &Path) -> Result<(), ResultsError> {
    std::fs::create_dir_all(path).map_err(cannot("write", path))
}

fn write(path: &Path, bytes: &[u8]) -> Result<(), ResultsError> {
    std::fs::write(path, bytes).map_err(cannot("write", path))
}

fn read(path: &Path) -> Result<Vec<u8>, ResultsError> {
    std::fs::read(path).map_err(cannot("read", path))
}

fn cannot(doing: &'static str, path: &Path) -> impl FnOnce(std::io::Error) -> ResultsError {
    let path = path.to_owned();
    move |why| ResultsError::Io { doing, path, why }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::measure::environment::Environment;
    use crate::measure::samples::Sample;
    use crate::record::run::tests::sample_run;
    use crate::results::manifest::Kind;

    fn nothing_yet() -> Results {
        Results::new(Kind::Experiment, "canonical", "How long does it take?", Environment::default())
    }

    fn raw() -> Raw {
        let mut raw = Raw::default();
        let mut samples = Samples::default();
        for (subscriber, publisher) in [(0, 0), (300, 1)] {
            raw.latency.record_ns(1_234_567_890);
            samples.keep(Sample { subscriber, publisher, sequence: 7, latency_ns: 1_234_567_890 });
        }
        raw.samples = Some(samples);
        raw
    }

    #[test]
    fn what_was_written_is_read_back() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("deep").join("results");
        let mut written = ResultsFolder::create(&path, nothing_yet()).unwrap();
        let id = written.add(sample_run(), &raw()).unwrap();
        assert_eq!(id, "0001-proxy-per-subscriber-512x64");
        assert_eq!(read_results(&path).unwrap().incomplete.as_deref(), Some("running"));
        let results = written.finish(None).unwrap();
        assert_eq!(read_results(&path).unwrap(), results);
        let read = read_raw(&path, &id).unwrap();
        assert_eq!(read.latency.summary(), raw().latency.summary());
        let subscribers = path.join("runs").join(&id).join(SUBSCRIBERS);
        assert_eq!(std::fs::read_dir(&subscribers).unwrap().count(), 2);
        for (file, id) in [("00000.csv", "0:7"), ("00300.csv", "1:7")] {
            let csv = std::fs::read_to_string(subscribers.join(file)).unwrap();
            assert_eq!(csv, format!("index,message id,latency_s\n0,{id},1.234567890\n"));
        }
    }

    #[test]
    fn results_are_not_overwritten() {
        let folder = tempfile::tempdir().unwrap();
        ResultsFolder::create(folder.path(), nothing_yet()).unwrap();
        let error = ResultsFolder::create(folder.path(), nothing_yet()).unwrap_err();
        assert!(matches!(error, ResultsError::Occupied(_)), "{error}");
    }

    #[test]
    fn what_is_no_results_is_named() {
        let folder = tempfile::tempdir().unwrap();
        assert!(matches!(read_results(folder.path()), Err(ResultsError::NoResults(_))));
        std::fs::write(folder.path().join(MANIFEST), "{").unwrap();
        assert!(matches!(read_results(folder.path()), Err(ResultsError::Malformed { .. })));
        std::fs::write(folder.path().join(MANIFEST), r#"{"schema": "corecast-bench-results/2"}"#).unwrap();
        let error = read_results(folder.path()).unwrap_err().to_string();
        assert!(error.contains("corecast-bench-results/2"), "{error}");
    }
}
