//! Plans, runs and experiments: the parameters of a run, and its course from connections to record.
//!
//! | file | owns |
//! |---|---|
//! | [`plan`] | what one run is to be, with everything checked |
//! | [`descriptors`] | whether there are files enough for it |
//! | [`run`] | one run, from the first connection to the record |
//! | [`outcome`] | what it comes to: the record and its notes |
//! | [`drive`] | the swarm of a run: set up, let go, asked for what it measured |
//! | [`error`] | errors of the swarm of a run |
//! | `receivers` | its subscribers: of our library, here or on other hosts, or raw |
//! | `senders` | its publishers: of our library, or raw |
//! | [`watch`] | what is known of it meanwhile, and whether it is at its end |
//! | [`cost`] | what a run costs whoever fans out |
//! | [`counters`] | what each shard of a broker did, by its own counters |
//! | [`syscalls`] | how many system calls a process makes, by `perf` |
//! | [`catalogue`] | the experiments: the question of each, and its runs |
//! | [`settings`] | what may be said about an experiment |
//! | [`one_or_both`] | the choice between one of two things and both |
//! | [`topic_args`] | the options that say which topics a run has |
//! | [`values`] | values of options, as text and as TOML |
//! | [`mod@file`] | the same, read from a file |
//! | [`base`] | what the runs of an experiment have in common |
//! | [`step`] | what an experiment is made of |
//! | [`search`] | the search for the highest rate that is delivered whole |
//! | [`echo`] | a run in which one message is under way at a time |
//! | [`subscribing`] | a run in which subscribers subscribe, and nothing is sent |
//! | [`rounds`] | figures of an experiment as a whole |
//! | [`assertion`] | `--assert` over an experiment |
//! | [`series`] | all runs of an experiment, one after another, into a folder of results |

pub mod assertion;
pub mod base;
pub mod catalogue;
pub mod cost;
pub mod counters;
pub mod descriptors;
pub mod drive;
pub mod echo;
pub mod error;
pub mod file;
pub mod one_or_both;
pub mod outcome;
pub mod plan;
pub(crate) mod receivers;
pub mod rounds;
pub mod run;
pub mod search;
pub(crate) mod senders;
pub mod series;
pub mod settings;
pub mod step;
pub mod subscribing;
pub mod syscalls;
pub mod topic_args;
pub mod values;
pub mod watch;
