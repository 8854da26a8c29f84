//! Looks of operators, to every shard. A task of the control thread, which has no shards itself.

use std::future::pending;

use corecast_executors::{Inbox, Link};

use super::Item;
use crate::control::Look;
use crate::error::Error;

/// Passes looks on to these shards, for as long as it is polled.
pub(super) async fn pass_on(mut looks: Inbox<Look>, shards: Vec<Link<Item>>) -> Error {
    while let Some(look) = looks.recv().await {
        for shard in &shards {
            // A shard that has ended has nothing to show, and one that is held up for long is left out.
            let _ = shard.try_send(Item::Look(look.clone()));
        }
    }
    // The broker is gone, and its control thread ends.
    pending().await
}
