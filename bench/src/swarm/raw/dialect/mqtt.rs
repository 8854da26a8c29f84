//! MQTT 3.1.1 with QoS 0: <https://docs.oasis-open.org/mqtt/mqtt/v3.1.1/mqtt-v3.1.1.html>.

use super::sink::{DialectError, Obeyed, Role, Sink, Taken};

const CONNECT: u8 = 0x10;
const CONNACK: u8 = 0x20;
const PUBLISH: u8 = 0x30;
const SUBSCRIBE: u8 = 0x82;
const SUBACK: u8 = 0x90;
const PINGRESP: u8 = 0xd0;
/// Bytes that a remaining length takes at most.
const LENGTH_BYTES_MAX: usize = 4;

/// One connection.
#[derive(Debug)]
pub struct Mqtt {
    role: Role,
    id: String,
}

impl Mqtt {
    /// A connection that is about to open.
    pub fn new(role: Role, index: usize) -> Self {
        let who = match &role {
            Role::Subscriber(_) => "s",
            Role::Publisher => "p",
        };
        Mqtt { role, id: format!("{who}{index}") }
    }

    /// A clean session that is never pinged.
    pub fn open(&mut self, out: &mut Vec<u8>) {
        const CLEAN_SESSION: u8 = 2;
        const KEEP_ALIVE_NEVER: [u8; 2] = [0, 0];
        let mut body = b"\0\x04MQTT\x04".to_vec();
        body.push(CLEAN_SESSION);
        body.extend_from_slice(&KEEP_ALIVE_NEVER);
        text(&self.id, &mut body);
        packet(CONNECT, body.len(), out);
        out.extend_from_slice(&body);
    }

    /// See [`super::Dialect::read`].
    pub fn read(&mut self, bytes: &[u8], reply: &mut Vec<u8>, sink: &mut impl Sink) -> Taken {
        let mut at = 0;
        while let Some((head_bytes, body_bytes)) = head(&bytes[at..])? {
            let start = at + head_bytes;
            let Some(body) = bytes.get(start..start + body_bytes) else { break };
            match bytes[at] {
                PUBLISH => sink.message(payload_of(body)?),
                CONNACK => self.connected(body, reply, sink)?,
                // A return code for each filter, behind the packet's identifier.
                SUBACK => match body.get(2..) {
                    Some(codes) if codes.iter().all(|code| *code == 0) => sink.ready(),
                    _ => return Err(DialectError::new("mosquitto refuses the subscription")),
                },
                PINGRESP => {}
                kind => return Err(DialectError::new(format!("an MQTT packet of kind {kind:#04x}"))),
            }
            at = start + body_bytes;
        }
        Ok(at)
    }

    fn connected(&mut self, body: &[u8], reply: &mut Vec<u8>, sink: &mut impl Sink) -> Obeyed {
        if body.get(1) != Some(&0) {
            return Err(DialectError::new(format!("mosquitto refuses the connection: {body:?}")));
        }
        match &self.role {
            Role::Publisher => sink.ready(),
            Role::Subscriber(wanted) => {
                // Packet identifier 1, then filters with QoS 0.
                let mut subscribe = vec![0, 1];
                for filter in &wanted.filters {
                    text(&filter.written("+"), &mut subscribe);
                    subscribe.push(0);
                }
                packet(SUBSCRIBE, subscribe.len(), reply);
                reply.extend_from_slice(&subscribe);
            }
        }
        Ok(())
    }
}

/// See [`super::Dialect::publish`].
pub fn publish(topic: &str, payload: &[u8], out: &mut Vec<u8>) {
    packet(PUBLISH, 2 + topic.len() + payload.len(), out);
    text(topic, out);
    out.extend_from_slice(payload);
}

/// The bytes behind the topic.
fn payload_of(body: &[u8]) -> Result<&[u8], DialectError> {
    let after_topic = body
        .split_first_chunk::<2>()
        .and_then(|(length, rest)| rest.get(usize::from(u16::from_be_bytes(*length))..));
    after_topic.ok_or_else(|| DialectError::new("an MQTT message whose topic is cut off"))
}

/// Bytes of the fixed header, and of what follows it, if the header is all there.
fn head(bytes: &[u8]) -> Result<Option<(usize, usize)>, DialectError> {
    let mut length = 0;
    for index in 0..LENGTH_BYTES_MAX {
        let Some(byte) = bytes.get(1 + index) else { return Ok(None) };
        length |= usize::from(byte & 0x7f) << (7 * index);
        if byte & 0x80 == 0 {
            return Ok(Some((2 + index, length)));
        }
    }
    Err(DialectError::new("an MQTT packet whose length has no end"))
}

fn packet(kind: u8, mut body_bytes: usize, out: &mut Vec<u8>) {
    out.push(kind);
    loop {
        let more = if body_bytes > 0x7f { 0x80 } else { 0 };
        out.push((body_bytes & 0x7f) as u8 | more);
        body_bytes >>= 7;
        if more == 0 {
            break;
        }
    }
}

fn text(text: &str, out: &mut Vec<u8>) {
    let length = u16::try_from(text.len()).expect("names here are short");
    out.extend_from_slice(&length.to_be_bytes());
    out.extend_from_slice(text.as_bytes());
}

#[cfg(test)]
pub(super) mod tests {
    use super::super::Language;
    use super::super::tests::{hear_all, one, refuses, two};
    use super::*;

    pub(crate) const WELCOME: &[u8] = b"\x20\x02\0\0\x90\x03\0\x01\0";

    #[test]
    fn it_connects_cleanly_and_subscribes() {
        let mut out = Vec::new();
        Mqtt::new(one(), 12).open(&mut out);
        assert_eq!(out, b"\x10\x0f\0\x04MQTT\x04\x02\0\0\0\x03s12");
        let said = hear_all(Language::Mqtt, one(), WELCOME).replies;
        assert_eq!(said, b"\x82\x12\0\x01\0\x0dbench.peers.0\0");
        let said = hear_all(Language::Mqtt, two(), b"\x20\x02\0\0\x90\x04\0\x01\0\0").replies;
        assert_eq!(said, b"\x82\x22\0\x01\0\x0dbench.peers.0\0\0\x0dbench.groups+\0");
    }

    #[test]
    fn long_bodies_have_long_lengths() {
        for (length, wanted) in [(127, &b"\x7f"[..]), (128, b"\x80\x01"), (16_384, b"\x80\x80\x01")] {
            let mut out = Vec::new();
            packet(PUBLISH, length, &mut out);
            assert_eq!(&out[1..], wanted);
            assert_eq!(head(&out), Ok(Some((out.len(), length))));
        }
    }

    #[test]
    fn refusals_are_named() {
        refuses(Language::Mqtt, b"\x20\x02\0\x05", "refuses the connection");
        refuses(Language::Mqtt, b"\x20\x02\0\0\x90\x03\0\x01\x80", "refuses the subscription");
        refuses(Language::Mqtt, b"\x20\x02\0\0\x90\x04\0\x01\0\x80", "refuses the subscription");
        refuses(Language::Mqtt, b"\x30\xff\xff\xff\xff\x01", "has no end");
    }
}
