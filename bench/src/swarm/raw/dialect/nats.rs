//! NATS' text protocol: <https://docs.nats.io/reference/reference-protocols/nats-protocol>.

use super::sink::{DialectError, Role, Sink, Taken, decimal, line};

/// One connection.
#[derive(Debug)]
pub struct Nats {
    role: Role,
}

impl Nats {
    /// A connection that is about to open.
    pub fn new(role: Role) -> Self {
        Nats { role }
    }

    /// The PONG to this PING is behind the subscriptions: then they are in force.
    pub fn open(&mut self, out: &mut Vec<u8>) {
        out.extend_from_slice(b"CONNECT {\"verbose\":false,\"pedantic\":false,\"tls_required\":false,\"lang\":\"raw\",\"version\":\"1\",\"protocol\":1}\r\n");
        if let Role::Subscriber(wanted) = &self.role {
            for (number, filter) in (1..).zip(&wanted.filters) {
                out.extend_from_slice(format!("SUB {} {number}\r\n", filter.written("*")).as_bytes());
            }
        }
        out.extend_from_slice(b"PING\r\n");
    }

    /// See [`super::Dialect::read`].
    pub fn read(&mut self, bytes: &[u8], reply: &mut Vec<u8>, sink: &mut impl Sink) -> Taken {
        let mut at = 0;
        while let Some((text, line_bytes)) = line(&bytes[at..]) {
            if let Some(rest) = text.strip_prefix(b"MSG ") {
                let size = rest.rsplit(|byte| *byte == b' ').next().and_then(decimal);
                let size = size.ok_or_else(|| DialectError::of("a message without a size", text))?;
                let start = at + line_bytes;
                // A line's end stands behind the payload.
                if bytes.len() < start + size + 2 {
                    break;
                }
                sink.message(&bytes[start..start + size]);
                at = start + size + 2;
                continue;
            }
            match text {
                b"PING" => reply.extend_from_slice(b"PONG\r\n"),
                b"PONG" => sink.ready(),
                b"+OK" => {}
                text if text.starts_with(b"INFO ") => {}
                text => return Err(DialectError::of("nats-server says", text)),
            }
            at += line_bytes;
        }
        Ok(at)
    }
}

/// See [`super::Dialect::publish`].
pub fn publish(topic: &str, payload: &[u8], out: &mut Vec<u8>) {
    out.extend_from_slice(b"PUB ");
    out.extend_from_slice(topic.as_bytes());
    out.extend_from_slice(format!(" {}\r\n", payload.len()).as_bytes());
    out.extend_from_slice(payload);
    out.extend_from_slice(b"\r\n");
}

#[cfg(test)]
pub(super) mod tests {
    use super::super::Language;
    use super::super::tests::{hear_all, one, refuses, two};
    use super::*;

    pub(crate) const WELCOME: &[u8] = b"INFO {\"server_id\":\"x\"}\r\nPONG\r\n";

    /// Appends a message as a subscriber gets it.
    pub(crate) fn delivery(payload: &[u8], out: &mut Vec<u8>) {
        out.extend_from_slice(format!("MSG bench.peers.0 1 {}\r\n", payload.len()).as_bytes());
        out.extend_from_slice(payload);
        out.extend_from_slice(b"\r\n");
    }

    #[test]
    fn what_is_published_is_what_the_protocol_says() {
        let mut out = Vec::new();
        publish("bench.peers.0", b"abc", &mut out);
        assert_eq!(out, b"PUB bench.peers.0 3\r\nabc\r\n");
    }

    #[test]
    fn it_subscribes_to_each_filter() {
        let mut out = Vec::new();
        Nats::new(two()).open(&mut out);
        let said = String::from_utf8(out).unwrap();
        assert!(said.ends_with("\r\nSUB bench.peers.0 1\r\nSUB bench.groups* 2\r\nPING\r\n"), "{said}");
    }

    #[test]
    fn pings_are_answered_and_refusals_named() {
        assert_eq!(hear_all(Language::Nats, one(), b"PING\r\n").replies, b"PONG\r\n");
        refuses(Language::Nats, b"-ERR 'Slow Consumer'\r\n", "-ERR \\'Slow Consumer\\'");
    }
}
