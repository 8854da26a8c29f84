//! Nonces: each kind of box has a prefix of its own, so that no two boxes of one key have the same.

use super::{COUNT_BYTES, NONCE_BYTES, Nonce};

/// Bytes of the random part of a long nonce.
pub(super) const RANDOM_BYTES: usize = 16;

/// The nonce of a box of which there is one for each of these random numbers.
pub(super) fn long(prefix: &[u8; NONCE_BYTES - RANDOM_BYTES], random: &[u8; RANDOM_BYTES]) -> Nonce {
    joined(prefix, random)
}

/// The nonce of a box of which there is one for each count. ZeroMQ's are big-endian.
pub(super) fn short(prefix: &[u8; NONCE_BYTES - COUNT_BYTES], count: [u8; COUNT_BYTES]) -> Nonce {
    joined(prefix, &count)
}

fn joined(prefix: &[u8], rest: &[u8]) -> Nonce {
    let mut nonce = [0; NONCE_BYTES];
    let (start, end) = nonce.split_at_mut(prefix.len());
    start.copy_from_slice(prefix);
    end.copy_from_slice(rest);
    nonce
}
