//! Sessions that move from this shard to another, or to this one: no message is lost, doubled or out of order for it. Owned by
//! a shard.
//!
//! A move has six steps. The shard that a session leaves stops reading from it, and asks the other one to *prepare*. That
//! files its filters, for a group that hears nobody, and is *ready* when every neighbour routes by them. Then a *cut* divides
//! the stream of each neighbour ([`Cut`]): what came before it is for the group at the old shard, what comes behind it for the
//! group at the new one. When all neighbours have passed the cut on to the old shard, have taken all that the session said
//! there, and none of them holds it as a publisher, the session *leaves* with what waits for it, and its connection with it. At
//! the new shard it *arrives*: what has come there meanwhile follows what it brings.
//!
//! Until the cut a move can be taken back. From then on it ends with the arrival, or with the session.

use std::collections::BTreeMap;
use std::sync::Arc;

use corecast_executors::MonotonicNs;

use super::base::Base;
use super::demand::Demand;
use super::kind::Kind;
use super::membership::Membership;
use super::origin::Origin;
use super::publish::drop_reason;
use super::session_state::{Phase, SessionState, Transit};
use crate::auth::{Action, Verdict};
use crate::carrier::{Cut, LinkItem, Luggage, MoveItem, ShardItem, Traveller, Unconfirmed};
use crate::error::ErrorCode;
use crate::fanout::Appended;
use crate::ids::{Neighbour, SessionId, SessionNumber, ShardId};
use crate::limits::{
    FLUSH_SESSIONS_PER_TURN, GROUP_FILTERS_MAX, MOVE_LOOKS_PER_TICK, MOVED_FILTERS_MAX, MOVED_SESSIONS_MAX,
    TURN_STEPS_MAX,
};
use crate::telemetry::{DropReason, SessionTally};
use crate::topic::Filter;

/// The next step of a session's pump, which has been called because the session moves.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Parting {
    /// The session stays, and is read again.
    Stays,
    /// It is not read, and called again.
    Waits,
    /// It can leave.
    Leaves,
}

/// The sessions that leave together.
struct Round {
    to: ShardId,
    sessions: Vec<SessionId>,
    /// Once the cut is made: the neighbours that have not passed it on, and one more until all have taken what came before it.
    unheard: Option<usize>,
}

/// A session that leaves.
struct Leaving {
    to: ShardId,
    /// Its place there, once that is known.
    place: Option<SessionId>,
    /// True if all that is for it here has come, and all that it said here has reached every neighbour.
    is_cut: bool,
}

/// A session that comes.
struct Arriving {
    /// The neighbours that have not passed its cut on, and this shard if it has not.
    unheard: usize,
    /// The state that it brings.
    luggage: Option<Box<Luggage>>,
}

/// All moves of a shard's sessions.
#[derive(Default)]
pub(super) struct Moves {
    round: Option<Round>,
    /// By session here.
    leaving: BTreeMap<SessionId, Leaving>,
    arriving: BTreeMap<SessionId, Arriving>,
    /// Places of arriving sessions until every neighbour routes to them, each with the shard that they come from.
    prepared: Unconfirmed<(ShardId, Vec<Option<SessionId>>)>,
    /// The cut of the round until every neighbour has taken what this shard said before it. That a neighbour has passed the cut
    /// on does not show this: it may have heard of it from another one.
    arrival: Unconfirmed<()>,
    /// Places that are not needed any more: to be taken out once every part has forgotten them.
    cancelled: Vec<SessionId>,
    /// Sessions that have come first to other shards, or to another place here, and where: to be told.
    settled: Vec<(SessionNumber, SessionId)>,
    cuts: u64,
    /// By shard: its last cut that was passed on.
    passed_on: BTreeMap<ShardId, u64>,
    /// The slot that was looked at last for sessions that may move.
    looked_at: usize,
}

impl Moves {
    /// True if a round may begin.
    pub(super) fn may_begin(&self) -> bool {
        self.round.is_none()
    }

