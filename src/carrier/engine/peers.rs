//! The other brokers of the cluster: which are there, what they want, and how far they know what is wanted here. Owned by the
//! engine's state.
//!
//! What a broker wants is a list whose changes are numbered. A change that was lost is seen by its number, or by that of the next
//! sign of life; then the broker is asked for all of it. A broker that is silent keeps its interest for a while, so that what it misses
//! is counted; but nobody waits for it.

use std::collections::VecDeque;

use ahash::{AHashMap, AHashSet};
use corecast_executors::MonotonicNs;

use crate::carrier::counted::Counted;
use crate::limits::{
    ENGINE_BEAT, ENGINE_FILTERS_MAX, ENGINE_FORGOTTEN_MAX, ENGINE_PEER_KEPT, ENGINE_PEERS_MAX,
    ENGINE_SILENCE_MAX,
};
use crate::slack::give_back;
use crate::topic::Filter;

/// Another broker, by its start.
pub(super) struct OtherBroker {
    /// Its name, once it has said hello.
    pub(super) name: Option<Box<str>>,
    /// False once it was silent for too long.
    pub(super) is_here: bool,
    last_heard: MonotonicNs,
    /// The filters that it wants.
    wants: AHashSet<Filter>,
    /// Changes of these that are known, by its count.
    pub(super) have: u64,
    /// A list of all of them, of which parts have come.
    restating: Option<Restating>,
    /// Changes of the interest here by which it routes, by the count here.
    pub(super) seen: u64,
    /// The answer whose parts come now, and how many have.
    parts: (u64, u32),
    /// True once it has said goodbye.
    has_left: bool,
    /// Beats since it was asked for an answer, and beats until it is asked again.
    patience: (u32, u32),
    /// True from the start of a connection until it says hello, if it was there before.
    pub(super) is_awaited: bool,
}

struct Restating {
    to: u64,
    parts: u32,
    filters: Vec<Filter>,
}

/// The outcome of a list or of changes.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum Learned {
    /// Known already, or a part of what is not whole yet.
    Nothing,
    /// Something before it was lost.
    Lost,
    /// All up to its number is known now.
    All(Change),
}

/// The change that follows.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub(super) struct Change {
    /// Filters that the broker has come to want: it is to be told the positions of their topics.
    pub(super) begun: Vec<Filter>,
    /// Filters that any broker has come to want, or the last has ceased to.
    pub(super) first_or_last: Vec<(Filter, bool)>,
}

/// All other brokers.
#[derive(Default)]
pub(super) struct Peers {
    by_start: AHashMap<u64, OtherBroker>,
    /// The number of brokers that want each filter.
    wanted: Counted<Filter>,
    /// Starts of brokers that were forgotten.
    forgotten: VecDeque<u64>,
}

/// A broker that is heard.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum PeerNews {
    /// As before.
    Known,
    /// For the first time.
    New,
    /// It was known, and is new since it was forgotten.
    Again,
    /// There is no room for another.
    NoRoom,
}

impl Peers {
    /// Notes a sign of life. Returns whether it is known, and the change that follows if another was forgotten for it.
    pub(super) fn hear(&mut self, start: u64, now: MonotonicNs) -> PeerNews {
        if let Some(peer) = self.by_start.get_mut(&start) {
            (peer.last_heard, peer.is_here) = (now, !peer.has_left);
            return PeerNews::Known;
        }
        if self.by_start.len() >= ENGINE_PEERS_MAX {
            return PeerNews::NoRoom;
        }
        let peer = OtherBroker {
            name: None,
            is_here: true,
            last_heard: now,
            wants: AHashSet::new(),
            have: 0,
            restating: None,
            seen: 0,
            parts: (0, 0),
            has_left: false,
            patience: (0, 1),
            is_awaited: false,
        };
        self.by_start.insert(start, peer);
        let known = self.forgotten.iter().position(|forgotten| *forgotten == start);
        match known.and_then(|at| self.forgotten.remove(at)) {
            Some(_) => PeerNews::Again,
            None => PeerNews::New,
        }
    }

