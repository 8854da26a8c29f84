//! A view of a broker's registry as a Python object: who publishes directly, and where.

use std::time::Duration;

use corecast::{Listed, PublisherChange, RegistryView};
use pyo3::prelude::*;
use pyo3::types::PyDict;

use crate::connection_events::PyConnectionEvents;
use crate::errors::exception;
use crate::fork;
use crate::held::{Held, Owner, begin, close, in_turn, is_closed, unless_closed};
use crate::operation::{Operation, block};
use crate::options::{client_config, seconds};
use crate::subscriber::deadline;

/// The publishers that a broker knows of: those with topics that go direct. It goes on when the broker comes back.
#[pyclass(name = "RegistryView", module = "corecast", weakref)]
pub(crate) struct PyRegistryView {
    held: Held<RegistryView>,
}

impl Owner for PyRegistryView {
    type Handle = RegistryView;
    const SUBJECT: &'static str = "view of the registry";

    fn held(&mut self) -> &mut Held<RegistryView> {
        &mut self.held
    }

    fn let_go(&mut self, handle: RegistryView) -> Box<dyn FnOnce(Python<'_>) + Send> {
        Box::new(|py| py.detach(|| drop(handle)))
    }
}

impl Drop for PyRegistryView {
    fn drop(&mut self) {
        if let Some(view) = self.held.close()
            && fork::is_forked()
        {
            std::mem::forget(view);
        }
    }
}

#[pymethods]
impl PyRegistryView {
    /// A view of the registry of this broker, when the broker has confirmed it.
    #[new]
    #[pyo3(signature = (broker, **options))]
    fn new(py: Python<'_>, broker: &str, options: Option<&Bound<'_, PyDict>>) -> PyResult<Self> {
        let config = client_config(broker, options)?;
        fork::begin_to_use()?;
        let view = block(py, RegistryView::with_config_async(config))?.map_err(exception)?;
        Ok(PyRegistryView { held: Held::new(view) })
    }

    /// Begins what `__new__` does.
    #[staticmethod]
    #[pyo3(signature = (broker, **options))]
    fn _connect(broker: &str, options: Option<&Bound<'_, PyDict>>) -> PyResult<Operation> {
        let config = client_config(broker, options)?;
        fork::begin_to_use()?;
        Ok(Operation::making(RegistryView::with_config_async(config), |py, made| {
            let held = Held::new(made.map_err(exception)?);
            Ok(Py::new(py, PyRegistryView { held })?.into_any())
        }))
    }

    /// Everybody who is registered now, by publisher. What it gives, `next_change` does not tell again.
    #[pyo3(signature = (timeout = 5.0))]
    fn list(slf: &Bound<'_, Self>, timeout: f64) -> PyResult<Py<PyAny>> {
        let listed = Self::_list(slf, timeout)?.wait(slf.py(), None)?;
        Ok(listed.expect("it has no deadline of ours"))
    }

    /// Begins to list.
    #[pyo3(signature = (timeout = 5.0))]
    fn _list(slf: &Bound<'_, Self>, timeout: f64) -> PyResult<Operation> {
        let timeout = seconds(timeout)?;
        begin(
            slf,
            move |mut view, mut cancelled| async move {
                let listed = cancelled.or(view.list_async(timeout)).await;
                (view, listed)
            },
            |this, listed| {
                let listed: Vec<_> = listed.map_err(exception)?.into_iter().map(PyListed).collect();
                Ok(listed.into_pyobject(this.py())?.into_any().unbind())
            },
        )
    }

    /// The next change: first of all, everybody who is there, unless `list` has given them. Waits for it, for `timeout` seconds if
    /// given; None: nothing has changed.
    #[pyo3(signature = (timeout = None))]
    fn next_change(slf: &Bound<'_, Self>, timeout: Option<f64>) -> PyResult<Option<Py<PyAny>>> {
        let deadline = deadline(timeout)?;
        let ready =
            in_turn(slf, |this| this.held.here().map(|view| view.next_change_timeout(Duration::ZERO)))?;
        match ready.map_err(exception)? {
            Some(change) => change_object(slf.py(), change).map(Some),
            None => Self::_next_change(slf)?.wait(slf.py(), deadline),
        }
    }

