//! What a broker is started with. Made from flags by the command or by hand; checked before anything starts.

use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use corecast_executors::{CoreSet, Idle};

use crate::auth::Permissions;
use crate::error::{Error, ErrorKind, Result};
use crate::fanout::{OverflowPolicy, QueueBounds};
use crate::limits::{
    EGRESS_BYTES_MAX_DEFAULT, EGRESS_FRAMES_MAX_DEFAULT, FRAME_BYTES_MAX_DEFAULT, FRAME_BYTES_MAX_LEAST,
    FRAME_BYTES_MAX_LIMIT, FRAMES_PER_TURN_MAX, HEARTBEAT_DEFAULT, HEARTBEAT_MIN, LEASE_DEFAULT, LEASE_MIN,
    READ_BYTES_PER_TURN, SESSIONS_PER_SHARD_MAX, SHARDS_MAX, TEXT_BYTES_MAX, TOPIC_BYTES_MAX, TURN_STEPS_MAX,
};
use crate::registry::ModeRules;
use crate::shard::{Door, ShardConfig};
use crate::transport::{Endpoint, SocketAccess};
use crate::wire::FRAME_BODY_BYTES_MIN;
use crate::zmtp::Sides;

/// Everything that can be chosen about a broker. Each field has a method of its name, to choose it in a chain:
/// `BrokerConfig::default().shards(2).overflow(OverflowPolicy::Latest)`.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct BrokerConfig {
    /// Where to listen; at least one, of whatever kind.
    pub listen: Vec<Endpoint>,
    /// Where to listen for ZeroMQ sockets of publishers and subscribers.
    pub zmtp: Vec<Endpoint>,
    /// Where to listen for ZeroMQ publishers, as an XSUB socket.
    pub zmtp_xsub: Vec<Endpoint>,
    /// Where to listen for ZeroMQ subscribers, as an XPUB socket.
    pub zmtp_xpub: Vec<Endpoint>,
    /// Who may connect to the socket files among those.
    pub socket_access: SocketAccess,
    /// ZeroMQ publishers hear each subscription, as with `ZMQ_XPUB_VERBOSE`: not only the first of its prefix.
    pub zmtp_verbose: bool,
    /// On which cores.
    pub cores: CoreSet,
    /// How many shards; `None`: one for each core.
    pub shards: Option<usize>,
    /// What an executor does when there is nothing to do.
    pub idle: Idle,
    /// Policy of sessions that ask for none. Only with `Block` may a session ask for `Block`.
    pub overflow: OverflowPolicy,
    /// Bytes that may wait for one session.
    pub egress_bytes_max: usize,
    /// Frames that may wait for one session.
    pub egress_frames_max: usize,
    /// Longest frame body taken, in bytes.
    pub frame_bytes_max: usize,
    /// How often a silent client says that it lives.
    pub heartbeat: Duration,
    /// Which topics go direct.
    pub modes: ModeRules,
    /// How long a direct publisher is known without a word from it.
    pub lease: Duration,
}

impl Default for BrokerConfig {
    fn default() -> Self {
        BrokerConfig {
            listen: vec![Endpoint::default()],
            zmtp: Vec::new(),
            zmtp_xsub: Vec::new(),
            zmtp_xpub: Vec::new(),
            socket_access: SocketAccess::default(),
            zmtp_verbose: false,
            cores: CoreSet::default(),
            shards: None,
            idle: Idle::default(),
            overflow: OverflowPolicy::default(),
            egress_bytes_max: EGRESS_BYTES_MAX_DEFAULT,
            egress_frames_max: EGRESS_FRAMES_MAX_DEFAULT,
            frame_bytes_max: FRAME_BYTES_MAX_DEFAULT,
            heartbeat: HEARTBEAT_DEFAULT,
            modes: ModeRules::default(),
            lease: LEASE_DEFAULT,
        }
    }
}

impl BrokerConfig {
    /// Checks what no type says.
    ///
    /// # Errors
    /// `Invalid`, with what to change.
    pub fn validate(&self) -> Result<()> {
        let invalid = |text: String| Err(Error::new(ErrorKind::Invalid, text));
        if self.doors().next().is_none() {
            return invalid("a broker must listen somewhere: give --listen".into());
        }
        if self.shards.is_some_and(|n| n == 0 || n > SHARDS_MAX) {
            return invalid(format!("the number of shards must be 1 to {SHARDS_MAX}"));
        }
        if !(FRAME_BYTES_MAX_LEAST..=FRAME_BYTES_MAX_LIMIT).contains(&self.frame_bytes_max) {
            return invalid(format!(
                "--frame-bytes-max must be {FRAME_BYTES_MAX_LEAST} to {FRAME_BYTES_MAX_LIMIT}: less does not take every \
                 filter, and more holds a shard for too long"
            ));
        }
        let least = self.egress_bytes_least();
        if self.egress_bytes_max < least {
            return invalid(format!(
                "--egress-bytes {} is too little: with --frame-bytes-max {} a queue needs {least} bytes to take the \
                 largest frame behind one that is leaving",
                self.egress_bytes_max, self.frame_bytes_max
            ));
        }
        if self.egress_frames_max < FRAMES_PER_TURN_MAX {
            return invalid(format!(
                "--egress-frames {} is too little: {FRAMES_PER_TURN_MAX} small frames may come in one read, and a queue \
                 that does not take them would deliver none",
                self.egress_frames_max
            ));
        }
        if self.heartbeat < HEARTBEAT_MIN {
            return invalid(format!("--heartbeat must be at least {} ms", HEARTBEAT_MIN.as_millis()));
        }
        if self.lease < LEASE_MIN {
            return invalid(format!("--lease must be at least {} ms", LEASE_MIN.as_millis()));
        }
        Ok(())
    }

