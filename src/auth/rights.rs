//! Rights of one kind of peer: filters of what it may publish, receive, register, count and list.

use std::fmt;
use std::sync::Arc;

use super::{Action, Verdict};
use crate::topic::{Filter, FilterSet};

/// The topics that a right is about.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub(crate) enum Scope {
    /// All that there are.
    All,
    /// Those of any of these filters.
    Of(Arc<FilterSet>),
}

impl Scope {
    pub(super) fn of(filters: impl IntoIterator<Item = Filter>) -> Self {
        Scope::Of(Arc::new(filters.into_iter().collect()))
    }

    /// True if this topic is one of them.
    #[inline]
    pub(crate) fn has(&self, topic: &[u8]) -> bool {
        match self {
            Scope::All => true,
            Scope::Of(filters) => filters.matches(topic),
        }
    }

    /// The filters of them; `None`: all topics.
    #[inline]
    pub(crate) fn filters(&self) -> Option<&FilterSet> {
        match self {
            Scope::All => None,
            Scope::Of(filters) => Some(filters),
        }
    }

    pub(super) fn covers(&self, filter: &Filter) -> bool {
        match self {
            Scope::All => true,
            Scope::Of(filters) => filters.covers(filter),
        }
    }

    /// The part of it that overlaps some of these topics: whole filters, so that it covers what this covers of them. Returns
    /// the number of comparisons as well.
    pub(crate) fn overlapping(&self, topics: &[Filter]) -> (Scope, usize) {
        let Scope::Of(filters) = self else { return (Scope::All, 0) };
        let overlaps = |filter: &&Filter| topics.iter().any(|topic| topic.overlaps(filter));
        let some = filters.filters().iter().filter(overlaps).cloned();
        (Scope::of(some), filters.filters().len() * topics.len())
    }

    /// True if no topic is one of them.
    pub(crate) fn is_empty(&self) -> bool {
        matches!(self, Scope::Of(filters) if filters.filters().is_empty())
    }
}

/// Most filters of a scope that a refusal names.
const FILTERS_NAMED_MAX: usize = 5;

/// Longest list of filters in a refusal, in bytes: an error fits a line.
const FILTER_BYTES_NAMED_MAX: usize = 256;

/// The list for people: the first filters, and the number of the others.
impl fmt::Display for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Scope::Of(set) = self else { return f.write_str("everything") };
        let filters = set.filters();
        if filters.is_empty() {
            return f.write_str("nothing");
        }
        let (mut named, mut bytes) = (0, 0);
        for filter in filters.iter().take(FILTERS_NAMED_MAX) {
            bytes += filter.as_bytes().len();
            if named > 0 && bytes > FILTER_BYTES_NAMED_MAX {
                break;
            }
            let comma = if named > 0 { ", " } else { "" };
            match filter {
                Filter::Prefix(_) => write!(f, "{comma}the prefix `{filter}`")?,
                Filter::Exact(_) | Filter::Pattern(_) => write!(f, "{comma}`{filter}`")?,
            }
            named += 1;
        }
        match filters.len() - named {
            0 => Ok(()),
            more => write!(f, " and {more} more"),
        }
    }
}

/// Rights of a peer: topics that it may publish, receive, and register as a direct publisher; and of which it may count the
/// subscribers and list the direct publishers. A subscription is permitted if one of the filters covers it whole; it is never
/// narrowed. The subscriptions of ZeroMQ sockets are prefixes: `prices.>` covers `prices.`, but not `prices`, with which
/// other topics begin as well.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct Rights {
    publish: Scope,
    subscribe: Scope,
    register: Scope,
    watch: Scope,
    list: Scope,
}

impl Rights {
    /// Every right, for all topics.
    pub fn all() -> Self {
        Rights {
            publish: Scope::All,
            subscribe: Scope::All,
            register: Scope::All,
            watch: Scope::of([]),
            list: Scope::of([]),
        }
    }

