//! Positions up to which the messages of other brokers have come, by broker and topic: what comes is next, behind, or leaves a
//! hole. Owned by the way in.
//!
//! The table has a bound over all brokers: topics that were not heard lately are forgotten, by halves. If such a topic goes
//! on, it is not known whether something is missing, and that is told.

use ahash::{AHashMap, AHashSet};
use bytes::Bytes;

use super::head::TopicPlace;
use crate::limits::ENGINE_HEARD_MAX;
use crate::slack::give_back;

/// The standing of something that has come.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Standing {
    /// Nothing is missing before it.
    Next,
    /// It came before, or was told to be missing.
    Behind,
    /// A hole of so many messages before it, and perhaps more.
    Hole(Missing),
    /// The first of its topic, on a subscription that its broker has not answered: take it, unless the answer waits elsewhere.
    First,
    /// It is wanted by subscriptions alone which are on their way: whoever has them is not to hear some of what comes, unless the
    /// answer waits elsewhere.
    Early,
}

/// The standing of the subscriptions that want a topic, with one other broker.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Footing {
    /// The broker has answered one of them: it sends all that they want, and has said from where on.
    Answered,
    /// One of them is confirmed to those who have it; the broker was not there, and has not answered yet.
    Confirmed,
    /// All of them are on their way.
    Open,
}

/// The state of a topic's position.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Firmness {
    /// It is of the past: what follows was not wanted here, or not yet.
    Stale,
    /// Messages were taken since it is wanted: what is missing behind them is told.
    Begun,
    /// Its broker has answered: whatever is missing is told.
    Firm,
}

/// The size of a hole.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub(super) struct Missing {
    pub(super) messages: u64,
    /// It is not known whether there are more.
    pub(super) perhaps_more: bool,
}

/// A topic of one broker.
#[derive(Clone, Copy, Debug)]
struct HeardTopic {
    next: TopicPlace,
    /// The broker has said that its count ended there.
    has_ended: bool,
    /// Something without messages was taken at this position.
    noticed: bool,
    firmness: Firmness,
}

/// One broker.
#[derive(Default)]
struct HeardOrigin {
    young: AHashMap<Bytes, HeardTopic>,
    old: AHashMap<Bytes, HeardTopic>,
    /// True if topics of it were forgotten of which nothing was to be missed.
    has_forgotten: bool,
}

/// All brokers.
pub(super) struct HeardPositions {
    origins: AHashMap<u64, HeardOrigin>,
    /// Topics in the young halves of all tables.
    young: usize,
    topics_max: usize,
}

impl Default for HeardPositions {
    fn default() -> Self {
        HeardPositions { origins: AHashMap::new(), young: 0, topics_max: ENGINE_HEARD_MAX }
    }
}

impl HeardTopic {
    /// Goes on from what was known: a topic that is firm stays so.
    fn keep(&mut self, known: HeardTopic) {
        if known.firmness == Firmness::Firm {
            self.firmness = Firmness::Firm;
        }
    }
}

impl HeardOrigin {
    fn get(&self, topic: &[u8]) -> Option<&HeardTopic> {
        self.young.get(topic).or_else(|| self.old.get(topic))
    }
}

impl HeardPositions {
    /// Judges `count` messages, or with 0 the word of a position, of the broker with this start, with which the subscriptions to
    /// this topic have this footing.
    pub(super) fn judge(
        &self,
        (start, topic): (u64, &[u8]),
        (place, count): (TopicPlace, u64),
        footing: impl Fn() -> Footing,
    ) -> Standing {
        let origin = self.origins.get(&start);
        let Some(heard) = origin.and_then(|origin| origin.get(topic)) else {
            let perhaps_more = origin.is_some_and(|origin| origin.has_forgotten);
            let since_base = place.position - place.base;
            return match footing() {
                Footing::Open if count > 0 => Standing::Early,
                _ if since_base == 0 => Standing::Next,
                Footing::Open | Footing::Confirmed => Standing::First,
                Footing::Answered if perhaps_more => Standing::Hole(Missing { messages: 0, perhaps_more }),
                Footing::Answered => Standing::Hole(Missing { messages: since_base, perhaps_more }),
            };
        };
        let next = heard.next;
        let is_behind = place.base < next.base
            || place.base == next.base
                && (place.position < next.position
                    || place.position == next.position && count == 0 && heard.noticed);
        if is_behind {
            return Standing::Behind;
        }
        // Most of the time it is: nothing is looked up then.
        let is_whole = heard.firmness == Firmness::Firm
            || match (heard.firmness, footing()) {
                (_, Footing::Answered) | (Firmness::Begun, Footing::Confirmed) => true,
                (_, Footing::Confirmed) => false,
                (_, Footing::Open) if count > 0 => return Standing::Early,
                (_, Footing::Open) => false,
            };
        if place.base > next.base {
            let missing = Missing { messages: place.position - place.base, perhaps_more: !heard.has_ended };
            return match missing {
                Missing { messages: 0, perhaps_more: false } => Standing::Next,
                _ if !is_whole => Standing::First,
                missing => Standing::Hole(missing),
            };
        }
        match place.position - next.position {
            0 => Standing::Next,
            _ if !is_whole => Standing::First,
            messages => Standing::Hole(Missing { messages, perhaps_more: false }),
        }
    }

