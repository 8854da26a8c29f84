//! Owns a swarm from its first connection to its last report: set up, let go, watched until every message is
//! accounted for, asked for what it measured. Runs on a plain thread. Used for runs, experiments and peers alike.

use super::descriptors::files_per_subscriber_elsewhere;
use super::error::DriveError;
use super::plan::{Plan, Slow};
use super::receivers::Receivers;
use super::senders::Senders;
use super::watch::{Driven, Ending, Watch};
use crate::host::fleet::{Fleet, Shared};
use crate::interrupt::Interrupt;
use crate::measure::payload::RunId;
use crate::progress::Progress;
use crate::swarm::Common;
use crate::swarm::publishers::{Publishers, PublishersConfig};
use crate::swarm::reports::{Report, reports};
use crate::swarm::slow::{SlowConfig, SlowSubscribers};
use crate::swarm::subscribers::{Subscribers, SubscribersConfig};
use corecast::{Endpoint, OverflowPolicy, TlsClient};
use corecast_executors::{Inbox, Link, MonotonicNs, PoolError, RecvTimeout};
use std::time::{Duration, Instant};

/// Interval at which executors are asked for their progress while messages are sent.
const LOOK_EVERY: Duration = Duration::from_millis(100);
/// The same once all is sent: the run ends sooner, and there is nothing left to disturb.
const SETTLE_LOOK_EVERY: Duration = Duration::from_millis(20);
/// Time between the last executor's readiness and the first message: the command to go must have reached all of them.
const START_LEAD: Duration = Duration::from_millis(50);
/// Time to wait for the swarm beyond a client's own timeout, since the client's error says more.
const SET_UP_GRACE: Duration = Duration::from_secs(1);
/// Time that raw subscribers may take to begin a run, at least: they end a turn first, which is some megabytes.
const BEGIN_TIMEOUT: Duration = Duration::from_secs(10);
/// Time that a publisher may take to stop when a run ends before all is sent; then it is taken to be stuck.
const HALT_TIMEOUT: Duration = Duration::from_secs(1);

/// The broker, as clients of our library reach it.
#[derive(Clone, Debug)]
pub struct BrokerAt {
    /// Its endpoint.
    pub endpoint: Endpoint,
    /// Endpoint of a second one, which an engine joins with it.
    pub far: Option<Endpoint>,
    /// Trust in its certificate; `None`: it has none, or one that this host trusts.
    pub tls: Option<TlsClient>,
    /// The overflow policy that subscribers ask it for; `None` leaves it to the broker.
    pub overflow: Option<OverflowPolicy>,
}

/// A swarm that is ready to go.
#[derive(Debug)]
pub struct Drive<'a> {
    interrupt: &'a Interrupt,
    inbox: Inbox<Report>,
    subscribers: Receivers,
    /// Subscribers that are neither watched nor measured.
    slow: Option<SlowSubscribers>,
    publishers: Senders,
}

impl<'a> Drive<'a> {
    /// A swarm that is set up, and reports to this inbox.
    pub(crate) fn new(
        interrupt: &'a Interrupt,
        inbox: Inbox<Report>,
        (subscribers, publishers): (Receivers, Senders),
    ) -> Self {
        Drive { interrupt, inbox, subscribers, slow: None, publishers }
    }

