//! The input of sessions and links, done in turns: frames and messages to the fan-out, requests to the part that owns what
//! they ask for.

use std::sync::Arc;

use bytes::Bytes;

use super::judgement::Held;
use super::kind::Kind;
use super::membership::Subscribed;
use super::origin::Origin;
use super::password_check::LoginVerdict;
use super::publish::publish;
use super::revocation::Revocation;
use super::session_state::Phase;
use super::state::{Shard, tell_place};
use super::successors::Predecessor;
use super::{publishers, relays, shown_tickets, zmtp};
use crate::auth::{Action, Proof, Secret};
use crate::carrier::{LinkItem, MoveItem, ShardItem};
use crate::error::ErrorCode;
use crate::fanout::{Batch, Messages};
use crate::ids::{Neighbour, RequestId, SessionId, SessionNumber, SubscriberId};
use crate::topic::Filter;
use crate::wire::{Frame, FrameKind, Span, WireError};
use crate::zmtp::machine::Read;
use crate::zmtp::{Machine, Output, Role, Step};

impl Shard {
    /// Bytes came that made these whole, checked frames (perhaps none). `spans` are of `bytes`: they are read
    /// unchecked, so that from outside the crate the way in is [`crate::broker::ingest`].
    pub(crate) fn on_frames(&mut self, id: SessionId, bytes: &Bytes, spans: &[Span]) {
        let Some(session) = self.base.sessions.get_mut(id) else { return };
        session.heard = self.base.clock.now();
        session.tally.bytes_in += bytes.len() as u64;
        self.base.counters.bytes_in += bytes.len() as u64;
        self.base.counters.frames_in += spans.len() as u64;
        self.base.turn.begin();
        self.take_in_turn(id, bytes, Messages::Native(spans));
    }

    /// Bytes came that are no frame: the session ends with this error. Frames before it were handed over first.
    pub fn on_wire_error(&mut self, id: SessionId, error: &WireError) {
        self.base.end_behind(id, error);
        self.settle();
    }

    /// Bytes came to a ZeroMQ session. `read` lets its machine read them, and gives those that it has used up, or the frames that
    /// were sealed in them. `None`: nobody listens to it, and nothing was read.
    pub(crate) fn on_zmtp<T>(
        &mut self,
        id: SessionId,
        now_unix_ns: u64,
        out: &mut Output,
        read: impl FnOnce(&mut Machine, &mut Output) -> (Read, Bytes, T),
    ) -> Option<T> {
        let session = self.base.sessions.get_mut(id).filter(|session| session.is_listening())?;
        let (read, bytes, result) = read(&mut session.kind.zmtp_mut()?.machine, out);
        session.heard = self.base.clock.now();
        session.tally.bytes_in += read.whole_bytes as u64;
        self.base.turn.begin();
        self.base.counters.bytes_in += read.whole_bytes as u64;
        self.base.counters.frames_in += out.spans.len() as u64;
        for step in out.steps.drain(..) {
            let (bytes, spans) = match &step {
                Step::Messages(range) => (&bytes, &out.spans[range.clone()]),
                Step::Message(bytes, span) => (bytes, std::slice::from_ref(span)),
                _ => {
                    // What is work waits for the next turn once this one is over, and no answer overtakes it.
                    if !self.base.keep_step(id, &step) {
                        self.do_step(id, step);
                    }
                    continue;
                }
            };
            if let Some(author) = zmtp::author(&mut self.base, id, spans.len(), now_unix_ns) {
                self.take_in_turn(id, bytes, Messages::Zmtp(spans, author));
            }
            self.settle();
        }
        if let Some(error) = &read.error {
            self.on_wire_error(id, error);
        }
        self.base.hold_for_news(id);
        Some(result)
    }

    /// The password that a ZeroMQ peer has shown was checked ([`Outbox::password`](super::Outbox::password)).
    pub(crate) fn on_verdict(&mut self, id: SessionId, verdict: LoginVerdict) {
        zmtp::on_verdict(&mut self.base, id, verdict);
        self.settle();
    }

