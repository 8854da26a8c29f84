//! The findings of `corecast doctor` on an engine.

use std::path::PathBuf;

use clap::Args;
use corecast_executors::{Finding, Level};

use super::{Failure, Size};
use crate::broker::{EngineFacts, EngineReport, check_engine};
use crate::limits::FRAME_BYTES_MAX_DEFAULT;
use crate::printable::printable;
use crate::{BrokerConfig, EngineCredentials, EngineUrl};

/// The engine to look at.
#[derive(Args, Debug)]
pub(super) struct DoctorEngineArgs {
    /// Server of an engine: nats://HOST:PORT or tls://HOST:PORT; repeatable or comma-separated.
    #[arg(long, value_name = "URL", value_delimiter = ',')]
    engine: Vec<EngineUrl>,

    /// Name of the cluster of brokers at the engine: as for `corecast broker --engine-cluster`.
    #[arg(long, value_name = "NAME", default_value = "default", requires = "engine")]
    engine_cluster: String,

    /// File with the credentials for the engine: as for `corecast broker --engine-credentials`.
    #[arg(long, value_name = "FILE", requires = "engine")]
    engine_credentials: Option<PathBuf>,

    /// Authorities to trust at tls:// servers of the engine: a PEM file.
    #[arg(long, value_name = "FILE", requires = "engine")]
    engine_ca: Option<PathBuf>,

    /// Check that history can be stored there, too: as for `corecast broker --engine-history`.
    #[arg(long, requires = "engine")]
    engine_history: bool,

    /// Maximum frame size that the brokers are to have: what the engine takes is compared with it.
    #[arg(long, value_name = "BYTES", default_value_t = Size(FRAME_BYTES_MAX_DEFAULT), requires = "engine")]
    frame_bytes_max: Size,
}

/// The findings on each server that is named, or else on those of a planned broker.
///
/// # Errors
/// The options are at fault.
pub(super) fn engine_findings(
    args: &DoctorEngineArgs,
    planned: Option<&BrokerConfig>,
) -> Result<Vec<Finding>, Failure> {
    if args.engine.is_empty() {
        let planned = planned.filter(|broker| !broker.engine.is_empty());
        return planned.map_or(Ok(Vec::new()), |broker| findings_with(broker, broker.frame_bytes_max));
    }
    let credentials = args.engine_credentials.as_ref().map(EngineCredentials::read).transpose();
    let credentials = credentials.map_err(|error| error.at_field("engine_credentials"))?;
    // The topics do not matter: it is enough that JetStream answers.
    let rules = args.engine_history.then(|| ">=last".parse()).transpose()?;
    let config = BrokerConfig::default()
        .engine(args.engine.clone())
        .engine_cluster(args.engine_cluster.as_str())
        .engine_credentials(credentials)
        .engine_ca(args.engine_ca.clone())
        .engine_history(args.engine_history)
        .keep(Vec::from_iter(rules));
    findings_with(&config, args.frame_bytes_max.0)
}

/// The findings on the servers of a broker whose frames are so long at the most.
fn findings_with(config: &BrokerConfig, longest: usize) -> Result<Vec<Finding>, Failure> {
    let reports = check_engine(config)?;
    Ok(reports.iter().flat_map(|report| findings_of(report, longest)).collect())
}

fn finding(level: Level, found: String, fix: &str) -> Finding {
    let fix = (level != Level::Ok).then(|| fix.to_owned());
    Finding { name: "engine", level, found, fix }
}

fn findings_of(report: &EngineReport, longest: usize) -> Vec<Finding> {
    let facts = match &report.outcome {
        Ok(facts) => facts,
        Err(why) => {
            let fix = "check its address and the file of --engine-credentials, and that it runs";
            return vec![finding(Level::Error, printable(why).to_string(), fix)];
        }
    };
    let EngineFacts {
        name,
        version,
        payload_bytes_max,
        round_trip,
        refusal,
        echoes,
        lets_anybody_in,
        no_history,
    } = facts;
    let server = &report.server;
    let name = printable(name);
    let version = printable(version);
    let mut found = vec![finding(
        Level::Ok,
        format!("{server}: server {name}, version {version}, answers in {round_trip:?} (median)"),
        "",
    )];
    if *payload_bytes_max < longest {
        found.push(finding(
            Level::Warning,
            format!("it takes messages of up to {payload_bytes_max} bytes, and a broker's frames may have {longest}"),
            "raise max_payload in the configuration of the server, or give brokers --frame-bytes-max",
        ));
    }
    if let Some(refusal) = refusal {
        found.push(finding(
            Level::Error,
            format!("it refuses what brokers do: {}", printable(refusal)),
            "let their account publish and subscribe to cc.CLUSTER.>",
        ));
    }
    if *echoes {
        found.push(finding(
            Level::Warning,
            "it sends back what a connection has published, though it was asked not to".to_owned(),
            "use another server: brokers drop what comes back, at twice the cost",
        ));
    }
    if let Some(why) = no_history {
        found.push(finding(
            Level::Error,
            format!("history cannot be stored there: {}", printable(why)),
            "start it with JetStream (nats-server -js), and let the account of brokers use it and publish to $JS.API.>",
        ));
    }
    if *lets_anybody_in {
        found.push(finding(
            Level::Warning,
            "it lets in whoever reaches it, who may publish and hear what brokers do".to_owned(),
            "give brokers an account of their own, and --engine-credentials",
        ));
    }
    found
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn report(change: impl FnOnce(&mut EngineFacts)) -> Vec<Level> {
        let mut facts = EngineFacts {
            name: "n".to_owned(),
            version: "2.10.0".to_owned(),
            payload_bytes_max: 8 << 20,
            round_trip: Duration::from_micros(80),
            refusal: None,
            echoes: false,
            lets_anybody_in: false,
            no_history: None,
        };
        change(&mut facts);
        let server = "nats://a:1".parse().expect("an address");
        let found = findings_of(&EngineReport { server, outcome: Ok(facts) }, 4 << 20);
        assert!(found.iter().all(|finding| finding.fix.is_some() == (finding.level != Level::Ok)));
        found.iter().map(|finding| finding.level).collect()
    }

    #[test]
    fn each_fault_of_a_server_is_a_finding() {
        assert_eq!(report(|_| {}), [Level::Ok]);
        assert_eq!(report(|facts| facts.payload_bytes_max = 1 << 20), [Level::Ok, Level::Warning]);
        assert_eq!(report(|facts| facts.refusal = Some("no".to_owned())), [Level::Ok, Level::Error]);
        assert_eq!(report(|facts| facts.echoes = true), [Level::Ok, Level::Warning]);
        assert_eq!(report(|facts| facts.lets_anybody_in = true), [Level::Ok, Level::Warning]);
        assert_eq!(report(|facts| facts.no_history = Some("no".to_owned())), [Level::Ok, Level::Error]);
        let server = "nats://a:1".parse().expect("an address");
        let found = findings_of(&EngineReport { server, outcome: Err("away".to_owned()) }, 0);
        assert_eq!(found[0].level, Level::Error);
    }
}
