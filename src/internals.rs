//! The private modules of this crate, for its own tests, benchmarks and fuzz targets and for `corecast-bench` (feature
//! `internals`). Nothing here is promised: any of it may change with any commit.

/// Opens a module of this crate.
macro_rules! open {
    ($( $(#[$condition:meta])* $module:ident $title:literal; )*) => {$(
        $(#[$condition])*
        #[doc = $title]
        pub mod $module {
            #[doc(inline)]
            pub use crate::$module::*;
        }
    )*};
}

open! {
    auth "Identities of sessions, and what they may do.";
    broker "The pumps that move bytes for a shard, and a whole broker.";
    carrier "What takes messages elsewhere.";
    #[cfg(feature = "cli")]
    cli "The `corecast` command.";
    #[cfg(feature = "client")]
    client "Sessions, publishers, subscribers.";
    config "How options are declared.";
    error "What an operation can fail with, and the codes that travel on the wire.";
    fanout "The hot path.";
    ids "A newtype for every index.";
    limits "Every bound, with its reason.";
    printable "Text of peers, as it is shown to people.";
    registry "Publishers and their leases; which topics go direct.";
    shard "The state that one executor owns.";
    telemetry "Every counter in one list, the page for Prometheus, the logs.";
    topic "Names, filters, and the index from a topic to those who want it.";
    transport "Endpoints, listeners, connections.";
    wire "Greeting, splitter, checked frames, their bodies.";
    zmtp "ZeroMQ's wire.";
}
