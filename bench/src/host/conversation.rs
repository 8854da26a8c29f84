//! Owns the controller's end of one connection to an agent: the first words, exchanges of clock stamps, and the two
//! threads that carry a run: one reads what the agent says and turns it into reports, one writes what it is told,
//! and a ping every second. Everything that is waited for has a deadline.

use super::clock::Exchange;
use super::error::{HostError, Problem, Who};
use super::frames::{self, FrameError};
use super::hosts_file::Host;
use super::protocol::{
    Answer, HANDSHAKE_TIMEOUT, PULSE, Request, SILENCE_MAX, TALLY_BYTES_MAX, Version, Welcome,
};
use super::token::{AGENT, AgentToken, CONTROLLER, nonce};
use crate::measure::payload::RunId;
use crate::measure::tally::Tally;
use crate::measure::workload::Workload;
use crate::swarm::reports::{Failure, Received, Report};
use corecast::internals::transport::tcp_addresses_until;
use corecast_executors::{Inbox, Link, MonotonicNs, RecvTimeout, link, pause, spawn_plain};
use std::io;
use std::net::{IpAddr, Shutdown, TcpStream};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// Time that one address of an agent may take to answer.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(3);
/// Time for which an agent that still serves another controller is asked again: it may be about to end.
const BUSY_PATIENCE: Duration = Duration::from_secs(3);
/// Pause between two such questions.
const BUSY_PAUSE: Duration = Duration::from_millis(100);
/// Time that an agent may take to start its executors.
const START_TIMEOUT: Duration = Duration::from_secs(15);
/// Requests that may wait for the writer: looks are only asked for when none waits.
const REQUESTS_MAX: usize = 64;
/// Exchanges that may wait to be looked at: two minutes of pings. More are as good as these.
const EXCHANGES_MAX: usize = 128;

/// The problem with an agent that has a token, for a controller without, and what to do.
const ASKS_FOR_TOKEN: &str =
    "asks for its token: name the file that it was started with as token_file in the file of hosts";
/// The problem with one that has none, or another.
const HAS_NO_TOKEN: &str = "does not prove that it has the token of token_file in the file of hosts: start it with --token-file and that token";

/// A connection to an agent that serves us, and has nothing to do yet.
#[derive(Debug)]
pub struct Greeted {
    who: Who,
    stream: TcpStream,
    /// The agent's description of itself.
    pub welcome: Welcome,
}

impl Greeted {
    /// Connects to the agent of `host`, which must have the token, if there is one. One that is busy is asked again
    /// for a while.
    pub fn connect(host: &Host, token: Option<&AgentToken>) -> Result<Self, HostError> {
        let who = Who { host: host.name.clone(), agent: host.agent.clone() };
        let deadline = Instant::now() + BUSY_PATIENCE;
        loop {
            match Greeted::once(&who, token)? {
                Ok(greeted) => return Ok(greeted),
                Err(Answer::Refused { busy: true, .. }) if Instant::now() < deadline => pause(BUSY_PAUSE),
                Err(Answer::Refused { why, .. }) => {
                    return Err(who.error(Problem::Refused(why)));
                }
                Err(answer) => return Err(who.unexpected(&answer)),
            }
        }
    }

