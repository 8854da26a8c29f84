//! One connection's state in the shard that owns it.

use corecast_executors::MonotonicNs;

use super::begun::Begun;
use super::kind::Kind;
use super::news::News;
use super::origin::Origin;
use super::rest::Rest;
use super::strikes::Strikes;
use super::subscriptions::Subscriptions;
use super::successors::Successors;
use crate::auth::{Identity, PeerHost, Permissions, Share, Used};
use crate::error::ErrorCode;
use crate::fanout::EgressQueue;
use crate::fanout::OverflowPolicy;
use crate::ids::{GroupId, RequestId, SessionId, SessionNumber, ShardId};
use crate::telemetry::SessionTally;
use crate::wire::Features;

/// The phase of a session.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Phase {
    /// Connected; the greeting is not all there.
    Greeting,
    /// Greeted; the hello is awaited.
    Hello,
    /// Open.
    Open,
    /// Its farewell is queued. Nothing more is taken from it.
    Closing,
    /// Its farewell is flushed and our side is shut; its end is awaited.
    Shut,
}

/// The part of a session in a move from one shard to another.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub(super) enum Transit {
    /// None: it is here.
    #[default]
    Here,
    /// It is about to leave: nothing is read from it.
    Leaving,
    /// It is about to come, and has no connection here yet: what is for it waits.
    Arriving,
    /// It has come, and its connection is still on its way.
    Unconnected,
}

impl Transit {
    /// True if it is in the fan-out of two shards.
    pub(super) fn is_moving(self) -> bool {
        matches!(self, Transit::Leaving | Transit::Arriving)
    }

    /// True if its connection is here.
    pub(super) fn is_connected(self) -> bool {
        matches!(self, Transit::Here | Transit::Leaving)
    }
}

/// One connection's state. Small while it is idle: what is rare is boxed or empty.
#[derive(Debug)]
pub(super) struct SessionState {
    pub(super) generation: u32,
    pub(super) phase: Phase,
    /// The kind of it, and what only that kind has.
    pub(super) kind: Kind,
    /// The peer, as far as it is known.
    pub(super) identity: Identity,
    /// The name that its client gives itself, for the log.
    pub(super) client: Option<Box<str>>,
    pub(super) policy: OverflowPolicy,
    /// The counts of it, for operators.
    pub(super) tally: SessionTally,
    /// The time when its connection first had no room for what still waits; of no meaning while nothing is stalled.
    pub(super) stalled_at: MonotonicNs,
    /// Why it is being closed, in `Closing` and `Shut`.
    pub(super) closing: Option<ErrorCode>,
    /// It is in the outbox's dirty list, or a flush waits for the kernel: not to be listed again.
    pub(super) listed: bool,
    /// A part has more for it, and waits until its queue has room.
    pub(super) awaits_room: bool,
    /// Something has waited for it for longer than a moment.
    pub(super) is_slow: bool,
    /// Its client was told to go on at another broker.
    pub(super) is_sent_off: bool,
    /// Its client was told to flush, since the shard is about to stop, and has not.
    pub(super) is_called: bool,
    /// Its peer has not said hello: it counts among the strangers.
    pub(super) is_stranger: bool,
    pub(super) egress: EgressQueue,
    /// Its filters, which are the group's, with the subscribers that asked for each.
    pub(super) subscriptions: Subscriptions,
    /// Subscriptions that are asked for and not joined.
    pub(super) joining: u32,
    /// It starts with history: its group is its own until it has caught up.
    pub(super) starts: bool,
    /// The egress group and the place in it.
    pub(super) group: Option<(GroupId, usize)>,
    /// Its part in a move.
    pub(super) transit: Transit,
    /// It cannot move: somebody knows it by its place here, or its connection belongs to this executor.
    pub(super) is_bound: bool,
    /// Its number, if that is of another shard, or of another place here: it came there first.
    pub(super) first_number: Option<SessionNumber>,
    /// When something last came, by the last tick.
    pub(super) heard: MonotonicNs,
    /// When this phase must be over (`Greeting`, `Hello`, `Closing`, `Shut`: `None` there is the end of the drain), or the
    /// begun frame whole (`Open`).
    pub(super) deadline: Option<MonotonicNs>,
    /// The frame whose end `deadline` is, in `Open`.
    pub(super) begun: Begun,
    /// As a publisher: how many full queues and links hold it.
    pub(super) held_by: u32,
    /// As a subscriber with the policy `block`: whom its full queue holds.
    pub(super) holds: Vec<Origin>,
    /// Flushes to answer when nothing holds it any more.
    pub(super) flushes: Vec<RequestId>,
    /// Its client had another session here before.
    pub(super) has_come_back: bool,
    /// Messages that it may have said were given up on their way to a carrier.
    pub(super) is_short: bool,
    /// News of direct publishers, if it asks for them.
    pub(super) news: Option<Box<News>>,
    /// It has registered a direct publisher.
    pub(super) registers: bool,
    /// Watches it has asked for.
    pub(super) watches: u32,
    /// As a publisher: what it has published without a right.
    pub(super) strikes: Strikes,
    /// Its part in the figures of its user, while it is open and the user has quotas.
    pub(super) share: Option<Box<Share>>,
    /// Its client's later sessions, which wait for its end.
    pub(super) successors: Option<Box<Successors>>,
    /// Input that was read and waits for its next turn.
    pub(super) rest: Option<Box<Rest>>,
}

