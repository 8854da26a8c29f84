//! Subscriptions that one client asks for in a row, each for itself, at a shard of two that then tells the other.

use corecast::QueueBounds;
use corecast::internals::ids::SessionId;
use corecast::internals::wire::{Frame, encode};

use crate::case::Measured;
use crate::rig::{NEAR, Rig};

/// Filters of the session that has many.
const MANY: u64 = 100_000;
/// Filters that are asked for in one iteration.
pub(crate) const FEW: u64 = 100;

/// The first filters of a session, among sessions that have as many each.
pub(crate) fn first() -> Box<dyn Measured> {
    let mut rig = Rig::new(NEAR, QueueBounds::default());
    for other in 0..100 {
        let id = rig.open();
        rig.say_all(id, &subscriptions(other * FEW..(other + 1) * FEW, true));
    }
    Box::new(Subscribing::new(rig, None, MANY))
}

/// The last of very many filters of one session.
pub(crate) fn last() -> Box<dyn Measured> {
    let mut rig = Rig::new(NEAR, QueueBounds::default());
    let id = rig.open();
    rig.say_all(id, &subscriptions(0..MANY, true));
    Box::new(Subscribing::new(rig, Some(id), MANY))
}

struct Subscribing {
    rig: Rig,
    id: SessionId,
    /// Its filters are taken back after each iteration; else it is a new session each time.
    stays: bool,
    words: Vec<u8>,
    words_back: Vec<u8>,
}

impl Subscribing {
    /// The session that is to subscribe, or a new one each time, and the number of its first filter.
    fn new(mut rig: Rig, id: Option<SessionId>, from: u64) -> Self {
        let stays = id.is_some();
        let id = id.unwrap_or_else(|| rig.open());
        let numbers = from..from + FEW;
        Subscribing {
            rig,
            id,
            stays,
            words: subscriptions(numbers.clone(), true),
            words_back: subscriptions(numbers, false),
        }
    }
}

impl Measured for Subscribing {
    fn restore(&mut self) {
        self.rig.confirm();
        if self.stays {
            self.rig.say_all(self.id, &self.words_back);
        } else {
            self.rig.close(self.id);
            self.id = self.rig.open();
        }
    }

    fn run(&mut self) {
        self.rig.say(self.id, &self.words);
    }
}

/// Subscriptions to the filters of these numbers, or their ends.
fn subscriptions(numbers: std::ops::Range<u64>, wanted: bool) -> Vec<u8> {
    let mut words = Vec::new();
    for number in numbers {
        // As far apart as filters of one session are that were not sorted.
        let text = format!("prices.{:05}.usd", number * 7_919 % (2 * MANY));
        let (filter, request, subscriber, kind) = (text.as_bytes(), 1, 1, 1);
        let frame = match wanted {
            true => Frame::Subscribe { filter, request, subscriber, kind },
            false => Frame::Unsubscribe { filter, request, subscriber, kind },
        };
        encode(&frame, &mut words);
    }
    words
}