    /// Every listener, with what it is for.
    pub(super) fn doors(&self) -> impl Iterator<Item = (Door, &Endpoint)> {
        [
            (Door::Native, &self.listen),
            (Door::Zmtp(Sides::Both), &self.zmtp),
            (Door::Zmtp(Sides::Publishers), &self.zmtp_xsub),
            (Door::Zmtp(Sides::Subscribers), &self.zmtp_xpub),
        ]
        .into_iter()
        .flat_map(|(door, endpoints)| endpoints.iter().map(move |endpoint| (door, endpoint)))
    }

    /// A queue must take the largest frame and one batch of a turn, or some frames could never be delivered.
    fn egress_bytes_least(&self) -> usize {
        self.frame_bytes_max.max(READ_BYTES_PER_TURN) + READ_BYTES_PER_TURN
    }

    pub(super) fn shard_config(&self, shards: usize) -> ShardConfig {
        // The epoch only has to differ from that of the start before.
        let epoch = SystemTime::now().duration_since(UNIX_EPOCH).map_or(1, |d| d.as_nanos() as u64);
        ShardConfig {
            shards,
            bounds: QueueBounds { bytes_max: self.egress_bytes_max, frames_max: self.egress_frames_max },
            frame_bytes_max: self.frame_bytes_max,
            overflow: self.overflow,
            heartbeat: self.heartbeat,
            epoch,
            modes: Arc::new(self.modes.clone()),
            lease: self.lease,
            permissions: Permissions::All,
            sessions_max: SESSIONS_PER_SHARD_MAX,
            direct: None,
            turn_steps_max: TURN_STEPS_MAX,
            zmtp_publishers: !(self.zmtp.is_empty() && self.zmtp_xsub.is_empty()),
            zmtp_verbose: self.zmtp_verbose,
            zmtp_subscribers: !(self.zmtp.is_empty() && self.zmtp_xpub.is_empty()),
        }
    }
}

setters! {
    BrokerConfig {
        listen: into Vec<Endpoint>,
        zmtp: into Vec<Endpoint>,
        zmtp_xsub: into Vec<Endpoint>,
        zmtp_xpub: into Vec<Endpoint>,
        socket_access: SocketAccess,
        zmtp_verbose: bool,
        cores: CoreSet,
        shards: into Option<usize>,
        idle: Idle,
        overflow: OverflowPolicy,
        egress_bytes_max: usize,
        egress_frames_max: usize,
        frame_bytes_max: usize,
        heartbeat: Duration,
        modes: ModeRules,
        lease: Duration,
    }
}

const _: () = assert!(TEXT_BYTES_MAX <= TOPIC_BYTES_MAX);
const _: () = assert!(FRAME_BODY_BYTES_MIN + TOPIC_BYTES_MAX <= FRAME_BYTES_MAX_LEAST);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_cannot_work_is_refused_with_what_to_change() {
        BrokerConfig::default().validate().unwrap();
        let wrong = [
            BrokerConfig { listen: vec![], ..Default::default() },
            BrokerConfig { shards: Some(0), ..Default::default() },
            BrokerConfig { egress_bytes_max: 1 << 20, ..Default::default() },
            BrokerConfig { egress_frames_max: FRAMES_PER_TURN_MAX - 1, ..Default::default() },
            BrokerConfig { frame_bytes_max: 1 << 40, ..Default::default() },
            BrokerConfig { frame_bytes_max: FRAME_BYTES_MAX_LEAST - 1, ..Default::default() },
            BrokerConfig { heartbeat: Duration::ZERO, ..Default::default() },
            BrokerConfig { lease: Duration::ZERO, ..Default::default() },
        ];
        BrokerConfig { frame_bytes_max: FRAME_BYTES_MAX_LEAST, ..Default::default() }.validate().unwrap();
        for config in wrong {
            assert_eq!(config.validate().unwrap_err().kind(), ErrorKind::Invalid);
        }
    }
}
