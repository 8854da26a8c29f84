//! A frame body that has been checked. The only `unsafe` of the crate: reading it again without checking again.
#![expect(unsafe_code, reason = "a checked archive is read without a second check, 1-3 ns instead of 10-19")]

use rkyv::rancor::Failure;

use super::frame::{ArchivedFrame, FRAME_BODY_BYTES_MIN, Frame};

/// One frame body whose bytes have been checked; made only by [`CheckedFrame::check`] and, for bytes that
/// passed it before, by [`super::splitter`]'s spans.
#[derive(Clone, Copy, Debug)]
pub struct CheckedFrame<'a> {
    body: &'a [u8],
}

impl<'a> CheckedFrame<'a> {
    /// Checks a body (without its length), in 10 to 19 ns whatever the payload, and a few more for each message of a run.
    /// `None` if it is not an archive, or a run whose messages are not whole. A checked body is safe to read; that does not
    /// prove that it is what was sent: see `docs/PROTOCOL.md` on integrity.
    #[inline]
    pub fn check(body: &'a [u8]) -> Option<Self> {
        if body.len() < FRAME_BODY_BYTES_MIN {
            return None;
        }
        let archived = rkyv::access::<ArchivedFrame<'static>, Failure>(body).ok()?;
        archived.has_whole_messages().then_some(CheckedFrame { body })
    }

    /// The body of a span that [`super::split`] has checked in these very bytes.
    #[inline]
    pub(super) fn trusted(body: &'a [u8]) -> Self {
        // In debug builds only: it costs as much as the first check did, for every frame that is delivered.
        debug_assert!(CheckedFrame::check(body).is_some(), "a span's body was checked when it was made");
        CheckedFrame { body }
    }

    /// The frame as plain values that borrow these bytes.
    #[inline]
    pub fn frame(self) -> Frame<'a> {
        // SAFETY: `check` accepted exactly these bytes, they are immutable while borrowed, and `trusted` is
        // called only with bytes that passed it.
        let archived = unsafe { rkyv::access_unchecked::<ArchivedFrame<'a>>(self.body) };
        archived.as_frame()
    }
}
