//! The life of each executor of a broker: its pumps, from the first tick to the end of the drain.

use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use corecast_executors::{
    Inbox, Link, MonotonicNs, ShardContext, Stir, TICK, Ticks, end_turn, link, link_to_shard, spawn_local,
};
use tracing::{info, warn};

use super::core_time::{Busy, CoreTime, Reading};
use super::flush::settle;
#[cfg(feature = "broker")]
use super::looks;
use super::runtime::Runtime;
use super::{CarrierEnd, CutOff, Item, arrivals, dial, links, listener};
use crate::auth::Permissions;
use crate::ids::{Neighbour, ShardId};
use crate::limits::{LAST_CALL_MAX, LINK_ITEMS_MAX};
use crate::shard::{LastCall, Moving, Shard, ShardConfig};
use crate::telemetry::{Exported, Pulse};
use crate::transport::ConnectConfig;

/// Time between two flushes of counters and gauges: ten a second is finer than anybody scrapes.
const EXPORT_PERIOD: Duration = Duration::from_millis(100);

/// The configuration that all executors of a broker, or of a direct publisher, share.
#[derive(Debug)]
pub(crate) struct ExecutorConfig {
    /// Their shards.
    pub(crate) shard: ShardConfig,
    /// The connections that they make.
    pub(crate) connect: ConnectConfig,
    /// To the carrier, if there is one: its ends of the links that each shard makes. Then each shard knows of one carrier.
    pub(crate) carrier: Option<Link<CarrierEnd>>,
}

/// Runs one shard until it is told to drain, and has.
pub(crate) async fn run(context: ShardContext<Item>, config: Arc<ExecutorConfig>, pulse: Pulse) {
    let (runtime, commands) = begin(context, &config, pulse.clone());
    serve(runtime, commands).await;
    pulse.end();
}

/// Starts the pumps of one shard. Its commands are for [`serve`].
pub(super) fn begin(
    context: ShardContext<Item>,
    config: &ExecutorConfig,
    pulse: Pulse,
) -> (Rc<Runtime>, Inbox<Item>) {
    let ShardContext { shard: id, mut links, mut inboxes, commands, ticks, .. } = context;
    if let Some(carrier) = &config.carrier {
        let (link, inbox) = join_carrier(id, carrier, &ticks.stir());
        links.push(Some(link));
        inboxes.push(Some(inbox));
    }
    let now = MonotonicNs::now();
    let runtime = Runtime::new(Shard::new(id, config.shard.clone(), now), links, ticks.stir(), now);
    for (from, inbox) in inboxes.into_iter().enumerate() {
        if let Some(inbox) = inbox {
            let from = Neighbour(u16::try_from(from).expect("neighbours are counted in 16 bits"));
            spawn_local(links::pump(Rc::clone(&runtime), from, inbox)).detach();
        }
    }
    spawn_local(arrivals::pump(Rc::clone(&runtime))).detach();
    spawn_local(dial::pump(Rc::clone(&runtime), config.connect.clone())).detach();
    spawn_local(tick(Rc::clone(&runtime), ticks, pulse)).detach();
    (runtime, commands)
}

/// Makes the links between a shard and the carrier, and gives the carrier its ends.
fn join_carrier(shard: ShardId, carrier: &Link<CarrierEnd>, stir: &Stir) -> (Link<Item>, Inbox<Item>) {
    let (to_shard, from_carrier) = link_to_shard(LINK_ITEMS_MAX, stir);
    let (to_carrier, from_shard) = link(LINK_ITEMS_MAX);
    // There is room for one of each shard. A carrier that is gone takes nothing, like a shard that has ended.
    let _ = carrier.try_send(CarrierEnd { shard, to: to_shard, from: from_shard });
    (to_carrier, from_carrier)
}

/// Does what the shard is told from outside, until it has drained.
pub(super) async fn serve(runtime: Rc<Runtime>, mut commands: Inbox<Item>) {
    let report = loop {
        match commands.recv().await {
            Some(Item::Listen { listeners }) => {
                for listener in listeners {
                    let acceptor = runtime.placement.add_acceptor();
                    spawn_local(listener::accept(Rc::clone(&runtime), listener, acceptor)).detach();
                }
            }
            Some(Item::Permissions { permissions, followed }) => {
                follow(&runtime, &permissions).await;
                // Whoever changes them may have gone.
                let _ = followed.try_send(());
            }
            #[cfg(feature = "broker")]
            Some(Item::Look(look)) => looks::look(&runtime, look).await,
            Some(Item::Certificate(tls)) => runtime.placement.set_certificate(&tls),
            Some(Item::Drain { time, report }) => {
                if !time.is_zero() {
                    last_call(&runtime).await;
                }
                begin_drain(&runtime, time);
                break Some(report);
            }
            Some(
                Item::Link(_)
                | Item::Adopt { .. }
                | Item::Connection(_)
                | Item::Moved { .. }
                | Item::Left(_)
                | Item::Begin(_),
            ) => {
                unreachable!("these come over links, or before a shard is there")
            }
            None => {
                begin_drain(&runtime, Duration::ZERO);
                break None;
            }
        }
    };
    settle(&runtime).await;
    let cut_off = runtime.ended().await;
    if let Some(report) = report {
        // Of those that end a direct publisher nobody listens.
        let _ = report.try_send(cut_off);
    }
}

/// Makes these the rules of the shard, turn by turn.
async fn follow(runtime: &Rc<Runtime>, permissions: &Permissions) {
    loop {
        runtime.stir();
        let is_done = runtime.shard.borrow_mut().on_permissions(permissions);
        settle(runtime).await;
        if is_done {
            return;
        }
        end_turn().await;
    }
}

