//! Direct publishers, as shards deal with them: the first shard keeps the registry, every shard follows it in a
//! directory and tells the sessions that watch.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::ops::Bound;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;

use super::base::Base;
use super::far_publishers::FarPublishers;
use super::news::{News, up_frame};
use super::registering::{identity_of, read_registration};
use crate::auth::{Action, Identity, VERDICT_STEPS, Verdict};
use crate::carrier::{Acks, LinkItem, ShardItem, Unconfirmed};
#[cfg(feature = "broker")]
use crate::control::{PublisherFigures, RegistryPage};
use crate::error::ErrorCode;
use crate::fanout::{FILING_STEPS, Turn};
use crate::ids::{PublisherId, RequestId, SessionId, ShardId};
use crate::limits::{LISTS_WAITING_MAX, NEWS_BYTES_AHEAD, SUBSCRIPTIONS_PER_SESSION_MAX};
use crate::registry::{Directory, Gone, GoneReason, LeaseError, Leavers, Registration, Registry};
use crate::registry::{RegistryAsk, RegistryChange};
use crate::topic::{Filter, OverlapIndex};
use crate::wire::{Frame, encode, encode_to_vec};

/// The shard that keeps the registry.
const REGISTRY_SHARD: ShardId = ShardId(0);

/// The change of the registry that a call has made, if any, for those who connect to direct publishers.
pub(super) type Served = Option<RegistryChange>;

/// A registration that is answered when all shards know of it.
#[derive(Clone, Copy)]
struct Asker {
    shard: ShardId,
    session: SessionId,
    request: RequestId,
}

pub(super) struct Publishers {
    /// On the first shard of a broker.
    registry: Option<Registry>,
    /// There as well: those that other brokers have registered.
    far: FarPublishers,
    directory: Directory,
    /// The last of the publishers that have left it.
    leavers: Leavers,
    acks: Acks,
    /// Registrations that some shard does not know of.
    unanswered: Unconfirmed<Asker>,
    /// Sessions that watch. Each is told once, however many of its watches match: hundreds of subscribers share one.
    watching: BTreeSet<SessionId>,
    /// The filters that they watch.
    filters: OverlapIndex<SessionId>,
    /// Sessions that have ended: their watches are taken out in turns.
    leaving: VecDeque<(SessionId, Box<News>)>,
    /// The peer that has made each registration, to which it belongs.
    registrants: BTreeMap<PublisherId, Arc<Identity>>,
}

impl Publishers {
    pub(super) fn new(me: ShardId, shards: usize, lease: Option<Duration>) -> Self {
        let registry = lease.filter(|_| me == REGISTRY_SHARD).map(Registry::new);
        Publishers {
            registry,
            far: FarPublishers::default(),
            directory: Directory::default(),
            leavers: Leavers::default(),
            acks: Acks::among(shards, me),
            unanswered: Unconfirmed::default(),
            watching: BTreeSet::new(),
            filters: OverlapIndex::default(),
            leaving: VecDeque::new(),
            registrants: BTreeMap::new(),
        }
    }

    /// A session has ended.
    pub(super) fn forget_session(&mut self, id: SessionId, news: Box<News>) {
        self.watching.remove(&id);
        self.leaving.push_back((id, news));
    }

    /// True if watches of sessions that have ended are still to be taken out.
    pub(super) fn has_leaving(&self) -> bool {
        !self.leaving.is_empty()
    }

    /// Takes watches of sessions that have ended out, for as long as the turn has work left.
    pub(super) fn take_watches_out(&mut self, turn: &mut Turn) {
        while !turn.is_over()
            && let Some((id, news)) = self.leaving.front_mut()
        {
            turn.spend(FILING_STEPS);
            match news.unwatch_any() {
                Some(Some(filter)) => _ = self.filters.remove(&filter, *id),
                Some(None) => {}
                None => _ = self.leaving.pop_front(),
            }
        }
    }

