//! Owns the brokers of a cluster, the engine between them, and the steps that move them.

use std::time::Duration;

use corecast::internals::carrier::{Engine, EngineConfig, StoredHistory};
use corecast::internals::limits::{KEEP_AGE_DEFAULT, KEEP_BYTES_DEFAULT};
use corecast::internals::shard::{KeepRule, Retention, ShardConfig};
use corecast::{Filter, OverflowPolicy, QueueBounds};
use corecast_executors::{MonotonicNs, TICK};

use super::guest::Guest;
use super::house::House;
use super::server::{Server, Trouble};

/// Rounds in which a world of this size is at rest, many times over.
const ROUNDS_MAX: usize = 100_000;

/// The interval at which engines hear of time.
const ENGINE_TICK: Duration = Duration::from_millis(100);

/// The settings of all brokers and of the engine.
#[derive(Clone, Debug)]
pub(super) struct Cluster {
    pub(super) shards: Vec<usize>,
    pub(super) trouble: Trouble,
    pub(super) seed: u64,
    pub(super) buffer_bytes_max: usize,
    /// Filters of which a broker tells the others.
    pub(super) filters_max: usize,
    /// The queues of clients.
    pub(super) client_bounds: QueueBounds,
    pub(super) link_items: usize,
    /// Topics that may cross.
    pub(super) topics: Vec<Filter>,
    /// The history that all keep.
    pub(super) keep: Vec<KeepRule>,
    /// It is stored at the engine as well.
    pub(super) stores: bool,
}

impl Default for Cluster {
    fn default() -> Self {
        Cluster {
            shards: vec![2, 1, 2],
            trouble: Trouble::default(),
            seed: 0,
            buffer_bytes_max: 1 << 20,
            filters_max: 1_000,
            client_bounds: QueueBounds::default(),
            link_items: 8,
            topics: Vec::new(),
            keep: Vec::new(),
            stores: false,
        }
    }
}

/// All brokers.
pub(super) struct Brokers {
    setting: Cluster,
    pub(super) houses: Vec<House<Engine>>,
    pub(super) server: Server,
    /// The clock of shards, and that of engines, which goes faster: their clients need not say that they live.
    now: MonotonicNs,
    engine_now: MonotonicNs,
    starts: u64,
}

impl Brokers {
    /// Brokers that have found each other.
    pub(super) fn new(setting: &Cluster) -> Brokers {
        let now = MonotonicNs(1);
        let brokers = setting.shards.len();
        let houses = (0..brokers).map(|side| build(setting, side, side as u64 + 1, (now, now))).collect();
        let mut all = Brokers {
            setting: setting.clone(),
            houses,
            server: Server::new(brokers, setting.trouble, setting.seed),
            now,
            engine_now: now,
            starts: brokers as u64,
        };
        all.wait(10);
        all
    }

    pub(super) fn guest(&mut self, (side, guest): (usize, usize)) -> &mut Guest {
        &mut self.houses[side].guests[guest]
    }

    pub(super) fn engine(&mut self, side: usize) -> &mut Engine {
        &mut self.houses[side].carrier
    }

    /// A client that has said hello.
    pub(super) fn welcome(&mut self, side: usize, shard: usize) -> (usize, usize) {
        (side, self.houses[side].welcome(shard, OverflowPolicy::DropOldest))
    }

    /// A client that has subscribed and was answered.
    pub(super) fn open(&mut self, side: usize, shard: usize, filters: &[&str]) -> (usize, usize) {
        let guest = self.welcome(side, shard);
        for filter in filters {
            self.guest(guest).ask(filter, true);
        }
        self.rest();
        for _ in 0..600 {
            if self.guest(guest).done.len() < filters.len() {
                self.wait(1);
            }
        }
        assert_eq!(self.guest(guest).done.len(), filters.len());
        guest
    }

    /// Publishes one message and lets its shard read it.
    pub(super) fn publish(&mut self, (side, guest): (usize, usize), topic: &str, number: u64) {
        self.guest((side, guest)).publish(topic, number, b"payload");
        self.houses[side].read(guest, usize::MAX);
    }

