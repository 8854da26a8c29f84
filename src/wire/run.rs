//! The messages of a [`Frame::Run`](super::Frame::Run): the number of them (`u32`, little-endian), then for each the length of
//! its payload (`u32`), the nanoseconds from the time of the first message to its own (`u32`), and its payload. Pure.

use crate::limits::{RUN_COUNT_BYTES, RUN_MESSAGE_BYTES, RUN_MESSAGES_MAX};

/// A message of a run.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct RunMessage<'a> {
    /// Any bytes.
    pub payload: &'a [u8],
    /// Nanoseconds from the time of the first message of the run.
    pub after_ns: u32,
}

/// True if these bytes are a number of messages, from 2 to [`RUN_MESSAGES_MAX`], and exactly so many whole messages.
pub(super) fn is_whole(messages: &[u8]) -> bool {
    let Some((count, rest)) = messages.split_first_chunk::<RUN_COUNT_BYTES>() else { return false };
    let count = u32::from_le_bytes(*count) as usize;
    if !(2..=RUN_MESSAGES_MAX).contains(&count) {
        return false;
    }
    let mut whole = RunMessages { rest };
    whole.by_ref().take(count).count() == count && whole.rest.is_empty()
}

/// The number of messages in a checked run.
#[inline]
pub(super) fn count(messages: &[u8]) -> u32 {
    messages.first_chunk::<RUN_COUNT_BYTES>().map_or(0, |count| u32::from_le_bytes(*count))
}

/// The messages, up to the first incomplete one.
pub fn iter(messages: &[u8]) -> RunMessages<'_> {
    RunMessages { rest: messages.get(RUN_COUNT_BYTES..).unwrap_or_default() }
}

/// See [`iter`].
#[derive(Clone, Debug)]
pub struct RunMessages<'a> {
    rest: &'a [u8],
}

impl<'a> Iterator for RunMessages<'a> {
    type Item = RunMessage<'a>;

    #[inline]
    fn next(&mut self) -> Option<RunMessage<'a>> {
        let (head, rest) = self.rest.split_first_chunk::<RUN_MESSAGE_BYTES>()?;
        let [a, b, c, d, e, f, g, h] = *head;
        let (payload, rest) = rest.split_at_checked(u32::from_le_bytes([a, b, c, d]) as usize)?;
        self.rest = rest;
        Some(RunMessage { payload, after_ns: u32::from_le_bytes([e, f, g, h]) })
    }
}

/// The messages of a run that is being written.
#[derive(Default, Debug)]
pub struct RunBytes {
    bytes: Vec<u8>,
    count: u32,
}

impl RunBytes {
    /// Adds a message.
    ///
    /// # Panics
    /// If its payload is over 4 GiB: callers bound the whole frame first.
    #[inline]
    pub fn push(&mut self, RunMessage { payload, after_ns }: RunMessage<'_>) {
        if self.count == 0 {
            self.bytes.extend_from_slice(&[0; RUN_COUNT_BYTES]);
        }
        self.count += 1;
        let length = u32::try_from(payload.len()).expect("callers bound the body by frame_bytes_max");
        self.bytes.extend_from_slice(&length.to_le_bytes());
        self.bytes.extend_from_slice(&after_ns.to_le_bytes());
        self.bytes.extend_from_slice(payload);
    }

    /// The number of messages.
    pub fn count(&self) -> usize {
        self.count as usize
    }

    /// The length of [`RunBytes::messages`].
    pub fn len(&self) -> usize {
        self.bytes.len()
    }

    /// True if there is no message.
    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// The messages as a [`Frame::Run`](super::Frame::Run) has them.
    pub fn messages(&mut self) -> &[u8] {
        if let Some(count) = self.bytes.first_chunk_mut() {
            *count = self.count.to_le_bytes();
        }
        &self.bytes
    }

    /// Forgets all but the memory.
    pub fn clear(&mut self) {
        self.bytes.clear();
        self.count = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(payloads: &[&[u8]]) -> Vec<u8> {
        let mut run = RunBytes::default();
        for (after_ns, payload) in (0..).zip(payloads) {
            run.push(RunMessage { payload, after_ns });
        }
        run.messages().to_vec()
    }

    #[test]
    fn what_is_pushed_comes_back() {
        let payloads: [&[u8]; 4] = [b"", b"a", b"", &[7; 300]];
        let run = run(&payloads);
        assert!(is_whole(&run));
        assert_eq!((count(&run), run.len()), (4, RUN_COUNT_BYTES + 4 * RUN_MESSAGE_BYTES + 301));
        let messages: Vec<_> = iter(&run).map(|message| (message.payload, message.after_ns)).collect();
        assert_eq!(messages, [(payloads[0], 0), (payloads[1], 1), (payloads[2], 2), (payloads[3], 3)]);
    }

    #[test]
    fn a_run_is_exactly_the_messages_that_it_counts() {
        let whole = run(&[b"ab", b"", b"c"]);
        for cut in 0..whole.len() {
            assert!(!is_whole(&whole[..cut]), "{cut} bytes");
        }
        assert!(!is_whole(&[&whole[..], &[0]].concat()));
        for count in [0, 1, 2, 4, u32::MAX] {
            let mut other = whole.clone();
            other[..4].copy_from_slice(&count.to_le_bytes());
            assert!(!is_whole(&other), "{count}");
        }
        assert!(!is_whole(&run(&[b"alone"])), "one message is no run");
        let many = vec![&b""[..]; RUN_MESSAGES_MAX + 1];
        assert!(is_whole(&run(&many[1..])) && !is_whole(&run(&many)));
    }
}
