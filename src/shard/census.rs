//! Looks of operators into a shard: figures of its sessions and topics, in parts that fit a turn; and the end of sessions by
//! their order. No state: whoever looks keeps the place where the next part begins.

use std::collections::BTreeSet;

use bytes::Bytes;

use super::base::Base;
use super::kind::Kind;
use super::session_state::{Phase, SessionState, Transit};
use super::state::Shard;
use crate::control::{
    HistoryFigures, HistoryQuestion, KeptFigures, RegistryPage, SessionDetails, SessionFigures, ShardFigures,
    Whom,
};
use crate::error::ErrorCode;
use crate::ids::{PublisherId, SessionId, SessionNumber, ShardId};
use crate::limits::{
    CENSUS_FILTERS_SHOWN_MAX, CENSUS_SESSIONS_PER_TURN, CENSUS_TOPICS_PER_TURN, SEND_OFF_AFTER,
};
use crate::topic::Filter;

/// A shard, as an operator looks into it.
pub struct Census<'a>(&'a mut Shard);

impl<'a> Census<'a> {
    /// Borrows a shard for that.
    pub fn of(shard: &'a mut Shard) -> Self {
        Census(shard)
    }

    /// The figures of the shard itself. Those that only its pumps know are left out.
    pub(crate) fn shard(&self) -> ShardFigures {
        let base = &self.0.base;
        let counters = &base.counters;
        ShardFigures {
            shard: base.id,
            strangers: counters.strangers,
            subscriptions: counters.subscriptions,
            messages_in: counters.messages_in,
            messages_out: counters.deliveries,
            bytes_in: counters.bytes_in,
            bytes_out: counters.bytes_out,
            drops: counters.drops.counts().iter().sum(),
            gaps_told: counters.gaps_told,
            is_starved: counters.starved > 0,
            link_items: 0,
            thread_times: None,
        }
    }

    /// Adds a turn's share of sessions, from this slot on. Returns the slot of the next turn, if there is one.
    pub(crate) fn sessions(&self, from: usize, into: &mut Vec<SessionFigures>) -> Option<usize> {
        let base = &self.0.base;
        let to = base.sessions.slots().min(from + CENSUS_SESSIONS_PER_TURN);
        for slot in from..to {
            let Some(id) = base.sessions.in_slot(slot) else { continue };
            // One that is about to come is still where it was.
            let is_here = |session: &&SessionState| session.transit != Transit::Arriving;
            if let Some(session) = base.sessions.get(id).filter(is_here) {
                into.push(figures(session, (base.id, id)));
            }
        }
        (to < base.sessions.slots()).then_some(to)
    }

    /// Adds a turn's share of topics, from this place on. Returns the place of the next turn, if there is one.
    pub(crate) fn topics(&self, from: u64, into: &mut Vec<(Bytes, u64)>) -> Option<u64> {
        let fanout = self.0.membership.fanout();
        let places = fanout.topic_places();
        let from = from.max(places.start);
        let counts = fanout.topic_counts(from).take(CENSUS_TOPICS_PER_TURN);
        into.extend(
            counts.filter(|(_, messages)| *messages > 0).map(|(topic, messages)| (topic.clone(), messages)),
        );
        let next = from + CENSUS_TOPICS_PER_TURN as u64;
        (next < places.end).then_some(next)
    }

    /// The details of a session. `None`: it is not here any more.
    pub(crate) fn details(&self, id: SessionId) -> Option<SessionDetails> {
        let base = &self.0.base;
        let session = base.sessions.get(id)?;
        let filters = session.subscriptions.filters().keys();
        Some(SessionDetails {
            number: session.number(id, base.id),
            client: session.client.clone(),
            identity: session.identity.clone(),
            policy: session.policy,
            filters: filters.take(CENSUS_FILTERS_SHOWN_MAX).cloned().collect(),
        })
    }

