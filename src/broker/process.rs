//! Owns a whole broker: its listeners and the pool of its executors, from start to stop.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use corecast_executors::{
    CoreId, Link, MonotonicNs, Pool, PoolConfig, Reactor, ShardContext, Sockets, Topology, link, start,
};

use super::config::{BrokerConfig, users_of};
#[cfg(feature = "nats")]
use super::engine_start::{ComingEngine, JoinedEngine};
use super::exposure::{Exposed, check_exposure};
#[cfg(not(feature = "nats"))]
use super::no_engine::{NoComingEngine as ComingEngine, NoJoinedEngine as JoinedEngine};
use super::rules::{NewRules, pass_on};
use super::{CutOff, ExecutorConfig, Item, Listener, body, chain, operators};
use crate::auth::Permissions;
#[cfg(feature = "nats")]
use crate::control::EngineQuestions;
use crate::control::{ControlThread, Operations};
use crate::error::{Error, ErrorKind, Result};
use crate::ids::ShardId;
use crate::limits::{ADDRESS_IN_USE_RETRY, ADDRESS_IN_USE_RETRY_PAUSE, CENSUS_ASKS_MAX, LINK_ITEMS_MAX};
use crate::shard::Door;
use crate::telemetry::{InsecureListeners, Pulse, count_reload, export_certificate};
use crate::transport::{self, Endpoint, ListenConfig, Listening, SocketFile, TlsServer};

/// A running broker. Dropped, it stops without draining; [`Broker::stop`] drains.
pub struct Broker {
    pool: Option<Pool<Item>>,
    addresses: Vec<Endpoint>,
    zmtp: Vec<Endpoint>,
    socket_files: Vec<SocketFile>,
    cores: Vec<CoreId>,
    /// By shard.
    pulses: Vec<Pulse>,
    /// Ends behind the shards: it answers until they have drained.
    control: ControlThread,
    operations: Operations,
    /// To the control thread.
    rules: Link<NewRules>,
    /// The engine, if it has one.
    engine: Option<JoinedEngine>,
    /// The file of users.
    users: Option<PathBuf>,
    /// Listeners that lack protection, each with what follows from it.
    insecure: InsecureListeners,
}

impl Broker {
    /// Opens the listeners and starts the executors and the control thread; when it returns, the broker serves.
    ///
    /// # Errors
    /// `Invalid` for a configuration that cannot be, `AddressInUse` with the endpoint that is taken, `Executor`
    /// with the limit that stands in the way, `Io`.
    pub fn start(config: BrokerConfig) -> Result<Broker> {
        config.validate()?;
        let permissions = config.first_permissions()?;
        let topology = Topology::detect().map_err(|e| Error::new(ErrorKind::Executor, chain(&e)))?;
        let cores = config.cores.resolve(&topology).map_err(|e| Error::of_field("cores", chain(&e)))?;
        let shards = config.shards.unwrap_or(cores.len());
        let mut listeners = Vec::new();
        let (mut addresses, mut zmtp) = (Vec::new(), Vec::new());
        let mut socket_files = Vec::new();
        let mut exposed = Vec::new();
        for (door, endpoint, field) in config.doors() {
            let listening = listen_patiently(endpoint, &config.listeners)?;
            exposed.push(Exposed::of(&listening, field, config.zmtp_curve_key.is_some()));
            let Listening { file, sockets, endpoint } = listening;
            socket_files.extend(file);
            let of = if door == Door::Native { &mut addresses } else { &mut zmtp };
            of.push(endpoint.clone());
            let opened =
                sockets.into_iter().map(|socket| Listener { socket, endpoint: endpoint.clone(), door });
            listeners.extend(opened);
        }
        let insecure = check_exposure(&exposed, permissions.users().is_some(), config.insecure)?;
        let insecure = InsecureListeners::note(insecure);
        if let Some(tls) = &config.listeners.tls {
            export_certificate(tls.expires_at());
        }
        let control = ControlThread::start(&cores[..shards.min(cores.len())])?;
        let pool_config = PoolConfig {
            name: "corecast".to_owned(),
            cores,
            shards,
            idle: config.idle,
            sockets: Sockets::Many,
            reactor: Reactor::IoUring,
            link_capacity: LINK_ITEMS_MAX,
        };
        let first_rules = permissions.clone();
        let engine = ComingEngine::of(&config, shards)?;
        let mut shard = config.shard_config(shards, permissions)?;
        if let Some(engine) = &engine {
            // A client that goes from one broker to another learns from it that both are joined.
            shard.epoch = engine.start();
        }
        let executor_config = Arc::new(ExecutorConfig {
            shard,
            connect: config.connect,
            carrier: engine.as_ref().map(ComingEngine::ends),
        });
        let now = MonotonicNs::now();
        let pulses: Vec<Pulse> = (0..shards).map(|_| Pulse::starting(now)).collect();
        let begun = pulses.clone();
        let run = move |context: ShardContext<Item>| {
            let pulse = begun[context.shard.index()].clone();
            body::run(context, Arc::clone(&executor_config), pulse)
        };
        let pool = start(&pool_config, run).map_err(|e| Error::new(ErrorKind::Executor, chain(&e)))?;
        let cores = pool.cores();
        let sent = pool.commands(ShardId(0)).send_blocking(Item::Listen { listeners });
        if sent.is_err() {
            return Err(Error::new(ErrorKind::Executor, "the first executor has ended"));
        }
        let (rules, new_rules) = link(1);
        control.spawn("rules", pass_on(new_rules, all_commands(&pool), first_rules));
        let operations = begin_operations(&control, &pool, &cores);
        let engine = engine.map(|engine| engine.begin(&control)).transpose()?;
        let (pool, users) = (Some(pool), config.users);
        Ok(Broker {
            pool,
            addresses,
            zmtp,
            socket_files,
            cores,
            pulses,
            control,
            operations,
            rules,
            engine,
            users,
            insecure,
        })
    }

