//! One connection of a session: made, greeted, read, written, until it ends. Its session makes the next.

use std::io::ErrorKind::ConnectionReset;
use std::io::IoSlice;
use std::rc::Rc;
use std::time::Duration;

use corecast_executors::{Either, MonotonicNs, first};

use super::life::Session;
use super::peer::Peer;
use crate::client::message::{EventRef, GapReason, GapRef};
use crate::error::{Error, ErrorCode, ErrorKind, Result};
use crate::fanout::OverflowPolicy;
use crate::ids::SubscriberId;
use crate::limits::{CONNECT_ATTEMPT, HANDSHAKE_DEADLINE};
use crate::transport::{ConnectError, Endpoint, Stream, connect};
use crate::wire::greeting::{self, GREETING_BYTES, Greeting};
use crate::wire::{Frame, Reader, split};

/// The outcome of a turn of reading.
enum Turn {
    More,
    Ended(Error),
}

/// Where a connection's handshake stands.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Heard {
    Nothing,
    Greeting,
}

impl Session {
    /// Connects to the first endpoint of the peer that answers.
    pub(super) async fn connect(&self) -> Result<Rc<Stream>> {
        let mut failed = Error::new(ErrorKind::Unreachable, format!("{} is nowhere", self.peer));
        for endpoint in &self.endpoints {
            let attempt = || self.runtime.clock.until(self.attempt_deadline(CONNECT_ATTEMPT));
            match connect(endpoint, attempt).await {
                Ok(stream) => {
                    self.local_ip.set(stream.local_ip());
                    return Ok(Rc::new(stream));
                }
                Err(error) => failed = self.not_connected(endpoint, error),
            }
        }
        Err(failed)
    }

    /// The error for an endpoint of the peer. How to start a broker is advice for want of a broker alone.
    fn not_connected(&self, endpoint: &Endpoint, error: ConnectError) -> Error {
        let is_denied = error.is_denied();
        match (self.peer, error) {
            (peer @ Peer::Publisher(_), ConnectError::Unanswered(source)) if !is_denied => {
                Error::new(ErrorKind::Unreachable, format!("{peer} does not answer at {endpoint} ({source})"))
            }
            (_, error) => error.at(endpoint),
        }
    }

    /// When an attempt that may take so long is over: at the latest when the first connection is given up.
    fn attempt_deadline(&self, time: Duration) -> MonotonicNs {
        let deadline = self.runtime.clock.now() + time;
        self.give_up.get().map_or(deadline, |give_up| deadline.min(give_up))
    }

    /// Serves one connection until it ends, and says why it did.
    pub(super) async fn serve(self: &Rc<Self>, stream: Rc<Stream>) -> Error {
        self.state.borrow_mut().on_connected(&self.config, self.runtime.clock.now());
        *self.stream.borrow_mut() = Some(Rc::clone(&stream));
        self.send.raise();
        let error = self.read_pump(&stream).await;
        *self.stream.borrow_mut() = None;
        // A send pump that waits for this stream is let go.
        let _ = stream.shutdown_both();
        let error = if self.fell_silent.get() { self.has_fallen_silent() } else { error };
        let refusal = self.state.borrow_mut().refusal.take();
        refusal.map_or(error, |(code, text)| {
            Error::new(ErrorKind::Refused(code), format!("{} refused: {text} ({code})", self.config.broker))
        })
    }

