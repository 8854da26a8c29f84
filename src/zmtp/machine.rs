//! One ZMTP connection, from the greeting to its end: received bytes in, steps out. Pure: the shard carries out the
//! steps.

use std::io::IoSlice;
use std::ops::Range;

use bytes::Bytes;

use super::claim::{PeerClaim, Progress};
use super::command::{self, ZmtpCommand};
#[cfg(feature = "broker")]
use super::curve::CurveChannel;
use super::decoder::{Decoder, Found};
use super::frame::{Head, MessageSpan, parse_head};
use super::greeting::{self, GREETING_BYTES, Mechanism, OPENING_BYTES, Version, ZmtpGreeting};
use super::handshake::Handshake;
#[cfg(not(feature = "broker"))]
use super::no_curve::NoChannel as CurveChannel;
use super::offers::Offers;
use crate::error::ErrorCode;
use crate::limits::READ_BYTES_PER_TURN;
use crate::wire::{Partial, WireError};

/// The kinds of peers that a door accepts.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub enum Sides {
    /// Publishers and subscribers.
    #[default]
    Both,
    /// PUB and XPUB only: the door acts as an XSUB socket.
    Publishers,
    /// SUB and XSUB only: the door acts as an XPUB socket.
    Subscribers,
}

/// The role of a peer.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Role {
    /// PUB or XPUB.
    Publisher,
    /// SUB or XSUB.
    Subscriber,
}

/// One action for the shard; steps are in order.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Step {
    /// Note that the greeting is complete; the handshake follows.
    Greeted,
    /// Judge this claim: if it is refused, the session ends, and the steps behind this one are void. A peer with a password
    /// waits until [`Machine::admit`].
    Claim(PeerClaim),
    /// Call [`Machine::seal`]: what is sent from here on is sealed, but for the command that follows. Nothing may wait to be sent
    /// now.
    Seal,
    /// Note that the handshake is done.
    Open(Role),
    /// Send these bytes.
    Send(Vec<u8>),
    /// Publish these of the spans.
    Messages(Range<usize>),
    /// Publish this one message, whose bytes were not contiguous.
    Message(Bytes, MessageSpan),
    /// Skip a message of at least this many bytes, since it is too long. It began with these bytes.
    TooLong(Bytes, usize),
    /// Subscribe the peer to this prefix.
    Subscribe(Bytes),
    /// Cancel one of the peer's subscriptions to this prefix.
    Cancel(Bytes),
    /// Note that the peer sends heartbeats, and may be given up after this many tenths of a second in silence (0:
    /// never).
    Beat(u16),
    /// Note that the peer has answered a heartbeat.
    Alive,
}

/// The output of a read. Kept from turn to turn for its memory.
#[derive(Default, Debug)]
pub struct Output {
    /// The steps, in order.
    pub steps: Vec<Step>,
    /// The messages of the steps, in order; they are in the first [`Read::whole_bytes`].
    pub spans: Vec<MessageSpan>,
    /// Bytes of the last run of messages as native frames.
    run_bytes: usize,
}

/// The end of a read.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub struct Read {
    /// Bytes that are used up.
    pub whole_bytes: usize,
    /// The frames that were sealed in them, which messages are spans of instead, if the connection is encrypted.
    pub opened: Option<Bytes>,
    /// The fault in the bytes after them, which ends the connection; the steps before it are good.
    pub error: Option<WireError>,
}

#[derive(Debug)]
enum Stage {
    Greeting,
    Handshake(Handshake),
    Open(Role),
}

/// One connection.
#[derive(Debug)]
pub struct Machine {
    stage: Stage,
    sides: Sides,
    offers: Offers,
    /// True if the peer's greeting was one of ZMTP 3, so that it understands an ERROR.
    can_tell: bool,
    /// True if the peer speaks 3.1.
    commands: bool,
    /// True if the rest of this end's greeting is sent.
    greeted: bool,
    /// True if the peer speaks ZMTP 2.0, which has no commands.
    is_2_0: bool,
    decoder: Decoder,
    message_bytes_max: usize,
    /// The boxes in which all that follows a handshake of CURVE travels.
    channel: Option<Box<CurveChannel>>,
    /// True once what leaves goes into boxes.
    is_sealed: bool,
}

