//! Sessions that start with history. One says where, then its subscriptions. They are asked of all neighbours, for a group that
//! hears nobody; when all route by them, a *mark* divides the stream of each shard ([`Mark`]): what was kept before it is history,
//! what comes behind it is live, and waits. History is sent in parts, the next one when the last has left; then what has waited
//! follows it, and the session is like any other. Owned by a shard.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use bytes::Bytes;

use super::gathered::{GAP_HISTORY, Gathered};
use super::log::Log;
use super::replay::{Replay, ReplayStep};
use super::resume::{HadPositions, Resume, Shortfall};
use crate::carrier::{HistoryAsk, HistoryItem, HistoryPage, LinkItem, Mark, ShardItem, Unconfirmed};
use crate::error::ErrorCode;
use crate::fanout::Encoding;
use crate::ids::{Neighbour, RequestId, SessionId, ShardId};
use crate::limits::{HISTORY_PAGE_STEPS, START_SUBSCRIPTIONS_MAX, TOPIC_BYTES_MAX, TURN_STEPS_MAX};
use crate::shard::base::Base;
use crate::shard::demand::Demand;
use crate::shard::membership::Membership;
use crate::shard::session_state::SessionState;
use crate::topic::Filter;
use crate::wire::{Frame, Start};

/// Answers of its own log that a shard looks for history in, in one turn of a session, before others have theirs.
const PAGES_PER_TURN: usize = TURN_STEPS_MAX / HISTORY_PAGE_STEPS / 4;

/// The shard that keeps what carriers bring.
const FAR_KEEPER: ShardId = ShardId(0);

/// Ticks for which the subscriptions of a ZeroMQ session are gathered: it says nowhere how many will come.
const GATHERING_TICKS: u8 = 2;

/// A session that starts.
struct Starting {
    start: Start,
    /// Its client comes back: the last messages that it has had, and the nanoseconds before which it has had all.
    resumes: Option<(HadPositions, u64)>,
    /// Its own request, to be answered when history begins. A ZeroMQ session has none.
    request: Option<RequestId>,
    /// Subscriptions that are still to come.
    missing: u32,
    /// Those that have come, to be answered when they are in force.
    subscriptions: Vec<RequestId>,
    /// Filters of theirs, once all have come, that nobody has cancelled: its history is of these.
    filters: BTreeSet<Filter>,
    /// Those that have come since: they come into force when it has all of its history.
    later: Vec<RequestId>,
    /// The history, once all shards route to the session.
    replay: Option<Replay>,
}

impl Starting {
    /// All of its subscriptions have come, and are asked of all neighbours. What comes from now on is later.
    fn ask(&mut self, base: &Base, id: SessionId) {
        let session = base.sessions.get(id);
        self.filters.extend(session.into_iter().flat_map(|s| s.subscriptions.filters().keys()).cloned());
    }
}

/// All that start.
#[derive(Default)]
pub(in crate::shard) struct Starts {
    starting: BTreeMap<SessionId, Starting>,
    /// Those whose subscriptions some neighbour has not confirmed, in order.
    asked: Unconfirmed<SessionId>,
    marks: u64,
    /// By shard: its last mark that was passed on.
    passed_on: BTreeMap<ShardId, u64>,
    /// The positions of sessions that have not said where they start.
    positions: BTreeMap<SessionId, HadPositions>,
    /// Sessions that go on at the next tick.
    late: Vec<SessionId>,
    /// ZeroMQ sessions whose subscriptions are gathered, for so many ticks more.
    gathering: Vec<(SessionId, u8)>,
}

impl Starts {
    /// A session says where its next subscriptions start.
    pub(in crate::shard) fn on_start(
        &mut self,
        base: &mut Base,
        id: SessionId,
        (kind, value): (u8, u64),
        (request, subscriptions): (RequestId, u32),
    ) {
        let Some(session) = base.sessions.get_mut(id) else { return };
        let wrong = if session.joining > 0 || session.group.is_some() {
            Some("a start comes before all subscriptions")
        } else if subscriptions == 0 || subscriptions as usize > START_SUBSCRIPTIONS_MAX {
            Some("a start is for 1 to 1,024 subscriptions")
        } else {
            None
        };
        if let Some(text) = wrong {
            return base.end(id, ErrorCode::Unexpected, text);
        }
        let positions = self.positions.remove(&id).unwrap_or_default();
        let resumes = (kind == Start::RESUME).then_some((positions, value));
        let start = if resumes.is_some() { Some(Start::All) } else { Start::from_wire(kind, value) };
        let Some(start) = start else {
            return base.end(id, ErrorCode::Unexpected, "a start of a kind that is not known");
        };
        session.starts = true;
        // It stays on this shard until it has caught up.
        session.joining += 1;
        let starting = Starting {
            start,
            resumes,
            request: Some(request),
            missing: subscriptions,
            subscriptions: Vec::new(),
            filters: BTreeSet::new(),
            later: Vec::new(),
            replay: None,
        };
        self.starting.insert(id, starting);
    }

