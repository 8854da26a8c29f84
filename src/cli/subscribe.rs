//! `corecast sub`: prints what is published.

use std::io::{self, BufWriter, IsTerminal, Write};
use std::os::fd::AsFd;
use std::str::FromStr as _;
use std::time::Instant;

use clap::Args;
use corecast_executors::{Either, Inbox, WaitIsOver, first, link, watch_reader};

use super::client_args::ClientArgs;
use super::event_writer::{EventFormat, EventWriter};
use super::interrupt::{Interrupt, LAST_LINE_TIME, OUTPUT_LOST, TimeLimit};
use super::message_format::{MessageFormat, PLACEHOLDERS};
use super::output::{is_watched, note, write_failed};
use super::received::Received;
use super::seconds::Seconds;
use super::{Exit, Failure};
use crate::config::{TimeSpan, parse_timeout};
use crate::limits::CONNECT_TIMEOUT_DEFAULT;
use crate::telemetry::StderrData;
use crate::{Error, Event, Filter, OverflowPolicy, Sessions, Start, Subscriber};

const EXAMPLES: &str = "\
Examples:
  corecast sub prices.eur.usd
  corecast sub 'prices.*.usd' 'news.>'             # * is one level, > is the rest
  corecast sub -v 'prices.>'                       # with topics
  corecast sub -F '%T %t %p' 'prices.>'            # with time and topic: see below
  corecast sub --rate '>'                          # how many come each second
  corecast sub numbers -n 1000000 -t 30 > numbers.txt
  corecast sub '>' -o json | jq .topic
  corecast sub 'prices.>' --from last              # what a broker with --keep 'prices.>=last' has first
  corecast sub 'prices.>' --broker tls://broker.example.org:6680 --token-file desk.token
  corecast sub 'prices.>' --broker tls://10.0.0.1:6680 --ca ca.pem --cert desk.pem --key desk.key

A broker with users (`corecast user --help`) wants a token, a client certificate or, at a Unix socket, the uid of one. An \
authority of your own is named with --ca; `corecast cert --help` makes one.

Gaps are reported where messages are missing: on stderr as a line that begins with gap:, with -o json as an object with \
the member gap. A gap without a topic may concern any topic of the subscription. Where stderr is not read fast enough, \
several gaps are one line with their sum. In JSON, payloads that are not UTF-8 are in \
payload_base64 instead of payload; time is RFC 3339 with nanoseconds, by the publisher's clock. With --from, messages of history \
have \"history\":true, and {\"caught_up\":true} stands behind the last of them; other formats note that on stderr.

SIGTERM and SIGINT end it after a whole line; the exit code is 0, or 1 if --count was not reached.

With --format each line is a text in which these stand for parts of the message; with -o raw no newline follows it:
";

const NOTES: &str = "

With --rate, and with --stats at the end, messages are counted: how many came, in how many bytes of payload, and how many are \
missed. --stats adds the ages of messages, from the clock of their publisher to this one. On a terminal, a short form of it is \
said at Ctrl-C.

On a terminal, control characters and line breaks in payloads are shown as \\x1b and \\n; with -o raw, and in files and \
pipes, payloads are unchanged.";

/// Bytes gathered before they are written to stdout while more messages wait.
const OUT_BYTES: usize = 256 << 10;

/// Print what is published: payloads on stdout, everything else on stderr.
#[derive(Args, Debug)]
#[command(after_help = [EXAMPLES, PLACEHOLDERS, NOTES].concat())]
pub(super) struct SubArgs {
    /// Topics to subscribe to: exact names, or patterns with * for one level and > for the rest.
    #[arg(required = true, value_name = "FILTER")]
    filters: Vec<Filter>,

    /// Where to start: live, last for the last message of each topic, all that the broker keeps, N for so many of each topic, or a
    /// time such as 10m. See --keep of the broker.
    #[arg(long, value_name = "START", default_value = "live")]
    from: Start,

    /// After a lost connection, go on with what the broker has kept meanwhile. With --from it is always so.
    #[arg(long)]
    resume: bool,

    /// Number of messages after which to exit.
    #[arg(short = 'n', long, value_name = "N")]
    count: Option<u64>,

