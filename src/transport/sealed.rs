//! A stand-in for encrypted streams, in tests: nothing is read before both ends have knocked, bytes are masked on the
//! wire, what is masked already waits here while the kernel is full, and more is unmasked at a time than a reader may have
//! room for. So its readiness is not its socket's.

use std::cell::{Cell, RefCell};
use std::io::{self, IoSlice};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;

use corecast_executors::{Either, ReadySocket, Wake, first};

use super::stream::Stream;

/// The host at which every stream is sealed: an address of the loopback that nothing else uses.
pub(crate) const SEALED_HOST: &str = "127.83.69.65";

/// The first bytes of each direction.
pub(crate) const KNOCK: [u8; 2] = *b"!?";

/// Every byte behind it is changed by this.
const MASK: u8 = 0x5a;

/// The most bytes masked or unmasked at a time: more than one turn reads.
const PIECE_BYTES: usize = 160 << 10;

/// One end of such a stream.
#[derive(Debug)]
pub struct Sealed {
    pub(super) socket: ReadySocket,
    /// Bytes that the kernel has not taken: the knock, then masked ones.
    owed: RefCell<Vec<u8>>,
    /// The last byte that was masked has not been reported as sent, so that its sender waits until all has left.
    is_ahead: Cell<bool>,
    /// Bytes of the peer's knock that have come.
    heard: Cell<usize>,
    /// Raised when it is open or has ended: only who reads hears the knock.
    opened: Wake,
    /// Both directions were shut down at this end.
    ended: Cell<bool>,
    /// Unmasked bytes that nobody has read yet.
    unread: RefCell<Vec<u8>>,
}

/// Two connected streams of this executor, which have not knocked yet.
pub(crate) fn sealed_pair() -> io::Result<(Stream, Stream)> {
    let (one, other) = UnixStream::pair()?;
    Ok((Stream::Sealed(Sealed::adopt(one.into())?), Stream::Sealed(Sealed::adopt(other.into())?)))
}

impl Sealed {
    pub(super) fn adopt(fd: OwnedFd) -> io::Result<Self> {
        Ok(Sealed {
            socket: ReadySocket::adopt(fd)?,
            owed: RefCell::new(KNOCK.to_vec()),
            is_ahead: Cell::new(false),
            heard: Cell::new(0),
            opened: Wake::new(),
            ended: Cell::new(false),
            unread: RefCell::default(),
        })
    }

    pub(super) fn is_open(&self) -> bool {
        self.heard.get() == KNOCK.len()
    }

    pub(super) async fn readable(&self) -> io::Result<()> {
        let input = || self.socket.readable_or(|| !self.unread.borrow().is_empty());
        loop {
            match (self.pay()?, self.hear_knock()?) {
                (true, true) => return input().await,
                (true, false) => input().await?,
                (false, false) => self.socket.writable().await?,
                (false, true) => match first(input(), self.socket.writable()).await {
                    Either::Left(readable) => return readable,
                    Either::Right(writable) => writable?,
                },
            }
        }
    }

    pub(super) async fn writable(&self) -> io::Result<()> {
        while !self.is_open() && !self.ended.get() {
            self.opened.wait().await;
        }
        while !self.pay()? {
            self.socket.writable().await?;
        }
        self.socket.writable().await
    }

    pub(super) fn try_recv(&self, buffer: &mut [u8]) -> io::Result<Option<usize>> {
        if !self.hear_knock()? {
            return Ok(None);
        }
        let mut unread = self.unread.borrow_mut();
        if unread.is_empty() {
            unread.resize(PIECE_BYTES, 0);
            let received = self.socket.try_recv(&mut unread);
            unread.truncate(received.as_ref().map_or(0, |received| received.unwrap_or(0)));
            unread.iter_mut().for_each(|byte| *byte ^= MASK);
            if unread.is_empty() {
                return received;
            }
        }
        let taken = unread.len().min(buffer.len());
        buffer[..taken].copy_from_slice(&unread[..taken]);
        unread.drain(..taken);
        Ok(Some(taken))
    }

    pub(super) fn try_send_vectored(&self, parts: &[IoSlice<'_>]) -> io::Result<Option<usize>> {
        if self.ended.get() {
            return Err(io::ErrorKind::BrokenPipe.into());
        }
        if !self.is_open() || !self.pay()? {
            return Ok(None);
        }
        let bytes = || parts.iter().flat_map(|part| part.iter()).take(PIECE_BYTES);
        let masked_before = usize::from(self.is_ahead.get());
        self.owed.borrow_mut().extend(bytes().skip(masked_before).map(|byte| byte ^ MASK));
        let has_left = self.pay()?;
        self.is_ahead.set(!has_left);
        Ok(Some(bytes().count() - usize::from(!has_left)))
    }

    pub(super) fn shutdown_both(&self) -> io::Result<()> {
        self.ended.set(true);
        self.opened.raise();
        self.socket.shutdown_both()
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
        while !self.is_open() {
            let (mut byte, heard) = ([0], self.heard.get());
            match self.socket.try_recv(&mut byte)? {
                Some(1) if byte[0] == KNOCK[heard] => self.heard.set(heard + 1),
                Some(1) => return Err(io::Error::new(io::ErrorKind::InvalidData, "it does not knock")),
                // As of a peer that has gone before it began.
                Some(_) if heard == 0 => return Err(io::ErrorKind::ConnectionReset.into()),
                Some(_) => return Err(io::ErrorKind::UnexpectedEof.into()),
                None => return Ok(false),
            }
            if self.is_open() {
                self.opened.raise();
            }
        }
        Ok(true)
    }
}
