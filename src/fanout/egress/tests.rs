//! Tests of the egress queue: each policy with exact counts, and where a gap stands.

mod packed;
mod runs;

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;
use crate::fanout::batch::tests::chunk_of;
use crate::limits::{GAP_BYTES_MAX, GAP_TOPICS_MAX};
use crate::wire::{Frame, encode_to_vec, splitter};

const ROOM: QueueBounds = QueueBounds { bytes_max: 1 << 20, frames_max: 1 << 20 };

fn frames_max(frames_max: usize) -> QueueBounds {
    QueueBounds { frames_max, ..ROOM }
}

/// `a1` is the message 1 of the topic `a`, `a1+2` a run of the messages 1 and 2, `a-3` a publisher's gap of three.
fn frame(text: &str) -> Frame<'_> {
    let (topic, number) = (&text.as_bytes()[..1], &text[1..]);
    if let Some(missed) = number.strip_prefix('-') {
        return Frame::Gap { topic, missed: missed.parse().expect("a number"), reason: 2 };
    }
    let (first, count) = number.split_once('+').unwrap_or((number, "1"));
    let sequence = first.parse().expect("a number");
    match count {
        "1" => Frame::Message { topic, payload: b"payload", publisher: 1, sequence, sent_at_ns: 0 },
        "2" => Frame::Run { topic, messages: TWO, publisher: 1, sequence, sent_at_ns: 0 },
        _ => panic!("a run of {count}"),
    }
}

/// Two messages as a run has them.
const TWO: &[u8] = b"\x02\0\0\0\x07\0\0\0\0\0\0\0payload\x07\0\0\0\x01\0\0\0payload";

/// Frames that came together, such as `a1 a2 b1`.
fn batch(text: &str) -> Rc<Chunk> {
    chunk_of(&text.split(' ').map(frame).collect::<Vec<_>>())
}

/// Offers batch after batch, divided by `|`, and gives what became of each.
fn offer(queue: &mut EgressQueue, batches: &str, policy: OverflowPolicy, bounds: QueueBounds) -> Vec<Offer> {
    let offers = batches.split(" | ").map(|text| queue.offer(&batch(text), policy, bounds)).collect();
    queue.audit();
    offers
}

/// A message on a topic that a letter has no room for.
fn on_topic(topic: &str) -> Rc<Chunk> {
    let topic = topic.as_bytes();
    chunk_of(&[Frame::Message { topic, payload: b"", publisher: 1, sequence: 1, sent_at_ns: 0 }])
}

fn answer(queue: &mut EgressQueue, request: u32) {
    queue.push_answer(encode_to_vec(&Frame::Done { request }).into(), 1);
}

/// The kernel takes this many bytes, or all.
fn leave(queue: &mut EgressQueue, mut bytes: usize) -> (Vec<u8>, Sent) {
    let (mut taken, mut all) = (Vec::new(), Sent::default());
    loop {
        let mut slices = [IoSlice::new(&[]); 3];
        let (filled, there) = queue.slices(&mut slices);
        let now = there.min(bytes);
        taken.extend(slices[..filled].iter().flat_map(|slice| slice.iter()).take(now));
        let sent = queue.sent(now);
        (all.messages, all.gaps, all.frames) =
            (all.messages + sent.messages, all.gaps + sent.gaps, all.frames + sent.frames);
        queue.audit();
        bytes -= now;
        if now == 0 {
            return (taken, all);
        }
    }
}

/// Frames as text: messages as `a1`, gaps as `a-3`, answers as `!7`.
fn read(bytes: Vec<u8>) -> String {
    let bytes = Bytes::from(bytes);
    let texts = splitter::frames(&bytes).map(|(_, frame)| match frame {
        Frame::Message { topic, sequence, .. } => format!("{}{sequence}", String::from_utf8_lossy(topic)),
        Frame::Run { topic, sequence, .. } => {
            format!("{}{sequence}+{}", String::from_utf8_lossy(topic), frame.messages())
        }
        Frame::Gap { topic, missed, .. } => format!("{}-{missed}", String::from_utf8_lossy(topic)),
        Frame::Done { request } => format!("!{request}"),
        other => format!("{other:?}"),
    });
    texts.collect::<Vec<_>>().join(" ")
}

