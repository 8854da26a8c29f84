//! Frames of several messages in the egress queue: they count as their messages.

use super::*;

#[test]
fn a_run_counts_as_its_messages_under_each_policy() {
    let batches = "a1+2 | b1 a3+2 | a5+2 | b2";
    let (queued, dropped) = (Offer::Queued, Offer::Dropped);
    for (policy, offers, left) in [
        (OverflowPolicy::DropOldest, [queued, dropped(2), dropped(3), queued], "a-4 b-1 a5+2 b2"),
        (OverflowPolicy::DropNewest, [queued, dropped(3), queued, dropped(1)], "a1+2 a-2 b-1 a5+2 b-1"),
        (OverflowPolicy::Disconnect, [queued, Offer::Full, queued, Offer::Full], "a1+2 a5+2"),
        (OverflowPolicy::Block, [queued, Offer::QueuedOver, Offer::QueuedOver, Offer::QueuedOver], batches),
        (OverflowPolicy::Latest, [queued, dropped(3), dropped(2), dropped(1)], "a-5 b-1 a6 b2"),
    ] {
        let mut queue = EgressQueue::default();
        assert_eq!(offer(&mut queue, batches, policy, frames_max(4)), offers, "{policy}");
        assert_eq!(rest(&mut queue), left.replace(" | ", " "), "{policy}");
    }
}

#[test]
fn a_run_that_has_left_in_part_has_not_left() {
    let mut queue = EgressQueue::default();
    offer(&mut queue, "a1+2 a3+2", OverflowPolicy::Block, ROOM);
    let first = batch("a1+2").bytes.len();
    assert_eq!(leave(&mut queue, first + 50).1, Sent::default(), "they leave as one");
    assert_eq!(queue.abandon(), (Sent { messages: 2, gaps: 0, frames: 1 }, 2));
}
