//! The history of one session that starts: what all shards keep for it, merged by topic and, within a topic, by the time at
//! which the broker took it. Pure; owned by the session's start.

use std::cmp::Reverse;
use std::collections::VecDeque;
use std::sync::Arc;

use bytes::Bytes;

use super::notices::KeptNotices;
use super::resume::{Resume, Shortfall};
use crate::carrier::{HistoryAsk, HistoryPage, KeptPart, KeptPlace, Stretch};
use crate::ids::{Neighbour, SessionId};
use crate::topic::Filter;
use crate::wire::Start;

/// The history of one shard, or of one carrier, as far as it has come.
#[derive(Default)]
struct Stream {
    /// The last stretch of it that is history, once the shard that keeps it has said so.
    up_to: Option<u64>,
    /// All that comes from there now is live.
    is_divided: bool,
    parts: VecDeque<KeptPart>,
    next: Next,
    /// The messages of the topic under way that are to come.
    left: u64,
}

/// The part of a shard's history that is behind what has come.
#[derive(Default)]
enum Next {
    /// It is still to be asked for, behind this place.
    #[default]
    First,
    Behind(KeptPlace),
    /// It is asked for.
    Asked,
    /// There is none.
    Nothing,
}

impl Stream {
    /// True if all that is next to be sent can be told from it.
    fn is_ready(&self) -> bool {
        !self.parts.is_empty() || matches!(self.next, Next::Nothing)
    }

    /// The time of the next stretch, if it is of this topic.
    fn next_of(&self, topic: &Bytes) -> Option<u64> {
        let part = self.parts.front().filter(|part| part.topic == *topic)?;
        part.stretches.front().map(|stretch| stretch.at)
    }

    /// The messages that were to come before those that have come, and have given way.
    fn take_missed(&mut self) -> u64 {
        let left = self.parts.front().map_or(0, |part| part.left);
        let missed = self.left.saturating_sub(left);
        self.left -= missed;
        missed
    }

    /// Takes the next stretch.
    fn pop(&mut self) -> Option<Stretch> {
        let part = self.parts.front_mut()?;
        let stretch = part.stretches.pop_front()?;
        let messages = u64::from(stretch.messages);
        part.left = part.left.saturating_sub(messages);
        self.left = self.left.saturating_sub(messages);
        if part.stretches.is_empty() {
            self.parts.pop_front();
        }
        Some(stretch)
    }
}

/// The topic whose history is sent.
struct UnderWay {
    topic: Bytes,
    /// Messages of it that are still to be left out, since later ones are enough.
    skip: u64,
    /// Gaps among what is kept, to a client that comes back.
    notices: KeptNotices,
    /// Messages that such a client is told to miss, each by the time of the last message that a log has given up, from the latest on.
    missing: Vec<(u64, Shortfall)>,
}

impl UnderWay {
    /// Takes what is missing before the next stretch, by its time. `None`: there is none.
    fn take_missing_before(&mut self, next: Option<u64>) -> Option<Shortfall> {
        // Of messages that came in one turn all have one time, and those that gave way were the first.
        let is_before = |(at, _): &mut (u64, Shortfall)| next.is_none_or(|next| *at <= next);
        self.missing.pop_if(is_before).map(|(_, missing)| missing)
    }
}

/// True if messages of a shard are older than some that another shard has given up: behind them there would be a hole.
fn is_before_hole(floors: &[u64], shard: usize, at: u64) -> bool {
    floors.iter().enumerate().any(|(other, floor)| other != shard && at <= *floor)
}

/// The next step of a replay.
pub(super) enum ReplayStep {
    /// A shard has to be asked, or to answer.
    Wait,
    /// This stretch of a log is next, without so many of its first messages.
    Send { log: usize, stretch: Stretch, skip: u64 },
    /// This number of messages of this topic has given way since the session started.
    Missed(Bytes, u64),
    /// This is missing of this topic, or of any if it is empty, since a connection was lost.
    Lacks(Bytes, Shortfall),
    /// These notices of gaps stand at the end of a topic.
    Notices(Bytes, Vec<Bytes>),
    /// All was sent.
    Done,
}

