//! The handshake of one connection, by the mechanism of its greeting.

use super::claim::{PeerClaim, Progress};
use super::command;
#[cfg(feature = "broker")]
use super::curve::{CurveChannel, CurveHandshake};
use super::greeting::Mechanism;
#[cfg(not(feature = "broker"))]
use super::no_curve::{NoChannel as CurveChannel, NoHandshake as CurveHandshake};
use super::offers::Offers;
use super::plain::PlainHandshake;
use crate::error::ErrorCode;
use crate::wire::WireError;

/// The handshake of one connection.
#[derive(Debug)]
pub(super) enum Handshake {
    /// NULL: a READY each way.
    Null,
    /// PLAIN.
    Plain(PlainHandshake),
    /// CURVE.
    Curve(Box<CurveHandshake>),
}

impl Handshake {
    /// A handshake by this mechanism.
    ///
    /// # Errors
    /// `Mechanism` if it is not offered.
    pub(super) fn new(mechanism: Mechanism, offers: &Offers) -> Result<Self, WireError> {
        match (mechanism, offers.key_pair()) {
            (Mechanism::Null, _) if offers.has(mechanism) => Ok(Handshake::Null),
            (Mechanism::Plain, _) if offers.has(mechanism) => Ok(Handshake::Plain(PlainHandshake::Hello)),
            (Mechanism::Curve, Some(pair)) => Ok(Handshake::Curve(Box::new(CurveHandshake::new(pair)))),
            _ => {
                let text = format!(
                    "the mechanism {} is not supported here, only {}",
                    mechanism.name(),
                    offers.names()
                );
                Err(WireError::new(ErrorCode::Mechanism, text))
            }
        }
    }

    /// Takes the body of a command.
    ///
    /// # Errors
    /// Those of the mechanism.
    pub(super) fn take(&mut self, body: &[u8]) -> Result<Progress, WireError> {
        let (name, data) = command::split(body)?;
        match self {
            Handshake::Null if name == b"READY" => {
                Ok(Progress::Ended { claim: Some(PeerClaim::Nothing), metadata: data.to_vec() })
            }
            Handshake::Null => Err(WireError::new(ErrorCode::Unexpected, "the first command must be READY")),
            Handshake::Plain(plain) => plain.take(name, data),
            Handshake::Curve(curve) => curve.take(body),
        }
    }

    /// The peer's claim is accepted. Returns the command for which it waits, if it does.
    pub(super) fn admit(&mut self) -> Option<Vec<u8>> {
        match self {
            Handshake::Plain(plain) => plain.admit(),
            Handshake::Null | Handshake::Curve(_) => None,
        }
    }

    /// The READY that ends it, as a socket of this type, and the channel in which all else travels, if there is one.
    pub(super) fn end(&self, socket_type: &str) -> (Vec<u8>, Option<Box<CurveChannel>>) {
        match self {
            Handshake::Null | Handshake::Plain(_) => (command::ready(socket_type), None),
            Handshake::Curve(curve) => {
                let (ready, channel) = curve.end(socket_type);
                (ready, Some(Box::new(channel)))
            }
        }
    }
}
