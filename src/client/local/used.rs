//! The uses of a session by publishers and subscribers of one executor: the last one to go closes it.

use std::cell::{Cell, RefCell};
use std::rc::{Rc, Weak};

use corecast_executors::spawn_local;

use crate::client::direct::DirectHost;
use crate::client::session::Session;
use crate::limits::LINGER;

/// A use of a session: the last one to go closes it.
pub(super) struct Use {
    shared: Rc<SharedSession>,
}

/// A session, and the number of its users.
pub(super) struct SharedSession {
    session: Rc<Session>,
    users: Cell<usize>,
    /// Its last user is leaving: the next one gets another session.
    is_retired: Cell<bool>,
    /// Its publishers' own shards, once one of them has a topic that goes direct.
    direct: RefCell<Option<Rc<DirectHost>>>,
}

impl Use {
    /// The first use of a session.
    pub(super) fn first(session: Rc<Session>) -> Use {
        let shared = SharedSession {
            session,
            users: Cell::new(1),
            is_retired: Cell::new(false),
            direct: RefCell::default(),
        };
        Use { shared: Rc::new(shared) }
    }

    /// The session, for others to join.
    pub(super) fn shared(&self) -> Weak<SharedSession> {
        Rc::downgrade(&self.shared)
    }

    /// Another use of a session; `None` if that has ended, or its last user is leaving.
    pub(super) fn join(shared: &Weak<SharedSession>) -> Option<Use> {
        let shared = shared.upgrade()?;
        if shared.is_retired.get() || shared.session.state.borrow().alive().is_err() {
            return None;
        }
        shared.users.update(|users| users + 1);
        Some(Use { shared })
    }

    pub(super) fn session(&self) -> &Rc<Session> {
        &self.shared.session
    }

    /// The shards of its publishers, if one of them has a topic that goes direct.
    pub(super) fn direct(&self) -> Option<Rc<DirectHost>> {
        self.shared.direct.borrow().clone()
    }

    /// Its publishers have these shards from now on, or none.
    pub(super) fn set_direct(&self, direct: Option<Rc<DirectHost>>) {
        *self.shared.direct.borrow_mut() = direct;
    }

    /// Begins to leave. True for the last user: then nobody can join any more.
    pub(super) fn retire_if_last(&self) -> bool {
        let is_last = self.shared.users.get() == 1;
        if is_last {
            self.shared.is_retired.set(true);
        }
        is_last
    }
}

impl Drop for Use {
    fn drop(&mut self) {
        self.shared.users.update(|users| users - 1);
        if self.shared.users.get() > 0 {
            return;
        }
        let Some(direct) = self.shared.direct.take() else { return self.session().close() };
        let session = Rc::clone(self.session());
        let ending = session.runtime.begin_ending();
        spawn_local(async move {
            direct.end(&session, LINGER).await;
            session.close();
            drop(ending);
        })
        .detach();
    }
}
