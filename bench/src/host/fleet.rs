//! Owns all agents of a run: connected, given their shares, asked for the same things as a swarm on this host.
//! Driven by [`crate::experiment::drive`] from a plain thread.

use super::clock::{ClockIdentity, HostClock, Verdict};
use super::conversation::{Conversation, Greeted};
use super::error::HostError;
use super::hosts_file::Hosts;
use super::protocol::{Request, Start};
use crate::measure::environment::Environment;
use crate::measure::tally::Tally;
use crate::record::HostRecord;
use crate::swarm::Common;
use crate::swarm::reports::Report;
use corecast::{Endpoint, Sessions};
use corecast_executors::{Idle, Link};
use std::net::IpAddr;
use std::ops::Range;
use std::sync::Arc;

/// Exchanges of clock stamps before a run and after it, of which the shortest counts: some milliseconds in all.
const EXCHANGES: usize = 64;
/// Open files of an agent besides its sessions: its executors' rings and timers, its standard streams.
const FILES_BESIDES: u64 = 128;

/// An error that leaves a fleet without subscribers.
#[derive(Debug, thiserror::Error)]
pub enum FleetError {
    /// One of the hosts does not.
    #[error(transparent)]
    Host(#[from] HostError),
    /// This host has several addresses, and the broker would listen on one.
    #[error(
        "host {one} is reached from {one_from} and host {other} from {other_from}: say broker_listen in the file of hosts, an address that both reach"
    )]
    Addresses {
        /// One host.
        one: String,
        /// The local address towards it.
        one_from: IpAddr,
        /// Another host.
        other: String,
        /// The local address towards that one.
        other_from: IpAddr,
    },
    /// A host may not open as many files as its subscribers need.
    #[error(
        "host {host}: {subscribers} subscribers need {needed} open files, and its agent may have {limit} (ulimit -Hn): raise that, give it less weight, or use --sessions per-executor"
    )]
    OpenFiles {
        /// Its name.
        host: String,
        /// Its share.
        subscribers: usize,
        /// Files that it needs.
        needed: u64,
        /// Files that it may have.
        limit: u64,
    },
}

impl FleetError {
    /// True if the only problem is time.
    pub fn timed_out(&self) -> bool {
        matches!(self, FleetError::Host(error) if error.timed_out())
    }

    /// True if the request exceeds what the hosts have.
    pub fn is_impossible(&self) -> bool {
        matches!(self, FleetError::OpenFiles { .. })
    }
}

/// Settings of a run that agents get besides those that publishers and subscribers share.
#[derive(Clone, Copy, Debug)]
pub struct Shared {
    /// Idle policy of the executors.
    pub idle: Idle,
    /// Set to keep every delivery by itself.
    pub keep_samples: bool,
    /// Files that a subscriber with a session of its own has at its end.
    pub files_per_subscriber: u64,
}

/// Agents that are ready to play. Those without a share are left out.
#[derive(Debug)]
pub struct Fleet {
    members: Vec<Ready>,
    listen: Endpoint,
    advertise: Option<Endpoint>,
}

#[derive(Debug)]
struct Ready {
    greeted: Greeted,
    /// Its subscribers, by their numbers among all.
    subscribers: Range<usize>,
    cores: String,
    /// Its own broker, if it has one.
    broker: Option<Endpoint>,
}

impl Fleet {
    /// Connects to every agent that gets a share of so many subscribers.
    pub fn connect(hosts: &Hosts, subscribers: usize) -> Result<Self, FleetError> {
        let (mut members, mut first) = (Vec::new(), 0);
        for (host, share) in hosts.hosts.iter().zip(hosts.shares(subscribers)) {
            if share > 0 {
                let greeted = Greeted::connect(host, hosts.token.as_ref())?;
                let subscribers = first..first + share;
                first = subscribers.end;
                let (cores, broker) = (host.cores.to_string(), host.broker.clone());
                members.push(Ready { greeted, subscribers, cores, broker });
            }
        }
        let listen = match &hosts.broker_listen {
            Some(listen) => listen.clone(),
            None => Endpoint::Tcp { host: common_address(&members)?.to_string(), port: 0 },
        };
        Ok(Fleet { members, listen, advertise: hosts.broker_advertise.clone() })
    }

    /// The endpoint of a broker that is started for them.
    pub fn listen(&self) -> &Endpoint {
        &self.listen
    }

    /// The endpoint that they are to connect to, if it is not where that broker listens.
    pub fn advertise(&self) -> Option<&Endpoint> {
        self.advertise.as_ref()
    }

    /// Starts the executors of every host. Each reports as one of this host's would.
    pub fn start(
        self,
        common: &Common,
        shared: Shared,
        reports: &Link<Report>,
    ) -> Result<FleetSwarm, FleetError> {
        let here = ClockIdentity::here();
        let mut started = Vec::with_capacity(self.members.len());
        for member in self.members {
            member.check_files(common.sessions, shared.files_per_subscriber)?;
            let exchange = member.greeted.exchange(EXCHANGES)?;
            let clock = HostClock::new(&here, &member.greeted.welcome.clock, exchange);
            member.greeted.say(&Request::Start(member.start(common, shared, clock.ahead_ns())))?;
            started.push((member, clock));
        }
        let mut members = Vec::with_capacity(started.len());
        let mut executors = 0;
        for (Ready { greeted, subscribers, .. }, clock) in started {
            let first = executors;
            executors += greeted.started()?;
            let (name, environment) = (greeted.host().to_owned(), greeted.welcome.environment.clone());
            let run = (common.run, common.workload);
            let conversation = greeted.carry(run, first..executors, reports.clone())?;
            members.push(Playing {
                name,
                environment,
                subscribers: subscribers.len(),
                executors: first..executors,
                clock,
                conversation,
            });
        }
        Ok(FleetSwarm { members, executors })
    }
}

