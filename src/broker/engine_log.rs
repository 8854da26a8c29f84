//! Log lines of the engine: one a second. Owned by its task.

use std::time::Duration;

use corecast_executors::MonotonicNs;
use tracing::{info, warn};

use super::nats::ServerFacts;

/// Log lines of the engine: one a second, so that a server which comes and goes does not fill the log. The last one is never
/// withheld for longer.
#[derive(Default)]
pub(super) struct EngineLog {
    said_at: Option<MonotonicNs>,
    withheld: Option<(bool, String)>,
}

/// Shortest time between two lines.
const LINE_PERIOD: Duration = Duration::from_secs(1);

impl EngineLog {
    /// The engine answers.
    pub(super) fn connected(&mut self, now: MonotonicNs, facts: &ServerFacts, frame_bytes_max: usize) {
        let ServerFacts { name, version, payload_bytes_max, round_trip, .. } = facts;
        let line = format!("the engine answers: server {name}, version {version}, in {round_trip:?}");
        if *payload_bytes_max < frame_bytes_max {
            self.say(
                now,
                true,
                format!(
                    "{line}; it takes messages of up to {payload_bytes_max} bytes, and --frame-bytes-max is \
                     {frame_bytes_max}: longer ones stay on this host, and are told as missing elsewhere"
                ),
            );
        } else {
            self.say(now, false, line);
        }
    }

    /// Says a warning, perhaps a moment later.
    pub(super) fn warn(&mut self, now: MonotonicNs, line: String) {
        self.say(now, true, line);
    }

    /// Says a line, perhaps a moment later.
    pub(super) fn say(&mut self, now: MonotonicNs, is_warning: bool, line: String) {
        self.withheld = Some((is_warning, line));
        self.on_tick(now);
    }

    /// Time goes on: says the line that waits, if any.
    pub(super) fn on_tick(&mut self, now: MonotonicNs) {
        if self.said_at.is_some_and(|at| now.saturating_since(at) < LINE_PERIOD) {
            return;
        }
        let Some((is_warning, line)) = self.withheld.take() else { return };
        self.said_at = Some(now);
        if is_warning {
            warn!("{line}");
        } else {
            info!("{line}");
        }
    }
}
