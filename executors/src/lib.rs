//! Pinned executors, one per core, and the bounded links between them.
//!
//! This crate is the only one of the project that names the runtime, makes threads or makes channels. It knows cores,
//! threads, turns, ticks and the readiness of sockets; it knows nothing of frames, topics or the purpose of a socket.
//! Everything public is re-exported here, flat.
//!
//! | file | owns |
//! |---|---|
//! | `ids` | [`ShardId`], [`CoreId`] |
//! | `clock` | [`MonotonicNs`], the one clock of the data path |
//! | `topology` | the CPUs that this process may use, and their relations |
//! | `cpu_list` | the kernel's text form of a set of CPUs |
//! | `core_set` | the text form of a choice of cores: `all`, `physical`, `0-3,8`, `numa:0` |
//! | `idle` | the idle policy of a shard |
//! | `link` | bounded channels with one consumer |
//! | `tick` | the 10 ms pulse that brings time to every shard |
//! | `rest` | the rest of a shard that needs few ticks, and the sleep of the thread that sends them |
//! | `pool` | a set of pinned executors: start, commands, orderly stop |
//! | `executor` | one of them: its pin, its size, its start-up errors |
//! | `reactor` | what its thread waits with, and what runs its tasks: io_uring, or epoll |
//! | `task` | tasks of an executor, and their end when its body returns |
//! | `thread` | plain threads, the end of the process, and the rule that a panic on an executor is one |
//! | `block` | waiting for a future on a plain thread |
//! | `wake` | a signal from one task to another |
//! | `tick_clock` | waiting for a point in time, to a tick's precision |
//! | `turn` | the end of a pump's turn, so that the reactor polls |
//! | `net` | readiness of sockets, and calls on them that never block |
//! | `readiness` | all sockets of an executor that wait to be read, behind one descriptor |
//! | `pacer` | waiting for a point in time without the runtime's timers |
//! | `race` | the first of two futures, fairly |
//! | `reader` | the reader of a command's output, and its end |
//! | `signal` | signals that ask for an end, as values, and those that must not end a process |
//! | `open_files` | the limit of open files, and the room left under it |
//! | `host_check` | checks of this host, with remedies |
//!
//! # A pump
//!
//! The runtime polls its rings only when no task is runnable. A pump therefore works in bounded turns and ends each by
//! waiting for the ring: for a socket ([`ReadySocket::readable`]) or, when there is more to do at once, with
//! [`end_turn`].

mod block;
mod clock;
mod core_set;
mod cpu_list;
mod executor;
mod host_check;
mod idle;
mod ids;
mod link;
mod net;
mod open_files;
mod pacer;
mod pool;
mod race;
mod reactor;
mod reader;
mod readiness;
mod rest;
mod signal;
mod task;
mod thread;
mod thread_times;
mod tick;
mod tick_clock;
mod topology;
mod turn;
mod wake;

pub use block::block_on;
pub use clock::MonotonicNs;
pub use core_set::{CoreSet, CoreSetError};
pub use executor::{ExecutorError, Sockets};
pub use host_check::{Finding, HostCheck, Level};
pub use idle::{Idle, IdleError};
pub use ids::{CoreId, ShardId};
pub use link::{Inbox, Link, RecvTimeout, Refused, link, link_to_shard, link_to_task};
pub use net::ReadySocket;
pub use open_files::{
    OPEN_FILES_RESERVED_MAX, OpenFilesRoom, open_files_max, raise_open_files, reserved_open_files,
};
pub use pacer::Pacer;
pub use pool::{Pool, PoolConfig, PoolError, ShardContext, start};
pub use race::{Either, First, first};
pub use reactor::{Reactor, ReactorError};
pub use reader::{WaitIsOver, watch_reader};
pub use readiness::readable_sockets;
pub use rest::Stir;
pub use signal::{
    SAME_REQUEST, SignalRequest, TerminationSignals, ignore_file_size_signal, ignore_stray_signals,
};
pub use task::{LocalTask, spawn_local};
pub use thread::{before_abort, core_here, exit_now, on_executor, pause, spawn_beside, spawn_plain};
pub use thread_times::ThreadTimes;
pub use tick::{PassedTicks, TICK, TICKS_PER_REST, Tick, Ticks};
pub use tick_clock::{TickClock, Until};
pub use topology::{Topology, TopologyError};
pub use turn::end_turn;
pub use wake::Wake;
