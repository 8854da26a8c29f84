//! Look-ups of host names. `getaddrinfo` blocks its caller for 20 s and more if the name server is mute, so every
//! look-up has a plain thread, and each caller waits as long as it likes: neither an executor nor another name waits
//! for it. Concurrent requests for one name share one look-up. A look-up that takes long gives its place to others, and
//! names that took long or failed are looked up after those that are new.

use std::collections::VecDeque;
use std::net::{SocketAddr, ToSocketAddrs as _};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use ahash::{AHashMap, AHashSet};
use corecast_executors::{Inbox, Link, RecvTimeout, Refused, link, spawn_plain};

use crate::limits::{LOOK_UP_SLOW, LOOK_UPS_MAX, LOOK_UPS_SLOW_MAX, LOOK_UPS_WAITING_MAX};

/// The addresses of a host, each with port 0, or the reason why there are none.
pub(super) type LookUp = Result<Vec<SocketAddr>, String>;

/// A function that looks a name up, and may block.
type Resolve = Arc<dyn Fn(&str) -> LookUp + Send + Sync>;

/// The link to the accounting thread, which starts with the first name, and ends with the process.
static LOOK_UPS: OnceLock<Link<Item>> = OnceLock::new();

enum Item {
    /// A request for the addresses of this host. `back` leads to the accounting thread.
    Ask { host: String, answer: Link<LookUp>, back: Link<Item> },
    /// The result of a look-up.
    Found { host: String, found: LookUp },
}

/// The addresses of `host`, once its look-up is over. Drop the future to stop waiting.
pub(super) async fn look_up(host: &str) -> LookUp {
    ask(host)?.recv().await.unwrap_or_else(|| Err(ENDED.to_owned()))
}

/// The same as [`look_up`], for plain threads.
pub(super) fn look_up_until(host: &str, deadline: Instant) -> LookUp {
    ask(host)?.recv_deadline(deadline).unwrap_or_else(|ended| {
        Err(match ended {
            RecvTimeout::TimedOut => "no name server has answered in time".to_owned(),
            RecvTimeout::Closed => ENDED.to_owned(),
        })
    })
}

const ENDED: &str = "the look-up has ended without an answer";

fn ask(host: &str) -> Result<Inbox<LookUp>, String> {
    let look_ups = match LOOK_UPS.get() {
        Some(look_ups) => look_ups,
        None => {
            let (link, inbox) = link(LOOK_UPS_WAITING_MAX);
            let look_ups = LookUps::new(Arc::new(resolve), LOOK_UP_SLOW);
            // One of two first callers at once wins: the other's link is dropped, and its thread ends.
            spawn_plain("corecast-names", move || look_ups.run(inbox))
                .map_err(|e| format!("cannot start a thread for look-ups: {e}"))?;
            LOOK_UPS.get_or_init(|| link)
        }
    };
    let (answer, answers) = link(1);
    let ask = Item::Ask { host: host.to_owned(), answer, back: look_ups.clone() };
    match look_ups.try_send(ask) {
        Ok(()) => Ok(answers),
        Err(Refused::Full(_)) => Err(TOO_MANY.to_owned()),
        Err(Refused::Closed(_)) => Err(ENDED.to_owned()),
    }
}

const TOO_MANY: &str = "too many names are being looked up";

fn resolve(host: &str) -> LookUp {
    // The name without a port: several peers on one host share a look-up.
    (host, 0).to_socket_addrs().map(Iterator::collect).map_err(|e| e.to_string())
}

/// All look-ups that are running or wait for a thread.
struct LookUps {
    resolve: Resolve,
    /// The waiting requests, by host.
    askers: AHashMap<String, Vec<Link<LookUp>>>,
    /// New hosts whose look-up has not begun, in order.
    queue: VecDeque<(String, Link<Item>)>,
    /// The same for troubled hosts: their turn comes when there are no new ones.
    again: VecDeque<(String, Link<Item>)>,
    /// Look-ups that are running and not slow, and since when, in order.
    running: VecDeque<(Instant, String)>,
    slow: AHashSet<String>,
    slow_after: Duration,
    /// Hosts whose last look-up was slow or failed.
    troubled: AHashSet<String>,
}

