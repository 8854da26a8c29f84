//! ZeroMQ's wire, ZMTP 3.0 and 3.1 (RFC 23 and 37) with the NULL mechanism: bytes and time in, bytes and steps out.
//! Knows no sockets and no shards. `docs/ZMTP.md` lists what is supported.
//!
//! | file | owns |
//! |---|---|
//! | `greeting` | the first 64 bytes |
//! | `frame` | flags and sizes; messages as spans; writing them |
//! | `decoder` | whole messages and commands in what has arrived |
//! | `command` | READY, SUBSCRIBE, CANCEL, PING, PONG, ERROR |
//! | `machine` | one connection, from the greeting to its end |

pub mod command;
pub mod decoder;
pub mod frame;
pub mod greeting;
pub mod machine;

pub use decoder::{Decoder, Found};
pub(crate) use frame::first_part;
pub use frame::{MessageSpan, for_each_message, put_message};
pub use machine::{Machine, Output, Role, Sides, Step};
