//! Queues that move to another shard with their session, and what has come there meanwhile.

use super::*;

/// The queue behind a move: all that one queue has, and what another has got later.
fn moved(first: EgressQueue, later: EgressQueue, policy: OverflowPolicy, bounds: QueueBounds) -> EgressQueue {
    let mut queue = first.pack().unpack();
    queue.audit();
    let appended = queue.append(later, policy, bounds);
    assert_eq!(appended.refused, 0);
    queue.audit();
    queue
}

#[test]
fn what_has_begun_to_leave_goes_on_where_it_was() {
    let mut first = EgressQueue::default();
    offer(&mut first, "a1 | a2", OverflowPolicy::Block, ROOM);
    answer(&mut first, 7);
    let (mut taken, _) = leave(&mut first, 50);
    let mut later = EgressQueue::default();
    answer(&mut later, 8);
    offer(&mut later, "a3 b1", OverflowPolicy::Block, ROOM);
    let mut queue = moved(first, later, OverflowPolicy::Block, ROOM);
    taken.extend(leave(&mut queue, usize::MAX).0);
    assert_eq!(read(taken), "a1 a2 !7 !8 a3 b1");
}

#[test]
fn each_policy_holds_for_both_parts_together() {
    for (policy, left) in [
        (OverflowPolicy::Block, "a1 a2 b1 a3 a4"),
        (OverflowPolicy::DropOldest, "a-2 b-1 a3 a4"),
        (OverflowPolicy::DropNewest, "a1 a2 a-2 b-1"),
        (OverflowPolicy::Latest, "a-3 b1 a4"),
    ] {
        let (mut first, mut later) = (EgressQueue::default(), EgressQueue::default());
        offer(&mut first, "a1 | a2", policy, frames_max(2));
        offer(&mut later, "b1 | a3 | a4", policy, frames_max(3));
        assert_eq!(rest(&mut moved(first, later, policy, frames_max(2))), left, "{policy}");
    }
}

#[test]
fn a_session_without_room_for_what_came_meanwhile_is_to_be_closed() {
    let (mut first, mut later) = (EgressQueue::default(), EgressQueue::default());
    offer(&mut first, "a1 | a2", OverflowPolicy::Disconnect, frames_max(3));
    offer(&mut later, "a3 | a4 a5 | a6", OverflowPolicy::Disconnect, frames_max(4));
    let mut queue = first.pack().unpack();
    let appended = queue.append(later, OverflowPolicy::Disconnect, frames_max(3));
    assert_eq!(appended, Appended { dropped: 0, refused: 3 });
    assert_eq!(rest(&mut queue), "a1 a2 a3");
}

proptest! {
    #[test]
    fn every_message_of_both_parts_comes_in_order_or_is_told_at_its_place(
        sizes in prop::collection::vec(1..4_u64, 1..30),
        moves_after in 0..30_usize,
        taken in 0..400_usize,
        most in 1..12_usize,
        latest in any::<bool>(),
        newest in any::<bool>(),
    ) {
        let policy = match (latest, newest) {
            (true, _) => OverflowPolicy::Latest,
            (false, true) => OverflowPolicy::DropNewest,
            (false, false) => OverflowPolicy::DropOldest,
        };
        let (mut first, mut later) = (EgressQueue::default(), EgressQueue::default());
        let mut said = 0;
        let mut bytes = Vec::new();
        for (at, size) in sizes.iter().enumerate() {
            let texts: Vec<String> = (said + 1..=said + size).map(|n| format!("a{n}")).collect();
            said += size;
            let queue = if at < moves_after { &mut first } else { &mut later };
            queue.offer(&batch(&texts.join(" ")), policy, frames_max(most));
            if at + 1 == moves_after {
                bytes.extend(leave(&mut first, taken).0);
            }
        }
        let mut queue = moved(first, later, policy, frames_max(most));
        bytes.extend(leave(&mut queue, usize::MAX).0);
        prop_assert!(queue.is_empty());
        let (mut next, mut told) = (1, 0);
        for frame in read(bytes).split(' ').filter(|text| !text.is_empty()) {
            match frame[1..].strip_prefix('-') {
                Some(missed) => told += missed.parse::<u64>().unwrap(),
                None => {
                    let number: u64 = frame[1..].parse().unwrap();
                    // `latest` may tell early.
                    prop_assert!(number >= next && (number - next == told || latest), "{frame}, {told} told");
                    told -= (number - next).min(told);
                    next = number + 1;
                }
            }
        }
        prop_assert_eq!(next + told, said + 1);
    }
}
