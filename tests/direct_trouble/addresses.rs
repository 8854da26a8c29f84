//! Endpoints that nobody reaches, that are taken, that are silent, or that belong to another: refused or reported by
//! name, without haste, and without effect on others.

use std::net::TcpListener;
use std::time::{Duration, Instant};

use corecast::PublisherId;
use corecast_executors::pause;

use super::book::Book;
use super::broker_process::{BrokerProcess, Transport};
use super::client_process::ClientProcess;
use super::follower::Follower;
use super::port::{CountingPort, Port};
use super::{DIRECT, PUBLISHER_LOST, SHORT, own_sessions, watchdog};

/// The log line for a publisher that cannot be reached.
const UNREACHABLE: &str = "a direct publisher cannot be reached";

/// Time limit of a subscription while publishers do not answer, on a machine that is busy with something else.
const SUBSCRIBES_WITHIN: Duration = Duration::from_secs(10);

/// A broker with a publisher that all can reach, and one that says that it is at `endpoint`.
struct Ground {
    broker: BrokerProcess,
    book: Book,
    good: PublisherId,
    bad: PublisherId,
    bad_process: ClientProcess,
    _good_process: ClientProcess,
}

impl Ground {
    fn start(endpoint: &str) -> Self {
        let broker = BrokerProcess::start(Transport::Tcp, DIRECT);
        let mut book = Book::of(&broker);
        let good_process = ClientProcess::publish(&broker, "t.good", &[]);
        let bad_process = ClientProcess::publish(&broker, "t.bad", &["--advertise", endpoint]);
        let [good, bad] = ["t.good", "t.bad"].map(|name| book.until_listed(name).publisher);
        Ground { broker, book, good, bad, bad_process, _good_process: good_process }
    }

    /// A subscriber of both, which has the good one at once and does not wait for the other.
    fn follower(&self) -> Follower {
        let start = Instant::now();
        let mut follower = Follower::late(own_sessions(&self.broker), "t.*");
        assert!(start.elapsed() < SUBSCRIBES_WITHIN, "{:?}", start.elapsed());
        follower.read_more(self.good, 50);
        follower
    }

    /// A subscriber that says by name whom it cannot reach.
    fn complains(&self, endpoint: &str, why: &str) -> ClientProcess {
        let process = ClientProcess::subscribe(&self.broker, "t.*");
        process.until_says(&[UNREACHABLE, &self.bad.to_string(), endpoint, why]);
        process
    }
}

#[test]
fn a_publisher_that_hangs_up_is_named_and_tried_again_without_a_hurry() {
    let _watchdog = watchdog::watch("a_publisher_that_hangs_up_is_named_and_tried_again_without_a_hurry");
    let port = CountingPort::open(Port::HangsUp);
    let mut ground = Ground::start(&port.endpoint);
    let mut follower = ground.follower();
    let _process = ground.complains(&port.endpoint, "");
    // Two of them, with pauses of up to half a second.
    let came = port.come_within(Duration::from_secs(2));
    assert!((2..=40).contains(&came), "{came} connections in two seconds");
    follower.read_more(ground.good, 50);
    assert_eq!(follower.gaps, [], "nobody knows yet whether it comes");

    // Once it is gone, it is not tried any more, and whoever wanted it is told.
    ground.bad_process.kill();
    ground.book.until_down(ground.bad);
    follower.read_until_told(1);
    assert_eq!(follower.gaps, [PUBLISHER_LOST]);
    port.come_within(SHORT);
    assert_eq!(port.come_within(Duration::from_secs(1)), 0);
    follower.read_more(ground.good, 50);
}

#[test]
fn a_publisher_where_nobody_listens_is_named_and_nobody_waits_for_it() {
    let _watchdog = watchdog::watch("a_publisher_where_nobody_listens_is_named_and_nobody_waits_for_it");
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let endpoint = format!("tcp://{}", listener.local_addr().expect("its address"));
    drop(listener);
    let ground = Ground::start(&endpoint);
    let mut followers = [ground.follower(), ground.follower()];
    let process = ground.complains(&endpoint, "refused");
    for follower in &mut followers {
        follower.read_more(ground.good, 100);
        assert_eq!(follower.gaps, []);
    }
    // It says so once, and not each time that it has tried.
    assert_eq!(process.said().matches(UNREACHABLE).count(), 1, "{}", process.said());
}

#[test]
fn a_publisher_that_never_answers_holds_nobody_up() {
    let _watchdog = watchdog::watch("a_publisher_that_never_answers_holds_nobody_up");
    // The kernel takes the connections; nobody ever says a word.
    let silent = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let endpoint = format!("tcp://{}", silent.local_addr().expect("its address"));
    let ground = Ground::start(&endpoint);
    let mut follower = ground.follower();
    let _process = ground.complains(&endpoint, "said nothing");
    follower.read_more(ground.good, 100);
    assert_eq!(follower.gaps, []);
}

#[test]
fn an_http_server_in_the_place_of_a_publisher_is_named_and_left_alone() {
    let _watchdog = watchdog::watch("an_http_server_in_the_place_of_a_publisher_is_named_and_left_alone");
    let port = CountingPort::open(Port::Http);
    let ground = Ground::start(&port.endpoint);
    let _process = ground.complains(&port.endpoint, "is no corecast publisher");
    let mut follower = ground.follower();
    follower.read_until_told(1);
    follower.read_more(ground.good, 100);
    assert_eq!(follower.gaps, [PUBLISHER_LOST], "it has nothing of that one");
    assert_eq!(port.came(), 2, "each has tried it once");
}

