//! The log lines of one executor, each at most once a second for its reason.

use std::cell::{Cell, RefCell};
use std::io;

use corecast_executors::MonotonicNs;
use tracing::field::display;
use tracing::{debug, info, warn};

use crate::auth::Identity;
use crate::fanout::Chunk;
use crate::ids::{SessionId, ShardId};
use crate::printable::printable;
use crate::shard::{Closed, Loss, Shard};
use crate::telemetry::{CloseReason, OncePerSecond, count_slow_sessions};

/// The reason under which lines about slow sessions are limited.
const SLOW: &str = "slow";

/// The log of one shard.
pub(super) struct Journal {
    id: ShardId,
    limit: RefCell<OncePerSecond>,
    /// The number of messages whose loss could be told to nobody, when that was last logged.
    untold: Cell<u64>,
}

impl Journal {
    pub(super) fn new(id: ShardId) -> Self {
        Journal { id, limit: RefCell::default(), untold: Cell::new(0) }
    }

    /// Logs a line, unless one of its reason was logged less than a second ago. The line gets the number of those that
    /// were left out since then.
    pub(super) fn limited(&self, now: MonotonicNs, reason: &'static str, line: impl FnOnce(u64)) {
        // Not borrowed while the line is written.
        let allowed = self.limit.borrow_mut().allow(reason, now);
        if let Some(suppressed) = allowed {
            line(suppressed);
        }
    }

    /// A session's end: anything but its peer's orderly close is a line, with the client, its address, the reason, and
    /// the error of a stream that has failed.
    pub(super) fn session_ended(&self, now: MonotonicNs, closed: &Closed, failure: Option<&io::Error>) {
        let Closed { number: session, reason, identity, client, unsent } = closed;
        let (client, user, peer) = (client.as_deref(), identity.user(), identity.address().map(display));
        if *reason != CloseReason::PeerClosed {
            let (reason, error) = (reason.label(), failure.map(display));
            self.limited(now, reason, |more| {
                info!(shard = %self.id, %session, client, user, peer, reason, error, unsent, more, "session ended");
            });
        } else if *unsent > 0 {
            // A client that has what it wanted leaves, whatever is still on its way.
            self.limited(now, "unsent", |more| {
                debug!(shard = %self.id, %session, client, user, peer, unsent, more, "a client left before it had all");
            });
        }
    }

    /// A publisher's message of so many bytes was skipped.
    pub(super) fn message_too_long(&self, now: MonotonicNs, shard: &Shard, id: SessionId, bytes: usize) {
        self.limited(now, "message_too_long", |more| {
            let session = shard.sessions().number_of(id, self.id);
            let peer = shard.sessions().identity_of(id).and_then(Identity::address).map(display);
            warn!(shard = %self.id, %session, peer, bytes, more, "passed over a message longer than --frame-bytes-max");
        });
    }

    /// The lines that are due on a tick: losses, and the numbers of lines that were left out.
    pub(super) fn on_tick(&self, now: MonotonicNs, shard: &mut Shard) {
        self.losses(now, shard);
        self.untold(now, shard);
        self.slow(now, shard);
        self.limit.borrow_mut().overdue(now, |reason, more| {
            info!(shard = %self.id, reason, more, "left out of the log");
        });
    }

    /// Messages that were dropped, the session that lost some last, and the reason.
    fn losses(&self, now: MonotonicNs, shard: &mut Shard) {
        let mut limit = self.limit.borrow_mut();
        let losses = shard.outbox().losses.take(|loss| {
            let key = loss.reason.log_key();
            // A loss that waits is in the next line: it is not left out.
            limit.is_due(key, now) && limit.allow(key, now).is_some()
        });
        for Loss { reason, messages, session: id } in losses {
            let peer = shard.sessions().identity_of(id).and_then(Identity::address).map(display);
            let (client, session, reason) =
                (shard.sessions().client_of(id), shard.sessions().number_of(id, self.id), reason.label());
            info!(
                shard = %self.id, reason, messages, %session, client, peer,
                "messages dropped; the session named is the last that lost some"
            );
        }
    }

    /// Sessions that have become slow and still are: one in a second, with how far it is behind.
    fn slow(&self, now: MonotonicNs, shard: &mut Shard) {
        let id = self.id;
        shard.outbox().slow.export(|user, sessions| count_slow_sessions(id, user, sessions));
        while self.limit.borrow().is_due(SLOW, now) {
            let Some((id, left_out)) = shard.outbox().slow.take_next() else { return };
            let more = left_out + shard.outbox().slow.waiting() as u64;
            let sessions = shard.sessions();
            let (Some(egress), Some((policy, since))) = (sessions.egress(id), sessions.stall_of(id)) else {
                continue;
            };
            let identity = sessions.identity_of(id);
            let (user, peer) = (identity.and_then(Identity::user), identity.and_then(Identity::address));
            let topic = egress.first_chunk().and_then(Chunk::first_topic).map(printable);
            self.limited(now, SLOW, |_| {
                warn!(
                    shard = %self.id, session = %sessions.number_of(id, self.id), client = sessions.client_of(id), user,
                    peer = peer.map(display), topic = topic.map(display), messages = egress.frames(),
                    bytes = egress.bytes(), seconds = now.saturating_since(since).as_secs_f64(), %policy, more,
                    "a session is slow: this waits for it"
                );
            });
        }
    }

    /// ZeroMQ subscribers cannot be told what they missed, so the log is.
    fn untold(&self, now: MonotonicNs, shard: &Shard) {
        let dropped = shard.counters().gaps_untold;
        let new = dropped - self.untold.get();
        if new > 0 && self.limit.borrow().is_due("gaps_untold", now) {
            self.limited(now, "gaps_untold", |_| {
                self.untold.set(dropped);
                info!(shard = %self.id, messages = new, "missed by ZeroMQ subscribers, which cannot be told");
            });
        }
    }
}
