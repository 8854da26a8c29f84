//! Reads that come before a flush. As long as more input waits than one read takes, and what came so far would leave in short
//! sends, the flush can wait for another read: a send costs more than the bytes of some messages. Owned by a runtime.

use std::cell::Cell;

use corecast_executors::MonotonicNs;

use crate::fanout::QueueBounds;
use crate::limits::{LOW_WATER_DIVISOR, MESSAGES_PER_TURN_MAX, READ_AHEAD_MAX, READS_PER_FLUSH_MAX};

/// The reads of one executor since its last flush.
pub(super) struct ReadAhead {
    /// The number of reads, and the begin of the first.
    reads: Cell<u32>,
    since: Cell<MonotonicNs>,
    reads_max: u32,
    bytes_max: usize,
}

impl ReadAhead {
    /// No queue may fill beyond half of its bounds with what is read ahead, so that no subscriber that keeps up is taken for
    /// a slow consumer.
    pub(super) fn new(bounds: QueueBounds) -> Self {
        let reads = bounds.frames_max / MESSAGES_PER_TURN_MAX / LOW_WATER_DIVISOR;
        ReadAhead {
            reads: Cell::new(0),
            since: Cell::default(),
            reads_max: u32::try_from(reads).unwrap_or(u32::MAX).min(READS_PER_FLUSH_MAX),
            bytes_max: bounds.bytes_max / LOW_WATER_DIVISOR,
        }
    }

    /// Counts a read, which began and ended then; so many bytes have been queued since the last flush. Returns true if
    /// another read may come before the next flush.
    pub(super) fn may_go_on(&self, (began, ended): (MonotonicNs, MonotonicNs), queued_bytes: usize) -> bool {
        if self.reads.get() == 0 {
            self.since.set(began);
        }
        self.reads.set(self.reads.get() + 1);
        self.reads.get() < self.reads_max
            && queued_bytes < self.bytes_max
            && ended.saturating_since(self.since.get()) < READ_AHEAD_MAX
    }

    /// A flush begins.
    pub(super) fn end(&self) {
        self.reads.set(0);
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    const ROOM: QueueBounds = QueueBounds { bytes_max: usize::MAX, frames_max: usize::MAX };

    /// Reads before a flush, if each takes so long and fills a queue with so many bytes.
    fn reads(ahead: &ReadAhead, time: Duration, bytes: usize) -> u32 {
        let (mut now, mut reads) = (MonotonicNs(7), 1);
        ahead.end();
        while ahead.may_go_on((now, now + time), reads as usize * bytes) {
            now = now + time;
            reads += 1;
        }
        reads
    }

    #[test]
    fn a_flush_waits_for_so_many_reads_and_for_so_long() {
        let ahead = ReadAhead::new(ROOM);
        assert_eq!(reads(&ahead, Duration::ZERO, 0), READS_PER_FLUSH_MAX);
        assert_eq!(reads(&ahead, READ_AHEAD_MAX, 0), 1);
        assert_eq!(reads(&ahead, READ_AHEAD_MAX / 4, 0), 4);
    }

    #[test]
    fn no_more_is_read_ahead_than_half_of_a_queue_takes() {
        let frames = |frames_max| ReadAhead::new(QueueBounds { frames_max, ..ROOM });
        let least = frames(MESSAGES_PER_TURN_MAX);
        assert_eq!(reads(&least, Duration::ZERO, 0), 1, "the least that may be configured");
        assert_eq!(reads(&frames(8 * MESSAGES_PER_TURN_MAX), Duration::ZERO, 0), 4);
        let bytes = ReadAhead::new(QueueBounds { bytes_max: 100, ..ROOM });
        assert_eq!(reads(&bytes, Duration::ZERO, 10), 5);
    }
}
