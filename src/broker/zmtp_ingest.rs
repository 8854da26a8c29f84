//! A ZeroMQ session's bytes after a read: its machine turns them into steps, which the shard does. Without I/O, so that
//! simulations and fuzzers drive it, too.

use std::time::{SystemTime, UNIX_EPOCH};

use bytes::Bytes;

use super::ingest::{discard_all, wipe};
use crate::ids::SessionId;
use crate::shard::{Phase, Shard};
use crate::wire::{Partial, Reader, Slab};
use crate::zmtp::Output;

/// Kept from turn to turn for its memory; an executor's connections share one.
#[derive(Default, Debug)]
pub struct ZmtpScratch {
    out: Output,
}

/// As [`super::ingest`], for a session of a ZeroMQ socket. `now_unix_ns` is when its messages came.
pub fn ingest_zmtp(
    shard: &mut Shard,
    id: SessionId,
    reader: &mut Reader,
    slab: &mut Slab,
    scratch: &mut ZmtpScratch,
    now_unix_ns: u64,
) -> Partial {
    // The words of a stranger may hold a password.
    let may_be_secret = shard.sessions().phase(id) != Some(Phase::Open);
    let mut said = Bytes::new();
    let done = shard.on_zmtp(id, now_unix_ns, &mut scratch.out, |machine, out| {
        let filled = reader.filled(slab);
        let read = machine.read(filled, out);
        let partial = machine.partial(&filled[read.whole_bytes..]);
        // All that was used up, but the begin of a message that is being skipped.
        let completed = read.frame_bytes() + partial.held_bytes > partial.received_bytes;
        let bytes = match &read.opened {
            Some(opened) => {
                reader.discard(slab, read.whole_bytes);
                opened.clone()
            }
            None if may_be_secret => {
                said = reader.take_secret(slab, read.whole_bytes);
                said.clone()
            }
            None => reader.take(slab, read.whole_bytes),
        };
        (read, bytes, (partial, completed))
    });
    wipe(said);
    let Some((partial, completed)) = done else { return discard_all(reader, slab) };
    shard.on_partial(id, partial, completed);
    partial
}