    /// A ZeroMQ session is about to subscribe. If it has no subscription yet, those that come soon start with the last message of each
    /// topic of which such sessions are given it.
    pub(in crate::shard) fn gather_zmtp(&mut self, base: &mut Base, id: SessionId) {
        if base.config.zmtp_last.is_empty() {
            return;
        }
        let is_new = |session: &&mut SessionState| session.joining == 0 && session.group.is_none();
        let Some(session) = base.sessions.get_mut(id).filter(|s| s.is_listening()).filter(is_new) else {
            return;
        };
        session.starts = true;
        session.joining += 1;
        let starting = Starting {
            start: Start::Last,
            resumes: None,
            request: None,
            missing: 0,
            subscriptions: Vec::new(),
            filters: BTreeSet::new(),
            later: Vec::new(),
            replay: None,
        };
        self.starting.insert(id, starting);
        self.gathering.push((id, GATHERING_TICKS));
    }

    /// The client of a session has had this message of a publisher and topic, and none behind it.
    pub(in crate::shard) fn on_position(
        &mut self,
        base: &mut Base,
        id: SessionId,
        (topic, publisher, sequence): (&[u8], u64, u64),
    ) {
        let positions = self.positions.entry(id).or_default();
        if topic.len() > TOPIC_BYTES_MAX || !positions.add(topic, publisher, sequence) {
            self.positions.remove(&id);
            base.end(
                id,
                ErrorCode::Unexpected,
                "there may be 65,536 positions before a start, with 8 MiB of topics",
            );
        }
    }

    /// A session has subscribed, or, without a request, was refused a subscription. Returns true if that is answered here.
    pub(in crate::shard) fn on_subscription(
        &mut self,
        base: &mut Base,
        (membership, demand): (&mut Membership, &mut Demand),
        id: SessionId,
        request: Option<RequestId>,
    ) -> bool {
        let Some(starting) = self.starting.get_mut(&id) else { return false };
        if starting.missing == 0 {
            // Its neighbours may route by it before they have passed the mark: what they publish then is not for this session.
            if let (Some(session), Some(request)) = (base.sessions.get_mut(id), request) {
                session.joining += 1;
                starting.later.push(request);
            }
            return true;
        }
        starting.subscriptions.extend(request);
        starting.missing -= 1;
        if starting.missing == 0 {
            starting.ask(base, id);
            self.asked.add(demand.changes(), id);
            self.on_confirmed(base, (membership, demand));
        }
        true
    }

    /// A session has subscribed to this filter no longer: no more of its history is sent.
    pub(in crate::shard) fn on_cancelled(&mut self, base: &Base, id: SessionId, filter: &Filter) {
        let Some(starting) = self.starting.get_mut(&id) else { return };
        if base.sessions.get(id).is_none_or(|session| !session.subscriptions.filters().contains(filter)) {
            starting.filters.remove(filter);
        }
    }

    /// Neighbours have confirmed something: sessions to which all of them route begin with their history.
    pub(in crate::shard) fn on_confirmed(
        &mut self,
        base: &mut Base,
        (membership, demand): (&mut Membership, &mut Demand),
    ) {
        while let Some(id) = self.asked.pop(demand.changes()) {
            if self.starting.contains_key(&id) {
                self.begin(base, membership, id);
                self.go_on(base, (membership, demand), id);
            }
        }
    }

