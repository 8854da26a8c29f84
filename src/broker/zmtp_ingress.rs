//! What a ZeroMQ session's reader holds after a read: its machine says what of it is whole and what is to be done, and
//! the shard does it. Without I/O, so that simulations and fuzzers drive it too.

use std::time::{SystemTime, UNIX_EPOCH};

use super::ingress::discard_all;
use crate::ids::SessionId;
use crate::shard::Shard;
use crate::wire::{Reader, Slab};
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
) {
    let Some(mut machine) = shard.take_machine(id) else { return discard_all(reader, slab) };
    let filled = reader.filled(slab);
    let read = machine.read(filled, &mut scratch.out);
    let announced = machine.announced_bytes(&filled[read.whole_bytes..]);
    let completed = read.whole_bytes > 0;
    let bytes = reader.take(slab, read.whole_bytes);
    shard.on_zmtp(id, machine, &bytes, (&read, &mut scratch.out), now_unix_ns);
    shard.on_partial(id, reader.partial_bytes(), completed, announced);
}

/// Nanoseconds since 1970-01-01 UTC, read once a turn: ZMTP messages carry no time.
pub(super) fn unix_ns() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_nanos()).unwrap_or(u64::MAX)
}
