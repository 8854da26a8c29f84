//! Publishers that are killed, leave, or are frozen: their subscribers get one gap for what they may have missed, and
//! find the successors by themselves.

use corecast::DownReason;

use super::book::Book;
use super::broker_process::{BrokerProcess, Transport};
use super::client_process::ClientProcess;
use super::follower::Follower;
use super::{DIRECT, PATIENCE, PUBLISHER_LOST, own_sessions, publisher, topic, watchdog};

/// Killed with its broker alive. The next one comes where it likes, or to the same place.
fn killed_and_followed(to_the_same_place: bool) {
    let broker = BrokerProcess::start(Transport::Tcp, DIRECT);
    let mut book = Book::of(&broker);
    let mut followers = [broker.client(), own_sessions(&broker)].map(|c| Follower::from_the_start(c, "t.*"));
    // One that shares a session with the first, and does not listen to who is killed.
    let mut witness = Follower::from_the_start(broker.client(), "other");
    let _other = ClientProcess::publish(&broker, "other", &[]);
    let mut killed = ClientProcess::publish(&broker, "t.x", &[]);
    let (listed, other) = (book.until_listed("t.x"), book.until_listed("other").publisher);
    followers.iter_mut().for_each(|follower| follower.read_more(listed.publisher, 50));
    witness.read_more(other, 50);

    killed.kill();
    let endpoint = listed.endpoints[0].to_string();
    let place: &[&str] = if to_the_same_place { &["--pub-listen", &endpoint] } else { &[] };
    let _next = ClientProcess::publish(&broker, "t.y", place);
    assert_eq!(book.until_down(listed.publisher), (1, DownReason::Expired));
    let next = book.until_listed("t.y");
    if to_the_same_place {
        assert_eq!(next.endpoints, listed.endpoints);
    }
    for follower in &mut followers {
        follower.read_more(next.publisher, 50);
        follower.read_until_told(1);
        follower.read_more(next.publisher, 50);
        assert_eq!(follower.gaps, [PUBLISHER_LOST], "once");
    }
    witness.read_more(other, 100);
    assert_eq!(witness.gaps, []);
}

#[test]
fn who_followed_a_killed_publisher_is_told_once_and_finds_the_next() {
    let _watchdog = watchdog::watch("who_followed_a_killed_publisher_is_told_once_and_finds_the_next");
    killed_and_followed(false);
}

#[test]
fn a_killed_publisher_has_its_address_again_when_its_lease_is_over() {
    let _watchdog = watchdog::watch("a_killed_publisher_has_its_address_again_when_its_lease_is_over");
    killed_and_followed(true);
}

#[test]
fn who_leaves_in_order_leaves_no_gap() {
    const MESSAGES: u64 = 500;
    let _watchdog = watchdog::watch("who_leaves_in_order_leaves_no_gap");
    let broker = BrokerProcess::start(Transport::Tcp, DIRECT);
    let mut book = Book::of(&broker);
    let mut followers = [broker.client(), own_sessions(&broker)].map(|c| Follower::from_the_start(c, "t.*"));

    let (mut publisher, name) = (publisher(&broker), topic("t.thread"));
    let id = publisher.id();
    for _ in 0..MESSAGES {
        publisher.publish(&name, b"payload").expect("it is taken");
    }
    publisher.close().expect("it ends in order");
    assert_eq!(book.until_down(id), (1, DownReason::Left));

    let args = ["pub", "t.process", "--count", "500", "--rate", "1000"];
    let mut process = ClientProcess::start(&broker, &args);
    let process_id = book.until_listed("t.process").publisher;
    let (status, said) = process.wait();
    assert!(status.code().is_some_and(|code| code == 0 || code == 3) && !said.contains("WARN"), "{said}");
    assert_eq!(book.until_down(process_id), (1, DownReason::Left));
    for follower in &mut followers {
        follower.read_until(id, MESSAGES);
        follower.read_until(process_id, MESSAGES);
        follower.read_all();
        assert_eq!(follower.gaps, []);
    }
}

/// Freezes a publisher for longer than its lease. Returns the followers, with the number of gaps that each had got when
/// all was well again.
fn frozen(args: &[&str]) -> [Follower; 2] {
    let broker = BrokerProcess::start(Transport::Tcp, &[DIRECT, args].concat());
    let mut book = Book::of(&broker);
    let mut followers = [broker.client(), own_sessions(&broker)].map(|c| Follower::from_the_start(c, "t"));
    let frozen = ClientProcess::publish(&broker, "t", &[]);
    let id = book.until_listed("t").publisher;
    followers.iter_mut().for_each(|follower| follower.read_more(id, 50));
    frozen.freeze();
    assert_eq!(book.until_down(id), (1, DownReason::Expired));
    // What was under way before that comes, and then nothing.
    followers.iter_mut().for_each(Follower::read_all);
    frozen.thaw();
    assert!(book.until_up(id).epoch > 1, "it has registered again");
    followers.iter_mut().for_each(|follower| follower.read_more(id, 200));
    // A new one finds it, too.
    let mut late = Follower::late(own_sessions(&broker), "t");
    late.read_more(id, 50);
    assert_eq!(late.gaps, []);
    followers
}

#[test]
fn a_publisher_frozen_for_longer_than_its_lease_keeps_its_subscribers() {
    let _watchdog = watchdog::watch("a_publisher_frozen_for_longer_than_its_lease_keeps_its_subscribers");
    for follower in frozen(&[]) {
        assert_eq!(follower.gaps, [], "a stream that stands has lost nothing");
    }
}

#[test]
fn a_publisher_frozen_until_nobody_believes_in_it_has_its_subscribers_again() {
    let _watchdog =
        watchdog::watch("a_publisher_frozen_until_nobody_believes_in_it_has_its_subscribers_again");
    for follower in frozen(&["--heartbeat", "200ms"]) {
        assert!(!follower.gaps.is_empty(), "what was missed is told");
    }
}

#[test]
fn subscribers_are_counted_by_who_is_there_after_others_were_killed() {
    let _watchdog = watchdog::watch("subscribers_are_counted_by_who_is_there_after_others_were_killed");
    let broker = BrokerProcess::start(Transport::Tcp, DIRECT);
    let (mut publisher, name) = (publisher(&broker), topic("t"));
    let _stays = Follower::late(own_sessions(&broker), "t");
    for _ in 0..3 {
        let mut killed: Vec<_> = (0..3).map(|_| ClientProcess::subscribe(&broker, "t")).collect();
        let there = publisher.wait_for_subscribers(&name, 4, PATIENCE).expect("they come");
        assert_eq!(there, 4);
        killed.iter_mut().for_each(ClientProcess::kill);
        loop {
            let waited = publisher.wait_for_subscribers(&name, 2, super::SHORT);
            if waited.is_err_and(|error| error.to_string().contains("1 of 2")) {
                break;
            }
        }
    }
}
