//! The rule that a broker is closed by default: a listener that other hosts reach needs users, and encryption. Pure.

use std::fmt;

use super::config::BrokerConfig;
use crate::error::{Error, Result};
use crate::transport::{Endpoint, Listening};

/// One listener, as far as the rule is concerned.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Exposed {
    /// The endpoint, for people.
    pub(super) endpoint: String,
    /// The option that opens it.
    pub(super) field: &'static str,
    /// True if other hosts reach it.
    pub(super) is_remote: bool,
    /// True if nobody on the way reads what passes there.
    pub(super) is_encrypted: bool,
}

/// The protection that a listener lacks.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Lack {
    /// Nobody has to show who it is, and everybody may do everything.
    Users,
    /// Tokens and messages can be read and changed on their way.
    Encryption,
}

/// The consequence, for people.
impl fmt::Display for Lack {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Lack::Users => "everybody who reaches it may do everything",
            Lack::Encryption => "tokens and messages can be read and changed on their way",
        })
    }
}

impl Exposed {
    /// A listener that is open, and that this field of the configuration asks for.
    /// Other hosts come to a ZeroMQ door by CURVE alone if the broker `has_curve`.
    pub(super) fn of(listening: &Listening, field: &'static str, has_curve: bool) -> Self {
        let asked = Exposed::asked_for(&listening.endpoint, field, has_curve);
        Exposed { is_remote: listening.is_remote(), ..asked }
    }

    /// A listener that is asked for, as far as its address tells who reaches it.
    fn asked_for(endpoint: &Endpoint, field: &'static str, has_curve: bool) -> Self {
        let is_encrypted = endpoint.is_encrypted() || (has_curve && is_zmtp(field));
        Exposed {
            endpoint: endpoint.to_string(),
            field,
            is_remote: endpoint.is_plainly_remote(),
            is_encrypted,
        }
    }

    /// The protection that this listener lacks.
    fn lack(&self, has_users: bool) -> Option<Lack> {
        match self {
            Exposed { is_remote: false, .. } => None,
            _ if !has_users => Some(Lack::Users),
            Exposed { is_encrypted: true, .. } => None,
            Exposed { is_encrypted: false, .. } => Some(Lack::Encryption),
        }
    }

    fn refusal(&self, lack: Lack) -> Error {
        let endpoint = &self.endpoint;
        let way_out = match lack {
            Lack::Users => {
                "say who may do what with --users FILE (`corecast user add --help`), listen on 127.0.0.1 or a Unix socket"
            }
            Lack::Encryption if is_zmtp(self.field) => {
                "encrypt it with --zmtp-curve-key FILE (`corecast curve-keygen --help`), listen on 127.0.0.1 or a Unix socket"
            }
            Lack::Encryption => {
                "listen on tls://HOST:PORT (`corecast cert --help`), 127.0.0.1 or a Unix socket"
            }
        };
        let text =
            format!("other hosts reach {endpoint}, where {lack}: {way_out}, or accept it with --insecure");
        Error::of_field(self.field, text)
    }
}

/// True if the doors of this field are for ZeroMQ sockets.
fn is_zmtp(field: &str) -> bool {
    field.starts_with("zmtp")
}

/// Checks that no listener lacks protection, unless that `is_accepted`: then the listeners that do are returned, each as a
/// line for people.
///
/// # Errors
/// `Invalid`: a listener lacks some; what to do about it.
pub(super) fn check_exposure(
    listeners: &[Exposed],
    has_users: bool,
    is_accepted: bool,
) -> Result<Vec<String>> {
    let mut lines = Vec::new();
    for listener in listeners {
        match listener.lack(has_users) {
            Some(lack) if is_accepted => lines.push(format!("{}: {lack}", listener.endpoint)),
            Some(lack) => return Err(listener.refusal(lack)),
            None => {}
        }
    }
    Ok(lines)
}

impl BrokerConfig {
    /// Checks what a start would say of the listeners, without opening them: those that are named by a name may be refused then.
    ///
    /// # Errors
    /// `Invalid`: a listener lacks protection; what to do about it.
    pub fn check_exposure(&self) -> Result<()> {
        let has_curve = self.zmtp_curve_key.is_some();
        let asked = self.doors().map(|(_, endpoint, field)| Exposed::asked_for(endpoint, field, has_curve));
        check_exposure(&asked.collect::<Vec<_>>(), self.users.is_some(), self.insecure).map(drop)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::ErrorKind;

    #[test]
    fn never_an_open_listener_without_the_word_insecure() {
        let mut rng = fastrand::Rng::with_seed(16);
        let (mut refused, mut accepted) = (0, 0);
        for _ in 0..100_000 {
            let listeners: Vec<Exposed> = (0..rng.usize(1..5))
                .map(|n| Exposed {
                    endpoint: format!("tcp://host:{n}"),
                    field: ["listen", "zmtp", "metrics"][rng.usize(0..3)],
                    is_remote: rng.bool(),
                    is_encrypted: rng.bool(),
                })
                .collect();
            let (has_users, is_insecure) = (rng.bool(), rng.bool());
            let is_open = |listener: &Exposed| listener.is_remote && !(has_users && listener.is_encrypted);
            let open = listeners.iter().filter(|listener| is_open(listener)).count();
            match check_exposure(&listeners, has_users, is_insecure) {
                Ok(lines) => {
                    assert!(open == 0 || is_insecure, "{listeners:?}");
                    assert_eq!(lines.len(), open, "each is told");
                    accepted += 1;
                }
                Err(error) => {
                    assert!(open > 0 && !is_insecure, "{error}");
                    assert_eq!(error.kind(), ErrorKind::Invalid);
                    assert!(error.to_string().contains("--insecure"), "{error}");
                    refused += 1;
                }
            }
        }
        assert!(refused > 10_000 && accepted > 10_000, "{refused} and {accepted}");
    }
}