impl Read {
    /// Bytes of frames that are used up.
    pub fn frame_bytes(&self) -> usize {
        self.opened.as_ref().map_or(self.whole_bytes, Bytes::len)
    }
}

impl Output {
    fn clear(&mut self) {
        self.steps.clear();
        self.spans.clear();
    }

    /// Adds a message to the current run. A run is bounded like a turn of native frames: it may be translated, and one
    /// queue takes it at once.
    fn push_message(&mut self, span: MessageSpan) {
        let at = self.spans.len();
        let joins = matches!(self.steps.last(), Some(Step::Messages(_)))
            && self.spans.last().is_some_and(|last| last.end() == span.start())
            && self.run_bytes + span.native_bytes() <= READ_BYTES_PER_TURN;
        self.spans.push(span);
        match self.steps.last_mut() {
            Some(Step::Messages(range)) if joins => {
                range.end = at + 1;
                self.run_bytes += span.native_bytes();
            }
            _ => {
                self.steps.push(Step::Messages(at..at + 1));
                self.run_bytes = span.native_bytes();
            }
        }
    }
}

impl Machine {
    /// A connection through a door for these peers, which may choose among these mechanisms and send messages of at most
    /// `message_bytes_max`.
    pub fn new(sides: Sides, offers: Offers, message_bytes_max: usize) -> Self {
        Machine {
            stage: Stage::Greeting,
            sides,
            offers,
            can_tell: false,
            commands: false,
            greeted: false,
            is_2_0: false,
            decoder: Decoder::new(message_bytes_max),
            message_bytes_max,
            channel: None,
            is_sealed: false,
        }
    }

    /// The bytes that it begins with, whatever version the peer speaks.
    pub fn begin() -> Vec<u8> {
        greeting::ours()[..OPENING_BYTES].to_vec()
    }

    /// True if the peer has subscriptions and heartbeats as commands.
    pub fn knows_commands(&self) -> bool {
        self.commands
    }

    /// The bytes that tell the peer why the connection ends; empty if the peer would not understand them.
    pub fn farewell(&self, reason: &str) -> Vec<u8> {
        if self.can_tell { command::error(reason) } else { Vec::new() }
    }

    /// The incomplete message or command that `rest` is the start of.
    pub fn partial(&self, rest: &[u8]) -> Partial {
        match (&self.stage, &self.channel) {
            (Stage::Greeting, _) => Partial::frame(rest.len(), None),
            (_, None) => self.decoder.partial(rest),
            (_, Some(channel)) => self.decoder.partial(channel.opened()).and(channel.partial(rest)),
        }
    }

    /// The peer's password is accepted. Returns the command for which it waits, if it does.
    pub fn admit(&mut self) -> Option<Vec<u8>> {
        match &mut self.stage {
            Stage::Handshake(handshake) => handshake.admit(),
            Stage::Greeting | Stage::Open(_) => None,
        }
    }

    /// Begins to seal what is sent, behind the READY that comes first; see [`Step::Seal`].
    pub fn seal(&mut self) {
        self.is_sealed = self.channel.is_some();
    }

    /// True if what is sent has to go through [`Machine::send_sealed`].
    #[inline]
    pub fn is_sealed(&self) -> bool {
        self.is_sealed
    }

