//! Connecting to direct publishers, whose messages ZeroMQ subscribers hear through their broker.

use std::rc::Rc;

use corecast_executors::spawn_local;
use tracing::warn;

use super::flush::settle;
use super::ingress::adopt;
use super::runtime::Runtime;
use crate::shard::{Dial, Door};
use crate::transport::{ConnectConfig, connect};

/// Begins all connections that the shard wants, until its executor ends.
pub(super) async fn pump(runtime: Rc<Runtime>, config: ConnectConfig) {
    let config = Rc::new(config);
    while let Some(dials) = runtime.next_dials().await {
        for dial in dials {
            spawn_local(connect_to(Rc::clone(&runtime), dial, Rc::clone(&config))).detach();
        }
    }
}

async fn connect_to(runtime: Rc<Runtime>, dial: Dial, config: Rc<ConnectConfig>) {
    let Dial { publisher, endpoint } = dial;
    match connect(&endpoint, &config, |time| runtime.after(time)).await {
        Ok(stream) => {
            // One that nobody wants any more is dropped.
            adopt(&runtime, stream, Door::Relay(publisher));
        }
        Err(error) => {
            let error = error.at_peer(&format_args!("publisher {publisher}"), &endpoint);
            runtime.log_limited("publisher_unreachable", |more| {
                warn!(%publisher, %endpoint, %error, more, "a direct publisher cannot be reached");
            });
            runtime.shard.borrow_mut().on_dial_failed(publisher);
        }
    }
    settle(&runtime).await;
}