    /// No right at all.
    pub fn none() -> Self {
        let nothing = Scope::of([]);
        Rights {
            publish: nothing.clone(),
            subscribe: nothing.clone(),
            register: nothing.clone(),
            watch: nothing.clone(),
            list: nothing,
        }
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

    /// The same, but it may count the subscribers of these topics, besides those that it may publish or register.
    #[must_use]
    pub fn watch(self, topics: impl IntoIterator<Item = Filter>) -> Self {
        Rights { watch: Scope::of(topics), ..self }
    }

    /// The same, but it may hear of the direct publishers of these topics, besides those that it may subscribe to. To list the
    /// whole registry takes `>`.
    #[must_use]
    pub fn list(self, topics: impl IntoIterator<Item = Filter>) -> Self {
        Rights { list: Scope::of(topics), ..self }
    }

    /// Decides whether a peer with these rights may take an action. Subscribers are counted for those that publish, and direct
    /// publishers are named to those that subscribe.
    pub(crate) fn permit(&self, action: Action<'_>) -> Verdict {
        Verdict::from(match action {
            Action::Publish(topic) => self.publish.has(topic),
            Action::Subscribe(filter) => self.subscribe.covers(filter),
            Action::WatchPublishers(filter) => self.subscribe.covers(filter) || self.list.covers(filter),
            Action::WatchSubscribers(topic) => {
                self.publish.has(topic) || self.register.has(topic) || self.watch.has(topic)
            }
            Action::Register(filter) => self.register.covers(filter),
        })
    }

    /// The topics of all rights to such an action, in words.
    pub(super) fn allowed(&self, action: Action<'_>) -> String {
        let scopes: &[&Scope] = match action {
            Action::Publish(_) => &[&self.publish],
            Action::Subscribe(_) => &[&self.subscribe],
            Action::WatchPublishers(_) => &[&self.subscribe, &self.list],
            Action::WatchSubscribers(_) => &[&self.publish, &self.register, &self.watch],
            Action::Register(_) => &[&self.register],
        };
        let mut texts: Vec<String> = Vec::new();
        for scope in scopes.iter().filter(|scope| !scope.is_empty()) {
            let text = scope.to_string();
            if !texts.contains(&text) {
                texts.push(text);
            }
        }
        if texts.is_empty() { "nothing".to_owned() } else { texts.join(", ") }
    }

    /// Each right by its name in a file of users, with its topics.
    pub(crate) fn scopes(&self) -> [(&'static str, &Scope); 5] {
        [
            ("publish", &self.publish),
            ("subscribe", &self.subscribe),
            ("register", &self.register),
            ("watch", &self.watch),
            ("list", &self.list),
        ]
    }

    /// The topics that it may subscribe to.
    pub(super) fn receivable(&self) -> &Scope {
        &self.subscribe
    }

    /// The topics that it may publish through the broker.
    pub(super) fn publishable(&self) -> &Scope {
        &self.publish
    }

    /// The topics of which it may be a direct publisher.
    pub(super) fn registrable(&self) -> &Scope {
        &self.register
    }
}

/// A line for each right.
impl fmt::Display for Rights {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.scopes().iter().try_for_each(|(right, scope)| writeln!(f, "{right:<10} {scope}"))
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
            .register(filters(&["r.>"]))
            .watch(filters(&["w"]))
            .list(filters(&["l.>"]));
        let filter = |text| Filter::parse(text).expect("a filter");
        let (inside, outside) = (filter("s.*"), filter("s.>"));
        let (registered, unregistered) = (filter("r.a.*"), filter("p.a"));
        let listed = filter("l.*");
        let questions = [
            (Action::Publish(b"p.a"), Verdict::Allowed),
            (Action::Publish(b"s.a"), Verdict::Refused),
            (Action::Publish(b"r.a"), Verdict::Refused),
            (Action::Subscribe(&inside), Verdict::Allowed),
            (Action::Subscribe(&outside), Verdict::Refused),
            (Action::WatchPublishers(&inside), Verdict::Allowed),
            (Action::WatchPublishers(&outside), Verdict::Refused),
            (Action::WatchPublishers(&listed), Verdict::Allowed),
            (Action::Subscribe(&listed), Verdict::Refused),
            (Action::WatchSubscribers(b"w"), Verdict::Allowed),
            (Action::Publish(b"w"), Verdict::Refused),
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
    fn a_prefix_is_covered_by_prefixes_and_by_whole_levels() {
        let prefix = |text: &str| Filter::prefix(text.as_bytes()).expect("a short prefix");
        let asked = prefix("a.b");
        for (own, verdict) in [
            (prefix("a."), Verdict::Allowed),
            (prefix("a.b"), Verdict::Allowed),
            (prefix("a.bc"), Verdict::Refused),
            (Filter::parse("a.>").expect("a filter"), Verdict::Allowed),
            (Filter::parse("a.b.>").expect("a filter"), Verdict::Refused),
            (Filter::parse("a.*").expect("a filter"), Verdict::Refused),
            (Filter::parse(">").expect("a filter"), Verdict::Allowed),
        ] {
            let rights = Rights::none().subscribe([own.clone()]);
            assert_eq!(rights.permit(Action::Subscribe(&asked)), verdict, "{own}");
        }
    }

    #[test]
    fn a_scope_names_a_few_of_its_filters() {
        let text = |texts: &[&str]| Scope::of(filters(texts)).to_string();
        assert_eq!(Scope::All.to_string(), "everything");
        assert_eq!(text(&[]), "nothing");
        assert_eq!(text(&["b", "a.>"]), "`b`, `a.>`");
        assert_eq!(text(&["a", "b", "c", "d", "e", "f", "g"]), "`a`, `b`, `c`, `d`, `e` and 2 more");
        let long = "x".repeat(FILTER_BYTES_NAMED_MAX);
        assert_eq!(text(&["a", &long]), "`a` and 1 more");
        assert_eq!(Scope::of(Filter::prefix(b"a.")).to_string(), "the prefix `a.`");
    }
}
