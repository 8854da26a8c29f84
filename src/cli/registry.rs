//! `corecast registry`: who publishes what where, of topics that go direct; and who comes and goes.

use std::time::{Duration, Instant};

use clap::Args;
use serde::Serialize;

use super::client_args::ClientArgs;
use super::interrupt::{LAST_LINE_TIME, OUTPUT_LOST, TimeLimit, end_on_signals};
use super::output::{Format, json_line, note, print};
use super::{Exit, Failure};
use crate::config::{TimeSpan, parse_timeout};
use crate::limits::CONNECT_TIMEOUT_DEFAULT;
use crate::printable::printable;
use crate::{Error, ErrorCode, ErrorKind, Listed, PublisherChange, RegistryView};

const EXAMPLES: &str = "\
Examples:
  corecast registry
  corecast registry --watch            # who is there, then who comes and goes, until interrupted
  corecast registry -o json | jq -r 'select(.topics[] == \"video.a\") | .endpoints[]'
  corecast registry --watch --timeout 1m -o json > changes.jsonl
  corecast registry --broker tls://broker.example.org:6680 --token-file desk.token

Only publishers of direct topics are registered: see --mode and --mode-rule of `corecast broker`. A lease is how long the \
broker keeps a publisher that does not renew it; a live publisher renews it well before its end.

With --watch each row says what happened to the publisher: there (when the command began), up (new, or with more topics), \
down (it left, its lease expired, or a restarted broker does not know it).";

/// List the publishers of direct topics: endpoints, topics, and the rest of their leases.
#[derive(Args, Debug)]
#[command(after_help = EXAMPLES)]
pub(super) struct RegistryArgs {
    /// Go on to print each change, until interrupted.
    #[arg(long)]
    watch: bool,

    /// With --watch, time after which to exit with 0; otherwise the timeout for the broker, with exit code 27. Without it,
    /// a broker that does not answer within 5 s is a failure (exit code 1).
    #[arg(short = 't', long, value_name = "SECS", value_parser = parse_timeout)]
    timeout: Option<TimeSpan>,

    /// Output format: text for a table, or json with one object per line.
    #[arg(short, long, value_name = "FORMAT", default_value = "text")]
    output: Format,

    #[command(flatten)]
    pub(super) client: ClientArgs,
}

pub(super) fn run(args: RegistryArgs) -> Result<Exit, Failure> {
    let deadline = args.timeout.map(|timeout| Instant::now() + timeout.0);
    if args.watch {
        // Its time to watch is over.
        end_on_signals(Exit::Fine)?;
    }
    let time = args.timeout.map_or(CONNECT_TIMEOUT_DEFAULT, |timeout| timeout.0);
    let tried = if args.watch { time.min(CONNECT_TIMEOUT_DEFAULT) } else { time };
    let config = args.client.config()?.name("corecast-registry").connect_timeout(tried);
    let connected = RegistryView::with_config(config);
    // A stdout that nobody reads does not hold it up for longer.
    let over = deadline.filter(|_| args.watch);
    TimeLimit::start(over, LAST_LINE_TIME, OUTPUT_LOST)?;
    let time_given = args.timeout.map(|timeout| timeout.0);
    let mut view = connected.map_err(|error| no_view(error, time_given, tried))?;
    let list = view.list(left_until(deadline).unwrap_or(CONNECT_TIMEOUT_DEFAULT))?;
    let mut rows = Rows { format: args.output, watch: args.watch, columns: Columns::default() };
    print(rows.list(&list))?;
    if !args.watch {
        if list.is_empty() {
            note(
                "nobody is registered: only publishers of topics that go direct are, and which topics do so is said by \
                 --mode and --mode-rule of `corecast broker`",
            );
        }
        return Ok(Exit::Fine);
    }
    while let Some(change) = next_change(&mut view, deadline)? {
        print(rows.change(&change))?;
    }
    Ok(Exit::Fine)
}

/// The failure where the registry cannot be looked at: with the right that its user lacks, if that is the reason.
pub(super) fn no_view(error: Error, time_given: Option<Duration>, tried: Duration) -> Failure {
    let lacks_right = error.kind() == ErrorKind::Refused(ErrorCode::NotPermitted);
    let failure = Failure::not_connected(error, time_given, tried);
    if lacks_right { failure.hint(WHOLE_REGISTRY) } else { failure }
}

