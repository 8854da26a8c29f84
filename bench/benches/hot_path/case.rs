//! A case, and the list of all. Names are kept: the gate compares by them, across commits.

use crate::{egress, hop, partial, publish, route, subscribe, wire};

/// One thing to measure.
pub(crate) struct Case {
    /// `what/how`, without blanks.
    pub(crate) name: &'static str,
    /// Frames, messages or deliveries in one iteration, so that a time can be given for each.
    pub(crate) elements: u64,
    /// Makes what is measured, in a state that repeats.
    pub(crate) prepare: fn() -> Box<dyn Measured>,
}

/// Work that is repeated. Only [`Measured::run`] is timed or counted.
pub(crate) trait Measured {
    /// Brings back the state that `run` begins with.
    fn restore(&mut self);
    /// One iteration.
    fn run(&mut self);
}

/// Every case.
pub(crate) const CASES: &[Case] = &[
    Case { name: "encode/64-bytes", elements: wire::ENCODED, prepare: wire::encode_64_bytes },
    Case { name: "split/64-bytes", elements: wire::FRAMES_OF_64_BYTES, prepare: wire::split_64_bytes },
    Case { name: "split/1-kib", elements: wire::FRAMES_OF_1_KIB, prepare: wire::split_1_kib },
    Case { name: "encode/64-byte-runs", elements: wire::ENCODED, prepare: wire::encode_64_byte_runs },
    Case { name: "split/64-byte-runs", elements: wire::MESSAGES_IN_RUNS, prepare: wire::split_64_byte_runs },
    Case { name: "route/cached", elements: route::TOPICS, prepare: route::cached },
    Case { name: "route/uncached", elements: route::TOPICS, prepare: route::uncached },
    Case { name: "offer/one-session", elements: 1, prepare: egress::offer_to_one },
    Case { name: "offer/512-sessions", elements: egress::SESSIONS, prepare: egress::offer },
    Case { name: "offer/drop-oldest", elements: egress::SESSIONS, prepare: egress::overflow },
    Case { name: "flush/512-sessions", elements: egress::SESSIONS, prepare: egress::flush },
    Case { name: "partial/20-of-100", elements: partial::OF_100, prepare: partial::of_100 },
    Case { name: "partial/10-of-1000", elements: partial::OF_1000, prepare: partial::of_1000 },
    Case { name: "partial/10-of-1000-late", elements: partial::OF_1000, prepare: partial::of_1000_at_once },
    Case { name: "partial/500-of-10000", elements: partial::OF_10000, prepare: partial::of_10000 },
    Case { name: "partial/500-wildcards", elements: partial::WILDCARDS, prepare: partial::wildcards },
    Case { name: "publish/by-anybody", elements: publish::MESSAGES, prepare: publish::by_anybody },
    Case { name: "publish/by-a-user", elements: publish::MESSAGES, prepare: publish::by_a_user },
    Case { name: "publish/kept-last", elements: publish::MESSAGES, prepare: publish::kept_last },
    Case { name: "publish/kept-newest-10", elements: publish::MESSAGES, prepare: publish::kept_newest },
    Case { name: "publish/kept-elsewhere", elements: publish::MESSAGES, prepare: publish::kept_elsewhere },
    Case { name: "hop/batch", elements: wire::FRAMES_OF_64_BYTES, prepare: hop::batch },
    Case { name: "hop/batch-of-runs", elements: wire::MESSAGES_IN_RUNS, prepare: hop::batch_of_runs },
    Case { name: "subscribe/first-100", elements: subscribe::FEW, prepare: subscribe::first },
    Case { name: "subscribe/last-100-of-100000", elements: subscribe::FEW, prepare: subscribe::last },
    Case { name: "hop/link", elements: hop::BATCHES, prepare: hop::link },
];
