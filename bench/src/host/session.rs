//! Owns the agent's end of one connection: what the controller says is done, what executors report is passed on.
//! Whatever ends the connection ends the swarm.

use super::frames::{self, FrameError};
use super::protocol::{Answer, CONTROLLER_SILENCE_MAX, PART_BYTES_MAX, Request, STREAMS_MAX, Start};
use crate::interrupt::Interrupt;
use crate::measure::payload::RunId;
use crate::measure::tally::Tally;
use crate::measure::workload::Workload;
use crate::swarm::Common;
use crate::swarm::reports::{Failure, Report, reports, with_causes};
use crate::swarm::subscribers::{Subscribers, SubscribersConfig};
use corecast::DirectConfig;
use corecast_executors::{CoreSet, Inbox, Link, MonotonicNs, Topology, link, raise_open_files, spawn_plain};
use std::fmt::Display;
use std::net::{Shutdown, TcpStream};
use std::str::FromStr;
use std::time::{Duration, Instant};

/// Events that may wait: three reports of each of a thousand executors, and what a controller says meanwhile.
const EVENTS_MAX: usize = 4096;
/// Interval between two checks for an interruption.
const LOOK_EVERY: Duration = Duration::from_millis(100);

/// Events of a session.
enum Event {
    /// The controller said something, which was here at that time.
    Said(Request, MonotonicNs),
    /// The controller will say nothing more.
    Ended(FrameError),
    /// An executor reports.
    Report(Report),
    /// The executors have stopped, or could not.
    Stopped(Option<String>),
}

/// The end of a session.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum End {
    /// All was said.
    Done,
    /// The end of this process.
    Interrupted,
    /// A broken connection, and the reason.
    Broken(String),
}

/// The share of a swarm that this host plays.
enum Swarm {
    /// No swarm: not started yet, or stopped.
    None,
    Playing(Subscribers),
    /// A thread waits for its end.
    Stopping,
}

/// One controller, served.
pub(super) struct Session<'a> {
    stream: &'a TcpStream,
    interrupt: &'a Interrupt,
    events: Link<Event>,
    inbox: Inbox<Event>,
    swarm: Swarm,
}

impl<'a> Session<'a> {
    /// Serves the controller at the other end until it is done, or gone, or this process is to end. No executor is
    /// left when it returns; the connection is for the caller to close.
    pub(super) fn serve(stream: &'a TcpStream, interrupt: &'a Interrupt) -> std::io::Result<End> {
        let (events, inbox) = link(EVENTS_MAX);
        let (said, its_stream) = (events.clone(), stream.try_clone()?);
        // It ends with the connection.
        spawn_plain("agent-in", move || read_all(&its_stream, &said))?;
        let mut session = Session { stream, interrupt, events, inbox, swarm: Swarm::None };
        let end = session.run();
        if !matches!(end, End::Done) && !matches!(session.swarm, Swarm::None) {
            // Cut at once, so that the controller knows; what is left to stop is nobody's to wait for but ours.
            let _ = stream.shutdown(Shutdown::Both);
        }
        session.stop_quietly();
        Ok(end)
    }

    fn run(&mut self) -> End {
        loop {
            if self.interrupt.is_set() {
                return End::Interrupted;
            }
            let Ok(event) = self.inbox.recv_deadline(Instant::now() + LOOK_EVERY) else { continue };
            let done = match event {
                Event::Said(request, at) => self.do_it(request, at),
                Event::Report(report) => self.pass_on(report),
                Event::Stopped(failure) => {
                    self.swarm = Swarm::None;
                    let said = self.say(&Answer::Stopped { failure });
                    return said.map_or_else(|error| End::Broken(error.to_string()), |()| End::Done);
                }
                // It connected, was welcomed, and wanted nothing.
                Event::Ended(FrameError::Closed) if matches!(self.swarm, Swarm::None) => return End::Done,
                Event::Ended(error) => Err(error),
            };
            if let Err(error) = done {
                return End::Broken(error.to_string());
            }
        }
    }

    fn do_it(&mut self, request: Request, at: MonotonicNs) -> Result<(), FrameError> {
        match request {
            Request::Ping { sent_ns } => {
                let answered_ns = MonotonicNs::now().0;
                self.say(&Answer::Pong { sent_ns, received_ns: at.0, answered_ns })
            }
            Request::Start(start) if matches!(self.swarm, Swarm::None) => self.start(&start),
            Request::Look { sent } => {
                let sent = sent.map(Into::into);
                self.subscribers().into_iter().for_each(|subscribers| subscribers.look(sent.as_ref()));
                Ok(())
            }
            Request::Finish => {
                self.subscribers().into_iter().for_each(Subscribers::finish);
                Ok(())
            }
            Request::Stop => self.stop(),
            Request::Hello(_) | Request::Proof { .. } | Request::Start(_) => {
                Err(FrameError::nonsense("said twice"))
            }
        }
    }