/// The history of one session.
pub(super) struct Replay {
    pub(super) session: SessionId,
    filters: Arc<[Filter]>,
    start: Start,
    since: u64,
    /// By log: of shards, and of carriers behind them.
    streams: Vec<Stream>,
    topic: Option<UnderWay>,
    /// By log: the time of the last message of that topic that was given up there.
    floors: Vec<u64>,
    /// For a session whose client comes back.
    resume: Option<Resume>,
    /// Something of any topic may be missing, and that is to be told.
    is_unsure: bool,
    /// It has been told.
    was_unsure: bool,
}

impl Replay {
    /// For a session with these filters, with so many logs. `since` is the time from which messages are wanted.
    pub(super) fn new(
        session: SessionId,
        filters: Arc<[Filter]>,
        (start, since): (Start, u64),
        logs: usize,
    ) -> Self {
        let streams = (0..logs).map(|_| Stream::default()).collect();
        let floors = Vec::with_capacity(logs);
        let (topic, resume, is_unsure, was_unsure) = (None, None, false, false);
        Replay { session, filters, start, since, streams, topic, floors, resume, is_unsure, was_unsure }
    }

    /// The same for a session whose client comes back. `is_unsure`: not all that it wants is kept.
    pub(super) fn resuming(self, resume: Resume, is_unsure: bool) -> Self {
        Replay { resume: Some(resume), is_unsure, ..self }
    }

    /// The topic of what is sent, and the return of the session's client, if it is one, with the notices on their way to it.
    pub(super) fn under_way(&mut self) -> Option<(&Bytes, Option<(&Resume, &mut KeptNotices)>)> {
        let UnderWay { topic, notices, .. } = self.topic.as_mut()?;
        Some((topic, self.resume.as_ref().map(|resume| (resume, notices))))
    }

    /// Messages of a log up to this stretch are history, and those behind it live.
    pub(super) fn on_marked(&mut self, of: Neighbour, up_to: u64) {
        self.streams[usize::from(of.0)].up_to = Some(up_to);
    }

    /// Notes that what came from that neighbour until now is not live to the session, and all that follows is.
    pub(super) fn on_divided(&mut self, from: Neighbour) {
        self.streams[usize::from(from.0)].is_divided = true;
    }

    /// The questions that are to be asked now.
    pub(super) fn questions(&mut self) -> Vec<HistoryAsk> {
        let resumes = self.resume.is_some();
        let Replay { session, filters, start, since, streams, .. } = self;
        let mut questions = Vec::new();
        for (of, stream) in (0..).map(Neighbour).zip(streams).filter(|(_, stream)| stream.parts.is_empty()) {
            let Some(up_to) = stream.up_to.filter(|_| stream.is_divided) else { continue };
            let behind = match std::mem::replace(&mut stream.next, Next::Asked) {
                Next::First => None,
                Next::Behind(place) => Some(place),
                other => {
                    stream.next = other;
                    continue;
                }
            };
            let (filters, start) = (Arc::clone(filters), *start);
            let (session, since) = (*session, *since);
            questions.push(HistoryAsk { session, of, filters, start, since, up_to, behind, resumes });
        }
        questions
    }

    /// A question is answered.
    pub(super) fn on_page(&mut self, page: HistoryPage) {
        let may_miss = |resume: &Resume| resume.may_miss_forgotten(page.forgotten_at);
        self.is_unsure |= !self.was_unsure && self.resume.as_ref().is_some_and(may_miss);
        let stream = &mut self.streams[usize::from(page.of.0)];
        stream.parts.extend(page.parts);
        stream.next = page.next.map_or(Next::Nothing, Next::Behind);
    }