    /// Sessions here that get the messages of a topic.
    pub(crate) fn audience(&self, topic: &[u8]) -> u64 {
        let fanout = self.0.membership.fanout();
        let Some(route) = fanout.cached_route(topic) else { return 0 };
        route.groups.iter().map(|group| fanout.groups().get(*group).members.len() as u64).sum()
    }

    /// A page of the registry. `None`: another shard has it.
    pub(crate) fn registry(&self, behind: Option<PublisherId>, most: usize) -> Option<RegistryPage> {
        self.0.publishers.page(&self.0.base, behind, most)
    }

    /// Adds a turn's share of the topics of which history is kept, behind this one. Returns the place of the next turn, if there is
    /// one.
    pub(crate) fn history(
        &self,
        question: &HistoryQuestion,
        behind: Option<&Bytes>,
        into: &mut HistoryFigures,
    ) -> Option<Bytes> {
        let base = &self.0.base;
        (into.messages, into.bytes, into.given_up, into.bytes_max) = (0, 0, 0, 0);
        for log in base.logs() {
            into.messages += log.messages();
            into.bytes += log.bytes() as u64;
            into.given_up += log.given_up();
            into.bytes_max += log.bytes_max() as u64;
        }
        let share = kept_topics(base, &question.filter, behind);
        for topic in share.iter().filter(|topic| question.filter.matches(topic)) {
            if into.topics.len() == question.most {
                into.has_more = true;
                return None;
            }
            into.topics.extend(base.logs().filter_map(|log| log.figures(topic)).reduce(KeptFigures::and));
        }
        share.into_iter().next_back()
    }

    /// Gives up the history of a turn's share of the topics that a filter matches, behind this one, and counts the messages. Returns the
    /// place of the next turn, if there is one.
    pub(crate) fn clear_history(
        &mut self,
        filter: &Filter,
        behind: Option<&Bytes>,
        cleared: &mut u64,
    ) -> Option<Bytes> {
        let share = kept_topics(&self.0.base, filter, behind);
        let Base { log, far_logs, .. } = &mut self.0.base;
        for log in log.as_deref_mut().into_iter().chain(far_logs) {
            for topic in share.iter().filter(|topic| filter.matches(topic)) {
                *cleared += log.clear(topic);
            }
        }
        share.into_iter().next_back()
    }

    /// Ends those of a turn's share of sessions, from this slot on, that an operator does not want. Returns the slot of the next
    /// turn, if there is one.
    pub(crate) fn kick(
        &mut self,
        from: usize,
        whom: &Whom,
        kicked: &mut Vec<SessionNumber>,
    ) -> Option<usize> {
        let base = &mut self.0.base;
        let to = base.sessions.slots().min(from + CENSUS_SESSIONS_PER_TURN);
        for slot in from..to {
            let Some(id) = base.sessions.in_slot(slot) else { continue };
            let (me, session) = (base.id, base.sessions.get(id));
            let Some(session) = session.filter(|session| is_of(session, (id, me), whom)) else { continue };
            kicked.push(session.number(id, me));
            base.end(id, ErrorCode::Kicked, "an operator has ended this session");
        }
        self.0.settle();
        (to < self.0.base.sessions.slots()).then_some(to)
    }

    /// Tells clients in slots from this one on, and before that one, to go on at another broker, each once. `left` counts those
    /// that can and are still here. Returns where to go on, as for [`Census::sessions`].
    pub(crate) fn send_off(
        &mut self,
        (from, before): (usize, usize),
        frame: &Bytes,
        left: &mut usize,
    ) -> Option<usize> {
        let base = &mut self.0.base;
        let now = base.clock.now();
        let to = base.sessions.slots().min(from + CENSUS_SESSIONS_PER_TURN);
        for slot in from..to {
            let Some(id) = base.sessions.in_slot(slot) else { continue };
            let can_go =
                |session: &&mut SessionState| session.phase == Phase::Open && session.kind.takes_drains();
            let Some(session) = base.sessions.get_mut(id).filter(can_go) else { continue };
            *left += 1;
            // One that has just come may have been sent here by a broker that ends as well: it is not sent round in circles.
            let is_settled = now.saturating_since(session.tally.opened) >= SEND_OFF_AFTER;
            // One that moves to another shard is told there.
            let is_here = session.transit == Transit::Here;
            if slot < before && is_here && is_settled && !std::mem::replace(&mut session.is_sent_off, true) {
                base.answer_raw(id, frame.clone());
            }
        }
        (to < self.0.base.sessions.slots()).then_some(to)
    }

