//! The HTTP server of the control thread. Every connection is a task with a deadline; at the bound of connections one gives way to
//! the newest, so that held connections keep nobody out.

use std::convert::Infallible;
use std::future::poll_fn;
use std::pin::pin;
use std::time::Duration;

use corecast_executors::{Either, Inbox, Link, MonotonicNs, first, link};
use futures_lite::future::or;
use hyper::body::Incoming;
use hyper::header::HeaderMap;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::task::yield_now;
use tokio::time::{Instant, MissedTickBehavior, interval, sleep, timeout_at};

use super::access::{HttpRole, HttpToken, is_for_a_name, lack, role_of};
use super::conversations::{Caller, Conversations};
use super::page_body::PageBody;
use super::pages::{self, Pages};
use crate::error::{Error, ErrorKind, Result};
use crate::limits::{
    ACCEPT_BACKOFF_MAX, EVENT_STALL_MAX, HTTP_CONVERSATION_MAX, HTTP_HEAD_BYTES_MAX, HTTP_HEADERS_MAX,
    HTTP_REFUSAL_PAUSE,
};
use crate::telemetry::{
    InsecureListeners, OncePerSecond, note_http_handshake_failed, note_http_pushed_out, note_http_refusal,
};
use crate::transport::{
    self, ControlListeners, ControlPeer, ControlStream, Endpoint, ListenConfig, Listening, ListeningSocket,
    SocketFile, TlsServer,
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
    is_encrypted: bool,
    token: Option<HttpToken>,
    insecure: InsecureListeners,
    /// The link for [`HttpServer::renewal`].
    renewal: HttpRenewal,
    renewals: Inbox<Renewed>,
}

/// Whatever may be another one while the server runs.
struct Renewed {
    token: Option<HttpToken>,
    tls: Option<TlsServer>,
}

/// The way to change the token and the certificate of a server that serves.
#[derive(Clone, Debug)]
pub struct HttpRenewal(Link<Renewed>);

impl HttpRenewal {
    /// Makes these the token that readers have to show, and the certificate, for all connections from now on. Streams of events end
    /// if the token is another. No certificate leaves the one that is there.
    ///
    /// # Errors
    /// `Executor` when the control thread has ended.
    pub fn renew(&self, token: Option<HttpToken>, tls: Option<TlsServer>) -> Result<()> {
        let ended = |_| Error::new(ErrorKind::Executor, "the control thread of the broker has ended");
        self.0.send_blocking(Renewed { token, tls }).map_err(ended)
    }
}

/// Checks what [`HttpServer::check_exposure`] would say of a server there, without opening it, as far as its address tells who
/// reaches it.
///
/// # Errors
/// `Invalid`: other hosts reach it, and it lacks protection.
#[cfg(feature = "cli")]
pub(crate) fn check_http_exposure(endpoint: &Endpoint, has_token: bool) -> Result<()> {
    match lack(has_token, endpoint.is_encrypted()) {
        Some((lack, way_out)) if endpoint.is_plainly_remote() => Err(refusal(endpoint, lack, way_out)),
        _ => Ok(()),
    }
}

fn refusal(endpoint: &Endpoint, lack: &str, way_out: &str) -> Error {
    let endpoint = endpoint.to_url();
    let text = format!("other hosts reach {endpoint}, where {lack}: {way_out}, or accept it with --insecure");
    Error::of_field("metrics", text)
}

impl HttpServer {
    /// Listens at `endpoint`.
    ///
    /// # Errors
    /// As for [`transport::listen`].
    pub fn listen(endpoint: &Endpoint, config: &ListenConfig) -> Result<Self> {
        let own_words = |e: Error| e.to_string().replace(&endpoint.to_string(), &endpoint.to_url());
        let failed = |e: Error| Error::new(e.kind(), format!("cannot serve metrics: {}", own_words(e)));
        let listening = transport::listen(endpoint, config).map_err(failed)?;
        let (is_remote, is_encrypted) = (listening.is_remote(), listening.is_encrypted());
        let Listening { file, sockets, endpoint } = listening;
        let (renewal, renewals) = link(1);
        Ok(HttpServer {
            file,
            sockets,
            endpoint,
            is_remote,
            is_encrypted,
            token: None,
            insecure: InsecureListeners::default(),
            renewal: HttpRenewal(renewal),
            renewals,
        })
    }

