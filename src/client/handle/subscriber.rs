//! A subscriber for any thread and any async runtime: a handle to one in this process's client executor.

use std::collections::VecDeque;
#[cfg(feature = "stream")]
use std::pin::Pin;
use std::time::{Duration, Instant};

use corecast_executors::{Inbox, RecvTimeout, block_on};
#[cfg(feature = "stream")]
use futures_lite::stream::{Stream, unfold};

use super::asks::SubscriberEnds;
use super::executor::ask_for_subscriber;
use super::question::Line;
use crate::client::brokers::Brokers;
use crate::client::config::ClientConfig;
use crate::client::connection_events::ConnectionEvents;
use crate::client::message::Event;
use crate::error::Result;
use crate::topic::Filter;

/// Receives the messages of the topics that its filters match, and a [`Gap`](crate::Gap) wherever some are missing.
/// Dropped, it is unsubscribed.
///
/// ```no_run
/// use corecast::{Event, Filter, Subscriber};
///
/// let mut subscriber = Subscriber::connect("tcp://127.0.0.1:6680", &[Filter::parse("prices.>")?])?;
/// loop {
///     match subscriber.recv()? {
///         Event::Message(message) => println!("{:?}", message.payload),
///         Event::Gap(gap) => eprintln!("missed {:?}", gap.missed),
///         Event::CaughtUp => {}
///     }
/// }
/// # #[expect(unreachable_code)]
/// # Ok::<(), corecast::Error>(())
/// ```
#[derive(Debug)]
pub struct Subscriber {
    events: Inbox<Vec<Event>>,
    line: Line,
    /// Handed over, and not yet given out.
    ready: VecDeque<Event>,
}

impl Subscriber {
    /// A subscriber at this broker, such as `tcp://127.0.0.1:6680`, when its filters are in force: it receives
    /// everything that anybody publishes from now on.
    ///
    /// # Errors
    /// `Invalid`, `Unreachable` when nobody answers within 5 s, `TimedOut` when the subscription is not confirmed within them,
    /// `Refused`, `Protocol`, `Executor`.
    pub fn connect(broker: &str, filters: &[Filter]) -> Result<Subscriber> {
        Self::with_config(ClientConfig::default().broker(broker.parse::<Brokers>()?), filters)
    }

    /// As [`Subscriber::connect`].
    ///
    /// # Errors
    /// As for [`Subscriber::connect`].
    pub async fn connect_async(broker: &str, filters: &[Filter]) -> Result<Subscriber> {
        Self::with_config_async(ClientConfig::default().broker(broker.parse::<Brokers>()?), filters).await
    }

    /// As [`Subscriber::connect`], with everything chosen.
    ///
    /// # Errors
    /// As for [`Subscriber::connect`].
    pub fn with_config(config: ClientConfig, filters: &[Filter]) -> Result<Subscriber> {
        block_on(Self::with_config_async(config, filters))
    }

    /// As [`Subscriber::with_config`].
    ///
    /// # Errors
    /// As for [`Subscriber::connect`].
    pub async fn with_config_async(config: ClientConfig, filters: &[Filter]) -> Result<Subscriber> {
        let SubscriberEnds { events, line } = ask_for_subscriber(config, filters.to_vec()).await?;
        Ok(Subscriber { events, line, ready: VecDeque::new() })
    }

    /// The next event; waits for it.
    ///
    /// # Errors
    /// The reason why the session has failed. A lost connection is no failure: it comes back by itself, with a gap.
    pub fn recv(&mut self) -> Result<Event> {
        if self.ready.is_empty() {
            let events = self.events.recv_blocking();
            self.hand_over(events)?;
        }
        self.next()
    }

    /// As [`Subscriber::recv`], for so long; `None` if nothing came.
    ///
    /// # Errors
    /// As for [`Subscriber::recv`].
    pub fn recv_timeout(&mut self, timeout: Duration) -> Result<Option<Event>> {
        if self.ready.is_empty() {
            let Some(deadline) = Instant::now().checked_add(timeout) else { return self.recv().map(Some) };
            match self.events.recv_deadline(deadline) {
                Ok(events) => self.hand_over(Some(events))?,
                Err(RecvTimeout::TimedOut) => return Ok(None),
                Err(RecvTimeout::Closed) => self.hand_over(None)?,
            }
        }
        self.next().map(Some)
    }

    /// As [`Subscriber::recv`].
    ///
    /// # Errors
    /// As for [`Subscriber::recv`].
    pub async fn recv_async(&mut self) -> Result<Event> {
        if self.ready.is_empty() {
            let events = self.events.recv().await;
            self.hand_over(events)?;
        }
        self.next()
    }

    /// The events as a stream, for any async runtime. An error is its last item: what the session has failed with.
    #[cfg(feature = "stream")]
    pub fn into_stream(self) -> Pin<Box<dyn Stream<Item = Result<Event>> + Send>> {
        Box::pin(unfold(Some(self), async |subscriber| {
            let mut subscriber = subscriber?;
            match subscriber.recv_async().await {
                Ok(event) => Some((Ok(event), Some(subscriber))),
                Err(error) => Some((Err(error), None)),
            }
        }))
    }

    /// An event that is there now, without waiting.
    ///
    /// # Errors
    /// As for [`Subscriber::recv`].
    pub fn try_recv(&mut self) -> Result<Option<Event>> {
        if self.ready.is_empty() {
            let events = match self.events.try_recv() {
                Some(events) => events,
                None => {
                    let Some(failure) = self.line.failure() else { return Ok(None) };
                    // The last events come before the failure.
                    self.events.try_recv().ok_or(failure)?
                }
            };
            self.hand_over(Some(events))?;
        }
        self.next().map(Some)
    }

    /// A stream of what becomes of the connection to the broker: connected, disconnected and why, slow.
    pub fn connection_events(&self) -> ConnectionEvents {
        block_on(self.connection_events_async())
    }

    /// As [`Subscriber::connection_events`].
    pub async fn connection_events_async(&self) -> ConnectionEvents {
        self.line.watch_connection().await
    }

    fn hand_over(&mut self, events: Option<Vec<Event>>) -> Result<()> {
        let events = events.ok_or_else(|| self.line.failed())?;
        self.ready.extend(events);
        Ok(())
    }

    fn next(&mut self) -> Result<Event> {
        self.ready.pop_front().ok_or_else(|| self.line.failed())
    }
}

#[cfg(test)]
mod tests {
    use corecast_executors::link;

    use super::super::question::line;
    use super::*;
    use crate::client::message::{Gap, GapReason};
    use crate::error::{Error, ErrorKind};

    #[test]
    fn a_failure_comes_after_the_last_event_without_waiting_too() {
        let (handed, events) = link(1);
        let (line, end) = line("subscriber");
        let mut subscriber = Subscriber { events, line, ready: VecDeque::new() };
        assert_eq!(subscriber.try_recv().expect("it stands"), None);
        let gap = Event::Gap(Gap { topic: None, missed: None, reason: GapReason::Reconnect });
        handed.try_send(vec![gap.clone()]).expect("there is room");
        end.failed.try_send(Error::new(ErrorKind::Protocol, "it is over")).expect("there is room");
        assert_eq!(subscriber.try_recv().expect("the last event"), Some(gap));
        for _ in 0..2 {
            assert_eq!(subscriber.try_recv().expect_err("it has failed").kind(), ErrorKind::Protocol);
        }
    }
}