    /// One of the frames that deal with direct publishers. `None`: it is none of them, or this is a direct publisher, which
    /// keeps no registry.
    pub(super) fn on_frame(&mut self, base: &mut Base, id: SessionId, frame: Frame<'_>) -> Option<Served> {
        if base.config.direct.is_some() {
            return None;
        }
        match frame {
            Frame::Register { endpoints, topics, publisher, epoch, request } => {
                let request = RequestId(request);
                if let Some(session) = base.sessions.get_mut(id) {
                    session.registers = true;
                }
                match read_registration((base, id), endpoints, topics) {
                    Ok((endpoints, topics)) => {
                        let Some(identity) = identity_of(base, id) else { return Some(None) };
                        let publisher = PublisherId(publisher);
                        let registration = Registration { publisher, epoch, endpoints, topics };
                        let ask = RegistryAsk::Register { request, registration, identity };
                        return Some(self.ask(base, id, ask));
                    }
                    Err(text) => refuse(base, (base.id, id), request, (ErrorCode::EndpointRefused, &text)),
                }
            }
            Frame::Renew { publisher, epoch, request } => {
                let (publisher, request) = (PublisherId(publisher), RequestId(request));
                let Some(identity) = identity_of(base, id) else { return Some(None) };
                let ask = RegistryAsk::Renew { request, publisher, epoch, identity };
                return Some(self.ask(base, id, ask));
            }
            Frame::Unregister { publisher, epoch } => {
                let publisher = PublisherId(publisher);
                if self.may_take_back(base, id, publisher)
                    && let Some(identity) = identity_of(base, id)
                {
                    return Some(self.ask(base, id, RegistryAsk::Unregister { publisher, epoch, identity }));
                }
            }
            Frame::ListPublishers { request } => {
                let all = Filter::parse(">").expect("`>` is a filter");
                if !base.may(id, Action::WatchPublishers(&all)) {
                    return Some(None);
                }
                let news = base.sessions.get_mut(id).map(|session| session.news.get_or_insert_default());
                if news.is_some_and(|news| news.ask_list(RequestId(request)) > LISTS_WAITING_MAX) {
                    base.end(id, ErrorCode::SlowSubscriber, "too many lists of publishers wait to be read");
                }
                self.tell_news(base, id);
            }
            Frame::WatchPublishers { filter, request, kind } => {
                if let Some(filter) = base.checked_filter(id, kind, filter)
                    && base.may_request(id, RequestId(request), Action::WatchPublishers(&filter))
                {
                    self.watch(base, id, filter, RequestId(request));
                }
            }
            Frame::UnwatchPublishers { request } => self.unwatch(base, id, RequestId(request)),
            _ => return None,
        }
        Some(None)
    }

    /// Asks whether a session may take back the registration of a publisher: whoever hears of one knows its numbers. `false`: it
    /// could not have made it, and is being closed.
    fn may_take_back(&self, base: &mut Base, id: SessionId, publisher: PublisherId) -> bool {
        let Some(registration) = self.directory.get(publisher) else { return true };
        let identity = base.sessions.identity_of(id);
        let refused = identity.and_then(|identity| first_refused(base, identity, &registration.topics));
        refused.is_none_or(|topic| base.may(id, Action::Register(topic)))
    }

    fn watch(&mut self, base: &mut Base, id: SessionId, filter: Filter, request: RequestId) {
        let Some(session) = base.sessions.get_mut(id) else { return };
        let news = session.news.get_or_insert_default();
        if news.watch_count() >= SUBSCRIPTIONS_PER_SESSION_MAX {
            return base.end(id, ErrorCode::TooManySubscriptions, "too many watches of publishers");
        }
        // The same number again is another watch in the place of the first.
        if let Some(old) = news.unwatch(request) {
            self.filters.remove(&old, id);
        }
        if news.watch(request, &filter) {
            self.filters.insert(&filter, id);
            let (publishers, work) = self.directory.overlapping(&filter);
            base.turn.spend(FILING_STEPS + work + publishers.len());
            for publisher in publishers {
                if !news.knows(publisher) {
                    news.on_up(publisher);
                }
            }
            base.turn.spend(self.leavers.len());
            for leaver in self.leavers.overlapping(&filter) {
                news.on_left(&leaver.registration, leaver.reason.to_wire());
            }
            if let Some(until) = self.leavers.forgotten_until() {
                news.on_forgotten(base.clock.now().saturating_since(until));
            }
        }
        self.watching.insert(id);
        self.tell_news(base, id);
    }

