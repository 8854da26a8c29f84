//! `corecast pub`: publishes a message, the lines of a file, or generated messages, and ends when the broker has
//! taken them.

use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use clap::Args;

use super::client_args::ClientArgs;
use super::interrupt::Interrupt;
use super::output::{Format, is_watched, note, print};
use super::pace::Pace;
use super::payloads::{Lines, Payloads, read_file};
use super::progress::SendProgress;
use super::refusal::{NoUse, RefusalWatch};
use super::settings::Settings;
use super::template::Template;
use super::{Exit, Failure};
use crate::config::{Size, TimeSpan, parse_count, parse_rate_hz, parse_timeout};
use crate::limits::{FRAME_BYTES_MAX_LIMIT, INTERRUPTED_MAX};
use crate::{DirectConfig, Error, ErrorKind, ListenConfig, Publisher, Topic};

const EXAMPLES: &str = "\
Examples:
  corecast pub prices.eur.usd 1.0842
  corecast pub log --lines /var/log/syslog
  corecast pub reports --file report.pdf           # all of it in one message
  corecast pub load '{\"n\":{{count}},\"value\":{{random 1 100}}}' --template --repeat 1000 --rate 10
  seq 1 1000000 | corecast pub numbers --lines - --wait-subscribers 1
  corecast pub load --count 100000 --size 64 --rate 5000
  corecast pub prices.eur.usd 1.0842 --broker tls://broker.example.org:6680 --token-file feeds.token
  corecast pub prices.eur.usd 1.0842 --broker tls://10.0.0.1:6680 --ca ca.pem --cert feeds.pem --key feeds.key

A broker with users (`corecast user --help`) wants a token, a client certificate or, at a Unix socket, the uid of one that may \
publish the topic.

With --template, {{count}} is the number of the message from 1, {{time}} the time in RFC 3339, and {{random FROM TO}} a whole number \
from FROM to TO.

With --lines a file is sent line by line, without the newlines and otherwise byte for byte: `corecast sub` prints each payload and a \
newline, and so restores a text file. With a message or generated ones, the exit code is 3 if they were sent slower than \
--rate; with --lines the rate is only an upper limit.

Once the broker refuses the topic, or permits it no longer, it ends with 1, though there may be more to come.

On SIGTERM and SIGINT it waits up to 5 s for the broker to take what was sent, and exits with 1.";

/// Time in which a terminal hears nothing of a wait for subscribers.
const FIRST_COUNT: Duration = Duration::from_millis(250);

/// The last words where that takes too long.
const TOO_LATE: &str = "error: interrupted, and the broker has not taken in time what was sent";

/// Publish a message, the lines of a file, or generated messages; exit once the broker has taken them.
#[derive(Args, Debug)]
#[command(after_help = EXAMPLES, mut_arg("zmtp", |arg| arg.visible_alias("zmtp")))]
pub(super) struct PubArgs {
    /// Topic: levels separated by dots, such as prices.eur.usd.
    topic: Topic,

    /// Payload of a single message, any bytes; --count repeats it.
    #[arg(conflicts_with_all = ["lines", "whole"], allow_negative_numbers = true)]
    message: Option<OsString>,

    /// File that is published whole, as one message; - is stdin.
    #[arg(long = "file", value_name = "FILE", conflicts_with = "lines")]
    whole: Option<PathBuf>,

    /// File whose lines are published, one message each; - is stdin.
    #[arg(long, value_name = "FILE")]
    lines: Option<PathBuf>,

    /// Number of messages; with --lines, the maximum. Without MESSAGE, --file and --lines the messages are generated: a
    /// counter from 1, padded with zeros.
    #[arg(short = 'n', long, value_name = "N")]
    count: Option<u64>,

    /// Times to publish the message, the file, or all lines of a file.
    #[arg(long, value_name = "N", conflicts_with = "count", value_parser = clap::value_parser!(u64).range(1..))]
    repeat: Option<u64>,

    /// Fill in {{count}}, {{time}} and {{random FROM TO}}, in the message, the file, or each line.
    #[arg(long)]
    template: bool,

    /// Size of each generated message.
    #[arg(long, value_name = "BYTES", default_value_t = Size(64))]
    size: Size,

    /// Messages per second [default: as fast as the broker takes them].
    #[arg(long, value_name = "HZ", value_parser = parse_rate_hz)]
    rate: Option<f64>,

