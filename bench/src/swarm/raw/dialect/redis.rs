//! Redis' RESP 2, as far as PUBLISH and SUBSCRIBE go: <https://redis.io/docs/latest/develop/reference/protocol-spec/>.

use super::sink::{DialectError, Role, Sink, Taken, decimal, line};
use crate::swarm::topics::FilterName;

/// Elements of an array that a subscriber gets: kind, topic, payload or count. A message that a pattern matches has the
/// pattern as well, before the topic.
const PUSH_ELEMENTS: std::ops::RangeInclusive<usize> = 3..=4;

/// One connection.
#[derive(Debug)]
pub struct Redis {
    role: Role,
    /// Subscriptions that are not confirmed.
    unconfirmed: usize,
}

/// One element at the start of some bytes.
enum Element<'a> {
    Bytes(&'a [u8]),
    Number,
}

impl Redis {
    /// A connection that is about to open.
    pub fn new(role: Role) -> Self {
        let unconfirmed = match &role {
            Role::Subscriber(wanted) => wanted.filters.len(),
            Role::Publisher => 0,
        };
        Redis { role, unconfirmed }
    }

    /// See [`super::Dialect::open`].
    pub fn open(&mut self, out: &mut Vec<u8>) {
        let Role::Subscriber(wanted) = &self.role else { return command(&[b"PING"], out) };
        let is_topic = |filter: &&FilterName| matches!(filter, FilterName::Topic(_));
        let (topics, patterns): (Vec<&FilterName>, _) = wanted.filters.iter().partition(is_topic);
        for (verb, filters) in [("SUBSCRIBE", topics), ("PSUBSCRIBE", patterns)] {
            if !filters.is_empty() {
                let filters: Vec<String> = filters.into_iter().map(|filter| filter.written("*")).collect();
                let words = std::iter::once(verb).chain(filters.iter().map(String::as_str));
                command(&words.map(str::as_bytes).collect::<Vec<_>>(), out);
            }
        }
    }

    /// See [`super::Dialect::read`].
    pub fn read(&mut self, bytes: &[u8], sink: &mut impl Sink) -> Taken {
        let mut at = 0;
        while let Some((text, line_bytes)) = line(&bytes[at..]) {
            match text.first() {
                Some(b'*') => {
                    let elements = decimal(&text[1..]).filter(|elements| PUSH_ELEMENTS.contains(elements));
                    let elements =
                        elements.ok_or_else(|| DialectError::of("redis-server pushes an array", text))?;
                    match self.push(elements, &bytes[at + line_bytes..], sink)? {
                        Some(more) => at += line_bytes + more,
                        None => break,
                    }
                }
                Some(b'+') => {
                    sink.ready();
                    at += line_bytes;
                }
                // How many subscribers a message had: an answer to each PUBLISH.
                Some(b':') => at += line_bytes,
                _ => return Err(DialectError::of("redis-server says", text)),
            }
        }
        Ok(at)
    }

    /// Takes the elements of an array at the start of `bytes`, if they are all there.
    fn push(
        &mut self,
        elements: usize,
        bytes: &[u8],
        sink: &mut impl Sink,
    ) -> Result<Option<usize>, DialectError> {
        let (mut at, mut kind, mut last): (usize, &[u8], &[u8]) = (0, b"", b"");
        for index in 0..elements {
            let Some((element, element_bytes)) = element(&bytes[at..])? else { return Ok(None) };
            match element {
                Element::Bytes(bytes) if index == 0 => kind = bytes,
                Element::Bytes(bytes) => last = bytes,
                Element::Number => {}
            }
            at += element_bytes;
        }
        match kind {
            b"message" | b"pmessage" => sink.message(last),
            b"subscribe" | b"psubscribe" if self.unconfirmed > 0 => {
                self.unconfirmed -= 1;
                if self.unconfirmed == 0 {
                    sink.ready();
                }
            }
            kind => return Err(DialectError::of("redis-server pushes", kind)),
        }
        Ok(Some(at))
    }
}

