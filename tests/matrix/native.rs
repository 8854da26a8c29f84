//! A client of the native protocol without the library, over any bytes: it says one thing, and hears exactly what comes of it.

use std::collections::VecDeque;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::{Command, Stdio};

use corecast::ErrorCode;
use corecast::internals::limits::LENGTH_BYTES;
use corecast::internals::wire::greeting::{self, GREETING_BYTES};
use corecast::internals::wire::{CheckedFrame, Frame, encode, encode_to_vec};

use super::certificates::{Authority, argument};
use super::house::{DIRECT_TOPIC, TOPIC};
use super::running::{self, Running};
use super::table::{Act, Outcome};

/// The request of everything that is asked.
const REQUEST: u32 = 7;

/// Something that the broker says, as far as it matters here.
#[derive(PartialEq, Eq, Debug)]
enum Said {
    Welcome,
    /// The answer to the request.
    Done,
    Refused(ErrorCode),
    Message(Vec<u8>),
    Pong,
    /// A direct publisher of this number is known, and listens there.
    Up(u64, String),
    /// The ticket to that one.
    Ticket(u64, Vec<u8>),
    Other,
    End,
}

/// The number of a direct publisher, for a payload of its own.
pub(crate) fn publisher_of(payload: &[u8]) -> u64 {
    payload.iter().fold(1, |number: u64, byte| number.wrapping_mul(31).wrapping_add(u64::from(*byte)))
}

/// A session.
pub(crate) struct Native {
    reader: Box<dyn Read>,
    writer: Box<dyn Write>,
    received: Vec<u8>,
    /// The rest of the last frame, which may be a run of messages.
    said: VecDeque<Said>,
    /// The process that encrypts.
    _tls: Option<Running>,
    /// The session at the direct publisher.
    pub(crate) direct: Option<Box<Native>>,
}

impl Native {
    /// Comes with a token, or with none.
    pub(crate) fn over_tcp(broker: SocketAddr, token: Option<&str>) -> Result<Native, Outcome> {
        let stream = TcpStream::connect(broker).expect("it listens");
        stream.set_nodelay(true).expect("a TCP socket");
        let reader = Box::new(stream.try_clone().expect("a descriptor"));
        Native::over(reader, Box::new(stream))
            .log_in(token.map(|token| Frame::Login { token: token.as_bytes() }))
    }

    pub(crate) fn over_unix(broker: &Path) -> Result<Native, Outcome> {
        Native::over_unix_with(broker, None)
    }

    /// Comes to a direct publisher with a ticket, or with none.
    pub(crate) fn to_publisher(
        door: &Path,
        publisher: u64,
        ticket: Option<&[u8]>,
    ) -> Result<Native, Outcome> {
        Native::over_unix_with(door, ticket.map(|ticket| Frame::Ticket { ticket, publisher }))
    }

    fn over_unix_with(path: &Path, first: Option<Frame<'_>>) -> Result<Native, Outcome> {
        let stream = UnixStream::connect(path).expect("it listens");
        let reader = Box::new(stream.try_clone().expect("a descriptor"));
        Native::over(reader, Box::new(stream)).log_in(first)
    }

    /// Comes with the certificate of this name, or with none. OpenSSL speaks TLS.
    pub(crate) fn over_tls(
        broker: &str,
        authority: &Authority,
        name: Option<&str>,
    ) -> Result<Native, Outcome> {
        let ca = authority.ca();
        let mut command = Command::new("openssl");
        command.args(["s_client", "-quiet", "-connect", broker, "-CAfile", argument(&ca)]);
        if let Some([cert, key]) = name.map(|name| authority.files(name)) {
            command.args(["-cert", &cert, "-key", &key]);
        }
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
        let mut tls = running::start(&mut command);
        let (reader, writer) = (Box::new(tls.stdout()), Box::new(tls.0.stdin.take().expect("it is piped")));
        Native { _tls: Some(tls), ..Native::over(reader, writer) }.log_in(None)
    }

    /// A connection on which nothing has been said.
    fn over(reader: Box<dyn Read>, writer: Box<dyn Write>) -> Native {
        Native { reader, writer, received: Vec::new(), said: VecDeque::new(), _tls: None, direct: None }
    }

