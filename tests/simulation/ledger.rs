//! Owns the oracle's books: every message that was sent, and for every session its subscriptions and their times.
//! Written from what clients send and receive, never from a shard's state.

use std::collections::{BTreeMap, HashMap, HashSet, VecDeque};

use corecast::{ErrorCode, Filter, OverflowPolicy, Start};

use crate::plan::{TOPICS, TOPICS_OWNED};
use crate::rules::{Part, RuleBook, Who};

/// A message, or a gap, that a client sent.
pub(crate) struct Message {
    /// Which client.
    pub(crate) publisher: usize,
    pub(crate) topic: usize,
    pub(crate) sequence: u64,
    pub(crate) payload: Vec<u8>,
    /// The number of messages in the gap; 0: it is a message.
    pub(crate) gap: u64,
    /// The step in which it was sent, and the number of times that the world had been at rest before.
    pub(crate) said_at: u64,
    pub(crate) epoch: u64,
    /// The position of its end in the client's stream.
    ends_at: u64,
    /// A shard has read it to its end, from an open session, and was not stopping, and the rules permitted it.
    pub(crate) taken: bool,
    /// The same, but the rules did not permit it.
    refused: bool,
    /// The number of earlier messages of its topic.
    pub(crate) place: usize,
}

/// One subscription.
pub(crate) struct Subscribed {
    pub(crate) filter: Filter,
    pub(crate) subscriber: u32,
    /// It starts with history.
    pub(crate) start: Option<Start>,
    /// All that was ever taken is in that.
    has_all: bool,
    /// The epoch in which it was requested, and the step.
    asked_in: u64,
    asked_at: u64,
    /// The step in which it was known to be in force.
    pub(crate) since: Option<u64>,
    /// The epoch in which it was taken back.
    ended_in: Option<u64>,
    /// The step in which it was known to be gone.
    over: Option<u64>,
}

impl Subscribed {
    /// True if it is in force, and nobody has cancelled it.
    pub(crate) fn stands(&self) -> bool {
        self.since.is_some() && self.ended_in.is_none()
    }

    /// True if it starts with history, and has not caught up.
    fn is_starting(&self) -> bool {
        self.start.is_some() && self.since.is_none() && self.over.is_none()
    }

    /// True if a message was not said too early for it.
    fn is_asked_for(&self, message: &Message) -> bool {
        self.asked_in <= message.epoch || self.start.is_some()
    }
}

/// The purpose of an unanswered request.
pub(crate) enum Request {
    Subscribe(usize),
    Unsubscribe(usize),
    /// Its history.
    Start,
    /// A flush, after the client had sent this many bytes.
    Flush(u64),
}

/// A watch for subscribers.
pub(crate) struct Watch {
    pub(crate) topic: usize,
    pub(crate) told: Option<u32>,
    /// It was taken back; counts may still be under way.
    pub(crate) has_ended: bool,
}

/// The precision with which the stream of one topic can be checked.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(crate) enum Follow {
    /// No subscription yet.
    #[default]
    NotAsked,
    /// Asked for, and nothing is published in between: exact from the answer on.
    Asked,
    /// Asked for while messages come, and not answered.
    Joining,
    /// Answered since: exact from the next message on, wherever in the stream it stands.
    Joined,
    /// The next message must be the one at this place, or a gap before it must be reported.
    From(usize),
    /// Messages came while a subscription ended, or gaps while it began: only the sums are known.
    Sums,
}

/// The messages and gaps that one session received of one topic.
#[derive(Default)]
pub(crate) struct TopicBook {
    /// Indices of messages.
    pub(crate) received: HashSet<usize>,
    /// By publisher: the last sequence.
    pub(crate) last: HashMap<usize, u64>,
    pub(crate) told: u64,
    pub(crate) told_since_last: u64,
    pub(crate) follow: Follow,
    /// By client that was told of this session as a subscriber: the step of that. The next message that it says is for it.
    counted: HashMap<usize, u64>,
}

