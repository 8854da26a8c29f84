//! HOT: what of a batch goes to whom, and the chunks in which it leaves. Made by [`super::Fanout`] for one batch, and given
//! back when all of it is delivered.

use std::rc::Rc;
use std::sync::Arc;

use bytes::Bytes;

use super::batch::{Batch, Chunk, Picked};
use super::encoding::{BadRoute, Encoding, Messages};
use super::selection::Selection;
use super::translate::{Translated, translate};
use crate::ids::{GroupId, Neighbour};
use crate::wire::Frame;

/// Stretches of a batch for which a delivery keeps room: 4 KiB.
pub(super) const STRETCHES_KEPT: usize = 1024;

/// The deliveries of one batch.
#[derive(Default)]
pub(crate) struct Deliveries {
    /// Messages among the good frames.
    pub(crate) messages: u64,
    /// True if some of the good frames have several messages.
    runs: bool,
    /// The number of good frames: all, those before a bad one, or those for which the turn had work left.
    pub(crate) good: usize,
    /// The fault of the frame behind the good ones.
    pub(crate) bad: Option<BadRoute>,
    /// Deliveries to the groups here, one for each.
    pub(crate) groups: Vec<ToGroup>,
    /// The good frames, in stretches of one topic.
    stretches: Vec<Picked>,
    /// One of them is too long to be copied.
    has_long: bool,
    /// By neighbour: the stretches that it gets.
    neighbours: Vec<Selection>,
}

/// The part of a batch that one egress group gets.
pub(crate) struct ToGroup {
    pub(crate) group: GroupId,
    pub(super) stretches: Selection,
    /// Their bytes in all.
    pub(super) bytes: usize,
}

impl ToGroup {
    /// Adds the stretch of this number.
    #[inline]
    pub(super) fn add(&mut self, number: u32, stretch_bytes: usize) {
        self.stretches.add(number);
        self.bytes += stretch_bytes;
    }
}

impl Deliveries {
    /// The good frames, in stretches of one topic each.
    pub(crate) fn stretches(&self) -> &[Picked] {
        &self.stretches
    }

    /// Adds a stretch of one topic, whose frames have at most so many messages each, and returns its number.
    #[inline]
    pub(super) fn add(&mut self, stretch: Picked, most: u32) -> u32 {
        let number = u32::try_from(self.stretches.len()).expect("a batch has few frames");
        self.messages += u64::from(stretch.messages);
        self.good += stretch.frames as usize;
        self.runs |= most > 1;
        self.has_long |= !stretch.is_short();
        self.stretches.push(stretch);
        number
    }

    /// These neighbours get this stretch.
    #[inline]
    pub(super) fn add_neighbours(&mut self, neighbours: &[Neighbour], stretch: u32) {
        for neighbour in neighbours {
            let index = usize::from(neighbour.0);
            if self.neighbours.len() <= index {
                self.neighbours.resize_with(index + 1, Selection::default);
            }
            self.neighbours[index].add(stretch);
        }
    }

    /// The neighbours that get any of the good messages of the batch, with what each of them gets, which is shared by all
    /// that get everything.
    pub(crate) fn to_neighbours(
        &self,
        bytes: &Bytes,
        messages: Messages<'_>,
    ) -> impl Iterator<Item = (Neighbour, Arc<Batch>)> {
        let mut all = None;
        let wanting = (0..).map(Neighbour).zip(&self.neighbours).filter(|(_, wanted)| !wanted.is_empty());
        wanting.map(move |(neighbour, wanted)| {
            let batch = |spans| Arc::new(Batch { bytes: bytes.clone(), spans });
            let is_part = wanted.len() < self.stretches.len();
            let part = is_part.then(|| messages.of(self.stretches_of(wanted))).flatten().map(batch);
            let batch =
                part.unwrap_or_else(|| Arc::clone(all.get_or_insert_with(|| batch(messages.to_spans()))));
            (neighbour, batch)
        })
    }

