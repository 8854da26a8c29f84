//! Tells the service manager that started the broker, if there is one, how it fares: systemd's protocol of `NOTIFY_SOCKET`. Without
//! that variable nothing here does anything.

use std::time::Duration;

use corecast_executors::{MonotonicNs, pause, spawn_plain};
use sd_notify::NotifyState;

use super::exit::{Exit, Failure};
use crate::limits::{SHARD_SILENCE_MAX, STOP_MARGIN};
use crate::telemetry::Pulse;

/// Says that the broker serves, and where.
pub(super) fn ready(ready_line: &str) {
    say(&[NotifyState::Ready, NotifyState::Status(ready_line.trim_end())]);
}

/// Says that files are being read again. [`reloaded`] follows.
pub(super) fn reloading() {
    match NotifyState::monotonic_usec_now() {
        Ok(now) => say(&[NotifyState::Reloading, now]),
        Err(error) => tracing::debug!("the time of a reload is not known: {error}"),
    }
}

/// Says that the broker serves as before.
pub(super) fn reloaded() {
    say(&[NotifyState::Ready]);
}

/// Says that the broker stops, and that this may take as long as its drain.
pub(super) fn stopping(drain: Duration) {
    let time = u32::try_from((drain + STOP_MARGIN).as_micros()).unwrap_or(u32::MAX);
    say(&[NotifyState::Stopping, NotifyState::ExtendTimeoutUsec(time)]);
}

/// Feeds the watchdog of the service manager, if it has one for this process, for as long as all shards turn: one that hangs
/// has the process ended and started again. A thread of its own does it, which ends with the process.
///
/// # Errors
/// When the thread cannot be started.
pub(super) fn feed_watchdog(pulses: &[Pulse]) -> Result<(), Failure> {
    let Some(patience) = sd_notify::watchdog_enabled() else { return Ok(()) };
    let pulses = pulses.to_vec();
    let feed = move || {
        loop {
            if all_turn(&pulses, MonotonicNs::now()) {
                say(&[NotifyState::Watchdog]);
            }
            // As systemd recommends: one that comes late is not the end.
            pause(patience / 2);
        }
    };
    let failed = |e| Failure::new(Exit::Failed, format!("cannot start the thread of the watchdog: {e}"));
    spawn_plain("watchdog", feed).map(drop).map_err(failed)
}

/// True unless a shard has not turned for so long that it hangs. One that is busy turns.
fn all_turn(pulses: &[Pulse], now: MonotonicNs) -> bool {
    pulses.iter().filter_map(|pulse| pulse.silence(now)).all(|silence| silence <= SHARD_SILENCE_MAX)
}

fn say(state: &[NotifyState<'_>]) {
    if let Err(error) = sd_notify::notify(state) {
        tracing::debug!("the service manager is not told: {error}");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_watchdog_is_fed_until_a_shard_hangs_and_by_those_that_have_ended() {
        let start = MonotonicNs(1);
        let pulses = [start; 2].map(Pulse::starting);
        let late = start + SHARD_SILENCE_MAX + Duration::from_millis(1);
        assert!(all_turn(&pulses, start + SHARD_SILENCE_MAX));
        assert!(!all_turn(&pulses, late));
        pulses[0].beat(late);
        assert!(!all_turn(&pulses, late), "the other one hangs");
        pulses[1].end();
        assert!(all_turn(&pulses, late));
    }
}
