//! The history of a broker under `/api/v1`: the topics of which it keeps some, by pages, and the order to give it up.

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;
use corecast_executors::MonotonicNs;
#[cfg(feature = "nats")]
use hyper::StatusCode;
use serde::Serialize;
use serde_json::json;

use super::api_answer::{Answered, fine};
#[cfg(feature = "nats")]
use super::api_answer::{ApiAnswer, fault};
use super::census::Operations;
#[cfg(feature = "nats")]
use super::engine_view::EngineQuestions;
use super::figures::{HistoryFigures, KeptFigures};
use super::look::{HistoryQuestion, Look};
use super::query::{Query, QueryFault};
use crate::limits::{API_ROWS_DEFAULT, API_ROWS_MAX, TOPIC_BYTES_MAX};
use crate::topic::Filter;

/// Topics of which history is kept.
pub(super) async fn history(operations: &Operations, query: Option<&str>) -> Answered {
    let query = Query::parse(query, &["filter", "limit", "after"])?;
    let most = query.number("limit", (1, API_ROWS_MAX), API_ROWS_DEFAULT)?;
    let filter = query.get("filter").map_or_else(|| Ok(Filter::everything()), Filter::parse);
    let filter = filter.map_err(|e| QueryFault(e.to_string()))?;
    let behind = query.get("after").map(place_of).transpose()?;
    let question = Arc::new(HistoryQuestion { filter, behind, most });
    let all = operations.look(|answer| Look::History(question, answer)).await;
    if all.is_empty() {
        return Ok(None);
    }
    let sum = |of: fn(&HistoryFigures) -> u64| all.iter().map(of).sum::<u64>();
    let kept = json!({
        "messages": sum(|shard| shard.messages),
        "bytes": sum(|shard| shard.bytes),
        "bytes_max": sum(|shard| shard.bytes_max),
        "given_up": sum(|shard| shard.given_up),
    });
    let (topics, last) = merged(all, most);
    let now = MonotonicNs::now();
    fine(json!({
        "kept": kept,
        "next_after": last.as_deref().map(text_of_place),
        "topics": topics.iter().map(|topic| JsonKept::of(topic, now)).collect::<Vec<_>>(),
    }))
}

/// The order to give up the history of topics.
pub(super) async fn clear(operations: &Operations, query: Option<&str>) -> Answered {
    let filter = Arc::new(filter_to_clear(query)?);
    let cleared = operations.look(|answer| Look::ClearHistory(Arc::clone(&filter), answer)).await;
    if cleared.is_empty() {
        return Ok(None);
    }
    let messages: u64 = cleared.iter().sum();
    tracing::info!(filter = %filter.text(), messages, "history was given up by an operator");
    fine(json!({ CLEARED: messages, "cleared_stored": false }))
}

/// The number of messages that were in memory, in the answer to such an order.
const CLEARED: &str = "cleared_messages";

fn filter_to_clear(query: Option<&str>) -> Result<Filter, QueryFault> {
    let query = Query::parse(query, &["filter"])?;
    let Some(text) = query.get("filter") else {
        return Err(QueryFault("name a `filter`; `>` is all history".to_owned()));
    };
    Filter::parse(text).map_err(|e| QueryFault(e.to_string()))
}

/// The same order for what is stored at the engine, if anything is: behind that to the broker, to which this was the answer.
#[cfg(feature = "nats")]
pub(super) async fn clear_stored(
    engine: &EngineQuestions,
    query: Option<&str>,
    (status, mut answer): ApiAnswer,
) -> ApiAnswer {
    let Ok(filter) = filter_to_clear(query) else { return (status, answer) };
    if status != StatusCode::OK {
        return (status, answer);
    }
    let filter = Arc::new(filter);
    let why = match engine.clear_stored(Arc::clone(&filter)).await {
        Some(Ok(is_stored)) => {
            answer["cleared_stored"] = is_stored.into();
            return (status, answer);
        }
        Some(Err(why)) => why,
        None => "the broker is stopping".to_owned(),
    };
    tracing::warn!(filter = %filter.text(), why, "stored history was not given up as an operator wants");
    let text =
        format!("{} messages in memory are given up, and what is stored is not: {why}", answer[CLEARED]);
    fault(StatusCode::SERVICE_UNAVAILABLE, &text)
}

