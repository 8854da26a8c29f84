//! CURVE (ZeroMQ RFC 25 and 26) at the server's end: the handshake, and the boxes in which all that follows it travels. Only a
//! broker is a CURVE server: this is built with its feature, and `no_curve` stands in its place elsewhere.
//!
//! | file | owns |
//! |---|---|
//! | `nacl` | keys that agree, and the boxes that they close and open |
//! | `public_key`, `keys` | public keys, the pair of a server |
//! | `key_file` | a pair as a file has it |
//! | `nonce` | the nonces of each kind of box |
//! | `handshake` | HELLO, WELCOME, INITIATE, READY |
//! | `channel` | both directions of an open connection: |
//! | `opener` | boxes from the peer |
//! | `sealer` | boxes to the peer |

mod channel;
mod handshake;
mod key_file;
mod keys;
mod nacl;
mod nonce;
mod opener;
mod public_key;
mod sealer;

pub use channel::CurveChannel;
pub use handshake::CurveHandshake;
pub use key_file::{KeyFileFault, parse, public_text, secret_text};
pub use keys::KeyPair;
pub use nacl::{BoxKey, SecretKey};
pub use public_key::PublicKey;

use super::z85::KEY_BYTES;
use crate::error::ErrorCode;
use crate::wire::WireError;

/// Bytes of a nonce.
const NONCE_BYTES: usize = 24;

/// Bytes of a tag, which stands before the bytes that it is of.
const TAG_BYTES: usize = 16;

/// The nonce of a box.
type Nonce = [u8; NONCE_BYTES];

/// The proof that the bytes of a box are those that were sealed.
type Tag = [u8; TAG_BYTES];

/// The start of the body of a box in the stream.
const MESSAGE: &[u8; 8] = b"\x07MESSAGE";

/// Bytes of the short part of a nonce, which counts.
const COUNT_BYTES: usize = 8;

/// Bytes of the body of a box in the stream before what is sealed: its name, its count and its tag.
const MESSAGE_HEAD_BYTES: usize = MESSAGE.len() + COUNT_BYTES + TAG_BYTES;

/// Bytes of the flags of a frame, which are sealed with it.
const FLAGS_BYTES: usize = 1;

/// The flag of a sealed frame that is followed by more frames of its message.
const SEALED_MORE: u8 = 1;

/// The flag of a sealed command.
const SEALED_COMMAND: u8 = 2;

/// An error of a box that does not open.
fn bad_box(text: impl Into<String>) -> WireError {
    WireError::new(ErrorCode::BadBox, text)
}

fn malformed(text: &str) -> WireError {
    WireError::new(ErrorCode::Malformed, text)
}
