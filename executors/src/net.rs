//! Readiness of sockets and calls on them that never block. Used by pumps; knows no protocol.
//!
//! Waiting holds no buffer: a thousand idle connections cost a thousand entries of an epoll instance (`readiness`), and the
//! bytes are read into the caller's buffer once they have arrived.

use std::io::{self, ErrorKind, IoSlice, Read as _};
use std::mem::MaybeUninit;
use std::net::Shutdown;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::Duration;

use socket2::SockRef;

use crate::clock::MonotonicNs;
use crate::reactor::Polled;
use crate::readiness::ReadWatch;
use crate::thread::{idle_here, on_executor};
use crate::turn::end_turn;

/// The most parts of one send (UIO_MAXIOV of the kernel); the next call sends the rest.
const SEND_PARTS_MAX: usize = 1024;

/// Sends never raise SIGPIPE and never wait.
const SEND_FLAGS: i32 = libc::MSG_NOSIGNAL | libc::MSG_DONTWAIT;

/// Peeks never take and never wait.
const PEEK_FLAGS: i32 = libc::MSG_PEEK | libc::MSG_DONTWAIT;

/// The longest time that one wait polls its socket: longer than a message's round trip, and no more than a spin that is
/// worth its CPU.
const LOOK_MAX: Duration = Duration::from_micros(100);

/// Retries of an interrupted call before it counts as "would block".
const INTERRUPTS_MAX: usize = 16;

/// A TCP or Unix socket, connected or listening, that belongs to this executor.
#[derive(Debug)]
pub struct ReadySocket {
    fd: Polled<OwnedFd>,
    /// Dropped behind the descriptor, with which it ends.
    watch: ReadWatch,
}

impl ReadySocket {
    /// Takes over a socket and makes it non-blocking.
    ///
    /// # Errors
    /// If this thread is not an executor, the flag cannot be set, or no descriptor is left to wait with. The descriptor is
    /// closed then.
    pub fn adopt(fd: OwnedFd) -> io::Result<Self> {
        if !on_executor() {
            return Err(io::Error::other("a socket can be adopted only on an executor thread"));
        }
        SockRef::from(&fd).set_nonblocking(true)?;
        let watch = ReadWatch::new(fd.as_fd())?;
        Ok(Self { fd: Polled::new(fd)?, watch })
    }

    /// Waits until there is data, a connection to accept, the end of the stream or an error. The turn of the caller has
    /// ended by then, also if there was data all along.
    ///
    /// An executor that does not sleep polls the socket itself for a while, turn by turn: the ring learns of readiness
    /// by an interrupt from the sender's core, which costs more than everything else on the way of a message.
    ///
    /// # Errors
    /// If the poll itself fails.
    pub async fn readable(&self) -> io::Result<()> {
        self.readable_or(|| false).await
    }

    /// The same for a stream that may have input which its socket does not show, such as bytes that are already
    /// decrypted. `has_input` is called before the wait and whenever the socket is polled; what becomes available while the
    /// executor sleeps must show at the socket.
    ///
    /// # Errors
    /// If the poll itself fails.
    pub async fn readable_or(&self, has_input: impl Fn() -> bool) -> io::Result<()> {
        if has_input() {
            end_turn().await;
            return Ok(());
        }
        let time = idle_here().spin_before_park().min(LOOK_MAX);
        if !time.is_zero() && self.look(time, has_input).await {
            return Ok(());
        }
        self.watch.readable(self.as_fd()).await
    }

    /// Ends the wait of the task that waits to read, if one does, as if there were data. What it waits with in
    /// [`ReadySocket::readable_or`] must be true by then, or a wait that is about to begin would miss this.
    pub fn interrupt(&self) {
        self.watch.interrupt();
    }