    /// The addresses that it listens on, with the real ports.
    pub fn endpoints(&self) -> &[Endpoint] {
        &self.addresses
    }

    /// The addresses that it listens on for ZeroMQ sockets, with the real ports: those for both sides, then those for publishers, then
    /// those for subscribers, each in the order of the configuration.
    pub fn zmtp_endpoints(&self) -> &[Endpoint] {
        &self.zmtp
    }

    /// The number of its shards.
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

    /// The way of operators to its shards, for [`Pages::with_operations`](crate::control::Pages::with_operations).
    pub fn operations(&self) -> Operations {
        self.operations.clone()
    }

    /// Its control thread, for tasks that are no message flow: such as
    /// [`HttpServer::serve`](crate::control::HttpServer::serve).
    pub fn control(&self) -> &ControlThread {
        &self.control
    }

    /// Changes the rules of what peers may do, and returns when every shard follows them. A subscriber
    /// that may no longer have one of its filters ends with [`NotPermitted`](crate::ErrorCode::NotPermitted), behind the messages that
    /// were queued for it. A ZeroMQ socket, or a client of version 1, ends with its session. A publisher is told at its next message that it may not publish. A direct publisher
    /// leaves the registry, though streams that its subscribers have of it go on. All others notice nothing.
    ///
    /// # Errors
    /// `Executor` when the control thread has ended.
    pub fn set_permissions(&self, permissions: Permissions) -> Result<()> {
        let ended = || Error::new(ErrorKind::Executor, "the control thread of the broker has ended");
        let (followed, mut answer) = link(1);
        self.rules.send_blocking(NewRules { permissions, followed }).map_err(|_| ended())?;
        answer.recv_blocking().ok_or_else(ended)
    }

    /// Reads the file of users again, and returns when every shard follows it, as with [`Broker::set_permissions`]. A file that
    /// cannot be read, or is at fault, changes nothing. Without such a file there is nothing to do.
    ///
    /// # Errors
    /// `Invalid` for the file, with the line; `Executor` when the control thread has ended.
    pub fn reload(&self) -> Result<()> {
        self.users.as_ref().map_or(Ok(()), |path| self.reload_users(path))
    }

