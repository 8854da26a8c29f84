use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use proptest::prelude::*;

use super::*;
use crate::carrier::Stretch;
use crate::fanout::{Encoding, Fanout, Spans, Target, Turn};
use crate::ids::{Neighbour, SessionId};
use crate::limits::KEEP_AGE_DEFAULT;
use crate::shard::history::rule::KeepRule;
use crate::wire::{Frame, Start, encode, run, split, splitter};

const NOW: MonotonicNs = MonotonicNs(1_000_000);

fn log(rules: &[&str], bytes_max: usize) -> Log {
    let rules: Vec<KeepRule> = rules.iter().map(|rule| rule.parse().unwrap()).collect();
    Log::new(&Retention::new(rules, bytes_max, KEEP_AGE_DEFAULT).unwrap(), 1).unwrap()
}

/// Keeps these frames, which came in one read.
fn keep(log: &mut Log, now: MonotonicNs, frames: &[Frame<'_>]) {
    let (mut bytes, mut spans) = (Vec::new(), Vec::new());
    frames.iter().for_each(|frame| encode(frame, &mut bytes));
    let bytes = Bytes::from(bytes);
    assert_eq!(split(&bytes, usize::MAX, &mut spans).error, None);
    let messages = Messages::Native(&spans);
    let mut fanout = Fanout::default();
    let group = fanout.make_private(Encoding::NativeRuns);
    fanout.file(&Filter::parse(">").unwrap(), Target::Group(group));
    let deliveries = fanout.route((&bytes, messages), false, &mut Turn::new(usize::MAX), None);
    log.keep(now, (&bytes, messages), deliveries.stretches());
    log.audit();
}

fn message(topic: &str, sequence: u64) -> Frame<'_> {
    Frame::Message { topic: topic.as_bytes(), payload: b"payload", publisher: 1, sequence, sent_at_ns: 0 }
}

fn ask(filters: &[&str], start: Start, up_to: u64) -> HistoryAsk {
    let filters: Arc<[Filter]> = filters.iter().map(|filter| Filter::parse(filter).unwrap()).collect();
    let session = SessionId { slot: 1, generation: 1 };
    HistoryAsk { session, of: Neighbour(0), filters, start, since: 0, up_to, behind: None, resumes: false }
}

/// The numbers of the messages in a stretch.
fn numbers(stretch: &Stretch) -> Vec<u64> {
    let frames: Vec<_> = splitter::frames(&stretch.bytes).collect();
    assert_eq!(frames.len(), stretch.frames as usize);
    let singles = frames.iter().flat_map(|(_, frame)| frame.singles());
    let numbers = singles.filter_map(|frame| match frame {
        Frame::Message { sequence, .. } => Some(sequence),
        _ => None,
    });
    let numbers: Vec<u64> = numbers.collect();
    assert_eq!(numbers.len(), stretch.messages as usize);
    numbers
}

/// All that a log answers, topic by topic: `a=1,2 b=3`. Pages follow pages to the end.
fn all(log: &Log, mut ask: HistoryAsk) -> String {
    let mut topics: Vec<(Bytes, Vec<u64>)> = Vec::new();
    loop {
        let (page, steps) = log.page(&ask);
        assert!(steps <= HISTORY_PAGE_STEPS);
        // A part without messages only says what was given up.
        for part in page.parts.into_iter().filter(|part| !part.stretches.is_empty()) {
            let found: Vec<u64> = part.stretches.iter().flat_map(numbers).collect();
            match topics.last_mut() {
                Some((topic, all)) if *topic == part.topic => all.extend(found),
                _ => topics.push((part.topic, found)),
            }
        }
        let Some(next) = page.next else { break };
        ask.behind = Some(next);
    }
    assert!(topics.is_sorted_by(|one, next| one.0 < next.0), "topics come by name, each once");
    let text = |(topic, found): &(Bytes, Vec<u64>)| {
        let found: Vec<String> = found.iter().map(u64::to_string).collect();
        format!("{}={}", String::from_utf8_lossy(topic), found.join(","))
    };
    topics.iter().map(text).collect::<Vec<_>>().join(" ")
}

fn everything(log: &Log) -> String {
    all(log, ask(&[">"], Start::All, log.end()))
}

/// A run of two messages, as its body has them.
fn two() -> Vec<u8> {
    let mut run = run::RunBytes::default();
    (0..2).for_each(|_| run.push(run::RunMessage { payload: b"p", after_ns: 0 }));
    run.messages().to_vec()
}

