//! The bodies of frames and how they are written. The order and shape of the variants *are* protocol version 1:
//! `tests/golden.rs` freezes the bytes; a variant may be added at the end when it is no longer than a message.

use rkyv::ser::Serializer;
use rkyv::ser::allocator::SubAllocator;
use rkyv::with::InlineAsBox;
use rkyv::{Archive, Serialize};

use crate::limits::LENGTH_BYTES;

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
        /// Who published it: random, the same for the publisher's whole life.
        publisher: u64,
        /// Counts the publisher's messages, over all its topics, from 1.
        sequence: u64,
        /// When it was published: nanoseconds since 1970-01-01 UTC by the publisher's clock.
        sent_at_ns: u64,
    },
    /// Broker or publisher -> subscriber: messages are missing at this place of the stream.
    Gap {
        /// Of which topic; empty: of any topic of the subscription.
        #[rkyv(with = InlineAsBox)]
        topic: &'a [u8],
        /// How many; 0: unknown.
        missed: u64,
        /// Why: 1 overflow of the egress queue, 2 a publisher's connection was lost, 3 the subscriber's own
        /// queue overflowed.
        reason: u8,
    },
    /// Client -> broker, the first frame.
    Hello {
        /// For logs and people.
        #[rkyv(with = InlineAsBox)]
        name: &'a str,
        /// The overflow policy wanted for this session; 0: the broker's default.
        overflow: u8,
        /// The client's session before this one, which it has left; 0: none, as from clients that know no such thing.
        previous: u64,
        /// What that session was welcomed with.
        ticket: u64,
    },
    /// Broker -> client, the answer to a hello: the session is open.
    Welcome {
        /// Names the session in the broker's logs.
        session: u64,
        /// Another one after each start of the broker.
        epoch: u64,
        /// Longest frame body that this end takes, in bytes.
        frame_bytes_max: u32,
        /// A client that sent nothing for this long sends a ping, in milliseconds.
        heartbeat_ms: u32,
        /// The overflow policy of this session.
        overflow: u8,
        /// To come back with, as the session's own client; 0: from brokers that know no such thing.
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
        /// How the filter's bytes are meant: 1 a pattern of levels, 2 a byte prefix.
        kind: u8,
    },
    /// Client -> broker: takes one subscription back; answered by `Done`.
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
        /// Which one.
        request: u32,
    },
    /// Broker -> client: a request, or (request 0) the connection, is refused.
    Error {
        /// For people.
        #[rkyv(with = InlineAsBox)]
        text: &'a str,
        /// Which request; 0: the connection, which ends after this frame.
        request: u32,
        /// One of [`crate::error::ErrorCode`].
        code: u16,
    },
    /// Client -> broker: tell me how many subscribers this topic has, now and whenever that changes.
    WatchSubscribers {
        /// As in `Message`.
        #[rkyv(with = InlineAsBox)]
        topic: &'a [u8],
        /// The answers carry it.
        request: u32,
    },
    /// Client -> broker: no more of that.
    UnwatchSubscribers {
        /// Of the `WatchSubscribers`.
        request: u32,
    },
    /// Broker -> client: so many subscribers are there.
    SubscriberCount {
        /// Of the `WatchSubscribers`.
        request: u32,
        /// Subscribers, not sessions.
        count: u32,
    },
    /// Client -> broker: answered by `Done` when all frames before it have been taken for delivery.
    Flush {
        /// The answer carries it.
        request: u32,
    },
    /// Either way: are you there?
    Ping {
        /// Comes back in the pong.
        token: u64,
    },
    /// The answer to a ping.
    Pong {
        /// Of the ping.
        token: u64,
    },
    /// Broker -> client, before the welcome: which topics are proxied and which go direct.
    Modes {
        /// A line `FILTER=proxy` or `FILTER=direct` for each rule; the first that matches a topic holds.
        #[rkyv(with = InlineAsBox)]
        rules: &'a str,
    },
    /// Direct publisher -> client, before the welcome: who this is.
    Identity {
        /// As in its registration.
        publisher: u64,
    },
    /// Direct publisher -> broker: where I am and what I publish; again to add topics, or after the lease ran out.
    /// Answered by `Registered` when every shard knows.
    Register {
        /// A line for each endpoint that subscribers can reach.
        #[rkyv(with = InlineAsBox)]
        endpoints: &'a str,
        /// A line for each filter of topics.
        #[rkyv(with = InlineAsBox)]
        topics: &'a str,
        /// Who: random, the same for the publisher's whole life.
        publisher: u64,
        /// Grows with each new registration; one that is lower than known is stale.
        epoch: u64,
        /// The answer carries it.
        request: u32,
    },
    /// Broker -> direct publisher.
    Registered {
        /// Of the `Register` or `Renew`.
        request: u32,
        /// Renew before so many milliseconds have passed.
        lease_ms: u32,
    },
    /// Direct publisher -> broker: I am still here. Answered by `Registered`, or by an error with code 17.
    Renew {
        /// As in `Register`.
        publisher: u64,
        /// As in `Register`.
        epoch: u64,
        /// The answer carries it.
        request: u32,
    },
    /// Direct publisher -> broker: I am leaving.
    Unregister {
        /// As in `Register`.
        publisher: u64,
        /// As in `Register`.
        epoch: u64,
    },
    /// Client -> broker: tell me of direct publishers of these topics, now and from now on. Answered by `Done` behind
    /// those that are there now.
    WatchPublishers {
        /// As in `Subscribe`.
        #[rkyv(with = InlineAsBox)]
        filter: &'a [u8],
        /// The answer carries it.
        request: u32,
        /// As in `Subscribe`.
        kind: u8,
    },
    /// Client -> broker: no more of that.
    UnwatchPublishers {
        /// Of the `WatchPublishers`.
        request: u32,
    },
    /// Broker -> client: a direct publisher of watched topics is there, or has more of them.
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
        /// What is left of its lease, in milliseconds, in the answer to a list; else 0.
        lease_left_ms: u32,
    },
    /// Broker -> client: a direct publisher has left, or its lease ran out.
    PublisherDown {
        /// As in `Register`.
        publisher: u64,
        /// As in `Register`.
        epoch: u64,
        /// 1: it left, 2: its lease ran out.
        reason: u8,
    },
    /// Client -> broker: every direct publisher, as `PublisherUp` frames and a `Done` behind them.
    ListPublishers {
        /// The answer carries it.
        request: u32,
    },
    /// As `Message`, of a topic and any number of parts but one: what a ZeroMQ peer sent in one part or in more than
    /// two.
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
}