    async fn read_pump(self: &Rc<Self>, stream: &Stream) -> Error {
        let clock = &self.runtime.clock;
        let handshake_deadline = self.attempt_deadline(HANDSHAKE_DEADLINE);
        let mut reader = Reader::default();
        let mut heard = Heard::Nothing;
        loop {
            let readable = if self.state.borrow().is_open() {
                stream.readable().await
            } else {
                match first(stream.readable(), clock.until(handshake_deadline)).await {
                    Either::Left(readable) => readable,
                    Either::Right(()) => {
                        return self.silent(heard);
                    }
                }
            };
            if let Err(error) = readable {
                return Error::io("the connection failed", error);
            }
            let was_open = self.state.borrow().is_open();
            let turn = self.turn(stream, &mut reader, &mut heard);
            if !was_open && self.state.borrow().is_open() {
                self.on_open();
            }
            if let Turn::Ended(error) = turn {
                return error;
            }
            if let Err(error) = self.check_peer() {
                return error;
            }
            self.hear_news();
            if !self.state.borrow().out.unsent().is_empty() {
                self.send_later();
            }
            if self.holds.any() {
                self.holds.until_none(|| self.closing.get()).await;
            }
        }
    }

    fn turn(self: &Rc<Self>, stream: &Stream, reader: &mut Reader, heard: &mut Heard) -> Turn {
        let mut slab = self.runtime.slab.borrow_mut();
        let received = match stream.try_recv(reader.space(&mut slab)) {
            Ok(Some(0)) if *heard == Heard::Nothing => return Turn::Ended(self.closed_unheard()),
            Ok(Some(0)) => return Turn::Ended(self.lost()),
            Ok(received) => received.unwrap_or(0),
            // A server that closes with our greeting unread resets the connection.
            Err(error) if *heard == Heard::Nothing && error.kind() == ConnectionReset => {
                return Turn::Ended(self.closed_unheard());
            }
            Err(error) => return Turn::Ended(Error::io("the connection failed", error)),
        };
        reader.received(&slab, received);
        self.state.borrow_mut().on_received(self.runtime.clock.now());
        let mut greeted = 0;
        if *heard == Heard::Nothing {
            match greeting::parse(reader.filled(&slab)) {
                Ok(Greeting::NeedMore) => {
                    reader.discard(&mut slab, 0);
                    return Turn::More;
                }
                Ok(Greeting::Version(_)) => {
                    *heard = Heard::Greeting;
                    greeted = GREETING_BYTES;
                }
                Err(code) => return Turn::Ended(self.stranger(code)),
            }
        }
        let mut spans = self.runtime.spans.take();
        spans.clear();
        let bytes = &reader.filled(&slab)[greeted..];
        let found = split(bytes, self.state.borrow().frame_bytes_max_of_peer(), &mut spans);
        let mut answered = false;
        for span in &spans {
            answered |= self.on_frame(span.frame(bytes));
        }
        if answered {
            self.changed.wake_all();
        }
        self.runtime.spans.replace(spans);
        reader.discard(&mut slab, greeted + found.whole_bytes);
        match found.error {
            None => Turn::More,
            Some(error) => {
                let text = format!("{} sent what is no frame: {}", self.config.broker, error.text);
                Turn::Ended(Error::new(ErrorKind::Protocol, text))
            }
        }
    }

    /// Gives whether it was an answer, for which somebody may wait.
    fn on_frame(&self, frame: Frame<'_>) -> bool {
        let Some(event) = EventRef::of_frame(frame) else {
            self.state.borrow_mut().on_control(frame);
            self.note_policy();
            self.tell_returned();
            return true;
        };
        if self.closing.get() {
            // Its subscribers have left. Others, with the same sinks, have their own stream of the same publisher.
            return false;
        }
        if let EventRef::Gap(GapRef { missed, reason: GapReason::Overflow, .. }) = event {
            self.report.add_missed(missed.unwrap_or(1));
        }
        let receivers: Rc<[SubscriberId]> = match event.topic() {
            Some(topic) => self.sinks.receivers(topic),
            None => self.sinks.everyone(),
        };
        let any_untold = self.state.borrow().subscribers.has_untold();
        for id in &*receivers {
            // What comes before all of its subscriptions are in force again has holes: it is told as missed, too.
            if any_untold && self.state.borrow().subscribers.is_untold(*id) {
                continue;
            }
            self.sinks.deliver(*id, event);
        }
        false
    }