    /// One attempt; the inner error is what else the agent said.
    fn once(who: &Who, token: Option<&AgentToken>) -> Result<Result<Self, Answer>, HostError> {
        let stream = dial(who)?;
        let not_an_agent = |why| match why {
            FrameError::TimedOut => who.lost(FrameError::TimedOut, HANDSHAKE_TIMEOUT),
            why => who.error(Problem::NotAnAgent(why)),
        };
        let ask = |request: &Request| {
            frames::write(&stream, request).map_err(not_an_agent)?;
            frames::read_bytes(&stream, Instant::now() + HANDSHAKE_TIMEOUT).map_err(not_an_agent)
        };
        let understand = |bytes: &[u8]| serde_json::from_slice(bytes).map_err(|why| not_an_agent(why.into()));
        let bytes = ask(&Request::Hello(Version::ours()))?;
        // Of another version nothing but its name can be relied on.
        let theirs: Version = serde_json::from_slice(&bytes).map_err(|why| not_an_agent(why.into()))?;
        if theirs != Version::ours() {
            return Err(who.error(Problem::OtherVersion(theirs)));
        }
        let (mut answer, mut is_proven) = (understand(&bytes)?, token.is_none());
        if let Answer::Challenge { nonce: theirs, .. } = answer {
            let token = token.ok_or_else(|| who.error(Problem::NoToken(ASKS_FOR_TOKEN)))?;
            let ours = nonce().map_err(|error| not_an_agent(error.into()))?;
            let nonces = (&theirs, &ours);
            let proof = token.proof(CONTROLLER, nonces);
            answer = understand(&ask(&Request::Proof { nonce: ours, proof })?)?;
            let is_proof = |proof| token.is_proof(&proof, AGENT, nonces);
            is_proven = matches!(&answer, Answer::Welcome(welcome) if welcome.proof.is_some_and(is_proof));
        }
        match answer {
            Answer::Welcome(_) if !is_proven => Err(who.error(Problem::NoToken(HAS_NO_TOKEN))),
            Answer::Welcome(welcome) => Ok(Ok(Greeted { who: who.clone(), stream, welcome: *welcome })),
            answer => Ok(Err(answer)),
        }
    }

    /// Its name in the file of hosts.
    pub fn host(&self) -> &str {
        &self.who.host
    }

    /// The address of this host that the agent is reached from: it can be reached there.
    pub fn local_address(&self) -> Result<IpAddr, HostError> {
        let address = self.stream.local_addr().map_err(FrameError::from);
        address.map(|address| address.ip()).map_err(|error| self.who.lost(error, CONNECT_TIMEOUT))
    }

    /// The best of `count` exchanges of clock stamps.
    pub fn exchange(&self, count: usize) -> Result<Exchange, HostError> {
        let mut exchanges = Vec::with_capacity(count);
        for _ in 0..count {
            self.say(&ping())?;
            let (answer, returned) = self.hear(SILENCE_MAX)?;
            match answer {
                Answer::Pong { .. } => exchanges.extend(stamps(&answer, returned)),
                answer => return Err(self.who.unexpected(&answer)),
            }
        }
        Exchange::best(exchanges)
            .ok_or_else(|| self.who.error(Problem::Gone("its clock does not run forward".into())))
    }

    /// Says something.
    pub fn say(&self, request: &Request) -> Result<(), HostError> {
        frames::write(&self.stream, request).map_err(|error| self.who.lost(error, SILENCE_MAX))
    }

    /// Number of executors, once [`Request::Start`] has been sent.
    pub fn started(&self) -> Result<usize, HostError> {
        match self.hear(START_TIMEOUT)?.0 {
            Answer::Started { executors } => Ok(executors),
            Answer::Failed(failure) => Err(self.who.error(Problem::Failed(failure))),
            answer => Err(self.who.unexpected(&answer)),
        }
    }

    /// The next answer, and when it was here.
    fn hear(&self, timeout: Duration) -> Result<(Answer, MonotonicNs), HostError> {
        let bytes = frames::read_bytes(&self.stream, Instant::now() + timeout);
        let now = MonotonicNs::now();
        let answer = bytes.and_then(|bytes| Ok(serde_json::from_slice(&bytes)?));
        Ok((answer.map_err(|error| self.who.lost(error, timeout))?, now))
    }

    /// Starts the two threads that carry the run. Reports of the agent's executors go to `reports`, numbered from
    /// `first`.
    pub fn carry(
        self,
        run: (RunId, Workload),
        executors: std::ops::Range<usize>,
        reports: Link<Report>,
    ) -> Result<Conversation, HostError> {
        let Greeted { who, stream, .. } = self;
        let thread_failed = |source| who.error(Problem::Thread(source));
        let (writer_stream, ours) =
            (stream.try_clone().map_err(thread_failed)?, stream.try_clone().map_err(thread_failed)?);
        let (requests, inbox) = link(REQUESTS_MAX);
        let (exchanges, exchanged) = link(EXCHANGES_MAX);
        let count = executors.len();
        let reader = Reader {
            who: who.clone(),
            stream,
            run,
            executors,
            reports,
            exchanges,
            texts: vec![String::new(); count],
        };
        let writer = spawn_plain("bench-host-out", move || write_all(&writer_stream, inbox));
        writer.map_err(thread_failed)?;
        let reader = spawn_plain("bench-host-in", move || reader.read_all()).map_err(thread_failed)?;
        Ok(Conversation { stream: ours, requests, exchanged, reader: Some(reader) })
    }
}

