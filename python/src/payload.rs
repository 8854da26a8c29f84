//! Bytes that cross to Python and back without a copy of ours: any contiguous buffer as a payload to publish, and the bytes
//! of a message as a buffer that Python reads.
#![expect(unsafe_code, reason = "the buffer protocol is made of pointers; nothing else here is unsafe")]

use std::ffi::{c_char, c_int};

use bytes::Bytes;
use pyo3::buffer::PyUntypedBuffer;
use pyo3::exceptions::{PyBufferError, PyTypeError};
use pyo3::ffi;
use pyo3::prelude::*;
use pyo3::types::PyBytes;

/// Lends the bytes of an object to `use_bytes`, which copies those that it keeps.
///
/// # Errors
/// `TypeError` for what is no buffer, `BufferError` for one that is not contiguous; those of `use_bytes`.
pub(crate) fn with_bytes<R>(
    payload: &Bound<'_, PyAny>,
    use_bytes: impl FnOnce(&[u8]) -> PyResult<R>,
) -> PyResult<R> {
    if let Ok(bytes) = payload.cast::<PyBytes>() {
        return use_bytes(bytes.as_bytes());
    }
    let buffer = PyUntypedBuffer::get(payload).map_err(|_| not_bytes(payload))?;
    if !buffer.is_c_contiguous() {
        let text = "a payload's buffer must be contiguous: numpy.ascontiguousarray makes it so";
        return Err(PyBufferError::new_err(text));
    }
    let length = buffer.len_bytes();
    if length == 0 {
        // Its pointer may be null.
        return use_bytes(&[]);
    }
    // SAFETY: a contiguous buffer is so many bytes from its pointer on, and they stay where they are until `buffer` is
    // released, below. Nobody writes to them while this thread holds the GIL; in a free-threaded Python the caller must not, as
    // with every buffer that is handed to C.
    let bytes = unsafe { std::slice::from_raw_parts(buffer.buf_ptr().cast::<u8>(), length) };
    use_bytes(bytes)
}

fn not_bytes(payload: &Bound<'_, PyAny>) -> PyErr {
    let name = payload.get_type().name().map_or_else(|_| "an object".to_owned(), |name| name.to_string());
    let advice = if name == "str" { ": encode it" } else { "" };
    PyTypeError::new_err(format!(
        "a payload is bytes, or another object with a contiguous buffer, and not {name}{advice}"
    ))
}

/// Fills in a view of the bytes that `owner` keeps, for its `__getbuffer__`.
///
/// # Safety
/// `view` is one that Python has passed to `__getbuffer__`, and `owner` keeps these bytes, unchanged, for as long as it lives.
///
/// # Errors
/// `BufferError` if one that can be written is asked for.
pub(crate) unsafe fn fill_view(
    owner: &Bound<'_, PyAny>,
    bytes: &Bytes,
    view: *mut ffi::Py_buffer,
    flags: c_int,
) -> PyResult<()> {
    let length = ffi::Py_ssize_t::try_from(bytes.len()).expect("no allocation is longer than isize");
    let start = bytes.as_ptr().cast::<c_char>().cast_mut();
    // SAFETY: `view` is valid, as the caller promises, and takes a reference of the owner, so that the bytes live as long as
    // it does. It is read-only: the pointer is never written through.
    let filled = unsafe { ffi::PyBuffer_FillInfo(view, owner.as_ptr(), start.cast(), length, 1, flags) };
    if filled == 0 { Ok(()) } else { Err(PyErr::fetch(owner.py())) }
}
