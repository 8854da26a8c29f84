//! The counts of subscribers that publishers of a session wait for: as many are asked for as a session may ask, and the
//! others have to wait. Pure; part of a session's state.

use std::collections::BTreeMap;

use bytes::Bytes;

use super::out::OutBuffer;
use crate::ids::RequestId;
use crate::limits::WATCHES_PER_SESSION_MAX;
use crate::wire::Frame;

/// All of a session, by their requests.
#[derive(Default)]
pub(super) struct SubscriberCounts(BTreeMap<RequestId, Watched>);

struct Watched {
    topic: Bytes,
    /// The broker is asked: a session may ask for so many counts at a time.
    asked: bool,
    count: Option<u32>,
}

impl SubscriberCounts {
    /// The session has just opened: the counts of before are not those of now.
    pub(super) fn ask_again(&mut self, out: &mut OutBuffer) {
        for watched in self.0.values_mut() {
            (watched.asked, watched.count) = (false, None);
        }
        self.ask(out);
    }

    /// Adds a topic, for which an open session asks.
    pub(super) fn add(&mut self, request: RequestId, topic: Bytes, open: Option<&mut OutBuffer>) {
        self.0.insert(request, Watched { topic, asked: false, count: None });
        if let Some(out) = open {
            self.ask(out);
        }
    }

    /// A count has come, for the first time or again.
    pub(super) fn on_count(&mut self, request: RequestId, count: u32) {
        if let Some(watched) = self.0.get_mut(&request) {
            watched.count = Some(count);
        }
    }

    /// The last count, if one has come on this connection.
    pub(super) fn get(&self, request: RequestId) -> Option<u32> {
        self.0.get(&request)?.count
    }

    /// Takes a topic out. An open session says so, and asks for another.
    pub(super) fn remove(&mut self, request: RequestId, open: Option<&mut OutBuffer>) {
        let (Some(watched), Some(out)) = (self.0.remove(&request), open) else { return };
        if watched.asked {
            out.push(&Frame::UnwatchSubscribers { request: request.0 });
        }
        self.ask(out);
    }

    fn ask(&mut self, out: &mut OutBuffer) {
        let asked = self.0.values().filter(|watched| watched.asked).count();
        let waiting = self.0.iter_mut().filter(|(_, watched)| !watched.asked);
        for (request, watched) in waiting.take(WATCHES_PER_SESSION_MAX - asked) {
            watched.asked = true;
            out.push(&Frame::WatchSubscribers { topic: &watched.topic, request: request.0 });
        }
    }
}