    /// Divides the streams of all shards for a session.
    fn begin(&mut self, base: &mut Base, membership: &mut Membership, id: SessionId) {
        let (me, shards) = (base.id, base.config.shards);
        let now = base.clock.told().0;
        let up_to = base.log.as_ref().map_or(0, |log| log.end());
        let (Some(starting), Some(session)) = (self.starting.get_mut(&id), base.sessions.get_mut(id)) else {
            return;
        };
        let filters: Arc<[Filter]> = starting.filters.iter().cloned().collect();
        session.egress.park();
        let since = match (starting.start, &starting.resumes) {
            (Start::Since(time), _) => now.saturating_sub(u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)),
            (_, Some((_, ago))) => now.saturating_sub(*ago),
            _ => 0,
        };
        let keeps_all = |filter: &Filter| base.log.as_ref().is_some_and(|log| log.keeps_all_of(filter));
        // A client of the broker that was here before: other hosts have gone on between that and this one.
        let was_elsewhere = base.links.carriers().next().is_some() && since < base.began_at.0;
        let is_unsure = was_elsewhere || !filters.iter().all(keeps_all);
        let logs = if base.log.is_some() { base.config.logs() } else { shards };
        let mut replay = Replay::new(id, filters, (starting.start, since), logs);
        if let Some((positions, _)) = starting.resumes.take() {
            replay = replay.resuming(Resume::new(positions, since), is_unsure);
        }
        replay.on_marked(me.into(), up_to);
        replay.on_divided(me.into());
        starting.replay = Some(replay);
        if let Some(RequestId(request)) = starting.request {
            base.answer(id, &Frame::Done { request });
        }
        membership.set_hears(base, id, (me.into(), true));
        if base.log.is_none() {
            // Nothing of what carriers bring is history.
            for carrier in base.links.carriers() {
                membership.set_hears(base, id, (carrier, true));
            }
        }
        self.marks += 1;
        self.pass_on(base, &Arc::new(Mark { shard: me, number: self.marks, session: id }));
        base.counters.history_starts += 1;
        // Whoever is told of it has passed the mark.
        base.untold.hears(id);
    }

    /// Passes a mark on to all neighbours that may not know of it, when it first comes. Returns false if it has come before.
    fn pass_on(&mut self, base: &mut Base, mark: &Arc<Mark>) -> bool {
        let last = self.passed_on.entry(mark.shard).or_insert(0);
        if *last >= mark.number {
            return false;
        }
        *last = mark.number;
        for neighbour in base.links.neighbours().filter(|neighbour| *neighbour != mark.shard.into()) {
            base.send_link(neighbour, LinkItem::Mark(Arc::clone(mark)));
        }
        true
    }

    /// A mark has come from a neighbour: its session, or that of another shard, starts.
    pub(in crate::shard) fn on_mark(
        &mut self,
        base: &mut Base,
        (membership, demand): (&mut Membership, &mut Demand),
        (from, mark): (Neighbour, &Arc<Mark>),
    ) {
        let (me, session) = (base.id, mark.session);
        let is_new = self.pass_on(base, mark);
        if is_new && mark.shard != me {
            let up_to = base.log.as_ref().map_or(0, |log| log.end());
            let marked = HistoryItem::Marked { session, of: me.into(), up_to };
            base.send_shard(mark.shard, ShardItem::History(marked));
        }
        if !base.links.is_carrier(from) {
            return;
        }
        let kept = base.kept_of(from).map(Log::end);
        if let Some(up_to) = kept.filter(|_| mark.shard != me) {
            let marked = HistoryItem::Marked { session, of: from, up_to };
            base.send_shard(mark.shard, ShardItem::History(marked));
        }
        let Some(replay) = self.replay_of(session).filter(|_| mark.shard == me) else { return };
        kept.into_iter().for_each(|up_to| replay.on_marked(from, up_to));
        replay.on_divided(from);
        membership.set_hears(base, session, (from, true));
        self.go_on(base, (membership, demand), session);
    }

    /// Another shard says something about history.
    pub(in crate::shard) fn on_item(
        &mut self,
        base: &mut Base,
        (membership, demand): (&mut Membership, &mut Demand),
        (from, item): (ShardId, HistoryItem),
    ) {
        let id = match item {
            HistoryItem::Ask(ask) => {
                let (page, steps) = page_of(base.kept_of(ask.of), &ask);
                base.turn.spend(steps);
                return base.send_shard(from, ShardItem::History(HistoryItem::Page(page)));
            }
            HistoryItem::Marked { session, of, up_to } => {
                let Some(replay) = self.replay_of(session) else { return };
                replay.on_marked(of, up_to);
                if of == from.into() {
                    replay.on_divided(of);
                    membership.set_hears(base, session, (of, true));
                }
                session
            }
            HistoryItem::Page(page) => {
                let session = page.session;
                let Some(replay) = self.replay_of(session) else { return };
                replay.on_page(page);
                session
            }
        };
        self.go_on(base, (membership, demand), id);
    }

    fn replay_of(&mut self, id: SessionId) -> Option<&mut Replay> {
        self.starting.get_mut(&id)?.replay.as_mut()
    }

    /// The queue of a session has room: its history goes on.
    pub(in crate::shard) fn on_room(
        &mut self,
        base: &mut Base,
        (membership, demand): (&mut Membership, &mut Demand),
        id: SessionId,
    ) {
        if !self.starting.is_empty() {
            self.go_on(base, (membership, demand), id);
        }
    }

    /// True if something waits for the next tick.
    pub(in crate::shard) fn has_late(&self) -> bool {
        !self.late.is_empty() || !self.gathering.is_empty()
    }

    /// A tick: those that have used up their turn go on, and those that were given time begin.
    pub(in crate::shard) fn on_tick(
        &mut self,
        base: &mut Base,
        (membership, demand): (&mut Membership, &mut Demand),
    ) {
        for id in std::mem::take(&mut self.late) {
            self.go_on(base, (&mut *membership, &mut *demand), id);
        }
        for (id, ticks) in std::mem::take(&mut self.gathering) {
            match ticks {
                0 => {
                    if let Some(starting) = self.starting.get_mut(&id) {
                        starting.ask(base, id);
                    }
                    self.asked.add(demand.changes(), id);
                }
                _ => self.gathering.push((id, ticks - 1)),
            }
        }
        self.on_confirmed(base, (membership, demand));
    }

    /// Sends a session the next part of its history, if that is there and all before it has left.
    fn go_on(
        &mut self,
        base: &mut Base,
        (membership, demand): (&mut Membership, &mut Demand),
        id: SessionId,
    ) {
        let Some(Starting { filters, replay: Some(replay), .. }) = self.starting.get_mut(&id) else { return };
        match go_on(base, id, (filters, replay)) {
            Progress::Waits => {}
            Progress::IsLate => self.late.push(id),
            Progress::Done => self.end(base, (membership, demand), id),
        }
    }

    /// A session has all of its history: what has come meanwhile follows.
    fn end(&mut self, base: &mut Base, (membership, demand): (&mut Membership, &mut Demand), id: SessionId) {
        let Some(Starting { subscriptions, later, .. }) = self.starting.remove(&id) else { return };
        for RequestId(request) in subscriptions {
            base.answer(id, &Frame::Done { request });
        }
        if let Some(session) = base.sessions.get_mut(id) {
            session.starts = false;
            session.joining -= 1 + u32::try_from(later.len()).expect("one was counted for each");
        }
        later.into_iter().for_each(|request| base.untold.asks(id, request));
        base.unpark(id);
        membership.join_group(base, demand, id);
    }

    /// A session has left the fan-out, if it was one of those.
    pub(in crate::shard) fn forget(&mut self, id: SessionId) {
        self.positions.remove(&id);
        if !self.starting.is_empty() {
            self.starting.remove(&id);
            self.late.retain(|late| *late != id);
            self.gathering.retain(|(gathering, _)| *gathering != id);
        }
    }

    /// Sessions that start are known here, and no others.
    pub(in crate::shard) fn audit(&self, base: &Base) {
        for (id, session) in base.sessions.iter().filter(|(_, session)| session.is_listening()) {
            let starting = self.starting.get(&id);
            assert_eq!(starting.is_some(), session.starts, "{id} starts");
            let is_parked = starting.is_some_and(|starting| starting.replay.is_some());
            assert_eq!(is_parked, session.egress.is_parked(), "{id} has history to be sent");
        }
    }
}

