//! The engine as its connection sees it: what came in, what to do next, and time. It owns the parts and lets each do its own.

use std::collections::VecDeque;

use bytes::Bytes;
use corecast_executors::{MonotonicNs, TICK};

use super::arrivals::WayIn;
use super::conversation::Conversation;
use super::crossing;
use super::departures::WayOut;
use super::exchange::Exchange;
use super::head::{HeadKind, PayloadHead};
use super::interest::OwnInterest;
use super::landings::{Landed, Landing};
use super::loading::{Loaded, Loading};
use super::peers::{Change, Learned, PeerNews, Peers};
use super::stores::Stores;
use super::subject::Subjects;
use super::upkeep::Upkeep;
use super::view::EngineState;
use super::word::{EngineWord, ToldPosition};
use super::{EngineConfig, EngineOrder};
use crate::carrier::link_item::{LinkItem, Owed};
use crate::carrier::near::{Near, Word};
use crate::ids::ShardId;
use crate::limits::{ENGINE_BEAT, ENGINE_TICK, TEXT_BYTES_MAX};
use crate::topic::{Filter, FilterSet};

mod figures;
mod meeting;
mod stored;

/// An answer that waits until shards route by what it answers.
struct Fenced {
    fence: u64,
    start: u64,
    /// Changes before those that it answers, and with them.
    of: (u64, u64),
    begun: Vec<Filter>,
}

/// One broker's end.
pub struct Engine {
    config: EngineConfig,
    near: Near,
    interest: OwnInterest,
    peers: Peers,
    departures: WayOut,
    arrivals: WayIn,
    conversation: Conversation,
    exchange: Exchange,
    /// The history that was stored, until it is here.
    loading: Option<Box<Loading>>,
    /// Messages of it, once it is over.
    loaded: Option<(Loaded, u64)>,
    upkeep: Upkeep,
    /// Up to this time brokers are known by it alone.
    strangers_until: Option<MonotonicNs>,
    subjects: Subjects,
    /// The engine has answered as soon as it was asked, so far: other brokers are not without it either.
    is_prompt: bool,
    connected_at: Option<MonotonicNs>,
    /// True once it is known which brokers there are, and what they want.
    has_met: bool,
    state: EngineState,
    now: MonotonicNs,
    next_beat: MonotonicNs,
    /// Answers in the order of their fences.
    fenced: VecDeque<Fenced>,
    fences: u64,
    /// The true round trip that is under way, and those so far.
    round_trip: Option<u64>,
    round_trips: u64,
    junk: u64,
}

impl Engine {
    /// An engine that is away, of a broker whose shards have no sessions yet.
    pub fn new(config: EngineConfig, now: MonotonicNs) -> Self {
        assert_ne!(config.start, 0, "a start is drawn until it is not 0");
        let subjects = Subjects::new(&config.cluster);
        let topics = config.topics.iter().cloned();
        let allowed: Option<FilterSet> = (!config.topics.is_empty()).then(|| topics.collect());
        let mut engine = Engine {
            near: Near::new(config.shards),
            interest: OwnInterest::new(config.filters_max),
            peers: Peers::default(),
            departures: WayOut::new(
                config.start,
                subjects.clone(),
                (allowed, config.buffer_bytes_max),
                Stores::of(&config.stores),
            ),
            arrivals: WayIn::default(),
            conversation: Conversation::new(config.start, subjects.clone()),
            exchange: Exchange::new(config.shards),
            loading: Loading::of(&config.stores, &subjects, now).map(Box::new),
            loaded: None,
            upkeep: Upkeep::of(&config.stores, &subjects),
            strangers_until: None,
            subjects,
            is_prompt: true,
            connected_at: None,
            has_met: false,
            state: EngineState::Away,
            now,
            next_beat: now,
            fenced: VecDeque::new(),
            fences: 0,
            round_trip: None,
            round_trips: 0,
            junk: 0,
            config,
        };
        engine.expect_others();
        for filter in engine.config.keep.clone() {
            if engine.near.keep(&filter) {
                engine.on_interest(filter, true);
            }
        }
        engine
    }

