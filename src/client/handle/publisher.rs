//! A publisher for any thread and any async runtime: a handle to one in this process's client executor.

use std::time::Duration;

use bytes::Bytes;
use corecast_executors::{Inbox, Refused, block_on, link, on_executor};
use futures_lite::future::or;
use tracing::warn;

use super::asks::{PublishItem, PublisherEnds, PublisherTaskEnds};
use super::executor::PublisherExecutor;
use super::offer::{Offer, offer};
use super::question::Question;
use crate::client::brokers::Brokers;
use crate::client::config::ClientConfig;
use crate::client::connection_events::ConnectionEvents;
use crate::client::deadline::Deadline;
use crate::client::local::{check_length, fresh_id};
use crate::error::{Error, ErrorKind, Result};
use crate::ids::PublisherId;
use crate::limits::{CLOSE_TIMEOUT_DEFAULT, DROP_LINGER, PUBLISH_BYTES_AHEAD};
use crate::topic::Topic;

/// Publishes messages through a broker.
///
/// Each operation has a blocking form, for threads, and an `_async` form, for any async runtime.
///
/// End it with [`Publisher::close`], which says whether all was taken. Dropped without, it does as much as it can: the
/// drop waits until the broker has taken what was published, for 2 s at the most, and logs a warning with a
/// number if that fails. So a program that publishes and returns from `main` loses nothing while its broker is there.
/// In async code close it first: the drop blocks its thread, a runtime's too. It does not wait on the thread of an
/// executor, and it does not happen at all for a publisher that still lives when the process ends.
///
/// A clone is a publisher of its own with the same configuration: it has an id, sequence numbers and a queue of its own,
/// starts with nothing published, and neither notices when the other is closed or dropped. So give each thread a clone:
/// each one's messages arrive in order, and there is no order between those of two. Clones share the executors of
/// [`DirectConfig::cores`](crate::DirectConfig::cores), and a session as [`Sessions`](crate::Sessions) says.
/// `clone` does not wait for the broker: the calls of the clone do, for
/// [`connect_timeout`](ClientConfig::connect_timeout) at the most, and say why if it cannot be reached. The clone of a
/// publisher whose session has failed connects again.
///
/// ```no_run
/// use corecast::Publisher;
/// use std::time::Duration;
///
/// let mut publisher = Publisher::connect("tcp://127.0.0.1:6680")?;
/// publisher.wait_for_subscribers("prices.eur", 1, Duration::from_secs(10))?;
/// publisher.publish("prices.eur", b"1.0842")?;
/// publisher.close()?;
/// # Ok::<(), corecast::Error>(())
/// ```
#[derive(Debug)]
pub struct Publisher {
    id: PublisherId,
    frame_bytes_max: usize,
    sequence: u64,
    /// Up to which it is known what has become of the messages.
    settled: u64,
    /// It was closed, with or without success: nothing is left to be done.
    has_left: bool,
    executor: PublisherExecutor,
    ends: PublisherEnds,
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
        Self::with_config(ClientConfig::default().broker(broker.parse::<Brokers>()?))
    }

    /// As [`Publisher::connect`].
    ///
    /// # Errors
    /// As for [`Publisher::connect`].
    pub async fn connect_async(broker: &str) -> Result<Publisher> {
        Self::with_config_async(ClientConfig::default().broker(broker.parse::<Brokers>()?)).await
    }

    /// As [`Publisher::connect`], with everything chosen.
    ///
    /// # Errors
    /// As for [`Publisher::connect`].
    pub fn with_config(config: ClientConfig) -> Result<Publisher> {
        block_on(Self::with_config_async(config))
    }

    /// As [`Publisher::with_config`].
    ///
    /// # Errors
    /// As for [`Publisher::connect`].
    pub async fn with_config_async(config: ClientConfig) -> Result<Publisher> {
        let executor = PublisherExecutor::find(config).await?;
        let (ends, task_ends) = executor.ends(fresh_id());
        let id = task_ends.id;
        let frame_bytes_max = executor.open(task_ends).await?;
        Ok(Self::new(id, frame_bytes_max, executor, ends))
    }

    fn new(
        id: PublisherId,
        frame_bytes_max: usize,
        executor: PublisherExecutor,
        ends: PublisherEnds,
    ) -> Self {
        Publisher {
            id,
            frame_bytes_max,
            sequence: 0,
            settled: 0,
            has_left: false,
            executor,
            ends,
            asked_bytes_ago: 0,
            taken: None,
        }
    }

    /// The publisher's number in its messages.
    pub fn id(&self) -> PublisherId {
        self.id
    }

    /// Publishes a message and gives its sequence number. Waits while too many are queued.
    ///
    /// The topic is a [`Topic`], a reference to one, or text, which is checked and copied each time.
    ///
    /// # Errors
    /// `Invalid` for text that is no topic and for a payload longer than the broker takes; `Unreachable` when too many are queued and the broker has been
    /// away for longer than [`publish_timeout`](ClientConfig::publish_timeout): those that are queued wait on, and it can
    /// be tried again; else what the session has failed with.
    pub fn publish<T>(&mut self, topic: T, payload: &[u8]) -> Result<u64>
    where
        T: TryInto<Topic>,
        Error: From<T::Error>,
    {
        match self.offer(topic.try_into()?, payload)? {
            None => Ok(self.count_published()),
            Some(item) => block_on(self.publish_when_there_is_room(item)),
        }
    }

    /// As [`Publisher::publish`]. Dropped while it waits, the message is not published, unless it was taken in that moment:
    /// [`Publisher::published`] counts it then.
    ///
    /// # Errors
    /// As for [`Publisher::publish`].
    pub async fn publish_async<T>(&mut self, topic: T, payload: &[u8]) -> Result<u64>
    where
        T: TryInto<Topic>,
        Error: From<T::Error>,
    {
        match self.offer(topic.try_into()?, payload)? {
            None => Ok(self.count_published()),
            Some(item) => self.publish_when_there_is_room(item).await,
        }
    }

    /// Hands a message over if there is room for it now; else it has to wait.
    fn offer(&mut self, topic: Topic, payload: &[u8]) -> Result<Option<PublishItem>> {
        // Its task may not have closed the queue yet.
        if let Some(ended) = self.ends.line.known_end() {
            return Err(ended);
        }
        self.check_length(&topic, payload.len())?;
        let payload_copy = Bytes::copy_from_slice(payload);
        let item = PublishItem::Publish { topic, payload: payload_copy, claim: None };
        if self.is_ahead(payload.len()) {
            return Ok(Some(item));
        }
        match self.ends.items.try_send(item) {
            Ok(()) => {
                self.asked_bytes_ago += payload.len();
                Ok(None)
            }
            Err(Refused::Full(item)) => Ok(Some(item)),
            Err(Refused::Closed(_)) => Err(self.ends.line.failed()),
        }
    }

    /// True if with so many bytes another [`PUBLISH_BYTES_AHEAD`] have been published: then those before them must have
    /// been taken over, so that twice as much waits at the most, and a message.
    fn is_ahead(&self, bytes: usize) -> bool {
        self.asked_bytes_ago + bytes > PUBLISH_BYTES_AHEAD
    }

    async fn publish_when_there_is_room(&mut self, mut item: PublishItem) -> Result<u64> {
        let bytes = item.payload_bytes();
        // From the last time that the broker was away.
        while self.ends.away.try_recv().is_some() {}
        if self.is_ahead(bytes) {
            self.until_taken().await?;
        }
        let (offer, claim) = offer();
        item.may_be_withdrawn(claim);
        let mut offered = Offered { offer: Some(offer), sequence: &mut self.sequence };
        let sent = async { self.ends.items.send(item).await.ok() };
        match unless_away(sent, &mut self.ends.away).await {
            Ok(Some(())) => offered.stands(),
            Ok(None) => return Err(self.ends.line.failed()),
            // It may have been taken as the broker was given up.
            Err(away) if offered.withdraw() => return Err(away),
            Err(_) => {}
        }
        drop(offered);
        self.asked_bytes_ago += bytes;
        Ok(self.sequence)
    }

    /// Waits until what the last question was about has been taken over, and asks the next.
    async fn until_taken(&mut self) -> Result<()> {
        if let Some(taken) = &mut self.taken {
            // The question may be lost with its task.
            let answer = async { Some(self.ends.line.unless_ended(taken.recv()).await) };
            unless_away(answer, &mut self.ends.away).await?.transpose()?;
            // It is answered once: whoever drops this future while it waits to ask the next begins with that.
            self.taken = None;
        }
        let (reply, taken) = link(1);
        let asked = async { self.ends.items.send(PublishItem::Taken { reply }).await.ok() };
        unless_away(asked, &mut self.ends.away).await?.ok_or_else(|| self.ends.line.failed())?;
        self.asked_bytes_ago = 0;
        self.taken = Some(taken);
        Ok(())
    }

    /// The number of messages published: the sequence number of the last.
    pub fn published(&self) -> u64 {
        self.sequence
    }

    fn count_published(&mut self) -> u64 {
        self.sequence += 1;
        self.sequence
    }

    /// Says whether a payload of so many bytes is one that the broker takes, before it is made.
    ///
    /// # Errors
    /// `Invalid`, with the most that it takes.
    pub fn check_length(&self, topic: &Topic, payload_bytes: usize) -> Result<()> {
        check_length(topic, payload_bytes, self.frame_bytes_max)
    }

    /// Waits until at least `n` subscribers of this topic are in force, so that none misses the first message,
    /// and gives how many are.
    ///
    /// # Errors
    /// `TimedOut`, saying how many there were; what the session has failed with.
    pub fn wait_for_subscribers<T>(&mut self, topic: T, n: usize, timeout: Duration) -> Result<usize>
    where
        T: TryInto<Topic>,
        Error: From<T::Error>,
    {
        block_on(self.wait_for_subscribers_async(topic, n, timeout))
    }

    /// As [`Publisher::wait_for_subscribers`].
    ///
    /// # Errors
    /// As for [`Publisher::wait_for_subscribers`].
    pub async fn wait_for_subscribers_async<T>(
        &mut self,
        topic: T,
        n: usize,
        timeout: Duration,
    ) -> Result<usize>
    where
        T: TryInto<Topic>,
        Error: From<T::Error>,
    {
        let topic = topic.try_into()?;
        self.ask(timeout, |deadline, question| PublishItem::Wait { topic, n, deadline, question }).await
    }

    /// Waits until the broker has taken for delivery all that was published.
    ///
    /// # Errors
    /// `Lost` if the connection was lost since the last flush with messages not known to be taken; `TimedOut`;
    /// what the session has failed with.
    pub fn flush(&mut self, timeout: Duration) -> Result<()> {
        block_on(self.flush_async(timeout))
    }

    /// As [`Publisher::flush`].
    ///
    /// # Errors
    /// As for [`Publisher::flush`].
    pub async fn flush_async(&mut self, timeout: Duration) -> Result<()> {
        let flushed = self.ask(timeout, |deadline, question| PublishItem::Flush { deadline, question }).await;
        if flushed.as_ref().map_or_else(|error| error.kind() == ErrorKind::Lost, |()| true) {
            self.settled = self.sequence;
        }
        flushed
    }

    /// A stream of what becomes of the connection to the broker: connected, disconnected and why, slow; and what is refused.
    pub fn connection_events(&self) -> ConnectionEvents {
        block_on(self.connection_events_async())
    }

    /// As [`Publisher::connection_events`].
    pub async fn connection_events_async(&self) -> ConnectionEvents {
        self.ends.line.watch_connection().await
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
        block_on(self.leave(timeout))
    }

    /// As [`Publisher::close`].
    ///
    /// # Errors
    /// As for [`Publisher::flush`].
    pub async fn close_async(mut self) -> Result<()> {
        self.leave(CLOSE_TIMEOUT_DEFAULT).await
    }

    /// As [`Publisher::close_within`].
    ///
    /// # Errors
    /// As for [`Publisher::flush`].
    pub async fn close_within_async(mut self, timeout: Duration) -> Result<()> {
        self.leave(timeout).await
    }

    async fn leave(&mut self, timeout: Duration) -> Result<()> {
        let left = self.ask(timeout, |deadline, question| PublishItem::Close { deadline, question }).await;
        self.has_left = true;
        left
    }

    async fn ask<T>(
        &mut self,
        timeout: Duration,
        item: impl FnOnce(Deadline, Question<T>) -> PublishItem,
    ) -> Result<T> {
        let deadline = Deadline::after(timeout);
        self.ends.line.ask(&self.ends.items, deadline, |question| item(deadline, question)).await
    }
}

