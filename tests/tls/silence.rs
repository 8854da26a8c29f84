//! Peers that begin and do not go on: they end by their deadline, and nobody else notices.

use std::io::{ErrorKind, Read as _, Write as _};
use std::net::{Shutdown, TcpStream};
use std::time::Duration;

use super::broker_process::BrokerProcess;
use super::broker_with;
use super::certificates::{Authority, argument};
use super::running::{run, succeeded};
use super::watchdog;

/// Silent connections at a time.
const MUTE: usize = 1_000;

/// A record with the first bytes of a hello, which announces more than ever comes.
const BEGUN: &[u8] = &[0x16, 3, 1, 1, 0, 1, 0, 0, 0xfc, 3, 3];

fn connect(endpoint: &str) -> TcpStream {
    let peer = TcpStream::connect(endpoint.strip_prefix("tls://").expect("TLS")).expect("it listens");
    peer.set_read_timeout(Some(Duration::from_secs(60))).expect("a timeout");
    peer
}

/// Waits for the end of a connection, in order or not.
fn ends(mut peer: TcpStream) {
    match peer.read_to_end(&mut Vec::new()) {
        Ok(_) => {}
        Err(error) => assert_eq!(error.kind(), ErrorKind::ConnectionReset, "{error}"),
    }
}

fn works(broker: &BrokerProcess, endpoint: &str, authority: &Authority) {
    succeeded(&run(&["pub", "t", "x", "--broker", endpoint, "--ca", argument(&authority.ca())]));
    assert!(broker.page().has("corecast_sessions"));
}

#[test]
fn a_thousand_mute_sockets_are_ended_and_a_good_client_works_beside_them() {
    let _watchdog = watchdog::watch("a_thousand_mute_sockets_are_ended_and_a_good_client_works_beside_them");
    let authority = Authority::new();
    authority.sign_server("server");
    let (broker, endpoint) = broker_with(&authority, "server", &[]);
    let mute: Vec<TcpStream> = (0..MUTE)
        .map(|number| {
            let mut peer = connect(&endpoint);
            // Every other one begins a handshake.
            if number % 2 == 0 {
                peer.write_all(BEGUN).expect("room for some bytes");
            }
            peer
        })
        .collect();
    works(&broker, &endpoint, &authority);
    mute.into_iter().for_each(ends);
    broker.until(|page| page.sum("corecast_sessions") == 0);
    assert_eq!(broker.page().closes("handshake_timeout"), MUTE as u64);
    works(&broker, &endpoint, &authority);
}

#[test]
fn a_handshake_that_stops_or_breaks_anywhere_is_a_clean_end() {
    let _watchdog = watchdog::watch("a_handshake_that_stops_or_breaks_anywhere_is_a_clean_end");
    let authority = Authority::new();
    authority.sign_server("server");
    let (broker, endpoint) = broker_with(&authority, "server", &[]);
    let hello = hello();
    for length in 0..hello.len() {
        let mut peer = connect(&endpoint);
        peer.write_all(&hello[..length]).expect("room for some bytes");
        peer.shutdown(Shutdown::Write).expect("it is connected");
        ends(peer);
    }
    for changed in 0..hello.len() {
        let mut hello = hello.clone();
        hello[changed] ^= 0xff;
        let mut peer = connect(&endpoint);
        peer.write_all(&hello).expect("room for some bytes");
        peer.shutdown(Shutdown::Write).expect("it is connected");
        ends(peer);
    }
    broker.until(|page| page.sum("corecast_sessions") == 0);
    works(&broker, &endpoint, &authority);
}

/// A whole hello of a client that could go on.
fn hello() -> Vec<u8> {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let endpoint = format!("tls://{}", listener.local_addr().expect("it is bound"));
    let client = corecast_executors::spawn_plain("client", move || {
        run(&["pub", "t", "x", "--broker", &endpoint, "--pin", &format!("sha256:{}", "00".repeat(32))])
    });
    let (mut peer, _) = listener.accept().expect("a client");
    let mut hello = vec![0; 5];
    peer.read_exact(&mut hello).expect("the head of a record");
    let length = usize::from(u16::from_be_bytes([hello[3], hello[4]]));
    hello.resize(5 + length, 0);
    peer.read_exact(&mut hello[5..]).expect("a whole record");
    // An alert, which no attempt follows.
    peer.write_all(&[0x15, 3, 3, 0, 2, 2, 40]).expect("room for an alert");
    drop(peer);
    client.expect("a thread").join().expect("it has ended");
    hello
}
