//! Connecting to direct publishers, whose messages ZeroMQ subscribers hear through their broker.

use std::rc::Rc;

use corecast_executors::spawn_local;
use tracing::warn;

use super::flush::settle;
use super::ingress::adopt;
use super::runtime::Runtime;
use crate::limits::CONNECT_ATTEMPT;
use crate::shard::{Dial, Door};
use crate::transport::connect;

/// Begins all connections that the shard wants, until its executor ends.
pub(super) async fn pump(runtime: Rc<Runtime>) {
    while let Some(dials) = runtime.next_dials().await {
        for dial in dials {
            spawn_local(connect_to(Rc::clone(&runtime), dial)).detach();
        }
    }
}

async fn connect_to(runtime: Rc<Runtime>, dial: Dial) {
    let Dial { publisher, endpoint } = dial;
    match connect(&endpoint, || runtime.after(CONNECT_ATTEMPT)).await {
        Ok(stream) => {
            // One that nobody wants any more is dropped.
            adopt(&runtime, stream, Door::Relay(publisher));
        }
        Err(error) => {
            runtime.log_limited("publisher_unreachable", |more| {
                warn!(%publisher, %endpoint, %error, more, "a direct publisher cannot be reached");
            });
            runtime.shard.borrow_mut().on_dial_failed(publisher);
        }
    }
    settle(&runtime).await;
}
