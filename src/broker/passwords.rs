//! Checks of passwords, on a plain thread of the process: each takes tens of milliseconds and much memory, on purpose, so that
//! one is checked at a time, and no executor waits for it.

use std::sync::OnceLock;

use corecast_executors::{Inbox, Link, Refused, Stir, link, link_to_task, spawn_plain};

use crate::error::ErrorCode;
use crate::limits::PASSWORDS_WAITING_MAX;
use crate::shard::{LoginVerdict, PasswordCheck};

/// The link to the thread, which starts with the first password, and ends with the process.
static CHECKS: OnceLock<Link<Request>> = OnceLock::new();

/// A check, and the link for its verdict.
type Request = (Box<PasswordCheck>, Link<LoginVerdict>);

/// Has a password checked. The verdict comes to a task of the executor of `stir`; drop the inbox to stop waiting.
///
/// # Errors
/// The verdict, if it cannot be checked now.
pub(super) fn check(check: Box<PasswordCheck>, stir: &Stir) -> Result<Inbox<LoginVerdict>, LoginVerdict> {
    let not_now = |text: &str| Err((ErrorCode::HandshakeTimeout, text.to_owned()));
    let checks = match CHECKS.get() {
        Some(checks) => checks,
        None => {
            let (link, inbox) = link(PASSWORDS_WAITING_MAX);
            // One of two first ones at once wins: the other's link is dropped, and its thread ends.
            if spawn_plain("corecast-logins", move || run(inbox)).is_err() {
                return Err(not_now("there is no thread to check passwords"));
            }
            CHECKS.get_or_init(|| link)
        }
    };
    let (answer, answers) = link_to_task(1, stir);
    match checks.try_send((check, answer)) {
        Ok(()) => Ok(answers),
        Err(Refused::Full(_) | Refused::Closed(_)) => Err(not_now("too many passwords wait to be checked")),
    }
}

fn run(mut requests: Inbox<Request>) {
    while let Some((check, answer)) = requests.recv_blocking() {
        // A peer that has gone meanwhile costs no more than its place.
        if !answer.is_closed() {
            let _ = answer.try_send(check.run());
        }
    }
}
