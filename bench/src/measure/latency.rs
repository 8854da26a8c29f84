//! Owns how latencies are kept and summed up: an HDR histogram of nanoseconds, and the nine figures of the record.
//! One histogram belongs to one executor; they are merged when the run is over.

use hdrhistogram::Histogram;
use hdrhistogram::serialization::{Deserializer, Serializer, V2DeflateSerializer};
use serde::{Deserialize, Serialize};
use std::time::Duration;

/// Latencies above this are counted as this: ten minutes is beyond any stall timeout.
const LATENCY_NS_MAX: u64 = 600_000_000_000;
/// Three digits: a figure is at most 0.1 % beside the truth, and a histogram takes about 250 KB.
const SIGNIFICANT_DIGITS: u8 = 3;

/// Many latencies, in constant memory.
#[derive(Clone, PartialEq, Debug)]
pub struct Latencies {
    histogram: Histogram<u64>,
}

/// The summary of a distribution, in microseconds with three decimals. The keys are those of the record.
#[derive(Clone, Copy, PartialEq, Debug, Default, Serialize, Deserialize)]
pub struct Summary {
    /// The least.
    pub min: f64,
    /// A quarter are at most this.
    pub q1: f64,
    /// Half are at most this.
    pub median: f64,
    /// Three quarters are at most this.
    pub q3: f64,
    /// 99 % are at most this.
    pub p99: f64,
    /// 99.9 % are at most this.
    pub p99_9: f64,
    /// The greatest.
    pub max: f64,
    /// The arithmetic mean.
    pub mean: f64,
    /// The standard deviation of the whole population.
    pub stddev: f64,
}

impl Latencies {
    /// An empty histogram.
    pub fn new() -> Self {
        let histogram = Histogram::new_with_bounds(1, LATENCY_NS_MAX, SIGNIFICANT_DIGITS)
            .expect("the bounds above are ones that a histogram can have");
        Latencies { histogram }
    }

    /// Counts one latency, in nanoseconds. Allocates nothing.
    #[inline]
    pub fn record_ns(&mut self, latency_ns: u64) {
        self.histogram.saturating_record(latency_ns);
    }

    /// Counts one latency.
    #[inline]
    pub fn record(&mut self, latency: Duration) {
        self.record_ns(u64::try_from(latency.as_nanos()).unwrap_or(u64::MAX));
    }

    /// Counts all of `other` too.
    pub fn merge(&mut self, other: &Latencies) {
        self.histogram.add(&other.histogram).expect("all histograms have the bounds above");
    }

    /// All latencies, longer by so much; shorter if it is negative, but never below the shortest that can be counted.
    /// What was counted within 0.1 % moves as one.
    #[must_use]
    pub fn shifted(&self, by_ns: i64) -> Self {
        let mut shifted = Latencies::new();
        for bucket in self.histogram.iter_recorded() {
            let latency_ns = bucket.value_iterated_to().saturating_add_signed(by_ns);
            shifted.histogram.saturating_record_n(latency_ns, bucket.count_at_value());
        }
        shifted
    }

    /// Number of latencies.
    pub fn len(&self) -> u64 {
        self.histogram.len()
    }

    /// True if there are none.
    pub fn is_empty(&self) -> bool {
        self.histogram.is_empty()
    }

    /// The latency that a part (0 to 1) of all does not exceed, in microseconds.
    pub fn at_quantile_us(&self, quantile: f64) -> f64 {
        us(self.histogram.value_at_quantile(quantile) as f64)
    }

    /// The nine figures, or `None` if none was counted.
    pub fn summary(&self) -> Option<Summary> {
        if self.is_empty() {
            return None;
        }
        let at = |quantile: f64| us(self.histogram.value_at_quantile(quantile) as f64);
        Some(Summary {
            min: us(self.histogram.min() as f64),
            q1: at(0.25),
            median: at(0.5),
            q3: at(0.75),
            p99: at(0.99),
            p99_9: at(0.999),
            max: us(self.histogram.max() as f64),
            mean: us(self.histogram.mean()),
            stddev: us(self.histogram.stdev()),
        })
    }
}

/// Bytes that are not a histogram as this version writes it.
#[derive(Debug, thiserror::Error)]
pub enum HdrError {
    /// The bytes are not of HdrHistogram's V2 format.
    #[error("not a histogram in HdrHistogram's compressed V2 format: {0}")]
    Malformed(String),
    /// The histogram has other bounds, so that it cannot be merged without loss.
    #[error("a histogram with other bounds than 1 ns to 600 s in {SIGNIFICANT_DIGITS} digits")]
    OtherBounds,
}

impl Latencies {
    /// The histogram in HdrHistogram's compressed V2 format, nanoseconds: what an `.hdr` file holds.
    pub fn to_hdr(&self) -> Vec<u8> {
        let mut bytes = Vec::new();
        let written = V2DeflateSerializer::new().serialize(&self.histogram, &mut bytes);
        written.expect("memory takes all that is written, and the bounds above fit the format");
        bytes
    }

    /// Reads what [`Latencies::to_hdr`] wrote, here or on another host.
    pub fn from_hdr(bytes: &[u8]) -> Result<Self, HdrError> {
        let mut reader = bytes;
        let histogram: Histogram<u64> = Deserializer::new()
            .deserialize(&mut reader)
            .map_err(|error| HdrError::Malformed(format!("{error:?}")))?;
        let ours = Latencies::new();
        let same = (histogram.low(), histogram.high(), histogram.sigfig())
            == (ours.histogram.low(), ours.histogram.high(), ours.histogram.sigfig());
        if same { Ok(Latencies { histogram }) } else { Err(HdrError::OtherBounds) }
    }