    /// Begins to move some of the sessions that `wants` accepts to another shard. Returns how many.
    pub(super) fn begin(
        &mut self,
        base: &mut Base,
        to: ShardId,
        wants: impl Fn(&SessionState) -> bool,
    ) -> usize {
        let sessions = self.choose(base, wants);
        if sessions.is_empty() {
            return 0;
        }
        let mut travellers = Vec::with_capacity(sessions.len());
        for id in &sessions {
            let number = base.sessions.get(*id).map(|session| session.number(*id, base.id));
            let Some((session, number)) = base.sessions.get_mut(*id).zip(number) else { continue };
            session.transit = Transit::Leaving;
            travellers.push(traveller(session, number));
            self.leaving.insert(*id, Leaving { to, place: None, is_cut: false });
            base.outbox.called.push(*id);
        }
        base.send_shard(to, ShardItem::Move(MoveItem::Prepare { travellers }));
        let chosen = sessions.len();
        self.round = Some(Round { to, sessions, unheard: None });
        chosen
    }

    /// Looks at some sessions for those that may move.
    fn choose(&mut self, base: &mut Base, wants: impl Fn(&SessionState) -> bool) -> Vec<SessionId> {
        let (slots, now) = (base.sessions.slots(), base.clock.now());
        let (mut filters, mut chosen) = (0, Vec::new());
        for _ in 0..slots.min(MOVE_LOOKS_PER_TICK) {
            self.looked_at = if self.looked_at + 1 >= slots { 0 } else { self.looked_at + 1 };
            let Some(id) = base.sessions.in_slot(self.looked_at) else { continue };
            let may_move = |session: &SessionState| may_move(session, now) && wants(session);
            let Some(session) = base.sessions.get(id).filter(|session| may_move(session)) else {
                continue;
            };
            filters += session.subscriptions.filters().len();
            if filters > MOVED_FILTERS_MAX || chosen.len() >= MOVED_SESSIONS_MAX {
                self.looked_at = self.looked_at.checked_sub(1).unwrap_or(slots);
                break;
            }
            chosen.push(id);
        }
        base.turn.spend(filters + slots.min(MOVE_LOOKS_PER_TICK));
        chosen
    }

    /// Another shard, or a carrier, has passed a cut on.
    pub(super) fn on_cut(
        &mut self,
        base: &mut Base,
        (membership, demand): (&mut Membership, &mut Demand),
        (from, cut): (Neighbour, &Arc<Cut>),
    ) {
        self.pass_on(base, membership, cut);
        if cut.from == base.id {
            cut.passengers.iter().for_each(|(id, _)| membership.set_hears(base, *id, (from, false)));
            self.on_own_cut(base);
        }
        if cut.to == base.id {
            self.hear(base, membership, (from, cut));
            for (_, place) in &cut.passengers {
                self.settle(base, (&mut *membership, &mut *demand), *place);
            }
        }
    }

    /// Passes a cut on to all neighbours, when it first hears of it: from here on, this shard's publishers are behind it.
    fn pass_on(&mut self, base: &mut Base, membership: &mut Membership, cut: &Arc<Cut>) {
        let last = self.passed_on.entry(cut.from).or_insert(0);
        if *last >= cut.number {
            return;
        }
        *last = cut.number;
        for neighbour in base.links.neighbours() {
            base.send_link(neighbour, LinkItem::Cut(Arc::clone(cut)));
        }
        let me = base.id.into();
        if cut.from == base.id {
            cut.passengers.iter().for_each(|(id, _)| membership.set_hears(base, *id, (me, false)));
        }
        if cut.to == base.id {
            self.hear(base, membership, (me, cut));
        }
    }

    /// The arriving sessions of a cut get what comes from there from now on.
    fn hear(&mut self, base: &Base, membership: &mut Membership, (from, cut): (Neighbour, &Cut)) {
        for (_, place) in &cut.passengers {
            membership.set_hears(base, *place, (from, true));
            if let Some(arriving) = self.arriving.get_mut(place) {
                arriving.unheard -= 1;
            }
        }
    }

    /// A neighbour has passed this shard's own cut on, or all have taken what came before it: with the last of these, its
    /// sessions have all that is for them here, and what they say elsewhere stays behind what they said here.
    fn on_own_cut(&mut self, base: &mut Base) {
        let round = self.round.as_mut().expect("a round lasts until all neighbours have passed its cut on");
        let unheard = round.unheard.as_mut().expect("the cut has been made");
        *unheard -= 1;
        if *unheard > 0 {
            return;
        }
        for id in self.round.take().into_iter().flat_map(|round| round.sessions) {
            if let Some(leaving) = self.leaving.get_mut(&id) {
                leaving.is_cut = true;
                base.outbox.called.push(id);
            }
        }
    }

