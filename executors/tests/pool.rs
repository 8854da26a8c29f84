//! Pools: start, links between shards, commands, ticks, orderly stop, the end of tasks.

#![expect(clippy::unwrap_used, reason = "in a test every failure is a panic")]

mod watchdog;

use std::cell::Cell;
use std::rc::Rc;
use std::time::Duration;

use corecast_executors::{
    CoreId, Idle, Link, Pool, PoolConfig, Reactor, ShardContext, ShardId, Sockets, Topology, end_turn, link,
    on_executor, spawn_local, start,
};

fn config(shards: usize) -> PoolConfig {
    let topology = Topology::detect().unwrap();
    PoolConfig {
        name: "pool-test".to_owned(),
        cores: topology.allowed().to_vec(),
        shards,
        idle: Idle::Park,
        sockets: Sockets::Few,
        reactor: Reactor::Auto,
        link_capacity: 8,
    }
}

#[test]
fn shards_talk_to_each_other_and_stop_when_commands_end() {
    let (report, mut reports) = link::<(ShardId, CoreId, usize)>(16);
    let pool: Pool<u32> = start(&config(3), move |mut context: ShardContext<u32>| {
        let report = report.clone();
        async move {
            assert!(on_executor());
            for link in context.links.iter().flatten() {
                link.send(u32::from(context.shard.0)).await.unwrap();
            }
            let mut heard = 0;
            for inbox in context.inboxes.iter_mut().flatten() {
                heard += inbox.recv().await.unwrap() as usize;
            }
            assert!(context.ticks.next().await.is_some());
            while let Some(command) = context.commands.recv().await {
                heard += command as usize;
            }
            report.send((context.shard, context.core.unwrap(), heard)).await.unwrap();
        }
    })
    .unwrap();
    assert_eq!(pool.shards(), 3);
    let cores = pool.cores();
    pool.commands(ShardId(2)).send_blocking(100).unwrap();
    pool.stop().unwrap();
    let mut all = Vec::new();
    while let Some(one) = reports.recv_blocking() {
        all.push(one);
    }
    all.sort();
    assert_eq!(all, [(ShardId(0), cores[0], 3), (ShardId(1), cores[1], 2), (ShardId(2), cores[2], 101)]);
}

/// Uses the executor as it is dropped, as a session that says goodbye would.
struct SaysGoodbye(Link<()>);

impl Drop for SaysGoodbye {
    fn drop(&mut self) {
        let goodbye = self.0.clone();
        spawn_local(async move { goodbye.send(()).await }).detach();
    }
}

#[test]
fn tasks_left_behind_are_dropped_while_their_executor_still_runs() {
    let (kept, mut witness) = link::<()>(1);
    let pool: Pool<()> = start(&config(1), move |_context| {
        let kept = kept.clone();
        async move {
            // It waits for a link whose other end lives on in another task: the runtime alone
            // would leak both.
            let (outer, mut inbox) = link::<()>(1);
            spawn_local(async move {
                let _kept = SaysGoodbye(kept);
                inbox.recv().await
            })
            .detach();
            spawn_local(async move {
                let _outer = outer;
                let inner = spawn_local(std::future::pending::<()>());
                inner.await;
            })
            .detach();
            end_turn().await;
        }
    })
    .unwrap();
    let _watchdog = watchdog::watch("tasks_left_behind_are_dropped", Duration::from_secs(30));
    pool.join().unwrap();
    // It closes: everything that kept it is gone.
    while witness.recv_blocking().is_some() {}
}

#[test]
fn a_task_gives_its_value_is_cancelled_when_dropped_and_goes_on_when_detached() {
    let (report, mut reports) = link::<&str>(4);
    let pool: Pool<()> = start(&config(1), move |_context| {
        let report = report.clone();
        async move {
            let polled = Rc::new(Cell::new(false));
            let inside = polled.clone();
            let sum = spawn_local(async move {
                inside.set(true);
                1 + 2
            });
            assert!(!polled.get(), "a task is not polled inside the spawn");
            assert_eq!((sum.await, polled.get()), (3, true));
            let (first, second, third) = (report.clone(), report.clone(), report.clone());
            drop(spawn_local(async move { first.send("dropped").await }));
            let (told, mut heard) = link(1);
            spawn_local(async move {
                second.send("detached").await.unwrap();
                told.send(()).await.unwrap();
            })
            .detach();
            assert_eq!(heard.recv().await, Some(()));
            // Over before it is detached.
            let over = spawn_local(async move { third.send("over").await.unwrap() });
            while report.depth() < 2 {
                end_turn().await;
            }
            over.detach();
            let pending = spawn_local(std::future::pending::<()>());
            end_turn().await;
            assert_eq!(pending.cancel().await, None);
            let done = spawn_local(async { "value" });
            end_turn().await;
            assert_eq!(done.cancel().await, Some("value"));
        }
    })
    .unwrap();
    pool.join().unwrap();
    let said = [reports.recv_blocking(), reports.recv_blocking(), reports.recv_blocking()];
    assert_eq!(said, [Some("detached"), Some("over"), None]);
}
