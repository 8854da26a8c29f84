//! A ZeroMQ peer without a library: a plain socket that sends exactly what a test wants, right or wrong, and reads when
//! the test wants to.
#![allow(dead_code, reason = "not every test file asks for all of it")]

pub(crate) mod curve;

use std::io::{ErrorKind, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::os::unix::net::UnixStream;
use std::path::Path;

use corecast::internals::zmtp::greeting::Mechanism;
use corecast::internals::zmtp::{command, frame, greeting};
use socket2::Socket;

use super::watchdog::LIMIT;

/// An item from the broker.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Said {
    /// A command, with its name and its data.
    Command(String, Vec<u8>),
    /// A message, in parts.
    Message(Vec<Vec<u8>>),
    /// The end of the stream.
    End,
}

#[derive(Debug)]
pub(crate) struct ZmtpPeer {
    stream: Socket,
    mechanism: Mechanism,
    /// The broker's greeting was read.
    is_greeted: bool,
}

impl ZmtpPeer {
    /// Connects, and says nothing yet.
    pub(crate) fn connect(door: &Path) -> ZmtpPeer {
        ZmtpPeer::over(UnixStream::connect(door).expect("the door is open"))
    }

    /// The same, at a door on TCP.
    pub(crate) fn connect_tcp(door: SocketAddr) -> ZmtpPeer {
        ZmtpPeer::over(TcpStream::connect(door).expect("the door is open"))
    }

    fn over(stream: impl Into<Socket>) -> ZmtpPeer {
        let stream = stream.into();
        stream.set_read_timeout(Some(LIMIT)).expect("a timeout");
        ZmtpPeer { stream, mechanism: Mechanism::Null, is_greeted: false }
    }

    /// Connects and greets as of 3.1, or of 3.0.
    pub(crate) fn greet(door: &Path, commands: bool) -> ZmtpPeer {
        ZmtpPeer::connect(door).greeted(commands)
    }

    /// Greets, if it is connected.
    pub(crate) fn greeted(mut self, commands: bool) -> ZmtpPeer {
        let mut ours = greeting::ours();
        ours[11] = u8::from(commands);
        self.send(&ours);
        self.hear_greeting().expect("the broker greets");
        self
    }

    /// Connects and greets by this mechanism, as of 3.1.
    pub(crate) fn greet_by(door: &Path, mechanism: Mechanism) -> ZmtpPeer {
        ZmtpPeer::connect(door).greeted_by(mechanism)
    }

    /// Greets by this mechanism, if it is connected.
    pub(crate) fn greeted_by(self, mechanism: Mechanism) -> ZmtpPeer {
        let mut peer = ZmtpPeer { mechanism, ..self };
        peer.send(&greeting::ours_for(mechanism));
        peer.hear_greeting().expect("the broker greets");
        peer
    }

    /// Connects and greets as a peer of ZMTP 2.0: 1 is PUB, 2 SUB. It is open then.
    pub(crate) fn open_2_0(door: &Path, socket_type: u8) -> ZmtpPeer {
        let mut peer = ZmtpPeer::connect(door);
        peer.send(&[&b"\xff\0\0\0\0\0\0\0\x01\x7f\x01"[..], &[socket_type, 0, 2], b"me"].concat());
        let opening: [u8; greeting::OPENING_BYTES] = peer.read().expect("the broker greets");
        assert_eq!(opening, greeting::ours()[..greeting::OPENING_BYTES]);
        let [_, flags, identity_bytes]: [u8; 3] = peer.read().expect("and says what it is");
        assert_eq!([flags, identity_bytes], [0, 0]);
        peer.is_greeted = true;
        peer
    }

    /// A peer of this type, open.
    pub(crate) fn open(door: &Path, kind: &str) -> ZmtpPeer {
        ZmtpPeer::greet(door, true).ready(kind)
    }

    pub(crate) fn ready(mut self, kind: &str) -> ZmtpPeer {
        self.send(&ready(kind));
        assert!(matches!(self.hear(), Said::Command(name, _) if name == "READY"));
        self
    }

    pub(crate) fn send(&mut self, bytes: &[u8]) {
        // A broker that has had enough may be gone before it has read all.
        let _ = self.stream.write_all(bytes);
    }

    pub(crate) fn publish(&mut self, parts: &[&[u8]]) {
        self.send(&message(parts));
    }

