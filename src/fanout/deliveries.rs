//! HOT: what of a batch goes to whom, and the chunks in which it leaves. Made by [`super::Fanout`] for one batch, and given
//! back when all of it is delivered.

use std::rc::Rc;

use bytes::Bytes;

use super::batch::{Chunk, Picked};
use super::encoding::{BadRoute, Encoding, Messages};
use super::translate::{Translated, translate};
use crate::ids::{GroupId, Neighbour};
use crate::wire::Frame;

/// The deliveries of one batch.
#[derive(Default)]
pub(crate) struct Deliveries {
    /// Messages among the good frames.
    pub(crate) messages: u64,
    /// True if some of the good frames have several messages.
    pub(crate) runs: bool,
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
        self.runs |= messages > 1;
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
        (self.messages, self.runs, self.good, self.bad) = (0, false, 0, None);
        self.neighbours.clear();
        self.groups.clear();
    }
}

/// Cuts the deliveries of one batch into chunks. For encodings that do not read it as it came it is translated, once for all
/// groups that want any of it.
pub(crate) struct Cutter<'a> {
    bytes: &'a Bytes,
    messages: Messages<'a>,
    /// The encoding in which they came.
    encoding: Encoding,
    translated: Vec<Translated>,
}

impl<'a> Cutter<'a> {
    /// For the good frames of a batch, which may have `runs` among them.
    pub(crate) fn new(bytes: &'a Bytes, messages: Messages<'a>, runs: bool) -> Self {
        Cutter { bytes, messages, encoding: messages.encoding(runs), translated: Vec::new() }
    }

    /// The chunks of what was picked for a group of this encoding, and the messages that the notices among it tell to be
    /// missed, if nothing says so in that encoding. What was picked is used up.
    pub(crate) fn cut(&mut self, picked: &mut Vec<Picked>, encoding: Encoding) -> (Vec<Rc<Chunk>>, u64) {
        if encoding.reads(self.encoding) {
            return (cut(self.bytes, picked, encoding), 0);
        }
        let untold = if encoding.can_tell_gaps() { 0 } else { self.untold(picked) };
        let translated = self.translation(encoding);
        translated.pick_same(picked);
        (cut(&translated.bytes, picked, encoding), untold)
    }

    /// Messages that the notices among these tell to be missed: an encoding that cannot tell gaps says nothing of them.
    fn untold(&self, picked: &[Picked]) -> u64 {
        let Messages::Native(spans) = self.messages else { return 0 };
        // Without runs, frames that are no messages are notices.
        let may_have =
            |picked: &&Picked| self.encoding == Encoding::NativeRuns || picked.frames > picked.messages;
        let frames = picked
            .iter()
            .filter(may_have)
            .flat_map(|picked| &spans[picked.first as usize..(picked.first + picked.frames) as usize])
            .map(|span| span.frame(self.bytes));
        frames
            .map(|frame| if let Frame::Gap { missed, .. } = frame { missed } else { 0 })
            .fold(0, u64::saturating_add)
    }

    fn translation(&mut self, encoding: Encoding) -> &Translated {
        let made = self.translated.iter().position(|made| encoding.reads(made.encoding));
        let at = made.unwrap_or_else(|| {
            self.translated.push(translate(self.bytes, self.messages, encoding));
            self.translated.len() - 1
        });
        &self.translated[at]
    }
}

fn cut(bytes: &Bytes, picked: &mut Vec<Picked>, encoding: Encoding) -> Vec<Rc<Chunk>> {
    picked.drain(..).map(|picked| Rc::new(Chunk::cut(bytes, picked, encoding))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::{encode, split};

    #[test]
    fn a_gap_beside_a_run_is_counted_where_it_cannot_be_told() {
        let messages = b"\x02\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0";
        let run = Frame::Run { topic: b"t", messages, publisher: 1, sequence: 1, sent_at_ns: 0 };
        let mut out = Vec::new();
        [run, Frame::Gap { topic: b"t", missed: 7, reason: 2 }]
            .iter()
            .for_each(|frame| encode(frame, &mut out));
        let (bytes, mut spans) = (Bytes::from(out), Vec::new());
        assert_eq!(split(&bytes, usize::MAX, &mut spans).error, None);
        let mut cutter = Cutter::new(&bytes, Messages::Native(&spans), true);
        let picked = || vec![Picked { range: 0..bytes.len(), first: 0, frames: 2, messages: 2 }];
        for (encoding, frames, untold) in
            [(Encoding::NativeRuns, 2, 0), (Encoding::Native, 3, 0), (Encoding::Zmtp, 2, 7)]
        {
            let (chunks, counted) = cutter.cut(&mut picked(), encoding);
            let [chunk] = &chunks[..] else { panic!("one piece is one chunk") };
            assert_eq!((chunk.frames, chunk.messages, counted), (frames, 2, untold), "{encoding:?}");
        }
        assert_eq!(cutter.translated.len(), 2, "one of them reads it as it came");
    }
}