    /// The percentile curve: pairs of quantile (0 to 1) and the latency that so many are at most, in microseconds,
    /// denser towards 1, as HdrHistogram's tools print it.
    pub fn curve(&self) -> Vec<(f64, f64)> {
        /// Points in each halving of the distance to 1: HdrHistogram's tools take 5.
        const POINTS_PER_HALVING: u32 = 5;
        let points = self.histogram.iter_quantiles(POINTS_PER_HALVING);
        points.map(|point| (point.quantile_iterated_to(), us(point.value_iterated_to() as f64))).collect()
    }
}

/// Serialises as the bytes of an `.hdr` file.
impl Serialize for Latencies {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.to_hdr().serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Latencies {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Latencies::from_hdr(&Vec::deserialize(deserializer)?).map_err(serde::de::Error::custom)
    }
}

impl Default for Latencies {
    fn default() -> Self {
        Latencies::new()
    }
}

/// Nanoseconds as microseconds with three decimals.
fn us(ns: f64) -> f64 {
    ns.round() / 1000.0
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn nothing_has_no_summary() {
        assert_eq!(Latencies::new().summary(), None);
    }

    #[test]
    fn the_figures_of_a_known_distribution() {
        let mut latencies = Latencies::new();
        for us in 1..=1000 {
            latencies.record(Duration::from_micros(us));
        }
        let summary = latencies.summary().unwrap();
        let near = |found: f64, wanted: f64| {
            assert!((found - wanted).abs() <= wanted * 0.001 + 0.001, "{found} is not {wanted}");
        };
        near(summary.min, 1.0);
        near(summary.q1, 250.0);
        near(summary.median, 500.0);
        near(summary.q3, 750.0);
        near(summary.p99, 990.0);
        near(summary.p99_9, 999.0);
        near(summary.max, 1000.0);
        near(summary.mean, 500.5);
        near(summary.stddev, 288.675);
    }

    #[test]
    fn a_file_of_latencies_is_read_back_and_another_is_not() {
        let mut latencies = Latencies::new();
        (1..=1000u64).for_each(|us| latencies.record_ns(us * 1000));
        let read = Latencies::from_hdr(&latencies.to_hdr()).unwrap();
        assert_eq!(read.summary(), latencies.summary());
        assert!(matches!(Latencies::from_hdr(b"no histogram"), Err(HdrError::Malformed(_))));
        let other = Histogram::<u64>::new_with_bounds(1, 1_000, 2).unwrap();
        let mut bytes = Vec::new();
        V2DeflateSerializer::new().serialize(&other, &mut bytes).unwrap();
        assert!(matches!(Latencies::from_hdr(&bytes), Err(HdrError::OtherBounds)));
    }

    #[test]
    fn the_curve_rises_to_the_greatest() {
        let mut latencies = Latencies::new();
        (1..=1000u64).for_each(|us| latencies.record_ns(us * 1000));
        let curve = latencies.curve();
        assert!(curve.windows(2).all(|pair| pair[0].0 <= pair[1].0 && pair[0].1 <= pair[1].1), "{curve:?}");
        let (quantile, greatest) = *curve.last().unwrap();
        assert!((quantile - 1.0).abs() < 1e-9 && (greatest - 1000.0).abs() <= 1.0, "{quantile} {greatest}");
        assert!(Latencies::new().curve().is_empty());
    }

    #[test]
    fn a_shift_moves_all_and_nothing_below_zero() {
        let mut latencies = Latencies::new();
        [10_000, 50_000, 1_000_000].into_iter().for_each(|ns| latencies.record_ns(ns));
        let ends =
            |latencies: &Latencies| latencies.summary().map(|summary| (summary.min, summary.max)).unwrap();
        let near = |found: (f64, f64), wanted: (f64, f64)| {
            assert!((found.0 - wanted.0).abs() < 0.1 && (found.1 - wanted.1).abs() < 2.0, "{found:?}");
        };
        near(ends(&latencies.shifted(5_000)), (15.0, 1_005.0));
        near(ends(&latencies.shifted(-20_000)), (0.0, 980.0));
        assert_eq!(latencies.shifted(-20_000).len(), 3);
    }

    #[test]
    fn an_endless_latency_is_counted_as_the_longest() {
        let mut latencies = Latencies::new();
        latencies.record_ns(u64::MAX);
        assert_eq!(latencies.len(), 1);
        assert!(latencies.summary().unwrap().max >= 600e6);
    }

    proptest! {
        #[test]
        fn merging_is_recording_all_in_one(
            left in prop::collection::vec(0u64..10_000_000_000, 0..50),
            right in prop::collection::vec(0u64..10_000_000_000, 0..50),
        ) {
            let (mut a, mut b, mut whole) = (Latencies::new(), Latencies::new(), Latencies::new());
            for ns in &left { a.record_ns(*ns); whole.record_ns(*ns); }
            for ns in &right { b.record_ns(*ns); whole.record_ns(*ns); }
            a.merge(&b);
            prop_assert_eq!(a.summary(), whole.summary());
        }
    }
}
