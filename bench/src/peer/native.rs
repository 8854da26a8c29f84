//! Owns our broker with subscribers of our own library: what its users get, where the raw sockets show what the
//! broker alone does.

use super::name::System;
use super::plan::{Measured, Turn};
use crate::experiment::plan::{BrokerChoice, Plan};
use crate::experiment::run::run;
use crate::process::error::StartError;
use corecast::{Mode, Reactor};

/// Measures it: a broker for the paced run, another one for the flood.
pub(super) fn measure(turn: &Turn<'_>) -> Measured {
    let Turn { name, round, contest: plan, guard, interrupt } = *turn;
    let failed = |why: String| StartError::Failed { program: name.to_string(), why };
    let broker = match plan.elsewhere(name) {
        Some(peer) => {
            BrokerChoice::Running { endpoint: peer.subscribe_at.clone(), pid: peer.pid, overflow: None }
        }
        None => BrokerChoice::Started(plan.broker_options(name)),
    };
    let mode = if name.system.is_direct() { Mode::Direct } else { Mode::Proxy };
    let reactor = if name.system == System::CorecastEpoll { Reactor::Epoll } else { plan.run.reactor };
    let paced = Plan { mode, broker, reactor, ..plan.run.clone() };
    let flood = plan.flood_of(&paced);
    let mut runs = Vec::new();
    for plan in std::iter::once(paced).chain(flood) {
        if interrupt.is_set() {
            break;
        }
        let mut outcome = run(&plan, guard, interrupt).map_err(|error| failed(error.to_string()))?;
        let record = &mut outcome.record;
        record.peer = Some(name.to_string());
        record.round = Some(round);
        record.clients = Some("native".into());
        // In direct mode the broker only introduces.
        record.cpu_ns_per_delivery = match mode {
            Mode::Proxy => record.broker.cpu_ns_per_delivery,
            Mode::Direct => record.publisher_executors.cpu_ns_per_delivery,
        };
        runs.push(outcome);
    }
    Ok((Some(env!("CARGO_PKG_VERSION").to_owned()), runs))
}
