//! One connection of a session: made, greeted, read, written, until it ends. Its session makes the next.

use std::io::{self, IoSlice};
use std::rc::Rc;
use std::time::Duration;

use bytes::Bytes;
use corecast_executors::{Either, MonotonicNs, first};

use super::incoming::{Arrived, Fault, Incoming};
use super::life::{ServedUntil, Session, is_final};
use super::listeners::Listeners;
use super::peer::Peer;
use crate::auth::Secret;
use crate::client::message::{GapReason, known_count};
use crate::error::{Error, ErrorCode, ErrorKind, Result};
use crate::fanout::OverflowPolicy;
use crate::ids::SubscriberId;
use crate::limits::HANDSHAKE_DEADLINE;
use crate::transport::{Endpoint, Stream, connect};
use crate::wire::{Frame, FrameKind};

/// The first byte of the alert of a server that speaks TLS and was greeted without.
const TLS_ALERT: u8 = 0x15;

/// The end of reading.
enum ReadEnd {
    Ended(Error),
    /// The session goes on over another connection, and this one has more to read.
    Left(Incoming),
}

impl From<Error> for ReadEnd {
    fn from(error: Error) -> Self {
        ReadEnd::Ended(error)
    }
}

/// The outcome of a turn of reading.
enum Turn {
    More,
    Ended(Error),
}

impl Session {
    /// Connects to the first endpoint of the peer that answers, beginning with the one whose turn it is.
    pub(super) async fn connect(&self) -> Result<Rc<Stream>> {
        let (stream, endpoint) = match self.transfer.take_next() {
            Some(next) => next,
            None => self.connect_to_first(&self.destinations.in_turn()).await?,
        };
        self.local_ip.set(stream.local_ip());
        self.place.replace(endpoint.at(stream.peer()));
        self.destinations.on_connected(&endpoint);
        Ok(stream)
    }

    /// Connects to the first of these that answers.
    pub(super) async fn connect_to_first(&self, endpoints: &[Endpoint]) -> Result<(Rc<Stream>, Endpoint)> {
        let mut failed = Error::new(ErrorKind::Unreachable, format!("{} is nowhere", self.peer));
        for (at, endpoint) in endpoints.iter().enumerate() {
            if self.wants_encryption && endpoint.is_open_to_readers() {
                let text = format!(
                    "{} listens without encryption, at {endpoint}, and this client reaches its broker over TLS alone",
                    self.peer
                );
                failed = Error::new(ErrorKind::Unreachable, text);
                continue;
            }
            // Those behind it get their share of the time in which a first connection is tried.
            let left = endpoints.len() - at;
            let attempt = |time| self.runtime.clock.until(self.attempt_deadline_of(time, left));
            match connect(endpoint, &self.config.connect, attempt).await {
                Ok(stream) => return Ok((Rc::new(stream), endpoint.clone())),
                Err(error) => {
                    let error = match self.peer {
                        Peer::Broker => error.at_broker(endpoint),
                        peer @ Peer::Publisher(_) => error.at_peer(&peer, endpoint),
                    };
                    let is_first = at == 0 || self.peer != Peer::Broker;
                    failed = if is_first { error } else { both(&failed, &error) };
                }
            }
        }
        Err(failed)
    }

    /// When an attempt that may take so long is over, where so many endpoints are left to be tried, this one among them: each has
    /// its share of the time in which a first connection is tried.
    fn attempt_deadline_of(&self, time: Duration, left: usize) -> MonotonicNs {
        let (now, left) = (self.runtime.clock.now(), left.max(1) as u32);
        now + self.patience.at_most(now + time * left).saturating_since(now) / left
    }

    /// Reads the token to log in with, if there is one.
    pub(super) async fn token(&self) -> Result<Option<Secret>> {
        match &self.config.token {
            Some(token) => token.read().await.map(Some),
            None => Ok(None),
        }
    }

    /// Serves one connection until it ends, and says why it did.
    pub(super) async fn serve(self: &Rc<Self>, stream: Rc<Stream>, login: Option<Secret>) -> ServedUntil {
        self.state.borrow_mut().on_connected(&self.config, login, self.runtime.clock.now());
        *self.stream.borrow_mut() = Some(Rc::clone(&stream));
        self.send.raise();
        let end = self.read_pump(&stream).await;
        *self.stream.borrow_mut() = None;
        let error = match end {
            ReadEnd::Ended(error) => error,
            ReadEnd::Left(incoming) => {
                self.on_left(stream, incoming);
                return ServedUntil::Left;
            }
        };
        self.on_cut_off();
        // A send pump that waits for this stream is let go.
        let _ = stream.shutdown_both();
        let error = if self.fell_silent.get() { self.has_fallen_silent() } else { error };
        let refusal = self.state.borrow_mut().refusal.take();
        ServedUntil::Ended(refusal.map_or(error, |(code, text)| {
            Error::new(ErrorKind::Refused(code), format!("{} refused: {text} ({code})", self.place.borrow()))
        }))
    }

