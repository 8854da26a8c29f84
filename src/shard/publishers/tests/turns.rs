//! Work that is bounded by what a registration concerns, and done in turns.

use super::*;

#[test]
fn a_registration_is_no_work_for_the_watches_of_others() {
    let mut rig = direct(1);
    let (publisher, rich) = (open(&mut rig, 0), open(&mut rig, 0));
    let filters: Vec<String> = (0..20_000).map(|n| format!("t.{n}")).collect();
    for some in filters.chunks(500) {
        let frames: Vec<Frame<'_>> =
            some.iter().map(|filter| watch(filter, filter[2..].parse().unwrap())).collect();
        rig.say(0, rich, &frames);
        hears_all(&mut rig, 0, rich);
    }
    rig.shards[0].base.turn.begin();
    say_register(&mut rig, 0, publisher, 1, 1, "t.77\nt.78\nu.*\n*.79");
    assert!(rig.shards[0].base.turn.spent() < 200, "{} steps", rig.shards[0].base.turn.spent());
    assert_eq!(rig.hears(0, rich), "+1.1");
    rig.say(0, rich, &[Frame::UnwatchPublishers { request: 78 }]);
    say_register(&mut rig, 0, publisher, 2, 1, "t.78");
    assert_eq!(rig.hears(0, rich), "");
}

#[test]
fn a_session_with_very_many_watches_leaves_in_turns() {
    let modes = Arc::new(ModeRules::new(Vec::new(), Mode::Direct).unwrap());
    let mut rig = Rig::new(&ShardConfig { modes, turn_steps_max: 100, ..ShardConfig::default() });
    let (publisher, leaves, stays) = (open(&mut rig, 0), open(&mut rig, 0), open(&mut rig, 0));
    let filters: Vec<String> = (0..500).map(|n| format!("t.{n}")).collect();
    let frames: Vec<Frame<'_>> =
        filters.iter().map(|filter| watch(filter, filter[2..].parse().unwrap())).collect();
    rig.say(0, leaves, &frames);
    rig.say(0, stays, &[watch("t.499", 1)]);
    let _ = rig.shards[0].on_closed(leaves, None);
    assert!(
        rig.shards[0].publishers.has_leaving() && rig.shards[0].wants_tick(),
        "a turn is too short for all"
    );
    say_register(&mut rig, 0, publisher, 1, 1, "t.499");
    assert_eq!(rig.hears(0, stays), "!1 +1.1");
    let mut ticks = 0;
    while rig.shards[0].publishers.has_leaving() {
        rig.wait(corecast_executors::TICK);
        ticks += 1;
    }
    assert!(ticks > 5, "{ticks}");
    let (found, _) = rig.shards[0].publishers.filters.overlapping(&Filter::parse(">").unwrap());
    assert_eq!(found, [stays]);
}

#[test]
fn confirmations_of_changes_are_one_where_none_has_left_yet() {
    let mut rig = direct(2);
    let publisher = open(&mut rig, 0);
    for number in 0..100 {
        say_register(&mut rig, 0, publisher, number, 1, "a");
    }
    while rig.travel_once(0, 1) {}
    let answers = std::iter::from_fn(|| rig.shards[1].links_mut().next(ShardId(0))).count();
    assert_eq!(answers, 1);
}
