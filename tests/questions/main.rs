//! Questions of a handle to the client executor: each is answered or fails in its time, whatever became of the session,
//! and a dropped one holds nobody up.

#![expect(clippy::panic, reason = "in a test every failure is a panic")]

mod away;
#[path = "../broker_process/mod.rs"]
mod broker_process;
mod dropped;
mod ended;
mod left;
#[path = "../one_executor/mod.rs"]
mod one_executor;
#[path = "../watchdog/mod.rs"]
mod watchdog;

use std::time::Duration;

use broker_process::{BrokerProcess, Transport};
use corecast::{ClientConfig, Event, Filter, Sessions, Subscriber, Topic};

/// Long enough for whatever is on its way.
const PATIENCE: Duration = Duration::from_secs(60);

/// A good deal less than [`PATIENCE`], and than any time in which something is wrongly waited for here.
const SOON: Duration = Duration::from_secs(20);

fn topic(name: &str) -> Topic {
    Topic::new(name).expect("a topic")
}

fn own_sessions(broker: &BrokerProcess) -> ClientConfig {
    broker.client().sessions(Sessions::PerSubscriber)
}

fn subscriber(broker: &BrokerProcess, filter: &str) -> Subscriber {
    let filters = [Filter::parse(filter).expect("a filter")];
    Subscriber::with_config(own_sessions(broker), &filters).expect("a subscriber")
}

/// The payload of the next message; a gap would be a loss.
fn next(subscriber: &mut Subscriber) -> Vec<u8> {
    match subscriber.recv_timeout(PATIENCE) {
        Ok(Some(Event::Message(message))) => message.payload.to_vec(),
        other => panic!("a message, not {other:?}"),
    }
}