    /// The number of slots for sessions, of which some may be free.
    pub(crate) fn slots(&self) -> usize {
        self.0.base.sessions.slots()
    }
}

/// A turn's share of the topics of which history is kept here and which a filter may match, behind this one, in the order of names.
fn kept_topics(base: &Base, filter: &Filter, behind: Option<&Bytes>) -> Vec<Bytes> {
    let behind = behind.map(|behind| &behind[..]);
    // Each log gives as many as there may be, so that none among the first is missing.
    let all: BTreeSet<&Bytes> = base.logs().flat_map(|log| log.topics(filter, behind)).collect();
    all.into_iter().take(CENSUS_TOPICS_PER_TURN).cloned().collect()
}

fn is_of(session: &SessionState, (id, me): (SessionId, ShardId), whom: &Whom) -> bool {
    let is_meant = match whom {
        Whom::Session(number) => session.number(id, me) == *number,
        Whom::User(name) => session.identity.user() == Some(name),
    };
    // The publisher of this very process has no peer.
    is_meant && session.is_listening() && !session.kind.is_local()
}

fn figures(session: &SessionState, place: (ShardId, SessionId)) -> SessionFigures {
    let egress = &session.egress;
    SessionFigures {
        place,
        number: session.number(place.1, place.0),
        kind: match session.kind {
            Kind::Native(_) => "native",
            Kind::Zmtp(_) => "zmtp",
            Kind::Relay(_) => "relay",
            Kind::Local => "local",
        },
        phase: match session.phase {
            Phase::Greeting => "greeting",
            Phase::Hello => "hello",
            Phase::Open => "open",
            Phase::Closing | Phase::Shut => "closing",
        },
        tally: session.tally,
        filters: session.subscriptions.filters().len(),
        waiting_bytes: (egress.bytes() + egress.answer_bytes()) as u64,
        waiting_messages: egress.frames() as u64,
        oldest_sent_ns: egress.first_chunk().and_then(|chunk| chunk.first_stamp_ns()),
        stalled_at: egress.is_stalled().then_some(session.stalled_at),
        is_held: session.held_by > 0,
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::time::{Duration, Instant};

    use super::super::config::ShardConfig;
    use super::super::rig::{Rig, message, subscribe};
    use super::*;
    use crate::auth::Identity;
    use crate::fanout::{OverflowPolicy, QueueBounds};
    use crate::limits::{CENSUS_DETAILS_PER_TURN, KEEP_AGE_DEFAULT, KEEP_BYTES_DEFAULT};
    use crate::registry::{Mode, ModeRules};
    use crate::shard::Retention;
    use crate::wire::{Features, Frame, encode_to_vec};

    /// All sessions of a shard, and the number of turns that it took.
    fn count(rig: &mut Rig, shard: usize) -> (Vec<SessionFigures>, usize) {
        let (mut all, mut turns, mut next) = (Vec::new(), 0, Some(0));
        while let Some(from) = next {
            let before = all.len();
            next = Census::of(&mut rig.shards[shard]).sessions(from, &mut all);
            assert!(all.len() - before <= CENSUS_SESSIONS_PER_TURN);
            turns += 1;
        }
        (all, turns)
    }

    fn one(rig: &mut Rig, shard: usize, id: SessionId) -> SessionFigures {
        *count(rig, shard).0.iter().find(|figures| figures.place.1 == id).expect("it is there")
    }

    fn topics(rig: &mut Rig) -> Vec<(Bytes, u64)> {
        let (mut all, mut next) = (Vec::new(), Some(0));
        while let Some(from) = next {
            next = Census::of(&mut rig.shards[0]).topics(from, &mut all);
        }
        all
    }

    fn kick(rig: &mut Rig, shard: usize, whom: &Whom) -> Vec<SessionNumber> {
        let (mut kicked, mut next) = (Vec::new(), Some(0));
        while let Some(from) = next {
            next = Census::of(&mut rig.shards[shard]).kick(from, whom, &mut kicked);
            rig.audit();
        }
        kicked
    }

    #[test]
    fn each_session_is_counted_once_in_bounded_turns() {
        let mut rig = Rig::with_shards(1);
        let many = 3 * CENSUS_SESSIONS_PER_TURN;
        let ids: BTreeSet<SessionId> = (0..many).map(|_| rig.open(0, OverflowPolicy::DropOldest)).collect();
        let (all, turns) = count(&mut rig, 0);
        assert_eq!(all.len(), many);
        assert_eq!(all.iter().map(|figures| figures.place.1).collect::<BTreeSet<_>>(), ids);
        assert!((3..=8).contains(&turns), "{turns} turns");
    }

    #[test]
    fn no_turn_of_a_count_of_ten_thousand_sessions_takes_a_millisecond() {
        let mut rig = Rig::with_shards(1);
        let ids: Vec<SessionId> = (0..10_000).map(|_| rig.open(0, OverflowPolicy::DropOldest)).collect();
        for (number, id) in ids.iter().enumerate().step_by(50) {
            rig.say(0, *id, &[subscribe(&format!("filter.{number}.>"), 1)]);
        }
        let longest_turn = |rig: &mut Rig| {
            let (mut all, mut longest, mut next) = (Vec::new(), Duration::ZERO, Some(0));
            while let Some(from) = next {
                let start = Instant::now();
                next = Census::of(&mut rig.shards[0]).sessions(from, &mut all);
                longest = longest.max(start.elapsed());
            }
            assert_eq!(all.len(), ids.len());
            for some in ids.chunks(CENSUS_DETAILS_PER_TURN) {
                let start = Instant::now();
                let census = Census::of(&mut rig.shards[0]);
                assert!(some.iter().all(|id| census.details(*id).is_some()));
                longest = longest.max(start.elapsed());
            }
            longest
        };
        // The least of several counts: a machine that is busy with something else takes this thread away from its core.
        let longest = (0..20).map(|_| longest_turn(&mut rig)).min().expect("there are some");
        assert!(longest < Duration::from_millis(1), "{longest:?}");
    }

    #[test]
    fn a_subscriber_that_does_not_read_is_told_by_its_figures() {
        let bounds = QueueBounds { bytes_max: 1 << 20, frames_max: 4 };
        let mut rig = Rig::new(&ShardConfig { bounds, ..ShardConfig::default() });
        let slow = rig.open(0, OverflowPolicy::DropOldest);
        let publisher = rig.open(0, OverflowPolicy::DropOldest);
        rig.say(0, slow, &[subscribe("a", 1)]);
        rig.hears(0, slow);
        let stamped = |sequence| Frame::Message {
            topic: b"a",
            payload: b"",
            publisher: 1,
            sequence,
            sent_at_ns: 1_000 + sequence,
        };
        rig.say(0, publisher, &[stamped(1)]);
        let before = rig.now;
        assert_eq!(rig.shards[0].flush(slow, |_| Ok::<_, ()>(None)), Ok(super::super::flush::Visit::Full));
        rig.wait(Duration::from_millis(50));
        (2..=7).for_each(|sequence| rig.say(0, publisher, &[stamped(sequence)]));
        let figures = one(&mut rig, 0, slow);
        assert_eq!((figures.kind, figures.phase, figures.filters), ("native", "open", 1));
        assert_eq!((figures.waiting_messages, figures.tally.drops), (4, 3));
        assert_eq!(figures.oldest_sent_ns, Some(1_004), "the oldest of those that wait");
        assert_eq!(figures.stalled_at, Some(before));
        assert_eq!(one(&mut rig, 0, publisher).tally.messages_in, 7);
        assert_eq!(rig.hears(0, slow), "a-3 a=4 a=5 a=6 a=7");
        let figures = one(&mut rig, 0, slow);
        assert_eq!((figures.waiting_messages, figures.waiting_bytes, figures.stalled_at), (0, 0, None));
        assert_eq!((figures.tally.messages_out, figures.tally.gaps_told), (4, 1));
        assert!(figures.tally.bytes_out > 0 && figures.tally.bytes_in > 0);
        let details = Census::of(&mut rig.shards[0]).details(slow).expect("it is there");
        assert_eq!(details.filters.iter().map(|filter| filter.text()).collect::<Vec<_>>(), ["a"]);
    }

    #[test]
    fn topics_are_counted_where_they_are_published_and_the_count_outlives_changes_of_the_index() {
        let mut rig = Rig::with_shards(2);
        let publisher = rig.open(0, OverflowPolicy::DropOldest);
        let far = rig.open(1, OverflowPolicy::DropOldest);
        rig.say(1, far, &[subscribe(">", 1)]);
        rig.travel();
        rig.say(0, publisher, &["a", "a", "b", "a"].map(|topic| message(topic, 1)));
        let near = [rig.open(0, OverflowPolicy::DropOldest), rig.open(0, OverflowPolicy::DropOldest)];
        near.iter().for_each(|id| rig.say(0, *id, &[subscribe("a", 1)]));
        rig.say(0, publisher, &[message("a", 2)]);
        rig.travel();
        let counted = |topic: &'static str, messages| (Bytes::from(topic), messages);
        assert_eq!(topics(&mut rig), [counted("a", 4), counted("b", 1)]);
        let (mut elsewhere, next) = (Vec::new(), 0);
        assert_eq!(Census::of(&mut rig.shards[1]).topics(next, &mut elsewhere), None);
        assert_eq!(elsewhere, [], "they are no messages of its own publishers");
        let audience = [0, 1].map(|shard| Census::of(&mut rig.shards[shard]).audience(b"a"));
        assert_eq!(audience, [2, 1]);
        assert_eq!(Census::of(&mut rig.shards[0]).audience(b"nothing"), 0);
    }

    #[test]
    fn a_topic_that_is_used_all_the_time_is_passed_over_by_no_count() {
        let mut rig = Rig::with_shards(1);
        let publisher = rig.open(0, OverflowPolicy::DropOldest);
        let names: Vec<String> = (0..3 * CENSUS_TOPICS_PER_TURN).map(|n| format!("t.{n}")).collect();
        let publish = |rig: &mut Rig| {
            for some in names.chunks(100) {
                rig.say(0, publisher, &some.iter().map(|name| message(name, 1)).collect::<Vec<_>>());
            }
        };
        for delay in [0, 1, 3, 7] {
            publish(&mut rig);
            rig.wait(Duration::from_secs(1) * delay);
            let (mut all, mut next) = (Vec::new(), Some(0));
            while let Some(from) = next {
                next = Census::of(&mut rig.shards[0]).topics(from, &mut all);
                // Meanwhile those that were not used lately are looked for, and the others go to the end.
                publish(&mut rig);
                rig.wait(Duration::from_secs(3));
            }
            let seen: BTreeSet<Bytes> = all.into_iter().map(|(topic, _)| topic).collect();
            assert_eq!(seen.len(), names.len(), "after {delay} s");
        }
    }

    #[test]
    fn an_operator_ends_one_session_and_tells_it_why() {
        let mut rig = Rig::with_shards(2);
        let [one, other] = [(); 2].map(|()| rig.open(1, OverflowPolicy::DropOldest));
        let number = rig.shards[1].sessions().number_of(one, ShardId(1));
        assert_eq!(kick(&mut rig, 0, &Whom::Session(number)), []);
        assert_eq!(kick(&mut rig, 1, &Whom::Session(number)), [number]);
        assert_eq!(rig.hears(1, one), "kicked");
        assert_eq!(kick(&mut rig, 1, &Whom::Session(number)), [], "it is ending already");
        assert_eq!(rig.hears(1, other), "");
        assert_eq!(rig.shards[1].sessions().phase(other), Some(Phase::Open));
        assert_eq!(
            kick(&mut rig, 1, &Whom::User("anonymous".into())),
            [],
            "whoever has shown nothing is no user"
        );
    }

    #[test]
    fn history_is_shown_by_pages_and_given_up_by_filters_in_bounded_turns() {
        let rules = vec![">=3".parse().expect("a rule")];
        let retention = Retention::new(rules, KEEP_BYTES_DEFAULT, KEEP_AGE_DEFAULT).expect("a rule");
        let mut rig = Rig::new(&ShardConfig { retention, ..ShardConfig::default() });
        let publisher = rig.open(0, OverflowPolicy::DropOldest);
        let names: Vec<String> = (0..3 * CENSUS_TOPICS_PER_TURN).map(|n| format!("t.{n:05}")).collect();
        for some in names.chunks(100) {
            for sequence in [1, 2] {
                rig.say(0, publisher, &some.iter().map(|name| message(name, sequence)).collect::<Vec<_>>());
            }
        }
        rig.say(0, publisher, &[message("u", 1)]);
        let ask = |rig: &mut Rig, filter: &str, behind: Option<Bytes>, most| {
            let filter = Filter::parse(filter).expect("a filter");
            let question = HistoryQuestion { filter, behind: behind.clone(), most };
            let (mut figures, mut next, mut turns) = (HistoryFigures::default(), behind, 0);
            loop {
                next = Census::of(&mut rig.shards[0]).history(&question, next.as_ref(), &mut figures);
                turns += 1;
                if next.is_none() {
                    return (figures, turns);
                }
            }
        };
        let (all, turns) = ask(&mut rig, ">", None, usize::MAX);
        assert_eq!(
            (all.topics.len(), all.messages, all.has_more),
            (names.len() + 1, 2 * names.len() as u64 + 1, false)
        );
        assert_eq!(all.topics.iter().map(|row| row.bytes).sum::<u64>(), all.bytes);
        assert!(turns >= 4, "{turns} turns");
        let (page, _) = ask(&mut rig, "t.*", Some("t.00009".into()), 2);
        let rows: Vec<_> = page.topics.iter().map(|row| (&row.topic[..], row.messages)).collect();
        assert_eq!((rows, page.has_more), (vec![(&b"t.00010"[..], 2), (&b"t.00011"[..], 2)], true));
        assert_eq!(ask(&mut rig, "u", None, 9).0.topics.len(), 1, "the names before it are passed over");
        let clear = |rig: &mut Rig, filter: &str| {
            let filter = Filter::parse(filter).expect("a filter");
            let (mut cleared, mut next) = (0, None);
            loop {
                next = Census::of(&mut rig.shards[0]).clear_history(&filter, next.as_ref(), &mut cleared);
                rig.audit();
                if next.is_none() {
                    return cleared;
                }
            }
        };
        assert_eq!(clear(&mut rig, "t.00010"), 2);
        assert_eq!(clear(&mut rig, "t.>"), 2 * (names.len() as u64 - 1));
        let (left, _) = ask(&mut rig, ">", None, 9);
        assert_eq!((left.topics.len(), left.messages, left.given_up), (1, 1, 2 * names.len() as u64));
        assert_eq!(
            Census::of(&mut Rig::with_shards(1).shards[0]).clear_history(
                &Filter::parse(">").expect("all"),
                None,
                &mut 0
            ),
            None
        );
    }

    #[test]
    fn the_registry_is_shown_by_pages_and_by_its_shard_alone() {
        let modes = Arc::new(ModeRules::new(Vec::new(), Mode::Direct).expect("rules"));
        let mut rig = Rig::new(&ShardConfig { shards: 2, modes, ..ShardConfig::default() });
        let address = "192.0.2.1:9".parse().expect("an address");
        let id = rig.open_as(1, OverflowPolicy::DropOldest, Identity::Anonymous(Some(address)));
        for publisher in 1..=3 {
            let endpoints = format!("tcp://192.0.2.1:{publisher}");
            let (topics, request) = ("a", 1);
            rig.say(
                1,
                id,
                &[Frame::Register { endpoints: &endpoints, topics, publisher, epoch: 1, request }],
            );
            rig.travel();
        }
        assert!(Census::of(&mut rig.shards[1]).registry(None, 2).is_none());
        let numbers = |page: &RegistryPage| -> Vec<u64> {
            page.publishers.iter().map(|row| row.registration.publisher.0).collect()
        };
        let first = Census::of(&mut rig.shards[0]).registry(None, 2).expect("the registry");
        assert_eq!((numbers(&first), first.total, first.last), (vec![1, 2], 3, Some(PublisherId(2))));
        assert_eq!(first.publishers[0].registrant.as_ref().and_then(|peer| peer.address()), Some(address));
        assert!(first.publishers[0].lease_left > Duration::ZERO);
        let second = Census::of(&mut rig.shards[0]).registry(first.last, 2).expect("the registry");
        assert_eq!((numbers(&second), second.last), (vec![3], None));
    }

    fn send_off(rig: &mut Rig, before: usize, frame: &Bytes) -> usize {
        let (mut left, mut next) = (0, Some(0));
        while let Some(from) = next {
            next = Census::of(&mut rig.shards[0]).send_off((from, before), frame, &mut left);
            rig.audit();
        }
        left
    }

    #[test]
    fn clients_that_can_go_are_told_once_each_when_it_is_their_turn() {
        let mut rig = Rig::with_shards(1);
        let frame: Bytes = encode_to_vec(&Frame::Drain { endpoints: "", joined: b"", ends: 0 }).into();
        let told = format!("{:?}", Frame::Drain { endpoints: "", joined: b"", ends: 0 });
        let mut open =
            |features| rig.open_with(0, OverflowPolicy::DropOldest, (Identity::Anonymous(None), features));
        let early: Vec<SessionId> = (0..4).map(|_| open(Features::DRAINS)).collect();
        let old = open(Features::NONE);
        assert_eq!(send_off(&mut rig, 5, &frame), 4);
        assert!(early.iter().all(|id| rig.hears(0, *id).is_empty()), "they have only just come");
        rig.wait(SEND_OFF_AFTER);
        let late =
            rig.open_with(0, OverflowPolicy::DropOldest, (Identity::Anonymous(None), Features::DRAINS));
        for (before, heard) in
            [(2, [true, true, false, false]), (2, [false; 4]), (6, [false, false, true, true])]
        {
            assert_eq!(send_off(&mut rig, before, &frame), 5);
            let hears: Vec<bool> = early.iter().map(|id| rig.hears(0, *id) == told).collect();
            assert_eq!(hears, heard);
        }
        assert_eq!((rig.hears(0, old), rig.hears(0, late)), (String::new(), String::new()));
        for id in early {
            rig.shards[0].on_closed(id, None).expect("it was there");
        }
        assert_eq!(send_off(&mut rig, 6, &frame), 1, "the late one");
        rig.wait(SEND_OFF_AFTER);
        send_off(&mut rig, 6, &frame);
        assert_eq!(rig.hears(0, late), told);
        rig.shards[0].on_closed(late, None).expect("it was there");
        assert_eq!(send_off(&mut rig, 6, &frame), 0, "the other cannot go");
    }
}