    async fn read_pump(self: &Rc<Self>, stream: &Rc<Stream>) -> ReadEnd {
        let clock = &self.runtime.clock;
        let handshake_deadline = self.attempt_deadline_of(HANDSHAKE_DEADLINE, self.destinations.own());
        let mut incoming = Incoming::default();
        loop {
            let readable = if self.state.borrow().is_served() {
                stream.readable().await
            } else {
                match first(stream.readable(), clock.until(handshake_deadline)).await {
                    Either::Left(readable) => readable,
                    Either::Right(()) => {
                        return self.silent(stream, incoming.is_greeted()).into();
                    }
                }
            };
            if let Err(error) = readable {
                return self.failed(stream, incoming.is_greeted(), error).into();
            }
            let was_open = self.state.borrow().is_open();
            let turn = self.turn(stream, &mut incoming);
            if !was_open && self.state.borrow().is_open() {
                self.on_open();
            }
            if let Turn::Ended(error) = turn {
                return error.into();
            }
            if let Err(error) = self.check_peer() {
                return error.into();
            }
            self.follow_drain(stream);
            if self.state.borrow().has_left() {
                return ReadEnd::Left(incoming);
            }
            self.hear_news();
            self.report_denied();
            self.report_refused();
            if !self.state.borrow().out.is_empty() {
                self.send_later();
            }
            if self.holds.any() {
                self.holds.until_none(|| self.closing.get()).await;
            }
        }
    }

    fn turn(self: &Rc<Self>, stream: &Stream, incoming: &mut Incoming) -> Turn {
        let mut slab = self.runtime.slab.borrow_mut();
        let received = match stream.try_recv(incoming.space(&mut slab)) {
            Ok(Some(0)) if !incoming.is_greeted() => return Turn::Ended(self.closed_unheard()),
            Ok(Some(0)) => return Turn::Ended(self.lost()),
            Ok(received) => received.unwrap_or(0),
            Err(error) => return Turn::Ended(self.failed(stream, incoming.is_greeted(), error)),
        };
        self.state.borrow_mut().on_received(self.runtime.clock.now());
        let frame_bytes_max = self.state.borrow().frame_bytes_max_of_peer();
        let mut spans = self.runtime.spans.take();
        let mut answered = false;
        let taken =
            incoming.take((&mut slab, &mut spans), received, frame_bytes_max, |arrived| match arrived {
                Arrived::Greeting(features) => {
                    self.state.borrow_mut().on_greeted(&self.config, features);
                }
                Arrived::Frame(frame, lent) => answered |= self.on_frame(frame, lent),
            });
        self.runtime.spans.replace(spans);
        if answered {
            self.changed.wake_all();
        }
        match taken {
            Ok(()) => Turn::More,
            Err(Fault::Greeting(code, first_byte)) => Turn::Ended(self.stranger(code, first_byte)),
            Err(Fault::Frame(error)) => {
                let text = format!("{} sent what is no frame: {}", self.place.borrow(), error.text);
                Turn::Ended(Error::new(ErrorKind::Protocol, text))
            }
        }
    }

    /// Gives whether it was an answer, for which somebody may wait.
    fn on_frame(self: &Rc<Self>, frame: Frame<'_>, lent: Option<&Bytes>) -> bool {
        if frame.kind() == FrameKind::Control {
            if matches!(frame, Frame::Done { .. }) {
                // A subscription that this confirms was not in force when these publishers were named.
                self.hear_news();
            }
            self.state.borrow_mut().on_control(frame);
            self.note_policy();
            self.tell_returned();
            return true;
        }
        if self.closing.get() {
            // Its subscribers have left. Others, with the same sinks, have their own stream of the same publisher.
            return false;
        }
        if let Frame::Gap { missed, reason, .. } = frame
            && GapReason::from_wire(reason) == GapReason::Overflow
        {
            self.report.add_missed(known_count(missed).unwrap_or(1));
        }
        if self.transfer.is_plain() {
            Listeners { lent, ..self.listeners() }.tell(frame);
        } else {
            self.hear_in_transfer(frame);
        }
        false
    }