/// One session, as its client sees it.
#[derive(Default)]
pub(crate) struct SessionBook {
    pub(crate) policy: Option<OverflowPolicy>,
    pub(crate) subscribed: Vec<Subscribed>,
    pub(crate) topics: Vec<TopicBook>,
    pub(crate) requests: BTreeMap<u32, Request>,
    /// By request.
    pub(crate) watches: BTreeMap<u32, Watch>,
    /// Itself, as the rules see it.
    pub(crate) who: Who,
    /// The step in which it came.
    since: u64,
    /// The error for its broken rule.
    pub(crate) expects: Option<ErrorCode>,
    /// The broker ended it.
    pub(crate) closed: Option<ErrorCode>,
    /// The client has left.
    pub(crate) left: bool,
}

impl SessionBook {
    fn new(who: Who, since: u64) -> Self {
        let topics = TOPICS.iter().map(|_| TopicBook::default()).collect();
        SessionBook { topics, who, since, ..Default::default() }
    }

    /// True if a message must reach this session, or be reported as missing.
    pub(crate) fn is_owed(&self, message: &Message) -> bool {
        let owes = |s: &Subscribed| {
            s.since.is_some_and(|since| since < message.said_at || (s.has_all && message.gap == 0))
                && s.ended_in.is_none_or(|ended| message.epoch < ended)
        };
        let counted = self.topics[message.topic].counted.get(&message.publisher);
        let is_counted = message.gap == 0 && counted.is_some_and(|step| *step < message.said_at);
        message.taken && (is_counted || self.matching(message.topic).any(owes))
    }

    /// True if the session goes on, or goes on with a subscription, against new rules.
    pub(crate) fn is_forbidden(&self, rules: &RuleBook) -> bool {
        let mut there = self.subscribed.iter().filter(|s| s.over.is_none());
        rules.forbid_session(self.who) || there.any(|s| rules.forbid_filter(self.who, &s.filter))
    }

    /// True if a message that was said in that step was routed here against the rules.
    pub(crate) fn may_not_have(&self, rules: &RuleBook, said_at: u64) -> bool {
        // Of history, what the rules permit when it is asked for.
        let mut there =
            self.subscribed.iter().filter(|s| s.stands() && (s.start.is_none() || said_at > s.asked_at));
        there.any(|s| rules.forbid_delivery(self.who, &s.filter, said_at))
    }

    /// True if a message may ever have reached this session.
    pub(crate) fn may_have(&self, message: &Message) -> bool {
        let was =
            |s: &Subscribed| s.is_asked_for(message) && s.over.is_none_or(|over| message.said_at < over);
        message.taken && self.matching(message.topic).any(was)
    }

    /// True if a message may reach this session now.
    pub(crate) fn may_get(&self, message: &Message) -> bool {
        let stands = |s: &Subscribed| s.is_asked_for(message) && s.over.is_none();
        message.taken && self.matching(message.topic).any(stands)
    }

    /// True if it is to get all messages of a topic that were ever taken.
    pub(crate) fn has_all_of(&self, topic: &[u8]) -> bool {
        self.subscribed.iter().any(|s| s.has_all && s.ended_in.is_none() && s.filter.matches(topic))
    }

    /// True if it starts with history, and has not caught up.
    pub(crate) fn is_starting(&self) -> bool {
        self.subscribed.iter().any(Subscribed::is_starting)
    }

    /// True if a gap of this topic may be reported now.
    pub(crate) fn may_miss(&self, topic: usize) -> bool {
        self.matching(topic).any(|s| s.over.is_none())
    }

    /// True if a message was said before the answer to its subscription, and others have come behind that answer already:
    /// so it must come as well, though its publisher could not know.
    pub(crate) fn has_joined_before(&self, message: &Message) -> bool {
        matches!(self.topics[message.topic].follow, Follow::From(_)) && !self.is_owed(message)
    }

