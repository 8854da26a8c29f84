//! Carriers: what takes messages elsewhere. A shard exchanges interest and batches with **neighbours**: the other shards,
//! and behind the last of them the carriers of its broker. Pure: no sockets, no clock, no `.await`.
//!
//! | file | owns |
//! |---|---|
//! | `link_item` | the words of neighbours to each other |
//! | `counted` | wishes that are passed on first on and last off |
//! | `late` | of these, the changes that the next hop has not been told |
//! | `acks` | changes that all neighbours must see before somebody is answered |
//! | `outgoing` | items that wait for one neighbour, and who is held while too many do |
//! | `back_off` | the time of the next try |
//! | `audience` | the sessions that messages are for, by the way on which they came |
//!
//! | user | takes |
//! |---|---|
//! | links between shards (`shard/links.rs`, `shard/interest.rs`) | `counted`, `acks`, `outgoing`, `audience` |
//! | direct relays (`shard/relays.rs`) | `back_off`, `audience` |
//! | ZeroMQ upstream (`shard/upstream.rs`) | `counted`, `late` |

mod acks;
mod audience;
mod back_off;
mod counted;
mod late;
mod link_item;
mod outgoing;

pub(crate) use acks::Acks;
pub(crate) use audience::Audience;
pub(crate) use back_off::BackOff;
pub(crate) use counted::Counted;
pub(crate) use late::Late;
pub use link_item::LinkItem;
pub(crate) use outgoing::Outgoing;
