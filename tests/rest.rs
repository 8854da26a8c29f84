//! The cost of time itself to a broker: resting shards are not ticked a hundred times a second.

#![expect(clippy::panic, reason = "in a test every failure is a panic")]

mod broker_process;
mod healthy_pair;
mod watchdog;

use std::time::{Duration, Instant};

use broker_process::{BrokerProcess, Transport};
use corecast_executors::TICK;
use healthy_pair::HealthyPair;

/// Shortest measurement: long beside a shard's rest of 80 ms.
const LOOK: Duration = Duration::from_secs(1);

#[test]
fn shards_that_only_pass_messages_on_rest_between_them() {
    let _watchdog = watchdog::watch("shards_that_only_pass_messages_on_rest_between_them");
    let broker = BrokerProcess::start(Transport::Tcp, &["--shards", "2"]);
    // A session on each shard, so that every message crosses a link.
    let pair = HealthyPair::start(&broker.client());
    let before = broker.until(|page| page.sum("corecast_deliveries_total") >= 10);
    let began = Instant::now();
    let wanted = before.sum("corecast_deliveries_total") + 100;
    let after = broker.until(|page| began.elapsed() > LOOK && page.sum("corecast_deliveries_total") > wanted);
    let pulses = began.elapsed().as_millis() / TICK.as_millis();
    let ticks = u128::from(after.sum("corecast_ticks_total") - before.sum("corecast_ticks_total"));
    pair.assert_well();
    // At their pace two shards hear twice as many ticks as there are pulses, resting an eighth of that, and one that a
    // message finds still at work hears one more now and then.
    assert!(ticks * 4 < pulses * 3, "{ticks} ticks in {pulses} pulses");
    assert!(ticks > 0, "resting shards hear the time all the same");
}
