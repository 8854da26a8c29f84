//! `corecast history`: the messages that a running broker keeps, by topic; and the order to give them up.

use clap::{Args, Subcommand};
use serde_json::Value;

use super::amounts::{bytes, count, figure, span, word};
use super::operator_args::{OperatorArgs, encoded};
use super::output::{Format, json_line, note, print};
use super::table::{Align, table};
use super::{Exit, Failure};
use crate::Filter;
use crate::limits::{API_ROWS_DEFAULT, API_ROWS_MAX};

const EXAMPLES: &str = "\
Examples:
  corecast history list --metrics 127.0.0.1:9680
  corecast history list 'prices.>' --limit 1000 --metrics uds:///run/corecast/http.sock -o json
  corecast history clear 'chat.>' --metrics uds:///run/corecast/http.sock

A broker keeps what its --keep rules name, and `corecast sub --from` starts with it.";

/// List the history that a running broker keeps, or give it up.
#[derive(Args, Debug)]
#[command(after_help = EXAMPLES)]
pub(super) struct HistoryArgs {
    #[command(subcommand)]
    command: HistoryCommand,
}

#[derive(Subcommand, Debug)]
enum HistoryCommand {
    List(ListArgs),
    Clear(ClearArgs),
}

/// List the topics of which messages are kept, in the order of their names.
#[derive(Args, Debug)]
#[command(after_help = "\
Example:
  corecast history list 'prices.>' --metrics 127.0.0.1:9680

OLDEST and NEWEST are the ages of the first and the last message that is kept, by the clock of the broker. The sum of all topics \
is printed on stderr.")]
struct ListArgs {
    /// Topics to list; all without it.
    filter: Option<Filter>,

    #[command(flatten)]
    operator: OperatorArgs,

    /// Most topics to list, up to 1,000.
    #[arg(long, value_name = "COUNT", default_value_t = API_ROWS_DEFAULT, value_parser = parse_limit)]
    limit: usize,

    /// Place to go on from: the one that the page before ends with.
    #[arg(long, value_name = "PLACE")]
    after: Option<String>,

    /// Output format: text for a table, or json with one object per line.
    #[arg(short, long, value_name = "FORMAT", default_value = "text")]
    output: Format,
}

/// Give up the messages that are kept of some topics.
#[derive(Args, Debug)]
#[command(after_help = "\
Example:
  corecast history clear 'chat.>' --metrics uds:///run/corecast/http.sock --http-token-file http.token

Live messages go on, and are kept as before. A subscriber that is being sent this history, or comes back to it, is told of a gap. It \
prints the number of messages.

With --engine-history it gives up what is stored at the engine as well, for all brokers. What other brokers have in memory stays \
there: clear it at each of them.")]
struct ClearArgs {
    /// Topics to clear; '>' for all.
    filter: Filter,

    #[command(flatten)]
    operator: OperatorArgs,

    /// Output format: text for the number, or json for an object.
    #[arg(short, long, value_name = "FORMAT", default_value = "text")]
    output: Format,
}

fn parse_limit(text: &str) -> Result<usize, String> {
    let limit = text.parse().ok().filter(|limit| (1..=API_ROWS_MAX).contains(limit));
    limit.ok_or_else(|| format!("a number from 1 to {API_ROWS_MAX}"))
}

pub(super) fn run(args: HistoryArgs) -> Result<Exit, Failure> {
    match args.command {
        HistoryCommand::List(args) => list(&args),
        HistoryCommand::Clear(args) => clear(&args),
    }
}

fn list(args: &ListArgs) -> Result<Exit, Failure> {
    let mut request = format!("GET /api/v1/history?limit={}", args.limit);
    if let Some(filter) = &args.filter {
        request.push_str(&format!("&filter={}", encoded(&filter.text())));
    }
    if let Some(after) = &args.after {
        request.push_str(&format!("&after={}", encoded(after)));
    }
    let object = args.operator.ask_for_object(&request)?;
    let none = Vec::new();
    let topics = object["topics"].as_array().unwrap_or(&none);
    let text: String = match args.output {
        Format::Json => topics.iter().map(json_line).collect(),
        Format::Text => lines(topics),
    };
    print(text)?;
    let kept = &object["kept"];
    note(format!(
        "{} messages of all topics in {} of {}; {} were given up",
        figure(kept, "messages"),
        bytes(figure(kept, "bytes")),
        bytes(figure(kept, "bytes_max")),
        figure(kept, "given_up"),
    ));
    if let Some(next) = object["next_after"].as_str() {
        note(format!("there are more topics: --after {next}"));
    }
    Ok(Exit::Fine)
}

fn clear(args: &ClearArgs) -> Result<Exit, Failure> {
    let request = format!("POST /api/v1/history/clear?filter={}", encoded(&args.filter.text()));
    let object = args.operator.ask_for_object(&request)?;
    args.output.print(|| format!("{}\n", figure(&object, "cleared_messages")), &object)?;
    if object["cleared_stored"] == true {
        note(
            "what is stored at the engine is given up, too; other brokers have theirs in memory until it is cleared there",
        );
    }
    Ok(Exit::Fine)
}

/// The table of these topics.
fn lines(topics: &[Value]) -> String {
    use Align::{Left, Right};
    let header =
        [("MESSAGES", Right), ("BYTES", Right), ("OLDEST", Right), ("NEWEST", Right), ("TOPIC", Left)];
    let row = |topic: &Value| {
        [
            count(figure(topic, "messages")),
            bytes(figure(topic, "bytes")),
            span(figure(topic, "oldest_seconds")),
            span(figure(topic, "newest_seconds")),
            word(topic, "topic").to_owned(),
        ]
    };
    table(header, &topics.iter().map(row).collect::<Vec<_>>())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_topic_is_a_line_and_does_nothing_to_the_terminal() {
        let topic = json!({
            "topic": "a\n\x1b[2J", "messages": 1500, "bytes": 2048, "oldest_seconds": 75.2, "newest_seconds": 0.25,
        });
        let text = lines(&[topic]);
        assert_eq!(
            text,
            "MESSAGES  BYTES  OLDEST  NEWEST  TOPIC\n   1.5 k  2 KiB    75 s  250 ms  a\\n\\x1b[2J\n"
        );
    }
}
