//! The fuzz target `session`; see `src/session.rs`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| corecast_fuzz::session(data));
