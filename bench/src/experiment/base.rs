//! Owns what all runs of an experiment have in common: what was said about it, and the machine it is planned for.

use super::one_or_both::OneOrBoth;
use super::plan::{BrokerChoice, Plan, Slow};
use super::settings::Settings;
use super::step::Step;
use crate::host::hosts_file::Hosts;
use crate::process::broker::BrokerOptions;
use crate::swarm::schedule::{Amount, Rate};
use crate::toml_file::TomlFileError;
use corecast::internals::cli::Size;
use corecast::{Mode, Reactor, Sessions};
use corecast_executors::{CoreId, CoreSet, CoreSetError, Idle, Topology};
use std::sync::Arc;
use std::time::Duration;

/// The time without progress after which a run is given up, unless told otherwise.
const TIMEOUT_DEFAULT: Duration = Duration::from_secs(15);

/// The basis on which an experiment is planned.
#[derive(Clone, Debug)]
pub struct Base {
    /// The settings of the call.
    pub settings: Settings,
    /// The cores that there are.
    pub cores: Vec<CoreId>,
    /// The cores of the swarm.
    swarm_cores: Vec<CoreId>,
    /// The hosts of the subscribers; `None`: this one.
    hosts: Option<Arc<Hosts>>,
}

/// An error that prevents all planning.
#[derive(Debug, thiserror::Error)]
pub enum BaseError {
    /// The cores are not there.
    #[error("--cores: {0}")]
    Cores(#[from] CoreSetError),
    /// The file of hosts is wrong.
    #[error("--hosts: {0}")]
    Hosts(#[from] TomlFileError),
}

/// A choice of an experiment: one for the quick version, one for the full one.
#[derive(Clone, Copy, Debug)]
pub struct Choice<T> {
    /// The quick one: about a minute.
    pub quick: T,
    /// The full one: figures that last.
    pub full: T,
}

/// The settings that every experiment varies, where the call does not set them.
#[derive(Clone, Copy, Debug)]
pub struct Axes {
    /// Number of rounds.
    pub rounds: Choice<u32>,
    /// Ways to share sessions.
    pub sessions: &'static [Sessions],
    /// Payloads, in bytes.
    pub sizes_bytes: Choice<&'static [usize]>,
}

impl Axes {
    /// The axes of so many rounds, with a session for each subscriber, and 64 bytes.
    pub const fn of(quick: u32, full: u32) -> Self {
        let sizes_bytes = Choice::<&[usize]> { quick: &[64], full: &[64] };
        Axes { rounds: Choice { quick, full }, sessions: &[Sessions::PerSubscriber], sizes_bytes }
    }
}

/// One value of each.
#[derive(Clone, Copy, Debug)]
pub struct Point {
    /// The round, from 1.
    pub round: u32,
    /// The way to share sessions.
    pub sessions: Sessions,
    /// The payload, in bytes.
    pub size_bytes: usize,
}

impl Base {
    /// The basis for the cores that this process may use, and the hosts of the settings.
    pub fn new(settings: Settings, topology: &Topology) -> Result<Self, BaseError> {
        let said = settings.cores.clone();
        let hosts = match &settings.hosts {
            Some(path) => Some(Arc::new(Hosts::load(path, said.as_ref().unwrap_or(&all_cores()))?)),
            None => None,
        };
        let swarm_cores = match said {
            // Those of other hosts are resolved there.
            Some(set) if hosts.is_none() => set.resolve(topology)?,
            _ => topology.allowed().to_vec(),
        };
        Ok(Base { settings, cores: topology.allowed().to_vec(), swarm_cores, hosts })
    }

    /// The choice for the version that was asked for.
    pub fn choose<T>(&self, choice: Choice<T>) -> T {
        if self.settings.quick { choice.quick } else { choice.full }
    }

    /// The counts of subscribers.
    pub fn subscribers(&self, choice: Choice<&[usize]>) -> Vec<usize> {
        self.settings.subscribers.clone().unwrap_or_else(|| self.choose(choice).to_vec())
    }

    /// The payloads, in bytes.
    pub fn sizes_bytes(&self, choice: Choice<&[usize]>) -> Vec<usize> {
        self.settings.sizes_bytes.clone().unwrap_or_else(|| self.choose(choice).to_vec())
    }

    /// The modes; over an engine the proxy mode alone, unless something else is said.
    pub fn modes(&self, default: &[Mode]) -> Vec<Mode> {
        let default = if self.settings.engine.is_some() { &[Mode::Proxy] } else { default };
        self.settings.modes.map_or_else(|| default.to_vec(), OneOrBoth::each)
    }

    /// The ways to share sessions.
    pub fn sessions(&self, default: &[Sessions]) -> Vec<Sessions> {
        self.settings.sessions.map_or_else(|| default.to_vec(), OneOrBoth::each)
    }

    /// The rounds, from 1.
    pub fn rounds(&self, choice: Choice<u32>) -> std::ops::RangeInclusive<u32> {
        1..=self.settings.rounds.unwrap_or_else(|| self.choose(choice))
    }

    /// `round` for a record: nothing where there is only one.
    pub fn round_of(&self, round: u32, choice: Choice<u32>) -> Option<u32> {
        (*self.rounds(choice).end() > 1).then_some(round)
    }

    /// The steps of every point: round after round each kind of sessions, each payload.
    pub fn each(&self, axes: &Axes, steps: impl Fn(&Point) -> Vec<Step>) -> Vec<Step> {
        let mut all = Vec::new();
        for round in self.rounds(axes.rounds) {
            let in_record = self.round_of(round, axes.rounds);
            for sessions in self.sessions(axes.sessions) {
                for size_bytes in self.sizes_bytes(axes.sizes_bytes) {
                    let steps = steps(&Point { round, sessions, size_bytes });
                    all.extend(steps.into_iter().map(|step| step.in_round(in_record)));
                }
            }
        }
        all
    }

    /// A run of so many subscribers, and of what was said; the rest is as follows: one publisher, 64 bytes, 4 messages
    /// a second for so long, a session for each subscriber.
    pub fn plan(&self, mode: Mode, subscribers: usize, duration: Choice<Duration>) -> Plan {
        let settings = &self.settings;
        Plan {
            mode,
            broker: BrokerChoice::Started(BrokerOptions {
                transport: settings.transport.unwrap_or_default(),
                metrics: true,
                engine: settings.engine.clone(),
                ..BrokerOptions::default()
            }),
            sessions: Sessions::PerSubscriber,
            reactor: settings.reactor.unwrap_or(Reactor::IoUring),
            subscribers,
            slow: settings
                .slow
                .map(|share| Slow { subscribers: share.of(subscribers), delay: settings.slow_delay }),
            publishers: settings.publishers.unwrap_or(1),
            topics: settings.shared.shared(),
            size_bytes: 64,
            rate: settings.rate.unwrap_or(Rate::Hz(4.0)),
            amount: settings.amount().unwrap_or_else(|| Amount::Duration(self.choose(duration))),
            subscriber_cores: self.swarm_cores.clone(),
            publisher_cores: self.swarm_cores.clone(),
            fan_out_cores: self.cores.clone(),
            idle: Idle::default(),
            timeout: settings.timeout.unwrap_or(TIMEOUT_DEFAULT),
            keep_samples: false,
            quiet: None,
            visits: None,
            hosts: self.hosts.clone(),
        }
    }
}

fn all_cores() -> CoreSet {
    "all".parse().expect("a word that names every core")
}

/// The plan, with other options of its broker.
#[must_use]
pub fn with_broker(mut plan: Plan, change: impl FnOnce(&mut BrokerOptions)) -> Plan {
    if let BrokerChoice::Started(options) = &mut plan.broker {
        change(options);
    }
    plan
}

/// The plan, fanned out from these cores.
#[must_use]
pub fn fanned_out_from(plan: Plan, cores: &[CoreId]) -> Plan {
    let words: Vec<String> = cores.iter().map(ToString::to_string).collect();
    let set: CoreSet = words.join(",").parse().expect("numbers with commas are a set of cores");
    let plan = with_broker(plan, |options| options.cores = Some(set));
    Plan { fan_out_cores: cores.to_vec(), ..plan }
}

/// The plan, with queues of so many bytes for frames of so many at whoever fans out.
#[must_use]
pub fn with_queues(plan: Plan, egress_bytes: usize, frame_bytes_max: usize) -> Plan {
    with_broker(plan, |options| {
        options.egress_bytes = Some(Size(egress_bytes));
        options.frame_bytes_max = Some(Size(frame_bytes_max));
    })
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// A machine of so many cores, whatever this one has.
    pub(crate) fn base(settings: Settings, cores: u32) -> Base {
        let cores: Vec<CoreId> = (0..cores).map(CoreId).collect();
        Base { settings, cores: cores.clone(), swarm_cores: cores, hosts: None }
    }

    #[test]
    fn what_is_said_goes_before_what_an_experiment_chooses() {
        let settings = Settings {
            subscribers: Some(vec![7]),
            rounds: Some(3),
            slow: Some("2".parse().unwrap()),
            messages: Some(5),
            ..Settings::default()
        };
        let base = base(settings, 2);
        let duration = Choice { quick: Duration::from_secs(1), full: Duration::from_secs(2) };
        assert_eq!(base.subscribers(Choice { quick: &[1], full: &[1, 2] }), [7]);
        assert_eq!(base.rounds(Choice { quick: 1, full: 1 }), 1..=3);
        let plan = base.plan(Mode::Direct, 9, duration);
        assert_eq!((plan.amount, plan.slow_subscribers()), (Amount::Messages(5), 2));
    }

    #[test]
    fn the_quick_version_is_another_choice() {
        let duration = Choice { quick: Duration::from_secs(1), full: Duration::from_secs(2) };
        let quick = base(Settings { quick: true, ..Settings::default() }, 2);
        let full = base(Settings::default(), 2);
        assert_eq!(quick.plan(Mode::Proxy, 1, duration).amount, Amount::Duration(duration.quick));
        assert_eq!(full.plan(Mode::Proxy, 1, duration).amount, Amount::Duration(duration.full));
        assert_eq!(full.round_of(1, Choice { quick: 1, full: 1 }), None);
        assert_eq!(full.round_of(1, Choice { quick: 1, full: 2 }), Some(1));
    }

    #[test]
    fn fan_out_cores_are_those_of_the_broker_and_of_direct_publishers() {
        let base = base(Settings::default(), 4);
        let duration = Choice { quick: Duration::from_secs(1), full: Duration::from_secs(2) };
        let plan = fanned_out_from(base.plan(Mode::Proxy, 1, duration), &base.cores[..2]);
        assert_eq!(plan.fan_out_cores, [CoreId(0), CoreId(1)]);
        let BrokerChoice::Started(options) = plan.broker else { panic!("it is to be started") };
        assert_eq!(options.cores.unwrap().to_string(), "0,1");
    }
}