impl LookUps {
    fn new(resolve: Resolve, slow_after: Duration) -> Self {
        LookUps {
            resolve,
            askers: AHashMap::new(),
            queue: VecDeque::new(),
            again: VecDeque::new(),
            running: VecDeque::new(),
            slow: AHashSet::new(),
            slow_after,
            troubled: AHashSet::new(),
        }
    }

    fn run(mut self, mut inbox: Inbox<Item>) {
        loop {
            let item = match self.slow_at() {
                None => inbox.recv_blocking(),
                Some(at) => match inbox.recv_deadline(at) {
                    Ok(item) => Some(item),
                    Err(RecvTimeout::TimedOut) => {
                        self.note_slow(Instant::now());
                        continue;
                    }
                    Err(RecvTimeout::Closed) => None,
                },
            };
            match item {
                Some(Item::Ask { host, answer, back }) => self.ask(host, answer, back),
                Some(Item::Found { host, found }) => self.found(&host, &found),
                None => return,
            }
        }
    }

    /// The time at which the next look-up becomes a slow one; `None` if there is none, or no room for another.
    fn slow_at(&self) -> Option<Instant> {
        let (since, _) = self.running.front()?;
        (self.slow.len() < LOOK_UPS_SLOW_MAX).then(|| *since + self.slow_after)
    }

    /// Gives the places of look-ups that take long to others.
    fn note_slow(&mut self, now: Instant) {
        while self.slow_at().is_some_and(|at| at <= now)
            && let Some((_, host)) = self.running.pop_front()
        {
            self.slow.insert(host);
        }
        self.begin_next();
    }

    fn ask(&mut self, host: String, answer: Link<LookUp>, back: Link<Item>) {
        if let Some(askers) = self.askers.get_mut(&host) {
            // Requests that were given up leave their links behind.
            askers.retain(|asker| !asker.is_closed());
            return askers.push(answer);
        }
        if self.askers.len() >= LOOK_UPS_WAITING_MAX {
            // A request that was given up needs no answer.
            let _ = answer.try_send(Err(TOO_MANY.to_owned()));
            return;
        }
        self.askers.insert(host.clone(), vec![answer]);
        let queue = if self.troubled.contains(&host) { &mut self.again } else { &mut self.queue };
        queue.push_back((host, back));
        self.begin_next();
    }

    fn found(&mut self, host: &str, found: &LookUp) {
        self.running.retain(|(_, running)| running != host);
        let was_slow = self.slow.remove(host);
        if was_slow || found.is_err() {
            if self.troubled.len() >= LOOK_UPS_WAITING_MAX {
                self.troubled.clear();
            }
            self.troubled.insert(host.to_owned());
        } else {
            self.troubled.remove(host);
        }
        self.answer(host, found);
        self.begin_next();
    }

    /// The next look-up to begin.
    fn next(&mut self) -> Option<(String, Link<Item>)> {
        self.queue.pop_front().or_else(|| self.again.pop_front())
    }

    fn answer(&mut self, host: &str, found: &LookUp) {
        for asker in self.askers.remove(host).into_iter().flatten() {
            // One slot and one message; a request that was given up needs no answer.
            let _ = asker.try_send(found.clone());
        }
    }