    fn start(&mut self, start: &Start) -> Result<(), FrameError> {
        let subscribers = config(start).and_then(|config| {
            let (link, inbox) = reports();
            let subscribers = Subscribers::start(config, link)
                .map_err(|error| Failure::new("cannot start the executors", with_causes(&error)))?;
            forward(inbox, self.events.clone())
                .map_err(|error| Failure::new("cannot start a thread", error.to_string()))?;
            Ok(subscribers)
        });
        match subscribers {
            Ok(subscribers) => {
                let executors = subscribers.executors();
                self.swarm = Swarm::Playing(subscribers);
                self.say(&Answer::Started { executors })
            }
            Err(failure) => self.say(&Answer::Failed(failure)),
        }
    }

    fn pass_on(&mut self, report: Report) -> Result<(), FrameError> {
        match report {
            Report::SubscribersReady => self.say(&Answer::Ready),
            Report::Received(received) => self.say(&Answer::Received(received)),
            Report::Measured { executor, tally } => self.hand_over(executor, &tally),
            Report::Failed(failure) => self.say(&Answer::Failed(failure)),
            // Publishers and other hosts are none of an agent's.
            Report::SettingUp
            | Report::PublishersReady
            | Report::Sent(_)
            | Report::PublisherDone(_)
            | Report::Gone { .. } => Ok(()),
        }
    }

    fn hand_over(&self, executor: usize, tally: &Tally) -> Result<(), FrameError> {
        // Numbers, and names of fields: every byte is a character.
        let text = serde_json::to_string(tally)?;
        let mut rest = &text[..];
        loop {
            let (part, later) = rest.split_at(rest.len().min(PART_BYTES_MAX));
            rest = later;
            self.say(&Answer::Measured { executor, part: part.to_owned(), last: rest.is_empty() })?;
            if rest.is_empty() {
                return Ok(());
            }
        }
    }

    /// Stops the executors, in a thread of its own: pings are answered, and reports taken, meanwhile.
    fn stop(&mut self) -> Result<(), FrameError> {
        let subscribers = match std::mem::replace(&mut self.swarm, Swarm::Stopping) {
            Swarm::Playing(subscribers) => subscribers,
            Swarm::Stopping => return Ok(()),
            Swarm::None => {
                let _ = self.events.try_send(Event::Stopped(None));
                return Ok(());
            }
        };
        let events = self.events.clone();
        spawn_plain("agent-stop", move || {
            let failure = subscribers.stop().err().map(|error| with_causes(&error));
            let _ = events.send_blocking(Event::Stopped(failure));
        })?;
        Ok(())
    }

    /// The same, when there is nobody to tell.
    fn stop_quietly(&mut self) {
        if matches!(self.swarm, Swarm::None) || self.stop().is_err() {
            return;
        }
        while let Some(event) = self.inbox.recv_blocking() {
            if let Event::Stopped(_) = event {
                return;
            }
        }
    }

    fn subscribers(&self) -> Option<&Subscribers> {
        match &self.swarm {
            Swarm::Playing(subscribers) => Some(subscribers),
            Swarm::None | Swarm::Stopping => None,
        }
    }

    fn say(&self, answer: &Answer) -> Result<(), FrameError> {
        frames::write(self.stream, answer)
    }
}

/// Reads what the controller says until it says no more, or is silent for too long.
fn read_all(stream: &TcpStream, events: &Link<Event>) {
    loop {
        let bytes = frames::read_bytes(stream, Instant::now() + CONTROLLER_SILENCE_MAX);
        let at = MonotonicNs::now();
        let request = bytes.and_then(|bytes| Ok(serde_json::from_slice(&bytes)?));
        let event = match request {
            Ok(request) => Event::Said(request, at),
            Err(error) => Event::Ended(error),
        };
        let over = matches!(event, Event::Ended(_));
        if events.send_blocking(event).is_err() || over {
            return;
        }
    }
}

/// Carries reports over to the events, until the executors are gone.
fn forward(mut reports: Inbox<Report>, events: Link<Event>) -> std::io::Result<()> {
    spawn_plain("agent-reports", move || {
        while let Some(report) = reports.recv_blocking() {
            if events.send_blocking(Event::Report(report)).is_err() {
                return;
            }
        }
    })?;
    Ok(())
}

