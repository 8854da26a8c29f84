//! Owns the way of one row of the list of counters to the `metrics` recorder. Only `counters` uses it.

use metrics::{Label as MetricLabel, SharedString};

use super::counters::Metric;
use super::labels::{By, Label};
use super::log2::Log2Histogram;

/// The plain integers behind one counter or gauge: one, or one for each label.
pub(super) trait Counts {
    /// The integers.
    fn counts(&self) -> &[u64];
    /// The label that distinguishes them: its name, and its value for each.
    fn label() -> Option<(&'static str, Vec<&'static str>)>;
}

impl Counts for u64 {
    fn counts(&self) -> &[u64] {
        std::slice::from_ref(self)
    }

    fn label() -> Option<(&'static str, Vec<&'static str>)> {
        None
    }
}

impl<L: Label> Counts for By<L> {
    fn counts(&self) -> &[u64] {
        By::counts(self)
    }

    fn label() -> Option<(&'static str, Vec<&'static str>)> {
        Some((L::KEY, L::names()))
    }
}

/// The label sets of one row, in one shard.
fn label_sets<V: Counts>(shard: &SharedString) -> Vec<Vec<MetricLabel>> {
    let shard = MetricLabel::new("shard", shard.clone());
    match V::label() {
        None => vec![vec![shard]],
        Some((key, names)) => names
            .into_iter()
            .map(|name| vec![shard.clone(), MetricLabel::from_static_parts(key, name)])
            .collect(),
    }
}

/// The handles of a row that only grows.
pub(super) struct Counter(Vec<metrics::Counter>);

impl Counter {
    pub(super) fn register<V: Counts>(metric: &Metric, shard: &SharedString, _: &V) -> Self {
        let sets = label_sets::<V>(shard).into_iter();
        Counter(sets.map(|labels| metrics::counter!(metric.name, labels)).collect())
    }

    pub(super) fn flush<V: Counts>(&self, now: &V, last: &V) {
        for (handle, (now, last)) in self.0.iter().zip(now.counts().iter().zip(last.counts())) {
            assert!(now >= last, "a counter never shrinks");
            if now != last {
                handle.increment(now - last);
            }
        }
    }
}

/// The handles of a row that goes up and down.
pub(super) struct Gauge(Vec<metrics::Gauge>);

impl Gauge {
    pub(super) fn register<V: Counts>(metric: &Metric, shard: &SharedString, _: &V) -> Self {
        let sets = label_sets::<V>(shard).into_iter();
        Gauge(sets.map(|labels| metrics::gauge!(metric.name, labels)).collect())
    }

    pub(super) fn flush<V: Counts>(&self, now: &V, last: &V) {
        for (handle, (now, last)) in self.0.iter().zip(now.counts().iter().zip(last.counts())) {
            if now != last {
                handle.set(*now as f64);
            }
        }
    }
}

/// The handles of a row that is a share, counted in thousandths and exported as a number between 0 and 1.
pub(super) struct Ratio(metrics::Gauge);

impl Ratio {
    pub(super) fn register(metric: &Metric, shard: &SharedString, _: &u64) -> Self {
        Ratio(metrics::gauge!(metric.name, "shard" => shard.clone()))
    }

    pub(super) fn flush(&self, now: &u64, last: &u64) {
        if now != last {
            self.0.set(*now as f64 / 1_000.0);
        }
    }
}

/// Distributions are counted in microseconds, and exported in the base unit of Prometheus.
pub(super) const US_PER_S: f64 = 1e6;

/// The handle of a row that is a distribution, in seconds.
pub(super) struct Histogram(metrics::Histogram);

impl Histogram {
    pub(super) fn register(metric: &Metric, shard: &SharedString, _: &Log2Histogram) -> Self {
        Histogram(metrics::histogram!(metric.name, "shard" => shard.clone()))
    }

    pub(super) fn flush(&self, now: &Log2Histogram, last: &Log2Histogram) {
        for (value, count) in now.since(last) {
            self.0.record_many(value / US_PER_S, count);
        }
    }
}
