//! Owns when each message should be sent, and whether it was. The load is open loop: the times are set before the
//! first message, and neither a slow broker nor a late publisher moves them. Latency counts from them, so a stall
//! shows in every message that it delayed, not only in the one that met it.

use corecast_executors::MonotonicNs;
use std::fmt;
use std::str::FromStr;
use std::time::Duration;

/// A send this late is late at any rate: the pulse of the clients' housekeeping is as long, so less says nothing
/// about whether the rate is kept.
const LATE_AFTER_MIN: Duration = Duration::from_millis(10);
/// Rate above which messages are a flood, by any means that there are.
const RATE_HZ_MAX: f64 = 100e6;
/// A message a day, at least.
const RATE_HZ_MIN: f64 = 1.0 / 86_400.0;

/// The rate of each publisher.
#[derive(Clone, Copy, PartialEq, Debug)]
pub enum Rate {
    /// Messages a second, evenly spaced.
    Hz(f64),
    /// A flood: messages are sent as fast as they are taken.
    Flood,
}

/// The amount that each publisher sends.
#[derive(Clone, Copy, PartialEq, Debug)]
pub enum Amount {
    /// A number of messages.
    Messages(u64),
    /// A time.
    Duration(Duration),
}

/// A rate that is neither a number in range nor `flood`.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("`{0}` is no rate: write messages a second, from one a day to 100000000, or `flood`")]
pub struct RateError(String);

impl FromStr for Rate {
    type Err = RateError;

    fn from_str(text: &str) -> Result<Self, RateError> {
        if text == "flood" {
            return Ok(Rate::Flood);
        }
        let hz = text.parse().ok().filter(|hz| (RATE_HZ_MIN..=RATE_HZ_MAX).contains(hz));
        hz.map(Rate::Hz).ok_or_else(|| RateError(text.to_owned()))
    }
}

impl fmt::Display for Rate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Rate::Hz(hz) => write!(f, "{hz}"),
            Rate::Flood => f.write_str("flood"),
        }
    }
}

/// The times of one publisher's messages.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Schedule {
    first: MonotonicNs,
    rate_hz: f64,
    messages: u64,
    /// Time at which a publisher that is behind gives up what is left; never, if it has a number of messages to send.
    end: Option<MonotonicNs>,
}

impl Schedule {
    /// The times of publisher `index` of `publishers`, all of which start at `start`.
    ///
    /// They are set apart within an interval, so that together they send evenly and not in volleys.
    pub fn new(start: MonotonicNs, rate_hz: f64, amount: Amount, place: (usize, usize)) -> Self {
        let (index, publishers) = place;
        let offset_ns = 1e9 / rate_hz * index as f64 / publishers as f64;
        let first = MonotonicNs(start.0 + offset_ns as u64);
        let (messages, end) = match amount {
            Amount::Messages(messages) => (messages, None),
            Amount::Duration(duration) => (messages_in(duration, rate_hz), Some(first + duration)),
        };
        Schedule { first, rate_hz, messages, end }
    }

    /// Messages a second.
    pub fn rate_hz(&self) -> f64 {
        self.rate_hz
    }

    /// Number of messages.
    pub fn messages(&self) -> u64 {
        self.messages
    }

    /// Time at which message `sequence` should be sent. Exact to a nanosecond for a hundred days.
    pub fn due(&self, sequence: u64) -> MonotonicNs {
        MonotonicNs(self.first.0 + (sequence as f64 * 1e9 / self.rate_hz) as u64)
    }

    /// True if a message that was due then and taken at `taken` is late: by an interval, and by no less than what
    /// shows at any rate.
    pub fn is_late(&self, due: MonotonicNs, taken: MonotonicNs) -> bool {
        taken > due + self.tolerance()
    }

    /// True if the time to send is over, however much is left: a rate that cannot be reached must not make a run of
    /// five seconds one of an hour.
    pub fn is_over(&self, now: MonotonicNs) -> bool {
        self.end.is_some_and(|end| now > end + self.tolerance())
    }

