//! Finds the whole messages and commands in the received bytes. The scanned start of an incomplete message is not
//! scanned again, so that a peer which sends byte by byte costs no more than its bytes.

use std::ops::Range;

use super::frame::{Head, MessageSpan, native_bytes_with, parse_head};
use crate::error::ErrorCode;
use crate::limits::{
    TOPIC_BYTES_MAX, ZMTP_COMMAND_BYTES_MAX, ZMTP_COMMANDS_WITHIN_MAX, ZMTP_SKIPPED_BYTES_MAX,
};
use crate::wire::{Partial, WireError};

/// The item at the start of the received bytes.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Found {
    /// No whole item yet.
    NeedMore,
    /// A command with this body. If `alone`, it ends the used bytes; otherwise it is within a message, where libzmq
    /// sends its heartbeats, and is skipped when that message is whole.
    Command {
        /// The command's body.
        body: Range<usize>,
        /// True unless the command is within a message.
        alone: bool,
    },
    /// A whole message.
    Message(MessageSpan),
    /// A message to `end` with commands within it: only these frames are its own.
    Interrupted {
        /// The end of the message.
        end: usize,
        /// The message's frames.
        pieces: Vec<Range<usize>>,
    },
    /// The start of a message that is longer than allowed: its bytes are to be skipped as they come.
    TooLong {
        /// The start of its first part, as far as it is used for routing.
        topic: Range<usize>,
        /// Bytes of the message so far, including the announced ones.
        message_bytes: usize,
    },
    /// Bytes of such a message, up to here.
    Skipped(usize),
}

/// The rest of a message that is being skipped.
#[derive(Debug)]
struct Skip {
    /// Bytes to the end of its current part.
    part_left: usize,
    /// True if more parts follow.
    more: bool,
    /// Bytes of the message so far, including the announced ones.
    message_bytes: usize,
    /// Bytes that were skipped, commands within the message included.
    skipped_bytes: usize,
}

/// One connection's position in the stream, from the start of an incomplete message.
#[derive(Debug)]
pub struct Decoder {
    message_bytes_max: usize,
    scanned: usize,
    parts: u32,
    first: Range<usize>,
    native_bytes: usize,
    /// Commands within the message.
    holes: Vec<Range<usize>>,
    skip: Option<Skip>,
    command_bytes_max: usize,
}

impl Decoder {
    /// A decoder for messages of at most `message_bytes_max`, both as they come and as native frames.
    pub fn new(message_bytes_max: usize) -> Self {
        Decoder {
            message_bytes_max,
            scanned: 0,
            parts: 0,
            first: 0..0,
            native_bytes: 0,
            holes: Vec::new(),
            skip: None,
            command_bytes_max: ZMTP_COMMAND_BYTES_MAX,
        }
    }

    /// Allows commands to be as long as messages from now on: subscriptions are commands.
    pub fn take_long_commands(&mut self) {
        self.command_bytes_max = self.command_bytes_max.max(self.message_bytes_max);
    }