    /// The subscription of that filter and subscriber.
    pub(crate) fn subscription(&self, filter: &Filter, subscriber: u32) -> Option<usize> {
        self.subscribed.iter().position(|s| s.filter == *filter && s.subscriber == subscriber)
    }

    fn matching(&self, topic: usize) -> impl Iterator<Item = &Subscribed> {
        self.subscribed.iter().filter(move |s| s.filter.matches(TOPICS[topic].as_bytes()))
    }

    /// The number of subscribers of a topic, when all is at rest.
    pub(crate) fn subscribers_of(&self, topic: usize) -> usize {
        let asking: HashSet<u32> =
            self.matching(topic).filter(|s| s.over.is_none()).map(|s| s.subscriber).collect();
        if self.closed.is_some() || self.left { 0 } else { asking.len() }
    }

    /// A subscription ends, nobody knows before which messages.
    fn end(&mut self, filter: &Filter) {
        for (topic, book) in self.topics.iter_mut().enumerate() {
            if filter.matches(TOPICS[topic].as_bytes()) {
                book.follow = Follow::Sums;
                book.counted.clear();
            }
        }
    }

    /// True if it may have been counted among the subscribers of a topic, and not be among them now.
    fn may_have_left(&self, topic: usize) -> bool {
        let is_gone = self.closed.is_some() || self.left;
        self.matching(topic).any(|s| is_gone || s.over.is_some() || s.ended_in.is_some())
    }
}

fn may_refuse(rules: &RuleBook, who: Who, subscribed: &Subscribed) -> bool {
    rules.may_have_refused_filter(who, &subscribed.filter, (subscribed.asked_at, subscribed.over))
}

/// All books.
#[derive(Default)]
pub(crate) struct Ledger {
    pub(crate) step: u64,
    /// The number of times that the world has been at rest.
    pub(crate) epoch: u64,
    pub(crate) messages: Vec<Message>,
    pub(crate) by_topic: Vec<Vec<usize>>,
    /// By client: its messages in order, and those of them that no shard has read.
    by_publisher: Vec<Vec<usize>>,
    unread: Vec<VecDeque<usize>>,
    owners: [Option<usize>; TOPICS_OWNED],
    pub(crate) sessions: Vec<SessionBook>,
}

impl Ledger {
    /// A client connects.
    pub(crate) fn open(&mut self, who: Who) {
        self.by_topic.resize_with(TOPICS.len(), Vec::new);
        self.by_publisher.push(Vec::new());
        self.unread.push(VecDeque::new());
        self.sessions.push(SessionBook::new(who, self.step));
    }

    /// True if this client may publish on the topic; if nobody owns the topic, the client does from now on.
    pub(crate) fn owns(&mut self, client: usize, topic: usize) -> bool {
        self.owners.get_mut(topic).is_none_or(|owner| *owner.get_or_insert(client) == client)
    }

    /// A client says a message, its bytes ending at `ends_at` of what it says.
    pub(crate) fn said(&mut self, publisher: usize, topic: usize, payload: &[u8], ends_at: u64) {
        let sequence = self.by_publisher[publisher].len() as u64 + 1;
        let index = self.note(publisher, topic, ends_at);
        self.by_publisher[publisher].push(index);
        self.messages[index].sequence = sequence;
        self.messages[index].payload = payload.to_vec();
        for book in &mut self.sessions {
            let follow = &mut book.topics[topic].follow;
            *follow = if *follow == Follow::Asked { Follow::Joining } else { *follow };
        }
    }

    /// A client says that so many of its messages are missing.
    pub(crate) fn said_gap(&mut self, publisher: usize, topic: usize, missed: u64, ends_at: u64) {
        let index = self.note(publisher, topic, ends_at);
        self.messages[index].gap = missed;
        for book in &mut self.sessions {
            let follow = &mut book.topics[topic].follow;
            *follow = if *follow == Follow::NotAsked { Follow::NotAsked } else { Follow::Sums };
        }
    }

