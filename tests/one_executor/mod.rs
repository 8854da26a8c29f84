//! An executor of a test's own, for what happens inside one.
#![allow(dead_code, reason = "not every test file asks for all of it")]

use std::future::Future;

use corecast_executors::{Inbox, Pool, PoolConfig, Reactor, ShardContext, link, start};

/// A body that runs on an executor of its own.
#[derive(Debug)]
pub(crate) struct OneExecutor<T> {
    pool: Pool<()>,
    result: Inbox<T>,
}

impl<T: Send + 'static> OneExecutor<T> {
    /// Starts the body, on whatever CPU there is.
    pub(crate) fn start<Fut: Future<Output = T> + 'static>(
        body: impl Fn(ShardContext<()>) -> Fut + Send + Clone + 'static,
    ) -> Self {
        Self::start_on(Reactor::Auto, body)
    }

    /// The same, with that reactor.
    pub(crate) fn start_on<Fut: Future<Output = T> + 'static>(
        reactor: Reactor,
        body: impl Fn(ShardContext<()>) -> Fut + Send + Clone + 'static,
    ) -> Self {
        let config = PoolConfig { reactor, ..PoolConfig::single("test") };
        let (done, result) = link(1);
        let pool = start(&config, move |context| {
            let (body, done) = (body.clone(), done.clone());
            async move {
                // Nobody waits for it if the test has failed.
                let _ = done.try_send(body(context).await);
            }
        });
        OneExecutor { pool: pool.expect("an executor"), result }
    }

    /// Waits for what the body gives.
    pub(crate) fn result(self) -> T {
        let Self { pool, mut result } = self;
        let value = result.recv_blocking().expect("the body has ended");
        pool.stop().expect("it ends in order");
        value
    }
}
