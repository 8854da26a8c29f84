//! What a client asks of its session: hello, subscriptions, counts, flushes, pings.

use bytes::Bytes;
use tracing::debug;

use super::kind::Kind;
use super::session::Phase;
use super::state::Shard;
use super::successors::{Awaiting, Predecessor};
use crate::auth::Action;
use crate::carrier::LinkItem;
use crate::error::ErrorCode;
use crate::fanout::OverflowPolicy;
use crate::ids::{RequestId, SessionId, SessionNumber, SubscriberId};
use crate::limits::{TEXT_BYTES_MAX, TOPIC_BYTES_MAX, WATCHES_PER_SESSION_MAX};
use crate::topic::Filter;
use crate::wire::Frame;

impl Shard {
    /// True if routable frames of this session are taken now; if they may not come, or not yet, it is closed.
    pub(super) fn may_publish(&mut self, id: SessionId) -> bool {
        let Some(session) = self.base.sessions.get(id) else { return false };
        match (&session.kind, session.phase) {
            (_, Phase::Closing | Phase::Shut) => false,
            (Kind::Native | Kind::Zmtp(_), Phase::Open) if self.base.config.direct.is_some() => {
                self.base.end(id, ErrorCode::Unexpected, "a direct publisher takes no messages from others");
                false
            }
            (Kind::Native | Kind::Zmtp(_), Phase::Greeting | Phase::Hello) => {
                self.base.end(id, ErrorCode::Unexpected, "a message came before the hello");
                false
            }
            _ => !self.base.draining,
        }
    }

    /// One frame that is meant for this end.
    pub(super) fn on_control(&mut self, id: SessionId, frame: Frame<'_>) {
        if matches!(self.base.sessions.get(id), Some(session) if matches!(session.kind, Kind::Relay(_))) {
            return self.on_relay_control(id, frame);
        }
        match (self.phase(id), frame) {
            (Some(Phase::Hello), Frame::Hello { name, overflow, previous, ticket }) => {
                let number = SessionNumber(previous);
                self.on_hello(id, name, overflow, Predecessor { number, ticket });
            }
            (Some(Phase::Hello), _) => {
                self.base.end(id, ErrorCode::Unexpected, "the first frame must be a hello")
            }
            (Some(Phase::Open), frame) => self.on_request(id, frame),
            _ => {}
        }
    }

    fn on_request(&mut self, id: SessionId, frame: Frame<'_>) {
        // Before, not after: one long answer is not a peer's fault, not reading it is.
        if self.base.close_if_answers_pile_up(id) {
            return;
        }
        match frame {
            Frame::Subscribe { filter, request, subscriber, kind } => {
                let Some(filter) = self.base.checked_filter(id, kind, filter) else { return };
                if self.base.may(id, Action::Subscribe(&filter))
                    && self.subscribe_and_tell(id, &filter, SubscriberId(subscriber))
                {
                    self.await_interest(id, RequestId(request));
                }
            }
            Frame::Unsubscribe { filter, request, subscriber, kind } => {
                let Some(filter) = self.base.checked_filter(id, kind, filter) else { return };
                self.unsubscribe(id, &filter, SubscriberId(subscriber));
                self.base.answer(id, &Frame::Done { request });
            }
            Frame::WatchSubscribers { topic, request } => self.on_watch(id, topic, RequestId(request)),
            Frame::UnwatchSubscribers { request } => {
                self.end_watch(id, RequestId(request));
            }
            Frame::Flush { request } => self.on_flush(id, RequestId(request)),
            Frame::Ping { token } => self.base.answer(id, &Frame::Pong { token }),
            Frame::Pong { .. } => {}
            Frame::Hello { .. } => self.base.end(id, ErrorCode::Unexpected, "a second hello"),
            other if self.on_registry_frame(id, other) => {}
            _ => self.base.end(id, ErrorCode::Unexpected, "a frame that only a broker sends"),
        }
        self.base.hold_for_news(id);
    }

    fn on_hello(&mut self, id: SessionId, name: &str, overflow: u8, predecessor: Predecessor) {
        if name.len() > TEXT_BYTES_MAX {
            return self.base.end(id, ErrorCode::Unexpected, "the client's name is too long");
        }
        let policy = match overflow {
            0 => Some(self.base.config.overflow),
            number => OverflowPolicy::from_wire(number),
        };
        let Some(policy) = policy else {
            return self.base.end(id, ErrorCode::PolicyRefused, "an overflow policy that is not known");
        };
        if policy == OverflowPolicy::Block && self.base.config.overflow != OverflowPolicy::Block {
            return self.base.end(
                id,
                ErrorCode::PolicyRefused,
                "this broker does not run with --overflow block",
            );
        }
        if let Some(session) = self.base.sessions.get_mut(id) {
            session.policy = policy;
            session.client = (!name.is_empty()).then(|| name.into());
        }
        let number = id.number(self.base.id);
        debug!(shard = %self.base.id, session = %number, name, policy = policy.name(), "session opened");
        self.open_after(id, predecessor);
    }