    /// The broker of this start.
    pub(super) fn get_mut(&mut self, start: u64) -> Option<&mut OtherBroker> {
        self.by_start.get_mut(&start)
    }

    /// The broker of this start.
    pub(super) fn get(&self, start: u64) -> Option<&OtherBroker> {
        self.by_start.get(&start)
    }

    /// All of them.
    pub(super) fn iter(&self) -> impl Iterator<Item = (u64, &OtherBroker)> {
        self.by_start.iter().map(|(start, peer)| (*start, peer))
    }

    /// Changes of what a broker wants.
    pub(super) fn on_changes(
        &mut self,
        start: u64,
        (from, to): (u64, u64),
        changes: Vec<(Filter, bool)>,
    ) -> Learned {
        let Some(peer) = self.by_start.get_mut(&start) else { return Learned::Nothing };
        if from > peer.have || to < from {
            return Learned::Lost;
        }
        // A question without changes is answered each time.
        if from < peer.have {
            return Learned::Nothing;
        }
        peer.have = to;
        let mut change = Change::default();
        for (filter, wanted) in changes {
            let is_change = if wanted {
                peer.wants.len() < ENGINE_FILTERS_MAX && peer.wants.insert(filter.clone())
            } else {
                peer.wants.remove(&filter)
            };
            if is_change {
                note(&mut self.wanted, &mut change, filter, wanted);
            } else if wanted {
                // A list that came before had it already; the sender waits for the positions of this change all the same.
                change.begun.push(filter);
            }
        }
        Learned::All(change)
    }

    /// A part of the list of what a broker wants.
    pub(super) fn on_restated(
        &mut self,
        start: u64,
        (to, part, is_last): (u64, u32, bool),
        filters: Vec<Filter>,
    ) -> Learned {
        let Some(peer) = self.by_start.get_mut(&start) else { return Learned::Nothing };
        if to < peer.have {
            return Learned::Nothing;
        }
        let restating = match (part, peer.restating.take()) {
            (0, _) => Restating { to, parts: 1, filters },
            (part, Some(mut before)) if before.to == to && before.parts == part => {
                before.parts += 1;
                before.filters.extend(filters);
                before
            }
            _ => return Learned::Lost,
        };
        if restating.filters.len() > ENGINE_FILTERS_MAX {
            return Learned::Nothing;
        }
        if !is_last {
            peer.restating = Some(restating);
            return Learned::Nothing;
        }
        peer.have = to;
        let wants: AHashSet<Filter> = restating.filters.into_iter().collect();
        let before = std::mem::replace(&mut peer.wants, wants.clone());
        let mut change = Change::default();
        for filter in wants.difference(&before) {
            note(&mut self.wanted, &mut change, filter.clone(), true);
        }
        for filter in before.difference(&wants) {
            note(&mut self.wanted, &mut change, filter.clone(), false);
        }
        // It has come back, and is told where the topics stand of all that it wants.
        change.begun = wants.into_iter().collect();
        Learned::All(change)
    }

    /// Forgets a broker. Returns what follows for the interest of all.
    pub(super) fn remove(&mut self, start: u64) -> Change {
        let mut change = Change::default();
        let Some(peer) = self.by_start.remove(&start) else { return change };
        give_back(&mut self.by_start);
        for filter in peer.wants {
            note(&mut self.wanted, &mut change, filter, false);
        }
        self.forgotten.push_back(start);
        if self.forgotten.len() > ENGINE_FORGOTTEN_MAX {
            self.forgotten.pop_front();
        }
        change
    }

