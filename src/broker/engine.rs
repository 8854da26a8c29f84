//! The engine of a broker, as a task of its control thread: it carries items between the shards' links, the pure state and the
//! connection, and connects again. It decides nothing about messages.
//!
//! The task is one future that is polled in bounded turns, and never waits for one of its sides alone: links of shards are
//! drained whatever the connection does, so that no publisher waits for an engine.

use std::future::{pending, poll_fn};
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use corecast_executors::{Inbox, Link, MonotonicNs, Refused};
use tokio::time::{Interval, MissedTickBehavior, interval};

use super::engine_config::EngineUrl;
use super::engine_log::EngineLog;
use super::nats::{Lost, NatsConnection, NatsLogin, ServerFacts, StoreNews};
use super::{CarrierEnd, Item};
use crate::carrier::{BackOff, Engine, EngineConfig, LinkItem};
use crate::control::{EnginePeer, EngineQuestion, EngineServer, EngineView, StoredClear};
use crate::error::Error;
use crate::ids::ShardId;
use crate::limits::{
    ENGINE_GOODBYE_MAX, ENGINE_LOAD_MAX, ENGINE_LOOKS_PER_TURN, ENGINE_PAUSE_MAX, ENGINE_PAUSE_MIN,
    ENGINE_ROUNDS_PER_TURN, ENGINE_SERVERS_MAX, ENGINE_TICK, LINK_ITEMS_PER_TURN,
};
use crate::telemetry::EngineFigures;
use crate::topic::Filter;

/// Everything that the task begins with.
pub(super) struct EngineSetup {
    pub(super) config: EngineConfig,
    /// Longest frame body that the broker takes, in bytes.
    pub(super) frame_bytes_max: usize,
    pub(super) servers: Vec<EngineUrl>,
    pub(super) login: NatsLogin,
    /// One from each shard.
    pub(super) ends: Inbox<CarrierEnd>,
    /// Told when the engine has answered for the first time.
    pub(super) connected: Link<()>,
    /// Told when the engine has said goodbye.
    pub(super) ended: Link<()>,
    /// Questions of those who look at it.
    pub(super) questions: Inbox<EngineQuestion>,
}

/// Runs until all shards have ended and the others know it.
pub(super) async fn run(mut setup: EngineSetup) -> Error {
    let shards = setup.config.shards;
    let mut ends: Vec<Option<CarrierEnd>> = (0..shards).map(|_| None).collect();
    for _ in 0..shards {
        // A shard that could not start ends the broker.
        let Some(end) = setup.ends.recv().await else { return pending().await };
        let place = usize::from(end.shard.0);
        ends[place] = Some(end);
    }
    let ended = setup.ended.clone();
    let mut task = EngineTask::new(setup, ends.into_iter().flatten());
    // Bounded turns of our own: the budget of the runtime would end a look at what has arrived in the middle.
    tokio::task::unconstrained(poll_fn(|cx| task.turn(cx))).await;
    // The broker may have stopped waiting.
    let _ = ended.try_send(());
    pending().await
}

/// A shard, at the other end of two links.
struct Shore {
    to: Link<Item>,
    /// The item that waits for room on the link to the shard.
    waits: Option<SendBox>,
    /// The next item from the shard. `None`: the shard has ended.
    hears: Option<HearBox<Item>>,
}

type SendBox = Pin<Box<dyn Future<Output = ()>>>;
type HearBox<T> = Pin<Box<dyn Future<Output = (Inbox<T>, Option<T>)>>>;

fn hear<T: 'static>(mut from: Inbox<T>) -> HearBox<T> {
    Box::pin(async move {
        let item = from.recv().await;
        (from, item)
    })
}

/// The state of the connection.
enum Phase {
    /// It is tried when the back-off says so.
    Away,
    Connecting(Pin<Box<dyn Future<Output = Result<NatsConnection, Lost>>>>),
    Up(Box<NatsConnection>),
}