#[test]
fn the_first_rule_that_matches_says_what_is_kept() {
    let mut log = log(&["a.b=last", "a.*=2", "c.>=1h"], 1 << 20);
    for sequence in 1..=3 {
        keep(&mut log, NOW, &["a.b", "a.c", "c.d", "x"].map(|topic| message(topic, sequence)));
    }
    assert_eq!(everything(&log), "a.b=3 a.c=2,3 c.d=1,2,3");
    assert_eq!((log.messages(), log.given_up()), (6, 0));
}

#[test]
fn the_last_of_several_messages_is_kept_alone() {
    let mut log = log(&[">=last"], 1 << 20);
    let two = two();
    let run = |sequence| Frame::Run { topic: b"a", messages: &two, publisher: 1, sequence, sent_at_ns: 0 };
    let gap = Frame::Gap { topic: b"a", missed: 7, reason: 2 };
    keep(&mut log, NOW, &[gap]);
    assert_eq!(everything(&log), "", "a gap of nothing");
    keep(&mut log, NOW, &[message("a", 1), run(2)]);
    assert_eq!(everything(&log), "a=3");
    keep(&mut log, NOW, &[run(4), gap]);
    assert_eq!(everything(&log), "a=5");
    keep(&mut log, NOW, &[gap]);
    assert_eq!(everything(&log), "a=5");
}

#[test]
fn a_session_that_starts_gets_what_it_asks_for() {
    let mut log = log(&[">=1h"], 1 << 20);
    let two = two();
    let run = |sequence| Frame::Run { topic: b"a", messages: &two, publisher: 1, sequence, sent_at_ns: 0 };
    for (at, frames) in [(1, [message("a", 1), message("b.x", 1)]), (2, [run(2), message("b.y", 2)])] {
        keep(&mut log, NOW + Duration::from_nanos(at), &frames);
    }
    keep(&mut log, NOW + Duration::from_nanos(3), &[message("a", 4)]);
    let end = log.end();
    for (start, wanted) in [
        (Start::All, "a=1,2,3,4 b.x=1 b.y=2"),
        (Start::Last, "a=4 b.x=1 b.y=2"),
        // Stretches are whole; what is too much of the first is left out where all shards are known.
        (Start::Count(2), "a=2,3,4 b.x=1 b.y=2"),
        (Start::Count(3), "a=2,3,4 b.x=1 b.y=2"),
        (Start::Count(4), "a=1,2,3,4 b.x=1 b.y=2"),
    ] {
        assert_eq!(all(&log, ask(&[">"], start, end)), wanted, "{start}");
    }
    for (filters, wanted) in [
        (&["a"][..], "a=1,2,3,4"),
        (&["b.*"], "b.x=1 b.y=2"),
        (&["b.y", "a", "c"], "a=1,2,3,4 b.y=2"),
        (&["b.>", "b.x", "*"], "a=1,2,3,4 b.x=1 b.y=2"),
        (&["c"], ""),
    ] {
        assert_eq!(all(&log, ask(filters, Start::All, end)), wanted, "{filters:?}");
    }
    assert_eq!(all(&log, ask(&[">"], Start::All, end - 1)), "a=1,2,3 b.x=1 b.y=2", "up to a mark");
    let since = HistoryAsk { since: NOW.0 + 2, ..ask(&[">"], Start::All, end) };
    assert_eq!(all(&log, since), "a=2,3,4 b.y=2");
}

#[test]
fn time_does_not_go_back_where_another_shard_is_ahead() {
    let mut log = log(&[">=1h"], 1 << 20);
    keep(&mut log, NOW, &[message("a", 1)]);
    log.on_time_of_other(NOW.0 + 50);
    keep(&mut log, NOW, &[message("a", 2)]);
    assert_eq!(log.time(), NOW.0 + 51, "later than what it follows");
}

