//! A publisher and a subscriber that behave well while a test troubles their broker: all their messages arrive, in
//! order, and without a gap.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use corecast::{ClientConfig, Event, Filter, Publisher, Sessions, Subscriber, Topic};
use corecast_executors::{pause, spawn_plain};

/// Between two messages: 500 a second show a disturbance, and leave the machine to the test.
const PERIOD: Duration = Duration::from_millis(2);

/// Time limit of a message's delivery, on a machine that is busy with something else.
const PATIENCE: Duration = Duration::from_secs(30);

/// A pair that publishes and receives until it is checked.
#[derive(Debug)]
pub(crate) struct HealthyPair {
    stop: Arc<AtomicBool>,
    pair: JoinHandle<()>,
}

impl HealthyPair {
    /// Starts them at this broker, each on a session of its own.
    pub(crate) fn start(broker: &ClientConfig) -> Self {
        let config = broker.clone().sessions(Sessions::PerSubscriber);
        let filters = [Filter::parse("healthy.*").expect("a filter")];
        let mut subscriber = Subscriber::with_config(config.clone(), &filters).expect("a subscriber");
        let mut publisher = Publisher::with_config(config).expect("a publisher");
        let topic = Topic::new("healthy.pair").expect("a topic");
        let stop = Arc::new(AtomicBool::new(false));
        let told = Arc::clone(&stop);
        let run = move || {
            loop {
                let sent = publisher.publish(&topic, b"well").expect("the broker takes it");
                match subscriber.recv_timeout(PATIENCE).expect("the session stands") {
                    Some(Event::Message(message)) => assert_eq!(message.sequence, sent),
                    other => panic!("message {sent}, not {other:?}"),
                }
                if told.load(Ordering::Relaxed) {
                    return publisher.close().expect("all was taken");
                }
                pause(PERIOD);
            }
        };
        HealthyPair { stop, pair: spawn_plain("healthy", run).expect("a thread") }
    }

    /// Ends them, and fails if anything was not as it should be.
    pub(crate) fn assert_well(self) {
        self.stop.store(true, Ordering::Relaxed);
        self.pair.join().expect("the healthy pair is not touched");
    }
}
