//! Registrations of other brokers, which come from a carrier, and those of this one, which go there.

use super::*;
use crate::ids::Neighbour;

const LEASE: Duration = Duration::from_secs(9);

/// Two shards and a carrier behind them.
const CARRIER: Neighbour = Neighbour(2);

fn joined() -> Rig {
    let modes = Arc::new(ModeRules::new(Vec::new(), Mode::Direct).unwrap());
    Rig::new(&ShardConfig { shards: 2, carriers: 1, modes, ..ShardConfig::default() })
}

/// The changes of the registry that the carrier was told.
fn announced(rig: &mut Rig) -> String {
    let mut told = Vec::new();
    for shard in 0..2 {
        while let Some(item) = rig.shards[shard].links_mut().next(CARRIER) {
            match item {
                LinkItem::Registry { change: RegistryChange::Up(up, _), .. } => {
                    told.push(format!("+{}.{}", up.publisher.0, up.epoch));
                }
                LinkItem::Registry { change: RegistryChange::Down(gone), .. } => {
                    told.push(format!("-{}.{}", gone.publisher.0, gone.epoch));
                }
                _ => {}
            }
        }
    }
    told.join(" ")
}

fn far(rig: &mut Rig, change: RegistryChange) {
    rig.shards[0].on_link(CARRIER, LinkItem::Registry { change, lease: LEASE });
    rig.travel();
}

fn up(publisher: u64, epoch: u64, topic: &str) -> RegistryChange {
    let registration = Registration {
        publisher: PublisherId(publisher),
        epoch,
        endpoints: vec!["tcp://10.9.0.1:1".parse().unwrap()],
        topics: vec![Filter::parse(topic).unwrap()],
    };
    RegistryChange::Up(Arc::new(registration), Arc::new(Identity::Elsewhere(None)))
}

fn down(publisher: u64, epoch: u64) -> RegistryChange {
    RegistryChange::Down(Gone { publisher: PublisherId(publisher), epoch, reason: GoneReason::Expired })
}

#[test]
fn publishers_of_other_brokers_are_introduced_listed_and_gone_with_their_word() {
    let mut rig = joined();
    let (here, watching) = (open(&mut rig, 0), open(&mut rig, 1));
    rig.say(1, watching, &[watch("a", 1)]);
    say_register(&mut rig, 0, here, 5, 1, "a");
    rig.travel();
    far(&mut rig, up(3, 7, "a"));
    far(&mut rig, up(9, 1, "b"));
    assert_eq!(rig.hears(1, watching), "!1 +5.1 +3.7");
    assert_eq!(announced(&mut rig), "+5.1", "those of others do not go back");
    let lists = open(&mut rig, 1);
    rig.say(1, lists, &[Frame::ListPublishers { request: 4 }]);
    rig.travel();
    assert_eq!(rig.hears(1, lists), "+3.7 +5.1 +9.1 !4", "in order");
    far(&mut rig, down(3, 6));
    assert_eq!(rig.hears(1, watching), "", "of an epoch that is over");
    far(&mut rig, down(3, 7));
    assert_eq!(rig.hears(1, watching), "x3.7");
    rig.say(0, here, &[Frame::Unregister { publisher: 5, epoch: 1 }]);
    rig.travel();
    assert_eq!((rig.hears(1, watching), announced(&mut rig)), ("-5.1".into(), "-5.1".into()));
}

#[test]
fn one_that_has_moved_is_known_by_its_registration_here_for_as_long_as_that_lasts() {
    let mut rig = joined();
    let (here, watching) = (open(&mut rig, 0), open(&mut rig, 1));
    rig.say(1, watching, &[watch("a", 1)]);
    far(&mut rig, up(5, 1, "a"));
    say_register(&mut rig, 0, here, 5, 2, "a");
    rig.travel();
    assert_eq!(rig.hears(1, watching), "!1 +5.1 +5.2");
    far(&mut rig, up(5, 3, "a"));
    assert_eq!(rig.hears(1, watching), "", "it is known here");
    let lists = open(&mut rig, 1);
    rig.say(1, lists, &[Frame::ListPublishers { request: 4 }]);
    rig.travel();
    assert_eq!(rig.hears(1, lists), "+5.2 !4", "once");
    rig.say(0, here, &[Frame::Unregister { publisher: 5, epoch: 2 }]);
    rig.travel();
    assert_eq!(rig.hears(1, watching), "+5.3", "and there from now on");
    far(&mut rig, down(5, 3));
    assert_eq!(rig.hears(1, watching), "x5.3");
}

#[test]
fn nobody_here_takes_the_number_of_another_users_publisher_elsewhere() {
    let mut rig = joined();
    let here = open(&mut rig, 0);
    let RegistryChange::Up(registration, _) = up(5, 1, "a") else { unreachable!() };
    far(&mut rig, RegistryChange::Up(registration, Arc::new(Identity::Elsewhere(Some("desk".into())))));
    say_register(&mut rig, 0, here, 5, 2, "a");
    rig.travel();
    assert_eq!(rig.hears(0, here), "not_permitted");
    assert_eq!(announced(&mut rig), "");
}
