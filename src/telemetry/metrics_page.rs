//! Owns the page that Prometheus reads: the process's recorder, and its rendering. Nothing in a shard knows of it;
//! [`control`](crate::control) decides who may read it, and how.

use metrics_exporter_prometheus::{Matcher, PrometheusBuilder, PrometheusHandle, PrometheusRecorder};

use super::counters::{METRICS, MetricKind, PROCESS_METRICS, flush_process};
use super::exported::US_PER_S;
use super::log2::Log2Histogram;
use crate::error::{Error, ErrorKind, Result};

/// The metrics of the process, in the text format of Prometheus. Clones are the same page.
#[derive(Clone, Debug)]
pub struct MetricsPage(PrometheusHandle);

impl MetricsPage {
    /// The media type of the text format: Prometheus 3 rejects a page without one
    /// (<https://prometheus.io/docs/prometheus/3.0/migration/>).
    pub const CONTENT_TYPE: &'static str = "text/plain; version=0.0.4; charset=utf-8";

    /// Makes the process's recorder. Shards that start later register with it.
    ///
    /// # Errors
    /// `Invalid`: this process has a recorder already.
    pub fn install() -> Result<Self> {
        let recorder = recorder()?;
        let page = MetricsPage(recorder.handle());
        metrics::set_global_recorder(recorder).map_err(|e| {
            Error::new(ErrorKind::Invalid, format!("this process exports its metrics already: {e}"))
        })?;
        describe();
        Ok(page)
    }

    /// The page with the present values.
    pub fn render(&self) -> String {
        flush_process();
        self.0.render()
    }

    /// Folds the samples that histograms have gathered. Call it regularly: without it, and without a reader, they grow
    /// without bound.
    pub fn fold(&self) {
        self.0.run_upkeep();
    }
}

fn recorder() -> Result<PrometheusRecorder> {
    let bounds: Vec<f64> = Log2Histogram::bounds().map(|bound| bound as f64 / US_PER_S).collect();
    let mut builder = PrometheusBuilder::new();
    for metric in METRICS.iter().filter(|metric| metric.kind == MetricKind::Histogram) {
        builder = builder
            .set_buckets_for_metric(Matcher::Full(metric.name.to_owned()), &bounds)
            .map_err(|e| Error::new(ErrorKind::Invalid, format!("the buckets of {}: {e}", metric.name)))?;
    }
    Ok(builder.build_recorder())
}

fn describe() {
    for metric in METRICS.iter().chain(PROCESS_METRICS) {
        match metric.kind {
            MetricKind::Counter => metrics::describe_counter!(metric.name, metric.unit, metric.help),
            MetricKind::Gauge | MetricKind::Ratio => {
                metrics::describe_gauge!(metric.name, metric.unit, metric.help)
            }
            MetricKind::Histogram => metrics::describe_histogram!(metric.name, metric.unit, metric.help),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_page_has_help_values_and_buckets() {
        let recorder = recorder().expect("a recorder");
        let page = MetricsPage(recorder.handle());
        metrics::with_local_recorder(&recorder, || {
            describe();
            metrics::counter!("corecast_frames_in_total", "shard" => "0").increment(5);
            metrics::histogram!("corecast_turn_seconds", "shard" => "0").record_many(3e-6, 2);
        });
        page.fold();
        let page = page.render();
        for line in [
            "# HELP corecast_frames_in_total Whole frames received.",
            "corecast_frames_in_total{shard=\"0\"} 5",
            "corecast_turn_seconds_bucket{shard=\"0\",le=\"0.000002\"} 0",
            "corecast_turn_seconds_bucket{shard=\"0\",le=\"0.000004\"} 2",
        ] {
            assert!(page.lines().any(|there| there == line), "{line} is missing in\n{page}");
        }
    }
}