fn rest(queue: &mut EgressQueue) -> String {
    let text = read(leave(queue, usize::MAX).0);
    assert!(queue.is_empty());
    assert_eq!((queue.bytes(), queue.frames(), queue.answer_bytes()), (0, 0, 0));
    text
}

#[test]
fn block_queues_and_says_when_it_is_over() {
    let mut queue = EgressQueue::default();
    let offers = offer(&mut queue, "a1 | a2 | a3 | a4", OverflowPolicy::Block, frames_max(2));
    assert_eq!(offers, [Offer::Queued, Offer::Queued, Offer::QueuedOver, Offer::QueuedOver]);
    assert_eq!(rest(&mut queue), "a1 a2 a3 a4");
}

#[test]
fn disconnect_is_full_and_queues_nothing() {
    let mut queue = EgressQueue::default();
    let offers = offer(&mut queue, "a1 | a2 | a3 a4", OverflowPolicy::Disconnect, frames_max(2));
    assert_eq!(offers, [Offer::Queued, Offer::Queued, Offer::Full]);
    assert_eq!(rest(&mut queue), "a1 a2");
}

#[test]
fn drop_newest_keeps_the_past_and_tells_at_its_end() {
    let mut queue = EgressQueue::default();
    let policy = OverflowPolicy::DropNewest;
    let offers = offer(&mut queue, "a1 | a2 b1 | a3 a4 | a5", policy, frames_max(4));
    assert_eq!(offers, [Offer::Queued, Offer::Queued, Offer::Dropped(2), Offer::Dropped(1)]);
    // The last would have had room where the two before it had none: there is one gap, not two.
    answer(&mut queue, 1);
    // Nor does an answer, which is in no order with messages, part one from another.
    assert_eq!(offer(&mut queue, "a6", policy, frames_max(4)), [Offer::Dropped(1)]);
    let first = batch("a1").bytes.len();
    assert_eq!(read(leave(&mut queue, first).0), "a1");
    // Half of it is free.
    let offers = offer(&mut queue, "a7 | b2 | b3", policy, frames_max(4));
    assert_eq!(offers, [Offer::Queued, Offer::Queued, Offer::Dropped(1)]);
    assert_eq!(rest(&mut queue), "a2 b1 a-4 !1 a7 b2 b-1");
}

#[test]
fn drop_oldest_keeps_the_newest_and_tells_at_its_begin() {
    let mut queue = EgressQueue::default();
    let policy = OverflowPolicy::DropOldest;
    let offers = offer(&mut queue, "a1 | a2 a3 | a4 | a5 a6", policy, frames_max(4));
    assert_eq!(offers, [Offer::Queued, Offer::Queued, Offer::Queued, Offer::Dropped(3)]);
    assert_eq!(offer(&mut queue, "a7 a8", policy, frames_max(4)), [Offer::Dropped(1)]);
    assert_eq!(rest(&mut queue), "a-4 a5 a6 a7 a8");
}

#[test]
fn memory_counts_as_frames_do() {
    let batches = "a1 a2 a3 a4 a5 | a6 a7 a8 a9 a0 | b1 b2 b3 b4 b5";
    let batch_bytes = batch("a1 a2 a3 a4 a5").held_bytes();
    let mut tally = GapTally::default();
    tally.add_chunk(&batch("a1"));
    let bounds = QueueBounds { bytes_max: 2 * batch_bytes + tally.held_bytes(), ..ROOM };
    assert!(3 * batch_bytes > bounds.bytes_max);
    for (policy, last, left) in [
        (OverflowPolicy::DropOldest, Offer::Dropped(5), "a-5 a6 a7 a8 a9 a0 b1 b2 b3 b4 b5"),
        (OverflowPolicy::DropNewest, Offer::Dropped(5), "a1 a2 a3 a4 a5 a6 a7 a8 a9 a0 b-5"),
        (OverflowPolicy::Disconnect, Offer::Full, "a1 a2 a3 a4 a5 a6 a7 a8 a9 a0"),
        (OverflowPolicy::Block, Offer::QueuedOver, "a1 a2 a3 a4 a5 a6 a7 a8 a9 a0 b1 b2 b3 b4 b5"),
    ] {
        let mut queue = EgressQueue::default();
        assert_eq!(offer(&mut queue, batches, policy, bounds)[2], last);
        assert_eq!(rest(&mut queue), left);
    }
}

