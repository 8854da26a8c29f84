//! An encrypted stream: the handshake, records in both directions, and the end.
//!
//! A read decrypts in the caller's own buffer: what comes from the socket is put there, taken from there record by record,
//! and overwritten by its text, which is shorter. Idle streams hold no buffer but the few KiB of rustls.
//!
//! A send makes records of up to 16 KiB of whatever parts there are, at most [`TLS_UNSENT_BYTES_MAX`] ahead of the kernel.
//! While some of them wait, the last byte is not reported as sent, so that its sender waits for them as well.

use std::cell::{Cell, RefCell};
use std::io::{self, IoSlice, Read, Write};
use std::os::fd::OwnedFd;
use std::sync::Arc;

use corecast_executors::{Either, ReadySocket, Wake, first};
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, ClientConnection, Connection, ServerConfig, ServerConnection};

use super::certificate::CertificateFacts;
use super::trouble::{self, FirstBytes};
use super::turns::HandshakeTurn;
use crate::limits::{SEND_SLICES_MAX, TLS_HANDSHAKE_BYTES_MAX, TLS_HELLO_BYTES_MAX, TLS_UNSENT_BYTES_MAX};

/// Length of a buffer from which on records are decrypted in it: of less, a record takes several reads.
const IN_PLACE_BYTES_MIN: usize = 4 << 10;

/// Reads of rustls, each of 4 KiB, in which the longest record has come whole.
const READS_PER_RECORD: usize = 5;

/// The end of a connection that this process is, with its configuration.
#[derive(Clone, Debug)]
pub(in crate::transport) enum TlsEnd {
    /// The end that listens.
    Server(Arc<ServerConfig>),
    /// The end that connects, and the name for which the other end's certificate must be.
    Client(Arc<ClientConfig>, ServerName<'static>),
}

/// An encrypted stream of this executor.
#[derive(Debug)]
pub struct TlsChannel {
    pub(in crate::transport) socket: ReadySocket,
    connection: RefCell<Connection>,
    /// The handshake is over.
    is_open: Cell<bool>,
    /// Raised when it is open or has ended: only the reader drives the handshake.
    opened: Wake,
    /// Both directions were shut down at this end.
    has_ended: Cell<bool>,
    /// The sending direction ends behind what waits.
    ends_sending: Cell<bool>,
    /// The last byte that was encrypted has not been reported as sent.
    is_ahead: Cell<bool>,
    /// There may be input that the socket does not show: text that nobody has read, or an error.
    has_input: Cell<bool>,
    /// The last read took as much of the socket as there was room for.
    has_filled: Cell<bool>,
    /// The first bytes of the other end.
    heard: Cell<FirstBytes>,
    /// Bytes of the other end's handshake.
    handshake_bytes: Cell<usize>,
    /// The most that they may come to: little, as long as they have cost the other end no work.
    handshake_bytes_max: Cell<usize>,
    /// The names of the certificate that the other end has shown, until somebody takes them.
    peer_names: RefCell<Option<Vec<String>>>,
}

impl TlsChannel {
    pub(in crate::transport) fn adopt(fd: OwnedFd, end: TlsEnd) -> io::Result<Self> {
        let connection = match end {
            TlsEnd::Server(config) => ServerConnection::new(config).map(Connection::Server),
            TlsEnd::Client(config, name) => ClientConnection::new(config, name).map(Connection::Client),
        };
        let mut connection = connection.map_err(io::Error::other)?;
        connection.set_buffer_limit(Some(TLS_UNSENT_BYTES_MAX));
        Ok(TlsChannel {
            socket: ReadySocket::adopt(fd)?,
            connection: RefCell::new(connection),
            is_open: Cell::new(false),
            opened: Wake::new(),
            has_ended: Cell::new(false),
            ends_sending: Cell::new(false),
            is_ahead: Cell::new(false),
            has_input: Cell::new(false),
            has_filled: Cell::new(false),
            heard: Cell::default(),
            handshake_bytes: Cell::new(0),
            handshake_bytes_max: Cell::new(TLS_HELLO_BYTES_MAX),
            peer_names: RefCell::default(),
        })
    }

    pub(in crate::transport) fn is_open(&self) -> bool {
        self.is_open.get()
    }

    pub(in crate::transport) fn take_peer_names(&self) -> Option<Vec<String>> {
        self.peer_names.take()
    }

    pub(in crate::transport) async fn readable(&self) -> io::Result<()> {
        let input = || self.socket.readable_or(|| self.has_input.get());
        loop {
            let is_open = self.is_open.get();
            let owes = !self.pay(&mut self.connection.borrow_mut())?;
            // For data that waits its sender waits.
            if owes && !self.is_ahead.get() {
                match first(input(), self.socket.writable()).await {
                    Either::Left(readable) => readable?,
                    Either::Right(writable) => {
                        writable?;
                        continue;
                    }
                }
            } else {
                input().await?;
            }
            if is_open {
                return Ok(());
            }
            let turn = HandshakeTurn::wait().await;
            let opens = self.shake_hands();
            turn.end().await;
            // Text may have come with the end of the handshake.
            if opens? && self.has_input.get() {
                return Ok(());
            }
        }
    }

