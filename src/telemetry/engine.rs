//! Figures of the engine of a broker, for the whole process: absent without one.

use std::time::Duration;

use metrics::{counter, gauge};

use super::counters::{
    ENGINE_BEHIND, ENGINE_BUFFER_BYTES, ENGINE_CONNECTED, ENGINE_CONNECTS, ENGINE_GIVEN_UP,
    ENGINE_HAS_HISTORY, ENGINE_JUNK, ENGINE_LOADED, ENGINE_LOSSES, ENGINE_MISSING, ENGINE_OVERFLOWS,
    ENGINE_OVERRUN, ENGINE_PEERS, ENGINE_RECEIVED, ENGINE_ROUND_TRIP, ENGINE_SENT, ENGINE_STORE_REFUSED,
    ENGINE_STORED, ENGINE_TOO_LARGE, ENGINE_UNKNOWN_GAPS, ENGINE_UNSTORED, ENGINE_WORDS_DROPPED,
};

/// The figures of an engine, which its task keeps and exports.
#[derive(Clone, Default, Debug)]
pub(crate) struct EngineFigures {
    pub(crate) is_connected: bool,
    /// Connections so far, and how many of them were lost.
    pub(crate) connects: u64,
    pub(crate) losses: u64,
    /// Time of the first round trip of the last connection.
    pub(crate) round_trip: Duration,
    pub(crate) peers: u64,
    pub(crate) held_bytes: u64,
    /// Messages and words, as their metrics say.
    pub(crate) sent: u64,
    pub(crate) received: u64,
    pub(crate) missing: u64,
    pub(crate) unknown_gaps: u64,
    pub(crate) behind: u64,
    pub(crate) overrun: u64,
    pub(crate) given_up: u64,
    pub(crate) too_large: u64,
    pub(crate) junk: u64,
    pub(crate) words_dropped: u64,
    pub(crate) overflows: u64,
    /// Messages of history, as their metrics say.
    pub(crate) stored: u64,
    pub(crate) unstored: u64,
    pub(crate) store_refused: u64,
    pub(crate) loaded: u64,
    /// All that was stored is here.
    pub(crate) has_history: bool,
    /// It is not, and will not be.
    pub(crate) history_is_late: bool,
}

impl EngineFigures {
    /// Passes them on to the installed recorder.
    pub(crate) fn export(&self) {
        gauge!(ENGINE_CONNECTED.name).set(f64::from(u8::from(self.is_connected)));
        counter!(ENGINE_CONNECTS.name).absolute(self.connects);
        counter!(ENGINE_LOSSES.name).absolute(self.losses);
        gauge!(ENGINE_ROUND_TRIP.name).set(self.round_trip.as_secs_f64());
        gauge!(ENGINE_PEERS.name).set(self.peers as f64);
        gauge!(ENGINE_BUFFER_BYTES.name).set(self.held_bytes as f64);
        counter!(ENGINE_SENT.name).absolute(self.sent);
        counter!(ENGINE_RECEIVED.name).absolute(self.received);
        counter!(ENGINE_MISSING.name).absolute(self.missing);
        counter!(ENGINE_UNKNOWN_GAPS.name).absolute(self.unknown_gaps);
        counter!(ENGINE_BEHIND.name).absolute(self.behind);
        counter!(ENGINE_OVERRUN.name).absolute(self.overrun);
        counter!(ENGINE_GIVEN_UP.name).absolute(self.given_up);
        counter!(ENGINE_TOO_LARGE.name).absolute(self.too_large);
        counter!(ENGINE_JUNK.name).absolute(self.junk);
        counter!(ENGINE_WORDS_DROPPED.name).absolute(self.words_dropped);
        counter!(ENGINE_OVERFLOWS.name).absolute(self.overflows);
        counter!(ENGINE_STORED.name).absolute(self.stored);
        counter!(ENGINE_UNSTORED.name).absolute(self.unstored);
        counter!(ENGINE_STORE_REFUSED.name).absolute(self.store_refused);
        counter!(ENGINE_LOADED.name).absolute(self.loaded);
        gauge!(ENGINE_HAS_HISTORY.name).set(f64::from(u8::from(self.has_history)));
    }
}
