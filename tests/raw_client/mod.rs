//! A client without the library: a plain TCP socket that sends exactly what a test wants, right or wrong, and reads
//! when the test wants to.
#![allow(dead_code, reason = "not every test file asks for all of it")]

use std::io::{ErrorKind, Read as _, Write as _};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};

use corecast::internals::limits::LENGTH_BYTES;
use corecast::internals::wire::greeting::{self, GREETING_BYTES};
use corecast::internals::wire::{CheckedFrame, Features, Frame, encode_to_vec};
use corecast::{ErrorCode, OverflowPolicy};
use socket2::{Domain, Socket, Type};

use super::watchdog::LIMIT;

/// A frame from the other end: a broker or a direct publisher, or a client of the library if the test plays those.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Said {
    Welcome {
        session: u64,
        frame_bytes_max: u32,
        overflow: u8,
        epoch: u64,
        ticket: u64,
    },
    /// The identity of a direct publisher, before its welcome.
    Identity(u64),
    Done(u32),
    Error(ErrorCode, String),
    Count(u32),
    Message {
        topic: Vec<u8>,
        payload: Vec<u8>,
        sequence: u64,
    },
    Gap {
        topic: Vec<u8>,
        missed: u64,
        reason: u8,
    },
    Ping(u64),
    Pong(u64),
    /// A client says hello.
    Hello,
    /// A client subscribes, or watches direct publishers, by this request.
    Asked(u32),
    /// A client ends a subscription.
    Unsubscribed,
    /// A frame about direct publishers and their topics.
    OfRegistry,
    /// The end of the stream, in order.
    End,
    /// The connection was reset.
    Reset,
}

/// One connection.
#[derive(Debug)]
pub(crate) struct RawClient {
    stream: TcpStream,
    received: Vec<u8>,
    /// Up to where `received` has been given out.
    at: usize,
    /// The broker's greeting has been taken.
    greeted: bool,
}

impl RawClient {
    /// Connects, and says nothing.
    pub(crate) fn connect(broker: SocketAddr) -> Self {
        Self::of(TcpStream::connect(broker).expect("the broker listens"))
    }

    /// Connects like [`RawClient::connect`], with a receive buffer of about this size: a stall shows soon.
    pub(crate) fn connect_narrow(broker: SocketAddr, buffer_bytes: usize) -> Self {
        let socket = Socket::new(Domain::for_address(broker), Type::STREAM, None).expect("a socket");
        socket.set_recv_buffer_size(buffer_bytes).expect("a size that the kernel takes");
        socket.connect(&broker.into()).expect("the broker listens");
        Self::of(socket.into())
    }

    /// Connects from this address of this host.
    pub(crate) fn connect_from(own: SocketAddr, broker: SocketAddr) -> Self {
        let socket = Socket::new(Domain::for_address(broker), Type::STREAM, None).expect("a socket");
        socket.bind(&own.into()).expect("an address of this host");
        socket.connect(&broker.into()).expect("the broker listens");
        Self::of(socket.into())
    }

