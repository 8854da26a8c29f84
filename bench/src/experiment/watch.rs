//! Owns what is known of a run while it goes on: put together from reports, asked whether the run is at its end.

use super::plan::Plan;
use crate::measure::oracle::Settling;
use crate::measure::tally::Tally;
use crate::progress::Position;
use crate::record::HostRecord;
use crate::swarm::reports::{Failure, PublisherDone, Received, Report, Sent};
use crate::swarm::schedule::Rate;
use corecast_executors::MonotonicNs;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Silence after which a subscriber with a gap of unknown size is taken to have everything.
const UNKNOWN_GAP_QUIET: Duration = Duration::from_secs(1);
/// Silence after an interruption after which messages under way are taken to be gone.
const INTERRUPTED_QUIET: Duration = Duration::from_millis(500);
/// Time that messages may go on arriving after an interruption: a flood can have a minute's work in the broker's
/// queues.
const INTERRUPTED_MAX: Duration = Duration::from_secs(3);

/// The end of a run.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Ending {
    /// Everything is accounted for.
    Complete,
    /// Somebody asked to stop.
    Interrupted,
    /// A timeout: the sentence says what was waited for.
    TimedOut(String),
    /// Something broke: the sentence says what.
    Failed(String),
}

/// The account of a swarm.
#[derive(Debug)]
pub struct Driven {
    /// Messages sent, by flow of the workload.
    pub sent: Vec<u64>,
    /// The messages of all publishers together.
    pub all: Sent,
    /// The measurements of each executor, with its number.
    pub tallies: Vec<(usize, Tally)>,
    /// The way it ended.
    pub ending: Ending,
    /// The hosts of the subscribers; none if it is this one.
    pub hosts: Vec<HostRecord>,
}

/// The reports of a run so far.
pub(super) struct Watch<'a> {
    plan: &'a Plan,
    done: Vec<Option<PublisherDone>>,
    /// Messages sent on each flow, once all publishers are done.
    flows: Option<Arc<[u64]>>,
    sent: u64,
    received: Vec<Received>,
    tallies: Vec<(usize, Tally)>,
    /// Executors of hosts that have gone.
    gone: usize,
    failure: Option<Failure>,
    interrupted: Option<Instant>,
    started: Instant,
    /// Time of the last arrival, and how much had arrived by then. What is sent does not count: it may wait in this
    /// process, or in the kernel, for a broker that hangs.
    moved: Instant,
    moved_to: u64,
}

impl<'a> Watch<'a> {
    /// A run of this plan, about to start, with so many executors of subscribers.
    pub(super) fn new(plan: &'a Plan, executors: usize) -> Self {
        let now = Instant::now();
        Watch {
            plan,
            done: vec![None; plan.publishers],
            flows: None,
            sent: 0,
            received: vec![Received::default(); executors],
            tallies: Vec::new(),
            gone: 0,
            failure: None,
            interrupted: None,
            started: now,
            moved: now,
            moved_to: 0,
        }
    }

    /// Takes in what an executor says.
    pub(super) fn take(&mut self, report: Report) {
        match report {
            Report::Received(received) => self.received[received.executor] = received,
            Report::Sent(more) => self.sent += more,
            Report::PublisherDone(done) => {
                if let Some(failure) = &done.failure {
                    self.fail(failure.clone());
                }
                let publisher = done.publisher.0 as usize;
                self.done[publisher] = Some(done);
                let sent: Option<Vec<u64>> =
                    self.done.iter().map(|done| Some(done.as_ref()?.sent.sent)).collect();
                self.flows = sent.map(|sent| self.plan.workload().sent_on(&sent).into());
            }
            Report::Measured { executor, tally } => self.tallies.push((executor, *tally)),
            Report::Failed(failure) => self.fail(failure),
            Report::Gone { executors, failure } => {
                self.gone += executors;
                self.fail(failure);
            }
            Report::SubscribersReady | Report::SettingUp | Report::PublishersReady => {}
        }
        let moved_to = self.accounted();
        if moved_to != self.moved_to {
            self.moved = Instant::now();
            self.moved_to = moved_to;
        }
    }

