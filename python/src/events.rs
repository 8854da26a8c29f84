//! Events of a subscriber as Python objects.
#![expect(unsafe_code, reason = "`__getbuffer__` is given a pointer: src/payload.rs fills it in")]

use std::ffi::c_int;

use bytes::Bytes;
use corecast::{Event, Gap, GapReason, Message};
use pyo3::ffi;
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyList, PyMemoryView, PyString};

/// A message. It is a buffer itself: `bytes(message)`, `memoryview(message)` and `numpy.frombuffer(message, …)` read its payload.
#[pyclass(frozen, name = "Message", module = "corecast")]
pub(crate) struct PyMessage(Message);

#[pymethods]
impl PyMessage {
    /// The topic. Bytes that are no UTF-8, which only ZeroMQ publishers send, are escaped as by os.fsdecode.
    #[getter]
    fn topic<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyString>> {
        text_of(py, &self.0.topic)
    }

    /// The topic's bytes.
    #[getter]
    fn topic_bytes<'py>(&self, py: Python<'py>) -> Bound<'py, PyBytes> {
        PyBytes::new(py, &self.0.topic)
    }

    /// The payload, without a copy.
    #[getter]
    fn payload<'py>(slf: &Bound<'py, Self>) -> PyResult<Bound<'py, PyMemoryView>> {
        PyMemoryView::from(slf.as_any())
    }

    /// The parts of a message from a ZeroMQ publisher that has not exactly two; else the payload alone.
    #[getter]
    fn parts<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyList>> {
        PyList::new(py, self.0.parts().map(|part| PyBytes::new(py, &part)).collect::<Vec<_>>())
    }

    /// True if it is a list of parts from a ZeroMQ publisher: read `parts`, the payload is their encoding.
    #[getter]
    fn multipart(&self) -> bool {
        self.0.multipart
    }

    /// The publisher's number, as 16 hexadecimal digits.
    #[getter]
    fn publisher(&self) -> String {
        self.0.publisher.to_string()
    }

    /// Counts the publisher's messages, over all its topics, from 1.
    #[getter]
    fn sequence(&self) -> u64 {
        self.0.sequence
    }

    /// When it was published: nanoseconds since 1970-01-01 UTC by the publisher's clock.
    #[getter]
    fn sent_at_ns(&self) -> u64 {
        self.0.sent_at_ns
    }

    /// True if it comes from history.
    #[getter(from_history)]
    fn is_from_history(&self) -> bool {
        self.0.from_history
    }

    fn __len__(&self) -> usize {
        self.0.payload.len()
    }

    fn __bool__(&self) -> bool {
        // A message without a payload is one, too.
        true
    }

    fn __bytes__<'py>(&self, py: Python<'py>) -> Bound<'py, PyBytes> {
        PyBytes::new(py, &self.0.payload)
    }

    /// A read-only view of the payload.
    ///
    /// # Safety
    /// Called by Python alone, with a view to fill in.
    unsafe fn __getbuffer__(slf: Bound<'_, Self>, view: *mut ffi::Py_buffer, flags: c_int) -> PyResult<()> {
        let bytes: &Bytes = &slf.get().0.payload;
        // SAFETY: Python has passed the view; the object is frozen and keeps its bytes.
        unsafe { crate::payload::fill_view(slf.as_any(), bytes, view, flags) }
    }

    fn __repr__(&self) -> String {
        let Message { topic, payload, sequence, publisher, .. } = &self.0;
        let topic = String::from_utf8_lossy(topic);
        format!(
            "Message(topic={topic:?}, {} bytes, sequence={sequence}, publisher={publisher})",
            payload.len()
        )
    }
}

/// Messages that were missed, between the event before and the event after.
#[pyclass(frozen, name = "Gap", module = "corecast")]
pub(crate) struct PyGap(Gap);

#[pymethods]
impl PyGap {
    /// The topic; None: any topic that is subscribed.
    #[getter]
    fn topic<'py>(&self, py: Python<'py>) -> PyResult<Option<Bound<'py, PyString>>> {
        self.0.topic.as_ref().map(|topic| text_of(py, topic)).transpose()
    }

    /// The number of messages; None: unknown, perhaps none.
    #[getter]
    fn missed(&self) -> Option<u64> {
        self.0.missed
    }

    /// Why, such as "overflow", "reconnect", "history"; of a session that the broker has closed, its reason.
    #[getter]
    fn reason(&self) -> String {
        self.0.reason.to_string()
    }

    /// True if the broker closed this session, and `reason` says why.
    #[getter]
    fn disconnected(&self) -> bool {
        matches!(self.0.reason, GapReason::Disconnected(_))
    }

    fn __repr__(&self) -> String {
        let Gap { topic, missed, reason } = &self.0;
        let or_none = |text: Option<String>| text.unwrap_or_else(|| "None".to_owned());
        let topic = or_none(topic.as_ref().map(|topic| format!("{:?}", String::from_utf8_lossy(topic))));
        let missed = or_none(missed.map(|missed| missed.to_string()));
        format!("Gap(topic={topic}, missed={missed}, reason={:?})", reason.to_string())
    }
}

/// All history has come with which the subscriber started: what follows is live.
#[pyclass(frozen, name = "CaughtUp", module = "corecast")]
pub(crate) struct PyCaughtUp;

#[pymethods]
impl PyCaughtUp {
    fn __repr__(&self) -> &'static str {
        "CaughtUp()"
    }
}

/// The Python object of an event.
pub(crate) fn event_object(py: Python<'_>, event: Event) -> PyResult<Py<PyAny>> {
    Ok(match event {
        Event::Message(message) => Py::new(py, PyMessage(message))?.into_any(),
        Event::Gap(gap) => Py::new(py, PyGap(gap))?.into_any(),
        Event::CaughtUp => Py::new(py, PyCaughtUp)?.into_any(),
    })
}

fn text_of<'py>(py: Python<'py>, bytes: &[u8]) -> PyResult<Bound<'py, PyString>> {
    match std::str::from_utf8(bytes) {
        Ok(text) => Ok(PyString::new(py, text)),
        Err(_) => {
            let bytes = PyBytes::new(py, bytes);
            PyString::from_encoded_object(&bytes, Some(c"utf-8"), Some(c"surrogateescape"))
        }
    }
}
