//! Owns the invariants. It sees what clients send and receive, and knows nothing of shards, groups or queues: only what
//! a subscriber was promised.

use corecast::{ErrorCode, Filter, OverflowPolicy};

use crate::client::{Arrived, Incoming};
use crate::ledger::{Follow, Ledger, Request};
use crate::plan::{Plan, TOPICS, TOPICS_OWNED};
use crate::rules::RuleBook;
use crate::violation::{Checked, Kind, Violation, ensure};

/// The wire's reason of a gap that an egress queue made.
const REASON_OVERFLOW: u8 = 1;

/// And of one that a publisher tells.
pub(crate) const REASON_PUBLISHER: u8 = 2;

/// And of history that is not sent.
const REASON_HISTORY: u8 = 5;

/// The token of every simulated ping.
pub(crate) const PING_TOKEN: u64 = 0x0123_4567_89ab_cdef;

/// The judge of one run.
#[derive(Default)]
pub(crate) struct Oracle {
    pub(crate) ledger: Ledger,
    pub(crate) rules: RuleBook,
    /// A drain has begun.
    pub(crate) draining: bool,
    /// Messages that clients received, messages reported to them as missing, and gap notices.
    pub(crate) received: u64,
    pub(crate) told: u64,
    pub(crate) notices: u64,
    /// Topics that a client has joined while messages came, so that the next of them told its place.
    pub(crate) joined: u64,
    /// Counts of subscribers that meant all who had asked, so that each of these was to get what the client said next.
    pub(crate) counted: u64,
    /// Subscriptions, and stretches of messages, of which clients were told that they are refused.
    pub(crate) refused: u64,
    /// Subscriptions of which clients were told that they have ended.
    pub(crate) ended: u64,
}

impl Oracle {
    /// A client reads a frame.
    pub(crate) fn incoming(&mut self, client: usize, incoming: &Incoming) -> Checked {
        let book = &mut self.ledger.sessions[client];
        let after = || format!("client {client}: {incoming:?} after its farewell");
        ensure(book.closed.is_none(), Kind::WrongClose, after)?;
        match incoming {
            Incoming::Welcome(policy) => {
                let first = book.policy.replace(*policy).is_none();
                ensure(first, Kind::Corrupted, || format!("client {client}: two welcomes"))
            }
            Incoming::Message(arrived) => self.message(client, arrived),
            Incoming::Gap { topic, missed, reason } => self.gap(client, topic, *missed, *reason),
            Incoming::Done(request) => self.done(client, *request),
            Incoming::Error { request: 0, code } => self.closed(client, *code),
            Incoming::Error { request, code } => self.refused(client, *request, *code),
            Incoming::Ended { filter, subscriber } => self.subscription_ended(client, filter, *subscriber),
            Incoming::Refused(topic) => self.refused_topic(client, topic),
            Incoming::Count { request, count } => self.count(client, *request, *count),
            Incoming::Pong(token) => {
                ensure(*token == PING_TOKEN, Kind::Corrupted, || format!("client {client}: pong {token}"))
            }
        }
    }

    fn message(&mut self, client: usize, arrived: &Arrived) -> Checked {
        let wrong = |kind, what: &str| {
            let Arrived { publisher, sequence, topic, .. } = arrived;
            let topic = String::from_utf8_lossy(topic);
            let text = format!("client {client}: {publisher}'s message {sequence} on {topic} {what}");
            Err(Violation::new(kind, text))
        };
        let Some(index) = self.ledger.message(arrived.publisher, arrived.sequence) else {
            return wrong(Kind::Corrupted, "was never said");
        };
        let message = &self.ledger.messages[index];
        let as_said = arrived.topic == TOPICS[message.topic].as_bytes()
            && arrived.payload == message.payload
            && arrived.sent_at_ns == message.sequence * 3;
        if !as_said {
            return wrong(Kind::Corrupted, "has changed on the way");
        }
        let missing = match self.ledger.sessions[client].topics[message.topic].follow {
            Follow::From(next) => self.ledger.taken_between(message.topic, next, message.place),
            _ => 0,
        };
        let book = &mut self.ledger.sessions[client];
        if !book.may_get(message) {
            return wrong(Kind::Unasked, if message.taken { "was not asked for" } else { "was not taken" });
        }
        if book.may_not_have(&self.rules, message.said_at) {
            return wrong(Kind::Forbidden, "is not for this client any more");
        }
        let policy = book.policy;
        let topic = &mut book.topics[message.topic];
        if !topic.received.insert(index) {
            return wrong(Kind::Duplicated, "arrived twice");
        }
        if topic.last.insert(message.publisher, message.sequence).is_some_and(|last| last > message.sequence)
        {
            return wrong(Kind::Reordered, "arrived after a later one");
        }
        self.received += 1;
        if topic.follow == Follow::Joined && message.topic < TOPICS_OWNED {
            // `latest` tells early what is missing further back, so that nothing says where the stream begins.
            let tells_early = policy == Some(OverflowPolicy::Latest);
            topic.follow = if tells_early { Follow::Sums } else { Follow::From(message.place + 1) };
            topic.told_since_last = 0;
            self.joined += u64::from(!tells_early);
        } else if let Follow::From(_) = topic.follow
            && message.topic < TOPICS_OWNED
        {
            let told = topic.told_since_last;
            // `latest` may tell at the front of the queue what is missing further back, so early, never late.
            let is_told = match policy {
                Some(OverflowPolicy::Latest) => missing <= told,
                _ => missing == told,
            };
            if !is_told {
                return wrong(Kind::Misplaced, &format!("comes after {missing} missing ones, {told} told"));
            }
            topic.told_since_last -= missing;
            topic.follow = Follow::From(message.place + 1);
        }
        Ok(())
    }

