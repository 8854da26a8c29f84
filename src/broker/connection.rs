//! The live connections of one executor, by the slot of their session.

use std::cell::{Cell, RefCell};
use std::io;
use std::rc::Rc;

use corecast_executors::Wake;

use crate::ids::SessionId;
use crate::shard::Door;
use crate::transport::Stream;
use crate::wire::Reader;

/// One live connection. Its pump and its flush share it.
pub(super) struct Connection {
    pub(super) id: SessionId,
    /// The protocol that it speaks.
    pub(super) door: Door,
    pub(super) stream: Stream,
    pub(super) reader: RefCell<Reader>,
    /// True if a frame or message has begun and is not whole.
    pub(super) has_begun: Cell<bool>,
    /// Raised when its pump may go on, or must end.
    pub(super) wake: Wake,
    /// Its pump must end, whatever it waits for.
    ended: Cell<bool>,
    /// The operating system refused a send.
    send_failed: Cell<bool>,
    /// The operating system refused it for a reason that is neither end's.
    io_failed: Cell<bool>,
}

impl Connection {
    pub(super) fn new(id: SessionId, door: Door, stream: Stream) -> Self {
        Connection {
            id,
            door,
            stream,
            reader: RefCell::default(),
            has_begun: Cell::default(),
            wake: Wake::new(),
            ended: Cell::default(),
            send_failed: Cell::default(),
            io_failed: Cell::default(),
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

    /// True if its end is an I/O error.
    pub(super) fn io_failed(&self) -> bool {
        self.io_failed.get()
    }

    /// Makes the pump see the end of the stream now, whatever it waits for.
    pub(super) fn end(&self) {
        self.ended.set(true);
        // A socket that is not connected any more is as good.
        let _ = self.stream.shutdown_both();
        self.wake.raise();
    }

    /// As [`Connection::end`], after the operating system refused to send.
    pub(super) fn fail(&self, error: &io::Error) {
        self.send_failed.set(true);
        self.io_failed.set(!is_peers_end(error));
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
pub(super) fn is_peers_end(error: &io::Error) -> bool {
    use io::ErrorKind::{BrokenPipe, ConnectionAborted, ConnectionReset};
    matches!(error.kind(), ConnectionReset | BrokenPipe | ConnectionAborted)
}
