//! The rows of the API as JSON has them: `docs/API.md` says what each means. Text of peers is escaped where it is written.

use std::net::SocketAddr;

use serde::Serialize;

use super::census::{Rates, SessionRow, ShardRow, Snapshot, TopicRow};
use super::figures::{PublisherFigures, SessionDetails};
use crate::limits::CENSUS_FILTER_BYTES_SHOWN_MAX;
use crate::topic::Filter;

/// Rates of a second.
#[derive(Serialize, Debug)]
pub(super) struct JsonRates {
    messages_in_per_second: f64,
    bytes_in_per_second: f64,
    messages_out_per_second: f64,
    bytes_out_per_second: f64,
    drops_per_second: f64,
}

impl JsonRates {
    fn of(rates: Rates, drops_per_second: f64) -> Self {
        JsonRates {
            messages_in_per_second: rounded(rates.messages_in),
            bytes_in_per_second: rounded(rates.bytes_in),
            messages_out_per_second: rounded(rates.messages_out),
            bytes_out_per_second: rounded(rates.bytes_out),
            drops_per_second: rounded(drops_per_second),
        }
    }
}

/// Three digits behind the point: the others are noise.
fn rounded(number: f64) -> f64 {
    (number * 1e3).round() / 1e3
}

#[derive(Serialize, Debug)]
pub(super) struct JsonShard {
    shard: u16,
    core: Option<u32>,
    sessions: u64,
    publishers: u64,
    strangers: u64,
    subscriptions: u64,
    #[serde(flatten)]
    rates: JsonRates,
    messages_in: u64,
    messages_out: u64,
    bytes_in: u64,
    bytes_out: u64,
    drops: u64,
    gaps_told: u64,
    waiting_messages: u64,
    waiting_bytes: u64,
    link_items: u64,
    /// `None`: the kernel does not count it.
    busy_share: Option<f64>,
    core_wait_share: Option<f64>,
    starved: bool,
}

impl JsonShard {
    pub(super) fn of(row: &ShardRow, core: Option<u32>) -> Self {
        let figures = &row.figures;
        JsonShard {
            shard: figures.shard.0,
            core,
            sessions: row.sessions,
            publishers: row.publishers,
            strangers: figures.strangers,
            subscriptions: figures.subscriptions,
            rates: JsonRates::of(row.rates, row.drops_per_second),
            messages_in: figures.messages_in,
            messages_out: figures.messages_out,
            bytes_in: figures.bytes_in,
            bytes_out: figures.bytes_out,
            drops: figures.drops,
            gaps_told: figures.gaps_told,
            waiting_messages: row.waiting_messages,
            waiting_bytes: row.waiting_bytes,
            link_items: figures.link_items,
            busy_share: row.shares.map(|(ran, _)| rounded(ran)),
            core_wait_share: row.shares.map(|(_, waited)| rounded(waited)),
            starved: figures.is_starved,
        }
    }
}

#[derive(Serialize, Debug)]
struct JsonFilters {
    count: usize,
    first: Vec<String>,
}

#[derive(Serialize, Debug)]
pub(super) struct JsonSession {
    session: String,
    shard: u16,
    kind: &'static str,
    state: &'static str,
    name: Option<String>,
    user: Option<String>,
    address: Option<SocketAddr>,
    policy: &'static str,
    age_seconds: f64,
    filters: JsonFilters,
    #[serde(flatten)]
    rates: JsonRates,
    messages_in: u64,
    messages_out: u64,
    bytes_in: u64,
    bytes_out: u64,
    waiting_messages: u64,
    waiting_bytes: u64,
    lag_seconds: f64,
    stalled_seconds: f64,
    held: bool,
    drops: u64,
    gaps_told: u64,
    slow_spells: u32,
    moves: u32,
}

impl JsonSession {
    pub(super) fn of(row: &SessionRow, details: &SessionDetails, snapshot: &Snapshot) -> Self {
        let (figures, tally) = (&row.figures, &row.figures.tally);
        let now = snapshot.taken_at;
        JsonSession {
            session: figures.number.to_string(),
            shard: figures.place.0.0,
            kind: figures.kind,
            state: figures.phase,
            name: details.client.as_deref().map(str::to_owned),
            user: details.identity.user().map(str::to_owned),
            address: details.identity.address(),
            policy: details.policy.name(),
            age_seconds: rounded(now.saturating_since(tally.opened).as_secs_f64()),
            filters: JsonFilters {
                count: figures.filters,
                first: details.filters.iter().map(shown).collect(),
            },
            rates: JsonRates::of(row.rates, row.drops_per_second),
            messages_in: tally.messages_in,
            messages_out: tally.messages_out,
            bytes_in: tally.bytes_in,
            bytes_out: tally.bytes_out,
            waiting_messages: figures.waiting_messages,
            waiting_bytes: figures.waiting_bytes,
            lag_seconds: rounded(row.lag((now, snapshot.taken_unix)).as_secs_f64()),
            stalled_seconds: rounded(row.stalled(now).as_secs_f64()),
            held: figures.is_held,
            drops: tally.drops,
            gaps_told: tally.gaps_told,
            slow_spells: tally.slow_spells,
            moves: tally.moves,
        }
    }
}

/// A filter, or as much of it as is shown.
fn shown(filter: &Filter) -> String {
    let text = filter.text();
    if text.len() <= CENSUS_FILTER_BYTES_SHOWN_MAX {
        return text.into_owned();
    }
    let end = (0..=CENSUS_FILTER_BYTES_SHOWN_MAX).rev().find(|at| text.is_char_boundary(*at)).unwrap_or(0);
    format!("{}...", &text[..end])
}

#[derive(Serialize, Debug)]
pub(super) struct JsonTopic {
    topic: String,
    messages_per_second: f64,
    messages: u64,
    subscribers: u64,
}

impl JsonTopic {
    pub(super) fn of(row: &TopicRow, subscribers: u64) -> Self {
        JsonTopic {
            topic: String::from_utf8_lossy(&row.topic).into_owned(),
            messages_per_second: rounded(row.messages_per_second),
            messages: row.messages,
            subscribers,
        }
    }
}

#[derive(Serialize, Debug)]
pub(super) struct JsonPublisher {
    publisher: String,
    epoch: u64,
    endpoints: Vec<String>,
    topics: JsonFilters,
    user: Option<String>,
    address: Option<SocketAddr>,
    lease_left_seconds: f64,
}

impl JsonPublisher {
    pub(super) fn of(row: &PublisherFigures, topics_shown: usize) -> Self {
        let PublisherFigures { registration, registrant, lease_left } = row;
        JsonPublisher {
            publisher: registration.publisher.to_string(),
            epoch: registration.epoch,
            endpoints: registration.endpoints.iter().map(ToString::to_string).collect(),
            topics: JsonFilters {
                count: registration.topics.len(),
                first: registration.topics.iter().take(topics_shown).map(shown).collect(),
            },
            user: registrant.as_ref().and_then(|peer| peer.user()).map(str::to_owned),
            address: registrant.as_ref().and_then(|peer| peer.address()),
            lease_left_seconds: rounded(lease_left.as_secs_f64()),
        }
    }
}
