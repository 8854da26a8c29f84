//! The end of a process, failures to start a pool, and the CPUs that it uses. Each test runs its second half in a
//! child, since limits, pinning and aborts belong to the process.

#![expect(clippy::unwrap_used, reason = "in a test every failure is a panic")]

mod child;
mod watchdog;

use std::error::Error;
use std::io::{self, Write as _};
use std::os::unix::process::ExitStatusExt as _;
use std::time::Duration;

use corecast_executors::{
    CoreId, CoreSet, Idle, Pool, PoolConfig, PoolError, Reactor, ShardContext, ShardId, Sockets, Topology,
    link, spawn_local, spawn_plain, start,
};
use nix::fcntl::{FcntlArg, OFlag, fcntl};
use nix::sched::{CpuSet, sched_getaffinity, sched_setaffinity};
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use nix::sys::signal::Signal;
use nix::unistd::Pid;

fn config(shards: usize) -> PoolConfig {
    PoolConfig {
        name: "process".to_owned(),
        cores: Topology::detect().unwrap().allowed().to_vec(),
        shards,
        idle: Idle::Park,
        sockets: Sockets::Few,
        reactor: Reactor::IoUring,
        link_capacity: 4,
    }
}

/// A pool whose shards wait for the end.
fn idle_pool(shards: usize) -> Result<Pool<()>, PoolError> {
    start(&config(shards), |mut context: ShardContext<()>| async move {
        while context.commands.recv().await.is_some() {}
    })
}

/// An error with its causes, as a command prints it.
fn with_causes(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text = format!("{text}: {error}");
        cause = error.source();
    }
    text
}

/// The CPUs this thread may use.
fn thread_cores() -> Vec<CoreId> {
    let mask = sched_getaffinity(Pid::from_raw(0)).unwrap();
    (0..CpuSet::count()).filter(|&cpu| mask.is_set(cpu).unwrap()).map(|cpu| CoreId(cpu as u32)).collect()
}

#[test]
fn a_panic_on_an_executor_aborts_the_process() {
    const TEST: &str = "a_panic_on_an_executor_aborts_the_process";
    if child::is_child_of(TEST) {
        tracing_subscriber::fmt().with_ansi(false).with_writer(io::stderr).init();
        let pool = start(&config(2), |mut context: ShardContext<()>| async move {
            if context.shard == ShardId(1) {
                spawn_local(async { panic!("an invariant is broken, on purpose") }).detach();
            }
            while context.commands.recv().await.is_some() {}
        });
        // Held: nothing but the panic ends this process.
        let pool = pool.unwrap();
        let _watchdog = watchdog::watch(TEST, Duration::from_secs(30));
        let (_never, mut silence) = link::<()>(1);
        silence.recv_blocking();
        drop(pool);
    }
    let output = child::run(TEST);
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.signal(), Some(Signal::SIGABRT as i32), "{said}");
    let line = "executor process-1 panicked at executors/tests/process.rs";
    assert!(said.contains(line), "{said}");
    assert!(said.contains("aborting the process: an invariant is broken, on purpose"), "{said}");
    assert!(said.contains("ERROR corecast_executors::thread: executor panicked"), "{said}");
}

#[test]
fn a_panic_ends_the_process_though_nobody_reads_stderr() {
    const TEST: &str = "a_panic_ends_the_process_though_nobody_reads_stderr";
    if child::is_child_of(TEST) {
        tracing_subscriber::fmt().with_ansi(false).with_writer(io::stderr).init();
        let (_unread, pipe) = io::pipe().unwrap();
        fill(&pipe);
        nix::unistd::dup2_stderr(&pipe).unwrap();
        // A watchdog that barks into that pipe ends nothing; the kernel does.
        nix::unistd::alarm::set(30);
        let pool = start(&config(2), |_: ShardContext<()>| async { panic!("with nobody to hear of it") });
        let (_never, mut silence) = link::<()>(1);
        silence.recv_blocking();
        drop(pool);
    }
    assert_eq!(child::run(TEST).status.signal(), Some(Signal::SIGABRT as i32));
}

