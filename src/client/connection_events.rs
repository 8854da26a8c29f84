//! The events of a session's connection, for those that watch it: the stream of a watcher, and the session's end of all
//! such streams.

use std::cell::{Cell, RefCell};
use std::time::{Duration, Instant};

use corecast_executors::{Inbox, Link, MonotonicNs, Refused, link};

use crate::error::{Error, ErrorKind};
use crate::ids::PublisherId;
use crate::limits::{CONNECTION_EVENTS_MAX, SLOW_TOLD_AGAIN_AFTER};
use crate::topic::Topic;

/// A change of the connection to the broker.
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum ConnectionEvent {
    /// The session is open: for the first time, or again.
    Connected,
    /// The connection is lost. It is tried again unless this is the last event.
    Disconnected {
        /// The reason, to branch on: `Refused` holds the code if the broker has closed it, such as `SlowSubscriber`
        /// under the policy `disconnect`, or `ShuttingDown`.
        kind: ErrorKind,
        /// The reason, for people.
        why: String,
    },
    /// This session does not keep up: the broker, or a direct publisher, has dropped messages for it. Told once a second
    /// at the most, beside the gaps in the stream of events.
    Slow {
        /// Messages that were dropped since this was told before.
        missed: u64,
    },
    /// The broker refuses what a publisher of this session publishes. The connection stands, and other topics go on; a
    /// flush is an error for the same reason.
    #[non_exhaustive]
    Refused {
        /// The publisher. Publishers of one process may share a session.
        publisher: PublisherId,
        /// The topic; `None`: the registration of a direct publisher, which was in force before.
        topic: Option<Topic>,
        /// The reason, to branch on.
        kind: ErrorKind,
        /// The reason, for people.
        why: String,
    },
}

/// The changes of the connection of a publisher, a subscriber, or a view of the registry; the first event is how it stands
/// when this is made. Beside the stream of messages, so it may be read by another thread.
///
/// If nobody reads it, the first 20 events and the newest are kept.
///
/// ```no_run
/// use corecast::{ConnectionEvent, Filter, Subscriber};
///
/// let mut subscriber = Subscriber::connect("tcp://127.0.0.1:6680", &[Filter::parse("prices.>")?])?;
/// let mut connection = subscriber.connection_events();
/// std::thread::spawn(move || {
///     while let Some(event) = connection.recv() {
///         match event {
///             ConnectionEvent::Connected => println!("connected"),
///             ConnectionEvent::Disconnected { why, .. } => println!("disconnected: {why}"),
///             other => println!("{other:?}"),
///         }
///     }
/// });
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct ConnectionEvents {
    events: Inbox<ConnectionEvent>,
}

impl ConnectionEvents {
    /// The stream, and the end that a session is given.
    pub(super) fn make() -> (Link<ConnectionEvent>, Self) {
        let (watcher, events) = link(CONNECTION_EVENTS_MAX);
        (watcher, ConnectionEvents { events })
    }

    /// The next event; waits for it. `None` when the session has ended for good.
    pub fn recv(&mut self) -> Option<ConnectionEvent> {
        self.events.recv_blocking()
    }

    /// As [`ConnectionEvents::recv`].
    pub async fn recv_async(&mut self) -> Option<ConnectionEvent> {
        self.events.recv().await
    }

    /// As [`ConnectionEvents::recv`], for so long; `None` also if nothing has changed.
    pub fn recv_timeout(&mut self, timeout: Duration) -> Option<ConnectionEvent> {
        let Some(deadline) = Instant::now().checked_add(timeout) else { return self.recv() };
        self.events.recv_deadline(deadline).ok()
    }

    /// An event that is there now.
    pub fn try_recv(&mut self) -> Option<ConnectionEvent> {
        self.events.try_recv()
    }
}

/// The session's end. Sessions to direct publishers share that of the session to the broker, and add to how slow it is.
#[derive(Default, Debug)]
pub(super) struct ConnectionReport {
    watchers: RefCell<Vec<Watcher>>,
    /// The last change but for `Slow`.
    standing: RefCell<Option<ConnectionEvent>>,
    /// Messages that were dropped for this session, not told yet.
    missed: Cell<u64>,
    slow_told: Cell<Option<MonotonicNs>>,
    /// The session has ended for good.
    has_ended: Cell<bool>,
}

#[derive(Debug)]
struct Watcher {
    link: Link<ConnectionEvent>,
    /// The newest event for which there was no room.
    newest: Option<ConnectionEvent>,
}

