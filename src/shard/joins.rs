//! Subscriptions on their way into force. Each is asked of all neighbours, confirmed by the last of them, and joined: from
//! then on its session gets whatever anybody publishes, and is told so. Owned by a shard.

use super::base::Base;
use super::demand::Demand;
use crate::carrier::Unconfirmed;
use crate::ids::{RequestId, SessionId};
use crate::wire::Frame;

/// All that are asked for and not joined.
#[derive(Default)]
pub(super) struct Joins {
    /// Those that some neighbour has not confirmed, in order.
    asked: Unconfirmed<(SessionId, RequestId)>,
}

impl Joins {
    /// A session of this shard has subscribed, and the neighbours have been told. Without news for them it joins at once.
    pub(super) fn ask(&mut self, base: &mut Base, demand: &Demand, (id, request): (SessionId, RequestId)) {
        if let Some(session) = base.sessions.get_mut(id) {
            session.joining += 1;
        }
        self.asked.add(demand.changes(), (id, request));
        self.on_confirmed(base, demand);
    }

    /// Neighbours have confirmed something: those that none is left to confirm go on.
    pub(super) fn on_confirmed(&mut self, base: &mut Base, demand: &Demand) {
        while let Some(confirmed) = self.asked.pop(demand.changes()) {
            join(base, confirmed);
        }
    }
}

/// A subscription is in force.
fn join(base: &mut Base, (id, request): (SessionId, RequestId)) {
    if let Some(session) = base.sessions.get_mut(id) {
        session.joining -= 1;
    }
    base.answer(id, &Frame::Done { request: request.0 });
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::rig::{Rig, message, subscribe, unsubscribe};
    use crate::fanout::OverflowPolicy;
    use crate::ids::SessionId;

    #[test]
    fn a_subscription_is_answered_when_every_shard_routes_by_it() {
        let mut rig = Rig::with_shards(3);
        let subscriber = rig.open(0, OverflowPolicy::DropOldest);
        rig.say(0, subscriber, &[subscribe("a", 1)]);
        rig.travel_once(0, 1);
        rig.travel_once(1, 0);
        assert_eq!(rig.hears(0, subscriber), "");
        rig.travel_once(0, 2);
        rig.travel_once(2, 0);
        assert_eq!(rig.hears(0, subscriber), "!1");
        // A second session with the filter makes no news, and is answered at once.
        let second = rig.open(0, OverflowPolicy::DropOldest);
        rig.say(0, second, &[subscribe("a", 2)]);
        assert_eq!(rig.hears(0, second), "!2");
    }

    /// The streams: one is published on the shard of the sessions that join it, the other on another shard.
    const STREAMS: [(&str, usize); 2] = [("a.near", 0), ("a.far", 1)];

    /// A session that joins both, and what it has heard.
    struct Joiner {
        id: SessionId,
        heard: Vec<String>,
        /// The messages that had been published on each before its subscription was answered.
        answered: Option<[u64; 2]>,
    }

    impl Joiner {
        /// The messages of a stream that came before the answer to its subscription, and behind that.
        fn numbers(&self, topic: &str) -> [Vec<u64>; 2] {
            let answer = self.heard.iter().position(|heard| heard == "!1").expect("it is answered");
            let (before, behind) = self.heard.split_at(answer);
            [before, behind].map(|heard| {
                let numbers = heard.iter().filter_map(|heard| heard.strip_prefix(topic)?.strip_prefix('='));
                numbers.map(|number| number.parse().expect("a number")).collect()
            })
        }
    }

    /// Everything that can happen, in any order: messages on both streams, sessions that join them, one that comes and goes
    /// with the same filter, and one item that travels on one of the links.
    #[derive(Clone, Copy, Debug)]
    enum Step {
        Publish(usize),
        Join,
        ComeOrGo,
        Travel(usize, usize),
    }

    fn any_step() -> impl Strategy<Value = Step> {
        prop_oneof![
            4 => (0..STREAMS.len()).prop_map(Step::Publish),
            1 => Just(Step::Join),
            1 => Just(Step::ComeOrGo),
            8 => (0..3_usize, 1..3_usize).prop_map(|(from, by)| Step::Travel(from, (from + by) % 3)),
        ]
    }

    proptest! {
        #[test]
        fn from_the_answer_on_a_stream_has_no_hole_and_nothing_comes_twice(
            steps in prop::collection::vec(any_step(), 0..150),
        ) {
            let mut rig = Rig::with_shards(3);
            let publishers = STREAMS.map(|(_, shard)| rig.open(shard, OverflowPolicy::DropOldest));
            let (fickle, mut is_there) = (rig.open(0, OverflowPolicy::DropOldest), false);
            let (mut published, mut joiners) = ([0, 0], Vec::<Joiner>::new());
            let mut take = |rig: &mut Rig, step: Option<Step>| {
                match step {
                    Some(Step::Publish(stream)) => {
                        let (topic, shard) = STREAMS[stream];
                        published[stream] += 1;
                        rig.say(shard, publishers[stream], &[message(topic, published[stream])]);
                    }
                    Some(Step::Join) => {
                        let id = rig.open(0, OverflowPolicy::DropOldest);
                        rig.say(0, id, &[subscribe("a.*", 1)]);
                        joiners.push(Joiner { id, heard: Vec::new(), answered: None });
                    }
                    Some(Step::ComeOrGo) => {
                        is_there = !is_there;
                        let ask = if is_there { subscribe(">", 2) } else { unsubscribe(">", 2) };
                        rig.say(0, fickle, &[ask]);
                    }
                    Some(Step::Travel(from, to)) => {
                        rig.travel_once(from, to);
                    }
                    None => rig.travel(),
                }
                for joiner in &mut joiners {
                    let heard = rig.hears(0, joiner.id);
                    joiner.heard.extend(heard.split_whitespace().map(str::to_owned));
                    if joiner.heard.iter().any(|heard| heard == "!1") {
                        joiner.answered.get_or_insert(published);
                    }
                }
            };
            steps.into_iter().for_each(|step| take(&mut rig, Some(step)));
            // One message more shows that nothing is missing at the end.
            for step in [None, Some(Step::Publish(0)), Some(Step::Publish(1)), None] {
                take(&mut rig, step);
            }
            for joiner in &joiners {
                let answered = joiner.answered.expect("all neighbours have confirmed it");
                for (stream, (topic, _)) in STREAMS.iter().enumerate() {
                    let [before, behind] = joiner.numbers(topic);
                    let first = published[stream] + 1 - behind.len() as u64;
                    prop_assert!(behind.into_iter().eq(first..=published[stream]), "{topic}: {:?}", joiner.heard);
                    prop_assert!(first <= answered[stream] + 1, "{topic}: {:?}, {answered:?}", joiner.heard);
                    // Others that left may have left holes before.
                    prop_assert!(before.is_sorted_by(|one, next| one < next), "{topic}: {:?}", joiner.heard);
                    prop_assert!(before.last().is_none_or(|last| *last < first), "{topic}: {:?}", joiner.heard);
                }
            }
        }
    }
}