    /// Begins queued look-ups that still have a request, while there is a thread for them.
    fn begin_next(&mut self) {
        while self.running.len() < LOOK_UPS_MAX {
            let Some((host, back)) = self.next() else { return };
            if self.askers.get(&host).is_none_or(|askers| askers.iter().all(Link::is_closed)) {
                self.askers.remove(&host);
                continue;
            }
            let (resolve, name) = (Arc::clone(&self.resolve), host.clone());
            let look_up = move || {
                let found = resolve(&name);
                // Refused only if nobody can make requests any more.
                let _ = back.send_blocking(Item::Found { host: name, found });
            };
            match spawn_plain("corecast-lookup", look_up) {
                Ok(_) => self.running.push_back((Instant::now(), host)),
                Err(e) => self.answer(&host, &Err(format!("cannot start a thread for the look-up: {e}"))),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Barrier;
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    const NEVER: Duration = Duration::from_secs(3_600);

    /// A name server that counts its look-ups. It answers for `mute…` only when that many of them and the test have
    /// met.
    struct Server {
        look_ups: Link<Item>,
        mute: Arc<Barrier>,
        count: Arc<AtomicUsize>,
    }

    impl Server {
        fn start(mute: usize, slow_after: Duration) -> Self {
            let mute = Arc::new(Barrier::new(mute + 1));
            let count = Arc::new(AtomicUsize::new(0));
            let (link, inbox) = link(LOOK_UPS_WAITING_MAX);
            let (held, counted) = (Arc::clone(&mute), Arc::clone(&count));
            let resolve = Arc::new(move |host: &str| {
                counted.fetch_add(1, Ordering::Relaxed);
                if host.starts_with("mute") {
                    held.wait();
                }
                Ok(vec![SocketAddr::from(([127, 0, 0, 1], 0))])
            });
            spawn_plain("names", move || LookUps::new(resolve, slow_after).run(inbox)).expect("a thread");
            Server { look_ups: link, mute, count }
        }

        fn ask(&self, host: &str) -> Inbox<LookUp> {
            let (answer, answers) = link(1);
            let ask = Item::Ask { host: host.to_owned(), answer, back: self.look_ups.clone() };
            self.look_ups.try_send(ask).expect("room");
            answers
        }
    }

    fn found(answers: &mut Inbox<LookUp>) -> LookUp {
        answers.recv_deadline(Instant::now() + Duration::from_secs(60)).expect("an answer")
    }

    #[test]
    fn a_name_that_hangs_holds_no_other_and_is_looked_up_once() {
        let server = Server::start(1, NEVER);
        let gave_up = server.ask("mute");
        let mut first = server.ask("mute");
        let mut second = server.ask("mute");
        drop(gave_up);
        assert!(found(&mut server.ask("fast")).is_ok());
        assert!(first.try_recv().is_none() && second.try_recv().is_none());
        server.mute.wait();
        assert!(found(&mut first).is_ok() && found(&mut second).is_ok());
        assert_eq!(server.count.load(Ordering::Relaxed), 2);
    }

    #[test]
    fn look_ups_beyond_the_bound_wait_and_those_that_nobody_wants_are_left_out() {
        let server = Server::start(LOOK_UPS_MAX, NEVER);
        let mut held: Vec<_> = (0..LOOK_UPS_MAX).map(|n| server.ask(&format!("mute{n}"))).collect();
        drop(server.ask("given up"));
        let mut waiting = server.ask("waiting");
        server.mute.wait();
        assert!(held.iter_mut().all(|answers| found(answers).is_ok()));
        assert!(found(&mut waiting).is_ok());
        assert_eq!(server.count.load(Ordering::Relaxed), LOOK_UPS_MAX + 1);
    }

    #[test]
    fn names_that_hang_do_not_hold_up_others_for_long() {
        let server = Server::start(LOOK_UPS_MAX, Duration::from_millis(1));
        let mut held: Vec<_> = (0..LOOK_UPS_MAX).map(|n| server.ask(&format!("mute{n}"))).collect();
        assert!(found(&mut server.ask("fast")).is_ok(), "though every thread is taken");
        assert!(held.iter_mut().all(|answers| answers.try_recv().is_none()));
        server.mute.wait();
        assert!(held.iter_mut().all(|answers| found(answers).is_ok()));
    }

    #[test]
    fn names_that_failed_are_looked_up_after_new_ones() {
        let mut look_ups = LookUps::new(Arc::new(|_| Err("unknown".to_owned())), NEVER);
        let (back, _inbox) = link(1);
        look_ups.found("failed", &Err("unknown".to_owned()));
        // All places are taken.
        look_ups.running = (0..LOOK_UPS_MAX).map(|n| (Instant::now(), format!("held{n}"))).collect();
        let _answers = ["failed", "new"].map(|host| {
            let (answer, answers) = link(1);
            look_ups.ask(host.to_owned(), answer, back.clone());
            answers
        });
        assert_eq!(look_ups.next().map(|(host, _)| host).as_deref(), Some("new"));
        assert_eq!(look_ups.next().map(|(host, _)| host).as_deref(), Some("failed"));
    }

    #[test]
    fn the_names_of_this_host_are_known() {
        let found =
            look_up_until("localhost", Instant::now() + Duration::from_secs(60)).expect("it is known");
        assert!(found.iter().all(|address| address.ip().is_loopback() && address.port() == 0));
    }
}
