//! Owns a set of filters that does not change, and two questions to it: whether one of them matches a topic, and whether one
//! of them covers another filter. Rights are such sets. An answer costs as much with thousands of filters as with one.

use std::hash::{Hash, Hasher};
use std::sync::atomic::{AtomicU64, Ordering};

use ahash::AHashSet;

use super::pattern_trie::PatternNode;
use super::prefix_tree::PrefixNode;
use super::{Filter, Topic};

/// A set of filters.
#[derive(Debug)]
pub struct FilterSet {
    /// All of them, sorted and without duplicates.
    filters: Vec<Filter>,
    exact: AHashSet<Topic>,
    patterns: PatternNode<()>,
    prefixes: PrefixNode<()>,
    number: u64,
}

impl FilterSet {
    /// The number of this set, from 1, which no other set of this process has: whoever keeps answers of it knows them again, for
    /// it does not change.
    #[inline]
    pub fn number(&self) -> u64 {
        self.number
    }

    /// True if one of the filters matches a topic, which may be any bytes.
    #[inline]
    pub fn matches(&self, topic: &[u8]) -> bool {
        self.exact.contains(topic) || self.patterns.has_match(Some(topic)) || self.prefixes.has_match(topic)
    }

    /// True if one of the filters covers another whole, by the rules of [`Filter::covers`]. Two that cover it only together
    /// do not count.
    pub fn covers(&self, filter: &Filter) -> bool {
        match filter {
            Filter::Exact(topic) => self.matches(topic.as_bytes()),
            Filter::Pattern(pattern) => {
                self.patterns.covers(Some(filter.as_bytes())) || self.prefixes.has_match(pattern.head())
            }
            Filter::Prefix(prefix) => {
                self.patterns.covers_prefix(prefix.as_bytes()) || self.prefixes.has_match(prefix.as_bytes())
            }
        }
    }

    /// The filters, sorted.
    pub fn filters(&self) -> &[Filter] {
        &self.filters
    }
}

impl FromIterator<Filter> for FilterSet {
    fn from_iter<I: IntoIterator<Item = Filter>>(filters: I) -> Self {
        static SETS: AtomicU64 = AtomicU64::new(1);
        let mut filters: Vec<Filter> = filters.into_iter().collect();
        filters.sort_unstable();
        filters.dedup();
        let mut set = FilterSet {
            filters: Vec::new(),
            exact: AHashSet::new(),
            patterns: PatternNode::new(),
            prefixes: PrefixNode::new(),
            number: SETS.fetch_add(1, Ordering::Relaxed),
        };
        for filter in &filters {
            match filter {
                Filter::Exact(topic) => set.exact.insert(topic.clone()),
                Filter::Pattern(pattern) => set.patterns.insert(pattern, ()),
                Filter::Prefix(prefix) => set.prefixes.insert(prefix.as_bytes(), ()),
            };
        }
        FilterSet { filters, ..set }
    }
}

/// Two sets are equal if they have the same filters.
impl PartialEq for FilterSet {
    fn eq(&self, other: &Self) -> bool {
        self.filters == other.filters
    }
}

impl Eq for FilterSet {}

impl Hash for FilterSet {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.filters.hash(state);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NAMES: [&str; 4] = ["a", "b", "*", "ab"];

    /// A filter of one to four levels, or a prefix.
    fn draw(rng: &mut fastrand::Rng) -> Filter {
        let levels: Vec<&str> = (0..rng.usize(1..5)).map(|_| NAMES[rng.usize(0..NAMES.len())]).collect();
        let text = levels.join(".");
        match rng.u8(0..6) {
            0 => Filter::parse(">").expect("a filter"),
            1 => Filter::parse(&format!("{text}.>")).expect("a filter"),
            2 => {
                let text = text.replace('*', "a");
                Filter::prefix(&text.as_bytes()[..rng.usize(0..=text.len())]).expect("a prefix")
            }
            3 => Filter::prefix(format!("{}.", text.replace('*', "b")).as_bytes()).expect("a prefix"),
            _ => Filter::parse(&text).expect("a filter"),
        }
    }

    /// Topics that tell filters of these names apart: up to five levels, empty ones among them.
    fn topics() -> Vec<Vec<u8>> {
        let mut all: Vec<Vec<u8>> = Vec::new();
        let mut longest: Vec<Vec<u8>> = vec![Vec::new()];
        for _ in 0..5 {
            let names = ["", "a", "b", "ab", "c"];
            longest = longest
                .iter()
                .flat_map(|start| {
                    names.map(|name| {
                        let dot: &[u8] = if start.is_empty() { b"" } else { b"." };
                        [start, dot, name.as_bytes()].concat()
                    })
                })
                .collect();
            all.extend_from_slice(&longest);
        }
        all.sort_unstable();
        all.dedup();
        all
    }

    /// The number of draws; each is a set of up to five filters, and a question.
    const DRAWS: usize = 1_000_000;

    #[test]
    fn a_set_answers_as_its_filters_one_by_one() {
        let mut rng = fastrand::Rng::with_seed(16);
        let (mut covered, mut matched) = (0, 0);
        for _ in 0..DRAWS {
            let filters: Vec<Filter> = (0..rng.usize(0..5)).map(|_| draw(&mut rng)).collect();
            let set: FilterSet = filters.iter().cloned().collect();
            let asked = draw(&mut rng);
            let is_covered = filters.iter().any(|own| own.covers(&asked));
            assert_eq!(set.covers(&asked), is_covered, "{filters:?} {asked:?}");
            let topic = asked.as_bytes();
            let is_matched = filters.iter().any(|own| own.matches(topic));
            assert_eq!(set.matches(topic), is_matched, "{filters:?} {topic:?}");
            covered += usize::from(is_covered);
            matched += usize::from(is_matched);
        }
        assert!(covered > DRAWS / 10 && covered < DRAWS / 10 * 9, "{covered} of {DRAWS}");
        assert!(matched > DRAWS / 10 && matched < DRAWS / 10 * 9, "{matched} of {DRAWS}");
    }

    /// Coverage by definition: whatever the one matches, the other matches.
    #[test]
    fn coverage_is_never_claimed_where_a_topic_shows_otherwise() {
        let topics = topics();
        let mut rng = fastrand::Rng::with_seed(17);
        let mut covered = 0;
        for _ in 0..5_000 {
            let (own, asked) = (draw(&mut rng), draw(&mut rng));
            let outside = topics.iter().find(|topic| asked.matches(topic) && !own.matches(topic));
            let set: FilterSet = [own.clone()].into_iter().collect();
            assert_eq!(set.covers(&asked), outside.is_none(), "{own:?} {asked:?} {outside:?}");
            covered += usize::from(outside.is_none());
        }
        assert!(covered > 500, "{covered}");
    }

    /// A scan over all of them would take minutes in a debug build.
    #[test]
    fn thousands_of_filters_cost_no_more_than_one() {
        let filter = |n: usize| match n % 3 {
            0 => Filter::parse(&format!("t{n}.*")).expect("a filter"),
            1 => Filter::parse(&format!("t{n}")).expect("a filter"),
            _ => Filter::prefix(format!("t{n}.").as_bytes()).expect("a prefix"),
        };
        let set: FilterSet = (0..30_000).map(filter).collect();
        assert_eq!(set.filters().len(), 30_000);
        for n in 0..100_000 {
            assert_eq!(set.covers(&filter(n)), n < 30_000, "{n}");
        }
    }
}
