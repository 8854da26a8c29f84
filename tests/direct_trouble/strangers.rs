//! Peers that connect to the port of a direct publisher and break its protocol: refused as PROTOCOL.md says, without
//! effect on others.

use std::net::SocketAddr;

use corecast::internals::wire::greeting;
use corecast::internals::wire::{Frame, encode_to_vec};
use corecast::{ErrorCode, Listed};

use super::book::Book;
use super::broker_process::{BrokerProcess, Transport};
use super::client_process::ClientProcess;
use super::follower::Follower;
use super::raw_client::{RawClient, message};
use super::{DIRECT, own_sessions, watchdog};

fn address(listed: &Listed) -> SocketAddr {
    let endpoint = listed.endpoints[0].to_string();
    endpoint.strip_prefix("tcp://").expect("it is on TCP").parse().expect("an address in digits")
}

#[test]
fn a_publishers_port_takes_no_messages_and_is_no_registry() {
    let _watchdog = watchdog::watch("a_publishers_port_takes_no_messages_and_is_no_registry");
    let broker = BrokerProcess::start(Transport::Tcp, DIRECT);
    let mut book = Book::of(&broker);
    let mut follower = Follower::from_the_start(own_sessions(&broker), "t");
    let _process = ClientProcess::publish(&broker, "t", &[]);
    let listed = book.until_listed("t");
    let frames = [
        message("t", b"forged", 1),
        Frame::Gap { topic: b"t", missed: 1, reason: 2 },
        Frame::Register { endpoints: "tcp://10.0.0.1:1", topics: "t", publisher: 7, epoch: 1, request: 1 },
        Frame::WatchPublishers { filter: b"t", request: 1, kind: 1 },
        Frame::ListPublishers { request: 1 },
    ];
    for frame in frames {
        let mut stranger = RawClient::connect(address(&listed)).open();
        stranger.send(&frame);
        assert_eq!(stranger.refused().0, ErrorCode::Unexpected, "{frame:?}");
    }
    // A forged message would be another publisher's here, and a gap is told.
    follower.read_more(listed.publisher, 100);
    assert_eq!(follower.gaps, []);
}

#[test]
fn garbage_in_a_publishers_port_hurts_nobody() {
    let _watchdog = watchdog::watch("garbage_in_a_publishers_port_hurts_nobody");
    let broker = BrokerProcess::start(Transport::Tcp, DIRECT);
    let mut book = Book::of(&broker);
    let mut follower = Follower::from_the_start(own_sessions(&broker), "t");
    let _process = ClientProcess::publish(&broker, "t", &[]);
    let listed = book.until_listed("t");
    let greeted = greeting::ours().to_vec();
    let hello = encode_to_vec(&Frame::Hello { name: "raw", overflow: 0, previous: 0, ticket: 0 });
    let cases: &[(&[&[u8]], ErrorCode)] = &[
        (&[b"GET / HTTP/1.1\r\n\r\n"], ErrorCode::NotCorecast),
        (&[&[0x16, 3, 1, 2, 0, 1, 0, 1, 0xfc, 3]], ErrorCode::NotCorecast),
        (&[&greeted, &[0xff; 64]], ErrorCode::TooLarge),
        (&[&greeted, &[1, 0, 0, 0, 9]], ErrorCode::Malformed),
        (&[&greeted, &hello, &[60, 0, 0, 0], &[0xa5; 60]], ErrorCode::Malformed),
        (&[&greeted, &hello, &hello], ErrorCode::Unexpected),
    ];
    let mut stay = Vec::new();
    for round in 0..5 {
        for (parts, code) in cases {
            let mut stranger = RawClient::connect(address(&listed));
            stranger.send_bytes(&parts.concat());
            assert_eq!(stranger.refused().0, *code, "{parts:?} in round {round}");
            // Others are in the middle of something, and stay so, or end so.
            let mut half = RawClient::connect(address(&listed));
            let bytes = [&greeted[..], &hello[..], &[200, 0, 0, 0, 1]].concat();
            half.send_bytes(&bytes[..bytes.len() - round]);
            if round % 2 == 0 { stay.push(half) } else { half.reset() }
        }
        follower.read_more(listed.publisher, 20);
    }
    follower.read_more(listed.publisher, 100);
    assert_eq!(follower.gaps, []);
}
