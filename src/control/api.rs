//! The answers of the API under `/api/v1`: rows of shards, sessions, topics and direct publishers, and orders of operators. All
//! are JSON objects; `docs/API.md` has every field.

use std::sync::Arc;

use ahash::AHashMap;
use hyper::StatusCode;
use serde_json::{Value, json};

use super::api_answer::{Answered, ApiAnswer, fault, fine};
use super::census::{Operations, SessionRow, ShardRow, Snapshot, TopicRow};
use super::figures::SessionDetails;
use super::history_page;
use super::json_rows::{JsonPublisher, JsonSession, JsonShard, JsonTopic};
use super::look::{Look, Whom};
use super::query::{Query, QueryFault};
use crate::ids::{NotANumber, PublisherId, SessionNumber};
use crate::limits::{API_ROWS_DEFAULT, API_ROWS_MAX, CENSUS_FILTERS_SHOWN_MAX};
use crate::topic::Filter;

/// The part of the path before its own.
const PREFIX: &str = "/api/v1/";

/// A page of the API.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum ApiPage {
    Shards,
    Sessions,
    Topics,
    Publishers,
    Kick,
    Live,
    History,
    ClearHistory,
}

impl ApiPage {
    /// Every page, with its name in the path.
    const NAMES: [(&'static str, ApiPage); 8] = [
        ("shards", ApiPage::Shards),
        ("sessions", ApiPage::Sessions),
        ("topics", ApiPage::Topics),
        ("publishers", ApiPage::Publishers),
        ("kick", ApiPage::Kick),
        ("live", ApiPage::Live),
        ("history", ApiPage::History),
        ("history/clear", ApiPage::ClearHistory),
    ];

    pub(super) fn at(path: &str) -> Option<ApiPage> {
        let name = path.strip_prefix(PREFIX)?;
        Self::NAMES.iter().find(|(own, _)| *own == name).map(|(_, page)| *page)
    }

    /// True if it gives an order, which is for operators.
    pub(super) fn is_order(self) -> bool {
        matches!(self, ApiPage::Kick | ApiPage::ClearHistory)
    }
}

/// The answer to a request for this page.
pub(super) async fn answer(operations: &Operations, page: ApiPage, query: Option<&str>) -> ApiAnswer {
    let answered = match page {
        ApiPage::Shards => shards(operations, query).await,
        ApiPage::Sessions => sessions(operations, query).await,
        ApiPage::Topics => topics(operations, query).await,
        ApiPage::Publishers => publishers(operations, query).await,
        ApiPage::Kick => kick(operations, query).await,
        ApiPage::Live => live_page(operations, query).await,
        ApiPage::History => history_page::history(operations, query).await,
        ApiPage::ClearHistory => history_page::clear(operations, query).await,
    };
    match answered {
        Ok(Some(answer)) => answer,
        Ok(None) => fault(StatusCode::SERVICE_UNAVAILABLE, "the broker is stopping"),
        Err(QueryFault(text)) => fault(StatusCode::BAD_REQUEST, &text),
    }
}

async fn shards(operations: &Operations, query: Option<&str>) -> Answered {
    Query::parse(query, &[])?;
    let Some(snapshot) = operations.snapshot().await else { return Ok(None) };
    let rows = shard_rows(operations, &snapshot);
    fine(json!({
        "taken_at_unix_seconds": unix_seconds(&snapshot),
        "rates_over_seconds": snapshot.period.as_secs_f64(),
        "total": operations.cores().len(),
        "shards": rows,
    }))
}

fn shard_rows(operations: &Operations, snapshot: &Snapshot) -> Vec<JsonShard> {
    let core = |row: &ShardRow| operations.cores().get(usize::from(row.figures.shard.0)).map(|core| core.0);
    snapshot.shards.iter().map(|row| JsonShard::of(row, core(row))).collect()
}

fn unix_seconds(snapshot: &Snapshot) -> f64 {
    snapshot.taken_unix.as_secs_f64()
}

/// The figure by which rows are sorted.
type SessionKey = fn(&SessionRow, &Snapshot) -> f64;

/// The names of figures by which sessions are sorted. The default is first.
const SESSION_KEYS: &[(&str, SessionKey)] = &[
    ("id", |_, _| 0.0),
    ("lag", |row, at| row.lag((at.taken_at, at.taken_unix)).as_secs_f64()),
    ("stalled", |row, at| row.stalled(at.taken_at).as_secs_f64()),
    ("waiting_messages", |row, _| row.figures.waiting_messages as f64),
    ("waiting_bytes", |row, _| row.figures.waiting_bytes as f64),
    ("messages_in", |row, _| row.rates.messages_in),
    ("messages_out", |row, _| row.rates.messages_out),
    ("bytes_in", |row, _| row.rates.bytes_in),
    ("bytes_out", |row, _| row.rates.bytes_out),
    ("drops", |row, _| row.figures.tally.drops as f64),
    ("gaps_told", |row, _| row.figures.tally.gaps_told as f64),
    ("filters", |row, _| row.figures.filters as f64),
    ("age", |row, at| at.taken_at.saturating_since(row.figures.tally.opened).as_secs_f64()),
];

/// The order of sorted rows.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Order {
    Rising,
    Falling,
}