    fn note(&mut self, publisher: usize, topic: usize, ends_at: u64) -> usize {
        let index = self.messages.len();
        self.messages.push(Message {
            publisher,
            topic,
            sequence: 0,
            payload: Vec::new(),
            gap: 0,
            said_at: self.step,
            epoch: self.epoch,
            ends_at,
            taken: false,
            refused: false,
            place: self.by_topic[topic].len(),
        });
        self.by_topic[topic].push(index);
        self.unread[publisher].push_back(index);
        index
    }

    /// Records that a shard has read what a client sent up to `heard`, and has gone on with it up to `done`: of that it takes the
    /// messages of these topics.
    pub(crate) fn read(
        &mut self,
        publisher: usize,
        (heard, done): (u64, u64),
        takes: impl Fn(usize) -> bool,
    ) {
        while let Some(index) = self.unread[publisher].front()
            && self.messages[*index].ends_at <= heard
        {
            let message = &mut self.messages[*index];
            message.taken = message.ends_at <= done && takes(message.topic);
            message.refused = message.ends_at <= done && !message.taken;
            self.unread[publisher].pop_front();
        }
    }

    /// The message of that client and sequence.
    pub(crate) fn message(&self, publisher: u64, sequence: u64) -> Option<usize> {
        let of = self.by_publisher.get(usize::try_from(publisher).ok()?.checked_sub(1)?)?;
        of.get(usize::try_from(sequence).ok()?.checked_sub(1)?).copied()
    }

    /// True if some rules may have ended that session for what it does.
    pub(crate) fn may_be_refused(&self, client: usize, rules: &RuleBook) -> bool {
        let book = &self.sessions[client];
        let refuses = |s: &Subscribed| may_refuse(rules, book.who, s);
        match book.who.part {
            Part::Stranger => false,
            Part::Publisher => (0..TOPICS.len()).any(|topic| self.may_be_refused_topic(client, topic, rules)),
            Part::Subscriber => book.subscribed.iter().any(refuses),
        }
    }

    /// True if some rules may have refused a message of that topic from a client.
    pub(crate) fn may_be_refused_topic(&self, client: usize, topic: usize, rules: &RuleBook) -> bool {
        let who = self.sessions[client].who;
        let mut own = self.by_topic[topic].iter().map(|index| &self.messages[*index]);
        own.any(|m| m.publisher == client && rules.may_have_refused_message(who, topic, m.said_at))
    }

    /// True if some rules may have refused that subscription.
    pub(crate) fn may_be_refused_subscription(&self, client: usize, at: usize, rules: &RuleBook) -> bool {
        let book = &self.sessions[client];
        may_refuse(rules, book.who, &book.subscribed[at])
    }

    /// True if some rules may have ended that session for who it is.
    pub(crate) fn may_be_unknown(&self, client: usize, rules: &RuleBook) -> bool {
        let book = &self.sessions[client];
        rules.may_have_ended(book.who, book.since)
    }

    /// True if everything that a client sent up to there has been taken, or refused.
    pub(crate) fn is_taken(&self, publisher: usize, up_to: u64) -> bool {
        let said = self.by_publisher[publisher].iter().map(|index| &self.messages[*index]);
        said.take_while(|message| message.ends_at <= up_to).all(|message| message.taken || message.refused)
    }

    /// The number of messages of a topic that were taken, from that place and before that other one.
    pub(crate) fn taken_between(&self, topic: usize, from: usize, to: usize) -> u64 {
        let between = self.by_topic[topic].get(from..to).unwrap_or_default();
        between.iter().filter(|index| self.messages[**index].taken).count() as u64
    }

