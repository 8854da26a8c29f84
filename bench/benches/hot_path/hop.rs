//! The way from a publisher's shard to another: the publisher's read made a batch, and batches through the link. What
//! the other shard does with one is in `route` and `egress`.

use std::hint::black_box;

use corecast::QueueBounds;
use corecast::internals::carrier::LinkItem;
use corecast::internals::ids::SessionId;
use corecast::internals::limits::{LINK_ITEMS_MAX, LINK_ITEMS_PER_TURN};
use corecast_executors::{Inbox, Link};

use crate::case::Measured;
use crate::rig::{FAR, NEAR, Rig, filter, messages};
use crate::wire::{full_read, read_of_runs};

/// Batches that wait when the link gets its turn: one more, and the publisher would be held.
pub(crate) const BATCHES: u64 = LINK_ITEMS_PER_TURN as u64;
/// Messages of each of them.
const MESSAGES: u64 = 16;

pub(crate) fn batch() -> Box<dyn Measured> {
    let (near, publisher) = near_with_publisher();
    Box::new(Batching { near, publisher, read: full_read(64) })
}

pub(crate) fn batch_of_runs() -> Box<dyn Measured> {
    let (near, publisher) = near_with_publisher();
    Box::new(Batching { near, publisher, read: read_of_runs() })
}

pub(crate) fn link() -> Box<dyn Measured> {
    let (near, publisher) = near_with_publisher();
    let (link, inbox) = corecast_executors::link(LINK_ITEMS_MAX);
    Box::new(Hop { near, publisher, read: messages(MESSAGES, 64), link, inbox })
}

/// The far shard wants what the publisher says, and nobody here.
fn near_with_publisher() -> (Rig, SessionId) {
    let mut near = Rig::new(NEAR, QueueBounds::default());
    near.interest(FAR, &filter("prices.>"), true);
    let publisher = near.open();
    (near, publisher)
}

/// A publisher's turn: space for a read, the read (a copy, in place of the kernel's), and what it brought split, routed
/// and waiting for the link as a batch.
struct Batching {
    near: Rig,
    publisher: SessionId,
    read: Vec<u8>,
}

impl Measured for Batching {
    fn restore(&mut self) {
        self.near.take_links();
    }

    fn run(&mut self) {
        self.near.say(self.publisher, &self.read);
    }
}

/// Messages that go into the link and come out of it.
struct Hop {
    near: Rig,
    publisher: SessionId,
    read: Vec<u8>,
    link: Link<LinkItem>,
    inbox: Inbox<LinkItem>,
}

impl Measured for Hop {
    fn restore(&mut self) {
        for _ in 0..BATCHES {
            self.near.say(self.publisher, &self.read);
        }
        assert!(!self.near.shard.sessions().is_held(self.publisher), "the link is not backed up");
    }

    fn run(&mut self) {
        while let Some(to) = self.near.shard.outbox().links.pop() {
            while let Some(item) = self.near.shard.links_mut().next(to) {
                self.link.try_send(item).expect("a link holds more than a turn's items");
            }
            self.near.shard.on_link_room(to);
        }
        while let Some(item) = self.inbox.try_recv() {
            black_box(item);
        }
    }
}