/// A part of the rows.
struct Paging {
    offset: usize,
    limit: usize,
}

impl Paging {
    fn of(query: &Query) -> Result<Self, QueryFault> {
        Ok(Paging {
            offset: query.number("offset", (0, usize::MAX), 0)?,
            limit: query.number("limit", (1, API_ROWS_MAX), API_ROWS_DEFAULT)?,
        })
    }

    /// The offset of the rows behind these, if there are any.
    fn next(&self, total: usize) -> Option<usize> {
        self.offset.checked_add(self.limit).filter(|next| *next < total)
    }

    fn cut<T>(&self, rows: Vec<T>) -> Vec<T> {
        rows.into_iter().skip(self.offset).take(self.limit).collect()
    }
}

async fn sessions(operations: &Operations, query: Option<&str>) -> Answered {
    let query = Query::parse(query, &["sort", "order", "limit", "offset", "shard", "kind", "session"])?;
    let paging = Paging::of(&query)?;
    let key = query.word("sort", SESSION_KEYS)?;
    let is_by_id = query.get("sort").is_none_or(|sort| sort == "id");
    // The largest are of interest.
    let usual = if is_by_id { Order::Rising } else { Order::Falling };
    let order = query.word("order", &[("", usual), ("asc", Order::Rising), ("desc", Order::Falling)])?;
    let shard =
        query.get("shard").map(|_| query.number("shard", (0, usize::from(u16::MAX)), 0)).transpose()?;
    let kinds = [("", None), ("native", Some("native")), ("zmtp", Some("zmtp")), ("relay", Some("relay"))];
    let kind = query.word("kind", &kinds)?;
    let number = query.get("session").map(session_number).transpose()?;
    let Some(snapshot) = operations.snapshot().await else { return Ok(None) };
    let is_wanted = |row: &&SessionRow| {
        let figures = &row.figures;
        shard.is_none_or(|shard| usize::from(figures.place.0.0) == shard)
            && kind.is_none_or(|kind| figures.kind == kind)
            && number.is_none_or(|number| figures.number == number)
    };
    let wanted: Vec<&SessionRow> = snapshot.sessions.iter().filter(is_wanted).collect();
    let total = wanted.len();
    let page = paging.cut(sorted(wanted, (key, is_by_id), order, &snapshot));
    let rows = session_rows(operations, &snapshot, &page).await;
    fine(json!({
        "taken_at_unix_seconds": unix_seconds(&snapshot),
        "rates_over_seconds": snapshot.period.as_secs_f64(),
        "total": total,
        "offset": paging.offset,
        "next_offset": paging.next(total),
        "sessions": rows,
    }))
}

fn sorted<'a>(
    mut rows: Vec<&'a SessionRow>,
    (key, is_by_id): (SessionKey, bool),
    order: Order,
    snapshot: &Snapshot,
) -> Vec<&'a SessionRow> {
    rows.sort_by_cached_key(|row| {
        // Figures are not negative, so their bits have their order.
        let (figure, number) = (key(row, snapshot).to_bits(), row.figures.number.0);
        match order {
            Order::Rising => (figure, number),
            // Of equals the one with the lower number comes first, unless they are sorted by that.
            Order::Falling => (!figure, if is_by_id { !number } else { number }),
        }
    });
    rows
}

/// The rows of these sessions, with their details: those that have ended meanwhile are left out.
async fn session_rows(
    operations: &Operations,
    snapshot: &Snapshot,
    rows: &[&SessionRow],
) -> Vec<JsonSession> {
    let places: Arc<[_]> = rows.iter().map(|row| row.figures.place).collect();
    let details = operations.look(|answer| Look::Details(places, answer)).await;
    let details: AHashMap<SessionNumber, SessionDetails> =
        details.into_iter().flatten().map(|details| (details.number, details)).collect();
    let known = |row: &&SessionRow| {
        details.get(&row.figures.number).map(|details| JsonSession::of(row, details, snapshot))
    };
    rows.iter().filter_map(known).collect()
}

fn session_number(text: &str) -> Result<SessionNumber, QueryFault> {
    text.parse()
        .map_err(|NotANumber| QueryFault("`session` is the 16 hexadecimal digits of a session".to_owned()))
}

/// Rows of each kind that a live view has by itself: a screen of them.
pub(super) const LIVE_ROWS: usize = 20;

async fn live_page(operations: &Operations, query: Option<&str>) -> Answered {
    let limit = Query::parse(query, &["limit"])?.number("limit", (1, API_ROWS_MAX), LIVE_ROWS)?;
    Ok(live(operations, limit).await.map(|live| (StatusCode::OK, live)))
}

