//! Bounded channels between threads: many links, one inbox. The only file that makes a channel.
//!
//! The types here rule out three hazards of the channel library. There is one consumer ([`Inbox`] is not `Clone`); a
//! parked receive and a try cannot coexist (every receive takes `&mut self`); and each [`Inbox::recv`] is a fresh
//! future. The fourth is the caller's responsibility: never await room on a link ([`Link::send`]) in the task that
//! drains the inbox of the same peer.

use std::fmt;
use std::time::Instant;

use thiserror::Error;

use crate::rest::{MessageWaits, Stir};
use crate::thread::on_executor;

/// Makes a channel that holds at most `capacity` messages.
///
/// # Panics
/// If `capacity` is 0: a channel without room can deadlock two shards.
#[must_use]
pub fn link<T>(capacity: usize) -> (Link<T>, Inbox<T>) {
    assert!(capacity > 0, "a link needs room for at least one message");
    #[expect(clippy::disallowed_methods, reason = "this is the one place that makes channels")]
    let (sender, receiver) = flume::bounded(capacity);
    (Link { sender, capacity, rest: RestOf::Nobody }, Inbox { receiver, stir: None })
}

/// Makes a channel to a shard, from any thread. A message on it ends the shard's rest, and the shard does not rest until
/// it has taken the message; `stir` is from the shard's own [`Ticks::stir`](crate::Ticks::stir).
///
/// # Panics
/// If `capacity` is 0, like [`link`].
#[must_use]
pub fn link_to_shard<T>(capacity: usize, stir: &Stir) -> (Link<T>, Inbox<T>) {
    let (link, inbox) = link(capacity);
    (Link { rest: RestOf::Receiver(stir.clone()), ..link }, Inbox { stir: Some(stir.clone()), ..inbox })
}

/// Makes a channel to a task of a shard, from any thread. A message on it ends the shard's rest; the task may end with
/// messages in its inbox.
///
/// # Panics
/// If `capacity` is 0, like [`link`].
#[must_use]
pub fn link_to_task<T>(capacity: usize, stir: &Stir) -> (Link<T>, Inbox<T>) {
    let (link, inbox) = link(capacity);
    (Link { rest: RestOf::Host(stir.clone()), ..link }, inbox)
}

/// The rest that a message on a link concerns.
#[derive(Clone)]
enum RestOf {
    /// There is none.
    Nobody,
    /// The shard of the inbox, which does not rest before it has taken the message.
    Receiver(Stir),
    /// A shard in which the inbox lives for a while: the message ends its rest.
    Host(Stir),
}

/// The sending end. Clones share the capacity; the channel closes when the last one is dropped.
pub struct Link<T> {
    sender: flume::Sender<T>,
    capacity: usize,
    rest: RestOf,
}

/// A refused message, handed back.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Refused<T> {
    /// There is no room now.
    Full(T),
    /// The inbox is gone: it will never take a message again.
    Closed(T),
}

impl<T> Refused<T> {
    /// The message.
    pub fn into_inner(self) -> T {
        match self {
            Self::Full(message) | Self::Closed(message) => message,
        }
    }
}

impl<T> fmt::Debug for Refused<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Full(_) => "Full(..)",
            Self::Closed(_) => "Closed(..)",
        })
    }
}

impl<T> Link<T> {
    /// Makes a channel to a task of the shard that this link goes to, as [`link_to_task`].
    ///
    /// # Panics
    /// If `capacity` is 0, like [`link`].
    #[must_use]
    pub fn beside<U>(&self, capacity: usize) -> (Link<U>, Inbox<U>) {
        match &self.rest {
            RestOf::Nobody => link(capacity),
            RestOf::Receiver(stir) | RestOf::Host(stir) => link_to_task(capacity, stir),
        }
    }

