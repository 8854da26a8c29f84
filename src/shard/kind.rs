//! Kinds of sessions: all that differs between a client of ours, a ZeroMQ socket, a direct publisher that is relayed and
//! the publisher of this process is asked here. Owned by the session.

use bytes::Bytes;
use corecast_executors::MonotonicNs;

use super::relay_peer::RelayPeer;
use super::silence::{Sign, Silence};
use super::zmtp_peer::ZmtpPeer;
use crate::carrier::Audience;
use crate::error::ErrorCode;
use crate::fanout::Encoding;
use crate::limits::{FLUSH_BYTES_PER_VISIT, HEARTBEATS_MISSED_MAX, SEALED_BYTES_PER_VISIT};
use crate::wire::{Features, Frame, encode_to_vec};
use crate::zmtp::Machine;

/// The kind of a session. It has one from its first moment to its last.
#[derive(Debug)]
pub(super) enum Kind {
    /// A client that speaks this project's own protocol, with the features that its greeting has offered.
    Native(Features),
    /// A ZeroMQ socket.
    Zmtp(Box<ZmtpPeer>),
    /// A direct publisher, of which this end is the client.
    Relay(Box<RelayPeer>),
    /// The local API of a direct publisher: no connection, no deadlines.
    Local,
}

impl Kind {
    /// The encoding of what goes to the peer.
    pub(super) fn encoding(&self) -> Encoding {
        match self {
            Kind::Zmtp(_) => Encoding::Zmtp,
            Kind::Native(features) => Encoding::native(*features),
            Kind::Relay(_) | Kind::Local => Encoding::Native,
        }
    }

    /// True if the peer goes on after a refusal of one of its requests or topics.
    pub(super) fn takes_refusals(&self) -> bool {
        matches!(self, Kind::Native(features) if features.has(Features::REFUSALS))
    }

    /// The peer has greeted, and offers these features. Nothing is sent to a direct publisher that they concern.
    pub(super) fn on_greeted(&mut self, features: Features) {
        if let Kind::Native(offered) = self {
            *offered = features;
        }
    }

    /// Sessions that hear what a session of this kind publishes.
    pub(super) fn audience(&self) -> Audience {
        match self {
            Kind::Relay(_) => Audience::RelayedHere,
            Kind::Native(_) | Kind::Zmtp(_) | Kind::Local => Audience::Everywhere,
        }
    }

    /// True if the peer knows tickets to direct publishers.
    pub(super) fn takes_tickets(&self) -> bool {
        matches!(self, Kind::Native(features) if features.has(Features::TICKETS))
    }

    /// True if the peer goes on at another broker when it is told to.
    pub(super) fn takes_drains(&self) -> bool {
        matches!(self, Kind::Native(features) if features.has(Features::DRAINS))
    }

    pub(super) fn is_local(&self) -> bool {
        matches!(self, Kind::Local)
    }

    pub(super) fn is_zmtp(&self) -> bool {
        matches!(self, Kind::Zmtp(_))
    }

    /// The machine that seals what goes to the peer, if its connection is encrypted.
    #[inline]
    pub(super) fn sealing(&mut self) -> Option<&mut Machine> {
        Some(&mut self.zmtp_mut()?.machine).filter(|machine| machine.is_sealed())
    }

    /// Bytes that are sent to the peer before the next session has its turn: few where each costs as much as ten others.
    #[inline]
    pub(super) fn bytes_per_visit(&mut self) -> usize {
        if self.sealing().is_some() { SEALED_BYTES_PER_VISIT } else { FLUSH_BYTES_PER_VISIT }
    }

    pub(super) fn zmtp_mut(&mut self) -> Option<&mut ZmtpPeer> {
        match self {
            Kind::Zmtp(peer) => Some(peer),
            Kind::Native(_) | Kind::Relay(_) | Kind::Local => None,
        }
    }

    /// The frame that tells the peer why its session ends, and 1; no bytes, if it is not for the peer.
    pub(super) fn farewell(&self, code: ErrorCode, text: &str) -> (Bytes, u32) {
        match self {
            Kind::Native(_) | Kind::Local => {
                let error = Frame::Error { text, request: 0, code: code.number() };
                (encode_to_vec(&error).into(), 1)
            }
            Kind::Zmtp(peer) => (peer.farewell(code, text).into(), 1),
            // The end that accepts says why, not the client.
            Kind::Relay(_) => (Bytes::new(), 0),
        }
    }

    /// The peer is read again: until now it could not be heard.
    pub(super) fn heard_again(&mut self, now: MonotonicNs) {
        if let Kind::Zmtp(peer) = self {
            peer.liveness.heard_again(now);
        }
    }

    /// Judges the silence of an open session.
    pub(super) fn judge(&mut self, silence: Silence) -> Sign {
        let Silence { silent, is_held, heartbeat, .. } = silence;
        match self {
            // The pings of one that is held are not read, so they are not answered: without a word from here it would
            // give this end up, and lose what is under way.
            Kind::Native(_) if is_held && silent >= heartbeat => Sign::Due,
            Kind::Native(_) if !is_held && silent > heartbeat * HEARTBEATS_MISSED_MAX => Sign::Gone,
            Kind::Zmtp(peer) => peer.judge(silence),
            Kind::Relay(peer) => peer.judge(silence),
            Kind::Native(_) | Kind::Local => Sign::Alive,
        }
    }
}