    /// Begins to wait for a change.
    fn _next_change(slf: &Bound<'_, Self>) -> PyResult<Operation> {
        begin(
            slf,
            |mut view, mut cancelled| async move {
                let change = cancelled.or(view.next_change_async()).await;
                (view, change)
            },
            |this, change| change_object(this.py(), change.map_err(exception)?),
        )
    }

    /// A stream of what becomes of the connection to the broker.
    fn connection_events(slf: &Bound<'_, Self>) -> PyResult<PyConnectionEvents> {
        in_turn(slf, |this| this.held.here().map(|held| PyConnectionEvents::new(held.connection_events())))
    }

    /// Ends it. A call of another thread that waits ends with `ClosedError`.
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
        unless_closed(slf, Self::next_change(slf, None))
    }
}

/// A publisher that is registered.
#[pyclass(frozen, name = "Listed", module = "corecast")]
pub(crate) struct PyListed(Listed);

#[pymethods]
impl PyListed {
    /// The publisher's number, as 16 hexadecimal digits.
    #[getter]
    fn publisher(&self) -> String {
        self.0.publisher.to_string()
    }

    /// Grows with each new registration of the same publisher.
    #[getter]
    fn epoch(&self) -> u64 {
        self.0.epoch
    }

    /// The addresses that its subscribers connect to.
    #[getter]
    fn endpoints(&self) -> Vec<String> {
        self.0.endpoints.iter().map(ToString::to_string).collect()
    }

    /// The topics that it publishes: names, and filters where there are very many.
    #[getter]
    fn topics(&self) -> Vec<String> {
        self.0.topics.iter().map(ToString::to_string).collect()
    }

    /// Seconds that are left of its lease; None of one that a change tells of.
    #[getter]
    fn lease_left(&self) -> Option<f64> {
        self.0.lease_left.map(|left| left.as_secs_f64())
    }

    fn __repr__(&self) -> String {
        let Listed { publisher, endpoints, .. } = &self.0;
        let endpoints: Vec<String> = endpoints.iter().map(ToString::to_string).collect();
        format!("Listed(publisher={publisher}, endpoints={endpoints:?}, topics={:?})", self.topics())
    }
}

/// A change of the registry: `what` is "up", of a publisher that is there or has changed, or "down".
#[pyclass(frozen, name = "PublisherChange", module = "corecast")]
pub(crate) struct PyPublisherChange(PublisherChange);

#[pymethods]
impl PyPublisherChange {
    /// The change.
    #[getter]
    fn what(&self) -> &'static str {
        match self.0 {
            PublisherChange::Up(_) => "up",
            PublisherChange::Down { .. } => "down",
        }
    }

    /// The publisher's number, as 16 hexadecimal digits.
    #[getter]
    fn publisher(&self) -> String {
        match &self.0 {
            PublisherChange::Up(listed) => listed.publisher.to_string(),
            PublisherChange::Down { publisher, .. } => publisher.to_string(),
        }
    }

    /// Its last epoch.
    #[getter]
    fn epoch(&self) -> u64 {
        match &self.0 {
            PublisherChange::Up(listed) => listed.epoch,
            PublisherChange::Down { epoch, .. } => *epoch,
        }
    }

    /// The publisher as a list has it, of "up".
    #[getter]
    fn listed(&self) -> Option<PyListed> {
        match &self.0 {
            PublisherChange::Up(listed) => Some(PyListed(listed.clone())),
            PublisherChange::Down { .. } => None,
        }
    }

    /// Why it is not registered any more, of "down": "left", "expired", "revoked", "forgotten".
    #[getter]
    fn reason(&self) -> Option<String> {
        match &self.0 {
            PublisherChange::Up(_) => None,
            PublisherChange::Down { reason, .. } => Some(reason.to_string()),
        }
    }

    fn __repr__(&self) -> String {
        let reason = self.reason().map_or_else(String::new, |reason| format!(", reason={reason:?}"));
        format!("PublisherChange(what={:?}, publisher={}{reason})", self.what(), self.publisher())
    }
}

fn change_object(py: Python<'_>, change: PublisherChange) -> PyResult<Py<PyAny>> {
    Ok(Py::new(py, PyPublisherChange(change))?.into_any())
}
