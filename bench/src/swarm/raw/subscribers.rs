//! Owns the raw subscribers of a swarm: as many plain threads as the plan says, the same for every peer. Driven from a
//! plain thread by [`RawSubscribers`]; they outlast a run, so that the next one finds everybody connected.

use super::gauges::Gauges;
use super::reactor::{RawCommand, Reactor, ReactorConfig};
use super::socket;
use super::target::RawTarget;
use crate::measure::payload::RunId;
use crate::swarm::reports::Report;
use crate::swarm::topics::Topics;
use corecast::{Endpoint, Sessions};
use corecast_executors::{Link, link, spawn_plain};
use nix::sys::eventfd::{EfdFlags, EventFd};
use socket2::SockAddr;
use std::io;
use std::sync::Arc;
use std::thread::JoinHandle;

/// Commands that wait for a thread: one of each kind, at most.
const COMMANDS_MAX: usize = 4;

/// The parameters of raw subscribers.
#[derive(Clone, Debug)]
pub struct RawSubscribersConfig {
    /// The peer that they subscribe at.
    pub target: RawTarget,
    /// The endpoints of its servers, in turns: at least one.
    pub endpoints: Vec<Endpoint>,
    /// Number of subscribers.
    pub subscribers: usize,
    /// The topics, of which each wants its part.
    pub topics: Topics,
    /// A session for each, or one for each thread.
    pub sessions: Sessions,
    /// Number of threads.
    pub threads: usize,
    /// Bytes of a payload.
    pub size_bytes: usize,
}

/// The subscribers' threads. Dropped, it closes all connections.
#[derive(Debug)]
pub struct RawSubscribers {
    threads: Vec<Thread>,
    gauges: Gauges,
}

#[derive(Debug)]
struct Thread {
    commands: Link<RawCommand>,
    wake: Arc<EventFd>,
    join: Option<JoinHandle<()>>,
}

impl Thread {
    fn tell(&self, command: RawCommand) {
        let _ = self.commands.try_send(command);
        // It is full only if the thread has not read a wake-up of before.
        let _ = self.wake.write(1);
    }
}

impl RawSubscribers {
    /// Starts the threads. Each connects and then reports [`Report::SubscribersReady`], or [`Report::Failed`].
    pub fn start(config: &RawSubscribersConfig, reports: &Link<Report>) -> io::Result<Self> {
        let addresses: io::Result<Vec<SockAddr>> = config.endpoints.iter().map(socket::address).collect();
        let addresses = addresses?;
        let threads = config.threads.clamp(1, config.subscribers);
        let shared = config.sessions == Sessions::PerExecutor;
        let sessions = if shared { threads } else { config.subscribers };
        let gauges = Gauges::new(config.topics.workload(), sessions);
        let mut swarm = RawSubscribers { threads: Vec::with_capacity(threads), gauges };
        for thread in 0..threads {
            let wake = Arc::new(EventFd::from_flags(EfdFlags::EFD_CLOEXEC | EfdFlags::EFD_NONBLOCK)?);
            let (commands, inbox) = link(COMMANDS_MAX);
            // The last ones have one more each, if it does not come out even.
            let share = |thread: usize| thread * config.subscribers / threads;
            let reactor = Reactor::new(ReactorConfig {
                thread,
                topics: config.topics.clone(),
                target: config.target.clone(),
                addresses: addresses.clone(),
                subscribers: share(thread)..share(thread + 1),
                shared,
                size_bytes: config.size_bytes,
                wake: wake.clone(),
                commands: inbox,
                reports: reports.clone(),
                gauges: swarm.gauges.clone(),
            })?;
            let join = spawn_plain("peer-subscribers", move || reactor.run())?;
            swarm.threads.push(Thread { commands, wake, join: Some(join) });
        }
        Ok(swarm)
    }

    /// Number of threads.
    pub fn executors(&self) -> usize {
        self.threads.len()
    }

    /// The progress of all of them, for publishers that must not run ahead of the slowest.
    pub fn gauges(&self) -> &Gauges {
        &self.gauges
    }

    /// Begins a run. Each thread reports [`Report::SubscribersReady`] when it counts the messages of that run.
    pub fn begin(&self, run: RunId) {
        self.threads.iter().for_each(|thread| thread.tell(RawCommand::Begin(run)));
    }

    /// Asks each thread for a [`Report::Received`]; one that has not answered the last time is not asked again.
    pub fn look(&self, sent: Option<&Arc<[u64]>>) {
        for thread in self.threads.iter().filter(|thread| thread.commands.depth() == 0) {
            thread.tell(RawCommand::Look { sent: sent.cloned() });
        }
    }

    /// Asks each thread for a [`Report::Measured`].
    pub fn finish(&self) {
        self.threads.iter().for_each(|thread| thread.tell(RawCommand::Finish));
    }
}

impl Drop for RawSubscribers {
    fn drop(&mut self) {
        self.threads.iter().for_each(|thread| thread.tell(RawCommand::Stop));
        for thread in &mut self.threads {
            let _ = thread.join.take().map(JoinHandle::join);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::dialect::{Language, lengths};
    use super::*;
    use crate::measure::messages::Messages;
    use crate::measure::payload::PublisherIndex;
    use crate::measure::workload::Workload;
    use crate::swarm::reports::reports;
    use corecast_executors::{Inbox, MonotonicNs};
    use std::io::Write;
    use std::net::TcpListener;
    use std::time::{Duration, Instant};

    /// The next report.
    fn next(inbox: &mut Inbox<Report>) -> Report {
        inbox.recv_deadline(Instant::now() + Duration::from_secs(60)).unwrap()
    }

    #[test]
    fn what_was_measured_before_a_session_broke_is_handed_over() {
        let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
        let (link, mut inbox) = reports();
        let endpoint: Endpoint = format!("tcp://{}", listener.local_addr().unwrap()).parse().unwrap();
        let config = RawSubscribersConfig {
            endpoints: vec![endpoint.clone()],
            target: RawTarget { endpoint, language: Language::Lengths, trust: None },
            subscribers: 1,
            topics: Topics::of_peers(Workload::own(1), '.'),
            sessions: Sessions::PerSubscriber,
            threads: 1,
            size_bytes: 64,
        };
        let subscribers = RawSubscribers::start(&config, &link).unwrap();
        let (mut peer, _) = listener.accept().unwrap();
        assert_eq!(lengths::accept(&mut peer).unwrap(), 0);
        peer.write_all(&lengths::WELCOME).unwrap();
        assert!(matches!(next(&mut inbox), Report::SubscribersReady));
        let (run, mut bytes) = (RunId(7), Vec::new());
        subscribers.begin(run);
        assert!(matches!(next(&mut inbox), Report::SubscribersReady));
        let mut messages = Messages::new(run, &Workload::own(1), PublisherIndex(0), 64).unwrap();
        lengths::publish(messages.next(MonotonicNs(1)).1, &mut bytes);
        peer.write_all(&bytes).unwrap();
        drop(peer);
        let Report::Failed(failure) = next(&mut inbox) else { panic!("the session is broken") };
        assert_eq!(failure.to_string(), "subscriber 0: the peer closed the connection");
        subscribers.finish();
        let Report::Measured { tally, .. } = next(&mut inbox) else { panic!("it was asked for") };
        assert_eq!(tally.totals(&[1]).delivered, 1);
    }
}