    /// Looks for input for so long, turn by turn. Returns true if there is some.
    async fn look(&self, time: Duration, has_input: impl Fn() -> bool) -> bool {
        let until = MonotonicNs::now() + time;
        let mut has_ended_turn = false;
        loop {
            match self.peek() {
                Ok(true) if has_ended_turn => return true,
                Ok(true) => {
                    // A sender that is faster than its reader would let nobody else have a turn.
                    end_turn().await;
                    return true;
                }
                Ok(false) => {}
                // A listener, or a broken socket: the poll has an answer for both.
                Err(_) => return false,
            }
            if has_ended_turn && MonotonicNs::now() >= until {
                return false;
            }
            end_turn().await;
            has_ended_turn = true;
            if has_input() {
                return true;
            }
        }
    }

    /// True if there is data, or the end of the stream.
    fn peek(&self) -> io::Result<bool> {
        let mut byte = [MaybeUninit::uninit()];
        let socket = self.socket();
        let peeked = until_uninterrupted(|| socket.recv_with_flags(&mut byte, PEEK_FLAGS))?;
        Ok(peeked.is_some())
    }

    /// Waits until there is room to send, or an error.
    ///
    /// # Errors
    /// If the poll itself fails.
    pub async fn writable(&self) -> io::Result<()> {
        self.fd.writable().await
    }

    /// Reads the available bytes, at most the whole of `buffer`. `None`: nothing now. `Some(0)`: the end of the stream.
    ///
    /// # Errors
    /// Those of `recv(2)`; ECONNRESET is the common one.
    pub fn try_recv(&self, buffer: &mut [u8]) -> io::Result<Option<usize>> {
        let socket = self.socket();
        until_uninterrupted(|| (&*socket).read(buffer))
    }

    /// Sends as much of `parts` as the kernel takes now. `None`: no room.
    ///
    /// # Errors
    /// Those of `send(2)`; EPIPE and ECONNRESET are the common ones.
    pub fn try_send_vectored(&self, parts: &[IoSlice<'_>]) -> io::Result<Option<usize>> {
        let parts = &parts[..parts.len().min(SEND_PARTS_MAX)];
        let socket = self.socket();
        until_uninterrupted(|| match parts {
            // Without a list of parts for the kernel to copy; at low rates nearly every send has one part.
            [part] => socket.send_with_flags(part, SEND_FLAGS),
            parts => socket.send_vectored_with_flags(parts, SEND_FLAGS),
        })
    }

    /// Takes a pending connection of this listener, non-blocking and close-on-exec. `None`: there is none now, or it
    /// was reset while it waited.
    ///
    /// # Errors
    /// Those of `accept4(2)`. EMFILE and ENFILE return at once every time: the caller backs off.
    pub fn try_accept(&self) -> io::Result<Option<OwnedFd>> {
        let socket = self.socket();
        let accepted = until_uninterrupted(|| socket.accept4(libc::SOCK_CLOEXEC | libc::SOCK_NONBLOCK));
        match accepted {
            Ok(accepted) => Ok(accepted.map(|(socket, _peer)| socket.into())),
            Err(error) if error.kind() == ErrorKind::ConnectionAborted => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Ends the sending direction; reading goes on.
    ///
    /// # Errors
    /// ENOTCONN if the peer is gone already.
    pub fn shutdown_write(&self) -> io::Result<()> {
        self.socket().shutdown(Shutdown::Write)
    }

    /// Ends both directions now: every task that waits for this socket sees the end of the stream.
    ///
    /// # Errors
    /// ENOTCONN if the peer is gone already.
    pub fn shutdown_both(&self) -> io::Result<()> {
        self.socket().shutdown(Shutdown::Both)
    }

    /// Gives the descriptor back, still non-blocking, to pass it to another shard.
    #[must_use]
    pub fn into_fd(self) -> OwnedFd {
        let fd = self.fd.into_inner();
        self.watch.let_go(&fd);
        fd
    }

    fn socket(&self) -> SockRef<'_> {
        SockRef::from(self.fd.get_ref())
    }
}

impl AsFd for ReadySocket {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.get_ref().as_fd()
    }
}

/// Repeats a call while signals interrupt it. `None`: it would have blocked.
fn until_uninterrupted<T>(mut call: impl FnMut() -> io::Result<T>) -> io::Result<Option<T>> {
    for _ in 0..INTERRUPTS_MAX {
        match call() {
            Ok(value) => return Ok(Some(value)),
            Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(None),
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(None)
}
