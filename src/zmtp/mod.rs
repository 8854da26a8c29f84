//! ZeroMQ's wire, ZMTP 3.0 and 3.1 (RFC 23 and 37), by NULL, PLAIN or CURVE: bytes and time in, bytes and steps out.
//! Knows no sockets, no shards and no users. `docs/ZMTP.md` lists what is supported.
//!
//! | file | owns |
//! |---|---|
//! | `greeting` | the first 64 bytes |
//! | `frame` | flags and sizes; messages as spans; writing them |
//! | `decoder` | whole messages and commands in what has arrived |
//! | `command` | READY, SUBSCRIBE, CANCEL, PING, PONG, ERROR |
//! | `claim` | what a peer claims to be, and how far its handshake has come |
//! | `offers` | the mechanisms that a door accepts |
//! | `handshake` | the handshake of one connection, by any mechanism |
//! | `plain` | that of PLAIN |
//! | `curve/` | that of CURVE, and the boxes that follow it; without the feature `broker`, `no_curve` |
//! | `z85` | keys as text |
//! | `machine` | one connection, from the greeting to its end |

mod claim;
pub mod command;
#[cfg(feature = "broker")]
pub mod curve;
pub mod decoder;
pub mod frame;
pub mod greeting;
mod handshake;
pub mod machine;
#[cfg(not(feature = "broker"))]
mod no_curve;
mod offers;
mod plain;
pub mod z85;

pub use claim::{Password, PeerClaim};
pub use decoder::{Decoder, Found};
pub(crate) use frame::first_part;
pub use frame::{MessageSpan, for_each_message, put_message};
pub use machine::{Machine, Output, Role, Sides, Step};
pub use offers::Offers;
