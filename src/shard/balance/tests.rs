//! Tests of the decision to move sessions.

use super::super::config::ShardConfig;
use super::super::moving::Moving;
use super::super::rig::Rig;
use super::*;
use crate::fanout::OverflowPolicy;
use crate::limits::{MOVED_SESSIONS_MAX, RUN_DELAY_PERIOD};

const PERIOD: Duration = RUN_DELAY_PERIOD;

/// Time passes, in which the first shard runs and waits for so much of each period, in percent. Sessions that can leave do.
fn pass(rig: &mut Rig, time: Duration, runs: u32, waits: u32) {
    for _ in 0..time.as_millis() / PERIOD.as_millis() {
        Moving::of(&mut rig.shards[0]).read(PERIOD, PERIOD * runs / 100, PERIOD * waits / 100);
        rig.wait(PERIOD);
        rig.travel();
        let mut left = Vec::new();
        for shard in &mut rig.shards {
            for id in shard.sessions().ids() {
                left.extend(Moving::of(shard).leave(id));
            }
        }
        rig.travel();
        for (to, place) in left {
            Moving::of(&mut rig.shards[usize::from(to.0)]).connect(place);
        }
    }
}

fn sessions(rig: &Rig) -> Vec<usize> {
    rig.shards.iter().map(|shard| shard.sessions().len()).collect()
}

/// Two shards, with so many sessions on the first.
fn rig(opened: usize, moves: bool) -> Rig {
    // They say nothing all the time.
    let heartbeat = RETURN_AFTER_MAX;
    let mut rig = Rig::new(&ShardConfig { shards: 2, moves, heartbeat, ..ShardConfig::default() });
    for _ in 0..opened {
        rig.open(0, OverflowPolicy::DropOldest);
    }
    rig
}

#[test]
fn a_starved_shard_gives_all_away_and_gets_them_back_when_it_has_had_room_for_long() {
    let opened = MOVED_SESSIONS_MAX + 3;
    let mut rig = rig(opened, true);
    pass(&mut rig, STARVED_FOR * 3, 1, 70);
    assert_eq!(sessions(&rig), [0, opened]);
    assert!(Moving::of(&mut rig.shards[1]).is_avoided(ShardId(0)));
    assert_eq!(rig.shards[0].counters().starved, 1);
    assert_eq!(rig.shards[1].counters().sessions_moved, opened as u64);
    pass(&mut rig, RETURN_AFTER - STARVED_FOR, 0, 0);
    assert_eq!(sessions(&rig), [0, opened], "not at once");
    pass(&mut rig, STARVED_FOR * 10, 0, 0);
    assert_eq!(sessions(&rig), [opened, 0]);
    assert_eq!(rig.shards[0].counters().starved, 0);
    // The next time they are away for longer.
    pass(&mut rig, STARVED_FOR * 3, 1, 70);
    assert_eq!(sessions(&rig), [0, opened]);
    pass(&mut rig, RETURN_AFTER + STARVED_FOR * 10, 0, 0);
    assert_eq!(sessions(&rig), [0, opened], "no sooner than after twice the time");
    pass(&mut rig, RETURN_AFTER, 0, 0);
    assert_eq!(sessions(&rig), [opened, 0]);
    // Long ago it does not count any more.
    pass(&mut rig, RETURN_AFTER_MAX, 0, 0);
    pass(&mut rig, STARVED_FOR * 3, 1, 70);
    assert_eq!(sessions(&rig), [0, opened]);
    pass(&mut rig, RETURN_AFTER + STARVED_FOR * 10, 0, 0);
    assert_eq!(sessions(&rig), [opened, 0]);
}

#[test]
fn nobody_moves_for_a_burst_nor_for_a_neighbour_that_leaves_a_fair_share_nor_if_it_is_off() {
    let mut rig = rig(3, true);
    pass(&mut rig, STARVED_FOR / 2, 1, 95);
    pass(&mut rig, STARVED_FOR * 10, 50, 50);
    assert_eq!(sessions(&rig), [3, 0]);
    let mut rig = self::rig(3, false);
    pass(&mut rig, STARVED_FOR * 10, 1, 95);
    assert_eq!(sessions(&rig), [3, 0]);
}

#[test]
fn nobody_moves_to_a_shard_that_has_no_room_itself() {
    for (runs, waits) in [(0, 90), (80, 0), (10, 20)] {
        let mut rig = rig(3, true);
        for _ in 0..50 {
            Moving::of(&mut rig.shards[1]).read(PERIOD, PERIOD * runs / 100, PERIOD * waits / 100);
        }
        rig.travel();
        pass(&mut rig, STARVED_FOR * 5, 1, 95);
        assert_eq!(sessions(&rig), [3, 0], "it runs {runs} %, waits {waits} %");
        assert!(!Moving::of(&mut rig.shards[1]).is_avoided(ShardId(0)), "new ones find no better place");
    }
}
