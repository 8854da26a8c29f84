//! Topics: the names that messages carry, the filters of subscriptions, and the index from one to the other. Pure: no
//! I/O, no clock. A shard's router owns an [`Index`]; everybody uses the names.
//!
//! | file | owns |
//! |---|---|
//! | `name` | the grammar of topics |
//! | `filter` | the grammar of filters: a name, a pattern with wildcards, a prefix of bytes |
//! | `overlap` | whether two filters can match the same topic, and whether one covers the other |
//! | `filter_set` | a set of filters that does not change |
//! | `index` | from a topic to its targets, by its parts `pattern_trie`, `prefix_tree` and `targets` |
//! | `overlap_index` | from a filter to those that overlap it |

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