/// Nanoseconds since 1970-01-01 UTC, read once a turn: ZMTP messages carry no time.
pub(super) fn unix_ns() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_nanos()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use corecast_executors::{MonotonicNs, TICK};

    use super::super::ingest::end_stream;
    use super::*;
    use crate::auth::Identity;
    use crate::ids::ShardId;
    use crate::limits::{
        FRAME_BYTES_MAX_DEFAULT, FRAME_DEADLINE, FRAME_STALL, READ_BYTES_PER_TURN, SLAB_BYTES, SWEEP_TICKS,
        TOPIC_BYTES_MAX, UNFINISHED_BYTES_MAX,
    };
    use crate::shard::{Door, Phase, ShardConfig};
    use crate::zmtp::{Sides, command, frame, greeting};

    /// A publisher, and its connection's reader.
    struct Peer {
        id: SessionId,
        reader: Reader,
        begun: Partial,
    }

    struct Rig {
        shard: Shard,
        now: MonotonicNs,
        slab: Slab,
        scratch: ZmtpScratch,
    }

    impl Rig {
        fn new() -> Rig {
            let now = MonotonicNs::default();
            let shard = Shard::new(ShardId(0), ShardConfig::default(), now);
            Rig { shard, now, slab: Slab::default(), scratch: ZmtpScratch::default() }
        }

        fn publisher(&mut self) -> Peer {
            let id = self.shard.on_open(Door::Zmtp(Sides::Both), Identity::Anonymous(None)).expect("room");
            let mut peer = Peer { id, reader: Reader::default(), begun: Partial::default() };
            self.sends(&mut peer, &[&greeting::ours()[..], &command::ready("PUB")].concat());
            assert_eq!(self.shard.sessions().phase(id), Some(Phase::Open));
            peer
        }

        /// Reads these bytes of a peer, in one turn.
        fn sends(&mut self, peer: &mut Peer, bytes: &[u8]) {
            peer.reader.space(&mut self.slab)[..bytes.len()].copy_from_slice(bytes);
            peer.reader.received(bytes.len());
            let (slab, scratch) = (&mut self.slab, &mut self.scratch);
            peer.begun = ingest_zmtp(&mut self.shard, peer.id, &mut peer.reader, slab, scratch, 0);
            self.shard.audit();
        }

        fn wait(&mut self, time: Duration) {
            let until = self.now + time;
            while self.now < until {
                self.now = self.now + TICK;
                self.shard.on_tick(self.now);
            }
        }
    }

    /// A part that is not the last, of 257 bytes.
    fn part() -> Vec<u8> {
        [&[frame::MORE, 255][..], &[7; 255]].concat()
    }

    /// The time in which each session's deadline is looked at once.
    fn sweep() -> Duration {
        TICK * u32::try_from(SWEEP_TICKS + 1).expect("a few ticks")
    }

    #[test]
    fn messages_of_parts_without_an_end_hold_no_more_than_they_may_together() {
        let mut rig = Rig::new();
        let mut peers: Vec<Peer> = (0..100).map(|_| rig.publisher()).collect();
        let most = UNFINISHED_BYTES_MAX + peers.len() * SLAB_BYTES;
        // Turns that end where a part does, until the message is nearly as long as it may be.
        let turn = part().repeat(READ_BYTES_PER_TURN / part().len());
        for _ in 0..FRAME_BYTES_MAX_DEFAULT / READ_BYTES_PER_TURN - 2 {
            for peer in &mut peers {
                rig.shard.on_readable(peer.id);
                if !rig.shard.sessions().is_held(peer.id) {
                    rig.sends(peer, &turn);
                }
                assert!(rig.shard.sessions().unfinished_bytes() <= most);
            }
        }
        let held: usize = peers.iter().map(|peer| peer.reader.partial_bytes()).sum();
        assert_eq!(held, rig.shard.sessions().unfinished_bytes());
        assert!(held > UNFINISHED_BYTES_MAX / 2, "{held} bytes: some go on");
    }

    #[test]
    fn a_message_that_will_be_skipped_buys_no_time_by_its_length_before_its_topic_is_here() {
        let mut rig = Rig::new();
        let mut peers = [rig.publisher(), rig.publisher()];
        let head = [&[frame::LONG][..], &(200_u64 << 20).to_be_bytes()].concat();
        rig.sends(&mut peers[0], &head);
        rig.sends(&mut peers[1], &[&head[..], &[7; TOPIC_BYTES_MAX - 1]].concat());
        rig.wait(FRAME_DEADLINE + sweep());
        assert_eq!(
            peers.each_ref().map(|peer| rig.shard.sessions().phase(peer.id)),
            [Some(Phase::Closing); 2]
        );
    }

    #[test]
    fn a_stream_that_ends_within_a_message_is_an_error_whether_the_message_is_skipped_or_not() {
        let mut rig = Rig::new();
        let [mut between, mut within, mut skipping] = [rig.publisher(), rig.publisher(), rig.publisher()];
        let long = [&[frame::LONG][..], &(8_u64 << 20).to_be_bytes(), &[7; 50_000]].concat();
        rig.sends(&mut between, &[0, 1, b'a']);
        rig.sends(&mut within, &[0, 2, b'a']);
        rig.sends(&mut skipping, &long);
        assert_eq!(skipping.reader.partial_bytes(), 0, "nothing of it is held");
        let phases = [between, within, skipping].map(|peer| {
            end_stream(&mut rig.shard, peer.id, peer.begun.received_bytes > 0);
            rig.shard.sessions().phase(peer.id)
        });
        assert_eq!(phases, [Some(Phase::Open), Some(Phase::Closing), Some(Phase::Closing)]);
    }

    #[test]
    fn a_message_that_is_skipped_has_a_time_to_end_whatever_comes_within_it() {
        let mut rig = Rig::new();
        let mut stopped = rig.publisher();
        let mut goes_on = rig.publisher();
        let long = [&[frame::LONG | frame::MORE][..], &(8_u64 << 20).to_be_bytes(), &[7; 50_000]].concat();
        rig.sends(&mut stopped, &long);
        rig.sends(&mut goes_on, &long);
        for _ in 0..FRAME_DEADLINE.as_secs() {
            rig.wait(Duration::from_secs(1));
            rig.sends(&mut goes_on, &[7; READ_BYTES_PER_TURN]);
        }
        assert_eq!(rig.shard.sessions().unfinished_bytes(), 0, "nothing of it is held");
        rig.wait(sweep());
        assert_eq!(rig.shard.sessions().phase(stopped.id), Some(Phase::Closing));
        assert_eq!(rig.shard.sessions().phase(goes_on.id), Some(Phase::Open));
        // Between two parts of such a message heartbeats come, which end nothing.
        let mut beats = rig.publisher();
        let ends = [&[frame::LONG | frame::MORE][..], &(5_u64 << 20).to_be_bytes()].concat();
        rig.sends(&mut beats, &[&ends[..], &[7; 5_000]].concat());
        for _ in 1..(5 << 20) / READ_BYTES_PER_TURN {
            rig.sends(&mut beats, &[7; READ_BYTES_PER_TURN]);
        }
        rig.sends(&mut beats, &vec![7; READ_BYTES_PER_TURN - 5_000]);
        for _ in 0..FRAME_STALL.as_secs() {
            rig.wait(Duration::from_secs(1));
            rig.sends(&mut beats, &command::ping());
        }
        rig.wait(sweep());
        assert_eq!(rig.shard.sessions().phase(beats.id), Some(Phase::Closing));
    }
}
