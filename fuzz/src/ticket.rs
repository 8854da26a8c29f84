//! Tickets to direct publishers: whatever is shown, nobody is let in whom the broker has not signed for, and what it has signed is
//! either a ticket for this publisher or a fault.

use std::sync::OnceLock;

use corecast::internals::auth::{TicketFault, TicketRules, TicketSigner};
use corecast::internals::ids::PublisherId;
use corecast_executors::MonotonicNs;

const HERE: PublisherId = PublisherId(0x0102_0304_0506_0708);

/// Runs one input: the bytes of a ticket without its signature.
pub fn ticket(data: &[u8]) {
    static SIGNER: OnceLock<TicketSigner> = OnceLock::new();
    let signer = SIGNER.get_or_init(|| TicketSigner::fresh().expect("random bytes").expect("it can sign"));
    let rules = TicketRules { key: signer.key(), epoch: 1, broker_ms: 0, heard_at: MonotonicNs(0) };
    let admit = |shown: &[u8]| rules.admit(shown, HERE, MonotonicNs(0));
    let unsigned = admit(data).expect_err("nobody has signed it");
    assert!(matches!(unsigned, TicketFault::Unsigned | TicketFault::Malformed));
    let mut sealed = signer.seal(data.to_vec());
    if admit(&sealed).is_ok() {
        assert_eq!(data[1..9], HERE.0.to_le_bytes(), "it is for this publisher");
    }
    let at = data.len() / 2;
    sealed[at] ^= 1;
    assert!(admit(&sealed).is_err(), "it was changed on the way");
}
