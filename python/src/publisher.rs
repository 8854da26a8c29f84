//! A publisher as a Python object.

use std::ffi::CString;
use std::pin::pin;
use std::task::{Context, Poll, Waker};

use corecast::{Error, ErrorKind, Publisher, Topic};
use pyo3::exceptions::{PyRuntimeWarning, PyTypeError};
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::{PyBytes, PyDict, PyString};

use crate::connection_events::PyConnectionEvents;
use crate::errors::{exception, invalid};
use crate::fork;
use crate::held::{Held, Owner, begin, in_turn, is_closed, with};
use crate::limits::{CLOSE_SECONDS, LINGER};
use crate::operation::{Operation, block};
use crate::options::{client_config, seconds};
use crate::payload::with_bytes;

/// Publishes messages through a broker, or directly to their subscribers if the broker says so.
#[pyclass(name = "Publisher", module = "corecast", weakref)]
pub(crate) struct PyPublisher {
    held: Held<Publisher>,
    id: String,
    published: u64,
    /// Up to which it is known what has become of the messages.
    settled: u64,
    /// The last topic, by the object that named it: programs publish to the same one again.
    topic: Option<(Py<PyAny>, Topic)>,
    /// Python's exit closes it.
    is_known_to_exit: bool,
}

impl Owner for PyPublisher {
    type Handle = Publisher;
    const SUBJECT: &'static str = "publisher";

    fn held(&mut self) -> &mut Held<Publisher> {
        &mut self.held
    }

    fn let_go(&mut self, handle: Publisher) -> Box<dyn FnOnce(Python<'_>) + Send> {
        let unconfirmed = self.unconfirmed();
        Box::new(move |py| linger(py, handle, unconfirmed))
    }
}

impl Drop for PyPublisher {
    fn drop(&mut self) {
        let unconfirmed = self.unconfirmed();
        let Some(publisher) = self.held.close() else { return };
        if fork::is_forked() {
            return std::mem::forget(publisher);
        }
        // If Python is ending, the library does the same, and only its own log says so.
        Python::try_attach(|py| linger(py, publisher, unconfirmed));
    }
}

impl PyPublisher {
    fn made(publisher: Publisher) -> Self {
        PyPublisher {
            id: publisher.id().to_string(),
            held: Held::new(publisher),
            published: 0,
            settled: 0,
            topic: None,
            is_known_to_exit: false,
        }
    }

    /// Publishes if there is room now. `None`: there is not, or another call has the publisher, or it is closed.
    fn offer(&mut self, topic: &Topic, payload: &[u8]) -> Option<Result<u64, Error>> {
        let publisher = self.held.here()?;
        let before = publisher.published();
        let first = {
            let publishing = pin!(publisher.publish_async(topic, payload));
            publishing.poll(&mut Context::from_waker(Waker::noop()))
        };
        self.published = publisher.published();
        match first {
            Poll::Ready(published) => Some(published),
            // Withdrawn, unless it was taken in that moment.
            Poll::Pending => (self.published > before).then_some(Ok(self.published)),
        }
    }

    /// Notes that what was published before a call is settled, if the call says so.
    fn settle<T>(&mut self, published: u64, result: &Result<T, Error>) {
        let is_settled = match result {
            Ok(_) => true,
            Err(error) => error.kind() == ErrorKind::Lost,
        };
        if is_settled {
            self.settled = published;
        }
    }

    /// The topic that this object names.
    fn topic_of(slf: &Bound<'_, Self>, named: &Bound<'_, PyAny>) -> PyResult<Topic> {
        let known = with(slf, |this| match &this.topic {
            Some((object, topic)) if object.is(named) => Some(topic.clone()),
            _ => None,
        });
        if let Some(topic) = known {
            return Ok(topic);
        }
        let topic = topic_of(named)?;
        let mut newest = Some((named.clone().unbind(), topic.clone()));
        // The one before may be the last reference to its object, which is freed outside.
        let before = with(slf, |this| std::mem::replace(&mut this.topic, newest.take()));
        drop(before);
        Ok(topic)
    }

    /// Lets Python's exit know of a publisher that has published.
    fn tell_exit(slf: &Bound<'_, Self>) -> PyResult<()> {
        static LIVE: PyOnceLock<Py<PyAny>> = PyOnceLock::new();
        if !with(slf, |this| std::mem::replace(&mut this.is_known_to_exit, true)) {
            LIVE.import(slf.py(), "corecast._exit", "live")?.call_method1("add", (slf,))?;
        }
        Ok(())
    }
}

#[pymethods]
impl PyPublisher {
    /// A publisher at this broker, when its session is open.
    #[new]
    #[pyo3(signature = (broker, **options))]
    fn new(py: Python<'_>, broker: &str, options: Option<&Bound<'_, PyDict>>) -> PyResult<Self> {
        let config = client_config(broker, options)?;
        fork::begin_to_use()?;
        block(py, Publisher::with_config_async(config))?.map(Self::made).map_err(exception)
    }

