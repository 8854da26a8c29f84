//! The way of a session from a broker that is about to end to another one. The second connection is made while the first still
//! serves; then the broker confirms what was published, and the session goes on over the second. If the other broker has the same
//! messages, the first goes on to be read until the second has taken its place: nothing is missed, and nothing comes twice.

use std::mem;
use std::rc::Rc;

use corecast_executors::{Either, MonotonicNs, TICK, first, spawn_local};
use tracing::{info, warn};

use super::incoming::{Arrived, Incoming};
use super::life::{Session, jittered};
use super::overlap::Overlap;
use super::transfer::Streams;
use crate::limits::{
    LINGER, OVERLAP_MAX, OVERLAP_MEMORY, OVERLAP_SETTLE, RECONNECT_PAUSE_MAX, RECONNECT_PAUSE_MIN,
};
use crate::transport::{Endpoint, Stream};
use crate::wire::{Frame, FrameKind, splitter};

impl Session {
    /// The broker may have said that this client is to go on elsewhere, or that it ends now.
    pub(super) fn follow_drain(self: &Rc<Self>, stream: &Rc<Stream>) {
        if self.state.borrow_mut().heed_last_call() {
            self.send_later();
        }
        let Some((named, joined)) = self.state.borrow_mut().take_drain() else { return };
        let current = self.destinations.current();
        let named = named.into_iter().filter(|endpoint| current.may_lead_to(endpoint)).collect();
        self.destinations.name(named);
        let is_under_way = self.transfer.from.borrow().as_ref().is_some_and(|from| Rc::ptr_eq(from, stream));
        if is_under_way || self.closing.get() {
            return;
        }
        *self.transfer.from.borrow_mut() = Some(Rc::clone(stream));
        self.patience.on_held();
        if !joined.is_empty() {
            *self.transfer.overlap.borrow_mut() = Overlap::default();
            self.transfer.streams.set(Streams::Old);
        }
        *self.transfer.joined.borrow_mut() = joined;
        spawn_local(Rc::clone(self).go_on_elsewhere(Rc::clone(stream))).detach();
    }

    /// Connects to another broker, and then leaves this one, which serves until there is another.
    async fn go_on_elsewhere(self: Rc<Self>, from: Rc<Stream>) {
        let clock = &self.runtime.clock;
        if !self.transfer.is_plain() {
            // What comes now comes to the other broker, too, perhaps earlier: it is to be known when that one is heard.
            clock.until(clock.now() + OVERLAP_SETTLE).await;
        }
        self.until_in_force(&from).await;
        let Some(next) = self.connect_elsewhere(&from).await else { return self.stay(&from) };
        let Some(left) = self.state.borrow_mut().leave() else { return self.stay(&from) };
        let broker = next.1.clone();
        *self.transfer.to.borrow_mut() = Some(next);
        self.send_later();
        info!(%broker, "the broker is about to end: this client goes on at another one");
        let deadline = clock.now() + LINGER;
        let answered = self.changed.until(|| left.get().is_some().then_some(()));
        if let Either::Right(()) = first(answered, clock.until(deadline)).await {
            // It does not confirm what was published: that is told as for any connection that is lost.
            let _ = from.shutdown_both();
        }
    }

    /// True while this connection is the one that serves.
    fn is_at(&self, from: &Rc<Stream>) -> bool {
        let here = self.stream.borrow().as_ref().is_some_and(|stream| Rc::ptr_eq(stream, from));
        here && !self.closing.get()
    }

    /// Waits until every subscription is in force: history that is being sent is in the broker that is about to end, and nowhere else.
    async fn until_in_force(&self, from: &Rc<Stream>) {
        let clock = &self.runtime.clock;
        while self.is_at(from) && !self.state.borrow().is_all_in_force() {
            clock.until(clock.now() + TICK).await;
        }
    }

    /// There is no other broker, or this connection has ended.
    fn stay(&self, from: &Rc<Stream>) {
        let mut leaves = self.transfer.from.borrow_mut();
        if leaves.as_ref().is_some_and(|leaves| Rc::ptr_eq(leaves, from)) {
            *leaves = None;
            if self.transfer.streams.get() == Streams::Old {
                self.transfer.streams.set(Streams::One);
            }
        }
    }

    /// Connects to another broker, however long it takes. `None`: the connection to this one has ended meanwhile, or there is
    /// none elsewhere.
    async fn connect_elsewhere(&self, from: &Rc<Stream>) -> Option<(Rc<Stream>, Endpoint)> {
        let is_here = || self.is_at(from);
        let (mut pause, mut is_told) = (RECONNECT_PAUSE_MIN, false);
        while is_here() {
            let elsewhere = self.destinations.elsewhere();
            if elsewhere.is_empty() {
                info!("the broker is about to end, and this client knows of no other one");
                return None;
            }
            match self.connect_to_first(&elsewhere).await {
                Ok(next) => return is_here().then_some(next),
                Err(error) if !mem::replace(&mut is_told, true) => {
                    warn!(why = %error, "the broker is about to end, and no other one answers: it is tried again");
                }
                Err(_) => {}
            }
            self.pause(jittered(pause)).await;
            pause = (pause * 2).min(RECONNECT_PAUSE_MAX);
        }
        None
    }

    /// The session has left its broker, whose connection is still there.
    pub(super) fn on_left(self: &Rc<Self>, old: Rc<Stream>, incoming: Incoming) {
        *self.transfer.from.borrow_mut() = None;
        let joined = mem::take(&mut *self.transfer.joined.borrow_mut());
        let frame_bytes_max = self.state.borrow().frame_bytes_max_of_peer();
        self.state.borrow_mut().on_left(joined);
        if self.transfer.streams.get() != Streams::Old {
            let _ = old.shutdown_both();
            return;
        }
        self.transfer.streams.set(Streams::Both);
        spawn_local(Rc::clone(self).hear_out(old, incoming, frame_bytes_max)).detach();
    }

