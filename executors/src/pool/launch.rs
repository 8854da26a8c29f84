//! The start of a pool's threads, up to the first poll of their bodies. Used by `pool` alone.

use std::future::Future;
use std::thread::JoinHandle;

use tracing::debug;

use super::{PoolConfig, PoolError, ShardContext, shard_at};
use crate::executor::{self, ExecutorError, Sockets};
use crate::idle::Idle;
use crate::ids::ShardId;
use crate::link::{Inbox, Link, link};
use crate::reactor::{Reactor, Runtime};
use crate::task::cancel_all;
use crate::thread::become_executor;

/// The report that an executor sends once, before any body runs.
pub(super) type Started = (ShardId, Result<(), ExecutorError>);

/// Threads that are starting: each reports once, then waits for its go link.
pub(super) struct Launch {
    pub(super) threads: Vec<JoinHandle<()>>,
    pub(super) go_links: Vec<Link<()>>,
    pub(super) started: Inbox<Started>,
    pub(super) failed: Option<PoolError>,
}

/// A shard thread's report link, and the link that it waits for before its body.
struct Beginning {
    idle: Idle,
    sockets: Sockets,
    reactor: Reactor,
    started: Link<Started>,
    go: Inbox<()>,
}

/// Makes the thread of each shard, up to the first that cannot be made.
pub(super) fn launch<M, F, Fut>(config: &PoolConfig, contexts: Vec<ShardContext<M>>, body: F) -> Launch
where
    M: Send + 'static,
    F: Fn(ShardContext<M>) -> Fut + Send + Clone + 'static,
    Fut: Future<Output = ()> + 'static,
{
    let (started_link, started) = link(config.shards);
    let mut launch = Launch { threads: Vec::new(), go_links: Vec::new(), started, failed: None };
    for context in contexts {
        let shard = context.shard;
        let (go_link, go) = link(1);
        let begin = Beginning {
            idle: config.idle,
            sockets: config.sockets,
            reactor: config.reactor,
            started: started_link.clone(),
            go,
        };
        let body = body.clone();
        let thread = std::thread::Builder::new()
            .name(format!("{}-{shard}", config.name))
            .spawn(move || run_shard(context, begin, body));
        match thread {
            Ok(thread) => {
                launch.threads.push(thread);
                launch.go_links.push(go_link);
            }
            Err(source) => {
                launch.failed = Some(PoolError::Thread { shard, source });
                break;
            }
        }
    }
    launch
}

/// The whole life of a shard's thread.
fn run_shard<M, F, Fut>(context: ShardContext<M>, begin: Beginning, body: F)
where
    F: Fn(ShardContext<M>) -> Fut,
    Fut: Future<Output = ()> + 'static,
{
    let (shard, core) = (context.shard, context.core);
    let Beginning { idle, sockets, reactor, started, mut go } = begin;
    let pinned = core.map_or(Ok(()), executor::pin);
    let made = pinned.and_then(|()| Runtime::make(reactor, core, idle, sockets));
    let executor = match made {
        Ok(executor) => executor,
        Err(error) => {
            // There is room for one report of each shard, and `start` waits for it.
            let _ = started.try_send((shard, Err(error)));
            return;
        }
    };
    become_executor(core, idle);
    run(&executor, async move {
        // Sent from inside: this executor does run.
        let _ = started.try_send((shard, Ok(())));
        drop(started);
        if go.recv().await.is_none() {
            return;
        }
        debug!(%shard, core = core.map(|core| core.0), "executor runs");
        body(context).await;
        debug!(%shard, "shard has ended");
    });
}

/// Runs `body` to its end, then cancels the tasks that it left.
fn run(executor: &Runtime, body: impl Future<Output = ()>) {
    executor.run(async move {
        body.await;
        cancel_all().await;
    });
}

/// Takes one report of each shard. Returns the error of the lowest shard that failed.
pub(super) fn wait_until_started(
    mut started: Inbox<Started>,
    threads: &[JoinHandle<()>],
) -> Result<(), PoolError> {
    let mut failed: Option<(ShardId, ExecutorError)> = None;
    let mut reports = 0;
    while let Some((shard, result)) = started.recv_blocking() {
        reports += 1;
        if let Err(error) = result
            && failed.as_ref().is_none_or(|(lowest, _)| shard < *lowest)
        {
            failed = Some((shard, error));
        }
    }
    if let Some((shard, source)) = failed {
        return Err(PoolError::Executor { shard, source });
    }
    if reports < threads.len() {
        let gone = threads.iter().position(JoinHandle::is_finished).unwrap_or(0);
        return Err(PoolError::Lost { shard: shard_at(gone) });
    }
    Ok(())
}
