//! Owns how far a ratio may be trusted: a 95 % interval, by resampling.
//!
//! What an interval rests on decides what it means:
//! - **rounds**: both sides have several. Rounds are drawn anew with replacement, on each side, and the ratio of their
//!   medians is taken, again and again. What changes from one run to the next on that machine is in the interval.
//! - **samples**: one run on each side. The quantile or mean is drawn anew as it would vary if as many messages were
//!   measured again in the *same* run. It is taken from the histogram, and counts messages, not deliveries, because
//!   deliveries of one message are late together. What changes from run to run is *not* in it: two runs of the same
//!   thing can differ by more.
//!
//! Where neither is there, there is no interval. The draws are the same each time.

use crate::measure::latency::Latencies;
use crate::order::median;
use serde::Serialize;

/// Between `low` and `high` the ratio is with 95 % confidence.
#[derive(Clone, Copy, PartialEq, Debug, Serialize)]
pub struct Interval {
    /// Its lower end.
    pub low: f64,
    /// Its upper end.
    pub high: f64,
    /// Its basis.
    pub from: Ground,
}

/// The basis of an interval.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Ground {
    /// Several rounds of both.
    Rounds,
    /// The measurements of one run of each.
    Samples,
}

/// A figure of one run, with the measurements that it was read from.
#[derive(Clone, Copy, Debug)]
pub struct Sampled<'a> {
    /// All of them.
    pub latencies: &'a Latencies,
    /// Number of independent measurements.
    pub messages: u64,
    /// The way it was read.
    pub basis: Basis,
}

/// The way a figure is read from measurements.
#[derive(Clone, Copy, PartialEq, Debug)]
pub enum Basis {
    /// A quantile of them, 0 to 1.
    Quantile(f64),
    /// Their mean.
    Mean,
}

/// Draws for an interval: its ends then move by about a fiftieth of its width from one seed to another.
const DRAWS: usize = 4_000;
/// The same draws each time: the same results give the same interval.
const SEED: u64 = 0x00c0_5eca_5700;
/// The part that lies outside at each end.
const OUTSIDE: f64 = 0.025;
/// With fewer messages than this beyond a quantile, its interval would rest on one or two of them.
const BEYOND_MIN: f64 = 5.0;

/// Interval of the ratio of medians, over rounds; `None` if a side has only one.
pub fn of_rounds(a: &[f64], b: &[f64]) -> Option<Interval> {
    if a.len() < 2 || b.len() < 2 {
        return None;
    }
    let mut random = fastrand::Rng::with_seed(SEED);
    let mut again = |values: &[f64]| {
        let drawn = values.iter().map(|_| values[random.usize(..values.len())]);
        median(drawn).expect("there are two rounds at least")
    };
    let ratios = (0..DRAWS).map(|_| again(b) / again(a)).collect();
    ends(ratios, Ground::Rounds)
}

/// Interval of the ratio of two figures of one run each; `None` where there are too few measurements.
pub fn of_samples(a: Sampled<'_>, b: Sampled<'_>) -> Option<Interval> {
    if !a.is_enough() || !b.is_enough() {
        return None;
    }
    let mut random = fastrand::Rng::with_seed(SEED);
    let ratios = (0..DRAWS).map(|_| b.again(&mut random) / a.again(&mut random)).collect();
    ends(ratios, Ground::Samples)
}

impl Sampled<'_> {
    fn is_enough(&self) -> bool {
        let messages = self.messages as f64;
        match self.basis {
            Basis::Quantile(quantile) => messages * quantile.min(1.0 - quantile) >= BEYOND_MIN,
            Basis::Mean => messages >= BEYOND_MIN,
        }
    }

    /// The figure as it might have been.
    fn again(&self, random: &mut fastrand::Rng) -> f64 {
        let messages = self.messages as f64;
        match self.basis {
            // How many of so many fall below a quantile varies like this.
            Basis::Quantile(quantile) => {
                let deviation = (quantile * (1.0 - quantile) / messages).sqrt();
                self.latencies.at_quantile_us((quantile + deviation * normal(random)).clamp(0.0, 1.0))
            }
            Basis::Mean => {
                let summary = self.latencies.summary().unwrap_or_default();
                summary.mean + summary.stddev / messages.sqrt() * normal(random)
            }
        }
    }
}

/// A draw from the normal distribution, by the way of Box and Muller.
fn normal(random: &mut fastrand::Rng) -> f64 {
    let (radius, angle) = ((-2.0 * (1.0 - random.f64()).ln()).sqrt(), std::f64::consts::TAU * random.f64());
    radius * angle.cos()
}

fn ends(mut ratios: Vec<f64>, from: Ground) -> Option<Interval> {
    ratios.retain(|ratio| ratio.is_finite());
    ratios.sort_unstable_by(f64::total_cmp);
    let last = ratios.len().checked_sub(1)?;
    let at = |share: f64| ratios[(last as f64 * share).round() as usize];
    Some(Interval { low: at(OUTSIDE), high: at(1.0 - OUTSIDE), from })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn latencies(us: impl Iterator<Item = u64>) -> Latencies {
        let mut latencies = Latencies::new();
        us.for_each(|us| latencies.record_ns(us * 1000));
        latencies
    }

    #[test]
    fn one_round_has_no_interval_and_several_have_one_around_the_ratio() {
        assert_eq!(of_rounds(&[1.0], &[2.0, 2.0]), None);
        let interval = of_rounds(&[100.0, 110.0, 90.0], &[200.0, 210.0, 190.0]).unwrap();
        assert!(interval.low < 2.0 && interval.high > 2.0, "{interval:?}");
        assert!(interval.low >= 190.0 / 110.0 && interval.high <= 210.0 / 90.0, "{interval:?}");
        let same = of_rounds(&[5.0, 5.0], &[5.0, 5.0]).unwrap();
        assert_eq!((same.low, same.high), (1.0, 1.0));
    }

    #[test]
    fn more_messages_make_it_narrower() {
        let all = latencies(1..=10_000);
        let width = |messages| {
            let sampled = Sampled { latencies: &all, messages, basis: Basis::Quantile(0.5) };
            let interval = of_samples(sampled, sampled).unwrap();
            assert!(interval.low < 1.0 && interval.high > 1.0, "{interval:?}");
            interval.high - interval.low
        };
        let (few, many) = (width(100), width(10_000));
        assert!(few > 5.0 * many, "{few} {many}");
        // The median of n even numbers varies by half of their span over the root of n.
        assert!((0.2..0.8).contains(&few), "{few}");
    }

    #[test]
    fn a_quantile_beyond_the_measurements_has_none() {
        let all = latencies(1..=100);
        let of = |quantile| Sampled { latencies: &all, messages: 100, basis: Basis::Quantile(quantile) };
        assert!(of_samples(of(0.5), of(0.5)).is_some());
        assert_eq!(of_samples(of(0.999), of(0.999)), None);
    }

    #[test]
    fn the_same_results_give_the_same_interval() {
        let all = latencies(1..=1_000);
        let sampled = Sampled { latencies: &all, messages: 1_000, basis: Basis::Mean };
        assert_eq!(of_samples(sampled, sampled), of_samples(sampled, sampled));
    }
}