    /// Ends a watch of a session.
    pub(super) fn unwatch(&mut self, base: &mut Base, id: SessionId, request: RequestId) {
        let news = base.sessions.get_mut(id).and_then(|session| session.news.as_mut());
        if let Some(filter) = news.and_then(|news| news.unwatch(request)) {
            self.filters.remove(&filter, id);
        }
    }

    /// Tells a session what is news to it, as far as it has read what was said before.
    pub(super) fn tell_news(&mut self, base: &mut Base, id: SessionId) {
        loop {
            let Base { sessions, tickets, permissions, clock, turn, .. } = base;
            let Some(session) = sessions.get_mut(id).filter(|session| session.is_listening()) else { return };
            let Some(news) = &mut session.news else { return };
            session.awaits_room |= session.egress.answer_bytes() >= NEWS_BYTES_AHEAD;
            if session.awaits_room {
                return;
            }
            let now = clock.told();
            let takes_tickets = session.kind.takes_tickets();
            let peer = (&session.identity, &*permissions);
            let part = news.next_part(&self.directory, now, |registration| {
                if takes_tickets { tickets.give(registration, peer, now) } else { (None, 0) }
            });
            turn.spend(part.work);
            if !part.bytes.is_empty() || part.is_hard_work() {
                session.awaits_room = !part.bytes.is_empty() && part.is_hard_work();
                base.queue(id, part.bytes, part.frames);
            } else if let Some((request, behind)) = news.next_list() {
                let change = self.ask(base, id, RegistryAsk::List { request, behind });
                assert!(change.is_none(), "a list changes nothing");
            } else {
                return;
            }
        }
    }

    fn ask(&mut self, base: &mut Base, session: SessionId, ask: RegistryAsk) -> Served {
        if let Some(session) = base.sessions.get_mut(session) {
            // Answers come to its place on this shard.
            session.is_bound = true;
        }
        if base.id == REGISTRY_SHARD {
            return self.on_ask(base, (base.id, session), ask);
        }
        base.send_shard(REGISTRY_SHARD, ShardItem::Registry { session, ask });
        None
    }

    /// The registry is asked by a session of some shard.
    pub(super) fn on_ask(
        &mut self,
        base: &mut Base,
        (shard, session): (ShardId, SessionId),
        ask: RegistryAsk,
    ) -> Served {
        let now = base.clock.now();
        match ask {
            RegistryAsk::Register { request, registration, identity } => {
                return self.register(base, Asker { shard, session, request }, (registration, identity));
            }
            RegistryAsk::Renew { request, publisher, epoch, identity } => {
                if !self.is_registrant(publisher, &identity) {
                    refuse_other_user(base, (shard, session), request, publisher);
                    return None;
                }
                match self.registry().renew(now, publisher, epoch) {
                    Ok(()) => self.registered(base, (shard, session), request),
                    Err(error) => refuse_lease(base, (shard, session), request, &error),
                }
            }
            RegistryAsk::Unregister { publisher, epoch, identity } => {
                let may = self.is_registrant(publisher, &identity);
                return may.then(|| self.unregister(base, (publisher, epoch), GoneReason::Left)).flatten();
            }
            RegistryAsk::List { request, behind } => {
                let (mut bytes, mut last) = (Vec::new(), None);
                let registry = self.registry.as_ref()?;
                for (registration, left) in self.far.list_with(registry, now, behind) {
                    let left_ms = u32::try_from(left.as_millis()).unwrap_or(u32::MAX).max(1);
                    bytes.extend_from_slice(&up_frame(registration, left_ms));
                    if bytes.len() >= NEWS_BYTES_AHEAD {
                        last = Some(registration.publisher);
                        break;
                    }
                }
                if last.is_none() {
                    encode(&Frame::Done { request: request.0 }, &mut bytes);
                }
                let bytes = Bytes::from(bytes);
                if shard == base.id {
                    self.on_list_part(base, session, bytes, last);
                } else {
                    base.send_shard(shard, ShardItem::ListPart { session, bytes, last });
                }
            }
        }
        None
    }

