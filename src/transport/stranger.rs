//! In tests: ends of connections that are no streams of ours. They say what the test makes them say, and block its thread
//! meanwhile.

use std::io::{self, Read as _, Write as _};
use std::net::{Shutdown, SocketAddr};
use std::time::Duration;

use socket2::{Domain, Socket, Type};

use super::address::Address;
use super::endpoint::Endpoint;

/// One end of a connection.
#[derive(Debug)]
pub(crate) struct Stranger(Socket);

impl Stranger {
    /// Connects to an endpoint that is written as an address.
    pub(crate) fn connect(endpoint: &Endpoint) -> Self {
        Self::connect_with(endpoint, |_| {})
    }

    /// The same, with a receive buffer of about so many bytes, and not waiting for words any longer than this.
    pub(crate) fn connect_narrow(endpoint: &Endpoint, buffer_bytes: usize, patience: Duration) -> Self {
        Self::connect_with(endpoint, |socket| {
            socket.set_recv_buffer_size(buffer_bytes).expect("a size that the kernel takes");
            socket.set_read_timeout(Some(patience)).expect("a time that the kernel takes");
        })
    }

    fn connect_with(endpoint: &Endpoint, set_up: impl FnOnce(&Socket)) -> Self {
        let addresses = futures_lite::future::block_on(endpoint.connect_addresses()).expect("an address");
        let address = addresses[0].sock();
        let socket = Socket::new(address.domain(), Type::STREAM, None).expect("a socket");
        set_up(&socket);
        socket.connect(address).expect("it is listened on");
        Stranger(socket)
    }

    /// Its address, as the other end sees it.
    pub(crate) fn address(&self) -> SocketAddr {
        self.0.local_addr().ok().and_then(|address| address.as_socket()).expect("it is TCP")
    }

    pub(crate) fn say(&mut self, words: &[u8]) {
        self.0.write_all(words).expect("room for some words");
    }

    /// Says no more; it may still listen.
    pub(crate) fn fall_silent(&mut self) {
        self.0.shutdown(Shutdown::Write).expect("it is connected");
    }

    /// Waits for so many bytes, and takes them.
    pub(crate) fn hear(&mut self, bytes: usize) {
        self.0.read_exact(&mut vec![0; bytes]).expect("as many words");
    }

    /// Waits for some words, and takes all that there are, up to as many as these.
    pub(crate) fn hear_some(&mut self, words: &mut [u8]) -> usize {
        self.0.read(words).expect("more words")
    }

    /// Waits until the other end has ended the connection, in order or not.
    pub(crate) fn hear_the_end(mut self) {
        let _ = self.0.read_to_end(&mut Vec::new());
    }
}

/// A listener of strangers.
#[derive(Debug)]
pub(crate) struct Strangers {
    listener: Socket,
    endpoint: Endpoint,
}

impl Strangers {
    /// Listens on a free port of this address of the host.
    pub(crate) fn listen(host: &str) -> Self {
        let listener = Socket::new(Domain::IPV4, Type::STREAM, None).expect("a socket");
        // Somebody else may listen there afterwards.
        listener.set_reuse_address(true).expect("a socket");
        let any_port = SocketAddr::new(host.parse().expect("an address"), 0);
        listener.bind(Address::from(any_port).sock()).expect("it is one of this host");
        listener.listen(8).expect("a socket that is bound");
        let port = listener.local_addr().ok().and_then(|address| address.as_socket()).expect("TCP").port();
        Strangers { listener, endpoint: Endpoint::Tcp { host: host.to_owned(), port } }
    }

    pub(crate) fn endpoint(&self) -> &Endpoint {
        &self.endpoint
    }

    /// Waits for a connection.
    pub(crate) fn accept(&self) -> Stranger {
        Stranger(self.listener.accept().expect("a connection").0)
    }

    /// True if nobody waits to be accepted.
    pub(crate) fn is_alone(&self) -> bool {
        self.listener.set_nonblocking(true).expect("a socket");
        self.listener.accept().is_err_and(|e| e.kind() == io::ErrorKind::WouldBlock)
    }
}
