//! Changes while messages flow: limits and users of the server, clocks, filters by the thousand. Always: sent = received +
//! told, in order, nothing twice.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::process::Command;
use std::time::{Duration, Instant};

use corecast::Event;
use corecast_executors::{pause, spawn_plain};

use super::broker_process::{BrokerProcess, Transport};
use super::joined::Joined;
use super::nats_server::NatsServer;
use super::oracle::{Listener, Load, PATIENCE, publisher, subscriber, topic};
use super::{broker, two_brokers, watchdog};

#[test]
fn a_payload_limit_that_is_lowered_meanwhile_is_told_with_every_message_that_is_too_long() {
    let _watchdog = watchdog::watch(
        "a_payload_limit_that_is_lowered_meanwhile_is_told_with_every_message_that_is_too_long",
    );
    const LONG: usize = 100 << 10;
    let Some(mut server) = NatsServer::start_with("max_payload: 1048576") else { return };
    let [a, b] = two_brokers(&server, &[]);
    let mut near = Listener::new(a.client(), "load");
    let mut far = Listener::new(b.client(), "load");
    let mut saying = publisher(a.client());
    let load = topic("load");
    let mut number = 0_u64;
    // Every third is long.
    let mut say = |count: u64| {
        for _ in 0..count {
            number += 1;
            let mut payload = number.to_le_bytes().to_vec();
            payload.resize(if number.is_multiple_of(3) { LONG } else { 8 }, 0);
            saying.publish(&load, &payload).expect("the local broker takes it");
        }
        saying.flush(PATIENCE).expect("the local broker takes it");
        number
    };
    let sent = say(60);
    far.until_all(sent);
    assert_eq!(far.missed, 0, "all fit");
    let connects = a.page().sum("corecast_engine_connects_total");
    server.kill();
    server.configure("max_payload: 65536");
    server.start_again();
    for broker in [&a, &b] {
        broker.until(|page| {
            page.sum("corecast_engine_connects_total") > connects
                && page.sum("corecast_engine_connected") == 1
        });
    }
    b.until(|page| page.sum("corecast_engine_peers") == 1);
    let sent = say(60);
    far.until_all(sent);
    near.until_all(sent);
    assert_eq!((far.missed, near.missed), (20, 0), "those that are too long now, on the other host");
    assert!(a.log().contains("65536") || a.log().contains("64 KiB"), "it names the limit:\n{}", a.log());
}

#[test]
fn a_broker_whose_credentials_are_revoked_serves_its_host_and_comes_back_with_the_right() {
    let _watchdog = watchdog::watch(
        "a_broker_whose_credentials_are_revoked_serves_its_host_and_comes_back_with_the_right",
    );
    let users = |names: [&str; 2]| {
        let user = |name: &str| format!("{{ user: \"{name}\", password: \"sesame\" }}");
        format!("authorization {{ users: [ {} ] }}", names.map(user).join(", "))
    };
    let Some(server) = NatsServer::start_with(&users(["first", "second"])) else { return };
    let folder = tempfile::tempdir().expect("a folder");
    let with = |name: &str| {
        let path = folder.path().join(name);
        fs::write(&path, format!("user = \"{name}\"\npassword = \"sesame\"\n")).expect("written");
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).expect("a mode");
        broker(&server, &["--engine-credentials", &path.display().to_string()])
    };
    let brokers = [with("first"), with("second")];
    brokers[1].until(|page| page.sum("corecast_engine_peers") == 1);
    let mut joined = Joined::of(brokers);
    let connects = joined.connects();
    server.configure(&users(["first", "another"]));
    server.reload();
    joined.brokers[1].until(|page| page.sum("corecast_engine_connected") == 0);
    let now = joined.near.last();
    joined.near.until_after(now + 500);
    server.configure(&users(["first", "second"]));
    server.reload();
    joined.brokers[1].until(|page| {
        page.sum("corecast_engine_connects_total") > connects && page.sum("corecast_engine_connected") == 1
    });
    joined.end();
}

