//! Random lives of a broker, its direct publisher and subscribers that never leave by themselves, with revocations at random
//! moments. Nobody hears anything for longer than a second without a right, and who keeps a right misses nothing.

use std::collections::VecDeque;

use super::*;

/// Runs; each is some two minutes of simulated time.
const SEEDS: u64 = 20;

const STEPS: usize = 300;

/// Longest time that anything is on its way between broker, subscriber and publisher.
const DELAY_MAX_MS: u64 = 100;

const TOPICS: [&str; 2] = ["a", "b"];

/// The rights to subscribe that a user may have; `None`: it is no user.
const RIGHTS: [Option<&[&str]>; 4] = [None, Some(&["a"]), Some(&["b"]), Some(&TOPICS)];

/// Subscribers, each a user by the uid of its place. The last one's rights stay as they are.
const SUBSCRIBERS: usize = 3;
const STEADY: usize = SUBSCRIBERS - 1;
const FEEDS: usize = SUBSCRIBERS;

/// A subscriber, with its rights and the times at which they began.
#[derive(Default)]
struct Person {
    rights: Vec<(MonotonicNs, Option<&'static [&'static str]>)>,
    at_broker: Option<SessionId>,
    at_publisher: Option<SessionId>,
    ticket: Option<Vec<u8>>,
}

impl Person {
    /// True if it had a right to this topic at some time since then.
    fn had_right_since(&self, topic: &str, since: MonotonicNs) -> bool {
        let ends = self.rights[1..].iter().map(|(at, _)| *at).chain([MonotonicNs(u64::MAX)]);
        let has = |rights: &Option<&[&str]>| rights.is_some_and(|topics| topics.contains(&topic));
        self.rights.iter().zip(ends).any(|((_, rights), end)| end >= since && has(rights))
    }
}

/// Something on its way.
enum Mail {
    Ticket(usize, Vec<u8>),
    Rules(TicketRules),
}

struct Life {
    rng: fastrand::Rng,
    broker: Rig,
    host: Rig,
    publisher: SessionId,
    own: SessionId,
    sequence: u64,
    people: Vec<Person>,
    mail: Vec<(MonotonicNs, Mail)>,
    /// Rules that the publisher does not hear of, since it is cut off.
    unheard: VecDeque<TicketRules>,
    /// The publisher was cut off then, and hears its broker again since then.
    cut_off_at: Option<MonotonicNs>,
    heard_again_at: Option<MonotonicNs>,
}

impl Life {
    fn begin(seed: u64) -> Life {
        let people: Vec<Person> = (0..SUBSCRIBERS)
            .map(|_| Person { rights: vec![(MonotonicNs(1), Some(&TOPICS))], ..Person::default() })
            .collect();
        let mut broker = broker(file_of(&people));
        let publisher = open(&mut broker, 1, u32::try_from(FEEDS).expect("few"), Features::OURS);
        let rules = told(&mut broker, 1, publisher).rules[0];
        let (endpoints, topics) = ("tcp://192.0.2.1:1", "a\nb");
        let register = Frame::Register { endpoints, topics, publisher: PUBLISHER.0, epoch: 1, request: 1 };
        broker.say(1, publisher, &[register]);
        broker.travel();
        let mut host = host(rules, broker.now);
        let own = host.shards[0].on_open(Door::Local, Identity::Own).expect("it is let in");
        Life {
            rng: fastrand::Rng::with_seed(seed),
            broker,
            host,
            publisher,
            own,
            sequence: 0,
            people,
            mail: Vec::new(),
            unheard: VecDeque::new(),
            cut_off_at: None,
            heard_again_at: None,
        }
    }

    fn run(&mut self) {
        for _ in 0..STEPS {
            match self.rng.u32(0..20) {
                0 => self.reload(),
                1 => self.cut_off_or_not(),
                2..8 => self.publish(),
                _ => {}
            }
            for person in 0..SUBSCRIBERS {
                self.come(person);
            }
            let time = Duration::from_millis(self.rng.u64(10..=800));
            self.pass(time);
        }
    }

    /// Some users have other rights, or are users no more.
    fn reload(&mut self) {
        let now = self.broker.now;
        for person in self.people.iter_mut().take(STEADY) {
            let rights = *self.rng.choice(&RIGHTS).expect("there are some");
            person.rights.push((now, rights));
        }
        let permissions = file_of(&self.people);
        for shard in &mut self.broker.shards {
            while !shard.on_permissions(&permissions) {}
        }
        self.broker.travel();
    }

    fn cut_off_or_not(&mut self) {
        let now = self.host.now;
        if self.cut_off_at.is_some() && self.heard_again_at.is_none() {
            self.heard_again_at = Some(now);
            let unheard: Vec<TicketRules> = self.unheard.drain(..).collect();
            for rules in unheard {
                self.post(Mail::Rules(rules));
            }
        } else {
            (self.cut_off_at, self.heard_again_at) = (Some(now), None);
        }
    }

    /// The time from which on a right must have been there for who hears something now.
    fn right_since(&self) -> MonotonicNs {
        let second = SECOND.as_nanos() as u64;
        let now = self.host.now.0;
        let is_heard = self.heard_again_at.is_none_or(|at| now >= at.0 + second);
        let since = match self.cut_off_at {
            Some(at) if !is_heard || self.heard_again_at.is_none() => {
                at.0.min(now).max(now.saturating_sub(TICKET_LIFE.as_nanos() as u64))
            }
            _ => now,
        };
        MonotonicNs(since.saturating_sub(second))
    }

