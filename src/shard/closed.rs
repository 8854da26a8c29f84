//! The end of a session, for the log.

use crate::auth::Identity;
use crate::ids::SessionNumber;
use crate::telemetry::CloseReason;

/// The end of a session.
#[derive(Debug)]
pub struct Closed {
    /// Its number, by which its client knows it.
    pub number: SessionNumber,
    /// The reason.
    pub reason: CloseReason,
    /// The peer, as far as it was known.
    pub identity: Identity,
    /// The name that its client called itself by, if it came to that.
    pub client: Option<Box<str>>,
    /// Messages that waited for it.
    pub unsent: u64,
}