/// The progress of a session's history.
enum Progress {
    /// It goes on when its last part has left, or another shard has answered.
    Waits,
    /// It has used up its turn.
    IsLate,
    /// All of it has left.
    Done,
}

/// Sends a session the next part of its history, if that is there and all before it has left.
fn go_on(base: &mut Base, id: SessionId, (filters, replay): (&BTreeSet<Filter>, &mut Replay)) -> Progress {
    for _ in 0..PAGES_PER_TURN {
        let Some(session) = base.sessions.get_mut(id).filter(|session| session.is_listening()) else {
            return Progress::Waits;
        };
        if !session.egress.is_empty() {
            session.awaits_room = true;
            return Progress::Waits;
        }
        let encoding = session.kind.encoding();
        let (is_zmtp, zmtp_last) = (session.kind.is_zmtp(), &base.config.zmtp_last);
        let is_wanted = |topic: &Bytes| {
            filters.iter().any(|filter| filter.matches(topic))
                && (!is_zmtp || zmtp_last.iter().any(|filter| filter.matches(topic)))
        };
        let (gathered, is_done) = gather(replay, encoding, is_wanted);
        let (chunks, messages) = gathered.into_chunks();
        let has_more = !chunks.is_empty();
        if has_more {
            chunks.iter().for_each(|chunk| session.egress.push_history(chunk));
            session.awaits_room = true;
            base.counters.history_sent += messages;
            base.list(id);
        } else if is_done {
            return Progress::Done;
        }
        let has_answered = ask(base, replay);
        if has_more || !has_answered {
            return Progress::Waits;
        }
    }
    Progress::IsLate
}