fn element(bytes: &[u8]) -> Result<Option<(Element<'_>, usize)>, DialectError> {
    let Some((text, line_bytes)) = line(bytes) else { return Ok(None) };
    match text.split_first() {
        Some((b'$', digits)) => {
            let size = decimal(digits).ok_or_else(|| DialectError::of("a string without a size", text))?;
            if bytes.len() < line_bytes + size + 2 {
                return Ok(None);
            }
            Ok(Some((Element::Bytes(&bytes[line_bytes..line_bytes + size]), line_bytes + size + 2)))
        }
        Some((b':', _)) => Ok(Some((Element::Number, line_bytes))),
        _ => Err(DialectError::of("an element of no known kind", text)),
    }
}

fn command(words: &[&[u8]], out: &mut Vec<u8>) {
    out.extend_from_slice(format!("*{}\r\n", words.len()).as_bytes());
    for word in words {
        out.extend_from_slice(format!("${}\r\n", word.len()).as_bytes());
        out.extend_from_slice(word);
        out.extend_from_slice(b"\r\n");
    }
}

/// See [`super::Dialect::publish`].
pub fn publish(topic: &str, payload: &[u8], out: &mut Vec<u8>) {
    command(&[b"PUBLISH", topic.as_bytes(), payload], out);
}

#[cfg(test)]
pub(super) mod tests {
    use super::super::Language;
    use super::super::tests::{hear_all, one, refuses, two};
    use super::*;

    pub(crate) const WELCOME: &[u8] = b"*3\r\n$9\r\nsubscribe\r\n$13\r\nbench.peers.0\r\n:1\r\n";

    /// Appends a message as a subscriber gets it.
    pub(crate) fn delivery(payload: &[u8], out: &mut Vec<u8>) {
        command(&[b"message", b"bench.peers.0", payload], out);
    }

    #[test]
    fn what_is_published_is_what_the_protocol_says() {
        let mut out = Vec::new();
        publish("bench.peers.0", b"abc", &mut out);
        assert_eq!(out, b"*3\r\n$7\r\nPUBLISH\r\n$13\r\nbench.peers.0\r\n$3\r\nabc\r\n");
    }

    #[test]
    fn a_publisher_is_ready_at_the_pong_and_ignores_counts() {
        assert_eq!(hear_all(Language::Redis, Role::Publisher, b"+PONG\r\n:512\r\n:512\r\n").ready, 1);
    }

    #[test]
    fn topics_and_patterns_are_asked_for_and_both_confirmed() {
        let mut out = Vec::new();
        Redis::new(two()).open(&mut out);
        let wanted = b"*2\r\n$9\r\nSUBSCRIBE\r\n$13\r\nbench.peers.0\r\n\
                       *2\r\n$10\r\nPSUBSCRIBE\r\n$13\r\nbench.groups*\r\n";
        assert_eq!(out, wanted);
        let mut bytes = WELCOME.to_vec();
        assert_eq!(hear_all(Language::Redis, two(), &bytes).ready, 0);
        bytes.extend_from_slice(b"*3\r\n$10\r\npsubscribe\r\n$1\r\np\r\n:2\r\n");
        command(&[b"pmessage", b"p", b"t", b"payload"], &mut bytes);
        let heard = hear_all(Language::Redis, two(), &bytes);
        assert_eq!((heard.ready, heard.messages), (1, vec![b"payload".to_vec()]));
    }

    #[test]
    fn refusals_are_named() {
        refuses(Language::Redis, b"-ERR max number of clients reached\r\n", "max number of clients");
        let heard = hear_all(Language::Redis, one(), b"*3\r\n$7\r\nmessage\r\n$1\r\na\r\n$0\r\n\r\n");
        assert_eq!(heard.messages, [b""]);
    }
}
