//! `corecast sub`: prints what is published.

use std::io::{self, BufWriter, IsTerminal, Write};
use std::os::fd::AsFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use clap::Args;
use corecast_executors::{
    Either, Inbox, Link, TerminationSignals, WaitIsOver, block_on, exit_now, first, link, pause, spawn_plain,
    watch_reader,
};

use super::event_writer::{EventFormat, EventWriter};
use super::output::{note, write_failed};
use super::quantity::TimeSpan;
use super::{Exit, Failure};
use crate::telemetry::StderrLines;
use crate::{ClientConfig, Endpoint, Error, Event, Filter, OverflowPolicy, Sessions, Subscriber};

const EXAMPLES: &str = "\
Examples:
  corecast sub prices.eur.usd
  corecast sub 'prices.*.usd' 'news.>'             # * is one level, > is the rest
  corecast sub numbers --count 1000000 --timeout 30 > numbers.txt
  corecast sub '>' -o json | jq .topic

Gaps are reported where messages are missing: on stderr as a line that begins with gap:, with -o json as an object with \
the member gap. A gap without a topic may concern any topic of the subscription. In JSON, payloads that are not UTF-8 are in \
payload_base64 instead of payload; time is RFC 3339 with nanoseconds, by the publisher's clock.

SIGTERM and SIGINT end it after a whole line; the exit code is 0, or 1 if --count was not reached.

On a terminal, control characters and line breaks in payloads are shown as \\x1b and \\n; with -o raw, and in files and \
pipes, payloads are unchanged.";

/// Bytes gathered before they are written to stdout while more messages wait.
const OUT_BYTES: usize = 256 << 10;

/// How long the reader of stdout has to take the last lines after a signal.
const LAST_LINE_TIME: Duration = Duration::from_secs(1);

/// Print what is published: payloads on stdout, everything else on stderr.
#[derive(Args, Debug)]
#[command(after_help = EXAMPLES)]
pub(super) struct SubArgs {
    /// Topics to subscribe to: exact names, or patterns with * for one level and > for the rest.
    #[arg(required = true, value_name = "FILTER")]
    filters: Vec<Filter>,

    /// Number of messages after which to exit.
    #[arg(long, value_name = "N")]
    count: Option<u64>,

    /// Time after which to exit, with exit code 27.
    #[arg(long, value_name = "SECS")]
    timeout: Option<TimeSpan>,

    /// Output format: text with a newline after each payload, raw with nothing between them, or json with one
    /// object per line.
    #[arg(short, long, value_name = "FORMAT", default_value = "text")]
    output: EventFormat,

    /// Overflow policy while this subscriber is a slow consumer: drop-oldest, drop-newest, latest, disconnect or
    /// block [default: the broker's policy].
    #[arg(long, value_name = "POLICY")]
    overflow: Option<OverflowPolicy>,

    /// Address of the broker.
    #[arg(long, value_name = "URL", default_value_t = Endpoint::default())]
    broker: Endpoint,
}

pub(super) fn run(args: SubArgs) -> Result<Exit, Failure> {
    let deadline = args.timeout.map(|timeout| Instant::now() + timeout.0);
    for (filter, meant) in args.filters.iter().filter_map(|filter| Some((filter, filter.suggestion()?))) {
        note(format!(
            "note: '{filter}' is taken as a name: + and # are no wildcards here; for one level write *, for all the rest >: \
             '{meant}'"
        ));
    }
    // One each for the signal and for the reader or the time.
    let (over, mut wait_is_over) = link(2);
    let stopped = stop_on_signals(over.clone())?;
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
    let stdout = io::stdout().as_fd().try_clone_to_owned().map_err(write_failed)?;
    watch_reader(stdout, deadline, over).map_err(|e| Error::io("cannot make a thread", e))?;
    print_events(&mut subscriber, &mut writer, args.count, &mut wait_is_over, &stopped)
}

/// Prints until there were `count` messages, the deadline is over, nobody reads any more (a closed pipe is seen while there
/// is nothing to write to it, too), or a signal asks for the end: then what was begun is finished, so that no line is half
/// there.
fn print_events<W: Write, N: Write>(
    subscriber: &mut Subscriber,
    writer: &mut EventWriter<W, N>,
    count: Option<u64>,
    wait_is_over: &mut Inbox<WaitIsOver>,
    stopped: &AtomicBool,
) -> Result<Exit, Failure> {
    let mut messages = 0;
    while count.is_none_or(|count| messages < count) {
        if stopped.load(Ordering::Relaxed) {
            writer.flush().map_err(write_failed)?;
            return count.map_or(Ok(Exit::Fine), |count| Err(interrupted(messages, count)));
        }
        let event = match subscriber.try_recv()? {
            Some(event) => event,
            None => {
                // Nothing more waits, so whoever reads our output gets what there is.
                writer.flush().map_err(write_failed)?;
                match block_on(first(subscriber.recv_async(), wait_is_over.recv())) {
                    Either::Left(event) => event?,
                    Either::Right(Some(WaitIsOver::Interrupted)) => continue,
                    Either::Right(Some(WaitIsOver::DeadlinePassed)) => return Err(timed_out(messages)),
                    Either::Right(Some(WaitIsOver::ReaderGone) | None) => return Err(Failure::closed_pipe()),
                }
            }
        };
        writer.write(&event).map_err(write_failed)?;
        messages += u64::from(matches!(event, Event::Message(_)));
    }
    writer.flush().map_err(write_failed)?;
    Ok(Exit::Fine)
}

/// Makes SIGTERM and SIGINT a request to finish the line that is being written. Nobody may read it: then, or at a second
/// signal, the process ends as it is.
fn stop_on_signals(over: Link<WaitIsOver>) -> Result<Arc<AtomicBool>, Failure> {
    let failed = |e: io::Error| Failure::new(Exit::Failed, format!("cannot wait for signals: {e}"));
    let mut signals = TerminationSignals::install().map_err(failed)?;
    let stopped = Arc::new(AtomicBool::new(false));
    let seen = Arc::clone(&stopped);
    let wait = move || {
        signals.wait();
        seen.store(true, Ordering::Relaxed);
        let _ = over.try_send(WaitIsOver::Interrupted);
        pause(LAST_LINE_TIME);
        exit_now(Exit::Failed as u8);
    };
    // Nobody joins it: it ends with the process.
    spawn_plain("signals", wait).map_err(failed)?;
    Ok(stopped)
}

fn interrupted(messages: u64, count: u64) -> Failure {
    Failure::new(Exit::Failed, format!("interrupted, after {messages} of {count} messages"))
}

fn timed_out(messages: u64) -> Failure {
    Failure::new(Exit::TimedOut, format!("the time is over, after {messages} messages"))
}
