//! The body of an answer: all of it at once, or a stream of server-sent events that lasts until its reader goes. Of a stream there
//! is one event at a time: the next is made when the connection has taken the last.

use std::convert::Infallible;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use corecast_executors::MonotonicNs;
use http_body_util::Full;
use hyper::body::{Body, Frame, SizeHint};
use hyper::header::{CACHE_CONTROL, CONTENT_TYPE, HeaderValue, X_CONTENT_TYPE_OPTIONS};
use hyper::{Response, StatusCode};
use serde_json::Value;
use tokio::time::sleep;

use super::api;
use super::census::Operations;
use crate::limits::{EVENT_PERIOD, EVENT_READERS_MAX};
use crate::printable::printable_json;

/// The body of an answer.
pub(super) enum PageBody {
    /// All of it.
    Whole(Full<Bytes>),
    /// Events, one after the other.
    Events(Box<EventStream>),
}

impl Body for PageBody {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        match &mut *self {
            PageBody::Whole(whole) => Pin::new(whole).poll_frame(context),
            PageBody::Events(events) => {
                events.poll_next(context).map(|event| event.map(|bytes| Ok(Frame::data(bytes))))
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            PageBody::Whole(whole) => whole.is_end_stream(),
            PageBody::Events(_) => false,
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            PageBody::Whole(whole) => whole.size_hint(),
            PageBody::Events(_) => SizeHint::default(),
        }
    }
}

/// An answer that is whole.
pub(super) fn response(status: StatusCode, content_type: &'static str, text: String) -> Response<PageBody> {
    let mut response = Response::new(PageBody::Whole(Full::new(Bytes::from(text))));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    // All of them show the present, and are what they say.
    response.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response.headers_mut().insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    response
}

/// The places of readers of events. Clones are the same places.
#[derive(Clone, Default, Debug)]
pub(super) struct EventSeats(Arc<AtomicUsize>);

/// The place of one reader.
struct Seat(EventSeats);

impl EventSeats {
    /// A place, if one is left.
    fn take(&self) -> Option<Seat> {
        let add = |taken| (taken < EVENT_READERS_MAX).then_some(taken + 1);
        self.0.fetch_update(Ordering::Relaxed, Ordering::Relaxed, add).ok().map(|_| Seat(self.clone()))
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        self.0.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// The last sign of life of a conversation that may become a stream: whoever owns the connection looks at it.
#[derive(Clone, Default, Debug)]
pub(super) struct StreamPulse(Arc<AtomicU64>);

impl StreamPulse {
    fn beat(&self) {
        self.0.store(MonotonicNs::now().0, Ordering::Relaxed);
    }

    /// The time since its reader last wanted an event. `None`: it is no stream.
    pub(super) fn silence(&self) -> Option<Duration> {
        match self.0.load(Ordering::Relaxed) {
            0 => None,
            last => Some(MonotonicNs::now().saturating_since(MonotonicNs(last))),
        }
    }
}

/// The events of one reader, from now on.
pub(super) struct EventStream {
    operations: Operations,
    pulse: StreamPulse,
    /// The next event, while it is made.
    next: Option<NextEvent>,
    is_first: bool,
    _seat: Seat,
}

type NextEvent = Pin<Box<dyn Future<Output = Option<Bytes>> + Send>>;

impl EventStream {
    /// Events for one reader more. `None`: there are as many as there may be.
    pub(super) fn begin(operations: &Operations, seats: &EventSeats, pulse: &StreamPulse) -> Option<Self> {
        let seat = seats.take()?;
        pulse.beat();
        let operations = operations.clone();
        Some(EventStream { operations, pulse: pulse.clone(), next: None, is_first: true, _seat: seat })
    }

    fn poll_next(&mut self, context: &mut Context<'_>) -> Poll<Option<Bytes>> {
        self.pulse.beat();
        let (operations, is_first) = (&self.operations, self.is_first);
        let next = self.next.get_or_insert_with(|| Box::pin(event(operations.clone(), is_first)));
        let event = next.as_mut().poll(context);
        if event.is_ready() {
            (self.next, self.is_first) = (None, false);
        }
        event
    }
}

/// The next event, after a pause. `None`: the broker is gone.
async fn event(operations: Operations, is_first: bool) -> Option<Bytes> {
    if !is_first {
        sleep(EVENT_PERIOD).await;
    }
    let live = api::live(&operations, api::LIVE_ROWS).await?;
    Some(written(&live))
}

/// An event as it travels: JSON has no line breaks of its own.
fn written(value: &Value) -> Bytes {
    Bytes::from(format!("data: {}\n\n", printable_json(&value.to_string())))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_bounded_and_given_back() {
        let seats = EventSeats::default();
        let mut taken: Vec<Seat> = (0..EVENT_READERS_MAX).filter_map(|_| seats.take()).collect();
        assert_eq!(taken.len(), EVENT_READERS_MAX);
        assert!(seats.take().is_none());
        taken.pop();
        taken.extend(seats.take());
        assert_eq!(taken.len(), EVENT_READERS_MAX);
        drop(taken);
        assert_eq!(seats.0.load(Ordering::Relaxed), 0);
    }

    #[test]
    fn an_event_is_one_line_whatever_its_text() {
        let event = written(&serde_json::json!({ "name": "a\n\ndata: b\r\u{2028}" }));
        let text = std::str::from_utf8(&event).expect("text");
        assert!(text.starts_with("data: {") && text.ends_with("}\n\n"), "{text}");
        assert_eq!(text.matches(['\n', '\r', '\u{2028}']).count(), 2, "{text}");
    }

    #[test]
    fn a_conversation_is_a_stream_once_its_reader_wants_events() {
        let pulse = StreamPulse::default();
        assert_eq!(pulse.silence(), None);
        pulse.clone().beat();
        assert!(pulse.silence().is_some_and(|silence| silence < Duration::from_secs(60)));
    }
}