#[test]
fn what_has_begun_to_leave_is_not_dropped() {
    for policy in [OverflowPolicy::DropOldest, OverflowPolicy::Latest] {
        let mut queue = EgressQueue::default();
        offer(&mut queue, "a1 a2", policy, ROOM);
        let (begun, sent) = leave(&mut queue, 1);
        assert_eq!(sent, Sent::default());
        let offers = offer(&mut queue, "a3 | a4", policy, frames_max(3));
        assert_eq!(offers, [Offer::Queued, Offer::Dropped(1)], "{policy}");
        let all = [begun, leave(&mut queue, usize::MAX).0].concat();
        assert_eq!(read(all), "a1 a2 a-1 a4");
    }
}

#[test]
fn answers_are_not_dropped_and_keep_their_place() {
    let mut queue = EgressQueue::default();
    let policy = OverflowPolicy::DropOldest;
    offer(&mut queue, "a1", policy, frames_max(2));
    answer(&mut queue, 1);
    let offers = offer(&mut queue, "a2 | a3 | a4 | a5", policy, frames_max(2));
    assert_eq!(offers, [Offer::Queued, Offer::Dropped(1), Offer::Dropped(1), Offer::Dropped(1)]);
    answer(&mut queue, 2);
    assert_eq!(rest(&mut queue), "a-3 !1 a4 a5 !2");
}

#[test]
fn what_goes_ahead_comes_behind_what_has_begun_and_before_all_else() {
    for number in 1..=5 {
        let policy = OverflowPolicy::from_wire(number).unwrap();
        let mut queue = EgressQueue::default();
        offer(&mut queue, "a1 | b1", policy, ROOM);
        let begun = leave(&mut queue, 10).0;
        answer(&mut queue, 7);
        queue.push_ahead(encode_to_vec(&Frame::Done { request: 8 }).into(), 1);
        queue.audit();
        offer(&mut queue, "c1", policy, ROOM);
        let all = [begun, leave(&mut queue, usize::MAX).0].concat();
        assert_eq!(read(all), "a1 !8 b1 !7 c1", "{policy}");
    }
}

#[test]
fn a_batch_over_the_bounds_is_taken_by_a_queue_without_others_and_not_dropped_for_itself() {
    for policy in OverflowPolicy::all() {
        let mut queue = EgressQueue::default();
        answer(&mut queue, 1);
        let taken = offer(&mut queue, "a1 b2 c3", policy, frames_max(1))[0];
        if policy == OverflowPolicy::Latest {
            // Taken apart, it is three batches of one.
            assert_eq!((taken, rest(&mut queue).as_str()), (Offer::Dropped(2), "!1 a-1 b-1 c3"));
        } else {
            assert_eq!((taken, rest(&mut queue).as_str()), (Offer::Queued, "!1 a1 b2 c3"), "{policy}");
        }
    }
    let mut queue = EgressQueue::default();
    let offers = offer(&mut queue, "a1 a2 | a3 a4", OverflowPolicy::DropOldest, frames_max(1));
    assert_eq!(offers, [Offer::Queued, Offer::Dropped(2)]);
    assert_eq!(rest(&mut queue), "a-2 a3 a4");
}

#[test]
fn a_gap_grows_until_it_begins_to_leave() {
    let mut queue = EgressQueue::default();
    let policy = OverflowPolicy::DropOldest;
    offer(&mut queue, "a1 | a2", policy, frames_max(1));
    assert!(leave(&mut queue, 0).0.is_empty(), "its notice is written, and has not left");
    offer(&mut queue, "a3", policy, frames_max(1));
    let (begun, _) = leave(&mut queue, 5);
    offer(&mut queue, "a4", policy, frames_max(1));
    let (left, sent) = leave(&mut queue, usize::MAX);
    assert_eq!(read([begun, left].concat()), "a-2 a-1 a4");
    assert_eq!(sent, Sent { messages: 1, gaps: 2, frames: 3 });
    // The same at the back.
    let policy = OverflowPolicy::DropNewest;
    offer(&mut queue, "a1 | a2", policy, frames_max(1));
    let first = batch("a1").bytes.len();
    let (begun, _) = leave(&mut queue, first + 5);
    answer(&mut queue, 1);
    offer(&mut queue, "a3", policy, frames_max(0));
    assert_eq!(read([begun, leave(&mut queue, usize::MAX).0].concat()), "a1 a-1 !1 a3", "it has room again");
}