    /// Notes which brokers are silent for too long. Returns whether that is news, and those to be forgotten.
    pub(super) fn on_tick(&mut self, now: MonotonicNs) -> (bool, Vec<u64>) {
        let (mut is_news, mut gone) = (false, Vec::new());
        for (start, peer) in &mut self.by_start {
            if peer.is_here && peer.last_heard + ENGINE_SILENCE_MAX < now {
                (peer.is_here, peer.is_awaited, is_news) = (false, false, true);
            }
            let is_stranger = peer.name.is_none() && !peer.is_here;
            let has_left = peer.has_left && peer.last_heard + ENGINE_BEAT < now;
            if is_stranger || has_left || peer.last_heard + ENGINE_PEER_KEPT < now {
                gone.push(*start);
            }
        }
        (is_news, gone)
    }

    /// Nobody is silent of whom nothing could be heard: a new connection begins.
    pub(super) fn on_connected(&mut self, now: MonotonicNs) {
        for peer in self.by_start.values_mut() {
            peer.is_awaited = peer.is_here && peer.name.is_some();
            if peer.is_here {
                peer.last_heard = now;
            }
            peer.restating = None;
        }
    }

    /// True if some broker that was there before is not back on this connection.
    pub(super) fn awaits_any(&self) -> bool {
        self.by_start.values().any(|peer| peer.is_awaited)
    }

    /// Counts a broker that is not known, and may want everything. True: nobody else does.
    pub(super) fn expect_any(&mut self) -> bool {
        self.wanted.add(&Filter::everything(), Filter::clone)
    }

    /// Counts it no longer. True: nobody else wants everything.
    pub(super) fn expect_none(&mut self) -> bool {
        self.wanted.remove(&Filter::everything())
    }

    /// True if all that are there have said what they want.
    pub(super) fn are_known(&self) -> bool {
        self.by_start.values().filter(|peer| peer.is_here).all(|peer| peer.have > 0 && peer.name.is_some())
    }

    /// Changes of the interest here by which all brokers route that are there; `None`: there are none.
    pub(super) fn confirmed(&self) -> Option<u64> {
        let here = self.by_start.values().filter(|peer| peer.is_here && peer.name.is_some());
        here.map(|peer| peer.seen).min()
    }

    /// The brokers that should have answered this change, and are to be told of all again: each after longer pauses.
    pub(super) fn late_with(&mut self, change: u64) -> Vec<u64> {
        let mut late = Vec::new();
        for (start, peer) in &mut self.by_start {
            if !peer.is_here || peer.name.is_none() || peer.seen >= change {
                peer.patience = (0, 1);
                continue;
            }
            peer.patience.0 += 1;
            if peer.patience.0 > peer.patience.1 {
                peer.patience = (0, (2 * peer.patience.1).min(BEATS_MAX));
                late.push(*start);
            }
        }
        late
    }
}

/// The longest pause between two questions, in beats.
const BEATS_MAX: u32 = 8;

impl OtherBroker {
    /// Counts a part of an answer.
    pub(super) fn count_part(&mut self, answer: u64) {
        match &mut self.parts {
            (now, parts) if *now == answer => *parts = parts.saturating_add(1),
            other => *other = (answer, 1),
        }
    }

    /// True if all parts of an answer have come. A list that is told again has an answer of its own.
    pub(super) fn has_answer(&mut self, to: u64, parts: u32) -> bool {
        let (answer, have) = std::mem::take(&mut self.parts);
        parts == if answer == to { have } else { 0 }
    }

    /// Notes that it has said goodbye: nobody waits for it any more.
    pub(super) fn leave(&mut self) {
        (self.has_left, self.is_here, self.is_awaited) = (true, false, false);
    }

    /// The number of filters that it wants.
    pub(super) fn filters(&self) -> usize {
        self.wants.len()
    }

    /// Time since its last sign of life.
    pub(super) fn last_heard(&self) -> MonotonicNs {
        self.last_heard
    }
}