    /// Does what a ZeroMQ peer has said that is no message. A session's prefixes are a set, as those of one pipe are to
    /// libzmq's XPUB. Sockets count for themselves: libzmq sends each of two subscriptions on, but of two cancels only the
    /// last.
    fn do_step(&mut self, id: SessionId, step: Step) {
        match step {
            Step::Subscribe(_) | Step::Cancel(_) if self.base.sessions.phase(id) != Some(Phase::Open) => {}
            Step::Subscribe(prefix) => {
                let (filter, subscriber) = zmtp::filter_of(&prefix);
                let may =
                    self.base.may(id, Action::Subscribe(&filter)) && self.base.reserve_subscription(id, None);
                self.starts.gather_zmtp(&mut self.base, id);
                if may && self.subscribe((id, &filter, subscriber), true) {
                    let relays = &mut self.demand.relays;
                    relays.on_subscription(&mut self.base, self.publishers.directory(), (id, &filter, true));
                }
            }
            Step::Cancel(prefix) => {
                let (filter, subscriber) = zmtp::filter_of(&prefix);
                self.subscribe((id, &filter, subscriber), false);
                if !self.base.sessions.is_subscribed(id, &filter) {
                    let relays = &mut self.demand.relays;
                    relays.on_subscription(&mut self.base, self.publishers.directory(), (id, &filter, false));
                }
            }
            Step::Send(bytes) => zmtp::answer(&mut self.base, id, bytes, self.demand.upstream.bytes()),
            Step::Open(role) => {
                if zmtp::open(&mut self.base, id, role) && role == Role::Publisher {
                    let commands = self.base.zmtp_peer(id).is_some_and(|peer| peer.knows_commands());
                    self.demand.upstream.greet(&mut self.base, id, commands);
                }
            }
            Step::TooLong(topic, message_bytes) => {
                if let Some((gap, spans)) = zmtp::pass_over(&mut self.base, id, (&topic, message_bytes)) {
                    self.take_in_turn(id, &gap, Messages::Native(&spans));
                }
            }
            Step::Messages(_) | Step::Message(..) => unreachable!("messages are published"),
            step => zmtp::note(&mut self.base, id, &step),
        }
        self.settle();
    }

    /// Adds a subscription (`wanted`), which has been counted against the quotas, or takes one back. `false`: it is refused, and the session is
    /// being closed.
    fn subscribe(
        &mut self,
        (id, filter, subscriber): (SessionId, &Filter, SubscriberId),
        wanted: bool,
    ) -> bool {
        let (base, demand) = (&mut self.base, &mut self.demand);
        let asked = (id, filter, subscriber);
        let subscribed = match wanted {
            true => self.membership.subscribe(base, demand, asked),
            false => self.membership.unsubscribe(base, demand, asked),
        };
        let has_changed = subscribed == Subscribed::Changed;
        if has_changed != wanted {
            base.give_subscription_back(id);
        }
        if has_changed {
            self.watches.changed(filter);
        }
        if !wanted {
            self.starts.on_cancelled(&self.base, id, filter);
        }
        subscribed != Subscribed::Refused
    }

    /// Takes frames or messages of a session until the turn's work is used up; what is left waits, as all does if
    /// something waits already.
    fn take_in_turn(&mut self, id: SessionId, bytes: &Bytes, messages: Messages<'_>) {
        let done = if self.base.sessions.is_behind(id) { 0 } else { self.take(id, bytes, messages) };
        if let Some(rest) = messages.after(done) {
            self.base.sessions.keep(id, Batch { bytes: bytes.clone(), spans: rest.to_spans() });
        }
    }

    /// Does what frames or messages say until the turn's work is used up, and returns how many that were.
    fn take(&mut self, id: SessionId, bytes: &Bytes, messages: Messages<'_>) -> usize {
        let spans = match messages {
            Messages::Native(spans) => spans,
            Messages::Zmtp(..) if self.base.may_publish(id) => {
                return self.publish((bytes, messages), Origin::Here(id));
            }
            Messages::Zmtp(spans, _) => {
                self.settle();
                return spans.len();
            }
        };
        let mut from = 0;
        while from < spans.len() && !self.base.turn.is_over() {
            let run =
                spans[from..].iter().take_while(|s| s.frame(bytes).kind() == FrameKind::Routable).count();
            if run > 0 {
                let end = from + run;
                if !self.base.may_publish(id) {
                    from = end;
                }
                // One that its own messages close, as a slow subscriber, has said all the same what was read with them.
                while from < end && !(self.base.turn.is_over() && self.base.sessions.is_listening(id)) {
                    let messages = Messages::Native(&spans[from..end]);
                    from += self.publish((bytes, messages), Origin::Here(id));
                }
            } else {
                self.on_control(id, spans[from].frame(bytes));
                from += 1;
            }
            self.settle();
        }
        from
    }