    /// Takes `count` messages, or with 0 the word of a position: what is before it has come or is told.
    pub(super) fn take(
        &mut self,
        (start, topic): (u64, &Bytes),
        (place, count): (TopicPlace, u64),
        (has_ended, footing): (bool, Footing),
    ) {
        let origin = self.origins.entry(start).or_default();
        let next = TopicPlace { position: place.position + count, ..place };
        let firmness = match footing {
            Footing::Answered => Firmness::Firm,
            Footing::Confirmed => Firmness::Begun,
            Footing::Open => Firmness::Stale,
        };
        let mut heard = HeardTopic { next, has_ended, noticed: count == 0, firmness };
        if let Some(known) = origin.young.get_mut(topic) {
            heard.keep(*known);
            *known = heard;
            return;
        }
        // A key of its own: the topic may be a slice of a large payload.
        let key = match origin.old.remove_entry(topic) {
            Some((key, known)) => {
                heard.keep(known);
                key
            }
            None => Bytes::copy_from_slice(topic),
        };
        origin.young.insert(key, heard);
        self.young += 1;
        if self.young > self.topics_max / 2 {
            self.grow_old();
        }
    }

    /// A topic of which nothing is known begins at this place: what was before it is not missed.
    pub(super) fn begin_at(&mut self, (start, topic): (u64, &Bytes), place: TopicPlace) {
        if self.next_of(start, topic).is_none() {
            self.take((start, topic), (place, 0), (false, Footing::Confirmed));
        }
    }

    /// Takes over what another table knows, as far as it is not known here: what is missing behind that is told.
    pub(super) fn adopt(&mut self, other: HeardPositions) {
        for (start, HeardOrigin { young, old, has_forgotten }) in other.origins {
            self.origins.entry(start).or_default().has_forgotten |= has_forgotten;
            for (topic, heard) in old.into_iter().chain(young) {
                if self.next_of(start, &topic).is_none() {
                    let HeardTopic { next, has_ended, .. } = heard;
                    self.take((start, &topic), (next, 0), (has_ended, Footing::Confirmed));
                }
            }
        }
    }

    /// Forgets all brokers but these.
    pub(super) fn retain_origins(&mut self, is_here: impl Fn(u64) -> bool) {
        self.origins.retain(|start, _| is_here(*start));
        self.young = self.origins.values().map(|origin| origin.young.len()).sum();
        give_back(&mut self.origins);
    }

    fn grow_old(&mut self) {
        self.young = 0;
        for origin in self.origins.values_mut() {
            let forgotten = std::mem::replace(&mut origin.old, std::mem::take(&mut origin.young));
            origin.has_forgotten |= forgotten.values().any(|heard| heard.firmness != Firmness::Stale);
        }
    }

    /// Notes that topics for which this is true are not wanted any more. Their places are kept, so that nothing that is
    /// still under way is taken twice if they are wanted again.
    pub(super) fn loosen_where(&mut self, mut is_gone: impl FnMut(&[u8]) -> bool) {
        for origin in self.origins.values_mut() {
            for (topic, heard) in origin.young.iter_mut().chain(&mut origin.old) {
                if is_gone(topic) {
                    heard.firmness = Firmness::Stale;
                }
            }
        }
    }

