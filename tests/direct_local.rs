//! Direct publishers inside an executor: on executors besides their client's, and their end together with it.

#![expect(clippy::panic, reason = "in a test every failure is a panic")]

mod broker_process;
mod one_executor;
mod watchdog;

use std::collections::BTreeSet;
use std::time::Duration;

use broker_process::{BrokerProcess, Transport};
use corecast::{Event, Filter, LocalClient, Sessions, Subscriber, Topic};
use one_executor::OneExecutor;

/// Long enough for whatever is on its way; the watchdog ends what never comes.
const PATIENCE: Duration = Duration::from_secs(60);

/// Long enough to see that something is not there: what these tests wait for is there within milliseconds.
const SHORT: Duration = Duration::from_millis(300);

const MESSAGES: u64 = 2_000;

fn topic() -> Topic {
    Topic::new("t").expect("a topic")
}

fn subscribers(broker: &BrokerProcess, count: usize) -> Vec<Subscriber> {
    let config = broker.client().sessions(Sessions::PerSubscriber);
    let filters = [Filter::from(topic())];
    let one = |_| Subscriber::with_config(config.clone(), &filters).expect("a subscriber");
    (0..count).map(one).collect()
}

fn assert_all_in_order(subscriber: &mut Subscriber) {
    for sequence in 1..=MESSAGES {
        match subscriber.recv_timeout(PATIENCE).expect("it is well") {
            Some(Event::Message(message)) => assert_eq!(message.sequence, sequence),
            other => panic!("{other:?} in the place of message {sequence}"),
        }
    }
}

/// Executors of direct publishers in this process, by the names of their threads: `corecast-pub-0` and so on. The
/// runtime's own threads have the name of their executor.
fn executors_of_publishers() -> usize {
    let tasks = std::fs::read_dir("/proc/self/task").expect("procfs");
    let names = tasks.filter_map(|task| std::fs::read_to_string(task.ok()?.path().join("comm")).ok());
    let numbers = names.filter_map(|name| name.trim().strip_prefix("corecast-pub-")?.parse().ok());
    numbers.collect::<BTreeSet<usize>>().len()
}

#[test]
fn subscribers_are_spread_over_all_executors_of_a_publisher() {
    let _watchdog = watchdog::watch("direct_local spread");
    let broker = BrokerProcess::start(Transport::Tcp, &["--mode", "direct"]);
    let mut subscribers = subscribers(&broker, 9);
    let config = broker.client();
    let executor = OneExecutor::start(move |context| {
        let mut config = config.clone();
        config.direct.cores = Some("all".parse().expect("cores"));
        async move {
            let client = LocalClient::start(config, context.ticks);
            let mut publisher = client.publisher().await.expect("a publisher");
            let waited = publisher.wait_for_subscribers(&topic(), 9, PATIENCE).await;
            assert_eq!(waited.expect("they are there"), 9);
            let executors = executors_of_publishers();
            for _ in 0..MESSAGES {
                publisher.publish(&topic(), b"payload").await.expect("it is taken");
            }
            publisher.close(PATIENCE).await.expect("all is taken");
            client.close().await;
            executors
        }
    });
    subscribers.iter_mut().for_each(assert_all_in_order);
    // This executor is not pinned, so that there is one more on each core.
    let cores = corecast_executors::Topology::detect().expect("cores").allowed().len();
    assert_eq!(executor.result(), cores);
}

#[test]
fn cores_that_are_none_are_an_error_of_the_first_publish() {
    let _watchdog = watchdog::watch("direct_local cores");
    let broker = BrokerProcess::start(Transport::Tcp, &["--mode", "direct"]);
    let config = broker.client();
    let executor = OneExecutor::start(move |context| {
        let mut config = config.clone();
        config.direct.cores = Some("4095".parse().expect("cores"));
        async move {
            let client = LocalClient::start(config, context.ticks);
            let mut publisher = client.publisher().await.expect("a publisher");
            let refused = publisher.publish(&topic(), b"").await.expect_err("there is no such core");
            (refused.kind(), refused.to_string())
        }
    });
    let (kind, said) = executor.result();
    assert_eq!(kind, corecast::ErrorKind::Invalid);
    assert!(said.contains("4095"), "{said}");
}

/// Dropped and not closed, and its executor ends as soon as the client lets it.
#[test]
fn what_a_dropped_publisher_has_taken_arrives_and_nobody_is_told_of_a_gap() {
    let _watchdog = watchdog::watch("direct_local drop");
    let broker = BrokerProcess::start(Transport::Uds, &["--mode", "direct", "--overflow", "block"]);
    let mut subscribers = subscribers(&broker, 3);
    let config = broker.client();
    let executor = OneExecutor::start(move |context| {
        let mut config = config.clone();
        config.direct.overflow = Some(corecast::OverflowPolicy::Block);
        async move {
            let client = LocalClient::start(config, context.ticks);
            let mut publisher = client.publisher().await.expect("a publisher");
            publisher.wait_for_subscribers(&topic(), 3, PATIENCE).await.expect("they are there");
            for _ in 0..MESSAGES {
                publisher.publish(&topic(), &[7; 1000]).await.expect("it is taken");
            }
            drop(publisher);
            client.close().await;
        }
    });
    executor.result();
    for subscriber in &mut subscribers {
        assert_all_in_order(subscriber);
        let more = subscriber.recv_timeout(SHORT).expect("it is well");
        assert_eq!(more.map(|event| format!("{event:?}")), None);
    }
}
