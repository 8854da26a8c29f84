//! Measures fan-out: how long every message takes to every subscriber, what it costs, and that none is lost.
//!
//! It uses the public face of `corecast` and its command, and knows nothing of a broker's insides.
//!
//! # Map
//!
//! | module | owns |
//! |---|---|
//! | [`measure`] | payloads, the oracle, latencies, process cost, the environment |
//! | [`swarm`] | publishers and subscribers on pinned executors |
//! | [`host`] | agents on other hosts, and how far their clocks can be trusted |
//! | [`experiment`] | plans, the broker's process, runs |
//! | [`peer`] | the same fan-out through other systems and through bare sockets |
//! | [`report`] | the record, the tables, progress, assertions; reports and comparisons of results |
//! | [`results`] | the folder that experiments leave behind: written run by run, read by reports |
//! | [`mod@reference`] | what the ancestor of this project published, to compare with |
//! | [`interrupt`] | the wish to stop |
//! | [`cli`] | the `corecast-bench` command |
//!
//! `measure <- {swarm, report} <- {results, host} <- experiment <- peer <- cli`, never the other way; but the part of
//! [`report`] that reads results ([`report::source`] and what is made of it) stands above [`results`].

pub mod cli;
pub mod experiment;
pub mod host;
pub mod interrupt;
pub mod measure;
pub mod peer;
pub mod reference;
pub mod report;
pub mod results;
pub mod swarm;