    /// The frames that a group gets, in as few pieces as they are.
    fn pick(&self, to: &ToGroup) -> Vec<Picked> {
        let mut picked: Vec<Picked> = Vec::new();
        for stretch in self.stretches_of(&to.stretches) {
            match picked.last_mut() {
                Some(last) if last.range.end == stretch.range.start => {
                    last.range.end = stretch.range.end;
                    last.count(stretch);
                }
                _ => picked.push(stretch.clone()),
            }
        }
        picked
    }

    /// All that a group gets as one chunk, if it stands together in these bytes or nothing of it is long.
    fn one_chunk(&self, bytes: &Bytes, to: &ToGroup, encoding: Encoding) -> Option<Chunk> {
        let (first, last) = to.stretches.ends()?;
        let first = &self.stretches[first as usize];
        let mut together =
            Picked { range: first.range.start..self.stretches[last as usize].range.end, ..*first };
        if together.range.len() == to.bytes {
            self.stretches_of(&to.stretches).skip(1).for_each(|stretch| together.count(stretch));
            return Some(Chunk::cut(bytes, &together, encoding));
        }
        let is_short = !self.has_long || self.stretches_of(&to.stretches).all(Picked::is_short);
        is_short.then(|| Chunk::gathered(bytes, self.stretches_of(&to.stretches), to.bytes, encoding))
    }

    fn stretches_of(&self, selection: &Selection) -> impl Iterator<Item = &Picked> {
        selection.numbers().map(|number| &self.stretches[number as usize])
    }

    /// Forgets all but its memory.
    pub(super) fn clear(&mut self) {
        (self.messages, self.runs, self.good, self.bad, self.has_long) = (0, false, 0, None, false);
        self.neighbours.iter_mut().for_each(|neighbour| neighbour.clear(STRETCHES_KEPT));
        self.groups.clear();
        self.stretches.clear();
    }
}

/// Cuts the deliveries of one batch into chunks. For encodings that do not read it as it came it is translated, once for all
/// groups that want any of it.
pub(crate) struct Cutter<'a> {
    bytes: &'a Bytes,
    messages: Messages<'a>,
    deliveries: &'a Deliveries,
    /// The encoding in which they came.
    encoding: Encoding,
    translated: Vec<Translated>,
}

impl<'a> Cutter<'a> {
    /// For the good frames of a batch.
    pub(crate) fn new(bytes: &'a Bytes, messages: Messages<'a>, deliveries: &'a Deliveries) -> Self {
        let encoding = messages.encoding(deliveries.runs);
        Cutter { bytes, messages, deliveries, encoding, translated: Vec::new() }
    }

