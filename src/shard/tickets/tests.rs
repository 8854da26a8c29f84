//! Shards of a broker with users that give tickets, and shards of a direct publisher to which they are shown.

use std::time::Duration;

use bytes::Bytes;

use super::super::door::Door;
use super::super::rig::{Rig, message, subscribe};
use super::super::session_state::Phase;
use super::*;
use crate::auth::{Proof, TicketKey, TicketRules, Users};
use crate::error::ErrorCode;
use crate::ids::SessionId;
use crate::limits::{TICKET_GRACE, TICKET_LIFE};
use crate::registry::{Mode, ModeRules};
use crate::wire::greeting::GREETING_BYTES;
use crate::wire::{Features, splitter};

mod lives;

const PUBLISHER: PublisherId = PublisherId(9);

const HELLO: Frame<'_> = Frame::Hello { name: "", overflow: 0, previous: 0, ticket: 0 };

/// The time that a revoked right has.
const SECOND: Duration = Duration::from_secs(1);

/// A user who registers topics, and two who subscribe, by the uids 1 to 3.
const USERS: &str = "[[user]]\nname = 'feeds'\nuids = [1]\nregister = ['>']\n\
                     [[user]]\nname = 'desk'\nuids = [2]\nsubscribe = ['a.*', 'b.c']\n\
                     [[user]]\nname = 'other'\nuids = [3]\nsubscribe = ['a.*']\n";

fn users(text: &str) -> Permissions {
    Permissions::of_users(Users::parse(text).expect("users"))
}

/// Nobody falls silent while a test waits, and no lease runs out.
fn config() -> ShardConfig {
    let hour = Duration::from_secs(3600);
    ShardConfig { heartbeat: hour, lease: hour, ..ShardConfig::default() }
}

/// Two shards of a broker where every topic goes direct.
fn broker(permissions: Permissions) -> Rig {
    let modes = Arc::new(ModeRules::new(Vec::new(), Mode::Direct).expect("rules"));
    let tickets = TicketSigner::fresh().expect("random bytes").map(Arc::new);
    Rig::new(&ShardConfig { shards: 2, modes, permissions, tickets, ..config() })
}

/// A client that offers these features, and has said hello.
fn open(rig: &mut Rig, shard: usize, uid: u32, features: Features) -> SessionId {
    let identity = Door::Native.identity(Proof::Uid(uid), None);
    let id = rig.shards[shard].on_open(Door::Native, identity).expect("there is room");
    rig.shards[shard].on_greeting(id, Ok(features));
    rig.say(shard, id, &[HELLO]);
    id
}

/// The word to a session on tickets.
#[derive(Default, Debug)]
struct Told {
    rules: Vec<TicketRules>,
    tickets: Vec<Vec<u8>>,
    /// A publisher is there.
    is_up: bool,
    /// A ticket came before the word of it.
    is_introduced: bool,
    /// The reason for which its watch has ended.
    watch_ended: Option<ErrorCode>,
    ended: Option<ErrorCode>,
}

fn told(rig: &mut Rig, shard: usize, id: SessionId) -> Told {
    let taken = Bytes::from(rig.take(shard, id));
    let greeted = if taken.starts_with(b"CORECAST") { GREETING_BYTES } else { 0 };
    let mut told = Told::default();
    for (_, frame) in splitter::frames(&taken.slice(greeted..)) {
        match frame {
            Frame::TicketRules { key, epoch, now_ms } => {
                let key = TicketKey::read(key).expect("a key");
                told.rules.push(TicketRules { key, epoch, broker_ms: now_ms, heard_at: rig.now });
            }
            Frame::Ticket { ticket, publisher } => {
                assert_eq!(publisher, PUBLISHER.0);
                told.tickets.push(ticket.to_vec());
            }
            Frame::PublisherUp { .. } => {
                (told.is_up, told.is_introduced) = (true, !told.tickets.is_empty());
            }
            Frame::Error { code, request: 0, .. } => told.ended = Some(ErrorCode::from_number(code)),
            Frame::Error { code, .. } => told.watch_ended = Some(ErrorCode::from_number(code)),
            _ => {}
        }
    }
    told
}

/// A broker with a publisher on its second shard, and a subscriber of this uid on the first, with what each was told.
fn introduced(uid: u32) -> (Rig, SessionId, SessionId, TicketRules, Vec<u8>) {
    let mut rig = broker(users(USERS));
    let publisher = open(&mut rig, 1, 1, Features::OURS);
    let rules = told(&mut rig, 1, publisher).rules[0];
    let subscriber = watching(&mut rig, uid);
    let endpoints = "tcp://192.0.2.1:1";
    let topics = "a.b\nb.c\nx";
    let register = Frame::Register { endpoints, topics, publisher: PUBLISHER.0, epoch: 1, request: 1 };
    rig.say(1, publisher, &[register]);
    rig.travel();
    assert_eq!(told(&mut rig, 1, publisher).rules.len(), 1, "with the time of the broker");
    let heard = told(&mut rig, 0, subscriber);
    assert!(heard.is_introduced, "{heard:?}");
    (rig, publisher, subscriber, rules, heard.tickets[0].clone())
}