#[test]
fn of_more_than_there_is_room_for_that_comes_in_one_read_the_newest_are_kept() {
    let payload = "1".repeat(500);
    let frames: Vec<Frame<'_>> = (1..=100)
        .map(|sequence| Frame::Message {
            topic: b"a.a",
            payload: payload.as_bytes(),
            publisher: 1,
            sequence,
            sent_at_ns: 0,
        })
        .collect();
    for (rules, of_all) in [(&["a.>=1h,16KiB"][..], 1 << 20), (&["a.>=1000"], 16 << 10)] {
        let mut log = log(rules, of_all);
        keep(&mut log, NOW, &frames);
        let kept = everything(&log);
        let numbers: Vec<u64> =
            kept.trim_start_matches("a.a=").split(',').map(|number| number.parse().unwrap()).collect();
        assert!(numbers.len() > 10 && numbers.iter().copied().eq(101 - numbers.len() as u64..=100), "{kept}");
        assert_eq!(log.given_up(), (100 - numbers.len()) as u64);
    }
}

#[test]
fn the_oldest_give_way_when_there_is_no_room() {
    const LONG: usize = 2_000;
    let one = "1".repeat(LONG);
    let long = |topic, sequence| Frame::Message {
        topic,
        payload: one.as_bytes(),
        publisher: 1,
        sequence,
        sent_at_ns: 0,
    };
    let (of_rule, of_all) = (8 << 10, 24 << 10);
    let mut log = log(&["a.>=1h,8KiB", ">=1h"], of_all);
    for sequence in 1..=20 {
        keep(&mut log, NOW, &[long(b"a.a", sequence)]);
        keep(&mut log, NOW, &[long(b"b", sequence)]);
        assert!(log.shelves[0].bytes() <= of_rule && log.bytes() <= of_all);
    }
    let kept = |log: &Log, topic: &str| {
        let found = all(log, ask(&[topic], Start::All, log.end()));
        let numbers = found.split_once('=').map_or("", |(_, numbers)| numbers);
        let numbers: Vec<u64> = numbers.split_terminator(',').map(|number| number.parse().unwrap()).collect();
        assert!(numbers.iter().copied().eq(21 - numbers.len() as u64..=20), "the newest: {numbers:?}");
        numbers.len()
    };
    let (of_a, of_b) = (kept(&log, "a.a"), kept(&log, "b"));
    assert!(
        of_a > 1 && (of_a + 1) * LONG > of_rule / 2 && of_b > of_a,
        "{of_a} {of_b}: there is room for them"
    );
    assert_eq!(log.given_up(), (40 - of_a - of_b) as u64);
    // A topic of which nothing is left is not remembered.
    (1..=20).for_each(|sequence| keep(&mut log, NOW, &[long(b"c", sequence)]));
    assert_eq!((kept(&log, "a.a"), kept(&log, "b"), log.sorted.len()), (0, 0, 1));
    let longer = "1".repeat(2 * of_all);
    let longer =
        Frame::Message { topic: b"d", payload: longer.as_bytes(), publisher: 1, sequence: 1, sent_at_ns: 0 };
    keep(&mut log, NOW, &[longer]);
    assert_eq!((everything(&log), log.bytes()), (String::new(), 0), "one for which there is no room at all");
}

#[test]
fn a_topic_of_which_nothing_is_kept_any_more_says_when_it_ended() {
    let mut log = log(&["a.>=5s", ">=last"], 1 << 20);
    let second = Duration::from_secs(1);
    keep(&mut log, NOW, &[message("a.x", 1), message("b", 1), message("a.y", 1)]);
    keep(&mut log, NOW + second, &[message("a.y", 2)]);
    let floors = |log: &Log, filters: &[&str]| {
        let (page, _) = log.page(&ask(filters, Start::All, log.end()));
        let floor = |part: &KeptPart| (part.topic.clone(), part.floor.saturating_sub(NOW.0), part.left);
        page.parts.iter().map(floor).collect::<Vec<_>>()
    };
    let second_ns = 1_000_000_000;
    log.on_tick(NOW + second * 20);
    log.audit();
    let ended = |topic: &'static str, at| (Bytes::from(topic), at, 0);
    let kept = (Bytes::from("b"), 0, 1);
    assert_eq!(floors(&log, &[">"]), [ended("a.x", 0), ended("a.y", second_ns), kept.clone()]);
    assert_eq!(floors(&log, &["a.y"]), [ended("a.y", second_ns)]);
    keep(&mut log, NOW + second * 21, &[message("a.y", 3)]);
    assert_eq!(floors(&log, &["a.*"]), [ended("a.x", 0), (Bytes::from("a.y"), second_ns, 1)], "kept again");
    assert_eq!(everything(&log), "a.y=3 b=1");
}

