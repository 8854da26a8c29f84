//! Carriers: what takes messages elsewhere. A shard exchanges interest and batches with **neighbours**: the other shards,
//! and behind the last of them the carriers of its broker. Pure: no sockets, no clock, no `.await`; whatever connects a carrier to its
//! far end is a pump in [`crate::broker`].
//!
//! | file | owns |
//! |---|---|
//! | `link_item`, `shard_item` | messages from one neighbour to another; of these, what only shards have for one another |
//! | `move_item` | of these, what is said of sessions that move from one shard to another |
//! | `history_item` | of these, what is said of the history that each shard keeps |
//! | `counted` | interest that is passed on first on, last off |
//! | `late` | changes of interest that wait until the next hop reads again |
//! | `acks` | numbered changes, and what waits until every neighbour has seen one |
//! | `outgoing`, `given_up` | items that wait for one neighbour, and the publishers that are held while too many do; those that a carrier takes for too long |
//! | `back_off` | the time of the next attempt to connect |
//! | `audience` | the sessions that messages are for, by the way on which they came |
//! | `near` | a carrier, as the shards of its broker see it |
//! | `inbound`, `outbound` | messages from the far end of a joint, and to it |
//! | `parcel` | messages from one end of a joint to the other |
//! | `joint` | one end of a joint between two brokers |
//! | `loopback` | a joint in memory, for tests |
//! | `engine/` | an engine that joins any number of brokers |
//!
//! | user | takes |
//! |---|---|
//! | links between shards (`shard/links.rs`, `shard/interest.rs`) | `counted`, `acks`, `outgoing`, `audience` |
//! | direct relays (`shard/relays.rs`) | `back_off`, `audience` |
//! | ZeroMQ upstream (`shard/upstream.rs`) | `counted`, `late` |
//! | a carrier (`loopback`, or an engine) | `near`, which stands between it and the shards |
//! | a joint of two brokers (`loopback`) | `joint`, `parcel` |

mod acks;
mod audience;
mod back_off;
mod counted;
mod engine;
mod given_up;
mod history_item;
mod inbound;
mod joint;
mod late;
mod link_item;
mod loopback;
mod move_item;
mod near;
mod outbound;
mod outgoing;
mod parcel;
mod shard_item;

pub(crate) use acks::{Acks, Unconfirmed};
pub(crate) use audience::Audience;
pub(crate) use back_off::BackOff;
pub(crate) use counted::Counted;
pub use engine::{
    Engine, EngineConfig, EngineCounts, EngineOrder, EngineState, PeerView, StoreAnswer, StoreAsk,
    StoreBounds, StoreFacts, StoredHistory, read_engine_payload, stores_of,
};
pub(crate) use given_up::give_up;
pub use history_item::{
    GivenUp, GivenUpOf, HistoryAsk, HistoryItem, HistoryPage, KeptPart, KeptPlace, Mark, Stretch,
};
pub use joint::{Crossed, Joint, JointConfig};
pub(crate) use late::Late;
pub use link_item::{LinkItem, Owed};
pub use loopback::{Loopback, Side};
pub use move_item::{Cut, Luggage, MoveItem, Strain, Traveller};
pub(crate) use outgoing::Outgoing;
pub use parcel::Parcel;
pub use shard_item::ShardItem;
