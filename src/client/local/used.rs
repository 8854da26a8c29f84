//! A use of a session by publishers and subscribers of one executor: the last one to go closes it.

use std::cell::RefCell;
use std::rc::Rc;

use corecast_executors::spawn_local;

use crate::client::direct::DirectHost;
use crate::client::session::Session;
use crate::limits::LINGER;

/// A use of a session: the last one to go closes it.
pub(super) struct Use {
    pub(super) session: Rc<Session>,
    /// Its publishers' own shards, once one of them has a topic that goes direct.
    pub(super) direct: RefCell<Option<Rc<DirectHost>>>,
}

impl Drop for Use {
    fn drop(&mut self) {
        let Some(direct) = self.direct.take() else { return self.session.close() };
        let session = Rc::clone(&self.session);
        let ending = session.runtime.begin_ending();
        spawn_local(async move {
            direct.end(&session, LINGER).await;
            session.close();
            drop(ending);
        })
        .detach();
    }
}