    /// The same for one topic.
    pub(super) fn loosen(&mut self, topic: &[u8]) {
        for HeardOrigin { young, old, .. } in self.origins.values_mut() {
            for heard in young.get_mut(topic).into_iter().chain(old.get_mut(topic)) {
                heard.firmness = Firmness::Stale;
            }
        }
    }

    /// Forgets a broker. Returns its topics.
    pub(super) fn drop_origin(&mut self, start: u64) -> Vec<Bytes> {
        let Some(origin) = self.origins.remove(&start) else { return Vec::new() };
        self.young -= origin.young.len();
        give_back(&mut self.origins);
        let topics: AHashSet<Bytes> = origin.young.into_keys().chain(origin.old.into_keys()).collect();
        topics.into_iter().collect()
    }

    /// Notes that topics of this broker were heard, and which is not known any more.
    pub(super) fn has_forgotten(&mut self, start: u64) {
        self.origins.entry(start).or_default().has_forgotten = true;
    }

    /// The place at which a topic of a broker goes on.
    pub(super) fn next_of(&self, start: u64, topic: &[u8]) -> Option<TopicPlace> {
        self.origins.get(&start)?.get(topic).map(|heard| heard.next)
    }

    /// True if a topic of this broker is heard, and nothing of it is to be missed.
    pub(super) fn is_firm(&self, start: u64, topic: &[u8]) -> bool {
        let origin = self.origins.get(&start);
        origin.and_then(|origin| origin.get(topic)).is_some_and(|heard| heard.firmness == Firmness::Firm)
    }