    /// Begins what `__new__` does.
    #[staticmethod]
    #[pyo3(signature = (broker, **options))]
    fn _connect(broker: &str, options: Option<&Bound<'_, PyDict>>) -> PyResult<Operation> {
        let config = client_config(broker, options)?;
        fork::begin_to_use()?;
        Ok(Operation::making(Publisher::with_config_async(config), |py, made| {
            let publisher = made.map(Self::made).map_err(exception)?;
            Ok(Py::new(py, publisher)?.into_any())
        }))
    }

    /// Publishes a message and returns its sequence number. Waits while too many are queued.
    fn publish(slf: &Bound<'_, Self>, topic: &Bound<'_, PyAny>, payload: &Bound<'_, PyAny>) -> PyResult<u64> {
        if let Some(sequence) = Self::_offer(slf, topic, payload)? {
            return Ok(sequence);
        }
        let published = Self::_publish(slf, topic, payload)?.wait(slf.py(), None)?;
        published.expect("it has no deadline").extract(slf.py())
    }

    /// Publishes a message if there is room now, and returns its sequence number; None: there is not.
    fn _offer(
        slf: &Bound<'_, Self>,
        topic: &Bound<'_, PyAny>,
        payload: &Bound<'_, PyAny>,
    ) -> PyResult<Option<u64>> {
        fork::check()?;
        let topic = Self::topic_of(slf, topic)?;
        Self::tell_exit(slf)?;
        let offered = with_bytes(payload, |bytes| Ok(with(slf, |this| this.offer(&topic, bytes))))?;
        offered.transpose().map_err(exception)
    }

    /// Begins to publish a message, which is copied.
    fn _publish(
        slf: &Bound<'_, Self>,
        topic: &Bound<'_, PyAny>,
        payload: &Bound<'_, PyAny>,
    ) -> PyResult<Operation> {
        let topic = Self::topic_of(slf, topic)?;
        let payload = with_bytes(payload, |bytes| Ok(bytes.to_vec()))?;
        begin(
            slf,
            |mut publisher, mut cancelled| async move {
                let published = cancelled.or(publisher.publish_async(&topic, &payload)).await;
                (publisher, published)
            },
            |this, published| {
                with(this, |this| {
                    if let Some(publisher) = this.held.here() {
                        this.published = publisher.published();
                    }
                });
                Ok(published.map_err(exception)?.into_pyobject(this.py())?.into_any().unbind())
            },
        )
    }

    /// Waits until at least `n` subscribers of this topic are in force, and returns how many are.
    #[pyo3(signature = (topic, n = 1, timeout = 10.0))]
    fn wait_for_subscribers(
        slf: &Bound<'_, Self>,
        topic: &Bound<'_, PyAny>,
        n: usize,
        timeout: f64,
    ) -> PyResult<usize> {
        let there = Self::_wait_for_subscribers(slf, topic, n, timeout)?.wait(slf.py(), None)?;
        there.expect("it has no deadline").extract(slf.py())
    }

    /// Begins to wait for subscribers.
    #[pyo3(signature = (topic, n = 1, timeout = 10.0))]
    fn _wait_for_subscribers(
        slf: &Bound<'_, Self>,
        topic: &Bound<'_, PyAny>,
        n: usize,
        timeout: f64,
    ) -> PyResult<Operation> {
        let (topic, timeout) = (Self::topic_of(slf, topic)?, seconds(timeout)?);
        begin(
            slf,
            move |mut publisher, mut cancelled| async move {
                let there = publisher.wait_for_subscribers_async(&topic, n, timeout);
                let there = cancelled.or(there).await;
                (publisher, there)
            },
            |this, there| Ok(there.map_err(exception)?.into_pyobject(this.py())?.into_any().unbind()),
        )
    }

    /// Waits until the broker has taken for delivery all that was published.
    #[pyo3(signature = (timeout = 30.0))]
    fn flush(slf: &Bound<'_, Self>, timeout: f64) -> PyResult<()> {
        Self::_flush(slf, timeout)?.wait(slf.py(), None).map(drop)
    }

    /// Begins to flush.
    #[pyo3(signature = (timeout = 30.0))]
    fn _flush(slf: &Bound<'_, Self>, timeout: f64) -> PyResult<Operation> {
        let timeout = seconds(timeout)?;
        begin(
            slf,
            move |mut publisher, mut cancelled| async move {
                let published = publisher.published();
                let flushed = cancelled.or(publisher.flush_async(timeout)).await;
                (publisher, flushed.map(|flushed| (published, flushed)))
            },
            |this, (published, flushed)| {
                with(this, |this| this.settle(published, &flushed));
                flushed.map(|()| this.py().None()).map_err(exception)
            },
        )
    }

