//! The live connections of one executor, by the slot of their session.

use std::cell::{Cell, OnceCell, RefCell};
use std::io;
use std::rc::Rc;

use corecast_executors::Wake;

use crate::ids::SessionId;
use crate::shard::{Door, PasswordCheck};
use crate::telemetry::CloseReason;
use crate::transport::Stream;
use crate::wire::{Partial, Reader};

/// One live connection. Its pump and its flush share it.
pub(super) struct Connection {
    pub(super) id: SessionId,
    /// The protocol that it speaks.
    pub(super) door: Door,
    pub(super) stream: Stream,
    pub(super) reader: RefCell<Reader>,
    /// The frame or message that has begun and is not whole.
    pub(super) begun: Cell<Partial>,
    /// The password that its peer has shown, until it is checked.
    pub(super) password: Cell<Option<Box<PasswordCheck>>>,
    /// Raised when its pump may go on, or must end.
    pub(super) wake: Wake,
    /// Its pump must end, whatever it waits for.
    ended: Cell<bool>,
    /// A send has failed.
    send_failed: Cell<bool>,
    /// The first error of the stream that is more than its peer's end.
    failure: OnceCell<io::Error>,
}

impl Connection {
    pub(super) fn new(id: SessionId, door: Door, stream: Stream) -> Self {
        Connection {
            id,
            door,
            stream,
            reader: RefCell::default(),
            begun: Cell::default(),
            password: Cell::default(),
            wake: Wake::new(),
            ended: Cell::default(),
            send_failed: Cell::default(),
            failure: OnceCell::new(),
        }
    }

    /// True if its pump must end.
    pub(super) fn has_ended(&self) -> bool {
        self.ended.get()
    }

    /// True if it is cut off: what it still sends is not read, or it could send for ever. After a failed send, what had
    /// come before is read to its end.
    pub(super) fn is_cut_off(&self) -> bool {
        self.ended.get() && !self.send_failed.get()
    }

    /// The reason why the stream has failed, if it has, and its error.
    pub(super) fn failure(&self) -> Option<(CloseReason, &io::Error)> {
        let reason = match self.stream.is_open() {
            true => CloseReason::IoError,
            false => CloseReason::StreamHandshake,
        };
        self.failure.get().map(|error| (reason, error))
    }

    /// Notes an error of the stream. The first counts; a peer that has left is no failure.
    pub(super) fn note_failure(&self, error: io::Error) {
        if !is_peers_end(&error) {
            self.failure.get_or_init(|| error);
        }
    }

    /// Makes the pump see the end of the stream now, whatever it waits for.
    pub(super) fn end(&self) {
        self.ended.set(true);
        // A socket that is not connected any more is as good.
        let _ = self.stream.shutdown_both();
        self.wake.raise();
    }

    /// As [`Connection::end`], after a send has failed.
    pub(super) fn fail(&self, error: io::Error) {
        self.send_failed.set(true);
        self.note_failure(error);
        self.end();
    }
}

/// The connections of one executor.
#[derive(Default)]
pub(super) struct Connections {
    by_slot: RefCell<Vec<Option<Rc<Connection>>>>,
}

impl Connections {
    pub(super) fn file(&self, connection: &Rc<Connection>) {
        let mut connections = self.by_slot.borrow_mut();
        let slot = connection.id.slot as usize;
        if connections.len() <= slot {
            connections.resize(slot + 1, None);
        }
        connections[slot] = Some(Rc::clone(connection));
    }

    pub(super) fn unfile(&self, id: SessionId) {
        self.by_slot.borrow_mut().get_mut(id.slot as usize).map(Option::take);
    }

    pub(super) fn get(&self, id: SessionId) -> Option<Rc<Connection>> {
        let connections = self.by_slot.borrow();
        connections.get(id.slot as usize)?.as_ref().filter(|c| c.id == id).cloned()
    }
}

/// True if the peer has left: one that closes with something of ours unread resets the connection, which TCP cannot tell
/// from an end in order.
fn is_peers_end(error: &io::Error) -> bool {
    use io::ErrorKind::{BrokenPipe, ConnectionAborted, ConnectionReset};
    matches!(error.kind(), ConnectionReset | BrokenPipe | ConnectionAborted)
}
