//! The fuzz target `frames`: what it tries stands in `src/frames.rs`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| corecast_fuzz::frames(data));
