//! The hazards of the runtime that a test can show, each with the way round it in place.
//!
//! `CORECAST_LONG_TESTS=1` makes the idle test run its full minute; otherwise it runs 5 s.

#![expect(clippy::unwrap_used, reason = "in a test every failure is a panic")]
#![expect(clippy::print_stdout, reason = "figures for whoever runs a test with --nocapture")]

mod watchdog;

use std::time::{Duration, Instant};

use corecast_executors::{
    Idle, Inbox, Link, MonotonicNs, Pool, PoolConfig, RecvTimeout, ShardContext, ShardId, Topology, end_turn,
    link, spawn_local, start,
};

/// What a shard answers to a message: the time at which it saw it.
type Question = Link<MonotonicNs>;

fn config(name: &str, shards: usize, idle: Idle) -> PoolConfig {
    let topology = Topology::detect().unwrap();
    PoolConfig { name: name.to_owned(), cores: topology.allowed().to_vec(), shards, idle, link_capacity: 64 }
}

/// Answers every question until there are no more.
async fn answer(mut commands: Inbox<Question>) {
    while let Some(reply) = commands.recv().await {
        let _ = reply.try_send(MonotonicNs::now());
    }
}

/// Asks once and gives the time from the question to the moment the shard saw it.
fn ask(shard: &Link<Question>, limit: Duration) -> Duration {
    let (reply, mut replies) = link(1);
    let asked = MonotonicNs::now();
    shard.send_blocking(reply).unwrap();
    let seen = replies.recv_deadline(Instant::now() + limit);
    seen.expect("the shard answers").saturating_since(asked)
}

/// Waits without a sleep: for a message that never comes.
fn pause(never: &mut Inbox<()>, time: Duration) {
    assert_eq!(never.recv_deadline(Instant::now() + time), Err(RecvTimeout::TimedOut));
}

fn median(times: &mut [Duration]) -> Duration {
    times.sort_unstable();
    times[times.len() / 2]
}

fn long_tests() -> bool {
    std::env::var("CORECAST_LONG_TESTS").is_ok_and(|value| value == "1")
}

/// With a short preempt timer an idle shard parks for good within seconds.
fn idle_shard_answers_sporadic_wakes(idle: Idle) {
    let run = if long_tests() { Duration::from_secs(60) } else { Duration::from_secs(5) };
    println!("sporadic wakes for {run:?} (CORECAST_LONG_TESTS=1: a minute)");
    let _watchdog = watchdog::watch("idle_shard_answers_sporadic_wakes", run + Duration::from_secs(30));
    let pool: Pool<Question> =
        start(&config("idle", 2, idle), |mut context: ShardContext<Question>| async move {
            // The ticks are not asked for: nothing but the question itself may wake the shard.
            drop(context.ticks);
            context.links.clear();
            answer(context.commands).await;
        })
        .unwrap();
    let (_kept, mut never) = link::<()>(1);
    let shards = [pool.commands(ShardId(0)), pool.commands(ShardId(1))];
    let (begin, mut round, mut slowest) = (Instant::now(), 0_u64, Duration::ZERO);
    while begin.elapsed() < run {
        // From 0 to 2.6 ms apart, so that wakes fall before, into and after the way to sleep.
        pause(&mut never, Duration::from_micros(round * 37 % 2_600));
        let seen = ask(&shards[(round % 2) as usize], Duration::from_secs(10));
        slowest = slowest.max(seen);
        round += 1;
    }
    println!("{round} wakes with {idle}, the slowest seen after {slowest:?}");
    drop(shards);
    pool.stop().unwrap();
}

#[test]
fn an_idle_parked_shard_keeps_answering() {
    idle_shard_answers_sporadic_wakes(Idle::Park);
}

#[test]
fn an_idle_spinning_shard_keeps_answering() {
    idle_shard_answers_sporadic_wakes(Idle::Spin(Duration::from_micros(500)));
}

/// Spins for a time: the work of a pump.
fn work(time: Duration) {
    let until = MonotonicNs::now() + time;
    while MonotonicNs::now() < until {
        std::hint::spin_loop();
    }
}

/// Asks a shard that runs `pumps` pumps of 20 us turns `questions` times.
fn ask_saturated(pumps: usize, questions: usize) -> Vec<Duration> {
    let pool: Pool<Question> =
        start(&config("busy", 1, Idle::Park), move |context: ShardContext<Question>| async move {
            for _ in 0..pumps {
                spawn_local(async {
                    loop {
                        work(Duration::from_micros(20));
                        end_turn().await;
                    }
                })
                .detach();
            }
            answer(context.commands).await;
        })
        .unwrap();
    let shard = pool.commands(ShardId(0));
    let (_kept, mut never) = link::<()>(1);
    let times = (0..questions as u64)
        .map(|question| {
            // Not in step with the answer before: anywhere in a round.
            pause(&mut never, Duration::from_micros(300 + question * 137 % 1_500));
            ask(&shard, Duration::from_secs(10))
        })
        .collect();
    drop(shard);
    pool.stop().unwrap();
    times
}

/// With yields in place of turns the median is the preempt timer, 100 ms by default.
#[test]
fn a_saturated_shard_answers_within_10_ms() {
    let _watchdog = watchdog::watch("a_saturated_shard_answers_within_10_ms", Duration::from_secs(60));
    let mut times = ask_saturated(64, 200);
    let middle = median(&mut times);
    println!("64 pumps: median {middle:?}, slowest {:?}", times[times.len() - 1]);
    assert!(middle < Duration::from_millis(10), "median {middle:?}");
}

/// The runtime wakes itself early when its ring overflows; no pump may be forgotten meanwhile.
#[test]
fn more_pumps_than_the_ring_is_deep_all_go_on() {
    let _watchdog = watchdog::watch("more_pumps_than_the_ring_is_deep_all_go_on", Duration::from_secs(60));
    let (done, mut all_done) = link::<usize>(1);
    let body = move |context: ShardContext<()>| {
        let done = done.clone();
        async move {
            // Nothing but the ring itself may wake the shard.
            drop(context.ticks);
            let pump = || async {
                for _ in 0..50 {
                    end_turn().await;
                }
            };
            let pumps: Vec<_> = (0..5_000).map(|_| spawn_local(pump())).collect();
            let count = pumps.len();
            for pump in pumps {
                pump.await;
            }
            done.try_send(count).unwrap();
        }
    };
    let pool: Pool<()> = start(&config("many", 1, Idle::Park), body).unwrap();
    assert_eq!(all_done.recv_blocking(), Some(5_000));
    pool.stop().unwrap();
}