/// A connection that carries a run. Dropped, it is cut, and the agent stops its swarm.
#[derive(Debug)]
pub struct Conversation {
    stream: TcpStream,
    requests: Link<Request>,
    exchanged: Inbox<Exchange>,
    reader: Option<JoinHandle<Result<(), HostError>>>,
}

impl Conversation {
    /// Says something that must be heard, unless the agent is gone, which its missing answers will show.
    pub fn say(&self, request: Request) {
        let _ = self.requests.try_send(request);
    }

    /// Says something that has time, unless something waits to be said already.
    pub fn say_if_idle(&self, request: impl FnOnce() -> Request) {
        if self.requests.depth() == 0 {
            let _ = self.requests.try_send(request());
        }
    }

    /// Exchanges of clock stamps since the last time.
    pub fn exchanges(&mut self) -> Vec<Exchange> {
        std::iter::from_fn(|| self.exchanged.try_recv()).collect()
    }

    /// The best of at most `count` exchanges that are made now, as far as the agent answers.
    pub fn exchange(&mut self, count: usize) -> Option<Exchange> {
        let mut exchanges = Vec::with_capacity(count);
        while exchanges.len() < count {
            self.say(ping());
            match self.exchanged.recv_deadline(Instant::now() + PULSE) {
                Ok(exchange) => exchanges.push(exchange),
                Err(_) => break,
            }
        }
        Exchange::best(exchanges)
    }

    /// Waits until the agent has closed all sessions, as [`Request::Stop`] told it.
    pub fn wait(mut self) -> Result<(), HostError> {
        // The writer goes on with its pings meanwhile. The reader never waits longer than for silence.
        let reader = self.reader.take().expect("it is taken here only");
        reader.join().unwrap_or(Ok(()))
    }
}

impl Drop for Conversation {
    fn drop(&mut self) {
        let _ = self.stream.shutdown(Shutdown::Both);
    }
}

fn dial(who: &Who) -> Result<TcpStream, HostError> {
    let unreachable = |why: io::Error| who.error(Problem::Unreachable(why));
    let found = tcp_addresses_until(&who.agent, Instant::now() + CONNECT_TIMEOUT);
    let mut last = io::Error::other("it is no TCP address");
    for address in found.map_err(unreachable)? {
        match TcpStream::connect_timeout(&address, CONNECT_TIMEOUT) {
            Ok(stream) => {
                frames::prepare(&stream).map_err(unreachable)?;
                return Ok(stream);
            }
            Err(error) => last = error,
        }
    }
    Err(unreachable(last))
}

fn ping() -> Request {
    Request::Ping { sent_ns: MonotonicNs::now().0 }
}

/// The exchange that a pong ends.
fn stamps(pong: &Answer, returned: MonotonicNs) -> Option<Exchange> {
    let Answer::Pong { sent_ns, received_ns, answered_ns } = *pong else { return None };
    Exchange::new(MonotonicNs(sent_ns), MonotonicNs(received_ns), MonotonicNs(answered_ns), returned)
}

/// Says what it is told to, and a ping whenever a pulse is due, until nobody tells it anything or the agent is gone.
fn write_all(stream: &TcpStream, mut inbox: Inbox<Request>) {
    let mut pulse = Instant::now();
    loop {
        let request = match inbox.recv_deadline(pulse) {
            Ok(request) => request,
            Err(RecvTimeout::TimedOut) => {
                pulse = Instant::now() + PULSE;
                ping()
            }
            Err(RecvTimeout::Closed) => return,
        };
        let said = match request {
            // Not the time that it waited here.
            Request::Ping { .. } => frames::write(stream, &ping()),
            request => frames::write(stream, &request),
        };
        if said.is_err() {
            // The reader will see it too, and say so.
            let _ = stream.shutdown(Shutdown::Both);
            return;
        }
    }
}