/// A frame's variant, without its fields.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum FrameKind {
    /// Travels by topic: a message, or a gap in one.
    Routable,
    /// Meant for the other end of this connection.
    Control,
}

impl Frame<'_> {
    /// Whether it travels by topic.
    pub fn kind(&self) -> FrameKind {
        match self {
            Frame::Message { .. } | Frame::Gap { .. } | Frame::Parts { .. } => FrameKind::Routable,
            _ => FrameKind::Control,
        }
    }
}

/// The shortest body that can be an archive: its root. Anything shorter is malformed, whatever it says.
pub const FRAME_BODY_BYTES_MIN: usize = size_of::<ArchivedFrame<'static>>();

const _: () = assert!(FRAME_BODY_BYTES_MIN == 41, "the root's size is part of protocol version 1");

/// Appends the frame, length first, to `out`. Allocates only if `out` must grow.
///
/// # Panics
/// If the body would be over 4 GiB: callers bound it by the peer's `frame_bytes_max` first.
pub fn encode(frame: &Frame<'_>, out: &mut Vec<u8>) {
    let start = out.len();
    out.extend_from_slice(&[0; LENGTH_BYTES]);
    // Bytes and text need no scratch: rkyv copies them straight to the writer.
    let mut serializer = Serializer::new(&mut *out, SubAllocator::new(&mut []), ());
    let written: Result<usize, rkyv::rancor::Panic> = rkyv::api::serialize_using(frame, &mut serializer);
    let Ok(_root) = written;
    let body = out.len() - start - LENGTH_BYTES;
    let length = u32::try_from(body).expect("callers bound the body by frame_bytes_max");
    out[start..start + LENGTH_BYTES].copy_from_slice(&length.to_le_bytes());
}

/// The frame in a vector of its own, for answers and other cold paths.
pub fn encode_to_vec(frame: &Frame<'_>) -> Vec<u8> {
    let mut out = Vec::with_capacity(LENGTH_BYTES + FRAME_BODY_BYTES_MIN + 64);
    encode(frame, &mut out);
    out
}

impl ArchivedFrame<'_> {
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
            other => other.as_control_frame(),
        }
    }

    fn as_control_frame(&self) -> Frame<'_> {
        match self {
            ArchivedFrame::Message { .. } | ArchivedFrame::Gap { .. } | ArchivedFrame::Parts { .. } => {
                self.as_frame()
            }
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
