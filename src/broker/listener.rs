//! Accepting connections and placing each on the shard with the fewest. On the first shard only: one acceptor for each
//! listener, so that nobody is left in the queue of a shard that is busy.

use std::rc::Rc;

use corecast_executors::{Either, end_turn, first};
use nix::errno::Errno;
use tracing::warn;

use super::ingress::adopt_or_refuse;
use super::placement::Acceptor;
use super::runtime::Runtime;
use super::{Item, Listener};
use crate::limits::{ACCEPT_BACKOFF_MAX, ACCEPT_BACKOFF_MIN, ACCEPTS_PER_TURN, ZMTP_KEEPALIVE};
use crate::shard::{Door, Moving};
use crate::transport::{AcceptQueue, Accepted};

/// Accepts on one listener until `acceptor` is told to stop.
pub(super) async fn accept(runtime: Rc<Runtime>, listener: Listener, acceptor: Rc<Acceptor>) {
    let Acceptor { stop, room, certificate } = &*acceptor;
    let Listener { socket, endpoint, door } = listener;
    let mut queue = match socket.adopt() {
        Ok(queue) => queue,
        Err(error) => return warn!(%endpoint, %error, "cannot listen"),
    };
    let mut pause = ACCEPT_BACKOFF_MIN;
    loop {
        match first(queue.readable(), stop.wait()).await {
            Either::Left(Ok(())) => {}
            Either::Left(Err(error)) => return warn!(%endpoint, %error, "the listener failed"),
            Either::Right(()) => return,
        }
        if let Some(certificate) = certificate.take() {
            queue.set_certificate(&certificate);
        }
        let (accepted, failed) = accept_turn(&runtime, &queue, door).await;
        if accepted > 0 {
            pause = ACCEPT_BACKOFF_MIN;
        }
        let Some(error) = failed else {
            end_turn().await;
            continue;
        };
        runtime.shard.borrow_mut().counters_mut().accept_errors += 1;
        runtime.log_limited("accept_error", |more| {
            warn!(%endpoint, %error, more, "cannot accept; connections wait until there is room");
        });
        // Those that wait may all have gone again: each is a moment's work then, and none may cost the next a pause.
        match first(first(room.wait(), runtime.after(pause)), stop.wait()).await {
            Either::Left(Either::Left(())) => pause = ACCEPT_BACKOFF_MIN,
            Either::Left(Either::Right(())) => pause = (pause * 2).min(ACCEPT_BACKOFF_MAX),
            Either::Right(()) => return,
        }
    }
}

/// The number of connections taken in this turn, and the error that ended it early. The descriptors reserved for scrapes,
/// look-ups and files are left: without room beside them a connection stays in the listener's queue.
async fn accept_turn(
    runtime: &Rc<Runtime>,
    queue: &AcceptQueue,
    door: Door,
) -> (usize, Option<std::io::Error>) {
    for accepted in 0..ACCEPTS_PER_TURN {
        if !queue.has_room() {
            // After the last that had room perhaps nobody waits.
            return (accepted, (accepted == 0).then(|| Errno::EMFILE.into()));
        }
        match queue.try_accept() {
            Ok(Some(connection)) => place(runtime, connection, door).await,
            Ok(None) => return (accepted, None),
            Err(error) => return (accepted, Some(error)),
        }
    }
    (ACCEPTS_PER_TURN, None)
}

async fn place(runtime: &Rc<Runtime>, accepted: Accepted, door: Door) {
    if door != Door::Native {
        // One of ZMTP 3.0 cannot be asked whether it lives: the kernel asks.
        accepted.keep_alive(ZMTP_KEEPALIVE);
    }
    let shard = {
        let mut shard = runtime.shard.borrow_mut();
        let moving = Moving::of(&mut shard);
        runtime.placement.place(|shard| moving.is_avoided(shard))
    };
    match &runtime.links[usize::from(shard.0)] {
        Some(link) => {
            if link.send(Item::Adopt { accepted, door }).await.is_err() {
                runtime.placement.session_left(shard);
            }
        }
        None => adopt_or_refuse(runtime, accepted, door),
    }
}