#[test]
fn another_broker_in_the_place_of_a_publisher_is_named_and_left_alone() {
    let _watchdog = watchdog::watch("another_broker_in_the_place_of_a_publisher_is_named_and_left_alone");
    // One that lets topics go direct, and one that does not.
    for args in [DIRECT, &["--shards", "1"]] {
        let other = BrokerProcess::start(Transport::Tcp, args);
        let ground = Ground::start(other.endpoint());
        let why = format!("is not publisher {}", ground.bad);
        let _process = ground.complains(other.endpoint(), &why);
        let mut follower = ground.follower();
        follower.read_until_told(1);
        follower.read_more(ground.good, 100);
        assert_eq!(follower.gaps, [PUBLISHER_LOST], "it has nothing of that one");
        other.until(|page| page.sum("corecast_sessions") == 0);
        assert_eq!(other.page().sum("corecast_accepts_total"), 2, "each has tried it once");
    }
}

/// By another name than its owner uses, so that the registry cannot know.
#[test]
fn another_publishers_address_gives_nobody_its_messages_twice() {
    let _watchdog = watchdog::watch("another_publishers_address_gives_nobody_its_messages_twice");
    let broker = BrokerProcess::start(Transport::Tcp, DIRECT);
    let mut book = Book::of(&broker);
    let _owner = ClientProcess::publish(&broker, "t.owner", &[]);
    let listed = book.until_listed("t.owner");
    // It waits for the owner as it begins. One that was there before would be told if they met late.
    let mut follower = Follower::late(own_sessions(&broker), "t.*");
    follower.read_more(listed.publisher, 1);
    let endpoint = listed.endpoints[0].to_string().replace("127.0.0.1", "localhost");
    let _liar = ClientProcess::publish(&broker, "t.liar", &["--advertise", &endpoint]);
    let liar = book.until_listed("t.liar").publisher;
    let process = ClientProcess::subscribe(&broker, "t.*");
    process.until_says(&[UNREACHABLE, &format!("is not publisher {liar}"), &endpoint]);
    follower.read_until_told(1);
    follower.read_more(listed.publisher, 100);
    assert_eq!(follower.gaps, [PUBLISHER_LOST]);
}

#[test]
fn an_address_that_is_free_in_a_moment_is_waited_for() {
    let _watchdog = watchdog::watch("an_address_that_is_free_in_a_moment_is_waited_for");
    let broker = BrokerProcess::start(Transport::Tcp, DIRECT);
    let mut book = Book::of(&broker);
    let holder = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let endpoint = format!("tcp://{}", holder.local_addr().expect("its address"));
    let before = broker.page().sum("corecast_sessions");
    let _publisher = ClientProcess::publish(&broker, "t.x", &["--pub-listen", &endpoint]);
    broker.until(|page| page.sum("corecast_sessions") > before);
    // Now it begins to listen.
    pause(SHORT / 6);
    drop(holder);
    assert_eq!(book.until_listed("t.x").endpoints[0].to_string(), endpoint);
}

#[test]
fn an_address_that_is_taken_is_refused_with_the_name_of_who_has_it() {
    let _watchdog = watchdog::watch("an_address_that_is_taken_is_refused_with_the_name_of_who_has_it");
    // With the default lease: nobody may take the owner for dead on a machine that is busy with something else.
    let broker = BrokerProcess::start(Transport::Tcp, &["--mode", "direct", "--shards", "2"]);
    let mut book = Book::of(&broker);
    let mut follower = Follower::from_the_start(own_sessions(&broker), "t.*");
    let _owner = ClientProcess::publish(&broker, "t.owner", &[]);
    let listed = book.until_listed("t.owner");
    let endpoint = listed.endpoints[0].to_string();
    let mut second = ClientProcess::publish(&broker, "t.second", &["--advertise", &endpoint]);
    let (status, said) = second.wait();
    assert_eq!(status.code(), Some(1), "{said}");
    assert!(
        said.contains(&format!("{endpoint} is the endpoint of publisher {}", listed.publisher)),
        "{said}"
    );
    follower.read_more(listed.publisher, 100);
    assert_eq!(follower.gaps, []);
    // It has asked again meanwhile, in case that the other was dead: some times, not all the time.
    assert!(broker.page().sum("corecast_frames_in_total") < 5_000);
}

#[test]
fn an_address_that_stands_for_all_is_refused_at_once() {
    let _watchdog = watchdog::watch("an_address_that_stands_for_all_is_refused_at_once");
    let broker = BrokerProcess::start(Transport::Tcp, DIRECT);
    for (option, endpoint) in [
        ("--advertise", "tcp://0.0.0.0:0"),
        ("--advertise", "tcp://[::]:7"),
        ("--pub-listen", "tcp://[::]:0"),
    ] {
        let (status, said) = ClientProcess::publish(&broker, "t", &[option, endpoint]).wait();
        assert_eq!(status.code(), Some(1), "{said}");
        let host = endpoint.rsplit_once(':').expect("a port").0;
        assert!(said.contains("the broker refuses publisher") && said.contains(host), "{said}");
        assert!(said.contains("advertise one of them"), "{said}");
    }
}
