//! The last call of a shard that is about to stop: clients that know the word publish nothing more, and flush what they have
//! published. So nothing of theirs is on its way when the shard stops, and is lost.

use bytes::Bytes;

use super::session_state::{Phase, SessionState};
use super::state::Shard;
use crate::ids::SessionId;
use crate::wire::{Frame, encode_to_vec};

/// A shard, to call its clients.
pub struct LastCall<'a>(&'a mut Shard);

impl<'a> LastCall<'a> {
    /// Borrows a shard for that.
    pub fn of(shard: &'a mut Shard) -> Self {
        LastCall(shard)
    }

    /// Calls all that can hear it.
    pub fn begin(&mut self) {
        let base = &mut self.0.base;
        let call: Bytes = encode_to_vec(&Frame::Drain { endpoints: "", joined: b"", ends: 1 }).into();
        // Those of a direct publisher publish nothing.
        let ids: Vec<SessionId> = if base.config.direct.is_some() { Vec::new() } else { base.sessions.ids() };
        for id in ids {
            if let Some(session) = base.sessions.get_mut(id).filter(|session| can_hear(session)) {
                session.is_called = true;
                base.answer_raw(id, call.clone());
            }
        }
        self.0.settle();
    }

    /// True while one that was called may have something on its way.
    pub fn is_awaited(&self) -> bool {
        let called = self.0.base.sessions.iter().filter(|(_, session)| can_hear(session));
        called.map(|(_, session)| session).any(|session| session.is_called || !session.flushes.is_empty())
    }
}

fn can_hear(session: &SessionState) -> bool {
    session.phase == Phase::Open && session.kind.takes_drains()
}

#[cfg(test)]
mod tests {
    use super::super::rig::Rig;
    use super::*;
    use crate::auth::Identity;
    use crate::fanout::OverflowPolicy;
    use crate::wire::Features;

    #[test]
    fn a_shard_awaits_the_last_flush_of_all_that_it_has_called() {
        let mut rig = Rig::with_shards(1);
        let mut open =
            |features| rig.open_with(0, OverflowPolicy::DropOldest, (Identity::Anonymous(None), features));
        let [one, other] = [(); 2].map(|()| open(Features::DRAINS));
        let old = open(Features::NONE);
        assert!(!LastCall::of(&mut rig.shards[0]).is_awaited());
        LastCall::of(&mut rig.shards[0]).begin();
        let call = format!("{:?}", Frame::Drain { endpoints: "", joined: b"", ends: 1 });
        assert_eq!([one, other, old].map(|id| rig.hears(0, id)), [call.clone(), call, String::new()]);
        assert!(LastCall::of(&mut rig.shards[0]).is_awaited());
        rig.say(0, one, &[Frame::Flush { request: 7 }]);
        assert!(LastCall::of(&mut rig.shards[0]).is_awaited(), "the other has not flushed");
        rig.shards[0].on_closed(other, None).expect("it was there");
        assert!(
            !LastCall::of(&mut rig.shards[0]).is_awaited(),
            "nobody waits for those of an earlier version"
        );
        assert_eq!(rig.hears(0, one), "!7", "it is done");
    }
}
