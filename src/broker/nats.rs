//! One connection to a server of NATS: the only file that names its client library. Owned by the task of the engine.
//!
//! A connection is a client of its own, which does not connect again by itself: so nothing that was queued for the one before,
//! or came by it, is mistaken for a part of the next. All that waits inside the library is short, but for what has arrived, which
//! the owner takes at once.

use std::collections::VecDeque;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, Wake, Waker};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use ahash::AHashMap;
use async_nats::client::{PublishErrorKind, SubscribeError};
use async_nats::message::OutboundMessage;
use async_nats::{Client, ConnectOptions, Event, Message, ServerAddr, Subscriber};
use bytes::Bytes;
use corecast_executors::MonotonicNs;
use futures_lite::{Stream, StreamExt as _};
use futures_sink::Sink as _;
use slab::Slab;
use tokio::sync::mpsc;
use tokio::time::timeout;

use super::engine_config::{EngineCredentials, EngineSecret, EngineUrl};
use super::jetstream;
use crate::carrier::{EngineOrder, StoreAnswer, StoreAsk, StoreFacts};
use crate::limits::{
    ENGINE_COMMANDS_MAX, ENGINE_CONNECT_MAX, ENGINE_EVENTS_MAX, ENGINE_INBOX_MAX, ENGINE_PING_PERIOD,
    ENGINE_ROUND_TRIP_MAX, ENGINE_SERVERS_MAX, ENGINE_SUBSCRIPTIONS_MAX, ENGINE_TICK,
};
use crate::transport::TlsClient;

/// Everything that it takes to connect to any of the servers.
#[derive(Clone)]
pub(super) struct NatsLogin {
    /// Name of the connection, for people who look at the server.
    pub(super) name: String,
    /// First levels of all subjects: `cc.CLUSTER`.
    pub(super) root: String,
    /// The start of this broker, which no other has.
    pub(super) start: u64,
    pub(super) credentials: Option<EngineCredentials>,
    /// Trust in servers, for `tls://` and for those that ask for TLS.
    pub(super) trust: Option<TlsClient>,
}

/// Facts that a server tells as one connects to it.
#[derive(Clone, Debug)]
pub(super) struct ServerFacts {
    /// Its name, which is its number unless its configuration has another.
    pub(super) name: String,
    pub(super) version: String,
    /// Longest payload that it takes, in bytes.
    pub(super) payload_bytes_max: usize,
    /// Other servers of its cluster.
    pub(super) others: Vec<EngineUrl>,
    /// Time of the first round trip.
    pub(super) round_trip: Duration,
}

/// The end of a connection, or the failure of an attempt, as a sentence.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Lost(pub(super) String);

/// A subscription.
struct Subscribed {
    number: Option<u32>,
    /// Absent while its end is on its way to the library.
    stream: Option<Subscriber>,
    waker: Waker,
    bell: Arc<Bell>,
}

/// The waker of a subscription: it notes the place of the subscription once, so that those alone are looked at that have something.
struct Bell {
    place: usize,
    is_rung: AtomicBool,
    rung: mpsc::Sender<usize>,
    /// Raised where there is no room for another place: then all are looked at.
    overflow: Arc<AtomicBool>,
}

impl Wake for Bell {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        if self.is_rung.swap(true, Ordering::AcqRel) {
            return;
        }
        // Behind all that are noted; the owner is awake while any is. With the connection goes the other end.
        if self.rung.try_send(self.place).is_err() {
            self.is_rung.store(false, Ordering::Release);
            self.overflow.store(true, Ordering::Release);
        }
    }
}

/// An order that the library has not taken yet.
enum Doing {
    Subscribe { number: Option<u32>, done: DoneBox<Result<Subscriber, SubscribeError>> },
    Drain { place: usize, done: DoneBox<Option<Subscriber>> },
}

type DoneBox<T> = Pin<Box<dyn Future<Output = T> + Send>>;

/// A connection: two of them, since a server does not send back what a connection has said itself, nor says that nobody has heard
/// it where anybody listens to all subjects.
pub(super) struct NatsConnection {
    client: Client,
    /// Hears what this broker says to itself, by which it knows that the server takes what it says.
    ear: Client,
    facts: ServerFacts,
    subscriptions: Slab<Subscribed>,
    /// The place of each, by its number.
    places: AHashMap<u32, usize>,
    bells: mpsc::Sender<usize>,
    rung: mpsc::Receiver<usize>,
    overflow: Arc<AtomicBool>,
    events: mpsc::Receiver<Event>,
    ear_events: mpsc::Receiver<Event>,
    doing: Option<Doing>,
    /// The subjects of round trips, and of answers about stores, without their last level.
    echo: String,
    answers: String,
    /// Round trips that are not answered, with their times.
    asked: VecDeque<(u64, MonotonicNs)>,
    answered: VecDeque<u64>,
    /// The questions about stores that are not answered, by their numbers, and what has come of them.
    questions: AHashMap<u64, Box<StoreAsk>>,
    news: VecDeque<StoreNews>,
    /// A round trip that is wanted behind all orders.
    last: Option<u64>,
    trouble: NatsTrouble,
}

