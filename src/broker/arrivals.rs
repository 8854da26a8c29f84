//! Sessions that come from other shards: their connections are taken over, and their pumps started.

use std::rc::Rc;

use tracing::info;

use super::Item;
use super::connection::Connection;
use super::flush::settle;
use super::hand_over::Arrival;
use super::ingress;
use super::runtime::Runtime;
use crate::shard::Moving;
use crate::telemetry::CloseReason;

/// Takes over all that come, until its executor ends.
pub(super) async fn pump(runtime: Rc<Runtime>) {
    loop {
        runtime.arrivals.came.wait().await;
        if runtime.drain.is_over() {
            return;
        }
        while let Some(arrival) = runtime.arrivals.next() {
            let from = arrival.from;
            if !take_over(&runtime, arrival) {
                ingress::tell_acceptor(&runtime, Item::Left(from)).await;
                continue;
            }
            ingress::tell_acceptor(&runtime, Item::Moved { from, to: runtime.id }).await;
            runtime.log_limited("session_moved", |more| {
                info!(shard = %runtime.id, %from, more, "a session has moved here from another shard");
            });
        }
        settle(&runtime).await;
    }
}

/// Takes over a connection. `false`: it could not, and the connection is closed.
fn take_over(runtime: &Rc<Runtime>, arrival: Arrival) -> bool {
    let Arrival { place, accepted, read, door, .. } = arrival;
    runtime.stir();
    match accepted.adopt() {
        Ok(stream) => {
            Moving::of(&mut runtime.shard.borrow_mut()).connect(place);
            ingress::start(runtime, Connection::again(place, door, (stream, read)));
            true
        }
        Err(_) => {
            let closed = runtime.shard.borrow_mut().on_closed(place, Some(CloseReason::IoError));
            if let Some(closed) = closed {
                runtime.journal.session_ended(runtime.time.now(), &closed, None);
            }
            false
        }
    }
}
