//! Sessions without a connection, whose other end is the test.

use bytes::Bytes;
use corecast_executors::MonotonicNs;

use super::state::State;
use crate::ClientConfig;
use crate::ids::PublisherId;
use crate::registry::Registration;
use crate::topic::Filter;
use crate::wire::{Frame, splitter};

/// The first registration of a direct publisher, at an address where nobody is.
pub(super) fn registration(publisher: u64) -> Registration {
    Registration {
        publisher: PublisherId(publisher),
        epoch: 1,
        endpoints: vec!["tcp://127.0.0.1:1".parse().expect("an endpoint")],
        topics: vec![Filter::parse("a").expect("a filter")],
    }
}

/// The welcome of a broker, or of a direct publisher.
pub(super) const WELCOME: Frame<'static> = Frame::Welcome {
    session: 1,
    epoch: 1,
    frame_bytes_max: 1 << 20,
    heartbeat_ms: 15_000,
    overflow: 1,
    ticket: 0,
};

/// A state that has said hello and was welcomed.
pub(super) fn open(state: State) -> State {
    open_after(state, &[])
}

/// As [`open`], after these words of the other end.
pub(super) fn open_after(mut state: State, words: &[Frame<'_>]) -> State {
    state.on_connected(&ClientConfig::new(crate::Endpoint::default()), None, MonotonicNs(1));
    let said = state.out.unsent().len();
    state.out.sent(said);
    words.iter().for_each(|word| state.on_control(*word));
    state.on_control(WELCOME);
    state
}

/// The subscriptions that are unsent, by their requests. They leave with this.
pub(super) fn requests(state: &mut State) -> Vec<u32> {
    let unsent = Bytes::copy_from_slice(state.out.unsent());
    state.out.sent(unsent.len());
    let requests = splitter::frames(&unsent).filter_map(|(_, frame)| match frame {
        Frame::Subscribe { request, .. } | Frame::WatchPublishers { request, .. } => Some(request),
        _ => None,
    });
    requests.collect()
}

/// Confirms the subscriptions that are unsent.
pub(super) fn answer(state: &mut State) {
    requests(state).into_iter().for_each(|request| state.on_control(Frame::Done { request }));
}
