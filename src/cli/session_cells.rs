//! Owns how a session of the API is written for people: the words that `sessions` and `top` have in common.

use serde_json::Value;

use super::amounts::{bytes, count, figure, span, word};

/// A session in short words. What its peer has said is as it was, and may act on a terminal.
pub(super) struct SessionCells {
    pub(super) name: String,
    pub(super) user: String,
    pub(super) address: String,
    pub(super) kind: String,
    pub(super) messages_in: String,
    pub(super) messages_out: String,
    pub(super) waiting_messages: String,
    pub(super) waiting_bytes: String,
    pub(super) lag: String,
    pub(super) drops: String,
    pub(super) filters: String,
}

impl SessionCells {
    pub(super) fn of(session: &Value) -> Self {
        let filters = &session["filters"];
        let first: Vec<&str> =
            filters["first"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
        let others = filters["count"].as_u64().unwrap_or(0).saturating_sub(first.len() as u64);
        let more = if others > 0 { format!(" and {others} more") } else { String::new() };
        SessionCells {
            name: word(session, "name").to_owned(),
            user: word(session, "user").to_owned(),
            // A peer at a Unix socket has none.
            address: session["address"].as_str().unwrap_or("local").to_owned(),
            kind: word(session, "kind").to_owned(),
            messages_in: count(figure(session, "messages_in_per_second")),
            messages_out: count(figure(session, "messages_out_per_second")),
            waiting_messages: count(figure(session, "waiting_messages")),
            waiting_bytes: bytes(figure(session, "waiting_bytes")),
            lag: span(figure(session, "lag_seconds")),
            drops: count(figure(session, "drops")),
            filters: format!("{}{more}", first.join(" ")),
        }
    }
}
