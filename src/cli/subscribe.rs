//! `corecast sub`: prints what is published.

use std::io::{self, BufWriter, IsTerminal, Write};
use std::time::Instant;

use clap::Args;

use super::event_writer::{EventFormat, EventWriter};
use super::output::write_failed;
use super::quantity::Span;
use super::{Exit, Failure};
use crate::telemetry::StderrLines;
use crate::{ClientConfig, Endpoint, Event, Filter, OverflowPolicy, Sessions, Subscriber};

const EXAMPLES: &str = "\
Examples:
  corecast sub prices.eur.usd
  corecast sub 'prices.*.usd' 'news.>'             # * is one level, > is all the rest
  corecast sub numbers --count 1000000 --timeout 30 > numbers.txt
  corecast sub '>' -o json | jq .topic

What was missed is told where it is missing: on stderr as a line that begins with gap:, with -o json as an object \
with the member gap, and of a topic of null when any topic of the subscription may be meant. In JSON, what is not \
UTF-8 stands in payload_base64 instead of payload; time is RFC 3339 with nanoseconds, by the publisher's clock.

On a terminal, control characters and line breaks within payloads are shown as \\x1b and \\n; -o raw, a file and a \
pipe get the bytes as they came.";

/// Bytes gathered before they are written to stdout while more messages wait.
const OUT_BYTES: usize = 256 << 10;

/// Print what is published: payloads on stdout, all else on stderr.
#[derive(Args, Debug)]
#[command(after_help = EXAMPLES)]
pub(super) struct SubArgs {
    /// Topics to print: exact names, or patterns with * for one level and > for all the rest.
    #[arg(required = true, value_name = "FILTER")]
    filters: Vec<Filter>,

    /// End after so many messages.
    #[arg(long, value_name = "N")]
    count: Option<u64>,

    /// End after this time, with the exit code 27.
    #[arg(long, value_name = "SECS")]
    timeout: Option<Span>,

    /// What is printed: payloads with a newline after each, payloads with nothing between them, or an object a line.
    #[arg(short, long, value_name = "FORMAT", default_value = "text")]
    output: EventFormat,

    /// What gives way when we do not keep up: drop-oldest, drop-newest, latest, disconnect or block
    /// [default: what the broker says].
    #[arg(long, value_name = "POLICY")]
    overflow: Option<OverflowPolicy>,

    /// The broker.
    #[arg(long, value_name = "URL", default_value_t = Endpoint::default())]
    broker: Endpoint,
}

pub(super) fn run(args: SubArgs) -> Result<Exit, Failure> {
    let deadline = args.timeout.map(|timeout| Instant::now() + timeout.0);
    let mut config = ClientConfig::new(args.broker);
    config.name = "corecast-sub".to_owned();
    config.overflow = args.overflow;
    // So that the broker's policy decides when stdout is slow, and not the queue of a shared session.
    config.sessions = Sessions::PerSubscriber;
    if let Some(timeout) = args.timeout {
        config.connect_timeout = config.connect_timeout.min(timeout.0);
    }
    let mut subscriber = Subscriber::with_config(config, &args.filters)?;
    let on_terminal = io::stdout().is_terminal();
    let out = BufWriter::with_capacity(OUT_BYTES, io::stdout().lock());
    let mut writer = EventWriter::new(out, StderrLines::new(), args.output, on_terminal);
    print_events(&mut subscriber, &mut writer, args.count, deadline)
}

/// Prints until there were `count` messages or the deadline is over.
fn print_events<W: Write, N: Write>(
    subscriber: &mut Subscriber,
    writer: &mut EventWriter<W, N>,
    count: Option<u64>,
    deadline: Option<Instant>,
) -> Result<Exit, Failure> {
    let mut messages = 0;
    while count.is_none_or(|count| messages < count) {
        let event = match subscriber.try_recv()? {
            Some(event) => event,
            None => {
                // Nothing more waits, so whoever reads our output gets what there is.
                writer.flush().map_err(write_failed)?;
                match next_event(subscriber, deadline)? {
                    Some(event) => event,
                    None => return Err(timed_out(messages)),
                }
            }
        };
        writer.write(&event).map_err(write_failed)?;
        messages += u64::from(matches!(event, Event::Message(_)));
    }
    writer.flush().map_err(write_failed)?;
    Ok(Exit::Fine)
}

fn next_event(subscriber: &mut Subscriber, deadline: Option<Instant>) -> Result<Option<Event>, Failure> {
    match deadline {
        None => Ok(Some(subscriber.recv()?)),
        Some(deadline) => Ok(subscriber.recv_timeout(deadline.saturating_duration_since(Instant::now()))?),
    }
}

fn timed_out(messages: u64) -> Failure {
    Failure::new(Exit::TimedOut, format!("the time is over, after {messages} messages"))
}
