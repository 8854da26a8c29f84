//! Rights of one kind of peer: filters of what it may publish, receive and register.

use super::{Action, Verdict};
use crate::topic::Filter;

/// The topics that a right is about.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub(crate) enum Scope {
    /// All that there are.
    All,
    /// Those of any of these filters.
    Of(Vec<Filter>),
}

impl Scope {
    fn of(filters: impl IntoIterator<Item = Filter>) -> Self {
        Scope::Of(filters.into_iter().collect())
    }

    /// True if this topic is one of them.
    #[inline]
    pub(crate) fn has(&self, topic: &[u8]) -> bool {
        match self {
            Scope::All => true,
            Scope::Of(filters) => filters.iter().any(|own| own.matches(topic)),
        }
    }

    fn covers(&self, filter: &Filter) -> bool {
        match self {
            Scope::All => true,
            Scope::Of(filters) => filters.iter().any(|own| own.covers(filter)),
        }
    }

    fn len(&self) -> usize {
        match self {
            Scope::All => 0,
            Scope::Of(filters) => filters.len(),
        }
    }
}

/// Rights of a peer: topics that it may publish, receive, and register as a direct publisher. A subscription is permitted if
/// one of the filters covers it whole; it is never narrowed. The subscriptions of ZeroMQ sockets are prefixes, and only a
/// prefix ([`Filter::prefix`]) or `>` covers them.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct Rights {
    publish: Scope,
    subscribe: Scope,
    register: Scope,
}

impl Rights {
    /// Every right, for all topics.
    pub fn all() -> Self {
        Rights { publish: Scope::All, subscribe: Scope::All, register: Scope::All }
    }

    /// No right at all.
    pub fn none() -> Self {
        Rights { publish: Scope::of([]), subscribe: Scope::of([]), register: Scope::of([]) }
    }

    /// The same, but it may publish these topics through the broker, and no others.
    #[must_use]
    pub fn publish(self, topics: impl IntoIterator<Item = Filter>) -> Self {
        Rights { publish: Scope::of(topics), ..self }
    }

    /// The same, but it may subscribe to these topics, and hear of their direct publishers, and no others.
    #[must_use]
    pub fn subscribe(self, topics: impl IntoIterator<Item = Filter>) -> Self {
        Rights { subscribe: Scope::of(topics), ..self }
    }

    /// The same, but it may be a direct publisher of these topics, and of no others.
    #[must_use]
    pub fn register(self, topics: impl IntoIterator<Item = Filter>) -> Self {
        Rights { register: Scope::of(topics), ..self }
    }

    /// Decides whether a peer with these rights may take an action. Subscribers are counted for those that publish.
    pub(super) fn permit(&self, action: Action<'_>) -> Verdict {
        Verdict::from(match action {
            Action::Publish(topic) => self.publish.has(topic),
            Action::Subscribe(filter) | Action::WatchPublishers(filter) => self.subscribe.covers(filter),
            Action::WatchSubscribers(topic) => self.publish.has(topic) || self.register.has(topic),
            Action::Register(filter) => self.register.covers(filter),
        })
    }

    /// The topics that it may publish through the broker.
    pub(super) fn publishable(&self) -> &Scope {
        &self.publish
    }

    /// The topics of which it may be a direct publisher.
    pub(super) fn registrable(&self) -> &Scope {
        &self.register
    }

    /// The number of filters that a verdict may have to look at.
    pub(super) fn filters(&self) -> usize {
        self.publish.len().max(self.subscribe.len()).max(self.register.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn filters(texts: &[&str]) -> Vec<Filter> {
        texts.iter().map(|text| Filter::parse(text).expect("a filter")).collect()
    }

    #[test]
    fn each_right_is_about_its_own_topics() {
        let rights = Rights::none()
            .publish(filters(&["p.>"]))
            .subscribe(filters(&["s.*", "t"]))
            .register(filters(&["r.>"]));
        let filter = |text| Filter::parse(text).expect("a filter");
        let (inside, outside) = (filter("s.*"), filter("s.>"));
        let (registered, unregistered) = (filter("r.a.*"), filter("p.a"));
        let questions = [
            (Action::Publish(b"p.a"), Verdict::Allowed),
            (Action::Publish(b"s.a"), Verdict::Refused),
            (Action::Publish(b"r.a"), Verdict::Refused),
            (Action::Subscribe(&inside), Verdict::Allowed),
            (Action::Subscribe(&outside), Verdict::Refused),
            (Action::WatchPublishers(&inside), Verdict::Allowed),
            (Action::WatchPublishers(&outside), Verdict::Refused),
            (Action::WatchSubscribers(b"p.a"), Verdict::Allowed),
            (Action::WatchSubscribers(b"r.a"), Verdict::Allowed),
            (Action::WatchSubscribers(b"s.a"), Verdict::Refused),
            (Action::Register(&registered), Verdict::Allowed),
            (Action::Register(&unregistered), Verdict::Refused),
        ];
        for (action, verdict) in questions {
            assert_eq!(rights.permit(action), verdict, "{action}");
            assert_eq!(Rights::all().permit(action), Verdict::Allowed, "{action}");
            assert_eq!(Rights::none().permit(action), Verdict::Refused, "{action}");
        }
        assert!(rights.publishable().has(b"p.a") && !rights.publishable().has(b"r.a"));
        assert!(rights.registrable().has(b"r.a") && !rights.registrable().has(b"p.a"));
    }

    #[test]
    fn a_prefix_is_covered_by_prefixes_and_by_everything() {
        let prefix = |text: &str| Filter::prefix(text.as_bytes()).expect("a short prefix");
        let asked = prefix("a.b");
        for (own, verdict) in [
            (prefix("a."), Verdict::Allowed),
            (prefix("a.b"), Verdict::Allowed),
            (prefix("a.bc"), Verdict::Refused),
            (Filter::parse("a.>").expect("a filter"), Verdict::Refused),
            (Filter::parse(">").expect("a filter"), Verdict::Allowed),
        ] {
            let rights = Rights::none().subscribe([own.clone()]);
            assert_eq!(rights.permit(Action::Subscribe(&asked)), verdict, "{own}");
        }
    }
}