    fn on_watch(&mut self, id: SessionId, topic: &[u8], request: RequestId) {
        if topic.is_empty() || topic.len() > TOPIC_BYTES_MAX {
            return self.base.end(id, ErrorCode::BadTopic, "a watch's topic must have 1 to 1,024 bytes");
        }
        if !self.base.may(id, Action::WatchSubscribers(topic)) {
            return;
        }
        // The same number again is another watch in the place of the first.
        self.end_watch(id, request);
        let Some(session) = self.base.sessions.get_mut(id) else { return };
        // A direct publisher's own session stands for any number of publishers of its process.
        if session.watches as usize >= WATCHES_PER_SESSION_MAX && !session.kind.is_local() {
            return self.base.end(id, ErrorCode::Unexpected, "too many watches");
        }
        session.watches += 1;
        let topic = Bytes::copy_from_slice(topic);
        if let Some(watch) = self.watches.add((id, request), topic.clone(), self.base.config.shards) {
            for shard in self.base.links.others() {
                self.base.send_link(shard, LinkItem::Watch { watch, topic: topic.clone() });
            }
        }
        self.count_watched();
    }

    /// While the shard stops, messages may have come before this that were not taken: no answer is the true one,
    /// and the client will see that the session has ended.
    fn on_flush(&mut self, id: SessionId, request: RequestId) {
        if self.base.draining {
            return;
        }
        let Some(session) = self.base.sessions.get_mut(id) else { return };
        if session.held_by > 0 {
            session.flushes.push(request);
        } else {
            self.base.answer(id, &Frame::Done { request: request.0 });
        }
    }

    /// Answers the subscriptions that all shards have seen, and lets the sessions open that wait for them as well.
    pub(super) fn answer_done(&mut self) {
        while let Some(done) = self.interest.acks.pop_done() {
            match done {
                Awaiting::Subscription(id, request) => {
                    if let Some(session) = self.base.sessions.get_mut(id) {
                        session.subscribing -= 1;
                    }
                    self.base.answer(id, &Frame::Done { request: request.0 });
                }
                Awaiting::Successor(shard, session) => self.let_open((shard, session)),
            }
        }
    }

    fn await_interest(&mut self, id: SessionId, request: RequestId) {
        if let Some(session) = self.base.sessions.get_mut(id) {
            session.subscribing += 1;
        }
        self.interest.acks.wait(Awaiting::Subscription(id, request));
        self.answer_done();
    }

    /// Counts the subscribers of watched topics again, and tells whom it concerns, for as long as this turn has work
    /// left. While a shard takes nothing for now, nothing is counted: it is told with a later tick, what is true then.
    pub(super) fn count_watched(&mut self) {
        while !self.base.turn.is_over()
            && !self.base.links.is_backed_up()
            && let Some(topic) = self.watches.next_stale()
        {
            let count = self.count_subscribers(&topic);
            for (to, watch) in self.watches.counted_here(self.base.id, &topic, count) {
                self.base.send_link(to, LinkItem::Count { watch, count });
            }
        }
        self.tell_watches();
    }

    pub(super) fn tell_watches(&mut self) {
        while !self.base.turn.is_over()
            && let Some(untold) = self.watches.next_untold()
        {
            self.base.turn.spend(1);
            let Some(((id, request), count)) = untold else { continue };
            self.base.answer(id, &Frame::SubscriberCount { request: request.0, count });
            self.base.close_if_answers_pile_up(id);
        }
    }

