//! A call that waits. The same operation is waited for by a thread, which lets others have the GIL and looks for signals, or
//! by a task of an event loop, which is woken by the loop's bell.

use std::future::Future;
use std::os::fd::{AsFd as _, AsRawFd as _};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, Wake, Waker};
use std::thread::Thread;
use std::time::{Duration, Instant};

use corecast_executors::{Inbox, Link, link};
use futures_lite::future::or;
use nix::sys::eventfd::{EfdFlags, EventFd};
use nix::unistd::{getpid, gettid};
use pyo3::exceptions::PyRuntimeError;
use pyo3::prelude::*;
use pyo3::types::PyTuple;

use crate::fork;
use crate::limits::{SIGNALS_EVERY, WOKEN_MAX};

/// The end of an operation: what it leaves to be done with Python, for its result; `None` of one that was cancelled.
pub(crate) type Finish = Box<dyn FnOnce(Python<'_>) -> PyResult<Option<Py<PyAny>>> + Send>;

/// The work of an operation, which is done without Python.
type Running = Pin<Box<dyn Future<Output = Finish> + Send>>;

/// A call that waits.
#[pyclass]
pub(crate) struct Operation {
    running: Kept<Running>,
    cancel: Cancel,
    waker: Option<Waker>,
}

/// A place for a value that threads hand to each other and never share, as objects of Python are.
struct Kept<T>(Link<T>, Inbox<T>);

impl<T> Kept<T> {
    fn new(value: T) -> Self {
        let (link, inbox) = link(1);
        let mut kept = Kept(link, inbox);
        kept.put(value);
        kept
    }

    fn take(&mut self) -> Option<T> {
        self.1.try_recv()
    }

    fn put(&mut self, value: T) {
        // It has room for the one that was taken.
        let _ = self.0.try_send(value);
    }
}

/// Cancels an operation: it ends, and gives back what it holds.
#[derive(Clone)]
pub(crate) struct Cancel(Link<()>);

/// The end of a [`Cancel`] that the operation has.
pub(crate) struct Cancelled(Inbox<()>);

/// Both ends.
pub(crate) fn cancel() -> (Cancel, Cancelled) {
    let (cancel, cancelled) = link(1);
    (Cancel(cancel), Cancelled(cancelled))
}

impl Cancel {
    /// Cancels.
    pub(crate) fn now(&self) {
        // One is enough.
        let _ = self.0.try_send(());
    }
}

impl Cancelled {
    /// Waits for `work`; `None` if it is cancelled before, and the work is dropped.
    pub(crate) async fn or<T>(&mut self, work: impl Future<Output = T>) -> Option<T> {
        let cancelled = async {
            self.0.recv().await;
            None
        };
        or(cancelled, async { Some(work.await) }).await
    }
}

impl Operation {
    /// An operation that does this, and is cancelled so.
    pub(crate) fn new(running: impl Future<Output = Finish> + Send + 'static, cancel: Cancel) -> Operation {
        Operation { running: Kept::new(Box::pin(running)), cancel, waker: None }
    }

    /// An operation that needs no handle: it makes one.
    pub(crate) fn making<T: Send + 'static>(
        work: impl Future<Output = T> + Send + 'static,
        finish: impl FnOnce(Python<'_>, T) -> PyResult<Py<PyAny>> + Send + 'static,
    ) -> Operation {
        let (cancel, mut cancelled) = cancel();
        let running = async move {
            let made = cancelled.or(work).await;
            Box::new(move |py: Python<'_>| made.map(|made| finish(py, made)).transpose()) as Finish
        };
        Operation::new(running, cancel)
    }

    /// Waits on this thread, without the GIL, until the deadline; `None`: it has passed.
    ///
    /// # Errors
    /// Those of the operation, and what a signal raises, such as `KeyboardInterrupt`.
    pub(crate) fn wait(mut self, py: Python<'_>, deadline: Option<Instant>) -> PyResult<Option<Py<PyAny>>> {
        let mut running = self.running.take().expect("it is waited for once");
        match wait(py, &mut running, deadline) {
            Ok(Some(finish)) => finish(py),
            late_or_signal => {
                self.cancel.now();
                // It gives back what it holds, or has ended just now.
                let finish =
                    py.detach(|| poll_until(&mut running, None)).expect("without a deadline it ends");
                let ended = finish(py);
                late_or_signal?;
                ended
            }
        }
    }
}

/// Waits for a value on this thread, without the GIL.
///
/// # Errors
/// What a signal raises, such as `KeyboardInterrupt`: the work is dropped then.
pub(crate) fn block<T: Send>(py: Python<'_>, work: impl Future<Output = T> + Send) -> PyResult<T> {
    let mut work: Pin<Box<dyn Future<Output = T> + Send + '_>> = Box::pin(work);
    let waited = wait(py, &mut work, None);
    py.detach(|| drop(work));
    waited.map(|value| value.expect("without a deadline it ends"))
}

/// Waits on this thread, without the GIL, until the deadline; `None`: it has passed.
fn wait<F: Future + Unpin + Send>(
    py: Python<'_>,
    work: &mut F,
    deadline: Option<Instant>,
) -> PyResult<Option<F::Output>>
where
    F::Output: Send,
{
    fork::check()?;
    let hears_signals = getpid() == gettid();
    loop {
        let look = hears_signals.then(|| Instant::now() + SIGNALS_EVERY);
        let until = [look, deadline].into_iter().flatten().min();
        let value = py.detach(|| poll_until(&mut *work, until));
        if value.is_some() {
            return Ok(value);
        }
        py.check_signals()?;
        if deadline.is_some_and(|deadline| Instant::now() >= deadline) {
            return Ok(None);
        }
    }
}

/// Wakes a thread that waits in [`poll_until`].
struct Unpark(Thread);

impl Wake for Unpark {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }
}

/// Waits on this thread; `None`: it is too late.
fn poll_until<F: Future + Unpin>(work: &mut F, until: Option<Instant>) -> Option<F::Output> {
    let waker = Waker::from(Arc::new(Unpark(std::thread::current())));
    let mut context = Context::from_waker(&waker);
    loop {
        if let Poll::Ready(value) = Pin::new(&mut *work).poll(&mut context) {
            return Some(value);
        }
        match until.map(|until| until.saturating_duration_since(Instant::now())) {
            None => std::thread::park(),
            Some(Duration::ZERO) => return None,
            Some(left) => std::thread::park_timeout(left),
        }
    }
}

#[pymethods]
impl Operation {
    /// Goes on, for an event loop: a tuple with the result, or None if the bell will ring with this token.
    fn poll<'py>(
        &mut self,
        py: Python<'py>,
        bell: &Bell,
        token: u64,
    ) -> PyResult<Option<Bound<'py, PyTuple>>> {
        fork::check()?;
        let text = "the call has ended";
        let Some(mut running) = self.running.take() else { return Err(PyRuntimeError::new_err(text)) };
        let waker = self.waker.get_or_insert_with(|| bell.waker(token)).clone();
        let polled = running.as_mut().poll(&mut Context::from_waker(&waker));
        match polled {
            Poll::Pending => {
                self.running.put(running);
                Ok(None)
            }
            Poll::Ready(finish) => PyTuple::new(py, [finish(py)?]).map(Some),
        }
    }

    /// Ends it, if it has not ended, and gives back what it holds.
    fn cancel(&mut self, py: Python<'_>) {
        let Some(mut running) = self.running.take() else { return };
        if fork::is_forked() {
            return std::mem::forget(running);
        }
        self.cancel.now();
        let finish = py.detach(|| poll_until(&mut running, None)).expect("without a deadline it ends");
        // It was cancelled: nobody waits for how it ends.
        drop(finish(py));
    }
}

