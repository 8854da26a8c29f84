//! A stream of what becomes of a connection, as Python objects.

use corecast::{ConnectionEvent, ConnectionEvents};
use pyo3::prelude::*;
use pyo3::types::PyBytes;

use crate::errors::kind_name;
use crate::fork;
use crate::held::{Held, Owner, begin, close, in_turn, unless_closed};
use crate::operation::Operation;
use crate::subscriber::deadline;

/// The changes of a connection; the first event is how it stands. A loop over it ends when the session has ended for good.
#[pyclass(name = "ConnectionEvents", module = "corecast", weakref)]
pub(crate) struct PyConnectionEvents {
    held: Held<ConnectionEvents>,
}

impl PyConnectionEvents {
    pub(crate) fn new(events: ConnectionEvents) -> Self {
        PyConnectionEvents { held: Held::new(events) }
    }
}

impl Owner for PyConnectionEvents {
    type Handle = ConnectionEvents;
    const SUBJECT: &'static str = "stream of connection events";

    fn held(&mut self) -> &mut Held<ConnectionEvents> {
        &mut self.held
    }

    fn let_go(&mut self, handle: ConnectionEvents) -> Box<dyn FnOnce(Python<'_>) + Send> {
        Box::new(|py| py.detach(|| drop(handle)))
    }
}

impl Drop for PyConnectionEvents {
    fn drop(&mut self) {
        if let Some(events) = self.held.close()
            && fork::is_forked()
        {
            std::mem::forget(events);
        }
    }
}

#[pymethods]
impl PyConnectionEvents {
    /// The next event: waits for it, for `timeout` seconds if given; None: nothing has changed, or the session has ended.
    #[pyo3(signature = (timeout = None))]
    fn recv(slf: &Bound<'_, Self>, timeout: Option<f64>) -> PyResult<Option<Py<PyAny>>> {
        let ready = in_turn(slf, |this| this.held.here().map(ConnectionEvents::try_recv))?;
        if let Some(event) = ready {
            return object_of(slf.py(), Some(event)).map(Some);
        }
        let waited = Self::_recv(slf)?.wait(slf.py(), deadline(timeout)?)?;
        Ok(waited.filter(|event| !event.is_none(slf.py())))
    }

    /// Begins to wait for an event.
    fn _recv(slf: &Bound<'_, Self>) -> PyResult<Operation> {
        begin(
            slf,
            |mut events, mut cancelled| async move {
                let event = cancelled.or(events.recv_async()).await;
                (events, event)
            },
            |this, event| object_of(this.py(), event),
        )
    }

    /// Ends the stream.
    fn close(slf: &Bound<'_, Self>) -> PyResult<()> {
        close(slf)
    }

    fn __iter__(slf: Bound<'_, Self>) -> Bound<'_, Self> {
        slf
    }

    fn __next__(slf: &Bound<'_, Self>) -> PyResult<Option<Py<PyAny>>> {
        unless_closed(slf, Self::recv(slf, None))
    }
}

fn object_of(py: Python<'_>, event: Option<ConnectionEvent>) -> PyResult<Py<PyAny>> {
    match event {
        Some(event) => Ok(Py::new(py, PyConnectionEvent(event))?.into_any()),
        None => Ok(py.None()),
    }
}

/// A change of a connection: `what` is "connected", "disconnected", "slow" or "refused".
#[pyclass(frozen, name = "ConnectionEvent", module = "corecast")]
pub(crate) struct PyConnectionEvent(ConnectionEvent);

#[pymethods]
impl PyConnectionEvent {
    /// The change.
    #[getter]
    fn what(&self) -> &'static str {
        match &self.0 {
            ConnectionEvent::Connected => "connected",
            ConnectionEvent::Disconnected { .. } => "disconnected",
            ConnectionEvent::Slow { .. } => "slow",
            ConnectionEvent::Refused { .. } => "refused",
            _ => "unknown",
        }
    }

    /// The reason, to branch on: the `kind` of the exception that it would be.
    #[getter]
    fn kind(&self) -> Option<&'static str> {
        match &self.0 {
            ConnectionEvent::Disconnected { kind, .. } | ConnectionEvent::Refused { kind, .. } => {
                Some(kind_name(*kind))
            }
            _ => None,
        }
    }

    /// The reason, for people.
    #[getter]
    fn why(&self) -> Option<&str> {
        match &self.0 {
            ConnectionEvent::Disconnected { why, .. } | ConnectionEvent::Refused { why, .. } => Some(why),
            _ => None,
        }
    }

    /// Messages that were dropped since it was told before, of "slow".
    #[getter]
    fn missed(&self) -> Option<u64> {
        match &self.0 {
            ConnectionEvent::Slow { missed } => Some(*missed),
            _ => None,
        }
    }

    /// The topic, of "refused"; None: the registration of a direct publisher.
    #[getter]
    fn topic<'py>(&self, py: Python<'py>) -> Option<Bound<'py, PyBytes>> {
        match &self.0 {
            ConnectionEvent::Refused { topic, .. } => {
                topic.as_ref().map(|topic| PyBytes::new(py, topic.as_bytes()))
            }
            _ => None,
        }
    }

    fn __repr__(&self) -> String {
        let why = self.why().map_or_else(String::new, |why| format!(", why={why:?}"));
        format!("ConnectionEvent(what={:?}{why})", self.what())
    }
}
