//! Payloads from an engine: whatever a foreign client publishes there is counted and dropped, or read as a broker wrote it.

use bytes::Bytes;
use corecast::internals::carrier::{Engine, EngineConfig, read_engine_payload};
use corecast_executors::MonotonicNs;

const FRAME_BYTES_MAX: usize = 1 << 16;

/// Runs one input: a payload.
pub fn engine(data: &[u8]) {
    let payload = Bytes::copy_from_slice(data);
    let is_sound = read_engine_payload(payload.clone(), FRAME_BYTES_MAX);
    let config = EngineConfig {
        shards: 1,
        start: 1,
        name: "fuzz".into(),
        cluster: "fuzz".into(),
        topics: Vec::new(),
        keep: Vec::new(),
        buffer_bytes_max: 1 << 16,
        stores: Vec::new(),
        filters_max: 4,
        frame_bytes_max: FRAME_BYTES_MAX,
    };
    let mut engine = Engine::new(config, MonotonicNs(1));
    engine.on_connected(1 << 16, MonotonicNs(1));
    // Twice: the second time its broker is known.
    for _ in 0..2 {
        engine.on_message(payload.clone());
        while engine.wants_look() {
            engine.on_looked();
        }
        for _ in 0..1_000 {
            if engine.next_order().is_none() {
                break;
            }
        }
    }
    assert!(is_sound || engine.counts().junk > 0 || data.get(8) == Some(&1), "junk is counted");
}
