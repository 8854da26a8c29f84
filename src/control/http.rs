//! The HTTP server of the control thread. Every connection is a task with a deadline; at the bound of connections the
//! oldest gives way to the newest, so that held connections keep nobody out.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::time::Duration;

use corecast_executors::{Either, MonotonicNs, first};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::task::{AbortHandle, JoinSet, yield_now};
use tokio::time::{MissedTickBehavior, interval, sleep, timeout};

use super::pages::Pages;
use crate::error::{Error, Result};
use crate::limits::{
    ACCEPT_BACKOFF_MAX, HTTP_CONNECTIONS_MAX, HTTP_CONVERSATION_MAX, HTTP_HEAD_BYTES_MAX, HTTP_HEADERS_MAX,
};
use crate::telemetry::OncePerSecond;
use crate::transport::{
    self, ControlListeners, ControlStream, Endpoint, ListenConfig, Listening, ListeningSocket, SocketFile,
};

/// Interval at which the recorder folds the samples of histograms: a shard adds at most a hundred values meanwhile.
const FOLD_PERIOD: Duration = Duration::from_secs(1);

/// The open listeners of a server that does not serve yet.
#[derive(Debug)]
pub struct HttpServer {
    /// Removed while the sockets still listen.
    file: Option<SocketFile>,
    sockets: Vec<ListeningSocket>,
    endpoint: Endpoint,
    /// Other hosts reach it.
    is_remote: bool,
}

impl HttpServer {
    /// Listens at `endpoint`.
    ///
    /// # Errors
    /// As for [`transport::listen`].
    pub fn listen(endpoint: &Endpoint, config: &ListenConfig) -> Result<Self> {
        let failed = |e: Error| Error::new(e.kind(), format!("cannot serve metrics: {e}"));
        let listening = transport::listen(endpoint, config).map_err(failed)?;
        let is_remote = listening.is_remote();
        let Listening { file, sockets, endpoint } = listening;
        Ok(HttpServer { file, sockets, endpoint, is_remote })
    }

    /// Checks that only this host reaches it, since nobody has to show who it is, unless that `is_accepted`.
    ///
    /// # Errors
    /// `Invalid`: other hosts reach it.
    pub fn check_exposure(&self, is_accepted: bool) -> Result<()> {
        if !self.is_remote || is_accepted {
            return Ok(());
        }
        let text = format!(
            "other hosts reach {}, and everybody there may read it: listen on 127.0.0.1 or a Unix socket, or accept it with \
             --insecure",
            self.endpoint
        );
        Err(Error::of_field("metrics", text))
    }

    /// The endpoint, with the real port.
    pub fn endpoint(&self) -> &Endpoint {
        &self.endpoint
    }

    /// Serves these pages for as long as it is polled: a task of [`ControlThread::spawn`](super::ControlThread::spawn).
    /// Returns an error if no descriptor is left to begin with.
    pub async fn serve(self, pages: Pages) -> Error {
        let listeners = match ControlListeners::adopt(self.sockets) {
            Ok(listeners) => listeners,
            Err(error) => return Error::io("cannot serve metrics", error),
        };
        match first(accept_for_ever(listeners, self.file, &pages), fold_for_ever(&pages)).await {
            Either::Left(never) | Either::Right(never) => match never {},
        }
    }
}

async fn fold_for_ever(pages: &Pages) -> Infallible {
    let mut period = interval(FOLD_PERIOD);
    period.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        period.tick().await;
        pages.upkeep();
    }
}

async fn accept_for_ever(
    mut listeners: ControlListeners,
    file: Option<SocketFile>,
    pages: &Pages,
) -> Infallible {
    // Dropped before the listeners: later it could be the file of the next server, which takes the place of one that nobody
    // listens on.
    let _file = file;
    let mut conversations = Conversations::default();
    let mut log_limit = OncePerSecond::new();
    loop {
        match listeners.accept().await {
            Ok(peer) => conversations.admit(peer, pages.clone()),
            // Most likely descriptors are used up, and those of silent readers are enough.
            Err(_) if conversations.end_oldest() => yield_now().await,
            Err(error) => {
                if let Some(more) = log_limit.allow("accept_error", MonotonicNs::now()) {
                    tracing::warn!(%error, more, "cannot accept a reader of metrics");
                }
                sleep(ACCEPT_BACKOFF_MAX / 10).await;
            }
        }
    }
}

/// The open connections.
#[derive(Default)]
struct Conversations {
    tasks: JoinSet<()>,
    oldest_first: VecDeque<AbortHandle>,
}

impl Conversations {
    fn admit(&mut self, peer: ControlStream, pages: Pages) {
        self.forget_ended();
        if self.oldest_first.len() >= HTTP_CONNECTIONS_MAX {
            self.end_oldest();
        }
        self.oldest_first.push_back(self.tasks.spawn(converse(peer, pages)));
    }

    /// Ends the oldest conversation, if there is one. Its descriptor is free once the runtime has had a turn.
    fn end_oldest(&mut self) -> bool {
        self.forget_ended();
        let oldest = self.oldest_first.pop_front();
        oldest.inspect(AbortHandle::abort).is_some()
    }

    fn forget_ended(&mut self) {
        while self.tasks.try_join_next().is_some() {}
        self.oldest_first.retain(|task| !task.is_finished());
    }
}

/// One connection: a request, its answer, the end.
async fn converse(peer: ControlStream, pages: Pages) {
    let service = service_fn(move |request| {
        let answer = pages.answer(&request);
        async move { Ok::<_, Infallible>(answer) }
    });
    let conversation = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HTTP_CONVERSATION_MAX)
        .max_buf_size(HTTP_HEAD_BYTES_MAX)
        .max_headers(HTTP_HEADERS_MAX)
        // A scrape every few seconds is no reason to keep connections, and their bounds, between them.
        .keep_alive(false)
        .serve_connection(TokioIo::new(peer), service);
    // A peer that goes away or is too slow is its own affair, and Prometheus reports it.
    let _ = timeout(HTTP_CONVERSATION_MAX, conversation).await;
}
