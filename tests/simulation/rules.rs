//! Owns the rules of what clients may do, as they change: those that were in force, when, and how far shards follow the last
//! of them. Publishers may publish only some topics; subscribers may subscribe only to some filters; strangers may do everything. In
//! some worlds publishers are on this host and subscribers on others. In the other worlds there is a file of users, and each client
//! shows the token of one: the next file may give that user other rights, or not have it at all.

use corecast::internals::auth::{Identity, Secret, TokenHash};
use corecast::{Filter, Permissions, Rights, Users};

use crate::asking::filter;
use crate::plan::{FILTERS, TOPICS};

/// Users in worlds that have some: by turns those of publishers and those of subscribers.
const USERS: usize = 4;

/// The rights of a client, as far as they differ.
#[derive(Clone, Debug)]
struct Given {
    /// Topics that a publisher may publish.
    publish: Vec<usize>,
    /// Filters that a subscriber may subscribe to, and all that these cover.
    subscribe: Vec<Filter>,
}

impl Given {
    fn everything() -> Given {
        Given { publish: (0..TOPICS.len()).collect(), subscribe: vec![filter("prefix:")] }
    }

    fn draw(rng: &mut fastrand::Rng) -> Given {
        // Most filters are covered by a few wide ones, so that half of all clients keep what they have.
        let publish = (0..TOPICS.len()).filter(|_| rng.u8(0..8) > 0).collect();
        Given {
            publish,
            subscribe: FILTERS.iter().filter(|_| rng.u8(0..4) > 0).map(|text| filter(text)).collect(),
        }
    }

    fn topics(&self) -> impl Iterator<Item = Filter> {
        self.publish.iter().map(|topic| Filter::parse(TOPICS[*topic]).expect("a name"))
    }
}

/// One set of rules.
#[derive(Clone, Debug)]
pub(crate) struct Rules {
    /// By user: its rights, if it is there. Without users: those of all.
    given: Vec<Option<Given>>,
    permissions: Permissions,
    /// The step in which they were made.
    since: u64,
    /// The step in which the last shard said that it follows them.
    followed: Option<u64>,
}

impl Rules {
    fn of(given: Vec<Option<Given>>, has_users: bool, since: u64) -> Rules {
        let permissions = match (has_users, &given[0]) {
            (false, Some(all)) => Permissions::all()
                .local(Rights::all().publish(all.topics()))
                .remote(Rights::all().subscribe(all.subscribe.clone())),
            _ => Permissions::of_users(Users::parse(&file_of(&given)).expect("a file of users")),
        };
        Rules { given, permissions, since, followed: None }
    }

    fn is_let_in(&self, who: Who) -> bool {
        who.part == Part::Stranger || self.given[who.user].is_some()
    }

    fn may_publish(&self, who: Who, topic: usize) -> bool {
        who.part != Part::Publisher
            || self.given[who.user].as_ref().is_some_and(|given| given.publish.contains(&topic))
    }

    fn may_subscribe(&self, who: Who, asked: &Filter) -> bool {
        let own = || self.given[who.user].iter().flat_map(|given| &given.subscribe);
        who.part != Part::Subscriber || own().any(|own| own.covers(asked))
    }
}

/// The token of a user.
fn token(user: usize) -> String {
    format!("token {user}")
}

/// A file of these users, and of one that nobody is.
fn file_of(users: &[Option<Given>]) -> String {
    let everything = vec!["{ prefix = '' }".to_owned()];
    let mut text = "[[user]]\nname = 'nobody'\n".to_owned();
    for (user, given) in users.iter().enumerate().filter_map(|(user, given)| Some((user, given.as_ref()?))) {
        let hash = TokenHash::of(&Secret::new(token(user).as_bytes()));
        let (publish, subscribe) = match Part::of(user) {
            Part::Publisher => (given.topics().map(|topic| in_file(&topic)).collect(), everything.clone()),
            _ => (everything.clone(), given.subscribe.iter().map(in_file).collect::<Vec<_>>()),
        };
        text += &format!("[[user]]\nname = 'u{user}'\ntokens = ['{hash}']\n");
        for (right, filters) in [("publish", &publish), ("subscribe", &subscribe), ("register", &everything)]
        {
            text += &format!("{right} = [{}]\n", filters.join(", "));
        }
    }
    text
}

