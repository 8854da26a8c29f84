//! Everything at once, for as long as wanted: clients of every kind come and go, while standing subscribers, fast and
//! slow, keep books. In the end sent = received + told, exactly, for each of them; and at every rest in between the
//! broker, and this process, hold no more descriptors and memory than at the rest before.
//!
//! In CI it runs for some seconds; `scripts/soak.sh` runs it for half an hour on the release build.

#![expect(clippy::panic, reason = "in a test every failure is a panic")]

#[path = "../broker_process/mod.rs"]
mod broker_process;
mod churn;
mod gate;
mod level;
#[path = "../raw_client/mod.rs"]
mod raw_client;
mod standing;
mod stream;
#[path = "../watchdog/mod.rs"]
mod watchdog;
#[path = "../zmtp_peer/mod.rs"]
mod zmtp_peer;

use std::io::Write as _;
use std::sync::Arc;
use std::time::{Duration, Instant};

use broker_process::{BrokerProcess, Transport};
use churn::Churn;
use corecast_executors::pause;
use gate::Gate;
use level::Levels;
use standing::Standing;
use stream::Stream;

/// Its duration in CI.
const SECONDS_DEFAULT: u64 = 10;

/// Rests in all: enough to tell a slope from a step.
const RESTS: u32 = 10;

/// Between two looks at whether every client still comes and goes: a long run fails early.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// Small queues, so that the slow ones drop all the time.
const OPTIONS: &[&str] = &[
    "--shards",
    "2",
    "--frame-bytes-max",
    "256KiB",
    "--egress-bytes",
    "2MiB",
    "--heartbeat",
    "5s",
    "--log-level",
    "error",
];

fn seconds() -> u64 {
    match std::env::var("SOAK_SECONDS") {
        Ok(text) => text.parse().expect("SOAK_SECONDS is a whole number of seconds"),
        Err(_) => SECONDS_DEFAULT,
    }
}

#[test]
fn what_was_sent_is_received_or_told_and_nothing_grows() {
    let time = Duration::from_secs(seconds());
    let _watchdog = watchdog::watch_for("mixed churn", 2 * time + watchdog::LIMIT);
    let doors = tempfile::tempdir().expect("a directory");
    let door = doors.path().join("door");
    let zmtp = format!("uds://{}", door.display());
    let options: Vec<&str> = OPTIONS.iter().copied().chain(["--zmtp", &zmtp]).collect();
    let broker = BrokerProcess::start(Transport::Tcp, &options);

    let standing = Standing::start(&broker.client());
    let stream = Stream::start(&broker.client());
    let gate = Arc::new(Gate::new(churn::KINDS_COUNT));
    let churn = Churn::start(&broker, &door, &gate);
    // The sessions that stay: those of the standing subscribers and of the stream.
    let stay = standing::SUBSCRIBERS + stream::PUBLISHERS;
    let mut levels = Levels::default();
    for rest in 1..=RESTS {
        let rest_at = Instant::now() + time / RESTS;
        while Instant::now() < rest_at {
            churn.assert_alive();
            churn::pause_until(rest_at.min(Instant::now() + LOOK_EVERY));
        }
        gate.close(|| churn.assert_alive());
        broker.until(|page| page.sum("corecast_sessions") == stay as u64);
        levels.note(broker.pid());
        say(&format!("rest {rest} of {RESTS}: {} rounds of churn; {levels}", churn.rounds()));
        gate.open();
    }
    churn.stop();
    let sent = stream.stop();
    for account in standing.settle(&sent) {
        say(&account);
    }
    levels.assert_level();
}

/// Prints a line for the observer of a long run.
fn say(line: &str) {
    let _ = writeln!(std::io::stderr(), "{line}");
}

/// Between two looks at something that no signal tells of.
fn look_again() {
    pause(Duration::from_millis(5));
}
