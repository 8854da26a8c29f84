//! Deadlines of sessions, which are checked on ticks. Owned by a shard.

use super::base::Base;
use super::kind::Kind;
use super::relays::Relays;
use super::session_state::{Phase, SessionState, Transit};
use super::silence::{Sign, Silence};
use super::{renewals, shown_tickets, zmtp};
use crate::error::ErrorCode;
use crate::ids::SessionId;
use crate::limits::SWEEP_TICKS;
use crate::wire::Frame;

/// The sweep over all sessions.
#[derive(Default)]
pub(super) struct Deadlines {
    /// The slot that was looked at last.
    at: usize,
}

impl Deadlines {
    /// Looks at as many sessions as are due after so many ticks: at each once in [`SWEEP_TICKS`].
    pub(super) fn sweep(&mut self, base: &mut Base, relays: &Relays, ticks: usize) {
        let slots = base.sessions.slots();
        for _ in 0..(slots * ticks).div_ceil(SWEEP_TICKS) {
            self.at = if self.at + 1 >= slots { 0 } else { self.at + 1 };
            if let Some(id) = base.sessions.in_slot(self.at) {
                check(base, relays, id);
            }
        }
    }
}

fn check(base: &mut Base, relays: &Relays, id: SessionId) {
    let now = base.clock.now();
    let is_looked_at = |session: &&SessionState| !session.kind.is_local() && session.transit.is_connected();
    let Some(session) = base.sessions.get(id).filter(is_looked_at) else { return };
    if base.unfinished.is_in_the_way(session, now) {
        return base.end(
            id,
            ErrorCode::FrameTimeout,
            "a frame was begun and does not go on, and others wait",
        );
    }
    if session.successors.as_ref().is_some_and(|successors| successors.until <= now) {
        return base.outbox.abort.push(id);
    }
    let late = session.deadline.is_some_and(|deadline| deadline <= now);
    // One that is held is not read: its silence is not its fault. A farewell has its time all the same.
    let late_by_itself = late && session.held_by == 0;
    let phase = session.phase;
    match phase {
        Phase::Greeting | Phase::Hello if late_by_itself => {
            base.end(id, ErrorCode::HandshakeTimeout, "the handshake took too long");
        }
        Phase::Open if late_by_itself => {
            base.end(id, ErrorCode::FrameTimeout, "a frame was begun and not finished");
        }
        Phase::Open if shown_tickets::goes_on(base, id) => {
            if let Some(text) = base.too_much_waits(id) {
                return base.end(id, ErrorCode::SlowSubscriber, &text);
            }
            base.judge_pace(id);
            renewals::renew_if_due(base, id);
            check_silence(base, relays, id);
        }
        Phase::Closing | Phase::Shut if late => base.outbox.abort.push(id),
        _ => {}
    }
}

