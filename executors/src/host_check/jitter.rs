//! The machine's own pauses: gaps in the clock readings of a thread that does nothing else. Used by `host_check` alone.

use std::time::Duration;

use super::Finding;
use crate::clock::MonotonicNs;
use crate::executor;
use crate::ids::CoreId;
use crate::thread::spawn_plain;

const NAME: &str = "jitter";

/// The span of one sample, which is its longest pause: most spans of a quiet machine have one timer interrupt or none.
const SPAN: Duration = Duration::from_millis(1);

/// The shortest pause that is worth a warning: another thread on the core, or a host that took the CPU away.
const PAUSE_MAX_ADVISED: Duration = Duration::from_millis(1);

/// Spins on `core` for `time` and reports the pauses.
pub(super) fn check(core: Option<CoreId>, time: Duration) -> Finding {
    let spin = spawn_plain("jitter-probe", move || {
        if let Some(core) = core {
            // Unpinned it also measures the scheduler's choice of core: a less precise figure, not a wrong one.
            let _ = executor::pin(core);
        }
        longest_pauses(time)
    });
    match spin.map(std::thread::JoinHandle::join) {
        Ok(Ok(pauses)) => judge(pauses, time),
        _ => Finding::warning(NAME, "not measured: no thread could be made", "raise the limit of processes"),
    }
}

/// The longest pause between two clock readings, for each span. At least one.
fn longest_pauses(time: Duration) -> Vec<Duration> {
    let begin = MonotonicNs::now();
    let end = begin + time;
    let mut pauses = Vec::with_capacity(time.as_millis() as usize + 1);
    let (mut last, mut span_end, mut longest) = (begin, begin + SPAN, Duration::ZERO);
    while last < end {
        let now = MonotonicNs::now();
        longest = longest.max(now.saturating_since(last));
        last = now;
        if now >= span_end {
            pauses.push(longest);
            (span_end, longest) = (now + SPAN, Duration::ZERO);
        }
    }
    // The time may end together with a span: an empty span is not a sample.
    if !longest.is_zero() || pauses.is_empty() {
        pauses.push(longest);
    }
    pauses
}

/// The words and the level for the pauses.
fn judge(mut pauses: Vec<Duration>, time: Duration) -> Finding {
    pauses.sort_unstable();
    let longest = pauses[pauses.len() - 1];
    // The 99th of 100 samples.
    let p99 = pauses[(pauses.len() * 99).div_ceil(100) - 1];
    let found = format!(
        "longest pause {} us, p99 of the longest in each millisecond {} us, over {} ms",
        longest.as_micros(),
        p99.as_micros(),
        time.as_millis()
    );
    if longest < PAUSE_MAX_ADVISED {
        return Finding::ok(NAME, found);
    }
    Finding::warning(
        NAME,
        found,
        "no latency below that can be promised here: leave the core to corecast (isolcpus, a cpuset), or on a \
         virtual machine ask for CPUs of its own",
    )
}

#[cfg(test)]
mod tests {
    use super::super::Level;
    use super::*;

    #[test]
    fn the_figures_are_of_the_samples() {
        let samples: Vec<Duration> = (1..=100).map(Duration::from_micros).collect();
        let finding = judge(samples, Duration::from_millis(100));
        assert_eq!(finding.level, Level::Ok);
        assert!(
            finding.found.starts_with("longest pause 100 us, p99 of the longest in each millisecond 99 us")
        );
        let alone = judge(vec![Duration::from_millis(2)], SPAN);
        assert_eq!(alone.level, Level::Warning);
    }

    #[test]
    fn every_span_gives_a_sample() {
        let pauses = longest_pauses(Duration::from_millis(5));
        assert!(!pauses.is_empty() && pauses.len() <= 6, "{pauses:?}");
        // The pauses are within the time, except for the last, which may end after it.
        assert!(pauses.iter().all(|pause| !pause.is_zero()));
    }
}
