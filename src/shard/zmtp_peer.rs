//! A ZeroMQ socket, as its session knows it: the machine that reads it, its numbers as a publisher, its liveness. Owned by
//! its session.

use bytes::Bytes;
use corecast_executors::MonotonicNs;

use super::config::ShardConfig;
use super::liveness::Liveness;
use super::silence::{Sign, Silence};
use crate::carrier::Late;
use crate::error::ErrorCode;
use crate::ids::ShardId;
use crate::limits::HEARTBEATS_MISSED_MAX;
use crate::zmtp::{Machine, Role, Sides};

/// The state of a ZeroMQ socket, beside what all sessions have.
#[derive(Debug)]
pub(super) struct ZmtpPeer {
    pub(super) machine: Machine,
    pub(super) role: Option<Role>,
    /// The publisher that it is to native subscribers.
    pub(super) publisher: u64,
    pub(super) next_sequence: u64,
    /// The questions whether it still lives, and its answers.
    pub(super) liveness: Liveness,
    /// As a publisher: changes of what it is asked for that wait until it has read those before.
    pub(super) late: Late<Bytes>,
}

impl ZmtpPeer {
    /// A socket of this host, or of another, that has just connected to `shard`, as its `generation`-th session.
    pub(super) fn new(
        (sides, is_local): (Sides, bool),
        config: &ShardConfig,
        (shard, generation): (ShardId, u32),
        now: MonotonicNs,
    ) -> Self {
        let publisher = config.epoch.rotate_left(32) ^ u64::from(shard.0) << 48 ^ u64::from(generation);
        let offers = config.zmtp_offers.clone();
        let offers = if is_local { offers } else { offers.for_other_hosts() };
        ZmtpPeer {
            machine: Machine::new(sides, offers, config.frame_bytes_max),
            role: None,
            publisher: mixed(publisher),
            next_sequence: 1,
            liveness: Liveness::new(now),
            late: Late::default(),
        }
    }

    /// The words in which the peer is told why its session ends; none, if that is not for it. An ERROR before READY keeps
    /// libzmq (4.3.5) and most other clients from ever trying again, so it is for what can never work.
    pub(super) fn farewell(&self, code: ErrorCode, text: &str) -> Vec<u8> {
        let may_pass = matches!(
            code,
            ErrorCode::HandshakeTimeout
                | ErrorCode::ShuttingDown
                | ErrorCode::TooManySessions
                | ErrorCode::BadBox
                | ErrorCode::NotPermitted
                | ErrorCode::Unauthenticated
        );
        if self.role.is_some() || !may_pass { self.machine.farewell(text) } else { Vec::new() }
    }

    /// Judges the silence of an open session: a peer that can answer is asked, and is given up if it must have read the
    /// question and does not.
    pub(super) fn judge(&self, silence: Silence) -> Sign {
        let Silence { now, silent, is_held, is_fed, heartbeat } = silence;
        let is_due = if is_held {
            // Its heartbeats are not answered: without a word from here it would give this end up, in a time that only
            // it knows. If something is under way, it hears that.
            self.liveness.beats() && !is_fed
        } else if self.liveness.is_over(now, silent, heartbeat * (HEARTBEATS_MISSED_MAX - 1)) {
            return Sign::Gone;
        } else {
            self.liveness.is_due(silent, heartbeat)
        };
        if is_due && self.knows_commands() { Sign::Due } else { Sign::Alive }
    }

    pub(super) fn knows_commands(&self) -> bool {
        self.machine.knows_commands()
    }
}

/// Spreads the bits of a number, so that publishers of one start do not look alike (splitmix64's finalizer).
fn mixed(mut n: u64) -> u64 {
    n = (n ^ (n >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    n = (n ^ (n >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    n ^ (n >> 31)
}