    /// The policy may have come with the welcome: full queues go by it from now on.
    fn note_policy(&self) {
        if !self.closing.get() {
            self.blocking.set(self.state.borrow().terms.overflow == OverflowPolicy::Block);
        }
    }

    /// Tells a gap to those who are back since a connection was lost: not before they receive all that comes, or who
    /// asks elsewhere for what was missed would miss what came between.
    fn tell_returned(&self) {
        while let Some(id) = self.pop_returned() {
            self.tell_gap(id);
        }
        while let Some(id) = self.pop_half_returned() {
            self.return_half(id);
        }
    }

    fn pop_returned(&self) -> Option<SubscriberId> {
        self.state.borrow_mut().subscribers.pop_returned()
    }

    fn pop_half_returned(&self) -> Option<SubscriberId> {
        self.state.borrow_mut().subscribers.pop_half_returned()
    }

    /// Tells the gap that a lost connection leaves.
    pub(super) fn tell_gap(&self, id: SubscriberId) {
        let reason = self.state.borrow().subscribers.gap_reason();
        self.sinks.deliver(id, EventRef::Gap(GapRef { topic: None, missed: None, reason }));
    }

    /// A session is welcomed once; and a direct publisher must be the one that was introduced: its port may be somebody
    /// else's by now.
    fn check_peer(&self) -> Result<()> {
        if let Some(overstep) = &self.state.borrow().overstep {
            let text = format!("{} {overstep}", self.config.broker);
            return Err(Error::new(ErrorKind::Protocol, text));
        }
        if !self.state.borrow().is_imposter {
            return Ok(());
        }
        let text = format!("{} is not {}", self.config.broker, self.peer);
        Err(Error::new(ErrorKind::Protocol, text))
    }

    fn lost(&self) -> Error {
        Error::new(ErrorKind::Lost, format!("{} closed the connection ({})", self.peer, self.config.broker))
    }

    /// The peer has stopped, or is cut off: it does not even say that it lives.
    pub(super) fn has_fallen_silent(&self) -> Error {
        let silent = self.runtime.clock.now().saturating_since(self.state.borrow().last_heard);
        let (peer, broker) = (self.peer, &self.config.broker);
        let text = format!(
            "{peer} has said nothing for {:.1} s ({broker}): it hangs, or is cut off",
            silent.as_secs_f64()
        );
        Error::new(ErrorKind::Lost, text)
    }

    /// Nothing came in the time of a handshake. Servers of other protocols that wait for a line or a whole request of
    /// theirs do so (Redis 7.0, HTTP); a broker greets at once.
    fn silent(&self, heard: Heard) -> Error {
        let (broker, role) = (&self.config.broker, self.peer.role());
        let text = match heard {
            Heard::Nothing => {
                format!("{broker} took the connection and said nothing: it is no corecast {role}, or hangs")
            }
            Heard::Greeting => format!("{broker} greeted and said no more: the {role} hangs"),
        };
        Error::new(ErrorKind::Unreachable, text)
    }

    /// The end came before the first byte, as from servers that see that the greeting is none of theirs (mosquitto 2.0).
    /// It may be a broker that was just ending: it is tried again.
    fn closed_unheard(&self) -> Error {
        let (broker, role) = (&self.config.broker, self.peer.role());
        let text = format!(
            "{broker} closed the connection before it said anything: it is no corecast {role}, or one that was ending"
        );
        Error::new(ErrorKind::Lost, text)
    }

    fn stranger(&self, code: ErrorCode) -> Error {
        let text = match code {
            ErrorCode::Version => format!("{} speaks another version of the protocol", self.config.broker),
            _ => format!("{} answers, but is no corecast {}", self.config.broker, self.peer.role()),
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
        if state.out.unsent().is_empty() {
            return true;
        }
        while !state.out.unsent().is_empty() {
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