/// News of stores of history.
#[derive(Debug)]
pub(super) enum StoreNews {
    /// The answer to a payload with this number, that was to be stored.
    Stored(u64, Result<(), String>),
    /// The answer to a question with this number.
    Answer(u64, Result<StoreAnswer, String>),
    /// A payload that was asked for.
    Payload(Bytes, StoreFacts),
}

/// Trouble on a connection that goes on.
#[derive(Clone, Default, Debug)]
pub(super) struct NatsTrouble {
    /// Times that the library had no room for a message.
    pub(super) overflows: u64,
    /// Messages that were longer than the server takes.
    pub(super) too_long: u64,
    /// The last error that the server told.
    pub(super) told: Option<String>,
}

impl NatsConnection {
    /// Connects to a server, and makes a round trip.
    ///
    /// # Errors
    /// The reason, as a sentence.
    pub(super) async fn open(server: &EngineUrl, login: &NatsLogin) -> Result<NatsConnection, Lost> {
        let (client, events) = connect(server, login, Role::Voice).await?;
        let (ear, ear_events) = connect(server, login, Role::Ear).await?;
        let (bells, rung) = mpsc::channel(ENGINE_SUBSCRIPTIONS_MAX);
        let answers = format!("{}.r.{:016x}.", login.root, login.start);
        let echo = format!("{answers}e.");
        let lost = |why: String| Lost(format!("{server}: {why}"));
        let stream = client.subscribe(format!("{answers}*")).await.map_err(|e| lost(super::chain(&e)))?;
        let mut echoes = ear.subscribe(format!("{echo}*")).await.map_err(|e| lost(super::chain(&e)))?;
        let mut asked_at = MonotonicNs::now();
        // Two servers of a cluster may have the two, and take a moment to tell one another of the subscription.
        let first = async {
            loop {
                asked_at = MonotonicNs::now();
                client.publish(format!("{echo}0"), Bytes::new()).await.map_err(|e| lost(super::chain(&e)))?;
                match timeout(ENGINE_TICK, echoes.next()).await {
                    Ok(Some(_)) => return Ok(()),
                    Ok(None) => return Err(lost("the connection was lost".to_owned())),
                    Err(_) => {}
                }
            }
        };
        match timeout(ENGINE_ROUND_TRIP_MAX, first).await {
            Ok(done) => done?,
            Err(_) => {
                return Err(lost(format!(
                    "it takes connections and does not answer within {ENGINE_ROUND_TRIP_MAX:?}, or the rights of its account do \
                     not let this broker publish and subscribe to {echo}*"
                )));
            }
        }
        let facts = facts_of(server, &client, MonotonicNs::now().saturating_since(asked_at));
        let mut connection = NatsConnection {
            client,
            ear,
            facts,
            subscriptions: Slab::new(),
            places: AHashMap::new(),
            bells,
            rung,
            overflow: Arc::default(),
            events,
            ear_events,
            doing: None,
            echo,
            answers,
            asked: VecDeque::new(),
            answered: VecDeque::new(),
            questions: AHashMap::new(),
            news: VecDeque::new(),
            last: None,
            trouble: NatsTrouble::default(),
        };
        connection.file(None, stream);
        connection.file(None, echoes);
        Ok(connection)
    }

    /// The facts of the server.
    pub(super) fn facts(&self) -> &ServerFacts {
        &self.facts
    }

    /// Takes what went wrong so far.
    pub(super) fn take_trouble(&mut self) -> NatsTrouble {
        std::mem::take(&mut self.trouble)
    }

    /// Files a subscription, and rings its bell: it has never been looked at.
    fn file(&mut self, number: Option<u32>, stream: Subscriber) {
        let entry = self.subscriptions.vacant_entry();
        let place = entry.key();
        let (rung, overflow) = (self.bells.clone(), Arc::clone(&self.overflow));
        let bell = Arc::new(Bell { place, is_rung: AtomicBool::new(false), rung, overflow });
        let waker = Waker::from(Arc::clone(&bell));
        bell.wake_by_ref();
        entry.insert(Subscribed { number, stream: Some(stream), waker, bell });
        if let Some(number) = number {
            self.places.insert(number, place);
        }
    }

