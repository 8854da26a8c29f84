//! Owns two brokers, the connection between them, and the steps that move them.

use corecast::internals::carrier::{Crossed, Joint, JointConfig, Loopback, Parcel, Side};
use corecast::internals::shard::ShardConfig;
use corecast::internals::wire::Features;
use corecast::{OverflowPolicy, QueueBounds};
use corecast_executors::{MonotonicNs, TICK};

use super::guest::Guest;
use super::house::House;

/// Rounds in which a world of this size is at rest, many times over.
const ROUNDS_MAX: usize = 50_000;

/// The settings of both brokers and of the joint.
#[derive(Clone, Debug)]
pub(super) struct Setting {
    pub(super) shards: [usize; 2],
    /// The queues of the joint.
    pub(super) overflow: OverflowPolicy,
    pub(super) bounds: QueueBounds,
    /// The queues of clients.
    pub(super) client_bounds: QueueBounds,
    /// Items that a link between neighbours holds, and parcels that the connection holds.
    pub(super) link_items: usize,
    pub(super) parcels: usize,
    /// The features that each end of the joint offers.
    pub(super) features: [Features; 2],
}

impl Default for Setting {
    fn default() -> Self {
        Setting {
            shards: [2, 3],
            overflow: OverflowPolicy::DropOldest,
            bounds: QueueBounds::default(),
            client_bounds: QueueBounds::default(),
            link_items: 8,
            parcels: 4,
            features: [Features::OURS; 2],
        }
    }
}

/// Both brokers.
pub(super) struct Pair {
    setting: Setting,
    pub(super) houses: [House<Joint>; 2],
    pub(super) loopback: Loopback,
    pub(super) now: MonotonicNs,
    /// Parcels of interest that have reached each side: the filter, and whether it is wanted.
    pub(super) interest: [Vec<(String, bool)>; 2],
    starts: u64,
}

/// The sides in the order of their houses.
pub(super) const SIDES: [Side; 2] = [Side::A, Side::B];

impl Pair {
    pub(super) fn new(setting: &Setting) -> Pair {
        let now = MonotonicNs(1);
        let house = |side: usize| build(setting, side, side as u64 + 1, now);
        Pair {
            setting: setting.clone(),
            houses: [house(0), house(1)],
            loopback: Loopback::new(setting.parcels),
            now,
            interest: [Vec::new(), Vec::new()],
            starts: 2,
        }
    }

    pub(super) fn guest(&mut self, (side, guest): (usize, usize)) -> &mut Guest {
        &mut self.houses[side].guests[guest]
    }

    /// A client that has subscribed, if to anything, and was answered; it keeps books from then on.
    pub(super) fn open(&mut self, side: usize, shard: usize, filters: &[&str]) -> (usize, usize) {
        let guest = (side, self.houses[side].welcome(shard, OverflowPolicy::DropOldest));
        self.guest(guest).is_told_early = self.setting.overflow == OverflowPolicy::Latest;
        for filter in filters {
            self.guest(guest).ask(filter, true);
        }
        self.rest();
        assert_eq!(self.guest(guest).done.len(), filters.len());
        guest
    }

    /// Publishes one message and lets its shard read it.
    pub(super) fn publish(&mut self, (side, guest): (usize, usize), topic: &str, number: u64) {
        self.guest((side, guest)).publish(topic, number, b"payload");
        self.houses[side].read(guest, usize::MAX);
    }

    /// Time goes on, by one tick.
    pub(super) fn tick(&mut self) {
        self.now = self.now + TICK;
        self.houses.iter_mut().for_each(|house| house.tick(self.now));
        let [a, b] = &mut self.houses;
        self.loopback.connect(&mut a.carrier, &mut b.carrier, self.now);
    }

    pub(super) fn cut(&mut self) {
        let [a, b] = &mut self.houses;
        self.loopback.cut(&mut a.carrier, &mut b.carrier, self.now);
    }

    /// Mends the connection and waits until the ends have found each other.
    pub(super) fn mend(&mut self) {
        self.loopback.mend();
        for _ in 0..100 {
            self.tick();
        }
    }

    /// The second broker is gone, and another comes in its place.
    pub(super) fn restart_second(&mut self) {
        self.cut();
        self.starts += 1;
        self.houses[1] = build(&self.setting, 1, self.starts, self.now);
    }

    /// One parcel leaves an end. `false`: none, or there is no room.
    pub(super) fn send_parcel(&mut self, side: usize) -> bool {
        self.loopback.send(SIDES[side], &mut self.houses[side].carrier)
    }

    /// One parcel reaches an end. `false`: there was none.
    pub(super) fn receive_parcel(&mut self, side: usize) -> bool {
        let came = self.loopback.receive(SIDES[side], &mut self.houses[side].carrier);
        if let Some(Parcel::Interest { filter, wanted }) = &came {
            self.interest[side].push((filter.to_string(), *wanted));
        }
        came.is_some()
    }

    /// Everything moves until nothing does.
    pub(super) fn rest(&mut self) {
        for _ in 0..ROUNDS_MAX {
            let mut moved = false;
            for side in 0..2 {
                moved |= self.houses[side].go_on();
                moved |= self.send_parcel(side);
                moved |= self.receive_parcel(side);
            }
            if !moved {
                return;
            }
        }
        unreachable!("it never comes to rest");
    }

    pub(super) fn crossed(&self, side: usize) -> Crossed {
        self.houses[side].carrier.crossed()
    }
}

fn build(setting: &Setting, side: usize, origin: u64, now: MonotonicNs) -> House<Joint> {
    let config = ShardConfig {
        shards: setting.shards[side],
        bounds: setting.client_bounds,
        overflow: OverflowPolicy::Block,
        epoch: origin,
        ..ShardConfig::default()
    };
    let joint = JointConfig {
        shards: config.shards,
        origin,
        overflow: setting.overflow,
        bounds: setting.bounds,
        frame_bytes_max: config.frame_bytes_max,
        features: setting.features[side],
    };
    House::new(&config, Joint::new(joint, now), setting.link_items, now)
}
