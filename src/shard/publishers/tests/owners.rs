//! Registrations and the users who have made them.

use super::*;
use crate::auth::{Permissions, Proof, TicketSigner, Users};
use crate::shard::Door;
use crate::wire::Features;

#[test]
fn a_registration_belongs_to_the_user_who_has_made_it() {
    let text = "[[user]]\nname = 'a'\nuids = [1]\nregister = ['>']\nsubscribe = ['>']\n\
                [[user]]\nname = 'b'\nuids = [2]\nregister = ['>']\n";
    let permissions = Permissions::of_users(Users::parse(text).expect("users"));
    let tickets = TicketSigner::fresh().expect("random bytes").map(Arc::new);
    let modes = Arc::new(ModeRules::new(Vec::new(), Mode::Direct).unwrap());
    let mut rig = Rig::new(&ShardConfig { shards: 2, modes, permissions, tickets, ..ShardConfig::default() });
    let mut as_user = |uid| {
        let peer = (Door::Native.identity(Proof::Uid(uid), None), Features::OURS);
        rig.open_with(1, OverflowPolicy::DropOldest, peer)
    };
    let [owner, same, other] = [as_user(1), as_user(1), as_user(2)];
    rig.say(1, owner, &[watch(">", 1)]);
    say_register(&mut rig, 1, owner, 9, 1, "a");
    rig.travel();
    assert_eq!(rig.hears(1, owner), "!1 +9.1 !7");
    // Whoever hears of a publisher knows its number and its epoch.
    rig.say(1, other, &[Frame::Unregister { publisher: 9, epoch: 1 }, renew(9, 1)]);
    say_register(&mut rig, 1, other, 9, 2, "b");
    rig.travel();
    assert_eq!(
        (rig.hears(1, other).as_str(), rig.hears(1, owner).as_str()),
        ("not_permitted not_permitted", "")
    );
    rig.say(1, same, &[renew(9, 1), Frame::Unregister { publisher: 9, epoch: 1 }]);
    rig.travel();
    assert_eq!((rig.hears(1, same).as_str(), rig.hears(1, owner).as_str()), ("!8", "-9.1"));
}