fn watching(rig: &mut Rig, uid: u32) -> SessionId {
    let subscriber = open(rig, 0, uid, Features::OURS);
    rig.say(0, subscriber, &[Frame::WatchPublishers { filter: b"a.*", request: 1, kind: 1 }]);
    subscriber
}

/// A shard of the direct publisher, whose host has heard of the rules now.
fn host(rules: TicketRules, now: MonotonicNs) -> Rig {
    let permissions = Permissions::all().asking_for(Some(rules));
    let mut rig = Rig::new(&ShardConfig { direct: Some(PUBLISHER), permissions, ..config() });
    rig.now = now;
    rig.wait(Duration::ZERO);
    rig.shards[0].on_time(now);
    rig
}

/// A subscriber at the publisher shows this before its hello.
fn shows(rig: &mut Rig, ticket: Option<&[u8]>) -> SessionId {
    let id = rig.shards[0].on_open(Door::Native, Door::Native.identity(Proof::None, None)).expect("room");
    rig.shards[0].on_greeting(id, Ok(Features::OURS));
    let ticket = ticket.map(|ticket| Frame::Ticket { ticket, publisher: PUBLISHER.0 });
    rig.say(0, id, &ticket.into_iter().chain([HELLO]).collect::<Vec<_>>());
    id
}

fn is_open(rig: &Rig, id: SessionId) -> bool {
    rig.shards[0].sessions().phase(id) == Some(Phase::Open)
}

#[test]
fn who_may_subscribe_gets_a_ticket_and_is_let_in_by_it_for_what_it_may() {
    let (broker, .., rules, ticket) = introduced(2);
    let mut host = host(rules, broker.now);
    let desk = shows(&mut host, Some(&ticket));
    host.hears(0, desk);
    host.say(0, desk, &[subscribe("a.b", 1), subscribe("b.c", 2)]);
    assert_eq!(host.hears(0, desk), "!1 !2");
    host.say(0, desk, &[subscribe("x", 3)]);
    assert_eq!(host.hears(0, desk), "not_permitted", "its user may not");
    let mut altered = ticket.clone();
    altered[20] ^= 1;
    for wrong in [None, Some(&[][..]), Some(&ticket[1..]), Some(&altered)] {
        let stranger = shows(&mut host, wrong);
        assert_eq!(host.hears(0, stranger), "unauthenticated", "{wrong:?}");
    }
}

#[test]
fn only_those_get_a_ticket_that_may_subscribe_to_something_there() {
    let text = format!("{USERS}[[user]]\nname = 'admin'\nuids = [4]\nsubscribe = ['z']\nlist = ['>']\n");
    let (mut rig, ..) = introduced(2);
    while !rig.shards[0].on_permissions(&users(&text)) {}
    let admin = watching(&mut rig, 4);
    let heard = told(&mut rig, 0, admin);
    assert!(heard.is_up && heard.tickets.is_empty(), "{heard:?}");
}

#[test]
fn tickets_are_renewed_in_time_and_end_without() {
    let (mut broker, _, subscriber, rules, ticket) = introduced(2);
    let mut host = host(rules, broker.now);
    let [renewed, left] = [(); 2].map(|()| shows(&mut host, Some(&ticket)));
    broker.wait(TICKET_RENEWAL - SECOND);
    assert!(told(&mut broker, 0, subscriber).tickets.is_empty());
    broker.wait(2 * SECOND);
    let mut tickets = told(&mut broker, 0, subscriber).tickets;
    assert_eq!(tickets.len(), 1);
    host.wait(TICKET_RENEWAL + SECOND);
    host.say(0, renewed, &[Frame::Ticket { ticket: &tickets.remove(0), publisher: PUBLISHER.0 }]);
    host.wait(TICKET_LIFE - TICKET_RENEWAL);
    assert!(host.hears(0, left).ends_with("unauthenticated"), "its ticket has ended");
    assert!(is_open(&host, renewed));
    host.wait(TICKET_RENEWAL + SECOND);
    assert!(!is_open(&host, renewed));
}

