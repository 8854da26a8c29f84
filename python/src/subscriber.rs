//! A subscriber as a Python object.

use std::time::Instant;

use corecast::{Event, Subscriber};
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyList, PyTuple};

use crate::connection_events::PyConnectionEvents;
use crate::errors::exception;
use crate::events::event_object;
use crate::fork;
use crate::held::{Held, Owner, begin, close, in_turn, is_closed, unless_closed, with};
use crate::operation::{Operation, block};
use crate::options::{client_config, filters, seconds};

/// Receives the messages of the topics that its filters match, and a `Gap` wherever some are missing.
#[pyclass(name = "Subscriber", module = "corecast", weakref)]
pub(crate) struct PySubscriber {
    held: Held<Subscriber>,
}

impl Owner for PySubscriber {
    type Handle = Subscriber;
    const SUBJECT: &'static str = "subscriber";

    fn held(&mut self) -> &mut Held<Subscriber> {
        &mut self.held
    }

    fn let_go(&mut self, handle: Subscriber) -> Box<dyn FnOnce(Python<'_>) + Send> {
        Box::new(|py| py.detach(|| drop(handle)))
    }
}

impl Drop for PySubscriber {
    fn drop(&mut self) {
        if let Some(subscriber) = self.held.close()
            && fork::is_forked()
        {
            std::mem::forget(subscriber);
        }
    }
}

#[pymethods]
impl PySubscriber {
    /// A subscriber at this broker, when its filters are in force.
    #[new]
    #[pyo3(signature = (broker, *filters, **options))]
    fn new(
        py: Python<'_>,
        broker: &str,
        filters: &Bound<'_, PyTuple>,
        options: Option<&Bound<'_, PyDict>>,
    ) -> PyResult<Self> {
        let (config, filters) = (client_config(broker, options)?, self::filters(filters)?);
        fork::begin_to_use()?;
        let subscriber = block(py, Subscriber::with_config_async(config, &filters))?.map_err(exception)?;
        Ok(PySubscriber { held: Held::new(subscriber) })
    }

    /// Begins what `__new__` does.
    #[staticmethod]
    #[pyo3(signature = (broker, *filters, **options))]
    fn _connect(
        broker: &str,
        filters: &Bound<'_, PyTuple>,
        options: Option<&Bound<'_, PyDict>>,
    ) -> PyResult<Operation> {
        let (config, filters) = (client_config(broker, options)?, self::filters(filters)?);
        fork::begin_to_use()?;
        let connect = async move { Subscriber::with_config_async(config, &filters).await };
        Ok(Operation::making(connect, |py, made| {
            let held = Held::new(made.map_err(exception)?);
            Ok(Py::new(py, PySubscriber { held })?.into_any())
        }))
    }

    /// The next event: waits for it, for `timeout` seconds if given; None: nothing has come.
    #[pyo3(signature = (timeout = None))]
    fn recv(slf: &Bound<'_, Self>, timeout: Option<f64>) -> PyResult<Option<Py<PyAny>>> {
        match Self::try_recv(slf)? {
            Some(event) => Ok(Some(event)),
            None => Self::_recv(slf)?.wait(slf.py(), deadline(timeout)?),
        }
    }

    /// An event that is there now, or None.
    fn try_recv(slf: &Bound<'_, Self>) -> PyResult<Option<Py<PyAny>>> {
        let event = in_turn(slf, |this| this.held.here().map(Subscriber::try_recv))?;
        event.map_err(exception)?.map(|event| event_object(slf.py(), event)).transpose()
    }

    /// Begins to wait for an event.
    fn _recv(slf: &Bound<'_, Self>) -> PyResult<Operation> {
        begin(
            slf,
            |mut subscriber, mut cancelled| async move {
                let event = cancelled.or(subscriber.recv_async()).await;
                (subscriber, event)
            },
            |this, event| event_object(this.py(), event.map_err(exception)?),
        )
    }