/// Writes until there is no room, and leaves the pipe as one that blocks.
fn fill(mut pipe: &io::PipeWriter) {
    fcntl(pipe, FcntlArg::F_SETFL(OFlag::O_NONBLOCK)).unwrap();
    while pipe.write(&[b'.'; 4096]).is_ok() {}
    fcntl(pipe, FcntlArg::F_SETFL(OFlag::empty())).unwrap();
}

#[test]
fn a_low_memlock_limit_is_named() {
    const TEST: &str = "a_low_memlock_limit_is_named";
    if child::is_child_of(TEST) {
        setrlimit(Resource::RLIMIT_MEMLOCK, 65_536, 65_536).unwrap();
        let error = idle_pool(2).unwrap_err();
        assert!(matches!(error, PoolError::Executor { shard: ShardId(0), .. }), "{error:?}");
        let said = with_causes(&error);
        assert!(said.contains("the memlock limit is 65536 bytes, an executor needs 524288"), "{said}");
        assert!(said.contains("ulimit -l"), "{said}");
        return;
    }
    child::run_to_success(TEST);
}

#[test]
fn where_no_memory_may_be_locked_a_pool_that_may_choose_waits_with_epoll() {
    const TEST: &str = "where_no_memory_may_be_locked_a_pool_that_may_choose_waits_with_epoll";
    if child::is_child_of(TEST) {
        setrlimit(Resource::RLIMIT_MEMLOCK, 65_536, 65_536).unwrap();
        let _watchdog = watchdog::watch(TEST, Duration::from_secs(30));
        assert!(idle_pool(1).is_err(), "there is no ring");
        let (done, mut ends) = link(2);
        let config = PoolConfig { reactor: Reactor::Auto, ..config(2) };
        let pool = start(&config, move |mut context: ShardContext<()>| {
            let done = done.clone();
            async move {
                let task = spawn_local(async { 7 });
                let earlier = context.ticks.next().await.unwrap();
                let later = context.ticks.next().await.unwrap();
                assert!(later.now > earlier.now);
                done.try_send(task.await).unwrap();
            }
        });
        let pool = pool.unwrap();
        assert_eq!([ends.recv_blocking(), ends.recv_blocking()], [Some(7), Some(7)]);
        pool.stop().unwrap();
        return;
    }
    child::run_to_success(TEST);
}

#[test]
fn used_up_descriptors_are_named_and_given_back() {
    const TEST: &str = "used_up_descriptors_are_named_and_given_back";
    if child::is_child_of(TEST) {
        let (_, hard) = getrlimit(Resource::RLIMIT_NOFILE).unwrap();
        // Once, so that what stays open for the whole process is open.
        idle_pool(1).unwrap().stop().unwrap();
        setrlimit(Resource::RLIMIT_NOFILE, 20, hard).unwrap();
        let said = with_causes(&idle_pool(16).unwrap_err());
        assert!(said.contains("raise the limit of open files"), "{said}");
        // Every executor that had started is gone with what it held.
        let _watchdog = watchdog::watch(TEST, Duration::from_secs(30));
        while idle_pool(1).map(Pool::stop).is_err() {
            std::thread::yield_now();
        }
        return;
    }
    child::run_to_success(TEST);
}

#[test]
fn a_core_that_may_not_be_used_is_named() {
    let mut config = config(1);
    config.cores = vec![CoreId(1_000)];
    let Err(error) = start(&config, |_: ShardContext<()>| async {}) else { panic!("there is no CPU 1000") };
    assert!(with_causes(&error).contains("cannot pin a thread to CPU 1000"), "{}", with_causes(&error));
    config.shards = 0;
    assert!(matches!(start(&config, |_: ShardContext<()>| async {}), Err(PoolError::Config)));
}