#[test]
fn what_is_too_old_is_given_up_by_ticks() {
    let mut log = log(&["a=5s", ">=last"], 1 << 20);
    let second = Duration::from_secs(1);
    for sequence in 1..=4 {
        keep(
            &mut log,
            NOW + second * u32::try_from(sequence).unwrap(),
            &[message("a", sequence), message("b", sequence)],
        );
    }
    log.on_tick(NOW + second * 7);
    assert_eq!(everything(&log), "a=2,3,4 b=4");
    log.on_tick(NOW + second * 60);
    assert_eq!(everything(&log), "b=4");
    log.on_tick(NOW + KEEP_AGE_DEFAULT + second * 2);
    assert_eq!(everything(&log), "b=4", "those before it are as old");
    log.on_tick(NOW + KEEP_AGE_DEFAULT + second * 5);
    assert_eq!((everything(&log), log.bytes()), (String::new(), 0));
    log.audit();
}

#[test]
fn a_flood_of_last_values_takes_no_more_than_the_last_of_them() {
    let mut log = log(&[">=last"], 1 << 20);
    for sequence in 1..=10_000 {
        keep(&mut log, NOW, &["a", "b", "c"].map(|topic| message(topic, sequence)));
    }
    assert_eq!(everything(&log), "a=10000 b=10000 c=10000");
    assert!(log.bytes() < 3 * 1_200, "{}", log.bytes());
}

#[test]
fn messages_of_zeromq_are_kept_as_native_ones() {
    let mut log = log(&[">=5"], 1 << 20);
    let mut bytes = bytes::BytesMut::new();
    for topic in ["a", "b", "b", "a"] {
        crate::zmtp::put_message(&mut bytes, topic.as_bytes(), std::iter::once(&b"payload"[..]));
    }
    let bytes = bytes.freeze();
    let (mut decoder, mut at, mut spans) = (crate::zmtp::Decoder::new(1 << 20), 0, Vec::new());
    while at < bytes.len() {
        let Ok(crate::zmtp::Found::Message(span)) = decoder.next(&bytes[at..]) else {
            panic!("messages alone")
        };
        spans.push(span.moved(at));
        at += span.end();
    }
    let author = crate::fanout::Author { publisher: 7, first_sequence: 3, received_at_ns: 9 };
    let messages = Messages::Zmtp(&spans, author);
    let mut fanout = Fanout::default();
    let deliveries = fanout.route((&bytes, messages), false, &mut Turn::new(usize::MAX), None);
    log.keep(NOW, (&bytes, messages), deliveries.stretches());
    assert_eq!(everything(&log), "a=3,6 b=4,5");
}

proptest! {
    #[test]
    fn pages_have_each_topic_that_is_wanted_once_by_name(
        topics in prop::collection::vec(("[ab]", "[a-c]{1,2}", 0..40_u32), 1..900),
        filters in prop::collection::vec("[ab]\\.(>|[a-c]{1,2}|[a-c]\\.[0-9]|\\*\\.[0-9]{1,2}|[a-c]\\.>)", 1..5),
        are_forgotten in prop::collection::vec(any::<bool>(), 8),
    ) {
        let topics: Vec<String> = topics.iter().map(|(one, two, three)| format!("{one}.{two}.{three}")).collect();
        let mut log = log(&[">=1h"], 8 << 20);
        let is_forgotten = |topic: &str| are_forgotten[topic.len() % 8];
        let old = |topic: &&String| is_forgotten(topic);
        topics.iter().filter(old).for_each(|topic| keep(&mut log, NOW, &[message(topic, 1)]));
        let later = NOW + Duration::from_secs(3601);
        for _ in 0..topics.len() {
            log.on_tick(later);
        }
        topics.iter().filter(|topic| !old(topic)).for_each(|topic| keep(&mut log, later, &[message(topic, 1)]));
        let filters: Vec<&str> = filters.iter().map(String::as_str).collect();
        let parsed: Vec<Filter> = filters.iter().map(|filter| Filter::parse(filter).unwrap()).collect();
        let mut wanted: Vec<&str> = topics.iter().map(String::as_str)
            .filter(|topic| parsed.iter().any(|filter| filter.matches(topic.as_bytes()))).collect();
        wanted.sort_unstable();
        wanted.dedup();
        let (mut found, mut ask) = (Vec::new(), ask(&filters, Start::All, log.end()));
        loop {
            let (page, _) = log.page(&ask);
            found.extend(page.parts.iter().map(|part| (part.topic.clone(), !part.stretches.is_empty())));
            let Some(next) = page.next else { break };
            ask.behind = Some(next);
        }
        let named = found.iter().map(|(topic, _)| std::str::from_utf8(topic).unwrap());
        let mut named: Vec<&str> = named.collect();
        // Of one that was said twice the second may be in the next page.
        named.dedup();
        prop_assert_eq!(&named, &wanted);
        for (topic, is_kept) in &found {
            prop_assert_eq!(*is_kept, !is_forgotten(std::str::from_utf8(topic).unwrap()), "{:?}", topic);
        }
    }
}

