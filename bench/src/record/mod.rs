//! Records: what a measurement leaves behind, as numbers under names that never change. Everything that measures fills
//! them in, and everything that reports reads them.
//!
//! | file | owns |
//! |---|---|
//! | [`run`] | the record `corecast-bench/1`, and the record of one run in it |
//! | [`peers`] | the records of a comparison with peers |
//! | [`expression`] | the grammar of `--assert` |
//! | [`assertion`] | an expression over the numbers of a run |

pub mod assertion;
pub mod expression;
pub mod peers;
pub mod run;

pub use peers::{BestRecord, PeerRecord, RatioRecord, SkippedRecord};
pub use run::{BrokerRecord, ExecutorsRecord, HostRecord, Record, RunRecord, SCHEMA, ShardRecord};

/// A figure with three decimals, as records have most of them.
pub fn thousandths(figure: f64) -> f64 {
    (figure * 1000.0).round() / 1000.0
}