fn parse<T: FromStr<Err: Display>>(what: &str, text: &str) -> Result<T, Failure> {
    text.parse().map_err(|error| Failure::new(format!("cannot understand {what}"), format!("{error}")))
}

/// The share of the swarm, with everything checked that the controller may have wrong.
fn config(start: &Start) -> Result<SubscribersConfig, Failure> {
    let (subscribers, Workload { publishers, shared }) = (start.subscribers, start.workload);
    let unaccountable = |why| Failure::new("cannot account for the share of this host", why);
    let streams = subscribers.saturating_mul(publishers);
    if streams == 0 || streams > STREAMS_MAX {
        return Err(unaccountable(format!(
            "{subscribers} subscribers of {publishers} publishers; their product is 1 to {STREAMS_MAX}"
        )));
    }
    if let Some(topics) = shared {
        topics.check(publishers, subscribers).map_err(|error| unaccountable(error.to_string()))?;
    }
    let cores: CoreSet = parse("the cores", &start.cores)?;
    let topology = Topology::detect()
        .map_err(|error| Failure::new("cannot find out which cores there are", error.to_string()))?;
    let cores = cores
        .resolve(&topology)
        .map_err(|error| Failure::new(format!("cannot use the cores {}", start.cores), error.to_string()))?;
    // As many as there may be: whether they are enough, the controller has found out.
    let _ = raise_open_files(u64::MAX);
    let overflow = start.overflow.as_deref().map(|text| parse("the overflow policy", text)).transpose()?;
    Ok(SubscribersConfig {
        common: Common {
            broker: parse("the broker's endpoint", &start.broker)?,
            tls: None,
            far: None,
            run: RunId(start.run),
            workload: start.workload,
            sessions: parse("the kind of sessions", &start.sessions)?,
            reactor: parse("the reactor", &start.reactor)?,
            overflow,
            direct: DirectConfig::default(),
            setup_timeout: Duration::from_millis(start.setup_timeout_ms),
        },
        subscribers: start.first..start.first.saturating_add(subscribers),
        cores,
        idle: parse("what to do when idle", &start.idle)?,
        keep_samples: start.keep_samples,
        clock_ahead_ns: start.clock_ahead_ns,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::measure::workload::tests::shared;
    use corecast::Reactor;

    fn start() -> Start {
        Start {
            broker: "tcp://127.0.0.1:1".into(),
            run: 7,
            first: 5,
            subscribers: 3,
            workload: shared(2, 10, 4),
            sessions: "per-executor".into(),
            reactor: "epoll".into(),
            overflow: Some("latest".into()),
            cores: "all".into(),
            idle: "spin:10".into(),
            setup_timeout_ms: 500,
            keep_samples: true,
            clock_ahead_ns: -5,
        }
    }

    #[test]
    fn a_share_is_what_was_asked_for() {
        let config = config(&start()).unwrap();
        assert_eq!((config.subscribers, config.clock_ahead_ns, config.keep_samples), (5..8, -5, true));
        assert_eq!(config.common.workload, shared(2, 10, 4));
        assert_eq!(config.common.setup_timeout, Duration::from_millis(500));
        assert_eq!((config.idle.to_string(), config.common.reactor), ("spin:10".into(), Reactor::Epoll));
    }

    #[test]
    fn what_makes_no_sense_is_refused_with_a_reason() {
        let why = |change: fn(&mut Start)| {
            let mut start = start();
            change(&mut start);
            config(&start).unwrap_err().to_string()
        };
        assert!(why(|start| start.subscribers = 0).contains("0 subscribers"));
        assert!(why(|start| start.workload.publishers = usize::MAX).contains("1 to 16777216"));
        assert!(why(|start| start.workload = shared(2, 10, 11)).contains("11 different filters"));
        assert!(why(|start| start.cores = "9999".into()).contains("cannot use the cores 9999: CPU 9999"));
        assert!(why(|start| start.sessions = "x".into()).contains("cannot understand the kind of sessions"));
        assert!(why(|start| start.broker = "x".into()).contains("`x` is no endpoint"));
        assert!(why(|start| start.idle = "x".into()).contains("unknown idle policy"));
        assert!(why(|start| start.overflow = Some("x".into())).contains("the overflow policy"));
        assert!(why(|start| start.reactor = "x".into()).contains("cannot understand the reactor"));
    }
}
