//! CONTROL: direct publishers, their topics and their endpoints. Pure: time comes in, nothing goes out but answers. The
//! first shard of a broker owns the [`Registry`]; every shard has a [`Directory`] that mirrors it, and passes on its
//! sessions' [`RegistryAsk`]s.

mod ask;
mod directory;
mod leases;
mod leavers;
mod mode;
mod registration;

pub use ask::{RegistryAsk, RegistryChange};
pub use directory::Directory;
pub use leases::{Gone, LeaseError, Registry};
pub use leavers::{DOWN_EXPIRED, DOWN_FORGOTTEN, DOWN_LEFT, Leaver, Leavers};
pub use mode::{Mode, ModeRule, ModeRules};
pub use registration::{
    Registration, endpoints_to_lines, filters_to_lines, lines_to_endpoints, lines_to_filters,
};
