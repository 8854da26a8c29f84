//! What a client asks of its session: hello, subscriptions, counts, flushes, pings.

use bytes::Bytes;
use tracing::debug;

use super::kind::Kind;
use super::origin::Origin;
use super::outbox::LinkItem;
use super::peer::Peer;
use super::session::Phase;
use super::state::Shard;
use super::successors::{Awaiting, Predecessor};
use crate::auth::{Action, Verdict};
use crate::error::ErrorCode;
use crate::fanout::OverflowPolicy;
use crate::ids::{RequestId, SessionId, SessionNumber, SubscriberId};
use crate::limits::{CONTROL_BYTES_MAX, TEXT_BYTES_MAX, TOPIC_BYTES_MAX, WATCHES_PER_SESSION_MAX};
use crate::topic::Filter;
use crate::wire::Frame;

impl Shard {
    /// True if routable frames of this session are taken now; if they may not come, or not yet, it is closed.
    pub(super) fn may_publish(&mut self, id: SessionId) -> bool {
        let Some(session) = self.sessions.get(id) else { return false };
        match (&session.kind, session.phase) {
            (_, Phase::Closing | Phase::Shut) => false,
            (Kind::Native | Kind::Zmtp(_), Phase::Open) if self.config.direct.is_some() => {
                self.close(id, ErrorCode::Unexpected, "a direct publisher takes no messages from others");
                false
            }
            (Kind::Native | Kind::Zmtp(_), Phase::Greeting | Phase::Hello) => {
                self.close(id, ErrorCode::Unexpected, "a message came before the hello");
                false
            }
            _ => !self.draining,
        }
    }

    /// Asks whether a session may take an action. `false`: it may not, and is being closed.
    pub(super) fn may(&mut self, id: SessionId, action: Action<'_>) -> bool {
        let Some(session) = self.sessions.get(id) else { return false };
        let verdict = self.config.permissions.permit(&session.identity, action);
        if verdict == Verdict::Refused {
            self.close(id, ErrorCode::NotPermitted, "this is not permitted to you");
        }
        verdict == Verdict::Allowed
    }

    /// One frame that is meant for this end.
    pub(super) fn on_control(&mut self, id: SessionId, frame: Frame<'_>) {
        if matches!(self.sessions.get(id), Some(session) if matches!(session.kind, Kind::Relay(_))) {
            return self.on_relay_control(id, frame);
        }
        match (self.phase(id), frame) {
            (Some(Phase::Hello), Frame::Hello { name, overflow, previous, ticket }) => {
                let number = SessionNumber(previous);
                self.on_hello(id, name, overflow, Predecessor { number, ticket });
            }
            (Some(Phase::Hello), _) => {
                self.close(id, ErrorCode::Unexpected, "the first frame must be a hello")
            }
            (Some(Phase::Open), frame) => self.on_request(id, frame),
            _ => {}
        }
    }

    fn on_request(&mut self, id: SessionId, frame: Frame<'_>) {
        // Before, not after: one long answer is not a peer's fault, not reading it is.
        if self.close_if_answers_pile_up(id) {
            return;
        }
        match frame {
            Frame::Subscribe { filter, request, subscriber, kind } => {
                let Some(filter) = self.checked_filter(id, kind, filter) else { return };
                if self.may(id, Action::Subscribe(&filter))
                    && self.subscribe_and_tell(id, &filter, SubscriberId(subscriber))
                {
                    self.await_interest(id, RequestId(request));
                }
            }
            Frame::Unsubscribe { filter, request, subscriber, kind } => {
                let Some(filter) = self.checked_filter(id, kind, filter) else { return };
                self.unsubscribe(id, &filter, SubscriberId(subscriber));
                self.answer(id, &Frame::Done { request });
            }
            Frame::WatchSubscribers { topic, request } => self.on_watch(id, topic, RequestId(request)),
            Frame::UnwatchSubscribers { request } => {
                self.end_watch(id, RequestId(request));
            }
            Frame::Flush { request } => self.on_flush(id, RequestId(request)),
            Frame::Ping { token } => self.answer(id, &Frame::Pong { token }),
            Frame::Pong { .. } => {}
            Frame::Hello { .. } => self.close(id, ErrorCode::Unexpected, "a second hello"),
            other if self.on_registry_frame(id, other) => {}
            _ => self.close(id, ErrorCode::Unexpected, "a frame that only a broker sends"),
        }
        self.hold_for_news(id);
    }

    /// A request of a session may be news for shards that take none for now: it is not to make more of them.
    pub(super) fn hold_for_news(&mut self, id: SessionId) {
        for shard in self.others() {
            self.hold_if_backed_up(shard, Origin::Here(id));
        }
    }

    /// Answers are not dropped, so who lets too many wait is closed.
    pub(super) fn close_if_answers_pile_up(&mut self, id: SessionId) -> bool {
        let too_many =
            self.sessions.get(id).is_some_and(|session| session.egress.answer_bytes() > CONTROL_BYTES_MAX);
        if too_many {
            self.close(id, ErrorCode::SlowSubscriber, "too many answers wait to be read");
        }
        too_many
    }