#[test]
fn a_right_that_is_revoked_ends_streams_within_a_second_and_nobody_elses() {
    let (mut broker, publisher, desk, rules, of_desk) = introduced(2);
    let other = watching(&mut broker, 3);
    let of_other = told(&mut broker, 0, other).tickets.remove(0);
    let mut host = host(rules, broker.now);
    let [revoked, stays] = [&of_desk, &of_other].map(|ticket| shows(&mut host, Some(ticket)));
    for shard in &mut broker.shards {
        while !shard.on_permissions(&users(&USERS.replace("'a.*', 'b.c'", "'b.c'"))) {}
    }
    let of_reload = told(&mut broker, 0, desk);
    assert_eq!((of_reload.watch_ended, of_reload.ended), (Some(ErrorCode::NotPermitted), None));
    let newer = told(&mut broker, 0, other).tickets.remove(0);
    assert!(told(&mut broker, 1, publisher).rules.is_empty(), "whoever goes on has time to show another");
    host.say(0, stays, &[Frame::Ticket { ticket: &newer, publisher: PUBLISHER.0 }]);
    broker.wait(SECOND / 2);
    let void = told(&mut broker, 1, publisher).rules.remove(0);
    assert!(void.epoch > rules.epoch && void.key == rules.key);
    while !host.shards[0].on_permissions(&Permissions::all().asking_for(Some(void))) {}
    assert!(host.hears(0, revoked).ends_with("unauthenticated"));
    assert!(is_open(&host, stays));
    let again = shows(&mut host, Some(&of_desk));
    assert_eq!(host.hears(0, again), "unauthenticated", "nobody comes back by a ticket that is void");
}

#[test]
fn a_ticket_that_covers_less_ends_the_subscriptions_behind_it_and_nothing_else() {
    let (mut broker, .., rules, ticket) = introduced(2);
    let mut host = host(rules, broker.now);
    let desk = shows(&mut host, Some(&ticket));
    host.say(0, desk, &[subscribe("a.b", 1), subscribe("b.c", 2)]);
    host.take(0, desk);
    for shard in &mut broker.shards {
        while !shard.on_permissions(&users(&USERS.replace("'a.*', 'b.c'", "'a.*'"))) {}
    }
    let again = watching(&mut broker, 2);
    let narrower = told(&mut broker, 0, again).tickets.remove(0);
    host.say(0, desk, &[Frame::Ticket { ticket: &narrower, publisher: PUBLISHER.0 }]);
    let own = host.shards[0].on_open(Door::Local, Identity::Own).expect("it is let in");
    host.say(0, own, &[message("a.b", 1), message("b.c", 2)]);
    assert_eq!(host.hears(0, desk), "~b.c.1 a.b=1", "it is told what has ended");
    host.say(0, desk, &[subscribe("b.c", 3)]);
    assert_eq!(host.hears(0, desk), "not_permitted", "it is asked for in vain");
    assert!(is_open(&host, desk));
}

#[test]
fn rules_that_take_nothing_leave_tickets_as_they_are() {
    let (mut broker, publisher, desk, ..) = introduced(2);
    let more = format!("{USERS}[[user]]\nname = 'new'\nuids = [4]\n");
    for shard in &mut broker.shards {
        while !shard.on_permissions(&users(&more)) {}
    }
    broker.wait(SECOND);
    assert!(told(&mut broker, 0, desk).tickets.is_empty());
    assert!(told(&mut broker, 1, publisher).rules.is_empty());
}

#[test]
fn a_broker_that_was_started_again_has_another_key_and_old_tickets_end_soon() {
    let (before, .., rules, ticket) = introduced(2);
    let (.., next_rules, next_ticket) = introduced(2);
    let mut host = host(rules, before.now);
    let [renewed, left] = [(); 2].map(|()| shows(&mut host, Some(&ticket)));
    let heard = TicketRules { heard_at: host.now, ..next_rules };
    while !host.shards[0].on_permissions(&Permissions::all().asking_for(Some(heard))) {}
    assert!(is_open(&host, renewed) && is_open(&host, left), "they have some time");
    host.say(0, renewed, &[Frame::Ticket { ticket: &next_ticket, publisher: PUBLISHER.0 }]);
    host.wait(TICKET_GRACE + SECOND);
    assert!(is_open(&host, renewed) && !is_open(&host, left));
}

#[test]
fn a_broker_that_is_started_again_without_users_ends_nobody() {
    let (before, .., rules, ticket) = introduced(2);
    let mut host = host(rules, before.now);
    let desk = shows(&mut host, Some(&ticket));
    while !host.shards[0].on_permissions(&Permissions::all().asking_for(None)) {}
    host.wait(TICKET_LIFE + SECOND);
    assert!(is_open(&host, desk), "nobody renews its ticket, and nobody asks for one");
    host.hears(0, desk);
    host.say(0, desk, &[subscribe("x", 1)]);
    assert_eq!(host.hears(0, desk), "!1", "its ticket did not cover this");
}