    /// The number of topics of a broker.
    pub(super) fn topics_of(&self, start: u64) -> usize {
        self.origins.get(&start).map_or(0, |origin| origin.young.len() + origin.old.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const A: u64 = 7;

    fn place(base: u64, position: u64) -> TopicPlace {
        TopicPlace { base, position }
    }

    fn topic() -> Bytes {
        Bytes::from_static(b"a")
    }

    fn standing(heard: &HeardPositions, place: TopicPlace, count: u64) -> Standing {
        heard.judge((A, b"a"), (place, count), || Footing::Answered)
    }

    fn hole(messages: u64, perhaps_more: bool) -> Standing {
        Standing::Hole(Missing { messages, perhaps_more })
    }

    #[test]
    fn what_comes_is_next_or_behind_or_leaves_a_hole() {
        let mut heard = HeardPositions::default();
        assert_eq!(standing(&heard, place(4, 4), 2), Standing::Next, "its count begins there");
        heard.take((A, &topic()), (place(4, 4), 2), (false, Footing::Answered));
        assert_eq!(standing(&heard, place(4, 6), 1), Standing::Next);
        assert_eq!(standing(&heard, place(4, 4), 2), Standing::Behind);
        assert_eq!(standing(&heard, place(4, 5), 9), Standing::Behind, "no broker says it so");
        assert_eq!(standing(&heard, place(4, 9), 1), hole(3, false));
        assert_eq!(standing(&heard, place(4, 9), 0), hole(3, false), "a word tells the same");
        assert_eq!(standing(&heard, place(4, 6), 0), Standing::Next);
        heard.take((A, &topic()), (place(4, 6), 0), (false, Footing::Answered));
        assert_eq!(standing(&heard, place(4, 6), 0), Standing::Behind, "once is enough");
        assert_eq!(standing(&heard, place(4, 6), 1), Standing::Next);
    }

    #[test]
    fn a_topic_that_is_new_here_is_whole_from_the_answer_on() {
        let mut heard = HeardPositions::default();
        let judge = |heard: &HeardPositions, place, footing| heard.judge((A, b"a"), (place, 1), || footing);
        assert_eq!(judge(&heard, place(4, 4), Footing::Open), Standing::Early);
        assert_eq!(judge(&heard, place(4, 9), Footing::Open), Standing::Early);
        assert_eq!(judge(&heard, place(4, 9), Footing::Confirmed), Standing::First);
        assert_eq!(judge(&heard, place(4, 9), Footing::Answered), hole(5, false));
        heard.has_forgotten(A);
        assert_eq!(
            judge(&heard, place(4, 9), Footing::Answered),
            hole(0, true),
            "it may be one that was forgotten"
        );
    }

    #[test]
    fn a_new_count_is_whole_if_the_end_of_the_old_one_is_known() {
        let mut heard = HeardPositions::default();
        heard.take((A, &topic()), (place(4, 4), 2), (false, Footing::Answered));
        assert_eq!(standing(&heard, place(90, 90), 1), hole(0, true));
        assert_eq!(standing(&heard, place(90, 92), 1), hole(2, true));
        heard.take((A, &topic()), (place(4, 6), 0), (true, Footing::Answered));
        assert_eq!(standing(&heard, place(90, 90), 1), Standing::Next);
        assert_eq!(standing(&heard, place(90, 92), 1), hole(2, false));
        heard.take((A, &topic()), (place(90, 90), 1), (false, Footing::Answered));
        assert_eq!(standing(&heard, place(4, 6), 1), Standing::Behind, "of the old count");
    }

    #[test]
    fn topics_beyond_the_bound_are_forgotten_and_that_is_known() {
        let mut heard = HeardPositions { topics_max: 8, ..HeardPositions::default() };
        for n in 0..20_u64 {
            heard.take((n % 2, &Bytes::from(format!("t.{n}"))), (place(1, 1), 1), (false, Footing::Answered));
            assert!(heard.topics_of(0) + heard.topics_of(1) <= 8 + 1);
        }
        assert_eq!(heard.judge((0, b"t.0"), (place(1, 5), 1), || Footing::Answered), hole(0, true));
        assert_eq!(heard.judge((1, b"t.19"), (place(1, 5), 1), || Footing::Answered), hole(3, false));
        let left = heard.topics_of(0);
        assert_eq!(heard.drop_origin(0).len(), left);
        assert_eq!((heard.topics_of(0), heard.young), (0, heard.origins[&1].young.len()));
    }

    #[test]
    fn what_another_table_knows_is_taken_over_and_of_brokers_that_are_not_here_forgotten() {
        let (mut heard, mut other) = (HeardPositions::default(), HeardPositions::default());
        heard.take((A, &topic()), (place(4, 9), 1), (false, Footing::Answered));
        for (start, position) in [(A, 5), (A + 1, 7)] {
            other.take((start, &topic()), (place(4, position), 1), (false, Footing::Answered));
        }
        heard.adopt(other);
        assert_eq!(standing(&heard, place(4, 9), 1), Standing::Behind, "it is known better here");
        let judge = |heard: &HeardPositions, position| {
            heard.judge((A + 1, b"a"), (place(4, position), 1), || Footing::Confirmed)
        };
        assert_eq!([judge(&heard, 7), judge(&heard, 8)], [Standing::Behind, Standing::Next]);
        assert_eq!(judge(&heard, 11), hole(3, false));
        heard.retain_origins(|start| start == A);
        assert_eq!((heard.topics_of(A), heard.topics_of(A + 1), heard.young), (1, 0, 1));
    }

    #[test]
    fn what_was_not_wanted_meanwhile_is_not_missing_and_nothing_comes_twice() {
        for all in [false, true] {
            let mut heard = HeardPositions::default();
            heard.take((A, &topic()), (place(4, 4), 2), (false, Footing::Answered));
            assert!(heard.is_firm(A, b"a"));
            if all {
                heard.loosen_where(|topic| topic == b"a")
            } else {
                heard.loosen(b"a")
            }
            assert!(!heard.is_firm(A, b"a"));
            let judge = |heard: &HeardPositions, position, footing| {
                heard.judge((A, b"a"), (place(4, position), 1), || footing)
            };
            assert_eq!(judge(&heard, 5, Footing::Open), Standing::Behind, "it is still under way");
            assert_eq!(judge(&heard, 6, Footing::Open), Standing::Early, "and so are those that follow");
            assert_eq!(judge(&heard, 9, Footing::Open), Standing::Early);
            assert_eq!(judge(&heard, 9, Footing::Confirmed), Standing::First);
            heard.take((A, &topic()), (place(4, 9), 0), (false, Footing::Open));
            assert_eq!(judge(&heard, 11, Footing::Answered), hole(2, false), "from the answer on");
            heard.take((A, &topic()), (place(4, 9), 1), (false, Footing::Confirmed));
            assert_eq!(judge(&heard, 11, Footing::Confirmed), hole(1, false), "or from the first on");
        }
    }
}
