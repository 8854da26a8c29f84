//! Owns the options that say which topics a run has.

use crate::measure::workload::{SharedTopics, TopicFilters, TopicSpread};
use clap::Args;

/// Topics that publishers share.
#[derive(Args, Clone, Debug)]
pub struct TopicArgs {
    /// Number of topics that all publishers send on [default: one for each publisher, and every subscriber wants all]
    #[arg(long, value_name = "N")]
    pub topics: Option<usize>,
    /// Number of filters of each subscriber, drawn at random but the same in every run [default: as many as there are]
    #[arg(long, value_name = "N", requires = "topics")]
    pub topics_per_subscriber: Option<usize>,
    /// Distribution of messages over these topics: uniform, zipf (the n-th has 1/n of the first one's) [default: uniform]
    #[arg(long, value_name = "SPREAD", requires = "topics")]
    pub topic_spread: Option<TopicSpread>,
    /// Filters of subscribers: exact (names of topics), wildcard or wildcard:N (each matches 4 or N of the topics)
    /// [default: exact]
    #[arg(long, value_name = "KIND", requires = "topics")]
    pub topic_filters: Option<TopicFilters>,
}

impl TopicArgs {
    /// The topics that were asked for, if publishers share some.
    pub fn shared(&self) -> Option<SharedTopics> {
        let (spread, filters) =
            (self.topic_spread.unwrap_or_default(), self.topic_filters.unwrap_or_default());
        let all = SharedTopics { topics: self.topics?, per_subscriber: 0, filters, spread };
        Some(SharedTopics { per_subscriber: self.topics_per_subscriber.unwrap_or(all.groups()), ..all })
    }
}