    /// As many events as are there, `max_events` at the most: waits for the first, for `timeout` seconds if given. An empty list:
    /// nothing has come.
    #[pyo3(signature = (max_events = 1024, timeout = None))]
    fn recv_many(slf: &Bound<'_, Self>, max_events: usize, timeout: Option<f64>) -> PyResult<Py<PyAny>> {
        let ready = Self::_try_recv_many(slf, max_events)?;
        if !ready.is_empty() || max_events == 0 {
            return Ok(ready.into_any().unbind());
        }
        let waited = Self::_recv_many(slf, max_events)?.wait(slf.py(), deadline(timeout)?)?;
        Ok(waited.unwrap_or_else(|| ready.into_any().unbind()))
    }

    /// As many events as are there now.
    #[pyo3(signature = (max_events = 1024))]
    fn _try_recv_many<'py>(slf: &Bound<'py, Self>, max_events: usize) -> PyResult<Bound<'py, PyList>> {
        let ready = in_turn(slf, |this| this.held.here().map(|subscriber| ready(subscriber, max_events)))?;
        list_of(slf.py(), ready.map_err(exception)?)
    }

    /// Begins to wait for one event or more.
    #[pyo3(signature = (max_events = 1024))]
    fn _recv_many(slf: &Bound<'_, Self>, max_events: usize) -> PyResult<Operation> {
        begin(
            slf,
            |mut subscriber, mut cancelled| async move {
                let event = cancelled.or(subscriber.recv_async()).await;
                (subscriber, event)
            },
            move |this, event| {
                let mut events = vec![event.map_err(exception)?];
                // A failure behind these events is told by the next call.
                if let Some(Ok(more)) =
                    with(this, |this| this.held.here().map(|held| ready(held, max_events.saturating_sub(1))))
                {
                    events.extend(more);
                }
                Ok(list_of(this.py(), events)?.into_any().unbind())
            },
        )
    }

    /// A stream of what becomes of the connection to the broker.
    fn connection_events(slf: &Bound<'_, Self>) -> PyResult<PyConnectionEvents> {
        in_turn(slf, |this| this.held.here().map(|held| PyConnectionEvents::new(held.connection_events())))
    }

    /// Unsubscribes. A call of another thread that waits ends with `ClosedError`.
    fn close(slf: &Bound<'_, Self>) -> PyResult<()> {
        close(slf)
    }

    /// True if it was closed.
    #[getter]
    fn closed(slf: &Bound<'_, Self>) -> bool {
        is_closed(slf)
    }

    fn __enter__(slf: Bound<'_, Self>) -> Bound<'_, Self> {
        slf
    }

    fn __exit__(
        slf: &Bound<'_, Self>,
        _type: &Bound<'_, PyAny>,
        _value: &Bound<'_, PyAny>,
        _traceback: &Bound<'_, PyAny>,
    ) -> PyResult<bool> {
        Self::close(slf).map(|()| false)
    }

    fn __iter__(slf: Bound<'_, Self>) -> Bound<'_, Self> {
        slf
    }

    fn __next__(slf: &Bound<'_, Self>) -> PyResult<Option<Py<PyAny>>> {
        unless_closed(slf, Self::recv(slf, None))
    }
}

/// The time at which a call gives up.
pub(crate) fn deadline(timeout: Option<f64>) -> PyResult<Option<Instant>> {
    let timeout = timeout.map(seconds).transpose()?;
    Ok(timeout.and_then(|timeout| Instant::now().checked_add(timeout)))
}

/// Events that are there now.
fn ready(subscriber: &mut Subscriber, max_events: usize) -> corecast::Result<Vec<Event>> {
    let mut events = Vec::new();
    while events.len() < max_events {
        match subscriber.try_recv() {
            Ok(Some(event)) => events.push(event),
            Ok(None) => break,
            // It is told again, behind these events.
            Err(_) if !events.is_empty() => break,
            Err(error) => return Err(error),
        }
    }
    Ok(events)
}

fn list_of(py: Python<'_>, events: Vec<Event>) -> PyResult<Bound<'_, PyList>> {
    let objects: PyResult<Vec<_>> = events.into_iter().map(|event| event_object(py, event)).collect();
    PyList::new(py, objects?)
}