async fn tick(runtime: Rc<Runtime>, mut ticks: Ticks, pulse: Pulse) {
    let mut exported = Exported::new(runtime.id);
    let mut exported_at = MonotonicNs::default();
    let mut core_time = CoreTime::here(MonotonicNs::now());
    let mut busy = Busy::default();
    while let Some(tick) = ticks.next().await {
        if runtime.drain.is_over() {
            return;
        }
        pulse.beat(tick.now);
        runtime.time.advance(tick.now);
        if let Some(reading) = core_time.read(tick.now) {
            runtime.shard.borrow_mut().counters_mut().busy = busy.read(&reading);
            if moves(&runtime) {
                note_core_time(&runtime, &reading);
            }
        }
        runtime.shard.borrow_mut().on_tick(tick.now);
        runtime.buffers.borrow_mut().slab.on_tick();
        settle(&runtime).await;
        if tick.now.saturating_since(exported_at) >= EXPORT_PERIOD {
            exported_at = tick.now;
            export(&runtime, &mut exported);
            runtime.journal.on_tick(runtime.time.now(), &mut runtime.shard.borrow_mut());
        }
        end_if_drained(&runtime, tick.now);
        if runtime.rest() {
            ticks.rest();
        }
    }
}

/// True if sessions may move between this shard and others.
fn moves(runtime: &Runtime) -> bool {
    let shard = runtime.shard.borrow();
    shard.config().moves && shard.links().shards() > 1
}

/// Tells the shard whether it gets its core, and the log when that changes.
fn note_core_time(runtime: &Runtime, reading: &Reading) {
    let mut shard = runtime.shard.borrow_mut();
    let before = shard.counters().starved;
    Moving::of(&mut shard).read(reading.time, reading.ran, reading.waited);
    match (before, shard.counters().starved) {
        (0, 1) => warn!(
            shard = %runtime.id,
            "something else has this shard's core for most of the time: its sessions move to other shards, if one has room"
        ),
        (1, 0) => info!(shard = %runtime.id, "this shard gets its core again"),
        _ => {}
    }
}

fn export(runtime: &Runtime, exported: &mut Exported) {
    let mut shard = runtime.shard.borrow_mut();
    let (bytes, frames) = shard.sessions().egress_depth();
    shard.counters_mut().egress_bytes = bytes;
    shard.counters_mut().egress_frames = frames;
    shard.counters_mut().unfinished_bytes = shard.sessions().unfinished_bytes() as u64;
    shard.counters_mut().link_depth = runtime.links.iter().flatten().map(|link| link.depth() as u64).sum();
    exported.flush(shard.counters());
}

/// Waits until nothing more is on its way from clients that can be told that this shard stops.
async fn last_call(runtime: &Rc<Runtime>) {
    runtime.placement.stop_acceptors();
    runtime.stir();
    LastCall::of(&mut runtime.shard.borrow_mut()).begin();
    settle(runtime).await;
    let over = runtime.time.now() + LAST_CALL_MAX;
    while LastCall::of(&mut runtime.shard.borrow_mut()).is_awaited() && runtime.time.now() < over {
        runtime.after(TICK).await;
    }
}

fn begin_drain(runtime: &Runtime, time: Duration) {
    runtime.placement.stop_acceptors();
    runtime.stir();
    runtime.drain.begin(runtime.time.now() + time);
    runtime.shard.borrow_mut().on_drain();
}

fn end_if_drained(runtime: &Runtime, now: MonotonicNs) {
    let Some(until) = runtime.drain.until() else { return };
    let mut shard = runtime.shard.borrow_mut();
    let links_empty = runtime.link_waits.iter().all(|waits| !waits.get());
    if shard.is_drained() && links_empty && runtime.hand_overs.is_empty() {
        return runtime.drain.end();
    }
    if now < until {
        return;
    }
    // The rest is cut off: it had its time. Aborted pumps end in this turn or the next.
    runtime.drain.cut_off(|| count_cut_off(&shard));
    if shard.sessions().is_empty() || now >= until + LAST_WORDS {
        return runtime.drain.end();
    }
    let left = shard.sessions().ids();
    shard.outbox().abort.extend(left);
    runtime.apply(&mut shard);
}

/// The sessions and messages left as the drain timeout is over, which are logged. A message that waits for another shard, or
/// for the far end of a carrier, is one, whatever the number of its subscribers there.
fn count_cut_off(shard: &Shard) -> CutOff {
    let (queued_bytes, queued) = shard.sessions().egress_depth();
    let (link_bytes, on_links) = shard.links().depth();
    let owed = shard.links().owed();
    let (bytes, messages) = (queued_bytes + link_bytes + owed.bytes, queued + on_links + owed.messages);
    let (id, sessions) = (shard.links().me(), shard.sessions().len() as u64);
    if messages > 0 {
        warn!(shard = %id, sessions, messages, bytes, "the drain timeout is over: what waits is lost");
    } else {
        info!(shard = %id, sessions, "the drain timeout is over: the sessions left are closed, nothing is lost");
    }
    if !shard.links().carriers_are_done() {
        warn!(
            messages = owed.messages,
            bytes = owed.bytes,
            "the drain timeout is over: the far end of a carrier has not confirmed its last messages"
        );
    }
    CutOff { sessions, messages, bytes }
}

/// After the drain's deadline, the time that pumps have to see that their connections are cut.
const LAST_WORDS: Duration = Duration::from_millis(100);
