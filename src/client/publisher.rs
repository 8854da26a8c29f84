//! A publisher for any thread and any async runtime: a handle to one in this process's client executor.

use std::time::Duration;

use bytes::Bytes;
use corecast_executors::{Inbox, Link, link};

use super::config::ClientConfig;
use super::local_publisher::check_length;
use super::shared::{PublishItem, PublisherEnds, publisher_command};
use crate::endpoint::Endpoint;
use crate::error::{Error, ErrorKind, Result};
use crate::ids::PublisherId;
use crate::limits::{CLOSE_TIMEOUT_DEFAULT, PUBLISH_BYTES_AHEAD};
use crate::topic::Topic;

/// Publishes messages through a broker.
///
/// Each operation has a blocking form, for threads, and an `_async` form, for any async runtime. Dropped, it
/// sends what is queued but does not wait for it: [`Publisher::close`] does.
///
/// ```no_run
/// use corecast::{Publisher, Topic};
/// use std::time::Duration;
///
/// let mut publisher = Publisher::connect("tcp://127.0.0.1:6680")?;
/// let topic = Topic::new("prices.eur")?;
/// publisher.wait_for_subscribers(&topic, 1, Duration::from_secs(10))?;
/// publisher.publish(&topic, b"1.0842")?;
/// publisher.close()?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct Publisher {
    id: PublisherId,
    frame_bytes_max: usize,
    sequence: u64,
    items: Link<PublishItem>,
    failure: Inbox<Error>,
    /// Bytes of payload since the last question whether all was taken over, and where its answer comes.
    asked_bytes_ago: usize,
    taken: Option<Inbox<()>>,
}

impl Publisher {
    /// A publisher at this broker, such as `tcp://127.0.0.1:6680`, when its session is open.
    ///
    /// # Errors
    /// `Invalid`, `Unreachable` when nobody answers within 5 s, `Refused`, `Protocol`, `Executor`.
    pub fn connect(broker: &str) -> Result<Publisher> {
        Self::with_config(ClientConfig::new(broker.parse::<Endpoint>()?))
    }

    /// As [`Publisher::connect`].
    ///
    /// # Errors
    /// As for [`Publisher::connect`].
    pub async fn connect_async(broker: &str) -> Result<Publisher> {
        Self::with_config_async(ClientConfig::new(broker.parse::<Endpoint>()?)).await
    }

    /// As [`Publisher::connect`], with everything chosen.
    ///
    /// # Errors
    /// As for [`Publisher::connect`].
    pub fn with_config(config: ClientConfig) -> Result<Publisher> {
        let (reply, mut answer) = link(1);
        publisher_command(config, reply)?.send_blocking()?;
        Self::of(answer.recv_blocking())
    }

    /// As [`Publisher::with_config`].
    ///
    /// # Errors
    /// As for [`Publisher::connect`].
    pub async fn with_config_async(config: ClientConfig) -> Result<Publisher> {
        let (reply, mut answer) = link(1);
        publisher_command(config, reply)?.send().await?;
        Self::of(answer.recv().await)
    }

    fn of(answer: Option<Result<PublisherEnds>>) -> Result<Publisher> {
        let PublisherEnds { id, frame_bytes_max, items, failure } = answer.ok_or_else(executor_gone)??;
        Ok(Publisher { id, frame_bytes_max, sequence: 0, items, failure, asked_bytes_ago: 0, taken: None })
    }

    /// Who this is in the messages.
    pub fn id(&self) -> PublisherId {
        self.id
    }

    /// Publishes a message and gives its sequence number. Waits while too many are queued.
    ///
    /// # Errors
    /// `Invalid` for a payload longer than the broker takes; else what the session has failed with.
    pub fn publish(&mut self, topic: &Topic, payload: &[u8]) -> Result<u64> {
        let item = self.item(topic, payload)?;
        if self.is_ahead(payload) {
            if let Some(mut taken) = self.taken.take() {
                let _ = taken.recv_blocking();
            }
            // Refused only by an executor that is gone, as the message will be.
            let question = self.ask_taken();
            let _ = self.items.send_blocking(question);
        }
        let sent = self.items.send_blocking(item).is_ok();
        self.published(sent)
    }

    /// As [`Publisher::publish`].
    ///
    /// # Errors
    /// As for [`Publisher::publish`].
    pub async fn publish_async(&mut self, topic: &Topic, payload: &[u8]) -> Result<u64> {
        let item = self.item(topic, payload)?;
        if self.is_ahead(payload) {
            if let Some(mut taken) = self.taken.take() {
                let _ = taken.recv().await;
            }
            let question = self.ask_taken();
            let _ = self.items.send(question).await;
        }
        let sent = self.items.send(item).await.is_ok();
        self.published(sent)
    }

