//! Owns what one run is to be. Made by the command, checked before anything starts, read by everybody.

use crate::host::hosts_file::Hosts;
use crate::measure::payload::{self, SizeError};
use crate::measure::workload::{SharedTopics, Workload, WorkloadError};
use crate::process::broker::BrokerOptions;
use crate::process::engine::Engine;
use crate::process::transport::Transport;
use crate::swarm::schedule::{Amount, Rate, messages_in};
use corecast::internals::cli::Size;
use corecast::{DirectConfig, Endpoint, Mode, OverflowPolicy, Reactor, Sessions};
use corecast_executors::{CoreId, Idle};
use std::sync::Arc;
use std::time::Duration;

/// Flows whose messages are counted to agents: each is a number of up to 20 digits in a frame of 1 MiB.
const FLOWS_TO_HOSTS_MAX: usize = 40_000;

/// The broker of a run.
#[derive(Clone, Debug)]
pub enum BrokerChoice {
    /// One of its own, started for it and stopped after it.
    Started(BrokerOptions),
    /// One that runs already.
    Running {
        /// Its endpoint.
        endpoint: Endpoint,
        /// Its process, if it runs here and its cost shall be measured.
        pid: Option<u32>,
        /// The policy that subscribers ask it for when their queue is full.
        overflow: Option<OverflowPolicy>,
    },
}

/// Subscribers that are slow on purpose, with a session each.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Slow {
    /// Their number.
    pub subscribers: usize,
    /// The time that each takes for a message; `None`: it reads nothing at all.
    pub delay: Option<Duration>,
}

/// One run.
#[derive(Clone, Debug)]
pub struct Plan {
    /// The path of messages from publishers to subscribers.
    pub mode: Mode,
    /// The broker, or how to start one.
    pub broker: BrokerChoice,
    /// A session for each subscriber, or one for each executor.
    pub sessions: Sessions,
    /// The reactor that clients of our own library wait with.
    pub reactor: Reactor,
    /// Number of subscribers, slow ones included.
    pub subscribers: usize,
    /// Those of them that are slow on purpose.
    pub slow: Option<Slow>,
    /// Number of publishers.
    pub publishers: usize,
    /// The topics that they share; `None`: each has one of its own, and every subscriber wants all of them.
    pub topics: Option<SharedTopics>,
    /// Payload, in bytes.
    pub size_bytes: usize,
    /// Rate of each publisher.
    pub rate: Rate,
    /// Amount that each publisher sends.
    pub amount: Amount,
    /// The cores of the subscribers' executors.
    pub subscriber_cores: Vec<CoreId>,
    /// The cores of the publishers' executors.
    pub publisher_cores: Vec<CoreId>,
    /// The cores that messages are fanned out from: of the broker that is started, or, in direct mode, of the
    /// publishers' own shards.
    pub fan_out_cores: Vec<CoreId>,
    /// Idle policy of the executors.
    pub idle: Idle,
    /// Time without any progress after which the run is given up.
    pub timeout: Duration,
    /// Set to keep every delivery by itself, for the files of each subscriber.
    pub keep_samples: bool,
    /// Time of silence once all are connected, to measure an idle broker; `None`: none.
    pub quiet: Option<Duration>,
    /// Clients that connect and go again while it sends, one after the other and evenly; `None`: nobody does.
    pub visits: Option<u64>,
    /// The hosts that play the subscribers; `None`: this one.
    pub hosts: Option<Arc<Hosts>>,
}