    /// Subscribers, not sessions: each once, however many of its filters match.
    fn count_subscribers(&mut self, topic: &[u8]) -> u32 {
        let (route, mut work) = self.fanout.router.route(topic);
        let mut of_router: Option<Vec<Filter>> = None;
        let mut count = 0;
        for id in &route.groups {
            let group = self.fanout.groups.get(*id);
            let matching: Vec<&Filter> = if self.fanout.groups.is_private(*id) {
                of_router.get_or_insert_with(|| self.fanout.router.filters_of(topic)).iter().collect()
            } else {
                group.filters.iter().filter(|filter| filter.matches(topic)).collect()
            };
            work += group.filters.len();
            for member in &group.members {
                let Some(session) = self.base.sessions.get(*member) else { continue };
                count += session.subscribers_of(&matching, &mut self.scratch);
                work += matching.len();
            }
        }
        self.base.turn.spend(work);
        u32::try_from(count).unwrap_or(u32::MAX)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::super::config::ShardConfig;
    use super::super::rig::{Rig, message, subscribe};
    use super::*;
    use crate::auth::{Identity, Permissions, Verdict};
    use crate::registry::{Mode, ModeRules};
    use crate::zmtp::{command, put_message};

    /// Shards on which nothing that begins with `secret` may be done.
    fn with_secrets() -> Rig {
        fn decide(_: &Identity, action: Action<'_>) -> Verdict {
            let about = match action {
                Action::Publish(topic) | Action::WatchSubscribers(topic) => topic,
                Action::Subscribe(filter) | Action::WatchPublishers(filter) | Action::Register(filter) => {
                    filter.as_bytes()
                }
            };
            if about.starts_with(b"secret") { Verdict::Refused } else { Verdict::Allowed }
        }
        Rig::new(&ShardConfig {
            permissions: Permissions::Test(decide),
            modes: Arc::new(ModeRules::new(Vec::new(), Mode::Direct).expect("rules")),
            ..ShardConfig::default()
        })
    }

    #[test]
    fn what_is_not_permitted_ends_the_session_after_what_is() {
        let mut rig = with_secrets();
        let subscriber = rig.open(0, OverflowPolicy::DropOldest);
        rig.say(0, subscriber, &[subscribe(">", 1)]);
        assert_eq!(rig.hears(0, subscriber), "!1");
        let publisher = rig.open(0, OverflowPolicy::DropOldest);
        rig.say(0, publisher, &[message("a", 1), message("secret", 2), message("a", 3)]);
        assert_eq!(rig.hears(0, subscriber), "a=1");
        assert_eq!(rig.hears(0, publisher), "not_permitted");
    }

    #[test]
    fn every_question_of_a_session_is_asked() {
        let watch_publishers = Frame::WatchPublishers { filter: b"secret", request: 1, kind: 1 };
        let watch_subscribers = Frame::WatchSubscribers { topic: b"secret", request: 1 };
        for frame in [subscribe("secret", 1), watch_subscribers, watch_publishers, message("secret", 1)] {
            let mut rig = with_secrets();
            let id = rig.open(0, OverflowPolicy::DropOldest);
            rig.say(0, id, &[frame]);
            assert_eq!(rig.hears(0, id), "not_permitted");
        }
    }

    #[test]
    fn a_registration_that_is_not_permitted_is_refused_and_its_session_goes_on() {
        let mut rig = with_secrets();
        let id = rig.open(0, OverflowPolicy::DropOldest);
        let register = |topics, request| Frame::Register {
            endpoints: "tcp://192.0.2.1:1",
            topics,
            publisher: 1,
            epoch: 1,
            request,
        };
        rig.say(0, id, &[register("open\nsecret", 1), Frame::Flush { request: 2 }]);
        assert_eq!(rig.hears(0, id), "not_permitted !2");
        rig.say(0, id, &[register("open", 3)]);
        assert_eq!(rig.hears(0, id), "!3");
    }

    #[test]
    fn zeromq_sockets_are_asked_the_same() {
        let mut message = bytes::BytesMut::new();
        put_message(&mut message, b"secret", std::iter::once(&b"payload"[..]));
        let cases: [(&[u8; 3], Vec<u8>); 2] =
            [(b"SUB", command::subscription(true, b"secret", true)), (b"PUB", message.to_vec())];
        for (socket_type, bytes) in cases {
            let mut rig = with_secrets();
            let id = rig.open_zmtp(socket_type);
            assert_eq!(rig.shards[0].phase(id), Some(Phase::Open));
            rig.say_zmtp(id, &bytes);
            assert_eq!(rig.shards[0].phase(id), Some(Phase::Closing), "{}", socket_type.escape_ascii());
        }
    }

    #[test]
    fn a_flush_is_not_answered_behind_messages_that_a_stopping_shard_did_not_take() {
        let mut rig = Rig::with_shards(2);
        let publisher = rig.open(0, OverflowPolicy::DropOldest);
        rig.say(0, publisher, &[message("a", 1), Frame::Flush { request: 1 }]);
        assert_eq!(rig.hears(0, publisher), "!1");
        // The other shard may still have batches for this one: the farewell waits for its last.
        rig.shards[0].on_drain();
        rig.say(0, publisher, &[message("a", 2)]);
        rig.say(0, publisher, &[Frame::Flush { request: 2 }]);
        assert_eq!(rig.hears(0, publisher), "");
        rig.shards[1].on_drain();
        rig.travel();
        assert_eq!(rig.hears(0, publisher), "shutting_down");
    }
}