impl Clone for Publisher {
    fn clone(&self) -> Self {
        let mut executor = self.executor.clone();
        let (ends, task_ends) = executor.ends(fresh_id());
        let PublisherTaskEnds { id, ref line, .. } = task_ends;
        let failed = line.failed.clone();
        if let Err(error) = block_on(executor.begin_to_open(task_ends)) {
            drop(failed.try_send(error));
        }
        Self::new(id, self.frame_bytes_max, executor, ends)
    }
}

impl Drop for Publisher {
    fn drop(&mut self) {
        if self.has_left || self.sequence == 0 || on_executor() {
            return;
        }
        let left = block_on(self.leave(DROP_LINGER));
        let messages = self.sequence - self.settled;
        if let Err(error) = left
            && messages > 0
        {
            warn!(messages, publisher = %self.id, %error, "a publisher was dropped, and up to so many of its messages are lost");
        }
    }
}

/// A message that waits for room. Dropped, it is withdrawn; one that was taken meanwhile counts.
struct Offered<'a> {
    offer: Option<Offer>,
    sequence: &'a mut u64,
}

impl Offered<'_> {
    /// It is handed over.
    fn stands(&mut self) {
        self.offer = None;
        *self.sequence += 1;
    }

    /// Takes it back; false if it was taken, and counts.
    fn withdraw(&mut self) -> bool {
        let is_taken = self.offer.take().is_some_and(|offer| !offer.withdraw());
        *self.sequence += u64::from(is_taken);
        !is_taken
    }
}

