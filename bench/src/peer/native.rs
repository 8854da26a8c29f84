//! Owns our broker with subscribers of our own library: what its users get, where the raw sockets show what the
//! broker alone does.

use super::compare::Runs;
use super::name::PeerName;
use super::plan::Plan;
use super::start::StartError;
use crate::experiment::plan::{BrokerChoice, BrokerOptions, Plan as RunPlan};
use crate::experiment::run::run;
use crate::interrupt::Interrupt;
use crate::swarm::schedule::{Amount, Rate};
use corecast::Mode;
use corecast_executors::Topology;
use std::path::Path;

/// Measures it: a broker for the paced run, another one for the flood.
pub(super) fn measure(
    name: PeerName,
    round: u32,
    plan: &Plan,
    guard: Option<&Path>,
    interrupt: &Interrupt,
) -> Result<(Option<String>, Runs), StartError> {
    let failed = |why: String| StartError::Failed { program: name.to_string(), why };
    let topology = Topology::detect().map_err(|error| failed(error.to_string()))?;
    let cores = topology.allowed().to_vec();
    let fan_out_cores = match &plan.broker_cores {
        Some(set) => set.resolve(&topology).map_err(|error| failed(error.to_string()))?,
        None => cores.clone(),
    };
    let broker = match plan.elsewhere.iter().find(|(elsewhere, _)| *elsewhere == name) {
        Some((_, peer)) => {
            BrokerChoice::Running { endpoint: peer.subscribe_at.clone(), pid: peer.pid, overflow: None }
        }
        None => BrokerChoice::Started(BrokerOptions {
            transport: name.transport(plan.transport),
            cores: plan.broker_cores.clone(),
            idle: plan.broker_idle,
            ..BrokerOptions::default()
        }),
    };
    let mode = if name.system.is_direct() { Mode::Direct } else { Mode::Proxy };
    let paced = (Rate::Hz(plan.rate_hz), Amount::Duration(plan.duration));
    let flood = (Rate::Flood, Amount::Messages(plan.flood_messages));
    let loads = [Some(paced), (plan.flood_messages > 0).then_some(flood)];
    let mut runs = Runs::new();
    for (rate, amount) in loads.into_iter().flatten() {
        if interrupt.is_set() {
            break;
        }
        let plan = RunPlan {
            mode,
            broker: broker.clone(),
            sessions: plan.sessions,
            subscribers: plan.subscribers,
            slow: None,
            publishers: 1,
            size_bytes: plan.size_bytes,
            rate,
            amount,
            subscriber_cores: cores.clone(),
            publisher_cores: cores.clone(),
            fan_out_cores: fan_out_cores.clone(),
            idle: corecast_executors::Idle::Park,
            timeout: plan.timeout,
            keep_samples: false,
            quiet: None,
            hosts: None,
        };
        let outcome = run(&plan, guard, interrupt).map_err(|error| failed(error.to_string()))?;
        let mut record = outcome.record;
        record.peer = Some(name.to_string());
        record.round = Some(round);
        record.clients = Some("native".into());
        // In direct mode the broker only introduces.
        record.cpu_ns_per_delivery = match mode {
            Mode::Proxy => record.broker.cpu_ns_per_delivery,
            Mode::Direct => record.publisher_executors.cpu_ns_per_delivery,
        };
        runs.push((record, outcome.raw));
    }
    Ok((Some(env!("CARGO_PKG_VERSION").to_owned()), runs))
}
