//! The figures of one moment as they are shown: rows of cells, and the columns in which they stand.

use serde_json::Value;

use super::super::amounts::{bytes, count, figure, id, word};
use super::super::session_cells::SessionCells;
use super::super::table::Align;
use crate::printable::printable;

/// A column of a list.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Column {
    pub(super) title: &'static str,
    pub(super) align: Align,
    /// Width of its cells where there is room; words are cut off beyond it.
    pub(super) width: u16,
    /// Width below which it is of no use.
    pub(super) least: u16,
    /// Columns leave a narrow terminal in this order, the highest first; those with 0 stay.
    pub(super) rank: u8,
}

const fn words(title: &'static str, (least, width): (u16, u16), rank: u8) -> Column {
    Column { title, align: Align::Left, width, least, rank }
}

const fn number(title: &'static str, width: u16, rank: u8) -> Column {
    Column { title, align: Align::Right, width, least: width, rank }
}

/// The columns of shards.
pub(super) const SHARDS: [Column; 10] = [
    number("SHARD", 5, 0),
    number("CORE", 4, 6),
    number("BUSY", 5, 1),
    number("SESSIONS", 8, 3),
    number("IN/S", 7, 2),
    number("OUT/S", 7, 0),
    number("BYTES OUT/S", 11, 5),
    number("WAITING", 8, 4),
    number("LINKS", 6, 7),
    number("DROPS/S", 7, 2),
];

/// The columns of sessions. `SESSION` is the number by which `corecast kick` ends one.
pub(super) const SESSIONS: [Column; 11] = [
    words("SESSION", (16, 16), 6),
    words("NAME", (12, 24), 0),
    words("USER", (8, 12), 5),
    words("ADDRESS", (21, 21), 4),
    words("KIND", (6, 6), 8),
    number("LAG", 6, 0),
    number("WAITING", 7, 1),
    number("BYTES", 8, 7),
    number("OUT/S", 7, 2),
    number("DROPS", 6, 3),
    words("FILTERS", (13, 60), 9),
];

/// The columns of topics.
pub(super) const TOPICS: [Column; 3] =
    [words("TOPIC", (13, 60), 0), number("IN/S", 7, 0), number("SUBSCRIBERS", 11, 1)];

/// Figures of one moment. No cell has anything that acts on a terminal.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub(super) struct Live {
    version: String,
    sums: [String; 4],
    sessions_total: String,
    /// Shards whose cores something else has.
    starved: usize,
    pub(super) has_drops: bool,
    pub(super) shards: Vec<[String; SHARDS.len()]>,
    pub(super) sessions: Vec<[String; SESSIONS.len()]>,
    pub(super) topics: Vec<[String; TOPICS.len()]>,
}

impl Live {
    /// The figures of an object of the API.
    pub(super) fn of(object: &Value) -> Self {
        let rows = |name: &str| object[name].as_array().map_or(&[][..], Vec::as_slice);
        let sum = |name: &str| rows("shards").iter().map(|row| figure(row, name)).sum::<f64>();
        Live {
            version: safe(word(object, "version")),
            sums: [
                count(sum("messages_in_per_second")),
                count(sum("messages_out_per_second")),
                bytes(sum("waiting_bytes")),
                count(sum("drops_per_second")),
            ],
            sessions_total: count(figure(object, "sessions_total")),
            starved: rows("shards").iter().filter(|row| row["starved"] == true).count(),
            has_drops: sum("drops_per_second") > 0.0,
            shards: rows("shards").iter().map(shard).collect(),
            sessions: rows("slowest").iter().map(session).collect(),
            topics: rows("topics").iter().map(topic).collect(),
        }
    }

    /// All shards together, in a line that has room in so many columns: what matters most is left over.
    pub(super) fn summary(&self, columns: usize) -> String {
        let [published, delivered, waiting, drops] = &self.sums;
        let (version, sessions) = (&self.version, &self.sessions_total);
        let starved = match (self.starved, self.shards.len()) {
            (0, _) => String::new(),
            (starved, shards) => format!(", {starved} of {shards} shards starved"),
        };
        let all = format!(
            "{published} in/s, {delivered} out/s, {sessions} sessions, {waiting} waiting, {drops} drops/s{starved}"
        );
        let most = if self.has_drops { format!("{drops} drops/s") } else { format!("{delivered} out/s") };
        let lines =
            [format!("corecast {version}: {all}"), all, format!("{delivered} out/s, {drops} drops/s")];
        lines.into_iter().find(|line| line.chars().count() <= columns).unwrap_or(most)
    }
}

/// Text of peers without anything that acts on a terminal.
fn safe(text: &str) -> String {
    printable(text).to_string()
}