    /// Flushes, and ends. A publisher that is closed already stays so.
    #[pyo3(signature = (timeout = 30.0))]
    fn close(slf: &Bound<'_, Self>, timeout: f64) -> PyResult<()> {
        match Self::_close(slf, timeout)? {
            Some(closing) => closing.wait(slf.py(), None).map(drop),
            None => Ok(()),
        }
    }

    /// Begins to close; None: it is closed.
    #[pyo3(signature = (timeout = 30.0))]
    fn _close(slf: &Bound<'_, Self>, timeout: f64) -> PyResult<Option<Operation>> {
        let timeout = seconds(timeout)?;
        if with(slf, |this| this.held.is_closed()) {
            return Ok(None);
        }
        let publisher = in_turn(slf, |this| this.held.take_for_good())?;
        let this = slf.clone().unbind();
        Ok(Some(Operation::making(
            async move { (publisher.published(), publisher.close_within_async(timeout).await) },
            move |py, (published, closed)| {
                with(this.bind(py), |this| this.settle(published, &closed));
                closed.map(|()| py.None()).map_err(exception)
            },
        )))
    }

    /// Closes it as Python ends: the number of messages that are lost, and why.
    fn _leave(slf: &Bound<'_, Self>, timeout: f64) -> PyResult<(u64, Option<String>)> {
        let timeout = seconds(timeout)?;
        let left = with(slf, |this| {
            let unconfirmed = this.unconfirmed();
            this.held.take_for_good().map(|publisher| (publisher, unconfirmed))
        });
        let Some((publisher, unconfirmed)) = left else { return Ok((0, None)) };
        match slf.py().detach(|| publisher.close_within(timeout)) {
            Err(error) if unconfirmed > 0 => Ok((unconfirmed, Some(error.to_string()))),
            _ => Ok((0, None)),
        }
    }

    /// A publisher of its own with the same configuration: give each thread one.
    fn clone(slf: &Bound<'_, Self>) -> PyResult<Self> {
        in_turn(slf, |this| this.held.here().map(|publisher| publisher.clone())).map(Self::made)
    }

    /// A stream of what becomes of the connection to the broker.
    fn connection_events(slf: &Bound<'_, Self>) -> PyResult<PyConnectionEvents> {
        in_turn(slf, |this| this.held.here().map(|held| PyConnectionEvents::new(held.connection_events())))
    }

    /// The publisher's number, as 16 hexadecimal digits.
    #[getter]
    fn id(&self) -> &str {
        &self.id
    }

    /// The number of messages published: the sequence number of the last.
    #[getter]
    fn published(slf: &Bound<'_, Self>) -> u64 {
        with(slf, |this| this.published)
    }

    /// The number of messages that no flush or close has confirmed yet.
    #[getter(unconfirmed)]
    fn get_unconfirmed(slf: &Bound<'_, Self>) -> u64 {
        with(slf, |this| this.unconfirmed())
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
        exc_type: &Bound<'_, PyAny>,
        _value: &Bound<'_, PyAny>,
        _traceback: &Bound<'_, PyAny>,
    ) -> PyResult<bool> {
        if exc_type.is_none() {
            Self::close(slf, CLOSE_SECONDS)?;
        } else {
            // The exception that ends the block is what to tell; what is lost besides is a warning.
            let closed = with(slf, |this| this.held.close().map(|held| this.let_go(held)));
            if let Some(let_go) = closed {
                let_go(slf.py());
            }
        }
        Ok(false)
    }
}

impl PyPublisher {
    fn unconfirmed(&self) -> u64 {
        self.published.saturating_sub(self.settled)
    }
}

/// Gives what was published time to leave, and warns of what may be lost.
fn linger(py: Python<'_>, publisher: Publisher, unconfirmed: u64) {
    if unconfirmed == 0 {
        return py.detach(|| drop(publisher));
    }
    // Python frees objects while an exception is on its way, too.
    let underway = PyErr::take(py);
    let left = py.detach(|| publisher.close_within(LINGER));
    if let Err(error) = left {
        let text = format!(
            "a publisher was dropped without close(), and up to {unconfirmed} of its messages are lost: {error}"
        );
        let text = CString::new(text.replace('\0', "")).expect("it has no zero bytes");
        if let Err(raised) = PyErr::warn(py, &py.get_type::<PyRuntimeWarning>(), &text, 1) {
            raised.write_unraisable(py, None);
        }
    }
    if let Some(underway) = underway {
        underway.restore(py);
    }
}

fn topic_of(named: &Bound<'_, PyAny>) -> PyResult<Topic> {
    if let Ok(text) = named.cast::<PyString>() {
        return Topic::new(text.to_cow()?.as_bytes()).map_err(invalid);
    }
    if let Ok(bytes) = named.cast::<PyBytes>() {
        return Topic::new(bytes.as_bytes()).map_err(invalid);
    }
    Err(PyTypeError::new_err("a topic is a str such as 'prices.eur', or bytes"))
}
