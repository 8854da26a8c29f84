//! Identities of sessions, and the one question that each of their actions must pass. Pure. No session proves anything
//! yet, and everybody may do everything: what is here is the place where both will be decided.
//!
//! | file | owns |
//! |---|---|
//! | `identity` | the peer of a session, as far as it is known |
//! | `permissions` | actions, and the verdict on each |

mod identity;
mod permissions;

pub use identity::Identity;
pub use permissions::{Action, Permissions, Verdict};