    /// Number of subscribers of the topic to wait for before publishing.
    #[arg(long, value_name = "N", value_parser = parse_count)]
    wait_subscribers: Option<usize>,

    /// Timeout of each wait: for a broker that is away, for the subscribers, and at the end for the broker to take
    /// what was sent. A connected broker that says nothing counts as away after two of its heartbeats, 30 s by default.
    #[arg(short = 't', long, value_name = "SECS", value_parser = parse_timeout, default_value_t = TimeSpan(Duration::from_secs(60)))]
    timeout: TimeSpan,

    /// Output format: text, which is nothing if all is well, or json for an object with the sums of what was sent.
    #[arg(short, long, value_name = "FORMAT", default_value = "text")]
    output: Format,

    #[command(flatten)]
    direct: Settings<DirectConfig>,

    #[command(flatten)]
    listeners: Settings<ListenConfig>,

    #[command(flatten)]
    pub(super) client: ClientArgs,
}

impl PubArgs {
    /// Where the payloads come from.
    fn payloads(&mut self, interrupt: &Interrupt) -> Result<Payloads, Failure> {
        let times = self.repeat.or(self.count);
        let whole = match (self.message.take(), &self.whole) {
            (Some(message), _) => Some((message.into_vec(), "message")),
            (None, Some(path)) => Some((read_file(path, interrupt)?, "file")),
            (None, None) => None,
        };
        if let Some((payload, name)) = whole {
            return self.same(payload, name, times.unwrap_or(1));
        }
        if let Some(path) = &self.lines {
            if self.repeat.is_some() && path.as_os_str() == "-" {
                return Err(Failure::new(Exit::Usage, "stdin can be read once").of_field("repeat"));
            }
            return Ok(Payloads::Lines {
                lines: Lines::open(path, self.repeat.unwrap_or(1), interrupt)?,
                left: self.count.unwrap_or(u64::MAX),
                are_templates: self.template,
            });
        }
        if self.template || self.repeat.is_some() {
            let field = if self.template { "template" } else { "repeat" };
            return Err(Failure::new(Exit::Usage, "it wants a message, --file or --lines").of_field(field));
        }
        match self.count {
            Some(_) if self.size.0 > FRAME_BYTES_MAX_LIMIT => {
                let text = format!("{} is more than any broker takes", self.size);
                let most = Size(FRAME_BYTES_MAX_LIMIT);
                Err(Failure::new(Exit::Usage, text)
                    .of_field("size")
                    .hint(format!("a frame has at most {most}, by default 4MiB")))
            }
            Some(count) => Ok(Payloads::Generated { size: self.size.0, given: 0, count }),
            None => Err(Failure::new(Exit::Usage, "there is nothing to publish").hint(
                "give a message, --file FILE, --lines FILE (- is stdin), or --count N for generated messages",
            )),
        }
    }

    /// One payload, so many times.
    fn same(&self, payload: Vec<u8>, name: &'static str, times: u64) -> Result<Payloads, Failure> {
        if self.template {
            let template = Template::parse(&payload)
                .map_err(|why| Failure::new(Exit::Usage, why).of_field("template"))?;
            return Ok(Payloads::Filled { template, given: 0, count: times });
        }
        if is_watched() && Template::is_meant_by(&payload) {
            note("note: what stands between {{ and }} is sent as it is; --template fills it in");
        }
        Ok(Payloads::Same { payload, left: times, name })
    }
}

