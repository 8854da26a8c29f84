//! The answers of the HTTP server. `/metrics` is the page for Prometheus; `/health` says if every shard turns and takes
//! connections.

use std::fmt::Write as _;
use std::sync::Arc;

use bytes::Bytes;
use corecast_executors::MonotonicNs;
use http_body_util::Full;
use hyper::header::{ALLOW, CACHE_CONTROL, CONTENT_TYPE, HeaderValue};
use hyper::{Method, Request, Response, StatusCode};

use crate::limits::SHARD_SILENCE_MAX;
use crate::telemetry::{MetricsPage, Pulse};

/// The media type of all answers but the metrics.
const TEXT: &str = "text/plain; charset=utf-8";

/// Everything that can be requested. Clones are the same pages.
#[derive(Clone, Debug)]
pub struct Pages {
    metrics: MetricsPage,
    /// The pulses, by shard.
    pulses: Arc<[Pulse]>,
    /// Lines behind the `ok` of the health.
    notes: Arc<str>,
}

impl Pages {
    /// The pages of a broker with these shards.
    pub fn new(metrics: MetricsPage, pulses: &[Pulse]) -> Self {
        Pages { metrics, pulses: pulses.into(), notes: Arc::default() }
    }

    /// The same, but `/health` names listeners that lack protection as well.
    #[must_use]
    pub fn with_notes(self, insecure: &[String]) -> Self {
        let notes: String = insecure.iter().map(|listener| format!("insecure {listener}\n")).collect();
        Pages { notes: notes.into(), ..self }
    }

    /// Does the regular upkeep, whether or not anybody reads.
    pub(super) fn upkeep(&self) {
        self.metrics.fold();
    }

    /// The answer to one request. The server cuts off the body if only the head was requested.
    pub(super) fn answer<B>(&self, request: &Request<B>) -> Response<Full<Bytes>> {
        if !matches!(*request.method(), Method::GET | Method::HEAD) {
            let mut refusal = response(StatusCode::METHOD_NOT_ALLOWED, TEXT, "only GET and HEAD\n".into());
            refusal.headers_mut().insert(ALLOW, HeaderValue::from_static("GET, HEAD"));
            return refusal;
        }
        match request.uri().path() {
            "/metrics" => response(StatusCode::OK, MetricsPage::CONTENT_TYPE, self.metrics.render()),
            "/health" => {
                let (status, text) = health(&self.pulses, MonotonicNs::now());
                response(status, TEXT, text + &self.notes)
            }
            _ => response(StatusCode::NOT_FOUND, TEXT, "there is /metrics and /health\n".into()),
        }
    }
}

fn response(status: StatusCode, content_type: &'static str, text: String) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(Bytes::from(text)));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    // Both pages show the present.
    response.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

/// `ok`, or `draining` and a line for each shard that does not turn.
fn health(pulses: &[Pulse], now: MonotonicNs) -> (StatusCode, String) {
    let mut text = String::new();
    if pulses.iter().any(Pulse::drains) {
        text.push_str("draining\n");
    }
    for (shard, pulse) in pulses.iter().enumerate() {
        if let Some(silence) = pulse.silence(now).filter(|silence| *silence > SHARD_SILENCE_MAX) {
            // Writing to a string does not fail.
            let _ = writeln!(text, "shard {shard} has not turned for {:.1} s", silence.as_secs_f64());
        }
    }
    if text.is_empty() {
        return (StatusCode::OK, "ok\n".into());
    }
    (StatusCode::SERVICE_UNAVAILABLE, text)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn health_names_the_shards_that_do_not_turn() {
        let start = MonotonicNs(1);
        let pulses = [start; 3].map(Pulse::starting);
        let now = start + SHARD_SILENCE_MAX;
        assert_eq!(health(&pulses, now), (StatusCode::OK, "ok\n".to_owned()));
        let now = now + Duration::from_millis(500);
        pulses[0].beat(now);
        pulses[2].end();
        let (status, text) = health(&pulses, now);
        assert_eq!(status, StatusCode::SERVICE_UNAVAILABLE);
        assert_eq!(text, "shard 1 has not turned for 3.5 s\n");
        pulses[0].drain();
        let (status, text) = health(&pulses, now);
        assert_eq!(status, StatusCode::SERVICE_UNAVAILABLE);
        assert_eq!(text, "draining\nshard 1 has not turned for 3.5 s\n");
    }
}
