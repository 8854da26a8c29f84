//! The contract of publish/subscribe, written once and run for each way to meet: through the broker, from publisher to
//! subscriber, or both in one session, over TCP, over Unix sockets, and over TLS, against the real command. A new mode is a new
//! [`Ground`].

#![expect(clippy::panic, reason = "in a test every failure is a panic")]

#[path = "../broker_process/mod.rs"]
mod broker_process;
mod clones;
mod counts;
mod ground;
#[path = "../one_executor/mod.rs"]
mod one_executor;
#[path = "../watchdog/mod.rs"]
mod watchdog;

use std::cell::{Cell, RefCell};
use std::future::Future;
use std::pin::pin;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

use broker_process::Transport;
use clones::{
    a_clone_and_its_original_end_without_each_other,
    a_clone_of_a_publisher_that_closes_at_once_loses_nothing, clones_publish_at_the_same_time_each_in_order,
};
use corecast::internals::limits::{DIRECT_SETTLE, HANDSHAKE_DEADLINE, HEARING_GAP_MAX};
use corecast::{
    ErrorKind, Event, EventRef, Filter, Gap, GapReason, LocalClient, Message, Publisher, Sessions,
    Subscriber, Topic,
};
use corecast_executors::{Either, Wake, end_turn, first, pause};
use counts::{
    a_publisher_waits_for_subscribers, more_publishers_wait_than_a_session_may_ask_counts,
    subscribers_are_counted_while_others_come_and_go,
};
use futures_lite::StreamExt as _;
use futures_lite::future::{block_on, yield_now};
use ground::{Ground, Mode};
use one_executor::OneExecutor;

/// Long enough for whatever is on its way; the watchdog ends what never comes.
const PATIENCE: Duration = Duration::from_secs(60);

/// Long enough to see that something is not there: what these tests wait for is there within milliseconds.
const SHORT: Duration = Duration::from_millis(300);

/// The gap that a direct publisher leaves which a subscriber has reached later than either waits for the other.
const LATE: Gap = Gap { topic: None, missed: None, reason: GapReason::Reconnect };

fn parsed(filters: &[&str]) -> Vec<Filter> {
    filters.iter().map(|text| Filter::parse(text).expect("a filter")).collect()
}

fn topic(name: &str) -> Topic {
    Topic::new(name).expect("a topic")
}

/// The next message; a gap would be a loss.
fn next(subscriber: &mut Subscriber) -> Message {
    match subscriber.recv_timeout(PATIENCE) {
        Ok(Some(Event::Message(message))) => message,
        other => panic!("a message, not {other:?}"),
    }
}

fn assert_silent(subscriber: &mut Subscriber) {
    assert_eq!(subscriber.recv_timeout(SHORT).expect("it is well"), None);
}

/// The text of the payload.
fn text(message: &Message) -> String {
    String::from_utf8(message.payload.to_vec()).expect("this test's payloads are text")
}

/// Publishes the numbers from 1 and flushes.
fn publish_numbers(publisher: &mut Publisher, topics: &[Topic], messages: u64) {
    for number in 1..=messages {
        let topic = &topics[number as usize % topics.len()];
        let sequence = publisher.publish(topic, number.to_string().as_bytes()).expect("it is taken");
        assert_eq!(sequence, number);
    }
    publisher.flush(PATIENCE).expect("all is taken");
}

/// Receives what so many publishers have published by [`publish_numbers`] on three topics, and nothing else. Order is kept
/// for each publisher and topic: two topics may travel in two ways.
fn expect_numbers(subscriber: &mut Subscriber, topics: &[Topic; 3], publishers: u64, messages: u64) {
    let mut seen = std::collections::HashMap::new();
    for _ in 0..publishers * messages {
        let message = next(subscriber);
        let number = message.sequence;
        let first = if number.is_multiple_of(3) { 3 } else { number % 3 };
        let due = seen.entry((message.publisher, number % 3)).or_insert(first);
        assert_eq!(number, *due, "of {}", message.publisher);
        assert_eq!(text(&message), number.to_string());
        assert_eq!(message.topic, topics[number as usize % 3].to_bytes());
        *due += 3;
    }
    assert!(seen.len() as u64 == 3 * publishers && seen.values().all(|due| *due > messages));
    assert_silent(subscriber);
}