pub(super) fn run(mut args: PubArgs) -> Result<Exit, Failure> {
    let mut interrupt = Interrupt::on_signals(INTERRUPTED_MAX, Some(TOO_LATE))?;
    let payloads = args.payloads(&interrupt)?;
    let timeout = args.timeout.0;
    let client = args.client.clone().config()?;
    let tried = client.connect_timeout.min(timeout);
    let direct = args.direct.0.clone().listeners(args.listeners.0.clone());
    let config = client.name("corecast-pub").connect_timeout(tried).publish_timeout(timeout).direct(direct);
    let connected = interrupt.unless_asked(Publisher::with_config_async(config));
    let connected = connected.ok_or_else(|| interrupted(0))?;
    let mut publisher = connected.map_err(|error| Failure::not_connected(error, Some(timeout), tried))?;
    if let Some(bytes) = payloads.size_to_come() {
        // Before they are made, and before anybody is waited for.
        publisher.check_length(&args.topic, bytes).map_err(|e| not_published(e, &payloads))?;
    }
    if let Some(wanted) = args.wait_subscribers {
        let there = wait_for_subscribers(&mut publisher, &args.topic, wanted, timeout);
        interrupt.unless_asked(there).ok_or_else(|| interrupted(0))??;
    }
    let mut watch = RefusalWatch::begin(publisher.connection_events(), interrupt.asker())?;
    let mut progress = SendProgress::start(payloads.count_to_come())?;
    let sent = publish_all(&mut publisher, &args, payloads, &mut interrupt, &mut progress);
    progress.end();
    let no_use = watch.found();
    // What was sent before an error is delivered all the same, unless the broker is gone: it was waited for.
    let is_gone = sent.as_ref().is_err_and(|stopped| stopped.is_broker_gone);
    let is_interrupted = interrupt.is_asked() && no_use.is_none();
    let time = if is_interrupted { timeout.min(INTERRUPTED_MAX) } else { timeout };
    let taken = publisher.close_within(if is_gone { Duration::ZERO } else { time });
    let taken = match (no_use, taken) {
        (Some(NoUse::Refused(error)), _) => return Err(error.into()),
        // The error of the session, in place of the interrupt.
        (Some(NoUse::Ended), Err(error)) if sent.is_err() => return Err(error.into()),
        (_, taken) => taken,
    };
    let sent = sent.map_err(|stopped| match &taken {
        Err(error) if is_interrupted => stopped.failure.at(format!("not all was taken ({error})")),
        _ => stopped.failure,
    })?;
    taken?;
    if args.output == Format::Json {
        print(progress.object(&String::from_utf8_lossy(args.topic.as_bytes())))?;
    }
    if sent.rate_kept {
        return Ok(Exit::Fine);
    }
    let rate = args.rate.unwrap_or_default();
    Err(Failure::new(
        Exit::RateNotReached,
        format!("{} messages were sent slower than {rate} a second", sent.messages),
    ))
}

/// Waits for the subscribers; says on a terminal how many are there.
async fn wait_for_subscribers(
    publisher: &mut Publisher,
    topic: &Topic,
    wanted: usize,
    timeout: Duration,
) -> Result<(), Error> {
    let start = Instant::now();
    if is_watched() {
        // Those that are there already are no wait worth a word.
        let first = publisher.wait_for_subscribers_async(topic, 1, timeout.min(FIRST_COUNT)).await;
        let mut there = first.unwrap_or(0);
        while there < wanted {
            note(format!("waiting: {there} of {wanted} subscribers are there"));
            let left = timeout.saturating_sub(start.elapsed());
            // The last question has the error, with all that are wanted.
            let Ok(now) = publisher.wait_for_subscribers_async(topic, there + 1, left).await else { break };
            there = now;
        }
    }
    let left = timeout.saturating_sub(start.elapsed());
    publisher.wait_for_subscribers_async(topic, wanted, left).await.map(drop)
}

/// The outcome of sending.
struct Sent {
    messages: u64,
    rate_kept: bool,
}

/// Why not all was sent.
struct Stopped {
    failure: Failure,
    is_broker_gone: bool,
}

impl From<Failure> for Stopped {
    fn from(failure: Failure) -> Self {
        Stopped { failure, is_broker_gone: false }
    }
}

fn publish_all(
    publisher: &mut Publisher,
    args: &PubArgs,
    mut payloads: Payloads,
    interrupt: &mut Interrupt,
    progress: &mut SendProgress,
) -> Result<Sent, Stopped> {
    let mut pace = args.rate.map(|hz| Pace::start(hz, payloads.have_own_pace()));
    let mut payload = Vec::new();
    while payloads
        .next(&mut payload)
        .map_err(|failure| if interrupt.is_asked() { interrupted(publisher.published()) } else { failure })?
    {
        if let Some(pace) = &mut pace {
            pace.wait(|due| interrupt.wait_until(due));
        }
        let published = interrupt.unless_asked(publisher.publish_async(&args.topic, &payload));
        published.ok_or_else(|| interrupted(publisher.published()))?.map_err(|error| Stopped {
            is_broker_gone: error.kind() == ErrorKind::Unreachable,
            failure: not_published(error, &payloads),
        })?;
        progress.add(payload.len());
    }
    Ok(Sent { messages: publisher.published(), rate_kept: pace.is_none_or(|pace| pace.is_kept()) })
}

