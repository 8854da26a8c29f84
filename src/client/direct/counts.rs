//! Counts of a topic's subscribers, for as long as somebody wants to know. Whoever waits for them may be dropped at any
//! time: so the end of a count is its owner's end.

use std::rc::Rc;

use corecast_executors::spawn_local;

use super::host::DirectHost;
use crate::client::session::{Session, State};
use crate::ids::RequestId;
use crate::topic::Topic;

/// The subscribers that the broker counts.
pub(in crate::client) struct CountAtBroker {
    session: Rc<Session>,
    request: RequestId,
}

impl Session {
    /// Asks the broker for the subscribers of a topic, from now on.
    pub(in crate::client) fn count_subscribers(self: &Rc<Self>, topic: &Topic) -> CountAtBroker {
        let request = self.state.borrow_mut().watch(topic.to_bytes());
        self.send_later();
        CountAtBroker { session: Rc::clone(self), request }
    }
}

impl CountAtBroker {
    /// The count, once the broker has told it.
    pub(in crate::client) fn of(&self, state: &State) -> Option<u32> {
        state.watched(self.request)
    }
}

impl Drop for CountAtBroker {
    fn drop(&mut self) {
        self.session.state.borrow_mut().unwatch(self.request);
        self.session.send_later();
    }
}

/// The subscribers that are at a direct publisher's own shards.
pub(in crate::client) struct CountHere {
    direct: Rc<DirectHost>,
    request: u32,
}

impl DirectHost {
    /// Asks the shards for the subscribers of a topic, from now on.
    pub(super) async fn count_here(self: &Rc<Self>, topic: &Topic) -> CountHere {
        let here = CountHere { direct: Rc::clone(self), request: self.next_count() };
        self.watch(topic, here.request).await;
        here
    }
}

impl CountHere {
    /// The count.
    pub(in crate::client) fn get(&self) -> u32 {
        self.direct.count(self.request)
    }
}

impl Drop for CountHere {
    fn drop(&mut self) {
        let (direct, request) = (Rc::clone(&self.direct), self.request);
        spawn_local(async move { direct.unwatch(request).await }).detach();
    }
}
