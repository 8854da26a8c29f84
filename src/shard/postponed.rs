//! Subscriptions, cancels and answers of one read of a ZeroMQ session that wait for its next turn, in order. They are
//! kept as bytes, so that a read full of them holds about as much as it came as. Owned by the session's rest.

use bytes::Bytes;

use crate::zmtp::Step;

/// Steps, one behind the other: a kind, a length, and that many bytes each.
#[derive(Default, Debug)]
pub(super) struct Postponed {
    bytes: Vec<u8>,
    /// Bytes of those that are done.
    done: usize,
}

const SUBSCRIBE: u8 = 1;
const CANCEL: u8 = 2;
const SEND: u8 = 3;

/// Bytes of a kind and a length.
const HEAD_BYTES: usize = 5;

impl Postponed {
    pub(super) fn is_empty(&self) -> bool {
        self.done == self.bytes.len()
    }

    pub(super) fn push(&mut self, step: &Step) {
        let (kind, bytes): (u8, &[u8]) = match step {
            Step::Subscribe(prefix) => (SUBSCRIBE, prefix),
            Step::Cancel(prefix) => (CANCEL, prefix),
            Step::Send(bytes) => (SEND, bytes),
            other => unreachable!("{other:?} does not wait"),
        };
        self.bytes.push(kind);
        self.bytes.extend(u32::try_from(bytes.len()).expect("one read is short").to_le_bytes());
        self.bytes.extend_from_slice(bytes);
    }

    pub(super) fn pop(&mut self) -> Option<Step> {
        let (head, rest) = self.bytes[self.done..].split_first_chunk::<HEAD_BYTES>()?;
        let [kind, length @ ..] = head;
        let bytes = &rest[..u32::from_le_bytes(*length) as usize];
        self.done += HEAD_BYTES + bytes.len();
        Some(match *kind {
            SUBSCRIBE => Step::Subscribe(Bytes::copy_from_slice(bytes)),
            CANCEL => Step::Cancel(Bytes::copy_from_slice(bytes)),
            _ => Step::Send(bytes.to_vec()),
        })
    }
}

#[cfg(test)]
mod tests {
    use bytes::BytesMut;

    use super::super::config::ShardConfig;
    use super::super::rig::{Rig, subscribe};
    use super::*;
    use crate::carrier::LinkItem;
    use crate::error::ErrorCode;
    use crate::fanout::FILING_STEPS;
    use crate::fanout::OverflowPolicy;
    use crate::ids::{SessionId, ShardId};
    use crate::limits::{READ_BYTES_PER_TURN, TURN_STEPS_MAX};
    use crate::wire::WireError;
    use crate::zmtp::machine::Read;
    use crate::zmtp::{Output, command, put_message};

    fn doors(shards: usize, turn_steps_max: usize) -> Rig {
        let config = ShardConfig {
            shards,
            turn_steps_max,
            zmtp_publishers: true,
            zmtp_subscribers: true,
            ..ShardConfig::default()
        };
        Rig::new(&config)
    }

    fn subscriber(rig: &mut Rig) -> SessionId {
        rig.open_zmtp(b"SUB")
    }

    /// The news of its subscriptions that the first shard sends the second.
    fn interest(rig: &mut Rig) -> Vec<String> {
        let mut told = Vec::new();
        while let Some(item) = rig.shards[0].links_mut().next(ShardId(1)) {
            if let LinkItem::Interest { filter, wanted, .. } = item {
                let sign = if wanted { '+' } else { '-' };
                told.push(format!("{sign}{}", String::from_utf8_lossy(filter.as_bytes())));
            }
            rig.shards[0].on_link_room(ShardId(1));
        }
        told
    }

    #[test]
    fn a_read_full_of_subscriptions_is_done_in_turns_and_in_order() {
        let mut rig = doors(2, 30);
        let id = subscriber(&mut rig);
        let (mut all, mut wanted) = (Vec::new(), Vec::new());
        for n in 0..100 {
            all.extend(command::subscription(true, format!("t{n}").as_bytes(), n % 2 == 0));
            wanted.push(format!("+t{n}"));
            if n > 0 {
                all.extend(command::subscription(false, format!("t{}", n - 1).as_bytes(), n % 3 == 0));
                wanted.push(format!("-t{}", n - 1));
            }
        }
        // The peer asks for an answer behind them: it comes when all of them are in force.
        all.extend(command::ping());
        rig.say_zmtp(id, &all);
        let mut told = interest(&mut rig);
        let (mut turns, mut most) = (1, told.len());
        while rig.shards[0].sessions().is_behind(id) {
            assert!(rig.take(0, id).is_empty(), "the answer is behind the subscriptions");
            rig.shards[0].go_on(id);
            rig.audit();
            let in_this_turn = interest(&mut rig);
            turns += 1;
            most = most.max(in_this_turn.len());
            told.extend(in_this_turn);
        }
        assert_eq!(told, wanted);
        assert_eq!(rig.take(0, id), command::pong(&[]));
        assert!(turns >= 30 && most <= 30 / FILING_STEPS, "{turns} turns of up to {most} changes");
    }

