//! The direct publishers that the broker has named on this connection: no more than a registry holds, and none that no
//! registry takes. Pure; part of a session's state.

use ahash::AHashMap;

use crate::ids::PublisherId;
use crate::limits::PUBLISHERS_NAMED_MAX;
use crate::registry::Registration;

/// Those that have not gone, with their epochs.
#[derive(Default, Debug)]
pub(super) struct Named(AHashMap<PublisherId, u64>);

impl Named {
    /// Adds a publisher, or its newer registration.
    ///
    /// # Errors
    /// The reason why no registry would hold it.
    pub(super) fn up(&mut self, registration: &Registration) -> Result<(), String> {
        if let Some(fault) = registration.fault() {
            return Err(fault);
        }
        self.0.insert(registration.publisher, registration.epoch);
        match self.0.len() > PUBLISHERS_NAMED_MAX {
            true => Err("more publishers than any registry holds".to_owned()),
            false => Ok(()),
        }
    }

    /// Removes a publisher that has gone.
    pub(super) fn down(&mut self, publisher: PublisherId, epoch: u64) {
        if self.0.get(&publisher) == Some(&epoch) {
            self.0.remove(&publisher);
        }
    }

    /// A new connection, or a new list: nobody is named yet.
    pub(super) fn clear(&mut self) {
        self.0.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::topic::Filter;

    fn registration(publisher: u64) -> Registration {
        Registration {
            publisher: PublisherId(publisher),
            epoch: 1,
            endpoints: vec!["tcp://127.0.0.1:1".parse().expect("an endpoint")],
            topics: vec![Filter::parse("a").expect("a filter")],
        }
    }

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
}