    /// Remembers the first failure. What fails after an interruption is its doing.
    fn fail(&mut self, failure: Failure) {
        if self.interrupted.is_none() {
            self.failure.get_or_insert(failure);
        }
    }

    /// Ends the wait for everything but messages under way.
    pub(super) fn interrupt(&mut self) {
        self.interrupted = Some(Instant::now());
    }

    pub(super) fn is_interrupted(&self) -> bool {
        self.interrupted.is_some()
    }

    /// True once every executor that is there has handed over its measurements.
    pub(super) fn all_measured(&self) -> bool {
        self.tallies.len() + self.gone >= self.received.len()
    }

    fn accounted(&self) -> u64 {
        self.received.iter().map(|received| received.accounted).sum()
    }

    /// True once every publisher is done.
    pub(super) fn all_sent(&self) -> bool {
        self.done.iter().all(Option::is_some)
    }

    /// Messages sent on each flow, once all publishers are done.
    pub(super) fn sent(&self) -> Option<Arc<[u64]>> {
        self.flows.clone()
    }

    /// The state of the subscribers, once every executor has reported it.
    fn settling(&self) -> Option<Settling> {
        let mut sum = Settling::default();
        for received in &self.received {
            sum += received.settling?;
        }
        Some(sum)
    }

    /// True if there is no point in waiting for more reports.
    pub(super) fn is_over(&self) -> bool {
        self.failure.is_some() || self.settling().is_some_and(|sum| sum.unknown + sum.waiting == 0)
    }

    /// The end of the run, if it has come.
    pub(super) fn ending(&self) -> Option<Ending> {
        if let Some(failure) = &self.failure {
            let said = failure.to_string();
            return Some(if failure.timed_out { Ending::TimedOut(said) } else { Ending::Failed(said) });
        }
        let quiet = self.moved.elapsed();
        let settled = match self.settling() {
            Some(Settling { unknown: 0, waiting: 0, .. }) => true,
            Some(Settling { waiting: 0, .. }) => quiet >= UNKNOWN_GAP_QUIET,
            _ => false,
        };
        if let Some(since) = self.interrupted {
            let over = settled || quiet >= INTERRUPTED_QUIET || since.elapsed() >= INTERRUPTED_MAX;
            return over.then_some(Ending::Interrupted);
        }
        if settled {
            return Some(Ending::Complete);
        }
        // A publisher that waits for its next message is not stuck.
        let interval = match self.plan.rate {
            Rate::Hz(rate_hz) if !self.all_sent() => Duration::from_secs_f64(1.0 / rate_hz),
            _ => Duration::ZERO,
        };
        (quiet >= self.plan.timeout + interval).then(|| Ending::TimedOut(self.waiting_for()))
    }

    fn waiting_for(&self) -> String {
        let seconds = self.plan.timeout.as_secs_f64();
        let unsent = self.done.iter().filter(|done| done.is_none()).count();
        if unsent > 0 {
            return format!("nothing has arrived for {seconds} s, and {unsent} publishers have not sent all");
        }
        let settled = self.settling().unwrap_or_default().settled;
        let subscribers = self.plan.measured_subscribers();
        let missing = subscribers - settled;
        format!(
            "nothing has arrived for {seconds} s, and {missing} of {subscribers} subscribers miss messages"
        )
    }

    /// The progress to show.
    pub(super) fn position(&self) -> Position {
        let elapsed = self.started.elapsed();
        let deliveries = self.received.iter().map(|received| received.delivered).sum();
        let accounted = self.accounted();
        let messages = self.sent().map(|sent| sent.iter().sum()).or(self.plan.messages());
        let each = self.plan.measured_subscribers() as f64 * self.plan.workload().part_wanted();
        let by_count = messages.map(|messages: u64| accounted as f64 / (messages as f64 * each));
        let by_time = self.plan.sending_time().map(|time| elapsed.as_secs_f64() / time.as_secs_f64());
        let done = by_count.or(by_time).unwrap_or(0.0).min(1.0);
        let left = match self.plan.sending_time() {
            Some(time) if elapsed < time => Some(time.saturating_sub(elapsed)),
            _ if done > 0.0 => Duration::try_from_secs_f64(elapsed.as_secs_f64() * (1.0 - done) / done).ok(),
            _ => None,
        };
        Position { sent: self.sent, deliveries, gaps: accounted.saturating_sub(deliveries), done, left }
    }

