//! `corecast latency`: the time of messages through a broker and back.

use std::time::{Duration, Instant};

use clap::Args;

use super::interrupt::{Interrupt, LAST_LINE_TIME};
use super::output::{is_watched, note};
use super::pace::Pace;
use super::probe::ProbeArgs;
use super::round_trips::RoundTrips;
use super::{Exit, Failure};
use crate::config::{Size, TimeSpan, parse_rate_hz};
use crate::{Error, ErrorKind, Event, Filter, Publisher, Sessions, Subscriber, Topic};

const EXAMPLES: &str = "\
Examples:
  corecast latency
  corecast latency -n 10000 --size 1KiB --rate 500
  corecast latency -b tls://broker.example.org:6680 --token-file desk.token --topic desk.test
  corecast latency -o json | jq .times_us.p99

A message is published on one connection and comes back on another one, and only then the next one is published: so this is the \
latency of a broker that is not loaded by it, and both threads of the client are in it. It is measured with one clock. `corecast-bench` \
loads a broker, with many subscribers on many hosts.

A percentile is the smallest time that at least so many percent of all do not exceed.";

/// The bytes of each payload that have its number.
const NUMBER_BYTES: usize = 8;

/// The time between two looks at signals while a message is awaited.
const LOOK: Duration = Duration::from_millis(100);

/// Measure the time of messages through a broker and back, and print percentiles.
#[derive(Args, Debug)]
#[command(after_help = EXAMPLES)]
pub(super) struct LatencyArgs {
    /// Number of messages.
    #[arg(short = 'n', long, value_name = "N", default_value_t = 1_000, value_parser = clap::value_parser!(u32).range(1..=10_000_000))]
    count: u32,

    /// Size of each payload, at least 8.
    #[arg(long, value_name = "BYTES", default_value_t = Size(64))]
    size: Size,

    /// Messages per second at most [default: each as soon as the one before has come back].
    #[arg(long, value_name = "HZ", value_parser = parse_rate_hz)]
    rate: Option<f64>,

    /// Topic to publish on and to subscribe to [default: one that nobody else uses, which begins with corecast.latency].
    #[arg(long, value_name = "TOPIC")]
    topic: Option<Topic>,

    #[command(flatten)]
    pub(super) probe: ProbeArgs,
}

pub(super) fn run(args: LatencyArgs) -> Result<Exit, Failure> {
    if args.size.0 < NUMBER_BYTES {
        let text = format!("{} is too short: a payload has its number, in {NUMBER_BYTES} bytes", args.size);
        return Err(Failure::new(Exit::Usage, text).of_field("size"));
    }
    let mut interrupt = Interrupt::on_signals(LAST_LINE_TIME, None)?;
    let mut trip = match interrupt.unless_asked(Trip::open(&args)) {
        Some(trip) => trip?,
        None => return Err(Failure::new(Exit::Failed, "interrupted before there was a connection")),
    };
    let mut trips = RoundTrips::default();
    let mut pace = args.rate.map(|hz| Pace::start(hz, true));
    let mut ended = Ok(Exit::Fine);
    for number in 1..=u64::from(args.count) {
        if let Some(pace) = &mut pace {
            pace.wait(|due| interrupt.wait_until(due));
        }
        match trip.go(number, &interrupt) {
            Ok(Came::Back(time)) => trips.add(time),
            Ok(Came::Lost) => trips.add_lost(),
            Ok(Came::Interrupted) => break,
            Err(failure) => {
                trips.add_lost();
                ended = Err(failure);
                break;
            }
        }
    }
    if trips.count() > 0 || ended.is_ok() {
        args.probe.print_sums(&trips)?;
    }
    ended
}

/// The way of a message: out by a publisher, back by a subscriber.
struct Trip {
    topic: Topic,
    publisher: Publisher,
    subscriber: Subscriber,
    payload: Vec<u8>,
    timeout: Duration,
}

/// The end of a message's way.
enum Came {
    Back(Duration),
    /// A gap stands where it should be.
    Lost,
    Interrupted,
}

impl Trip {
    async fn open(args: &LatencyArgs) -> Result<Self, Failure> {
        let timeout = args.probe.timeout();
        // Two connections: what comes back has gone through the broker as other messages do.
        let config = args.probe.config("corecast-latency")?.sessions(Sessions::PerSubscriber);
        let not_connected = |error| args.probe.not_connected(error);
        let mut publisher = Publisher::with_config_async(config.clone()).await.map_err(not_connected)?;
        let topic = match &args.topic {
            Some(topic) => topic.clone(),
            None => Topic::new(format!("corecast.latency.{}", publisher.id())).map_err(Error::from)?,
        };
        publisher.check_length(&topic, args.size.0).map_err(|error| Failure::from(error).of_field("size"))?;
        let filters = [Filter::from(topic.clone())];
        let subscriber = Subscriber::with_config_async(config, &filters).await.map_err(|error| {
            let is_refused = matches!(error.kind(), ErrorKind::Refused(_));
            let failure = not_connected(error);
            match is_refused {
                true => failure.hint("--topic names a topic that this user may publish and subscribe to"),
                false => failure,
            }
        })?;
        publisher.wait_for_subscribers_async(&topic, 1, timeout).await?;
        if is_watched() {
            note(format!("messages of {} on {topic}, one after the other", args.size));
        }
        Ok(Trip { topic, publisher, subscriber, payload: vec![0; args.size.0], timeout })
    }

    /// Publishes the message of this number, and waits for it.
    fn go(&mut self, number: u64, interrupt: &Interrupt) -> Result<Came, Failure> {
        self.payload[..NUMBER_BYTES].copy_from_slice(&number.to_le_bytes());
        let start = Instant::now();
        self.publisher.publish(&self.topic, &self.payload)?;
        loop {
            if interrupt.is_asked() {
                return Ok(Came::Interrupted);
            }
            let left = self.timeout.saturating_sub(start.elapsed());
            if left.is_zero() {
                let text = format!("message {number} has not come back in {}", TimeSpan(self.timeout));
                return Err(Failure::new(Exit::TimedOut, text));
            }
            match self.subscriber.recv_timeout(left.min(LOOK))? {
                // Others may publish on a topic that was named.
                Some(Event::Message(message)) => {
                    let is_ours = message.publisher == self.publisher.id();
                    if is_ours && message.payload.starts_with(&number.to_le_bytes()) {
                        return Ok(Came::Back(start.elapsed()));
                    }
                }
                Some(Event::Gap(_)) => return Ok(Came::Lost),
                Some(Event::CaughtUp) | None => {}
            }
        }
    }
}
