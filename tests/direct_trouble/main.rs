//! Trouble in direct mode: brokers, publishers and addresses that are gone, frozen, false or another's. Against real
//! processes; every message arrives or is reported as missing, and others do not notice.
//!
//! | file | owns |
//! |---|---|
//! | `broker_gone` | streams across the death of their broker, and clients that come after it is back |
//! | `rules` | a broker that is started again with other rules |
//! | `publisher_gone` | publishers killed, leaving, frozen |
//! | `addresses` | endpoints that nobody reaches, that are taken, that belong to another |
//! | `strangers` | peers that connect to a publisher's port and should not |
//! | `slow` | subscribers that do not read |
//! | `follower` | the oracle: a subscriber that knows what it may miss |
//! | `client_process` | `corecast pub` and `corecast sub` as processes |
//! | `book` | the registry, as tests query it |
//! | `away`, `cable` | publishers that a subscriber which was cut off has not heard of; the way to its broker |
//! | `played` | a subscriber that comes back, and hears a broker and publishers in one order, word for word |
//! | `port` | a listener that is not a publisher, and counts connections |

#![expect(clippy::panic, reason = "in a test every failure is a panic")]

#[path = "../broker_process/mod.rs"]
mod broker_process;
#[path = "../raw_client/mod.rs"]
mod raw_client;
#[path = "../watchdog/mod.rs"]
mod watchdog;

mod addresses;
mod away;
mod book;
mod broker_gone;
mod cable;
mod client_process;
mod follower;
mod played;
mod port;
mod publisher_gone;
mod rules;
mod slow;
mod strangers;

use std::time::Duration;

use broker_process::BrokerProcess;
use corecast::{ClientConfig, Gap, GapReason, Publisher, Sessions, Topic};

/// Long enough for whatever is on its way; the watchdog ends what never comes.
const PATIENCE: Duration = Duration::from_secs(60);

/// Long enough to see that something is not there: what these tests wait for is there within milliseconds.
const SHORT: Duration = Duration::from_millis(300);

/// A broker that only introduces, and gives up clients that are silent for two seconds.
const DIRECT: &[&str] = &["--mode", "direct", "--shards", "2", "--lease", "2s"];

/// The gap that subscribers of a dead publisher get.
const PUBLISHER_LOST: Gap = Gap { topic: None, missed: None, reason: GapReason::Publisher };

fn topic(name: &str) -> Topic {
    Topic::new(name).expect("a topic")
}

fn own_sessions(broker: &BrokerProcess) -> ClientConfig {
    broker.client().sessions(Sessions::PerSubscriber)
}

/// A publisher on a session, and so with a registration, of its own.
fn publisher(broker: &BrokerProcess) -> Publisher {
    Publisher::with_config(own_sessions(broker)).expect("a publisher")
}