impl Drop for Offered<'_> {
    fn drop(&mut self) {
        self.withdraw();
    }
}

/// Waits for `work`, and no longer than until the broker has been away for too long.
async fn unless_away<T>(work: impl Future<Output = Option<T>>, away: &mut Inbox<Error>) -> Result<Option<T>> {
    let complaint = async {
        match away.recv().await {
            Some(error) => Err(error),
            // Whoever complains has ended: so will the work.
            None => std::future::pending().await,
        }
    };
    or(async { Ok(work.await) }, complaint).await
}

#[cfg(test)]
mod tests {
    use corecast_executors::Link;
    use futures_lite::future::poll_once;

    use super::super::question::line;
    use super::*;

    /// A publisher whose task is the test: its items wait one at a time.
    fn publisher() -> (Publisher, Inbox<PublishItem>, Link<Error>, impl Sized) {
        let (items, inbox) = link(1);
        let (complaints, away) = link(1);
        let (line, end) = line("publisher");
        let executor = PublisherExecutor::reached_by(link(1).0, ClientConfig::default());
        let ends = PublisherEnds { items, away, line };
        let mut publisher = Publisher::new(PublisherId(1), 1 << 20, executor, ends);
        // There is nobody to take its leave of.
        publisher.has_left = true;
        (publisher, inbox, complaints, end)
    }

