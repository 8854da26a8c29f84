//! HOT: from a batch of frames to the egress queues of the sessions that want them. Pure: no sockets, no clock, no
//! `.await`, and no session's life, which is [`crate::shard`]'s. The broker and a direct publisher run this same code.
//!
//! | file | owns |
//! |---|---|
//! | `batch` | frames that came in one read, and the chunks of them that queues hold |
//! | `encoding` | native, native with runs, or ZMTP: messages as the router sees them |
//! | `translate` | a batch in another encoding |
//! | `state` | the router and the groups of a shard, and the way of a batch through them |
//! | `deliveries` | what of a batch goes to whom |
//! | `selection` | which stretches of a batch somebody gets |
//! | `router` | topic -> which local groups, which neighbours; the route cache |
//! | `groups` | sessions with the same subscriptions |
//! | `policy` | what a full egress queue does |
//! | `egress` | what waits for one session; with `latest`, the last message of each topic; `packed`, on its way to another shard |
//! | `turn` | the work that one turn may do |
//! | `gaps` | what a session missed, until it is told |

mod batch;
mod deliveries;
mod egress;
mod encoding;
mod gaps;
mod groups;
mod policy;
mod router;
mod selection;
mod state;
mod translate;
mod turn;

pub(crate) use batch::Picked;
pub use batch::{Batch, Chunk};
pub(crate) use deliveries::{Cutter, Deliveries};
pub(crate) use egress::Appended;
pub use egress::{EgressQueue, Offer, PackedEgress, Sent};
pub use encoding::{Author, Encoding};
pub(crate) use encoding::{BadRoute, Messages, Routable, Spans, route_key};
pub(crate) use gaps::REASON_PUBLISHER;
pub(crate) use groups::{Group, Groups, Join};
pub use policy::{OverflowPolicy, QueueBounds};
pub(crate) use router::Target;
pub(crate) use state::Fanout;
pub(crate) use translate::{native_frames, zmtp_frames};
pub(crate) use turn::{FILING_STEPS, Turn};
