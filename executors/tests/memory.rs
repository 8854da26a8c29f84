//! Finished tasks leave nothing behind, however they ended and whoever held their handles. Resident memory is what an
//! operator sees; each test has it to itself in a child.

#![expect(clippy::unwrap_used, reason = "in a test every failure is a panic")]

mod child;
mod watchdog;

use std::cell::RefCell;
use std::fs;
use std::future::{pending, poll_fn};
use std::mem;
use std::rc::Rc;
use std::task::Poll;
use std::time::Duration;

use corecast_executors::{
    Link, LocalTask, PoolConfig, ShardContext, Wake, end_turn, link, spawn_local, spawn_plain, start,
};

/// Tasks after which the runtime's own tables and the allocator have reached their size.
const WARM_UP: usize = 20_000;

/// Tasks of a measurement: at 60 bytes each, the least that was ever leaked per task, they are 6,000 KiB.
const TASKS: usize = 100_000;

/// Growth of memory that is tolerated meanwhile.
const GROWTH_KIB_MAX: u64 = 1_024;

/// Tasks begun before the ring is polled again.
const TASKS_PER_TURN: usize = 50;

fn resident_kib() -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    line.trim().strip_suffix(" kB").unwrap().parse().unwrap()
}

/// Runs `one` again and again on one executor, first for its tables to grow, then for memory to stay level.
fn assert_level(test: &'static str, one: impl AsyncFn() + Clone + Send + 'static) {
    if !child::is_child_of(test) {
        return child::run_to_success(test);
    }
    let _watchdog = watchdog::watch(test, Duration::from_secs(120));
    let pool = start(&PoolConfig::single("memory"), move |_: ShardContext<()>| {
        let one = one.clone();
        async move {
            repeat(&one, WARM_UP).await;
            let before = resident_kib();
            repeat(&one, TASKS).await;
            let grown = resident_kib().saturating_sub(before);
            assert!(grown <= GROWTH_KIB_MAX, "{TASKS} tasks left {grown} KiB behind");
        }
    });
    pool.unwrap().stop().unwrap();
}

async fn repeat(one: &impl AsyncFn(), times: usize) {
    for _ in 0..times / TASKS_PER_TURN {
        for _ in 0..TASKS_PER_TURN {
            one().await;
        }
        // Detached tasks run now.
        end_turn().await;
        end_turn().await;
    }
}

#[test]
fn detached_tasks_leave_nothing() {
    assert_level("detached_tasks_leave_nothing", async || spawn_local(async {}).detach());
}

#[test]
fn detached_tasks_that_waited_leave_nothing() {
    assert_level("detached_tasks_that_waited_leave_nothing", async || spawn_local(end_turn()).detach());
}

#[test]
fn detached_tasks_with_a_value_leave_nothing() {
    assert_level("detached_tasks_with_a_value_leave_nothing", async || {
        spawn_local(async {
            end_turn().await;
            vec![0_u8; 100]
        })
        .detach();
    });
}

#[test]
fn awaited_tasks_leave_nothing() {
    assert_level("awaited_tasks_leave_nothing", async || spawn_local(async {}).await);
}

#[test]
fn cancelled_tasks_leave_nothing() {
    assert_level("cancelled_tasks_leave_nothing", async || {
        let wake = Rc::new(Wake::new());
        let waits = Rc::clone(&wake);
        drop(spawn_local(async move { waits.wait().await }));
        let began = spawn_local(async move { wake.wait().await });
        end_turn().await;
        drop(began);
    });
}

#[test]
fn cancelled_tasks_that_are_waited_for_leave_nothing() {
    assert_level("cancelled_tasks_that_are_waited_for_leave_nothing", async || {
        let waits = spawn_local(pending::<()>());
        end_turn().await;
        assert_eq!(waits.cancel().await, None);
        assert_eq!(spawn_local(pending::<()>()).cancel().await, None);
    });
}

/// A connection that holds the handle of its own pump, which holds the connection.
#[test]
fn tasks_whose_end_drops_their_own_handle_leave_nothing() {
    assert_level("tasks_whose_end_drops_their_own_handle_leave_nothing", async || {
        let own: Rc<RefCell<Option<LocalTask<()>>>> = Rc::default();
        let held = Rc::clone(&own);
        let mut begun = false;
        // Unlike an `async` block, which drops what it holds as it returns, this holds it until it is dropped itself.
        let task = spawn_local(poll_fn(move |cx| {
            let _held = &held;
            if mem::replace(&mut begun, true) {
                return Poll::Ready(());
            }
            cx.waker().wake_by_ref();
            Poll::Pending
        }));
        own.replace(Some(task));
    });
}

#[test]
fn tasks_woken_from_another_thread_leave_nothing() {
    let (to_wake, mut wanted) = link::<Link<()>>(TASKS_PER_TURN);
    let waker = spawn_plain("wakes", move || {
        while let Some(link) = wanted.recv_blocking() {
            // The last ones may have ended with their executor.
            let _ = link.try_send(());
        }
    });
    assert_level("tasks_woken_from_another_thread_leave_nothing", async move || {
        let (link, mut inbox) = link(1);
        spawn_local(async move { inbox.recv().await }).detach();
        to_wake.send(link).await.unwrap();
    });
    waker.unwrap().join().unwrap();
}
