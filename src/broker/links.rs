//! What comes from other shards: one pump for each link, in bounded turns.

use std::rc::Rc;

use corecast_executors::{Inbox, MonotonicNs, end_turn};

use super::Item;
use super::runtime::Runtime;
use crate::ids::ShardId;
use crate::limits::LINK_ITEMS_PER_TURN;

/// Drains the link from one shard for as long as that shard lives. It never waits for a subscriber: so no link
/// can stop another, whatever is full.
pub(super) async fn pump(runtime: Rc<Runtime>, from: ShardId, mut inbox: Inbox<Item>) {
    loop {
        let Some(item) = inbox.recv().await else { return };
        runtime.hear(MonotonicNs::now());
        runtime.shard.borrow_mut().begin_turn();
        runtime.take(from, item);
        for _ in 1..LINK_ITEMS_PER_TURN {
            let Some(item) = runtime.more(from, &mut inbox) else { break };
            runtime.take(from, item);
        }
        runtime.settle().await;
        end_turn().await;
        while runtime.shard.borrow().is_behind_link(from) {
            runtime.hear(MonotonicNs::now());
            runtime.go_on_with(from);
            runtime.settle().await;
            end_turn().await;
        }
    }
}

impl Runtime {
    fn go_on_with(&self, from: ShardId) {
        let mut shard = self.shard.borrow_mut();
        shard.go_on_with_link(from);
        if shard.wants_tick() {
            self.end_rest();
        }
    }

    /// The next item that has come, unless what came before it was all the work of this turn.
    fn more(&self, from: ShardId, inbox: &mut Inbox<Item>) -> Option<Item> {
        let behind = self.shard.borrow().is_behind_link(from);
        if behind { None } else { inbox.try_recv() }
    }

    fn take(self: &Rc<Self>, from: ShardId, item: Item) {
        match item {
            Item::Link(item) => {
                let mut shard = self.shard.borrow_mut();
                shard.on_link(from, item);
                if shard.wants_tick() {
                    self.end_rest();
                }
            }
            Item::Adopt { accepted, door } => {
                self.stir();
                self.adopt_or_refuse(accepted, door);
            }
            Item::Left => {
                self.stir();
                self.session_left(from);
            }
            Item::Listen { .. } | Item::Begin(_) | Item::Drain { .. } => {
                unreachable!("commands come from outside")
            }
        }
    }
}
