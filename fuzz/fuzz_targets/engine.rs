//! The fuzz target `engine`; see `src/engine.rs`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| corecast_fuzz::engine(data));