    /// Another shard tells of a move.
    pub(super) fn on_item(
        &mut self,
        base: &mut Base,
        (membership, demand): (&mut Membership, &mut Demand),
        (from, item): (ShardId, MoveItem),
    ) {
        match item {
            MoveItem::Prepare { travellers } => {
                let mut places = Vec::with_capacity(travellers.len());
                for traveller in travellers {
                    places.push(self.seat(base, (&mut *membership, &mut *demand), traveller));
                }
                self.prepared.add(demand.changes(), (from, places));
                self.on_confirmed(base, demand);
            }
            MoveItem::Ready { places } => self.on_ready(base, (membership, demand), &places),
            MoveItem::Cancel { places } => {
                for place in places {
                    self.arriving.remove(&place);
                    self.cancelled.push(place);
                    base.depart(place);
                }
            }
            MoveItem::Arrive { place, luggage } => {
                if let Some(arriving) = self.arriving.get_mut(&place) {
                    arriving.luggage = Some(luggage);
                    self.settle(base, (membership, demand), place);
                }
            }
            MoveItem::Moved { .. } | MoveItem::Strain(_) => unreachable!("these are for other parts"),
        }
    }

    /// Makes a place for a session that is to come; `None`: there is none.
    fn seat(
        &mut self,
        base: &mut Base,
        (membership, demand): (&mut Membership, &mut Demand),
        traveller: Traveller,
    ) -> Option<SessionId> {
        let Traveller { identity, client, features, policy, number, filters } = traveller;
        // By the rules here, which may be newer than those that it was last judged by.
        let identity = base.permissions.identify_again(&identity, base.clock.told()).ok()?;
        let mut asked = filters.iter().map(|(filter, _)| Action::Subscribe(filter));
        let is_full = base.draining || base.sessions.len() >= base.config.sessions_max;
        if is_full || asked.any(|action| base.permissions.permit(&identity, action) == Verdict::Refused) {
            return None;
        }
        let now = base.clock.now();
        let id = base.sessions.insert(|generation| {
            let known = (generation, Kind::Native(features), identity);
            let mut session = SessionState::new(known, policy, now, now);
            (session.phase, session.deadline) = (Phase::Open, None);
            (session.client, session.first_number) = (client, Some(number));
            // Nothing is sent before it arrives.
            (session.transit, session.listed) = (Transit::Arriving, true);
            for (filter, subscribers) in &filters {
                subscribers.iter().for_each(|subscriber| _ = session.subscriptions.add(filter, *subscriber));
            }
            session
        });
        base.counters.sessions += 1;
        if let Some(session) = base.sessions.get_mut(id) {
            // It counts twice until it leaves its old shard: better to refuse another one than to admit one too many.
            session.share_again(&base.permissions);
            base.counters.subscriptions += session.subscriptions.count() as u64;
            base.counters.filter_bytes += session.subscriptions.filter_bytes() as u64;
        }
        membership.set_apart(base, demand, (id, false));
        let unheard = base.links.neighbours().count() + 1;
        self.arriving.insert(id, Arriving { unheard, luggage: None });
        Some(id)
    }

    /// Neighbours have confirmed something: places to which all of them route are ready, and a cut that all of them have.
    pub(super) fn on_confirmed(&mut self, base: &mut Base, demand: &Demand) {
        while let Some((from, places)) = self.prepared.pop(demand.changes()) {
            base.send_shard(from, ShardItem::Move(MoveItem::Ready { places }));
        }
        if self.arrival.pop(demand.changes()).is_some() {
            self.on_own_cut(base);
        }
    }

    /// The other shard has places for the sessions of the round: cuts the streams for those that still leave.
    fn on_ready(
        &mut self,
        base: &mut Base,
        (membership, demand): (&mut Membership, &mut Demand),
        places: &[Option<SessionId>],
    ) {
        let round = self.round.as_mut().expect("a round lasts until its answer");
        let (mut passengers, mut not_needed) = (Vec::new(), Vec::new());
        for (id, place) in round.sessions.iter().zip(places) {
            match (self.leaving.get_mut(id), place) {
                // One that is held by now might have to wait for long, and would hear nobody at its new place.
                (Some(leaving), Some(place)) if !base.sessions.is_held(*id) => {
                    leaving.place = Some(*place);
                    passengers.push((*id, *place));
                }
                (leaving, place) => {
                    if leaving.is_some() {
                        self.leaving.remove(id);
                        stay(base, *id);
                    }
                    not_needed.extend(place);
                }
            }
        }
        let to = round.to;
        round.unheard = Some(base.links.neighbours().count() + 1);
        if !not_needed.is_empty() {
            base.send_shard(to, ShardItem::Move(MoveItem::Cancel { places: not_needed }));
        }
        if passengers.is_empty() {
            self.round = None;
            return;
        }
        passengers.iter().for_each(|(id, _)| membership.set_apart(base, demand, (*id, true)));
        self.cuts += 1;
        let cut = Cut { from: base.id, number: self.cuts, to, passengers };
        self.pass_on(base, membership, &Arc::new(cut));
        demand.ask_for_arrival(base);
        self.arrival.add(demand.changes(), ());
    }

