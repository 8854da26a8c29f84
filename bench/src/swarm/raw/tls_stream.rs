//! Owns a raw client's end of TLS over a socket that never blocks.
//!
//! Text is made of records in the caller's buffer: the kernel's bytes are put there, taken from there some at a time, and
//! overwritten by their text, which is shorter. So a client costs as little as a socket allows, for every peer alike.

use rustls::pki_types::ServerName;
use rustls::{ClientConfig, ClientConnection};
use socket2::Socket;
use std::io::{self, ErrorKind, Read, Write};
use std::sync::Arc;

/// Room for the text of a record of which all but the end had come before.
const RECORD_BYTES_MAX: usize = 17 << 10;
/// Bytes that a peer may say before TLS begins.
const CLEAR_BYTES_MAX: usize = 16 << 10;

/// The stream.
#[derive(Debug)]
pub struct TlsStream {
    socket: Socket,
    tls: ClientConnection,
    /// The part that has come of the line that the peer says in clear; `None`: TLS has begun.
    clear: Option<Vec<u8>>,
}

impl TlsStream {
    /// A stream that is about to open. With `begins_in_clear` the peer says a line first, and TLS begins behind it.
    pub(super) fn new(
        socket: Socket,
        (trust, host): (Arc<ClientConfig>, &str),
        begins_in_clear: bool,
    ) -> io::Result<Self> {
        let name = ServerName::try_from(host.to_owned()).map_err(io::Error::other)?;
        let mut tls = ClientConnection::new(trust, name).map_err(io::Error::other)?;
        // Nothing is written before the last block has left.
        tls.set_buffer_limit(None);
        Ok(TlsStream { socket, tls, clear: begins_in_clear.then(Vec::new) })
    }

    pub(super) fn socket(&self) -> &Socket {
        &self.socket
    }

    pub(super) fn owes(&self) -> bool {
        self.clear.is_none() && self.tls.wants_write()
    }

    /// Takes in the line before TLS. The peer says nothing behind it before it is answered.
    fn hear_clear(&mut self) -> io::Result<()> {
        let Some(line) = &mut self.clear else { return Ok(()) };
        let mut piece = [0; 4 << 10];
        while !line.ends_with(b"\n") {
            match self.socket.read(&mut piece)? {
                0 => return Err(ErrorKind::UnexpectedEof.into()),
                read => line.extend_from_slice(&piece[..read]),
            }
            if line.len() > CLEAR_BYTES_MAX {
                return Err(io::Error::other("the peer does not come to TLS"));
            }
        }
        self.clear = None;
        Ok(())
    }

    /// Hands the kernel what waits, as far as it has room.
    fn pay(&mut self) -> io::Result<()> {
        match self.flush() {
            Err(error) if error.kind() == ErrorKind::WouldBlock => Ok(()),
            paid => paid,
        }
    }

    /// Text that has been made already; none is no error.
    fn text(&mut self, buffer: &mut [u8]) -> usize {
        self.tls.reader().read(buffer).unwrap_or(0)
    }

    /// Makes text of the first bytes of a buffer, in their place.
    fn decrypt(&mut self, buffer: &mut [u8], received: usize) -> io::Result<usize> {
        let (mut taken, mut read) = (0, 0);
        while taken < received {
            let fed = self.tls.read_tls(&mut &buffer[taken..received])?;
            taken += fed;
            let processed = self.tls.process_new_packets().map_err(io::Error::other);
            if processed.is_err() {
                // The peer is told why.
                let _ = self.pay();
            }
            let has_closed = processed?.peer_has_closed();
            read += self.text(&mut buffer[read..taken]);
            if fed == 0 || has_closed {
                break;
            }
        }
        Ok(read + self.text(&mut buffer[read..]))
    }
}

impl Read for TlsStream {
    /// Reads text, and takes in the handshake. The buffer has room for several records.
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.pay()?;
        let waited = self.text(buffer);
        if waited > 0 {
            return Ok(waited);
        }
        self.hear_clear()?;
        self.pay()?;
        let room = buffer.len().saturating_sub(RECORD_BYTES_MAX).max(buffer.len() / 2);
        loop {
            let received = self.socket.read(&mut buffer[..room])?;
            if received == 0 {
                return Ok(0);
            }
            let read = self.decrypt(buffer, received)?;
            self.pay()?;
            if read > 0 {
                return Ok(read);
            }
        }
    }
}