    /// The item at the start of `bytes`, which begin at the end of the last message or `alone` command.
    ///
    /// # Errors
    /// `Malformed`, `TooLarge`: at once, however little of it has arrived.
    pub fn next(&mut self, bytes: &[u8]) -> Result<Found, WireError> {
        if self.skip.is_some() {
            return self.skip_more(bytes);
        }
        loop {
            let Some(head) = parse_head(&bytes[self.scanned..])? else { return Ok(Found::NeedMore) };
            if !self.fits(head)? {
                return self.begin_skip(head, bytes);
            }
            let body_bytes = announced(head);
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

    /// The incomplete message or command that `bytes` are the start of. One that is skipped, or will be as soon as its topic
    /// is here, is in no memory, and announces nothing that could buy it time.
    pub fn partial(&self, bytes: &[u8]) -> Partial {
        let held_bytes = bytes.len();
        if let Some(skip) = &self.skip {
            let received_bytes = skip.skipped_bytes + held_bytes;
            return Partial {
                held_bytes,
                received_bytes,
                at_least_bytes: received_bytes,
                at_most_bytes: held_bytes,
            };
        }
        let head = parse_head(bytes.get(self.scanned..).unwrap_or_default()).ok().flatten();
        let head = head.filter(|head| self.fits(*head) == Ok(true));
        let at_least_bytes = match head {
            Some(head) => announced(head).saturating_add(self.scanned + head.head_bytes),
            None => held_bytes,
        };
        let ends = match head {
            Some(head) if head.command => self.parts == 0,
            Some(head) => !head.more,
            None => self.parts == 0,
        };
        let at_most_bytes = if ends { at_least_bytes } else { at_least_bytes.max(self.message_bytes_max) };
        Partial { held_bytes, received_bytes: held_bytes, at_least_bytes, at_most_bytes }
    }

    /// True if a message with this part has an allowed length. A command that is too long is an error.
    fn fits(&self, head: Head) -> Result<bool, WireError> {
        let announced = announced(head);
        if head.command {
            let max = self.command_bytes_max;
            if announced > max {
                let text = format!("a command announces {announced} bytes; the limit is {max}");
                return Err(WireError::new(ErrorCode::TooLarge, text));
            }
            return Ok(true);
        }
        let max = self.message_bytes_max;
        Ok(announced <= max
            && announced.saturating_add(self.scanned + head.head_bytes) <= max
            && native_bytes_with(self.native_bytes, self.parts, announced) <= max)
    }

    /// Handles a head whose part makes a message too long. Skipped messages are identified by their first part, so that
    /// part has to have arrived.
    fn begin_skip(&mut self, head: Head, bytes: &[u8]) -> Result<Found, WireError> {
        let from = self.scanned + head.head_bytes;
        let message_bytes = skipped_bytes(from, announced(head), self.message_bytes_max)?;
        let first = if self.parts == 0 { from..from + announced(head) } else { self.first.clone() };
        let topic = first.start..first.end.min(first.start + TOPIC_BYTES_MAX);
        if topic.end > bytes.len() {
            return Ok(Found::NeedMore);
        }
        // The received bytes of the message are skipped with this part: none of them has been used up.
        let part_left = from + announced(head);
        self.skip = Some(Skip { part_left, more: head.more, message_bytes, skipped_bytes: 0 });
        (self.scanned, self.parts, self.native_bytes) = (0, 0, 0);
        self.holes.clear();
        Ok(Found::TooLong { topic, message_bytes })
    }

    fn skip_more(&mut self, bytes: &[u8]) -> Result<Found, WireError> {
        let Some(skip) = &mut self.skip else { return Ok(Found::NeedMore) };
        if skip.part_left > 0 {
            let now = skip.part_left.min(bytes.len());
            skip.part_left -= now;
            skip.skipped_bytes += now;
            if skip.part_left == 0 && !skip.more {
                self.skip = None;
            }
            return Ok(if now > 0 { Found::Skipped(now) } else { Found::NeedMore });
        }
        let Some(head) = parse_head(bytes)? else { return Ok(Found::NeedMore) };
        if head.command {
            self.fits(head)?;
            let body = head.head_bytes..head.head_bytes + announced(head);
            if body.end > bytes.len() {
                return Ok(Found::NeedMore);
            }
            if let Some(skip) = &mut self.skip {
                skip.skipped_bytes += body.end;
            }
            return Ok(Found::Command { body, alone: true });
        }
        let from = skip.message_bytes.saturating_add(head.head_bytes);
        skip.message_bytes = skipped_bytes(from, announced(head), self.message_bytes_max)?;
        (skip.part_left, skip.more) = (announced(head), head.more);
        skip.skipped_bytes += head.head_bytes;
        if skip.part_left == 0 && !skip.more {
            self.skip = None;
        }
        Ok(Found::Skipped(head.head_bytes))
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

fn announced(head: Head) -> usize {
    usize::try_from(head.body_bytes).unwrap_or(usize::MAX)
}

/// Bytes of a skipped message, including those that its next part announces.
fn skipped_bytes(before: usize, announced: usize, max: usize) -> Result<usize, WireError> {
    let all = before.saturating_add(announced);
    if all > ZMTP_SKIPPED_BYTES_MAX {
        let text = format!("a message part announces {announced} bytes; the limit of a message is {max}");
        return Err(WireError::new(ErrorCode::TooLarge, text));
    }
    Ok(all)
}
