//! The count of all shards, sessions and topics of a broker, and their rates: taken when somebody asks, at most twice a second,
//! and the same for all who ask meanwhile. One task owns it; the last count is kept for a while, for the rates of the next.

use std::future::pending;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use ahash::AHashMap;
use bytes::Bytes;
use corecast_executors::{CoreId, Inbox, Link, MonotonicNs, link};
use tokio::time::{sleep, timeout};

use super::figures::{SessionFigures, ShardCensus, ShardFigures};
use super::look::Look;
use crate::error::Error;
use crate::ids::SessionNumber;
use crate::limits::{CENSUS_ANSWER_MAX, CENSUS_ASKS_MAX, CENSUS_KEPT, CENSUS_PERIOD};
use crate::telemetry::SessionTally;

/// The way of an operator to the shards of a broker. Clones are the same way.
#[derive(Clone, Debug)]
pub struct Operations {
    asks: Link<Link<Arc<Snapshot>>>,
    looks: Link<Look>,
    cores: Arc<[CoreId]>,
}

impl Operations {
    /// A way by which looks reach the shards on these cores, and the task that counts.
    pub(crate) fn new(looks: Link<Look>, cores: &[CoreId]) -> (Self, impl Future<Output = Error> + use<>) {
        let (asks, asked) = link(CENSUS_ASKS_MAX);
        let operations = Operations { asks, looks, cores: cores.into() };
        let keeper = Keeper { looks: operations.looks.clone(), shards: cores.len(), last: None };
        (operations, keeper.run(asked))
    }

    /// The cores of the shards.
    pub(super) fn cores(&self) -> &[CoreId] {
        &self.cores
    }

    /// The figures of now, or of half a second ago. `None`: the broker is gone.
    pub(super) async fn snapshot(&self) -> Option<Arc<Snapshot>> {
        let (answer, mut answers) = link(1);
        self.asks.send(answer).await.ok()?;
        answers.recv().await
    }

    /// The answers of all shards to a look, those that come in time.
    pub(super) async fn look<T>(&self, look: impl FnOnce(Link<T>) -> Look) -> Vec<T> {
        ask_all(&self.looks, self.cores.len(), look).await
    }
}

async fn ask_all<T>(looks: &Link<Look>, shards: usize, look: impl FnOnce(Link<T>) -> Look) -> Vec<T> {
    let (answer, mut answers) = link(shards);
    let mut all = Vec::with_capacity(shards);
    if looks.send(look(answer)).await.is_err() {
        return all;
    }
    let gather = async {
        while all.len() < shards
            && let Some(one) = answers.recv().await
        {
            all.push(one);
        }
    };
    // A shard that is held up is missing, and holds up nobody.
    let _ = timeout(CENSUS_ANSWER_MAX, gather).await;
    all
}

/// The task that counts.
struct Keeper {
    looks: Link<Look>,
    shards: usize,
    last: Option<Arc<Snapshot>>,
}

impl Keeper {
    async fn run(mut self, mut asked: Inbox<Link<Arc<Snapshot>>>) -> Error {
        loop {
            let next = asked.recv();
            let ask = match &self.last {
                None => next.await,
                Some(_) => match timeout(CENSUS_KEPT, next).await {
                    Ok(ask) => ask,
                    Err(_) => {
                        // Nobody looks any more.
                        self.last = None;
                        continue;
                    }
                },
            };
            let Some(answer) = ask else { return pending().await };
            let snapshot = self.snapshot().await;
            // Whoever asked may have gone.
            let _ = answer.try_send(snapshot);
        }
    }

    async fn snapshot(&mut self) -> Arc<Snapshot> {
        let age = |snapshot: &Arc<Snapshot>| MonotonicNs::now().saturating_since(snapshot.taken_at);
        let before = match self.last.take().filter(|last| age(last) < CENSUS_KEPT) {
            Some(last) if age(&last) < CENSUS_PERIOD => return Arc::clone(self.last.insert(last)),
            Some(last) => last,
            None => {
                let first = Arc::new(self.count(None).await);
                sleep(CENSUS_PERIOD).await;
                first
            }
        };
        let snapshot = Arc::new(self.count(Some(&before)).await);
        Arc::clone(self.last.insert(snapshot))
    }

