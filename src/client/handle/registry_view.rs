//! The registry of a broker as anybody may look at it: who publishes what where, and who comes and goes. A handle
//! for any thread and any async runtime.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use corecast_executors::{Inbox, Link, RecvTimeout, block_on};

use super::asks::{ListAsk, RegistryEnds};
use super::executor::ask_for_registry;
use super::question::Line;
use crate::client::brokers::Brokers;
use crate::client::config::{ClientConfig, Sessions};
use crate::client::connection_events::ConnectionEvents;
use crate::client::deadline::Deadline;
use crate::client::listed::{Listed, PublisherChange};
use crate::error::Result;

/// A view of a broker's registry. It goes on when the broker comes back after it was away.
///
/// ```no_run
/// use corecast::RegistryView;
/// use std::time::Duration;
///
/// let mut view = RegistryView::connect("tcp://127.0.0.1:6680")?;
/// for listed in view.list(Duration::from_secs(5))? {
///     println!("{} at {:?}", listed.publisher, listed.endpoints);
/// }
/// loop {
///     println!("{:?}", view.next_change()?);
/// }
/// # #[expect(unreachable_code)]
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct RegistryView {
    asks: Link<ListAsk>,
    changes: Inbox<(u64, Vec<PublisherChange>)>,
    line: Line,
    /// Handed over, and not yet given out.
    ready: VecDeque<PublisherChange>,
    /// The number of lists given: changes from before the last are in it.
    lists: u64,
}

impl RegistryView {
    /// A view of this broker's registry, such as that of `tcp://127.0.0.1:6680`.
    ///
    /// # Errors
    /// `Invalid`, `Unreachable` when nobody answers within 5 s, `TimedOut` when the watch is not confirmed within them,
    /// `Refused`, `Protocol`, `Executor`.
    pub fn connect(broker: &str) -> Result<RegistryView> {
        Self::with_config(ClientConfig::default().broker(broker.parse::<Brokers>()?))
    }

    /// As [`RegistryView::connect`].
    ///
    /// # Errors
    /// As for [`RegistryView::connect`].
    pub async fn connect_async(broker: &str) -> Result<RegistryView> {
        Self::with_config_async(ClientConfig::default().broker(broker.parse::<Brokers>()?)).await
    }

    /// As [`RegistryView::connect`], with everything chosen. It has a session of its own, whatever is chosen.
    ///
    /// # Errors
    /// As for [`RegistryView::connect`].
    pub fn with_config(config: ClientConfig) -> Result<RegistryView> {
        block_on(Self::with_config_async(config))
    }

    /// As [`RegistryView::with_config`].
    ///
    /// # Errors
    /// As for [`RegistryView::connect`].
    pub async fn with_config_async(config: ClientConfig) -> Result<RegistryView> {
        let config = ClientConfig { sessions: Sessions::PerSubscriber, ..config };
        let RegistryEnds { asks, changes, line } = ask_for_registry(config).await?;
        Ok(RegistryView { asks, changes, line, ready: VecDeque::new(), lists: 0 })
    }

    /// Everybody who is registered, by publisher, with what is left of each lease. What it gives,
    /// [`RegistryView::next_change`] does not tell again.
    ///
    /// # Errors
    /// `TimedOut`; what the session has failed with.
    pub fn list(&mut self, timeout: Duration) -> Result<Vec<Listed>> {
        block_on(self.list_async(timeout))
    }

    /// As [`RegistryView::list`].
    ///
    /// # Errors
    /// As for [`RegistryView::list`].
    pub async fn list_async(&mut self, timeout: Duration) -> Result<Vec<Listed>> {
        let deadline = Deadline::after(timeout);
        let ask = |question| ListAsk { deadline, question };
        let (lists, list) = self.line.ask(&self.asks, deadline, ask).await?;
        self.lists = lists;
        self.ready.clear();
        Ok(list)
    }

    /// The next change: first of all, everybody who is there, unless a list has given them. Whoever comes and goes
    /// while nobody asks is not told of.
    ///
    /// # Errors
    /// When the session has failed for good.
    pub fn next_change(&mut self) -> Result<PublisherChange> {
        loop {
            if let Some(change) = self.ready.pop_front() {
                return Ok(change);
            }
            let handed = self.changes.recv_blocking();
            self.hand_over(handed)?;
        }
    }

    /// As [`RegistryView::next_change`], for so long; `None` if nothing has changed.
    ///
    /// # Errors
    /// As for [`RegistryView::next_change`].
    pub fn next_change_timeout(&mut self, timeout: Duration) -> Result<Option<PublisherChange>> {
        let Some(deadline) = Instant::now().checked_add(timeout) else { return self.next_change().map(Some) };
        loop {
            if let Some(change) = self.ready.pop_front() {
                return Ok(Some(change));
            }
            match self.changes.recv_deadline(deadline) {
                Ok(handed) => self.hand_over(Some(handed))?,
                Err(RecvTimeout::TimedOut) => return Ok(None),
                Err(RecvTimeout::Closed) => self.hand_over(None)?,
            }
        }
    }

    /// As [`RegistryView::next_change`].
    ///
    /// # Errors
    /// As for [`RegistryView::next_change`].
    pub async fn next_change_async(&mut self) -> Result<PublisherChange> {
        loop {
            if let Some(change) = self.ready.pop_front() {
                return Ok(change);
            }
            let handed = self.changes.recv().await;
            self.hand_over(handed)?;
        }
    }

    /// A stream of what becomes of the connection to the broker: connected, disconnected and why, slow.
    pub fn connection_events(&self) -> ConnectionEvents {
        block_on(self.connection_events_async())
    }

    /// As [`RegistryView::connection_events`].
    pub async fn connection_events_async(&self) -> ConnectionEvents {
        self.line.watch_connection().await
    }

    fn hand_over(&mut self, handed: Option<(u64, Vec<PublisherChange>)>) -> Result<()> {
        let (lists, changes) = handed.ok_or_else(|| self.line.failed())?;
        if lists >= self.lists {
            self.ready.extend(changes);
        }
        Ok(())
    }
}