    /// Time after which to exit, with exit code 27. An absent broker is waited for up to 5 s: if that ends first, the
    /// exit code is 1.
    #[arg(short = 't', long, value_name = "SECS", value_parser = parse_timeout)]
    timeout: Option<TimeSpan>,

    /// Output format: text with a newline after each payload, raw with nothing between them, or json with one
    /// object per line.
    #[arg(short, long, value_name = "FORMAT", default_value = "text")]
    output: EventFormat,

    /// Print the topic before each payload: the same as --format '%t %p'.
    #[arg(short, long, conflicts_with_all = ["format", "rate"])]
    verbose: bool,

    /// Form of each message: a text with placeholders such as %t, which are listed below.
    #[arg(short = 'F', long, value_name = "TEXT", conflicts_with = "rate", value_parser = MessageFormat::from_str)]
    format: Option<MessageFormat>,

    /// Print how many messages came, once a second, rather than messages.
    #[arg(long)]
    rate: bool,

    /// At the end, print on stderr how many messages came, their ages, and how many are missed; with -o json as an object.
    #[arg(long)]
    stats: bool,

    /// Overflow policy while this subscriber is a slow consumer: drop-oldest, drop-newest, latest, disconnect or
    /// block [default: the broker's policy].
    #[arg(long, value_name = "POLICY")]
    overflow: Option<OverflowPolicy>,

    #[command(flatten)]
    pub(super) client: ClientArgs,
}

pub(super) fn run(mut args: SubArgs) -> Result<Exit, Failure> {
    let deadline = args.timeout.map(|timeout| Instant::now() + timeout.0);
    let layout = args.layout()?;
    args.filters.iter().for_each(note_wildcards_of_others);
    let mut interrupt = Interrupt::on_signals(LAST_LINE_TIME, Some(OUTPUT_LOST))?;
    let tried =
        args.timeout.map_or(CONNECT_TIMEOUT_DEFAULT, |timeout| timeout.0.min(CONNECT_TIMEOUT_DEFAULT));
    let config = args.client.clone().config()?.name("corecast-sub");
    let config = config.overflow(args.overflow).connect_timeout(tried);
    // So that the broker's policy decides when stdout is slow, and not the queue of a shared session.
    let config = config.sessions(Sessions::PerSubscriber).start(args.from).resume(args.resume);
    let broker = config.broker.to_string();
    let subscribing = interrupt.unless_asked(Subscriber::with_config_async(config, &args.filters));
    let Some(subscribed) = subscribing else { return interrupted(0, args.count) };
    let time_given = args.timeout.map(|timeout| timeout.0);
    let mut subscriber = subscribed.map_err(|error| Failure::not_connected(error, time_given, tried))?;
    if is_watched() {
        note(format!("subscribed at {broker}; Ctrl-C ends it"));
    }
    let on_terminal = io::stdout().is_terminal();
    let out = BufWriter::with_capacity(OUT_BYTES, io::stdout().lock());
    let writer = EventWriter::new(out, StderrData::new(), args.output, on_terminal).with_layout(layout);
    let mut printer = Printer { writer, received: Received::start(args.stats), counts_only: args.rate };
    let stdout = io::stdout().as_fd().try_clone_to_owned().map_err(write_failed)?;
    let (over, wait_is_over) = link(1);
    watch_reader(stdout, deadline, over).map_err(|e| Error::io("cannot make a thread", e))?;
    let time = TimeLimit::start(deadline, LAST_LINE_TIME, OUTPUT_LOST)?;
    let seconds = Seconds::start_if(args.rate)?;
    let mut ends = Ends { count: args.count, time, wait_is_over, interrupt, seconds };
    let ended = print_events(&mut subscriber, &mut printer, &mut ends);
    if let Some(gaps) = printer.writer.unwritten_gaps() {
        note(gaps);
    }
    if args.stats && args.output == EventFormat::Json {
        note(printer.received.object().trim_end());
    } else if args.stats || (is_watched() && ends.interrupt.is_asked()) {
        note(printer.received.sentence());
    }
    ended
}

