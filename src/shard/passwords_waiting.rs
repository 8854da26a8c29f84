//! Places for passwords that wait to be checked, shared by all shards of a broker: no host takes those of others. The places are
//! atomics, each of which is of one host at a time; a password gives its own back wherever its check ends.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::auth::PeerHost;
use crate::limits::{PASSWORDS_WAITING_HERE_MAX, PASSWORDS_WAITING_MAX, PASSWORDS_WAITING_PER_HOST_MAX};

/// A place that nobody has.
const FREE: u64 = 0;

/// The places of a broker. Clones share them.
#[derive(Clone, Default)]
pub struct PasswordsWaiting(Arc<Places>);

struct Places {
    /// The hosts that have one, by a hash with keys of this start: no peer can choose an address that counts as another's.
    taken_by: [AtomicU64; PASSWORDS_WAITING_MAX],
    hosts: ahash::RandomState,
}

/// One password's place. Dropped, it is free.
#[derive(Debug)]
pub(super) struct PasswordPlace {
    places: PasswordsWaiting,
    at: usize,
}

impl PasswordsWaiting {
    /// Takes a place for a password from this host. `None`: as many of it wait as may, or as it leaves to others.
    pub(super) fn take(&self, host: PeerHost) -> Option<PasswordPlace> {
        let Places { taken_by, hosts } = &*self.0;
        let host_hash = hosts.hash_one(host).max(FREE + 1);
        let most = match host {
            PeerHost::Here => PASSWORDS_WAITING_HERE_MAX,
            PeerHost::V4(_) | PeerHost::V6(_) => PASSWORDS_WAITING_PER_HOST_MAX,
        };
        let count = |of: u64| taken_by.iter().filter(|place| place.load(Ordering::Relaxed) == of).count();
        // Less than what is free: the more hosts there are, the less each has, and one that has none finds a place.
        if count(host_hash) >= most.min(count(FREE)) {
            return None;
        }
        let take = |place: &AtomicU64| {
            place.compare_exchange(FREE, host_hash, Ordering::Relaxed, Ordering::Relaxed).is_ok()
        };
        // Other shards may have taken the last ones meanwhile.
        let at = taken_by.iter().position(take)?;
        Some(PasswordPlace { places: self.clone(), at })
    }

    /// The number of places that are taken.
    fn taken(&self) -> usize {
        self.0.taken_by.iter().filter(|place| place.load(Ordering::Relaxed) != FREE).count()
    }
}

impl Default for Places {
    fn default() -> Self {
        Places {
            taken_by: [const { AtomicU64::new(FREE) }; PASSWORDS_WAITING_MAX],
            hosts: ahash::RandomState::new(),
        }
    }
}

impl fmt::Debug for PasswordsWaiting {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PasswordsWaiting({})", self.taken())
    }
}

impl Drop for PasswordPlace {
    fn drop(&mut self) {
        self.places.0.taken_by[self.at].store(FREE, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;
    use std::thread;

    use super::*;

    fn host(number: u32) -> PeerHost {
        PeerHost::V4(Ipv4Addr::from_bits(number))
    }

    /// Takes as many places for a host as it gets.
    fn take_all(waiting: &PasswordsWaiting, host: PeerHost) -> Vec<PasswordPlace> {
        std::iter::from_fn(|| waiting.take(host)).collect()
    }

    #[test]
    fn a_host_has_its_share_and_what_it_gives_back_is_there_again() {
        let waiting = PasswordsWaiting::default();
        let mut places = take_all(&waiting, host(1));
        assert_eq!(places.len(), PASSWORDS_WAITING_PER_HOST_MAX);
        assert!(waiting.take(host(2)).is_some(), "another host");
        drop(places.pop());
        let again = waiting.take(host(1));
        assert!(again.is_some() && waiting.take(host(1)).is_none());
        drop((places, again));
        assert_eq!(waiting.taken(), 0);
    }

    #[test]
    fn this_host_has_more_and_leaves_as_much() {
        let waiting = PasswordsWaiting::default();
        let here = take_all(&waiting, PeerHost::Here);
        assert_eq!(here.len(), PASSWORDS_WAITING_HERE_MAX);
        assert_eq!(take_all(&waiting, host(1)).len(), PASSWORDS_WAITING_PER_HOST_MAX);
    }

    #[test]
    fn eight_hosts_that_send_all_they_can_leave_places_to_a_ninth() {
        let waiting = PasswordsWaiting::default();
        let mut places: Vec<Vec<PasswordPlace>> = (0..8).map(|n| take_all(&waiting, host(n))).collect();
        for _ in 0..100 {
            // One is checked, and each of them takes what it can get.
            places.iter_mut().max_by_key(|places| places.len()).expect("eight").pop();
            (0..8).for_each(|n| places[n as usize].extend(take_all(&waiting, host(n))));
        }
        assert!(waiting.take(host(8)).is_some(), "{:?}", places.iter().map(Vec::len).collect::<Vec<_>>());
    }

    #[test]
    fn shards_that_take_at_once_take_no_place_twice() {
        let waiting = PasswordsWaiting::default();
        let all: Vec<Vec<usize>> = thread::scope(|scope| {
            let shard = |n: u32| {
                let waiting = &waiting;
                move || {
                    let mut taken = Vec::new();
                    for round in 0..1_000 {
                        // Half of the rounds keep what they have for a while.
                        taken.extend(waiting.take(host(n * 100 + round % 7)));
                        if round % 2 == 0 && !taken.is_empty() {
                            taken.remove(0);
                        }
                    }
                    let at = taken.iter().map(|place| place.at).collect();
                    std::mem::forget(taken);
                    at
                }
            };
            let shards: Vec<_> = (0..4).map(|n| scope.spawn(shard(n))).collect();
            shards.into_iter().map(|shard| shard.join().expect("it ends")).collect()
        });
        let mut places = all.concat();
        places.sort_unstable();
        let taken = places.len();
        places.dedup();
        assert_eq!((places.len(), waiting.taken()), (taken, taken));
    }
}
