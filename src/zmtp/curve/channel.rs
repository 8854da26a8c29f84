//! An open connection: what comes is opened into plain frames of ZMTP, and what leaves is sealed.

use std::io::IoSlice;

use super::nacl::BoxKey;
use super::opener::Opener;
use super::sealer::Sealer;
use crate::wire::{Partial, WireError};

/// Both directions of an open connection.
#[derive(Debug)]
pub struct CurveChannel {
    opener: Opener,
    sealer: Sealer,
    /// Opened frames that are not a whole message.
    opened: Vec<u8>,
}

impl CurveChannel {
    /// A channel with this key. The peer has counted its boxes up to `peer_count`; this end counts its own from `count`. The next
    /// `clear_bytes` to be sent are the end of the handshake.
    pub(super) fn new(key: &BoxKey, peer_count: u64, count: u64, clear_bytes: usize) -> Self {
        CurveChannel {
            opener: Opener::new(key, peer_count),
            sealer: Sealer::new(key, count, clear_bytes),
            opened: Vec::new(),
        }
    }

    /// Opens the whole boxes at the start of `bytes`, of frames of at most `frame_bytes_max`. Returns how many bytes that were, and
    /// the fault behind them.
    pub fn open(&mut self, bytes: &[u8], frame_bytes_max: usize) -> (usize, Option<WireError>) {
        let mut at = 0;
        loop {
            match self.opener.open_next(&bytes[at..], frame_bytes_max, &mut self.opened) {
                Ok(0) => return (at, None),
                Ok(box_bytes) => at += box_bytes,
                Err(error) => return (at, Some(error)),
            }
        }
    }

    /// Takes the opened frames; what is not used up is to be put back.
    pub fn take_opened(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.opened)
    }

    /// Puts back frames that are not used up.
    pub fn put_back(&mut self, opened: Vec<u8>) {
        self.opened = opened;
    }

    /// The opened frames.
    pub fn opened(&self) -> &[u8] {
        &self.opened
    }

    /// The box that `bytes` are the start of.
    pub fn partial(&self, bytes: &[u8]) -> Partial {
        self.opener.partial(bytes)
    }

    /// Sends some of `parts` in boxes, made in `room`: whole frames, but for what was sent before of the first part. Returns how
    /// many of their bytes were tried, and how many of these `send` took; `None`: it has no room.
    ///
    /// # Errors
    /// Those of `send`.
    pub fn send<E>(
        &mut self,
        parts: &[IoSlice<'_>],
        room: &mut Vec<u8>,
        send: impl FnMut(&[IoSlice<'_>]) -> Result<Option<usize>, E>,
    ) -> Result<(usize, Option<usize>), E> {
        self.sealer.send(parts, room, send)
    }
}
