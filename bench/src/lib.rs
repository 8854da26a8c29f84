//! Measures fan-out: how long every message takes to every subscriber, what it costs, and that none is lost.
//!
//! It uses the public face of `corecast` and its command, and knows nothing of a broker's insides.
//!
//! # Map
//!
//! | module | owns |
//! |---|---|
//! | [`measure`] | payloads, the oracle, latencies, process cost, the environment |
//! | [`record`] | the record of a run and of a comparison, and `--assert` over their numbers |
//! | [`results`] | the folder that experiments leave behind: written run by run, read by reports |
//! | [`process`] | brokers and peers as processes that end with this one |
//! | [`swarm`] | publishers and subscribers: of our own library on pinned executors, or over raw sockets |
//! | [`host`] | agents on other hosts, and how far their clocks can be trusted |
//! | [`experiment`] | plans, runs, experiments |
//! | [`peer`] | the same fan-out through other systems and through bare sockets |
//! | [`report`] | tables on terminals; reports and comparisons of results |
//! | [`mod@reference`] | figures that the ancestor of this project published, to compare with |
//! | [`progress`] | the progress of a run on a terminal |
//! | `unit` | figures as text: a number and its unit |
//! | `order` | items once each, or in groups, as they first come |
//! | [`toml_file`] | files that people write in TOML |
//! | [`interrupt`] | the wish to stop |
//! | [`cli`] | the `corecast-bench` command |
//!
//! `measure <- record <- results <- {process, swarm} <- host <- experiment <- report <- peer <- cli`, never the other
//! way; `progress`, `unit`, `order`, `toml_file` and `interrupt` stand beside them and use none.

pub mod cli;
pub mod experiment;
pub mod host;
pub mod interrupt;
pub mod measure;
pub(crate) mod order;
pub mod peer;
pub mod process;
pub mod progress;
pub mod record;
pub mod reference;
pub mod report;
pub mod results;
pub mod swarm;
pub mod toml_file;
pub(crate) mod unit;
