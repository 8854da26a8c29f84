//! Topics: the names that messages carry, the filters of subscriptions, and the index from one to the other. Pure: no
//! I/O, no clock. A shard's router owns an [`Index`]; everybody uses the names.

mod filter;
mod filter_set;
mod index;
mod name;
mod overlap;
mod overlap_index;
mod pattern_trie;
mod prefix_tree;
mod targets;

pub use filter::{Filter, FilterError, Pattern, Prefix, Shape};
pub use filter_set::FilterSet;
pub use index::Index;
pub use name::{Topic, TopicError};
pub use overlap_index::OverlapIndex;
