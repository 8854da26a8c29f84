//! The carrier for tests: two ends of a joint in one process. Parcels cross in memory, over a connection that has room for
//! few and can be cut at any time.

use std::collections::VecDeque;

use corecast_executors::MonotonicNs;

use super::joint::Joint;
use super::parcel::Parcel;

/// One of the two ends.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Side {
    /// The first.
    A,
    /// The second.
    B,
}

impl Side {
    /// The other end.
    pub fn other(self) -> Side {
        match self {
            Side::A => Side::B,
            Side::B => Side::A,
        }
    }
}

/// A connection between two ends.
pub struct Loopback {
    /// Parcels under way, by the side that they come from.
    under_way: [VecDeque<Parcel>; 2],
    /// Most parcels under way in one direction.
    room: usize,
    is_up: bool,
    /// True if no attempt succeeds.
    is_cut: bool,
}

impl Loopback {
    /// A connection that is not made yet, with room for so many parcels in each direction.
    pub fn new(room: usize) -> Self {
        Loopback { under_way: [VecDeque::new(), VecDeque::new()], room, is_up: false, is_cut: false }
    }

    /// Tries to connect, if one of the ends wants it, and reports the outcome to the ends. `false`: none wanted it, or the
    /// connection is there.
    pub fn connect(&mut self, a: &mut Joint, b: &mut Joint, now: MonotonicNs) -> bool {
        let ends = [a, b];
        if self.is_up || !ends.iter().any(|end| end.wants_connection(now)) {
            return false;
        }
        self.is_up = !self.is_cut;
        for end in ends {
            if self.is_up {
                end.on_connected();
            } else if end.wants_connection(now) {
                end.on_lost(now);
            }
        }
        true
    }

    /// Cuts the connection: the parcels under way are lost, and no attempt succeeds until it is mended.
    pub fn cut(&mut self, a: &mut Joint, b: &mut Joint, now: MonotonicNs) {
        self.is_cut = true;
        self.under_way.iter_mut().for_each(VecDeque::clear);
        if std::mem::take(&mut self.is_up) {
            a.on_lost(now);
            b.on_lost(now);
        }
    }

    /// Lets the next attempt succeed.
    pub fn mend(&mut self) {
        self.is_cut = false;
    }

    /// Sends one parcel of an end. `false`: it has none, or there is no room.
    pub fn send(&mut self, from: Side, end: &mut Joint) -> bool {
        let under_way = &mut self.under_way[from as usize];
        if !self.is_up || under_way.len() >= self.room {
            return false;
        }
        let Some(parcel) = end.next_parcel() else { return false };
        under_way.push_back(parcel);
        true
    }

    /// Gives an end the next parcel of the other. Returns it, if there was one.
    pub fn receive(&mut self, to: Side, end: &mut Joint) -> Option<Parcel> {
        let parcel = self.under_way[to.other() as usize].pop_front()?;
        end.on_parcel(parcel.clone()).expect("the other end keeps to the rules");
        Some(parcel)
    }

    /// True if nothing is under way.
    pub fn is_empty(&self) -> bool {
        self.under_way.iter().all(VecDeque::is_empty)
    }
}
