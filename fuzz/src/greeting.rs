//! The first bytes of a connection: more of them never change what was said of fewer.

use corecast::internals::zmtp::greeting::{GREETING_BYTES, ZmtpGreeting, parse};

/// Any bytes, as far as they have come.
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
