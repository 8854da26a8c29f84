//! `corecast peers`: the other brokers that a running broker is joined with by its engine.

use std::fmt::Write as _;
use std::time::Instant;

use clap::Args;
use serde_json::Value;

use super::http_address::HttpAddress;
use super::http_client::HttpClientArgs;
use super::output::{Format, print};
use super::{Exit, Failure};
use crate::limits::HTTP_CONVERSATION_MAX;
use crate::printable::printable;

const EXAMPLES: &str = "\
Examples:
  corecast peers --metrics 127.0.0.1:9680
  corecast peers --metrics uds:///run/corecast/http.sock -o json | jq '.peers[] | select(.here | not)'

FILTERS is what a broker wants of the others, TOPICS how many of its topics were heard here, SILENT the time since its last word. A \
broker that is away was silent for too long: it has stopped, or its engine is away.";

/// List the brokers that a running broker is joined with by its engine.
#[derive(Args, Debug)]
#[command(after_help = EXAMPLES)]
pub(super) struct PeersArgs {
    /// Address of the broker's HTTP server, as in its own option of this name.
    #[arg(long, value_name = "ADDRESS")]
    metrics: HttpAddress,

    #[command(flatten)]
    client: HttpClientArgs,

    /// Output format: text for a table, or json for an object.
    #[arg(short, long, value_name = "FORMAT", default_value = "text")]
    output: Format,
}

pub(super) fn run(args: PeersArgs) -> Result<Exit, Failure> {
    let deadline = Instant::now() + HTTP_CONVERSATION_MAX;
    let answer = args.client.ask("GET /api/v1/engine", &args.metrics, deadline)?;
    let object: Option<Value> = serde_json::from_str(&answer.text).ok();
    let refused = |text: String| Failure::new(Exit::Failed, text);
    let object = match (answer.status, object) {
        (200, Some(object)) => object,
        (_, Some(object)) if object["error"].is_string() => {
            return Err(refused(object["error"].as_str().unwrap_or_default().to_owned()));
        }
        (status, _) => {
            return Err(refused(format!(
                "what answers at {} does not know of engines (status {status})",
                args.metrics
            )));
        }
    };
    match args.output {
        Format::Json => print(answer.text)?,
        Format::Text => print(table(&object))?,
    }
    Ok(Exit::Fine)
}

/// A line on the engine, and a row for each broker, this one first.
fn table(object: &Value) -> String {
    let text = |value: &Value| printable(value.as_str().unwrap_or_default()).to_string();
    let server = &object["server"];
    let mut lines = match server.as_object() {
        Some(_) => format!(
            "cluster {}, by server {} (version {}), which answers in {:.3} ms\n",
            text(&object["cluster"]),
            text(&server["name"]),
            text(&server["version"]),
            server["round_trip_seconds"].as_f64().unwrap_or(0.0) * 1e3
        ),
        None => format!("cluster {}: the engine is away\n", text(&object["cluster"])),
    };
    let none = Vec::new();
    let peers = object["peers"].as_array().unwrap_or(&none);
    let names = peers.iter().map(|peer| text(&peer["name"]).chars().count()).max().unwrap_or(0).max(4);
    // Writing to a string does not fail.
    let _ = writeln!(
        lines,
        "{:<names$}  {:<16}  {:<5}  {:>7}  {:>7}  {:>8}",
        "NAME", "START", "STATE", "FILTERS", "TOPICS", "SILENT"
    );
    for peer in peers {
        let state = if peer["here"].as_bool() == Some(true) { "here" } else { "away" };
        let _ = writeln!(
            lines,
            "{:<names$}  {:<16}  {state:<5}  {:>7}  {:>7}  {:>6.1} s",
            text(&peer["name"]),
            text(&peer["start"]),
            peer["filters"].as_u64().unwrap_or(0),
            peer["topics"].as_u64().unwrap_or(0),
            peer["silent_seconds"].as_f64().unwrap_or(0.0)
        );
    }
    lines
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn the_table_has_a_row_for_each_broker() {
        let peer = |name: &str, here: bool| json!({"name": name, "start": "00000000000000ff", "here": here, "silent_seconds": 0.25, "filters": 2, "topics": 3});
        let server = json!({"name": "n", "version": "2.9.10", "round_trip_seconds": 0.00025});
        let object =
            json!({"cluster": "c", "server": server, "peers": [peer("alpha", true), peer("b\n", false)]});
        let wanted = "\
cluster c, by server n (version 2.9.10), which answers in 0.250 ms
NAME   START             STATE  FILTERS   TOPICS    SILENT
alpha  00000000000000ff  here         2        3     0.2 s
b\\n    00000000000000ff  away         2        3     0.2 s
";
        assert_eq!(table(&object), wanted);
        assert!(table(&json!({"cluster": "c", "server": null, "peers": []})).contains("away"));
    }
}