    /// All of it, when it has ended so.
    pub(super) fn driven(self, start: MonotonicNs, mut ending: Ending) -> Driven {
        if self.tallies.len() < self.received.len() && ending == Ending::Complete {
            ending = Ending::Failed("an executor did not say what it measured".into());
        }
        let done = || self.done.iter().flatten().map(|done| &done.sent);
        let said: Vec<u64> =
            self.done.iter().map(|done| done.as_ref().map_or(0, |done| done.sent.sent)).collect();
        let mut sent = self.plan.workload().sent_on(&said);
        // Of a publisher that is stuck in a send, or has failed, what arrived may say more than it could.
        if self.done.iter().any(|done| done.as_ref().is_none_or(|done| done.failure.is_some())) {
            self.tallies.iter().for_each(|(_, tally)| tally.oracle().raise_to_seen(&mut sent));
        }
        let all = Sent {
            sent: sent.iter().sum(),
            intended: done().map(|sent| sent.intended).sum(),
            late: done().map(|sent| sent.late).sum(),
            started_ns: done().map(|sent| sent.started_ns).min().unwrap_or(start.0),
        };
        let mut tallies = self.tallies;
        // As they are numbered, not as they came: so the subscribers of a host stand together.
        tallies.sort_by_key(|(executor, _)| *executor);
        let hosts = Vec::new();
        Driven { sent, all, tallies, ending, hosts }
    }
}

#[cfg(test)]
mod tests {
    use super::super::plan::tests::sample_plan;
    use super::*;
    use crate::measure::interest::Interest;
    use crate::measure::messages::Messages;
    use crate::measure::payload::{PublisherIndex, RunId};
    use crate::measure::workload::Workload;

    /// A plan of one publisher and two executors with a subscriber each, which gives up at once.
    fn plan() -> Plan {
        Plan { publishers: 1, subscribers: 2, timeout: Duration::ZERO, rate: Rate::Flood, ..sample_plan() }
    }

    fn done(sent: u64, failure: Option<Failure>) -> Report {
        let sent = Sent { sent, intended: sent, late: 1, started_ns: 5 };
        Report::PublisherDone(PublisherDone { publisher: PublisherIndex(0), sent, failure })
    }

    fn received(executor: usize, accounted: u64, settling: Option<(usize, usize, usize)>) -> Report {
        let settling = settling.map(|(settled, unknown, waiting)| Settling { settled, unknown, waiting });
        Report::Received(Received { executor, delivered: accounted, accounted, settling })
    }