    fn gap(&mut self, client: usize, topic: &[u8], missed: u64, reason: u8) -> Checked {
        let book = &mut self.ledger.sessions[client];
        let name = String::from_utf8_lossy(topic).into_owned();
        let text = || format!("client {client}, {:?}: a gap of {missed} on {name}", book.policy);
        let is_known = TOPICS.iter().position(|there| there.as_bytes() == topic);
        let is_overflow = reason == REASON_OVERFLOW;
        if reason == REASON_HISTORY && (topic.is_empty(), missed) == (true, 0) && book.is_starting() {
            // The rest of its history is not sent to who is told to leave.
            let text = || format!("client {client}: its history is cut short");
            book.topics.iter_mut().for_each(|topic| topic.follow = Follow::Sums);
            return ensure(self.draining, Kind::Lost, text);
        }
        let Some(index) = is_known.filter(|_| missed > 0 && (is_overflow || reason == REASON_PUBLISHER))
        else {
            return Err(Violation::new(Kind::Corrupted, format!("{}, for reason {reason}", text())));
        };
        let drops = !matches!(book.policy, Some(OverflowPolicy::Block | OverflowPolicy::Disconnect) | None);
        ensure(drops || !is_overflow, Kind::DroppedDespitePolicy, text)?;
        ensure(book.may_miss(index), Kind::Unasked, text)?;
        book.topics[index].told += missed;
        book.topics[index].told_since_last += missed;
        self.told += if is_overflow { missed } else { 0 };
        self.notices += u64::from(is_overflow);
        Ok(())
    }

    fn count(&mut self, client: usize, request: u32, count: u32) -> Checked {
        let Some(watch) = self.ledger.sessions[client].watches.get_mut(&request) else {
            return Err(Violation::new(Kind::WrongCount, format!("client {client} watches nothing")));
        };
        let news = watch.told.replace(count) != Some(count);
        let topic = watch.topic;
        self.counted += u64::from(self.ledger.counted(client, topic, count));
        ensure(news, Kind::WrongCount, || format!("client {client}: {count} was told before"))
    }

    fn done(&mut self, client: usize, request: u32) -> Checked {
        match self.ledger.sessions[client].requests.remove(&request) {
            Some(Request::Subscribe(at)) => self.ledger.in_force(client, at),
            Some(Request::Unsubscribe(at)) => self.ledger.gone(client, at),
            Some(Request::Start) => {}
            Some(Request::Flush(said)) => {
                let taken = self.ledger.is_taken(client, said);
                ensure(taken, Kind::EarlyDone, || format!("client {client}: the flush of {said} bytes"))?;
            }
            None => {
                let text = format!("client {client}: request {request} is done, and was not asked");
                return Err(Violation::new(Kind::Unanswered, text));
            }
        }
        Ok(())
    }

    /// A request is refused, and the session goes on.
    fn refused(&mut self, client: usize, request: u32, code: ErrorCode) -> Checked {
        let asked = self.ledger.sessions[client].requests.remove(&request);
        let may_be = match asked {
            Some(Request::Subscribe(at)) if code == ErrorCode::NotPermitted => {
                let may_be = self.ledger.may_be_refused_subscription(client, at, &self.rules);
                self.ledger.gone(client, at);
                may_be
            }
            _ => false,
        };
        self.refused += 1;
        ensure(may_be, Kind::WrongRefusal, || format!("client {client}: {code} ({request})"))
    }

    /// A subscription has ended, and the session goes on.
    fn subscription_ended(&mut self, client: usize, filter: &Filter, subscriber: u32) -> Checked {
        let text = || format!("client {client}: {filter} of {subscriber}");
        let known = self.ledger.sessions[client].subscription(filter, subscriber);
        let Some(at) = known else { return Err(Violation::new(Kind::WrongRefusal, text())) };
        let may_be = self.ledger.may_be_refused_subscription(client, at, &self.rules);
        self.ledger.lost(client, at);
        self.ended += 1;
        ensure(may_be, Kind::WrongRefusal, text)
    }