    /// The next step of a session's pump that has been called.
    pub(super) fn departure(&self, base: &Base, id: SessionId) -> Parting {
        let is_held = || base.sessions.is_held(id);
        match self.leaving.get(&id) {
            None => Parting::Stays,
            Some(leaving) if leaving.is_cut && !is_held() => Parting::Leaves,
            Some(_) => Parting::Waits,
        }
    }

    /// A session that can leave does. Returns the shard that it goes to, its place there, and its number; it is still to be
    /// taken out here.
    pub(super) fn leave(
        &mut self,
        base: &mut Base,
        id: SessionId,
    ) -> Option<(ShardId, SessionId, SessionNumber)> {
        if self.departure(base, id) != Parting::Leaves {
            return None;
        }
        let Leaving { to, place, .. } = self.leaving.remove(&id)?;
        let place = place.expect("a cut is made for sessions with places");
        let me = base.id;
        let session = base.sessions.get_mut(id)?;
        let holds = std::mem::take(&mut session.holds).into_iter().map(|origin| match origin {
            Origin::Here(publisher) => (me.into(), publisher),
            Origin::There(neighbour, publisher) => (neighbour, publisher),
        });
        let (holds, egress, tally) =
            (holds.collect(), std::mem::take(&mut session.egress).pack(), session.tally);
        let number = session.number(id, me);
        let luggage = Box::new(Luggage { egress, holds, tally });
        base.send_shard(to, ShardItem::Move(MoveItem::Arrive { place, luggage }));
        base.depart(id);
        Some((to, place, number))
    }

    /// A session that has come with all that it brings, and hears everybody here, is like any other from now on.
    fn settle(
        &mut self,
        base: &mut Base,
        (membership, demand): (&mut Membership, &mut Demand),
        place: SessionId,
    ) {
        let has_come = |arriving: &Arriving| arriving.unheard == 0 && arriving.luggage.is_some();
        if !self.arriving.get(&place).is_some_and(has_come) {
            return;
        }
        let luggage = self.arriving.remove(&place).and_then(|arriving| arriving.luggage);
        let Luggage { egress, holds, tally } = *luggage.expect("it has come");
        let (me, bounds, now) = (base.id, base.config.bounds, base.clock.now());
        let Some(session) = base.sessions.get_mut(place) else { return };
        let later = std::mem::replace(&mut session.egress, egress.unpack());
        let is_over = session.closing.is_some();
        let is_slow = session.closing == Some(ErrorCode::SlowSubscriber);
        let unwanted_for = if is_slow { DropReason::Disconnect } else { DropReason::Draining };
        let unwanted = if is_over { session.egress.clear() } else { 0 };
        let appended = session.egress.append(later, session.policy, bounds);
        (session.transit, session.heard) = (Transit::Unconnected, now);
        let moves = tally.moves + 1;
        session.tally = SessionTally { drops: tally.drops + session.tally.drops, moves, ..tally };
        session.holds.extend(holds.into_iter().map(|(neighbour, publisher)| {
            if neighbour == me.into() { Origin::Here(publisher) } else { Origin::There(neighbour, publisher) }
        }));
        let has_room =
            session.holds.is_empty() || session.egress.has_room(bounds) || session.closing.is_some();
        let released = if has_room { std::mem::take(&mut session.holds) } else { Vec::new() };
        self.settled.extend(session.first_number.map(|number| (number, place)));
        let is_grouped = session.group.is_some();
        base.release(&released);
        base.counters.drops[unwanted_for] += unwanted;
        base.count_appended(place, appended);
        if is_grouped {
            membership.join_group(base, demand, place);
        }
        base.counters.sessions_moved += 1;
        base.outbox.arrived.push(place);
        base.farewell_when_drained();
    }