    /// Connects everybody; returns when every publisher sees every subscriber. Subscribers are on the hosts of
    /// `fleet`, if there is one.
    pub fn set_up(
        plan: &Plan,
        (broker, fleet): (&BrokerAt, Option<Fleet>),
        interrupt: &'a Interrupt,
        progress: &Progress,
    ) -> Result<Self, DriveError> {
        let common = Common {
            broker: broker.endpoint.clone(),
            far: broker.far.clone(),
            tls: broker.tls.clone(),
            run: RunId(fastrand::u64(..)),
            workload: plan.workload(),
            sessions: plan.sessions,
            reactor: plan.reactor,
            overflow: broker.overflow,
            direct: plan.direct(),
            setup_timeout: plan.timeout,
        };
        let (link, mut inbox) = reports();
        progress.phase("connecting subscribers");
        let subscribers = match fleet {
            Some(fleet) => fleet.start(&common, shared(plan), &link).map(Receivers::Elsewhere)?,
            None => start_subscribers(plan, &common, link.clone())?,
        };
        wait_until_ready(&mut inbox, subscribers.executors(), plan.timeout, interrupt)?;
        let slow = start_slow(plan, &common, link.clone())?;
        if let Some(slow) = &slow {
            wait_until_ready(&mut inbox, slow.executors(), plan.timeout, interrupt)?;
        }
        progress.phase("connecting publishers");
        let publishers = start_publishers(plan, common, link)?;
        wait_until_ready(&mut inbox, publishers.executors(), plan.timeout, interrupt)?;
        let drive = Drive::new(interrupt, inbox, (subscribers, Senders::Library(publishers)));
        Ok(Drive { slow, ..drive })
    }

    /// Sends everything and waits until it is accounted for, or until there is no point in waiting. Only a raw swarm
    /// can do so several times.
    ///
    /// `broken` says, whenever it is asked, whether something that the swarm needs is gone.
    pub fn go(
        &mut self,
        plan: &Plan,
        (progress, phase): (&mut Progress, &str),
        broken: impl FnMut() -> Option<String>,
    ) -> Driven {
        progress.phase(phase);
        let mut watch = Watch::new(plan, self.subscribers.executors());
        let run = RunId(fastrand::u64(..));
        let beginning = self.subscribers.begin(run);
        let timeout = plan.timeout.max(BEGIN_TIMEOUT);
        let begun = wait_until_ready(&mut self.inbox, beginning, timeout, self.interrupt);
        let start = MonotonicNs::now() + START_LEAD;
        let ending = match begun {
            Ok(()) => {
                self.publishers.go(plan, run, start);
                self.until_the_end(&mut watch, progress, broken)
            }
            Err(error) => Ending::Failed(error.to_string()),
        };
        self.collect(&mut watch);
        let mut driven = watch.driven(start, ending);
        driven.hosts = self.subscribers.settle(&mut driven.tallies);
        driven
    }

    fn until_the_end(
        &mut self,
        watch: &mut Watch<'_>,
        progress: &mut Progress,
        mut broken: impl FnMut() -> Option<String>,
    ) -> Ending {
        loop {
            self.publishers.look();
            self.subscribers.look(watch.sent().as_ref());
            let pause = if watch.all_sent() { SETTLE_LOOK_EVERY } else { LOOK_EVERY };
            self.take_reports(watch, Instant::now() + pause, |watch| !watch.is_over());
            progress.update(&watch.position());
            if let Some(ending) = watch.ending() {
                return ending;
            }
            // The floor ends with its process, when it is to stop.
            if let Some(what) = broken().filter(|_| !watch.is_interrupted()) {
                return Ending::Failed(what);
            }
            if self.interrupt.is_set() && !watch.is_interrupted() {
                watch.interrupt();
                progress.phase("interrupted, waiting for what is on its way");
                self.publishers.halt();
            }
        }
    }

    /// Ends all sessions and waits until the executors have stopped.
    pub fn stop(self) -> Result<(), DriveError> {
        // A report that nobody takes must not keep an executor from stopping.
        drop(self.inbox);
        self.publishers.stop()?;
        self.subscribers.stop()?;
        Ok(self.slow.map_or(Ok(()), SlowSubscribers::stop)?)
    }

    /// Takes reports until nothing more is `awaited`, or the time is over.
    fn take_reports(&mut self, watch: &mut Watch<'_>, until: Instant, awaited: fn(&Watch<'_>) -> bool) {
        while awaited(watch)
            && let Ok(report) = self.inbox.recv_deadline(until)
        {
            watch.take(report);
        }
    }

    /// Waits for publishers that are on their last message, then for everything that was measured.
    fn collect(&mut self, watch: &mut Watch<'_>) {
        if !watch.all_sent() {
            self.publishers.halt();
        }
        self.take_reports(watch, Instant::now() + HALT_TIMEOUT, |watch| !watch.all_sent());
        self.subscribers.finish();
        let deadline = Instant::now() + self.subscribers.collect_timeout();
        self.take_reports(watch, deadline, |watch| !watch.all_measured());
    }
}