fn tickets_in(frames: &Bytes) -> usize {
    splitter::frames(frames).filter(|(_, frame)| matches!(frame, Frame::Ticket { .. })).count()
}

#[test]
fn a_session_that_hears_of_many_publishers_is_given_their_tickets_in_turns() {
    const PUBLISHERS: usize = 100;
    let mut rig = broker(users(USERS));
    let publisher = open(&mut rig, 1, 1, Features::OURS);
    for number in 1..=PUBLISHERS {
        let endpoints = &format!("tcp://192.0.2.1:{number}");
        let publisher_id = number as u64;
        let register =
            Frame::Register { endpoints, topics: "a.b", publisher: publisher_id, epoch: 1, request: 1 };
        rig.say(1, publisher, &[register]);
    }
    rig.travel();
    let subscriber = watching(&mut rig, 2);
    let queued = |rig: &Rig| {
        let session = rig.shards[0].sessions().get(subscriber).expect("it is there");
        session.egress.answer_bytes()
    };
    let a_turn = queued(&rig);
    let taken = Bytes::from(rig.take(0, subscriber));
    assert_eq!(tickets_in(&taken.slice(GREETING_BYTES..)), PUBLISHERS);
    assert!(a_turn < taken.len() / 2, "{a_turn} of {} bytes in the turn of the watch", taken.len());
    assert_eq!(queued(&rig), 0);
}

#[test]
fn a_session_that_publishes_and_watches_gets_tickets_when_there_are_users_from_now_on() {
    let mut rig = broker(Permissions::all());
    let [both, other] = [(); 2].map(|()| open(&mut rig, 0, 1, Features::OURS));
    rig.say(0, both, &[Frame::WatchPublishers { filter: b"a.*", request: 1, kind: 1 }]);
    for (id, publisher, endpoints) in
        [(both, 8, "tcp://192.0.2.1:1"), (other, PUBLISHER.0, "tcp://192.0.2.1:2")]
    {
        let register = Frame::Register { endpoints, topics: "a.b", publisher, epoch: 1, request: 1 };
        rig.say(0, id, &[register]);
        rig.travel();
    }
    rig.take(0, both);
    let anonymous = format!("{USERS}[[user]]\nname = 'anonymous'\nregister = ['>']\nsubscribe = ['>']\n");
    for shard in &mut rig.shards {
        while !shard.on_permissions(&users(&anonymous)) {}
    }
    let heard = Bytes::from(rig.take(0, both));
    assert_eq!(tickets_in(&heard), 2);
}

#[test]
fn a_publisher_that_asks_for_no_tickets_is_not_registered_where_there_are_users() {
    let register = |epoch| Frame::Register {
        endpoints: "tcp://192.0.2.1:1",
        topics: "a.b",
        publisher: PUBLISHER.0,
        epoch,
        request: 1,
    };
    let mut rig = broker(users(USERS));
    let old = open(&mut rig, 0, 1, Features::RUNS);
    rig.take(0, old);
    rig.say(0, old, &[register(1)]);
    assert_eq!(rig.hears(0, old), "endpoint_refused");

    let mut rig = broker(Permissions::all());
    let [old, new] = [Features::RUNS, Features::OURS].map(|features| open(&mut rig, 0, 1, features));
    for id in [old, new] {
        assert!(told(&mut rig, 0, id).rules.is_empty(), "without users nothing is said of tickets");
    }
    rig.say(0, old, &[register(1)]);
    rig.travel();
    assert_eq!(rig.hears(0, old), "!1");
    for shard in &mut rig.shards {
        while !shard.on_permissions(&users(USERS)) {}
    }
    assert_eq!(rig.hears(0, old), "unauthenticated", "nobody is known who has shown nothing");
    assert_eq!(rig.hears(0, new), "unauthenticated");
}

#[test]
fn this_brokers_relays_show_tickets_of_its_own() {
    let mut rig = broker(users(USERS));
    let publisher = open(&mut rig, 0, 1, Features::OURS);
    let rules = told(&mut rig, 0, publisher).rules[0];
    let frame = rig.shards[0].base.tickets.give_broker(PUBLISHER, rig.now).expect("it has users");
    let frame = Bytes::from(frame);
    let shown = splitter::frames(&frame).find_map(|(_, frame)| match frame {
        Frame::Ticket { ticket, .. } => Some(ticket.to_vec()),
        _ => None,
    });
    let mut host = host(rules, rig.now);
    let relay = shows(&mut host, shown.as_deref());
    host.hears(0, relay);
    host.say(0, relay, &[subscribe(">", 1)]);
    assert_eq!(host.hears(0, relay), "!1");
}
