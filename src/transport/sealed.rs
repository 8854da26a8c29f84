//! A stand-in for encrypted streams, in tests: nothing is read before both ends have knocked, bytes are masked on the
//! wire, and what is masked already waits here while the kernel is full. So its readiness is not its socket's.

use std::cell::{Cell, RefCell};
use std::io::{self, IoSlice};
use std::os::unix::net::UnixStream;

use corecast_executors::{Either, ReadySocket, first};

use super::stream::Stream;

/// The first byte of each direction.
const KNOCK: u8 = b'!';

/// Every byte behind it is changed by this.
const MASK: u8 = 0x5a;

/// The most bytes masked at a time.
const PIECE_BYTES: usize = 64 << 10;

/// One end of such a stream.
#[derive(Debug)]
pub struct Sealed {
    pub(super) socket: ReadySocket,
    /// Bytes that the kernel has not taken: the knock, then masked ones.
    owed: RefCell<Vec<u8>>,
    /// The peer has knocked.
    is_open: Cell<bool>,
    /// The last byte that was masked has not been reported as sent, so that its sender waits until all has left.
    is_ahead: Cell<bool>,
}

/// Two connected streams of this executor, which have not knocked yet.
pub(crate) fn sealed_pair() -> io::Result<(Stream, Stream)> {
    let (one, other) = UnixStream::pair()?;
    let seal = |socket: UnixStream| -> io::Result<Stream> {
        Ok(Stream::Sealed(Sealed {
            socket: ReadySocket::adopt(socket.into())?,
            owed: RefCell::new(vec![KNOCK]),
            is_open: Cell::new(false),
            is_ahead: Cell::new(false),
        }))
    };
    Ok((seal(one)?, seal(other)?))
}

impl Sealed {
    pub(super) async fn readable(&self) -> io::Result<()> {
        loop {
            match (self.pay()?, self.hear_knock()?) {
                (true, true) => return self.socket.readable().await,
                (true, false) => self.socket.readable().await?,
                (false, false) => self.socket.writable().await?,
                (false, true) => match first(self.socket.readable(), self.socket.writable()).await {
                    Either::Left(readable) => return readable,
                    Either::Right(writable) => writable?,
                },
            }
        }
    }

    pub(super) async fn writable(&self) -> io::Result<()> {
        loop {
            if !self.pay()? {
                self.socket.writable().await?;
            } else if self.hear_knock()? {
                return self.socket.writable().await;
            } else {
                self.socket.readable().await?;
            }
        }
    }

    pub(super) fn try_recv(&self, buffer: &mut [u8]) -> io::Result<Option<usize>> {
        if !self.hear_knock()? {
            return Ok(None);
        }
        let received = self.socket.try_recv(buffer)?;
        buffer[..received.unwrap_or(0)].iter_mut().for_each(|byte| *byte ^= MASK);
        Ok(received)
    }

    pub(super) fn try_send_vectored(&self, parts: &[IoSlice<'_>]) -> io::Result<Option<usize>> {
        if !self.is_open.get() || !self.pay()? {
            return Ok(None);
        }
        let bytes = || parts.iter().flat_map(|part| part.iter()).take(PIECE_BYTES);
        let masked_before = usize::from(self.is_ahead.get());
        self.owed.borrow_mut().extend(bytes().skip(masked_before).map(|byte| byte ^ MASK));
        let has_left = self.pay()?;
        self.is_ahead.set(!has_left);
        Ok(Some(bytes().count() - usize::from(!has_left)))
    }

    /// Hands the kernel what is owed; true if it has taken all.
    fn pay(&self) -> io::Result<bool> {
        let mut owed = self.owed.borrow_mut();
        while !owed.is_empty() {
            let Some(sent) = self.socket.try_send_vectored(&[IoSlice::new(&owed)])? else { return Ok(false) };
            owed.drain(..sent);
        }
        Ok(true)
    }

    /// True once the peer's knock was read.
    fn hear_knock(&self) -> io::Result<bool> {
        let mut byte = [0];
        if !self.is_open.get() {
            match self.socket.try_recv(&mut byte)? {
                Some(1) if byte == [KNOCK] => self.is_open.set(true),
                Some(_) => return Err(io::ErrorKind::InvalidData.into()),
                None => {}
            }
        }
        Ok(self.is_open.get())
    }
}
