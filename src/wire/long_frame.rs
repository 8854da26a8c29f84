//! The buffers of long frames: one for each that is not whole yet, and those of whole frames, which are used again once nobody
//! holds their frame. New memory costs more than the bytes that come into it: the kernel has to find and clear each page.

use std::collections::VecDeque;

use bytes::{Bytes, BytesMut};

use crate::limits::{
    LONG_BUFFER_BYTES_MIN, LONG_BUFFERS_BYTES_MAX, LONG_BUFFERS_IDLE_TICKS, READ_BYTES_PER_TURN,
};

/// The received bytes of a long frame that is not whole, and behind them space for a turn's read.
#[derive(Default, Debug)]
pub(super) struct LongFrame {
    /// All of it has been written before, so that it can be lent for a read.
    buffer: BytesMut,
    held: usize,
}

impl LongFrame {
    /// Goes on with a frame whose first bytes are these.
    pub(super) fn begin(first: &[u8], buffers: &mut LongBuffers) -> LongFrame {
        let mut frame = LongFrame { buffer: buffers.get(), held: 0 };
        frame.grow_to(first.len());
        frame.buffer[..first.len()].copy_from_slice(first);
        frame.held = first.len();
        frame
    }

    pub(super) fn held(&self) -> &[u8] {
        &self.buffer[..self.held]
    }

    /// Memory in bytes. It follows the received bytes, not the announced ones, except where it was there before.
    pub(super) fn memory_bytes(&self) -> usize {
        self.buffer.capacity()
    }

    /// Space for the next read.
    pub(super) fn space(&mut self) -> &mut [u8] {
        self.grow_to(self.held + READ_BYTES_PER_TURN);
        &mut self.buffer[self.held..self.held + READ_BYTES_PER_TURN]
    }

    pub(super) fn received(&mut self, bytes: usize) {
        self.held += bytes;
    }

    fn grow_to(&mut self, bytes: usize) {
        if self.buffer.len() < bytes {
            self.buffer.resize(bytes, 0);
        }
    }

    /// Takes the bytes as they are, and leaves the buffer for the next frame once nobody holds them. They keep at most a third
    /// more memory alive than they are long: of a buffer that is longer they are copied. Memory that was never written is none.
    pub(super) fn take(self, whole: usize, buffers: &mut LongBuffers) -> Bytes {
        let is_tight = self.buffer.len() <= whole + whole / 3;
        let all = self.buffer.freeze();
        let taken = if is_tight { all.slice(..whole) } else { Bytes::copy_from_slice(&all[..whole]) };
        buffers.keep(all);
        taken
    }
}

/// The buffers of one executor's long frames that have been taken.
#[derive(Default, Debug)]
pub(super) struct LongBuffers {
    /// The newest last.
    taken: VecDeque<Bytes>,
    bytes: usize,
    idle_ticks: u32,
}

impl LongBuffers {
    /// One that nobody holds, as long as it is, or a new one.
    fn get(&mut self) -> BytesMut {
        self.idle_ticks = 0;
        let Some(free) = self.taken.iter().rposition(Bytes::is_unique) else { return BytesMut::new() };
        let Some(found) = self.taken.remove(free) else { return BytesMut::new() };
        self.bytes -= found.len();
        found.try_into_mut().unwrap_or_default()
    }

    fn keep(&mut self, buffer: Bytes) {
        if buffer.len() < LONG_BUFFER_BYTES_MIN || buffer.len() > LONG_BUFFERS_BYTES_MAX {
            return;
        }
        self.bytes += buffer.len();
        self.taken.push_back(buffer);
        while self.bytes > LONG_BUFFERS_BYTES_MAX {
            let oldest = self.taken.pop_front().expect("they have bytes");
            self.bytes -= oldest.len();
        }
    }

    /// Time goes on: without long frames for a while, no buffer is kept for them.
    pub(super) fn on_tick(&mut self) {
        self.idle_ticks += 1;
        if self.idle_ticks >= LONG_BUFFERS_IDLE_TICKS {
            *self = LongBuffers::default();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LONG: usize = 1 << 20;

    /// A frame of so many bytes of this value, read turn by turn.
    fn frame(value: u8, bytes: usize, buffers: &mut LongBuffers) -> Bytes {
        let mut frame = LongFrame::begin(&[value; 20_000], buffers);
        while frame.held().len() < bytes {
            let read = READ_BYTES_PER_TURN.min(bytes - frame.held().len());
            frame.space()[..read].fill(value);
            frame.received(read);
        }
        assert!(frame.held().iter().all(|byte| *byte == value));
        frame.take(bytes, buffers)
    }

    #[test]
    fn a_buffer_is_used_again_once_nobody_holds_its_frame() {
        let mut buffers = LongBuffers::default();
        let first = frame(1, LONG, &mut buffers);
        let begin = first.as_ptr();
        let second = frame(2, LONG, &mut buffers);
        assert_ne!(second.as_ptr(), begin);
        drop(first);
        let third = frame(3, LONG - 1_000, &mut buffers);
        assert_eq!(third.as_ptr(), begin);
        assert!(second.iter().all(|byte| *byte == 2) && third.iter().all(|byte| *byte == 3));
        assert_eq!((second.len(), third.len()), (LONG, LONG - 1_000));
    }

    #[test]
    fn a_frame_keeps_no_more_than_a_third_more_memory_alive_than_it_is_long() {
        let mut buffers = LongBuffers::default();
        drop(frame(1, 4 * LONG, &mut buffers));
        let (begin, bytes) = (buffers.taken[0].as_ptr_range(), buffers.bytes);
        let short = frame(2, LONG, &mut buffers);
        assert!(!begin.contains(&short.as_ptr()), "it was copied out of a longer buffer");
        assert_eq!((buffers.taken.len(), buffers.bytes), (1, bytes), "which is there for the next");
    }

    #[test]
    fn buffers_are_bounded_and_given_up_when_no_long_frame_has_come_for_a_while() {
        let mut buffers = LongBuffers::default();
        let held: Vec<Bytes> = (0..40).map(|value| frame(value, LONG, &mut buffers)).collect();
        assert!(buffers.bytes <= LONG_BUFFERS_BYTES_MAX && buffers.taken.len() > 10);
        for (value, frame) in (0..).zip(&held) {
            assert!(frame.iter().all(|byte| *byte == value));
        }
        (1..LONG_BUFFERS_IDLE_TICKS).for_each(|_| buffers.on_tick());
        drop(frame(0, LONG, &mut buffers));
        (1..LONG_BUFFERS_IDLE_TICKS).for_each(|_| buffers.on_tick());
        assert!(!buffers.taken.is_empty());
        buffers.on_tick();
        assert_eq!((buffers.taken.len(), buffers.bytes), (0, 0));
        drop(frame(1, LONG_BUFFER_BYTES_MIN / 2, &mut buffers));
        assert!(buffers.taken.is_empty(), "a short one is not worth it");
    }
}