/// An open session: asks a silent peer whether it lives, or says that this end does, and gives up one that has gone.
fn check_silence(base: &mut Base, relays: &Relays, id: SessionId) {
    let (now, heartbeat) = (base.clock.now(), base.config.heartbeat);
    let Some(session) = base.sessions.get_mut(id) else { return };
    let sign = session.kind.judge(Silence {
        now,
        silent: now.saturating_since(session.heard),
        // One that is about to leave is not read either.
        is_held: session.held_by > 0 || session.transit == Transit::Leaving,
        is_fed: !session.egress.is_empty(),
        heartbeat,
    });
    match (sign, &session.kind) {
        (Sign::Alive, _) => {}
        (Sign::Due, Kind::Zmtp(_)) => zmtp::ask(base, id),
        (Sign::Due, Kind::Relay(_)) => relays.ping(base, id),
        (Sign::Due, Kind::Native(_) | Kind::Local) => {
            session.heard = now;
            base.answer(id, &Frame::Ping { token: now.0 });
        }
        (Sign::Gone, _) => {
            base.end(id, ErrorCode::IdleTimeout, "nothing was heard for too long, heartbeats neither");
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::super::door::Door;
    use super::super::rig::{Rig, message, subscribe};
    use crate::fanout::{OverflowPolicy, QueueBounds};
    use corecast_executors::{TICK, TICKS_PER_REST};

    use super::super::config::ShardConfig;
    use corecast_executors::MonotonicNs;

    use super::super::state::Shard;
    use super::*;
    use crate::auth::Identity;
    use crate::ids::ShardId;
    use crate::limits::{
        FRAME_BYTES_PER_SEC_MIN, FRAME_DEADLINE, HANDSHAKE_DEADLINE, HEARTBEAT_DEFAULT,
        HEARTBEATS_MISSED_MAX, LINGER, REFUSALS_PER_SHARD_MAX,
    };
    use crate::wire::{Features, Partial};
    use crate::zmtp::Sides;

    const SECOND: Duration = Duration::from_secs(1);

    /// A sweep looks at everybody once in so long.
    fn sweep() -> Duration {
        corecast_executors::TICK * u32::try_from(SWEEP_TICKS + 1).unwrap()
    }

    #[test]
    fn one_quota_holds_for_every_connection_and_the_identity_stays_to_the_end() {
        let mut rig = Rig::new(&ShardConfig { sessions_max: 1, ..ShardConfig::default() });
        let shard = &mut rig.shards[0];
        let identity = Identity::Anonymous(Some("192.0.2.7:1".parse().unwrap()));
        let id = shard.on_open(Door::Zmtp(Sides::Both), identity.clone()).expect("there is room for one");
        // A ZeroMQ socket that is told why would never come again.
        assert_eq!(shard.on_open(Door::Zmtp(Sides::Both), Identity::Anonymous(None)), None);
        let refused = shard.on_open(Door::Native, Identity::Anonymous(None)).expect("it is told why");
        assert_eq!(shard.sessions().phase(refused), Some(Phase::Closing));
        assert_eq!(shard.sessions().identity_of(id), Some(&identity));
        assert_eq!(shard.on_closed(id, None).map(|closed| closed.identity), Some(identity));
    }

    #[test]
    fn a_handshake_has_its_time_from_the_accept_whatever_comes_of_it() {
        let mut rig = Rig::with_shards(1);
        let silent = rig.shards[0].on_open(Door::Native, Identity::Anonymous(None)).unwrap();
        let greeted = rig.shards[0].on_open(Door::Native, Identity::Anonymous(None)).unwrap();
        rig.shards[0].on_greeting(greeted, Ok(Features::NONE));
        let open = rig.open(0, OverflowPolicy::DropOldest);
        for _ in 0..HANDSHAKE_DEADLINE.as_secs() - 1 {
            rig.wait(SECOND);
            // A byte a second of a hello.
            rig.shards[0].on_partial(greeted, Partial::frame(50, Some(100)), false);
        }
        rig.wait(SECOND - sweep());
        assert_eq!(rig.hears(0, silent), "");
        rig.wait(2 * sweep());
        assert_eq!(rig.hears(0, silent), "handshake_timeout");
        assert_eq!(rig.hears(0, greeted), "handshake_timeout");
        assert_eq!(rig.hears(0, open), "");
    }

    #[test]
    fn a_shard_that_rests_sweeps_as_fast_as_one_that_does_not() {
        let pace = TICK * TICKS_PER_REST;
        let mut now = MonotonicNs(0);
        let mut shard = Shard::new(ShardId(0), ShardConfig::default(), now);
        let silent: Vec<_> =
            (0..200).map(|_| shard.on_open(Door::Native, Identity::Anonymous(None)).unwrap()).collect();
        while now < MonotonicNs(0) + HANDSHAKE_DEADLINE + 2 * pace {
            now = now + pace;
            shard.on_tick(now);
        }
        assert!(
            silent.iter().all(|id| shard.sessions().phase(*id) == Some(Phase::Closing)),
            "in two ticks after the deadline"
        );
    }

    #[test]
    fn a_shard_that_was_stopped_blames_nobody_for_its_own_silence() {
        let mut rig = Rig::with_shards(1);
        let peer = rig.open(0, OverflowPolicy::DropOldest);
        let greeting = rig.shards[0].on_open(Door::Native, Identity::Anonymous(None)).unwrap();
        let slow = rig.open(0, OverflowPolicy::DropOldest);
        rig.shards[0].on_partial(slow, Partial::frame(50, Some(100)), false);
        for _ in 0..5 {
            rig.stop(60 * SECOND);
            rig.wait(sweep());
        }
        for id in [peer, greeting, slow] {
            assert_eq!(rig.hears(0, id), "");
        }
        // From now on all have the rest of their time, and no more.
        rig.wait(HANDSHAKE_DEADLINE);
        assert_eq!(rig.hears(0, greeting), "handshake_timeout");
        rig.wait(FRAME_DEADLINE - HANDSHAKE_DEADLINE);
        assert_eq!(rig.hears(0, slow), "frame_timeout");
        rig.wait(HEARTBEAT_DEFAULT * HEARTBEATS_MISSED_MAX - FRAME_DEADLINE);
        assert_eq!(rig.hears(0, peer), "idle_timeout");
    }

    #[test]
    fn who_comes_to_a_full_shard_is_told_and_finds_room_later() {
        let mut rig = Rig::new(&ShardConfig { sessions_max: 2, ..ShardConfig::default() });
        let open = [(); 2].map(|()| rig.open(0, OverflowPolicy::DropOldest));
        let late: Vec<_> = (0..REFUSALS_PER_SHARD_MAX)
            .filter_map(|_| rig.shards[0].on_open(Door::Native, Identity::Anonymous(None)))
            .collect();
        assert_eq!(late.len(), REFUSALS_PER_SHARD_MAX);
        assert_eq!(rig.shards[0].on_open(Door::Native, Identity::Anonymous(None)), None, "so many at a time");
        for id in late {
            assert_eq!(rig.hears(0, id), "too_many_sessions");
            let _ = rig.shards[0].on_closed(id, None);
        }
        let _ = rig.shards[0].on_closed(open[0], None);
        rig.open(0, OverflowPolicy::DropOldest);
        assert_eq!(rig.hears(0, open[1]), "");
    }

    #[test]
    fn a_byte_a_second_buys_no_time() {
        for announced in [None, Some(100), Some(1 << 20)] {
            let mut rig = Rig::with_shards(1);
            let slow = rig.open(0, OverflowPolicy::DropOldest);
            let time = FRAME_DEADLINE.as_secs() + announced.unwrap_or(0) as u64 / FRAME_BYTES_PER_SEC_MIN;
            rig.shards[0].on_partial(slow, Partial::frame(50, None), false);
            for _ in 0..time - 1 {
                rig.wait(SECOND);
                rig.shards[0].on_partial(slow, Partial::frame(50, announced), false);
            }
            rig.wait(SECOND - sweep());
            assert_eq!(rig.hears(0, slow), "", "{announced:?}");
            rig.wait(2 * sweep());
            assert_eq!(rig.hears(0, slow), "frame_timeout", "{announced:?}");
        }
    }

    #[test]
    fn each_frame_has_its_own_time() {
        let mut rig = Rig::with_shards(1);
        let busy = rig.open(0, OverflowPolicy::DropOldest);
        for _ in 0..5 {
            // The end of one frame and the begin of the next come together.
            rig.shards[0].on_partial(busy, Partial::frame(50, Some(100)), true);
            rig.wait(FRAME_DEADLINE - SECOND);
        }
        rig.shards[0].on_partial(busy, Partial::default(), true);
        rig.wait(2 * FRAME_DEADLINE);
        assert_eq!(rig.hears(0, busy), "");
    }

    #[test]
    fn who_says_nothing_is_given_up_after_the_heartbeats_it_may_miss() {
        let mut rig = Rig::with_shards(1);
        let silent = rig.open(0, OverflowPolicy::DropOldest);
        let alive = rig.open(0, OverflowPolicy::DropOldest);
        for _ in 0..HEARTBEATS_MISSED_MAX {
            rig.say(0, alive, &[Frame::Ping { token: 1 }]);
            rig.wait(HEARTBEAT_DEFAULT - sweep());
        }
        assert_eq!(rig.hears(0, silent), "");
        rig.wait(sweep() * (HEARTBEATS_MISSED_MAX + 2));
        assert_eq!(rig.hears(0, silent), "idle_timeout");
        assert!(!rig.hears(0, alive).contains("timeout"));
    }

    /// A publisher that is held, by a subscriber that stalls, with a begun frame.
    fn held() -> (Rig, SessionId, SessionId) {
        let bounds = QueueBounds { frames_max: 2, ..QueueBounds::default() };
        let mut rig =
            Rig::new(&ShardConfig { bounds, overflow: OverflowPolicy::Block, ..ShardConfig::default() });
        let subscriber = rig.open(0, OverflowPolicy::Block);
        let publisher = rig.open(0, OverflowPolicy::Block);
        rig.say(0, subscriber, &[subscribe("a", 1)]);
        for sequence in 1..4 {
            assert!(!rig.shards[0].sessions().is_held(publisher));
            rig.say(0, publisher, &[message("a", sequence)]);
        }
        rig.shards[0].on_partial(publisher, Partial::frame(50, Some(100)), false);
        assert!(rig.shards[0].sessions().is_held(publisher));
        (rig, subscriber, publisher)
    }

    #[test]
    fn while_it_is_held_no_time_is_counted() {
        let (mut rig, subscriber, publisher) = held();
        for _ in 0..20 {
            rig.wait(FRAME_DEADLINE);
            rig.say(0, subscriber, &[Frame::Pong { token: 1 }]);
        }
        assert!(!rig.hears(0, publisher).contains("timeout"));
        assert_eq!(rig.hears(0, subscriber), "!1 a=1 a=2 a=3");
        assert!(!rig.shards[0].sessions().is_held(publisher));
        // The begun frame has all of its time from now on, and no more.
        rig.wait(FRAME_DEADLINE - SECOND);
        assert_eq!(rig.hears(0, publisher), "");
        rig.wait(SECOND + sweep());
        assert_eq!(rig.hears(0, publisher), "frame_timeout");
    }

    #[test]
    fn a_farewell_has_its_time_though_its_session_is_held() {
        let (mut rig, _, publisher) = held();
        rig.shards[0].base.end(publisher, ErrorCode::Malformed, "wrong");
        rig.shards[0].settle();
        rig.wait(LINGER - sweep());
        assert!(rig.shards[0].outbox().abort.is_empty());
        rig.wait(2 * sweep());
        assert!(rig.shards[0].outbox().abort.contains(&publisher));
    }

    #[test]
    fn who_does_not_take_its_farewell_is_cut_off() {
        let mut rig = Rig::with_shards(1);
        let stalled = rig.open(0, OverflowPolicy::DropOldest);
        let reads = rig.open(0, OverflowPolicy::DropOldest);
        for id in [stalled, reads] {
            rig.say(0, id, &[Frame::Done { request: 1 }]);
        }
        assert_eq!(rig.hears(0, reads), "unexpected");
        assert_eq!(rig.shards[0].outbox().shut, [reads], "its side is shut, so that it sees the end");
        let _ = rig.shards[0].on_closed(reads, None);
        rig.wait(LINGER + sweep());
        assert!(rig.shards[0].outbox().abort.contains(&stalled));
        assert!(!rig.shards[0].outbox().abort.contains(&reads));
    }

    #[test]
    fn who_never_said_hello_does_not_hold_up_a_drain() {
        let mut rig = Rig::with_shards(1);
        let silent = rig.shards[0].on_open(Door::Native, Identity::Anonymous(None)).unwrap();
        let refused = rig.open(0, OverflowPolicy::DropOldest);
        let open = rig.open(0, OverflowPolicy::DropOldest);
        rig.say(0, refused, &[Frame::Done { request: 1 }]);
        rig.shards[0].on_drain();
        for (id, says) in [(silent, "shutting_down"), (refused, "unexpected"), (open, "shutting_down")] {
            assert_eq!(rig.hears(0, id), says);
        }
        rig.wait(LINGER + 2 * sweep());
        let aborted = &rig.shards[0].outbox().abort;
        assert!(aborted.contains(&silent) && aborted.contains(&refused));
        assert!(!aborted.contains(&open), "it may still read what it was sent");
    }

    #[test]
    fn a_publisher_of_another_shard_is_held_and_released_by_message() {
        let bounds = QueueBounds { frames_max: 2, ..QueueBounds::default() };
        let config =
            ShardConfig { shards: 2, bounds, overflow: OverflowPolicy::Block, ..ShardConfig::default() };
        let mut rig = Rig::new(&config);
        let subscriber = rig.open(0, OverflowPolicy::Block);
        let publisher = rig.open(1, OverflowPolicy::Block);
        rig.say(0, subscriber, &[subscribe("a", 1)]);
        rig.travel();
        for sequence in 1..4 {
            rig.say(1, publisher, &[message("a", sequence), Frame::Flush { request: 9 }]);
            rig.travel();
        }
        assert!(rig.shards[1].sessions().is_held(publisher));
        assert_eq!(rig.hears(1, publisher), "!9 !9 !9", "taken, and then it was held");
        rig.say(1, publisher, &[Frame::Flush { request: 10 }]);
        assert_eq!(rig.hears(1, publisher), "");
        assert_eq!(rig.hears(0, subscriber), "!1 a=1 a=2 a=3");
        assert!(rig.shards[1].sessions().is_held(publisher), "it has not heard of it");
        assert!(rig.travel_once(ShardId(0).0.into(), 1));
        assert!(!rig.shards[1].sessions().is_held(publisher));
        assert_eq!(rig.hears(1, publisher), "!10");
    }
}