#[test]
fn a_page_looks_at_no_topics_that_nobody_wants() {
    let mut log = log(&[">=last"], 32 << 20);
    for number in 0..10_000 {
        keep(&mut log, NOW, &[message(&format!("a.{number}"), 1), message(&format!("b.{number}.x"), 1)]);
    }
    for (filters, most) in [(&["a.17"][..], 4), (&["a.17", "b.99.>", "c"], 8)] {
        let (page, steps) = log.page(&ask(filters, Start::Last, log.end()));
        assert!(page.next.is_none() && steps <= most, "{filters:?}: {steps} steps");
    }
    let asks = ask(&["a.>"], Start::Last, log.end());
    let (page, steps) = log.page(&asks);
    assert!(
        page.parts.len() >= HISTORY_PAGE_STEPS / 2 - 1 && steps == HISTORY_PAGE_STEPS,
        "{}",
        page.parts.len()
    );
    assert_eq!(all(&log, asks).split_whitespace().count(), 10_000);
}

/// The messages of each topic, as a log of `Newest(3)` has them, by their numbers.
type Model = BTreeMap<String, Vec<u64>>;

proptest! {
    #[test]
    fn pages_of_a_log_that_goes_on_have_no_hole_before_the_mark(
        reads in prop::collection::vec(prop::collection::vec(0..4_usize, 1..6), 1..60),
        at in 0..60_usize,
    ) {
        const TOPICS: [&str; 4] = ["a", "a.b", "b", "c"];
        let mut log = log(&["a.>=3", "c=last", ">=1h"], 1 << 20);
        let mut model = Model::new();
        let (mut sequence, mut marked) = (0, None);
        for (number, read) in reads.iter().enumerate() {
            if number == at {
                marked = Some((log.end(), model.clone()));
            }
            let frames: Vec<_> = read.iter().map(|topic| {
                sequence += 1;
                message(TOPICS[*topic], sequence)
            }).collect();
            keep(&mut log, NOW, &frames);
            for frame in &frames {
                let Frame::Message { topic, sequence, .. } = frame else { unreachable!() };
                let kept = model.entry(String::from_utf8_lossy(topic).into_owned()).or_default();
                kept.push(*sequence);
            }
        }
        let (end, before) = marked.unwrap_or((log.end(), model.clone()));
        let found = all(&log, ask(&[">"], Start::All, end));
        for part in found.split_whitespace() {
            let (topic, numbers) = part.split_once('=').unwrap();
            let numbers: Vec<u64> = numbers.split(',').map(|number| number.parse().unwrap()).collect();
            let said = &before[topic];
            prop_assert!(said.ends_with(&numbers), "{topic}: {numbers:?} are the newest of {said:?}");
        }
        if marked_at_end(at, reads.len()) {
            for (topic, said) in &model {
                let at_least = match topic.as_str() { "a.b" => said.len().min(3), "c" => 1, _ => said.len() };
                let there = found.split_whitespace().find_map(|part| part.strip_prefix(&format!("{topic}=")[..]));
                let there = there.map_or(0, |numbers| numbers.split(',').count());
                prop_assert!(there >= at_least, "{topic}: {found}");
            }
        }
    }
}

fn marked_at_end(at: usize, reads: usize) -> bool {
    at >= reads
}

