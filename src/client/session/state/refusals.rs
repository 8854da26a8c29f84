//! Refusals, as a session's state takes them: of its requests, and of what was in force.

use super::super::requests::Asked;
use super::super::uncovered::{Denial, Denied, Place};
use super::State;
use crate::error::{Error, ErrorCode, ErrorKind};
use crate::ids::{RequestId, SubscriberId};
use crate::printable::printable;
use crate::topic::Filter;
use crate::wire::Frame;

impl State {
    pub(super) fn on_request_refused(&mut self, request: RequestId, code: ErrorCode, text: &str) {
        let text = printable(text).to_string();
        match self.requests.take(request) {
            Some(Asked::Announce) => {
                if let Some(announcement) = &mut self.announcement {
                    announcement.on_refused(code, &text);
                    self.announce();
                }
            }
            Some(Asked::Subscribe(id, Some(at))) if self.wanted.is_some() => {
                let by = match (code, self.credentials.has_ticket()) {
                    (ErrorCode::NotPermitted, true) => Denial::YetRefused,
                    (ErrorCode::NotPermitted, false) => Denial::OwnRules,
                    _ => Denial::Refused,
                };
                self.deny((id, at), (code, text), by);
            }
            Some(Asked::Subscribe(id, _)) => self.subscribers.on_refused(id, code, text),
            Some(Asked::Registry) => self.fail_refused(code, &text),
            // A watch that was in force.
            None => match self.subscribers.of_watch(request) {
                Some(id) => self.subscribers.on_refused(id, code, text),
                None if self.naming.feed().is_some() => self.fail_refused(code, &text),
                None => {}
            },
            _ => {}
        }
    }

    /// The broker has refused what this session is for.
    fn fail_refused(&mut self, code: ErrorCode, text: &str) {
        let text = format!("the broker refused: {text} ({code})");
        self.fail(&Error::new(ErrorKind::Refused(code), text));
    }

    /// The error of a subscriber of which the broker has refused something.
    pub(in crate::client) fn refusal_of(&self, id: SubscriberId) -> Option<Error> {
        self.subscribers.refusal_of(id)
    }

    /// A subscription is no longer in force: the rules, or the ticket to this direct publisher, have changed.
    pub(super) fn on_ended(&mut self, (kind, filter): (u8, &[u8]), id: SubscriberId) {
        let Some(publisher) = self.wanted else {
            let text = format!("you may no longer subscribe to `{}`", printable(filter));
            return self.subscribers.on_refused(id, ErrorCode::NotPermitted, text);
        };
        let filters = self.subscribers.filters_of(id);
        let at = filters
            .and_then(|all| all.iter().position(|own| own.wire_kind() == kind && own.as_bytes() == filter));
        let Some(at) = at else { return };
        let text = format!(
            "you may no longer subscribe to `{}` at publisher {publisher}: the ticket to it does not cover that",
            printable(filter)
        );
        self.deny((id, at), (ErrorCode::NotPermitted, text), Denial::Ended);
    }

    fn deny(&mut self, place: Place, (code, text): (ErrorCode, String), by: Denial) {
        let filters = self.subscribers.filters_of(place.0);
        if let Some(filter) = filters.and_then(|all| all.get(place.1)).cloned() {
            self.uncovered.deny(Denied { place, filter, code, text, by });
        }
    }

    /// Takes the filters that this direct publisher denies, and on which nobody has decided.
    pub(in crate::client::session) fn take_denied(&mut self) -> Vec<Denied> {
        self.uncovered.take_news()
    }

    /// A filter is left out at this direct publisher: its subscriber is in force without it.
    pub(in crate::client::session) fn leave_out(&mut self, denied: &Denied) {
        self.uncovered.leave_out(denied.place);
        if denied.by != Denial::Ended {
            self.subscribers.on_subscribed(denied.place.0);
        }
    }

    /// Another ticket was shown: asks again for filters that were denied, as far as they are wanted here.
    pub(in crate::client::session) fn ask_denied(
        &mut self,
        is_wanted: impl Fn(SubscriberId, &Filter) -> bool,
    ) {
        if !self.is_open() {
            return;
        }
        for ((id, at), was_left_out) in self.uncovered.to_ask() {
            let filters = self.subscribers.filters_of(id);
            let Some(filter) = filters.and_then(|all| all.get(at)).cloned() else { continue };
            if !is_wanted(id, &filter) {
                continue;
            }
            if was_left_out {
                self.subscribers.on_asked_again(id);
            }
            self.uncovered.asked_again((id, at));
            let request = self.requests.next(Asked::Subscribe(id, Some(at))).0;
            let (kind, filter) = (filter.wire_kind(), filter.as_bytes());
            self.out.push(&Frame::Subscribe { filter, request, subscriber: id.0, kind });
        }
    }
}

