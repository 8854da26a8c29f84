//! Items from neighbours: one pump for each link, in bounded turns.

use std::rc::Rc;

use corecast_executors::{Inbox, MonotonicNs, end_turn, readable_sockets};

use super::Item;
use super::flush::{may_wait, settle};
use super::ingress::adopt_or_refuse;
use super::runtime::Runtime;
use crate::ids::Neighbour;
use crate::limits::LINK_ITEMS_PER_TURN;

/// Drains the link from one neighbour for as long as that lives. It never waits for a subscriber: so no link can stop
/// another, whatever is full.
pub(super) async fn pump(runtime: Rc<Runtime>, from: Neighbour, mut inbox: Inbox<Item>) {
    loop {
        let Some(item) = inbox.recv().await else { return };
        let began = MonotonicNs::now();
        runtime.hear(began);
        runtime.shard.borrow_mut().go_on_with_link(from);
        take(&runtime, from, item);
        for _ in 1..LINK_ITEMS_PER_TURN {
            let Some(item) = more(&runtime, from, &mut inbox) else { break };
            take(&runtime, from, item);
        }
        if leaves_to_readers(&runtime, from, began) {
            // As behind a read: if none of them has settled, this does.
            end_turn().await;
            settle(&runtime).await;
        } else {
            settle(&runtime).await;
            end_turn().await;
        }
        while runtime.shard.borrow().links().is_behind(from) {
            runtime.hear(MonotonicNs::now());
            go_on(&runtime, from);
            settle(&runtime).await;
            end_turn().await;
        }
    }
}

/// True if sessions have input, which is read before what came from the neighbour is sent.
fn leaves_to_readers(runtime: &Rc<Runtime>, from: Neighbour, began: MonotonicNs) -> bool {
    let mut shard = runtime.shard.borrow_mut();
    readable_sockets() > 0
        && !shard.links().is_behind(from)
        && may_wait(runtime, &mut shard, (began, MonotonicNs::now()))
}

fn go_on(runtime: &Runtime, from: Neighbour) {
    let mut shard = runtime.shard.borrow_mut();
    shard.go_on_with_link(from);
    if shard.wants_tick() {
        runtime.time.end_rest();
    }
}

/// The next item that has come, unless those before it were all the work of this turn.
fn more(runtime: &Runtime, from: Neighbour, inbox: &mut Inbox<Item>) -> Option<Item> {
    let behind = runtime.shard.borrow().links().is_behind(from);
    if behind { None } else { inbox.try_recv() }
}

fn take(runtime: &Rc<Runtime>, from: Neighbour, item: Item) {
    match item {
        Item::Link(item) => {
            let mut shard = runtime.shard.borrow_mut();
            shard.on_link(from, item);
            if shard.wants_tick() {
                runtime.time.end_rest();
            }
        }
        Item::Adopt { accepted, door } => {
            runtime.stir();
            adopt_or_refuse(runtime, accepted, door);
        }
        Item::Connection(arrival) => {
            runtime.stir();
            runtime.arrivals.add_connection(*arrival);
        }
        Item::Moved { from, to } => runtime.placement.session_moved(from, to),
        Item::Left(shard) => {
            runtime.stir();
            runtime.placement.session_left(shard);
        }
        #[cfg(feature = "broker")]
        Item::Look(_) => unreachable!("commands come from outside"),
        Item::Listen { .. }
        | Item::Begin(_)
        | Item::Permissions { .. }
        | Item::Certificate(_)
        | Item::Drain { .. } => {
            unreachable!("commands come from outside")
        }
    }
}
