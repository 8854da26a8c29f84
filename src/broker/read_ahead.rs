//! Reads that come before a flush. As long as more input waits, of the session that was read or of others, and what came so far
//! would leave in short sends, the flush can wait for another read: a send costs more than the bytes of some messages. Owned by
//! a runtime.

use std::cell::Cell;

use corecast_executors::MonotonicNs;

use crate::fanout::QueueBounds;
use crate::limits::{LOW_WATER_DIVISOR, MESSAGES_PER_TURN_MAX, READ_AHEAD_MAX};
use crate::shard::Outbox;

/// The reads of one executor since its last flush.
pub(super) struct ReadAhead {
    /// The begin of the first, if there was one.
    since: Cell<Option<MonotonicNs>>,
    bytes_max: usize,
    messages_max: usize,
}

impl ReadAhead {
    /// No queue may fill beyond half of its bounds with what is read ahead, so that no subscriber that keeps up is taken for
    /// a slow consumer.
    pub(super) fn new(bounds: QueueBounds) -> Self {
        ReadAhead {
            since: Cell::default(),
            bytes_max: bounds.bytes_max / LOW_WATER_DIVISOR,
            messages_max: (bounds.frames_max / LOW_WATER_DIVISOR).saturating_sub(MESSAGES_PER_TURN_MAX),
        }
    }

    /// Notes a read, which began and ended then, and after which so much waits to be flushed. Returns true if another read may
    /// come before the next flush.
    pub(super) fn may_go_on(&self, (began, ended): (MonotonicNs, MonotonicNs), waiting: &Outbox) -> bool {
        let since = self.since.get().unwrap_or(began);
        self.since.set(Some(since));
        waiting.routed_messages < self.messages_max
            && waiting.queued_bytes < self.bytes_max
            && ended.saturating_since(since) < READ_AHEAD_MAX
    }

    /// A flush begins.
    pub(super) fn end(&self) {
        self.since.set(None);
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    const ROOM: QueueBounds = QueueBounds { bytes_max: usize::MAX, frames_max: usize::MAX };

    /// Reads before a flush, up to 100, if each takes so long, has so many messages, and fills a queue with so many bytes.
    fn reads(ahead: &ReadAhead, time: Duration, (messages, bytes): (usize, usize)) -> usize {
        let mut now = MonotonicNs(7);
        ahead.end();
        for reads in 1..100 {
            let waiting = Outbox {
                routed_messages: reads * messages,
                queued_bytes: reads * bytes,
                ..Outbox::default()
            };
            if !ahead.may_go_on((now, now + time), &waiting) {
                return reads;
            }
            now = now + time;
        }
        100
    }

    #[test]
    fn a_flush_waits_for_so_long() {
        let ahead = ReadAhead::new(ROOM);
        assert_eq!(reads(&ahead, Duration::ZERO, (1, 1)), 100);
        assert_eq!(reads(&ahead, READ_AHEAD_MAX, (1, 1)), 1);
        assert_eq!(reads(&ahead, READ_AHEAD_MAX / 4, (1, 1)), 4);
    }

    #[test]
    fn no_more_is_read_ahead_than_half_of_a_queue_takes() {
        let frames = |frames_max| ReadAhead::new(QueueBounds { frames_max, ..ROOM });
        let least = frames(MESSAGES_PER_TURN_MAX);
        assert_eq!(reads(&least, Duration::ZERO, (1, 0)), 1, "the least that may be configured");
        let eight = frames(8 * MESSAGES_PER_TURN_MAX);
        assert_eq!(
            reads(&eight, Duration::ZERO, (MESSAGES_PER_TURN_MAX, 0)),
            3,
            "and a fourth read of so many"
        );
        let bytes = ReadAhead::new(QueueBounds { bytes_max: 100, ..ROOM });
        assert_eq!(reads(&bytes, Duration::ZERO, (0, 10)), 5);
    }
}