#[cfg(test)]
mod tests {
    use std::rc::Rc;

    use corecast_executors::MonotonicNs;

    use super::super::super::rig::{open_after, requests};
    use super::*;
    use crate::client::message::GapReason;
    use crate::ids::PublisherId;

    /// A session at a direct publisher, with a subscriber of two filters, and its requests.
    fn at_publisher(has_ticket: bool) -> (State, SubscriberId, Vec<u32>) {
        let mut state = State::new(MonotonicNs(1));
        state.resume(PublisherId(7), (0, 0), GapReason::Reconnect);
        if has_ticket {
            state.set_ticket(&Rc::from(&b"ticket"[..]));
        }
        let mut state = open_after(state, &[Frame::Identity { publisher: 7 }]);
        let id = state.subscribe(&["a", "b"].map(|text| Filter::parse(text).expect(text)), MonotonicNs(1));
        let requests = requests(&mut state);
        assert_eq!(requests.len(), 2);
        (state, id, requests)
    }

    fn refuse(state: &mut State, request: u32, code: ErrorCode) -> Denied {
        state.on_control(Frame::Error { text: "no", request, code: code.number() });
        let mut denied = state.take_denied();
        assert_eq!((denied.len(), state.take_denied()), (1, Vec::new()));
        denied.remove(0)
    }

    #[test]
    fn a_filter_that_is_left_out_holds_nothing_up_and_is_asked_for_behind_another_ticket() {
        let (mut state, id, asked) = at_publisher(true);
        let denied = refuse(&mut state, asked[1], ErrorCode::NotPermitted);
        assert_eq!((denied.filter.to_string(), denied.by), ("b".to_owned(), Denial::YetRefused));
        state.on_control(Frame::Done { request: asked[0] });
        assert!(!state.is_in_force(id));
        state.leave_out(&denied);
        assert!(state.is_in_force(id) && state.refusal_of(id).is_none());
        state.ask_denied(|_, _| false);
        assert!(requests(&mut state).is_empty() && state.is_in_force(id), "the publisher has no topic of it");
        state.ask_denied(|_, filter| filter.as_bytes() == b"b");
        let again = requests(&mut state);
        assert!(again.len() == 1 && !state.is_in_force(id));
        state.on_control(Frame::Done { request: again[0] });
        assert!(state.is_in_force(id));
        state.ask_denied(|_, _| true);
        assert!(requests(&mut state).is_empty(), "it has all");
    }

    #[test]
    fn a_refusal_behind_another_ticket_is_one() {
        let (mut state, _, asked) = at_publisher(true);
        refuse(&mut state, asked[1], ErrorCode::NotPermitted);
        state.ask_denied(|_, _| true);
        let again = requests(&mut state);
        assert_eq!(refuse(&mut state, again[0], ErrorCode::NotPermitted).by, Denial::Refused);
    }

    #[test]
    fn other_refusals_need_no_other_ticket() {
        for (has_ticket, code, by) in [
            (false, ErrorCode::NotPermitted, Denial::OwnRules),
            (true, ErrorCode::TooManySubscriptions, Denial::Refused),
        ] {
            let (mut state, _, asked) = at_publisher(has_ticket);
            assert_eq!(refuse(&mut state, asked[0], code).by, by);
        }
    }

    #[test]
    fn a_subscription_that_a_publisher_ends_is_named() {
        let (mut state, id, asked) = at_publisher(true);
        asked.iter().for_each(|request| state.on_control(Frame::Done { request: *request }));
        let ended = Frame::Unsubscribe { filter: b"b", request: 0, subscriber: id.0, kind: 1 };
        state.on_control(ended);
        let denied = state.take_denied().remove(0);
        assert_eq!((denied.place, denied.by), ((id, 1), Denial::Ended));
        assert!(denied.text.contains("`b` at publisher"), "{}", denied.text);
        assert!(state.is_in_force(id), "the session to the broker decides");
        state.on_control(Frame::Unsubscribe { filter: b"c", request: 0, subscriber: id.0, kind: 1 });
        state.unsubscribe(id);
        state.on_control(ended);
        assert_eq!(state.take_denied(), Vec::new(), "nobody here has it");
        assert!(state.refusal_of(id).is_none());
    }
}
