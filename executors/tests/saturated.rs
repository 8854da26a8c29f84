//! A saturated shard still answers. A file of its own, so that no other test shares its cores.

#![expect(clippy::unwrap_used, reason = "in a test every failure is a panic")]

mod question;
mod watchdog;

use std::time::Duration;

use corecast_executors::{
    Idle, MonotonicNs, Pool, ShardContext, ShardId, end_turn, link, spawn_local, start,
};
use question::{Question, answer, ask, config, pause};

fn median(times: &mut [Duration]) -> Duration {
    times.sort_unstable();
    times[times.len() / 2]
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
            // Out of step with the previous answer: anywhere in a round.
            pause(&mut never, Duration::from_micros(300 + question * 137 % 1_500));
            ask(&shard, Duration::from_secs(10))
        })
        .collect();
    drop(shard);
    pool.stop().unwrap();
    times
}

/// With yields instead of turns the median is the preempt timer, 100 ms by default.
#[test]
fn a_saturated_shard_answers_within_10_ms() {
    let _watchdog = watchdog::watch("a_saturated_shard_answers_within_10_ms", Duration::from_secs(60));
    let mut times = ask_saturated(64, 200);
    let middle = median(&mut times);
    println!("64 pumps: median {middle:?}, slowest {:?}", times[times.len() - 1]);
    assert!(middle < Duration::from_millis(10), "median {middle:?}");
}
