//! Topics: the names that messages carry, the filters that subscribers ask with, and the index that turns one
//! into the other. Pure: no I/O, no clock. The router of a shard owns an [`Index`]; everybody uses the names.

mod filter;
mod index;
mod name;
mod overlap;
mod overlap_index;
mod pattern_trie;
mod prefix_tree;
mod targets;

pub use filter::{Filter, FilterError, Pattern, Prefix, Shape};
pub use index::Index;
pub use name::{Topic, TopicError};
pub use overlap_index::OverlapIndex;
