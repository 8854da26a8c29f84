//! The fuzz target `mechanisms`; see `src/mechanisms.rs`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| corecast_fuzz::mechanisms(data));
