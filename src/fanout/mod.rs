//! HOT: from a batch of frames to the egress queues of the sessions that want them. Pure: no sockets, no clock,
//! no `.await`. The broker and a direct publisher run this same code; only what feeds it differs.
//!
//! | file | owns |
//! |---|---|
//! | `batch` | frames that came in one read, and the chunks of them that queues hold |
//! | `encoding` | native or ZMTP: messages as the router sees them |
//! | `translate` | a batch in the other encoding |
//! | `relays` | direct publishers for ZeroMQ subscribers |
//! | `liveness` | whether a silent ZeroMQ peer still lives |
//! | `zmtp` | sessions of ZeroMQ sockets |
//! | `upstream` | what ZeroMQ publishers are asked for |
//! | `router` | topic -> which local groups, which other shards; the route cache |
//! | `groups` | sessions with the same subscriptions |
//! | `policy` | what a full egress queue does |
//! | `egress` | what waits for one session |
//! | `losses` | what was dropped, until the log says so |
//! | `gaps` | what a session missed, until it is told |
//! | `session`, `sessions` | one connection's state, and the table of them |
//! | `unfinished` | frames that have begun and are not whole: their memory and their time |
//! | `subscriptions` | what one session has subscribed to |
//! | `succession` | a client's new session behind its old one |
//! | `interest` | which subscriptions the other shards know of |
//! | `publishers` | direct publishers: the registry on the first shard, a directory on each |
//! | `news` | what one session hears of direct publishers |
//! | `acks` | changes that other shards must see before somebody is answered |
//! | `watches` | publishers that wait for subscribers |
//! | `turn` | the work of one turn, and what waits for the next |
//! | `postponed` | subscriptions of a ZeroMQ session that wait for the next |
//! | `outbox` | what is to be done, and what shards tell each other |
//! | `shard` | all of it: what happened in, what is to be done out; with `publish` (frames), `control` (requests),
//! | | `membership` (subscriptions), `linking` (other shards), `flush` (what waits, to whoever sends it),
//! | | `closing`, `deadlines`, `audit` (what is always true) |

mod acks;
mod audit;
mod batch;
mod closing;
mod control;
mod deadlines;
mod egress;
mod encoding;
mod flush;
mod gaps;
mod groups;
mod interest;
mod linking;
mod liveness;
mod losses;
mod membership;
mod news;
mod outbox;
mod policy;
mod postponed;
mod publish;
mod publishers;
mod relays;
#[cfg(test)]
mod rig;
mod router;
mod session;
mod sessions;
mod shard;
mod subscriptions;
mod succession;
mod translate;
mod turn;
mod unfinished;
mod upstream;
mod watches;
mod zmtp;

pub use batch::{Batch, Chunk};
pub use closing::Closed;
pub use egress::{EgressQueue, Offer, Sent};
pub use encoding::{Author, Door, Encoding};
pub use flush::Visit;
pub use losses::{Loss, Losses};
pub use outbox::{Dial, LinkItem, Outbox};
pub use policy::{OverflowPolicy, QueueBounds};
pub(crate) use publishers::DOWN_LEFT;
pub use publishers::{RegistryAsk, RegistryChange};
pub use session::Phase;
pub use shard::{Shard, ShardConfig};