    /// Takes all that has arrived on any subscription.
    ///
    /// # Errors
    /// The connection is lost.
    pub(super) fn poll_messages(
        &mut self,
        cx: &mut Context<'_>,
        mut take: impl FnMut(Bytes),
    ) -> Result<(), Lost> {
        while let Some(place) = self.next_rung(cx) {
            let Some(subscribed) = self.subscriptions.get_mut(place) else { continue };
            // Before the look: what comes behind it rings again.
            subscribed.bell.is_rung.store(false, Ordering::Release);
            let Some(stream) = &mut subscribed.stream else { continue };
            let mut own = Context::from_waker(&subscribed.waker);
            let has_ended = loop {
                match Pin::new(&mut *stream).poll_next(&mut own) {
                    Poll::Pending => break false,
                    Poll::Ready(None) => break true,
                    Poll::Ready(Some(message)) if subscribed.number.is_none() => {
                        match round_trip_of(&message, &self.echo) {
                            Some(number) => self.answered.push_back(number),
                            None => self.news.extend(news_of(message, &self.answers, &mut self.questions)),
                        }
                    }
                    Poll::Ready(Some(message)) => take(message.payload),
                }
            };
            if has_ended {
                let was_drained = subscribed.number.is_some_and(|number| !self.places.contains_key(&number));
                if !was_drained {
                    return Err(lost());
                }
                self.subscriptions.remove(place);
            }
        }
        Ok(())
    }

    /// The place of the next subscription whose bell has rung.
    fn next_rung(&mut self, cx: &mut Context<'_>) -> Option<usize> {
        loop {
            if let Poll::Ready(place) = self.rung.poll_recv(cx) {
                return place;
            }
            if !self.overflow.swap(false, Ordering::AcqRel) {
                return None;
            }
            self.subscriptions.iter().for_each(|(_, subscribed)| subscribed.bell.wake_by_ref());
        }
    }

    /// True if [`NatsConnection::poll_messages`] looks at all subscriptions: none is on its way into the library.
    pub(super) fn is_whole(&self) -> bool {
        !matches!(self.doing, Some(Doing::Drain { .. }))
    }

    /// Takes the numbers of round trips that were answered.
    pub(super) fn take_answered(&mut self) -> impl Iterator<Item = u64> {
        while let (Some(number), Some((first, _))) = (self.answered.back(), self.asked.front())
            && first <= number
        {
            self.asked.pop_front();
        }
        self.answered.drain(..)
    }

    /// Takes what has come of stores.
    pub(super) fn take_store_news(&mut self) -> impl Iterator<Item = StoreNews> {
        self.news.drain(..)
    }

    /// Carries orders out, in order, for as long as the library has room.
    ///
    /// # Errors
    /// The connection is lost.
    pub(super) fn poll_orders(
        &mut self,
        cx: &mut Context<'_>,
        now: MonotonicNs,
        mut next: impl FnMut() -> Option<EngineOrder>,
    ) -> Result<(), Lost> {
        loop {
            if self.poll_doing(cx)?.is_pending() {
                return Ok(());
            }
            match Pin::new(&mut self.client).poll_ready(cx) {
                Poll::Pending => return Ok(()),
                Poll::Ready(ready) => ready.map_err(|_| lost())?,
            }
            let last = |number| EngineOrder::RoundTrip { number };
            let Some(order) = next().or_else(|| self.last.take().map(last)) else { return Ok(()) };
            match order {
                EngineOrder::Publish { subject, payload } => self.publish(subject, None, payload)?,
                EngineOrder::Store { number, subject, payload } => {
                    self.publish(subject, Some(format!("{}{STORED}{number}", self.answers)), payload)?;
                }
                EngineOrder::Ask { number, ask } => {
                    let (subject, payload) = jetstream::request(&ask);
                    // Whoever asks again does not wait for the answer before.
                    self.questions.retain(|other, _| other >> 62 != number >> 62);
                    self.questions.insert(number, ask);
                    self.publish(subject, Some(format!("{}{ASKED}{number}", self.answers)), payload)?;
                }
                EngineOrder::RoundTrip { number } => {
                    self.publish(format!("{}{number}", self.echo), None, Bytes::new())?;
                    self.asked.push_back((number, now));
                }
                EngineOrder::Subscribe { number, subject } => {
                    let client = self.client.clone();
                    let done = Box::pin(async move { client.subscribe(subject).await });
                    self.doing = Some(Doing::Subscribe { number: Some(number), done });
                }
                EngineOrder::Unsubscribe { number } => self.drain(number),
            }
        }
    }

