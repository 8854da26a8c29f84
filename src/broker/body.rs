//! The pumps that each executor of a broker runs, from the first tick to the end of the drain.

use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use corecast_executors::{Inbox, MonotonicNs, ShardContext, Ticks, spawn_local};
use tracing::{info, warn};

use super::runtime::Runtime;
use super::{CutOff, Item, links, listener};
use crate::ids::ShardId;
use crate::shard::{Shard, ShardConfig};
use crate::telemetry::Pulse;

/// Time between two flushes of counters and gauges: ten a second is finer than anybody scrapes.
const EXPORT_PERIOD: Duration = Duration::from_millis(100);

/// Runs one shard until it is told to drain, and has.
pub(crate) async fn run(context: ShardContext<Item>, config: Arc<ShardConfig>, pulse: Pulse) {
    let (runtime, commands) = begin(context, &config, pulse.clone());
    serve(runtime, commands).await;
    pulse.end();
}

/// Starts the pumps of one shard. Its commands are for [`serve`].
pub(super) fn begin(
    context: ShardContext<Item>,
    config: &ShardConfig,
    pulse: Pulse,
) -> (Rc<Runtime>, Inbox<Item>) {
    let ShardContext { shard: id, links, inboxes, commands, ticks, .. } = context;
    let now = MonotonicNs::now();
    let runtime = Runtime::new(Shard::new(id, config.clone(), now), links, ticks.stir(), now);
    for (from, inbox) in inboxes.into_iter().enumerate() {
        if let Some(inbox) = inbox {
            let from = ShardId(u16::try_from(from).expect("shards are counted in 16 bits"));
            spawn_local(links::pump(Rc::clone(&runtime), from, inbox)).detach();
        }
    }
    spawn_local(tick(Rc::clone(&runtime), ticks, pulse)).detach();
    (runtime, commands)
}

/// Does what the shard is told from outside, until it has drained.
pub(super) async fn serve(runtime: Rc<Runtime>, mut commands: Inbox<Item>) {
    let report = loop {
        match commands.recv().await {
            Some(Item::Listen { listeners }) => {
                for listener in listeners {
                    let acceptor = runtime.acceptors.add();
                    spawn_local(listener::accept(Rc::clone(&runtime), listener, acceptor)).detach();
                }
            }
            Some(Item::Drain { time, report }) => {
                runtime.begin_drain(time);
                break Some(report);
            }
            Some(Item::Link(_) | Item::Adopt { .. } | Item::Left | Item::Begin(_)) => {
                unreachable!("these come over links, or before a shard is there")
            }
            None => {
                runtime.begin_drain(Duration::ZERO);
                break None;
            }
        }
    };
    runtime.settle().await;
    runtime.ended.wait().await;
    runtime.over.set(true);
    if let Some(report) = report {
        // Of those that end a direct publisher nobody listens.
        let _ = report.try_send(runtime.cut_off.get().unwrap_or_default());
    }
}

async fn tick(runtime: Rc<Runtime>, mut ticks: Ticks, pulse: Pulse) {
    let mut exported = MonotonicNs::default();
    while let Some(tick) = ticks.next().await {
        if runtime.over.get() {
            return;
        }
        pulse.beat(tick.now);
        runtime.clock.advance(tick.now);
        runtime.shard.borrow_mut().on_tick(tick.now);
        runtime.settle().await;
        if tick.now.saturating_since(exported) >= EXPORT_PERIOD {
            exported = tick.now;
            runtime.export();
            runtime.log_losses();
            runtime.log_untold();
            runtime.log_overdue();
        }
        runtime.end_if_drained(tick.now);
        if runtime.rest() {
            ticks.rest();
        }
    }
}

impl Runtime {
    fn export(&self) {
        let mut shard = self.shard.borrow_mut();
        let (bytes, frames) = shard.egress_depth();
        shard.counters_mut().egress_bytes = bytes;
        shard.counters_mut().egress_frames = frames;
        shard.counters_mut().unfinished_bytes = shard.unfinished_bytes() as u64;
        shard.counters_mut().link_depth = self.links.iter().flatten().map(|link| link.depth() as u64).sum();
        self.exported.borrow_mut().flush(shard.counters());
    }

    fn begin_drain(&self, time: Duration) {
        self.acceptors.stop();
        self.stir();
        self.drain_until.set(Some(self.clock.now() + time));
        self.shard.borrow_mut().on_drain();
    }

    fn end_if_drained(&self, now: MonotonicNs) {
        let Some(until) = self.drain_until.get() else { return };
        let mut shard = self.shard.borrow_mut();
        let links_empty = self.link_waits.iter().all(|waits| !waits.get());
        if shard.is_drained() && links_empty {
            return self.ended.raise();
        }
        if now >= until {
            // What is left is cut off: it had its time. Aborted pumps end in this turn or the next.
            if shard.session_count() == 0 || now >= until + LAST_WORDS {
                return self.ended.raise();
            }
            if self.cut_off.get().is_none() {
                self.cut_off.set(Some(self.count_cut_off(&shard)));
            }
            shard.on_drain_deadline();
            self.apply(&mut shard);
        }
    }
}

impl Runtime {
    /// The sessions and messages left as the drain timeout is over, which are logged. A message that waits for another
    /// shard is one, whatever the number of its subscribers there.
    fn count_cut_off(&self, shard: &Shard) -> CutOff {
        let (queued_bytes, queued) = shard.egress_depth();
        let (link_bytes, on_links) = shard.links_depth();
        let (bytes, messages) = (queued_bytes + link_bytes, queued + on_links);
        let sessions = shard.session_count() as u64;
        if messages > 0 {
            warn!(shard = %self.id, sessions, messages, bytes, "the drain timeout is over: what waits is lost");
        } else {
            info!(shard = %self.id, sessions, "the drain timeout is over: the sessions left are closed, nothing is lost");
        }
        CutOff { sessions, messages, bytes }
    }
}

/// After the drain's deadline, how long pumps have to see that their connections are cut.
const LAST_WORDS: Duration = Duration::from_millis(100);
