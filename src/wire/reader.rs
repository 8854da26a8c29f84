//! The place of received bytes until their frames are whole: a slab that a shard's connections share, and for a long
//! unfinished frame a buffer of the connection's own, into which the rest of it is read. An idle connection holds no memory
//! here, and the bytes taken from here keep at most a third more memory alive than their own length.

use std::mem;

use bytes::{Bytes, BytesMut};
use zeroize::Zeroize as _;

use super::long_frame::{LongBuffers, LongFrame};
use super::partial::Partial;
use super::splitter::announced_bytes;
use crate::limits::{PARTIAL_BYTES_IN_SLAB, READ_BYTES_PER_TURN, SLAB_BYTES, SLAB_TAKEN_BYTES_MIN};

/// The read buffer that all connections of one executor share: each turn uses its front and then leaves it free.
#[derive(Default, Debug)]
pub struct Slab {
    buf: BytesMut,
    /// The buffer that a turn took last: it is used again, as it is, once nobody holds frames in it.
    taken: Bytes,
    long: LongBuffers,
}

impl Slab {
    /// Time goes on: memory that was kept for frames which do not come any more is given up.
    pub fn on_tick(&mut self) {
        self.long.on_tick();
    }

    fn reserve(&mut self) {
        if self.buf.is_empty() {
            self.buf =
                mem::take(&mut self.taken).try_into_mut().unwrap_or_else(|_| BytesMut::zeroed(SLAB_BYTES));
        }
    }

    /// Takes the first bytes. If they nearly fill the buffer, they are a slice of it and keep it.
    fn take(&mut self, bytes: usize) -> Bytes {
        if bytes < SLAB_TAKEN_BYTES_MIN {
            return Bytes::copy_from_slice(&self.buf[..bytes]);
        }
        self.taken = mem::take(&mut self.buf).freeze();
        self.taken.slice(..bytes)
    }
}

/// One connection's position in the stream: the bytes of its unfinished frame.
#[derive(Default, Debug)]
pub struct Reader {
    /// As long as it is short.
    partial: Vec<u8>,
    /// Once it is long.
    long: Option<LongFrame>,
    /// Bytes of this turn in the slab that are valid, partial included.
    filled: usize,
}

impl Reader {
    /// Space for this turn's read. Report the number of bytes received to [`Reader::received`], then look at
    /// [`Reader::filled`], and end the turn with [`Reader::take`] or [`Reader::discard`].
    pub fn space<'s>(&'s mut self, slab: &'s mut Slab) -> &'s mut [u8] {
        if let Some(long) = &mut self.long {
            return long.space();
        }
        let held = self.partial.len();
        self.filled = held;
        slab.reserve();
        slab.buf[..held].copy_from_slice(&self.partial);
        &mut slab.buf[held..held + READ_BYTES_PER_TURN]
    }

    /// Records that this many bytes were read into the space (0: none, and the turn is over).
    pub fn received(&mut self, bytes: usize) {
        match &mut self.long {
            Some(long) => long.received(bytes),
            None => self.filled += bytes,
        }
    }

    /// All bytes of this connection that are not part of a frame yet.
    pub fn filled<'s>(&'s self, slab: &'s Slab) -> &'s [u8] {
        match &self.long {
            Some(long) => long.held(),
            None => &slab.buf[..self.filled],
        }
    }

    /// Ends the turn: returns the first `whole` bytes, refcounted, and keeps the rest for the next turn.
    pub fn take(&mut self, slab: &mut Slab, whole: usize) -> Bytes {
        if self.long.is_some() {
            return self.take_long(slab, whole);
        }
        self.keep_rest(slab, whole);
        slab.take(whole)
    }

    /// Ends the turn like [`Reader::take`], when the first `whole` bytes were used in place.
    pub fn discard(&mut self, slab: &mut Slab, whole: usize) {
        if self.long.is_some() {
            drop(self.take_long(slab, whole));
        } else {
            self.keep_rest(slab, whole);
        }
    }

