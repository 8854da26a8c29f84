//! Connecting to direct publishers, whose messages ZeroMQ subscribers hear through their broker.

use std::rc::Rc;

use corecast_executors::spawn_local;
use tracing::warn;

use super::runtime::Runtime;
use crate::limits::CONNECT_ATTEMPT;
use crate::shard::{Dial, Door, Shard};
use crate::transport::connect;

impl Runtime {
    /// Begins all connections that the shard wants.
    pub(super) fn dial_all(self: &Rc<Self>, shard: &mut Shard) {
        for dial in shard.outbox().dials.drain(..) {
            spawn_local(Rc::clone(self).dial(dial)).detach();
        }
    }

    async fn dial(self: Rc<Self>, dial: Dial) {
        let Dial { publisher, endpoint } = dial;
        match connect(&endpoint, || self.after(CONNECT_ATTEMPT)).await {
            Ok(stream) => {
                // One that nobody wants any more is dropped.
                self.adopt(stream, Door::Relay(publisher));
            }
            Err(error) => {
                self.log_limited("publisher_unreachable", |more| {
                    warn!(%publisher, %endpoint, %error, more, "a direct publisher cannot be reached");
                });
                self.shard.borrow_mut().on_dial_failed(publisher);
            }
        }
        self.settle().await;
    }
}
