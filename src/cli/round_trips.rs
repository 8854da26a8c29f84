//! The times that `ping` and `latency` measure: each as a line, and all of them in percentiles.

use std::time::Duration;

use serde::Serialize;

use super::output::json_line;

/// Percentiles that are printed: the smallest time that at least so many percent of all do not exceed.
const PERCENTILES: [f64; 4] = [50.0, 90.0, 99.0, 99.9];

/// Times, as they were measured; those that never ended are counted apart.
#[derive(Default)]
pub(super) struct RoundTrips {
    times: Vec<Duration>,
    lost: u64,
}

/// The sums, for programs; times are in microseconds.
#[derive(Serialize)]
struct RoundTripFacts {
    count: usize,
    lost: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    times_us: Option<Times>,
}

#[derive(Serialize)]
struct Times {
    least: f64,
    mean: f64,
    p50: f64,
    p90: f64,
    p99: f64,
    p99_9: f64,
    most: f64,
}

impl RoundTrips {
    pub(super) fn add(&mut self, time: Duration) {
        self.times.push(time);
    }

    pub(super) fn add_lost(&mut self) {
        self.lost += 1;
    }

    pub(super) fn count(&self) -> usize {
        self.times.len()
    }

    /// In a few lines, for people.
    pub(super) fn lines(&self) -> String {
        let lost = self.lost;
        let Some(times) = self.times() else { return format!("0 round trips, {lost} lost\n") };
        let noun = if self.times.len() == 1 { "trip" } else { "trips" };
        format!(
            "{} round {noun}, {lost} lost\nleast {}, mean {}, most {}\n50 %: {}, 90 %: {}, 99 %: {}, 99.9 %: {}\n",
            self.times.len(),
            micros(times.least),
            micros(times.mean),
            micros(times.most),
            micros(times.p50),
            micros(times.p90),
            micros(times.p99),
            micros(times.p99_9),
        )
    }

    /// As an object.
    pub(super) fn object(&self) -> String {
        json_line(&RoundTripFacts { count: self.times.len(), lost: self.lost, times_us: self.times() })
    }

    fn times(&self) -> Option<Times> {
        let mut sorted = self.times.clone();
        sorted.sort_unstable();
        let (least, most) = (sorted.first()?, sorted.last()?);
        let us = |time: &Duration| time.as_nanos() as f64 / 1e3;
        let [p50, p90, p99, p99_9] = PERCENTILES.map(|percent| us(&sorted[rank(percent, sorted.len())]));
        let mean = sorted.iter().map(us).sum::<f64>() / sorted.len() as f64;
        Some(Times { least: us(least), mean, p50, p90, p99, p99_9, most: us(most) })
    }
}

/// The place of a percentile among so many sorted values: the rank is rounded up.
fn rank(percent: f64, count: usize) -> usize {
    // A hair less, so that 99.9 % of 1,000 are 999 values whatever its binary form is.
    let rank = (percent / 100.0 * count as f64 - 1e-9).ceil() as usize;
    rank.clamp(1, count) - 1
}

/// A time in microseconds, with a unit that keeps it short: `87 us`, `1.25 ms`.
pub(super) fn micros(us: f64) -> String {
    match us {
        us if us < 9.95 => format!("{us:.1} us"),
        us if us < 999.5 => format!("{us:.0} us"),
        us if us < 999_500.0 => format!("{:.2} ms", us / 1e3),
        us => format!("{:.2} s", us / 1e6),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn trips(us: impl Iterator<Item = u64>) -> RoundTrips {
        let mut trips = RoundTrips::default();
        us.for_each(|us| trips.add(Duration::from_micros(us)));
        trips
    }

    #[test]
    fn percentiles_are_values_that_were_measured() {
        // In an order that is none.
        let mut all = trips((1..=1000).rev());
        all.add_lost();
        let object: serde_json::Value = serde_json::from_str(&all.object()).expect("an object");
        let times = &object["times_us"];
        for (name, wanted) in [
            ("least", 1.0),
            ("p50", 500.0),
            ("p90", 900.0),
            ("p99", 990.0),
            ("p99_9", 999.0),
            ("most", 1000.0),
        ] {
            assert_eq!(times[name], wanted, "{name}");
        }
        assert_eq!(
            (&object["count"], &object["lost"], &times["mean"]),
            (&1000.into(), &1.into(), &500.5.into())
        );
        assert_eq!(
            all.lines(),
            "1000 round trips, 1 lost\nleast 1.0 us, mean 500 us, most 1.00 ms\n\
             50 %: 500 us, 90 %: 900 us, 99 %: 990 us, 99.9 %: 999 us\n"
        );
        assert_eq!(all.count(), 1000);
    }

    #[test]
    fn few_or_none_are_well_too() {
        assert_eq!(trips(std::iter::empty()).lines(), "0 round trips, 0 lost\n");
        assert_eq!(trips(std::iter::empty()).object(), "{\"count\":0,\"lost\":0}\n");
        assert!(trips(std::iter::once(7)).lines().starts_with("1 round trip, 0 lost\nleast 7.0 us"));
        assert_eq!([1, 2, 10, 1001].map(|count| rank(99.9, count)), [0, 1, 9, 999]);
        assert_eq!([rank(50.0, 1), rank(50.0, 2), rank(50.0, 3)], [0, 0, 1]);
    }

    #[test]
    fn times_are_short() {
        let times = [0.4, 9.96, 123.4, 999.6, 12_345.0, 2_000_000.0].map(micros);
        assert_eq!(times, ["0.4 us", "10 us", "123 us", "1.00 ms", "12.35 ms", "2.00 s"]);
    }
}
