//! The bodies of frames and their encoding. The order and shape of the variants *are* protocol version 1, and `Run` a feature:
//! `tests/golden.rs` freezes the bytes; a variant may be added at the end if it is no longer than a message.

use rkyv::with::InlineAsBox;
use rkyv::{Archive, Serialize};

use super::run;

/// One frame's body, borrowing its bytes: from the caller when it is written, from the buffer when it is read.
#[derive(Archive, Serialize, Clone, Copy, PartialEq, Eq, Debug)]
#[rkyv(archived = ArchivedFrame)]
pub enum Frame<'a> {
    /// Publisher -> broker -> subscriber: a topic and a payload.
    Message {
        /// 1 to 1,024 bytes.
        #[rkyv(with = InlineAsBox)]
        topic: &'a [u8],
        /// Any bytes.
        #[rkyv(with = InlineAsBox)]
        payload: &'a [u8],
        /// The publisher: a random number, the same for the publisher's whole life.
        publisher: u64,
        /// Counts the publisher's messages, over all its topics, from 1.
        sequence: u64,
        /// When it was published: nanoseconds since 1970-01-01 UTC by the publisher's clock.
        sent_at_ns: u64,
    },
    /// Broker or publisher -> subscriber: messages are missing at this place of the stream.
    Gap {
        /// The topic; empty: any topic of the subscription.
        #[rkyv(with = InlineAsBox)]
        topic: &'a [u8],
        /// The number of missing messages; 0: unknown.
        missed: u64,
        /// The reason: 1 overflow of the egress queue, 2 a publisher's connection was lost, 3 the subscriber's own
        /// queue overflowed, 4 the engine between brokers did not bring them.
        reason: u8,
    },
    /// Client -> broker, the first frame.
    Hello {
        /// For logs and people.
        #[rkyv(with = InlineAsBox)]
        name: &'a str,
        /// The overflow policy wanted for this session; 0: the broker's default.
        overflow: u8,
        /// The client's previous session, which it has left; 0: none, or the client does not support it.
        previous: u64,
        /// The ticket of that session's welcome.
        ticket: u64,
    },
    /// Broker -> client, the answer to a hello: the session is open.
    Welcome {
        /// Names the session in the broker's logs.
        session: u64,
        /// A number that differs after each start of the broker.
        epoch: u64,
        /// Longest frame body that this end takes, in bytes.
        frame_bytes_max: u32,
        /// A client that sent nothing for this long sends a ping, in milliseconds.
        heartbeat_ms: u32,
        /// The overflow policy of this session.
        overflow: u8,
        /// The ticket for coming back as this session's client; 0: the broker does not support it.
        ticket: u64,
    },
    /// Client -> broker: answered by `Done` when the subscription is in force on every shard.
    Subscribe {
        /// The filter's bytes.
        #[rkyv(with = InlineAsBox)]
        filter: &'a [u8],
        /// The answer carries it.
        request: u32,
        /// Which of the session's subscribers; several may share a session.
        subscriber: u32,
        /// The kind of the filter: 1 a pattern of levels, 2 a byte prefix.
        kind: u8,
    },
    /// Client -> broker: cancels one subscription; answered by `Done`.
    Unsubscribe {
        /// As in `Subscribe`.
        #[rkyv(with = InlineAsBox)]
        filter: &'a [u8],
        /// The answer carries it.
        request: u32,
        /// As in `Subscribe`.
        subscriber: u32,
        /// As in `Subscribe`.
        kind: u8,
    },
    /// Broker -> client: the request is done.
    Done {
        /// The request.
        request: u32,
    },
    /// Broker -> client: a request, or (request 0) the connection, is refused.
    Error {
        /// For people.
        #[rkyv(with = InlineAsBox)]
        text: &'a str,
        /// The request; 0: the connection, which ends after this frame.
        request: u32,
        /// One of [`crate::error::ErrorCode`].
        code: u16,
    },
    /// Client -> broker: asks for the number of subscribers of this topic, now and whenever it changes.
    WatchSubscribers {
        /// As in `Message`.
        #[rkyv(with = InlineAsBox)]
        topic: &'a [u8],
        /// The answers carry it.
        request: u32,
    },
    /// Client -> broker: ends such a watch.
    UnwatchSubscribers {
        /// The request of the `WatchSubscribers`.
        request: u32,
    },
    /// Broker -> client: the present number of subscribers.
    SubscriberCount {
        /// The request of the `WatchSubscribers`.
        request: u32,
        /// Subscribers, not sessions.
        count: u32,
    },
    /// Client -> broker: answered by `Done` when all frames before it have been taken for delivery.
    Flush {
        /// The answer carries it.
        request: u32,
    },
    /// Either way: asks for a sign of life.
    Ping {
        /// A number that comes back in the pong.
        token: u64,
    },
    /// The answer to a ping.
    Pong {
        /// The token of the ping.
        token: u64,
    },
    /// Broker -> client, before the welcome: which topics are proxied and which go direct.
    Modes {
        /// A line `FILTER=proxy` or `FILTER=direct` for each rule; the first that matches a topic applies.
        #[rkyv(with = InlineAsBox)]
        rules: &'a str,
    },
    /// Direct publisher -> client, before the welcome: the publisher's identity.
    Identity {
        /// The publisher, as in its registration.
        publisher: u64,
    },
    /// Direct publisher -> broker: announces endpoints and topics; sent again to add topics, or after the lease ran
    /// out. Answered by `Registered` when every shard has the registration.
    Register {
        /// A line for each endpoint that subscribers can reach.
        #[rkyv(with = InlineAsBox)]
        endpoints: &'a str,
        /// A line for each filter of topics.
        #[rkyv(with = InlineAsBox)]
        topics: &'a str,
        /// The publisher: a random number, the same for the publisher's whole life.
        publisher: u64,
        /// A number that grows with each new registration; a lower one than the registry's is stale.
        epoch: u64,
        /// The answer carries it.
        request: u32,
    },
    /// Broker -> direct publisher: the registration or renewal is accepted.
    Registered {
        /// The request of the `Register` or `Renew`.
        request: u32,
        /// Milliseconds within which to renew.
        lease_ms: u32,
    },
    /// Direct publisher -> broker: renews the lease. Answered by `Registered`, or by an error with code 17.
    Renew {
        /// As in `Register`.
        publisher: u64,
        /// As in `Register`.
        epoch: u64,
        /// The answer carries it.
        request: u32,
    },
    /// Direct publisher -> broker: ends the registration.
    Unregister {
        /// As in `Register`.
        publisher: u64,
        /// As in `Register`.
        epoch: u64,
    },
    /// Client -> broker: asks for the direct publishers of these topics, now and from now on. Answered by `Done` after
    /// the present ones.
    WatchPublishers {
        /// As in `Subscribe`.
        #[rkyv(with = InlineAsBox)]
        filter: &'a [u8],
        /// The answer carries it.
        request: u32,
        /// As in `Subscribe`.
        kind: u8,
    },
    /// Client -> broker: ends such a watch.
    UnwatchPublishers {
        /// The request of the `WatchPublishers`.
        request: u32,
    },
    /// Broker -> client: a direct publisher of watched topics has registered, or has added topics.
    PublisherUp {
        /// As in `Register`.
        #[rkyv(with = InlineAsBox)]
        endpoints: &'a str,
        /// As in `Register`.
        #[rkyv(with = InlineAsBox)]
        topics: &'a str,
        /// As in `Register`.
        publisher: u64,
        /// As in `Register`.
        epoch: u64,
        /// The rest of its lease, in milliseconds, in the answer to a list; otherwise 0.
        lease_left_ms: u32,
    },
    /// Broker -> client: a direct publisher is not registered any more.
    PublisherDown {
        /// As in `Register`.
        publisher: u64,
        /// As in `Register`.
        epoch: u64,
        /// The reason: 1 it left, 2 its lease ran out, 4 its registration was taken back, 3 many left.
        reason: u8,
    },
    /// Client -> broker: asks for every direct publisher, sent as `PublisherUp` frames and a `Done` after them.
    ListPublishers {
        /// The answer carries it.
        request: u32,
    },
    /// A message with a topic and any number of further parts but one: sent by a ZeroMQ peer in one part or in more
    /// than two.
    Parts {
        /// The first part. From a ZeroMQ peer it may be empty, or longer than 1,024 bytes.
        #[rkyv(with = InlineAsBox)]
        topic: &'a [u8],
        /// The other parts, each with its length before it: see [`super::parts`].
        #[rkyv(with = InlineAsBox)]
        payload: &'a [u8],
        /// As in `Message`.
        publisher: u64,
        /// As in `Message`.
        sequence: u64,
        /// As in `Message`.
        sent_at_ns: u64,
    },
    /// Several messages of one topic and publisher, consecutive in its sequence. Only sent to an end that has offered
    /// [`Features::RUNS`](super::Features::RUNS).
    Run {
        /// As in `Message`.
        #[rkyv(with = InlineAsBox)]
        topic: &'a [u8],
        /// The messages: see [`super::run`].
        #[rkyv(with = InlineAsBox)]
        messages: &'a [u8],
        /// As in `Message`.
        publisher: u64,
        /// The sequence number of the first message; the others count on from it.
        sequence: u64,
        /// When the first message was published, as in `Message`.
        sent_at_ns: u64,
    },
    /// Client -> broker, before its hello: which user it is. Only sent to an end that has offered
    /// [`Features::LOGINS`](super::Features::LOGINS).
    Login {
        /// A token of the user: 1 to 512 bytes.
        #[rkyv(with = InlineAsBox)]
        token: &'a [u8],
    },
    /// Broker -> publisher: messages of this topic were not taken, and none of it will be while the rules are as they are. The
    /// session goes on. Only sent to an end that has offered [`Features::REFUSALS`](super::Features::REFUSALS).
    PublishRefused {
        /// As in `Message`.
        #[rkyv(with = InlineAsBox)]
        topic: &'a [u8],
        /// For people.
        #[rkyv(with = InlineAsBox)]
        text: &'a str,
        /// As in `Message`.
        publisher: u64,
        /// As in `Error`.
        code: u16,
    },
    /// Broker -> subscriber -> direct publisher, before the hello there and again in its place: the word of the broker that
    /// this subscriber may subscribe there. Only sent to an end that has offered
    /// [`Features::TICKETS`](super::Features::TICKETS).
    Ticket {
        /// Its form is the broker's and the publisher's affair.
        #[rkyv(with = InlineAsBox)]
        ticket: &'a [u8],
        /// The publisher that it is for, as in `Register`.
        publisher: u64,
    },
    /// Broker -> client, before the welcome, with each `Registered`, and whenever it changes: a direct publisher lets in only
    /// those who show such a ticket. Only sent to an end that has offered
    /// [`Features::TICKETS`](super::Features::TICKETS).
    TicketRules {
        /// The public key of Ed25519 by which they are signed: 32 bytes.
        #[rkyv(with = InlineAsBox)]
        key: &'a [u8],
        /// The least epoch that they must have.
        epoch: u64,
        /// The time by the broker's clock of tickets, in milliseconds.
        now_ms: u64,
    },
    /// Client -> broker: the next subscriptions start here. Answered by `Done` when their history begins. Only sent to an end that
    /// has offered [`Features::HISTORY`](super::Features::HISTORY).
    Start {
        /// The kind of start and its number, as [`Start`](super::Start) has them.
        value: u64,
        /// The answer carries it.
        request: u32,
        /// The number of subscriptions, which follow.
        subscriptions: u32,
        /// See `value`.
        kind: u8,
    },
    /// Client -> broker, before a `Start` that goes on where a connection was lost: the last message that the client has had of a
    /// publisher and topic.
    Position {
        /// As in `Message`.
        #[rkyv(with = InlineAsBox)]
        topic: &'a [u8],
        /// As in `Message`.
        publisher: u64,
        /// As in `Message`.
        sequence: u64,
    },
    /// Broker -> client: go on at another one, or publish nothing more here. Only sent to an end that has offered [`Features::DRAINS`](super::Features::DRAINS).
    Drain {
        /// A line for each endpoint at which to go on; empty: wherever else the client may find a broker.
        #[rkyv(with = InlineAsBox)]
        endpoints: &'a str,
        /// The epochs of brokers that have all that this one has, by an engine, as 8 bytes each: see `Welcome`.
        #[rkyv(with = InlineAsBox)]
        joined: &'a [u8],
        /// 1: the broker ends as soon as the client has flushed; it is to publish nothing more, and to read to the end. 0: it serves
        /// until the client has gone.
        ends: u8,
    },
}

