//! The fuzz target `users`; see `src/users.rs`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| corecast_fuzz::users(data));