/// Defines each function below as a test on each ground.
macro_rules! contract {
    ($($name:ident),* $(,)?) => {
        contract! { @on proxy_over_tcp Proxy Tcp $($name)* }
        contract! { @on proxy_over_uds Proxy Uds $($name)* }
        contract! { @on proxy_over_tls Proxy Tls $($name)* }
        contract! { @on direct_over_tcp Direct Tcp $($name)* }
        contract! { @on direct_over_uds Direct Uds $($name)* }
        contract! { @on direct_over_tls Direct Tls $($name)* }
        contract! { @on direct_from_own_executors DirectFromOwnExecutors Tcp $($name)* }
        contract! { @on direct_with_users DirectWithUsers Tcp $($name)* }
        contract! { @on mixed_over_tcp Mixed Tcp $($name)* }
        contract! { @on mixed_over_uds Mixed Uds $($name)* }
        contract! { @on proxy_on_epoll_over_tcp ProxyOnEpoll Tcp $($name)* }
        contract! { @on proxy_on_epoll_over_tls ProxyOnEpoll Tls $($name)* }
        contract! { @on direct_on_epoll_over_uds DirectOnEpoll Uds $($name)* }
    };
    (@on $ground:ident $mode:ident $transport:ident $($name:ident)*) => {
        mod $ground {
            $( #[test] fn $name() {
                let name = concat!(stringify!($ground), "::", stringify!($name));
                super::$name(&super::Ground::new(super::Mode::$mode, super::Transport::$transport, name));
            } )*
        }
    };
}

contract! {
    every_subscriber_has_each_publishers_messages_in_order,
    clones_publish_at_the_same_time_each_in_order,
    a_clone_and_its_original_end_without_each_other,
    a_clone_of_a_publisher_that_closes_at_once_loses_nothing,
    overlapping_filters_give_each_message_once,
    filters_choose_topics,
    subscribers_share_a_session_or_have_their_own,
    a_publisher_waits_for_subscribers,
    subscribers_are_counted_while_others_come_and_go,
    more_publishers_wait_than_a_session_may_ask_counts,
    nothing_from_before_the_subscription,
    everything_from_the_subscription_on,
    who_unsubscribes_gets_nothing_and_the_others_all,
    messages_up_to_the_frame_limit,
    an_empty_payload_is_a_message,
    the_async_forms_need_no_particular_runtime,
    a_topic_may_be_text_and_a_subscriber_a_stream,
    inside_an_executor_there_is_no_other_thread,
    a_subscription_ends_inside_an_executor,
    a_subscriber_that_is_dropped_is_gone_at_once,
    who_leaves_while_connecting_is_not_served,
    a_slow_subscriber_does_not_hold_a_publisher_of_its_process,
}

fn a_topic_may_be_text_and_a_subscriber_a_stream(ground: &Ground) {
    let mut events = ground.subscriber(&["prices.*"]).into_stream();
    let mut publisher = ground.publisher();
    let refused = publisher.publish("prices..eur", b"").expect_err("that is no topic");
    assert_eq!(refused.kind(), ErrorKind::Invalid);
    for price in ["1.0842", "1.0843"] {
        publisher.publish("prices.eur", price.as_bytes()).expect("it is taken");
        let event = block_on(events.next());
        match event {
            Some(Ok(Event::Message(message))) => assert_eq!(text(&message), price),
            other => panic!("a message, not {other:?}"),
        }
    }
}