#[test]
fn a_gap_that_has_begun_to_leave_at_the_back_is_not_changed() {
    let mut queue = EgressQueue::default();
    let policy = OverflowPolicy::DropNewest;
    offer(&mut queue, "a1 a2 | a3 | a4 a5", policy, frames_max(2));
    let (begun, _) = leave(&mut queue, batch("a1 a2").bytes.len() + 5);
    // Nothing that counts waits any more: to be dropped, this must not be taken for an empty queue's.
    queue.push(&batch("b1"));
    assert_eq!(offer(&mut queue, "a6 a7", policy, frames_max(2)), [Offer::Dropped(2)]);
    assert_eq!(read([begun, leave(&mut queue, usize::MAX).0].concat()), "a1 a2 a-3 b1 a-2");
}

#[test]
fn notices_of_gaps_are_no_answers() {
    let mut queue = EgressQueue::default();
    for n in 0..GAP_TOPICS_MAX {
        queue.offer(&on_topic(&format!("{n:04}")), OverflowPolicy::DropOldest, frames_max(1));
    }
    leave(&mut queue, 0);
    assert_eq!(queue.answer_bytes(), 0, "a subscriber is not closed for having been told");
    let (_, sent) = leave(&mut queue, usize::MAX);
    assert_eq!((sent.messages, sent.gaps), (1, GAP_TOPICS_MAX as u64 - 1));
}

#[test]
fn a_stalled_subscriber_that_goes_on_asking_holds_one_gap_and_few_answers() {
    for policy in [OverflowPolicy::DropOldest, OverflowPolicy::DropNewest, OverflowPolicy::Latest] {
        let mut queue = EgressQueue::default();
        let bounds = QueueBounds { bytes_max: 1 << 20, frames_max: 1_000 };
        let (mut asked, mut offered, mut dropped) = (0, 0, 0);
        for round in 0..200 {
            for n in 0..20 {
                offered += 1;
                let topic = format!("{n}.{round}.{}", "x".repeat(900));
                if let Offer::Dropped(messages) = queue.offer(&on_topic(&topic), policy, bounds) {
                    dropped += messages;
                }
            }
            asked += 1;
            answer(&mut queue, asked);
        }
        queue.audit();
        assert!(queue.bytes() <= bounds.bytes_max + 2 * GAP_BYTES_MAX, "{policy}: {}", queue.bytes());
        let counted = |is: fn(&Queued) -> bool| queue.items.iter().filter(|item| is(item)).count();
        assert_eq!(counted(|item| matches!(item, Queued::Gap(_))), 1, "{policy}");
        // Of the answers only those wait as items of their own between which messages do.
        let (answers, data) = (
            counted(|item| matches!(item, Queued::Answer(_))),
            counted(|item| matches!(item, Queued::Data(_))),
        );
        assert!(answers <= data + 3, "{policy}: {answers} answers among {data} messages");
        let text = read(leave(&mut queue, usize::MAX).0);
        let (mut messages, mut told, mut answered) = (0, 0, 0);
        for word in text.split(' ') {
            match word.rsplit_once('-') {
                _ if word.starts_with('!') => answered += 1,
                Some((_, missed)) => told += missed.parse::<u64>().unwrap(),
                None => messages += 1,
            }
        }
        assert_eq!((answered, told, messages + told), (asked, dropped, offered), "{policy}");
    }
}

