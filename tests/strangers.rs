//! Servers of other protocols on the port at which a client expects a broker: it reports them, whatever they do.

#![expect(clippy::panic, reason = "in a test every failure is a panic")]

mod broker_process;
mod running;
mod watchdog;

use std::io::{self, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::time::Duration;

use corecast::internals::wire::{Frame, encode_to_vec, greeting};
use corecast_executors::{pause, spawn_plain};
use running::{run, said};

/// The reaction of a server to a connection whose first bytes it does not understand.
#[derive(Clone, Copy, Debug)]
enum Stranger {
    /// It speaks first: SSH, NATS, SMTP.
    Banner(&'static [u8]),
    /// It reads, answers in its own words, and closes: HTTP, TLS.
    Answer(&'static [u8]),
    /// It reads, and closes without a word: MQTT.
    Close,
    /// It waits for the rest of what it takes for a line: Redis, HTTP.
    Wait,
}

impl Stranger {
    fn serve(self, mut peer: TcpStream) {
        // Whoever is gone already does not hear it.
        let _ = match self {
            Stranger::Banner(bytes) => peer.write_all(bytes),
            Stranger::Answer(bytes) => peer.read(&mut [0; 64]).and_then(|_| peer.write_all(bytes)),
            Stranger::Close => return drop(peer.read(&mut [0; 64])),
            Stranger::Wait => Ok(()),
        };
        let _ = peer.read_to_end(&mut Vec::new());
    }

    fn start(self) -> String {
        listen(move |peer| self.serve(peer))
    }
}

/// Serves each connection on a thread of its own. Gives the endpoint, which is there for as long as the test lives.
fn listen(serve: impl Fn(TcpStream) + Copy + Send + 'static) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let endpoint = format!("tcp://{}", listener.local_addr().expect("it is bound"));
    let accept_all = move || {
        for peer in listener.incoming() {
            let peer = peer.expect("a connection");
            spawn_plain("stranger", move || serve(peer)).expect("a thread");
        }
    };
    spawn_plain("strangers", accept_all).expect("a thread");
    endpoint
}

#[test]
fn a_stranger_on_the_port_is_told() {
    let _watchdog = watchdog::watch("a_stranger_on_the_port_is_told");
    let strangers = [
        Stranger::Banner(b"SSH-2.0-OpenSSH_9.2p1 Debian-2\r\n"),
        Stranger::Banner(b"INFO {\"server_id\":\"N\",\"version\":\"2.14.2\"}\r\n"),
        Stranger::Answer(b"HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\n"),
        Stranger::Answer(b"\x15\x03\x01\x00\x02\x02\x46"),
        Stranger::Answer(b"-ERR unknown command\r\n"),
        Stranger::Close,
        Stranger::Wait,
    ];
    std::thread::scope(|threads| {
        for stranger in strangers {
            let endpoint = stranger.start();
            // It may be a broker that begins or ends: it is tried until the time is over.
            let code = if matches!(stranger, Stranger::Close | Stranger::Wait) { 27 } else { 1 };
            for args in [&["sub", "t", "--timeout", "400ms"][..], &["registry", "--timeout", "400ms"]] {
                let endpoint = endpoint.clone();
                threads.spawn(move || {
                    let said = said(&run(&[args, &["--broker", &endpoint]].concat()), code);
                    assert!(
                        said.contains(&endpoint) && said.contains("is no corecast broker"),
                        "{stranger:?}: {said}"
                    );
                });
            }
        }
    });
}

/// A broker that greets, reads our hello, says these frames, and then announces another of so many bytes.
fn overstepping(frames: Vec<u8>, announced_bytes: u32) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let endpoint = format!("tcp://{}", listener.local_addr().expect("it is bound"));
    let serve = move || {
        for peer in listener.incoming() {
            let mut peer = peer.expect("a connection");
            // Whoever has hung up hears no more.
            let _ = peer.write_all(&greeting::ours());
            let _ = peer.read(&mut [0; 1024]);
            let _ = peer.write_all(&frames);
            let _ = peer.write_all(&announced_bytes.to_le_bytes());
            let _ = peer.read_to_end(&mut Vec::new());
        }
    };
    spawn_plain("overstepping", serve).expect("a thread");
    endpoint
}

fn welcome(frame_bytes_max: u32) -> Vec<u8> {
    let heartbeat_ms = 15_000;
    encode_to_vec(&Frame::Welcome {
        session: 1,
        epoch: 1,
        frame_bytes_max,
        heartbeat_ms,
        overflow: 1,
        ticket: 1,
    })
}

#[test]
fn a_broker_that_oversteps_its_bounds_is_left_for_good() {
    let _watchdog = watchdog::watch("a_broker_that_oversteps_its_bounds_is_left_for_good");
    let many: u32 = 4 << 20;
    let named = |rules, endpoints: usize, topics: usize| {
        let up = Frame::PublisherUp {
            endpoints: &["tcp://127.0.0.1:1"; 200][..endpoints].join("\n"),
            topics: &(0..topics).map(|n| format!("t.{n}")).collect::<Vec<_>>().join("\n"),
            publisher: 1,
            epoch: 1,
            lease_left_ms: 0,
        };
        [encode_to_vec(&Frame::Modes { rules }), welcome(many), encode_to_vec(&up)].concat()
    };
    let cases = [
        ("a publisher without a rule", named(">=proxy", 1, 1), 1000, "no topic of it goes direct"),
        ("endpoints without end", named(">=direct", 9, 1), 1000, "1 to 8 endpoints"),
        ("topics without end", named(">=direct", 1, 65), 1000, "1 to 64 topics"),
        ("before its welcome", Vec::new(), many, "announces"),
        ("beyond its own welcome", welcome(1 << 20), many, "announces"),
        ("welcomes without end", welcome(many).repeat(1000), 1000, "welcomed a session that is open"),
    ];
    for (case, frames, announced_bytes, why) in cases {
        let endpoint = overstepping(frames, announced_bytes);
        let said = said(&run(&["sub", "t", "--timeout", "10s", "--broker", &endpoint]), 1);
        assert!(said.contains(why) && said.contains(&endpoint), "{case}: {said}");
    }
}

/// A broker that welcomes everybody and confirms nothing, however much it says.
#[derive(Clone, Copy, Debug)]
enum Talker {
    /// It asks for signs of life.
    Pings,
    /// It tells of subscribers that nobody has asked for.
    Counts,
    /// It ends each session that it has welcomed.
    Closes,
}

impl Talker {
    fn serve(self, mut peer: TcpStream) -> io::Result<()> {
        peer.write_all(&[&greeting::ours()[..], &welcome(4 << 20)].concat())?;
        let says = match self {
            Talker::Pings => encode_to_vec(&Frame::Ping { token: 1 }),
            Talker::Counts => encode_to_vec(&Frame::SubscriberCount { request: 1, count: 0 }),
            Talker::Closes => return Ok(()),
        };
        loop {
            peer.write_all(&says)?;
            pause(Duration::from_millis(20));
        }
    }

    fn start(self) -> String {
        // A peer that has hung up hears no more.
        listen(move |peer| drop(self.serve(peer)))
    }
}

#[test]
fn a_broker_that_talks_on_and_confirms_nothing_is_left_in_time() {
    let _watchdog = watchdog::watch("a_broker_that_talks_on_and_confirms_nothing_is_left_in_time");
    let commands = [
        &["sub", "t", "--timeout", "400ms"][..],
        &["registry", "--timeout", "400ms"],
        &["registry", "--watch", "--timeout", "400ms"],
    ];
    std::thread::scope(|threads| {
        for talker in [Talker::Pings, Talker::Counts, Talker::Closes] {
            let endpoint = talker.start();
            for args in commands {
                let endpoint = endpoint.clone();
                threads.spawn(move || {
                    let said = said(&run(&[args, &["--broker", &endpoint]].concat()), 27);
                    assert!(
                        said.contains("the broker has not confirmed the"),
                        "{talker:?}: {args:?}: {said}"
                    );
                });
            }
        }
    });
}
