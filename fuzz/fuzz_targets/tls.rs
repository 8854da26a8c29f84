//! The fuzz target `tls`; see `src/tls.rs`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| corecast_fuzz::tls(data));