/// The class of a frame: routed by topic, or for this connection only.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum FrameKind {
    /// A frame routed by topic: a message, or a gap in one.
    Routable,
    /// A frame for the other end of this connection.
    Control,
}

impl<'a> Frame<'a> {
    /// The class of this frame.
    pub fn kind(&self) -> FrameKind {
        match self {
            Frame::Message { .. } | Frame::Gap { .. } | Frame::Parts { .. } | Frame::Run { .. } => {
                FrameKind::Routable
            }
            _ => FrameKind::Control,
        }
    }

    /// The number of messages in it.
    #[inline]
    pub fn messages(&self) -> u32 {
        match self {
            Frame::Message { .. } | Frame::Parts { .. } => 1,
            Frame::Run { messages, .. } => run::count(messages),
            _ => 0,
        }
    }

    /// The topic of a message, in whatever form.
    #[inline]
    pub fn message_topic(&self) -> Option<&'a [u8]> {
        match self {
            Frame::Message { topic, .. } | Frame::Parts { topic, .. } | Frame::Run { topic, .. } => {
                Some(topic)
            }
            _ => None,
        }
    }

    /// The time at which a message, or the first of a run, was published: in Unix time, by its publisher's clock.
    pub fn sent_at_ns(&self) -> Option<u64> {
        match self {
            Frame::Message { sent_at_ns, .. }
            | Frame::Parts { sent_at_ns, .. }
            | Frame::Run { sent_at_ns, .. } => Some(*sent_at_ns).filter(|sent_at_ns| *sent_at_ns > 0),
            _ => None,
        }
    }

    /// The publisher of a message.
    pub fn publisher(&self) -> Option<u64> {
        self.author().map(|(publisher, _)| publisher)
    }

    /// Its publisher, and the number of its first message, if it has any.
    pub(crate) fn author(&self) -> Option<(u64, u64)> {
        match self {
            Frame::Message { publisher, sequence, .. }
            | Frame::Parts { publisher, sequence, .. }
            | Frame::Run { publisher, sequence, .. } => Some((*publisher, *sequence)),
            _ => None,
        }
    }

    /// The number of its first message, if it has any.
    pub(crate) fn sequence(&self) -> Option<u64> {
        match self {
            Frame::Message { sequence, .. } | Frame::Parts { sequence, .. } | Frame::Run { sequence, .. } => {
                Some(*sequence)
            }
            _ => None,
        }
    }
}

