//! The guarantees of a link: capacity, closing, order, the drain, and working on any runtime.

mod watchdog;

use std::time::{Duration, Instant};

use corecast_executors::{
    Pool, PoolConfig, RecvTimeout, Refused, ShardContext, ShardId, Topology, link, spawn_plain, start,
};
use futures_lite::future::{block_on, poll_once};

#[test]
fn a_full_link_hands_the_message_back() {
    let (link, mut inbox) = link(2);
    assert_eq!((link.capacity(), link.depth(), inbox.depth()), (2, 0, 0));
    link.try_send("a").unwrap();
    link.try_send("b").unwrap();
    let refused = link.try_send("c").unwrap_err();
    assert_eq!(refused, Refused::Full("c"));
    assert_eq!(refused.into_inner(), "c");
    assert_eq!((link.depth(), inbox.depth()), (2, 2));
    assert_eq!(inbox.try_recv(), Some("a"));
    link.try_send("c").unwrap();
    assert_eq!((inbox.try_recv(), inbox.try_recv(), inbox.try_recv()), (Some("b"), Some("c"), None));
}

#[test]
fn a_closed_link_hands_the_message_back_in_every_way() {
    let (link, inbox) = link(1);
    assert!(!link.is_closed());
    drop(inbox);
    assert!(link.is_closed());
    assert_eq!(link.try_send(1), Err(Refused::Closed(1)));
    assert_eq!(link.send_blocking(2), Err(2));
    assert_eq!(block_on(link.send(3)), Err(3));
}

#[test]
fn what_was_sent_is_received_after_the_senders_are_gone() {
    let (link, mut inbox) = link(4);
    let second = link.clone();
    link.try_send(1).unwrap();
    second.try_send(2).unwrap();
    drop((link, second));
    assert_eq!(block_on(inbox.recv()), Some(1));
    assert_eq!(inbox.recv_deadline(Instant::now()), Ok(2));
    assert_eq!(block_on(inbox.recv()), None);
    assert_eq!(inbox.recv_blocking(), None);
    assert_eq!(inbox.recv_deadline(Instant::now()), Err(RecvTimeout::Closed));
}

#[test]
fn a_deadline_that_has_passed_still_gives_what_is_there() {
    let (link, mut inbox) = link(1);
    assert_eq!(inbox.recv_deadline(Instant::now()), Err(RecvTimeout::TimedOut));
    link.try_send(()).unwrap();
    assert_eq!(inbox.recv_deadline(Instant::now()), Ok(()));
}

#[test]
fn a_receive_that_is_dropped_loses_nothing() {
    let (link, mut inbox) = link(1);
    assert_eq!(block_on(poll_once(inbox.recv())), None);
    link.try_send(1).unwrap();
    assert_eq!(block_on(poll_once(inbox.recv())), Some(Some(1)));
}

#[test]
#[should_panic(expected = "a link needs room")]
fn a_link_without_room_cannot_be_made() {
    let _ = link::<()>(0);
}

/// Foreign threads, a foreign runtime and two shards, all on links of one message.
#[test]
fn a_chain_through_threads_runtimes_and_shards_keeps_order_and_count() {
    const MESSAGES: u32 = 20_000;
    let _watchdog = watchdog::watch("a_chain_through_threads_runtimes_and_shards", Duration::from_secs(60));
    let (out, mut results) = link::<u32>(1);
    let cores = Topology::detect().unwrap().allowed().to_vec();
    let config = PoolConfig { cores, shards: 2, ..PoolConfig::single("chain") };
    let pool: Pool<u32> = start(&config, move |mut context: ShardContext<u32>| {
        let out = out.clone();
        async move {
            if let Some(next) = context.links[1].take_if(|_| context.shard == ShardId(0)) {
                while let Some(number) = context.commands.recv().await {
                    next.send(number).await.unwrap();
                }
            } else if let Some(mut previous) = context.inboxes[0].take() {
                while let Some(number) = previous.recv().await {
                    out.send(number).await.unwrap();
                }
            }
        }
    })
    .unwrap();
    let first = pool.commands(ShardId(0));
    let sender = spawn_plain("sender", move || {
        for number in 0..MESSAGES {
            // Alternately: a blocking send of a plain thread, an async one on another runtime.
            if number % 2 == 0 {
                first.send_blocking(number).unwrap();
            } else {
                block_on(first.send(number)).unwrap();
            }
        }
    });
    for number in 0..MESSAGES {
        let received = if number % 3 == 0 { block_on(results.recv()) } else { results.recv_blocking() };
        assert_eq!(received, Some(number));
    }
    sender.unwrap().join().unwrap();
    pool.stop().unwrap();
    assert_eq!(results.recv_blocking(), None);
}