    /// Counts this payload, and gives whether another [`PUBLISH_BYTES_AHEAD`] have been published: then those before
    /// them must have been taken over, so that twice as much waits at the most, and a message.
    fn is_ahead(&mut self, payload: &[u8]) -> bool {
        self.asked_bytes_ago += payload.len();
        self.asked_bytes_ago > PUBLISH_BYTES_AHEAD
    }

    fn ask_taken(&mut self) -> PublishItem {
        let (reply, taken) = link(1);
        self.asked_bytes_ago = 0;
        self.taken = Some(taken);
        PublishItem::Taken { reply }
    }

    fn item(&self, topic: &Topic, payload: &[u8]) -> Result<PublishItem> {
        check_length(topic, payload, self.frame_bytes_max)?;
        Ok(PublishItem::Publish { topic: topic.clone(), payload: Bytes::copy_from_slice(payload) })
    }

    fn published(&mut self, sent: bool) -> Result<u64> {
        if !sent {
            return Err(self.failed());
        }
        self.sequence += 1;
        Ok(self.sequence)
    }

    /// Waits until at least `n` subscribers of this topic are in force, so that none misses the first message,
    /// and gives how many are.
    ///
    /// # Errors
    /// `TimedOut`, saying how many there were; what the session has failed with.
    pub fn wait_for_subscribers(&mut self, topic: &Topic, n: usize, timeout: Duration) -> Result<usize> {
        self.ask(|reply| PublishItem::Wait { topic: topic.clone(), n, timeout, reply })
    }

    /// As [`Publisher::wait_for_subscribers`].
    ///
    /// # Errors
    /// As for [`Publisher::wait_for_subscribers`].
    pub async fn wait_for_subscribers_async(
        &mut self,
        topic: &Topic,
        n: usize,
        timeout: Duration,
    ) -> Result<usize> {
        self.ask_async(|reply| PublishItem::Wait { topic: topic.clone(), n, timeout, reply }).await
    }

    /// Waits until the broker has taken for delivery all that was published.
    ///
    /// # Errors
    /// `Lost` if the connection was lost since the last flush with messages not known to be taken; `TimedOut`;
    /// what the session has failed with.
    pub fn flush(&mut self, timeout: Duration) -> Result<()> {
        self.ask(|reply| PublishItem::Flush { timeout, reply })
    }

    /// As [`Publisher::flush`].
    ///
    /// # Errors
    /// As for [`Publisher::flush`].
    pub async fn flush_async(&mut self, timeout: Duration) -> Result<()> {
        self.ask_async(|reply| PublishItem::Flush { timeout, reply }).await
    }

    /// Flushes for up to 30 s, and ends.
    ///
    /// # Errors
    /// As for [`Publisher::flush`].
    pub fn close(self) -> Result<()> {
        self.close_within(CLOSE_TIMEOUT_DEFAULT)
    }

    /// As [`Publisher::close`], for so long.
    ///
    /// # Errors
    /// As for [`Publisher::flush`].
    pub fn close_within(mut self, timeout: Duration) -> Result<()> {
        self.ask(|reply| PublishItem::Close { timeout, reply })
    }

    /// As [`Publisher::close`].
    ///
    /// # Errors
    /// As for [`Publisher::flush`].
    pub async fn close_async(mut self) -> Result<()> {
        self.ask_async(|reply| PublishItem::Close { timeout: CLOSE_TIMEOUT_DEFAULT, reply }).await
    }

    fn ask<T>(&mut self, item: impl FnOnce(Link<Result<T>>) -> PublishItem) -> Result<T> {
        let (reply, mut answer) = link(1);
        if self.items.send_blocking(item(reply)).is_err() {
            return Err(self.failed());
        }
        answer.recv_blocking().unwrap_or_else(|| Err(self.failed()))
    }

    async fn ask_async<T>(&mut self, item: impl FnOnce(Link<Result<T>>) -> PublishItem) -> Result<T> {
        let (reply, mut answer) = link(1);
        if self.items.send(item(reply)).await.is_err() {
            return Err(self.failed());
        }
        answer.recv().await.unwrap_or_else(|| Err(self.failed()))
    }

    /// Why items are taken no more.
    fn failed(&mut self) -> Error {
        self.failure.try_recv().unwrap_or_else(|| Error::new(ErrorKind::Closed, "the publisher has ended"))
    }
}

pub(super) fn executor_gone() -> Error {
    Error::new(ErrorKind::Executor, "the client executor of this process has ended")
}