    async fn count(&self, before: Option<&Snapshot>) -> Snapshot {
        let mut shards = ask_all(&self.looks, self.shards, Look::Census).await;
        shards.sort_unstable_by_key(|census| census.shard.shard);
        let taken_unix = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Snapshot::of(shards, (MonotonicNs::now(), taken_unix), before)
    }
}

/// All figures of one moment, with the rates since another.
#[derive(Debug)]
pub(super) struct Snapshot {
    pub(super) taken_at: MonotonicNs,
    /// The same by this host's clock, since 1970.
    pub(super) taken_unix: Duration,
    /// The time over which rates are taken.
    pub(super) period: Duration,
    pub(super) shards: Vec<ShardRow>,
    pub(super) sessions: Vec<SessionRow>,
    /// By rate, the highest first.
    pub(super) topics: Vec<TopicRow>,
}

/// Figures of a shard, and changes of them.
#[derive(Debug)]
pub(super) struct ShardRow {
    pub(super) figures: ShardFigures,
    /// Sums over its sessions.
    pub(super) sessions: u64,
    pub(super) publishers: u64,
    pub(super) waiting_bytes: u64,
    pub(super) waiting_messages: u64,
    pub(super) rates: Rates,
    pub(super) drops_per_second: f64,
    /// The shares of time that its thread ran, and that it waited for its core.
    pub(super) shares: Option<(f64, f64)>,
}

/// Figures of a session, and changes of them.
#[derive(Clone, Copy, Debug)]
pub(super) struct SessionRow {
    pub(super) figures: SessionFigures,
    pub(super) rates: Rates,
    pub(super) drops_per_second: f64,
}

/// A topic on which somebody has published lately.
#[derive(Clone, Debug)]
pub(super) struct TopicRow {
    pub(super) topic: Bytes,
    pub(super) messages: u64,
    pub(super) messages_per_second: f64,
}

/// Rates of a shard or of a session, a second each.
#[derive(Clone, Copy, Default, Debug)]
pub(super) struct Rates {
    pub(super) messages_in: f64,
    pub(super) bytes_in: f64,
    pub(super) messages_out: f64,
    pub(super) bytes_out: f64,
}

impl Rates {
    fn of_session(now: &SessionTally, before: &SessionTally, period: Duration) -> Self {
        Rates {
            messages_in: rate(now.messages_in, before.messages_in, period),
            bytes_in: rate(now.bytes_in, before.bytes_in, period),
            messages_out: rate(now.messages_out, before.messages_out, period),
            bytes_out: rate(now.bytes_out, before.bytes_out, period),
        }
    }

    fn of_shard(now: &ShardFigures, before: &ShardFigures, period: Duration) -> Self {
        Rates {
            messages_in: rate(now.messages_in, before.messages_in, period),
            bytes_in: rate(now.bytes_in, before.bytes_in, period),
            messages_out: rate(now.messages_out, before.messages_out, period),
            bytes_out: rate(now.bytes_out, before.bytes_out, period),
        }
    }
}

/// The change a second. A count that has begun again is all change.
fn rate(now: u64, before: u64, period: Duration) -> f64 {
    let change = if now < before { now } else { now - before };
    change as f64 / period.as_secs_f64().max(0.001)
}

impl Snapshot {
    /// The figures of these shards, taken at this time, with rates since `before`.
    fn of(
        shards: Vec<ShardCensus>,
        (taken_at, taken_unix): (MonotonicNs, Duration),
        before: Option<&Snapshot>,
    ) -> Self {
        let period = before.map_or(Duration::ZERO, |before| taken_at.saturating_since(before.taken_at));
        let tallies: AHashMap<SessionNumber, SessionTally> = before
            .into_iter()
            .flat_map(|before| &before.sessions)
            .map(|row| (row.figures.number, row.figures.tally))
            .collect();
        let (mut shard_rows, mut sessions, mut topics) = (Vec::new(), Vec::new(), AHashMap::new());
        for ShardCensus { shard, sessions: here, topics: published } in shards {
            let known =
                before.and_then(|before| before.shards.iter().find(|row| row.figures.shard == shard.shard));
            shard_rows.push(ShardRow::of(shard, &here, known.map(|row| (&row.figures, period))));
            let rows = here.into_iter().map(|figures| {
                let known = tallies.get(&figures.number).filter(|known| known.opened == figures.tally.opened);
                SessionRow::of(figures, (known, period), taken_at)
            });
            sessions.extend(rows);
            // A topic that is there twice has grown meanwhile.
            let published: AHashMap<Bytes, u64> = published.into_iter().collect();
            published.into_iter().for_each(|(topic, messages)| *topics.entry(topic).or_insert(0) += messages);
        }
        let topics = topic_rows(topics, before, period);
        Snapshot { taken_at, taken_unix, period, shards: shard_rows, sessions, topics }
    }
}