fn in_file(filter: &Filter) -> String {
    match filter {
        Filter::Prefix(prefix) => format!("{{ prefix = '{}' }}", String::from_utf8_lossy(prefix.as_bytes())),
        Filter::Exact(_) | Filter::Pattern(_) => format!("'{filter}'"),
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
    /// The side of a user's clients.
    fn of(user: usize) -> Part {
        [Part::Publisher, Part::Subscriber][user % 2]
    }
}

/// A client, as the rules see it.
#[derive(Clone, Copy, Default, Debug)]
pub(crate) struct Who {
    pub(crate) part: Part,
    user: usize,
}

/// All rules so far. At first everything is permitted.
#[derive(Default)]
pub(crate) struct RuleBook {
    has_users: bool,
    all: Vec<Rules>,
    /// The number of them that each shard has been told, and whether it follows the last of these.
    shards: Vec<(usize, bool)>,
}

impl RuleBook {
    pub(crate) fn of(shards: usize, has_users: bool) -> RuleBook {
        let given = vec![Some(Given::everything()); if has_users { USERS } else { 1 }];
        let first = Rules { followed: Some(0), ..Rules::of(given, has_users, 0) };
        RuleBook { has_users, all: vec![first], shards: vec![(1, true); shards] }
    }

    /// The rules to begin with.
    pub(crate) fn first(&self) -> Permissions {
        self.all[0].permissions.clone()
    }

    /// A new client of this side: its identity before it says a word, and the token that it shows.
    pub(crate) fn introduce(&self, part: Part, rng: &mut fastrand::Rng) -> (Who, Identity, Option<String>) {
        let remote = Identity::Anonymous(Some(([192, 0, 2, 1], 1).into()));
        match part {
            Part::Stranger => (Who { part, user: 0 }, Identity::Own, None),
            _ if self.has_users => {
                let users: Vec<usize> = (0..USERS).filter(|user| Part::of(*user) == part).collect();
                let user = users[rng.usize(..users.len())];
                (Who { part, user }, remote, Some(token(user)))
            }
            Part::Publisher => (Who { part, user: 0 }, Identity::Anonymous(None), None),
            Part::Subscriber => (Who { part, user: 0 }, remote, None),
        }
    }

    /// True if every shard follows the last rules: only then there are others.
    pub(crate) fn are_followed(&self) -> bool {
        self.shards.iter().all(|shard| *shard == (self.all.len(), true))
    }

    /// There are new rules.
    pub(crate) fn change(&mut self, rng: &mut fastrand::Rng, step: u64) {
        assert!(self.are_followed(), "one after the other");
        let is_there = |rng: &mut fastrand::Rng| !self.has_users || rng.u8(0..8) > 0;
        let given = (0..self.all[0].given.len()).map(|_| is_there(rng).then(|| Given::draw(rng)));
        self.all.push(Rules::of(given.collect(), self.has_users, step));
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
    pub(crate) fn takes(&self, shard: usize, who: Who, topic: usize) -> bool {
        let (told, _) = self.shards[shard];
        self.all[told - 1].may_publish(who, topic)
    }

    /// The rules that every shard follows, while there are no newer ones, and the step since which they do.
    fn settled(&self) -> Option<(&Rules, u64)> {
        let last = self.all.last()?;
        Some((last, last.followed?))
    }

    /// True if such a client is to be gone by now.
    pub(crate) fn forbid_session(&self, who: Who) -> bool {
        self.settled().is_some_and(|(rules, _)| !rules.is_let_in(who))
    }

    /// True if a message of that step may not be taken from such a client by now.
    pub(crate) fn forbid_message(&self, who: Who, topic: usize, said_at: u64) -> bool {
        self.settled().is_some_and(|(rules, since)| said_at > since && !rules.may_publish(who, topic))
    }

    /// True if such a client is not to have this filter by now.
    pub(crate) fn forbid_filter(&self, who: Who, asked: &Filter) -> bool {
        self.settled().is_some_and(|(rules, _)| !rules.may_subscribe(who, asked))
    }

    /// True if such a client may not have by this filter a message that was said in that step.
    pub(crate) fn forbid_delivery(&self, who: Who, asked: &Filter, said_at: u64) -> bool {
        let is_forbidden = |rules: &Rules| !(rules.is_let_in(who) && rules.may_subscribe(who, asked));
        self.settled().is_some_and(|(rules, since)| said_at > since && is_forbidden(rules))
    }

    /// Rules that may have been in force on some shard at that step or later, and before that other one.
    fn between(&self, from: u64, to: Option<u64>) -> impl Iterator<Item = &Rules> {
        let replaced = |at: usize| self.all.get(at + 1).and_then(|next| next.followed);
        self.all.iter().enumerate().filter_map(move |(at, rules)| {
            let was_there = replaced(at).is_none_or(|gone| gone >= from);
            (was_there && to.is_none_or(|to| rules.since <= to)).then_some(rules)
        })
    }

    /// True if some rules may have ended a session that was there from that step.
    pub(crate) fn may_have_ended(&self, who: Who, from: u64) -> bool {
        self.between(from, None).any(|rules| !rules.is_let_in(who))
    }

    /// True if some rules may have refused a message of that step.
    pub(crate) fn may_have_refused_message(&self, who: Who, topic: usize, said_at: u64) -> bool {
        self.between(said_at, None).any(|rules| !rules.may_publish(who, topic))
    }

    /// True if some rules may have refused a filter that was asked for in that step, and taken back in that other one.
    pub(crate) fn may_have_refused_filter(
        &self,
        who: Who,
        asked: &Filter,
        (from, to): (u64, Option<u64>),
    ) -> bool {
        self.between(from, to).any(|rules| !rules.may_subscribe(who, asked))
    }
}
