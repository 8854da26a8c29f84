//! The admission of connections, before anything is read from them: whether there is room for one more stranger, and whether it
//! is read at once.

use std::net::SocketAddr;
use std::time::Duration;

use super::base::Base;
use super::state::Shard;
use super::strangers::Crowd;
use crate::auth::PeerHost;
use crate::error::ErrorCode;
use crate::ids::SessionId;
use crate::limits::LOGIN_DELAY;

/// The admission of connections to a shard, for its pumps.
pub struct Admission<'a>(&'a mut Base);

impl<'a> Admission<'a> {
    /// Borrows a shard for that.
    pub fn of(shard: &'a mut Shard) -> Self {
        Admission(&mut shard.base)
    }

    /// Makes room for a connection from this address, for which nothing was done yet: another one may have to give way.
    ///
    /// # Errors
    /// There are too many connections whose peers have not said hello: it is to be dropped.
    pub fn make_room(self, address: Option<SocketAddr>) -> Result<(), Crowd> {
        let base = self.0;
        let room = base.strangers.make_room(base.config.strangers, PeerHost::at(address));
        if room != Ok(None) {
            base.counters.turned_away += 1;
        }
        let Some(newest) = room? else { return Ok(()) };
        if let Some(session) = base.sessions.get_mut(newest) {
            session.closing.get_or_insert(ErrorCode::TooManySessions);
        }
        base.forget_stranger(newest);
        base.outbox.abort.push(newest);
        Ok(())
    }

    /// The time for which nothing is to be read from a session that has just come, since logins of its host fail again and
    /// again.
    pub fn reading_delay(self, id: SessionId) -> Option<Duration> {
        let base = self.0;
        let session = base.sessions.get(id).filter(|session| session.is_stranger)?;
        if !base.failed_logins.are_too_many(session.host(), base.clock.now()) {
            return None;
        }
        base.counters.logins_slowed += 1;
        Some(LOGIN_DELAY)
    }
}

#[cfg(test)]
mod tests {
    use std::net::SocketAddr;

    use super::super::door::Door;
    use super::super::rig::Rig;
    use super::*;
    use crate::auth::{Identity, Permissions, Users};
    use crate::limits::{LOGIN_FAILURES_MAX, LOGIN_FAILURES_PERIOD};
    use crate::shard::ShardConfig;
    use crate::wire::{Features, Frame};

    const HELLO: Frame<'_> = Frame::Hello { name: "", overflow: 0, previous: 0, ticket: 0 };

    fn host(number: u8) -> SocketAddr {
        SocketAddr::from(([192, 0, 2, number], 1))
    }

    /// A shard with users, whose tokens nobody has.
    fn closed() -> Rig {
        let users = Users::parse("[[user]]\nname = 'a'\nuids = [1]\n").expect("users");
        Rig::new(&ShardConfig { permissions: Permissions::of_users(users), ..ShardConfig::default() })
    }

    fn comes(rig: &mut Rig, address: SocketAddr) -> SessionId {
        let shard = &mut rig.shards[0];
        shard.on_open(Door::Native, Identity::Anonymous(Some(address))).expect("there is room")
    }

    fn is_slowed(rig: &mut Rig, address: SocketAddr) -> bool {
        let id = comes(rig, address);
        let delay = Admission::of(&mut rig.shards[0]).reading_delay(id);
        let _ = rig.shards[0].on_closed(id, None);
        delay.is_some()
    }

    #[test]
    fn a_host_whose_logins_fail_is_read_late_until_they_have_stopped_for_a_while() {
        let mut rig = closed();
        for _ in 0..LOGIN_FAILURES_MAX {
            assert!(!is_slowed(&mut rig, host(1)));
            let id = comes(&mut rig, host(1));
            rig.shards[0].on_greeting(id, Ok(Features::NONE));
            rig.say(0, id, &[HELLO]);
            assert_eq!(rig.hears(0, id), "unauthenticated");
            let _ = rig.shards[0].on_closed(id, None);
        }
        assert!(is_slowed(&mut rig, host(1)) && !is_slowed(&mut rig, host(2)));
        assert_eq!(rig.shards[0].counters().logins_failed, u64::from(LOGIN_FAILURES_MAX));
        assert_eq!(rig.shards[0].counters().logins_slowed, 1);
        rig.wait(LOGIN_FAILURES_PERIOD);
        assert!(!is_slowed(&mut rig, host(1)));
    }

    #[test]
    fn a_user_that_is_taken_away_has_not_failed() {
        let mut rig = Rig::with_shards(1);
        for _ in 0..LOGIN_FAILURES_MAX {
            let id = comes(&mut rig, host(1));
            rig.shards[0].on_greeting(id, Ok(Features::NONE));
            rig.say(0, id, &[HELLO]);
        }
        let rules = closed().shards[0].config().permissions.clone();
        while !rig.shards[0].on_permissions(&rules) {}
        assert_eq!(rig.shards[0].counters().logins_failed, 0);
        assert!(!is_slowed(&mut rig, host(1)));
    }
}