    /// Takes an item from a shard's link.
    pub fn on_link(&mut self, from: ShardId, item: LinkItem) {
        match self.near.on_link(from, item) {
            Some(Word::Interest { filter, wanted }) => self.on_interest(filter, wanted),
            Some(Word::Batch { batch, publisher }) => {
                let ended = self.departures.offer(&batch, (from, publisher), self.now);
                self.conversation.say_positions(ended, None);
            }
            Some(Word::Watch { watch, topic }) => {
                let stays = !self.departures.allows(&topic);
                self.exchange.on_watch((from, watch), (topic, stays), &mut self.near);
            }
            Some(Word::Doubted) => self.departures.doubt_all(self.now),
            Some(Word::AwaitStored { publisher, has_come_back }) => {
                self.departures.wait_for_stores((from, publisher), has_come_back);
            }
            Some(Word::Unwatch { watch }) => self.exchange.on_unwatch((from, watch)),
            Some(Word::Count { watch, count }) => self.exchange.on_count(from, (watch, count), &self.near),
            Some(Word::Registry { change, lease }) => self.exchange.on_registry(&change, lease),
            None => {}
        }
        self.go_on();
    }

    /// Tells lists to the brokers that are there, and asks them for counts.
    fn meet(&mut self) {
        let here = self.peers.iter().filter(|(_, peer)| peer.is_here && peer.name.is_some());
        let here: Vec<u64> = here.map(|(start, _)| start).collect();
        self.exchange.meet(&here, &mut self.near);
    }

    fn on_interest(&mut self, filter: Filter, wanted: bool) {
        let was_of_everything = self.interest.is_of_everything();
        if !wanted && !was_of_everything {
            self.loosen(&filter);
        }
        let change = (self.near.changes(), self.departures.allows_some_of(&filter));
        let orders = self.interest.change((filter, wanted), change, &self.subjects);
        self.conversation.order(orders);
        if was_of_everything && !self.interest.is_of_everything() {
            let near = &mut self.near;
            self.arrivals.loosen_where(|topic| !near.wants(topic));
        }
    }

    /// Notes that nobody here wants some topics any more: who comes to want them again has missed nothing.
    fn loosen(&mut self, filter: &Filter) {
        let near = &mut self.near;
        match filter {
            Filter::Exact(topic) if near.wants(topic.as_bytes()) => {}
            Filter::Exact(topic) => self.arrivals.loosen(topic.as_bytes()),
            _ => self.arrivals.loosen_where(|topic| filter.matches(topic) && !near.wants(topic)),
        }
    }

    /// Begins a connection to a server that takes payloads of so many bytes. It begins without a subscription; a true round
    /// trip has been made on it.
    pub fn on_connected(&mut self, payload_bytes_max: usize, now: MonotonicNs) {
        self.now = now;
        self.connected_at = Some(now);
        self.next_beat = now + ENGINE_BEAT;
        self.round_trip = None;
        self.peers.on_connected(now);
        self.departures.on_connected(payload_bytes_max, now);
        self.loading.iter_mut().for_each(|loading| loading.on_connected());
        self.upkeep.on_connected();
        self.conversation.reset(true);
        let start = self.config.start;
        for subject in [self.subjects.words_to(start), self.subjects.words_to_all()] {
            let number = self.interest.next_number();
            self.conversation.order([EngineOrder::Subscribe { number, subject }]);
        }
        self.conversation.order(self.interest.restate_orders(&self.subjects));
        let name = self.config.name.clone();
        self.conversation.say_to_all(&EngineWord::Hello { name, have: None, is_reply: false });
        drop(self.near.restate());
        self.interest.count(self.near.changes());
        for word in self.interest.restated_to_all() {
            self.conversation.say_to_all(&word);
        }
        self.settle();
        self.go_on();
    }

    /// Notes that the connection is lost, or could not be made.
    pub fn on_lost(&mut self) {
        self.on_unreachable();
        self.connected_at = None;
        self.state = EngineState::Away;
        self.round_trip = None;
        self.conversation.reset(false);
        self.near.forget_fences();
        self.fenced.clear();
        self.exchange.meet(&[], &mut self.near);
        self.go_on();
    }