    fn on_hello(&mut self, id: SessionId, name: &str, overflow: u8, predecessor: Predecessor) {
        if name.len() > TEXT_BYTES_MAX {
            return self.close(id, ErrorCode::Unexpected, "the client's name is too long");
        }
        let policy = match overflow {
            0 => Some(self.config.overflow),
            number => OverflowPolicy::from_wire(number),
        };
        let Some(policy) = policy else {
            return self.close(id, ErrorCode::PolicyRefused, "an overflow policy that is not known");
        };
        if policy == OverflowPolicy::Block && self.config.overflow != OverflowPolicy::Block {
            return self.close(
                id,
                ErrorCode::PolicyRefused,
                "this broker does not run with --overflow block",
            );
        }
        if let Some(session) = self.sessions.get_mut(id) {
            session.policy = policy;
            session.client = (!name.is_empty()).then(|| name.into());
        }
        let number = id.number(self.id);
        debug!(shard = %self.id, session = %number, name, policy = policy.name(), "session opened");
        self.open_after(id, predecessor);
    }

    pub(super) fn checked_filter(&mut self, id: SessionId, kind: u8, bytes: &[u8]) -> Option<Filter> {
        match Filter::from_wire(kind, bytes) {
            Ok(filter) => Some(filter),
            Err(error) => {
                self.close(id, ErrorCode::BadFilter, &error.to_string());
                None
            }
        }
    }

    fn on_watch(&mut self, id: SessionId, topic: &[u8], request: RequestId) {
        if topic.is_empty() || topic.len() > TOPIC_BYTES_MAX {
            return self.close(id, ErrorCode::BadTopic, "a watch's topic must have 1 to 1,024 bytes");
        }
        if !self.may(id, Action::WatchSubscribers(topic)) {
            return;
        }
        // The same number again is another watch in the place of the first.
        self.end_watch(id, request);
        let Some(session) = self.sessions.get_mut(id) else { return };
        // A direct publisher's own session stands for any number of publishers of its process.
        if session.watches as usize >= WATCHES_PER_SESSION_MAX && !session.kind.is_local() {
            return self.close(id, ErrorCode::Unexpected, "too many watches");
        }
        session.watches += 1;
        let topic = Bytes::copy_from_slice(topic);
        if let Some(watch) = self.watches.add((id, request), topic.clone(), self.config.shards) {
            for shard in self.others() {
                self.send_link(shard, LinkItem::Watch { watch, topic: topic.clone() });
            }
        }
        self.count_watched();
    }

    /// While the shard stops, messages may have come before this that were not taken: no answer is the true one,
    /// and the client will see that the session has ended.
    fn on_flush(&mut self, id: SessionId, request: RequestId) {
        if self.draining {
            return;
        }
        let Some(session) = self.sessions.get_mut(id) else { return };
        if session.held_by > 0 {
            session.flushes.push(request);
        } else {
            self.answer(id, &Frame::Done { request: request.0 });
        }
    }

    /// Answers the subscriptions that all shards have seen, and lets the sessions open that wait for them as well.
    pub(super) fn answer_done(&mut self) {
        while let Some(done) = self.interest.acks.pop_done() {
            match done {
                Awaiting::Subscription(id, request) => {
                    if let Some(session) = self.sessions.get_mut(id) {
                        session.subscribing -= 1;
                    }
                    self.answer(id, &Frame::Done { request: request.0 });
                }
                Awaiting::Successor(shard, session) => self.let_open((shard, session)),
            }
        }
    }

    fn await_interest(&mut self, id: SessionId, request: RequestId) {
        if let Some(session) = self.sessions.get_mut(id) {
            session.subscribing += 1;
        }
        self.interest.acks.wait(Awaiting::Subscription(id, request));
        self.answer_done();
    }

    /// Counts the subscribers of watched topics again, and tells whom it concerns, for as long as this turn has work
    /// left. While a shard takes nothing for now, nothing is counted: it is told with a later tick, what is true then.
    pub(super) fn count_watched(&mut self) {
        while !self.turn.is_over()
            && !self.peers.iter().any(Peer::is_backed_up)
            && let Some(topic) = self.watches.next_stale()
        {
            let count = self.count_subscribers(&topic);
            for (to, watch) in self.watches.counted_here(self.id, &topic, count) {
                self.send_link(to, LinkItem::Count { watch, count });
            }
        }
        self.tell_watches();
    }

    pub(super) fn tell_watches(&mut self) {
        while !self.turn.is_over()
            && let Some(untold) = self.watches.next_untold()
        {
            self.turn.spend(1);
            let Some(((id, request), count)) = untold else { continue };
            self.answer(id, &Frame::SubscriberCount { request: request.0, count });
            self.close_if_answers_pile_up(id);
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
                let Some(session) = self.sessions.get(*member) else { continue };
                count += session.subscribers_of(&matching, &mut self.scratch);
                work += matching.len();
            }
        }
        self.turn.spend(work);
        u32::try_from(count).unwrap_or(u32::MAX)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::super::config::ShardConfig;
    use super::super::rig::{Rig, message, subscribe};
    use super::*;
    use crate::auth::{Identity, Permissions};
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
