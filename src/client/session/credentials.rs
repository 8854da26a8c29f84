//! The proof of who a client is: its token to the broker, or its ticket to a direct publisher. It is kept back until the other
//! end has greeted and takes such: whoever is neither does not get it. Pure; part of a session's state.

use std::rc::Rc;

use super::out::OutBuffer;
use crate::auth::Secret;
use crate::ids::PublisherId;
use crate::wire::{Features, Frame};

/// The proof of one session.
#[derive(Default)]
pub(super) struct Credentials {
    /// The token to log in with, until the peer has greeted.
    login: Option<Secret>,
    /// The ticket to this direct publisher.
    ticket: Option<(PublisherId, Rc<[u8]>)>,
    /// That ticket is still to be shown.
    is_unshown: bool,
}

impl Credentials {
    /// A connection stands. True if something is to be shown before the hello, which then waits for the peer's greeting.
    pub(super) fn on_connected(&mut self, login: Option<Secret>) -> bool {
        self.login = login;
        self.is_unshown = self.ticket.is_some();
        self.login.is_some() || self.ticket.is_some()
    }

    /// The peer has greeted, and offers these features. True if the hello has waited, and is to be said now.
    ///
    /// # Errors
    /// It takes no token.
    pub(super) fn show(&mut self, features: Features, out: &mut OutBuffer) -> Result<bool, String> {
        if let Some(token) = self.login.take() {
            if !features.has(Features::LOGINS) {
                return Err("takes no token: it is an older version, and lets in everybody".to_owned());
            }
            out.push_secret(&Frame::Login { token: token.expose() });
            return Ok(true);
        }
        if features.has(Features::TICKETS) {
            self.show_ticket(out);
        }
        Ok(self.ticket.is_some())
    }

    /// True if there is a ticket to show.
    pub(super) fn has_ticket(&self) -> bool {
        self.ticket.is_some()
    }

    /// There is a ticket to the direct publisher, or another. It is shown at once on a session that is open.
    pub(super) fn set_ticket(&mut self, to: PublisherId, ticket: Rc<[u8]>, out: Option<&mut OutBuffer>) {
        (self.ticket, self.is_unshown) = (Some((to, ticket)), true);
        if let Some(out) = out {
            self.show_ticket(out);
        }
    }

    /// Shows the ticket unless it was.
    pub(super) fn show_ticket(&mut self, out: &mut OutBuffer) {
        if let Some((to, ticket)) = self.ticket.as_ref().filter(|_| self.is_unshown) {
            out.push(&Frame::Ticket { ticket, publisher: to.0 });
            self.is_unshown = false;
        }
    }
}
