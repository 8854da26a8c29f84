//! Numbers that are published without a pause, and listeners that judge what they hear.

use std::io::Write as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use corecast::{ClientConfig, ErrorKind, Event, Filter, GapReason, Publisher, Subscriber, Topic};
use corecast_executors::{pause, spawn_plain};

/// Time limit of any step, on a machine that is busy with something else.
const PATIENCE: Duration = Duration::from_secs(60);

/// Between two numbers: 200 a second.
const PACE: Duration = Duration::from_millis(5);

/// Between two looks at subscribers that share a thread.
pub(crate) const LOOK_PAUSE: Duration = Duration::from_millis(1);

fn subscriber(config: ClientConfig) -> Subscriber {
    Subscriber::with_config(config, &[Filter::parse("n").expect("a filter")]).expect("a subscriber")
}

/// A publisher of numbers, from 1, until it is stopped.
pub(crate) struct Numbers {
    stop: Arc<AtomicBool>,
    thread: JoinHandle<(u64, corecast::Result<()>)>,
}

impl Numbers {
    pub(crate) fn start(config: ClientConfig) -> Self {
        let mut publisher = Publisher::with_config(config).expect("a publisher");
        let stop = Arc::new(AtomicBool::new(false));
        let told = Arc::clone(&stop);
        let run = move || {
            let topic = Topic::new("n").expect("a topic");
            let (mut number, began) = (0_u64, Instant::now());
            while !told.load(Ordering::Relaxed) {
                number += 1;
                publisher.publish(&topic, &number.to_le_bytes()).expect("a broker takes it");
                let due = began + PACE * u32::try_from(number).expect("a test is short");
                pause(due.saturating_duration_since(Instant::now()));
            }
            (number, publisher.close())
        };
        Numbers { stop, thread: spawn_plain("numbers", run).expect("a thread") }
    }

    /// The last number.
    pub(crate) fn stop(self) -> u64 {
        let (number, taken) = self.end();
        taken.expect("all was taken");
        number
    }

    /// The same where a broker was killed, which may have had messages that it had not taken: its publisher says so.
    pub(crate) fn stop_after_a_kill(self) -> u64 {
        let (number, taken) = self.end();
        if let Err(error) = taken {
            assert_eq!(error.kind(), ErrorKind::Lost, "{error}");
        }
        number
    }

    fn end(self) -> (u64, corecast::Result<()>) {
        self.stop.store(true, Ordering::Relaxed);
        self.thread.join().expect("no publish fails")
    }
}

/// A subscriber, and what it has heard.
pub(crate) struct Listener {
    subscriber: Subscriber,
    pub(crate) last: u64,
    heard: u64,
    /// Gaps since the last number.
    gaps: u64,
    /// All gaps, and numbers that were missing where there were some.
    pub(crate) all_gaps: u64,
    pub(crate) told: u64,
    heard_at: Instant,
    longest_pause: Duration,
}

impl Listener {
    pub(crate) fn new(config: ClientConfig) -> Self {
        Listener {
            subscriber: subscriber(config),
            last: 0,
            heard: 0,
            gaps: 0,
            all_gaps: 0,
            told: 0,
            heard_at: Instant::now(),
            longest_pause: Duration::ZERO,
        }
    }

    pub(crate) fn take(&mut self, event: Event) {
        match event {
            Event::Message(message) => {
                let number = u64::from_le_bytes(message.payload[..].try_into().expect("a number"));
                assert!(number > self.last, "{number} after {}: twice, or out of order", self.last);
                let missing = if self.heard == 0 { 0 } else { number - self.last - 1 };
                assert!(missing == 0 || self.gaps > 0, "{missing} missing before {number}, and not told");
                if self.heard > 0 {
                    self.longest_pause = self.longest_pause.max(self.heard_at.elapsed());
                }
                self.told += missing;
                (self.last, self.gaps, self.heard_at) = (number, 0, Instant::now());
                self.heard += 1;
            }
            Event::CaughtUp => panic!("it started live"),
            Event::Gap(gap) => {
                let is_of_a_move =
                    matches!(gap.reason, GapReason::Reconnect | GapReason::Publisher | GapReason::History);
                assert!(is_of_a_move, "{gap:?}");
                self.gaps += 1;
                self.all_gaps += 1;
            }
        }
    }

    /// Reads until this number, or a later one.
    pub(crate) fn until(&mut self, number: u64) {
        let give_up = Instant::now() + PATIENCE;
        while self.last < number {
            assert!(Instant::now() < give_up, "nothing after {} of {number}", self.last);
            if let Some(event) =
                self.subscriber.recv_timeout(Duration::from_millis(100)).expect("the session stands")
            {
                self.take(event);
            }
        }
    }

    /// Reads what is there.
    pub(crate) fn drain(&mut self) {
        while let Some(event) = self.subscriber.try_recv().expect("the session stands") {
            self.take(event);
        }
    }
}

/// Listeners that are read by one thread, until all have heard the number that is told at the end.
pub(crate) struct Crowd {
    last: Arc<std::sync::OnceLock<u64>>,
    thread: JoinHandle<Vec<Listener>>,
}

impl Crowd {
    /// Shares listeners out to a few threads.
    pub(crate) fn start_all(listeners: Vec<Listener>) -> Vec<Crowd> {
        let each = listeners.len().div_ceil(8);
        let (mut crowds, mut rest) = (Vec::new(), listeners.into_iter());
        loop {
            let some: Vec<Listener> = rest.by_ref().take(each).collect();
            if some.is_empty() {
                return crowds;
            }
            crowds.push(Crowd::start(some));
        }
    }

    fn start(listeners: Vec<Listener>) -> Self {
        let last = Arc::new(std::sync::OnceLock::new());
        let told = Arc::clone(&last);
        let run = move || {
            let (mut listeners, mut give_up) = (listeners, None);
            loop {
                listeners.iter_mut().for_each(Listener::drain);
                if let Some(last) = told.get() {
                    if listeners.iter().all(|listener| listener.last >= *last) {
                        return listeners;
                    }
                    let give_up = *give_up.get_or_insert_with(|| Instant::now() + PATIENCE);
                    assert!(Instant::now() < give_up, "not all have heard {last}");
                }
                pause(LOOK_PAUSE);
            }
        };
        Crowd { last, thread: spawn_plain("crowd", run).expect("a thread") }
    }

    pub(crate) fn end(self, last: u64) -> Vec<Listener> {
        self.last.set(last).expect("it ends once");
        self.thread.join().expect("nobody misses anything untold")
    }
}

/// Prints the figures of a transfer.
pub(crate) fn report(what: &str, sent: u64, listeners: &[Listener]) {
    let told: u64 = listeners.iter().map(|listener| listener.told).sum();
    let longest = listeners.iter().map(|listener| listener.longest_pause).max().unwrap_or_default();
    let line = format!(
        "{what}: {} subscribers, {sent} messages each at {} a second: {told} lost and told, longest pause {:.1} ms",
        listeners.len(),
        Duration::from_secs(1).as_millis() / PACE.as_millis(),
        longest.as_secs_f64() * 1e3
    );
    // Written past the harness, which would keep it to itself.
    let _ = writeln!(std::io::stderr(), "{line}");
}
