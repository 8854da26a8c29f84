//! What time does: deadlines of sessions, and the counts that publishers wait for. Time comes in with each tick.

use std::time::Duration;

use corecast_executors::MonotonicNs;

use super::session::Phase;
use super::shard::Shard;
use crate::error::ErrorCode;
use crate::ids::SessionId;
use crate::limits::{FRAME_BYTES_PER_SEC_MIN, FRAME_DEADLINE, HEARTBEATS_MISSED_MAX, SWEEP_TICKS};
use crate::wire::Frame;

impl Shard {
    /// A tick. Each session is looked at once in [`SWEEP_TICKS`] ticks.
    pub fn on_tick(&mut self, now: MonotonicNs) {
        self.now = now;
        self.counters.ticks += 1;
        if self.recount && !self.watches.is_empty() {
            self.recount_watches();
        }
        self.expire_leases();
        let slots = self.sessions.slots();
        let part = slots.div_ceil(SWEEP_TICKS);
        for _ in 0..part {
            self.sweep_at = if self.sweep_at + 1 >= slots { 0 } else { self.sweep_at + 1 };
            if let Some(id) = self.sessions.in_slot(self.sweep_at) {
                self.check_deadlines(id);
            }
        }
    }

    /// After each turn that read from a session: whether a frame has begun and is not whole, and whether any
    /// was completed. `announced` is the begun frame's length, once known.
    pub fn on_partial(&mut self, id: SessionId, partial: bool, completed: bool, announced: Option<usize>) {
        let now = self.now;
        let Some(session) = self.sessions.get_mut(id) else { return };
        session.heard = now;
        if session.phase != Phase::Open {
            return;
        }
        if !partial {
            session.deadline = None;
        } else if completed || session.deadline.is_none() {
            let more = announced.unwrap_or(0) as u64 / FRAME_BYTES_PER_SEC_MIN;
            session.deadline = Some(now + FRAME_DEADLINE + Duration::from_secs(more));
        } else if let Some(bytes) = announced {
            // The length came later than the frame's first byte: extend, from when it began at the earliest.
            let more = Duration::from_secs(bytes as u64 / FRAME_BYTES_PER_SEC_MIN);
            session.deadline = session.deadline.map(|d| d.max(now + more));
        }
    }

    fn check_deadlines(&mut self, id: SessionId) {
        let Some(session) = self.sessions.get_mut(id) else { return };
        if session.is_local {
            return;
        }
        if session.zmtp.is_some() && session.phase == Phase::Open && self.is_zmtp_silent(id) {
            return self.close(
                id,
                ErrorCode::IdleTimeout,
                "nothing was heard for too long, heartbeats neither",
            );
        }
        let Some(session) = self.sessions.get_mut(id) else { return };
        if session.held_by > 0 && session.zmtp.is_some() {
            return;
        }
        if session.held_by > 0 {
            // Its pings are not read, so they are not answered: without a word from here it would give us up, and
            // lose what is under way.
            let due = self.now.saturating_since(session.heard) >= self.config.heartbeat;
            if due && session.phase == Phase::Open {
                session.heard = self.now;
                self.answer(id, &Frame::Ping { token: self.now.0 });
            }
            return;
        }
        let late = session.deadline.is_some_and(|deadline| deadline <= self.now);
        let silent = self.now.saturating_since(session.heard);
        let idle_max = self.config.heartbeat * HEARTBEATS_MISSED_MAX;
        match session.phase {
            Phase::Greeting | Phase::Hello if late => {
                self.close(id, ErrorCode::HandshakeTimeout, "the handshake took too long");
            }
            Phase::Open if late => {
                self.close(id, ErrorCode::FrameTimeout, "a frame was begun and not finished")
            }
            Phase::Open if silent > idle_max && session.zmtp.is_none() => {
                self.close(id, ErrorCode::IdleTimeout, "nothing was heard for too long, heartbeats neither");
            }
            Phase::Closing | Phase::Shut if late && !self.draining => self.outbox.abort.push(id),
            _ => {}
        }
    }
}