    /// Takes the next order, if there is something to do now.
    pub fn next_order(&mut self) -> Option<EngineOrder> {
        if self.state == EngineState::Away {
            return None;
        }
        if self.conversation.is_empty()
            && let Some(word) = self.interest.next_word()
        {
            self.conversation.say_to_all(&word);
        }
        if self.conversation.is_empty() {
            let seen = |start| self.peers.get(start).map_or(0, |peer| peer.seen);
            if let Some((start, word)) = self.exchange.next_word(self.near.changes(), seen) {
                self.conversation.say_to(start, &word);
            }
        }
        if let Some(order) = self.conversation.next() {
            return Some(order);
        }
        if let Some(order) = self.next_store_order() {
            return Some(order);
        }
        if self.state == EngineState::Connected
            && let Some((subject, payload)) = self.departures.next()
        {
            return Some(EngineOrder::Publish { subject, payload });
        }
        // The end of the broker waits for it.
        if self.near.has_ended() { self.begin_round_trip() } else { None }
    }

    fn begin_round_trip(&mut self) -> Option<EngineOrder> {
        if self.round_trip.is_some() || self.departures.unconfirmed() == (0, 0) {
            return None;
        }
        self.round_trips += 1;
        self.round_trip = Some(self.round_trips);
        self.departures.begin_round_trip();
        Some(EngineOrder::RoundTrip { number: self.round_trips })
    }

    /// Notes the answer to [`EngineOrder::RoundTrip`].
    pub fn on_round_trip(&mut self, number: u64) {
        if self.round_trip == Some(number) {
            self.round_trip = None;
            self.departures.on_round_trip();
        }
        self.go_on();
    }

    /// Takes a payload from any subscription. One that no broker has made is counted and dropped.
    pub fn on_message(&mut self, payload: Bytes) {
        if self.take(payload).is_none() {
            self.junk += 1;
        }
        self.go_on();
    }

    fn take(&mut self, mut payload: Bytes) -> Option<()> {
        let head = PayloadHead::take(&mut payload)?;
        if head.start == self.config.start {
            return Some(());
        }
        match head.kind {
            HeadKind::Words => {
                let word = EngineWord::read(&payload)?;
                self.hear(head.start)?;
                self.on_word(head.start, word)
            }
            HeadKind::Crossing => {
                let (topic, batches) = crossing::read(payload, head.count, self.config.frame_bytes_max)?;
                self.hear(head.start)?;
                let what = Landed::Messages(batches);
                let PayloadHead { start, place, is_doubted, .. } = head;
                let count = u64::from(head.count);
                self.land(Landing { start, topic, place, count, is_doubted, what });
                Some(())
            }
        }
    }

    fn hear(&mut self, start: u64) -> Option<()> {
        match self.peers.hear(start, self.now) {
            PeerNews::Known | PeerNews::New => Some(()),
            PeerNews::Again => {
                self.arrivals.has_forgotten(start);
                Some(())
            }
            PeerNews::NoRoom => None,
        }
    }

    fn land(&mut self, landing: Landing) {
        let (start, topic) = (landing.start, &landing.topic);
        let is_wanted = self.arrivals.is_firm(start, topic)
            || self.departures.allows(topic) && (self.interest.is_of_everything() || self.near.wants(topic));
        if !is_wanted {
            return;
        }
        let seen = self.peers.get(start).map_or(0, |peer| peer.seen);
        let (interest, known) = (&self.interest, (seen, self.near.confirmed()));
        match self.loading.as_mut().filter(|loading| loading.holds(topic)) {
            None => self.arrivals.take(landing, |topic| interest.footing(topic, known)),
            Some(loading) => {
                let footing = interest.footing(topic, known);
                if let Some(landing) = loading.hold(landing, footing, self.now) {
                    self.arrivals.overrun(&landing);
                }
            }
        }
    }

