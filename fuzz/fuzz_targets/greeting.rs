//! The fuzz target `greeting`: what it tries stands in `src/greeting.rs`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| corecast_fuzz::greeting(data));