fn interrupted(messages: u64) -> Failure {
    Failure::new(Exit::Failed, format!("interrupted, after {messages} messages"))
}

/// Names the payload. One that is too long is wrong data, not wrong usage.
fn not_published(error: Error, payloads: &Payloads) -> Failure {
    let failure = Failure::from(error);
    let exit = if failure.exit() == Exit::Usage { Exit::Failed } else { failure.exit() };
    failure.with_exit(exit).at(payloads.place())
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser, Debug)]
    struct Typed {
        #[command(flatten)]
        args: PubArgs,
    }

    fn typed(line: &[&str]) -> Result<PubArgs, clap::Error> {
        Typed::try_parse_from(std::iter::once(&"pub").chain(line)).map(|typed| typed.args)
    }

    fn payloads(line: &[&str]) -> Result<Payloads, Failure> {
        typed(line).expect("as it should be typed").payloads(&Interrupt::new().expect("a pipe"))
    }

    #[test]
    fn where_payloads_come_from() {
        assert!(matches!(payloads(&["t", "hi"]), Ok(Payloads::Same { left: 1, .. })));
        assert!(matches!(payloads(&["t", "hi", "--count", "3"]), Ok(Payloads::Same { left: 3, .. })));
        assert!(matches!(payloads(&["t", "-1.5"]), Ok(Payloads::Same { left: 1, .. })));
        assert!(matches!(payloads(&["t", ""]), Ok(Payloads::Same { left: 1, .. })));
        assert!(matches!(payloads(&["t", "--lines", "-"]), Ok(Payloads::Lines { left: u64::MAX, .. })));
        assert!(matches!(
            payloads(&["t", "--count", "9"]),
            Ok(Payloads::Generated { size: 64, count: 9, .. })
        ));
        assert!(matches!(payloads(&["t", "hi", "--repeat", "3"]), Ok(Payloads::Same { left: 3, .. })));
        let filled = payloads(&["t", "{{count}}", "--template", "-n", "3"]);
        assert!(matches!(filled, Ok(Payloads::Filled { count: 3, .. })));
        assert!(matches!(payloads(&["t", "{{count}}"]), Ok(Payloads::Same { left: 1, .. })));
        for (line, part) in [
            (&["t"][..], "nothing to publish"),
            (&["t", "{{no}}", "--template"], "`{{no}}` is no field"),
            (&["t", "--count", "3", "--template"], "it wants a message"),
            (&["t", "--repeat", "3"], "it wants a message"),
            (&["t", "--lines", "-", "--repeat", "3"], "stdin can be read once"),
        ] {
            let failure = payloads(line).err().expect("it cannot be sent");
            assert_eq!(failure.exit(), Exit::Usage);
            assert!(failure.to_string().contains(part), "{failure}");
        }
    }

    #[test]
    fn what_cannot_be_published_is_named_and_is_not_wrong_usage() {
        let payloads = payloads(&["t", "hi"]).expect("a message");
        let failure = not_published(Error::new(ErrorKind::Invalid, "it is too long"), &payloads);
        assert_eq!(failure.exit(), Exit::Failed);
        assert_eq!(failure.to_string(), "error: the message: it is too long\n");
    }

    #[test]
    fn what_is_typed_wrong_is_told() {
        for (line, part) in [
            (&["a..b", "hi"][..], "empty level"),
            (&["a.*", "hi"], "wildcard"),
            (&["t", "hi", "--lines", "-"], "cannot be used with"),
            (&["t", "hi", "--file", "-"], "cannot be used with"),
            (&["t", "--file", "a", "--lines", "b"], "cannot be used with"),
            (&["t", "hi", "--count", "1", "--repeat", "1"], "cannot be used with"),
            (&["t", "hi", "--repeat", "0"], "0 is not in 1.."),
            (&["t", "--count", "1", "--rate", "0"], "above 0"),
            (&["t", "--count", "1", "--size", "1.5"], "whole number"),
            (&["t", "hi", "--broker", "localhost"], "tcp://HOST:PORT"),
            (&["t", "hi", "--timeout", "0"], "above 0"),
            (&["t", "hi", "--broker", "a:1,a:1"], "stands there twice"),
            (&["t", "hi", "--pub-listen", "a:1,b:2"], "are 2 endpoints; write one"),
        ] {
            let error = typed(line).expect_err("it is wrong").to_string();
            assert!(error.contains(part), "{line:?}: {error}");
        }
    }
}