fn topic_rows(counts: AHashMap<Bytes, u64>, before: Option<&Snapshot>, period: Duration) -> Vec<TopicRow> {
    let known: AHashMap<&Bytes, u64> =
        before.into_iter().flat_map(|before| &before.topics).map(|row| (&row.topic, row.messages)).collect();
    let row = |(topic, messages): (Bytes, u64)| {
        let earlier = known.get(&topic).copied().unwrap_or(0);
        let messages_per_second = before.map_or(0.0, |_| rate(messages, earlier, period));
        TopicRow { topic, messages, messages_per_second }
    };
    let mut rows: Vec<TopicRow> = counts.into_iter().map(row).collect();
    rows.sort_unstable_by(|a, b| {
        b.messages_per_second.total_cmp(&a.messages_per_second).then_with(|| a.topic.cmp(&b.topic))
    });
    rows
}

impl ShardRow {
    fn of(
        figures: ShardFigures,
        sessions: &[SessionFigures],
        before: Option<(&ShardFigures, Duration)>,
    ) -> Self {
        let sum = |of: fn(&SessionFigures) -> u64| sessions.iter().map(of).sum();
        let shares = before.and_then(|(before, period)| {
            let ((ran, waited), (ran_before, waited_before)) =
                figures.thread_times.zip(before.thread_times)?;
            let share = |part: Duration| (part.as_secs_f64() / period.as_secs_f64().max(0.001)).min(1.0);
            Some((share(ran.saturating_sub(ran_before)), share(waited.saturating_sub(waited_before))))
        });
        let rates =
            before.map_or_else(Rates::default, |(before, period)| Rates::of_shard(&figures, before, period));
        ShardRow {
            sessions: sessions.len() as u64,
            publishers: sum(|session| u64::from(session.tally.messages_in > 0)),
            waiting_bytes: sum(|session| session.waiting_bytes),
            waiting_messages: sum(|session| session.waiting_messages),
            drops_per_second: before
                .map_or(0.0, |(before, period)| rate(figures.drops, before.drops, period)),
            rates,
            shares,
            figures,
        }
    }
}

impl SessionRow {
    /// One that was not there before has its rates since it opened.
    fn of(
        figures: SessionFigures,
        (before, period): (Option<&SessionTally>, Duration),
        now: MonotonicNs,
    ) -> Self {
        let age = now.saturating_since(figures.tally.opened);
        let (before, period) = before.map_or((SessionTally::default(), age), |before| (*before, period));
        SessionRow {
            rates: Rates::of_session(&figures.tally, &before, period),
            drops_per_second: rate(figures.tally.drops, before.drops, period),
            figures,
        }
    }

    /// The time for which its connection has had no room; 0: it has.
    pub(super) fn stalled(&self, now: MonotonicNs) -> Duration {
        self.figures.stalled_at.map_or(Duration::ZERO, |since| now.saturating_since(since))
    }

    /// The age of the oldest message that waits for it, by the clock of its publisher; without a time in it, the time for which
    /// the connection has had no room.
    pub(super) fn lag(&self, (now, now_unix): (MonotonicNs, Duration)) -> Duration {
        match self.figures.oldest_sent_ns {
            Some(sent_ns) => now_unix.saturating_sub(Duration::from_nanos(sent_ns)),
            None if self.figures.waiting_messages > 0 => self.stalled(now),
            None => Duration::ZERO,
        }
    }
}