fn note(wanted: &mut Counted<Filter>, change: &mut Change, filter: Filter, begins: bool) {
    let is_first_or_last = if begins { wanted.add(&filter, Filter::clone) } else { wanted.remove(&filter) };
    if begins {
        change.begun.push(filter.clone());
    }
    if is_first_or_last {
        change.first_or_last.push((filter, begins));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: MonotonicNs = MonotonicNs(1);

    fn filter(text: &str) -> Filter {
        Filter::parse(text).unwrap()
    }

    fn peers() -> Peers {
        let mut peers = Peers::default();
        for start in [7, 8] {
            assert_eq!(peers.hear(start, NOW), PeerNews::New);
            peers.get_mut(start).unwrap().name = Some("name".into());
        }
        peers
    }

    fn first_or_last(learned: &Learned) -> Vec<(String, bool)> {
        let Learned::All(change) = learned else { panic!("{learned:?}") };
        let mut all: Vec<_> =
            change.first_or_last.iter().map(|(filter, wanted)| (filter.to_string(), *wanted)).collect();
        all.sort_unstable();
        all
    }

    #[test]
    fn changes_count_once_and_a_lost_one_is_seen() {
        let mut peers = peers();
        let learned = peers.on_changes(7, (0, 2), vec![(filter("a"), true), (filter("b"), true)]);
        assert_eq!(first_or_last(&learned), [("a".into(), true), ("b".into(), true)]);
        assert_eq!(peers.on_changes(7, (0, 2), vec![(filter("a"), true)]), Learned::Nothing);
        assert_eq!(peers.on_changes(7, (3, 4), vec![(filter("c"), true)]), Learned::Lost);
        assert_eq!(peers.on_changes(7, (2, 2), Vec::new()), Learned::All(Change::default()), "a question");
        let learned = peers.on_changes(8, (0, 1), vec![(filter("a"), true)]);
        assert_eq!(first_or_last(&learned), []);
        let Learned::All(again) = peers.on_changes(8, (1, 2), vec![(filter("a"), true)]) else {
            panic!("a change")
        };
        assert_eq!(
            (again.begun, again.first_or_last),
            (vec![filter("a")], Vec::new()),
            "it is to be answered"
        );
        assert_eq!(first_or_last(&peers.on_changes(7, (2, 3), vec![(filter("a"), false)])), []);
        assert_eq!(first_or_last(&Learned::All(peers.remove(8))), [("a".into(), false)]);
        assert_eq!(peers.hear(8, NOW), PeerNews::Again);
    }

    #[test]
    fn a_list_takes_the_place_of_what_was_known_once_it_is_whole() {
        let mut peers = peers();
        peers.on_changes(7, (0, 2), vec![(filter("a"), true), (filter("b"), true)]);
        assert_eq!(peers.on_restated(7, (5, 1, true), vec![filter("c")]), Learned::Lost);
        assert_eq!(peers.on_restated(7, (5, 0, false), vec![filter("b")]), Learned::Nothing);
        let learned = peers.on_restated(7, (5, 1, true), vec![filter("c")]);
        assert_eq!(first_or_last(&learned), [("a".into(), false), ("c".into(), true)]);
        let Learned::All(change) = learned else { unreachable!() };
        assert_eq!(change.begun.len(), 2, "all that it wants");
        assert_eq!(peers.on_restated(7, (4, 0, true), Vec::new()), Learned::Nothing, "late");
    }

    #[test]
    fn a_silent_broker_holds_nobody_up_and_is_forgotten_much_later() {
        let mut peers = peers();
        peers.get_mut(7).unwrap().seen = 5;
        assert_eq!(peers.confirmed(), Some(0));
        let late = NOW + 2 * ENGINE_SILENCE_MAX;
        peers.hear(7, late);
        assert_eq!(peers.on_tick(late), (true, Vec::new()));
        assert_eq!(peers.confirmed(), Some(5));
        assert_eq!(peers.on_tick(NOW + ENGINE_PEER_KEPT + ENGINE_SILENCE_MAX / 2), (true, vec![8]));
        assert_eq!(peers.confirmed(), None);
    }
}