    pub(in crate::transport) async fn writable(&self) -> io::Result<()> {
        while !self.is_open.get() && !self.has_ended.get() {
            self.opened.wait().await;
        }
        while !self.pay(&mut self.connection.borrow_mut())? {
            self.socket.writable().await?;
        }
        self.socket.writable().await
    }

    pub(in crate::transport) fn try_recv(&self, buffer: &mut [u8]) -> io::Result<Option<usize>> {
        if !self.is_open.get() && !self.shake_hands()? {
            return Ok(None);
        }
        let mut connection = self.connection.borrow_mut();
        if self.has_input.take() {
            let read = read_text(&mut connection, buffer);
            if read > 0 {
                // There may be more, or an error behind it.
                self.has_input.set(true);
                return Ok(Some(read));
            }
            if self.process(&mut connection)?.peer_has_closed() {
                return Ok(Some(0));
            }
        }
        if buffer.len() < IN_PLACE_BYTES_MIN {
            return self.recv_little(&mut connection, buffer);
        }
        match self.socket.try_recv(buffer)? {
            // An end that is not announced is one all the same: frames tell what is missing.
            Some(received) if received > 0 => {
                self.has_filled.set(received == buffer.len());
                self.decrypt(&mut connection, buffer, received)
            }
            end_or_nothing => Ok(end_or_nothing),
        }
    }

    pub(in crate::transport) fn may_have_more(&self) -> bool {
        self.has_filled.get() || self.has_input.get()
    }

    /// Reads into a buffer that may be shorter than a record, by way of the buffers of rustls.
    fn recv_little(&self, connection: &mut Connection, buffer: &mut [u8]) -> io::Result<Option<usize>> {
        for _ in 0..READS_PER_RECORD {
            match connection.read_tls(&mut Receiving(&self.socket)) {
                Ok(0) => return Ok(Some(0)),
                Ok(_) => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(None),
                Err(error) => return Err(error),
            }
            let has_closed = self.process(connection)?.peer_has_closed();
            let read = read_text(connection, buffer);
            if read > 0 || has_closed {
                self.has_input.set(true);
                return Ok(Some(read));
            }
        }
        Ok(None)
    }

    /// Makes text of the first bytes of a buffer, in their place. Text for which there is no room waits, and so does an
    /// error behind text.
    fn decrypt(
        &self,
        connection: &mut Connection,
        buffer: &mut [u8],
        received: usize,
    ) -> io::Result<Option<usize>> {
        let (mut taken, mut read) = (0, 0);
        while taken < received {
            let fed = connection.read_tls(&mut &buffer[taken..received])?;
            taken += fed;
            let processed = self.process(connection);
            read += read_text(connection, &mut buffer[read..taken]);
            let has_closed = fed == 0 || processed.as_ref().is_ok_and(rustls::IoState::peer_has_closed);
            match processed {
                Err(error) if read == 0 => return Err(error),
                Ok(_) if !has_closed => {}
                _ => {
                    // Nothing behind it counts; the next read tells.
                    self.has_input.set(true);
                    break;
                }
            }
        }
        read += read_text(connection, &mut buffer[read..]);
        if read == buffer.len() {
            self.has_input.set(true);
        }
        Ok((read > 0).then_some(read))
    }