    /// The subscribers that hear what comes over this session.
    pub(super) fn listeners(&self) -> Listeners<'_> {
        Listeners { state: &self.state, sinks: &self.sinks, lent: None }
    }

    /// The policy may have come with the welcome: full queues go by it from now on.
    fn note_policy(&self) {
        if !self.closing.get() {
            self.blocking.set(self.state.borrow().terms.overflow == OverflowPolicy::Block);
        }
    }

    /// Tells a gap to those who are back since a connection was lost, at direct publishers too where they need to be.
    pub(super) fn tell_returned(&self) {
        self.listeners().tell_returned();
        while let Some(id) = self.pop_half_returned() {
            self.return_half(id);
        }
    }

    fn pop_half_returned(&self) -> Option<SubscriberId> {
        self.state.borrow_mut().subscribers.pop_half_returned()
    }

    /// A session is welcomed once; and a direct publisher must be the one that was introduced: its port may be somebody
    /// else's by now.
    fn check_peer(&self) -> Result<()> {
        if let Some(overstep) = &self.state.borrow().overstep {
            let text = format!("{} {overstep}", self.place.borrow());
            return Err(Error::new(ErrorKind::Protocol, text));
        }
        if !self.state.borrow().is_imposter {
            return Ok(());
        }
        let text = format!("{} is not {}", self.place.borrow(), self.peer);
        Err(Error::new(ErrorKind::Protocol, text))
    }

    fn lost(&self) -> Error {
        let text = format!("{} closed the connection ({})", self.peer, self.place.borrow());
        Error::new(ErrorKind::Lost, text)
    }

    /// The error of the stream. A handshake of its own that has failed is tried again, unless it would always fail. The other
    /// end may refuse ours after it is over here, but not after it has greeted.
    fn failed(&self, stream: &Stream, is_greeted: bool, error: io::Error) -> Error {
        // A server that closes with our greeting unread resets the connection.
        if !is_greeted && error.kind() == io::ErrorKind::ConnectionReset {
            return self.closed_unheard();
        }
        let is_refusal = !is_greeted && error.kind() == io::ErrorKind::InvalidData;
        if stream.is_open() && !is_refusal {
            return Error::io(format!("the connection to {} failed", self.place.borrow()), error);
        }
        let kind = match error.kind() {
            io::ErrorKind::InvalidData => ErrorKind::Protocol,
            _ => ErrorKind::Lost,
        };
        let text = format!("the handshake of the connection to {} failed", self.place.borrow());
        Error::new(kind, text).caused_by(error)
    }

    /// The peer has stopped, or is cut off: it does not even say that it lives.
    pub(super) fn has_fallen_silent(&self) -> Error {
        let silent = self.runtime.clock.now().saturating_since(self.state.borrow().last_heard());
        let (peer, place) = (self.peer, self.place.borrow());
        let text = format!(
            "{peer} has said nothing for {:.1} s ({place}): it hangs, or is cut off",
            silent.as_secs_f64()
        );
        Error::new(ErrorKind::Lost, text)
    }

    /// Nothing came in the time of a handshake. Servers of other protocols that wait for a line or a whole request of
    /// theirs do so (Redis 7.0, HTTP); a broker greets at once.
    fn silent(&self, stream: &Stream, is_greeted: bool) -> Error {
        let (place, role) = (self.place.borrow(), self.peer.role());
        let text = if is_greeted {
            format!("{place} greeted and said no more: the {role} hangs")
        } else if stream.is_open() {
            format!("{place} took the connection and said nothing: it is no corecast {role}, or hangs")
        } else {
            format!(
                "{place} took the connection and began no handshake, or did not end it: the {role} hangs, or expects none"
            )
        };
        Error::new(ErrorKind::Unreachable, text)
    }

    /// The end came before the first byte, as from servers that see that the greeting is none of theirs (mosquitto 2.0).
    /// It may be a broker that was just ending: it is tried again.
    fn closed_unheard(&self) -> Error {
        let (place, role) = (self.place.borrow(), self.peer.role());
        let text = format!(
            "{place} closed the connection before it said anything: it is no corecast {role}, or one that was ending"
        );
        Error::new(ErrorKind::Lost, text)
    }

    fn stranger(&self, code: ErrorCode, first_byte: Option<u8>) -> Error {
        let text = match code {
            _ if first_byte == Some(TLS_ALERT) => {
                let (place, role) = (self.place.borrow(), self.peer.role());
                format!(
                    "{place} speaks TLS, and is no corecast {role} without it; write tls:// instead of tcp://"
                )
            }
            ErrorCode::Version => format!("{} speaks another version of the protocol", self.place.borrow()),
            _ => format!("{} answers, but is no corecast {}", self.place.borrow(), self.peer.role()),
        };
        Error::new(ErrorKind::Protocol, text)
    }

    /// Sends when there is something to send, for as long as the session lives.
    pub(super) async fn send_pump(self: Rc<Self>) {
        loop {
            self.send.wait().await;
            while !self.send_now() {
                let Some(stream) = self.stream.borrow().clone() else { break };
                self.send_waits.set(true);
                // Failed or not, the next send tells.
                let _ = stream.writable().await;
                self.send_waits.set(false);
            }
            if self.state.borrow().alive().is_err() {
                return;
            }
        }
    }

    /// Hands the kernel what it takes; `true` if nothing is left to wait for.
    pub(super) fn send_now(&self) -> bool {
        let Some(stream) = self.stream.borrow().clone() else { return true };
        let mut state = self.state.borrow_mut();
        if state.out.is_empty() {
            return true;
        }
        while !state.out.is_empty() {
            match stream.try_send_vectored(&[IoSlice::new(state.out.unsent())]) {
                Ok(Some(sent)) => state.out.sent(sent),
                Ok(None) => return false,
                Err(_) => {
                    // The read pump sees the end and says why.
                    let _ = stream.shutdown_both();
                    return true;
                }
            }
        }
        drop(state);
        self.changed.wake_all();
        true
    }
}

/// The error of two brokers that could not be connected to: it is for good only if both are.
fn both(one: &Error, other: &Error) -> Error {
    let kind = if is_final(other) { one.kind() } else { other.kind() };
    Error::new(kind, format!("{one}; {other}"))
}

#[cfg(all(test, feature = "broker"))]
mod tests;
