//! The answers of the HTTP server. `/metrics` is the page for Prometheus; `/healthz` says if every shard turns and takes
//! connections; `/reload` has the files of the broker read again.

use std::fmt::Write as _;
use std::sync::Arc;

use bytes::Bytes;
use corecast_executors::{Inbox, Link, MonotonicNs, link};
use http_body_util::Full;
use hyper::header::{ALLOW, CACHE_CONTROL, CONTENT_TYPE, HeaderValue, WWW_AUTHENTICATE};
use hyper::{Method, Response, StatusCode};

use super::access::HttpRole;
#[cfg(feature = "nats")]
use super::engine_view::EngineQuestions;
use crate::limits::{HTTP_CONNECTIONS_MAX, SHARD_SILENCE_MAX};
use crate::telemetry::{MetricsPage, Pulse};

/// The media type of all answers but the metrics.
const TEXT: &str = "text/plain; charset=utf-8";

#[cfg(feature = "nats")]
const JSON: &str = "application/json";

/// Everything that can be requested. Clones are the same pages.
#[derive(Clone, Debug)]
pub struct Pages {
    metrics: MetricsPage,
    /// The pulses, by shard.
    pulses: Arc<[Pulse]>,
    /// Lines behind the `ok` of the health.
    notes: Arc<str>,
    reloads: Option<Link<ReloadRequest>>,
    #[cfg(feature = "nats")]
    engine: Option<EngineQuestions>,
}

/// A request to read the files of the broker again. Dropped, it is answered as one that a broker which stops leaves undone.
#[derive(Debug)]
pub struct ReloadRequest(Link<Result<String, String>>);

impl ReloadRequest {
    /// Answers it: with what was done, or why nothing was, in lines for people.
    pub fn answer(self, outcome: Result<String, String>) {
        // Whoever asked may have gone.
        let _ = self.0.try_send(outcome);
    }
}

/// A page that there is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Page {
    Metrics,
    Health,
    Reload,
    #[cfg(feature = "nats")]
    Engine,
}

impl Page {
    fn at(path: &str) -> Option<Page> {
        match path {
            "/metrics" => Some(Page::Metrics),
            "/health" | "/healthz" => Some(Page::Health),
            "/reload" => Some(Page::Reload),
            #[cfg(feature = "nats")]
            "/api/v1/engine" => Some(Page::Engine),
            _ => None,
        }
    }

    /// The methods by which it is requested.
    fn methods(self) -> (&'static [Method], &'static str) {
        match self {
            #[cfg(feature = "nats")]
            Page::Engine => (&[Method::GET, Method::HEAD], "GET, HEAD"),
            Page::Metrics | Page::Health => (&[Method::GET, Method::HEAD], "GET, HEAD"),
            Page::Reload => (&[Method::POST], "POST"),
        }
    }
}

impl Pages {
    /// The pages of a broker with these shards.
    pub fn new(metrics: MetricsPage, pulses: &[Pulse]) -> Self {
        Pages {
            metrics,
            pulses: pulses.into(),
            notes: Arc::default(),
            reloads: None,
            #[cfg(feature = "nats")]
            engine: None,
        }
    }