impl Ready {
    fn start(&self, common: &Common, shared: Shared, clock_ahead_ns: i64) -> Start {
        Start {
            broker: self.broker.as_ref().unwrap_or(&common.broker).to_string(),
            run: common.run.0,
            first: self.subscribers.start,
            subscribers: self.subscribers.len(),
            workload: common.workload,
            sessions: common.sessions.to_string(),
            reactor: common.reactor.to_string(),
            overflow: common.overflow.map(|policy| policy.to_string()),
            cores: self.cores.clone(),
            idle: shared.idle.to_string(),
            setup_timeout_ms: u64::try_from(common.setup_timeout.as_millis()).unwrap_or(u64::MAX),
            keep_samples: shared.keep_samples,
            clock_ahead_ns,
        }
    }

    fn check_files(&self, sessions: Sessions, files_per_subscriber: u64) -> Result<(), FleetError> {
        let files = match sessions {
            Sessions::PerSubscriber => self.subscribers.len() as u64 * files_per_subscriber,
            Sessions::PerExecutor => 0,
        };
        let (needed, limit) = (files + FILES_BESIDES, self.greeted.welcome.open_files);
        if needed <= limit {
            return Ok(());
        }
        let (host, subscribers) = (self.greeted.host().to_owned(), self.subscribers.len());
        Err(FleetError::OpenFiles { host, subscribers, needed, limit })
    }
}

/// The one address of this host from which all of them are reached.
fn common_address(members: &[Ready]) -> Result<IpAddr, FleetError> {
    let mut first: Option<(IpAddr, &str)> = None;
    for member in members {
        let (address, host) = (member.greeted.local_address()?, member.greeted.host());
        match first {
            Some((one_from, one)) if one_from != address => {
                let (one, other) = (one.to_owned(), host.to_owned());
                return Err(FleetError::Addresses { one, one_from, other, other_from: address });
            }
            _ => first = Some((address, host)),
        }
    }
    Ok(first.map_or(IpAddr::V4(std::net::Ipv4Addr::LOCALHOST), |(address, _)| address))
}

/// Subscribers on other hosts. Dropped, the connections are cut, and the agents stop their swarms.
#[derive(Debug)]
pub struct FleetSwarm {
    members: Vec<Playing>,
    executors: usize,
}

#[derive(Debug)]
struct Playing {
    name: String,
    environment: Environment,
    subscribers: usize,
    executors: Range<usize>,
    clock: HostClock,
    conversation: Conversation,
}

impl FleetSwarm {
    /// Number of executors, on all hosts.
    pub fn executors(&self) -> usize {
        self.executors
    }

    /// Asks each for a [`Report::Received`]; one that has not heard the last question is not asked again.
    pub fn look(&mut self, sent: Option<&Arc<[u64]>>) {
        for member in &mut self.members {
            member.conversation.say_if_idle(|| Request::Look { sent: sent.map(|sent| sent.to_vec()) });
            member.follow_clock();
        }
    }

    /// Asks each for a [`Report::Measured`].
    pub fn finish(&self) {
        for member in &self.members {
            member.conversation.say(Request::Finish);
        }
    }

    /// Looks at the clocks again, moves what was measured to what is known of them now, and says what there is to
    /// know of each host. Tallies come with the numbers of their executors.
    pub fn settle(&mut self, tallies: &mut [(usize, Tally)]) -> Vec<HostRecord> {
        let mut records = Vec::with_capacity(self.members.len());
        for member in &mut self.members {
            member.follow_clock();
            if let HostClock::Apart(_) = member.clock
                && let Some(exchange) = member.conversation.exchange(EXCHANGES)
            {
                member.clock.after(exchange);
            }
            let executors = member.executors.clone();
            let of_member = || {
                tallies.iter().filter(|(executor, _)| executors.contains(executor)).map(|(_, tally)| tally)
            };
            let verdict = member.clock.verdict(of_member().all(Tally::can_shift));
            if verdict.shift_ns != 0 {
                let of_member = tallies.iter_mut().filter(|(executor, _)| executors.contains(executor));
                of_member.for_each(|(_, tally)| tally.shift(verdict.shift_ns));
            }
            records.push(member.record(verdict));
        }
        records
    }

    /// Lets every agent close its sessions, and waits for it. Says what went wrong first, of those that were there.
    pub fn stop(self) -> Result<(), FleetError> {
        self.members.iter().for_each(|member| member.conversation.say(Request::Stop));
        let ends: Vec<_> = self.members.into_iter().map(|member| member.conversation.wait()).collect();
        ends.into_iter().collect::<Result<(), HostError>>().map_err(FleetError::Host)
    }
}

impl Playing {
    fn follow_clock(&mut self) {
        self.conversation.exchanges().into_iter().for_each(|exchange| self.clock.during(exchange));
    }

    fn record(&self, verdict: Verdict) -> HostRecord {
        let mut environment = self.environment.clone();
        environment.clock = match verdict.error_ns {
            None => "CLOCK_MONOTONIC, the one of the publishers' host (same boot, same time namespace): \
                     no clock offset"
                .into(),
            Some(_) => "CLOCK_MONOTONIC of its own: offset and error from exchanges of four stamps before, \
                        during and after the run"
                .into(),
        };
        HostRecord {
            name: self.name.clone(),
            subscribers: self.subscribers as u64,
            clock_offset_us: verdict.ahead_ns as f64 / 1000.0,
            clock_error_us: verdict.error_ns.map(|ns| ns as f64 / 1000.0),
            environment,
        }
    }
}