    /// The worst that a read of the least subscriptions can hold while it waits, and the turns that it takes.
    #[test]
    fn a_read_full_of_the_least_subscriptions_waits_in_little_memory() {
        let mut rig = doors(1, TURN_STEPS_MAX);
        let id = subscriber(&mut rig);
        let (on, off) = (command::subscription(true, b"t", false), command::subscription(false, b"t", false));
        let all = [on, off].concat().repeat(READ_BYTES_PER_TURN / 8);
        rig.say_zmtp(id, &all);
        let mut turns = 1;
        while rig.shards[0].sessions().is_behind(id) {
            let rest = rig.shards[0].base.sessions.rest_to_fill(id).expect("it is behind");
            assert!(rest.postponed.bytes.capacity() <= 4 * READ_BYTES_PER_TURN);
            rig.shards[0].go_on(id);
            turns += 1;
        }
        assert!(turns > 8, "{turns}");
        assert_eq!(rig.shards[0].counters().subscriptions, 0);
    }

    #[test]
    fn a_session_that_ends_behind_its_subscriptions_has_made_them_first() {
        let mut rig = doors(2, 30);
        let id = subscriber(&mut rig);
        let all: Vec<u8> =
            (0..50).flat_map(|n| command::subscription(true, format!("t{n}").as_bytes(), true)).collect();
        let done = rig.shards[0].on_zmtp(id, 1, &mut Output::default(), |machine, out| {
            let read = machine.read(&all, out);
            let error = Some(WireError::new(ErrorCode::Malformed, "wrong"));
            (Read { error, ..read }, Bytes::from(all.clone()), ())
        });
        done.expect("it is listened to");
        let mut told = interest(&mut rig);
        while rig.shards[0].sessions().is_behind(id) {
            assert!(rig.take(0, id).is_empty(), "its end is behind them");
            rig.shards[0].go_on(id);
            told.extend(interest(&mut rig));
        }
        assert!(!rig.take(0, id).is_empty());
        told.extend(interest(&mut rig));
        assert_eq!(told.iter().filter(|change| change.starts_with('+')).count(), 50);
        // Nothing more is done for one that is closed meanwhile.
        let id = subscriber(&mut rig);
        let all: Vec<u8> =
            (0..50).flat_map(|n| command::subscription(true, format!("u{n}").as_bytes(), true)).collect();
        rig.say_zmtp(id, &all);
        assert!(rig.shards[0].sessions().is_behind(id));
        rig.shards[0].base.end(id, ErrorCode::Malformed, "wrong");
        rig.shards[0].settle();
        assert!(!rig.shards[0].sessions().is_behind(id));
    }

    #[test]
    fn the_notice_of_a_message_that_is_too_long_comes_behind_those_before_it() {
        let mut rig = Rig::new(&ShardConfig {
            turn_steps_max: 30,
            frame_bytes_max: 100,
            zmtp_publishers: true,
            ..ShardConfig::default()
        });
        let native = rig.open(0, OverflowPolicy::DropOldest);
        rig.say(0, native, &[subscribe(">", 1)]);
        let publisher = rig.open_zmtp(b"PUB");
        let mut all = BytesMut::new();
        for n in 0..30 {
            put_message(&mut all, format!("t.{n}").as_bytes(), [&b"payload"[..]].into_iter());
        }
        put_message(&mut all, b"t.0", [&[b'x'; 200][..]].into_iter());
        put_message(&mut all, b"t.0", [&b"after"[..]].into_iter());
        rig.say_zmtp(publisher, &all);
        assert!(rig.shards[0].sessions().is_behind(publisher));
        while rig.shards[0].sessions().is_behind(publisher) {
            rig.shards[0].go_on(publisher);
        }
        let heard = rig.hears(0, native);
        let messages: Vec<String> = (0..30).map(|n| format!("t.{n}={}", n + 1)).collect();
        assert_eq!(heard, format!("!1 {} t.0-1 t.0=32", messages.join(" ")));
    }
}
