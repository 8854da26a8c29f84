//! The open connections of the HTTP server, and which of them gives way when there are too many. Owned by the task that accepts.

use std::cmp::Reverse;
use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use ahash::AHashMap;
use tokio::task::{AbortHandle, JoinSet};

use super::page_body::StreamPulse;
use crate::auth::PeerHost;
use crate::limits::HTTP_CONNECTIONS_MAX;
use crate::transport::{ControlPeer, FirstWord};

/// All that is known of one connection: its task says, and whoever admits others looks. Clones are the same.
#[derive(Clone, Debug)]
pub(super) struct Caller {
    pub(super) peer: ControlPeer,
    first_word: FirstWord,
    is_operator: Arc<AtomicBool>,
    pub(super) pulse: StreamPulse,
}

impl Caller {
    /// That of a connection which has just come; `is_operator`: the kernel says so.
    pub(super) fn new(peer: ControlPeer, first_word: FirstWord, is_operator: bool) -> Self {
        let is_operator = Arc::new(AtomicBool::new(is_operator));
        Caller { peer, first_word, is_operator, pulse: StreamPulse::default() }
    }

    /// Its peer has shown the token.
    pub(super) fn has_shown_the_token(&self) {
        self.is_operator.store(true, Ordering::Relaxed);
    }

    fn claim(&self) -> Claim {
        Claim {
            host: PeerHost::at(self.peer.address()),
            is_stream: self.pulse.silence().is_some(),
            is_operator: self.is_operator.load(Ordering::Relaxed),
            has_spoken: self.first_word.has_come(),
        }
    }
}

/// The open connections.
#[derive(Default)]
pub(super) struct Conversations {
    tasks: JoinSet<()>,
    oldest_first: VecDeque<(AbortHandle, Caller)>,
}

impl Conversations {
    /// Begins one more. Returns the peer of the one that gave way for it, if one had to.
    pub(super) fn admit(
        &mut self,
        caller: Caller,
        conversation: impl Future<Output = ()> + Send + 'static,
    ) -> Option<ControlPeer> {
        self.forget_ended();
        // Those that have become streams have a bound of their own.
        let asking = self.oldest_first.iter().filter(|(_, one)| one.pulse.silence().is_none()).count();
        let host = PeerHost::at(caller.peer.address());
        let gone = if asking >= HTTP_CONNECTIONS_MAX { self.end_one(Some(host)) } else { None };
        self.oldest_first.push_back((self.tasks.spawn(conversation), caller));
        gone
    }

    /// Ends a conversation, if there is one, so that its descriptor is free: once the runtime has had a turn.
    pub(super) fn make_room(&mut self) -> bool {
        self.forget_ended();
        self.end_one(None).is_some()
    }

    /// The token has changed. Streams end, which would go on for those that do not know the new one; so do those that have shown
    /// nothing yet, since they would be let in by the old one. Those that may read without the token go on, and answers to requests
    /// that have shown the old one.
    pub(super) fn end_those_of_the_old_token(&mut self, may_do_without: impl Fn(ControlPeer) -> bool) {
        for (task, caller) in &self.oldest_first {
            let claim = caller.claim();
            if (claim.is_stream || !claim.is_operator) && !may_do_without(caller.peer) {
                task.abort();
            }
        }
    }

    fn end_one(&mut self, newcomer: Option<PeerHost>) -> Option<ControlPeer> {
        let claims: Vec<Claim> = self.oldest_first.iter().map(|(_, caller)| caller.claim()).collect();
        let (task, caller) = self.oldest_first.remove(gives_way(&claims, newcomer)?)?;
        task.abort();
        Some(caller.peer)
    }

    fn forget_ended(&mut self) {
        while self.tasks.try_join_next().is_some() {}
        self.oldest_first.retain(|(task, _)| !task.is_finished());
    }
}

/// The claim of one connection to its place.
#[derive(Clone, Copy, Debug)]
struct Claim {
    host: PeerHost,
    is_stream: bool,
    /// It has shown the token, or needs none.
    is_operator: bool,
    has_spoken: bool,
}

impl Claim {
    fn is_strangers(&self) -> bool {
        !self.is_stream && !self.is_operator
    }
}

/// The one that gives way to a newcomer, if there is any: a stranger of the host with the most, the newcomer among them. Among those
/// one that has said nothing, and the oldest. Operators come after all strangers, and streams after all operators.
fn gives_way(oldest_first: &[Claim], newcomer: Option<PeerHost>) -> Option<usize> {
    let mut crowds: AHashMap<PeerHost, usize> = AHashMap::new();
    let strangers = oldest_first.iter().filter(|claim| claim.is_strangers());
    for host in strangers.map(|claim| claim.host).chain(newcomer) {
        *crowds.entry(host).or_default() += 1;
    }
    let rank = |claim: &Claim| {
        let crowd = if claim.is_strangers() { crowds[&claim.host] } else { 0 };
        let has_spoken = claim.is_strangers() && claim.has_spoken;
        (claim.is_stream, claim.is_operator, Reverse(crowd), has_spoken)
    };
    // The first of equals is the oldest.
    oldest_first.iter().enumerate().min_by_key(|(_, claim)| rank(claim)).map(|(at, _)| at)
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use super::*;

    fn host(number: u8) -> PeerHost {
        PeerHost::V4(Ipv4Addr::new(192, 0, 2, number))
    }

    fn stranger(number: u8) -> Claim {
        Claim { host: host(number), is_stream: false, is_operator: false, has_spoken: false }
    }

    fn spoken(number: u8) -> Claim {
        Claim { has_spoken: true, ..stranger(number) }
    }

    #[test]
    fn a_flood_of_one_host_gives_way_to_others_whoever_came_first() {
        let there = [stranger(1), stranger(2), stranger(2), stranger(2)];
        for newcomer in [1, 2, 3] {
            assert_eq!(gives_way(&there, Some(host(newcomer))), Some(1), "the oldest of the crowd");
        }
        assert_eq!(gives_way(&there, None), Some(1));
        let all_alike = [stranger(1), stranger(2), stranger(3)];
        assert_eq!(gives_way(&all_alike, Some(host(3))), Some(2), "it has the most with its newcomer");
        assert_eq!(gives_way(&all_alike, Some(host(4))), Some(0));
        assert_eq!(gives_way(&[], Some(host(1))), None);
    }

    #[test]
    fn of_a_crowd_those_that_say_nothing_go_first() {
        let there = [spoken(1), stranger(1), stranger(1), stranger(2)];
        assert_eq!(gives_way(&there, Some(host(1))), Some(1));
        assert_eq!(gives_way(&[spoken(1), spoken(1), stranger(2)], Some(host(1))), Some(0));
    }

    #[test]
    fn operators_come_after_strangers_and_streams_after_both() {
        let operator = Claim { is_operator: true, ..spoken(1) };
        let stream = Claim { is_stream: true, ..spoken(1) };
        assert_eq!(gives_way(&[stream, operator, operator, spoken(2)], Some(host(1))), Some(3));
        assert_eq!(gives_way(&[stream, operator, operator], Some(host(2))), Some(1));
        assert_eq!(gives_way(&[stream, Claim { is_operator: true, ..stream }], None), Some(0));
    }
}