fn shard(row: &Value) -> [String; SHARDS.len()] {
    let share = row["busy_share"].as_f64().map_or("-".to_owned(), |share| format!("{:.0} %", 100.0 * share));
    [
        id(row, "shard"),
        id(row, "core"),
        share,
        count(figure(row, "sessions")),
        count(figure(row, "messages_in_per_second")),
        count(figure(row, "messages_out_per_second")),
        bytes(figure(row, "bytes_out_per_second")),
        bytes(figure(row, "waiting_bytes")),
        count(figure(row, "link_items")),
        count(figure(row, "drops_per_second")),
    ]
}

fn session(session: &Value) -> [String; SESSIONS.len()] {
    let row = SessionCells::of(session);
    [
        safe(word(session, "session")),
        safe(&row.name),
        safe(&row.user),
        safe(&row.address),
        safe(&row.kind),
        row.lag,
        row.waiting_messages,
        row.waiting_bytes,
        row.messages_out,
        row.drops,
        safe(&row.filters),
    ]
}

fn topic(row: &Value) -> [String; TOPICS.len()] {
    [safe(word(row, "topic")), count(figure(row, "messages_per_second")), count(figure(row, "subscribers"))]
}

#[cfg(test)]
pub(super) mod tests {
    use serde_json::json;

    use super::*;

    /// A broker with so many shards, sessions and topics, one of which would like to write into the terminal.
    pub(in super::super) fn live(rows: usize) -> Live {
        let shard = |n: usize| {
            json!({ "shard": n, "core": n, "busy_share": 0.25, "sessions": 12, "messages_in_per_second": 1_000.0,
                    "messages_out_per_second": 12_345.0, "bytes_out_per_second": 1e6, "waiting_bytes": 2_048,
                    "link_items": 3, "drops_per_second": 0.0 })
        };
        let session = |n: usize| {
            json!({ "session": format!("{n:016x}"), "name": format!("session {n}\u{1b}[2J"), "user": null, "address": "192.0.2.1:4711", "kind": "native",
                    "lag_seconds": 1.5, "waiting_messages": 17, "waiting_bytes": 4_096,
                    "messages_out_per_second": 10.0, "drops": 3, "filters": { "count": 1, "first": ["prices.>"] } })
        };
        let topic = |n: usize| json!({ "topic": format!("prices.{n}"), "messages_per_second": 500.0, "subscribers": 2 });
        Live::of(&json!({
            "version": "0.1.0",
            "sessions_total": 1_234,
            "shards": (0..rows).map(shard).collect::<Vec<_>>(),
            "slowest": (0..rows).map(session).collect::<Vec<_>>(),
            "topics": (0..rows).map(topic).collect::<Vec<_>>(),
        }))
    }

    #[test]
    fn an_object_is_rows_without_anything_that_acts() {
        let live = live(2);
        assert_eq!(
            live.summary(80),
            "corecast 0.1.0: 2 k in/s, 25 k out/s, 1.2 k sessions, 4 KiB waiting, 0 drops/s"
        );
        assert_eq!(live.summary(70), "2 k in/s, 25 k out/s, 1.2 k sessions, 4 KiB waiting, 0 drops/s");
        assert_eq!(
            [30, 20, 1].map(|columns| live.summary(columns)),
            ["25 k out/s, 0 drops/s", "25 k out/s", "25 k out/s"]
        );
        let starving = Live { starved: 1, ..live.clone() };
        assert!(
            starving.summary(100).ends_with("0 drops/s, 1 of 2 shards starved"),
            "{}",
            starving.summary(100)
        );
        assert_eq!(starving.summary(30), "25 k out/s, 0 drops/s");
        let dropping = Live { has_drops: true, ..live.clone() };
        assert_eq!(dropping.summary(20), "0 drops/s");
        assert_eq!(live.sessions[1][..2], ["0000000000000001", "session 1\\x1b[2J"]);
        assert_eq!(live.topics[0], ["prices.0", "500", "2"].map(str::to_owned));
    }

    #[test]
    fn numbers_of_shards_are_written_in_full() {
        let row = json!({ "shard": 1_023, "core": 1_000, "starved": true });
        let live = Live::of(&json!({ "shards": [row] }));
        assert_eq!(live.shards[0][..2], ["1023", "1000"]);
        assert!(live.summary(usize::MAX).ends_with("1 of 1 shards starved"), "{live:?}");
    }

    #[test]
    fn what_is_missing_is_a_dash_or_nothing() {
        for object in [json!({}), json!({ "shards": 1, "slowest": [1, null], "topics": [{ "topic": 7 }] })] {
            let live = Live::of(&object);
            assert!(live.summary(80).starts_with("corecast -: 0 in/s"), "{}", live.summary(80));
        }
    }
}
