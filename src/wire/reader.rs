//! Where received bytes stand until their frames are whole: a slab that a shard's connections share, and for a
//! frame that is long and only begun a buffer of the connection's own. An idle connection holds no memory here.

use std::mem;

use bytes::{Bytes, BytesMut};

use super::splitter::announced_bytes;
use crate::limits::{COPY_BELOW_BYTES, PARTIAL_BYTES_IN_SLAB, READ_BYTES_PER_TURN, SLAB_BYTES};

/// The read buffer that all connections of one executor share: each turn uses its front and leaves it free.
#[derive(Default, Debug)]
pub struct Slab {
    buf: BytesMut,
}

impl Slab {
    fn reserve(&mut self, bytes: usize) {
        if self.buf.len() < bytes {
            // Zeroed pages come from the kernel; what frames still use of the old slab stays alive with them.
            self.buf = BytesMut::zeroed(SLAB_BYTES.max(bytes));
        }
    }
}

/// One connection's place in the stream: the bytes of a frame that has begun and is not whole.
#[derive(Default, Debug)]
pub struct Reader {
    partial: BytesMut,
    /// Bytes of this turn that are valid, partial included, in whichever buffer this turn uses.
    filled: usize,
    in_own: bool,
}

impl Reader {
    /// Space for this turn's read. Give the number of bytes received to [`Reader::received`], then look at
    /// [`Reader::filled`], and end the turn with [`Reader::take`] or [`Reader::discard`].
    pub fn space<'s>(&'s mut self, slab: &'s mut Slab) -> &'s mut [u8] {
        let held = self.partial.len();
        self.filled = held;
        self.in_own = held > PARTIAL_BYTES_IN_SLAB;
        if self.in_own {
            // The buffer doubles when it is full; the space does not grow with it, because a turn reads so much
            // at the most, and a peer that sends byte by byte should not have megabytes zeroed for each.
            self.partial.resize(held + READ_BYTES_PER_TURN, 0);
            &mut self.partial[held..]
        } else {
            slab.reserve(held + READ_BYTES_PER_TURN);
            slab.buf[..held].copy_from_slice(&self.partial);
            &mut slab.buf[held..held + READ_BYTES_PER_TURN]
        }
    }

    /// So many bytes have come into the space (0: none, and the turn is over).
    pub fn received(&mut self, bytes: usize) {
        self.filled += bytes;
        if self.in_own {
            self.partial.truncate(self.filled);
        }
    }

    /// All bytes of this connection that no frame was made of yet.
    pub fn filled<'s>(&'s self, slab: &'s Slab) -> &'s [u8] {
        if self.in_own { &self.partial[..self.filled] } else { &slab.buf[..self.filled] }
    }

    /// Ends the turn: the first `whole` bytes, refcounted and without a copy when they are worth a slab, and
    /// the rest kept for the next turn.
    pub fn take(&mut self, slab: &mut Slab, whole: usize) -> Bytes {
        debug_assert!(whole <= self.filled);
        if self.in_own {
            let bytes = self.partial.split_to(whole).freeze();
            self.keep_own();
            return bytes;
        }
        self.keep_rest(slab, whole);
        if whole < COPY_BELOW_BYTES {
            return Bytes::copy_from_slice(&slab.buf[..whole]);
        }
        slab.buf.split_to(whole).freeze()
    }

    /// Ends the turn as [`Reader::take`] does, when the first `whole` bytes were used in place.
    pub fn discard(&mut self, slab: &mut Slab, whole: usize) {
        debug_assert!(whole <= self.filled);
        if self.in_own {
            drop(self.partial.split_to(whole));
            self.keep_own();
        } else {
            self.keep_rest(slab, whole);
        }
    }

    /// Bytes of a frame that has begun and is not whole.
    pub fn partial_bytes(&self) -> usize {
        self.partial.len()
    }

    /// How long the begun frame will be, once its length has arrived.
    pub fn partial_announced_bytes(&self) -> Option<usize> {
        announced_bytes(&self.partial)
    }

    /// Memory of this connection's own, in bytes: it follows what has arrived, not what was announced.
    pub fn memory_bytes(&self) -> usize {
        self.partial.capacity()
    }

    /// Keeps what follows the whole frames in the slab; a connection with nothing begun keeps no memory, and one
    /// with little begun keeps little.
    fn keep_rest(&mut self, slab: &Slab, whole: usize) {
        let rest = &slab.buf[whole..self.filled];
        if self.partial.capacity() > 4 * rest.len() {
            self.partial = BytesMut::from(rest);
        } else {
            self.partial.clear();
            self.partial.extend_from_slice(rest);
        }
    }

    /// Gives the large buffer back when what is left fits the slab again.
    fn keep_own(&mut self) {
        if self.partial.len() <= PARTIAL_BYTES_IN_SLAB {
            let rest = mem::take(&mut self.partial);
            if !rest.is_empty() {
                self.partial.extend_from_slice(&rest);
            }
        }
    }
}
