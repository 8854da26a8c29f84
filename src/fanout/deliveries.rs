//! HOT: what of a batch goes to whom, and the chunks in which it leaves. Made by [`super::Fanout`] for one batch, and given
//! back when all of it is delivered.

use std::rc::Rc;

use bytes::Bytes;

use super::batch::{Batch, Chunk, Picked};
use super::encoding::{BadRoute, Encoding, Messages};
use super::translate::translate;
use crate::ids::{GroupId, Neighbour};
use crate::wire::Frame;

/// The deliveries of one batch.
#[derive(Default)]
pub(crate) struct Deliveries {
    /// Messages among the good frames.
    pub(crate) messages: u64,
    /// Neighbours that want any of it.
    pub(crate) neighbours: Vec<Neighbour>,
    /// The number of good frames: all, those before a bad one, or those for which the turn had work left.
    pub(crate) good: usize,
    /// The fault of the frame behind the good ones.
    pub(crate) bad: Option<BadRoute>,
    /// Deliveries to the groups here, one for each.
    pub(crate) groups: Vec<ToGroup>,
}

/// The part of a batch that one egress group gets.
pub(crate) struct ToGroup {
    pub(crate) group: GroupId,
    /// In order, as far apart as they stand in the batch.
    pub(crate) picked: Vec<Picked>,
}

impl Deliveries {
    #[inline]
    pub(super) fn add(&mut self, messages: u32) {
        self.messages += u64::from(messages);
        self.good += 1;
    }

    #[inline]
    pub(super) fn add_neighbours(&mut self, neighbours: &[Neighbour]) {
        for neighbour in neighbours {
            if !self.neighbours.contains(neighbour) {
                self.neighbours.push(*neighbour);
            }
        }
    }

    /// Forgets all but its memory.
    pub(super) fn clear(&mut self) {
        (self.messages, self.good, self.bad) = (0, 0, None);
        self.neighbours.clear();
        self.groups.clear();
    }
}

/// Cuts the deliveries of one batch into chunks. What came in the other encoding is translated once, for all groups that
/// want any of it.
pub(crate) struct Cutter<'a> {
    bytes: &'a Bytes,
    messages: Messages<'a>,
    translated: Option<Batch>,
}

impl<'a> Cutter<'a> {
    pub(crate) fn new(bytes: &'a Bytes, messages: Messages<'a>) -> Self {
        Cutter { bytes, messages, translated: None }
    }

    /// The chunks of what was picked for a group of this encoding, and the messages that the notices among it tell to be
    /// missed, if nothing says so in that encoding. What was picked is used up.
    pub(crate) fn cut(&mut self, picked: &mut Vec<Picked>, encoding: Encoding) -> (Vec<Rc<Chunk>>, u64) {
        if encoding == self.messages.encoding() {
            return (cut(self.bytes, picked, encoding), 0);
        }
        let untold = untold(self.bytes, self.messages, picked);
        let batch = self.translated.get_or_insert_with(|| translate(self.bytes, self.messages));
        batch.spans.pick_same(picked);
        (cut(&batch.bytes, picked, encoding), untold)
    }
}

/// Messages that the notices among these tell to be missed: in the other encoding nothing says so.
fn untold(bytes: &Bytes, messages: Messages<'_>, picked: &[Picked]) -> u64 {
    let Messages::Native(spans) = messages else { return 0 };
    let with_notices = picked.iter().filter(|picked| picked.frames > picked.messages);
    let frames = with_notices
        .flat_map(|picked| &spans[picked.first as usize..(picked.first + picked.frames) as usize])
        .map(|span| span.frame(bytes));
    frames
        .map(|frame| if let Frame::Gap { missed, .. } = frame { missed } else { 0 })
        .fold(0, u64::saturating_add)
}

fn cut(bytes: &Bytes, picked: &mut Vec<Picked>, encoding: Encoding) -> Vec<Rc<Chunk>> {
    picked.drain(..).map(|picked| Rc::new(Chunk::cut(bytes, picked, encoding))).collect()
}
