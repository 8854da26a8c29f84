//! Futures that are dropped before they are ready: nothing waits for their answers any more.

use std::time::{Duration, Instant};

use corecast::internals::limits::WATCHES_PER_SESSION_MAX;
use corecast::{ErrorKind, LocalClient, Publisher, RegistryView};
use futures_lite::future::{block_on, poll_once, yield_now};
use one_executor::OneExecutor;

use super::*;

/// Begins to wait, and drops the future.
fn begin<T>(future: impl Future<Output = corecast::Result<T>>) {
    let first = block_on(poll_once(future));
    assert!(first.is_none(), "nobody has answered yet");
}

#[test]
fn a_dropped_question_does_not_hold_up_the_next() {
    let _watchdog = watchdog::watch("a_dropped_question_does_not_hold_up_the_next");
    for mode in ["proxy", "direct"] {
        let broker = BrokerProcess::start(Transport::Tcp, &["--mode", mode]);
        let t = topic("t");
        let mut subscriber = subscriber(&broker, "t");
        let mut publisher = Publisher::with_config(own_sessions(&broker)).expect("a publisher");
        let start = Instant::now();
        for _ in 0..3 {
            begin(publisher.wait_for_subscribers_async(&t, 9, PATIENCE));
            publisher.publish(&t, b"at once").expect("it is taken");
            assert_eq!(next(&mut subscriber), b"at once", "{mode}");
        }
        publisher.flush(PATIENCE).expect("all is taken");
        assert_eq!(publisher.wait_for_subscribers(&t, 1, PATIENCE).expect("it is there"), 1);
        // Its time counts from the call, not from when the ones before it are over.
        for _ in 0..3 {
            begin(publisher.wait_for_subscribers_async(&t, 9, PATIENCE));
        }
        let error =
            publisher.wait_for_subscribers(&t, 9, Duration::from_millis(300)).expect_err("one is there");
        assert_eq!(error.kind(), ErrorKind::TimedOut);
        assert!(error.to_string().contains("1 of 9"), "{error}");
        assert!(start.elapsed() < SOON, "{mode}");
    }
}

#[test]
fn a_dropped_list_does_not_hold_up_the_next() {
    let _watchdog = watchdog::watch("a_dropped_list_does_not_hold_up_the_next");
    let broker = BrokerProcess::start(Transport::Tcp, &[]);
    let mut view = RegistryView::with_config(broker.client()).expect("a view");
    broker.freeze();
    for _ in 0..3 {
        begin(view.list_async(PATIENCE));
    }
    let start = Instant::now();
    let error = view.list(Duration::from_millis(300)).expect_err("the broker does not run");
    assert_eq!(error.kind(), ErrorKind::TimedOut, "{error}");
    assert!(start.elapsed() < SOON);
    broker.signal(nix::sys::signal::Signal::SIGCONT);
    assert_eq!(view.list(PATIENCE).expect("a list"), []);
}

#[test]
fn dropped_waits_inside_an_executor_leave_no_count_behind() {
    let _watchdog = watchdog::watch("dropped_waits_inside_an_executor_leave_no_count_behind");
    for mode in ["proxy", "direct"] {
        let broker = BrokerProcess::start(Transport::Tcp, &["--mode", mode]);
        let _subscriber = subscriber(&broker, "t");
        let config = broker.client();
        let executor = OneExecutor::start(move |context| {
            let config = config.clone();
            async move {
                let client = LocalClient::start(config, context.ticks);
                let mut publisher = client.publisher().await.expect("a publisher");
                publisher.publish(&topic("t"), b"").await.expect("it is taken");
                for _ in 0..2 * WATCHES_PER_SESSION_MAX {
                    let wanted = topic("t");
                    let wait = publisher.wait_for_subscribers(&wanted, 9, PATIENCE);
                    assert!(poll_once(wait).await.is_none());
                    yield_now().await;
                }
                publisher.wait_for_subscribers(&topic("t"), 1, PATIENCE).await.expect("it is there")
            }
        });
        assert_eq!(executor.result(), 1, "{mode}");
    }
}
