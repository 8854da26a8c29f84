//! Notices of gaps among what is kept of a topic, on their way to a client that comes back. A notice has no numbers by which the
//! client could have said that it was told; what it has had from behind the notice says so. Pure; owned by the session's replay.

use bytes::Bytes;

use crate::wire::{Frame, encode_to_vec, splitter};

/// A notice that some messages have never come to a log.
struct Notice {
    /// The log.
    log: usize,
    /// The time at which it came.
    at: u64,
    frame: Bytes,
}

/// Those of the topic under way of which it is not decided yet whether the client has been told.
#[derive(Default)]
pub(super) struct KeptNotices(Vec<Notice>);

impl KeptNotices {
    /// Adds one of a log, which came at that time.
    pub(super) fn add(&mut self, (log, at): (usize, u64), frame: Bytes) {
        self.0.push(Notice { log, at, frame });
    }

    /// The client has had a message from behind all of a log, so it was told.
    pub(super) fn have_been_told(&mut self, log: usize) {
        self.0.retain(|notice| notice.log != log);
    }

    /// Takes those of a log that are to be told before a message which came at that time. What came with the message was not told
    /// without it; of what came before it the client may know, so that the number would perhaps be counted twice.
    pub(super) fn take_before(&mut self, (log, at): (usize, u64)) -> Vec<Bytes> {
        if self.0.is_empty() {
            return Vec::new();
        }
        let (taken, left) = std::mem::take(&mut self.0).into_iter().partition(|notice| notice.log == log);
        self.0 = left;
        told_at(taken, Some(at))
    }

    /// Takes all that are left at the end of the topic.
    pub(super) fn take_rest(&mut self) -> Vec<Bytes> {
        told_at(std::mem::take(&mut self.0), None)
    }
}

/// These, each with its number if it came at that time.
fn told_at(notices: Vec<Notice>, with: Option<u64>) -> Vec<Bytes> {
    let told = |Notice { at, frame, .. }| if Some(at) == with { frame } else { without_number(frame) };
    let mut told: Vec<Bytes> = notices.into_iter().map(told).collect();
    told.dedup_by(|next, one| next == one && missed_of(one) == Some(0));
    told
}

/// The number of messages that a notice tells.
fn missed_of(notice: &[u8]) -> Option<u64> {
    match splitter::first_frame(notice) {
        Some(Frame::Gap { missed, .. }) => Some(missed),
        _ => None,
    }
}

/// The notice that something is missing, nobody knows how much.
fn without_number(notice: Bytes) -> Bytes {
    match splitter::first_frame(&notice) {
        Some(Frame::Gap { topic, reason, .. }) => {
            encode_to_vec(&Frame::Gap { topic, missed: 0, reason }).into()
        }
        _ => notice,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn notice(missed: u64) -> Bytes {
        encode_to_vec(&Frame::Gap { topic: b"t", missed, reason: 6 }).into()
    }

    fn told(notices: Vec<Bytes>) -> Vec<u64> {
        notices.iter().filter_map(|notice| missed_of(notice)).collect()
    }

    fn three() -> KeptNotices {
        let mut notices = KeptNotices::default();
        notices.add((0, 5), notice(3));
        notices.add((1, 6), notice(4));
        notices.add((0, 7), notice(2));
        notices
    }

    #[test]
    fn the_number_is_told_with_the_message_that_came_at_the_same_time() {
        let mut notices = three();
        assert_eq!(told(notices.take_before((0, 7))), [0, 2]);
        assert_eq!(told(notices.take_before((0, 7))), [0; 0]);
        assert_eq!(told(notices.take_rest()), [0], "that of the other log");
        assert_eq!(told(notices.take_rest()), [0; 0]);
        let mut notices = three();
        assert_eq!(told(notices.take_before((0, 8))), [0], "once is enough");
    }

    #[test]
    fn what_stands_before_a_message_that_was_received_has_been_told() {
        let mut notices = three();
        notices.have_been_told(0);
        assert_eq!(told(notices.take_before((1, 6))), [4]);
        assert_eq!(told(notices.take_rest()), [0; 0]);
    }
}
