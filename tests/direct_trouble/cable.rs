//! The way from a client to its broker, which a test may cut and mend.

use std::io::copy;
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};

use corecast::{ClientConfig, Endpoint, Sessions};
use corecast_executors::spawn_plain;

pub(crate) struct Cable {
    at: SocketAddr,
    ends: Arc<Mutex<Ends>>,
}

#[derive(Default)]
struct Ends {
    is_cut: bool,
    streams: Vec<TcpStream>,
}

impl Cable {
    /// Serves until the test's process ends.
    pub(crate) fn to(broker: SocketAddr) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let at = listener.local_addr().expect("its address");
        let ends = Arc::new(Mutex::new(Ends::default()));
        let shared = Arc::clone(&ends);
        let serve = move || {
            for near in listener.incoming().flatten() {
                let mut ends = shared.lock().expect("nobody panics with it");
                if !ends.is_cut {
                    let far = TcpStream::connect(broker).expect("the broker listens");
                    for (from, to) in [(&near, &far), (&far, &near)] {
                        pass_on(clone(from), clone(to));
                    }
                    ends.streams.extend([near, far]);
                }
            }
        };
        spawn_plain("cable", serve).expect("a thread");
        Cable { at, ends }
    }

    /// The configuration of a client at this end, on a session of its own.
    pub(crate) fn client(&self) -> ClientConfig {
        let endpoint: Endpoint = format!("tcp://{}", self.at).parse().expect("an endpoint");
        ClientConfig::new(endpoint).sessions(Sessions::PerSubscriber)
    }

    /// Ends all connections; whoever connects is hung up on.
    pub(crate) fn cut(&self) {
        let mut ends = self.ends.lock().expect("nobody panics with it");
        ends.is_cut = true;
        for stream in ends.streams.drain(..) {
            // It may have ended by itself.
            let _ = stream.shutdown(Shutdown::Both);
        }
    }

    pub(crate) fn mend(&self) {
        self.ends.lock().expect("nobody panics with it").is_cut = false;
    }
}

fn clone(stream: &TcpStream) -> TcpStream {
    stream.try_clone().expect("a descriptor")
}

fn pass_on(mut from: TcpStream, mut to: TcpStream) {
    let pass = move || {
        // However it ends, the other side is to see an end.
        let _ = copy(&mut from, &mut to);
        let _ = to.shutdown(Shutdown::Write);
    };
    spawn_plain("cable", pass).expect("a thread");
}
