//! Refusals of proofs, in words for the peer that tell nothing about others.

use std::fmt;

use super::{Proof, TicketFault};

/// The reason for which a peer is not let in.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum LoginRefusal {
    /// It has shown nothing, and nobody is let in without.
    Nothing,
    /// Its token is of no user.
    Token,
    /// No name of its certificate is of a user.
    Certificate,
    /// Its key is of no user.
    CurveKey,
    /// There is no user of that name and password.
    Password,
    /// No user has the uid of its process.
    Uid(u32),
    /// It has shown no ticket to a direct publisher that asks for one.
    NoTicket,
    /// Its ticket is not accepted.
    Ticket(TicketFault),
}

impl LoginRefusal {
    /// The refusal of such a proof.
    pub(super) fn of(proof: &Proof) -> Self {
        match proof {
            Proof::None => LoginRefusal::Nothing,
            Proof::Token(_) => LoginRefusal::Token,
            Proof::Certificate(_) => LoginRefusal::Certificate,
            Proof::CurveKey(_) => LoginRefusal::CurveKey,
            Proof::Password { .. } => LoginRefusal::Password,
            Proof::Uid(uid) => LoginRefusal::Uid(*uid),
        }
    }
}

impl fmt::Display for LoginRefusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            LoginRefusal::Nothing => f.write_str("this broker serves only its users, and this client has not shown which of them it is: pass a token with --token-file or CORECAST_TOKEN (in a program, `ClientConfig::token`)"),
            LoginRefusal::Token => f.write_str("the token is not, or no longer, that of a user of this broker: `corecast user add` makes another for its file of users"),
            LoginRefusal::Certificate => f.write_str("no user of this broker has a name of this certificate: `corecast user add --certificate` adds one to its file of users, or pass a token with --token-file or CORECAST_TOKEN"),
            LoginRefusal::CurveKey => f.write_str("no user of this broker has this CURVE key: `corecast user add --curve-key` adds it to its file of users"),
            LoginRefusal::Password => f.write_str("there is no user of this name and password"),
            LoginRefusal::Uid(uid) => write!(f, "no user of this broker has the uid {uid}, and no token was shown: pass one with --token-file or CORECAST_TOKEN (in a program, `ClientConfig::token`)"),
            LoginRefusal::NoTicket => f.write_str("this publisher lets in only those to whom its broker gives a ticket, and none was shown"),
            LoginRefusal::Ticket(fault) => write!(f, "the ticket {fault}"),
        }
    }
}