    fn on_word(&mut self, start: u64, word: EngineWord) -> Option<()> {
        match word {
            EngineWord::Hello { name, have, is_reply } => self.on_hello(start, name, (have, is_reply)),
            EngineWord::Interest { from, to, changes } => {
                let learned = self.peers.on_changes(start, (from, to), changes);
                self.learn(start, (from, to), learned);
            }
            EngineWord::Restated { to, part, is_last, filters } => {
                let learned = self.peers.on_restated(start, (to, part, is_last), filters);
                self.learn(start, (0, to), learned);
            }
            EngineWord::Seen { from, to, parts } => {
                if to > self.near.changes() {
                    return None;
                }
                let peer = self.peers.get_mut(start)?;
                // One whose answer was lost is not made good by the next: from where on its topics are whole is not known.
                if peer.has_answer(to, parts) && from <= peer.seen {
                    peer.seen = peer.seen.max(to);
                }
            }
            EngineWord::Positions { answer, told } => {
                if answer > 0 {
                    self.peers.get_mut(start)?.count_part(answer);
                }
                for ToldPosition { topic, next, is_last } in told {
                    let what = Landed::Word(is_last);
                    self.land(Landing { start, topic, place: next, count: 0, is_doubted: false, what });
                }
            }
            EngineWord::List { kind, part } => {
                // Its name comes first; what is not heard is told again.
                let Some(name) = &self.peers.get(start)?.name else { return Some(()) };
                let is_near = *name == self.config.name;
                self.exchange.on_list((start, is_near), (kind, part), &mut self.near)?;
            }
            EngineWord::Heard(heard) => self.exchange.on_heard(start, heard),
            EngineWord::Counts { round, number, heard, counts } => {
                self.exchange.on_counts(start, (round, number, heard), counts, &mut self.near);
            }
            EngineWord::Beat { to } => {
                let peer = self.peers.get(start)?;
                if peer.name.is_none() {
                    self.greet(start, false);
                } else if peer.have != to {
                    self.conversation.say_to(start, &EngineWord::Ask);
                }
            }
            EngineWord::Ask => self.restate_to(start),
            EngineWord::Bye => {
                self.peers.get_mut(start)?.leave();
                self.meet();
            }
        }
        Some(())
    }

    fn greet(&mut self, start: u64, is_reply: bool) {
        let name = self.config.name.clone();
        let have = Some(self.peers.get(start).map_or(0, |peer| peer.have));
        self.conversation.say_to(start, &EngineWord::Hello { name, have, is_reply });
    }

    fn restate_to(&mut self, start: u64) {
        for word in self.interest.restated() {
            self.conversation.say_to(start, &word);
        }
    }

    fn on_hello(&mut self, start: u64, mut name: Box<str>, (have, is_reply): (Option<u64>, bool)) {
        if name.len() > TEXT_BYTES_MAX {
            name = "".into();
        }
        let Some(peer) = self.peers.get_mut(start) else { return };
        peer.name = Some(name);
        peer.is_awaited = false;
        if have == Some(0) && peer.seen > 0 {
            // It was away for so long that it did not count for this broker any more.
            peer.seen = 0;
            self.arrivals.doubt(start);
        }
        if !is_reply {
            self.greet(start, true);
            self.restate_to(start);
        }
        self.meet();
        self.settle();
    }

    fn learn(&mut self, start: u64, of: (u64, u64), learned: Learned) {
        match learned {
            Learned::Nothing => {}
            Learned::Lost => self.conversation.say_to(start, &EngineWord::Ask),
            Learned::All(change) => {
                self.apply(&change);
                self.fences += 1;
                let fence = self.fences;
                self.near.far_fence(fence);
                self.fenced.push_back(Fenced { fence, start, of, begun: change.begun });
            }
        }
    }

    fn apply(&mut self, change: &Change) {
        for (filter, wanted) in &change.first_or_last {
            self.departures.want(filter, *wanted);
            if !self.departures.stores(filter) {
                self.near.far_wants(filter, *wanted);
            }
        }
    }

    /// Answers other brokers once all shards route by what they want: first where its topics stand, then that it is in force.
    fn answer(&mut self) {
        let Some(in_force) = self.near.next_fence() else { return };
        while self.fenced.front().is_some_and(|fenced| fenced.fence <= in_force) {
            let Fenced { start, of: (from, to), begun, .. } =
                self.fenced.pop_front().expect("it was just seen");
            let told = self.departures.of(&begun);
            let parts = self.conversation.say_positions(told, Some((start, to)));
            self.conversation.say_to(start, &EngineWord::Seen { from, to, parts });
        }
    }

    /// Begins a look at all channels of the connection, if something that is missing may wait in one: take what waits in each
    /// at this moment, and then call [`Engine::on_looked`]. Again, for as long as this is true.
    pub fn wants_look(&mut self) -> bool {
        self.arrivals.begin_look()
    }

