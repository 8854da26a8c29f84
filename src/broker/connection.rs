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

/// The task that waits to send, when the kernel has no room.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub(super) enum Flushing {
    /// There is none.
    #[default]
    No,
    /// It waits.
    Waits,
    /// It was let go: nobody sends what is left.
    Interrupted,
}

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
    /// Its session is about to move, or stays after all: its pump is to ask the shard.
    called: Cell<bool>,
    flushing: Cell<Flushing>,
    /// The task that waits to send is to wait no longer, because the connection goes to another executor.
    let_go: Cell<bool>,
    /// Raised when it is so.
    flush_wake: Wake,
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
            called: Cell::default(),
            flushing: Cell::default(),
            let_go: Cell::default(),
            flush_wake: Wake::new(),
            send_failed: Cell::default(),
            failure: OnceCell::new(),
        }
    }

    /// A connection that comes from another executor, with what that has read of a frame.
    pub(super) fn again(id: SessionId, door: Door, (stream, read): (Stream, ReadSoFar)) -> Self {
        let ReadSoFar { reader, begun } = read;
        let (reader, begun) = (RefCell::new(reader), Cell::new(begun));
        Connection { reader, begun, ..Connection::new(id, door, stream) }
    }

    /// The stream, for another executor, and what has been read of a frame.
    pub(super) fn into_parts(self) -> (Stream, ReadSoFar) {
        (self.stream, ReadSoFar { reader: self.reader.into_inner(), begun: self.begun.get() })
    }

    /// True if its pump must end.
    pub(super) fn has_ended(&self) -> bool {
        self.ended.get()
    }

    /// Calls its pump, whatever that waits for, to ask the shard for its next step.
    pub(super) fn call(&self) {
        self.called.set(true);
        self.stream.call();
        self.wake.raise();
    }

    /// True if its pump has been called.
    pub(super) fn is_called(&self) -> bool {
        self.called.get()
    }

    /// Its pump follows the call.
    pub(super) fn take_call(&self) {
        self.called.set(false);
    }

    /// Lets the task that waits to send end without having sent all, or lets the next one wait again.
    pub(super) fn let_go(&self, goes: bool) {
        self.let_go.set(goes);
        self.flush_wake.raise();
    }

    /// True if the task that waits to send is to end.
    pub(super) fn is_let_go(&self) -> bool {
        self.let_go.get()
    }

    /// Waits until the task that waits to send is to end.
    pub(super) async fn until_let_go(&self) {
        while !self.is_let_go() {
            self.flush_wake.wait().await;
        }
    }

    /// Notes that a task waits to send.
    pub(super) fn begin_flush(&self) {
        self.flushing.set(Flushing::Waits);
    }

    /// Notes that no task waits to send any more, in this state: its pump may have waited for that.
    pub(super) fn end_flush(&self, state: Flushing) {
        self.flushing.set(state);
        self.wake.raise();
    }

    /// True if a task waits to send.
    pub(super) fn is_flushing(&self) -> bool {
        self.flushing.get() == Flushing::Waits
    }

    /// True, once, if such a task was let go before it had sent all, and none has begun since: somebody has to.
    pub(super) fn take_interrupted(&self) -> bool {
        let was_interrupted = self.flushing.get() == Flushing::Interrupted;
        if was_interrupted {
            self.flushing.set(Flushing::No);
        }
        was_interrupted
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

/// The part of a frame that has been read.
pub(crate) struct ReadSoFar {
    reader: Reader,
    begun: Partial,
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
