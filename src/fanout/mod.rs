//! HOT: from a batch of frames to the egress queues of the sessions that want them. Pure: no sockets, no clock, no
//! `.await`, and no session's life, which is [`crate::shard`]'s. The broker and a direct publisher run this same code.
//!
//! | file | owns |
//! |---|---|
//! | `batch` | frames that came in one read, and the chunks of them that queues hold |
//! | `encoding` | native or ZMTP: messages as the router sees them |
//! | `translate` | a batch in the other encoding |
//! | `router` | topic -> which local groups, which other shards; the route cache |
//! | `groups` | sessions with the same subscriptions |
//! | `policy` | what a full egress queue does |
//! | `egress` | what waits for one session; with `latest`, the last message of each topic |
//! | `gaps` | what a session missed, until it is told |

mod batch;
mod egress;
mod encoding;
mod gaps;
mod groups;
mod policy;
mod router;
mod translate;

pub(crate) use batch::Picked;
pub use batch::{Batch, Chunk};
pub use egress::{EgressQueue, Offer, Sent};
pub use encoding::{Author, Encoding};
pub(crate) use encoding::{BadRoute, Messages, Routable, Spans};
pub(crate) use gaps::REASON_PUBLISHER;
pub(crate) use groups::{Groups, Join};
pub use policy::{OverflowPolicy, QueueBounds};
pub(crate) use router::{Route, Router, Target};
pub(crate) use translate::translate;
