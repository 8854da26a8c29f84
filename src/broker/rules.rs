//! Rules of what sessions may do, to every shard when they change. A task of the control thread, so that whoever changes
//! them, and from whatever thread, all shards end up with the same.

use std::future::pending;

use corecast_executors::{Inbox, Link, link};

use super::Item;
use crate::auth::Permissions;
use crate::error::Error;

/// Rules that are to be followed from now on.
pub(super) struct NewRules {
    pub(super) permissions: Permissions,
    /// The link for the answer, when every shard follows them.
    pub(super) followed: Link<()>,
}

/// Passes rules on to these shards, which follow `current` ones, one after the other, for as long as it is polled.
pub(super) async fn pass_on(
    mut asked: Inbox<NewRules>,
    shards: Vec<Link<Item>>,
    mut current: Permissions,
) -> Error {
    while let Some(NewRules { permissions, followed }) = asked.recv().await {
        permissions.take_over(&current);
        current = permissions.clone();
        let (answer, mut answers) = link(shards.len());
        for shard in &shards {
            let item = Item::Permissions { permissions: permissions.clone(), followed: answer.clone() };
            // A shard that has ended has no sessions.
            let _ = shard.send(item).await;
        }
        drop(answer);
        while answers.recv().await.is_some() {}
        // Whoever asked may have gone.
        let _ = followed.try_send(());
    }
    // The broker is gone, and its control thread ends.
    pending().await
}
