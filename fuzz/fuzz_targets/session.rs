//! The fuzz target `session`: what it tries stands in `src/session.rs`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| corecast_fuzz::session(data));
