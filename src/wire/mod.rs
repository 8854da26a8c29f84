//! The wire: greeting, frame layers, rkyv bodies. Knows bytes, not sockets; the only `unsafe` of the crate is in
//! `checked`. `docs/PROTOCOL.md` describes the protocol for implementers of other clients.
//!
//! A connection begins with a 16-byte [`greeting`] each way. Frames follow: a `u32` little-endian length and an rkyv
//! archive of one [`Frame`]. [`splitter::split`] finds and checks the whole frames in the received bytes, [`Reader`]
//! and [`Slab`] hold those bytes, and [`CheckedFrame`] reads a frame without checking it again. [`RunWriter`] makes one frame of
//! messages that wait together.
//!
//! | file | owns |
//! |---|---|
//! | `greeting`, `features` | the first 16 bytes each way, and the optional parts of the protocol that they offer |
//! | `frame`, `parts`, `run` | the bodies of frames; payloads of several parts, and several messages in one frame |
//! | `encode` | frames as bytes |
//! | `routable` | frames that travel by topic |
//! | `checked` | a body that has been checked, read again without a check |
//! | `splitter`, `reader`, `partial` | whole frames in what was received; where it is kept; what has begun at its end |
//! | `long_frame` | the buffers of long frames |
//! | `start` | where in a stream a subscription starts |
//! | `run_writer` | messages on their way out, of which several share a frame |

mod checked;
mod encode;
mod features;
mod frame;
pub mod greeting;
mod long_frame;
mod partial;
pub mod parts;
mod reader;
mod routable;
pub mod run;
mod run_writer;
pub mod splitter;
mod start;

pub use checked::CheckedFrame;
pub use encode::{encode, encode_to_vec};
pub use features::Features;
pub use frame::{FRAME_BODY_BYTES_MIN, Frame, FrameKind};
pub use partial::Partial;
pub use reader::{Reader, Slab};
pub use run_writer::RunWriter;
pub use splitter::{Span, Split, WireError, announced_bytes, split};
pub use start::Start;
