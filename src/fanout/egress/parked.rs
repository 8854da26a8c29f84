//! The queue of a session that starts with history: what routes lead to it waits until all history has left. Part of the egress
//! queue.

use std::rc::Rc;

use bytes::Bytes;

use super::super::batch::Chunk;
use super::super::policy::{OverflowPolicy, QueueBounds};
use super::{Appended, EgressQueue, Queued};

impl EgressQueue {
    /// From now on frames that routes lead here wait behind the history that is pushed, under the same bounds.
    pub(crate) fn park(&mut self) {
        assert!(self.parked.is_none() && self.frames == 0 && self.gaps == 0, "nothing was offered before");
        // None of it leaves for now: it is not to keep more alive than it is.
        self.parked = Some(Box::new(EgressQueue { is_stalled: true, ..EgressQueue::of(self.encoding) }));
        self.is_dropping = true;
    }

    /// True while frames that routes lead here wait behind history.
    pub(crate) fn is_parked(&self) -> bool {
        self.parked.is_some()
    }

    /// Queues an answer of so many frames behind those that routes have led here since.
    pub(crate) fn park_answer(&mut self, encoded: impl Into<Bytes>, frames: u32) {
        self.parked.as_mut().expect("history is sent").push_answer(encoded.into(), frames);
    }

    /// Forgets what waits behind history but answers. Returns the number of messages in it.
    pub(super) fn clear_parked(&mut self) -> u64 {
        let Some(mut parked) = self.parked.take() else { return 0 };
        self.is_dropping = false;
        let dropped = parked.clear();
        for item in parked.items {
            let Queued::Answer(answer) = item else { unreachable!("nothing of it has begun to leave") };
            let frames = answer.frames;
            self.push_answer(answer.into_bytes(), frames);
        }
        dropped
    }

    /// Queues frames of history, whatever the policy: more are pushed when these have left.
    pub(crate) fn push_history(&mut self, chunk: &Rc<Chunk>) {
        assert!(self.parked.is_some(), "history is sent before all else");
        self.push(chunk);
    }

    /// All history is pushed: what has come since follows it, as if it came only now.
    pub(crate) fn unpark(&mut self, policy: OverflowPolicy, bounds: QueueBounds) -> Appended {
        let Some(parked) = self.parked.take() else { return Appended::default() };
        self.is_dropping = false;
        self.append(*parked, policy, bounds)
    }
}

#[cfg(test)]
mod tests {
    use super::super::super::batch::tests::chunk_of;
    use super::super::Offer;
    use super::*;
    use crate::wire::{Frame, splitter};

    fn message(sequence: u64) -> Rc<Chunk> {
        chunk_of(&[Frame::Message { topic: b"t", payload: b"", publisher: 1, sequence, sent_at_ns: 0 }])
    }

    /// All that leaves: messages by their numbers, gaps by the messages missed.
    fn leaves(queue: &mut EgressQueue) -> Vec<i64> {
        let mut bytes = Vec::new();
        while !queue.is_empty() {
            let send = |parts: &[std::io::IoSlice<'_>]| {
                parts.iter().for_each(|part| bytes.extend_from_slice(part));
                Ok::<_, ()>(Some(parts.iter().map(|part| part.len()).sum()))
            };
            let (_, taken) = queue.send_next(send).unwrap();
            queue.sent(taken.unwrap());
        }
        let bytes = bytes::Bytes::from(bytes);
        let number = |frame: Frame<'_>| match frame {
            Frame::Message { sequence, .. } => i64::try_from(sequence).unwrap(),
            Frame::Gap { missed, .. } => -i64::try_from(missed).unwrap(),
            other => unreachable!("{other:?}"),
        };
        splitter::frames(&bytes).map(|(_, frame)| number(frame)).collect()
    }

    #[test]
    fn what_comes_while_history_is_sent_follows_it() {
        for policy in [OverflowPolicy::DropOldest, OverflowPolicy::DropNewest, OverflowPolicy::Block] {
            let (mut queue, bounds) =
                (EgressQueue::of(crate::fanout::Encoding::NativeRuns), QueueBounds::default());
            queue.park();
            assert_eq!(queue.offer(&message(11), policy, bounds), Offer::Queued);
            assert!(queue.is_empty(), "history is waited for");
            queue.push_history(&message(1));
            assert_eq!(queue.offer(&message(12), policy, bounds), Offer::Queued);
            assert_eq!(leaves(&mut queue), [1]);
            queue.push_history(&message(2));
            queue.audit();
            assert_eq!(queue.frames(), 3);
            assert_eq!(queue.unpark(policy, bounds), Appended::default());
            assert_eq!(queue.offer(&message(13), policy, bounds), Offer::Queued);
            queue.audit();
            assert_eq!(leaves(&mut queue), [2, 11, 12, 13], "{policy:?}");
        }
    }

    #[test]
    fn what_waits_behind_history_is_bounded_and_its_gap_is_told_behind_it() {
        let bounds = QueueBounds { frames_max: 2, ..QueueBounds::default() };
        let mut queue = EgressQueue::of(crate::fanout::Encoding::NativeRuns);
        queue.park();
        for sequence in 11..=15 {
            queue.offer(&message(sequence), OverflowPolicy::DropOldest, bounds);
        }
        queue.push_history(&message(1));
        assert_eq!(leaves(&mut queue), [1]);
        assert_eq!(queue.unpark(OverflowPolicy::DropOldest, bounds), Appended::default());
        assert_eq!(leaves(&mut queue), [-3, 14, 15]);
        queue.park();
        queue.offer(&message(16), OverflowPolicy::DropOldest, bounds);
        assert_eq!((queue.clear(), queue.is_parked()), (1, false), "it is given up with the session");
    }
}
