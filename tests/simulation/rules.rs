//! Owns the rules of what clients may do, as they change: those that were in force, when, and how far shards follow the last
//! of them. Publishers are on this host and may publish only some topics; subscribers are on others and may subscribe only
//! to some filters; strangers may do everything.

use corecast::internals::auth::Identity;
use corecast::{Filter, Permissions, Rights};

use crate::asking::filter;
use crate::plan::{FILTERS, TOPICS};

/// One set of rules.
#[derive(Clone, Debug)]
pub(crate) struct Rules {
    /// Topics that may be published.
    publish: Vec<usize>,
    /// Filters that may be subscribed to, and all that these cover.
    subscribe: Vec<Filter>,
    pub(crate) permissions: Permissions,
    /// The step in which they were made.
    since: u64,
    /// The step in which the last shard said that it follows them.
    followed: Option<u64>,
}

impl Rules {
    fn draw(rng: &mut fastrand::Rng, since: u64) -> Rules {
        // Most filters are covered by a few wide ones, so that half of all clients keep what they have.
        let publish: Vec<usize> = (0..TOPICS.len()).filter(|_| rng.u8(0..8) > 0).collect();
        let subscribe: Vec<Filter> =
            FILTERS.iter().filter(|_| rng.u8(0..4) > 0).map(|text| filter(text)).collect();
        let topics = publish.iter().map(|topic| Filter::parse(TOPICS[*topic]).expect("a name"));
        let permissions = Permissions::all()
            .local(Rights::all().publish(topics))
            .remote(Rights::all().subscribe(subscribe.clone()));
        Rules { publish, subscribe, permissions, since, followed: None }
    }

    fn may_publish(&self, topic: usize) -> bool {
        self.publish.contains(&topic)
    }

    fn may_subscribe(&self, asked: &Filter) -> bool {
        self.subscribe.iter().any(|own| own.covers(asked))
    }
}

/// The side of a client.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub(crate) enum Part {
    Publisher,
    Subscriber,
    /// Beyond all rules.
    #[default]
    Stranger,
}

impl Part {
    pub(crate) fn identity(self) -> Identity {
        match self {
            Part::Publisher => Identity::Anonymous(None),
            Part::Subscriber => Identity::Anonymous(Some(([192, 0, 2, 1], 1).into())),
            Part::Stranger => Identity::Own,
        }
    }
}

/// All rules so far. Before the first, everything is permitted.
#[derive(Default)]
pub(crate) struct RuleBook {
    all: Vec<Rules>,
    /// The number of them that each shard has been told, and whether it follows the last of these.
    shards: Vec<(usize, bool)>,
}

impl RuleBook {
    pub(crate) fn of(shards: usize) -> RuleBook {
        RuleBook { all: Vec::new(), shards: vec![(0, true); shards] }
    }

    /// True if every shard follows the last rules: only then there are others.
    pub(crate) fn are_followed(&self) -> bool {
        self.shards.iter().all(|shard| *shard == (self.all.len(), true))
    }

    /// There are new rules.
    pub(crate) fn change(&mut self, rng: &mut fastrand::Rng, step: u64) {
        assert!(self.are_followed(), "one after the other");
        self.all.push(Rules::draw(rng, step));
    }

    /// The rules for a shard that does not follow the last ones yet: from now on they are in force there.
    pub(crate) fn next_for(&mut self, shard: usize) -> Option<Permissions> {
        let last = self.all.len();
        if self.shards[shard] == (last, true) {
            return None;
        }
        self.shards[shard] = (last, false);
        Some(self.all[last - 1].permissions.clone())
    }

    /// A shard says that it follows the last rules.
    pub(crate) fn follows(&mut self, shard: usize, step: u64) {
        self.shards[shard] = (self.all.len(), true);
        if self.are_followed()
            && let Some(rules) = self.all.last_mut()
        {
            rules.followed = Some(step);
        }
    }

    /// True if a shard takes messages of a topic from such a client now.
    pub(crate) fn takes(&self, shard: usize, part: Part, topic: usize) -> bool {
        let (told, _) = self.shards[shard];
        let rules = told.checked_sub(1).map(|last| &self.all[last]);
        part != Part::Publisher || rules.is_none_or(|rules| rules.may_publish(topic))
    }

    /// The rules that every shard follows, while there are no newer ones, and the step since which they do.
    fn settled(&self) -> Option<(&Rules, u64)> {
        let last = self.all.last()?;
        Some((last, last.followed?))
    }

    /// True if a message of that step may not be taken from a publisher by now.
    pub(crate) fn forbid_message(&self, topic: usize, said_at: u64) -> bool {
        self.settled().is_some_and(|(rules, since)| said_at > since && !rules.may_publish(topic))
    }

    /// True if a subscriber with this filter is to be gone by now.
    pub(crate) fn forbid_filter(&self, asked: &Filter) -> bool {
        self.settled().is_some_and(|(rules, _)| !rules.may_subscribe(asked))
    }

    /// True if a subscriber with this filter may not have a message that was said in that step.
    pub(crate) fn forbid_delivery(&self, asked: &Filter, said_at: u64) -> bool {
        self.settled().is_some_and(|(rules, since)| said_at > since && !rules.may_subscribe(asked))
    }

    /// Rules that may have been in force on some shard at that step or later, and before that other one.
    fn between(&self, from: u64, to: Option<u64>) -> impl Iterator<Item = &Rules> {
        let replaced = |at: usize| self.all.get(at + 1).and_then(|next| next.followed);
        self.all.iter().enumerate().filter_map(move |(at, rules)| {
            let was_there = replaced(at).is_none_or(|gone| gone >= from);
            (was_there && to.is_none_or(|to| rules.since <= to)).then_some(rules)
        })
    }

    /// True if some rules may have refused a message of that step.
    pub(crate) fn may_have_refused_message(&self, topic: usize, said_at: u64) -> bool {
        self.between(said_at, None).any(|rules| !rules.may_publish(topic))
    }

    /// True if some rules may have refused a filter that was asked for in that step, and taken back in that other one.
    pub(crate) fn may_have_refused_filter(&self, asked: &Filter, (from, to): (u64, Option<u64>)) -> bool {
        self.between(from, to).any(|rules| !rules.may_subscribe(asked))
    }
}
