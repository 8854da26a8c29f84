//! A look at the servers of an engine, as a broker would meet them: for `corecast doctor`.

use std::future::poll_fn;
use std::task::Poll;
use std::time::{Duration, Instant};

use corecast_executors::MonotonicNs;
use tokio::runtime::Builder;
use tokio::time::timeout;

use super::config::BrokerConfig;
use super::engine_config::EngineUrl;
use super::engine_start::stored_history;
use super::nats::{Lost, NatsConnection, NatsLogin, NatsTrouble, StoreNews};
use crate::carrier::{EngineOrder, StoreAsk, StoreBounds, stores_of};
use crate::error::{Error, Result};
use crate::limits::ENGINE_ROUND_TRIP_MAX;

/// Findings at one server.
#[derive(Clone, Debug)]
pub(crate) struct EngineReport {
    pub(crate) server: EngineUrl,
    /// The reason why a broker could not use it.
    pub(crate) outcome: std::result::Result<EngineFacts, String>,
}

/// Facts of a server that answers.
#[derive(Clone, Debug)]
pub(crate) struct EngineFacts {
    pub(crate) name: String,
    pub(crate) version: String,
    /// Longest payload that it takes, in bytes.
    pub(crate) payload_bytes_max: usize,
    /// Median of some round trips.
    pub(crate) round_trip: Duration,
    /// An error that the server told as subjects of brokers were used: a right that is missing.
    pub(crate) refusal: Option<String>,
    /// True if the server sends back what a connection has published, though it was asked not to.
    pub(crate) echoes: bool,
    /// True if it lets in who shows nothing.
    pub(crate) lets_anybody_in: bool,
    /// The reason why history cannot be stored there; `None` if it can, or is not to be.
    pub(crate) no_history: Option<String>,
}

/// Round trips of one look.
const ROUND_TRIPS: u64 = 21;

/// Looks at each server of a configuration.
///
/// # Errors
/// `Invalid` for the configuration, `Io` if there is no room for a runtime.
pub(crate) fn check_engine(config: &BrokerConfig) -> Result<Vec<EngineReport>> {
    config.validate()?;
    let login = NatsLogin::of(config, fastrand::u64(1..))?;
    let runtime = Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|e| Error::io("cannot start an async runtime", e))?;
    let stores = stores_of(&config.engine_cluster, &stored_history(config));
    let reports = config.engine.iter().map(|server| {
        let outcome = runtime.block_on(look_at(server, &login, &stores)).map_err(|Lost(why)| why);
        EngineReport { server: server.clone(), outcome }
    });
    Ok(reports.collect())
}

async fn look_at(
    server: &EngineUrl,
    login: &NatsLogin,
    stores: &[StoreBounds],
) -> std::result::Result<EngineFacts, Lost> {
    let mut connection = NatsConnection::open(server, login).await?;
    let facts = connection.facts().clone();
    // All that a broker subscribes to, and words to a broker that there is not. Nothing is published to a topic: some broker may
    // want it.
    let own = format!("{}.w.{:016x}", login.root, login.start);
    let mut orders = vec![
        EngineOrder::Subscribe { number: 1, subject: format!("{}.t.>", login.root) },
        EngineOrder::Subscribe { number: 2, subject: format!("{}.odd", login.root) },
        EngineOrder::Subscribe { number: 3, subject: format!("{}.w.all", login.root) },
        EngineOrder::Subscribe { number: 4, subject: own.clone() },
        EngineOrder::Publish { subject: own.clone(), payload: own.clone().into() },
    ];
    let mut echoes = false;
    let mut note = |payload: &[u8]| echoes |= payload == own.as_bytes();
    let mut times = Vec::new();
    for number in 1..=ROUND_TRIPS {
        orders.push(EngineOrder::RoundTrip { number });
        let began = Instant::now();
        exchange(&mut connection, std::mem::take(&mut orders), number, &mut note).await?;
        times.push(began.elapsed());
    }
    times.sort_unstable();
    let mut no_history = None;
    for store in stores {
        no_history = no_history.or(look_for(&mut connection, store).await?.err());
    }
    let NatsTrouble { told, .. } = connection.take_trouble();
    drop(connection);
    let lets_anybody_in = match &login.credentials {
        Some(_) => {
            NatsConnection::open(server, &NatsLogin { credentials: None, ..login.clone() }).await.is_ok()
        }
        None => true,
    };
    Ok(EngineFacts {
        name: facts.name,
        version: facts.version,
        payload_bytes_max: facts.payload_bytes_max,
        round_trip: times[times.len() / 2],
        refusal: told,
        echoes,
        lets_anybody_in,
        no_history,
    })
}

/// Looks for a store, which need not be there yet: somebody has to answer.
async fn look_for(
    connection: &mut NatsConnection,
    store: &StoreBounds,
) -> std::result::Result<std::result::Result<(), String>, Lost> {
    let mut order = Some(EngineOrder::Ask { number: 1, ask: Box::new(StoreAsk::Look(store.clone())) });
    let until_answered = poll_fn(|cx| {
        connection.poll_orders(cx, MonotonicNs::now(), || order.take())?;
        connection.poll_messages(cx, |_| {})?;
        connection.poll_events(cx)?;
        let answer = connection.take_store_news().find_map(|news| match news {
            StoreNews::Answer(_, answer) => Some(answer.map(|_| ())),
            StoreNews::Payload(..) | StoreNews::Stored(..) => None,
        });
        answer.map_or(Poll::Pending, |answer| Poll::Ready(Ok(answer)))
    });
    match timeout(ENGINE_ROUND_TRIP_MAX, until_answered).await {
        Ok(answer) => answer,
        Err(_) => Ok(Err(format!(
            "JetStream does not answer within {ENGINE_ROUND_TRIP_MAX:?}, or the account of brokers may not publish to $JS.API.>"
        ))),
    }
}

/// Carries these orders out, and returns when the round trip with that number is answered.
async fn exchange(
    connection: &mut NatsConnection,
    orders: Vec<EngineOrder>,
    number: u64,
    note: &mut impl FnMut(&[u8]),
) -> std::result::Result<(), Lost> {
    let mut orders = orders.into_iter();
    let until_answered = poll_fn(|cx| {
        loop {
            connection.poll_orders(cx, MonotonicNs::now(), || orders.next())?;
            connection.poll_messages(cx, |payload| note(&payload))?;
            connection.poll_events(cx)?;
            let answered: Vec<u64> = connection.take_answered().collect();
            if answered.contains(&number) {
                return Poll::Ready(Ok(()));
            }
            if answered.is_empty() {
                return Poll::Pending;
            }
        }
    });
    match timeout(ENGINE_ROUND_TRIP_MAX, until_answered).await {
        Ok(done) => done,
        Err(_) => Err(Lost(format!("the server does not answer within {ENGINE_ROUND_TRIP_MAX:?}"))),
    }
}