/// A library that puts the wall clock of a program an hour forward.
fn an_hour_ahead(folder: &std::path::Path) -> String {
    let (source, library) = (folder.join("ahead.c"), folder.join("ahead.so"));
    let text = "#define _GNU_SOURCE\n#include <dlfcn.h>\n#include <time.h>\n\
        int clock_gettime(clockid_t id, struct timespec *now) {\n\
            int (*next)(clockid_t, struct timespec *) = dlsym(RTLD_NEXT, \"clock_gettime\");\n\
            int failed = next(id, now);\n\
            if (!failed && id == CLOCK_REALTIME) now->tv_sec += 3600;\n\
            return failed;\n}\n";
    fs::write(&source, text).expect("written");
    let built = Command::new("cc").args(["-shared", "-fPIC", "-o"]).args([&library, &source]).status();
    assert!(built.expect("a C compiler").success());
    format!("LD_PRELOAD={}", library.display())
}

#[test]
fn hosts_whose_clocks_differ_by_an_hour_hear_one_another_as_others_do() {
    let _watchdog = watchdog::watch("hosts_whose_clocks_differ_by_an_hour_hear_one_another_as_others_do");
    let Some(mut server) = NatsServer::start() else { return };
    let folder = tempfile::tempdir().expect("a folder");
    let (ahead, url) = (an_hour_ahead(folder.path()), server.url());
    let engine = ["--shards", "2", "--engine", &url, "--engine-wait"];
    let late = BrokerProcess::start_under(&["env", &ahead], Transport::Tcp, &engine);
    let seconds = |words: &[&str]| -> u64 {
        let output = Command::new("env").args(words).args(["date", "+%s"]).output().expect("coreutils");
        String::from_utf8_lossy(&output.stdout).trim().parse().expect("seconds")
    };
    let a = broker(&server, &[]);
    assert!(seconds(&[&ahead]) >= seconds(&[]) + 3_600, "its clock is ahead");
    a.until(|page| page.sum("corecast_engine_peers") == 1);
    let joined = Joined::of([a, late]);
    let connects = joined.connects();
    server.kill();
    server.start_again();
    joined.until_back(connects);
    joined.end();
}

#[test]
fn ten_thousand_filters_and_2_000_changes_under_a_flood_miss_nothing() {
    let _watchdog = watchdog::watch("ten_thousand_filters_and_2_000_changes_under_a_flood_miss_nothing");
    const TOPICS: usize = 10_000;
    const SUBSCRIBERS: usize = 10;
    const CHANGES: u32 = 2_000;
    let Some(server) = NatsServer::start() else { return };
    let [a, b] = two_brokers(&server, &[]);
    let names: Vec<String> = (0..TOPICS).map(|number| format!("many.{number}")).collect();
    let of = |names: &[String]| subscriber(b.client(), &names.iter().map(String::as_str).collect::<Vec<_>>());
    let mut many: Vec<_> = names.chunks(TOPICS / SUBSCRIBERS).map(of).collect();
    let mut far = Listener::new(b.client(), "load");
    let load = Load::start(publisher(a.client()), "load");
    let client = b.client();
    let changes = move || {
        let begun = Instant::now();
        for number in 0..CHANGES / 2 {
            drop(subscriber(client.clone(), &[&format!("brief.{}", number % 100)]));
            // 500 changes a second.
            pause((begun + Duration::from_millis(4) * number).saturating_duration_since(Instant::now()));
        }
    };
    let changes = spawn_plain("changes", changes).expect("a thread");
    let mut saying = publisher(a.client());
    for round in 0..3_u64 {
        for name in &names {
            saying.publish(topic(name), &round.to_le_bytes()).expect("the local broker takes it");
        }
        saying.flush(PATIENCE).expect("the local broker takes it");
    }
    for (names, subscriber) in names.chunks(TOPICS / SUBSCRIBERS).zip(&mut many) {
        let mut heard = std::collections::HashMap::new();
        for _ in 0..3 * names.len() {
            match subscriber.recv_timeout(PATIENCE).expect("the session stands").expect("it comes") {
                Event::Message(message) => {
                    let round = u64::from_le_bytes(message.payload[..].try_into().expect("a number"));
                    let next = heard.entry(message.topic.to_vec()).or_insert(0);
                    assert_eq!(round, *next, "{}", String::from_utf8_lossy(&message.topic));
                    *next += 1;
                }
                other => panic!("{other:?}"),
            }
        }
        assert_eq!(heard.len(), names.len());
    }
    changes.join().expect("no panic");
    let sent = load.stop();
    far.until_all(sent);
    assert_eq!(far.missed, 0, "nothing was lost");
}
