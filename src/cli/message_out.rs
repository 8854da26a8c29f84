//! The output of `sub` for what publishers have sent: byte for byte, or without what would act on a terminal.

use std::io::{self, Write};

use crate::Message;
use crate::printable::printable;

/// Where messages are written.
pub(super) struct MessageOut<W> {
    out: W,
    /// It is a terminal, on which bytes of a publisher might act, and text was asked for.
    is_shown: bool,
}

impl<W: Write> MessageOut<W> {
    pub(super) fn new(out: W, is_shown: bool) -> Self {
        MessageOut { out, is_shown }
    }

    /// Bytes of a publisher, as they are where no terminal would obey them.
    pub(super) fn data(&mut self, bytes: &[u8]) -> io::Result<()> {
        if self.is_shown {
            return write!(self.out, "{}", printable(bytes));
        }
        self.out.write_all(bytes)
    }

    /// The payload; of a ZeroMQ message the parts behind the topic, and one of a single part is its topic.
    pub(super) fn parts(&mut self, message: &Message, between: &[u8]) -> io::Result<()> {
        if message.multipart && message.payload.is_empty() {
            return self.data(&message.topic);
        }
        for (at, part) in message.parts().enumerate() {
            self.out.write_all(if at > 0 { between } else { b"" })?;
            self.data(&part)?;
        }
        Ok(())
    }

    /// Text of our own.
    pub(super) fn plain(&mut self, text: std::fmt::Arguments<'_>) -> io::Result<()> {
        self.out.write_fmt(text)
    }

    /// The same, as it is.
    pub(super) fn bytes(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.out.write_all(bytes)
    }

    /// Hands on all that is buffered.
    pub(super) fn flush(&mut self) -> io::Result<()> {
        self.out.flush()
    }

    #[cfg(test)]
    pub(super) fn into_inner(self) -> W {
        self.out
    }
}