const WHOLE_REGISTRY: &str = "this command asks for the whole registry, and its user needs the right to list it: list = [\">\"] in the \
     broker's file of users";

fn left_until(deadline: Option<Instant>) -> Option<Duration> {
    deadline.map(|deadline| deadline.saturating_duration_since(Instant::now()))
}

/// `None`: the time is over.
fn next_change(
    view: &mut RegistryView,
    deadline: Option<Instant>,
) -> Result<Option<PublisherChange>, Failure> {
    Ok(match left_until(deadline) {
        Some(left) => view.next_change_timeout(left)?,
        None => Some(view.next_change()?),
    })
}

/// The rows of a list and of the changes that follow it.
struct Rows {
    format: Format,
    watch: bool,
    columns: Columns,
}

/// A publisher, or what became of it, for programs.
#[derive(Default, Serialize)]
struct Row {
    #[serde(skip_serializing_if = "Option::is_none")]
    change: Option<&'static str>,
    publisher: String,
    epoch: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    endpoints: Option<Vec<String>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    topics: Option<Vec<String>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    lease_left_ms: Option<u128>,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<String>,
}

impl Row {
    fn of(listed: &Listed, change: Option<&'static str>) -> Self {
        Row {
            change,
            publisher: listed.publisher.to_string(),
            epoch: listed.epoch,
            endpoints: Some(listed.endpoints.iter().map(ToString::to_string).collect()),
            topics: Some(listed.topics.iter().map(|topic| topic.text().into_owned()).collect()),
            lease_left_ms: listed.lease_left.map(|left| left.as_millis()),
            reason: None,
        }
    }

    fn of_change(change: &PublisherChange) -> Self {
        match change {
            PublisherChange::Up(listed) => Row::of(listed, Some("up")),
            PublisherChange::Down { publisher, epoch, reason } => Row {
                change: Some("down"),
                publisher: publisher.to_string(),
                epoch: *epoch,
                reason: Some(reason.to_string()),
                ..Row::default()
            },
        }
    }

    /// For people. What only some rows have is a dash elsewhere.
    fn cells(&self) -> [String; COLUMNS] {
        let dash = || "-".to_owned();
        let lease = self.lease_left_ms.map(|ms| format!("{:.1} s", ms as f64 / 1000.0));
        let endpoints = self.endpoints.as_ref().map(|all| all.join(" "));
        let topics = self.topics.as_ref().map(|all| all.join(" "));
        [
            self.change.map_or_else(String::new, str::to_owned),
            self.publisher.clone(),
            self.epoch.to_string(),
            lease.unwrap_or_else(dash),
            endpoints.or_else(|| self.reason.clone()).unwrap_or_else(dash),
            topics.unwrap_or_else(dash),
        ]
        // Endpoints and topics are their publishers' words.
        .map(|cell| printable(&cell).to_string())
    }
}

impl Rows {
    fn list(&mut self, list: &[Listed]) -> String {
        let change = self.watch.then_some("there");
        let rows: Vec<Row> = list.iter().map(|listed| Row::of(listed, change)).collect();
        match self.format {
            Format::Json => rows.iter().map(json_line).collect(),
            Format::Text if rows.is_empty() && !self.watch => String::new(),
            Format::Text => {
                let header = HEADER.map(str::to_owned);
                let all: Vec<_> = std::iter::once(header).chain(rows.iter().map(Row::cells)).collect();
                all.iter().for_each(|cells| self.columns.widen(cells));
                all.iter().map(|cells| self.line(cells)).collect()
            }
        }
    }

    fn change(&mut self, change: &PublisherChange) -> String {
        let row = Row::of_change(change);
        match self.format {
            Format::Json => json_line(&row),
            Format::Text => {
                let cells = row.cells();
                self.columns.widen(&cells);
                self.line(&cells)
            }
        }
    }

    fn line(&self, cells: &[String; COLUMNS]) -> String {
        self.columns.line(if self.watch { cells } else { &cells[1..] })
    }
}

const HEADER: [&str; COLUMNS] = ["CHANGE", "PUBLISHER", "EPOCH", "LEASE LEFT", "ENDPOINTS", "TOPICS"];
const COLUMNS: usize = 6;

/// The widths of the columns; later rows may widen them.
#[derive(Default)]
struct Columns([usize; COLUMNS]);

impl Columns {
    fn widen(&mut self, cells: &[String; COLUMNS]) {
        for (width, cell) in self.0.iter_mut().zip(cells) {
            *width = (*width).max(cell.chars().count());
        }
    }

