//! Direct publishers, as shards deal with them: the first shard keeps the registry, every shard follows it in a
//! directory and tells the sessions that watch.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use bytes::Bytes;

use super::acks::Acks;
use super::outbox::LinkItem;
use super::shard::Shard;
use crate::error::ErrorCode;
use crate::ids::{PublisherId, RequestId, SessionId, ShardId};
use crate::limits::SUBSCRIPTIONS_PER_SESSION_MAX;
use crate::registry::{
    Directory, Gone, LeaseError, Registration, Registry, endpoints_to_lines, filters_to_lines,
    lines_to_endpoints, lines_to_filters,
};
use crate::topic::Filter;
use crate::wire::{Frame, encode, encode_to_vec};

/// The shard that keeps the registry.
const REGISTRY_SHARD: ShardId = ShardId(0);

/// What a session asks of the registry.
#[derive(Clone, Debug)]
pub enum RegistryAsk {
    /// Register, or add topics.
    Register {
        /// The answer carries it.
        request: RequestId,
        /// What.
        registration: Registration,
    },
    /// Renew the lease.
    Renew {
        /// The answer carries it.
        request: RequestId,
        /// Who.
        publisher: PublisherId,
        /// Of this epoch.
        epoch: u64,
    },
    /// Leave.
    Unregister {
        /// Who.
        publisher: PublisherId,
        /// Of this epoch.
        epoch: u64,
    },
    /// List all publishers.
    List {
        /// The answer carries it.
        request: RequestId,
    },
}

/// What the registry tells all shards.
#[derive(Clone, Debug)]
pub enum RegistryChange {
    /// A publisher is there, or has changed.
    Up(Arc<Registration>),
    /// A publisher is not there any more.
    Down(Gone),
}

/// A registration that is answered when all shards know of it.
struct Asker {
    shard: ShardId,
    session: SessionId,
    request: RequestId,
}

pub(super) struct Publishers {
    /// On the first shard of a broker.
    registry: Option<Registry>,
    pub(super) directory: Directory,
    acks: Acks<Asker>,
    /// Sessions that watch, and which publishers each has been told of and follows. Told once, however many of its
    /// watches match: hundreds of subscribers share a session.
    watching: BTreeMap<SessionId, BTreeSet<PublisherId>>,
}

impl Publishers {
    pub(super) fn new(me: ShardId, shards: usize, lease: Option<std::time::Duration>) -> Self {
        let registry = lease.filter(|_| me == REGISTRY_SHARD).map(Registry::new);
        Publishers {
            registry,
            directory: Directory::default(),
            acks: Acks::new(me, shards),
            watching: BTreeMap::new(),
        }
    }

    pub(super) fn forget_session(&mut self, id: SessionId) {
        self.watching.remove(&id);
    }
}

impl Shard {
    /// One of the frames that deal with direct publishers; `false`: it is none of them, or this is a direct publisher,
    /// which keeps no registry.
    pub(super) fn on_registry_frame(&mut self, id: SessionId, frame: Frame<'_>) -> bool {
        if self.config.direct.is_some() {
            return false;
        }
        match frame {
            Frame::Register { endpoints, topics, publisher, epoch, request } => {
                let request = RequestId(request);
                let read = (lines_to_endpoints(endpoints), lines_to_filters(topics));
                let (Some(endpoints), Some(topics)) = read else {
                    let text = "a line of the registration is no endpoint, or no filter";
                    self.refuse_request(id, request, ErrorCode::EndpointRefused, text);
                    return true;
                };
                let registration =
                    Registration { publisher: PublisherId(publisher), epoch, endpoints, topics };
                self.ask_registry(id, RegistryAsk::Register { request, registration });
            }
            Frame::Renew { publisher, epoch, request } => {
                let (publisher, request) = (PublisherId(publisher), RequestId(request));
                self.ask_registry(id, RegistryAsk::Renew { request, publisher, epoch });
            }
            Frame::Unregister { publisher, epoch } => {
                self.ask_registry(id, RegistryAsk::Unregister { publisher: PublisherId(publisher), epoch });
            }
            Frame::ListPublishers { request } => {
                self.ask_registry(id, RegistryAsk::List { request: RequestId(request) });
            }
            Frame::WatchPublishers { filter, request, kind } => {
                if let Some(filter) = self.checked_filter(id, kind, filter) {
                    self.watch_publishers(id, filter, RequestId(request));
                }
            }
            Frame::UnwatchPublishers { request } => {
                if let Some(session) = self.sessions.get_mut(id) {
                    session.publisher_watches.retain(|(watch, _)| *watch != RequestId(request));
                }
            }
            _ => return false,
        }
        true
    }