    /// Puts what a group of this encoding gets into `chunks`, and returns the number of messages that the notices among it
    /// report as missed, if nothing says so in that encoding.
    pub(crate) fn cut(&mut self, to: &ToGroup, encoding: Encoding, chunks: &mut Vec<Rc<Chunk>>) -> u64 {
        chunks.clear();
        if encoding.reads(self.encoding) {
            match self.deliveries.one_chunk(self.bytes, to, encoding) {
                Some(chunk) => chunks.push(Rc::new(chunk)),
                None => cut(self.bytes, &self.deliveries.pick(to), encoding, chunks),
            }
            return 0;
        }
        let mut picked = self.deliveries.pick(to);
        let untold = if encoding.can_tell_gaps() { 0 } else { self.untold(&picked) };
        let translated = self.translation(encoding);
        translated.pick_same(&mut picked);
        cut(&translated.bytes, &picked, encoding, chunks);
        untold
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

/// Short pieces that follow one another are gathered into one chunk; a long one is a chunk of its own.
fn cut(bytes: &Bytes, picked: &[Picked], encoding: Encoding, chunks: &mut Vec<Rc<Chunk>>) {
    let parts = picked.chunk_by(|piece, next| piece.is_short() && next.is_short());
    chunks.extend(parts.map(|pieces| {
        Rc::new(match pieces {
            [piece] => Chunk::cut(bytes, piece, encoding),
            pieces => {
                let length = pieces.iter().map(|piece| piece.range.len()).sum();
                Chunk::gathered(bytes, pieces.iter(), length, encoding)
            }
        })
    }));
}

#[cfg(test)]
mod tests {
    use std::ops::Range;

    use super::*;
    use crate::limits::COPY_BELOW_BYTES;
    use crate::wire::{encode, split};

    /// The chunks of a group that gets the stretches at these places of some bytes, each by its length and whether it shares
    /// them.
    fn chunks_of(bytes: &Bytes, ranges: &[Range<usize>]) -> Vec<(usize, bool)> {
        let mut deliveries = Deliveries::default();
        let mut to = ToGroup { group: GroupId(0), stretches: Selection::default(), bytes: 0 };
        for (first, range) in (0..).zip(ranges) {
            let stretch = Picked { range: range.clone(), first, frames: 1, messages: 1 };
            to.add(deliveries.add(stretch, 1), range.len());
        }
        let mut chunks = Vec::new();
        Cutter::new(bytes, Messages::Native(&[]), &deliveries).cut(&to, Encoding::Native, &mut chunks);
        let left: Vec<u8> = chunks.iter().flat_map(|chunk| chunk.bytes.to_vec()).collect();
        let wanted: Vec<u8> = ranges.iter().flat_map(|range| bytes[range.clone()].to_vec()).collect();
        assert!(left == wanted, "all of it, in order");
        let counts = chunks.iter().map(|chunk| (chunk.frames as usize, chunk.messages as usize));
        let (frames, messages): (Vec<_>, Vec<_>) = counts.unzip();
        let sums = (frames.iter().sum::<usize>(), messages.iter().sum::<usize>());
        assert_eq!(sums, (ranges.len(), ranges.len()));
        let shares = |chunk: &Chunk| bytes.as_ptr_range().contains(&chunk.bytes.as_ptr());
        chunks.iter().map(|chunk| (chunk.bytes.len(), shares(chunk))).collect()
    }

    #[test]
    fn short_stretches_are_gathered_and_long_ones_share_the_bytes() {
        const LONG: usize = COPY_BELOW_BYTES;
        let bytes: Bytes = (0..=u8::MAX).cycle().take(64 << 10).collect();
        assert_eq!(chunks_of(&bytes, &[10..20, 30..37, 99..100]), [(18, false)]);
        assert_eq!(chunks_of(&bytes, &[10..20, 20..30]), [(20, false)]);
        let ranges =
            [0..10, 20..30, 1_000..1_000 + LONG, 20_000..20_000 + LONG, 40_000..40_007, 50_000..50_001];
        assert_eq!(chunks_of(&bytes, &ranges), [(20, false), (LONG, true), (LONG, true), (8, false)]);
        let together = [0..10, 10..20_000, 20_000..20_001];
        assert_eq!(chunks_of(&bytes, &together), [(20_001, true)], "they stand together");
        let short = Bytes::from_static(b"0123456789");
        assert_eq!(chunks_of(&short, &[0..2, 2..6]), [(6, true)], "most of the bytes");
    }

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
        let mut deliveries = Deliveries::default();
        let all = Picked { range: 0..bytes.len(), first: 0, frames: 2, messages: 2 };
        let mut to = ToGroup { group: GroupId(0), stretches: Selection::default(), bytes: 0 };
        to.add(deliveries.add(all, 2), bytes.len());
        let mut cutter = Cutter::new(&bytes, Messages::Native(&spans), &deliveries);
        let mut chunks = Vec::new();
        for (encoding, frames, untold) in
            [(Encoding::NativeRuns, 2, 0), (Encoding::Native, 3, 0), (Encoding::Zmtp, 2, 7)]
        {
            let counted = cutter.cut(&to, encoding, &mut chunks);
            let [chunk] = &chunks[..] else { panic!("one piece is one chunk") };
            assert_eq!((chunk.frames, chunk.messages, counted), (frames, 2, untold), "{encoding:?}");
        }
        assert_eq!(cutter.translated.len(), 2, "one of them reads it as it came");
    }
}