    /// Takes a session that has settled here, to tell where it is.
    pub(super) fn next_settled(&mut self) -> Option<(SessionNumber, SessionId)> {
        self.settled.pop()
    }

    /// A session leaves the fan-out: if it was about to move, it stays. Returns true if it was the place of one that does not
    /// come, which is to be taken out.
    pub(super) fn forget(&mut self, base: &mut Base, id: SessionId) -> bool {
        if let Some(Leaving { to, place, .. }) = self.leaving.remove(&id) {
            stay(base, id);
            if let Some(place) = place {
                base.send_shard(to, ShardItem::Move(MoveItem::Cancel { places: vec![place] }));
            }
            base.farewell_when_drained();
        }
        let cancelled = self.cancelled.iter().position(|cancelled| *cancelled == id);
        cancelled.map(|at| self.cancelled.swap_remove(at)).is_some()
    }

    /// The shard stops: sessions that are not cut off from it stay.
    pub(super) fn on_drain(&mut self, base: &mut Base) {
        let Some(Round { sessions, unheard: None, .. }) = &self.round else { return };
        for id in sessions {
            if self.leaving.remove(id).is_some() {
                stay(base, *id);
            }
        }
    }

    /// Sessions in a move know it, and the others do not.
    pub(super) fn audit(&self, base: &Base) {
        for (id, session) in base.sessions.iter() {
            let (leaves, arrives) = (self.leaving.contains_key(&id), self.arriving.contains_key(&id));
            let transit = match session.transit {
                Transit::Here | Transit::Unconnected => (false, false),
                Transit::Leaving => (true, false),
                Transit::Arriving => (false, true),
            };
            assert_eq!((leaves, arrives), transit, "{id} leaves, arrives");
        }
        assert!(self.cancelled.is_empty() && self.settled.is_empty(), "the router has more to do for a move");
    }
}

/// True if a session waits for no answer and has begun no frame, so that nothing about it changes but what is delivered to it. One
/// with strikes stays where they are counted.
fn may_move(session: &SessionState, now: MonotonicNs) -> bool {
    let filters = session.subscriptions.filters();
    matches!(session.kind, Kind::Native(_))
        && (session.phase, session.transit, session.is_bound) == (Phase::Open, Transit::Here, false)
        && session.deadline.is_none()
        && session.rest.is_none()
        && session.news.is_none()
        && session.successors.is_none()
        && session.flushes.is_empty()
        && !session.is_short
        && session.strikes.are_over(now)
        && !session.awaits_room
        && (session.joining, session.held_by, session.watches) == (0, 0, 0)
        && filters.len() <= GROUP_FILTERS_MAX
        && filters.keys().all(|filter: &Filter| filter.shape().is_none())
}

fn traveller(session: &SessionState, number: SessionNumber) -> Traveller {
    let Kind::Native(features) = session.kind else { unreachable!("only native sessions move") };
    let filters = session.subscriptions.filters().iter();
    Traveller {
        identity: session.identity.clone(),
        client: session.client.clone(),
        features,
        policy: session.policy,
        number,
        filters: filters.map(|(filter, subscribers)| (filter.clone(), subscribers.to_vec())).collect(),
    }
}

/// A session does not leave after all.
fn stay(base: &mut Base, id: SessionId) {
    if let Some(session) = base.sessions.get_mut(id) {
        session.transit = Transit::Here;
        base.outbox.called.push(id);
    }
}

impl Base {
    /// Counts what had no room when a session arrived, and ends the session if its policy says so.
    pub(super) fn count_appended(&mut self, id: SessionId, Appended { dropped, refused }: Appended) {
        let Some(session) = self.sessions.get_mut(id) else { return };
        session.tally.drops += dropped + refused;
        let reason = if refused > 0 { DropReason::Disconnect } else { drop_reason(session.policy) };
        let messages = dropped + refused;
        if messages > 0 {
            self.counters.drops[reason] += messages;
            self.outbox.losses.note(reason, messages, id);
        }
        if refused > 0 {
            self.end(id, ErrorCode::SlowSubscriber, "the egress queue is full");
        }
    }
}

const _: () = {
    assert!(MOVED_SESSIONS_MAX <= FLUSH_SESSIONS_PER_TURN && GROUP_FILTERS_MAX <= MOVED_FILTERS_MAX);
    assert!(MOVED_FILTERS_MAX + MOVE_LOOKS_PER_TICK <= TURN_STEPS_MAX);
};

#[cfg(test)]
mod tests;