    fn watch_publishers(&mut self, id: SessionId, filter: Filter, request: RequestId) {
        let Some(session) = self.sessions.get_mut(id) else { return };
        if session.publisher_watches.len() >= SUBSCRIPTIONS_PER_SESSION_MAX {
            return self.close(id, ErrorCode::TooManySubscriptions, "too many watches of publishers");
        }
        let mut news = Vec::new();
        let told = self.publishers.watching.entry(id).or_default();
        for registration in self.publishers.directory.matching(&filter) {
            if told.insert(registration.publisher) {
                news.extend_from_slice(&up_frame(registration, 0));
            }
        }
        session.publisher_watches.push((request, filter));
        self.tell_news(id, news);
        self.answer(id, &Frame::Done { request: request.0 });
    }

    /// Tells a session what the registry knows. It may be more than answers usually are, and is not its fault.
    fn tell_news(&mut self, id: SessionId, frames: impl Into<Bytes>) {
        let frames = frames.into();
        let Some(session) = self.sessions.get_mut(id).filter(|_| !frames.is_empty()) else { return };
        session.news_bytes += frames.len();
        self.answer_raw(id, frames);
        self.close_if_answers_pile_up(id);
    }

    fn ask_registry(&mut self, session: SessionId, ask: RegistryAsk) {
        if self.id == REGISTRY_SHARD {
            self.on_registry_ask(self.id, session, ask);
        } else {
            self.send_link(REGISTRY_SHARD, LinkItem::Registry { session, ask });
        }
    }

    /// The registry is asked by a session of some shard.
    pub(super) fn on_registry_ask(&mut self, shard: ShardId, session: SessionId, ask: RegistryAsk) {
        let now = self.now;
        let Some(registry) = &mut self.publishers.registry else {
            return debug_assert!(false, "a broker's first shard keeps the registry");
        };
        match ask {
            RegistryAsk::Register { request, registration } => match registry.register(now, registration) {
                Ok(change) => {
                    if let Some(registration) = change {
                        self.tell_change(RegistryChange::Up(registration));
                    }
                    self.publishers.acks.wait(Asker { shard, session, request });
                    self.answer_registered();
                }
                Err(error) => self.refuse_lease(shard, session, request, &error),
            },
            RegistryAsk::Renew { request, publisher, epoch } => match registry.renew(now, publisher, epoch) {
                Ok(()) => self.registered(shard, session, request),
                Err(error) => self.refuse_lease(shard, session, request, &error),
            },
            RegistryAsk::Unregister { publisher, epoch } => {
                if let Some(gone) = registry.unregister(publisher, epoch) {
                    self.tell_change(RegistryChange::Down(gone));
                }
            }
            RegistryAsk::List { request } => {
                let mut bytes = Vec::new();
                for (registration, left) in registry.list(now) {
                    let left_ms = u32::try_from(left.as_millis()).unwrap_or(u32::MAX).max(1);
                    bytes.extend_from_slice(&up_frame(&registration, left_ms));
                }
                encode(&Frame::Done { request: request.0 }, &mut bytes);
                self.answer_at(shard, session, bytes);
            }
        }
    }

    fn refuse_lease(&mut self, shard: ShardId, session: SessionId, request: RequestId, error: &LeaseError) {
        let (text, code) = (error.to_string(), error.code().number());
        self.answer_at(
            shard,
            session,
            encode_to_vec(&Frame::Error { text: &text, request: request.0, code }),
        );
    }

    fn refuse_request(&mut self, id: SessionId, request: RequestId, code: ErrorCode, text: &str) {
        self.answer(id, &Frame::Error { text, request: request.0, code: code.number() });
    }

