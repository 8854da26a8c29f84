//! Finds the whole messages and commands in what has arrived. What was scanned of a message that is not whole is not
//! scanned again, so that a peer which sends byte by byte costs what it sends.

use std::ops::Range;

use super::frame::{Head, MessageSpan, native_bytes_with, parse_head};
use crate::error::ErrorCode;
use crate::limits::{ZMTP_COMMAND_BYTES_MAX, ZMTP_COMMANDS_WITHIN_MAX};
use crate::wire::WireError;

/// What stands at the start of what has arrived.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Found {
    /// Nothing whole.
    NeedMore,
    /// A command with this body. `alone`: it ends the bytes that are used; else it stands within a message, as libzmq
    /// sends its heartbeats, and is passed over when that is whole.
    Command {
        /// Its body.
        body: Range<usize>,
        /// Not within a message.
        alone: bool,
    },
    /// A message, to its end.
    Message(MessageSpan),
    /// A message to `end` that has commands within it: only these frames are its own.
    Interrupted {
        /// Where it ends.
        end: usize,
        /// Its frames.
        pieces: Vec<Range<usize>>,
    },
}

/// One connection's place in the stream, from the start of a message that is not whole.
#[derive(Debug)]
pub struct Decoder {
    message_bytes_max: usize,
    scanned: usize,
    parts: u32,
    first: Range<usize>,
    native_bytes: usize,
    /// Commands within the message.
    holes: Vec<Range<usize>>,
}

impl Decoder {
    /// Takes messages of so many bytes, as they come and as they would be as a native frame.
    pub fn new(message_bytes_max: usize) -> Self {
        Decoder { message_bytes_max, scanned: 0, parts: 0, first: 0..0, native_bytes: 0, holes: Vec::new() }
    }

    /// What stands at the start of `bytes`, which begin where the last message or command that was `alone` ended.
    ///
    /// # Errors
    /// `Malformed`, `TooLarge`: at once, whatever has arrived of it.
    pub fn next(&mut self, bytes: &[u8]) -> Result<Found, WireError> {
        loop {
            let Some(head) = parse_head(&bytes[self.scanned..])? else { return Ok(Found::NeedMore) };
            let body_bytes = self.fits(head)?;
            let body = self.scanned + head.head_bytes..self.scanned + head.head_bytes + body_bytes;
            if body.end > bytes.len() {
                return Ok(Found::NeedMore);
            }
            if head.command {
                return self.on_command(body);
            }
            if self.parts == 0 {
                self.first = body.clone();
            }
            self.native_bytes = native_bytes_with(self.native_bytes, self.parts, body.len());
            self.parts += 1;
            self.scanned = body.end;
            if !head.more {
                return Ok(self.end_message());
            }
        }
    }

    /// Bytes that the message or command which has begun will have at the least.
    pub fn announced_bytes(&self, bytes: &[u8]) -> Option<usize> {
        let head = parse_head(bytes.get(self.scanned..)?).ok()??;
        let body = usize::try_from(head.body_bytes).unwrap_or(usize::MAX);
        Some(body.saturating_add(self.scanned + head.head_bytes))
    }

    fn fits(&self, head: Head) -> Result<usize, WireError> {
        let announced = usize::try_from(head.body_bytes).unwrap_or(usize::MAX);
        if head.command {
            if announced > ZMTP_COMMAND_BYTES_MAX {
                let text =
                    format!("a command announces {announced} bytes; the limit is {ZMTP_COMMAND_BYTES_MAX}");
                return Err(WireError::new(ErrorCode::TooLarge, text));
            }
            return Ok(announced);
        }
        let max = self.message_bytes_max;
        let fits = announced <= max
            && announced.saturating_add(self.scanned + head.head_bytes) <= max
            && native_bytes_with(self.native_bytes, self.parts, announced) <= max;
        if !fits {
            let text = format!("a message part announces {announced} bytes; the limit of a message is {max}");
            return Err(WireError::new(ErrorCode::TooLarge, text));
        }
        Ok(announced)
    }

    fn on_command(&mut self, body: Range<usize>) -> Result<Found, WireError> {
        if self.parts == 0 {
            return Ok(Found::Command { body, alone: true });
        }
        if self.holes.len() >= ZMTP_COMMANDS_WITHIN_MAX {
            return Err(WireError::new(ErrorCode::Malformed, "too many commands within one message"));
        }
        self.holes.push(self.scanned..body.end);
        self.scanned = body.end;
        Ok(Found::Command { body, alone: false })
    }

    fn end_message(&mut self) -> Found {
        let end = std::mem::take(&mut self.scanned);
        let parts = std::mem::take(&mut self.parts);
        let holes = std::mem::take(&mut self.holes);
        if holes.is_empty() {
            return Found::Message(MessageSpan::new(0..end, self.first.clone(), parts, self.native_bytes));
        }
        let mut pieces = Vec::with_capacity(holes.len() + 1);
        let mut from = 0;
        for hole in holes {
            pieces.push(from..hole.start);
            from = hole.end;
        }
        pieces.push(from..end);
        Found::Interrupted { end, pieces }
    }
}
