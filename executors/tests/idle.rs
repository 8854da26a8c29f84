//! Idle shards: going to sleep and waking up, and the cost of each idle policy.
//!
//! `CORECAST_LONG_TESTS=1` makes the tests of sporadic wakes run a full minute; otherwise they run 5 s.

#![expect(clippy::unwrap_used, reason = "in a test every failure is a panic")]
#![expect(clippy::print_stdout, reason = "figures for whoever runs a test with --nocapture")]

mod question;
mod watchdog;

use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use corecast_executors::{
    Idle, Link, Pool, RecvTimeout, ShardContext, ShardId, end_turn, link, spawn_local, spawn_plain, start,
};
use nix::time::{ClockId, clock_gettime};
use question::{Question, answer, ask, config, pause};

fn long_tests() -> bool {
    std::env::var("CORECAST_LONG_TESTS").is_ok_and(|value| value == "1")
}

/// With a short preempt timer an idle shard parks for good within seconds: the timer has fired when the shard looks for
/// its tasks. The noise makes that likely.
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
    let noise = Noise::start(pool.shards());
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
    noise.stop();
    drop(shards);
    pool.stop().unwrap();
}

/// Threads that take the cores from the shards again and again.
struct Noise {
    threads: Vec<JoinHandle<()>>,
    stop: Vec<Link<()>>,
}

impl Noise {
    fn start(threads: usize) -> Self {
        let mut noise = Self { threads: Vec::new(), stop: Vec::new() };
        for _ in 0..threads {
            let (stop, mut stopped) = link::<()>(1);
            let spin = move || while stopped.recv_deadline(Instant::now()) == Err(RecvTimeout::TimedOut) {};
            noise.threads.push(spawn_plain("noise", spin).unwrap());
            noise.stop.push(stop);
        }
        noise
    }

    fn stop(self) {
        drop(self.stop);
        for thread in self.threads {
            thread.join().unwrap();
        }
    }
}

#[test]
fn an_idle_parked_shard_keeps_answering() {
    idle_shard_answers_sporadic_wakes(Idle::Park);
}

#[test]
fn an_idle_spinning_shard_keeps_answering() {
    idle_shard_answers_sporadic_wakes(Idle::Spin(Duration::from_micros(500)));
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

/// CPU time of the calling thread so far.
fn cpu_time() -> Duration {
    clock_gettime(ClockId::CLOCK_THREAD_CPUTIME_ID).unwrap().into()
}

/// The CPU time an idle shard takes in `time`.
fn cost_of_waiting(idle: Idle, time: Duration) -> Duration {
    let (report, mut reports) = link(1);
    let pool: Pool<()> = start(&config("cost", 1, idle), move |mut context: ShardContext<()>| {
        let report = report.clone();
        async move {
            drop(context.ticks);
            let before = cpu_time();
            let _ = context.commands.recv().await;
            report.try_send(cpu_time() - before).unwrap();
        }
    })
    .unwrap();
    let (_kept, mut never) = link::<()>(1);
    pause(&mut never, time);
    pool.stop().unwrap();
    reports.try_recv().unwrap()
}

/// The runtime spins only on a core it has bound itself: this fails when it is left unbound.
#[test]
fn a_parked_shard_sleeps_and_a_busy_one_does_not() {
    let _watchdog = watchdog::watch("a_parked_shard_sleeps", Duration::from_secs(60));
    let time = Duration::from_millis(400);
    let park = cost_of_waiting(Idle::Park, time);
    println!("CPU time of {time:?} idle: park {park:?}");
    assert!(park < time / 20, "{park:?}");
    for idle in [Idle::Spin(Duration::from_secs(1)), Idle::Busy] {
        // Others share the cores: a spinning thread gets a part of one sooner or later, a sleeping one never asks for it.
        while cost_of_waiting(idle, time) <= time / 10 {}
    }
}