#[test]
fn taskset_is_obeyed() {
    const TEST: &str = "taskset_is_obeyed";
    if child::is_child_of(TEST) {
        let topology = Topology::detect().unwrap();
        let only = topology.allowed()[0];
        assert_eq!(topology.allowed().len(), 1);
        let other = CoreId(if only.0 == 0 { 1 } else { 0 });
        let error = other.to_string().parse::<CoreSet>().unwrap().resolve(&topology).unwrap_err();
        let expected = format!("CPU {other} is not among the CPUs this process may use ({only})");
        assert_eq!(error.to_string(), expected);
        // All the cores there are: one. Three shards share it.
        let cores = CoreSet::default().resolve(&topology).unwrap();
        assert_eq!(cores, [only]);
        assert_eq!(where_shards_run(PoolConfig { cores, ..config(3) }), vec![vec![only]; 3]);
        return;
    }
    // A child inherits the pin of the thread that starts it.
    let pinned = spawn_plain("taskset", || {
        let mut mask = CpuSet::new();
        mask.set(thread_cores()[0].index()).unwrap();
        sched_setaffinity(Pid::from_raw(0), &mask).unwrap();
        child::run_to_success(TEST);
    });
    pinned.unwrap().join().unwrap();
}

/// The CPUs each shard's thread may use, by shard.
fn where_shards_run(config: PoolConfig) -> Vec<Vec<CoreId>> {
    let (report, mut reports) = link(config.shards);
    let pool: Pool<()> = start(&config, move |context: ShardContext<()>| {
        let report = report.clone();
        async move {
            let name = std::thread::current().name().map(str::to_owned);
            assert_eq!(name, Some(format!("process-{}", context.shard)));
            report.try_send((context.shard, thread_cores())).unwrap();
        }
    })
    .unwrap();
    pool.stop().unwrap();
    let mut all = Vec::new();
    while let Some(one) = reports.try_recv() {
        all.push(one);
    }
    all.sort();
    all.into_iter().map(|(_, cores)| cores).collect()
}

#[test]
fn every_shard_is_pinned_to_its_core_whatever_it_does_when_idle() {
    for idle in [Idle::Park, Idle::Spin(Duration::from_micros(50)), Idle::Busy] {
        let config = PoolConfig { idle, ..config(3) };
        let expected: Vec<Vec<CoreId>> =
            config.cores.iter().cycle().take(3).map(|&core| vec![core]).collect();
        assert_eq!(where_shards_run(config), expected, "{idle}");
    }
}

#[test]
fn shared_cores_are_worth_a_warning() {
    const TEST: &str = "shared_cores_are_worth_a_warning";
    if child::is_child_of(TEST) {
        tracing_subscriber::fmt().with_ansi(false).with_writer(io::stderr).init();
        let cores = config(1).cores.len();
        idle_pool(cores).unwrap().stop().unwrap();
        tracing::info!("now one more");
        idle_pool(cores + 1).unwrap().stop().unwrap();
        return;
    }
    let output = child::run(TEST);
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}");
    let (enough, one_more) = said.split_once("now one more").unwrap();
    assert!(!enough.contains("WARN"), "{said}");
    assert!(one_more.contains("WARN") && one_more.contains("more shards than cores"), "{said}");
}

#[test]
fn a_pool_that_is_dropped_stops_by_itself() {
    let (alive, mut gone) = link::<()>(1);
    let pool: Pool<()> = start(&config(2), move |mut context: ShardContext<()>| {
        let alive = alive.clone();
        async move {
            let _alive = alive;
            while context.commands.recv().await.is_some() {}
            // Time goes on while a shard winds up.
            for _ in 0..3 {
                assert!(context.ticks.next().await.is_some());
            }
        }
    })
    .unwrap();
    drop(pool);
    let _watchdog = watchdog::watch("a_pool_that_is_dropped_stops_by_itself", Duration::from_secs(30));
    assert_eq!(gone.recv_blocking(), None);
}