    /// The connection has ended in another way.
    pub(super) fn on_cut_off(&self) {
        *self.transfer.from.borrow_mut() = None;
        match self.transfer.streams.get() {
            Streams::Old => self.transfer.streams.set(Streams::One),
            // The loss is told when the session is open again.
            Streams::Both => {
                self.state.borrow_mut().on_overlap_lost();
                self.end_overlap();
            }
            Streams::One | Streams::New(_) => {}
        }
    }

    /// The session is open again: if the other broker has not the same messages, the old stream is over.
    pub(super) fn on_transferred(&self) {
        if self.transfer.streams.get() == Streams::Both && !self.state.borrow().is_seamless() {
            self.transfer.streams.set(Streams::One);
        }
    }

    /// Reads the old stream until the new one has been in force for a while.
    async fn hear_out(self: Rc<Self>, old: Rc<Stream>, mut incoming: Incoming, frame_bytes_max: usize) {
        let clock = &self.runtime.clock;
        let give_up = clock.now() + OVERLAP_MAX;
        let mut in_force = None;
        while self.transfer.streams.get() == Streams::Both {
            let now = clock.now();
            if self.state.borrow().is_all_in_force() {
                in_force.get_or_insert(now);
            }
            let is_whole = in_force.is_some_and(|since| now >= since + OVERLAP_SETTLE);
            let has_overflowed = self.transfer.overlap.borrow().has_overflowed();
            if is_whole && !has_overflowed {
                self.end_overlap();
                break;
            }
            let goes_on = self.hear_old_or_wait(&old, (&mut incoming, frame_bytes_max)).await;
            let is_over = !goes_on || has_overflowed || now >= give_up || self.closing.get();
            if is_over && self.transfer.streams.get() == Streams::Both {
                self.end_overlap();
                self.tell_cut();
            }
        }
        let _ = old.shutdown_both();
    }

    /// Hears the old stream, or waits for a tick. `false`: it has ended.
    async fn hear_old_or_wait(
        &self,
        old: &Stream,
        (incoming, frame_bytes_max): (&mut Incoming, usize),
    ) -> bool {
        let clock = &self.runtime.clock;
        let tick = clock.until(clock.now() + TICK);
        // A queue without room holds this stream as it does any other.
        if self.holds.any() {
            first(self.holds.until_none(|| self.closing.get()), tick).await;
            return true;
        }
        match first(old.readable(), tick).await {
            Either::Left(readable) => readable.is_ok() && self.hear_old(old, incoming, frame_bytes_max),
            Either::Right(()) => true,
        }
    }

    /// A turn of the old stream. `false`: it has ended.
    fn hear_old(&self, old: &Stream, incoming: &mut Incoming, frame_bytes_max: usize) -> bool {
        let mut slab = self.runtime.slab.borrow_mut();
        let received = match old.try_recv(incoming.space(&mut slab)) {
            Ok(Some(0)) | Err(_) => return false,
            Ok(received) => received.unwrap_or(0),
        };
        let mut spans = self.runtime.spans.take();
        let taken = incoming.take((&mut slab, &mut spans), received, frame_bytes_max, |arrived| {
            // Answers are not waited for any more.
            if let Arrived::Frame(frame, _) = arrived
                && frame.kind() == FrameKind::Routable
            {
                self.transfer.overlap.borrow_mut().note(&frame);
                self.listeners().tell(frame);
            }
        });
        self.runtime.spans.replace(spans);
        taken.is_ok()
    }

    /// A frame that travels by topic has come over the session's connection, during a transfer or soon after one.
    pub(super) fn hear_in_transfer(&self, frame: Frame<'_>) {
        match self.transfer.streams.get() {
            Streams::One => self.listeners().tell(frame),
            Streams::Old => {
                self.transfer.overlap.borrow_mut().note(&frame);
                self.listeners().tell(frame);
            }
            Streams::Both => {
                self.transfer.overlap.borrow_mut().hold(&frame);
                if self.transfer.overlap.borrow().has_overflowed() {
                    self.end_overlap();
                    self.tell_cut();
                }
            }
            Streams::New(_) => self.tell_if_new(frame),
        }
    }

    fn tell_if_new(&self, frame: Frame<'_>) {
        for single in frame.singles() {
            let is_new = self.transfer.overlap.borrow().is_new(&single);
            if is_new {
                self.listeners().tell(single);
            }
        }
    }

    /// The old stream has ended: what the new one has brought meanwhile is told.
    fn end_overlap(&self) {
        let held = self.transfer.overlap.borrow_mut().take_held();
        self.transfer.streams.set(Streams::New(self.runtime.clock.now() + OVERLAP_MEMORY));
        for (_, frame) in splitter::frames(&held) {
            self.tell_if_new(frame);
        }
    }

    /// The old stream has ended too early: subscribers may have missed something.
    fn tell_cut(&self) {
        let missed = self.state.borrow_mut().on_overlap_cut();
        missed.into_iter().for_each(|id| self.listeners().tell_gap(id));
    }

    /// A tick: what the old stream has brought is forgotten in time.
    pub(super) fn forget_overlap(&self, now: MonotonicNs) {
        if matches!(self.transfer.streams.get(), Streams::New(until) if until <= now) {
            self.transfer.streams.set(Streams::One);
            *self.transfer.overlap.borrow_mut() = Overlap::default();
        }
    }
}
