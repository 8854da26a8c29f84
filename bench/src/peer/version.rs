//! Owns the question to a running server which version it is: what runs may be another than what is installed.

use crate::swarm::raw::dialect::Language;
use crate::swarm::raw::socket;
use corecast::Endpoint;
use socket2::{Socket, Type};
use std::io::{Read, Write};
use std::time::{Duration, Instant};

/// Time that a server has to answer.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(2);
/// Bytes of an answer that are read at most.
const ANSWER_BYTES_MAX: usize = 64 << 10;

/// The version that the server there states; nothing if its protocol has no such question, or it gives no answer.
pub(super) fn ask(language: Language, endpoint: &Endpoint) -> Option<String> {
    let (question, before): (&[u8], &str) = match language {
        Language::Nats => (b"", "\"version\":\""),
        Language::Redis => (b"INFO server\r\n", "\nredis_version:"),
        _ => return None,
    };
    let deadline = Instant::now() + ANSWER_TIMEOUT;
    let address = socket::address(endpoint).ok()?;
    let mut socket = Socket::new(address.domain(), Type::STREAM, None).ok()?;
    socket.connect_timeout(&address, ANSWER_TIMEOUT).ok()?;
    socket.write_all(question).ok()?;
    let (mut answer, mut piece) = (Vec::new(), [0; 4096]);
    while answer.len() < ANSWER_BYTES_MAX {
        let left = deadline.checked_duration_since(Instant::now()).filter(|left| !left.is_zero())?;
        socket.set_read_timeout(Some(left)).ok()?;
        let bytes = socket.read(&mut piece).ok().filter(|bytes| *bytes > 0)?;
        answer.extend_from_slice(&piece[..bytes]);
        if let Some(version) = between(&String::from_utf8_lossy(&answer), before) {
            return Some(version);
        }
    }
    None
}

/// The text behind `before` and before the end of the word, if both are there.
fn between(text: &str, before: &str) -> Option<String> {
    let (_, rest) = text.split_once(before)?;
    let (version, _) = rest.split_once(['"', '\r'])?;
    Some(version.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use corecast_executors::spawn_plain;
    use std::net::TcpListener;

    /// The version of a server that says this, piece by piece, and then closes.
    fn asked(language: Language, pieces: &'static [&'static str]) -> Option<String> {
        let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
        let port = listener.local_addr().unwrap().port();
        let server = spawn_plain("server", move || {
            let (mut socket, _) = listener.accept().unwrap();
            socket.set_nodelay(true).unwrap();
            for piece in pieces {
                socket.write_all(piece.as_bytes()).unwrap();
            }
        });
        let version = ask(language, &Endpoint::Tcp { host: "127.0.0.1".into(), port });
        server.unwrap().join().unwrap();
        version
    }

    #[test]
    fn a_version_is_what_the_server_says() {
        let nats = &["INFO {\"server_id\":\"x\",\"vers", "ion\":\"2.15", ".1\",\"proto\":1}\r\n"];
        assert_eq!(asked(Language::Nats, nats).as_deref(), Some("2.15.1"));
        let redis = &["$100\r\n# Server\r\n", "redis_version:8.2.1\r\nredis_git_sha1:0\r\n"];
        assert_eq!(asked(Language::Redis, redis).as_deref(), Some("8.2.1"));
    }

    #[test]
    fn one_that_says_none_has_none() {
        assert_eq!(asked(Language::Redis, &["-NOAUTH Authentication required.\r\n"]), None);
        assert_eq!(asked(Language::Nats, &["INFO {\"version\":\"2."]), None);
    }
}