struct EngineTask {
    engine: Engine,
    shores: Vec<Shore>,
    phase: Phase,
    servers: ServerList,
    login: NatsLogin,
    frame_bytes_max: usize,
    back_off: BackOff,
    /// The time of the next attempt to connect.
    due: MonotonicNs,
    up_since: MonotonicNs,
    tick: Interval,
    connected: Link<()>,
    /// The next question; `None`: nobody can ask any more.
    questions: Option<HearBox<EngineQuestion>>,
    /// The operator who has stored history given up.
    clears: Option<Link<StoredClear>>,
    /// Facts for those who ask, which do not change.
    cluster: Box<str>,
    name: Box<str>,
    /// True if history is stored at the engine.
    stores_history: bool,
    /// The time at which nobody waits for the goodbye any more, once it is said.
    goodbye_until: Option<MonotonicNs>,
    /// Messages that a server refused, since they were longer than it takes.
    too_long: u64,
    figures: EngineFigures,
    log: EngineLog,
}

/// The number of the last round trip, which the engine does not use.
const GOODBYE: u64 = u64::MAX;

impl EngineTask {
    fn new(setup: EngineSetup, ends: impl Iterator<Item = CarrierEnd>) -> Self {
        let now = MonotonicNs::now();
        let mut tick = interval(ENGINE_TICK);
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        EngineTask {
            cluster: setup.config.cluster.clone(),
            name: setup.config.name.clone(),
            stores_history: !setup.config.stores.is_empty(),
            questions: Some(hear(setup.questions)),
            clears: None,
            engine: Engine::new(setup.config, now),
            shores: ends.map(|end| Shore { to: end.to, waits: None, hears: Some(hear(end.from)) }).collect(),
            phase: Phase::Away,
            servers: ServerList::new(setup.servers),
            login: setup.login,
            frame_bytes_max: setup.frame_bytes_max,
            back_off: BackOff::new(ENGINE_PAUSE_MIN, ENGINE_PAUSE_MAX, now),
            due: now,
            up_since: now,
            tick,
            connected: setup.connected,
            goodbye_until: None,
            too_long: 0,
            figures: EngineFigures::default(),
            log: EngineLog::default(),
        }
    }