impl SessionState {
    pub(super) fn new(
        (generation, kind, identity): (u32, Kind, Identity),
        policy: OverflowPolicy,
        now: MonotonicNs,
        deadline: MonotonicNs,
    ) -> Self {
        SessionState {
            generation,
            phase: Phase::Greeting,
            egress: EgressQueue::of(kind.encoding()),
            kind,
            identity,
            client: None,
            policy,
            tally: SessionTally::starting(now),
            stalled_at: now,
            closing: None,
            listed: false,
            awaits_room: false,
            is_slow: false,
            is_sent_off: false,
            is_called: false,
            is_stranger: false,
            subscriptions: Subscriptions::default(),
            joining: 0,
            starts: false,
            group: None,
            transit: Transit::Here,
            is_bound: false,
            first_number: None,
            heard: now,
            deadline: Some(deadline),
            begun: Begun::at(now),
            held_by: 0,
            holds: Vec::new(),
            flushes: Vec::new(),
            has_come_back: false,
            is_short: false,
            news: None,
            registers: false,
            watches: 0,
            strikes: Strikes::default(),
            share: None,
            successors: None,
            rest: None,
        }
    }

    /// The peer has greeted, and offers these features: the frames that it gets are written by them.
    pub(super) fn on_greeted(&mut self, features: Features) {
        assert_eq!(self.phase, Phase::Greeting, "a session is greeted once");
        self.phase = Phase::Hello;
        self.kind.on_greeted(features);
        self.egress.write_in(self.kind.encoding());
    }

    /// Its number, by which its client and the log know it. `id` is its place on `shard`.
    pub(super) fn number(&self, id: SessionId, shard: ShardId) -> SessionNumber {
        self.first_number.unwrap_or_else(|| id.number(shard))
    }

    /// Counts the session against the quotas that apply to its identity now. It keeps what it has, even over them.
    pub(super) fn share_again(&mut self, permissions: &Permissions) {
        let used = Used {
            subscriptions: self.subscriptions.count() as u64,
            bytes_waiting: self.egress.bytes() as u64,
        };
        let before = self.share.take();
        let user = permissions.user_of(&self.identity);
        self.share = user.and_then(|user| user.keep_share(used, before));
    }

    /// The host of its peer.
    pub(super) fn host(&self) -> PeerHost {
        PeerHost::at(self.identity.address())
    }

    /// True if frames are still taken from it.
    pub(super) fn is_listening(&self) -> bool {
        matches!(self.phase, Phase::Greeting | Phase::Hello | Phase::Open)
    }

    /// The begun frame, if there is one, has all of its time again.
    pub(super) fn frame_begins_again(&mut self, now: MonotonicNs) {
        let time = |deadline: MonotonicNs| deadline.saturating_since(self.begun.at);
        self.deadline = self.deadline.map(|deadline| now + time(deadline));
        self.begun.again(now);
    }
}