    /// A client asks for a filter.
    pub(crate) fn subscribe(
        &mut self,
        client: usize,
        request: u32,
        (filter, subscriber): (Filter, u32),
        (start, keeps_all): (Option<Start>, bool),
    ) {
        let (asked_in, epoch, asked_at) = (self.epoch, self.epoch, self.step);
        let (messages, by_topic) = (&self.messages, &self.by_topic);
        let book = &mut self.sessions[client];
        // History is that of all subscriptions when it begins: one that comes later than the start may be among them, or not.
        let starting = book.subscribed.iter().find(|s| s.is_starting()).and_then(|s| s.start);
        for (topic, topic_book) in book.topics.iter_mut().enumerate() {
            let asks = filter.matches(TOPICS[topic].as_bytes());
            if asks && start.is_none() && starting.is_some() && topic_book.follow == Follow::NotAsked {
                topic_book.follow = Follow::Sums;
            } else if asks && start.is_some() {
                // Without a hole from its first message on, wherever in the past that stands.
                let has_gaps = by_topic[topic].iter().any(|index| messages[*index].gap > 0);
                topic_book.follow = if has_gaps { Follow::Sums } else { Follow::Joined };
            } else if asks && topic_book.follow == Follow::NotAsked {
                // What was said since the last rest may still be on its way here.
                let said = by_topic[topic].iter().rev().map(|index| &messages[*index]);
                let on_the_way = || said.clone().take_while(|message| message.epoch == epoch);
                topic_book.follow = if on_the_way().next().is_none() {
                    Follow::Asked
                } else if on_the_way().all(|message| message.gap == 0) {
                    Follow::Joining
                } else {
                    Follow::Sums
                };
            }
        }
        book.requests.insert(request, Request::Subscribe(book.subscribed.len()));
        let has_all = keeps_all && start == Some(Start::All);
        let (start, ended_in) = (start.or(starting), None);
        let (since, over) = (None, None);
        let subscribed =
            Subscribed { filter, subscriber, start, has_all, asked_in, asked_at, since, ended_in, over };
        book.subscribed.push(subscribed);
    }

    /// A client takes a subscription back.
    pub(crate) fn unsubscribe(&mut self, client: usize, request: u32, at: usize) {
        let book = &mut self.sessions[client];
        book.subscribed[at].ended_in = Some(self.epoch);
        let filter = book.subscribed[at].filter.clone();
        book.end(&filter);
        book.requests.insert(request, Request::Unsubscribe(at));
    }

    /// A client is told that a topic has so many subscribers. If nobody has left it so far, and so many have asked for it, all of
    /// them are meant. Returns true if they are.
    pub(crate) fn counted(&mut self, client: usize, topic: usize, count: u32) -> bool {
        let asked: usize = self.sessions.iter().map(|book| book.subscribers_of(topic)).sum();
        let are_all = u32::try_from(asked).is_ok_and(|asked| asked == count)
            && !self.sessions.iter().any(|book| book.may_have_left(topic));
        if are_all {
            for book in &mut self.sessions {
                if book.subscribers_of(topic) > 0 {
                    book.topics[topic].counted.insert(client, self.step);
                }
            }
        }
        are_all && asked > 0
    }

    /// A subscription is known to be in force.
    pub(crate) fn in_force(&mut self, client: usize, at: usize) {
        let book = &mut self.sessions[client];
        if book.subscribed[at].over.is_some() {
            // It was lost before the answer came.
            return;
        }
        book.subscribed[at].since = Some(self.step);
        let filter = book.subscribed[at].filter.clone();
        for (topic, topic_book) in book.topics.iter_mut().enumerate() {
            if filter.matches(TOPICS[topic].as_bytes()) {
                topic_book.follow = match topic_book.follow {
                    Follow::Asked => Follow::From(self.by_topic[topic].len()),
                    Follow::Joining => Follow::Joined,
                    follow => follow,
                };
            }
        }
    }

    /// A subscription is known to have been taken back by the broker: nobody knows before which messages.
    pub(crate) fn lost(&mut self, client: usize, at: usize) {
        self.gone(client, at);
        let book = &mut self.sessions[client];
        book.subscribed[at].since = None;
        let filter = book.subscribed[at].filter.clone();
        book.end(&filter);
    }

    /// A subscription is known to be gone, or never to be in force.
    pub(crate) fn gone(&mut self, client: usize, at: usize) {
        self.sessions[client].subscribed[at].over = Some(self.step);
    }
}
