//! A listener that is not a publisher, and counts connections.

use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use corecast_executors::{pause, spawn_plain};

/// The kind of the listener.
#[derive(Clone, Copy)]
pub(crate) enum Port {
    /// It hangs up.
    HangsUp,
    /// It answers as servers of HTTP answer whom they do not understand.
    Http,
}

pub(crate) struct CountingPort {
    pub(crate) endpoint: String,
    came: Arc<AtomicU64>,
}

impl CountingPort {
    /// Listens until the test's process ends.
    pub(crate) fn open(port: Port) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let endpoint = format!("tcp://{}", listener.local_addr().expect("its address"));
        let came = Arc::new(AtomicU64::new(0));
        let counted = Arc::clone(&came);
        let serve = move || {
            for stream in listener.incoming().flatten() {
                counted.fetch_add(1, Ordering::Relaxed);
                match port {
                    Port::HangsUp => drop(stream),
                    Port::Http => answer_http(stream),
                }
            }
        };
        spawn_plain("port", serve).expect("a thread");
        CountingPort { endpoint, came }
    }

    /// The number of connections so far.
    pub(crate) fn came(&self) -> u64 {
        self.came.load(Ordering::Relaxed)
    }

    /// The number of further connections within this time.
    pub(crate) fn come_within(&self, time: Duration) -> u64 {
        let before = self.came();
        pause(time);
        self.came() - before
    }
}

fn answer_http(mut stream: TcpStream) {
    // Whatever became of it, the next is served.
    let _ = stream.read(&mut [0; 1024]);
    let _ = stream.write_all(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
}
