//! Which executors the shards of a direct publisher run on, and how those start. The first shard is always in the
//! executor of the publisher's client, so that no message crosses to another core unless a subscriber is there.

use std::pin::Pin;
use std::sync::Arc;

use corecast_executors::{
    CoreId, CoreSet, Idle, Inbox, Link, PoolConfig, Reactor, ShardContext, ShardId, Sockets, Topology,
    core_here, link, link_to_task, spawn_plain, start,
};

use crate::broker::{Begin, ExecutorConfig, Item, chain, run_shard};
use crate::client::config::DirectConfig;
use crate::client::session::Session;
use crate::error::{Error, ErrorKind, Result};
use crate::ids::PublisherId;
use crate::limits::{COMMANDS_MAX, LINK_ITEMS_MAX};
use crate::shard::ShardConfig;
use crate::telemetry::Pulse;

/// The name of a direct publisher's own executor threads, before the executor's number.
pub const DIRECT_POOL: &str = "corecast-pub";

/// The first shard's place among the executors of a direct publisher.
pub(in crate::client) struct Placed {
    pub(in crate::client) context: ShardContext<Item>,
    /// To every shard.
    pub(in crate::client) commands: Vec<Link<Item>>,
    /// The configuration that all executors share.
    pub(in crate::client) config: Arc<ExecutorConfig>,
    /// The publisher's number on every shard.
    pub(in crate::client) id: PublisherId,
}

/// The configuration that the executors of a direct publisher share.
fn executor_config(
    session: &Session,
    config: &DirectConfig,
    id: PublisherId,
    shards: usize,
) -> ExecutorConfig {
    let (terms, tickets) = {
        let state = session.state.borrow();
        (state.terms, state.tickets.rules())
    };
    let shard = ShardConfig {
        shards,
        bounds: config.bounds,
        frame_bytes_max: config.frame_bytes_max,
        overflow: config.overflow.unwrap_or(terms.overflow),
        heartbeat: terms.heartbeat,
        direct: Some(id),
        permissions: config.permissions.clone().asking_for(tickets),
        ..ShardConfig::default()
    };
    ExecutorConfig { shard, connect: session.config.connect.clone(), carrier: None }
}

/// A shard in the executor that calls, and, if cores are chosen, one on each of them that is not its own.
///
/// # Errors
/// `Invalid` for cores that are none of this process; `Executor`.
pub(in crate::client) async fn place(
    session: &Session,
    id: PublisherId,
    config: &DirectConfig,
) -> Result<Placed> {
    let mut others = match &config.cores {
        Some(cores) => cores_of(cores)?,
        None => Vec::new(),
    };
    others.retain(|core| Some(*core) != core_here());
    let kind = (config.idle, session.config.reactor);
    let elsewhere = if others.is_empty() { Vec::new() } else { start_elsewhere(others, kind).await? };
    let (placed, begins) = join(session, id, config, elsewhere);
    for (commands, begin) in placed.commands[1..].iter().zip(begins) {
        commands.send(Item::Begin(begin)).await.map_err(|_| executor_gone())?;
    }
    Ok(placed)
}

/// One set of shards, of which the first is here: links between here and each, beside those that they have.
fn join(
    session: &Session,
    id: PublisherId,
    config: &DirectConfig,
    elsewhere: Vec<Link<Item>>,
) -> (Placed, Vec<Begin>) {
    let ticks = session.runtime.pass_ticks_on();
    let stir = ticks.stir();
    let (own_commands, inbox) = link_to_task(COMMANDS_MAX, &stir);
    let shards = 1 + elsewhere.len();
    let config = Arc::new(executor_config(session, config, id, shards));
    let mut context = ShardContext {
        shard: ShardId(0),
        shards,
        core: core_here(),
        links: vec![None],
        inboxes: vec![None],
        commands: inbox,
        ticks,
    };
    let mut begins = Vec::with_capacity(elsewhere.len());
    for commands in &elsewhere {
        let (there, from_here) = commands.beside(LINK_ITEMS_MAX);
        let (here, from_there) = link_to_task(LINK_ITEMS_MAX, &stir);
        context.links.push(Some(there));
        context.inboxes.push(Some(from_there));
        begins.push(begin_behind(here, from_here, Arc::clone(&config)));
    }
    let commands = std::iter::once(own_commands).chain(elsewhere).collect();
    (Placed { context, commands, config, id }, begins)
}

/// Runs a shard of a pool as one of a set that begins with one that is not in the pool.
fn begin_behind(first: Link<Item>, from_first: Inbox<Item>, config: Arc<ExecutorConfig>) -> Begin {
    Box::new(move |mut context| {
        context.shard.0 += 1;
        context.shards += 1;
        context.links.insert(0, Some(first));
        context.inboxes.insert(0, Some(from_first));
        // Nobody asks how the shards of a publisher are.
        Box::pin(run_shard(context, config, Pulse::default()))
    })
}

/// As [`start_executors`], without holding up the executor that calls.
async fn start_elsewhere(cores: Vec<CoreId>, kind: (Idle, Reactor)) -> Result<Vec<Link<Item>>> {
    let (done, mut started) = link(1);
    // Nobody joins it: it ends when they have started.
    spawn_plain("corecast-start", move || drop(done.try_send(start_executors(cores, kind))))
        .map_err(|e| Error::io("cannot make a thread", e))?;
    started.recv().await.unwrap_or_else(|| Err(executor_gone()))
}

/// Starts an executor on each of these cores, and gives the way to each. Each waits for its
/// [`Begin`](Item::Begin), and ends when that has, or with the way to it. Blocks until they run.
///
/// # Errors
/// `Executor`, with the limit that stands in the way.
pub(in crate::client) fn start_executors(
    cores: Vec<CoreId>,
    (idle, reactor): (Idle, Reactor),
) -> Result<Vec<Link<Item>>> {
    let pool_config = PoolConfig {
        name: DIRECT_POOL.to_owned(),
        shards: cores.len(),
        cores,
        idle,
        sockets: Sockets::Many,
        reactor,
        link_capacity: LINK_ITEMS_MAX,
    };
    let pool =
        start(&pool_config, run_what_begins).map_err(|e| Error::new(ErrorKind::Executor, chain(&e)))?;
    let shards = u16::try_from(pool.shards()).expect("shards are counted in 16 bits");
    // They end when the publisher does: the pool itself is not needed.
    Ok((0..shards).map(|shard| pool.commands(ShardId(shard))).collect())
}

fn run_what_begins(mut context: ShardContext<Item>) -> Pin<Box<dyn Future<Output = ()>>> {
    Box::pin(async move {
        if let Some(Item::Begin(begin)) = context.commands.recv().await {
            begin(context).await;
        }
    })
}

/// The cores that a set names.
///
/// # Errors
/// `Invalid`, naming the one that this process may not use.
pub(in crate::client) fn cores_of(set: &CoreSet) -> Result<Vec<CoreId>> {
    let topology = Topology::detect().map_err(|e| Error::new(ErrorKind::Executor, chain(&e)))?;
    set.resolve(&topology).map_err(|e| Error::of_field("cores", chain(&e)))
}

/// The error where an executor of this process has ended.
pub(in crate::client) fn executor_gone() -> Error {
    Error::new(ErrorKind::Executor, "the client executor of this process has ended")
}