    pub(crate) fn subscribe(&mut self, prefix: &[u8]) {
        self.send(&command::subscription(true, prefix, true));
    }

    /// Reads all that is to come.
    pub(crate) fn read_to_end(&mut self, out: &mut Vec<u8>) {
        let _ = self.stream.read_to_end(out);
    }

    /// Shuts its side down.
    pub(crate) fn end_sending(&mut self) {
        let _ = self.stream.shutdown(std::net::Shutdown::Write);
    }

    /// The next that it hears.
    pub(crate) fn hear(&mut self) -> Said {
        let mut parts = Vec::new();
        loop {
            let Some((flags, body)) = self.frame() else { return Said::End };
            if flags & frame::COMMAND != 0 {
                let (name, data) = body[1..].split_at(usize::from(body[0]));
                return Said::Command(String::from_utf8_lossy(name).into_owned(), data.to_vec());
            }
            parts.push(body);
            if flags & frame::MORE == 0 {
                return Said::Message(parts);
            }
        }
    }

    /// The next message's parts. A PING before it, which a busy machine has the door send, is answered.
    pub(crate) fn message(&mut self) -> Vec<Vec<u8>> {
        loop {
            match self.hear() {
                Said::Message(parts) => return parts,
                Said::Command(name, data) if name == "PING" => self.send(&command_of(b"PONG", &data[2..])),
                other => unreachable!("a message, not {other:?}"),
            }
        }
    }

    /// Reads to the end, and gives the reason of the ERROR before it, if there was one.
    pub(crate) fn end(&mut self) -> Option<String> {
        let mut reason = None;
        loop {
            match self.hear() {
                Said::End => return reason,
                Said::Command(name, data) if name == "ERROR" => {
                    reason = Some(String::from_utf8_lossy(&data[1..]).into_owned());
                }
                _ => {}
            }
        }
    }

    fn hear_greeting(&mut self) -> Option<()> {
        let theirs: [u8; greeting::GREETING_BYTES] = self.read()?;
        assert_eq!(theirs, greeting::ours_for(self.mechanism));
        self.is_greeted = true;
        Some(())
    }

    fn frame(&mut self) -> Option<(u8, Vec<u8>)> {
        if !self.is_greeted {
            self.hear_greeting()?;
        }
        let [flags, short] = self.read()?;
        let size = if flags & frame::LONG == 0 {
            u64::from(short)
        } else {
            let rest: [u8; 7] = self.read()?;
            rest.iter().fold(u64::from(short), |size, byte| size << 8 | u64::from(*byte))
        };
        let mut body = vec![0; usize::try_from(size).expect("it fits")];
        self.stream.read_exact(&mut body).ok()?;
        Some((flags, body))
    }

    fn read<const BYTES: usize>(&mut self) -> Option<[u8; BYTES]> {
        let mut bytes = [0; BYTES];
        match self.stream.read_exact(&mut bytes) {
            Ok(()) => Some(bytes),
            Err(e) if matches!(e.kind(), ErrorKind::UnexpectedEof | ErrorKind::ConnectionReset) => None,
            Err(e) => unreachable!("the broker says nothing: {e}"),
        }
    }
}

/// A message's bytes.
pub(crate) fn message(parts: &[&[u8]]) -> Vec<u8> {
    let mut out = Vec::new();
    for (at, part) in parts.iter().enumerate() {
        frame::put_frame(&mut out, if at + 1 < parts.len() { frame::MORE } else { 0 }, part);
    }
    out
}

/// A command's bytes.
pub(crate) fn command_of(name: &[u8], data: &[u8]) -> Vec<u8> {
    let length = u8::try_from(name.len()).expect("a short name");
    let mut out = Vec::new();
    frame::put_frame(&mut out, frame::COMMAND, &[&[length], name, data].concat());
    out
}

/// A property of a READY, which says that its value has so many bytes.
pub(crate) fn property(name: &[u8], announced: u32, value: &[u8]) -> Vec<u8> {
    let length = u8::try_from(name.len()).expect("a short name");
    [&[length], name, &announced.to_be_bytes(), value].concat()
}

/// A READY of a socket of this type.
pub(crate) fn ready(kind: &str) -> Vec<u8> {
    let length = u32::try_from(kind.len()).expect("a short type");
    command_of(b"READY", &property(b"Socket-Type", length, kind.as_bytes()))
}
