//! The bytes that come over one connection of a session: the greeting first, then frames. Without I/O: a pump fills the
//! space that it is given, and takes the frames.

use bytes::Bytes;

use crate::error::ErrorCode;
use crate::wire::greeting::{self, GREETING_BYTES, Greeting};
use crate::wire::{Features, Frame, Reader, Slab, Span, WireError, split};

/// Those of one connection.
#[derive(Default)]
pub(super) struct Incoming {
    reader: Reader,
    /// The peer's greeting has come whole.
    is_greeted: bool,
}

/// A part of what comes, whole.
pub(super) enum Arrived<'a> {
    /// The greeting of the peer, which offers these features.
    Greeting(Features),
    /// A frame, and the bytes in which it lies if they may be kept: a long frame's.
    Frame(Frame<'a>, Option<&'a Bytes>),
}

/// A fault of the peer, after which nothing more is read.
#[derive(Debug)]
pub(super) enum Fault {
    /// It does not greet as it should, and begins with this byte.
    Greeting(ErrorCode, Option<u8>),
    /// It has sent something that is no frame. Frames before that were taken.
    Frame(WireError),
}

impl Incoming {
    /// True once the peer has greeted.
    pub(super) fn is_greeted(&self) -> bool {
        self.is_greeted
    }

    /// The space for the next bytes.
    pub(super) fn space<'s>(&'s mut self, slab: &'s mut Slab) -> &'s mut [u8] {
        self.reader.space(slab)
    }

    /// Takes the bytes that were put into the space, perhaps none, and gives the greeting and each frame that is whole with
    /// them to `hear`. The rest is kept.
    ///
    /// # Errors
    /// The fault of the peer that they show.
    pub(super) fn take(
        &mut self,
        (slab, spans): (&mut Slab, &mut Vec<Span>),
        received: usize,
        frame_bytes_max: usize,
        mut hear: impl FnMut(Arrived<'_>),
    ) -> Result<(), Fault> {
        self.reader.received(received);
        let mut greeted = 0;
        if !self.is_greeted {
            let filled = self.reader.filled(slab);
            match greeting::parse(filled) {
                Ok(Greeting::NeedMore) => {
                    self.reader.discard(slab, 0);
                    return Ok(());
                }
                Ok(Greeting::Version(_, features)) => {
                    self.is_greeted = true;
                    greeted = GREETING_BYTES;
                    hear(Arrived::Greeting(features));
                }
                Err(code) => return Err(Fault::Greeting(code, filled.first().copied())),
            }
        }
        spans.clear();
        let bytes = &self.reader.filled(slab)[greeted..];
        let found = split(bytes, frame_bytes_max, spans);
        if self.reader.is_long() {
            let frames = self.reader.take(slab, greeted + found.whole_bytes).slice(greeted..);
            for span in &*spans {
                hear(Arrived::Frame(span.frame(&frames), Some(&frames)));
            }
        } else {
            for span in &*spans {
                hear(Arrived::Frame(span.frame(bytes), None));
            }
            self.reader.discard(slab, greeted + found.whole_bytes);
        }
        found.error.map_or(Ok(()), |error| Err(Fault::Frame(error)))
    }
}
