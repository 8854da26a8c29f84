//! Owns one publisher: its session, and the messages of its run on their way out.

use super::dialect::sink::Role;
use super::gauges::Gauges;
use super::session::RawSession;
use super::target::RawTarget;
use crate::interrupt::Interrupt;
use crate::measure::messages::Messages;
use crate::measure::payload::PublisherIndex;
use corecast_executors::MonotonicNs;
use std::io;
use std::time::Duration;

/// The publisher.
#[derive(Debug)]
pub struct RawSource {
    publisher: PublisherIndex,
    session: RawSession,
    out: Vec<u8>,
}

impl RawSource {
    /// Connects this publisher, and waits until it may send.
    pub fn connect(publisher: PublisherIndex, target: &RawTarget, timeout: Duration) -> io::Result<Self> {
        let role = (Role::Publisher, publisher.0 as usize);
        let session = RawSession::connect(role, target, timeout)?;
        Ok(RawSource { publisher, session, out: Vec::new() })
    }

    /// The publisher.
    pub fn publisher(&self) -> PublisherIndex {
        self.publisher
    }

    /// Sends the next messages, which are due at that time, and takes in what the peer has said. `names` has those of all
    /// topics.
    pub(super) fn send(
        &mut self,
        messages: &mut Messages,
        (count, due): (u64, MonotonicNs),
        names: &[String],
        (gauges, halt): (&Gauges, &Interrupt),
    ) -> io::Result<()> {
        self.out.clear();
        let dialect = self.session.dialect();
        for _ in 0..count {
            let (topic, payload) = messages.next(due);
            dialect.publish(&names[topic as usize], payload, &mut self.out);
            gauges.add_sent(topic);
        }
        dialect.finish(&mut self.out);
        self.session.write(&self.out, halt)?;
        self.hear()
    }

    /// Takes in what the peer has said.
    pub(super) fn hear(&mut self) -> io::Result<()> {
        self.session.hear()
    }
}
