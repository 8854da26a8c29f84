//! CONTROL: direct publishers, their topics and their endpoints. Pure: time comes in, nothing goes out but answers. The
//! first shard of a broker owns the [`Registry`]; every shard has a [`Directory`] that mirrors it, and passes on its
//! sessions' [`RegistryAsk`]s.
//!
//! | file | owns |
//! |---|---|
//! | `registration` | the registration of a direct publisher, and its text in frames |
//! | `mode` | the mode of each topic, proxy or direct |
//! | `leases` | registrations and their leases, on the first shard |
//! | `leavers` | the publishers that left last |
//! | `directory` | the view of every shard |
//! | `ask` | requests to the registry, and its changes |

mod ask;
mod directory;
mod leases;
mod leavers;
mod mode;
mod registration;

pub use ask::{RegistryAsk, RegistryChange};
pub use directory::Directory;
pub use leases::{Gone, LeaseError, Registry};
pub use leavers::{DOWN_FORGOTTEN, DOWN_LEFT, DOWN_REVOKED, GoneReason, Leaver, Leavers};
pub use mode::{Mode, ModeRule, ModeRules};
pub use registration::{
    Registration, endpoints_to_lines, filters_to_lines, lines_to_endpoints, lines_to_filters,
};