    /// The other end of a connection that a client of the library makes, greeted and welcomed: after these words, as by a
    /// broker or a direct publisher.
    pub(crate) fn welcome(listener: &TcpListener, words: &[Frame<'_>]) -> Self {
        let (stream, _) = listener.accept().expect("a client comes");
        let mut client = Self::of(stream);
        client.send_bytes(&greeting::offering(Features::NONE));
        client.take_greeting();
        assert_eq!(client.next(), Said::Hello);
        words.iter().for_each(|word| client.send(word));
        client.send(&Frame::Welcome {
            session: 1,
            epoch: 1,
            frame_bytes_max: 1 << 20,
            heartbeat_ms: 15_000,
            overflow: 1,
            ticket: 1,
        });
        client
    }

    fn of(stream: TcpStream) -> Self {
        stream.set_read_timeout(Some(LIMIT)).expect("a watchdog");
        stream.set_nodelay(true).expect("a TCP socket");
        RawClient { stream, received: Vec::new(), at: 0, greeted: false }
    }

    /// Greets, and takes the broker's greeting.
    pub(crate) fn greet(mut self) -> Self {
        self.send_bytes(&greeting::offering(Features::NONE));
        self.take_greeting();
        self
    }

    /// Reads the greeting, which the broker sends at once.
    pub(crate) fn take_greeting(&mut self) {
        while self.received.len() < GREETING_BYTES {
            assert_eq!(self.read_some(), None, "in place of a greeting");
        }
        assert_eq!(&self.received[..GREETING_BYTES], &greeting::ours());
        (self.at, self.greeted) = (GREETING_BYTES, true);
    }

    /// Greets and says hello, and is welcomed.
    pub(crate) fn open(self) -> Self {
        self.open_with(None)
    }

    /// As [`RawClient::open`], with this overflow policy.
    pub(crate) fn open_with(self, overflow: Option<OverflowPolicy>) -> Self {
        let mut client = self.greet();
        let overflow = overflow.map_or(0, OverflowPolicy::to_wire);
        client.send(&Frame::Hello { name: "raw", overflow, previous: 0, ticket: 0 });
        let mut said = client.next();
        while matches!(said, Said::Identity(_) | Said::OfRegistry) {
            said = client.next();
        }
        match said {
            Said::Welcome { .. } => client,
            other => panic!("a welcome, not {other:?}"),
        }
    }

    /// Subscribes, and returns when that is in force.
    pub(crate) fn subscribe(&mut self, filter: &str) {
        self.send(&Frame::Subscribe { filter: filter.as_bytes(), request: 1, subscriber: 1, kind: 1 });
        assert_eq!(self.next(), Said::Done(1));
    }

    pub(crate) fn send(&mut self, frame: &Frame<'_>) {
        self.send_bytes(&encode_to_vec(frame));
    }

    pub(crate) fn send_bytes(&mut self, bytes: &[u8]) {
        self.stream.write_all(bytes).expect("the broker reads");
    }

    /// Sends what the broker may not want any more.
    pub(crate) fn try_send_bytes(&mut self, bytes: &[u8]) -> std::io::Result<()> {
        self.stream.write_all(bytes)
    }

    /// Another handle to the connection, for a thread that only sends.
    pub(crate) fn writer(&self) -> TcpStream {
        self.stream.try_clone().expect("a descriptor")
    }

    /// Ends the sending direction; it still reads.
    pub(crate) fn end_sending(&self) {
        self.stream.shutdown(Shutdown::Write).expect("it is connected");
    }

    /// Ends the connection as a killed process does: with a reset, and whatever was unsent is lost.
    pub(crate) fn reset(self) {
        socket2::SockRef::from(&self.stream)
            .set_linger(Some(std::time::Duration::ZERO))
            .expect("a TCP socket");
    }

    /// True if the broker sends anything within this time, which stays unread.
    pub(crate) fn is_answered_within(&self, time: std::time::Duration) -> bool {
        self.stream.set_read_timeout(Some(time)).expect("a watchdog");
        let peeked = self.stream.peek(&mut [0]);
        self.stream.set_read_timeout(Some(LIMIT)).expect("a watchdog");
        peeked.is_ok_and(|bytes| bytes > 0)
    }

    /// The next thing that the broker says.
    pub(crate) fn next(&mut self) -> Said {
        loop {
            if let Some(said) = self.take() {
                return said;
            }
            if let Some(end) = self.read_some() {
                return end;
            }
        }
    }

    /// The error that the broker sends, perhaps after other frames, and then nothing more.
    pub(crate) fn refused(mut self) -> (ErrorCode, String) {
        if !self.greeted {
            self.take_greeting();
        }
        loop {
            match self.next() {
                Said::Error(code, text) => {
                    assert_eq!(self.next(), Said::End, "an error frame is the last");
                    return (code, text);
                }
                end @ (Said::End | Said::Reset) => panic!("{end:?} without an error frame"),
                _ => {}
            }
        }
    }

    /// A whole frame that has been received.
    fn take(&mut self) -> Option<Said> {
        let rest = &self.received[self.at..];
        let length = rest.get(..LENGTH_BYTES)?;
        let body_bytes = u32::from_le_bytes(length.try_into().expect("four bytes")) as usize;
        let body = rest.get(LENGTH_BYTES..LENGTH_BYTES + body_bytes)?;
        let said = Said::of(CheckedFrame::check(body).expect("a broker sends archives").frame());
        self.at += LENGTH_BYTES + body_bytes;
        Some(said)
    }

    /// Reads what there is, and waits if there is nothing; the end, if that is it.
    fn read_some(&mut self) -> Option<Said> {
        self.received.drain(..self.at);
        self.at = 0;
        let mut bytes = vec![0; 64 << 10];
        match self.stream.read(&mut bytes) {
            Ok(0) => Some(Said::End),
            Ok(n) => {
                self.received.extend_from_slice(&bytes[..n]);
                None
            }
            Err(e) if matches!(e.kind(), ErrorKind::ConnectionReset | ErrorKind::BrokenPipe) => {
                Some(Said::Reset)
            }
            Err(e) => panic!("the broker says nothing: {e}"),
        }
    }
}

impl Said {
    fn of(frame: Frame<'_>) -> Self {
        match frame {
            Frame::Welcome { session, frame_bytes_max, overflow, epoch, ticket, .. } => {
                Said::Welcome { session, frame_bytes_max, overflow, epoch, ticket }
            }
            Frame::Identity { publisher } => Said::Identity(publisher),
            Frame::Done { request } => Said::Done(request),
            Frame::Error { text, code, .. } => Said::Error(ErrorCode::from_number(code), text.to_owned()),
            Frame::SubscriberCount { count, .. } => Said::Count(count),
            Frame::Message { topic, payload, sequence, .. } => {
                Said::Message { topic: topic.to_vec(), payload: payload.to_vec(), sequence }
            }
            Frame::Gap { topic, missed, reason } => Said::Gap { topic: topic.to_vec(), missed, reason },
            Frame::Ping { token } => Said::Ping(token),
            Frame::Pong { token } => Said::Pong(token),
            Frame::Hello { .. } => Said::Hello,
            Frame::Subscribe { request, .. } | Frame::WatchPublishers { request, .. } => Said::Asked(request),
            Frame::Unsubscribe { .. } => Said::Unsubscribed,
            Frame::Modes { .. }
            | Frame::Registered { .. }
            | Frame::PublisherUp { .. }
            | Frame::PublisherDown { .. } => Said::OfRegistry,
            other => panic!("{other:?} is not expected"),
        }
    }
}

/// A message, as a frame.
pub(crate) fn message<'a>(topic: &'a str, payload: &'a [u8], sequence: u64) -> Frame<'a> {
    Frame::Message { topic: topic.as_bytes(), payload, publisher: 1, sequence, sent_at_ns: 0 }
}
