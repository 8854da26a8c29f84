//! Owns the subscribers of a peer: as many threads as there are cores, and what they are told and say.

use super::dialect::Language;
use super::gauges::Gauges;
use super::reactor::{Command, Reactor, ReactorConfig, Said};
use super::socket;
use crate::measure::payload::RunId;
use crate::measure::tally::Tally;
use corecast::{Endpoint, Sessions};
use corecast_executors::{Inbox, Link, RecvTimeout, link, spawn_plain};
use nix::sys::eventfd::{EfdFlags, EventFd};
use std::io;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// Commands that wait for a thread: there is never more than one beside the last.
const COMMANDS_MAX: usize = 4;
/// Reports of a thread that may wait: one failure, beside its answers.
const SAID_PER_THREAD_MAX: usize = 4;
/// Time that a thread may take to answer: it ends its turn first, and a turn is some megabytes of messages.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(10);

/// The parameters of a swarm.
#[derive(Clone, Debug)]
pub struct SwarmConfig {
    /// Where it subscribes.
    pub endpoint: Endpoint,
    /// Their protocol.
    pub language: Language,
    /// Number of subscribers.
    pub subscribers: usize,
    /// A session for each, or one for each thread.
    pub sessions: Sessions,
    /// Number of threads.
    pub threads: usize,
    /// Bytes of a payload.
    pub size_bytes: usize,
}

/// The subscribers' threads. Dropped, it closes all connections.
#[derive(Debug)]
pub struct Swarm {
    threads: Vec<Thread>,
    said: Inbox<Said>,
    gauges: Gauges,
    sessions: u64,
}

#[derive(Debug)]
struct Thread {
    commands: Link<Command>,
    wake: Arc<EventFd>,
    join: Option<JoinHandle<()>>,
}

impl Thread {
    fn tell(&self, command: Command) {
        let _ = self.commands.try_send(command);
        // It is full only if the thread has not read a wake-up of before.
        let _ = self.wake.write(1);
    }
}

impl Swarm {
    /// Starts the threads, which begin to connect.
    pub fn start(config: &SwarmConfig) -> io::Result<Self> {
        let address = socket::address(&config.endpoint)?;
        let threads = config.threads.clamp(1, config.subscribers);
        let (said, inbox) = link(threads * SAID_PER_THREAD_MAX);
        let shared = config.sessions == Sessions::PerExecutor;
        let mut swarm = Swarm {
            threads: Vec::with_capacity(threads),
            said: inbox,
            gauges: Gauges::new(threads),
            sessions: if shared { threads } else { config.subscribers } as u64,
        };
        for thread in 0..threads {
            let wake = Arc::new(EventFd::from_flags(EfdFlags::EFD_CLOEXEC | EfdFlags::EFD_NONBLOCK)?);
            let (commands, inbox) = link(COMMANDS_MAX);
            // The first ones have one more each, if it does not come out even.
            let share = |thread: usize| thread * config.subscribers / threads;
            let reactor = Reactor::new(ReactorConfig {
                thread,
                address: address.clone(),
                language: config.language,
                subscribers: share(thread)..share(thread + 1),
                shared,
                size_bytes: config.size_bytes,
                wake: wake.clone(),
                commands: inbox,
                said: said.clone(),
                gauges: swarm.gauges.clone(),
            })?;
            let join = spawn_plain("peer-subscribers", move || reactor.run())?;
            swarm.threads.push(Thread { commands, wake, join: Some(join) });
        }
        Ok(swarm)
    }

    /// The progress of the subscribers.
    pub fn gauges(&self) -> &Gauges {
        &self.gauges
    }

    /// Sessions that are not ready.
    pub fn waiting(&self) -> u64 {
        self.sessions - self.gauges.ready()
    }

    /// The failure of a thread, if there was one.
    pub fn failure(&mut self) -> Option<String> {
        while let Some(said) = self.said.try_recv() {
            if let Said::Failed(what) = said {
                return Some(what);
            }
        }
        None
    }

    /// Begins another run; gives what each thread measured in the last one, in the order of the threads.
    pub fn begin(&mut self, run: RunId) -> Result<Vec<Tally>, String> {
        for thread in &self.threads {
            thread.tell(Command::Begin(run));
        }
        let deadline = Instant::now() + ANSWER_TIMEOUT;
        let mut tallies: Vec<Option<Tally>> = self.threads.iter().map(|_| None).collect();
        while tallies.iter().any(Option::is_none) {
            match self.said.recv_deadline(deadline) {
                Ok(Said::Begun { thread, tally }) => tallies[thread] = Some(*tally),
                Ok(Said::Failed(what)) => return Err(what),
                Err(RecvTimeout::Closed) => return Err("the subscribers' threads have ended".into()),
                Err(RecvTimeout::TimedOut) => {
                    return Err("a thread of subscribers does not answer".into());
                }
            }
        }
        Ok(tallies.into_iter().flatten().collect())
    }
}

impl Drop for Swarm {
    fn drop(&mut self) {
        for thread in &self.threads {
            thread.tell(Command::Stop);
        }
        for thread in &mut self.threads {
            let _ = thread.join.take().map(JoinHandle::join);
        }
    }
}
