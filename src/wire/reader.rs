//! Where received bytes stand until their frames are whole: a slab that a shard's connections share, and for a
//! frame that is long and only begun a buffer of the connection's own. An idle connection holds no memory here, and
//! what is taken from here keeps at most a third more memory alive than it has bytes.

use std::mem;

use bytes::{Bytes, BytesMut};

use super::splitter::announced_bytes;
use crate::limits::{PARTIAL_BYTES_IN_SLAB, READ_BYTES_PER_TURN, SLAB_BYTES, SLAB_TAKEN_BYTES_MIN};

/// The read buffer that all connections of one executor share: each turn uses its front and leaves it free.
#[derive(Default, Debug)]
pub struct Slab {
    buf: BytesMut,
    /// The buffer that a turn took last: it is used again, as it is, once nobody holds frames of it.
    taken: Bytes,
}

impl Slab {
    fn reserve(&mut self) {
        if self.buf.is_empty() {
            self.buf =
                mem::take(&mut self.taken).try_into_mut().unwrap_or_else(|_| BytesMut::zeroed(SLAB_BYTES));
        }
    }

    /// The first bytes. If they nearly fill the buffer they are a slice of it, and it is theirs.
    fn take(&mut self, bytes: usize) -> Bytes {
        if bytes < SLAB_TAKEN_BYTES_MIN {
            return Bytes::copy_from_slice(&self.buf[..bytes]);
        }
        self.taken = mem::take(&mut self.buf).freeze();
        self.taken.slice(..bytes)
    }
}

/// One connection's place in the stream: the bytes of a frame that has begun and is not whole.
#[derive(Default, Debug)]
pub struct Reader {
    partial: Vec<u8>,
    /// Bytes of this turn that are valid, partial included, in whichever buffer this turn uses.
    filled: usize,
    in_own: bool,
}

impl Reader {
    /// Space for this turn's read. Give the number of bytes received to [`Reader::received`], then look at
    /// [`Reader::filled`], and end the turn with [`Reader::take`] or [`Reader::discard`].
    pub fn space<'s>(&mut self, slab: &'s mut Slab) -> &'s mut [u8] {
        let held = self.partial.len();
        self.filled = held;
        self.in_own = held > PARTIAL_BYTES_IN_SLAB;
        slab.reserve();
        if self.in_own {
            return &mut slab.buf[..READ_BYTES_PER_TURN];
        }
        slab.buf[..held].copy_from_slice(&self.partial);
        &mut slab.buf[held..held + READ_BYTES_PER_TURN]
    }

    /// So many bytes have come into the space (0: none, and the turn is over).
    pub fn received(&mut self, slab: &Slab, bytes: usize) {
        self.filled += bytes;
        if self.in_own {
            // The buffer grows with what has come: no page of it is touched before.
            self.partial.extend_from_slice(&slab.buf[..bytes]);
        }
    }

    /// All bytes of this connection that no frame was made of yet.
    pub fn filled<'s>(&'s self, slab: &'s Slab) -> &'s [u8] {
        if self.in_own { &self.partial } else { &slab.buf[..self.filled] }
    }

    /// Ends the turn: the first `whole` bytes, refcounted, and the rest kept for the next turn.
    pub fn take(&mut self, slab: &mut Slab, whole: usize) -> Bytes {
        debug_assert!(whole <= self.filled);
        if self.in_own {
            return self.take_own(whole);
        }
        self.keep_rest(slab, whole);
        slab.take(whole)
    }

    /// Ends the turn as [`Reader::take`] does, when the first `whole` bytes were used in place.
    pub fn discard(&mut self, slab: &mut Slab, whole: usize) {
        debug_assert!(whole <= self.filled);
        if self.in_own {
            drop(self.take_own(whole));
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
        if self.partial.capacity() > 2 * rest.len() {
            self.partial = rest.to_vec();
        } else {
            self.partial.clear();
            self.partial.extend_from_slice(rest);
        }
    }

    /// The long frame is whole: its buffer goes with it, without what it had grown to beyond.
    fn take_own(&mut self, whole: usize) -> Bytes {
        if whole == 0 {
            return Bytes::new();
        }
        let rest = self.partial.split_off(whole);
        let mut taken = mem::replace(&mut self.partial, rest);
        taken.shrink_to_fit();
        Bytes::from(taken)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// One turn in which so many bytes come, of which so many are whole.
    fn turn(reader: &mut Reader, slab: &mut Slab, received: usize, whole: usize) -> Bytes {
        assert!(reader.space(slab).len() >= received);
        reader.received(slab, received);
        reader.take(slab, whole)
    }

    fn is_of(slab: &Slab, bytes: &Bytes) -> bool {
        slab.taken.as_ptr_range().contains(&bytes.as_ptr())
    }

    #[test]
    fn little_that_was_read_does_not_keep_a_slab_alive() {
        let (mut reader, mut slab) = (Reader::default(), Slab::default());
        for whole in [1, 4 << 10, SLAB_TAKEN_BYTES_MIN - 1] {
            let taken = turn(&mut reader, &mut slab, whole, whole);
            assert!(!is_of(&slab, &taken), "{whole} bytes are copied");
        }
        let taken = turn(&mut reader, &mut slab, READ_BYTES_PER_TURN, SLAB_TAKEN_BYTES_MIN);
        assert!(is_of(&slab, &taken), "no copy of a full read");
    }

    #[test]
    fn a_slab_is_used_again_once_nobody_holds_it() {
        let (mut reader, mut slab) = (Reader::default(), Slab::default());
        let full = READ_BYTES_PER_TURN;
        let first = turn(&mut reader, &mut slab, full, full);
        let begin = first.as_ptr();
        drop(first);
        let second = turn(&mut reader, &mut slab, full, full);
        assert_eq!(second.as_ptr(), begin);
        let third = turn(&mut reader, &mut slab, full, full);
        assert_ne!(third.as_ptr(), begin, "somebody reads the second");
        assert_eq!(second.len(), full);
    }

    #[test]
    fn a_long_frame_keeps_no_more_than_its_bytes() {
        let (mut reader, mut slab) = (Reader::default(), Slab::default());
        let begun = PARTIAL_BYTES_IN_SLAB + 1;
        assert!(turn(&mut reader, &mut slab, begun, 0).is_empty());
        let taken = turn(&mut reader, &mut slab, 10, begun + 3);
        assert_eq!((taken.len(), reader.memory_bytes(), reader.partial_bytes()), (begun + 3, 7, 7));
        let buffer = Vec::from(taken);
        assert_eq!(buffer.capacity(), begun + 3);
    }
}
