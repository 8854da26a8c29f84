//! The fuzz target `greeting`; see `src/greeting.rs`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| corecast_fuzz::greeting(data));
