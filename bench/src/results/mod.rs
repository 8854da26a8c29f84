//! The folder that an experiment leaves behind, and everything about its files: written while it runs, run by run,
//! so that an interruption loses nothing; read by reports and comparisons.
//!
//! | file of the folder | what it is |
//! |---|---|
//! | `results.json` | the [`Results`]: what was asked, where, and the record of every run |
//! | `runs/ID/latency.hdr` | latencies at every subscriber, ns, in HdrHistogram's compressed V2 format |
//! | `runs/ID/first_subscriber.hdr` | of each message: to its first subscriber |
//! | `runs/ID/last_subscriber.hdr` | of each message: to its last subscriber |
//! | `runs/ID/subscribers/NNNNN.csv` | every delivery at one subscriber: `index,message id,latency_s`; only where samples were kept |
//!
//! | file here | owns |
//! |---|---|
//! | [`manifest`] | what stands in `results.json` |
//! | [`folder`] | writing and reading the folder |
//! | [`raw`] | the measurements of a run that the record sums up |
//! | [`deliveries`] | the deliveries of a run, summed up for its record |

pub mod deliveries;
pub mod folder;
pub mod manifest;
pub mod raw;

pub use deliveries::Deliveries;
pub use folder::{ResultsError, ResultsFolder, read_raw, read_results};
pub use manifest::{Entry, Kind, Results};
pub use raw::Raw;
