//! Owns how `pub` hears, while it waits for the next message, that there is no use in sending more.

use corecast_executors::{Inbox, link, spawn_plain};

use super::interrupt::Asker;
use super::{Exit, Failure};
use crate::{ConnectionEvent, ConnectionEvents, Error};

/// A watch of a publisher's connection.
pub(super) struct RefusalWatch {
    found: Inbox<NoUse>,
}

/// The reason why no more is to be sent.
pub(super) enum NoUse {
    /// The broker refuses what is sent.
    Refused(Error),
    /// The session has ended for good; closing its publisher says why.
    Ended,
}

impl RefusalWatch {
    /// Watches these events, and asks for the end once there is no use in sending more.
    pub(super) fn begin(mut events: ConnectionEvents, asker: Asker) -> Result<Self, Failure> {
        let (find, found) = link(1);
        let watch = move || {
            let no_use = loop {
                match events.recv() {
                    Some(ConnectionEvent::Refused { kind, why, .. }) => {
                        break NoUse::Refused(Error::new(kind, why));
                    }
                    Some(_) => {}
                    None => break NoUse::Ended,
                }
            };
            // The command may be about to end by itself.
            let _ = find.try_send(no_use);
            asker.ask();
        };
        // Nobody joins it: it ends with the session, or the process.
        spawn_plain("refusals", watch)
            .map_err(|e| Failure::new(Exit::Failed, format!("cannot make a thread: {e}")))?;
        Ok(RefusalWatch { found })
    }

    /// The reason why no more is to be sent, if there is one.
    pub(super) fn found(&mut self) -> Option<NoUse> {
        self.found.try_recv()
    }
}