    /// Takes the next message as the task does; `None` for one that was withdrawn.
    fn take(items: &mut Inbox<PublishItem>) -> Option<Bytes> {
        match items.try_recv() {
            Some(PublishItem::Publish { payload, claim, .. }) => {
                claim.is_none_or(|claim| claim.take()).then_some(payload)
            }
            _ => panic!("a message waits"),
        }
    }

    #[test]
    fn a_publish_that_is_dropped_counts_if_it_was_taken() {
        let topic = Topic::new("t").expect("a topic");
        for taken_before in [true, false] {
            let (mut publisher, mut items, _complaints, _end) = publisher();
            assert_eq!(publisher.publish(&topic, b"1").expect("there is room"), 1);
            let mut waits = Box::pin(publisher.publish_async(&topic, b"2"));
            assert!(block_on(poll_once(&mut waits)).is_none(), "there is no room");
            assert_eq!(take(&mut items).as_deref(), Some(&b"1"[..]));
            // The second has the room of the first now, and nobody has looked at its future since.
            let taken = taken_before.then(|| take(&mut items));
            drop(waits);
            match taken {
                Some(taken) => assert_eq!((taken.as_deref(), publisher.published()), (Some(&b"2"[..]), 2)),
                None => assert_eq!((take(&mut items), publisher.published()), (None, 1)),
            }
        }
    }

