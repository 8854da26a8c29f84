//! The prefixes that ZeroMQ publishers are asked for, so that they filter at the source: those that any shard has subscribers
//! for, first on and last off. Each shard keeps all of it, and tells its own publishers.

use bytes::Bytes;

use super::base::Base;
use crate::carrier::{Counted, ShardItem};
use crate::ids::SessionId;
use crate::limits::ZMTP_UPSTREAM_BYTES_MAX;
use crate::topic::Filter;
use crate::zmtp::command;

/// The prefixes that are wanted, and who is told.
#[derive(Default, Debug)]
pub(super) struct Upstream {
    /// The number of filters, of all neighbours, that lead to each.
    wanted: Counted<Bytes>,
    /// ZeroMQ publishers of this shard.
    publishers: Vec<SessionId>,
    /// All of them as messages or commands, in bytes, about.
    bytes: usize,
    /// All of them as messages and as commands: made when a publisher comes, shared by those that come with it.
    all: [Option<Bytes>; 2],
}

/// Bytes that a subscription has around its prefix, at the most.
const AROUND_PREFIX_BYTES: usize = 19;

impl Upstream {
    /// Bytes that all subscriptions have as commands, about.
    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    /// A session has left, whoever it was.
    pub(super) fn forget(&mut self, id: SessionId) {
        self.publishers.retain(|publisher| *publisher != id);
    }

    /// One filter more or fewer leads to this prefix. `true`: it is the first, or was the last.
    fn change(&mut self, prefix: &[u8], wanted: bool) -> bool {
        let is_change =
            if wanted { self.wanted.add(prefix, Bytes::copy_from_slice) } else { self.wanted.remove(prefix) };
        if is_change {
            let bytes = prefix.len() + AROUND_PREFIX_BYTES;
            self.bytes = if wanted { self.bytes + bytes } else { self.bytes - bytes };
            self.all = [None, None];
        }
        is_change
    }

    /// All of them, and how many they are.
    fn all(&mut self, commands: bool) -> (Bytes, u32) {
        let wanted = &self.wanted;
        let made = self.all[usize::from(commands)].get_or_insert_with(|| {
            let each = wanted.keys().flat_map(|prefix| command::subscription(true, prefix, commands));
            Bytes::from(each.collect::<Vec<u8>>())
        });
        (made.clone(), u32::try_from(wanted.len()).expect("each has its bytes"))
    }

    /// A ZeroMQ publisher is open: it is told all that is wanted.
    pub(super) fn greet(&mut self, base: &mut Base, id: SessionId, commands: bool) {
        self.publishers.push(id);
        let (all, frames) = self.all(commands);
        tell_prefixes(base, id, all, frames);
    }

    /// Somebody here or on another shard has this filter now, or has it no longer: publishers are told, first on and
    /// last off; if the broker is verbose, each time on.
    pub(super) fn tell(&mut self, base: &mut Base, filter: &Filter, wanted: bool) {
        if !base.config.zmtp_publishers {
            return;
        }
        let prefix = upstream_prefix(filter);
        if self.change(prefix, wanted) {
            self.tell_publishers(base, prefix, (wanted, false));
        } else if wanted && base.config.zmtp_verbose {
            self.tell_publishers(base, prefix, (true, true));
        }
    }

    /// Somebody has subscribed to a filter that this shard had: the other shards have not heard of it, and publishers
    /// of a last value would not send it.
    pub(super) fn repeat(&self, base: &mut Base, filter: &Filter) {
        for shard in base.links.others() {
            base.send_shard(shard, ShardItem::Repeated { filter: filter.clone() });
        }
        self.on_repeated(base, filter);
    }

    /// A session here or on another shard has subscribed to a filter that was known.
    pub(super) fn on_repeated(&self, base: &mut Base, filter: &Filter) {
        if base.config.zmtp_publishers {
            self.tell_publishers(base, upstream_prefix(filter), (true, true));
        }
    }

    /// Tells each publisher of a change. `again`: it is none, only said again, so one that does not read is not told.
    fn tell_publishers(&self, base: &mut Base, prefix: &[u8], (wanted, again): (bool, bool)) {
        if self.publishers.is_empty() {
            return;
        }
        base.turn.spend(self.publishers.len());
        let frames =
            [false, true].map(|commands| Bytes::from(command::subscription(wanted, prefix, commands)));
        for &id in &self.publishers {
            let Some(session) = base.sessions.get_mut(id) else { continue };
            let is_slow = session.egress.answer_bytes() > ZMTP_UPSTREAM_BYTES_MAX;
            let Some(peer) = session.kind.zmtp_mut() else { continue };
            if is_slow || !peer.late.is_empty() {
                if !again {
                    peer.late.add(prefix, wanted, Bytes::copy_from_slice);
                }
                continue;
            }
            let commands = peer.knows_commands();
            tell_prefixes(base, id, frames[usize::from(commands)].clone(), 1);
        }
    }
}

/// A publisher has read all that it was told: it is told what has changed meanwhile.
pub(super) fn tell_late(base: &mut Base, id: SessionId) {
    let Some(peer) = base.zmtp_peer(id).filter(|peer| !peer.late.is_empty()) else { return };
    let commands = peer.knows_commands();
    let (mut late, mut frames) = (Vec::new(), 0);
    for (prefix, wanted) in peer.late.take() {
        late.extend(command::subscription(wanted, &prefix, commands));
        frames += 1;
    }
    tell_prefixes(base, id, Bytes::from(late), frames);
}

/// Tells a publisher so many subscriptions. Its application takes them, at its own pace.
fn tell_prefixes(base: &mut Base, id: SessionId, subscriptions: Bytes, frames: u32) {
    if let Some(peer) = base.zmtp_peer(id).filter(|_| frames > 0) {
        peer.liveness.fed();
    }
    base.answer_zmtp(id, subscriptions, frames);
}

/// The prefix that a publisher which knows only prefixes is asked for, so that all that the filter matches comes.
fn upstream_prefix(filter: &Filter) -> &[u8] {
    let bytes = filter.as_bytes();
    match filter {
        Filter::Pattern(_) => {
            let wildcard = bytes.iter().position(|b| matches!(b, b'*' | b'>'));
            &bytes[..wildcard.unwrap_or(bytes.len())]
        }
        Filter::Exact(_) | Filter::Prefix(_) => bytes,
    }
}
