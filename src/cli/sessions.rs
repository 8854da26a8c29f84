//! `corecast sessions`: the sessions of a running broker, with what each is sent, what waits for it and what it has lost.

use std::collections::HashSet;

use clap::{Args, ValueEnum};
use serde_json::Value;

use super::amounts::{figure, id, span, word};
use super::operator_args::OperatorArgs;
use super::output::{Format, json_line, note, print};
use super::session_cells::SessionCells;
use super::table::{Align, table};
use super::{Exit, Failure};
use crate::limits::{API_ROWS_DEFAULT, API_ROWS_MAX};

const EXAMPLES: &str = "\
Examples:
  corecast sessions --metrics 127.0.0.1:9680                    # in the order of their numbers
  corecast sessions --metrics 127.0.0.1:9680 --sort lag --limit 10
  corecast sessions --metrics uds:///run/corecast/http.sock -o json | jq -r 'select(.drops > 0) | .name'

LAG is the age of the oldest message that waits for the session, by its publisher's clock; WAITING is how many wait. A session \
that keeps up has neither.";

/// List the sessions of a running broker: rates, what waits, lag, drops.
#[derive(Args, Debug)]
#[command(after_help = EXAMPLES)]
pub(super) struct SessionsArgs {
    #[command(flatten)]
    operator: OperatorArgs,

    /// Figure to sort by: the largest first, but the id.
    #[arg(long, value_name = "FIGURE", default_value = "id")]
    sort: SessionSort,

    /// Most sessions to list.
    #[arg(long, value_name = "COUNT", default_value_t = API_ROWS_DEFAULT, value_parser = parse_limit)]
    limit: usize,

    /// Output format: text for a table, or json with one object per line.
    #[arg(short, long, value_name = "FORMAT", default_value = "text")]
    output: Format,
}

/// The figures by which sessions are sorted.
#[derive(Clone, Copy, PartialEq, Eq, Debug, ValueEnum)]
enum SessionSort {
    /// The session's number.
    Id,
    /// The age of the oldest message that waits.
    Lag,
    /// The time for which its connection has had no room.
    Stalled,
    /// Messages that wait.
    WaitingMessages,
    /// Bytes that wait.
    WaitingBytes,
    /// Messages that it publishes, a second.
    MessagesIn,
    /// Messages that it gets, a second.
    MessagesOut,
    /// Bytes that it sends, a second.
    BytesIn,
    /// Bytes that it gets, a second.
    BytesOut,
    /// Messages that it has lost.
    Drops,
    /// Gap notices that it was sent.
    GapsTold,
    /// Filters that it has.
    Filters,
    /// The time since it came.
    Age,
}

fn parse_limit(text: &str) -> Result<usize, String> {
    let limit = text.parse().ok().filter(|limit| *limit > 0);
    limit.ok_or_else(|| "a whole number from 1".to_owned())
}

pub(super) fn run(args: SessionsArgs) -> Result<Exit, Failure> {
    let (sessions, total) = listed(&args)?;
    let text: String = match args.output {
        Format::Json => sessions.iter().map(json_line).collect(),
        Format::Text => lines(&sessions),
    };
    print(text)?;
    if total > sessions.len() as u64 && sessions.len() >= args.limit {
        note(format!("{} of {total} sessions; --limit lists more", sessions.len()));
    }
    Ok(Exit::Fine)
}

/// The sessions that were asked for, page by page, and how many there are. One that moves to a later page meanwhile is listed once.
fn listed(args: &SessionsArgs) -> Result<(Vec<Value>, u64), Failure> {
    let sort =
        args.sort.to_possible_value().map_or_else(String::new, |value| value.get_name().replace('-', "_"));
    let (mut sessions, mut seen, mut offset) = (Vec::new(), HashSet::new(), 0);
    loop {
        let limit = (args.limit - sessions.len()).min(API_ROWS_MAX);
        let request = format!("GET /api/v1/sessions?sort={sort}&limit={limit}&offset={offset}");
        let mut page = args.operator.ask_for_object(&request)?;
        let rows = page["sessions"].take();
        for row in rows.as_array().into_iter().flatten() {
            if seen.insert(word(row, "session").to_owned()) {
                sessions.push(row.clone());
            }
        }
        match page["next_offset"].as_u64() {
            Some(next) if next > offset && sessions.len() < args.limit => offset = next,
            _ => return Ok((sessions, page["total"].as_u64().unwrap_or(0))),
        }
    }
}

/// The table of these sessions.
fn lines(sessions: &[Value]) -> String {
    use Align::{Left, Right};
    let header = [
        ("SESSION", Left),
        ("SHARD", Right),
        ("KIND", Left),
        ("AGE", Right),
        ("IN/S", Right),
        ("OUT/S", Right),
        ("WAITING", Right),
        ("BYTES", Right),
        ("LAG", Right),
        ("DROPS", Right),
        ("USER", Left),
        ("ADDRESS", Left),
        ("NAME", Left),
        ("FILTERS", Left),
    ];
    let rows: Vec<[String; 14]> = sessions.iter().map(cells).collect();
    table(header, &rows)
}

fn cells(session: &Value) -> [String; 14] {
    let row = SessionCells::of(session);
    [
        word(session, "session").to_owned(),
        id(session, "shard"),
        row.kind,
        span(figure(session, "age_seconds")),
        row.messages_in,
        row.messages_out,
        row.waiting_messages,
        row.waiting_bytes,
        row.lag,
        row.drops,
        row.user,
        row.address,
        row.name,
        row.filters,
    ]
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_session_is_a_line_and_does_nothing_to_the_terminal() {
        let session = json!({
            "session": "0001000000000002", "shard": 1023, "kind": "native", "age_seconds": 75.2,
            "messages_in_per_second": 0.0, "messages_out_per_second": 1234.5, "waiting_messages": 17,
            "waiting_bytes": 2048, "lag_seconds": 0.25, "drops": 3, "user": null, "address": "127.0.0.1:4711",
            "name": "quotes\n\x1b[2J", "filters": { "count": 3, "first": ["a", "b.>"] },
        });
        let wanted = "\
SESSION           SHARD  KIND    AGE   IN/S  OUT/S  WAITING  BYTES  LAG     DROPS  USER  ADDRESS         NAME              FILTERS
";
        let text = lines(&[session]);
        assert_eq!(text.lines().count(), 2, "{text}");
        let columns = |line: &str| line.split_whitespace().map(str::to_owned).collect::<Vec<_>>();
        assert_eq!(columns(text.lines().next().expect("a header")), columns(wanted));
        for part in [
            "0001000000000002",
            "75 s",
            "1023",
            "1.2 k",
            "17",
            "2 KiB",
            "250 ms",
            "quotes\\n\\x1b[2J",
            "a b.> and 1 more",
        ] {
            assert!(text.contains(part), "{part} is not in {text}");
        }
        assert_eq!(lines(&[]).lines().count(), 1);
    }
}
