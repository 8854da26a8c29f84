//! The form of every answer of the API.

use hyper::StatusCode;
use serde_json::{Value, json};

use super::query::QueryFault;

/// The answer to a request: its status, and the object.
pub(super) type ApiAnswer = (StatusCode, Value);

/// An answer; `None` if the broker is gone.
pub(super) type Answered = Result<Option<ApiAnswer>, QueryFault>;

/// The answer that is wanted.
pub(super) fn fine(value: Value) -> Answered {
    Ok(Some((StatusCode::OK, value)))
}

/// The object of a request that is not answered as it wants.
pub(super) fn fault(status: StatusCode, text: &str) -> ApiAnswer {
    (status, json!({ "error": text }))
}