/// The state of the thread that reads.
struct Reader {
    who: Who,
    stream: TcpStream,
    run: (RunId, Workload),
    executors: std::ops::Range<usize>,
    reports: Link<Report>,
    exchanges: Link<Exchange>,
    /// The text of each executor's tally as far as it has come.
    texts: Vec<String>,
}

impl Reader {
    /// Reads until the agent has stopped. If it ends otherwise, whoever takes reports is told; if nobody does any
    /// more, the error is the result.
    fn read_all(mut self) -> Result<(), HostError> {
        loop {
            let stopped = match frames::read_bytes(&self.stream, Instant::now() + SILENCE_MAX) {
                Ok(bytes) => self.take(&bytes, MonotonicNs::now()),
                Err(error) => Err(error),
            };
            match stopped {
                Ok(None) => {}
                Ok(Some(failure)) => {
                    // The agent closes when it is ready for the next controller.
                    frames::close(&self.stream);
                    let Some(why) = failure else { return Ok(()) };
                    let failure = Failure::new("its swarm did not end as it should", why);
                    return Err(self.who.error(Problem::Failed(failure)));
                }
                Err(error) => {
                    let error = self.who.lost(error, SILENCE_MAX);
                    let why = error.problem();
                    let what = format!("host {} is lost", self.who.host);
                    let failure = Failure { what, why, timed_out: error.timed_out() };
                    let _ = self.stream.shutdown(Shutdown::Both);
                    let executors = self.executors.len();
                    let told = self.reports.send_blocking(Report::Gone { executors, failure });
                    return if told.is_ok() { Ok(()) } else { Err(error) };
                }
            }
        }
    }

    /// Takes in one answer. `Some` once the agent has stopped, with what went wrong.
    fn take(&mut self, bytes: &[u8], now: MonotonicNs) -> Result<Option<Option<String>>, FrameError> {
        let report = match serde_json::from_slice(bytes)? {
            pong @ Answer::Pong { .. } => {
                if let Some(exchange) = stamps(&pong, now) {
                    // With so many of them, one less does not matter.
                    let _ = self.exchanges.try_send(exchange);
                }
                return Ok(None);
            }
            Answer::Ready => Report::SubscribersReady,
            Answer::Received(received) => {
                Report::Received(Received { executor: self.numbered(received.executor)?, ..received })
            }
            Answer::Measured { executor, part, last } => match self.measured(executor, &part, last)? {
                Some(report) => report,
                None => return Ok(None),
            },
            Answer::Failed(failure) => {
                let what = format!("host {}: {}", self.who.host, failure.what);
                Report::Failed(Failure { what, ..failure })
            }
            Answer::Stopped { failure } => return Ok(Some(failure)),
            Answer::Challenge { .. }
            | Answer::Welcome(_)
            | Answer::Refused { .. }
            | Answer::Started { .. } => {
                return Err(FrameError::nonsense("twice"));
            }
        };
        // Nobody takes reports any more: the run is over.
        let _ = self.reports.send_blocking(report);
        Ok(None)
    }

    fn measured(&mut self, executor: usize, part: &str, last: bool) -> Result<Option<Report>, FrameError> {
        let number = self.numbered(executor)?;
        let text = &mut self.texts[executor];
        text.push_str(part);
        if text.len() > TALLY_BYTES_MAX {
            return Err(FrameError::TooLong(text.len()));
        }
        if !last {
            return Ok(None);
        }
        let tally: Tally = serde_json::from_str(&std::mem::take(text))?;
        let (run, workload) = &self.run;
        if !tally.is_whole(*run, workload) {
            return Err(FrameError::nonsense("a tally of another run"));
        }
        Ok(Some(Report::Measured { executor: number, tally: Box::new(tally) }))
    }

    /// The number, among all, of one of its executors.
    fn numbered(&self, executor: usize) -> Result<usize, FrameError> {
        let number = self.executors.clone().nth(executor);
        number.ok_or_else(|| FrameError::nonsense("an executor that it does not have"))
    }
}