    /// The same, but `/healthz` names listeners that lack protection as well.
    #[must_use]
    pub fn with_notes<'a>(self, insecure: impl IntoIterator<Item = &'a String>) -> Self {
        let notes: String = insecure.into_iter().map(|listener| format!("insecure {listener}\n")).collect();
        Pages { notes: notes.into(), ..self }
    }

    /// The same, but with the state of an engine, if there is one.
    #[cfg(feature = "nats")]
    #[must_use]
    pub(crate) fn with_engine(self, engine: Option<EngineQuestions>) -> Self {
        Pages { engine, ..self }
    }

    /// The same, but operators may request a reload; the requests come from this inbox.
    #[must_use]
    pub fn with_reload(self) -> (Self, Inbox<ReloadRequest>) {
        let (reloads, requests) = link(HTTP_CONNECTIONS_MAX);
        (Pages { reloads: Some(reloads), ..self }, requests)
    }

    /// Does the regular upkeep, whether or not anybody reads.
    pub(super) fn upkeep(&self) {
        self.metrics.fold();
    }

    /// The answer to one request. The server cuts off the body if only the head was requested.
    pub(super) async fn answer(&self, method: &Method, path: &str, role: HttpRole) -> Response<Full<Bytes>> {
        let Some(page) = Page::at(path) else {
            return response(StatusCode::NOT_FOUND, TEXT, "there is /metrics, /healthz and /reload\n".into());
        };
        let (methods, allowed) = page.methods();
        if !methods.contains(method) {
            let mut refusal = response(StatusCode::METHOD_NOT_ALLOWED, TEXT, format!("only {allowed}\n"));
            refusal.headers_mut().insert(ALLOW, HeaderValue::from_static(allowed));
            return refusal;
        }
        match page {
            Page::Metrics => response(StatusCode::OK, MetricsPage::CONTENT_TYPE, self.metrics.render()),
            Page::Health => {
                let (status, text) = health(&self.pulses, MonotonicNs::now());
                response(status, TEXT, text + &self.notes + &self.engine_health().await)
            }
            #[cfg(feature = "nats")]
            Page::Engine => self.engine_page().await,
            Page::Reload if role == HttpRole::Operator => self.reload().await,
            Page::Reload => response(StatusCode::FORBIDDEN, TEXT, NO_OPERATOR.into()),
        }
    }

    /// The line on the engine behind the health.
    async fn engine_health(&self) -> String {
        #[cfg(feature = "nats")]
        if let Some(engine) = &self.engine
            && let Some(view) = engine.ask().await
        {
            return view.health();
        }
        String::new()
    }

    #[cfg(feature = "nats")]
    async fn engine_page(&self) -> Response<Full<Bytes>> {
        let Some(engine) = &self.engine else {
            return response(
                StatusCode::NOT_FOUND,
                JSON,
                "{\"error\":\"this broker has no engine\"}\n".into(),
            );
        };
        match engine.ask().await {
            Some(view) => response(StatusCode::OK, JSON, view.json()),
            None => response(
                StatusCode::SERVICE_UNAVAILABLE,
                JSON,
                "{\"error\":\"the broker is stopping\"}\n".into(),
            ),
        }
    }

    /// Has the files read again, after whoever asked before.
    async fn reload(&self) -> Response<Full<Bytes>> {
        let Some(reloads) = &self.reloads else {
            return response(StatusCode::NOT_FOUND, TEXT, "nothing here is reloaded\n".into());
        };
        let (answer, mut answers) = link(1);
        let is_taken =
            !self.pulses.iter().any(Pulse::drains) && reloads.send(ReloadRequest(answer)).await.is_ok();
        match if is_taken { answers.recv().await } else { None } {
            Some(Ok(done)) => response(StatusCode::OK, TEXT, done),
            Some(Err(fault)) => response(StatusCode::INTERNAL_SERVER_ERROR, TEXT, fault),
            None => response(StatusCode::SERVICE_UNAVAILABLE, TEXT, "the broker is stopping\n".into()),
        }
    }
}

const NO_OPERATOR: &str = "a reload is for those that show the token of --http-token-file, or that come by a Unix socket as \
                           root or as the user of the broker\n";

/// The answer to a request that shows no token, or a wrong one.
pub(super) fn unauthorized() -> Response<Full<Bytes>> {
    let text = "show the token of --http-token-file, as `Authorization: Bearer TOKEN`\n";
    let mut refusal = response(StatusCode::UNAUTHORIZED, TEXT, text.into());
    let challenge = HeaderValue::from_static("Bearer realm=\"corecast\"");
    refusal.headers_mut().insert(WWW_AUTHENTICATE, challenge);
    refusal
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