    /// Notes that a look at all channels has ended.
    pub fn on_looked(&mut self) {
        let (interest, peers, confirmed) = (&self.interest, &self.peers, self.near.confirmed());
        self.arrivals.on_looked(|start, topic| {
            let seen = peers.get(start).map_or(0, |peer| peer.seen);
            interest.footing(topic, (seen, confirmed))
        });
        self.go_on();
    }

    /// Time goes on: to be called each [`ENGINE_TICK`].
    pub fn on_tick(&mut self, now: MonotonicNs) {
        self.now = now;
        let ticks = (ENGINE_TICK.as_millis() / TICK.as_millis()) as usize;
        self.near.forget_unused_routes(ticks);
        self.departures.forget_unused_routes(ticks);
        self.look_after_stores();
        if self.state != EngineState::Away {
            self.settle();
            let (is_news, gone) = self.peers.on_tick(now);
            for start in gone {
                let change = self.peers.remove(start);
                self.apply(&change);
                self.arrivals.drop_origin(start);
                self.exchange.drop_broker(start, &mut self.near);
            }
            if is_news {
                self.meet();
            }
            if self.next_beat <= now {
                self.next_beat = now + ENGINE_BEAT;
                self.beat();
            }
            let quiet = self.departures.quiet(now);
            self.conversation.say_positions(quiet, None);
        }
        self.go_on();
    }

    fn beat(&mut self) {
        self.conversation.say_to_all(&EngineWord::Beat { to: self.interest.told() });
        let round_trip = self.begin_round_trip();
        self.conversation.order(round_trip);
        self.meet();
        let is_here = |start| self.peers.get(start).is_some_and(|peer| peer.is_here);
        self.exchange.beat(self.now, is_here, &mut self.near);
        // An answer that has not come for so long may be lost, or what it answers.
        for start in self.peers.late_with(self.interest.told()) {
            self.restate_to(start);
        }
    }

    /// Does what any event may have made possible.
    fn go_on(&mut self) {
        self.load();
        self.confirm();
        self.answer();
        self.tell_settled();
        self.arrivals.go_on(&mut self.near);
        if self.near.has_ended() {
            self.near.tell_owed(self.owed());
        }
    }

    fn owed(&self) -> Owed {
        if self.state == EngineState::Away && !self.has_met {
            // Nobody is known to want the rest.
            let (messages, bytes) = self.departures.to_be_stored();
            return Owed { messages, bytes: bytes as u64 };
        }
        let (messages, bytes) = self.departures.unconfirmed();
        Owed {
            messages: self.departures.waiting_messages() + messages,
            bytes: self.departures.held_bytes() as u64 + bytes,
        }
    }

    /// Says goodbye: the broker stops. All orders that follow are to be carried out, then the connection is closed.
    pub fn on_stop(&mut self) {
        let all = self.departures.all();
        self.conversation.say_positions(all, None);
        self.conversation.say_to_all(&EngineWord::Bye);
    }

    /// True if all shards have sent their last batch.
    pub fn has_ended(&self) -> bool {
        self.near.has_ended()
    }

    /// True if nothing is left that the engine has not confirmed by a true round trip.
    pub fn is_done(&self) -> bool {
        self.owed().bytes == 0
    }

    /// Takes the shards whose links have something to take.
    pub fn take_links(&mut self) -> Vec<ShardId> {
        self.near.take_links()
    }

    /// Takes the next item for a shard's link.
    pub fn link_next(&mut self, to: ShardId) -> Option<LinkItem> {
        self.near.link_next(to)
    }

    /// Notes that items have gone to a shard, so that waiting batches may go on.
    pub fn on_link_room(&mut self) {
        self.go_on();
    }

    /// The link had no room for the item that [`Engine::link_next`] gave: it stays first.
    pub fn link_put_back(&mut self, to: ShardId, item: LinkItem) {
        self.near.link_put_back(to, item);
    }

    /// True if nothing waits for any shard.
    pub fn is_idle(&self) -> bool {
        self.near.is_idle()
    }

    /// The state of the connection.
    pub fn state(&self) -> EngineState {
        self.state
    }
}
