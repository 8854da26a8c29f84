//! A direct publisher's registration at the broker, from its own side, and its lease. Pure;
//! part of a session's state.

use std::collections::BTreeSet;
use std::mem;
use std::time::Duration;

use corecast_executors::MonotonicNs;

use super::out::OutBuffer;
use crate::error::{Error, ErrorCode, ErrorKind};
use crate::ids::PublisherId;
use crate::limits::{
    CONTESTED_PATIENCE, CONTESTED_PAUSE, CONTESTED_PAUSE_MAX, REGISTRATION_BYTES_MAX, RENEWALS_PER_LEASE,
    TOPICS_PER_PUBLISHER_MAX,
};
use crate::registry::{ModeRules, filters_to_lines};
use crate::topic::{Filter, Topic};
use crate::transport::Endpoint;
use crate::wire::Frame;

/// The filter of all topics.
const ALL: &str = ">";

/// A direct publisher's registration, from its own side.
#[derive(Debug)]
pub(in crate::client) struct Announcement {
    publisher: PublisherId,
    epoch: u64,
    endpoints: String,
    topics: BTreeSet<Filter>,
    /// Topics have been added, or the lease was lost, since the last registration was sent.
    changed: bool,
    /// The last registration that was sent and is not answered.
    asked: Option<u32>,
    /// The term of the lease; known with the first answer.
    lease: Option<Duration>,
    renewed: MonotonicNs,
    /// The broker has taken a registration once.
    was_known: bool,
    /// The broker has not taken the last one, perhaps for now.
    contested: Option<Contested>,
    /// The broker does not take it, and why.
    pub(in crate::client) refused: Option<String>,
}

/// A registration that is refused and tried again: another publisher's lease may run out, a full registry may have room.
#[derive(Debug)]
struct Contested {
    why: String,
    /// By the first tick after the first refusal.
    since: Option<MonotonicNs>,
    asked_again: MonotonicNs,
    /// Before it is asked again.
    pause: Duration,
    /// The publisher has no right to it, which nobody who watches the connection has been told.
    is_news: bool,
}

impl Announcement {
    pub(in crate::client) fn new(publisher: PublisherId, endpoint: &Endpoint, now: MonotonicNs) -> Self {
        Announcement {
            publisher,
            epoch: 1,
            endpoints: endpoint.to_string(),
            topics: BTreeSet::new(),
            changed: false,
            asked: None,
            lease: None,
            renewed: now,
            was_known: false,
            contested: None,
            refused: None,
        }
    }

    /// True if the broker has been told of this topic, or is being told.
    pub(super) fn covers(&self, topic: &Topic) -> bool {
        self.topics.iter().any(|filter| filter.matches(topic.as_bytes()))
    }

    /// From now on it publishes this topic, too. Very many topics become the filters of the rules behind them.
    pub(in crate::client) fn add(&mut self, topic: &Topic, modes: &ModeRules) {
        if self.covers(topic) {
            return;
        }
        self.changed = true;
        if self.has_room(topic) {
            self.topics.insert(Filter::from(topic.clone()));
            return;
        }
        for narrow in mem::take(&mut self.topics) {
            self.widen_with(match &narrow {
                Filter::Exact(topic) => modes.direct_filter_of(topic.as_bytes()),
                _ => narrow,
            });
        }
        self.widen_with(modes.direct_filter_of(topic.as_bytes()));
        let bytes: usize = self.topics.iter().map(|topic| topic.as_bytes().len() + 1).sum();
        if self.topics.len() > TOPICS_PER_PUBLISHER_MAX
            || self.endpoints.len() + 1 + bytes > REGISTRATION_BYTES_MAX
        {
            // More rules than a registration lists: then it may publish anything.
            self.widen_with(Filter::parse(ALL).expect("it is one"));
        }
    }

    /// True if a registration with one topic more would fit.
    fn has_room(&self, topic: &Topic) -> bool {
        let topics = self.topics.iter().map(Filter::as_bytes).chain([topic.as_bytes()]);
        let bytes = self.endpoints.len() + 1 + topics.map(|topic| topic.len() + 1).sum::<usize>();
        self.topics.len() < TOPICS_PER_PUBLISHER_MAX && bytes <= REGISTRATION_BYTES_MAX
    }

    fn widen_with(&mut self, wide: Filter) {
        if !self.topics.iter().any(|there| there.covers(&wide)) {
            self.topics.retain(|narrow| !wide.covers(narrow));
            self.topics.insert(wide);
        }
    }

    /// True if the broker knows all topics.
    pub(in crate::client) fn is_known(&self) -> bool {
        !self.changed && self.asked.is_none() && self.lease.is_some()
    }

    /// True if it was never accepted and is tried again until it is given up: worth waiting for.
    pub(in crate::client) fn is_undecided(&self) -> bool {
        self.contested.is_some() && !self.was_known
    }

