//! The part of the contract about clones of a publisher.

use corecast::Publisher;

use super::{Ground, PATIENCE, assert_silent, expect_numbers, next, publish_numbers, text, topic};

pub(super) fn clones_publish_at_the_same_time_each_in_order(ground: &Ground) {
    const MESSAGES: u64 = 10_000;
    let topics = ["prices.eur", "prices.usd", "news"].map(topic);
    let filters = ["prices.*", "news"];
    let mut subscribers = [ground.subscriber(&filters), ground.subscriber_alone(&filters)];
    let original = ground.publisher();
    let clones = [original.clone(), original.clone()];
    // One of a clone, and the first of them is gone by then.
    let third = clones[0].clone();
    drop(original);
    std::thread::scope(|threads| {
        for mut publisher in clones.into_iter().chain([third]) {
            threads.spawn(|| {
                assert_eq!(publisher.published(), 0);
                publish_numbers(&mut publisher, &topics, MESSAGES);
                publisher.close().expect("all is taken");
            });
        }
        for subscriber in &mut subscribers {
            threads.spawn(|| expect_numbers(subscriber, &topics, 3, MESSAGES));
        }
    });
}

pub(super) fn a_clone_and_its_original_end_without_each_other(ground: &Ground) {
    let topic = topic("a.b");
    let mut subscriber = ground.subscriber(&["a.b"]);
    let mut say = |publisher: &mut Publisher, what: &str| {
        publisher.publish(&topic, what.as_bytes()).expect("it is taken");
        publisher.flush(PATIENCE).expect("it is taken");
        let message = next(&mut subscriber);
        assert_eq!((text(&message).as_str(), message.publisher), (what, publisher.id()));
        assert_eq!(message.sequence, publisher.published());
    };
    let mut original = ground.publisher();
    say(&mut original, "1");
    let mut clones = [original.clone(), original.clone(), original.clone()];
    for clone in &mut clones {
        assert_eq!(clone.wait_for_subscribers(&topic, 1, PATIENCE).expect("it is there"), 1);
        say(clone, "of a clone");
    }
    let [closed, dropped, mut stays] = clones;
    closed.close().expect("all is taken");
    drop(dropped);
    say(&mut original, "2");
    say(&mut stays, "before");
    original.close().expect("all is taken");
    say(&mut stays, "after");
    assert_eq!((stays.published(), stays.check_length(&topic, 1).is_ok()), (3, true));
    stays.close().expect("all is taken");
}

pub(super) fn a_clone_of_a_publisher_that_closes_at_once_loses_nothing(ground: &Ground) {
    const GENERATIONS: u64 = 12;
    let topic = topic("a.b");
    let mut subscriber = ground.subscriber(&["a.b"]);
    let mut publisher = ground.publisher();
    for generation in 1..=GENERATIONS {
        publisher.wait_for_subscribers(&topic, 1, PATIENCE).expect("it is there");
        publisher.publish(&topic, generation.to_string().as_bytes()).expect("it is taken");
        let clone = publisher.clone();
        match generation % 2 {
            0 => publisher.close().expect("all is taken"),
            _ => drop(publisher),
        }
        publisher = clone;
        let message = next(&mut subscriber);
        assert_eq!((text(&message), message.sequence), (generation.to_string(), 1));
    }
    assert_silent(&mut subscriber);
}