/// The bell of an event loop: a descriptor that becomes readable when operations are woken.
#[pyclass]
pub(crate) struct Bell {
    shared: Arc<BellShared>,
    woken: Inbox<u64>,
}

struct BellShared {
    fd: EventFd,
    is_rung: AtomicBool,
    woken: Link<u64>,
    /// More were woken than `woken` has room for.
    is_flooded: AtomicBool,
}

/// Wakes one operation of an event loop. No Python here: the thread that wakes is the client executor.
struct Ring {
    bell: Arc<BellShared>,
    token: u64,
}

impl Wake for Ring {
    fn wake(self: Arc<Self>) {
        if self.bell.woken.try_send(self.token).is_err() {
            self.bell.is_flooded.store(true, Ordering::Release);
        }
        if !self.bell.is_rung.swap(true, Ordering::AcqRel) {
            // It fails only if the counter is at its end, and then the bell is readable anyway.
            let _ = self.bell.fd.write(1);
        }
    }
}

impl Bell {
    fn waker(&self, token: u64) -> Waker {
        Waker::from(Arc::new(Ring { bell: Arc::clone(&self.shared), token }))
    }
}

#[pymethods]
impl Bell {
    #[new]
    fn new() -> PyResult<Bell> {
        let fd = EventFd::from_flags(EfdFlags::EFD_CLOEXEC | EfdFlags::EFD_NONBLOCK)
            .map_err(std::io::Error::from)?;
        let (woken, inbox) = link(WOKEN_MAX);
        let shared =
            BellShared { fd, is_rung: AtomicBool::new(false), woken, is_flooded: AtomicBool::new(false) };
        Ok(Bell { shared: Arc::new(shared), woken: inbox })
    }

    /// The descriptor to watch.
    fn fileno(&self) -> i32 {
        self.shared.fd.as_fd().as_raw_fd()
    }

    /// The tokens of the operations that were woken; None: any of them.
    fn answer(&mut self) -> Option<Vec<u64>> {
        // First the bell: who is woken from here on rings again.
        let _ = self.shared.fd.read();
        self.shared.is_rung.store(false, Ordering::Release);
        let mut tokens = Vec::new();
        while tokens.len() < WOKEN_MAX
            && let Some(token) = self.woken.try_recv()
        {
            tokens.push(token);
        }
        if tokens.len() == WOKEN_MAX || self.shared.is_flooded.swap(false, Ordering::AcqRel) {
            return None;
        }
        Some(tokens)
    }
}
