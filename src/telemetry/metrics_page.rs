//! Owns the page that Prometheus reads: the process's recorder, and its rendering. Nothing in a shard knows of it;
//! [`control`](crate::control) decides who may read it, and how.

use metrics_exporter_prometheus::{Matcher, PrometheusBuilder, PrometheusHandle, PrometheusRecorder};

use super::counters::{METRICS, MetricKind, PROCESS_CPU, PROCESS_METRICS, flush_process};
use super::exported::US_PER_S;
use super::log2::Log2Histogram;
use super::open_metrics::open_metrics;
use super::process;
use crate::error::{Error, ErrorKind, Result};

/// A format of the page.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum MetricsFormat {
    /// The text format of Prometheus, 0.0.4.
    Text,
    /// OpenMetrics 1.0.
    OpenMetrics,
}

impl MetricsFormat {
    /// The media type: Prometheus 3 rejects a page without one (<https://prometheus.io/docs/prometheus/3.0/migration/>).
    pub const fn content_type(self) -> &'static str {
        match self {
            MetricsFormat::Text => "text/plain; version=0.0.4; charset=utf-8",
            MetricsFormat::OpenMetrics => "application/openmetrics-text; version=1.0.0; charset=utf-8",
        }
    }
}

/// The metrics of the process. Clones are the same page.
#[derive(Clone, Debug)]
pub struct MetricsPage(PrometheusHandle);

impl MetricsPage {
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
    pub fn render(&self, format: MetricsFormat) -> String {
        flush_process();
        let page = self.0.render() + &process::cpu_seconds().map(cpu_lines).unwrap_or_default();
        match format {
            MetricsFormat::Text => page,
            MetricsFormat::OpenMetrics => open_metrics(&page),
        }
    }

    /// Folds the samples that histograms have gathered. Call it regularly: without it, and without a reader, they grow
    /// without bound.
    pub fn fold(&self) {
        self.0.run_upkeep();
    }
}

/// The CPU time of the process as the page has it. The counters of the recorder are whole numbers, and this one has fractions.
fn cpu_lines(seconds: f64) -> String {
    let (name, help) = (PROCESS_CPU.name, PROCESS_CPU.help);
    format!("# HELP {name} {help}\n# TYPE {name} counter\n{name} {seconds}\n\n")
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
        let open = page.render(MetricsFormat::OpenMetrics);
        assert!(
            open.contains("# TYPE corecast_frames_in counter\n") && open.ends_with("\n# EOF\n"),
            "{open}"
        );
        let page = page.render(MetricsFormat::Text);
        for line in [
            "# HELP corecast_frames_in_total Whole frames received.",
            "corecast_frames_in_total{shard=\"0\"} 5",
            "corecast_turn_seconds_bucket{shard=\"0\",le=\"0.000002\"} 0",
            "corecast_turn_seconds_bucket{shard=\"0\",le=\"0.000004\"} 2",
            "# TYPE process_cpu_seconds_total counter",
        ] {
            assert!(page.lines().any(|there| there == line), "{line} is missing in\n{page}");
        }
    }
}