    fn registry(&mut self) -> &mut Registry {
        self.registry.as_mut().expect("a broker's first shard keeps the registry, and only it is asked")
    }

    /// A registration is refused whole if any of its topics is not permitted.
    fn register(
        &mut self,
        base: &mut Base,
        asker: Asker,
        (new, identity): (Registration, Arc<Identity>),
    ) -> Served {
        let Asker { shard, session, request } = asker;
        let publisher = new.publisher;
        if let Some(topic) = first_refused(base, &identity, &new.topics) {
            let action = Action::Register(topic);
            let text = format!("you may not {action}; {}", base.permissions.allowed(&identity, action));
            refuse(base, (shard, session), request, (ErrorCode::NotPermitted, &text));
            return None;
        }
        if !self.is_registrant(publisher, &identity) {
            refuse_other_user(base, (shard, session), request, publisher);
            return None;
        }
        match self.registry.as_mut()?.register(base.clock.now(), new) {
            Ok(changed) => {
                let is_other = self.registrants.get(&publisher) != Some(&identity);
                let known = || self.directory.get(publisher).filter(|_| is_other).cloned();
                let change = changed.or_else(known).map(|new| RegistryChange::Up(new, identity));
                if let Some(change) = &change {
                    self.announce(base, change);
                    self.tell_change(base, change);
                }
                self.unanswered.add(&self.acks, asker);
                self.answer_registered(base);
                change
            }
            Err(error) => {
                refuse_lease(base, (shard, session), request, &error);
                None
            }
        }
    }

    /// True if a registration of this publisher would be, or is, one of this peer's user: whoever hears of a publisher knows its
    /// number.
    fn is_registrant(&self, publisher: PublisherId, identity: &Identity) -> bool {
        self.registrants.get(&publisher).is_none_or(|registrant| registrant.user() == identity.user())
    }

    fn unregister(
        &mut self,
        base: &mut Base,
        (publisher, epoch): (PublisherId, u64),
        reason: GoneReason,
    ) -> Served {
        let gone = self.registry.as_mut()?.unregister(publisher, epoch, reason)?;
        Some(self.withdraw(base, gone))
    }

    /// A registration here has ended.
    fn withdraw(&mut self, base: &mut Base, gone: Gone) -> RegistryChange {
        self.announce(base, &RegistryChange::Down(gone));
        let change = self.far.in_place_of(gone);
        self.tell_change(base, &change);
        change
    }

    /// Tells other brokers a change of the registry here, by way of the carriers. Their subscribers have no tickets of this
    /// broker, so that they hear of no publisher that asks for them.
    fn announce(&mut self, base: &mut Base, change: &RegistryChange) {
        if base.tickets.are_in_force() && matches!(change, RegistryChange::Up(..)) {
            return;
        }
        let lease = self.registry().lease();
        for carrier in base.links.carriers() {
            base.send_link(carrier, LinkItem::Registry { change: change.clone(), lease });
        }
    }

    /// The registry of another broker has changed, which gives leases of this length.
    pub(super) fn on_far(&mut self, base: &mut Base, change: RegistryChange, lease: Duration) -> Served {
        let change = self.far.on_change((change, lease), self.registry.as_ref()?)?;
        self.tell_change(base, &change);
        Some(change)
    }

