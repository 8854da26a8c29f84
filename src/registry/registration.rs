//! The registration of a direct publisher, and its text in frames.

use crate::ids::PublisherId;
use crate::limits::{
    ENDPOINT_BYTES_MAX, ENDPOINTS_PER_PUBLISHER_MAX, REGISTRATION_BYTES_MAX, TOPICS_PER_PUBLISHER_MAX,
};
use crate::topic::Filter;
use crate::transport::Endpoint;

/// The endpoints and topics of a direct publisher.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Registration {
    /// The publisher.
    pub publisher: PublisherId,
    /// A number that grows with each new registration of the same publisher.
    pub epoch: u64,
    /// The endpoints, at least one.
    pub endpoints: Vec<Endpoint>,
    /// The topics: sorted, without duplicates, at least one.
    pub topics: Vec<Filter>,
}

impl Registration {
    /// True if it publishes something that a filter asks for.
    pub fn overlaps(&self, filter: &Filter) -> bool {
        self.topics.iter().any(|topic| topic.overlaps(filter))
    }

    /// Its length in a frame, in bytes: its endpoints and topics, a line each.
    pub fn bytes(&self) -> usize {
        let endpoints = self.endpoints.iter().map(|endpoint| endpoint.to_string().len() + 1);
        let topics = self.topics.iter().map(|topic| topic.as_bytes().len() + 1);
        endpoints.chain(topics).sum()
    }

    /// A fault of the registration itself.
    pub fn fault(&self) -> Option<String> {
        if self.endpoints.is_empty() || self.endpoints.len() > ENDPOINTS_PER_PUBLISHER_MAX {
            return Some(format!("a registration has 1 to {ENDPOINTS_PER_PUBLISHER_MAX} endpoints"));
        }
        if self.topics.is_empty() || self.topics.len() > TOPICS_PER_PUBLISHER_MAX {
            return Some(format!("a registration has 1 to {TOPICS_PER_PUBLISHER_MAX} topics"));
        }
        let long = self.endpoints.iter().find(|endpoint| endpoint.to_string().len() > ENDPOINT_BYTES_MAX);
        if let Some(endpoint) = long {
            let bytes = endpoint.to_string().len();
            return Some(format!("an endpoint of {bytes} bytes; at most {ENDPOINT_BYTES_MAX} are allowed"));
        }
        let bytes = self.bytes();
        if bytes > REGISTRATION_BYTES_MAX {
            return Some(format!(
                "a registration of {bytes} bytes; at most {REGISTRATION_BYTES_MAX} are allowed"
            ));
        }
        self.endpoints.iter().find_map(Endpoint::why_nobody_could_connect)
    }
}

/// A line for each endpoint.
pub fn endpoints_to_lines(endpoints: &[Endpoint]) -> String {
    endpoints.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n")
}

/// A line for each filter.
pub fn filters_to_lines<'a>(filters: impl IntoIterator<Item = &'a Filter>) -> String {
    filters.into_iter().map(Filter::text).collect::<Vec<_>>().join("\n")
}

/// The endpoints of such lines; `None` if one of them is not an endpoint.
pub fn lines_to_endpoints(text: &str) -> Option<Vec<Endpoint>> {
    text.lines().map(|line| line.parse().ok()).collect()
}

/// The filters of such lines, sorted; `None` if one of them is not a filter.
pub fn lines_to_filters(text: &str) -> Option<Vec<Filter>> {
    let mut filters = text.lines().map(|line| Filter::parse(line).ok()).collect::<Option<Vec<_>>>()?;
    filters.sort_unstable();
    filters.dedup();
    Some(filters)
}