    /// The same, but readers have to show a token, unless they come by a Unix socket as root or as the user of this process.
    #[must_use]
    pub fn token(self, token: Option<HttpToken>) -> Self {
        HttpServer { token, ..self }
    }

    /// Checks that readers on other hosts have to show a token and read by TLS, unless the lack of that `is_accepted`: then it
    /// is logged, counted, and found in [`HttpServer::insecure`].
    ///
    /// # Errors
    /// `Invalid`: other hosts reach it, and it lacks protection.
    pub fn check_exposure(&mut self, is_accepted: bool) -> Result<()> {
        let lack = if self.is_remote { lack(self.token.is_some(), self.is_encrypted) } else { None };
        let Some((lack, way_out)) = lack else { return Ok(()) };
        if !is_accepted {
            return Err(refusal(&self.endpoint, lack, way_out));
        }
        self.insecure = InsecureListeners::note(vec![format!("{} (HTTP): {lack}", self.endpoint.to_url())]);
        Ok(())
    }

    /// This server, as a line for people, if it lacks protection and that was accepted.
    pub fn insecure(&self) -> &[String] {
        self.insecure.lines()
    }

    /// The endpoint, with the real port.
    pub fn endpoint(&self) -> &Endpoint {
        &self.endpoint
    }

    /// The way to change its token and its certificate later.
    pub fn renewal(&self) -> HttpRenewal {
        self.renewal.clone()
    }