    /// Time goes on for all.
    pub(super) fn tick(&mut self) {
        self.now = self.now + TICK;
        self.engine_now = self.engine_now + ENGINE_TICK;
        for (side, house) in self.houses.iter_mut().enumerate() {
            house.tick(self.now);
            self.server.connect(side, &mut house.carrier, self.engine_now);
            house.carrier.on_tick(self.engine_now);
        }
    }

    /// Much time goes on for engines, and little for the clients of shards.
    pub(super) fn wait_long(&mut self, ticks: usize) {
        let now = self.now;
        for _ in 0..ticks {
            self.now = now;
            self.wait(1);
        }
    }

    /// Time goes on by ticks, and all comes to rest behind each.
    pub(super) fn wait(&mut self, ticks: usize) {
        for _ in 0..ticks {
            self.tick();
            self.rest();
        }
    }

    /// Breaks the connection of a broker.
    pub(super) fn cut(&mut self, side: usize, stays_cut: bool) {
        self.server.cut(side, &mut self.houses[side].carrier, stays_cut);
    }

    /// A broker is gone without a word, and another comes in its place.
    pub(super) fn restart(&mut self, side: usize) {
        self.cut(side, false);
        self.starts += 1;
        self.houses[side] = build(&self.setting, side, self.starts, (self.now, self.engine_now));
    }

    /// One step between a broker and the server. `false`: there was nothing to do.
    pub(super) fn step(&mut self, side: usize, which: u32) -> bool {
        let engine = &mut self.houses[side].carrier;
        match which {
            0 => self.server.send(side, engine),
            1 => self.server.carry(side),
            2 => self.server.deliver(side),
            _ => {
                let came = self.server.read(side, engine);
                self.server.look(side, engine);
                came
            }
        }
    }

    /// Everything moves until nothing does.
    pub(super) fn rest(&mut self) {
        for _ in 0..ROUNDS_MAX {
            let mut moved = false;
            for side in 0..self.houses.len() {
                moved |= self.houses[side].go_on();
                for which in 0..4 {
                    moved |= self.step(side, which);
                }
            }
            if !moved {
                assert!(self.server.is_empty());
                return;
            }
        }
        unreachable!("it never comes to rest");
    }

    /// Mends all, and waits until nothing that was lost is untold.
    pub(super) fn mend(&mut self) {
        self.server.calm();
        for side in 0..self.houses.len() {
            self.server.mend(side);
        }
        self.wait(400);
    }
}

fn stores(setting: &Cluster) -> Vec<StoredHistory> {
    let rules = setting.keep.iter().filter(|_| setting.stores);
    let stored = |rule: &KeepRule| StoredHistory {
        filter: rule.filter.clone(),
        age: KEEP_AGE_DEFAULT,
        bytes: 1 << 30,
        of_each: None,
        is_confirmed: rule.is_confirmed,
    };
    rules.map(stored).collect()
}

fn build(
    setting: &Cluster,
    side: usize,
    start: u64,
    (now, engine_now): (MonotonicNs, MonotonicNs),
) -> House<Engine> {
    let config = ShardConfig {
        carriers_meet: true,
        carriers_store: setting.stores,
        shards: setting.shards[side],
        bounds: setting.client_bounds,
        overflow: OverflowPolicy::Block,
        epoch: start,
        retention: Retention::new(setting.keep.clone(), KEEP_BYTES_DEFAULT, KEEP_AGE_DEFAULT)
            .expect("few rules"),
        ..ShardConfig::default()
    };
    let engine = EngineConfig {
        shards: config.shards,
        start,
        name: format!("broker-{side}").into(),
        cluster: "sim".into(),
        topics: setting.topics.clone(),
        keep: setting.keep.iter().map(|rule| rule.filter.clone()).collect(),
        stores: stores(setting),
        buffer_bytes_max: setting.buffer_bytes_max,
        filters_max: setting.filters_max,
        frame_bytes_max: config.frame_bytes_max,
    };
    House::new(&config, Engine::new(engine, engine_now), setting.link_items, now)
}
