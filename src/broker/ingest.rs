//! A native session's bytes after a read: whole frames go to the shard. Without I/O, so that simulations and fuzzers drive
//! it, too.

use bytes::Bytes;
use zeroize::Zeroize as _;

use crate::error::ErrorCode;
use crate::ids::SessionId;
use crate::limits::LENGTH_BYTES;
use crate::shard::{Phase, Shard};
use crate::wire::greeting::{self, GREETING_BYTES, Greeting};
use crate::wire::{Partial, Reader, Slab, Span, WireError, announced_bytes, split};

/// Takes the bytes that a session's reader holds after a read: the greeting first, then frames. Those that are whole go to the
/// shard, the rest stays in the reader, and a fault ends the session. Returns the frame that has begun and is not whole.
pub fn ingest(
    shard: &mut Shard,
    id: SessionId,
    reader: &mut Reader,
    slab: &mut Slab,
    spans: &mut Vec<Span>,
) -> Partial {
    let mut greeted = 0;
    match shard.sessions().phase(id) {
        Some(Phase::Hello | Phase::Open) => {}
        Some(Phase::Greeting) => match greeting::parse(reader.filled(slab)) {
            Ok(Greeting::NeedMore) => {
                reader.discard(slab, 0);
                return reader.partial_frame();
            }
            Ok(Greeting::Version(_, features)) => {
                greeted = GREETING_BYTES;
                shard.on_greeting(id, Ok(features));
            }
            Err(code) => {
                shard.on_greeting(id, Err(code));
                return discard_all(reader, slab);
            }
        },
        Some(Phase::Closing | Phase::Shut) | None => return discard_all(reader, slab),
    }
    spans.clear();
    let filled = &reader.filled(slab)[greeted..];
    // It may hold a secret.
    let is_stranger = shard.sessions().phase(id) == Some(Phase::Hello);
    if is_stranger
        && let Some(error) = too_long_for_a_stranger(filled, shard.config().first_frame_bytes_max())
    {
        shard.on_wire_error(id, &error);
        return discard_all(reader, slab);
    }
    let found = split(filled, shard.config().frame_bytes_max, spans);
    let whole = greeted + found.whole_bytes;
    let taken = if is_stranger { reader.take_secret(slab, whole) } else { reader.take(slab, whole) };
    let frames = taken.slice(greeted..);
    drop(taken);
    shard.on_frames(id, &frames, spans);
    if is_stranger {
        wipe(frames);
    }
    if let Some(error) = found.error {
        shard.on_wire_error(id, &error);
    }
    let partial = reader.partial_frame();
    shard.on_partial(id, partial, !spans.is_empty());
    partial
}

/// Overwrites the words of a stranger, unless something still refers to them.
pub(super) fn wipe(bytes: Bytes) {
    if let Ok(mut bytes) = bytes.try_into_mut() {
        bytes.zeroize();
    }
}

/// Ends the turn and keeps nothing: no frame will come of these bytes.
pub(super) fn discard_all(reader: &mut Reader, slab: &mut Slab) -> Partial {
    let all = reader.filled(slab).len();
    reader.discard(slab, all);
    Partial::default()
}

/// Notes that a session's stream has ended. If a frame has begun, or a message that is skipped, that is an error, which a peer
/// that has only shut down its own side can still read.
pub(super) fn end_stream(shard: &mut Shard, id: SessionId, has_begun: bool) {
    if has_begun && matches!(shard.sessions().phase(id), Some(Phase::Hello | Phase::Open)) {
        shard.on_wire_error(id, &WireError::new(ErrorCode::Malformed, "the stream ended within a frame"));
    }
}

/// Before the hello nobody is known: little of a stranger is kept.
fn too_long_for_a_stranger(bytes: &[u8], bytes_max: usize) -> Option<WireError> {
    let body_bytes = announced_bytes(bytes)? - LENGTH_BYTES;
    if body_bytes <= bytes_max {
        return None;
    }
    let text = format!("the first frame, a hello, announces {body_bytes} bytes; the limit is {bytes_max}");
    Some(WireError::new(ErrorCode::TooLarge, text))
}
