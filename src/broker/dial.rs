//! Connecting to direct publishers, whose messages ZeroMQ subscribers hear through their broker.

use std::rc::Rc;

use corecast_executors::{Either, OpenFilesRoom, ReadySocket, first, spawn_local};
use nix::errno::Errno;
use socket2::SockRef;
use tracing::warn;

use super::runtime::Runtime;
use crate::endpoint::{Address, Endpoint, begin_connect, finish_connect};
use crate::error::{Error, Result};
use crate::limits::CONNECT_ATTEMPT;
use crate::shard::{Dial, Door, Shard};

impl Runtime {
    /// Begins all connections that the shard wants.
    pub(super) fn dial_all(self: &Rc<Self>, shard: &mut Shard) {
        for dial in shard.outbox.dials.drain(..) {
            spawn_local(Rc::clone(self).dial(dial)).detach();
        }
    }

    async fn dial(self: Rc<Self>, dial: Dial) {
        let Dial { publisher, endpoint } = dial;
        match self.connect(&endpoint).await {
            Ok(socket) => {
                let opened = self.shard.borrow_mut().on_dialled(publisher);
                if let Some(id) = opened {
                    self.serve(id, socket, Door::Relay);
                }
            }
            Err(error) => {
                self.log_limited("publisher_unreachable", |more| {
                    warn!(%publisher, %endpoint, %error, more, "a direct publisher cannot be reached");
                });
                self.shard.borrow_mut().on_dial_failed(publisher);
            }
        }
        self.settle().await;
    }

    async fn connect(&self, endpoint: &Endpoint) -> Result<ReadySocket> {
        let mut failed = std::io::ErrorKind::AddrNotAvailable.into();
        for address in &self.look_up(endpoint).await? {
            match self.connect_to(address).await {
                Ok(socket) => return Ok(socket),
                Err(error) => failed = error,
            }
        }
        Err(Error::io("it does not answer", failed))
    }

    async fn look_up(&self, endpoint: &Endpoint) -> Result<Vec<Address>> {
        match first(endpoint.connect_addresses(), self.after(CONNECT_ATTEMPT)).await {
            Either::Left(addresses) => addresses,
            Either::Right(()) => Err(endpoint.not_looked_up()),
        }
    }

    async fn connect_to(&self, address: &Address) -> std::io::Result<ReadySocket> {
        let fd = begin_connect(address)?;
        let room = OpenFilesRoom::now(&fd);
        // Ahead of accepted connections, behind the control thread: publishers may be very many, too.
        if room.free_max <= room.reserved / 2 {
            return Err(Errno::EMFILE.into());
        }
        let socket = ReadySocket::adopt(fd)?;
        match first(socket.writable(), self.after(CONNECT_ATTEMPT)).await {
            Either::Left(writable) => writable?,
            Either::Right(()) => return Err(std::io::ErrorKind::TimedOut.into()),
        }
        finish_connect(SockRef::from(&socket))?;
        Ok(socket)
    }
}