    fn log_in(mut self, first: Option<Frame<'_>>) -> Result<Native, Outcome> {
        let mut words = greeting::ours().to_vec();
        if let Some(first) = first {
            encode(&first, &mut words);
        }
        encode(&Frame::Hello { name: "matrix", overflow: 0, previous: 0, ticket: 0 }, &mut words);
        self.send(&words);
        while self.received.len() < GREETING_BYTES {
            if !self.read_some() {
                // No handshake, no greeting.
                return Err(Outcome::NotLetIn);
            }
        }
        assert_eq!(self.received[..GREETING_BYTES], greeting::ours());
        self.received.drain(..GREETING_BYTES);
        loop {
            match self.next() {
                Said::Welcome => return Ok(self),
                Said::Other => {}
                Said::Refused(ErrorCode::Unauthenticated) => return Err(Outcome::NotLetIn),
                other => panic!("{other:?} in the place of a welcome"),
            }
        }
    }

    /// Does this once. The payload is that of its message, and tells the number with which it registers; `direct` is that of the
    /// direct publisher that it hears.
    pub(crate) fn act(&mut self, act: Act, payload: &[u8], direct: u64) -> Outcome {
        let subscribe = |filter| Frame::Subscribe { filter, request: REQUEST, subscriber: 1, kind: 1 };
        let publisher = publisher_of(payload);
        let (endpoints, topics) = (format!("uds:///nowhere/{publisher}"), "d.x");
        let topic = TOPIC.as_bytes();
        let asked = match act {
            Act::Publish => return self.publish(TOPIC, payload),
            Act::SubscribeExact => subscribe(topic),
            Act::SubscribeWildcard => subscribe(b"t.*"),
            Act::SubscribeWider => subscribe(b">"),
            Act::Watch => Frame::WatchSubscribers { topic, request: REQUEST },
            Act::List => Frame::ListPublishers { request: REQUEST },
            Act::Register => {
                Frame::Register { endpoints: &endpoints, topics, publisher, epoch: 1, request: REQUEST }
            }
            Act::Direct => return self.hear_directly(direct),
        };
        self.ask(&asked)
    }

    /// Subscribes at the broker and, by the ticket that this gives, at the direct publisher.
    fn hear_directly(&mut self, wanted: u64) -> Outcome {
        let filter = DIRECT_TOPIC.as_bytes();
        let subscribe = Frame::Subscribe { filter, request: REQUEST, subscriber: 1, kind: 1 };
        let outcome = self.ask(&subscribe);
        if outcome != Outcome::Done {
            return outcome;
        }
        self.send(&encode_to_vec(&Frame::WatchPublishers { filter, request: REQUEST, kind: 1 }));
        let (mut given, mut there) = (None, None);
        loop {
            match self.next() {
                Said::Ticket(publisher, ticket) if publisher == wanted => given = Some(ticket),
                Said::Up(publisher, endpoint) if publisher == wanted => {
                    there = given.take().zip(Some(endpoint))
                }
                // Behind all that are there.
                Said::Done => break,
                Said::Up(..) | Said::Ticket(..) | Said::Other => {}
                other => panic!("{other:?} in the place of the direct publisher"),
            }
        }
        let (ticket, endpoint) = there.expect("it was introduced, behind a ticket to it");
        let door = endpoint.strip_prefix("uds://").expect("it listens there");
        match Native::to_publisher(Path::new(door), wanted, Some(&ticket)) {
            Ok(mut direct) => {
                let outcome = direct.ask(&subscribe);
                self.direct = Some(Box::new(direct));
                outcome
            }
            Err(outcome) => outcome,
        }
    }

    /// Publishes a message, and waits until it is taken, or not.
    pub(crate) fn publish(&mut self, topic: &str, payload: &[u8]) -> Outcome {
        let mut words = Vec::new();
        let topic = topic.as_bytes();
        encode(&Frame::Message { topic, payload, publisher: 1, sequence: 1, sent_at_ns: 0 }, &mut words);
        encode(&Frame::Flush { request: REQUEST }, &mut words);
        self.send(&words);
        match self.answer() {
            // The session goes on, and the flush is answered as well.
            Outcome::NotPermitted if self.answer() == Outcome::Done => Outcome::NotPermitted,
            outcome => outcome,
        }
    }

    pub(crate) fn subscribe(&mut self, filter: &str) {
        let asked = Frame::Subscribe { filter: filter.as_bytes(), request: REQUEST, subscriber: 1, kind: 1 };
        assert_eq!(self.ask(&asked), Outcome::Done);
    }

    fn ask(&mut self, frame: &Frame<'_>) -> Outcome {
        self.send(&encode_to_vec(frame));
        self.answer()
    }

    fn answer(&mut self) -> Outcome {
        loop {
            match self.next() {
                Said::Done => return Outcome::Done,
                Said::Refused(ErrorCode::NotPermitted) => return Outcome::NotPermitted,
                Said::Up(..) | Said::Ticket(..) | Said::Other => {}
                other => panic!("{other:?} in the place of an answer"),
            }
        }
    }