/// The shortest body that can be an archive: its root. Anything shorter is malformed, whatever its bytes.
pub const FRAME_BODY_BYTES_MIN: usize = size_of::<ArchivedFrame<'static>>();

const _: () = assert!(FRAME_BODY_BYTES_MIN == 41, "the root's size is part of protocol version 1");

impl ArchivedFrame<'_> {
    /// True if the messages of a run are whole, and of every other frame.
    #[inline]
    pub(super) fn has_whole_messages(&self) -> bool {
        match self {
            ArchivedFrame::Run { messages, .. } => run::is_whole(messages),
            _ => true,
        }
    }

    /// The archive as plain values that borrow it: 1 to 3 ns.
    #[inline]
    pub(super) fn as_frame(&self) -> Frame<'_> {
        match self {
            ArchivedFrame::Message { topic, payload, publisher, sequence, sent_at_ns } => Frame::Message {
                topic,
                payload,
                publisher: publisher.to_native(),
                sequence: sequence.to_native(),
                sent_at_ns: sent_at_ns.to_native(),
            },
            ArchivedFrame::Gap { topic, missed, reason } => {
                Frame::Gap { topic, missed: missed.to_native(), reason: *reason }
            }
            ArchivedFrame::Parts { topic, payload, publisher, sequence, sent_at_ns } => Frame::Parts {
                topic,
                payload,
                publisher: publisher.to_native(),
                sequence: sequence.to_native(),
                sent_at_ns: sent_at_ns.to_native(),
            },
            other => other.as_rarer_frame(),
        }
    }

    /// A run, of which there is one for many messages, or a control frame: by a call, so that the others are read in place.
    fn as_rarer_frame(&self) -> Frame<'_> {
        match self {
            ArchivedFrame::Message { .. } | ArchivedFrame::Gap { .. } | ArchivedFrame::Parts { .. } => {
                self.as_frame()
            }
            ArchivedFrame::Run { topic, messages, publisher, sequence, sent_at_ns } => Frame::Run {
                topic,
                messages,
                publisher: publisher.to_native(),
                sequence: sequence.to_native(),
                sent_at_ns: sent_at_ns.to_native(),
            },
            ArchivedFrame::Hello { name, overflow, previous, ticket } => Frame::Hello {
                name,
                overflow: *overflow,
                previous: previous.to_native(),
                ticket: ticket.to_native(),
            },
            ArchivedFrame::Welcome { session, epoch, frame_bytes_max, heartbeat_ms, overflow, ticket } => {
                Frame::Welcome {
                    session: session.to_native(),
                    epoch: epoch.to_native(),
                    frame_bytes_max: frame_bytes_max.to_native(),
                    heartbeat_ms: heartbeat_ms.to_native(),
                    overflow: *overflow,
                    ticket: ticket.to_native(),
                }
            }
            ArchivedFrame::Subscribe { filter, request, subscriber, kind } => Frame::Subscribe {
                filter,
                request: request.to_native(),
                subscriber: subscriber.to_native(),
                kind: *kind,
            },
            ArchivedFrame::Unsubscribe { filter, request, subscriber, kind } => Frame::Unsubscribe {
                filter,
                request: request.to_native(),
                subscriber: subscriber.to_native(),
                kind: *kind,
            },
            ArchivedFrame::Login { token } => Frame::Login { token },
            ArchivedFrame::PublishRefused { topic, text, publisher, code } => Frame::PublishRefused {
                topic,
                text,
                publisher: publisher.to_native(),
                code: code.to_native(),
            },
            ArchivedFrame::Ticket { ticket, publisher } => {
                Frame::Ticket { ticket, publisher: publisher.to_native() }
            }
            ArchivedFrame::TicketRules { key, epoch, now_ms } => {
                Frame::TicketRules { key, epoch: epoch.to_native(), now_ms: now_ms.to_native() }
            }
            ArchivedFrame::Start { value, request, subscriptions, kind } => Frame::Start {
                value: value.to_native(),
                request: request.to_native(),
                subscriptions: subscriptions.to_native(),
                kind: *kind,
            },
            ArchivedFrame::Position { topic, publisher, sequence } => {
                Frame::Position { topic, publisher: publisher.to_native(), sequence: sequence.to_native() }
            }
            ArchivedFrame::Drain { endpoints, joined, ends } => {
                Frame::Drain { endpoints, joined, ends: *ends }
            }
            ArchivedFrame::Done { request } => Frame::Done { request: request.to_native() },
            ArchivedFrame::Error { text, request, code } => {
                Frame::Error { text, request: request.to_native(), code: code.to_native() }
            }
            ArchivedFrame::WatchSubscribers { topic, request } => {
                Frame::WatchSubscribers { topic, request: request.to_native() }
            }
            ArchivedFrame::UnwatchSubscribers { request } => {
                Frame::UnwatchSubscribers { request: request.to_native() }
            }
            ArchivedFrame::SubscriberCount { request, count } => {
                Frame::SubscriberCount { request: request.to_native(), count: count.to_native() }
            }
            ArchivedFrame::Flush { request } => Frame::Flush { request: request.to_native() },
            ArchivedFrame::Ping { token } => Frame::Ping { token: token.to_native() },
            ArchivedFrame::Pong { token } => Frame::Pong { token: token.to_native() },
            other => other.as_registry_frame(),
        }
    }

    fn as_registry_frame(&self) -> Frame<'_> {
        match self {
            ArchivedFrame::Modes { rules } => Frame::Modes { rules },
            ArchivedFrame::Identity { publisher } => Frame::Identity { publisher: publisher.to_native() },
            ArchivedFrame::Register { endpoints, topics, publisher, epoch, request } => Frame::Register {
                endpoints,
                topics,
                publisher: publisher.to_native(),
                epoch: epoch.to_native(),
                request: request.to_native(),
            },
            ArchivedFrame::Registered { request, lease_ms } => {
                Frame::Registered { request: request.to_native(), lease_ms: lease_ms.to_native() }
            }
            ArchivedFrame::Renew { publisher, epoch, request } => Frame::Renew {
                publisher: publisher.to_native(),
                epoch: epoch.to_native(),
                request: request.to_native(),
            },
            ArchivedFrame::Unregister { publisher, epoch } => {
                Frame::Unregister { publisher: publisher.to_native(), epoch: epoch.to_native() }
            }
            ArchivedFrame::WatchPublishers { filter, request, kind } => {
                Frame::WatchPublishers { filter, request: request.to_native(), kind: *kind }
            }
            ArchivedFrame::UnwatchPublishers { request } => {
                Frame::UnwatchPublishers { request: request.to_native() }
            }
            ArchivedFrame::PublisherUp { endpoints, topics, publisher, epoch, lease_left_ms } => {
                Frame::PublisherUp {
                    endpoints,
                    topics,
                    publisher: publisher.to_native(),
                    epoch: epoch.to_native(),
                    lease_left_ms: lease_left_ms.to_native(),
                }
            }
            ArchivedFrame::PublisherDown { publisher, epoch, reason } => Frame::PublisherDown {
                publisher: publisher.to_native(),
                epoch: epoch.to_native(),
                reason: *reason,
            },
            ArchivedFrame::ListPublishers { request } => {
                Frame::ListPublishers { request: request.to_native() }
            }
            other => other.as_frame(),
        }
    }
}
