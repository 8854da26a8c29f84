//! The broker in proxy mode: pinned executors, each with a [`Shard`](crate::shard::Shard) and the pumps that move
//! bytes for it. [`Broker::start`] is the way in.
//!
//! | file | owns |
//! |---|---|
//! | `config` | what a broker is started with, checked |
//! | `runtime` | one executor's shard, connections and outbox: the only one that touches all three |
//! | `ingress` | a session's pump: read, split, hand to the shard |
//! | `zmtp_ingress` | the same for ZeroMQ sockets |
//! | `flush` | egress queues to the kernel, pending items to links |
//! | `links` | what comes from other shards |
//! | `dial` | connecting to direct publishers, for ZeroMQ subscribers |
//! | `listener` | accepting and placing connections |
//! | `local` | the other way in: messages from the local API of a direct publisher |
//! | `body` | what an executor of the pool runs, from start to drain |

mod body;
mod config;
mod dial;
mod flush;
mod ingress;
mod links;
mod listener;
mod local;
mod runtime;
mod zmtp_ingress;

use std::os::fd::OwnedFd;
use std::pin::Pin;
use std::sync::Arc;
use std::time::{Duration, Instant};

use corecast_executors::{
    CoreId, Link, MonotonicNs, Pool, PoolConfig, ShardContext, Sockets, Topology, link, start,
};

pub(crate) use body::run as run_shard;
pub use config::BrokerConfig;
pub use ingress::ingest;
pub(crate) use local::LocalHost;
pub use zmtp_ingress::{ZmtpScratch, ingest_zmtp};

use crate::endpoint::{Endpoint, Listening, SocketAccess, SocketFile};
use crate::error::{Error, ErrorKind, Result};
use crate::ids::ShardId;
use crate::limits::{ADDRESS_IN_USE_RETRY, ADDRESS_IN_USE_RETRY_PAUSE, LINK_ITEMS_MAX};
use crate::shard::{Door, LinkItem};
use crate::telemetry::Pulse;

/// What travels between the executors of a broker.
pub(crate) enum Item {
    /// From shard to shard.
    Link(LinkItem),
    /// From the acceptor: this connection is yours.
    Adopt {
        /// The connection, accepted and tuned.
        fd: OwnedFd,
        /// Which protocol it speaks.
        door: Door,
    },
    /// To the acceptor: one of my sessions has ended.
    Left,
    /// To the first shard: accept on these.
    Listen {
        /// The listeners, with what they are for.
        listeners: Vec<Listener>,
    },
    /// To an executor of a direct publisher: run this there.
    Begin(Begin),
    /// Stop: drain for so long, then end.
    Drain {
        /// How long.
        time: Duration,
        /// Told when it has ended, unless nobody listens.
        report: Link<CutOff>,
    },
}

/// What a drain that ran out of time has cut off.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub(crate) struct CutOff {
    /// Sessions that had not ended.
    pub(crate) sessions: u64,
    /// Messages that waited for them, which are lost.
    pub(crate) messages: u64,
    /// The memory that they held, in bytes.
    pub(crate) bytes: u64,
}

/// An open listener, and what it is for.
pub(crate) struct Listener {
    pub(crate) fd: OwnedFd,
    pub(crate) endpoint: Endpoint,
    pub(crate) door: Door,
}

/// What an executor of a direct publisher is to run.
pub(crate) type Begin = Box<dyn FnOnce(ShardContext<Item>) -> Pin<Box<dyn Future<Output = ()>>> + Send>;

/// A running broker. Dropped, it stops without draining; [`Broker::stop`] drains.
pub struct Broker {
    pool: Option<Pool<Item>>,
    addresses: Vec<Endpoint>,
    zmtp: Vec<Endpoint>,
    socket_files: Vec<SocketFile>,
    cores: Vec<CoreId>,
    /// By shard.
    pulses: Vec<Pulse>,
}