    /// Marks a message as waiting: its shard does not rest until it is taken.
    fn message(&self) -> Option<MessageWaits<'_>> {
        match &self.rest {
            RestOf::Receiver(stir) => Some(stir.message()),
            RestOf::Nobody | RestOf::Host(_) => None,
        }
    }

    /// Leaves a sent message to the inbox, which counts it off.
    fn is_sent(&self, waits: Option<MessageWaits<'_>>) {
        if let Some(waits) = waits {
            waits.until_taken();
        } else if let RestOf::Host(stir) = &self.rest {
            stir.stir();
        }
    }

    /// Sends `message`, or hands it back at once.
    #[inline]
    pub fn try_send(&self, message: T) -> Result<(), Refused<T>> {
        // Without the guard of the others: nothing ends between the two.
        if let RestOf::Receiver(stir) = &self.rest {
            stir.message().until_taken();
        }
        match self.sender.try_send(message) {
            Ok(()) => {
                if let RestOf::Host(stir) = &self.rest {
                    stir.stir();
                }
                Ok(())
            }
            Err(refused) => Err(self.refused(refused)),
        }
    }

    #[cold]
    fn refused(&self, refused: flume::TrySendError<T>) -> Refused<T> {
        if let RestOf::Receiver(stir) = &self.rest {
            stir.message_taken();
        }
        match refused {
            flume::TrySendError::Full(message) => Refused::Full(message),
            flume::TrySendError::Disconnected(message) => Refused::Closed(message),
        }
    }

    /// Waits for room, on any runtime. If the inbox is gone, the error is the message.
    pub async fn send(&self, message: T) -> Result<(), T> {
        let waits = self.message();
        self.sender.send_async(message).await.map_err(flume::SendError::into_inner)?;
        self.is_sent(waits);
        Ok(())
    }

    /// Blocks the thread until there is room. If the inbox is gone, the error is the message.
    ///
    /// # Panics
    /// On an executor thread: it would block the shard.
    pub fn send_blocking(&self, message: T) -> Result<(), T> {
        assert!(!on_executor(), "a blocking send on an executor thread blocks its shard");
        let waits = self.message();
        #[expect(clippy::disallowed_methods, reason = "for plain threads, as the assertion above says")]
        self.sender.send(message).map_err(flume::SendError::into_inner)?;
        self.is_sent(waits);
        Ok(())
    }

    /// The number of queued messages.
    #[must_use]
    pub fn depth(&self) -> usize {
        self.sender.len()
    }

    /// The capacity.
    #[must_use]
    pub fn capacity(&self) -> usize {
        self.capacity
    }

    /// True if the inbox is gone.
    #[must_use]
    pub fn is_closed(&self) -> bool {
        self.sender.is_disconnected()
    }
}

impl<T> Clone for Link<T> {
    fn clone(&self) -> Self {
        Self { sender: self.sender.clone(), capacity: self.capacity, rest: self.rest.clone() }
    }
}

impl<T> fmt::Debug for Link<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Link({} of {})", self.depth(), self.capacity)
    }
}

/// The receiving end, owned by one consumer. Messages sent before the last link was dropped are still delivered; only
/// then does a receive report that the channel is closed.
pub struct Inbox<T> {
    receiver: flume::Receiver<T>,
    /// The rest of this inbox's shard, if it may rest.
    stir: Option<Stir>,
}

/// The reason why [`Inbox::recv_deadline`] returned no message.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum RecvTimeout {
    /// The deadline has passed.
    #[error("no message before the deadline")]
    TimedOut,
    /// Every link is gone and the inbox is empty.
    #[error("the channel is closed")]
    Closed,
}

impl<T> Inbox<T> {
    /// Waits for a message, on any runtime. `None`: every link is gone and the queue is empty.
    pub async fn recv(&mut self) -> Option<T> {
        let received = self.receiver.recv_async().await.ok();
        received.inspect(|_| self.count_off())
    }

    /// Takes a queued message. `None` says nothing about the links.
    pub fn try_recv(&mut self) -> Option<T> {
        let received = self.receiver.try_recv().ok();
        received.inspect(|_| self.count_off())
    }

    /// Blocks the thread until there is a message. `None`: every link is gone and the queue is empty.
    ///
    /// # Panics
    /// On an executor thread: it would block the shard.
    pub fn recv_blocking(&mut self) -> Option<T> {
        assert!(!on_executor(), "a blocking receive on an executor thread blocks its shard");
        let received = self.receiver.recv().ok();
        received.inspect(|_| self.count_off())
    }

    /// Blocks the thread until there is a message or `deadline` has passed.
    ///
    /// # Panics
    /// On an executor thread: it would block the shard.
    pub fn recv_deadline(&mut self, deadline: Instant) -> Result<T, RecvTimeout> {
        assert!(!on_executor(), "a blocking receive on an executor thread blocks its shard");
        let received = self.receiver.recv_deadline(deadline).map_err(|error| match error {
            flume::RecvTimeoutError::Timeout => RecvTimeout::TimedOut,
            flume::RecvTimeoutError::Disconnected => RecvTimeout::Closed,
        })?;
        self.count_off();
        Ok(received)
    }

    /// Counts a message as taken: its shard may rest again.
    fn count_off(&self) {
        if let Some(stir) = &self.stir {
            stir.message_taken();
        }
    }

    /// The number of queued messages.
    #[must_use]
    pub fn depth(&self) -> usize {
        self.receiver.len()
    }
}

impl<T> fmt::Debug for Inbox<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Inbox({})", self.depth())
    }
}
