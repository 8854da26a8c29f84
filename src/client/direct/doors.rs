//! The doors of a direct publisher: where it listens, looked up before its shards start, and the certificate that it shows there.

use corecast_executors::{Either, first};

use crate::broker::Listener;
use crate::client::config::DirectConfig;
use crate::client::session::Session;
use crate::error::{Error, Result};
use crate::ids::PublisherId;
use crate::limits::LOOK_UP_TIMEOUT;
use crate::shard::Door;
use crate::transport::{Address, Endpoint, Fingerprint, ListenConfig, Listening, SocketFile, TlsServer};
use crate::zmtp::Sides;

/// The doors of a direct publisher, the native one first.
pub(in crate::client) struct Doors {
    doors: Vec<LookedUp>,
    listeners: ListenConfig,
}

/// A place to listen.
struct LookedUp {
    door: Door,
    endpoint: Endpoint,
    addresses: Vec<Address>,
}

/// The doors of a direct publisher, listened at.
pub(in crate::client) struct OpenDoors {
    pub(super) listeners: Vec<Listener>,
    pub(super) socket_files: Vec<SocketFile>,
    /// The fingerprint of the certificate that it shows, if it listens over TLS.
    pub(super) fingerprint: Option<Fingerprint>,
}

impl Doors {
    /// The doors that are chosen. Without a choice a publisher listens beside its broker, and encrypts as its broker does, with
    /// a certificate of its own: subscribers know it by the fingerprint in its registration.
    ///
    /// # Errors
    /// A host that is not known, or not in time; `Invalid` for what cannot be, or would be open to those without a ticket.
    pub(in crate::client) async fn look_up(
        session: &Session,
        config: &DirectConfig,
        id: PublisherId,
    ) -> Result<Doors> {
        if session.state.borrow().tickets.rules().is_some() {
            refuse_those_without_tickets(config)?;
        }
        let clock = &session.runtime.clock;
        let deadline = clock.now() + LOOK_UP_TIMEOUT;
        let beside = || session.destinations.current().beside(session.local_ip.get(), &id);
        let native = config.listen.clone().unwrap_or_else(beside);
        let mut listeners = config.listeners.clone();
        if native.is_encrypted() && listeners.tls.is_none() {
            listeners.tls = Some(TlsServer::self_made()?);
        }
        let zmtp = config.zmtp.iter().map(|endpoint| (Door::Zmtp(Sides::Subscribers), endpoint.clone()));
        let mut doors = Vec::new();
        for (door, endpoint) in std::iter::once((Door::Native, native)).chain(zmtp) {
            if door != Door::Native && endpoint.is_encrypted() {
                let text = format!("{endpoint}: ZeroMQ speaks no TLS; write tcp:// or ipc://");
                return Err(Error::of_field("zmtp", text));
            }
            let addresses = match first(endpoint.listen_addresses(), clock.until(deadline)).await {
                Either::Left(addresses) => addresses?,
                Either::Right(()) => return Err(endpoint.not_looked_up()),
            };
            doors.push(LookedUp { door, endpoint, addresses });
        }
        Ok(Doors { doors, listeners })
    }

    /// Listens at each.
    ///
    /// # Errors
    /// As for [`Endpoint::listen_at`].
    pub(in crate::client) fn open(&self) -> Result<OpenDoors> {
        let fingerprint = self.listeners.tls.as_ref().map(TlsServer::fingerprint);
        let mut open = OpenDoors { listeners: Vec::new(), socket_files: Vec::new(), fingerprint };
        for LookedUp { door, endpoint, addresses } in &self.doors {
            let Listening { file, sockets, endpoint: at } = endpoint.listen_at(addresses, &self.listeners)?;
            open.socket_files.extend(file);
            let listener = |socket| Listener { socket, endpoint: at.clone(), door: *door };
            open.listeners.extend(sockets.into_iter().map(listener));
        }
        Ok(open)
    }
}

/// A publisher that is to ask for tickets has no door at which nobody could show one.
fn refuse_those_without_tickets(config: &DirectConfig) -> Result<()> {
    if cfg!(not(feature = "tls")) {
        let text = "the broker has users, so that direct publishers ask for tickets, which this program cannot check: build it \
                    with the feature `tls` of corecast";
        return Err(Error::of_field("listen", text));
    }
    if !config.zmtp.is_empty() {
        let text = "the broker has users, so that direct publishers ask for tickets, which ZeroMQ sockets cannot show: they hear \
                    this publisher by way of the broker";
        return Err(Error::of_field("zmtp", text));
    }
    Ok(())
}