fn every_subscriber_has_each_publishers_messages_in_order(ground: &Ground) {
    const MESSAGES: u64 = 20_000;
    let topics = ["prices.eur", "prices.usd", "news"].map(topic);
    let mut subscribers: Vec<Subscriber> = (0..2).map(|_| ground.subscriber(&["prices.*", "news"])).collect();
    subscribers.extend((0..2).map(|_| ground.subscriber_alone(&[">"])));
    std::thread::scope(|threads| {
        for _ in 0..3 {
            threads.spawn(|| publish_numbers(&mut ground.publisher(), &topics, MESSAGES));
        }
        for subscriber in &mut subscribers {
            threads.spawn(|| expect_numbers(subscriber, &topics, 3, MESSAGES));
        }
    });
}

fn overlapping_filters_give_each_message_once(ground: &Ground) {
    const MESSAGES: u64 = 3_000;
    let filters = ["a.b", "a.*", "a.>", "*.b", ">", "a.b"];
    let mut subscribers = [ground.subscriber(&filters), ground.subscriber_alone(&filters)];
    publish_numbers(&mut ground.publisher(), &[topic("a.b"), topic("a.b.c")], MESSAGES);
    for subscriber in &mut subscribers {
        for number in 1..=MESSAGES {
            assert_eq!(next(subscriber).sequence, number);
        }
        assert_silent(subscriber);
    }
}

fn filters_choose_topics(ground: &Ground) {
    let topics = ["a", "a.b", "a.c", "a.b.c", "b", "b.b", "ab", "a.bc", "\u{e4}.b"];
    let cases: &[(&[&str], &[&str])] = &[
        (&["a"], &["a"]),
        (&["a.b"], &["a.b"]),
        (&["*"], &["a", "b", "ab"]),
        (&["a.*"], &["a.b", "a.c", "a.bc"]),
        (&["*.b"], &["a.b", "b.b", "\u{e4}.b"]),
        (&["a.>"], &["a.b", "a.c", "a.b.c", "a.bc"]),
        (&["*.*.>"], &["a.b.c"]),
        (&[">"], &topics),
        (&["b", "a.b.c", "nobody.says.this"], &["a.b.c", "b"]),
    ];
    let mut subscribers: Vec<Subscriber> =
        cases.iter().map(|(filters, _)| ground.subscriber_alone(filters)).collect();
    let mut publisher = ground.publisher();
    for name in topics {
        publisher.publish(topic(name), name.as_bytes()).expect("it is taken");
    }
    publisher.flush(PATIENCE).expect("all is taken");
    for ((filters, wanted), subscriber) in cases.iter().zip(&mut subscribers) {
        let mut got: Vec<String> = wanted.iter().map(|_| text(&next(subscriber))).collect();
        let mut wanted = wanted.to_vec();
        if ground.mode == Mode::Mixed {
            got.sort_unstable();
            wanted.sort_unstable();
        }
        assert_eq!(got, wanted, "{filters:?}");
        assert_eq!(subscriber.try_recv().expect("it is well"), None, "{filters:?}");
    }
    for subscriber in &mut subscribers {
        assert_silent(subscriber);
    }
}

fn subscribers_share_a_session_or_have_their_own(ground: &Ground) {
    const MESSAGES: u64 = 500;
    let mut subscribers: Vec<Subscriber> = (0..5).map(|_| ground.subscriber(&["t"])).collect();
    ground.broker.until(|page| page.sum("corecast_sessions") == 1 && page.sum("corecast_subscriptions") == 5);
    subscribers.extend((0..5).map(|_| ground.subscriber_alone(&["t"])));
    ground.broker.until(|page| page.sum("corecast_sessions") == 6);
    publish_numbers(&mut ground.publisher(), &[topic("t")], MESSAGES);
    for subscriber in &mut subscribers {
        for number in 1..=MESSAGES {
            assert_eq!(next(subscriber).sequence, number);
        }
        assert_eq!(subscriber.try_recv().expect("it is well"), None);
    }
    // Each frame goes over each session once, however many subscribers wait at its end.
    if ground.mode.args().is_empty() {
        ground.broker.until(|page| page.sum("corecast_deliveries_total") >= 6 * MESSAGES);
        assert_eq!(ground.broker.page().sum("corecast_deliveries_total"), 6 * MESSAGES);
    } else {
        assert_eq!(ground.broker.page().sum("corecast_deliveries_total"), 0, "it only introduces them");
    }
}