    fn watch(plan: &Plan, reports: Vec<Report>) -> Watch<'_> {
        let mut watch = Watch::new(plan, 2);
        reports.into_iter().for_each(|report| watch.take(report));
        watch
    }

    #[test]
    fn a_run_is_complete_when_every_executor_has_settled() {
        let plan = Plan { timeout: Duration::from_secs(1000), ..plan() };
        let mut watch = watch(&plan, vec![done(3, None), received(0, 3, Some((1, 0, 0)))]);
        assert_eq!((watch.ending(), watch.is_over()), (None, false));
        watch.take(received(1, 2, Some((0, 0, 1))));
        assert_eq!((watch.ending(), watch.is_over()), (None, false));
        watch.take(received(1, 3, Some((1, 0, 0))));
        assert_eq!((watch.ending(), watch.is_over()), (Some(Ending::Complete), true));
    }

    #[test]
    fn a_gap_of_unknown_size_is_waited_for_a_while() {
        let plan = Plan { timeout: Duration::from_secs(1000), ..plan() };
        let reports = vec![done(3, None), received(0, 3, Some((1, 0, 0))), received(1, 2, Some((0, 1, 0)))];
        let mut watch = watch(&plan, reports);
        assert_eq!(watch.ending(), None);
        watch.moved = watch.moved.checked_sub(UNKNOWN_GAP_QUIET).unwrap();
        assert_eq!(watch.ending(), Some(Ending::Complete));
    }

    #[test]
    fn silence_is_a_time_out_that_says_what_is_missing() {
        let plan = plan();
        let sending = watch(&plan, vec![received(0, 3, None)]);
        let Some(Ending::TimedOut(said)) = sending.ending() else { panic!("{:?}", sending.ending()) };
        assert!(said.contains("1 publishers have not sent all"), "{said}");
        let reports = vec![done(3, None), received(0, 3, Some((1, 0, 0))), received(1, 2, Some((0, 0, 1)))];
        let settling = watch(&plan, reports);
        let Some(Ending::TimedOut(said)) = settling.ending() else { panic!("{:?}", settling.ending()) };
        assert!(said.contains("1 of 2 subscribers miss messages"), "{said}");
    }

    #[test]
    fn a_failure_ends_a_run_and_a_slow_one_is_a_time_out() {
        let plan = plan();
        for (timed_out, wanted) in
            [(true, Ending::TimedOut("a: b".into())), (false, Ending::Failed("a: b".into()))]
        {
            let failure = Failure { what: "a".into(), why: "b".into(), timed_out };
            let watch = watch(&plan, vec![done(3, Some(failure))]);
            assert_eq!((watch.ending(), watch.is_over()), (Some(wanted), true));
        }
    }

    #[test]
    fn an_interrupted_run_ends_when_it_is_quiet_or_for_too_long() {
        let plan = Plan { timeout: Duration::from_secs(1000), ..plan() };
        let mut watch = watch(&plan, vec![received(0, 3, None)]);
        watch.interrupt();
        assert_eq!(watch.ending(), None);
        watch.interrupted = Instant::now().checked_sub(INTERRUPTED_MAX);
        assert_eq!(watch.ending(), Some(Ending::Interrupted));
    }

    #[test]
    fn what_fails_after_an_interruption_is_its_doing() {
        let plan = Plan { timeout: Duration::from_secs(1000), ..plan() };
        let mut watch = watch(&plan, vec![received(0, 3, None)]);
        watch.interrupt();
        watch.take(Report::Failed(Failure::new("subscriber 0", "the peer closed the connection")));
        assert_eq!((watch.ending(), watch.is_over()), (None, false));
        watch.interrupted = Instant::now().checked_sub(INTERRUPTED_MAX);
        assert_eq!(watch.ending(), Some(Ending::Interrupted));
    }

    /// An executor that got the seventh message.
    fn measured() -> Report {
        let (run, workload) = (RunId(1), Workload::own(1));
        let mut tally = Tally::new(run, workload, Interest::of(&workload, 0..1));
        let mut messages = Messages::new(run, &workload, PublisherIndex(0), 64).unwrap();
        for _ in 0..6 {
            messages.next(MonotonicNs(0));
        }
        assert!(tally.message(0, messages.next(MonotonicNs(0)).1, MonotonicNs(1)));
        Report::Measured { executor: 0, tally: Box::new(tally) }
    }

    #[test]
    fn what_a_stuck_publisher_sent_is_told_by_what_arrived() {
        let plan = plan();
        let mut watch = Watch::new(&plan, 1);
        watch.take(measured());
        let driven = watch.driven(MonotonicNs(9), Ending::Interrupted);
        assert_eq!((driven.sent, driven.all.sent, driven.all.started_ns), (vec![7], 7, 9));
    }

    #[test]
    fn what_a_failed_publisher_sent_is_no_less_than_what_arrived() {
        let plan = plan();
        for (said, failure, wanted) in [
            (2, Some(Failure::new("the floor", "its process has ended")), 7),
            (9, Some(Failure::new("publisher 0", "it cannot send")), 9),
            (2, None, 2),
        ] {
            let mut watch = Watch::new(&plan, 1);
            watch.take(done(said, failure));
            watch.take(measured());
            assert_eq!(watch.driven(MonotonicNs(9), Ending::Interrupted).sent, [wanted]);
        }
    }
}
