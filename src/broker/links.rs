//! What comes from other shards: one pump for each link, in bounded turns.

use std::rc::Rc;

use corecast_executors::{Inbox, end_turn};

use super::Item;
use super::runtime::Runtime;
use crate::fanout::Holder;
use crate::ids::ShardId;
use crate::limits::LINK_ITEMS_PER_TURN;

/// Drains the link from one shard for as long as that shard lives.
pub(super) async fn pump(runtime: Rc<Runtime>, from: ShardId, mut inbox: Inbox<Item>) {
    while let Some(item) = inbox.recv().await {
        runtime.take(from, item);
        for _ in 1..LINK_ITEMS_PER_TURN {
            if runtime.is_link_held(from) {
                break;
            }
            let Some(item) = inbox.try_recv() else { break };
            runtime.take(from, item);
        }
        runtime.settle().await;
        while runtime.is_link_held(from) {
            runtime.link_wakes[usize::from(from.0)].wait().await;
        }
        end_turn().await;
    }
}

impl Runtime {
    fn is_link_held(&self, from: ShardId) -> bool {
        self.shard.borrow().is_held(Holder::Link(from))
    }

    fn take(self: &Rc<Self>, from: ShardId, item: Item) {
        match item {
            Item::Link(item) => self.shard.borrow_mut().on_link(from, item),
            Item::Adopt { fd } => self.adopt_or_refuse(fd),
            Item::Left => self.placement.borrow_mut().left(from),
            Item::Listen { .. } | Item::Drain { .. } => debug_assert!(false, "commands come from outside"),
        }
    }
}
