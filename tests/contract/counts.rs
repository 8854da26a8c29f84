//! The part of the contract about publishers that wait for subscribers, and about counting these.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use corecast::{ErrorKind, Subscriber};
use corecast_executors::pause;

use super::{Ground, PATIENCE, SHORT, topic};

pub(super) fn a_publisher_waits_for_subscribers(ground: &Ground) {
    let (here, elsewhere) = (topic("t.here"), topic("elsewhere"));
    let mut publisher = ground.publisher();
    let error = publisher.wait_for_subscribers(&here, 1, SHORT).expect_err("nobody is there");
    assert_eq!(error.kind(), ErrorKind::TimedOut);
    assert!(error.to_string().contains("0 of 1"), "{error}");
    assert_eq!(publisher.wait_for_subscribers(&here, 0, SHORT).expect("0 are there"), 0);

    // Subscribers are counted, not sessions and not filters.
    let shared: Vec<Subscriber> = (0..3).map(|_| ground.subscriber(&["t.*", "t.here", ">"])).collect();
    let alone = [ground.subscriber_alone(&["t.here"]), ground.subscriber_alone(&["t.>"])];
    let _not_of_this_topic = ground.subscriber(&["t.there"]);
    assert_eq!(publisher.wait_for_subscribers(&here, 5, PATIENCE).expect("5 are there"), 5);
    assert_eq!(publisher.wait_for_subscribers(&elsewhere, 1, PATIENCE).expect("3 are there"), 3);
    let error = publisher.wait_for_subscribers(&here, 6, SHORT).expect_err("there is no sixth");
    assert!(error.to_string().contains("5 of 6"), "{error}");

    // Who comes while it waits ends the wait.
    std::thread::scope(|threads| {
        let waiting = threads.spawn(|| publisher.wait_for_subscribers(&here, 7, PATIENCE));
        let _two = (ground.subscriber(&["t.here"]), ground.subscriber_alone(&["t.here"]));
        assert_eq!(waiting.join().expect("no panic").expect("they have come"), 7);
    });
    drop((shared, alone));
    ground.broker.until(|page| page.sum("corecast_subscriptions") == 1);
    let error = publisher.wait_for_subscribers(&here, 1, SHORT).expect_err("all have left");
    assert!(error.to_string().contains("0 of 1"), "{error}");
}

pub(super) fn subscribers_are_counted_while_others_come_and_go(ground: &Ground) {
    const STAY: usize = 3;
    let here = topic("t.here");
    let mut publisher = ground.publisher();
    let _stay: [Subscriber; STAY] =
        [ground.subscriber(&["t.*"]), ground.subscriber_alone(&[">"]), ground.subscriber(&[">"])];
    let over = AtomicBool::new(false);
    std::thread::scope(|threads| {
        let churn: Vec<_> = (0..2)
            .map(|_| {
                threads.spawn(|| {
                    for round in 0..20 {
                        let _shared = ground.subscriber(&["t.here", "t.*"]);
                        let _alone = (round % 2 == 0).then(|| ground.subscriber_alone(&["t.here"]));
                    }
                })
            })
            .collect();
        threads.spawn(|| {
            churn.into_iter().for_each(|thread| thread.join().expect("no panic"));
            over.store(true, Ordering::Relaxed);
        });
        while !over.load(Ordering::Relaxed) {
            let there = publisher.wait_for_subscribers(&here, STAY, PATIENCE).expect("they stay");
            assert!(there >= STAY, "{there}");
        }
    });
    // All others have left, and sooner or later that is known.
    loop {
        let error =
            publisher.wait_for_subscribers(&here, 1_000, SHORT).expect_err("so many never came").to_string();
        let there: usize = error.split(' ').next().and_then(|n| n.parse().ok()).expect("it says how many");
        assert!(there >= STAY, "{error}");
        if there == STAY {
            break;
        }
    }
    assert_eq!(publisher.wait_for_subscribers(&here, STAY, PATIENCE).expect("they stay"), STAY);
}

pub(super) fn more_publishers_wait_than_a_session_may_ask_counts(ground: &Ground) {
    const WAITING: usize = corecast::internals::limits::WATCHES_PER_SESSION_MAX + 8;
    let (begun, may_come) = (AtomicUsize::new(0), AtomicBool::new(false));
    std::thread::scope(|threads| {
        let waiting: Vec<_> = (0..WAITING)
            .map(|number| {
                let (begun, may_come) = (&begun, &may_come);
                threads.spawn(move || {
                    let (mut publisher, topic) = (ground.publisher(), topic(&format!("t.{number}")));
                    begun.fetch_add(1, Ordering::Relaxed);
                    let there = publisher.wait_for_subscribers(&topic, 1, PATIENCE).expect("it comes");
                    assert!(may_come.load(Ordering::Relaxed) && there == 1);
                })
            })
            .collect();
        while begun.load(Ordering::Relaxed) < WAITING {
            pause(SHORT / 100);
        }
        may_come.store(true, Ordering::Relaxed);
        let _subscriber = ground.subscriber_alone(&["t.*"]);
        waiting.into_iter().for_each(|thread| thread.join().expect("no panic"));
    });
}
