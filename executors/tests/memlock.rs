//! The locked memory of executors, as a user with a memlock limit: the documented number fits into a limit, and one
//! that does not fit is an error that says so.

#![expect(clippy::unwrap_used, reason = "in a test every failure is a panic")]

mod child;
mod other_user;

use std::error::Error as _;
use std::io::Write as _;

use corecast_executors::{Pool, PoolConfig, PoolError, Reactor, ShardContext, Sockets, start};

/// The usual limit, in KiB.
const USUAL_KIB: u64 = 8 * 1024;

/// The least limit that the runtime accepts, in KiB.
const LEAST_KIB: u64 = 512;

/// Runs the test as another user in a child with this limit; `false` in that child.
fn is_run_as_another_user(test: &str, memlock_kib: u64) -> bool {
    if child::is_child_of(test) {
        return false;
    }
    if let Some(runner) = other_user::runner(test, memlock_kib) {
        child::run_under_to_success(&runner, test);
    }
    true
}

/// A pool whose shards wait for the end.
fn idle_pool(shards: usize, sockets: Sockets) -> Result<Pool<()>, PoolError> {
    let config = PoolConfig { shards, sockets, reactor: Reactor::IoUring, ..PoolConfig::single("memlock") };
    start(
        &config,
        |mut context: ShardContext<()>| async move { while context.commands.recv().await.is_some() {} },
    )
}

/// Starts that many at once, which together lock at most the limit.
fn run_at_once(shards: usize, sockets: Sockets, limit_kib: u64) {
    let locked = u64::try_from(shards).unwrap() * sockets.locked_bytes();
    assert!(locked <= limit_kib * 1024, "{locked} bytes");
    idle_pool(shards, sockets).unwrap().stop().unwrap();
}

#[test]
fn the_usual_limit_is_enough_for_30_client_processes() {
    if !is_run_as_another_user("the_usual_limit_is_enough_for_30_client_processes", USUAL_KIB) {
        run_at_once(30, Sockets::Few, USUAL_KIB);
    }
}

#[test]
fn the_usual_limit_is_enough_for_20_shards() {
    if !is_run_as_another_user("the_usual_limit_is_enough_for_20_shards", USUAL_KIB) {
        run_at_once(20, Sockets::Many, USUAL_KIB);
    }
}

#[test]
fn the_least_limit_is_enough_for_a_shard() {
    if !is_run_as_another_user("the_least_limit_is_enough_for_a_shard", LEAST_KIB) {
        run_at_once(1, Sockets::Many, LEAST_KIB);
    }
}

#[test]
fn a_limit_that_is_used_up_is_named() {
    if is_run_as_another_user("a_limit_that_is_used_up_is_named", LEAST_KIB) {
        return;
    }
    match idle_pool(16, Sockets::Many) {
        Ok(_) => writeln!(std::io::stderr(), "SKIPPED: this kernel does not count rings").unwrap(),
        Err(error) => {
            let said = error.source().unwrap().to_string();
            assert!(said.starts_with("the memlock limit of 524288 bytes"), "{said}");
            assert!(said.contains("is used up") && said.contains("LimitMEMLOCK"), "{said}");
        }
    }
}

/// The kernel gives the memory of rings back some time after their executor has ended.
#[test]
fn an_executor_starts_in_the_memory_of_one_that_has_just_ended() {
    if is_run_as_another_user("an_executor_starts_in_the_memory_of_one_that_has_just_ended", LEAST_KIB) {
        return;
    }
    for _ in 0..20 {
        idle_pool(1, Sockets::Many).unwrap().stop().unwrap();
    }
}