    /// Judges the registration behind that of this publisher by the rules in force, and takes it back if who made it may not
    /// have it any more, or is no user any more: it is told so when it registers again. Returns the publisher, and the change
    /// that follows. `None`: there is no such registration.
    pub(super) fn judge_next(
        &mut self,
        base: &mut Base,
        behind: Option<PublisherId>,
    ) -> Option<(PublisherId, Served)> {
        self.registry.as_ref()?;
        let from = behind.map_or(Bound::Unbounded, Bound::Excluded);
        let (publisher, identity) = self.registrants.range((from, Bound::Unbounded)).next()?;
        let registration = self.directory.get(*publisher).expect("the directory has every registration");
        base.turn.spend(registration.topics.len() * VERDICT_STEPS);
        let again = base.permissions.identify_again(identity, base.clock.told());
        let is_revoked = match again {
            Ok(identity) => first_refused(base, &identity, &registration.topics).is_some(),
            Err(_) => true,
        };
        let (publisher, epoch) = (*publisher, registration.epoch);
        if base.tickets.are_in_force() {
            // From now on, perhaps: see `announce`.
            let reason = GoneReason::Left;
            self.announce(base, &RegistryChange::Down(Gone { publisher, epoch, reason }));
        }
        let revoke = || self.unregister(base, (publisher, epoch), GoneReason::Revoked);
        Some((publisher, is_revoked.then(revoke).flatten()))
    }

    fn registered(&self, base: &mut Base, to: (ShardId, SessionId), request: RequestId) {
        let lease = self.registry.as_ref().map_or(0, |r| r.lease().as_millis());
        let lease_ms = u32::try_from(lease).unwrap_or(u32::MAX);
        // With the time by which tickets end, which has gone on.
        let mut answer = base.tickets.rules(base.clock.told()).unwrap_or_default();
        encode(&Frame::Registered { request: request.0, lease_ms }, &mut answer);
        answer_at(base, to, answer);
    }

    fn tell_change(&mut self, base: &mut Base, change: &RegistryChange) {
        let seq = self.acks.next();
        for shard in base.links.others() {
            base.send_shard(shard, ShardItem::Publisher { seq, change: change.clone() });
        }
        self.on_change(base, change);
    }

    /// A part of a list has come for a session of this shard, up to this publisher; `None`: to the end of the list.
    pub(super) fn on_list_part(
        &mut self,
        base: &mut Base,
        id: SessionId,
        frames: Bytes,
        last: Option<PublisherId>,
    ) {
        base.answer_raw(id, frames);
        if let Some(news) = base.sessions.get_mut(id).and_then(|session| session.news.as_mut()) {
            news.on_list(last);
        }
        self.tell_news(base, id);
    }

    /// The registry has changed: tells the sessions here whom it concerns.
    pub(super) fn on_change(&mut self, base: &mut Base, change: &RegistryChange) {
        match change {
            RegistryChange::Up(registration, registrant) => self.on_up(base, registration, registrant),
            RegistryChange::Down(gone) => self.on_down(base, *gone),
        }
    }

    /// A session that was told of the publisher hears of the change, too, whatever it publishes now.
    fn on_up(&mut self, base: &mut Base, registration: &Arc<Registration>, registrant: &Arc<Identity>) {
        let publisher = registration.publisher;
        self.registrants.insert(publisher, Arc::clone(registrant));
        self.directory.up(Arc::clone(registration));
        self.leavers.remove(publisher);
        let mut concerned = BTreeSet::new();
        for topic in &registration.topics {
            let (sessions, work) = self.filters.overlapping(topic);
            base.turn.spend(work + sessions.len());
            concerned.extend(sessions);
        }
        concerned.extend(self.sessions_that_know(base, publisher));
        for id in concerned {
            if let Some(news) = base.sessions.get_mut(id).and_then(|session| session.news.as_mut()) {
                news.on_up(publisher);
            }
            self.tell_news(base, id);
        }
    }

    fn on_down(&mut self, base: &mut Base, Gone { publisher, epoch, reason }: Gone) {
        let known = self.directory.down(publisher, epoch).expect("a directory follows the registry");
        self.registrants.remove(&publisher);
        self.leavers.add(known, reason, base.clock.now());
        let reason = reason.to_wire();
        for id in self.sessions_that_know(base, publisher) {
            if let Some(news) = base.sessions.get_mut(id).and_then(|session| session.news.as_mut()) {
                news.on_down(publisher, reason);
            }
            self.tell_news(base, id);
        }
    }