impl SubArgs {
    /// The form of a message, if it is more than its payload.
    fn layout(&mut self) -> Result<Option<MessageFormat>, Failure> {
        let layout = self.format.take().or_else(|| self.verbose.then(MessageFormat::with_topic));
        if layout.is_some() && self.output == EventFormat::Json {
            let text = "an object has all parts of a message: --verbose and --format are for text";
            return Err(Failure::new(Exit::Usage, text).of_field("output"));
        }
        if self.rate && self.output == EventFormat::Raw {
            let text = "with --rate it is text or json";
            return Err(Failure::new(Exit::Usage, text).of_field("output"));
        }
        Ok(layout)
    }
}

/// Says so where a filter has wildcards of MQTT, which are names here.
pub(super) fn note_wildcards_of_others(filter: &Filter) {
    if let Some(meant) = filter.suggestion() {
        note(format!(
            "note: '{filter}' is taken as a name: + and # are no wildcards here; for one level write *, for all the rest >: \
             '{meant}'"
        ));
    }
}

/// Events as they are printed, or counted.
struct Printer<W, N> {
    writer: EventWriter<W, N>,
    received: Received,
    /// Nothing is printed but a line each second.
    counts_only: bool,
}

impl<W: Write, N: Write> Printer<W, N> {
    fn event(&mut self, event: &Event) -> Result<(), Failure> {
        self.received.add(event);
        if self.counts_only { Ok(()) } else { self.writer.write(event).map_err(write_failed) }
    }

    fn second(&mut self) -> Result<(), Failure> {
        let line = self.received.end_second(self.writer.format() == EventFormat::Json);
        self.writer.line_of_ours(&line).map_err(write_failed)?;
        self.flush()
    }

    fn flush(&mut self) -> Result<(), Failure> {
        self.writer.flush().map_err(write_failed)
    }
}

/// Everything that ends the command, and the seconds until then.
struct Ends {
    /// Messages after which it is done.
    count: Option<u64>,
    time: TimeLimit,
    wait_is_over: Inbox<WaitIsOver>,
    interrupt: Interrupt,
    seconds: Seconds,
}

/// Prints until there were `count` messages, the deadline is over, nobody reads any more (a closed pipe is seen while there
/// is nothing to write to it, too), or a signal asks for the end: then what was begun is finished, so that no line is half
/// there.
fn print_events<W: Write, N: Write>(
    subscriber: &mut Subscriber,
    printer: &mut Printer<W, N>,
    Ends { count, time, wait_is_over, interrupt, seconds }: &mut Ends,
) -> Result<Exit, Failure> {
    let count = *count;
    while count.is_none_or(|count| printer.received.messages() < count) {
        if interrupt.is_asked() {
            printer.flush()?;
            return interrupted(printer.received.messages(), count);
        }
        if time.is_over() {
            printer.flush()?;
            return Err(timed_out(printer.received.messages()));
        }
        if seconds.take() {
            printer.second()?;
        }
        if let Some(event) = subscriber.try_recv()? {
            printer.event(&event)?;
            continue;
        }
        // Nothing more waits, so whoever reads our output gets what there is.
        printer.flush()?;
        let end = first(wait_is_over.recv(), seconds.next());
        match interrupt.unless_asked(first(subscriber.recv_async(), end)) {
            Some(Either::Left(event)) => printer.event(&event?)?,
            // The loop looks at them.
            None | Some(Either::Right(Either::Right(()))) => {}
            Some(Either::Right(Either::Left(Some(WaitIsOver::DeadlinePassed)))) => {
                return Err(timed_out(printer.received.messages()));
            }
            Some(Either::Right(Either::Left(Some(WaitIsOver::ReaderGone) | None))) => {
                return Err(Failure::closed_pipe());
            }
        }
    }
    printer.flush()?;
    Ok(Exit::Fine)
}

/// The end at a signal: an error where more messages were asked for.
fn interrupted(messages: u64, count: Option<u64>) -> Result<Exit, Failure> {
    let Some(count) = count else { return Ok(Exit::Fine) };
    Err(Failure::new(Exit::Failed, format!("interrupted, after {messages} of {count} messages")))
}

fn timed_out(messages: u64) -> Failure {
    Failure::new(Exit::TimedOut, format!("the time is over, after {messages} messages"))
}
