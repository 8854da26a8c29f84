//! A queue on its way to another shard, with its session. Of what it shares with other queues it has its own hold, since a
//! count of references belongs to one shard.

use std::rc::Rc;

use super::super::batch::{Chunk, PackedChunk};
use super::super::encoding::Encoding;
use super::super::gaps::GapTally;
use super::super::policy::{OverflowPolicy, QueueBounds};
use super::answer::Answer;
use super::{EgressQueue, Offer, Queued};

/// All that waits for a session, in order.
#[derive(Clone, Debug)]
pub struct PackedEgress {
    items: Vec<PackedItem>,
    /// As in the queue.
    front_sent: usize,
    is_dropping: bool,
    encoding: Encoding,
}

#[derive(Clone, Debug)]
enum PackedItem {
    Data(PackedChunk),
    Answer(Box<Answer>),
    Gap(Box<GapTally>),
}

/// The outcome of queueing what one queue holds behind what another holds.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub(crate) struct Appended {
    /// Messages that were dropped; gap notices will tell.
    pub(crate) dropped: u64,
    /// Messages for which there is no room (`disconnect`): close the session.
    pub(crate) refused: u64,
}

impl EgressQueue {
    /// Packs what waits.
    pub(crate) fn pack(self) -> PackedEgress {
        assert!(self.parked.is_none(), "a session that starts with history does not move");
        let items = self.items.into_iter().filter_map(|item| match item {
            Queued::Data(chunk) => Some(PackedItem::Data(chunk.pack())),
            Queued::Answer(answer) => Some(PackedItem::Answer(answer)),
            Queued::Gap(tally) => Some(PackedItem::Gap(tally)),
            Queued::Gone => None,
        });
        PackedEgress {
            items: items.collect(),
            front_sent: self.front_sent,
            is_dropping: self.is_dropping,
            encoding: self.encoding,
        }
    }

    /// Queues all that waits in `later`, of which nothing has left, as if it came only now.
    pub(crate) fn append(
        &mut self,
        later: EgressQueue,
        policy: OverflowPolicy,
        bounds: QueueBounds,
    ) -> Appended {
        assert!(!later.has_begun(), "nothing of a queue without a connection leaves");
        let mut appended = Appended::default();
        for item in later.items {
            match item {
                Queued::Data(chunk) if appended.refused > 0 => appended.refused += u64::from(chunk.messages),
                Queued::Data(chunk) => match self.offer(&chunk, policy, bounds) {
                    Offer::Queued | Offer::QueuedOver => {}
                    Offer::Dropped(messages) => appended.dropped += messages,
                    Offer::Full => appended.refused = u64::from(chunk.messages),
                },
                Queued::Answer(answer) => {
                    let frames = answer.frames;
                    self.push_answer(answer.into_bytes(), frames);
                }
                Queued::Gap(tally) => self.append_gap(tally),
                Queued::Gone => {}
            }
        }
        self.is_dropping |= later.is_dropping;
        appended
    }

    /// Adds what is missed behind all that waits.
    fn append_gap(&mut self, tally: Box<GapTally>) {
        match self.gap_of_latest().or_else(|| self.gap_before(self.items.len())) {
            Some(gap) => {
                let Some(Queued::Gap(there)) = self.items.get_mut(gap) else {
                    unreachable!("the gap still waits")
                };
                let before = there.held_bytes();
                there.absorb(&tally);
                self.bytes = self.bytes - before + there.held_bytes();
            }
            None => {
                self.bytes += tally.held_bytes();
                self.gaps += 1;
                self.items.push_back(Queued::Gap(tally));
                self.note_last_gap();
            }
        }
    }
}

impl PackedEgress {
    /// The queue again. A queue of the policy `latest` finds out by itself what waits for each topic.
    pub(crate) fn unpack(self) -> EgressQueue {
        let mut queue = EgressQueue {
            front_sent: self.front_sent,
            is_dropping: self.is_dropping,
            ..EgressQueue::of(self.encoding)
        };
        for item in self.items {
            let item = match item {
                PackedItem::Data(chunk) => {
                    let chunk = Chunk::unpack(chunk);
                    queue.bytes += chunk.held_bytes();
                    queue.frames += chunk.held_frames();
                    Queued::Data(Rc::new(chunk))
                }
                PackedItem::Answer(answer) => {
                    queue.answer_bytes += answer.held_bytes();
                    Queued::Answer(answer)
                }
                PackedItem::Gap(tally) => {
                    queue.bytes += tally.held_bytes();
                    queue.gaps += 1;
                    Queued::Gap(tally)
                }
            };
            queue.items.push_back(item);
        }
        queue
    }
}