    /// Messages of a topic are refused, and the session goes on.
    fn refused_topic(&mut self, client: usize, topic: &[u8]) -> Checked {
        let known = TOPICS.iter().position(|there| there.as_bytes() == topic);
        let may_be = known.is_some_and(|topic| self.ledger.may_be_refused_topic(client, topic, &self.rules));
        self.refused += 1;
        ensure(may_be, Kind::WrongRefusal, || {
            format!("client {client}: messages on {}", String::from_utf8_lossy(topic))
        })
    }

    fn closed(&mut self, client: usize, code: ErrorCode) -> Checked {
        let is_refused = match code {
            ErrorCode::NotPermitted => self.ledger.may_be_refused(client, &self.rules),
            ErrorCode::Unauthenticated => self.ledger.may_be_unknown(client, &self.rules),
            _ => false,
        };
        let book = &mut self.ledger.sessions[client];
        let meant = book.expects == Some(code)
            || is_refused
            || (self.draining && code == ErrorCode::ShuttingDown)
            || (book.policy == Some(OverflowPolicy::Disconnect) && code == ErrorCode::SlowSubscriber);
        ensure(meant, Kind::WrongClose, || format!("client {client}: {code}"))?;
        book.closed = Some(code);
        Ok(())
    }

    /// Nothing moves any more and everybody has read everything: now the sums must be right.
    pub(crate) fn at_rest(&mut self, plan: &Plan) -> Checked {
        for client in 0..self.ledger.sessions.len() {
            let book = &self.ledger.sessions[client];
            let expected = match book.closed {
                // What it was owed was dropped with it; who is told to leave in a drain has had all before.
                Some(code) => code == ErrorCode::ShuttingDown && book.policy.is_some(),
                None => !book.left,
            };
            if expected {
                self.sums(client, plan)?;
            }
            if expected && book.closed.is_none() {
                ensure(book.requests.is_empty(), Kind::Unanswered, || format!("client {client}: a request"))?;
                ensure(book.expects.is_none(), Kind::WrongClose, || {
                    format!("client {client} should be gone")
                })?;
                ensure(!book.is_forbidden(&self.rules), Kind::Forbidden, || {
                    format!("client {client} should be gone by the rules")
                })?;
                self.counts(client)?;
            }
        }
        for message in self.ledger.messages.iter().filter(|message| message.taken) {
            let who = self.ledger.sessions[message.publisher].who;
            let is_forbidden = self.rules.forbid_message(who, message.topic, message.said_at);
            ensure(!is_forbidden, Kind::Forbidden, || {
                format!("client {} publishes on {}", message.publisher, TOPICS[message.topic])
            })?;
        }
        self.ledger.epoch += 1;
        Ok(())
    }

    fn sums(&self, client: usize, plan: &Plan) -> Checked {
        let book = &self.ledger.sessions[client];
        for (topic, topic_book) in book.topics.iter().enumerate() {
            let all = || self.ledger.by_topic[topic].iter().copied();
            let message = |index: &usize| &self.ledger.messages[*index];
            let missing = |index: &usize| !topic_book.received.contains(index);
            // A gap that a publisher told must be told on, as it is or as part of another.
            let to_tell = |index: usize| message(&index).gap.max(1);
            let owed: Vec<usize> = all().filter(|index| book.is_owed(message(index))).collect();
            let least: u64 = owed.iter().copied().filter(missing).map(to_tell).sum();
            let most: u64 =
                all().filter(missing).filter(|index| book.may_have(message(index))).map(to_tell).sum();
            let told = topic_book.told;
            let text = || {
                let name = TOPICS[topic];
                format!(
                    "client {client}, {:?}: {least} to {most} missing on {name}, {told} told",
                    book.policy
                )
            };
            ensure(least <= told, Kind::Lost, text)?;
            ensure(told <= most, Kind::Overtold, text)?;
            if let Follow::From(next) = topic_book.follow
                && topic < TOPICS_OWNED
            {
                let after = all().skip(next).filter(|index| message(index).taken).count();
                ensure(after as u64 == topic_book.told_since_last, Kind::Lost, text)?;
            }
            let newest = owed.iter().rfind(|index| message(index).gap == 0).filter(|_| topic < TOPICS_OWNED);
            let keeps_newest = book.policy == Some(OverflowPolicy::Latest) && plan.has_room_for_every_topic();
            let has_newest = newest.is_none_or(|index| !missing(index));
            ensure(!keeps_newest || has_newest, Kind::NotNewest, text)?;
        }
        Ok(())
    }

    fn counts(&self, client: usize) -> Checked {
        for (request, watch) in self.ledger.sessions[client].watches.iter().filter(|(_, w)| !w.has_ended) {
            let there: usize = self.ledger.sessions.iter().map(|book| book.subscribers_of(watch.topic)).sum();
            let text = || format!("client {client}, watch {request}: {there} there, {:?} told", watch.told);
            ensure(watch.told == u32::try_from(there).ok(), Kind::WrongCount, text)?;
        }
        Ok(())
    }
}