#[test]
fn what_waits_holds_no_more_than_twice_what_is_counted() {
    let batch = Bytes::from(vec![0; crate::limits::SLAB_BYTES]);
    let piece = |bytes: usize| {
        let topics = vec![b'x'; 1_000];
        let message =
            Frame::Message { topic: b"a", payload: &topics, publisher: 1, sequence: 1, sent_at_ns: 0 };
        let mut encoded = Vec::new();
        let mut frames = 0;
        while encoded.len() < bytes {
            crate::wire::encode(&message, &mut encoded);
            frames += 1;
        }
        (encoded, frames)
    };
    let (encoded, frames) = piece(5_000);
    let mut whole = batch.to_vec();
    whole[..encoded.len()].copy_from_slice(&encoded);
    let whole = Bytes::from(whole);
    let picked = crate::fanout::batch::Picked { range: 0..encoded.len(), first: 0, frames, messages: frames };
    let chunk = Rc::new(Chunk::cut(&whole, &picked, Encoding::Native));
    let is_of_the_batch = |queue: &EgressQueue| {
        let all = whole.as_ptr_range();
        queue.items.iter().filter_map(Queued::bytes).any(|bytes| all.contains(&bytes.as_ptr()))
    };
    let mut queues = [EgressQueue::default(), EgressQueue::default()];
    for queue in &mut queues {
        queue.offer(&chunk, OverflowPolicy::DropOldest, ROOM);
        assert!(is_of_the_batch(queue), "no copy of what may leave at once");
        queue.stall();
        queue.offer(&chunk, OverflowPolicy::DropOldest, ROOM);
        assert!(!is_of_the_batch(queue), "what waits does not keep {} bytes alive", whole.len());
        queue.audit();
    }
    let [Queued::Data(first), Queued::Data(second)] = [&queues[0].items[0], &queues[1].items[1]] else {
        panic!("data")
    };
    assert!(Rc::ptr_eq(first, second), "one copy for all");
    for queue in &mut queues {
        assert_eq!(leave(queue, usize::MAX).0, [&encoded[..], &encoded].concat());
    }
    queues[0].offer(&chunk, OverflowPolicy::DropOldest, ROOM);
    assert!(is_of_the_batch(&queues[0]), "it is no longer stalled");
}

#[test]
fn a_publishers_gap_that_is_dropped_is_told_and_counts_as_no_message() {
    let mut queue = EgressQueue::default();
    let policy = OverflowPolicy::DropOldest;
    let offers = offer(&mut queue, "a1 a-5 | a-7 | b1", policy, frames_max(1));
    assert_eq!(offers, [Offer::Queued, Offer::Dropped(1), Offer::Queued]);
    assert_eq!(rest(&mut queue), "a-13 b1");
}

#[test]
fn latest_keeps_the_newest_of_each_topic() {
    let mut queue = EgressQueue::default();
    let policy = OverflowPolicy::Latest;
    // The first batch goes as it came: nothing waits.
    assert_eq!(offer(&mut queue, "a1 a2", policy, ROOM), [Offer::Queued]);
    let offers = offer(&mut queue, "a3 b1 a4 | c1 | b2 b3", policy, ROOM);
    assert_eq!(offers, [Offer::Dropped(3), Offer::Queued, Offer::Dropped(2)]);
    assert_eq!(queue.frames(), 3);
    assert_eq!(rest(&mut queue), "a-3 b-2 a4 c1 b3");
    // And from an empty queue again.
    assert_eq!(offer(&mut queue, "a5 | a6", policy, ROOM), [Offer::Queued, Offer::Dropped(1)]);
    assert_eq!(rest(&mut queue), "a-1 a6");
}

#[test]
fn latest_over_its_bounds_drops_the_topic_that_waits_longest() {
    let mut queue = EgressQueue::default();
    answer(&mut queue, 1);
    let offers = offer(&mut queue, "a1 | b1 | c1 | a2", OverflowPolicy::Latest, frames_max(2));
    assert_eq!(offers, [Offer::Queued, Offer::Queued, Offer::Dropped(1), Offer::Dropped(1)]);
    assert_eq!(rest(&mut queue), "!1 a-1 b-1 c1 a2");
}

#[test]
fn a_publishers_gap_replaces_no_state() {
    let mut queue = EgressQueue::default();
    let policy = OverflowPolicy::Latest;
    answer(&mut queue, 1);
    assert_eq!(offer(&mut queue, "a1 a-9 | a-1", policy, ROOM), [Offer::Queued, Offer::Queued]);
    assert_eq!(offer(&mut queue, "a2", policy, ROOM), [Offer::Dropped(1)]);
    assert_eq!(rest(&mut queue), "!1 a-1 a-9 a-1 a2");
}

