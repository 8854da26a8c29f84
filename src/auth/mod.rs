//! Identities of sessions: how peers show who they are, and the one question that each of their actions must pass. Pure, but
//! for the reading of files of users.
//!
//! | file | owns |
//! |---|---|
//! | `proof` | proofs that connections have shown |
//! | `secret` | tokens and passwords, wiped and never displayed |
//! | `secret_file` | the reading of files that not everybody may read |
//! | `token` | tokens: new ones, those in files, and the hashes that stand for them |
//! | `random` | random bytes |
//! | `curve_key` | public keys of CURVE |
//! | `quota` | quotas of users, and what counts against them |
//! | `users/` | the users that a file declares, looked up by what they show |
//! | `ticket` | tickets, which let subscribers in at direct publishers: their content and form |
//! | `ticket_key` | the keys that sign them, and by which signatures are known |
//! | `ticket_rules` | the tickets that a direct publisher asks for, and what one that was shown permits |
//! | `refusal` | the reasons for which a proof is not accepted |
//! | `identity` | the peer of a session, as far as it is known |
//! | `peer_host` | the host of a peer, as bounds for each host count them |
//! | `action` | actions, and the verdict on each |
//! | `rights` | rights of one kind of peer |
//! | `permissions` | the rules: which peer has which rights |
//! | `random_rights` | their test against an oracle |

mod action;
mod curve_key;
mod identity;
mod peer_host;
mod permissions;
mod proof;
mod quota;
mod random;
#[cfg(all(test, feature = "broker"))]
mod random_rights;
mod refusal;
mod rights;
mod secret;
mod secret_file;
mod ticket;
mod ticket_key;
mod ticket_rules;
mod token;
mod users;

pub use action::{Action, Verdict};
pub use curve_key::CurveKey;
pub use identity::Identity;
pub(crate) use peer_host::PeerHost;
pub use permissions::Permissions;
pub(crate) use permissions::VERDICT_STEPS;
pub use proof::Proof;
pub use quota::Quotas;
pub(crate) use quota::{Share, Used};
pub use refusal::LoginRefusal;
pub use rights::Rights;
pub(crate) use rights::Scope;
pub use secret::Secret;
pub(crate) use secret_file::read_secret_file;
pub(crate) use ticket::Ticket;
pub use ticket::TicketFault;
pub use ticket_key::{TicketKey, TicketSigner};
pub use ticket_rules::{AcceptedTicket, TicketRules};
pub use token::{TokenHash, read_token_file};
pub(crate) use token::{checked_token, fresh_token};
pub(crate) use users::ANONYMOUS;
#[cfg(feature = "broker")]
pub(crate) use users::hash_password;
pub use users::{Credential, Login, User, Users, UsersFault};