/// The next part of a replay, of topics that are still wanted, and whether it is the last.
fn gather(replay: &mut Replay, encoding: Encoding, is_wanted: impl Fn(&Bytes) -> bool) -> (Gathered, bool) {
    let mut gathered = Gathered::new(encoding);
    while !gathered.is_enough() {
        match replay.step() {
            ReplayStep::Wait => return (gathered, false),
            ReplayStep::Done => return (gathered, true),
            ReplayStep::Send { log, stretch, skip } => {
                match replay.under_way().filter(|(topic, _)| is_wanted(topic)) {
                    None => {}
                    Some((_, None)) => gathered.add(&stretch, skip),
                    Some((topic, Some((resume, notices)))) => {
                        let wants = |publisher, number| resume.wants(topic, publisher, number);
                        gathered.add_wanted(&stretch, (log, notices), wants);
                    }
                }
            }
            ReplayStep::Notices(topic, notices) if is_wanted(&topic) => gathered.add_notices(&notices),
            ReplayStep::Notices(..) => {}
            ReplayStep::Lacks(topic, missing) => {
                let missed = match missing {
                    Shortfall::Exactly(missed) => missed,
                    Shortfall::Unknown => 0,
                };
                if topic.is_empty() || is_wanted(&topic) {
                    gathered.add_gap(&topic, missed);
                }
            }
            ReplayStep::Missed(topic, missed) => {
                if is_wanted(&topic) {
                    gathered.add_gap(&topic, missed);
                }
            }
        }
    }
    (gathered, false)
}

/// Asks shards for the parts of a replay that are next. Returns true if this shard has answered.
fn ask(base: &mut Base, replay: &mut Replay) -> bool {
    let mut has_answered = false;
    for ask in replay.questions() {
        let shard = if base.links.is_carrier(ask.of) { FAR_KEEPER } else { base.links.shard(ask.of) };
        if shard == base.id {
            let (page, steps) = page_of(base.kept_of(ask.of), &ask);
            base.turn.spend(steps);
            replay.on_page(page);
            has_answered = true;
        } else {
            base.send_shard(shard, ShardItem::History(HistoryItem::Ask(ask)));
        }
    }
    has_answered
}

/// The answer to a question, and the work that it took.
fn page_of(log: Option<&Log>, ask: &HistoryAsk) -> (HistoryPage, usize) {
    match log {
        Some(log) => log.page(ask),
        None => {
            let HistoryAsk { session, of, .. } = *ask;
            let page = HistoryPage { session, of, parts: Vec::new(), next: None, forgotten_at: 0 };
            (page, 1)
        }
    }
}

impl Base {
    /// Lets what has come while a session's history was sent follow it.
    fn unpark(&mut self, id: SessionId) {
        let bounds = self.config.bounds;
        let Some(session) = self.sessions.get_mut(id) else { return };
        let appended = session.egress.unpark(session.policy, bounds);
        let has_room = session.egress.has_room(bounds);
        let released = if has_room { std::mem::take(&mut session.holds) } else { Vec::new() };
        self.list(id);
        self.release(&released);
        self.count_appended(id, appended);
    }

    /// Ends the history of a session that is about to end, in order, before all of it is sent.
    pub(in crate::shard) fn cut_history_short(&mut self, id: SessionId) {
        let Some(session) = self.sessions.get(id).filter(|session| session.egress.is_parked()) else {
            return;
        };
        if session.kind.is_zmtp() {
            self.counters.gaps_untold += 1;
        } else {
            self.answer(id, &Frame::Gap { topic: b"", missed: 0, reason: GAP_HISTORY });
        }
        self.unpark(id);
    }
}

#[cfg(test)]
mod tests;
