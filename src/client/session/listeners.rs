//! The subscribers of one session, to which all that comes over it is told: messages, and each gap at its place. It touches
//! no runtime.

use std::cell::RefCell;
use std::rc::Rc;

use bytes::Bytes;

use super::sinks::Sinks;
use super::state::State;
use crate::client::message::{EventRef, GapRef};
use crate::ids::SubscriberId;
use crate::wire::Frame;

/// Those of a session, for one call. The state is not borrowed while a sink runs.
#[derive(Clone, Copy)]
pub(super) struct Listeners<'a> {
    pub(super) state: &'a RefCell<State>,
    pub(super) sinks: &'a Sinks,
    /// The bytes in which the frame lies that they are told, if a message may keep them.
    pub(super) lent: Option<&'a Bytes>,
}

impl Listeners<'_> {
    /// Tells the events of a frame that travels by topic to all that they concern. The messages of a run have one topic, for
    /// which the subscribers are looked up once.
    pub(super) fn tell(self, frame: Frame<'_>) {
        let receivers: Rc<[SubscriberId]> = match frame {
            Frame::Gap { topic: b"", .. } => self.sinks.everyone(),
            Frame::Gap { topic, .. } => self.sinks.receivers(topic),
            _ => self.sinks.receivers(frame.message_topic().unwrap_or_default()),
        };
        let (from_history, had) = {
            let subscribers = &self.state.borrow().subscribers;
            (subscribers.has_history(), subscribers.had_up_to(&frame))
        };
        // Another broker may bring again what the one before had brought.
        let is_new = |single: &Frame<'_>| match (had, single.author()) {
            (Some(had), Some((_, sequence))) => sequence > had,
            _ => true,
        };
        let events = frame
            .singles()
            .filter(is_new)
            .filter_map(|single| EventRef::of_frame(single, from_history, self.lent));
        events.for_each(|event| self.tell_to(&receivers, event));
        if self.state.borrow().subscribers.is_tracked() {
            self.state.borrow_mut().subscribers.note(&frame);
        }
    }

    fn tell_to(self, receivers: &[SubscriberId], event: EventRef<'_>) {
        let any_untold = self.state.borrow().subscribers.has_untold();
        for id in receivers {
            // What comes before all of its subscriptions are in force again has holes: it is told as missed, too.
            if any_untold && self.state.borrow().subscribers.is_untold(*id) {
                continue;
            }
            self.sinks.deliver(*id, event);
        }
    }

    /// Tells a gap to those who are back since a connection was lost: not before they receive all that comes, or who
    /// asks elsewhere for what was missed would miss what came between.
    pub(super) fn tell_returned(self) {
        while let Some(id) = self.pop_returned() {
            self.tell_gap(id);
        }
        while let Some(id) = self.pop_caught_up() {
            self.sinks.deliver(id, EventRef::CaughtUp);
        }
    }

    fn pop_caught_up(self) -> Option<SubscriberId> {
        self.state.borrow_mut().subscribers.pop_caught_up()
    }

    fn pop_returned(self) -> Option<SubscriberId> {
        self.state.borrow_mut().subscribers.pop_returned()
    }

    /// Tells the gap that a lost connection leaves.
    pub(super) fn tell_gap(self, id: SubscriberId) {
        let reason = self.state.borrow().subscribers.gap_reason();
        self.sinks.deliver(id, EventRef::Gap(GapRef { topic: None, missed: None, reason }));
    }
}