    /// Ends the turn like [`Reader::take`], and wipes what was read, except the bytes returned and the unfinished frame: it may
    /// hold a secret. Bytes that nearly fill the buffer are returned without a copy, so that there is nothing else to wipe.
    pub fn take_secret(&mut self, slab: &mut Slab, whole: usize) -> Bytes {
        let in_slab = self.long.is_none();
        if in_slab {
            self.partial.zeroize();
        }
        let taken = self.take(slab, whole);
        if in_slab && let Some(read) = slab.buf.get_mut(..self.filled) {
            read.zeroize();
        }
        taken
    }

    /// True if the unfinished frame is a long one: [`Reader::take`] returns it without a copy.
    pub fn is_long(&self) -> bool {
        self.long.is_some()
    }

    fn partial(&self) -> &[u8] {
        self.long.as_ref().map_or(&self.partial, LongFrame::held)
    }

    /// Bytes received of the unfinished frame.
    pub fn partial_bytes(&self) -> usize {
        self.partial().len()
    }

    /// The unfinished frame.
    pub fn partial_frame(&self) -> Partial {
        Partial::frame(self.partial_bytes(), announced_bytes(self.partial()))
    }

    /// Memory of this connection's own, in bytes: it follows the received bytes, not the announced ones.
    pub fn memory_bytes(&self) -> usize {
        self.partial.capacity() + self.long.as_ref().map_or(0, LongFrame::memory_bytes)
    }

    /// Keeps the bytes after the whole frames in the slab; a connection without an unfinished frame keeps no memory,
    /// and one with a short one keeps little.
    fn keep_rest(&mut self, slab: &mut Slab, whole: usize) {
        assert!(whole <= self.filled, "no more is used up than was received");
        let rest = &slab.buf[whole..self.filled];
        if rest.len() > PARTIAL_BYTES_IN_SLAB {
            self.partial = Vec::new();
            self.long = Some(LongFrame::begin(rest, &mut slab.long));
        } else if self.partial.capacity() > 2 * rest.len() {
            self.partial = rest.to_vec();
        } else {
            self.partial.clear();
            self.partial.extend_from_slice(rest);
        }
    }

    /// Takes whole frames, of which the first is a long one, with their buffer.
    fn take_long(&mut self, slab: &mut Slab, whole: usize) -> Bytes {
        if whole == 0 {
            return Bytes::new();
        }
        let Some(long) = self.long.take() else { return Bytes::new() };
        let rest = long.held().get(whole..).expect("no more is used up than was received");
        if rest.len() > PARTIAL_BYTES_IN_SLAB {
            self.long = Some(LongFrame::begin(rest, &mut slab.long));
        } else {
            self.partial = rest.to_vec();
        }
        long.take(whole, &mut slab.long)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// One turn in which `received` bytes arrive, `whole` of which are whole frames.
    fn turn(reader: &mut Reader, slab: &mut Slab, received: usize, whole: usize) -> Bytes {
        assert!(reader.space(slab).len() >= received);
        reader.received(received);
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
    fn nothing_of_a_secret_stays_but_what_is_taken_and_kept() {
        const WORDS: &[u8] = b"open sesame";
        let (mut reader, mut slab) = (Reader::default(), Slab::default());
        for (say, whole, taken) in [(&WORDS[..6], 0, &b""[..]), (&WORDS[6..], 9, &WORDS[..9])] {
            reader.space(&mut slab)[..say.len()].copy_from_slice(say);
            reader.received(say.len());
            assert_eq!(reader.take_secret(&mut slab, whole), taken);
            assert!(slab.buf.iter().all(|byte| *byte == 0), "{whole} bytes were taken");
        }
        assert_eq!(reader.partial, b"me");
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
        assert!(buffer.capacity() <= (begun + 3) / 3 * 4);
    }
}