fn nothing_from_before_the_subscription(ground: &Ground) {
    let t = topic("t");
    let mut publisher = ground.publisher();
    for _ in 0..1000 {
        publisher.publish(&t, b"before").expect("it is taken");
    }
    publisher.flush(PATIENCE).expect("all is taken");
    let mut subscribers = [ground.subscriber(&["t"]), ground.subscriber_alone(&["t"])];
    publisher.publish(&t, b"after").expect("it is taken");
    for subscriber in &mut subscribers {
        assert_eq!(text(&next(subscriber)), "after");
    }
}

fn everything_from_the_subscription_on(ground: &Ground) {
    // Publisher and subscriber are on any two of the shards, and the subscription has only just returned.
    let mut publishers: Vec<Publisher> =
        (0..3).map(|_| Publisher::with_config(ground.own_sessions()).expect("a publisher")).collect();
    for round in 0..200 {
        let (filter, name) = match round % 3 {
            0 => (format!("round.{round}"), format!("round.{round}")),
            1 => (format!("round.{round}.*"), format!("round.{round}.x")),
            _ => (">".to_owned(), format!("round.{round}")),
        };
        let begun = Instant::now();
        let mut subscriber =
            if round % 2 == 0 { ground.subscriber_alone(&[&filter]) } else { ground.subscriber(&[&filter]) };
        let publisher = &mut publishers[round % 3];
        publisher.publish(topic(&name), b"the first").expect("it is taken");
        let mut event = subscriber.recv_timeout(PATIENCE).expect("it is well");
        // On a machine that is busy with something else the two may not meet in the time for which they wait for each other.
        let may_be_late =
            !ground.mode.args().is_empty() && begun.elapsed() >= DIRECT_SETTLE - HEARING_GAP_MAX;
        if may_be_late && event == Some(Event::Gap(LATE)) {
            publisher.publish(topic(&name), b"the second").expect("it is taken");
            event = subscriber.recv_timeout(PATIENCE).expect("it is well");
        }
        let Some(Event::Message(message)) = event else { panic!("round {round}: a message, not {event:?}") };
        assert_eq!(message.topic, name.as_bytes(), "round {round}");
    }
}

fn who_unsubscribes_gets_nothing_and_the_others_all(ground: &Ground) {
    const MESSAGES: u64 = 2_000;
    let t = topic("t");
    let mut stays = ground.subscriber(&["t"]);
    let mut leaves = ground.subscriber(&["t", "other"]);
    let mut publisher = ground.publisher();
    publisher.publish(&t, b"1").expect("it is taken");
    assert_eq!((text(&next(&mut stays)), text(&next(&mut leaves))), ("1".into(), "1".into()));
    std::thread::scope(|threads| {
        threads.spawn(|| {
            for number in 2..=MESSAGES {
                publisher.publish(&t, number.to_string().as_bytes()).expect("it is taken");
            }
        });
        drop(leaves);
        for number in 2..=MESSAGES {
            assert_eq!(text(&next(&mut stays)), number.to_string());
        }
    });
    ground.broker.until(|page| page.sum("corecast_subscriptions") == 1);
    let mut comes = ground.subscriber(&["t"]);
    publisher.publish(&t, b"last").expect("it is taken");
    assert_eq!((text(&next(&mut stays)), text(&next(&mut comes))), ("last".into(), "last".into()));
}

fn messages_up_to_the_frame_limit(ground: &Ground) {
    let t = topic("large");
    let most = corecast::internals::limits::FRAME_BYTES_MAX_DEFAULT
        - corecast::internals::wire::FRAME_BODY_BYTES_MIN
        - t.as_bytes().len();
    let mut subscriber = ground.subscriber(&["large"]);
    let mut publisher = Publisher::with_config(ground.own_sessions()).expect("a publisher");
    let payload: Vec<u8> = (0..=most).map(|i| (i % 251) as u8).collect();
    for round in 1..=3 {
        let error = publisher.publish(&t, &payload).expect_err("one byte too many");
        assert_eq!(error.kind(), ErrorKind::Invalid);
        assert!(error.to_string().contains(&most.to_string()), "{error}");
        for bytes in [most, 1, most - 1] {
            publisher.publish(&t, &payload[..bytes]).expect("it fits");
            let message = next(&mut subscriber);
            assert!(message.payload == payload[..bytes], "{bytes} bytes in round {round}");
        }
    }
    publisher.close().expect("the connection is as good as new");
}