    /// The last columns of which these are the cells, numbers to the right, the last one as long as it is.
    fn line(&self, cells: &[String]) -> String {
        let first = COLUMNS - cells.len();
        let padded = cells.iter().enumerate().map(|(index, cell)| {
            let column = first + index;
            let width = self.0[column];
            match HEADER[column] {
                "EPOCH" | "LEASE LEFT" => format!("{cell:>width$}"),
                _ => format!("{cell:<width$}"),
            }
        });
        format!("{}\n", padded.collect::<Vec<_>>().join("  ").trim_end())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Endpoint;
    use crate::ids::PublisherId;
    use crate::{DownReason, Filter};

    fn listed(publisher: u64, endpoint: &str, topics: &[&str]) -> Listed {
        Listed {
            publisher: PublisherId(publisher),
            epoch: publisher,
            endpoints: vec![endpoint.parse().expect(endpoint)],
            topics: topics.iter().map(|topic| Filter::parse(topic).expect(topic)).collect(),
            lease_left: Some(Duration::from_millis(4_250)),
        }
    }

    fn rows(format: Format, watch: bool) -> Rows {
        Rows { format, watch, columns: Columns::default() }
    }

    #[test]
    fn a_list_is_a_table_of_a_row_each() {
        let list = [listed(1, "tcp://127.0.0.1:4711", &["a", "b.>"]), listed(12, "uds:///run/p", &["c"])];
        let wanted = "\
PUBLISHER         EPOCH  LEASE LEFT  ENDPOINTS             TOPICS
0000000000000001      1       4.2 s  tcp://127.0.0.1:4711  a b.>
000000000000000c     12       4.2 s  uds:///run/p          c
";
        assert_eq!(rows(Format::Text, false).list(&list), wanted);
        assert_eq!(rows(Format::Text, false).list(&[]), "");
    }

    #[test]
    fn no_publisher_writes_into_the_terminal() {
        let socket = Endpoint::Uds { path: "/run/a\x1b[2J\nb".into() };
        let hostile = Listed { endpoints: vec![socket], ..listed(1, "uds:///run/p", &["a\u{202e}\u{9b}"]) };
        let table = rows(Format::Text, false).list(std::slice::from_ref(&hostile));
        assert_eq!(table.lines().count(), 2, "{table}");
        assert!(table.contains("uds:///run/a\\x1b[2J\\nb  a\\u{202e}\\u{9b}\n"), "{table}");
        let json = rows(Format::Json, false).list(&[hostile]);
        assert!(!json.contains(['\x1b', '\u{202e}', '\u{9b}']) && json.lines().count() == 1, "{json}");
    }

    #[test]
    fn changes_stand_below_in_the_same_columns() {
        let mut rows = rows(Format::Text, true);
        let mut text = rows.list(&[listed(1, "tcp://127.0.0.1:4711", &["a"])]);
        let up = Listed { lease_left: None, ..listed(2, "uds:///run/p", &["c"]) };
        text += &rows.change(&PublisherChange::Up(up));
        let (publisher, epoch) = (PublisherId(1), 1);
        text += &rows.change(&PublisherChange::Down { publisher, epoch, reason: DownReason::Expired });
        let wanted = "\
CHANGE  PUBLISHER         EPOCH  LEASE LEFT  ENDPOINTS             TOPICS
there   0000000000000001      1       4.2 s  tcp://127.0.0.1:4711  a
up      0000000000000002      2           -  uds:///run/p          c
down    0000000000000001      1           -  expired               -
";
        assert_eq!(text, wanted);
    }

    #[test]
    fn json_has_what_is_known() {
        let read = |line: String| serde_json::from_str::<serde_json::Value>(&line).expect("an object");
        let list = rows(Format::Json, false).list(&[listed(1, "uds:///run/p", &["a"])]);
        let wanted = serde_json::json!({
            "publisher": "0000000000000001", "epoch": 1, "endpoints": ["uds:///run/p"], "topics": ["a"],
            "lease_left_ms": 4250,
        });
        assert_eq!(read(list), wanted);
        let down = PublisherChange::Down { publisher: PublisherId(1), epoch: 1, reason: DownReason::Left };
        let wanted = serde_json::json!({
            "change": "down", "publisher": "0000000000000001", "epoch": 1, "reason": "left",
        });
        assert_eq!(read(rows(Format::Json, true).change(&down)), wanted);
    }
}
