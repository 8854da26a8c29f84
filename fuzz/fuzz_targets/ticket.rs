//! The fuzz target `ticket`; see `src/ticket.rs`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| corecast_fuzz::ticket(data));
