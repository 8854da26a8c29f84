//! The native part of the Python package `corecast`: the client library's handles as Python objects.
//!
//! | file | owns |
//! |---|---|
//! | `limits` | every limit, with its reason |
//! | `errors` | the library's errors as Python's exceptions |
//! | `fork` | the refusal in a process that was forked from one that had used the library |
//! | `options` | keyword arguments that become the configuration of a client |
//! | `payload` | bytes from any buffer, and a message's bytes as a buffer: the only `unsafe` |
//! | `events` | messages, gaps, the end of history |
//! | `operation` | a call that waits, for a thread or for an event loop; a loop's bell |
//! | `held` | a handle of the library that one call at a time may use |
//! | `connection_events` | what becomes of a connection |
//! | `publisher`, `subscriber`, `registry_view` | the classes that Python sees |
//!
//! Nothing of Python runs on the client executor: it wakes a thread, or writes to an eventfd that an event loop watches. So
//! neither the GIL nor a slow callback can stall it.

mod connection_events;
mod errors;
mod events;
mod fork;
mod held;
mod limits;
mod operation;
mod options;
mod payload;
mod publisher;
mod registry_view;
mod subscriber;

/// The module; `corecast` re-exports what is public of it.
#[pyo3::pymodule(gil_used = false)]
mod _corecast {
    #[pymodule_export]
    use crate::connection_events::{PyConnectionEvent, PyConnectionEvents};
    #[pymodule_export]
    use crate::events::{PyCaughtUp, PyGap, PyMessage};
    #[pymodule_export]
    use crate::fork::{forked, is_forked};
    #[pymodule_export]
    use crate::operation::{Bell, Operation};
    #[pymodule_export]
    use crate::publisher::PyPublisher;
    #[pymodule_export]
    use crate::registry_view::{PyListed, PyPublisherChange, PyRegistryView};
    #[pymodule_export]
    use crate::subscriber::PySubscriber;
}
