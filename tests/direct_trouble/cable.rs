//! The way from a client to its broker, which a test may cut, silence and mend.

use std::io::{ErrorKind, Read as _, Write as _};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

use corecast::{ClientConfig, Endpoint, Sessions};
use corecast_executors::spawn_plain;

use super::PATIENCE;

/// The time after which a connection over which nothing comes looks whether it is cut.
const LOOK: Duration = Duration::from_millis(10);

/// Bytes pass.
const WHOLE: u8 = 0;
/// Connections end, and whoever connects is hung up on.
const CUT: u8 = 1;
/// Connections stay, and nothing passes; whoever connects is hung up on.
const SILENT: u8 = 2;

pub(crate) struct Cable {
    at: SocketAddr,
    state: Arc<AtomicU8>,
    /// An item for each connection that was hung up on.
    turned_away: Receiver<()>,
}

impl Cable {
    /// Serves until the test's process ends.
    pub(crate) fn to(broker: SocketAddr) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let at = listener.local_addr().expect("its address");
        let state = Arc::new(AtomicU8::new(WHOLE));
        let now = Arc::clone(&state);
        let (turn_away, turned_away) = channel();
        let serve = move || {
            for near in listener.incoming().flatten() {
                let is_whole = now.load(Ordering::Relaxed) == WHOLE;
                // The broker may be starting again.
                if is_whole && let Ok(far) = TcpStream::connect(broker) {
                    pass_on(clone(&near), clone(&far), Arc::clone(&now));
                    pass_on(far, near, Arc::clone(&now));
                } else {
                    // The test may have ended.
                    let _ = turn_away.send(());
                }
            }
        };
        spawn_plain("cable", serve).expect("a thread");
        Cable { at, state, turned_away }
    }

    /// The configuration of a client at this end, on a session of its own.
    pub(crate) fn client(&self) -> ClientConfig {
        let endpoint: Endpoint = format!("tcp://{}", self.at).parse().expect("an endpoint");
        ClientConfig::new(endpoint).sessions(Sessions::PerSubscriber)
    }

    /// Ends all connections soon; whoever connects is hung up on.
    pub(crate) fn cut(&self) {
        self.state.store(CUT, Ordering::Relaxed);
    }

    /// Lets nothing pass any more: what is sent meanwhile is lost.
    pub(crate) fn silence(&self) {
        self.state.store(SILENT, Ordering::Relaxed);
    }

    /// The same, and waits until the client gives its connection up and tries another.
    pub(crate) fn fall_silent(&self) {
        self.silence();
        self.turned_away.recv_timeout(PATIENCE).expect("the client tries again");
    }

    pub(crate) fn mend(&self) {
        self.state.store(WHOLE, Ordering::Relaxed);
    }
}

fn clone(stream: &TcpStream) -> TcpStream {
    stream.try_clone().expect("a descriptor")
}

/// Passes bytes on in a thread, until either side ends or the cable is cut.
fn pass_on(mut from: TcpStream, mut to: TcpStream, state: Arc<AtomicU8>) {
    from.set_read_timeout(Some(LOOK)).expect("a time that the kernel takes");
    let pass = move || {
        let mut bytes = vec![0; 64 << 10];
        loop {
            let read = from.read(&mut bytes);
            match (state.load(Ordering::Relaxed), read) {
                (CUT, _) => break,
                // The other side is not to see that this one has ended.
                (SILENT, Ok(0)) => return,
                (SILENT, Ok(_)) => {}
                (_, Ok(0)) => break,
                (_, Ok(read)) if to.write_all(&bytes[..read]).is_ok() => {}
                (_, Err(error)) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {}
                (_, Ok(_) | Err(_)) => break,
            }
        }
        // The other side may have ended before.
        let _ = (to.shutdown(Shutdown::Write), from.shutdown(Shutdown::Read));
    };
    spawn_plain("cable", pass).expect("a thread");
}
