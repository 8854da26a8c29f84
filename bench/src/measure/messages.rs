//! Owns the messages of one publisher, one after the other: the topic of each, its numbers and its payload.

use super::payload::{Payload, PublisherIndex, RunId, SizeError, Stamp};
use super::workload::{TopicChoice, Workload};
use corecast_executors::MonotonicNs;

/// The messages of one publisher in a run.
#[derive(Debug)]
pub struct Messages {
    payload: Payload,
    publisher: PublisherIndex,
    choice: TopicChoice,
    /// Place of the next one among all of this publisher.
    sequence: u64,
    /// The same among those of each topic.
    numbers: Vec<u64>,
}

impl Messages {
    /// The messages of this publisher, of `size_bytes` each.
    pub fn new(
        run: RunId,
        workload: &Workload,
        publisher: PublisherIndex,
        size_bytes: usize,
    ) -> Result<Self, SizeError> {
        let payload = Payload::new(run, publisher, size_bytes, workload.head())?;
        let numbers = vec![0; workload.topics()];
        Ok(Messages { payload, publisher, choice: TopicChoice::new(workload), sequence: 0, numbers })
    }

    /// Number of messages so far.
    pub fn sent(&self) -> u64 {
        self.sequence
    }

    /// The topic and the payload of the next message, which should be sent at `intended`.
    pub fn next(&mut self, intended: MonotonicNs) -> (u32, &[u8]) {
        let (publisher, sequence) = (self.publisher, self.sequence);
        let topic = self.choice.topic(publisher, sequence);
        let count = &mut self.numbers[topic as usize];
        let number = *count;
        *count += 1;
        self.sequence += 1;
        (topic, self.payload.stamp(&Stamp { publisher, sequence, intended, topic, number }))
    }
}

#[cfg(test)]
mod tests {
    use super::super::payload::check;
    use super::super::workload::tests::shared;
    use super::*;

    #[test]
    fn every_message_has_its_numbers() {
        const RUN: RunId = RunId(5);
        for workload in [Workload::own(3), shared(3, 4, 1)] {
            let mut messages = Messages::new(RUN, &workload, PublisherIndex(2), 64).unwrap();
            let mut numbers = vec![0; workload.flows()];
            for sequence in 0..100 {
                assert_eq!(messages.sent(), sequence);
                let (topic, payload) = messages.next(MonotonicNs(7 * sequence));
                let stamp = check(payload, RUN, workload.head()).unwrap();
                assert_eq!(
                    (stamp.publisher, stamp.sequence, stamp.topic),
                    (PublisherIndex(2), sequence, topic)
                );
                let place = if workload.shared.is_some() { 2 } else { 0 };
                let flow = workload.flow(topic, place);
                assert_eq!((stamp.number, stamp.intended.0), (numbers[flow], 7 * sequence));
                numbers[flow] += 1;
            }
            assert_eq!(workload.sent_on(&[0, 0, 100]), numbers);
        }
    }
}