    /// A tick: whether it is time to try again. One that was never taken is given up after [`CONTESTED_PATIENCE`].
    pub(super) fn tries_again(&mut self, now: MonotonicNs) -> bool {
        let Some(contested) = &mut self.contested else { return false };
        let since = *contested.since.get_or_insert(now);
        if !self.was_known && now.saturating_since(since) >= CONTESTED_PATIENCE {
            self.refused = self.contested.take().map(|contested| contested.why);
            return false;
        }
        if self.asked.is_some() || now.saturating_since(contested.asked_again) < contested.pause {
            return false;
        }
        let is_first = contested.asked_again == MonotonicNs(0);
        contested.pause =
            if is_first { CONTESTED_PAUSE } else { (contested.pause * 2).min(CONTESTED_PAUSE_MAX) };
        contested.asked_again = now;
        self.changed = true;
        true
    }

    pub(super) fn wants_to_register(&self) -> bool {
        self.changed && !self.topics.is_empty() && self.refused.is_none()
    }

    pub(super) fn register(&mut self, request: u32, out: &mut OutBuffer) {
        self.changed = false;
        self.asked = Some(request);
        out.push(&Frame::Register {
            endpoints: &self.endpoints,
            topics: &filters_to_lines(&self.topics),
            publisher: self.publisher.0,
            epoch: self.epoch,
            request,
        });
    }

    pub(super) fn wants_to_renew(&self, now: MonotonicNs) -> bool {
        let Some(period) = self.renewal_period() else { return false };
        self.refused.is_none() && now.saturating_since(self.renewed) >= period
    }

    pub(super) fn renew(&mut self, now: MonotonicNs, request: u32, out: &mut OutBuffer) {
        self.renewed = now;
        out.push(&Frame::Renew { publisher: self.publisher.0, epoch: self.epoch, request });
    }

    /// It leaves.
    pub(in crate::client) fn unregister(&self, out: &mut OutBuffer) {
        out.push(&Frame::Unregister { publisher: self.publisher.0, epoch: self.epoch });
    }

    /// The broker knows it, for so long.
    pub(super) fn on_registered(&mut self, request: u32, lease: Duration) {
        self.lease = Some(lease);
        self.was_known = true;
        if self.asked == Some(request) {
            self.asked = None;
            self.contested = None;
        }
    }

    /// The time between two renewals; `None` where nothing is to be renewed.
    pub(super) fn renewal_period(&self) -> Option<Duration> {
        Some(self.lease? / RENEWALS_PER_LEASE)
    }

    /// Another start of the broker, or a lease that has run out: all is to be said again, under a new epoch.
    pub(super) fn on_lease_lost(&mut self) {
        self.epoch += 1;
        self.changed = true;
        self.asked = None;
        self.lease = None;
        self.refused = None;
    }

    pub(super) fn on_refused(&mut self, code: ErrorCode, text: &str) {
        match code {
            ErrorCode::LeaseLost | ErrorCode::StaleEpoch => self.on_lease_lost(),
            ErrorCode::EndpointRefused if !self.was_known => {
                self.asked = None;
                self.refused = Some(text.to_owned());
            }
            _ => {
                self.asked = None;
                let again = Contested {
                    why: String::new(),
                    since: None,
                    asked_again: MonotonicNs(0),
                    pause: CONTESTED_PAUSE,
                    is_news: self.was_known && code == ErrorCode::NotPermitted,
                };
                self.contested.get_or_insert(again).why = text.to_owned();
            }
        }
    }

    /// Says once that the broker refuses a registration that it had taken, because the publisher has no right to it any more,
    /// and why.
    pub(super) fn take_lost_right(&mut self) -> Option<(PublisherId, Error)> {
        let lost = self.contested.as_mut()?;
        if !mem::take(&mut lost.is_news) {
            return None;
        }
        let code = ErrorCode::NotPermitted;
        let text = format!("the broker refused: {} ({code})", lost.why);
        Some((self.publisher, Error::new(ErrorKind::Refused(code), text)))
    }