    /// One bounded turn. Ready when the goodbye is said.
    fn turn(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let now = MonotonicNs::now();
        while self.tick.poll_tick(cx).is_ready() {
            self.on_tick(now);
        }
        self.answer(cx);
        for _ in 0..ENGINE_ROUNDS_PER_TURN {
            let mut has_moved = self.hear_shards(cx);
            has_moved |= self.go_on_with_connection(cx, now);
            has_moved |= self.send_links(cx);
            self.tell_cleared();
            if self.has_said_goodbye(now) {
                return Poll::Ready(());
            }
            if !has_moved {
                return Poll::Pending;
            }
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    }

    fn on_tick(&mut self, now: MonotonicNs) {
        self.engine.on_tick(now);
        if let Phase::Up(connection) = &mut self.phase {
            let trouble = connection.take_trouble();
            self.figures.overflows += trouble.overflows;
            self.too_long += trouble.too_long;
            if let Some(told) = trouble.told {
                self.log.warn(now, format!("the server of the engine says: {told}"));
            }
            // A server that takes connections and ends them at once is not tried as if all were well.
            if now.saturating_since(self.up_since) >= ENGINE_PAUSE_MAX {
                self.back_off.succeeded();
            }
            if let Err(lost) = connection.on_tick(now) {
                self.lose(now, lost);
            }
        }
        self.note_history(now);
        self.figures.is_connected = matches!(self.phase, Phase::Up(_));
        self.note_counts();
        self.figures.export();
        self.log.on_tick(now);
    }

    /// Answers those who look at the engine.
    fn answer(&mut self, cx: &mut Context<'_>) {
        while let Some(questions) = &mut self.questions
            && let Poll::Ready((inbox, question)) = questions.as_mut().poll(cx)
        {
            self.questions = question.is_some().then(|| hear(inbox));
            // Whoever asked may have gone.
            match question {
                Some(EngineQuestion::View(answer)) => drop(answer.try_send(self.view())),
                Some(EngineQuestion::ClearStored(filter, answer)) => self.clear_stored(&filter, answer),
                None => {}
            }
        }
    }

    fn clear_stored(&mut self, filter: &Filter, answer: Link<StoredClear>) {
        let at_once = match self.stores_history {
            true => self.engine.clear_stored(filter).err().map(Err),
            false => Some(Ok(false)),
        };
        match at_once {
            Some(outcome) => drop(answer.try_send(outcome)),
            None => self.clears = Some(answer),
        }
    }

    /// Answers whoever has had stored history given up, once that is done.
    fn tell_cleared(&mut self) {
        if let Some(outcome) = self.engine.take_cleared()
            && let Some(answer) = self.clears.take()
        {
            drop(answer.try_send(outcome.map(|()| true)));
        }
    }

    fn view(&self) -> EngineView {
        let server = match &self.phase {
            Phase::Up(connection) => {
                let ServerFacts { name, version, payload_bytes_max, round_trip, .. } =
                    connection.facts().clone();
                Some(EngineServer { name, version, payload_bytes_max, round_trip })
            }
            Phase::Away | Phase::Connecting(_) => None,
        };
        let (filters, topics) = self.engine.sizes();
        let peers = self.engine.peers().into_iter().map(|peer| EnginePeer {
            name: peer.name.into(),
            start: peer.start,
            is_here: peer.is_here,
            silent: Duration::from_millis(peer.silent_ms),
            filters: peer.filters,
            topics: peer.topics,
            publishers: peer.publishers,
        });
        EngineView {
            cluster: self.cluster.to_string(),
            name: self.name.to_string(),
            start: self.login.start,
            server,
            is_loading: !self.engine.has_loaded(),
            filters,
            topics,
            peers: peers.collect(),
        }
    }

    fn note_counts(&mut self) {
        let figures = &mut self.figures;
        figures.held_bytes = self.engine.held_bytes() as u64;
        figures.peers = self.engine.peers().iter().filter(|peer| peer.is_here).count() as u64;
        let counts = self.engine.counts();
        figures.sent = counts.sent;
        figures.received = counts.received;
        figures.missing = counts.missing;
        figures.unknown_gaps = counts.unknown_gaps;
        figures.behind = counts.behind;
        figures.overrun = counts.overrun;
        figures.given_up = counts.given_up;
        figures.too_large = counts.too_large + self.too_long;
        figures.junk = counts.junk;
        figures.words_dropped = counts.words_dropped;
        figures.stored = counts.stored;
        figures.unstored = counts.unstored;
        figures.store_refused = counts.store_refused;
        figures.loaded = counts.loaded;
    }

    /// Takes what shards have said, a turn's share of each. Returns true if there was anything.
    fn hear_shards(&mut self, cx: &mut Context<'_>) -> bool {
        let mut has_some = false;
        for (place, shore) in self.shores.iter_mut().enumerate() {
            let from = ShardId(u16::try_from(place).expect("shards are counted in 16 bits"));
            let Some(hears) = &mut shore.hears else { continue };
            let Poll::Ready((mut inbox, item)) = hears.as_mut().poll(cx) else { continue };
            has_some = true;
            let Some(item) = item else {
                shore.hears = None;
                continue;
            };
            self.engine.on_link(from, link_item(item));
            for _ in 1..LINK_ITEMS_PER_TURN {
                let Some(item) = inbox.try_recv() else { break };
                self.engine.on_link(from, link_item(item));
            }
            // It is polled in the next round, since this one had something.
            shore.hears = Some(hear(inbox));
        }
        has_some
    }

    /// Connects, takes what has arrived, and carries orders out. Returns true if anything has happened.
    fn go_on_with_connection(&mut self, cx: &mut Context<'_>, now: MonotonicNs) -> bool {
        match &mut self.phase {
            Phase::Away => {
                if self.goodbye_until.is_some() || now < self.due {
                    return false;
                }
                let (server, login) = (self.servers.next(), self.login.clone());
                self.phase =
                    Phase::Connecting(Box::pin(async move { NatsConnection::open(&server, &login).await }));
                true
            }
            Phase::Connecting(attempt) => match attempt.as_mut().poll(cx) {
                Poll::Pending => false,
                Poll::Ready(Ok(connection)) => {
                    self.begin(now, connection);
                    true
                }
                Poll::Ready(Err(lost)) => {
                    self.fail(now, lost);
                    true
                }
            },
            Phase::Up(_) => match self.exchange(cx, now) {
                Ok(has_moved) => has_moved,
                Err(lost) => {
                    self.lose(now, lost);
                    true
                }
            },
        }
    }

    fn begin(&mut self, now: MonotonicNs, connection: NatsConnection) {
        let facts = connection.facts();
        self.servers.add(&facts.others);
        self.up_since = now;
        self.figures.connects += 1;
        self.figures.round_trip = facts.round_trip;
        self.log.connected(now, facts, self.frame_bytes_max);
        self.engine.on_connected(facts.payload_bytes_max, now);
        self.phase = Phase::Up(Box::new(connection));
        self.tell_ready();
    }

    /// Tells whoever waits for the first time, once the engine has answered and the history that was stored is here.
    fn tell_ready(&self) {
        if self.engine.has_loaded() && (self.figures.connects > 0 || self.figures.history_is_late) {
            // It may have gone, or has been told.
            let _ = self.connected.try_send(());
        }
    }

    /// Looks at how loading goes on.
    fn note_history(&mut self, now: MonotonicNs) {
        if let Some(why) = self.engine.take_load_trouble() {
            self.log.warn(now, format!("history is not loaded yet: {why}"));
        }
        if let Some(why) = self.engine.take_store_trouble() {
            self.log.warn(now, format!("the streams of history are not there: {why}"));
        }
        if !self.stores_history || self.figures.has_history || self.figures.history_is_late {
            return;
        }
        self.figures.has_history = self.engine.has_all_history();
        self.figures.history_is_late = self.engine.has_loaded() && !self.figures.has_history;
        if self.figures.history_is_late {
            let text = format!(
                "history was not loaded within {ENGINE_LOAD_MAX:?}: this broker goes on without what was said before it; start it \
                 again when JetStream answers"
            );
            self.log.warn(now, text);
        } else if self.figures.has_history {
            let loaded = self.engine.counts().loaded;
            self.log.say(now, false, format!("history is loaded: {loaded} messages"));
        }
        self.tell_ready();
    }

    fn fail(&mut self, now: MonotonicNs, Lost(why): Lost) {
        self.phase = Phase::Away;
        self.engine.on_unreachable();
        self.log.warn(now, format!("the engine is away: {why}"));
        self.pause(now);
    }

    fn lose(&mut self, now: MonotonicNs, Lost(why): Lost) {
        self.phase = Phase::Away;
        self.engine.on_lost();
        self.figures.losses += 1;
        self.log.warn(now, format!("the engine is away: {why}"));
        self.pause(now);
    }

    fn pause(&mut self, now: MonotonicNs) {
        // All brokers of a cluster lose their server in the same moment, and should not come back in the same.
        let pause = self.back_off.failed(now).saturating_since(now);
        self.due = now + pause.mul_f64(fastrand::f64().midpoint(1.0));
    }

    /// Takes what has arrived, and carries orders out. Returns true if anything has happened.
    fn exchange(&mut self, cx: &mut Context<'_>, now: MonotonicNs) -> Result<bool, Lost> {
        let Phase::Up(connection) = &mut self.phase else { return Ok(false) };
        let engine = &mut self.engine;
        let mut has_moved = false;
        connection.poll_messages(cx, |payload| {
            engine.on_message(payload);
            has_moved = true;
        })?;
        for _ in 0..ENGINE_LOOKS_PER_TURN {
            if !engine.wants_look() || !connection.is_whole() {
                break;
            }
            // The library does not run meanwhile: this takes all that waits in any of its channels.
            connection.poll_messages(cx, |payload| engine.on_message(payload))?;
            engine.on_looked();
            has_moved = true;
        }
        for news in connection.take_store_news() {
            has_moved = true;
            match news {
                StoreNews::Payload(payload, facts) => engine.on_stored(payload, facts),
                StoreNews::Answer(number, answer) => engine.on_ask_answer(number, answer),
                StoreNews::Stored(number, stored) => {
                    engine.on_store_answer(number, stored.is_ok());
                    if let Err(why) = stored {
                        self.log.warn(now, format!("history is not stored, and is tried again: {why}"));
                    }
                }
            }
        }
        for number in connection.take_answered() {
            has_moved = true;
            if number == GOODBYE {
                self.goodbye_until = Some(now);
            } else {
                engine.on_round_trip(number);
            }
        }
        connection.poll_orders(cx, now, || {
            let order = engine.next_order();
            has_moved |= order.is_some();
            order
        })?;
        // Behind the orders: they end a connection that was there until now.
        connection.poll_events(cx)?;
        Ok(has_moved)
    }

    /// Hands items to the links of shards that have room. Returns true if any left.
    fn send_links(&mut self, cx: &mut Context<'_>) -> bool {
        let mut has_sent = false;
        for shard in self.engine.take_links() {
            let shore = &mut self.shores[usize::from(shard.0)];
            if shore.waits.is_none() {
                has_sent |= send_to(&mut self.engine, shore, shard);
            }
        }
        for place in 0..self.shores.len() {
            let shore = &mut self.shores[place];
            let Some(waits) = &mut shore.waits else { continue };
            if waits.as_mut().poll(cx).is_ready() {
                shore.waits = None;
                let shard = ShardId(u16::try_from(place).expect("shards are counted in 16 bits"));
                send_to(&mut self.engine, shore, shard);
                has_sent = true;
            }
        }
        if has_sent {
            self.engine.on_link_room();
        }
        has_sent
    }

    /// Says goodbye once all shards have ended. Returns true when it has left, or had its time.
    fn has_said_goodbye(&mut self, now: MonotonicNs) -> bool {
        if let Some(until) = self.goodbye_until {
            return now >= until || !matches!(self.phase, Phase::Up(_));
        }
        if self.shores.iter().any(|shore| shore.hears.is_some()) {
            return false;
        }
        self.engine.on_stop();
        self.goodbye_until = Some(now + ENGINE_GOODBYE_MAX);
        match &mut self.phase {
            Phase::Up(connection) => {
                connection.ask_behind_orders(GOODBYE);
                false
            }
            Phase::Away | Phase::Connecting(_) => true,
        }
    }
}

/// Sends what waits for a shard, as far as its link has room. Returns true if anything left.
fn send_to(engine: &mut Engine, shore: &mut Shore, shard: ShardId) -> bool {
    let mut has_sent = false;
    while let Some(item) = engine.link_next(shard) {
        match shore.to.try_send(Item::Link(item)) {
            // A shard that has ended wants nothing.
            Ok(()) | Err(Refused::Closed(_)) => has_sent = true,
            Err(Refused::Full(item)) => {
                let to = shore.to.clone();
                shore.waits = Some(Box::pin(async move {
                    // As above.
                    let _ = to.send(item).await;
                }));
                break;
            }
        }
    }
    has_sent
}

fn link_item(item: Item) -> LinkItem {
    match item {
        Item::Link(item) => item,
        _ => unreachable!("shards say link items to a carrier, and nothing else"),
    }
}

/// Servers that are tried one after the other: those of the configuration, and those that they tell of.
struct ServerList {
    servers: Vec<EngineUrl>,
    next: usize,
}

impl ServerList {
    fn new(servers: Vec<EngineUrl>) -> Self {
        ServerList { servers, next: 0 }
    }

    fn next(&mut self) -> EngineUrl {
        let server = self.servers[self.next % self.servers.len()].clone();
        self.next = (self.next + 1) % self.servers.len();
        server
    }

    /// Adds servers that are not there yet, while there is room.
    fn add(&mut self, others: &[EngineUrl]) {
        for other in others {
            if self.servers.len() < ENGINE_SERVERS_MAX && !self.servers.contains(other) {
                self.servers.push(other.clone());
            }
        }
    }
}