    /// Serves these pages for as long as it is polled: a task of [`ControlThread::spawn`](super::ControlThread::spawn).
    /// Returns an error if no descriptor is left to begin with.
    pub async fn serve(self, pages: Pages) -> Error {
        let listeners = match ControlListeners::adopt(self.sockets) {
            Ok(listeners) => listeners,
            Err(error) => return Error::io("cannot serve metrics", error),
        };
        // Counted for as long as it serves.
        let _insecure = self.insecure;
        let door = Door { listeners, renewals: self.renewals, token: self.token };
        match first(door.accept_for_ever(self.file, &pages), fold_for_ever(&pages)).await {
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

/// The listeners of a server that serves, and the token that counts now.
struct Door {
    listeners: ControlListeners,
    renewals: Inbox<Renewed>,
    token: Option<HttpToken>,
}

/// The next thing that happens at a door.
enum Knock {
    Accepted(std::io::Result<(ControlStream, ControlPeer)>),
    Renewed(Renewed),
}

impl Door {
    /// A renewal comes before connections that are made after it.
    async fn next(&mut self) -> Knock {
        let renewals = &mut self.renewals;
        let renewed = async {
            match renewals.recv().await {
                Some(renewed) => Knock::Renewed(renewed),
                // Nobody will change anything any more.
                None => std::future::pending().await,
            }
        };
        or(renewed, async { Knock::Accepted(self.listeners.accept().await) }).await
    }

    /// The part of a peer that has shown nothing yet.
    fn role_at_accept(&self, peer: ControlPeer) -> Option<HttpRole> {
        role_of(self.token.as_ref(), &HeaderMap::new(), peer)
    }

    async fn accept_for_ever(mut self, file: Option<SocketFile>, pages: &Pages) -> Infallible {
        // Dropped before the listeners: later it could be the file of the next server, which takes the place of one that nobody
        // listens on.
        let _file = file;
        let mut conversations = Conversations::default();
        let mut log_limit = OncePerSecond::new();
        loop {
            match self.next().await {
                Knock::Renewed(Renewed { token, tls }) => {
                    let is_another = std::mem::replace(&mut self.token, token) != self.token;
                    if is_another {
                        conversations.end_those_of_the_old_token(|peer| self.role_at_accept(peer).is_some());
                    }
                    if let Some(tls) = tls {
                        self.listeners.set_certificate(&tls);
                    }
                }
                Knock::Accepted(Ok((stream, peer))) => {
                    let is_operator = self.role_at_accept(peer) == Some(HttpRole::Operator);
                    let caller = Caller::new(peer, stream.first_word(), is_operator);
                    let guard =
                        Guard { token: self.token.clone(), pages: pages.clone(), caller: caller.clone() };
                    if let Some(gone) = conversations.admit(caller, converse(stream, guard)) {
                        note_http_pushed_out(&gone);
                    }
                    // Those that are there are read before the next one may push them out.
                    yield_now().await;
                }
                // Most likely descriptors are used up, and those of silent readers are enough.
                Knock::Accepted(Err(_)) if conversations.make_room() => yield_now().await,
                Knock::Accepted(Err(error)) => {
                    if let Some(more) = log_limit.allow("accept_error", MonotonicNs::now()) {
                        tracing::warn!(%error, more, "cannot accept a reader of metrics");
                    }
                    sleep(ACCEPT_BACKOFF_MAX / 10).await;
                }
            }
        }
    }
}

/// The pages, as one connection gets them.
#[derive(Clone)]
struct Guard {
    token: Option<HttpToken>,
    pages: Pages,
    caller: Caller,
}

impl Guard {
    async fn answer(self, request: Request<Incoming>) -> Result<Response<PageBody>, Infallible> {
        let peer = self.caller.peer;
        let role = match role_of(self.token.as_ref(), request.headers(), peer) {
            // The page asks for the token, and shows it with what it reads.
            None if pages::is_for_all(request.uri().path()) => Some(HttpRole::Anybody),
            role => role,
        };
        match role {
            Some(HttpRole::Anybody)
                if matches!(peer, ControlPeer::Remote(_))
                    && pages::shows_peers(request.uri().path())
                    && is_for_a_name(request.headers()) =>
            {
                Ok(pages::misdirected())
            }
            Some(role) => {
                if role == HttpRole::Operator {
                    self.caller.has_shown_the_token();
                }
                let asked = (request.method(), request.uri(), request.headers());
                Ok(self.pages.answer(asked, role, &self.caller.pulse).await)
            }
            None => {
                note_http_refusal(&peer);
                // So that nobody guesses many.
                sleep(HTTP_REFUSAL_PAUSE).await;
                Ok(pages::unauthorized())
            }
        }
    }
}

/// One connection: a handshake if it is encrypted, a request, its answer, the end. A stream of events goes on for as long as its
/// reader takes some.
async fn converse(mut stream: ControlStream, guard: Guard) {
    let caller = guard.caller.clone();
    let deadline = Instant::now() + HTTP_CONVERSATION_MAX;
    if !is_opened(&mut stream, &caller, deadline).await {
        return;
    }
    let service = service_fn(move |request| guard.clone().answer(request));
    let conversation = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HTTP_CONVERSATION_MAX)
        .max_buf_size(HTTP_HEAD_BYTES_MAX)
        .max_headers(HTTP_HEADERS_MAX)
        // A scrape every few seconds is no reason to keep connections, and their bounds, between them.
        .keep_alive(false)
        .serve_connection(TokioIo::new(stream), service);
    // A peer that goes away or is too slow is its own affair, and Prometheus reports it.
    let mut conversation = pin!(conversation);
    let mut deadline = deadline;
    while timeout_at(deadline, &mut conversation).await.is_err() {
        if caller.pulse.silence().is_none_or(|silence| silence > EVENT_STALL_MAX) {
            return;
        }
        deadline = Instant::now() + HTTP_CONVERSATION_MAX;
    }
}

/// Makes the handshake of a connection, if it has one; true if it is over. One that fails is counted, unless its peer has said
/// nothing: it only looked whether anybody is here.
async fn is_opened(stream: &mut ControlStream, caller: &Caller, deadline: Instant) -> bool {
    let first_word = stream.first_word();
    let failed = match timeout_at(deadline, poll_fn(|context| stream.poll_open(context))).await {
        Ok(Ok(())) => return true,
        Ok(Err(error)) => error.to_string(),
        Err(_) => "it took too long".to_owned(),
    };
    if first_word.has_come() {
        note_http_handshake_failed(&caller.peer, &failed);
    }
    false
}
