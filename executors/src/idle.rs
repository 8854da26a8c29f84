//! The idle policy of a shard. A plain value, read by `executor` alone.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use thiserror::Error;

/// The longest spin that `spin:<us>` accepts: beyond a second, `busy` is meant.
const SPIN_US_MAX: u64 = 1_000_000;

/// The way in which an idle shard waits. As text: `park`, `spin:<us>`, `busy`.
///
/// A wake-up of a parked shard costs 60-90 us on a virtual machine; one of a spinning shard costs
/// 10-12 us, and the core meanwhile does nothing else.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Idle {
    /// Sleep in the kernel at once.
    #[default]
    Park,
    /// Poll for work for this long, then sleep.
    Spin(Duration),
    /// Never sleep: the core belongs to this shard alone and is always at 100 %.
    Busy,
}

impl Idle {
    /// The time for which the executor polls for work before it parks.
    pub(crate) fn spin_before_park(self) -> Duration {
        match self {
            Self::Park => Duration::ZERO,
            Self::Spin(spin) => spin,
            // Longer than any process lives, and far from overflowing the runtime's sums.
            Self::Busy => Duration::from_secs(100 * 365 * 24 * 3600),
        }
    }
}

/// An error for a text that is not an idle policy.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("unknown idle policy `{text}`: use park, spin:<us> (1 to 1000000) or busy")]
pub struct IdleError {
    /// The text.
    pub text: String,
}

impl FromStr for Idle {
    type Err = IdleError;

    fn from_str(text: &str) -> Result<Self, IdleError> {
        let unknown = || IdleError { text: text.to_owned() };
        match text {
            "park" => Ok(Self::Park),
            "busy" => Ok(Self::Busy),
            _ => {
                let us = text.strip_prefix("spin:").ok_or_else(unknown)?;
                let us: u64 = us.parse().map_err(|_| unknown())?;
                if us == 0 || us > SPIN_US_MAX {
                    return Err(unknown());
                }
                Ok(Self::Spin(Duration::from_micros(us)))
            }
        }
    }
}

impl fmt::Display for Idle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Park => f.pad("park"),
            Self::Spin(spin) => write!(f, "spin:{}", spin.as_micros()),
            Self::Busy => f.pad("busy"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_goes_there_and_back() {
        for text in ["park", "spin:1", "spin:100", "spin:1000000", "busy"] {
            let idle: Idle = text.parse().unwrap();
            assert_eq!(idle.to_string(), text);
        }
        assert_eq!(Idle::default(), Idle::Park);
    }

    #[test]
    fn other_texts_are_errors_that_say_what_is_possible() {
        for text in ["", "spin", "spin:", "spin:0", "spin:-1", "spin:1000001", "spin:1us", "Park", "busy "] {
            let error = text.parse::<Idle>().unwrap_err();
            assert!(error.to_string().contains(&format!("`{text}`: use park")), "{error}");
        }
    }

    #[test]
    fn busy_spins_longer_than_any_process_lives() {
        assert_eq!(Idle::Park.spin_before_park(), Duration::ZERO);
        assert!(Idle::Busy.spin_before_park() > Duration::from_secs(1_000_000_000));
    }
}