/// Messages as a carrier brings them: a batch that may be a part of a longer read.
fn far_batch(frames: &[Frame<'_>]) -> Batch {
    let (mut bytes, mut spans) = (Vec::new(), Vec::new());
    frames.iter().for_each(|frame| encode(frame, &mut bytes));
    let bytes = Bytes::from(bytes);
    assert_eq!(split(&bytes, usize::MAX, &mut spans).error, None);
    Batch { bytes, spans: Spans::Native(spans.into()) }
}

#[test]
fn what_a_carrier_brings_is_kept_as_a_copy_with_its_age() {
    let mut log = log(&["a.>=1h", "b.>=last"], 1 << 20);
    let payload = [7; 8 << 10];
    let long = Frame::Message { topic: b"a.x", payload: &payload, publisher: 1, sequence: 1, sent_at_ns: 0 };
    for frame in
        [long, Frame::Message { topic: b"b.x", payload: &payload, publisher: 1, sequence: 1, sent_at_ns: 0 }]
    {
        let batch = far_batch(&[frame]);
        assert_eq!(log.keep_batch(NOW, &batch), 1);
        assert!(batch.bytes.is_unique(), "whatever it is a part of is not kept alive");
    }
    // Another store, whose messages are older than those of the first.
    log.keep_batch(MonotonicNs(NOW.0 / 2), &far_batch(&[message("b.y", 1)]));
    log.keep_batch(NOW, &far_batch(&[message("b.y", 2)]));
    log.audit();
    let ask = HistoryAsk { since: NOW.0, ..ask(&["b.y"], Start::Since(Duration::ZERO), log.end()) };
    assert_eq!(all(&log, ask), "b.y=2");
}

#[test]
fn a_gap_of_the_engine_before_all_messages_is_kept() {
    let gap = |topic| Frame::Gap { topic, missed: 7, reason: 4 };
    let mut log = log(&["a.>=last", "b.>=1h"], 1 << 20);
    for topic in ["a.x", "b.x"] {
        log.keep_batch(NOW, &far_batch(&[gap(topic.as_bytes())]));
        log.keep_batch(NOW, &far_batch(&[message(topic, 8)]));
    }
    log.keep_batch(NOW, &far_batch(&[gap(b"b.y")]));
    log.audit();
    let (page, _) = log.page(&ask(&[">"], Start::All, log.end()));
    let frames = |part: &KeptPart| part.stretches.iter().map(|stretch| stretch.messages).collect::<Vec<_>>();
    let parts: Vec<_> = page.parts.iter().map(|part| (&part.topic[..], frames(part))).collect();
    assert_eq!(parts, [(&b"a.x"[..], vec![1]), (b"b.x", vec![0, 1]), (b"b.y", vec![0])]);
}

#[test]
fn a_gap_of_a_publisher_before_all_messages_is_kept() {
    // What was before it may be on another shard, where its publisher was.
    let mut log = log(&["a.>=last", "b.>=1h"], 1 << 20);
    for topic in ["a.x", "b.x"] {
        keep(
            &mut log,
            NOW,
            &[Frame::Gap { topic: topic.as_bytes(), missed: 7, reason: 2 }, message(topic, 8)],
        );
        keep(&mut log, NOW, &[Frame::Gap { topic: topic.as_bytes(), missed: 3, reason: 2 }]);
    }
    keep(&mut log, NOW, &[Frame::Gap { topic: b"b.y", missed: 0, reason: 2 }]);
    let (page, _) = log.page(&ask(&[">"], Start::All, log.end()));
    let frames = |part: &KeptPart| part.stretches.iter().map(|stretch| stretch.frames).collect::<Vec<_>>();
    let parts: Vec<_> = page.parts.iter().map(|part| (&part.topic[..], frames(part))).collect();
    assert_eq!(parts, [(&b"a.x"[..], vec![1]), (b"b.x", vec![2, 1]), (b"b.y", vec![1])]);
}

#[test]
fn a_gap_of_the_engine_that_no_rule_keeps_is_noted_for_those_who_come_back() {
    let gap = |topic| Frame::Gap { topic, missed: 7, reason: 4 };
    for (topic, rules, is_noted) in [
        ("a.x", &["a.>=1h"][..], true),
        ("a.kept", &["a.>=1h"], false),
        ("a.kept", &["a.>=last"], true),
        ("c", &["a.>=1h"], false),
    ] {
        let mut log = log(rules, 1 << 20);
        log.keep_batch(NOW, &far_batch(&[message("a.kept", 1)]));
        log.keep_batch(NOW, &far_batch(&[gap(topic.as_bytes())]));
        let (page, _) = log.page(&ask(&[">"], Start::All, log.end()));
        assert_eq!(page.forgotten_at > 0, is_noted, "{topic} by {rules:?}");
    }
}