impl Write for TlsStream {
    /// Takes all bytes, once those of before have left. They wait for the end of the handshake.
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.flush()?;
        let taken = self.tls.writer().write(bytes)?;
        self.pay()?;
        Ok(taken)
    }

    fn flush(&mut self) -> io::Result<()> {
        while self.owes() {
            match self.tls.write_tls(&mut self.socket) {
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                written => drop(written?),
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::super::floor_stream::FloorStream;
    use super::*;
    use crate::process::certificate::ServerCertificate;
    use crate::process::trust::Trust;
    use corecast_executors::spawn_plain;
    use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
    use socket2::{Domain, Type};
    use std::os::fd::AsFd;
    use std::thread::JoinHandle;

    const HELLO: &[u8] = b"hello";

    /// A server that says this in clear, shakes hands, hears [`HELLO`], writes `text`, and closes; and the other end of its
    /// socket.
    fn serve(made: &ServerCertificate, clear: &'static [u8], text: Vec<u8>) -> (Socket, JoinHandle<bool>) {
        let (mut socket, other) = Socket::pair(Domain::UNIX, Type::STREAM, None).unwrap();
        other.set_nonblocking(true).unwrap();
        let config = made.server().unwrap();
        let server = spawn_plain("server", move || {
            socket.write_all(clear).unwrap();
            let mut stream = FloorStream::over(socket, Some(&config)).unwrap();
            let mut heard = [0; HELLO.len()];
            stream.read_exact(&mut heard).is_ok_and(|()| heard == HELLO) && stream.write_all(&text).is_ok()
        });
        (other, server.unwrap())
    }

    /// All that a client with a buffer of this size reads.
    fn read_all(stream: &mut TlsStream, buffer_bytes: usize) -> io::Result<Vec<u8>> {
        assert_eq!(stream.write(HELLO).unwrap(), HELLO.len(), "it waits for the handshake");
        let (mut all, mut buffer) = (Vec::new(), vec![0; buffer_bytes]);
        loop {
            match stream.read(&mut buffer) {
                Ok(0) => return Ok(all),
                Ok(read) => all.extend_from_slice(&buffer[..read]),
                Err(error) if error.kind() == ErrorKind::WouldBlock => {
                    let mut wanted = PollFlags::POLLIN;
                    wanted.set(PollFlags::POLLOUT, stream.owes());
                    poll(&mut [PollFd::new(stream.socket().as_fd(), wanted)], PollTimeout::NONE).unwrap();
                }
                Err(error) => return Err(error),
            }
        }
    }

    #[test]
    fn what_the_server_writes_is_read_whatever_the_buffer() {
        let folder = tempfile::tempdir().unwrap();
        let made = ServerCertificate::make(folder.path()).unwrap();
        let trust = made.trust().unwrap();
        let text: Vec<u8> = (0..300_000_u32).map(|number| (number % 251) as u8).collect();
        for (buffer_bytes, clear) in [(48 << 10, &b""[..]), (256 << 10, b""), (64 << 10, b"INFO {}\r\n")] {
            let (socket, server) = serve(&made, clear, text.clone());
            let to = (trust.raw(), "127.0.0.1");
            let mut stream = TlsStream::new(socket, to, !clear.is_empty()).unwrap();
            let read = read_all(&mut stream, buffer_bytes).unwrap();
            assert!(read == text, "{} bytes with a buffer of {buffer_bytes}", read.len());
            assert!(server.join().unwrap());
        }
    }

    #[test]
    fn a_server_with_another_certificate_is_not_spoken_to() {
        let folders = [tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap()];
        let [made, other] = folders.each_ref().map(|folder| ServerCertificate::make(folder.path()).unwrap());
        let (socket, server) = serve(&made, b"", Vec::new());
        let trust: Trust = other.trust().unwrap();
        let mut stream = TlsStream::new(socket, (trust.raw(), "127.0.0.1"), false).unwrap();
        let error = read_all(&mut stream, 64 << 10).unwrap_err().to_string();
        assert!(error.contains("certificate"), "{error}");
        assert!(!server.join().unwrap(), "it has not heard a word");
    }
}