    /// Takes the question whether all before it has been taken over, as the task does, and answers it.
    fn answer(items: &mut Inbox<PublishItem>) {
        let Some(PublishItem::Taken { reply }) = items.try_recv() else { panic!("a question waits") };
        reply.try_send(()).expect("it is answered once");
    }

    #[test]
    fn a_publish_that_is_dropped_between_an_answer_and_the_next_question_asks_it_later() {
        let topic = Topic::new("t").expect("a topic");
        let (mut publisher, mut items, _complaints, _end) = publisher();
        publisher.asked_bytes_ago = PUBLISH_BYTES_AHEAD;
        let waits = block_on(poll_once(Box::pin(publisher.publish_async(&topic, b"1"))));
        assert!(waits.is_none(), "its question has the room, and it is withdrawn");
        answer(&mut items);
        assert_eq!(publisher.publish(&topic, b"2").expect("there is room"), 1);
        publisher.asked_bytes_ago = PUBLISH_BYTES_AHEAD;
        let waits = block_on(poll_once(Box::pin(publisher.publish_async(&topic, b"3"))));
        assert!(waits.is_none(), "it has heard the answer, and there is no room for the next question");
        assert_eq!(take(&mut items).as_deref(), Some(&b"2"[..]));
        let mut waits = Box::pin(publisher.publish_async(&topic, b"3"));
        assert!(block_on(poll_once(&mut waits)).is_none(), "the question has the room");
        answer(&mut items);
        assert_eq!(block_on(waits).expect("there is room"), 2);
        assert_eq!(take(&mut items).as_deref(), Some(&b"3"[..]));
    }

    #[test]
    fn a_publish_that_was_taken_as_the_broker_was_given_up_is_no_error() {
        let topic = Topic::new("t").expect("a topic");
        let (mut publisher, mut items, complaints, _end) = publisher();
        publisher.publish(&topic, b"1").expect("there is room");
        let mut waits = Box::pin(publisher.publish_async(&topic, b"2"));
        assert!(block_on(poll_once(&mut waits)).is_none());
        complaints.try_send(Error::new(ErrorKind::Unreachable, "it is away")).expect("there is room");
        let error = block_on(waits).expect_err("nobody has taken it");
        assert_eq!((error.kind(), publisher.published()), (ErrorKind::Unreachable, 1));
        assert_eq!(take(&mut items).as_deref(), Some(&b"1"[..]));
        assert_eq!(items.depth(), 0, "it was withdrawn");
    }
}
