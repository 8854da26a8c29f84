//! The way from a client to its broker, which a test may cut and mend.

use std::io::{ErrorKind, Read as _, Write as _};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use corecast::{ClientConfig, Endpoint, Sessions};
use corecast_executors::spawn_plain;

/// The time after which a connection over which nothing comes looks whether it is cut.
const LOOK: Duration = Duration::from_millis(10);

pub(crate) struct Cable {
    at: SocketAddr,
    is_cut: Arc<AtomicBool>,
}

impl Cable {
    /// Serves until the test's process ends.
    pub(crate) fn to(broker: SocketAddr) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let at = listener.local_addr().expect("its address");
        let is_cut = Arc::new(AtomicBool::new(false));
        let cut = Arc::clone(&is_cut);
        let serve = move || {
            for near in listener.incoming().flatten() {
                if !cut.load(Ordering::Relaxed) {
                    let far = TcpStream::connect(broker).expect("the broker listens");
                    pass_on(clone(&near), clone(&far), Arc::clone(&cut));
                    pass_on(far, near, Arc::clone(&cut));
                }
            }
        };
        spawn_plain("cable", serve).expect("a thread");
        Cable { at, is_cut }
    }

    /// The configuration of a client at this end, on a session of its own.
    pub(crate) fn client(&self) -> ClientConfig {
        let endpoint: Endpoint = format!("tcp://{}", self.at).parse().expect("an endpoint");
        ClientConfig::new(endpoint).sessions(Sessions::PerSubscriber)
    }

    /// Ends all connections soon; whoever connects is hung up on.
    pub(crate) fn cut(&self) {
        self.is_cut.store(true, Ordering::Relaxed);
    }

    pub(crate) fn mend(&self) {
        self.is_cut.store(false, Ordering::Relaxed);
    }
}

fn clone(stream: &TcpStream) -> TcpStream {
    stream.try_clone().expect("a descriptor")
}

/// Passes bytes on in a thread, until either side ends or the cable is cut.
fn pass_on(mut from: TcpStream, mut to: TcpStream, is_cut: Arc<AtomicBool>) {
    from.set_read_timeout(Some(LOOK)).expect("a time that the kernel takes");
    let pass = move || {
        let mut bytes = vec![0; 64 << 10];
        while !is_cut.load(Ordering::Relaxed) {
            match from.read(&mut bytes) {
                Ok(0) => break,
                Ok(read) if to.write_all(&bytes[..read]).is_ok() => {}
                Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {}
                Ok(_) | Err(_) => break,
            }
        }
        // The other side may have ended before.
        let _ = (to.shutdown(Shutdown::Write), from.shutdown(Shutdown::Read));
    };
    spawn_plain("cable", pass).expect("a thread");
}