    fn publish(&mut self) {
        let topic = *self.rng.choice(&TOPICS).expect("there are some");
        self.sequence += 1;
        self.host.say(0, self.own, &[message(topic, self.sequence)]);
        let since = self.right_since();
        for (place, person) in self.people.iter().enumerate() {
            let Some(id) = person.at_publisher else { continue };
            let heard = self.host.hears(0, id);
            let said = format!("{topic}={}", self.sequence);
            let is_heard = heard.split(' ').any(|frame| frame == said);
            let now = self.host.now;
            assert!(!is_heard || person.had_right_since(topic, since), "{place} hears {said} at {now:?}");
            assert!(is_heard || place != STEADY, "{said} at {now:?} is missing: {heard}");
        }
    }

    /// Whoever is not there comes: to the broker for tickets, and to the publisher with the last that it has, even if it is old.
    fn come(&mut self, place: usize) {
        if self.people[place].at_broker.is_none() && (place == STEADY || self.rng.bool()) {
            let id = open(&mut self.broker, 0, u32::try_from(place).expect("few"), Features::OURS);
            let watch = |(request, topic): (usize, &&'static str)| Frame::WatchPublishers {
                filter: topic.as_bytes(),
                request: u32::try_from(request).expect("few") + 1,
                kind: 1,
            };
            if is_open(&self.broker, id) {
                let watches: Vec<Frame<'_>> = TOPICS.iter().enumerate().map(watch).collect();
                self.broker.say(0, id, &watches);
            }
            self.people[place].at_broker = Some(id);
            self.hear_broker(place);
        }
        let has_come = self.people[place].at_publisher.is_some();
        if !has_come && let Some(ticket) = self.people[place].ticket.clone() {
            let id = shows(&mut self.host, Some(&ticket));
            self.people[place].at_publisher = Some(id);
            if is_open(&self.host, id) {
                self.host.say(0, id, &[subscribe("a", 1), subscribe("b", 2)]);
            }
            self.hear_publisher(place);
        }
    }

    /// Sends something: it arrives behind all that was sent before.
    fn post(&mut self, mail: Mail) {
        let due = self.broker.now + Duration::from_millis(self.rng.u64(0..=DELAY_MAX_MS));
        let behind = self.mail.last().map_or(due, |(before, _)| due.max(*before));
        self.mail.push((behind, mail));
    }

    fn pass(&mut self, time: Duration) {
        let until = self.broker.now + time;
        while self.broker.now < until {
            self.broker.wait(corecast_executors::TICK);
            self.host.wait(corecast_executors::TICK);
            self.broker.travel();
            for rules in told(&mut self.broker, 1, self.publisher).rules {
                let hears = self.cut_off_at.is_none() || self.heard_again_at.is_some();
                if hears {
                    self.post(Mail::Rules(rules));
                } else {
                    self.unheard.push_back(rules);
                }
            }
            for place in 0..SUBSCRIBERS {
                self.hear_broker(place);
                self.hear_publisher(place);
            }
            self.deliver();
        }
    }

    fn hear_broker(&mut self, place: usize) {
        let Some(id) = self.people[place].at_broker else { return };
        let mut heard = told(&mut self.broker, 0, id);
        if let Some(ticket) = heard.tickets.pop() {
            self.people[place].ticket = Some(ticket.clone());
            self.post(Mail::Ticket(place, ticket));
        }
        if !is_open(&self.broker, id) {
            assert_ne!(place, STEADY, "{:?}", heard.ended);
            let _ = self.broker.shards[0].on_closed(id, None);
            self.people[place].at_broker = None;
        }
    }

    fn hear_publisher(&mut self, place: usize) {
        let Some(id) = self.people[place].at_publisher else { return };
        if !is_open(&self.host, id) {
            let heard = told(&mut self.host, 0, id);
            assert_ne!(place, STEADY, "{:?}", heard.ended);
            let _ = self.host.shards[0].on_closed(id, None);
            self.people[place].at_publisher = None;
        }
    }

    /// Delivers the mail that is due.
    fn deliver(&mut self) {
        let now = self.broker.now;
        let (due, later): (Vec<_>, Vec<_>) = self.mail.drain(..).partition(|(at, _)| *at <= now);
        self.mail = later;
        for (_, mail) in due {
            match mail {
                Mail::Ticket(place, ticket) => {
                    if let Some(id) = self.people[place].at_publisher.filter(|id| is_open(&self.host, *id)) {
                        let shown = Frame::Ticket { ticket: &ticket, publisher: PUBLISHER.0 };
                        self.host.say(0, id, &[shown]);
                    }
                }
                Mail::Rules(rules) => {
                    let heard = TicketRules { heard_at: now, ..rules };
                    let permissions = Permissions::all().asking_for(Some(heard));
                    while !self.host.shards[0].on_permissions(&permissions) {}
                }
            }
        }
    }
}

/// The file of users with the rights that these have now.
fn file_of(people: &[Person]) -> Permissions {
    let mut text = format!("[[user]]\nname = 'feeds'\nuids = [{FEEDS}]\nregister = ['>']\n");
    for (place, person) in people.iter().enumerate() {
        if let Some((_, Some(topics))) = person.rights.last() {
            text += &format!("[[user]]\nname = 'user{place}'\nuids = [{place}]\nsubscribe = {topics:?}\n");
        }
    }
    users(&text)
}

#[test]
fn a_revoked_right_ends_direct_streams_within_a_second_whatever_happens() {
    for seed in 0..SEEDS {
        let run = std::panic::catch_unwind(|| Life::begin(seed).run());
        assert!(run.is_ok(), "seed {seed}");
    }
}