    /// Why the broker does not take it now, though it has before: for the log.
    pub(in crate::client) fn complaint(&self) -> Option<&str> {
        self.contested.as_ref().filter(|_| self.was_known).map(|contested| &contested.why[..])
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::limits::LEASE_DEFAULT;

    fn topic(name: &str) -> Topic {
        Topic::new(name).unwrap()
    }

    #[test]
    fn many_topics_become_the_filter_of_their_rule() {
        let rules =
            ModeRules::new(vec![ModeRules::parse_rule("video.>=direct").unwrap()], Default::default())
                .unwrap();
        let mut said = Announcement::new(PublisherId(1), &Endpoint::default(), MonotonicNs(0));
        for n in 0..=TOPICS_PER_PUBLISHER_MAX {
            assert!(!said.covers(&topic(&format!("video.{n}"))));
            said.add(&topic(&format!("video.{n}")), &rules);
        }
        assert_eq!(filters_to_lines(&said.topics), "video.>");
        assert_eq!(said.epoch, 1, "what it published before it still does");
    }

    fn rules_of(lines: &[String]) -> ModeRules {
        let rules = lines.iter().map(|line| ModeRules::parse_rule(line).unwrap());
        ModeRules::new(rules.collect(), Default::default()).unwrap()
    }

    #[test]
    fn a_wide_filter_takes_the_place_of_those_it_covers_and_of_no_other() {
        let rules = rules_of(&["a.>=direct".into(), "*.b=direct".into(), "n.*=direct".into()]);
        let mut said = Announcement::new(PublisherId(1), &Endpoint::default(), MonotonicNs(0));
        for n in 1..TOPICS_PER_PUBLISHER_MAX {
            said.add(&topic(&format!("n.{n}")), &rules);
        }
        let mut all = vec![topic("x.b"), topic("a.1"), topic("y.b"), topic("a.2"), topic("n.new")];
        all.extend((1..TOPICS_PER_PUBLISHER_MAX).map(|n| topic(&format!("n.{n}"))));
        for one in &all {
            said.add(one, &rules);
        }
        assert!(all.iter().all(|one| said.covers(one)));
        assert_eq!(filters_to_lines(&said.topics), "*.b\na.>\nn.*");
    }

    #[test]
    fn more_rules_than_a_registration_lists_become_all_topics() {
        let lines: Vec<String> = (0..200).map(|n| format!("r{n}.*=direct")).collect();
        let rules = rules_of(&lines);
        let mut said = Announcement::new(PublisherId(1), &Endpoint::default(), MonotonicNs(0));
        for n in 0..200 {
            said.add(&topic(&format!("r{n}.a")), &rules);
            assert!(said.topics.len() <= TOPICS_PER_PUBLISHER_MAX && said.covers(&topic(&format!("r{n}.a"))));
        }
    }

    #[test]
    fn a_lost_lease_is_asked_for_again_under_a_new_epoch() {
        let mut out = OutBuffer::default();
        let mut said = Announcement::new(PublisherId(1), &Endpoint::default(), MonotonicNs(0));
        said.add(&topic("a"), &ModeRules::default());
        assert!(said.wants_to_register());
        said.register(7, &mut out);
        assert!(!said.wants_to_register() && !said.is_known());
        said.on_registered(7, Duration::from_secs(3));
        assert!(said.is_known() && said.wants_to_renew(MonotonicNs(1_000_000_000)));
        said.on_refused(ErrorCode::LeaseLost, "");
        assert!(said.wants_to_register() && said.epoch == 2);
        assert_eq!(said.complaint(), None);
    }

    fn refused_with(code: ErrorCode) -> Announcement {
        let mut said = Announcement::new(PublisherId(1), &Endpoint::default(), MonotonicNs(0));
        said.add(&topic("a"), &ModeRules::default());
        said.register(7, &mut OutBuffer::default());
        said.on_refused(code, "not this one");
        assert!(!said.wants_to_register() && !said.is_known());
        said
    }

    #[test]
    fn what_cannot_be_is_given_up_at_once_and_a_taken_endpoint_when_its_holder_must_be_gone() {
        let said = refused_with(ErrorCode::EndpointRefused);
        assert_eq!(said.refused.as_deref(), Some("not this one"));

        let mut said = refused_with(ErrorCode::EndpointTaken);
        let (start, mut asked) = (MonotonicNs(1_000_000_000), Vec::new());
        for tick in 0.. {
            let now = start + corecast_executors::TICK * tick;
            if said.tries_again(now) {
                asked.push(now);
                said.register(7, &mut OutBuffer::default());
                said.on_refused(ErrorCode::EndpointTaken, "not this one");
            }
            if said.refused.is_some() {
                assert_eq!(now, start + CONTESTED_PATIENCE);
                break;
            }
        }
        let pauses: Vec<Duration> = asked.windows(2).map(|two| two[1].saturating_since(two[0])).collect();
        let doubled = [CONTESTED_PAUSE, CONTESTED_PAUSE * 2, CONTESTED_PAUSE * 4, CONTESTED_PAUSE_MAX];
        assert_eq!(pauses[..4], doubled);
        assert!(pauses[4..].iter().all(|pause| *pause == CONTESTED_PAUSE_MAX), "{pauses:?}");
        let after_lease = asked.iter().filter(|at| at.saturating_since(start) > LEASE_DEFAULT).count();
        assert!(after_lease >= 2 && !said.is_undecided(), "{asked:?}");

        let mut said = refused_with(ErrorCode::EndpointTaken);
        assert!(said.tries_again(start) && said.wants_to_register());
        said.register(8, &mut OutBuffer::default());
        said.on_registered(8, Duration::from_secs(3));
        assert!(said.is_known() && !said.is_undecided());
    }

    #[test]
    fn who_was_known_once_never_gives_up() {
        let mut said = refused_with(ErrorCode::TooManyPublishers);
        said.on_registered(6, Duration::from_secs(3));
        said.on_lease_lost();
        for (round, code) in (1..).zip([ErrorCode::EndpointTaken, ErrorCode::EndpointRefused]) {
            said.register(7, &mut OutBuffer::default());
            said.on_refused(code, "not now");
            let later = MonotonicNs(0) + 10 * CONTESTED_PATIENCE * round;
            assert!(said.tries_again(later) && said.wants_to_register() && said.refused.is_none());
            assert_eq!(said.complaint(), Some("not now"));
            assert!(!said.is_undecided(), "whoever begins a topic need not wait for it");
        }
    }
}