/// The first topics of all shards, a row for each, and the last of them if there are more. A shard that has more than it gives has
/// given as many as there are rows, so that none before the last row is missing.
fn merged(all: Vec<HistoryFigures>, most: usize) -> (Vec<KeptFigures>, Option<Bytes>) {
    let has_more = all.iter().any(|shard| shard.has_more);
    let mut by_name: BTreeMap<Bytes, KeptFigures> = BTreeMap::new();
    for topic in all.into_iter().flat_map(|shard| shard.topics) {
        let both = match by_name.remove(&topic.topic) {
            Some(there) => there.and(topic),
            None => topic,
        };
        by_name.insert(both.topic.clone(), both);
    }
    let has_more = has_more || by_name.len() > most;
    let topics: Vec<KeptFigures> = by_name.into_values().take(most).collect();
    let last = topics.last().filter(|_| has_more).map(|topic| topic.topic.clone());
    (topics, last)
}

/// A place between pages as text: topics may be any bytes.
fn text_of_place(topic: &[u8]) -> String {
    topic.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn place_of(text: &str) -> Result<Bytes, QueryFault> {
    let digit = |byte: &u8| char::from(*byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
    let digits: Option<Vec<u8>> = text.as_bytes().iter().map(digit).collect();
    let digits = digits.filter(|digits| digits.len() % 2 == 0 && digits.len() <= 2 * TOPIC_BYTES_MAX);
    let bytes = digits.map(|digits| digits.chunks(2).map(|pair| pair[0] << 4 | pair[1]).collect());
    bytes.ok_or_else(|| QueryFault("`after` is the `next_after` of the page before".to_owned()))
}

/// The history of a topic as JSON has it.
#[derive(Serialize, Debug)]
struct JsonKept {
    topic: String,
    messages: u64,
    bytes: u64,
    oldest_seconds: f64,
    newest_seconds: f64,
}

impl JsonKept {
    fn of(kept: &KeptFigures, now: MonotonicNs) -> Self {
        let age = |at: MonotonicNs| (now.saturating_since(at).as_secs_f64() * 1e3).round() / 1e3;
        JsonKept {
            topic: String::from_utf8_lossy(&kept.topic).into_owned(),
            messages: kept.messages,
            bytes: kept.bytes,
            oldest_seconds: age(kept.oldest),
            newest_seconds: age(kept.newest),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shard(topics: &[(&'static str, u64)], has_more: bool) -> HistoryFigures {
        let row = |(name, messages): &(&'static str, u64)| KeptFigures {
            topic: Bytes::from_static(name.as_bytes()),
            messages: *messages,
            bytes: 10 * messages,
            oldest: MonotonicNs(100 - messages),
            newest: MonotonicNs(100 + messages),
        };
        HistoryFigures { topics: topics.iter().map(row).collect(), has_more, ..HistoryFigures::default() }
    }

    #[test]
    fn pages_of_several_shards_are_one_in_the_order_of_names() {
        let page = |shards: Vec<HistoryFigures>, most| {
            let (topics, last) = merged(shards, most);
            let rows: Vec<String> = topics
                .iter()
                .map(|row| format!("{}={}", String::from_utf8_lossy(&row.topic), row.messages))
                .collect();
            (rows.join(" "), last.map(|last| String::from_utf8_lossy(&last).into_owned()))
        };
        let one = || shard(&[("a", 1), ("c", 2)], false);
        assert_eq!(page(vec![one(), shard(&[("b", 3), ("c", 4)], false)], 9), ("a=1 b=3 c=6".into(), None));
        assert_eq!(page(vec![one(), shard(&[("b", 3)], false)], 2), ("a=1 b=3".into(), Some("b".into())));
        assert_eq!(page(vec![one(), shard(&[], false)], 2), ("a=1 c=2".into(), None));
        assert_eq!(page(vec![shard(&[("a", 1), ("b", 1)], true), one()], 2).1, Some("b".into()));
        let (both, _) = merged(vec![shard(&[("a", 1)], false), shard(&[("a", 3)], false)], 9);
        assert_eq!((both[0].bytes, both[0].oldest.0, both[0].newest.0), (40, 97, 103));
    }

    #[test]
    fn a_place_is_the_text_of_any_topic() {
        for topic in [&b"a.b"[..], b"\xff\0", b""] {
            assert_eq!(place_of(&text_of_place(topic)), Ok(Bytes::copy_from_slice(topic)));
        }
        for text in ["a", "xy", "0g", "\u{ff}0", &"00".repeat(TOPIC_BYTES_MAX + 1)] {
            assert!(place_of(text).is_err(), "{text}");
        }
    }
}
