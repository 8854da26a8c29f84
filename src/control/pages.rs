//! The answers of the HTTP server. `/metrics` is the page for Prometheus; `/healthz` says if every shard turns, and `/readyz` if
//! each takes connections as well; `/reload` has the files of the broker read again; what is under `/api/v1` is for `api`.

use std::fmt::Write as _;
use std::sync::Arc;

use corecast_executors::{Inbox, Link, MonotonicNs, link};
use hyper::header::{ALLOW, HeaderMap, HeaderValue, WWW_AUTHENTICATE};
use hyper::{Method, Response, StatusCode, Uri};

use super::access::HttpRole;
use super::api::{self, ApiPage};
use super::api_answer::{self, ApiAnswer};
use super::census::Operations;
#[cfg(feature = "nats")]
use super::engine_view::EngineQuestions;
use super::exposition::format_for;
#[cfg(feature = "nats")]
use super::history_page;
use super::live_page;
use super::page_body::{EventSeats, EventStream, PageBody, StreamPulse, response};
use super::send_off::DrainRequest;
use crate::limits::{HTTP_CONNECTIONS_MAX, SHARD_SILENCE_MAX};
use crate::printable::printable_json;
use crate::telemetry::{MetricsPage, Pulse};

/// The media types of all answers but the metrics.
const TEXT: &str = "text/plain; charset=utf-8";
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
    operations: Option<Operations>,
    drains: Option<Link<DrainRequest>>,
    seats: EventSeats,
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
    /// It lives.
    Health,
    /// It takes connections.
    Readiness,
    Reload,
    #[cfg(feature = "nats")]
    Engine,
    Drain,
    Api(ApiPage),
    /// Live events.
    Events,
    /// The page that shows them.
    Live,
}

impl Page {
    fn at(path: &str) -> Option<Page> {
        match path {
            "/metrics" => Some(Page::Metrics),
            "/health" | "/healthz" => Some(Page::Health),
            "/readyz" => Some(Page::Readiness),
            "/reload" => Some(Page::Reload),
            #[cfg(feature = "nats")]
            "/api/v1/engine" => Some(Page::Engine),
            "/api/v1/drain" => Some(Page::Drain),
            "/api/v1/events" => Some(Page::Events),
            "/" => Some(Page::Live),
            path => ApiPage::at(path).map(Page::Api),
        }
    }

    /// The methods by which it is requested.
    fn methods(self) -> (&'static [Method], &'static str) {
        match self {
            #[cfg(feature = "nats")]
            Page::Engine => (&[Method::GET, Method::HEAD], "GET, HEAD"),
            Page::Reload | Page::Drain => (&[Method::POST], "POST"),
            Page::Api(page) if page.is_order() => (&[Method::POST], "POST"),
            // The head of a stream would have a place until it is read.
            Page::Events => (&[Method::GET], "GET"),
            Page::Metrics | Page::Health | Page::Readiness | Page::Live | Page::Api(_) => {
                (&[Method::GET, Method::HEAD], "GET, HEAD")
            }
        }
    }

