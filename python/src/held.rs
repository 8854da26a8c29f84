//! A handle of the library that one call at a time may use. A call that waits takes it along, and brings it back.

use std::future::Future;

use corecast_executors::{Link, link};
use pyo3::prelude::*;
use pyo3::pyclass::boolean_struct::False;
use pyo3::{PyClass, PyTypeInfo};

use crate::operation::{Cancel, Cancelled, Finish, Operation, block, cancel};
use crate::{errors, fork};

/// A handle, or where it is.
pub(crate) struct Held<T> {
    place: Place<T>,
    /// Threads that wait until a call brings it back.
    waiting: Vec<Link<()>>,
}

enum Place<T> {
    Here(T),
    /// A call has it.
    Away(Cancel),
    /// A call has it, and it will be closed then.
    Ending,
    Closed,
}

/// An object that holds a handle.
pub(crate) trait Owner: PyClass<Frozen = False> + PyTypeInfo + Send + Sync {
    /// The handle.
    type Handle: Send + Sync + 'static;
    /// The name of the handle in errors.
    const SUBJECT: &'static str;

    fn held(&mut self) -> &mut Held<Self::Handle>;

    /// Lets go of a handle that was closed while a call had it.
    fn let_go(&mut self, handle: Self::Handle) -> Box<dyn FnOnce(Python<'_>) + Send>;
}

impl<T> Held<T> {
    pub(crate) fn new(handle: T) -> Self {
        Held { place: Place::Here(handle), waiting: Vec::new() }
    }

    /// The handle, unless a call has it or it is closed.
    pub(crate) fn here(&mut self) -> Option<&mut T> {
        match &mut self.place {
            Place::Here(handle) => Some(handle),
            _ => None,
        }
    }

    pub(crate) fn is_closed(&self) -> bool {
        matches!(self.place, Place::Closed | Place::Ending)
    }

    /// Closes it: gives the handle, or cancels the call that has it.
    pub(crate) fn close(&mut self) -> Option<T> {
        match std::mem::replace(&mut self.place, Place::Closed) {
            Place::Here(handle) => Some(handle),
            Place::Away(cancel) => {
                self.place = Place::Ending;
                cancel.now();
                None
            }
            Place::Ending => {
                self.place = Place::Ending;
                None
            }
            Place::Closed => None,
        }
    }

    /// Takes the handle for the last call.
    pub(crate) fn take_for_good(&mut self) -> Option<T> {
        self.here()?;
        self.close()
    }

    fn take(&mut self, cancel: &Cancel) -> Option<T> {
        self.here()?;
        match std::mem::replace(&mut self.place, Place::Away(cancel.clone())) {
            Place::Here(handle) => Some(handle),
            _ => None,
        }
    }

    /// Brings it back; gives it if it was closed meanwhile.
    fn bring_back(&mut self, handle: T) -> Option<T> {
        for waiting in self.waiting.drain(..) {
            // It may wait no more.
            let _ = waiting.try_send(());
        }
        if self.is_closed() {
            self.place = Place::Closed;
            return Some(handle);
        }
        self.place = Place::Here(handle);
        None
    }
}

/// Does something with an object, for a moment: nothing in it may call Python.
pub(crate) fn with<O: Owner, R>(owner: &Bound<'_, O>, mut act: impl FnMut(&mut O) -> R) -> R {
    loop {
        // Another thread can have it only in a Python without the GIL, and only for as long.
        if let Ok(mut borrowed) = owner.try_borrow_mut() {
            return act(&mut borrowed);
        }
        owner.py().detach(std::thread::yield_now);
    }
}

/// Closes the handle of an object and drops it without the GIL. A call that waits with it ends with `ClosedError`.
///
/// # Errors
/// `ForkedError`.
pub(crate) fn close<O: Owner>(owner: &Bound<'_, O>) -> PyResult<()> {
    fork::check()?;
    let handle = with(owner, |object| object.held().close());
    owner.py().detach(|| drop(handle));
    Ok(())
}

/// True if the handle of an object was closed.
pub(crate) fn is_closed<O: Owner>(owner: &Bound<'_, O>) -> bool {
    with(owner, |object| object.held().is_closed())
}

/// The next item of a loop over an object: the loop ends when somebody closes that.
pub(crate) fn unless_closed<O: Owner>(
    owner: &Bound<'_, O>,
    next: PyResult<Option<Py<PyAny>>>,
) -> PyResult<Option<Py<PyAny>>> {
    match next {
        Err(_) if is_closed(owner) => Ok(None),
        next => next,
    }
}

/// Waits until no other thread's call has the handle, and does something with it.
///
/// # Errors
/// `ClosedError`, `ForkedError`; what a signal raises meanwhile.
pub(crate) fn in_turn<O: Owner, R>(
    owner: &Bound<'_, O>,
    mut act: impl FnMut(&mut O) -> Option<R>,
) -> PyResult<R> {
    loop {
        fork::check()?;
        enum Turn<R> {
            Done(R),
            Closed,
            Wait(corecast_executors::Inbox<()>),
        }
        let turn = with(owner, |object| {
            if let Some(done) = act(object) {
                return Turn::Done(done);
            }
            let held = object.held();
            if held.is_closed() {
                return Turn::Closed;
            }
            let (waiting, brought_back) = link(1);
            held.waiting.push(waiting);
            Turn::Wait(brought_back)
        });
        match turn {
            Turn::Done(done) => return Ok(done),
            Turn::Closed => return Err(errors::closed(O::SUBJECT)),
            Turn::Wait(mut brought_back) => drop(block(owner.py(), brought_back.recv())?),
        }
    }
}

/// Begins an operation that takes the handle along: `work` gives it back, with its result, or `None` if it was cancelled.
/// `finish` turns the result into a Python object, with the handle in its place again.
///
/// # Errors
/// As for [`in_turn`].
pub(crate) fn begin<O, R, W, F>(
    owner: &Bound<'_, O>,
    work: impl FnOnce(O::Handle, Cancelled) -> W,
    finish: F,
) -> PyResult<Operation>
where
    O: Owner,
    R: Send + 'static,
    W: Future<Output = (O::Handle, Option<R>)> + Send + 'static,
    F: FnOnce(&Bound<'_, O>, R) -> PyResult<Py<PyAny>> + Send + 'static,
{
    let (cancel, cancelled) = cancel();
    let handle = in_turn(owner, |object| object.held().take(&cancel))?;
    let work = work(handle, cancelled);
    let owner = owner.clone().unbind();
    let running = async move {
        let (handle, result) = work.await;
        Box::new(move |py: Python<'_>| {
            let owner = owner.bind(py);
            let was_closed = bring_back(owner, handle);
            match result {
                Some(result) => finish(owner, result).map(Some),
                None if was_closed => Err(errors::closed(O::SUBJECT)),
                None => Ok(None),
            }
        }) as Finish
    };
    Ok(Operation::new(running, cancel))
}

/// Brings a handle back; true if it was closed meanwhile.
fn bring_back<O: Owner>(owner: &Bound<'_, O>, handle: O::Handle) -> bool {
    let mut handle = Some(handle);
    let end = with(owner, |object| {
        let closed = object.held().bring_back(handle.take()?)?;
        Some(object.let_go(closed))
    });
    match end {
        Some(end) => {
            end(owner.py());
            true
        }
        None => false,
    }
}