    /// Sends messages to all that want them, and lets go of sessions that end for it.
    #[inline]
    fn publish(&mut self, batch: (&Bytes, Messages<'_>), origin: Origin) -> usize {
        let done = publish(&mut self.base, self.membership.fanout_mut(), batch, origin);
        if !self.base.untold.is_empty() {
            self.settle();
        }
        done
    }

    /// One frame that is meant for this end.
    fn on_control(&mut self, id: SessionId, frame: Frame<'_>) {
        let Some(session) = self.base.sessions.get(id) else { return };
        match (matches!(session.kind, Kind::Relay(_)), session.phase, frame) {
            (true, _, frame) => relays::on_control(&mut self.base, id, frame),
            (false, Phase::Hello, Frame::Hello { name, overflow, previous, ticket }) => {
                let predecessor = Predecessor { number: SessionNumber(previous), ticket };
                let hello = (id, name, overflow, predecessor);
                self.succession.on_hello(&mut self.base, &mut self.demand, hello);
            }
            (false, Phase::Hello, Frame::Login { token }) => {
                self.base.log_in(id, &Proof::Token(Secret::new(token)));
            }
            (false, Phase::Hello | Phase::Open, Frame::Ticket { ticket, .. })
                if self.base.config.direct.is_some() =>
            {
                let lost = shown_tickets::on_shown(&mut self.base, id, ticket);
                let mut revocation = Revocation::from(
                    (&mut self.membership, &mut self.demand),
                    &mut self.starts,
                    &mut self.watches,
                    &mut self.publishers,
                );
                for filter in lost {
                    revocation.take_back(&mut self.base, id, &Held::Subscription(filter));
                }
            }
            (false, Phase::Hello, _) => {
                self.base.end(id, ErrorCode::Unexpected, "the first frame must be a hello");
            }
            // Before, not after: one long answer is not a peer's fault, not reading it is.
            (false, Phase::Open, _) if self.base.close_if_answers_pile_up(id) => {}
            (false, Phase::Open, frame) => {
                self.on_request(id, frame);
                self.base.hold_for_news(id);
            }
            _ => {}
        }
    }

    fn on_request(&mut self, id: SessionId, frame: Frame<'_>) {
        let base = &mut self.base;
        match frame {
            Frame::Subscribe { filter, request, subscriber, kind } => {
                let Some(filter) = base.checked_filter(id, kind, filter) else { return };
                let number = RequestId(request);
                let may = base.may_request(id, number, Action::Subscribe(&filter))
                    && base.reserve_subscription(id, Some(number));
                let taken = may && self.subscribe((id, &filter, SubscriberId(subscriber)), true);
                let parts = (&mut self.membership, &mut self.demand);
                let starts = self.starts.on_subscription(
                    &mut self.base,
                    parts,
                    id,
                    taken.then_some(RequestId(request)),
                );
                if taken && !starts {
                    self.joins.ask(&mut self.base, &self.demand, (id, RequestId(request)));
                }
            }
            Frame::Unsubscribe { filter, request, subscriber, kind } => {
                let Some(filter) = base.checked_filter(id, kind, filter) else { return };
                self.subscribe((id, &filter, SubscriberId(subscriber)), false);
                self.base.answer_behind(id, &Frame::Done { request });
            }
            Frame::WatchSubscribers { topic, request } => {
                self.watches.watch(base, &mut self.membership, (id, topic, RequestId(request)));
            }
            Frame::UnwatchSubscribers { request } => self.watches.unwatch(base, id, RequestId(request)),
            Frame::Flush { request } => base.on_flush(id, RequestId(request)),
            Frame::Start { value, request, subscriptions, kind } => {
                self.starts.on_start(base, id, (kind, value), (RequestId(request), subscriptions));
            }
            Frame::Position { topic, publisher, sequence } => {
                self.starts.on_position(base, id, (topic, publisher, sequence));
            }
            Frame::Ping { token } => base.answer(id, &Frame::Pong { token }),
            Frame::Pong { .. } => {}
            Frame::Hello { .. } => base.end(id, ErrorCode::Unexpected, "a second hello"),
            other => match self.publishers.on_frame(base, id, other) {
                Some(Some(change)) => {
                    self.demand.relays.on_change(base, self.membership.fanout().groups(), &change);
                }
                Some(None) => {}
                None => base.end(id, ErrorCode::Unexpected, "a frame that only a broker sends"),
            },
        }
    }

    /// The next turn of a session that is behind.
    pub fn go_on(&mut self, id: SessionId) {
        self.base.turn.begin();
        let now = self.base.clock.now();
        let Some(session) = self.base.sessions.get_mut(id) else { return };
        // It is not read meanwhile: its silence and its begun frame are not its fault.
        session.heard = now;
        while !self.base.turn.is_over()
            && let Some(batch) = self.base.sessions.rest_of(id).and_then(|rest| rest.batches.pop_front())
        {
            let done = self.take(id, &batch.bytes, batch.spans.messages());
            if let Some(left) = batch.after(done)
                && let Some(rest) = self.base.sessions.rest_to_fill(id)
            {
                rest.batches.push_front(left);
            }
        }
        while !self.base.turn.is_over()
            && let Some(step) = self.base.sessions.rest_of(id).and_then(|rest| rest.postponed.pop())
        {
            self.do_step(id, step);
        }
        self.base.hold_for_news(id);
        let Some(session) = self.base.sessions.get_mut(id) else { return };
        if let Some(rest) = session.rest.take_if(|rest| rest.batches.is_empty() && rest.postponed.is_empty())
        {
            session.frame_begins_again(now);
            if let Some(error) = rest.error {
                self.on_wire_error(id, &error);
            }
        }
    }

    /// A neighbour tells something. It is done now, or after what came before it and waits for the next turn.
    pub fn on_link(&mut self, from: impl Into<Neighbour>, item: LinkItem) {
        let from = from.into();
        if self.base.turn.is_over() || self.base.links.is_behind(from) {
            self.base.links.keep(from, item);
        } else {
            self.take_item(from, item);
        }
    }

    /// A turn of a link begins: what waits from the turn before is done first.
    pub fn go_on_with_link(&mut self, from: impl Into<Neighbour>) {
        let from = from.into();
        self.base.turn.begin();
        while !self.base.turn.is_over()
            && let Some(item) = self.base.links.next_kept(from)
        {
            self.take_item(from, item);
        }
    }

    fn take_item(&mut self, from: Neighbour, item: LinkItem) {
        let (base, demand) = (&mut self.base, &mut self.demand);
        match item {
            LinkItem::Batch { batch, publisher } => {
                // What is left of it comes before all else of that link.
                let messages = (&batch.bytes, batch.spans.messages());
                let done = self.publish(messages, Origin::There(from, publisher));
                if let Some(rest) = batch.after(done) {
                    let item = LinkItem::Batch { batch: Arc::new(rest), publisher };
                    self.base.links.keep_first(from, item);
                }
            }
            LinkItem::Hold { publisher } => base.hold(Origin::Here(publisher)),
            LinkItem::Unstored { publisher } => base.on_unstored(publisher),
            LinkItem::Release { publisher } => base.release(&[Origin::Here(publisher)]),
            LinkItem::Interest { seq, filter, wanted } => {
                self.membership.on_interest(base, demand, (from, &filter, wanted));
                base.tell_seen(from, seq);
            }
            LinkItem::InterestSeen { seq } => {
                demand.seen_by(from, seq);
                self.joins.on_confirmed(base, demand);
                self.succession.on_confirmed(base, demand);
                self.moves.on_confirmed(base, demand);
                self.starts.on_confirmed(base, (&mut self.membership, demand));
            }
            LinkItem::Fence { seq, kept_at } => {
                base.on_time_of_other(kept_at);
                base.tell_seen(from, seq);
            }
            LinkItem::Watch { watch, topic } => {
                self.watches.add_asked(from, watch, topic);
                self.watches.count(base, &mut self.membership);
            }
            LinkItem::Unwatch { watch } => self.watches.remove_asked(from, watch),
            LinkItem::Count { watch, count } => {
                self.watches.counted(from, watch, count);
                self.watches.tell(base);
            }
            LinkItem::Registry { change, lease } => {
                if let Some(change) = self.publishers.on_far(base, change, lease) {
                    demand.relays.on_change(base, self.membership.fanout().groups(), &change);
                }
            }
            LinkItem::Cut(cut) => {
                self.moves.on_cut(base, (&mut self.membership, demand), (from, &cut));
                note_arrivals(self);
            }
            LinkItem::Mark(mark) => {
                self.starts.on_mark(base, (&mut self.membership, demand), (from, &mark));
            }
            LinkItem::Keep { batch, said_at } => base.keep_far(from, &batch, said_at),
            LinkItem::LastBatch => {
                base.links.end(from);
                base.farewell_when_drained();
            }
            LinkItem::Doubted | LinkItem::AwaitStored { .. } => unreachable!("shards say this to carriers"),
            LinkItem::Owed(owed) => base.links.owes(from, owed),
            LinkItem::ToShard(item) => {
                let from = base.links.shard(from);
                match *item {
                    ShardItem::Repeated { filter } => demand.upstream.on_repeated(base, &filter),
                    ShardItem::Registry { session, ask } => {
                        if let Some(change) = self.publishers.on_ask(base, (from, session), ask) {
                            demand.relays.on_change(base, self.membership.fanout().groups(), &change);
                        }
                    }
                    ShardItem::Publisher { seq, change } => {
                        self.publishers.on_change(base, &change);
                        demand.relays.on_change(base, self.membership.fanout().groups(), &change);
                        base.tell_publisher_seen(from, seq);
                    }
                    ShardItem::PublisherSeen { seq } => self.publishers.on_seen(base, from, seq),
                    ShardItem::Answer { session, bytes } => publishers::on_answer(base, session, bytes),
                    ShardItem::ListPart { session, bytes, last } => {
                        self.publishers.on_list_part(base, session, bytes, last);
                    }
                    ShardItem::Succeed { number, ticket, successor } => {
                        let claim = (Predecessor { number, ticket }, (from, successor));
                        self.succession.end_predecessor(base, demand, claim);
                    }
                    ShardItem::SucceedMoved { number, ticket, session, successor } => {
                        let first = (from, Predecessor { number, ticket });
                        self.succession.end_moved(base, demand, first, (session, successor));
                    }
                    ShardItem::MovedOn { number, ticket, successor } => {
                        let claim = (Predecessor { number, ticket }, successor);
                        self.succession.end_predecessor(base, demand, claim);
                    }
                    ShardItem::History(item) => {
                        self.starts.on_item(base, (&mut self.membership, demand), (from, item));
                    }
                    ShardItem::Open { session } => self.succession.welcome(base, session),
                    ShardItem::Move(MoveItem::Moved { number, to }) => self.succession.on_moved(number, to),
                    ShardItem::Move(MoveItem::Strain(strain)) => {
                        self.balance.note(from, strain, base.clock.now());
                    }
                    ShardItem::Move(item) => {
                        self.moves.on_item(base, (&mut self.membership, demand), (from, item));
                        note_arrivals(self);
                    }
                }
            }
        }
        self.settle();
    }

    /// Items have gone to a neighbour: publishers that waited for that may go on.
    pub fn on_link_room(&mut self, to: impl Into<Neighbour>) {
        self.membership.withdraw(&mut self.base, &mut self.demand);
        let holds = self.base.links.outgoing(to.into()).take_released();
        self.base.release(&holds);
    }
}

/// Tells the parts that it concerns of sessions that have arrived from other shards.
fn note_arrivals(shard: &mut Shard) {
    while let Some((number, place)) = shard.moves.next_settled() {
        shard.balance.count_guest(number, true);
        tell_place(&mut shard.base, &mut shard.succession, number, Some(place));
        shard.watches.all_changed();
    }
}

#[cfg(test)]
mod tests;