impl Broker {
    /// Opens the listeners and starts the executors; when it returns, the broker serves.
    ///
    /// # Errors
    /// `Invalid` for a configuration that cannot be, `AddressInUse` with the endpoint that is taken, `Executor`
    /// with the limit that stands in the way, `Io`.
    pub fn start(config: BrokerConfig) -> Result<Broker> {
        config.validate()?;
        let topology = Topology::detect().map_err(|e| Error::new(ErrorKind::Executor, chain(&e)))?;
        let cores = config.cores.resolve(&topology).map_err(|e| Error::new(ErrorKind::Invalid, chain(&e)))?;
        let shards = config.shards.unwrap_or(cores.len());
        let mut listeners = Vec::new();
        let (mut addresses, mut zmtp) = (Vec::new(), Vec::new());
        let mut socket_files = Vec::new();
        for (door, endpoint) in config.doors() {
            let Listening { file, sockets, endpoint } = listen_patiently(endpoint, config.socket_access)?;
            socket_files.extend(file);
            let of = if door == Door::Native { &mut addresses } else { &mut zmtp };
            of.push(endpoint.clone());
            let opened = sockets.into_iter().map(|fd| Listener { fd, endpoint: endpoint.clone(), door });
            listeners.extend(opened);
        }
        let pool_config = PoolConfig {
            name: "corecast".to_owned(),
            cores,
            shards,
            idle: config.idle,
            sockets: Sockets::Many,
            link_capacity: LINK_ITEMS_MAX,
        };
        let shard_config = Arc::new(config.shard_config(shards));
        let now = MonotonicNs::now();
        let pulses: Vec<Pulse> = (0..shards).map(|_| Pulse::starting(now)).collect();
        let begun = pulses.clone();
        let run = move |context: ShardContext<Item>| {
            let pulse = begun[context.shard.index()].clone();
            body::run(context, Arc::clone(&shard_config), pulse)
        };
        let pool = start(&pool_config, run).map_err(|e| Error::new(ErrorKind::Executor, chain(&e)))?;
        let cores = pool.cores();
        let sent = pool.commands(ShardId(0)).send_blocking(Item::Listen { listeners });
        if sent.is_err() {
            return Err(Error::new(ErrorKind::Executor, "the first executor has ended"));
        }
        Ok(Broker { pool: Some(pool), addresses, zmtp, socket_files, cores, pulses })
    }

    /// Where it listens, with the real ports.
    pub fn endpoints(&self) -> &[Endpoint] {
        &self.addresses
    }

    /// Where it listens for ZeroMQ sockets, with the real ports: those for both sides, then those for publishers, then
    /// those for subscribers, each in the order of the configuration.
    pub fn zmtp_endpoints(&self) -> &[Endpoint] {
        &self.zmtp
    }

    /// How many shards it has.
    pub fn shards(&self) -> usize {
        self.cores.len()
    }

    /// The core of each shard.
    pub fn cores(&self) -> &[CoreId] {
        &self.cores
    }

    /// The pulse of each shard: whether it turns.
    pub fn pulses(&self) -> &[Pulse] {
        &self.pulses
    }

    /// Takes nothing more, delivers what was taken, tells every client, and ends; after `drain` it ends whatever
    /// is left.
    ///
    /// # Errors
    /// `Executor` when an executor has failed; `TimedOut` when messages that it had taken are lost, with how many.
    pub fn stop(mut self, drain: Duration) -> Result<()> {
        self.end(drain)
    }

    fn end(&mut self, drain: Duration) -> Result<()> {
        let Some(pool) = self.pool.take() else { return Ok(()) };
        // While it still listens: later it could be the file of the next broker, which takes the place of one that nobody
        // listens on.
        self.socket_files.clear();
        let (report, mut reports) = link(pool.shards());
        for shard in 0..pool.shards() {
            let shard = ShardId(u16::try_from(shard).expect("shards are counted in 16 bits"));
            // A shard that has ended needs no telling.
            let _ = pool.commands(shard).send_blocking(Item::Drain { time: drain, report: report.clone() });
        }
        pool.join().map_err(|e| Error::new(ErrorKind::Executor, chain(&e)))?;
        let mut lost = CutOff::default();
        while let Some(CutOff { sessions, messages, bytes }) = reports.try_recv() {
            lost.sessions += sessions;
            lost.messages += messages;
            lost.bytes += bytes;
        }
        if lost.messages == 0 {
            // Whoever was cut off had read all that was for it.
            return Ok(());
        }
        let text = format!(
            "the broker had {drain:?} to drain, which was too short: {} sessions were cut off, and {} messages for them, in \
             {} bytes, are lost",
            lost.sessions, lost.messages, lost.bytes
        );
        Err(Error::new(ErrorKind::TimedOut, text))
    }
}

impl Drop for Broker {
    fn drop(&mut self) {
        // Nobody is left to be told of a failure.
        let _ = self.end(Duration::ZERO);
    }
}

/// Listens, and asks again for a moment while the address is taken: after `kill -9` the kernel may keep a port
/// answering for some milliseconds, and a restart should not fail over that.
fn listen_patiently(endpoint: &Endpoint, access: SocketAccess) -> Result<Listening> {
    let give_up = Instant::now() + ADDRESS_IN_USE_RETRY;
    loop {
        match endpoint.listen(access) {
            Err(e) if e.kind() == ErrorKind::AddressInUse && Instant::now() < give_up => {
                corecast_executors::pause(ADDRESS_IN_USE_RETRY_PAUSE);
            }
            done => return done,
        }
    }
}

/// An error and its causes in one line.
pub(crate) fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text.push_str(": ");
        text.push_str(&cause.to_string());
        source = cause.source();
    }
    text
}