    /// The next step. What is given is sent.
    pub(super) fn step(&mut self) -> ReplayStep {
        while self.streams.iter().all(Stream::is_ready) {
            if std::mem::take(&mut self.is_unsure) {
                self.was_unsure = true;
                return ReplayStep::Lacks(Bytes::new(), Shortfall::Unknown);
            }
            if self.topic.is_none() {
                if !self.begin_topic() {
                    return ReplayStep::Done;
                }
                self.settle_topic();
                // Parts may have gone, so that more have to come.
                continue;
            }
            let Some(under_way) = &mut self.topic else { return ReplayStep::Done };
            let times = self.streams.iter().enumerate();
            let times = times.filter_map(|(shard, stream)| Some((stream.next_of(&under_way.topic)?, shard)));
            let next = times.min();
            if let Some(missing) = under_way.take_missing_before(next.map(|(at, _)| at)) {
                return ReplayStep::Lacks(under_way.topic.clone(), missing);
            }
            let Some((at, shard)) = next else {
                let notices = under_way.notices.take_rest();
                if !notices.is_empty() {
                    return ReplayStep::Notices(under_way.topic.clone(), notices);
                }
                // What was still to come when the topic began has given way.
                let missed = self.streams.iter_mut().map(|stream| std::mem::take(&mut stream.left)).sum();
                let missed = leave_out(&mut under_way.skip, missed);
                let topic = self.topic.take().map(|under_way| under_way.topic).unwrap_or_default();
                if missed > 0 {
                    return self.missed(topic, missed);
                }
                continue;
            };
            let stream = &mut self.streams[shard];
            if is_before_hole(&self.floors, shard, at) {
                let before = stream.take_missed() + stream.pop().map_or(0, |gone| u64::from(gone.messages));
                leave_out(&mut under_way.skip, before);
                continue;
            }
            let skip = &mut under_way.skip;
            let missed = leave_out(skip, stream.take_missed());
            if missed > 0 {
                let topic = under_way.topic.clone();
                return self.missed(topic, missed);
            }
            let Some(stretch) = stream.pop() else { continue };
            let messages = u64::from(stretch.messages);
            if messages == 0 && *skip > 0 {
                // A gap before what is left out is no gap in what is sent.
                continue;
            }
            let first = messages - leave_out(skip, messages);
            if first == 0 || first < messages {
                return ReplayStep::Send { log: shard, stretch, skip: first };
            }
        }
        ReplayStep::Wait
    }

    /// Messages that were to come have given way. A client that comes back may have had some of them.
    fn missed(&self, topic: Bytes, missed: u64) -> ReplayStep {
        match self.resume {
            Some(_) => ReplayStep::Lacks(topic, Shortfall::Unknown),
            None => ReplayStep::Missed(topic, missed),
        }
    }

    /// Notes the messages of the topic that has just begun that are missing since a connection was lost. Parts without messages have told
    /// what they are there for.
    fn settle_topic(&mut self) {
        let Some(UnderWay { topic, missing, .. }) = &mut self.topic else { return };
        for stream in &mut self.streams {
            let Some(part) = stream.parts.front().filter(|part| part.topic == *topic) else { continue };
            let lacks = self.resume.as_ref().map(|resume| resume.missing(part, stream.up_to.unwrap_or(0)));
            if let Some(lacks) = lacks.filter(|lacks| *lacks != Shortfall::Exactly(0)) {
                missing.push((part.floor, lacks));
            }
            if part.stretches.is_empty() {
                stream.parts.pop_front();
            }
        }
        missing.sort_unstable_by_key(|(at, _)| Reverse(*at));
    }

    /// Goes to the next topic of all shards, if there is one.
    fn begin_topic(&mut self) -> bool {
        let first = self.streams.iter().filter_map(|stream| Some(&stream.parts.front()?.topic)).min();
        let Some(topic) = first.cloned() else { return false };
        let mut most = self.start.count();
        self.floors.clear();
        for stream in &mut self.streams {
            let part = stream.parts.front().filter(|part| part.topic == topic);
            stream.left = part.map_or(0, |part| part.left);
            // A publisher that has changed its shard has messages on both.
            most = most.min(part.map_or(u64::MAX, |part| part.most));
            // To a client that comes back, holes are told.
            let tells_holes = self.resume.is_some();
            self.floors.push(part.filter(|_| !tells_holes).map_or(0, |part| part.floor));
        }
        let left: u64 = self.streams.iter().map(|stream| stream.left).sum();
        let skip = if self.resume.is_some() { 0 } else { left.saturating_sub(most) };
        self.topic = Some(UnderWay { topic, skip, notices: KeptNotices::default(), missing: Vec::new() });
        true
    }
}