    /// Asks for a round trip behind all orders that there are.
    pub(super) fn ask_behind_orders(&mut self, number: u64) {
        self.last = Some(number);
    }

    fn publish(&mut self, subject: String, reply: Option<String>, payload: Bytes) -> Result<(), Lost> {
        let message =
            OutboundMessage { subject: subject.into(), reply: reply.map(Into::into), payload, headers: None };
        match Pin::new(&mut self.client).start_send(message) {
            Ok(()) => Ok(()),
            // The server may have a lower limit than it told. Positions tell what is missing.
            Err(error) if error.kind() == PublishErrorKind::MaxPayloadExceeded => {
                self.trouble.too_long += 1;
                Ok(())
            }
            Err(error) => Err(Lost(format!("the connection was lost: {error}"))),
        }
    }

    fn drain(&mut self, number: u32) {
        let Some(place) = self.places.remove(&number) else { return };
        let Some(mut stream) = self.subscriptions.get_mut(place).and_then(|of| of.stream.take()) else {
            return;
        };
        let done = Box::pin(async move { stream.drain().await.ok().map(|()| stream) });
        self.doing = Some(Doing::Drain { place, done });
    }

    /// Waits for the library to take the order before.
    fn poll_doing(&mut self, cx: &mut Context<'_>) -> Result<Poll<()>, Lost> {
        let lost = |why: String| Lost(format!("the connection was lost: {why}"));
        match &mut self.doing {
            None => {}
            Some(Doing::Subscribe { number, done }) => {
                let Poll::Ready(subscribed) = done.as_mut().poll(cx) else { return Ok(Poll::Pending) };
                let number = *number;
                self.doing = None;
                let stream = subscribed.map_err(|e| lost(super::chain(&e)))?;
                self.file(number, stream);
            }
            Some(Doing::Drain { place, done }) => {
                let Poll::Ready(drained) = done.as_mut().poll(cx) else { return Ok(Poll::Pending) };
                let place = *place;
                self.doing = None;
                let stream = drained.ok_or_else(|| lost("a subscription could not end".to_owned()))?;
                if let Some(subscribed) = self.subscriptions.get_mut(place) {
                    subscribed.stream = Some(stream);
                    // What came meanwhile was not looked at.
                    subscribed.bell.wake_by_ref();
                }
            }
        }
        Ok(Poll::Ready(()))
    }

    /// Takes what the library tells of the connection.
    ///
    /// # Errors
    /// The connection is lost.
    pub(super) fn poll_events(&mut self, cx: &mut Context<'_>) -> Result<(), Lost> {
        for events in [&mut self.events, &mut self.ear_events] {
            while let Poll::Ready(event) = events.poll_recv(cx) {
                match event {
                    None | Some(Event::Closed | Event::Disconnected) => return Err(lost()),
                    Some(Event::SlowConsumer(_)) => self.trouble.overflows += 1,
                    Some(Event::ServerError(error)) => self.trouble.told = Some(error.to_string()),
                    Some(Event::ClientError(error)) => self.trouble.told = Some(error.to_string()),
                    Some(Event::LameDuckMode) => {
                        return Err(Lost("the server is about to stop, and says so".to_owned()));
                    }
                    Some(Event::Connected | Event::Draining) => {}
                }
            }
        }
        Ok(())
    }

    /// Looks at the time, and at what an event that found no room would have told.
    ///
    /// # Errors
    /// A round trip takes too long, or the connection is lost.
    pub(super) fn on_tick(&self, now: MonotonicNs) -> Result<(), Lost> {
        let is_up = |client: &Client| client.connection_state() == async_nats::connection::State::Connected;
        if !is_up(&self.client) || !is_up(&self.ear) {
            return Err(lost());
        }
        match self.asked.front() {
            Some((_, asked_at)) if now.saturating_since(*asked_at) > ENGINE_ROUND_TRIP_MAX => {
                Err(Lost(format!("the server does not answer within {ENGINE_ROUND_TRIP_MAX:?}")))
            }
            _ => Ok(()),
        }
    }
}

fn lost() -> Lost {
    Lost("the connection was lost".to_owned())
}

