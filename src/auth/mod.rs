//! Identities of sessions, and the one question that each of their actions must pass. Pure. No session proves anything but
//! its address yet.
//!
//! | file | owns |
//! |---|---|
//! | `identity` | the peer of a session, as far as it is known |
//! | `action` | actions, and the verdict on each |
//! | `rights` | rights of one kind of peer |
//! | `permissions` | the rules: which peer has which rights |

mod action;
mod identity;
mod permissions;
mod rights;

pub use action::{Action, Verdict};
pub use identity::Identity;
pub use permissions::Permissions;
pub use rights::Rights;