/// Settings that agents on other hosts get.
fn shared(plan: &Plan) -> Shared {
    Shared {
        idle: plan.idle,
        keep_samples: plan.keep_samples,
        files_per_subscriber: files_per_subscriber_elsewhere(plan),
    }
}

fn start_subscribers(plan: &Plan, common: &Common, link: Link<Report>) -> Result<Receivers, PoolError> {
    let config = SubscribersConfig {
        common: common.clone(),
        subscribers: 0..plan.measured_subscribers(),
        cores: plan.subscriber_cores.clone(),
        idle: plan.idle,
        keep_samples: plan.keep_samples,
        clock_ahead_ns: 0,
    };
    Subscribers::start(config, link).map(Receivers::Here)
}

fn start_slow(
    plan: &Plan,
    common: &Common,
    link: Link<Report>,
) -> Result<Option<SlowSubscribers>, PoolError> {
    let Some(Slow { subscribers, delay }) = plan.slow else { return Ok(None) };
    let measured = plan.measured_subscribers();
    let subscribers = measured..measured + subscribers;
    SlowSubscribers::start(SlowConfig { common: common.clone(), subscribers, delay }, link).map(Some)
}

fn start_publishers(plan: &Plan, common: Common, link: Link<Report>) -> Result<Publishers, PoolError> {
    let config = PublishersConfig {
        common,
        mode: plan.mode,
        subscribers: plan.subscribers,
        size_bytes: plan.size_bytes,
        rate: plan.rate,
        amount: plan.amount,
        flush_timeout: plan.timeout,
        cores: plan.publisher_cores.clone(),
        fan_out_cores: plan.fan_out_cores.clone(),
        idle: plan.idle,
    };
    Publishers::start(config, link)
}

/// Waits until all executors have reported that they are ready. The timeout begins anew whenever one says that it gets
/// on.
pub(crate) fn wait_until_ready(
    inbox: &mut Inbox<Report>,
    executors: usize,
    timeout: Duration,
    interrupt: &Interrupt,
) -> Result<(), DriveError> {
    let timeout = timeout + SET_UP_GRACE;
    let mut deadline = Instant::now() + timeout;
    let mut waiting = executors;
    while waiting > 0 {
        if interrupt.is_set() {
            return Err(DriveError::Interrupted);
        }
        match inbox.recv_deadline(deadline.min(Instant::now() + LOOK_EVERY)) {
            Ok(Report::Failed(failure) | Report::Gone { failure, .. }) => {
                return Err(DriveError::Failed(failure));
            }
            Ok(Report::SubscribersReady | Report::PublishersReady) => waiting -= 1,
            Ok(Report::SettingUp) => deadline = Instant::now() + timeout,
            // An answer of the run before.
            Ok(_) => {}
            Err(RecvTimeout::TimedOut) if Instant::now() < deadline => {}
            Err(_) => return Err(DriveError::TimedOut { timeout, waiting, executors }),
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::swarm::reports::Failure;

    #[test]
    fn an_answer_of_the_run_before_makes_nobody_ready() {
        let (link, mut inbox) = reports();
        for report in [Report::Sent(3), Report::SettingUp, Report::SubscribersReady] {
            link.try_send(report).unwrap();
        }
        let timeout = Duration::from_secs(1000);
        assert!(wait_until_ready(&mut inbox, 1, timeout, &Interrupt::default()).is_ok());
        assert!(inbox.try_recv().is_none(), "it went on to the last report");
        link.try_send(Report::Failed(Failure::new("subscriber 7", "it is gone"))).unwrap();
        let error = wait_until_ready(&mut inbox, 1, timeout, &Interrupt::default()).unwrap_err();
        assert!(error.to_string().ends_with("subscriber 7: it is gone"), "{error}");
    }
}
