//! Requests of direct publishers to be registered, as they are read: no state.

use std::sync::Arc;

use super::base::Base;
use crate::auth::Identity;
use crate::ids::SessionId;
use crate::limits::REGISTRATION_BYTES_MAX;
use crate::registry::{Mode, lines_to_endpoints, lines_to_filters};
use crate::topic::Filter;
use crate::transport::Endpoint;

/// Reads a registration; an error says why it cannot be one here.
pub(super) fn read_registration(
    (base, id): (&Base, SessionId),
    endpoints: &str,
    topics: &str,
) -> Result<(Vec<Endpoint>, Vec<Filter>), String> {
    let takes_tickets = base.sessions.get(id).is_some_and(|session| session.kind.takes_tickets());
    if let Some(why) = base.tickets.why_no_registration(takes_tickets) {
        return Err(why.to_owned());
    }
    let bytes = endpoints.len() + topics.len();
    if bytes > REGISTRATION_BYTES_MAX {
        return Err(format!("a registration of {bytes} bytes; at most {REGISTRATION_BYTES_MAX} are allowed"));
    }
    let read = (lines_to_endpoints(endpoints), lines_to_filters(topics));
    let (Some(endpoints), Some(topics)) = read else {
        return Err("a line of the registration is no endpoint, or no filter".into());
    };
    match topics.iter().find(|topic| !base.config.modes.may_have(Mode::Direct, topic)) {
        Some(topic) => Err(format!("the messages of {topic} go through this broker, none of them direct")),
        None => Ok((endpoints, topics)),
    }
}

/// The peer of a session, as registrations have it.
pub(super) fn identity_of(base: &Base, id: SessionId) -> Option<Arc<Identity>> {
    base.sessions.identity_of(id).cloned().map(Arc::new)
}