    fn sessions_that_know(&self, base: &mut Base, publisher: PublisherId) -> Vec<SessionId> {
        base.turn.spend(self.watching.len());
        let watching = self.watching.iter().copied();
        let news = |id| base.sessions.get(id).and_then(|session| session.news.as_ref());
        watching.filter(|id| news(*id).is_some_and(|news| news.knows(publisher))).collect()
    }

    /// That shard knows of all changes up to `seq`.
    pub(super) fn on_seen(&mut self, base: &mut Base, shard: ShardId, seq: u64) {
        self.acks.seen_by(shard, seq);
        self.answer_registered(base);
    }

    fn answer_registered(&mut self, base: &mut Base) {
        while let Some(asker) = self.unanswered.pop(&self.acks) {
            self.registered(base, (asker.shard, asker.session), asker.request);
        }
    }

    /// The next lease that has run out, if this turn has work left.
    pub(super) fn expire(&mut self, base: &mut Base) -> Served {
        if base.turn.is_over() {
            return None;
        }
        let gone = self.registry.as_mut()?.expire(base.clock.now())?;
        base.turn.spend(FILING_STEPS);
        Some(self.withdraw(base, gone))
    }

    /// The peer that has registered a publisher.
    pub(super) fn registrant_of(&self, publisher: PublisherId) -> Option<&Arc<Identity>> {
        self.registrants.get(&publisher)
    }

    /// Registrations behind that of this publisher, at most so many, for operators. `None`: another shard has the registry.
    #[cfg(feature = "broker")]
    pub(super) fn page(&self, base: &Base, behind: Option<PublisherId>, most: usize) -> Option<RegistryPage> {
        let registry = self.registry.as_ref()?;
        let mut list = registry.list(base.clock.told(), behind);
        let figures = |(registration, lease_left): (&Arc<Registration>, _)| PublisherFigures {
            registration: Arc::clone(registration),
            registrant: self.registrants.get(&registration.publisher).cloned(),
            lease_left,
        };
        let publishers: Vec<_> = list.by_ref().take(most).map(figures).collect();
        let last = publishers.last().map(|row| row.registration.publisher);
        let has_more = list.next().is_some();
        Some(RegistryPage { publishers, total: registry.len(), last: last.filter(|_| has_more) })
    }

    /// The directory of direct publishers.
    pub(super) fn directory(&self) -> &Directory {
        &self.directory
    }
}

/// The first of these topics of which `identity` may not be a direct publisher.
fn first_refused<'a>(base: &Base, identity: &Identity, topics: &'a [Filter]) -> Option<&'a Filter> {
    let verdict = |topic| base.permissions.permit(identity, Action::Register(topic));
    topics.iter().find(|topic| verdict(topic) == Verdict::Refused)
}

fn refuse(base: &mut Base, to: (ShardId, SessionId), request: RequestId, (code, text): (ErrorCode, &str)) {
    answer_at(base, to, encode_to_vec(&Frame::Error { text, request: request.0, code: code.number() }));
}

fn refuse_other_user(base: &mut Base, to: (ShardId, SessionId), request: RequestId, publisher: PublisherId) {
    let text = format!("publisher {publisher} is registered by another user");
    refuse(base, to, request, (ErrorCode::NotPermitted, &text));
}

fn refuse_lease(base: &mut Base, to: (ShardId, SessionId), request: RequestId, error: &LeaseError) {
    refuse(base, to, request, (error.code(), &error.to_string()));
}

fn answer_at(base: &mut Base, (shard, session): (ShardId, SessionId), bytes: Vec<u8>) {
    if shard == base.id {
        on_answer(base, session, bytes.into());
    } else {
        base.send_shard(shard, ShardItem::Answer { session, bytes: Bytes::from(bytes) });
    }
}

/// An answer of the registry has come for a session of this shard.
pub(super) fn on_answer(base: &mut Base, session: SessionId, frames: Bytes) {
    base.answer_raw(session, frames);
    base.close_if_answers_pile_up(session);
}

#[cfg(test)]
mod tests;