fn an_empty_payload_is_a_message(ground: &Ground) {
    let mut subscriber = ground.subscriber(&["t"]);
    let mut publisher = ground.publisher();
    for payload in [&b""[..], b"", b"x", b""] {
        publisher.publish(topic("t"), payload).expect("it is taken");
        assert_eq!(next(&mut subscriber).payload, payload);
    }
}

fn the_async_forms_need_no_particular_runtime(ground: &Ground) {
    let t = topic("t");
    let all_of_it = || async {
        let mut subscriber = Subscriber::with_config_async(ground.client(), &parsed(&["t"])).await?;
        let mut publisher = Publisher::with_config_async(ground.client()).await?;
        assert_eq!(publisher.wait_for_subscribers_async(&t, 1, PATIENCE).await?, 1);
        for number in 1..=1000_u64 {
            assert_eq!(publisher.publish_async(&t, number.to_string().as_bytes()).await?, number);
        }
        publisher.flush_async(PATIENCE).await?;
        for number in 1..=1000 {
            let Event::Message(message) = subscriber.recv_async().await? else { panic!("a gap") };
            assert_eq!((message.sequence, text(&message)), (number, number.to_string()));
        }
        publisher.close_async().await
    };
    block_on(all_of_it()).expect("in a small executor");
    ground.broker.until(|page| page.sum("corecast_subscriptions") == 0);
    poll_by_hand(all_of_it()).expect("in no executor at all");
}

/// Polls again and again, with a waker that wakes nobody.
fn poll_by_hand<T>(future: impl Future<Output = T>) -> T {
    let mut future = pin!(future);
    let mut context = Context::from_waker(Waker::noop());
    loop {
        if let Poll::Ready(value) = future.as_mut().poll(&mut context) {
            return value;
        }
        pause(Duration::from_micros(50));
    }
}

fn inside_an_executor_there_is_no_other_thread(ground: &Ground) {
    const MESSAGES: u64 = 20_000;
    for sessions in [Sessions::PerExecutor, Sessions::PerSubscriber] {
        let config = ground.client().sessions(sessions);
        let executor = OneExecutor::start_on(ground.mode.reactor(), move |context| {
            let config = config.clone();
            async move {
                let client = LocalClient::start(config, context.ticks);
                let (seen, all) = (Rc::new(Cell::new(0)), Rc::new(Wake::new()));
                let (counted, told) = (Rc::clone(&seen), Rc::clone(&all));
                let sink = move |event: EventRef<'_>| {
                    let EventRef::Message(message) = event else { panic!("a gap") };
                    counted.set(counted.get() + 1);
                    assert_eq!((message.sequence, message.payload), (counted.get(), &b"payload"[..]));
                    if counted.get() == MESSAGES {
                        told.raise();
                    }
                };
                let _subscription = client.subscribe_with(&parsed(&["t"]), sink).await.expect("a sink");
                let mut queued = client.subscriber(&parsed(&["t"])).await.expect("a subscriber");
                let mut publisher = client.publisher().await.expect("a publisher");
                let waited = publisher.wait_for_subscribers(&topic("t"), 2, PATIENCE).await;
                assert_eq!(waited.expect("they are there"), 2);
                for number in 1..=MESSAGES {
                    let sequence = publisher.publish(&topic("t"), b"payload").await.expect("it is taken");
                    assert_eq!(sequence, number);
                }
                publisher.close(PATIENCE).await.expect("all is taken");
                for number in 1..=MESSAGES {
                    let Event::Message(message) = queued.recv().await.expect("it is well") else {
                        panic!("a gap")
                    };
                    assert_eq!(message.sequence, number);
                }
                all.wait().await;
                seen.get()
            }
        });
        assert_eq!(executor.result(), MESSAGES, "{sessions}");
    }
}