    /// The direct publishers that are known.
    pub(crate) fn list(&mut self) -> Vec<u64> {
        self.send(&encode_to_vec(&Frame::ListPublishers { request: REQUEST }));
        let mut known = Vec::new();
        loop {
            match self.next() {
                Said::Up(publisher, _) => known.push(publisher),
                Said::Done => return known,
                Said::Ticket(..) | Said::Other => {}
                other => panic!("{other:?} in the place of a list"),
            }
        }
    }

    /// The payloads of the messages that come before that one.
    pub(crate) fn hear_until(&mut self, fence: &[u8]) -> Vec<Vec<u8>> {
        // Silence for three heartbeats would end it.
        self.ping();
        let mut heard = Vec::new();
        loop {
            match self.next() {
                Said::Message(payload) if payload == fence => return heard,
                Said::Message(payload) => heard.push(payload),
                Said::Pong | Said::Up(..) | Said::Ticket(..) | Said::Other => {}
                other => panic!("{other:?} in the place of a message"),
            }
        }
    }

    /// The payloads of the messages that it has by now. One whose session has ended for its act has none.
    pub(crate) fn heard(&mut self) -> Vec<Vec<u8>> {
        self.ping();
        let mut heard = Vec::new();
        loop {
            match self.next() {
                Said::Message(payload) => heard.push(payload),
                Said::Pong | Said::End => return heard,
                Said::Up(..) | Said::Ticket(..) | Said::Other => {}
                other => panic!("{other:?} in the place of a pong"),
            }
        }
    }

    /// Waits for the end of the session, before which it may hear whatever was published, but not that.
    pub(crate) fn end(&mut self, forbidden: &[u8]) -> Outcome {
        let mut outcome = None;
        loop {
            match self.next() {
                Said::Message(payload) if payload != forbidden => {}
                Said::End => return outcome.expect("an error, which is the last frame"),
                Said::Refused(ErrorCode::Unauthenticated) => outcome = Some(Outcome::NotLetIn),
                // The answer to the ping of a fence that came first.
                Said::Pong | Said::Up(..) | Said::Ticket(..) | Said::Other => {}
                other => panic!("{other:?} in the place of the end"),
            }
        }
    }

    fn ping(&mut self) {
        self.send(&encode_to_vec(&Frame::Ping { token: 1 }));
    }

    fn send(&mut self, bytes: &[u8]) {
        // Whoever has been refused may have nobody to listen any more.
        let _ = self.writer.write_all(bytes).and_then(|()| self.writer.flush());
    }

    fn next(&mut self) -> Said {
        loop {
            if let Some(said) = self.said.pop_front() {
                return said;
            }
            if let Some(length) = self.received.first_chunk::<LENGTH_BYTES>() {
                let end = LENGTH_BYTES + u32::from_le_bytes(*length) as usize;
                if self.received.len() >= end {
                    let frame: Vec<u8> = self.received.drain(..end).collect();
                    let frame = CheckedFrame::check(&frame[LENGTH_BYTES..]).expect("a broker sends archives");
                    self.said.extend(frame.frame().singles().map(Said::of));
                    continue;
                }
            }
            if !self.read_some() {
                return Said::End;
            }
        }
    }

    fn read_some(&mut self) -> bool {
        let mut bytes = [0; 4_096];
        // A reset is an end.
        let read = self.reader.read(&mut bytes).unwrap_or(0);
        self.received.extend_from_slice(&bytes[..read]);
        read > 0
    }
}

impl Said {
    fn of(frame: Frame<'_>) -> Said {
        match frame {
            Frame::Welcome { .. } => Said::Welcome,
            Frame::Done { request: REQUEST }
            | Frame::Registered { request: REQUEST, .. }
            | Frame::SubscriberCount { request: REQUEST, .. } => Said::Done,
            Frame::Error { code, .. } | Frame::PublishRefused { code, .. } => {
                Said::Refused(ErrorCode::from_number(code))
            }
            Frame::Message { payload, .. } => Said::Message(payload.to_vec()),
            Frame::Pong { .. } => Said::Pong,
            Frame::PublisherUp { publisher, endpoints, .. } => Said::Up(publisher, endpoints.to_owned()),
            Frame::Ticket { ticket, publisher } => Said::Ticket(publisher, ticket.to_vec()),
            Frame::Modes { .. }
            | Frame::TicketRules { .. }
            | Frame::Identity { .. }
            | Frame::PublisherDown { .. }
            | Frame::Ping { .. } => Said::Other,
            other => panic!("a broker does not send {other:?} here"),
        }
    }
}