    fn registered(&mut self, shard: ShardId, session: SessionId, request: RequestId) {
        let lease = self.publishers.registry.as_ref().map_or(0, |r| r.lease().as_millis());
        let lease_ms = u32::try_from(lease).unwrap_or(u32::MAX);
        self.answer_at(shard, session, encode_to_vec(&Frame::Registered { request: request.0, lease_ms }));
    }

    fn answer_at(&mut self, shard: ShardId, session: SessionId, bytes: Vec<u8>) {
        if shard == self.id {
            self.tell_news(session, bytes);
        } else {
            self.send_link(shard, LinkItem::Answer { session, bytes: Bytes::from(bytes) });
        }
    }

    fn tell_change(&mut self, change: RegistryChange) {
        let seq = self.publishers.acks.next();
        for shard in self.others() {
            self.send_link(shard, LinkItem::Publisher { seq, change: change.clone() });
        }
        self.on_registry_change(change);
    }

    /// An answer of the registry has come for a session of this shard.
    pub(super) fn on_registry_answer(&mut self, session: SessionId, frames: Bytes) {
        self.tell_news(session, frames);
    }

    /// The registry has changed: tells the sessions here whom it concerns.
    pub(super) fn on_registry_change(&mut self, change: RegistryChange) {
        match change {
            RegistryChange::Up(registration) => self.on_up(&registration),
            RegistryChange::Down(gone) => self.on_down(gone),
        }
    }

    /// Who was told of the publisher hears of the change, too, whatever it publishes now.
    fn on_up(&mut self, registration: &Arc<Registration>) {
        self.publishers.directory.up(Arc::clone(registration));
        let frame = Bytes::from(up_frame(registration, 0));
        let (sessions, mut concerned) = (&self.sessions, Vec::new());
        for (id, told) in &mut self.publishers.watching {
            let Some(session) = sessions.get(*id) else { continue };
            let mut watches = session.publisher_watches.iter();
            if told.contains(&registration.publisher) || watches.any(|(_, f)| registration.overlaps(f)) {
                told.insert(registration.publisher);
                concerned.push(*id);
            }
        }
        concerned.into_iter().for_each(|id| self.tell_news(id, frame.clone()));
        self.relay_on_up(registration);
    }

    fn on_down(&mut self, Gone { publisher, epoch, expired }: Gone) {
        let known = self.publishers.directory.down(publisher, epoch);
        debug_assert!(known.is_some(), "a directory follows the registry");
        let reason = if expired { DOWN_EXPIRED } else { DOWN_LEFT };
        let frame = encode_to_vec(&Frame::PublisherDown { publisher: publisher.0, epoch, reason });
        let mut concerned = Vec::new();
        for (id, told) in &mut self.publishers.watching {
            if told.remove(&publisher) {
                concerned.push(*id);
            }
        }
        concerned.into_iter().for_each(|id| self.tell_news(id, frame.clone()));
        self.relay_on_down(publisher);
    }

    /// That shard knows of all changes up to `seq`.
    pub(super) fn on_publisher_seen(&mut self, shard: ShardId, seq: u64) {
        self.publishers.acks.seen_by(shard, seq);
        self.answer_registered();
    }

    fn answer_registered(&mut self) {
        while let Some(asker) = self.publishers.acks.pop_done() {
            self.registered(asker.shard, asker.session, asker.request);
        }
    }

    /// A tick: leases that have run out.
    pub(super) fn expire_leases(&mut self) {
        let now = self.now;
        let Some(registry) = &mut self.publishers.registry else { return };
        for gone in registry.expire(now) {
            self.tell_change(RegistryChange::Down(gone));
        }
    }
}

/// The numbers on the wire of why a publisher is not there any more.
pub(crate) const DOWN_LEFT: u8 = 1;
const DOWN_EXPIRED: u8 = 2;

fn up_frame(registration: &Registration, lease_left_ms: u32) -> Vec<u8> {
    encode_to_vec(&Frame::PublisherUp {
        endpoints: &endpoints_to_lines(&registration.endpoints),
        topics: &filters_to_lines(&registration.topics),
        publisher: registration.publisher.0,
        epoch: registration.epoch,
        lease_left_ms,
    })
}

#[cfg(test)]
mod tests;