/// A run that makes no sense.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum PlanError {
    /// A number is nought: of publishers, subscribers or messages.
    #[error("{what} must be at least 1")]
    Nothing {
        /// The thing of which there is none.
        what: &'static str,
    },
    /// All subscribers, or more, are to be slow.
    #[error("{slow} of {subscribers} subscribers are to be slow: at least one must not be")]
    AllSlow {
        /// Slow subscribers that were asked for.
        slow: usize,
        /// Subscribers that were asked for.
        subscribers: usize,
    },
    /// Unix sockets, and hosts that have no file system in common.
    #[error("Unix sockets do not leave a host: with --hosts the transport is tcp")]
    UdsToHosts,
    /// TLS, and hosts that do not know the broker's certificate.
    #[error("agents do not know the certificate that is made for a run: with --hosts the transport is tcp")]
    TlsToHosts,
    /// TLS, and publishers that are to send themselves.
    #[error("direct publishers speak no TLS: with it the mode is proxy")]
    TlsDirect,
    /// An engine, and clients that would need to know two certificates.
    #[error("clients of two brokers would need two certificates: with --engine there is no TLS")]
    EngineTls,
    /// An engine that other hosts do not reach.
    #[error("other hosts do not reach an engine that is started here: with --hosts, --engine is a URL")]
    EngineHere,
    /// An engine, and direct publishers at a loopback address.
    #[error("brokers tell others of no publisher at a loopback address: with --engine the mode is proxy")]
    EngineDirect,
    /// There are more flows than agents are told of.
    #[error("topics times publishers are {0}, and agents of --hosts can be told of {FLOWS_TO_HOSTS_MAX}")]
    TopicsToHosts(usize),
    /// The topics make no sense.
    #[error(transparent)]
    Topics(#[from] WorkloadError),
    /// The payload cannot be so small, or so large.
    #[error(transparent)]
    Size(#[from] SizeError),
}

impl Plan {
    /// Refuses a plan that makes no sense. The limits of this machine are [`super::descriptors`]' to check.
    pub fn check(&self) -> Result<(), PlanError> {
        let messages = match self.amount {
            Amount::Messages(messages) => messages,
            Amount::Duration(duration) => duration.as_nanos().try_into().unwrap_or(u64::MAX),
        };
        let counts = [
            ("the number of subscribers", self.subscribers as u64),
            ("the number of publishers", self.publishers as u64),
            ("what is sent", messages),
        ];
        match (self.options().and_then(|options| options.engine.as_ref()), self.transport()) {
            (Some(_), Transport::Tls) => return Err(PlanError::EngineTls),
            (Some(Engine::Started(_)), _) if self.hosts.is_some() => return Err(PlanError::EngineHere),
            (Some(_), _) if self.hosts.is_none() && self.mode == Mode::Direct => {
                return Err(PlanError::EngineDirect);
            }
            _ => {}
        }
        match (self.transport(), self.mode) {
            (Transport::Uds, _) if self.hosts.is_some() => return Err(PlanError::UdsToHosts),
            (Transport::Tls, _) if self.hosts.is_some() => return Err(PlanError::TlsToHosts),
            (Transport::Tls, Mode::Direct) => return Err(PlanError::TlsDirect),
            _ => {}
        }
        if let Some((what, _)) = counts.into_iter().find(|(_, count)| *count == 0) {
            return Err(PlanError::Nothing { what });
        }
        let (slow, subscribers) = (self.slow_subscribers(), self.subscribers);
        if slow >= subscribers {
            return Err(PlanError::AllSlow { slow, subscribers });
        }
        if let Some(topics) = &self.topics {
            topics.check(self.publishers, self.subscribers)?;
        }
        let flows = self.workload().flows();
        if self.hosts.is_some() && flows > FLOWS_TO_HOSTS_MAX {
            return Err(PlanError::TopicsToHosts(flows));
        }
        Ok(payload::check_size(self.size_bytes, self.workload().head())?)
    }

    /// Its publishers and topics.
    pub fn workload(&self) -> Workload {
        Workload { publishers: self.publishers, shared: self.topics }
    }

    /// Subscribers that are slow on purpose.
    pub fn slow_subscribers(&self) -> usize {
        self.slow.map_or(0, |slow| slow.subscribers)
    }

    /// Subscribers that are measured: all but the slow ones.
    pub fn measured_subscribers(&self) -> usize {
        self.subscribers - self.slow_subscribers()
    }

    /// The transport between clients and the broker.
    pub fn transport(&self) -> Transport {
        match &self.broker {
            BrokerChoice::Started(options) => options.transport,
            BrokerChoice::Running { endpoint, .. } => Transport::of(endpoint),
        }
    }

    /// The options of the broker, if it is started for the run.
    pub fn options(&self) -> Option<&BrokerOptions> {
        match &self.broker {
            BrokerChoice::Started(options) => Some(options),
            BrokerChoice::Running { .. } => None,
        }
    }

    /// The options with which publishers of direct topics fan out: those of the broker.
    pub fn direct(&self) -> DirectConfig {
        let mut direct = DirectConfig::default();
        let overflow = match &self.broker {
            BrokerChoice::Started(options) => {
                direct.idle = options.idle.unwrap_or_default();
                if let Some(Size(bytes)) = options.egress_bytes {
                    direct.bounds.bytes_max = bytes;
                }
                if let Some(Size(bytes)) = options.frame_bytes_max {
                    direct.frame_bytes_max = bytes;
                }
                options.overflow
            }
            BrokerChoice::Running { overflow, .. } => *overflow,
        };
        direct.overflow = overflow;
        direct
    }

    /// Publishers that have shards, and a listener, of their own: in direct mode those that have a session.
    pub fn direct_hosts(&self) -> usize {
        match (self.mode, self.sessions) {
            (Mode::Proxy, _) => 0,
            (Mode::Direct, Sessions::PerSubscriber) => self.publishers,
            (Mode::Direct, Sessions::PerExecutor) => self.publishers.min(self.publisher_cores.len()),
        }
    }

    /// Messages a second of each publisher; none in a flood.
    pub fn rate_hz(&self) -> Option<f64> {
        match self.rate {
            Rate::Hz(rate_hz) => Some(rate_hz),
            Rate::Flood => None,
        }
    }

    /// Messages that all publishers together should send, if that is known beforehand.
    pub fn messages(&self) -> Option<u64> {
        let each = match (self.amount, self.rate) {
            (Amount::Messages(messages), _) => messages,
            (Amount::Duration(duration), Rate::Hz(rate_hz)) => messages_in(duration, rate_hz),
            (Amount::Duration(_), Rate::Flood) => return None,
        };
        Some(each.saturating_mul(self.publishers as u64))
    }

    /// Time that the publishers should take, if that is known beforehand.
    pub fn sending_time(&self) -> Option<Duration> {
        match (self.amount, self.rate) {
            (Amount::Duration(duration), _) => Some(duration),
            (Amount::Messages(messages), Rate::Hz(rate_hz)) => {
                Duration::try_from_secs_f64(messages as f64 / rate_hz).ok()
            }
            (Amount::Messages(_), Rate::Flood) => None,
        }
    }

    /// A short name for progress lines.
    pub fn title(&self) -> String {
        format!("{} {} subscribers", self.mode, self.subscribers)
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::measure::workload::tests::shared;

    pub(crate) fn sample_plan() -> Plan {
        Plan {
            mode: Mode::Proxy,
            broker: BrokerChoice::Started(BrokerOptions::default()),
            sessions: Sessions::PerSubscriber,
            reactor: Reactor::IoUring,
            subscribers: 512,
            slow: None,
            publishers: 2,
            topics: None,
            size_bytes: 64,
            rate: Rate::Hz(20.0),
            amount: Amount::Duration(Duration::from_secs(5)),
            subscriber_cores: vec![CoreId(0), CoreId(1)],
            publisher_cores: vec![CoreId(0), CoreId(1)],
            fan_out_cores: vec![CoreId(0), CoreId(1)],
            idle: Idle::Park,
            timeout: Duration::from_secs(10),
            keep_samples: false,
            quiet: None,
            visits: None,
            hosts: None,
        }
    }

    #[test]
    fn transports_have_words() {
        assert_eq!("uds".parse(), Ok(Transport::Uds));
        assert!("udp".parse::<Transport>().is_err());
    }

    #[test]
    fn direct_publishers_fan_out_as_the_broker_would() {
        let options = BrokerOptions {
            overflow: Some(OverflowPolicy::Block),
            egress_bytes: Some(Size(5_000_000)),
            idle: Some(Idle::Busy),
            ..BrokerOptions::default()
        };
        let plan = Plan { broker: BrokerChoice::Started(options), ..sample_plan() };
        let direct = plan.direct();
        assert_eq!((direct.overflow, direct.bounds.bytes_max), (Some(OverflowPolicy::Block), 5_000_000));
        assert_eq!(direct.idle, Idle::Busy);
        assert_eq!(sample_plan().direct(), DirectConfig::default());
    }

    #[test]
    fn a_plan_knows_what_it_will_send() {
        let mut plan = sample_plan();
        assert_eq!((plan.messages(), plan.sending_time()), (Some(200), Some(Duration::from_secs(5))));
        plan.amount = Amount::Messages(30);
        assert_eq!((plan.messages(), plan.sending_time()), (Some(60), Some(Duration::from_millis(1500))));
        plan.rate = Rate::Flood;
        assert_eq!((plan.messages(), plan.sending_time()), (Some(60), None));
        plan.amount = Amount::Duration(Duration::from_secs(1));
        assert_eq!((plan.messages(), plan.sending_time()), (None, Some(Duration::from_secs(1))));
    }

    #[test]
    fn nothing_to_do_is_an_error() {
        assert_eq!(sample_plan().check(), Ok(()));
        let without = |change: fn(&mut Plan)| {
            let mut plan = sample_plan();
            change(&mut plan);
            plan.check().unwrap_err().to_string()
        };
        assert_eq!(without(|plan| plan.subscribers = 0), "the number of subscribers must be at least 1");
        assert_eq!(without(|plan| plan.publishers = 0), "the number of publishers must be at least 1");
        assert_eq!(without(|plan| plan.amount = Amount::Messages(0)), "what is sent must be at least 1");
        let hosts = Hosts { token: None, broker_listen: None, broker_advertise: None, hosts: Vec::new() };
        let mut elsewhere = Plan { hosts: Some(Arc::new(hosts)), ..sample_plan() };
        assert_eq!(elsewhere.check(), Ok(()));
        let over = |transport| BrokerChoice::Started(BrokerOptions { transport, ..BrokerOptions::default() });
        elsewhere.broker = over(Transport::Uds);
        assert_eq!(elsewhere.check(), Err(PlanError::UdsToHosts));
        elsewhere.broker = over(Transport::Tls);
        assert_eq!(elsewhere.check(), Err(PlanError::TlsToHosts));
        let direct = Plan { mode: Mode::Direct, broker: over(Transport::Tls), ..sample_plan() };
        assert_eq!(direct.check(), Err(PlanError::TlsDirect));
        let engine = |engine: &str, transport| {
            let engine = Some(engine.parse().unwrap());
            BrokerChoice::Started(BrokerOptions { transport, engine, ..BrokerOptions::default() })
        };
        elsewhere.broker = engine("nats", Transport::Tcp);
        assert_eq!(elsewhere.check(), Err(PlanError::EngineHere));
        elsewhere.broker = engine("nats://10.0.0.5", Transport::Tcp);
        assert_eq!(elsewhere.check(), Ok(()));
        let encrypted = Plan { broker: engine("nats", Transport::Tls), ..sample_plan() };
        assert_eq!(encrypted.check(), Err(PlanError::EngineTls));
        let direct = Plan { mode: Mode::Direct, broker: engine("nats", Transport::Tcp), ..sample_plan() };
        assert_eq!(direct.check(), Err(PlanError::EngineDirect));
        assert!(without(|plan| plan.size_bytes = 39).contains("it takes 40"));
    }

    #[test]
    fn topics_are_checked_with_what_they_meet() {
        let topics = shared(2, 10, 3).shared;
        let plan = Plan { topics, size_bytes: 52, ..sample_plan() };
        assert_eq!((plan.check(), plan.workload()), (Ok(()), shared(2, 10, 3)));
        assert!(
            Plan { size_bytes: 51, ..plan.clone() }.check().unwrap_err().to_string().contains("it takes 52")
        );
        let topics = shared(2, 10, 11).shared;
        assert!(matches!(Plan { topics, ..plan.clone() }.check(), Err(PlanError::Topics(_))));
        let hosts = Hosts { token: None, broker_listen: None, broker_advertise: None, hosts: Vec::new() };
        let elsewhere = Plan { hosts: Some(Arc::new(hosts)), ..plan };
        assert_eq!(elsewhere.check(), Ok(()));
        let topics = shared(2, 30_000, 3).shared;
        assert_eq!(Plan { topics, ..elsewhere }.check(), Err(PlanError::TopicsToHosts(60_000)));
    }
}
