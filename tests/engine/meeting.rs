//! Messages that are said before brokers know of one another, and strangers at their server that only listen.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use corecast::Event;
use corecast_executors::{pause, spawn_plain};

use super::broker_process::{BrokerProcess, Transport};
use super::nats_server::NatsServer;
use super::oracle::{Listener, Load, PATIENCE, publisher, subscriber, topic};
use super::{two_brokers, watchdog};

#[test]
fn what_is_said_before_the_engine_is_there_arrives_when_the_brokers_have_met() {
    let _watchdog =
        watchdog::watch("what_is_said_before_the_engine_is_there_arrives_when_the_brokers_have_met");
    let Some(mut server) = NatsServer::at_rest() else { return };
    let start = || BrokerProcess::start(Transport::Tcp, &["--shards", "2", "--engine", &server.url()]);
    let [a, b] = [start(), start()];
    let mut far = Listener::new(b.client(), "x");
    let mut rare = subscriber(b.client(), &["y"]);
    let mut once = publisher(a.client());
    once.publish(topic("y"), b"once").expect("room");
    once.flush(PATIENCE).expect("its own broker takes it");
    let load = Load::start(publisher(a.client()), "x");
    pause(Duration::from_millis(300));
    server.start_again();
    far.until_after(1);
    let event = rare.recv_timeout(PATIENCE).expect("the session stands").expect("it comes");
    assert!(matches!(&event, Event::Message(message) if message.payload[..] == *b"once"), "{event:?}");
    far.until_all(load.stop());
    assert_eq!(far.missed, 0);
}

#[test]
fn publishers_that_come_while_a_broker_starts_are_heard_elsewhere() {
    let _watchdog = watchdog::watch("publishers_that_come_while_a_broker_starts_are_heard_elsewhere");
    let Some(server) = NatsServer::start() else { return };
    let [mut a, b] = two_brokers(&server, &[]);
    for round in 0..4_u8 {
        let name = format!("x.{round}");
        let mut far = subscriber(b.client(), &[&name]);
        let client = a.client();
        a.kill();
        let said = spawn_plain("early", move || {
            // It connects as soon as the broker listens, which is before the broker is ready.
            let mut early = loop {
                match corecast::Publisher::with_config(client.clone()) {
                    Ok(early) => break early,
                    Err(_) => pause(Duration::from_millis(5)),
                }
            };
            for number in 0..100_u8 {
                early.publish(topic(&name), &[number]).expect("room");
            }
            early.flush(PATIENCE).expect("its own broker takes it");
        });
        a.start_again();
        said.expect("a thread").join().expect("no panic");
        for number in 0..100_u8 {
            match far.recv_timeout(PATIENCE).expect("the session stands").expect("it comes") {
                Event::Message(message) => assert_eq!(message.payload[..], [number], "round {round}"),
                other => panic!("round {round}: {other:?}"),
            }
        }
    }
}

/// Subscribes to all that is said at a server, and reads it for as long as it lives.
fn listen_to_all(server: &NatsServer) {
    let mut tap = TcpStream::connect(("127.0.0.1", server.port())).expect("the server listens");
    tap.write_all(b"CONNECT {\"verbose\":false}\r\nSUB > 1\r\nPING\r\n").expect("room");
    let mut said = Vec::new();
    let mut buffer = [0; 4096];
    while !said.ends_with(b"PONG\r\n") {
        let read = tap.read(&mut buffer).expect("it answers");
        assert!(read > 0, "it stays");
        said.extend_from_slice(&buffer[..read]);
    }
    let reads = move || while tap.read(&mut buffer).is_ok_and(|read| read > 0) {};
    spawn_plain("tap", reads).expect("a thread");
}

#[test]
fn who_listens_to_all_that_is_said_at_the_server_stands_in_nobodys_way() {
    let _watchdog = watchdog::watch("who_listens_to_all_that_is_said_at_the_server_stands_in_nobodys_way");
    let Some(server) = NatsServer::start() else { return };
    listen_to_all(&server);
    let [a, b] = two_brokers(&server, &[]);
    listen_to_all(&server);
    let mut far = Listener::new(b.client(), "x");
    let load = Load::start(publisher(a.client()), "x");
    let began = Instant::now();
    // A server that does not answer a round trip is left within some seconds.
    while began.elapsed() < Duration::from_secs(6) {
        far.until_after(far.last());
    }
    far.until_all(load.stop());
    assert_eq!(far.missed, 0);
    for broker in [&a, &b] {
        assert_eq!(broker.page().sum("corecast_engine_connects_total"), 1, "{}", broker.log());
    }
}
