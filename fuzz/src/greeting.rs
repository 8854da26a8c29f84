//! The first bytes of a connection: further bytes never change the verdict on the earlier ones.

use corecast::internals::zmtp::greeting::{GREETING_BYTES, ZmtpGreeting, parse};

/// Runs one input: any bytes, as far as they have arrived.
pub fn greeting(data: &[u8]) {
    let data = &data[..data.len().min(2 * GREETING_BYTES)];
    let mut decided = None;
    for come in 0..=data.len() {
        let said = parse(&data[..come]);
        match &decided {
            Some(before) => assert_eq!(before, &said, "it was decided, and is not any more"),
            None if !matches!(said, Ok(ZmtpGreeting::NeedMore(_))) => decided = Some(said),
            // The identity of ZMTP 2.0 may be longer.
            None => assert!(come < GREETING_BYTES || data[10] == 1, "a whole greeting is a greeting or none"),
        }
    }
}
