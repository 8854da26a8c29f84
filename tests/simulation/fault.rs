//! Owns the deliberate fault, one a run: between two shards, between a shard and its kernel, or between a kernel and
//! its client. The shard logic itself is unchanged.

use corecast::internals::carrier::{HistoryItem, LinkItem, ShardItem};

use crate::client::Incoming;

/// The kind of a fault.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Fault {
    /// A batch never reaches the other shard.
    LoseBatch,
    /// A batch reaches the other shard twice.
    RepeatBatch,
    /// An acknowledged change of interest never reaches the other shard.
    LoseInterest,
    /// A session with something to send is forgotten.
    ForgetFlush,
    /// Two messages of a publisher and topic change places.
    SwapMessages,
    /// A gap notice is not sent.
    ForgetGap,
    /// A gap notice is sent twice.
    RepeatGap,
    /// A byte of a payload changes.
    CorruptPayload,
    /// A message is given to another client, too.
    Misdeliver,
    /// A flush is answered when it is sent, not when it is done.
    AcknowledgeEarly,
    /// A message gets lost that comes behind the answer to its subscription, but was said before it.
    LoseJoined,
    /// A message of the history with which a client starts gets lost, of a topic of which the client is to get all.
    LoseHistory,
    /// A part of the history of a shard reaches the shard that asked for it twice.
    RepeatHistory,
    /// A shard says that it follows new rules, and does not.
    IgnoreRules,
}

/// A fault that waits for its turn.
#[derive(Default)]
pub(crate) struct Armed {
    fault: Option<Fault>,
    /// Chances to let pass first, so that it does not always strike the first message.
    passes: u32,
    pub(crate) struck: bool,
}

impl Armed {
    /// This fault, in its turn.
    pub(crate) fn new(fault: Option<Fault>, passes: u32) -> Self {
        Armed { fault, passes, struck: false }
    }

    /// True if this fault strikes here and now.
    pub(crate) fn strikes(&mut self, fault: Fault) -> bool {
        if self.struck || self.fault != Some(fault) {
            return false;
        }
        if self.passes > 0 {
            self.passes -= 1;
            return false;
        }
        self.struck = true;
        true
    }

    /// The number of times that this item reaches the other shard.
    pub(crate) fn copies(&mut self, item: &LinkItem) -> usize {
        match item {
            LinkItem::Batch { .. } if self.strikes(Fault::LoseBatch) => 0,
            LinkItem::Batch { .. } if self.strikes(Fault::RepeatBatch) => 2,
            LinkItem::ToShard(item) if has_history(item) && self.strikes(Fault::RepeatHistory) => 2,
            LinkItem::Interest { wanted: true, .. } if self.strikes(Fault::LoseInterest) => 0,
            _ => 1,
        }
    }

    /// Changes what a client is about to read.
    pub(crate) fn change(&mut self, frames: &mut Vec<Incoming>) {
        if let Some(at) = swappable(frames)
            && self.strikes(Fault::SwapMessages)
        {
            frames.swap(at.0, at.1);
        }
        for at in 0..frames.len() {
            match &mut frames[at] {
                Incoming::Gap { .. } if self.strikes(Fault::ForgetGap) => {
                    frames.remove(at);
                    return;
                }
                Incoming::Gap { .. } if self.strikes(Fault::RepeatGap) => {
                    let again = frames[at].clone();
                    frames.insert(at, again);
                    return;
                }
                Incoming::Message(message)
                    if !message.payload.is_empty() && self.strikes(Fault::CorruptPayload) =>
                {
                    message.payload[0] ^= 1;
                }
                _ => {}
            }
        }
    }
}

/// True if it brings messages of history.
fn has_history(item: &ShardItem) -> bool {
    let ShardItem::History(HistoryItem::Page(page)) = item else { return false };
    page.parts.iter().any(|part| !part.stretches.is_empty())
}

/// Two messages that must not change places: same publisher and topic.
fn swappable(frames: &[Incoming]) -> Option<(usize, usize)> {
    let key = |frame: &Incoming| match frame {
        Incoming::Message(m) => Some((m.publisher, m.topic.clone())),
        _ => None,
    };
    (0..frames.len()).find_map(|first| {
        let wanted = key(&frames[first])?;
        let second = (first + 1..frames.len()).find(|at| key(&frames[*at]).as_ref() == Some(&wanted))?;
        Some((first, second))
    })
}
