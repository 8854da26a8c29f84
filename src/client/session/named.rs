//! The direct publishers that the broker has named on this connection: no more than a registry holds, and none that no
//! registry takes. Pure; part of a session's state.

use ahash::AHashMap;

use crate::ids::PublisherId;
use crate::limits::{NAMED_BYTES_MAX, PUBLISHERS_NAMED_MAX};
use crate::registry::Registration;

/// Those that have not gone.
#[derive(Default, Debug)]
pub(super) struct Named {
    publishers: AHashMap<PublisherId, Latest>,
    /// The length of their registrations together.
    bytes: usize,
}

/// The latest registration of a publisher.
#[derive(Clone, Copy, Debug)]
struct Latest {
    epoch: u64,
    bytes: usize,
}

impl Named {
    /// Adds a publisher, or its newer registration.
    ///
    /// # Errors
    /// The reason why no registry would hold it.
    pub(super) fn up(&mut self, registration: &Registration) -> Result<(), String> {
        if let Some(fault) = registration.fault() {
            return Err(fault);
        }
        let latest = Latest { epoch: registration.epoch, bytes: registration.bytes() };
        let before = self.publishers.insert(registration.publisher, latest);
        self.bytes += latest.bytes;
        self.bytes -= before.map_or(0, |before| before.bytes);
        if self.publishers.len() > PUBLISHERS_NAMED_MAX {
            return Err("more publishers than any registry holds".to_owned());
        }
        if self.bytes > NAMED_BYTES_MAX {
            return Err("longer registrations together than any registry holds".to_owned());
        }
        Ok(())
    }

    /// Removes a publisher that has gone.
    pub(super) fn down(&mut self, publisher: PublisherId, epoch: u64) {
        if let Some(latest) = self.publishers.get(&publisher).filter(|latest| latest.epoch == epoch) {
            self.bytes -= latest.bytes;
            self.publishers.remove(&publisher);
        }
    }

    /// A new connection, or a new list: nobody is named yet.
    pub(super) fn clear(&mut self) {
        *self = Named::default();
    }
}

#[cfg(test)]
mod tests {
    use super::super::rig::registration;
    use super::*;
    use crate::topic::Filter;

    #[test]
    fn those_that_leave_make_room_for_others() {
        let mut named = Named::default();
        for publisher in 0..2 * PUBLISHERS_NAMED_MAX as u64 {
            named.up(&registration(publisher)).expect("there is room");
            named.down(PublisherId(publisher), 1);
        }
        for publisher in 0..PUBLISHERS_NAMED_MAX as u64 {
            named.up(&registration(publisher)).expect("there is room");
            named.up(&registration(publisher)).expect("it is the same");
            named.down(PublisherId(publisher), 7);
        }
        let error = named.up(&registration(u64::MAX)).expect_err("it is one too many");
        assert_eq!(error, "more publishers than any registry holds");
        named.clear();
        named.up(&registration(1)).expect("there is room");
    }
    #[test]
    fn long_registrations_are_fewer() {
        let long = |publisher| {
            let topics =
                (0..12).map(|n| Filter::parse(&format!("{n}{}", "a".repeat(240))).expect("a filter"));
            Registration { topics: topics.collect(), ..registration(publisher) }
        };
        let fit = NAMED_BYTES_MAX / long(1).bytes();
        assert!(fit < PUBLISHERS_NAMED_MAX);
        let mut named = Named::default();
        for publisher in 0..fit as u64 {
            named.up(&long(publisher)).expect("there is room");
            named.up(&long(publisher)).expect("it is the same");
        }
        assert!(named.up(&long(u64::MAX)).is_err());
        named.down(PublisherId(u64::MAX), 1);
        named.up(&registration(1)).expect("one of them is shorter now");
        named.up(&registration(u64::MAX)).expect("there is room");
    }
}