/// Leaves out of so many messages as many as are still to be left out. Returns the others.
fn leave_out(skip: &mut u64, messages: u64) -> u64 {
    let left_out = messages.min(*skip);
    *skip -= left_out;
    messages - left_out
}

#[cfg(test)]
mod tests {
    use std::collections::VecDeque;

    use super::super::resume::HadPositions;
    use super::*;
    use crate::carrier::{GivenUp, GivenUpOf};

    fn stretch(at: u64, messages: u32) -> Stretch {
        Stretch { bytes: Bytes::new(), frames: messages, messages, order: at, at }
    }

    /// A topic of a page: its name, how many messages are left of it, and its stretches by time and number of messages.
    type Part<'a> = (&'static str, u64, &'a [(u64, u32)]);

    fn page(parts: &[Part<'_>], next: Option<(&'static str, u64)>) -> HistoryPage {
        let part = |(topic, left, stretches): &Part<'_>| {
            let stretches: VecDeque<_> =
                stretches.iter().map(|(at, messages)| stretch(*at, *messages)).collect();
            let topic = Bytes::from_static(topic.as_bytes());
            KeptPart { topic, stretches, left: *left, most: u64::MAX, floor: 0, given_up: None }
        };
        let session = SessionId { slot: 1, generation: 1 };
        let next = next.map(|(topic, order)| (Bytes::from_static(topic.as_bytes()), order));
        let of = Neighbour(0);
        HistoryPage { session, of, parts: parts.iter().map(part).collect(), next, forgotten_at: 0 }
    }

    fn replay(start: Start, shards: usize) -> Replay {
        let mut replay = Replay::new(SessionId { slot: 1, generation: 1 }, [].into(), (start, 0), shards);
        let all = || (0..).map(Neighbour).take(shards);
        all().for_each(|of| replay.on_marked(of, 100));
        assert!(replay.questions().is_empty(), "what is on its way is not live");
        all().for_each(|of| replay.on_divided(of));
        replay
    }

    /// `7` for the stretch of time 7, `7+2` without its first two messages, `a-3` for three that have given way; `.` at the end,
    /// `?` where a shard has to answer.
    fn steps(replay: &mut Replay) -> String {
        let mut texts = Vec::new();
        loop {
            texts.push(match replay.step() {
                ReplayStep::Send { stretch, skip: 0, .. } => stretch.at.to_string(),
                ReplayStep::Send { stretch, skip, .. } => format!("{}+{skip}", stretch.at),
                ReplayStep::Missed(topic, missed) => format!("{}-{missed}", String::from_utf8_lossy(&topic)),
                ReplayStep::Lacks(topic, missing) => {
                    format!("{}{missing:?}", String::from_utf8_lossy(&topic))
                }
                ReplayStep::Notices(topic, notices) => {
                    format!("{}!{}", String::from_utf8_lossy(&topic), notices.len())
                }
                ReplayStep::Wait => "?".to_owned(),
                ReplayStep::Done => ".".to_owned(),
            });
            if matches!(texts.last().map(String::as_str), Some("?" | ".")) {
                return texts.join(" ");
            }
        }
    }

    #[test]
    fn topics_come_by_name_and_their_messages_by_time() {
        let mut replay = replay(Start::All, 2);
        assert_eq!(replay.questions().len(), 2);
        assert!(replay.questions().is_empty(), "each is asked once");
        replay.on_page(page(&[("a", 3, &[(1, 1), (5, 2)]), ("c", 1, &[(2, 1)])], None));
        assert_eq!(steps(&mut replay), "?");
        replay.on_page(HistoryPage {
            of: Neighbour(1),
            ..page(&[("a", 2, &[(3, 1), (7, 1)]), ("b", 1, &[(1, 1)])], None)
        });
        assert_eq!(steps(&mut replay), "1 3 5 7 1 2 .");
        assert!(replay.questions().is_empty());
    }

    #[test]
    fn the_newest_of_a_topic_are_those_of_all_shards_together() {
        for (start, wanted) in [
            (Start::Last, "7 ."),
            (Start::Count(2), "5+1 7 ."),
            (Start::Count(4), "3 5 7 ."),
            (Start::Count(9), "1 3 5 7 ."),
        ] {
            let mut replay = replay(start, 2);
            assert_eq!(replay.questions().len(), 2);
            replay.on_page(page(&[("a", 3, &[(1, 1), (5, 2)])], None));
            replay.on_page(HistoryPage { of: Neighbour(1), ..page(&[("a", 2, &[(3, 1), (7, 1)])], None) });
            assert_eq!(steps(&mut replay), wanted, "{start}");
        }
    }

    #[test]
    fn older_messages_of_a_shard_are_left_out_where_another_has_given_up_later_ones() {
        let mut replay = replay(Start::All, 2);
        assert_eq!(replay.questions().len(), 2);
        replay.on_page(page(&[("a", 3, &[(1, 1), (5, 1), (8, 1)])], None));
        let mut given_up = page(&[("a", 1, &[(7, 1)]), ("b", 0, &[])], None);
        given_up.parts[0].floor = 6;
        given_up.parts[1].floor = 9;
        replay.on_page(HistoryPage { of: Neighbour(1), ..given_up });
        assert_eq!(steps(&mut replay), "7 8 .");
    }

    #[test]
    fn a_client_that_comes_back_is_told_of_a_hole_where_it_is() {
        let (mut positions, mut replay) = (HadPositions::default(), replay(Start::All, 2));
        assert!(positions.add(b"a", 1, 5));
        replay = replay.resuming(Resume::new(positions, 0), false);
        assert_eq!(replay.questions().len(), 2);
        // Its publisher was on the first shard, then on the second, which has given up 8 and 9 since, and is back.
        let given_up = |first, last| {
            let of = GivenUpOf { publisher: 1, first, last, count: last - first + 1, at: 4, order: 4 };
            Some(Box::new(GivenUp { of: vec![of], others_at: 0 }))
        };
        replay.on_page(page(&[("a", 3, &[(2, 1), (3, 1), (9, 1)])], None));
        let mut other = page(&[("a", 2, &[(5, 1), (6, 1)])], Some(("a", 6)));
        (other.parts[0].given_up, other.parts[0].floor) = (given_up(8, 9), 4);
        replay.on_page(HistoryPage { of: Neighbour(1), ..other });
        assert_eq!(steps(&mut replay), "2 3 aUnknown 5 6 ?");
        // It may have had what gives way meanwhile.
        replay.on_page(HistoryPage { of: Neighbour(1), ..page(&[], None) });
        assert_eq!(steps(&mut replay), "9 .");
    }

    #[test]
    fn what_gives_way_between_two_answers_is_missed_with_its_number() {
        let mut replay = replay(Start::All, 1);
        assert_eq!(replay.questions().len(), 1);
        replay.on_page(page(&[("a", 10, &[(1, 2)])], Some(("a", 1))));
        assert_eq!(steps(&mut replay), "1 ?");
        let [HistoryAsk { of: Neighbour(0), behind: Some((topic, 1)), .. }] = &replay.questions()[..] else {
            panic!()
        };
        assert_eq!(topic, "a");
        replay.on_page(page(&[("a", 5, &[(6, 1)])], Some(("a", 6))));
        assert_eq!(steps(&mut replay), "a-3 6 ?");
        assert_eq!(replay.questions().len(), 1);
        replay.on_page(page(&[("b", 1, &[(9, 1)])], None));
        assert_eq!(steps(&mut replay), "a-4 9 .");
    }
}
