//! Pools: start, links between shards, commands, ticks, orderly stop, the end of tasks.

#![expect(clippy::unwrap_used, reason = "in a test every failure is a panic")]

use corecast_executors::{
    CoreId, Idle, Pool, PoolConfig, ShardContext, ShardId, Topology, end_turn, link, on_executor,
    spawn_local, start,
};

fn config(shards: usize) -> PoolConfig {
    let topology = Topology::detect().unwrap();
    PoolConfig {
        name: "pool-test".to_owned(),
        cores: topology.allowed().to_vec(),
        shards,
        idle: Idle::Park,
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
            report.send((context.shard, context.core, heard)).await.unwrap();
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

#[test]
fn tasks_left_behind_are_dropped_with_what_they_own() {
    let (kept, mut witness) = link::<()>(1);
    let pool: Pool<()> = start(&config(1), move |_context| {
        let kept = kept.clone();
        async move {
            // It waits for a link whose other end lives on in another task: the runtime alone
            // would leak both.
            let (outer, mut inbox) = link::<()>(1);
            spawn_local(async move {
                let _kept = kept;
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
    pool.join().unwrap();
    assert_eq!(witness.recv_blocking(), None);
}
