//! Owns the options that say which topics a run has, as arguments and as keys of a file.

use super::values;
use crate::measure::workload::{SharedTopics, TopicFilters, TopicSpread};
use clap::Args;
use serde::Deserialize;

/// Topics that publishers share.
#[derive(Args, Clone, Debug, Default, Deserialize)]
#[serde(default, rename_all = "kebab-case")]
pub struct TopicArgs {
    /// Number of topics that all publishers send on [default: one for each publisher, and every subscriber wants all]
    #[arg(long, value_name = "N")]
    #[serde(deserialize_with = "values::count")]
    pub topics: Option<usize>,
    /// Number of filters of each subscriber, drawn at random but the same in every run [default: as many as there are]
    #[arg(long, value_name = "N", requires = "topics")]
    #[serde(deserialize_with = "values::count")]
    pub topics_per_subscriber: Option<usize>,
    /// Distribution of messages over these topics: uniform, zipf (the n-th has 1/n of the first one's) [default: uniform]
    #[arg(long, value_name = "SPREAD", requires = "topics")]
    #[serde(deserialize_with = "values::word")]
    pub topic_spread: Option<TopicSpread>,
    /// Filters of subscribers: exact (names of topics), wildcard or wildcard:N (each matches 4 or N of the topics)
    /// [default: exact]
    #[arg(long, value_name = "KIND", requires = "topics")]
    #[serde(deserialize_with = "values::word")]
    pub topic_filters: Option<TopicFilters>,
}

impl TopicArgs {
    /// True if something is said about topics, and not how many there are.
    pub(super) fn lack_their_number(&self) -> bool {
        let said = (self.topics_per_subscriber, self.topic_spread, self.topic_filters);
        self.topics.is_none() && said != (None, None, None)
    }

    /// The topics that were asked for, if publishers share some.
    pub fn shared(&self) -> Option<SharedTopics> {
        let (spread, filters) =
            (self.topic_spread.unwrap_or_default(), self.topic_filters.unwrap_or_default());
        let all = SharedTopics { topics: self.topics?, per_subscriber: 0, filters, spread };
        Some(SharedTopics { per_subscriber: self.topics_per_subscriber.unwrap_or(all.groups()), ..all })
    }
}