fn a_subscription_ends_inside_an_executor(ground: &Ground) {
    let config = ground.client();
    let executor = OneExecutor::start_on(ground.mode.reactor(), move |context| {
        let config = config.clone();
        async move {
            let client = LocalClient::start(config, context.ticks);
            let seen: Rc<RefCell<Vec<u64>>> = Rc::default();
            let noted = Rc::clone(&seen);
            let sink = move |event: EventRef<'_>| {
                if let EventRef::Message(message) = event {
                    noted.borrow_mut().push(message.sequence);
                }
            };
            let mut other = client.subscriber(&parsed(&["t"])).await.expect("a subscriber");
            let mut publisher = client.publisher().await.expect("a publisher");
            let subscription = client.subscribe_with(&parsed(&["t"]), sink).await.expect("a sink");
            publisher.publish(&topic("t"), b"").await.expect("it is taken");
            other.recv().await.expect("it has come");
            drop(subscription);
            publisher.publish(&topic("t"), b"").await.expect("it is taken");
            other.recv().await.expect("it has come");
            seen.take()
        }
    });
    assert_eq!(executor.result(), [1]);
}

fn a_subscriber_that_is_dropped_is_gone_at_once(ground: &Ground) {
    let mut publisher = ground.publisher();
    for _ in 0..3 {
        let subscriber = ground.subscriber(&["t"]);
        assert_eq!(publisher.wait_for_subscribers(topic("t"), 1, PATIENCE).expect("one"), 1);
        drop(subscriber);
        // Nothing is published: nothing else could tell.
        ground.broker.until(|page| page.sum("corecast_subscriptions") == 0);
    }
}

fn who_leaves_while_connecting_is_not_served(ground: &Ground) {
    const TIMES: u64 = 5;
    let config = ground.own_sessions();
    let stop = Arc::new(AtomicBool::new(false));
    let told = Arc::clone(&stop);
    let executor = OneExecutor::start_on(ground.mode.reactor(), move |context| {
        let (config, told) = (config.clone(), Arc::clone(&told));
        async move {
            let client = LocalClient::start(config, context.ticks);
            for _ in 0..TIMES {
                // One turn of the others is enough to begin, and not enough to be connected.
                let filters = parsed(&["t"]);
                let begun = first(client.subscriber(&filters), yield_now()).await;
                assert!(matches!(begun, Either::Right(())));
            }
            while !told.load(Ordering::Relaxed) {
                end_turn().await;
            }
        }
    });
    let start = Instant::now();
    let came = |page: &broker_process::Page| page.sum("corecast_accepts_total");
    ground.broker.until(|page| came(page) == TIMES && page.sum("corecast_sessions") == 0);
    assert!(start.elapsed() < HANDSHAKE_DEADLINE, "they end by themselves, not by their deadline");
    stop.store(true, Ordering::Relaxed);
    executor.result();
}

fn a_slow_subscriber_does_not_hold_a_publisher_of_its_process(ground: &Ground) {
    const MESSAGES: u64 = 20_000;
    let config = ground.client().queue_frames(64);
    let mut slow = Subscriber::with_config(config.clone(), &parsed(&["t"])).expect("a subscriber");
    let mut publisher = Publisher::with_config(config).expect("a publisher, on the same session");
    publish_numbers(&mut publisher, &[topic("t")], MESSAGES);
    publisher.close().expect("all is taken");
    // What the subscriber missed it is told, exactly.
    let mut seen = 0;
    while seen < MESSAGES {
        match slow.recv_timeout(PATIENCE).expect("it is well").expect("there is more") {
            Event::Message(message) => {
                seen += 1;
                assert_eq!(message.sequence, seen);
            }
            Event::Gap(gap) => seen += gap.missed.expect("it is counted here"),
            Event::CaughtUp => panic!("it started live"),
        }
    }
    assert_eq!(seen, MESSAGES);
}