    /// True if it is for operators alone.
    fn is_for_operators(self) -> bool {
        match self {
            Page::Reload | Page::Drain => true,
            Page::Api(page) => page.is_order(),
            Page::Metrics | Page::Health | Page::Readiness | Page::Events | Page::Live => false,
            #[cfg(feature = "nats")]
            Page::Engine => false,
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
            operations: None,
            drains: None,
            seats: EventSeats::default(),
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

    /// The same, but with the API, which asks the shards of a broker.
    #[must_use]
    pub fn with_operations(self, operations: Operations) -> Self {
        Pages { operations: Some(operations), ..self }
    }

    /// The same, but operators may have the broker drain and end; each time they do, something is in this inbox, unless the
    /// last one still is.
    #[must_use]
    pub fn with_drain(self) -> (Self, Inbox<DrainRequest>) {
        let (drains, asked) = link(1);
        (Pages { drains: Some(drains), ..self }, asked)
    }

    /// Does the regular upkeep, whether or not anybody reads.
    pub(super) fn upkeep(&self) {
        self.metrics.fold();
    }

    /// The answer to one request. The server cuts off the body if only the head was requested.
    pub(super) async fn answer(
        &self,
        (method, uri, headers): (&Method, &Uri, &HeaderMap),
        role: HttpRole,
        pulse: &StreamPulse,
    ) -> Response<PageBody> {
        let Some(page) = Page::at(uri.path()) else {
            return response(StatusCode::NOT_FOUND, TEXT, NO_PAGE.into());
        };
        let (methods, allowed) = page.methods();
        if !methods.contains(method) {
            let mut refusal = response(StatusCode::METHOD_NOT_ALLOWED, TEXT, format!("only {allowed}\n"));
            refusal.headers_mut().insert(ALLOW, HeaderValue::from_static(allowed));
            return refusal;
        }
        if page.is_for_operators() && role != HttpRole::Operator {
            return response(StatusCode::FORBIDDEN, TEXT, NO_OPERATOR.into());
        }
        match page {
            Page::Metrics => {
                let format = format_for(headers);
                response(StatusCode::OK, format.content_type(), self.metrics.render(format))
            }
            Page::Health | Page::Readiness => {
                let is_readiness = page == Page::Readiness;
                let (mut status, mut text) = health(&self.pulses, MonotonicNs::now(), is_readiness);
                let EngineHealth { answers, is_loading, line } = self.engine_health().await;
                let needs_engine = uri.query() == Some(WITH_ENGINE);
                if is_readiness && (is_loading || needs_engine && !answers) {
                    status = StatusCode::SERVICE_UNAVAILABLE;
                    text = text.replacen("ok\n", "", 1);
                    if line.is_empty() {
                        text.push_str("this broker has no engine\n");
                    }
                }
                response(status, TEXT, text + &self.notes + &line)
            }
            #[cfg(feature = "nats")]
            Page::Engine => self.engine_page().await,
            Page::Reload => self.reload().await,
            Page::Drain => self.drain(uri.query()),
            Page::Events => self.events(pulse),
            Page::Live => live_page::answer(),
            Page::Api(page) => self.api(page, uri.query()).await,
        }
    }

    async fn engine_health(&self) -> EngineHealth {
        #[cfg(feature = "nats")]
        if let Some(engine) = &self.engine {
            let view = engine.ask().await;
            return EngineHealth {
                answers: view.as_ref().is_some_and(|view| view.server.is_some()),
                is_loading: view.as_ref().is_some_and(|view| view.is_loading),
                line: view.map_or_else(|| "engine away\n".to_owned(), |view| view.health()),
            };
        }
        EngineHealth::default()
    }

    #[cfg(feature = "nats")]
    async fn engine_page(&self) -> Response<PageBody> {
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

    async fn api(&self, page: ApiPage, query: Option<&str>) -> Response<PageBody> {
        let answer = match &self.operations {
            Some(operations) => api::answer(operations, page, query).await,
            None => api_answer::fault(StatusCode::NOT_FOUND, "there is no API here"),
        };
        #[cfg(feature = "nats")]
        if let (ApiPage::ClearHistory, Some(engine)) = (page, &self.engine) {
            return object(history_page::clear_stored(engine, query, answer).await);
        }
        object(answer)
    }

    /// Begins a stream of events, which `pulse` is to know of.
    fn events(&self, pulse: &StreamPulse) -> Response<PageBody> {
        let Some(operations) = &self.operations else {
            return response(StatusCode::NOT_FOUND, TEXT, "there are no events here\n".into());
        };
        let Some(events) = EventStream::begin(operations, &self.seats, pulse) else {
            let text = "as many watch the events as there may be: try again later\n";
            return response(StatusCode::SERVICE_UNAVAILABLE, TEXT, text.into());
        };
        let mut response = response(StatusCode::OK, "text/event-stream", String::new());
        *response.body_mut() = PageBody::Events(Box::new(events));
        response
    }

    fn drain(&self, query: Option<&str>) -> Response<PageBody> {
        let Some(drains) = &self.drains else {
            return response(StatusCode::NOT_FOUND, TEXT, "nothing here is drained\n".into());
        };
        let request = match DrainRequest::read(query) {
            Ok(request) => request,
            Err(fault) => return object(api_answer::fault(StatusCode::BAD_REQUEST, &fault.to_string())),
        };
        // One that waits already is enough.
        let _ = drains.try_send(request);
        response(StatusCode::ACCEPTED, TEXT, "draining\n".into())
    }

    /// Has the files read again, after whoever asked before.
    async fn reload(&self) -> Response<PageBody> {
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

/// An answer of the API, on one line.
fn object((status, value): ApiAnswer) -> Response<PageBody> {
    response(status, JSON, format!("{}\n", printable_json(&value.to_string())))
}

/// The health of the engine, if there is one.
#[derive(Default)]
struct EngineHealth {
    /// Its server answers.
    answers: bool,
    /// The history that it has stored is still to come.
    is_loading: bool,
    /// The line on it behind the health.
    line: String,
}

/// The query by which a broker whose engine is away is not ready either.
const WITH_ENGINE: &str = "engine";

const NO_PAGE: &str = "there is /, /metrics, /healthz, /readyz, /reload, and /api/v1/ with shards, sessions, topics, \
                       publishers, history, engine, live, events, kick, history/clear and drain\n";

const NO_OPERATOR: &str = "this is for those that show the token of --http-token-file, or that come by a Unix socket as \
                           root or as the user of the broker\n";

/// True if a page shows names and addresses of peers.
pub(super) fn shows_peers(path: &str) -> bool {
    path.starts_with("/api/")
}

/// True if a page says nothing about the broker, and is for whoever asks for it.
pub(super) fn is_for_all(path: &str) -> bool {
    Page::at(path) == Some(Page::Live)
}

/// The answer to a request for such a page by a name that any site could have, without a token.
pub(super) fn misdirected() -> Response<PageBody> {
    let text = "without --http-token-file this is only for requests to an address, or to localhost: a name could be that of any \
                site in a browser\n";
    response(StatusCode::MISDIRECTED_REQUEST, TEXT, text.into())
}

/// The answer to a request that shows no token, or a wrong one.
pub(super) fn unauthorized() -> Response<PageBody> {
    let text = "show the token of --http-token-file, as `Authorization: Bearer TOKEN`\n";
    let mut refusal = response(StatusCode::UNAUTHORIZED, TEXT, text.into());
    let challenge = HeaderValue::from_static("Bearer realm=\"corecast\"");
    refusal.headers_mut().insert(WWW_AUTHENTICATE, challenge);
    refusal
}

/// `ok` or `draining`, and a line for each shard that does not turn. A broker that drains lives, and is not `ready`.
fn health(pulses: &[Pulse], now: MonotonicNs, ready: bool) -> (StatusCode, String) {
    let mut stalled = String::new();
    for (shard, pulse) in pulses.iter().enumerate() {
        if let Some(silence) = pulse.silence(now).filter(|silence| *silence > SHARD_SILENCE_MAX) {
            // Writing to a string does not fail.
            let _ = writeln!(stalled, "shard {shard} has not turned for {:.1} s", silence.as_secs_f64());
        }
    }
    let is_leaving = pulses.iter().any(Pulse::is_leaving);
    let state = match (is_leaving, stalled.is_empty()) {
        (true, _) => "draining\n",
        (false, true) => "ok\n",
        (false, false) => "",
    };
    let is_fine = stalled.is_empty() && !(ready && is_leaving);
    let status = if is_fine { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    (status, format!("{state}{stalled}"))
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
        for ready in [false, true] {
            assert_eq!(health(&pulses, now, ready), (StatusCode::OK, "ok\n".to_owned()));
        }
        let later = now + Duration::from_millis(500);
        let told = "shard 1 has not turned for 3.5 s\n";
        pulses[0].beat(later);
        pulses[2].end();
        for ready in [false, true] {
            assert_eq!(health(&pulses, later, ready), (StatusCode::SERVICE_UNAVAILABLE, told.to_owned()));
        }
        pulses[0].drain();
        let draining = (StatusCode::SERVICE_UNAVAILABLE, format!("draining\n{told}"));
        assert_eq!(health(&pulses, later, true), draining);
    }

    #[test]
    fn a_broker_that_drains_lives_and_is_not_ready() {
        let now = MonotonicNs(1);
        for leave in [Pulse::drain, Pulse::send_off] {
            let pulses = [now; 2].map(Pulse::starting);
            leave(&pulses[1]);
            let draining = "draining\n".to_owned();
            assert_eq!(health(&pulses, now, false), (StatusCode::OK, draining.clone()));
            assert_eq!(health(&pulses, now, true), (StatusCode::SERVICE_UNAVAILABLE, draining));
        }
    }
}