/// The number of the round trip that a message ends. Anybody may publish there, so that it may be none.
fn round_trip_of(message: &Message, echo: &str) -> Option<u64> {
    message.subject.as_str().strip_prefix(echo)?.parse().ok()
}

/// The first letters of answers about stores: to payloads, and to questions.
const STORED: char = 's';
const ASKED: char = 'q';

/// The news of stores that a message is.
fn news_of(
    message: Message,
    answers: &str,
    questions: &mut AHashMap<u64, Box<StoreAsk>>,
) -> Option<StoreNews> {
    let now = || SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let facts = message.reply.as_ref().and_then(|reply| jetstream::facts(reply.as_str(), now()));
    if let Some(facts) = facts {
        return Some(StoreNews::Payload(message.payload, facts));
    }
    let status = message.status.map(|status| status.as_u16());
    let answer = message.subject.as_str().strip_prefix(answers)?;
    if let Some(number) = answer.strip_prefix(STORED) {
        return Some(StoreNews::Stored(number.parse().ok()?, jetstream::stored(&message.payload, status)));
    }
    let number = answer.strip_prefix(ASKED)?.parse().ok()?;
    let ask = questions.remove(&number)?;
    Some(StoreNews::Answer(
        number,
        match status {
            Some(status) => jetstream::answer_of_status(&ask, status),
            None => jetstream::answer(&ask, &message.payload),
        },
    ))
}

/// The use of a connection.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Role {
    /// Everything is said there, and heard.
    Voice,
    /// It hears what the other says to itself.
    Ear,
}

/// Connects to a server, in one attempt.
async fn connect(
    server: &EngineUrl,
    login: &NatsLogin,
    role: Role,
) -> Result<(Client, mpsc::Receiver<Event>), Lost> {
    let lost = |why: String| Lost(format!("{server}: {why}"));
    let (told, events) = mpsc::channel(ENGINE_EVENTS_MAX);
    let mut options = ConnectOptions::new()
        .name(match role {
            Role::Voice => login.name.clone(),
            Role::Ear => format!("{} (round trips)", login.name),
        })
        .no_echo()
        .ping_interval(ENGINE_PING_PERIOD)
        .connection_timeout(ENGINE_CONNECT_MAX)
        .subscription_capacity(ENGINE_INBOX_MAX)
        .client_capacity(ENGINE_COMMANDS_MAX)
        // One for this connection. By the time of another attempt this client has been dropped.
        .max_reconnects(1)
        .retain_servers_order()
        .ignore_discovered_servers()
        .require_tls(server.is_encrypted())
        .event_callback(move |event| {
            // If there is no room, the next tick sees the state.
            let _ = told.try_send(event);
            std::future::ready(())
        });
    // A server may ask for TLS where the address does not.
    let trust = match &login.trust {
        Some(trust) => Some(trust.clone()),
        None => TlsClient::of_system().await.ok(),
    };
    if let Some(trust) = trust {
        options = options.tls_client_config(trust.rustls_config());
    }
    // Each time: it may have been replaced.
    let secret = login.credentials.as_ref().map(EngineCredentials::secret).transpose();
    options = match secret.map_err(|e| lost(e.to_string()))? {
        None => options,
        Some(EngineSecret::Creds(text)) => options.credentials(&text).map_err(|e| lost(e.to_string()))?,
        Some(EngineSecret::Password { user, password }) => {
            options.user_and_password(user, password.as_str().to_owned())
        }
        Some(EngineSecret::Token(token)) => options.token(token.as_str().to_owned()),
    };
    let address: ServerAddr = server.to_string().parse().map_err(|e| lost(format!("{e}")))?;
    // Twice the time of an attempt: a look-up comes before it.
    match timeout(2 * ENGINE_CONNECT_MAX, options.connect(address)).await {
        Ok(Ok(client)) => Ok((client, events)),
        Ok(Err(error)) => Err(lost(super::chain(&error))),
        Err(_) => Err(lost("it does not answer".to_owned())),
    }
}

fn facts_of(server: &EngineUrl, client: &Client, round_trip: Duration) -> ServerFacts {
    let info = client.server_info();
    // Servers of a cluster tell addresses without a scheme.
    let scheme = if server.is_encrypted() { "tls" } else { "nats" };
    let others = info.connect_urls.iter().filter_map(|url| format!("{scheme}://{url}").parse().ok());
    ServerFacts {
        name: info.server_name,
        version: info.version,
        payload_bytes_max: info.max_payload,
        others: others.take(ENGINE_SERVERS_MAX).collect(),
        round_trip,
    }
}