#[test]
fn a_stalled_latest_subscriber_costs_little_and_is_told_all() {
    let mut queue = EgressQueue::default();
    let policy = OverflowPolicy::Latest;
    answer(&mut queue, 1);
    answer(&mut queue, 2);
    offer(&mut queue, "a1 a2", policy, ROOM);
    let (begun, _) = leave(&mut queue, 3);
    let mut dropped = 1;
    for n in 3..10_000 {
        let text = format!("a{n}");
        let Offer::Dropped(now) = queue.offer(&batch(&text), policy, ROOM) else { panic!("a{n}") };
        dropped += now;
        assert!(queue.items.len() <= 64, "{} items for one topic", queue.items.len());
    }
    queue.audit();
    assert_eq!((dropped, queue.frames()), (9_998, 1));
    let text = read([begun, leave(&mut queue, usize::MAX).0].concat());
    let others = text.strip_prefix("!1 !2 ").expect("no gap is told before answers that stood before it");
    assert!(others.ends_with(" a9999"));
    let told: u64 = others.split(' ').filter_map(|t| t.strip_prefix("a-")?.parse::<u64>().ok()).sum();
    assert_eq!(told, 9_998);
}

#[test]
fn latest_forgets_the_topics_that_have_left() {
    let mut queue = EgressQueue::default();
    for n in 0..10_000 {
        let chunk = on_topic(&format!("{n:05}"));
        queue.offer(&chunk, OverflowPolicy::Latest, ROOM);
        // It is behind, and never quite empty.
        if n > 10 {
            leave(&mut queue, chunk.bytes.len());
        }
    }
    assert!(!queue.is_empty());
    let topics = queue.latest.as_ref().map_or(0, |latest| latest.topics());
    assert!(topics <= 200, "{topics} topics for {} items", queue.items.len());
}

#[test]
fn a_single_of_a_long_batch_does_not_keep_it_alive() {
    let texts: Vec<String> = (0..200).map(|n| format!("a{n}")).collect();
    let long = batch(&texts.join(" "));
    assert!(long.bytes.len() > crate::limits::COPY_BELOW_BYTES);
    let mut queue = EgressQueue::default();
    answer(&mut queue, 1);
    queue.offer(&long, OverflowPolicy::Latest, ROOM);
    let all = long.bytes.as_ptr_range();
    let waits = queue.items.iter().filter_map(Queued::bytes).any(|bytes| all.contains(&bytes.as_ptr()));
    assert!(!waits, "one message of {} bytes holds them all", long.bytes.len());
}

#[test]
fn a_gap_that_has_left_is_not_mistaken_for_what_is_put_in_its_place() {
    let mut queue = EgressQueue::default();
    offer(&mut queue, "a1 | a2 | b1", OverflowPolicy::Latest, ROOM);
    let gap = queue.slices(&mut [IoSlice::new(&[])]).1;
    let left = leave(&mut queue, gap).0;
    assert_eq!(read(left), "a-1");
    queue.push_ahead(encode_to_vec(&Frame::Done { request: 7 }).into(), 1);
    offer(&mut queue, "b2", OverflowPolicy::Latest, ROOM);
    assert_eq!(rest(&mut queue), "!7 a2 b-1 b2");
}

#[test]
fn clear_keeps_answers_and_what_has_begun_to_leave() {
    for policy in [OverflowPolicy::DropOldest, OverflowPolicy::Latest] {
        let mut queue = EgressQueue::default();
        answer(&mut queue, 1);
        offer(&mut queue, "a1 b1 | a2 | a3", policy, frames_max(3));
        answer(&mut queue, 2);
        assert_eq!(queue.clear(), 2, "{policy}: the two that gaps tell of were counted before");
        queue.audit();
        assert_eq!(rest(&mut queue), "!1 !2");
    }
    let mut queue = EgressQueue::default();
    offer(&mut queue, "a1 a2 | a3 a-4", OverflowPolicy::Block, ROOM);
    let (begun, _) = leave(&mut queue, 1);
    assert_eq!(queue.clear(), 1);
    answer(&mut queue, 1);
    assert_eq!(read([begun, leave(&mut queue, usize::MAX).0].concat()), "a1 a2 !1");
}