impl ConnectionReport {
    /// Adds a watcher, and tells it how the connection stands.
    pub(super) fn watch(&self, link: Link<ConnectionEvent>) {
        let mut watcher = Watcher { link, newest: None };
        if let Some(standing) = &*self.standing.borrow() {
            watcher.tell(standing.clone());
        }
        if self.has_ended.get() {
            return;
        }
        let mut watchers = self.watchers.borrow_mut();
        watchers.retain(|watcher| !watcher.link.is_closed());
        watchers.push(watcher);
    }

    /// The connection stands, or is lost.
    pub(super) fn change(&self, event: ConnectionEvent) {
        self.tell(&event);
        self.standing.replace(Some(event));
    }

    /// The broker refuses what this publisher publishes. Watchers that do not read keep their newest event.
    pub(super) fn refused(&self, publisher: PublisherId, topic: Option<Topic>, error: &Error) {
        let (kind, why) = (error.kind(), error.to_string());
        self.tell(&ConnectionEvent::Refused { publisher, topic, kind, why });
    }

    /// The session has ended for good: so do the streams of those that watch it.
    pub(super) fn end(&self) {
        self.has_ended.set(true);
        self.watchers.borrow_mut().clear();
    }

    /// Adds messages that were dropped for this session.
    pub(super) fn add_missed(&self, messages: u64) {
        self.missed.update(|missed| missed.saturating_add(messages));
    }

    /// A tick: tells what had no room before, and how slow the session is.
    pub(super) fn on_tick(&self, now: MonotonicNs) {
        for watcher in &mut *self.watchers.borrow_mut() {
            if let Some(event) = watcher.newest.take() {
                watcher.tell(event);
            }
        }
        let is_due =
            self.slow_told.get().is_none_or(|told| now.saturating_since(told) >= SLOW_TOLD_AGAIN_AFTER);
        if self.missed.get() > 0 && is_due {
            self.slow_told.set(Some(now));
            self.tell(&ConnectionEvent::Slow { missed: self.missed.take() });
        }
    }

    fn tell(&self, event: &ConnectionEvent) {
        let mut watchers = self.watchers.borrow_mut();
        watchers.retain(|watcher| !watcher.link.is_closed());
        watchers.iter_mut().for_each(|watcher| watcher.tell(event.clone()));
    }
}

impl Watcher {
    fn tell(&mut self, event: ConnectionEvent) {
        if self.newest.is_some() {
            // How the connection stands matters more.
            if !matches!(event, ConnectionEvent::Refused { .. }) {
                self.newest = Some(event);
            }
        } else if let Err(Refused::Full(event)) = self.link.try_send(event) {
            self.newest = Some(event);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lost(why: &str) -> ConnectionEvent {
        ConnectionEvent::Disconnected { kind: ErrorKind::Lost, why: why.to_owned() }
    }

    #[test]
    fn a_stream_begins_with_how_it_stands_and_ends_with_the_newest() {
        let report = ConnectionReport::default();
        report.change(lost("1"));
        let (link, mut events) = ConnectionEvents::make();
        report.watch(link);
        for n in 2..=CONNECTION_EVENTS_MAX + 5 {
            report.change(lost(&n.to_string()));
        }
        report.change(ConnectionEvent::Connected);
        for n in 1..=CONNECTION_EVENTS_MAX {
            assert_eq!(events.try_recv(), Some(lost(&n.to_string())));
        }
        assert_eq!(events.try_recv(), None);
        report.on_tick(MonotonicNs(1));
        assert_eq!([events.try_recv(), events.try_recv()], [Some(ConnectionEvent::Connected), None]);
        drop(events);
        report.change(lost("nobody looks"));
        assert!(report.watchers.borrow().is_empty());
    }

    #[test]
    fn slowness_is_added_up_and_told_once_a_second() {
        let report = ConnectionReport::default();
        let (link, mut events) = ConnectionEvents::make();
        report.watch(link);
        let start = MonotonicNs(1);
        report.add_missed(3);
        report.on_tick(start);
        report.add_missed(4);
        report.on_tick(start + SLOW_TOLD_AGAIN_AFTER / 2);
        report.add_missed(5);
        report.on_tick(start + SLOW_TOLD_AGAIN_AFTER);
        report.on_tick(start + SLOW_TOLD_AGAIN_AFTER * 3);
        let told: Vec<_> = std::iter::from_fn(|| events.try_recv()).collect();
        assert_eq!(told, [ConnectionEvent::Slow { missed: 3 }, ConnectionEvent::Slow { missed: 9 }]);
    }
}