    fn tolerance(&self) -> Duration {
        Duration::from_secs_f64(1.0 / self.rate_hz).max(LATE_AFTER_MIN)
    }
}

/// Messages that are due in a span, at least one: the first is due at its start.
pub fn messages_in(duration: Duration, rate_hz: f64) -> u64 {
    // A whole number of intervals must not get one more by a rounding error.
    let messages = (duration.as_secs_f64() * rate_hz * (1.0 - 1e-12)).ceil();
    (messages as u64).max(1)
}

/// The part of the messages that must be sent in time for a rate to count as reached.
const IN_TIME_MIN: f64 = 0.99;

/// Says by how much a rate was missed, if fewer messages were sent in time than it takes.
pub fn missed(in_time: u64, intended: u64) -> Option<String> {
    let (in_time, intended) = (in_time as f64, intended as f64);
    (in_time < intended * IN_TIME_MIN).then(|| {
        let part = in_time / intended * 100.0;
        format!("the asked rate was not reached: {part:.1} % of the messages were sent in time")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const START: MonotonicNs = MonotonicNs(1_000_000_000);

    #[test]
    fn a_rate_is_a_number_or_flood() {
        assert_eq!("20".parse(), Ok(Rate::Hz(20.0)));
        assert_eq!("0.5".parse(), Ok(Rate::Hz(0.5)));
        assert_eq!("1e6".parse(), Ok(Rate::Hz(1e6)));
        assert_eq!("flood".parse(), Ok(Rate::Flood));
        for wrong in ["", "0", "-1", "nan", "inf", "fast", "1e9", "20/s"] {
            let error = wrong.parse::<Rate>().unwrap_err();
            assert!(error.to_string().contains("flood"), "{wrong}: {error}");
        }
    }

    #[test]
    fn messages_are_evenly_spaced_and_do_not_drift() {
        let schedule = Schedule::new(START, 3.0, Amount::Messages(10), (0, 1));
        assert_eq!(schedule.due(0), START);
        assert_eq!(schedule.due(1).0 - START.0, 333_333_333);
        assert_eq!(schedule.due(3_000_000).0 - START.0, 1_000_000_000_000_000);
    }

    #[test]
    fn publishers_share_the_interval() {
        let schedules = [0, 1, 2, 3].map(|index| Schedule::new(START, 10.0, Amount::Messages(1), (index, 4)));
        let offsets = schedules.map(|schedule| (schedule.due(0).0 - START.0) / 1_000_000);
        assert_eq!(offsets, [0, 25, 50, 75]);
    }

    #[test]
    fn a_duration_holds_its_messages() {
        let messages = |secs: f64, hz: f64| messages_in(Duration::from_secs_f64(secs), hz);
        assert_eq!(messages(5.0, 20.0), 100);
        assert_eq!(messages(10.0, 4.0), 40);
        assert_eq!(messages(0.1, 30.0), 3);
        assert_eq!(messages(1.0, 0.1), 1);
        assert_eq!(messages(0.25, 3.0), 1);
        assert_eq!(messages(0.35, 3.0), 2);
    }

    #[test]
    fn only_a_duration_comes_to_an_end() {
        let over = |amount: Amount, after_ms: u64| {
            Schedule::new(START, 1000.0, amount, (0, 1)).is_over(START + Duration::from_millis(after_ms))
        };
        let second = Amount::Duration(Duration::from_secs(1));
        assert!(!over(second, 1_009) && over(second, 1_011));
        assert!(!over(Amount::Messages(1), 1_000_000));
    }

    #[test]
    fn late_is_an_interval_and_ten_milliseconds() {
        let late = |rate_hz: f64, after_ms: u64| {
            let schedule = Schedule::new(START, rate_hz, Amount::Messages(1), (0, 1));
            schedule.is_late(START, START + Duration::from_millis(after_ms))
        };
        assert!(!late(20.0, 40) && late(20.0, 60));
        assert!(!late(10_000.0, 9) && late(10_000.0, 11));
    }
}
