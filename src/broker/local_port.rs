//! The session of a direct publisher's local API: a session without a connection, whose frames are taken and answered
//! within its executor.

use std::cell::RefCell;

use bytes::Bytes;
use corecast_executors::Wake;

use crate::ids::SessionId;
use crate::shard::{Shard, flush_all};

/// The two ends of that session: the shard's, and the API's.
pub(super) struct LocalPort {
    session: SessionId,
    /// Frames for the API that it has not taken yet.
    answers: RefCell<Vec<u8>>,
    answered: Wake,
    resume: Wake,
}

impl LocalPort {
    pub(super) fn new(session: SessionId) -> Self {
        LocalPort { session, answers: RefCell::default(), answered: Wake::new(), resume: Wake::new() }
    }

    pub(super) fn session(&self) -> SessionId {
        self.session
    }

    /// Lets the publisher go on, if this is its session.
    pub(super) fn resumed(&self, id: SessionId) {
        if id == self.session {
            self.resume.raise();
        }
    }

    /// Waits until the publisher may go on.
    pub(super) async fn resume(&self) {
        self.resume.wait().await;
    }

    /// Takes the shard's answers to that session, if this is it.
    pub(super) fn take_answers_of(&self, shard: &mut Shard, id: SessionId) {
        if id == self.session {
            let mut answers = self.answers.borrow_mut();
            flush_all(shard, id, |part| answers.extend_from_slice(part));
            self.answered.raise();
        }
    }

    /// Waits for answers, and gives them.
    pub(super) async fn answers(&self) -> Bytes {
        self.answered.wait().await;
        Bytes::from(std::mem::take(&mut *self.answers.borrow_mut()))
    }

    /// Ends a wait for answers.
    pub(super) fn stop_answers(&self) {
        self.answered.raise();
    }
}