    /// Reads a file of users, which may be another one than before, as [`Broker::reload`] does. A broker that began without users
    /// goes on to show ZeroMQ sockets no way to log in.
    ///
    /// # Errors
    /// As for [`Broker::reload`].
    pub fn reload_users(&self, path: &Path) -> Result<()> {
        let followed = users_of(path).and_then(|permissions| self.set_permissions(permissions));
        count_reload(followed.is_ok());
        followed
    }

    /// The listeners that other hosts reach without users or encryption, each with what follows from it: none without
    /// [`BrokerConfig::insecure`].
    pub fn insecure(&self) -> &[String] {
        self.insecure.lines()
    }

    /// Changes the certificate of `tls://` listeners, and the authorities of their clients' certificates: for connections
    /// that come from now on. Sessions that are there stay.
    ///
    /// # Errors
    /// `Executor` when the first executor has ended.
    pub fn set_certificate(&self, tls: &TlsServer) -> Result<()> {
        let ended = || Error::new(ErrorKind::Executor, "the first executor of the broker has ended");
        let pool = self.pool.as_ref().ok_or_else(ended)?;
        pool.commands(ShardId(0)).send_blocking(Item::Certificate(tls.clone())).map_err(|_| ended())?;
        export_certificate(tls.expires_at());
        Ok(())
    }

    /// Waits for so long at most until the engine has answered for the first time. True if it has, and for a broker without one.
    pub fn wait_for_engine(&mut self, patience: Duration) -> bool {
        self.engine.as_mut().is_none_or(|engine| engine.wait_until_connected(patience))
    }

    /// The way to the state of its engine, if it has one.
    #[cfg(feature = "nats")]
    pub(crate) fn engine_questions(&self) -> Option<EngineQuestions> {
        self.engine.as_ref().map(JoinedEngine::questions)
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
        self.pulses.iter().for_each(Pulse::drain);
        let (report, mut reports) = link(pool.shards());
        for shard in 0..pool.shards() {
            // A shard that has ended needs no telling.
            let _ = pool
                .commands(shard_id(shard))
                .send_blocking(Item::Drain { time: drain, report: report.clone() });
        }
        let joined = pool.join();
        if let Some(engine) = &mut self.engine {
            engine.wait_until_ended();
        }
        self.control.end();
        joined.map_err(|e| Error::new(ErrorKind::Executor, chain(&e)))?;
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
            "the drain timeout of {drain:?} was too short: {} sessions were cut off, and {} messages that waited, in {} \
             bytes, are lost",
            lost.sessions, lost.messages, lost.bytes
        );
        Err(Error::new(ErrorKind::TimedOut, text))
    }
}

/// Starts the tasks by which operators reach the shards.
fn begin_operations(control: &ControlThread, pool: &Pool<Item>, cores: &[CoreId]) -> Operations {
    let (looks, asked) = link(CENSUS_ASKS_MAX);
    control.spawn("looks", operators::pass_on(asked, all_commands(pool)));
    let (operations, census) = Operations::new(looks, cores);
    control.spawn("census", census);
    operations
}

/// The command links of all shards.
fn all_commands(pool: &Pool<Item>) -> Vec<Link<Item>> {
    (0..pool.shards()).map(|shard| pool.commands(shard_id(shard))).collect()
}

fn shard_id(shard: usize) -> ShardId {
    ShardId(u16::try_from(shard).expect("shards are counted in 16 bits"))
}

impl Drop for Broker {
    fn drop(&mut self) {
        // Nobody is left to be told of a failure.
        let _ = self.end(Duration::ZERO);
    }
}

/// Listens, and asks again for a moment while the address is taken: after `kill -9` the kernel may keep a port
/// answering for some milliseconds, and a restart should not fail over that.
fn listen_patiently(endpoint: &Endpoint, config: &ListenConfig) -> Result<Listening> {
    let give_up = Instant::now() + ADDRESS_IN_USE_RETRY;
    loop {
        match transport::listen(endpoint, config) {
            Err(e) if e.kind() == ErrorKind::AddressInUse && Instant::now() < give_up => {
                corecast_executors::pause(ADDRESS_IN_USE_RETRY_PAUSE);
            }
            done => return done,
        }
    }
}
