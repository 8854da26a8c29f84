//! Connections that plain threads make, and block on: for commands with one question.

use std::io::{self, Read, Write};
use std::time::{Duration, Instant};

use futures_lite::future::block_on;
use socket2::{Socket, Type};

use super::address::Address;
use super::connect::{ConnectConfig, ConnectError, outgoing_kind};
use super::endpoint::Endpoint;
use super::stream::StreamKind;
#[cfg(feature = "tls")]
use super::tls::TlsBlockingStream;

/// A connection of a plain thread, whatever carries its bytes.
pub(crate) trait BlockingStream: Read + Write {}

impl<S: Read + Write> BlockingStream for S {}

/// Connects to the first address of an endpoint that answers, and makes the handshake, if there is one. Neither this nor any
/// read or write lasts beyond `deadline`.
///
/// # Errors
/// The endpoint is unknown, or does not answer.
pub(crate) fn connect_blocking(
    endpoint: &Endpoint,
    config: &ConnectConfig,
    deadline: Instant,
) -> Result<Box<dyn BlockingStream>, ConnectError> {
    let kind = block_on(outgoing_kind(endpoint, config)).map_err(ConnectError::Untried)?;
    let addresses = endpoint.connect_addresses_until(deadline).map_err(ConnectError::Untried)?;
    let nowhere = io::ErrorKind::AddrNotAvailable.into();
    let mut failed = ConnectError::Unanswered { address: None, source: nowhere };
    for address in &addresses {
        match TimedSocket::connect(address, deadline).and_then(|socket| open(socket, kind.clone())) {
            Ok(stream) => return Ok(stream),
            Err(source) => failed = ConnectError::Unanswered { address: address.sock().as_socket(), source },
        }
    }
    Err(failed)
}

fn open(socket: TimedSocket, kind: StreamKind) -> io::Result<Box<dyn BlockingStream>> {
    match kind {
        #[cfg(feature = "tls")]
        StreamKind::Tls(end) => Ok(Box::new(TlsBlockingStream::open(socket, end)?)),
        _ => Ok(Box::new(socket)),
    }
}

/// A connected socket whose reads and writes end at a deadline.
#[derive(Debug)]
struct TimedSocket {
    socket: Socket,
    deadline: Instant,
}

impl TimedSocket {
    fn connect(address: &Address, deadline: Instant) -> io::Result<Self> {
        let address = address.sock();
        let socket = Socket::new(address.domain(), Type::STREAM.cloexec(), None)?;
        let socket = TimedSocket { socket, deadline };
        socket.socket.connect_timeout(address, socket.left()?)?;
        Ok(socket)
    }

    fn left(&self) -> io::Result<Duration> {
        match self.deadline.saturating_duration_since(Instant::now()) {
            Duration::ZERO => Err(io::ErrorKind::TimedOut.into()),
            left => Ok(left),
        }
    }
}

/// The kernel's word for a time that is over is that it would block.
fn in_time<T>(done: io::Result<T>) -> io::Result<T> {
    done.map_err(|error| match error.kind() {
        io::ErrorKind::WouldBlock => io::ErrorKind::TimedOut.into(),
        _ => error,
    })
}

impl Read for TimedSocket {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.socket.set_read_timeout(Some(self.left()?))?;
        in_time(self.socket.read(buffer))
    }
}

impl Write for TimedSocket {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.socket.set_write_timeout(Some(self.left()?))?;
        in_time(self.socket.write(bytes))
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