/// All that a live view shows: shards, the slowest sessions, and the topics with the highest rates. `None`: the broker is gone.
pub(super) async fn live(operations: &Operations, limit: usize) -> Option<Value> {
    let snapshot = operations.snapshot().await?;
    let lag: SessionKey = |row, at| row.lag((at.taken_at, at.taken_unix)).as_secs_f64();
    let mut slowest = sorted(snapshot.sessions.iter().collect(), (lag, false), Order::Falling, &snapshot);
    slowest.truncate(limit);
    let topics: Vec<&TopicRow> = snapshot.topics.iter().take(limit).collect();
    Some(json!({
        "taken_at_unix_seconds": unix_seconds(&snapshot),
        "rates_over_seconds": snapshot.period.as_secs_f64(),
        "version": env!("CARGO_PKG_VERSION"),
        "sessions_total": snapshot.sessions.len(),
        "topics_total": snapshot.topics.len(),
        "shards": shard_rows(operations, &snapshot),
        "slowest": session_rows(operations, &snapshot, &slowest).await,
        "topics": topic_rows(operations, &topics).await,
    }))
}

async fn topics(operations: &Operations, query: Option<&str>) -> Answered {
    let query = Query::parse(query, &["sort", "limit", "offset", "filter"])?;
    let paging = Paging::of(&query)?;
    let is_by_name = query.word("sort", &[("rate", false), ("topic", true)])?;
    let filter = query.get("filter").map(Filter::parse).transpose().map_err(|e| QueryFault(e.to_string()))?;
    let Some(snapshot) = operations.snapshot().await else { return Ok(None) };
    let is_wanted = |row: &&TopicRow| filter.as_ref().is_none_or(|filter| filter.matches(&row.topic));
    let mut wanted: Vec<&TopicRow> = snapshot.topics.iter().filter(is_wanted).collect();
    if is_by_name {
        wanted.sort_unstable_by(|a, b| a.topic.cmp(&b.topic));
    }
    let total = wanted.len();
    let rows = topic_rows(operations, &paging.cut(wanted)).await;
    fine(json!({
        "taken_at_unix_seconds": unix_seconds(&snapshot),
        "rates_over_seconds": snapshot.period.as_secs_f64(),
        "total": total,
        "offset": paging.offset,
        "next_offset": paging.next(total),
        "topics": rows,
    }))
}

async fn topic_rows(operations: &Operations, rows: &[&TopicRow]) -> Vec<JsonTopic> {
    let topics: Arc<[_]> = rows.iter().map(|row| row.topic.clone()).collect();
    let counts = operations.look(|answer| Look::Audience(topics, answer)).await;
    let subscribers = |at: usize| counts.iter().filter_map(|counts| counts.get(at)).sum();
    rows.iter().enumerate().map(|(at, row)| JsonTopic::of(row, subscribers(at))).collect()
}

async fn publishers(operations: &Operations, query: Option<&str>) -> Answered {
    let query = Query::parse(query, &["limit", "after"])?;
    let limit = query.number("limit", (1, API_ROWS_MAX), API_ROWS_DEFAULT)?;
    let after: Option<PublisherId> =
        query.get("after").map(str::parse).transpose().map_err(|NotANumber| {
            QueryFault("`after` is the 16 hexadecimal digits of a publisher".to_owned())
        })?;
    let pages = operations.look(|answer| Look::Registry(after, limit, answer)).await;
    let Some(page) = pages.into_iter().next() else { return Ok(None) };
    let row = |figures| JsonPublisher::of(figures, CENSUS_FILTERS_SHOWN_MAX);
    fine(json!({
        "total": page.total,
        "next_after": page.last.map(|last| last.to_string()),
        "publishers": page.publishers.iter().map(row).collect::<Vec<_>>(),
    }))
}

async fn kick(operations: &Operations, query: Option<&str>) -> Answered {
    let query = Query::parse(query, &["session", "user"])?;
    let whom = match (query.get("session"), query.get("user")) {
        (Some(number), None) => Whom::Session(session_number(number)?),
        (None, Some(name)) if !name.is_empty() => Whom::User(name.into()),
        _ => return Err(QueryFault("name a `session` or a `user`, and not both".to_owned())),
    };
    let whom = Arc::new(whom);
    let kicked = operations.look(|answer| Look::Kick(Arc::clone(&whom), answer)).await;
    let mut numbers: Vec<String> = kicked.into_iter().flatten().map(|number| number.to_string()).collect();
    // One that moves is at two places.
    numbers.sort_unstable();
    numbers.dedup();
    tracing::info!(?whom, sessions = numbers.len(), "sessions were ended by an operator");
    match &*whom {
        Whom::Session(number) if numbers.is_empty() => {
            Ok(Some(fault(StatusCode::NOT_FOUND, &format!("no session {number} is here"))))
        }
        Whom::Session(_) | Whom::User(_) => fine(json!({ "kicked": numbers })),
    }
}