#[test]
fn who_is_gone_had_what_had_left_whole() {
    let one = batch("a1").bytes.len();
    for (left, messages, dropped) in [(0, 0, 4), (1, 0, 4), (one, 1, 3), (2 * one - 1, 1, 3), (2 * one, 2, 2)]
    {
        let mut queue = EgressQueue::default();
        offer(&mut queue, "a1 a2 a3 | a4", OverflowPolicy::Block, ROOM);
        assert_eq!(leave(&mut queue, left).1, Sent::default(), "the batch has not left whole");
        let (sent, unsent) = queue.abandon();
        assert_eq!((sent.messages, sent.frames, unsent), (messages, messages, dropped), "{left} bytes");
        assert!(queue.is_empty());
        queue.audit();
    }
    // The greeting is no frame, and must not be read as one.
    let mut queue = EgressQueue::default();
    queue.push_answer(Bytes::from_static(b"CORECAST\x01\0\x01\0\0\0\0\0"), 0);
    leave(&mut queue, 3);
    assert_eq!(queue.abandon(), (Sent::default(), 0));
}

#[test]
fn an_empty_queue_keeps_no_memory() {
    let mut queue = EgressQueue::default();
    for _ in 0..10_000 {
        queue.offer(&batch("a1"), OverflowPolicy::Block, ROOM);
    }
    rest(&mut queue);
    assert!(queue.items.capacity() <= KEEP_ITEMS);
}

/// An event of a queue.
#[derive(Clone, Debug)]
enum Step {
    Offer(Vec<u8>),
    Answer,
    Ahead,
    Leave(usize),
    Look,
}

fn any_step() -> impl Strategy<Value = Step> {
    prop_oneof![
        6 => prop::collection::vec(0..4_u8, 1..6).prop_map(Step::Offer),
        1 => Just(Step::Answer),
        1 => Just(Step::Ahead),
        3 => (1..400_usize).prop_map(Step::Leave),
        1 => Just(Step::Look),
    ]
}

proptest! {
    /// For each topic the messages that arrive and those told as missed are those that were offered, in order.
    #[test]
    fn nothing_is_lost_and_nothing_told_twice(
        steps in prop::collection::vec(any_step(), 1..120),
        number in 1..=5_u8,
        bounds in (50..600_usize, 1..12_usize),
    ) {
        let policy = OverflowPolicy::from_wire(number).unwrap();
        let bounds = QueueBounds { bytes_max: bounds.0, frames_max: bounds.1 };
        let mut queue = EgressQueue::default();
        let (mut offered, mut sequence, mut answers) = (BTreeMap::<u8, u64>::new(), 0, 0);
        let (mut left, mut dropped) = (Vec::new(), 0);
        for step in steps {
            match step {
                Step::Offer(topics) => {
                    let texts: Vec<String> = topics.iter().map(|topic| {
                        sequence += 1;
                        format!("{}{sequence}", char::from(b'a' + topic))
                    }).collect();
                    match queue.offer(&batch(&texts.join(" ")), policy, bounds) {
                        Offer::Full => continue,
                        Offer::Dropped(messages) => dropped += messages,
                        Offer::Queued | Offer::QueuedOver => {}
                    }
                    topics.iter().for_each(|topic| *offered.entry(b'a' + topic).or_default() += 1);
                }
                Step::Answer => {
                    answers += 1;
                    answer(&mut queue, answers);
                }
                Step::Ahead => {
                    answers += 1;
                    queue.push_ahead(encode_to_vec(&Frame::Done { request: answers }).into(), 1);
                }
                Step::Leave(bytes) => left.extend(leave(&mut queue, bytes).0),
                Step::Look => {
                    queue.slices(&mut [IoSlice::new(&[]); 5]);
                }
            }
            queue.audit();
        }
        left.extend(leave(&mut queue, usize::MAX).0);
        prop_assert!(queue.is_empty());
        let (mut accounted, mut last) = (BTreeMap::<u8, u64>::new(), BTreeMap::<u8, u64>::new());
        let (mut told, mut answered) = (0, 0);
        for text in read(left).split(' ').filter(|text| !text.is_empty()) {
            let (topic, number) = (text.as_bytes()[0], &text[1..]);
            match number.strip_prefix('-') {
                _ if topic == b'!' => answered += 1,
                Some(missed) => {
                    let missed: u64 = missed.parse().unwrap();
                    told += missed;
                    *accounted.entry(topic).or_default() += missed;
                }
                None => {
                    let sequence: u64 = number.parse().unwrap();
                    prop_assert!(last.insert(topic, sequence).is_none_or(|last| last < sequence));
                    *accounted.entry(topic).or_default() += 1;
                }
            }
        }
        prop_assert_eq!((accounted, told, answered), (offered, dropped, answers));
    }
}
