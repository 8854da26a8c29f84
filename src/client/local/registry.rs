//! A view of a broker's registry inside an executor. It has a session of its own, which connects to no publisher.

use std::cell::Cell;
use std::rc::Rc;
use std::time::Duration;

use super::used::Use;
use crate::client::deadline::Deadline;
use crate::client::listed::{Listed, PublisherChange};
use crate::client::session::{ListSlot, Session};
use crate::error::{Error, ErrorKind, Result};

/// A view of a broker's registry; see [`RegistryView`](crate::RegistryView).
pub struct LocalRegistryView {
    used: Use,
    /// The number of lists given.
    pub(in crate::client) lists: Cell<u64>,
}

impl LocalRegistryView {
    /// Makes the view of a session that has just been made.
    pub(super) async fn open(used: Use) -> Result<Self> {
        let session = used.session();
        let deadline = Deadline::after(session.config.connect_timeout);
        session.state.borrow_mut().naming.view_registry();
        let opened = session
            .until_confirmed(deadline, "the watch of its registry", |state| {
                let whole = state.naming.feed().is_some_and(|feed| feed.is_whole());
                (state.is_open() && whole).then_some(())
            })
            .await;
        // A direct publisher says who it is, and then refuses what only a broker answers.
        let identity = session.state.borrow().identity;
        if let Some(publisher) = identity {
            let text = format!("{} is publisher {publisher}, and keeps no registry", session.config.broker);
            return Err(Error::new(ErrorKind::Protocol, text));
        }
        opened?;
        Ok(LocalRegistryView { used, lists: Cell::new(0) })
    }

    pub(in crate::client) fn session(&self) -> &Rc<Session> {
        self.used.session()
    }

    /// As [`RegistryView::list`](crate::RegistryView::list).
    ///
    /// # Errors
    /// `TimedOut`; what the session has failed with.
    pub async fn list(&self, timeout: Duration) -> Result<Vec<Listed>> {
        self.list_until(Deadline::after(timeout)).await
    }

    pub(in crate::client) async fn list_until(&self, deadline: Deadline) -> Result<Vec<Listed>> {
        let session = self.session();
        let mut asked: Option<ListSlot> = None;
        let list = session
            .until_by(deadline, "the broker has not listed its publishers", |state| {
                let answer = asked.as_ref().and_then(|slot| slot.borrow_mut().take());
                match answer {
                    Some(Some(list)) => return Some(list),
                    // Asked again when it is open again.
                    Some(None) => asked = None,
                    None => {}
                }
                if asked.is_none() {
                    asked = state.list_publishers();
                    session.send_later();
                }
                None
            })
            .await?;
        if let Some(feed) = session.state.borrow_mut().naming.feed() {
            feed.told_by_list(&list);
        }
        self.lists.set(self.lists.get() + 1);
        Ok(list)
    }

    /// As [`RegistryView::next_change`](crate::RegistryView::next_change).
    ///
    /// # Errors
    /// When the session has failed for good.
    pub async fn next_change(&self) -> Result<PublisherChange> {
        self.session().until(|state| state.naming.feed()?.pop()).await
    }

    /// A change that is there now.
    pub fn try_next_change(&self) -> Option<PublisherChange> {
        self.session().state.borrow_mut().naming.feed()?.pop()
    }
}