    /// Sends some of `parts` in boxes, made in `room`: whole frames, but for what was sent before of the first part. Returns how
    /// many of their bytes were tried, and how many of these `send` took; `None`: it has no room.
    ///
    /// # Errors
    /// Those of `send`.
    pub fn send_sealed<E>(
        &mut self,
        parts: &[IoSlice<'_>],
        room: &mut Vec<u8>,
        send: impl FnMut(&[IoSlice<'_>]) -> Result<Option<usize>, E>,
    ) -> Result<(usize, Option<usize>), E> {
        self.channel.as_mut().expect("it is sealed").send(parts, room, send)
    }

    /// Reads the received bytes that were not used up before.
    pub fn read(&mut self, bytes: &[u8], out: &mut Output) -> Read {
        out.clear();
        let mut read = Read::default();
        if matches!(self.stage, Stage::Greeting) {
            match self.greet(bytes, out) {
                Ok(0) => return read,
                Ok(greeting_bytes) => read.whole_bytes = greeting_bytes,
                Err(error) => return Read { error: Some(error), ..read },
            }
        }
        while self.channel.is_none() {
            match self.advance(bytes, read.whole_bytes, out) {
                Ok(Some(whole_bytes)) => read.whole_bytes = whole_bytes,
                Ok(None) => return read,
                Err(error) => return Read { error: Some(error), ..read },
            }
        }
        self.read_sealed(bytes, read, out)
    }

    /// Opens the boxes behind what is used up, and reads the frames in them.
    fn read_sealed(&mut self, bytes: &[u8], read: Read, out: &mut Output) -> Read {
        let Some(channel) = &mut self.channel else { return read };
        let (box_bytes, fault) = channel.open(&bytes[read.whole_bytes..], self.message_bytes_max);
        let mut opened = channel.take_opened();
        let mut whole_bytes = 0;
        let error = loop {
            match self.advance(&opened, whole_bytes, out) {
                Ok(Some(end)) => whole_bytes = end,
                Ok(None) => break fault,
                Err(error) => break Some(error),
            }
        };
        let rest = match whole_bytes {
            0 => std::mem::take(&mut opened),
            whole_bytes => opened[whole_bytes..].to_vec(),
        };
        opened.truncate(whole_bytes);
        opened.shrink_to_fit();
        if let Some(channel) = &mut self.channel {
            channel.put_back(rest);
        }
        Read { whole_bytes: read.whole_bytes + box_bytes, opened: Some(Bytes::from(opened)), error }
    }

    /// Reads the peer's greeting, and sends the rest of this end's once the peer's version is known. Returns the
    /// greeting's length when it is whole.
    fn greet(&mut self, bytes: &[u8], out: &mut Output) -> Result<usize, WireError> {
        let greeting = greeting::parse(bytes);
        let version = match &greeting {
            Ok(ZmtpGreeting::NeedMore(version)) => *version,
            Ok(ZmtpGreeting::Peer { .. }) => Some(Version::V3),
            Ok(ZmtpGreeting::Peer2 { socket_type, .. }) => Some(Version::V2(socket_type)),
            Err(error) => (error.code == ErrorCode::Mechanism).then_some(Version::V3),
        };
        if let Some(version) = version.filter(|_| !self.greeted)
            && let Some(ending) = self.ending(version, &greeting)?
        {
            self.greeted = true;
            self.can_tell = version == Version::V3;
            out.steps.push(Step::Send(ending));
        }
        match greeting? {
            ZmtpGreeting::NeedMore(_) => Ok(0),
            ZmtpGreeting::Peer { mechanism, commands } => {
                self.stage = Stage::Handshake(Handshake::new(mechanism, &self.offers)?);
                self.commands = commands;
                out.steps.push(Step::Greeted);
                Ok(GREETING_BYTES)
            }
            ZmtpGreeting::Peer2 { socket_type, bytes } => {
                // It has no mechanisms, so it is as with NULL.
                Handshake::new(Mechanism::Null, &self.offers)?;
                let (role, _) = self.role(socket_type.as_bytes())?;
                self.is_2_0 = true;
                out.steps.push(Step::Claim(PeerClaim::Nothing));
                self.open(role, out);
                Ok(bytes)
            }
        }
    }

    /// The end of this end's greeting for a peer of this version. `None`: its mechanism is that of the peer, which is not known
    /// yet. A mechanism that is not offered is answered with the same, so that the peer reads the ERROR.
    fn ending(
        &self,
        version: Version,
        greeting: &Result<ZmtpGreeting, WireError>,
    ) -> Result<Option<Vec<u8>>, WireError> {
        let mechanism = match (version, greeting) {
            (Version::V2(socket_type), _) => {
                return Ok(Some(greeting::ending_2_0(self.role(socket_type.as_bytes())?.1)));
            }
            (Version::V3, _) if self.offers.is_only_null() => Mechanism::Null,
            (Version::V3, Ok(ZmtpGreeting::Peer { mechanism, .. })) => *mechanism,
            (Version::V3, Ok(_)) => return Ok(None),
            (Version::V3, Err(_)) => Mechanism::Null,
        };
        Ok(Some(greeting::ours_for(mechanism)[OPENING_BYTES..].to_vec()))
    }

    /// Takes the next message or command. Returns the new start of the unused bytes; `None` if nothing more is whole.
    fn advance(&mut self, bytes: &[u8], at: usize, out: &mut Output) -> Result<Option<usize>, WireError> {
        let rest = &bytes[at..];
        if matches!(self.stage, Stage::Handshake(_)) {
            refuse_messages(rest)?;
        }
        match self.decoder.next(rest)? {
            Found::NeedMore => Ok(None),
            Found::Command { .. } if self.is_2_0 => {
                Err(WireError::new(ErrorCode::Malformed, "a command, although ZMTP 2.0 has none"))
            }
            Found::Command { body, alone } => {
                let end = at + body.end;
                match &self.stage {
                    Stage::Handshake(_) => self.on_handshake(&rest[body], out)?,
                    _ => self.on_command(command::parse(&rest[body])?, out)?,
                }
                Ok(Some(if alone { end } else { at }))
            }
            Found::Message(span) => {
                let end = at + span.end();
                match self.stage {
                    Stage::Open(Role::Publisher) => out.push_message(span.moved(at)),
                    _ => self.on_upstream_message(span, rest, out),
                }
                Ok(Some(end))
            }
            Found::TooLong { topic, message_bytes } => {
                if self.is_publisher() {
                    out.steps.push(Step::TooLong(Bytes::copy_from_slice(&rest[topic]), message_bytes));
                }
                Ok(Some(at))
            }
            Found::Skipped(bytes) => Ok(Some(at + bytes)),
            Found::Interrupted { end, pieces } => {
                if self.is_publisher() {
                    out.steps.push(self.put_together(rest, pieces)?);
                }
                Ok(Some(at + end))
            }
        }
    }

    /// Copies a message without the commands within it.
    ///
    /// # Errors
    /// The frames are not one message, which the decoder rules out: the session ends rather than lose it silently.
    fn put_together(&self, bytes: &[u8], pieces: Vec<Range<usize>>) -> Result<Step, WireError> {
        let whole: Vec<u8> = pieces.into_iter().flat_map(|piece| &bytes[piece]).copied().collect();
        match Decoder::new(usize::MAX).next(&whole)? {
            Found::Message(span) => Ok(Step::Message(Bytes::from(whole), span)),
            _ => Err(WireError::new(ErrorCode::Malformed, "the frames around a command are not one message")),
        }
    }

    /// Takes a command of the handshake.
    fn on_handshake(&mut self, body: &[u8], out: &mut Output) -> Result<(), WireError> {
        if let ZmtpCommand::Error(reason) = command::parse(body)? {
            return Err(ended_by_peer(reason));
        }
        let Stage::Handshake(handshake) = &mut self.stage else { unreachable!("there is a handshake") };
        let (claim, metadata) = match handshake.take(body)? {
            Progress::Answer(answer) => {
                out.steps.push(Step::Send(answer));
                return Ok(());
            }
            Progress::Claimed(claim) => {
                out.steps.push(Step::Claim(claim));
                return Ok(());
            }
            Progress::Ended { claim, metadata } => (claim, metadata),
        };
        let (role, as_type) =
            self.role(command::parse_metadata(&metadata)?.socket_type.unwrap_or_default())?;
        let Stage::Handshake(handshake) = &self.stage else { unreachable!("there is a handshake") };
        let (ready, channel) = handshake.end(as_type);
        out.steps.extend(claim.map(Step::Claim));
        out.steps.extend(channel.is_some().then_some(Step::Seal));
        out.steps.push(Step::Send(ready));
        self.channel = channel;
        self.open(role, out);
        Ok(())
    }

    fn on_command(&mut self, command: ZmtpCommand<'_>, out: &mut Output) -> Result<(), WireError> {
        let Stage::Open(role) = self.stage else { unreachable!("commands of the handshake are taken by it") };
        match (role, command) {
            (_, ZmtpCommand::Error(reason)) => Err(ended_by_peer(reason)),
            (_, ZmtpCommand::Ping { ttl_ds, context }) => {
                out.steps.push(Step::Beat(ttl_ds));
                out.steps.push(Step::Send(command::pong(context)));
                Ok(())
            }
            (Role::Subscriber, ZmtpCommand::Subscribe(prefix)) => {
                out.steps.push(Step::Subscribe(Bytes::copy_from_slice(prefix)));
                Ok(())
            }
            (Role::Subscriber, ZmtpCommand::Cancel(prefix)) => {
                out.steps.push(Step::Cancel(Bytes::copy_from_slice(prefix)));
                Ok(())
            }
            (_, ZmtpCommand::Pong) => {
                out.steps.push(Step::Alive);
                Ok(())
            }
            (_, ZmtpCommand::Unknown(_)) => Ok(()),
            _ => Err(WireError::new(ErrorCode::Unexpected, "a command that this socket may not send now")),
        }
    }

    fn open(&mut self, role: Role, out: &mut Output) {
        self.stage = Stage::Open(role);
        self.decoder.take_long_commands();
        out.steps.push(Step::Open(role));
    }

    fn is_publisher(&self) -> bool {
        matches!(self.stage, Stage::Open(Role::Publisher))
    }

    /// The peer's role, and the socket type of this end towards it.
    fn role(&self, socket_type: &[u8]) -> Result<(Role, &'static str), WireError> {
        match socket_type {
            b"PUB" | b"XPUB" if self.sides != Sides::Subscribers => Ok((Role::Publisher, "XSUB")),
            b"SUB" | b"XSUB" if self.sides != Sides::Publishers => Ok((Role::Subscriber, "XPUB")),
            other => {
                let takes = match self.sides {
                    Sides::Both => "PUB, XPUB, SUB and XSUB",
                    Sides::Publishers => "PUB and XPUB",
                    Sides::Subscribers => "SUB and XSUB",
                };
                let text = format!("this port accepts {takes} sockets, not {}", other.escape_ascii());
                Err(WireError::new(ErrorCode::SocketType, text))
            }
        }
    }

    /// Takes a message from a subscriber: a subscription as in 3.0, or data that an XSUB application sends up, which is
    /// dropped.
    fn on_upstream_message(&self, span: MessageSpan, bytes: &[u8], out: &mut Output) {
        if span.part_count() != 1 {
            return;
        }
        match span.parts(bytes).next().and_then(|body| body.split_first()) {
            Some((1, prefix)) => out.steps.push(Step::Subscribe(Bytes::copy_from_slice(prefix))),
            Some((0, prefix)) => out.steps.push(Step::Cancel(Bytes::copy_from_slice(prefix))),
            _ => {}
        }
    }
}

fn ended_by_peer(reason: &[u8]) -> WireError {
    WireError::new(ErrorCode::Unexpected, format!("the peer ends the session: {}", reason.escape_ascii()))
}

/// Refuses messages before the handshake is done, when only commands may come: at the first byte, however long.
fn refuse_messages(bytes: &[u8]) -> Result<(), WireError> {
    match parse_head(bytes)? {
        Some(Head { command: false, .. }) => {
            Err(WireError::new(ErrorCode::Unexpected, "a message came before the handshake was done"))
        }
        _ => Ok(()),
    }
}
