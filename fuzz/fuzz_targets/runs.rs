//! The fuzz target `runs`; see `src/runs.rs`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| corecast_fuzz::runs(data));
