//! The end of a pump's turn. Called by every pump of every shard; holds no state.

use crate::reactor;

/// Ends a turn: waits for one round of the reactor, with io_uring for one empty operation of the ring.
///
/// The runtime polls its rings only once no task is runnable, and yielding leaves a task runnable. Waiting for the ring
/// does not: the queues run empty, the reactor polls, and everyone else's sockets, links and ticks get their turn. With
/// it a message to a shard of 64 saturated pumps waits for one round of them; without it, until the runtime's preempt
/// timer fires: never.
///
/// A round of the reactor costs 6 us here, shared by every turn that ends in it: 0.3 us each among 64. A pump that goes
/// on to wait for a socket needs no such end: that wait is a ring operation itself. A pump that waits for an inbox
/// needs it if the inbox may always be full.
///
/// # Panics
/// Outside an executor of this crate.
pub async fn end_turn() {
    reactor::end_turn().await;
}
