//! A batch into the queues of an egress group, and out of them again.

use corecast::QueueBounds;
use corecast::internals::carrier::LinkItem;

use crate::case::Measured;
use crate::rig::{FAR, NEAR, Rig, batch_of, messages};

/// Sessions of the group.
pub(crate) const SESSIONS: u64 = 512;
/// Messages of a batch, which has one topic.
const MESSAGES: u64 = 16;
/// Batches that a queue takes before the oldest give way.
const BATCHES_MAX: usize = 8;

pub(crate) fn offer_to_one() -> Box<dyn Measured> {
    Box::new(Offering(Group::new(1, QueueBounds::default())))
}

pub(crate) fn offer() -> Box<dyn Measured> {
    Box::new(Offering(Group::new(SESSIONS, QueueBounds::default())))
}

pub(crate) fn overflow() -> Box<dyn Measured> {
    let frames_max = BATCHES_MAX * MESSAGES as usize;
    let mut group = Group::new(SESSIONS, QueueBounds { frames_max, ..QueueBounds::default() });
    (0..BATCHES_MAX).for_each(|_| group.offer());
    Box::new(Overflowing(group))
}

pub(crate) fn flush() -> Box<dyn Measured> {
    Box::new(Flushing(Group::new(SESSIONS, QueueBounds::default())))
}

/// Sessions with one filter.
struct Group {
    rig: Rig,
    batch: LinkItem,
}

impl Group {
    fn new(sessions: u64, bounds: QueueBounds) -> Self {
        let mut rig = Rig::new(FAR, bounds);
        (0..sessions).for_each(|_| rig.open_subscriber("prices.>"));
        Group { rig, batch: batch_of(&messages(MESSAGES, 64)) }
    }

    fn offer(&mut self) {
        self.rig.shard.on_link(NEAR, self.batch.clone());
    }
}

/// The queues are empty: the batch goes in.
struct Offering(Group);

impl Measured for Offering {
    fn restore(&mut self) {
        self.0.rig.flush();
    }

    fn run(&mut self) {
        self.0.offer();
    }
}

/// The queues are full: the oldest batch gives way to this one. Nothing is ever sent.
struct Overflowing(Group);

impl Measured for Overflowing {
    fn restore(&mut self) {}

    fn run(&mut self) {
        self.0.offer();
    }
}

/// A batch is in every queue: it goes out.
struct Flushing(Group);

impl Measured for Flushing {
    fn restore(&mut self) {
        self.0.offer();
    }

    fn run(&mut self) {
        self.0.rig.flush();
    }
}