    pub(in crate::transport) fn try_send_vectored(&self, parts: &[IoSlice<'_>]) -> io::Result<Option<usize>> {
        if self.has_ended.get() {
            return Err(io::ErrorKind::BrokenPipe.into());
        }
        let mut connection = self.connection.borrow_mut();
        if !self.is_open.get() || !self.pay(&mut connection)? {
            return Ok(None);
        }
        let parts = &parts[..parts.len().min(SEND_SLICES_MAX)];
        let whole: usize = parts.iter().map(|part| part.len()).sum();
        let mut rest = [IoSlice::new(&[]); SEND_SLICES_MAX];
        let mut rest = &mut rest[..parts.len()];
        rest.copy_from_slice(parts);
        let mut taken = usize::from(self.is_ahead.take());
        IoSlice::advance_slices(&mut rest, taken);
        while taken < whole {
            let encrypted = connection.writer().write_vectored(rest)?;
            taken += encrypted;
            IoSlice::advance_slices(&mut rest, encrypted);
            if !self.pay(&mut connection)? {
                self.is_ahead.set(true);
                return Ok(Some(taken - 1));
            }
        }
        Ok(Some(whole))
    }

    pub(in crate::transport) fn shutdown_write(&self) -> io::Result<()> {
        if !self.is_open.get() {
            return self.socket.shutdown_write();
        }
        let mut connection = self.connection.borrow_mut();
        connection.send_close_notify();
        self.ends_sending.set(true);
        // What its sender has left behind leaves with the rest.
        self.is_ahead.set(false);
        self.pay(&mut connection).map(drop)
    }

    pub(in crate::transport) fn shutdown_both(&self) -> io::Result<()> {
        self.has_ended.set(true);
        self.opened.raise();
        if self.is_open.get() {
            let mut connection = self.connection.borrow_mut();
            connection.send_close_notify();
            // Where there is no room for it, the end of the socket says the same.
            let _ = self.pay(&mut connection);
        }
        self.socket.shutdown_both()
    }

    /// Goes on with the handshake by what has come; true if it is over.
    fn shake_hands(&self) -> io::Result<bool> {
        let mut connection = self.connection.borrow_mut();
        while connection.is_handshaking() {
            match connection.read_tls(&mut Hearing(self)) {
                // As of a peer that has gone before it began.
                Ok(0) if self.heard.get().is_empty() => return Err(io::ErrorKind::ConnectionReset.into()),
                Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
                Ok(_) => {
                    self.process(&mut connection)?;
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                Err(error) => return Err(error),
            }
        }
        self.pay(&mut connection)?;
        Ok(self.is_open.get())
    }

    /// Takes whole records. An error is told to the other end as well, and in words for people here.
    fn process(&self, connection: &mut Connection) -> io::Result<rustls::IoState> {
        match connection.process_new_packets() {
            Ok(state) => {
                if !self.is_open.get() {
                    self.on_progress(connection, &state);
                }
                Ok(state)
            }
            Err(error) => {
                // It may have gone already.
                let _ = self.pay(connection);
                let heard = self.heard.get();
                Err(match connection {
                    Connection::Client(_) => trouble::at_client(&error, heard),
                    Connection::Server(_) => trouble::at_server(&error, heard, self.is_open.get()),
                })
            }
        }
    }

    /// The handshake has gone on, and may be over.
    fn on_progress(&self, connection: &Connection, state: &rustls::IoState) {
        if connection.negotiated_cipher_suite().is_some() {
            self.handshake_bytes_max.set(TLS_HANDSHAKE_BYTES_MAX);
        }
        if !connection.is_handshaking() {
            self.is_open.set(true);
            self.peer_names.replace(names_of_peer(connection));
            self.has_input.set(state.plaintext_bytes_to_read() > 0);
            self.opened.raise();
        }
    }

    /// Hands the kernel the records that wait; true if it has taken all.
    fn pay(&self, connection: &mut Connection) -> io::Result<bool> {
        while connection.wants_write() {
            match connection.write_tls(&mut Sending(&self.socket)) {
                Ok(_) => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(false),
                Err(error) => return Err(error),
            }
        }
        if self.ends_sending.take() {
            self.socket.shutdown_write()?;
        }
        Ok(true)
    }
}

/// The names of the certificate that the other end has shown, which was checked; `None` if it has shown none.
fn names_of_peer(connection: &Connection) -> Option<Vec<String>> {
    let shown = connection.peer_certificates()?.first()?;
    CertificateFacts::of(shown).ok().map(|facts| facts.names)
}

/// Reads text that waits; none is no error.
fn read_text(connection: &mut Connection, buffer: &mut [u8]) -> usize {
    connection.reader().read(buffer).unwrap_or(0)
}

/// The socket during the handshake, whose bytes are counted.
struct Hearing<'a>(&'a TlsChannel);

impl Read for Hearing<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let Hearing(channel) = self;
        let received = Receiving(&channel.socket).read(buffer)?;
        let mut heard = channel.heard.get();
        heard.hear(&buffer[..received]);
        channel.heard.set(heard);
        channel.handshake_bytes.set(channel.handshake_bytes.get() + received);
        let bytes_max = channel.handshake_bytes_max.get();
        if channel.handshake_bytes.get() > bytes_max {
            let text = format!("its handshake is longer than {bytes_max} bytes");
            return Err(io::Error::new(io::ErrorKind::InvalidData, text));
        }
        Ok(received)
    }
}

/// The socket, as rustls reads from it.
struct Receiving<'a>(&'a ReadySocket);

impl Read for Receiving<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.0.try_recv(buffer)?.ok_or_else(|| io::ErrorKind::WouldBlock.into())
    }
}

/// The socket, as rustls writes to it.
struct Sending<'a>(&'a ReadySocket);

impl Write for Sending<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.write_vectored(&[IoSlice::new(bytes)])
    }

    fn write_vectored(&mut self, parts: &[IoSlice<'_>]) -> io::Result<usize> {
        self.0.try_send_vectored(parts)?.ok_or_else(|| io::ErrorKind::WouldBlock.into())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
