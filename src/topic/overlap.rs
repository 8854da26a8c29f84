//! Overlap and coverage of two filters: can both match the same topic, does one match everything that the other does?
//! Used to introduce subscribers to publishers; never on the hot path.

use super::Filter;
use super::name::{ALL_THE_REST, ANY_LEVEL, SEPARATOR};

impl Filter {
    /// True if there is a topic that both match.
    pub fn overlaps(&self, other: &Filter) -> bool {
        match (self, other) {
            (Filter::Exact(topic), filter) | (filter, Filter::Exact(topic)) => {
                filter.matches(topic.as_bytes())
            }
            (Filter::Pattern(a), Filter::Pattern(b)) => levels_overlap(a.levels(), b.levels()),
            (Filter::Prefix(a), Filter::Prefix(b)) => {
                a.as_bytes().starts_with(b.as_bytes()) || b.as_bytes().starts_with(a.as_bytes())
            }
            (Filter::Prefix(prefix), Filter::Pattern(pattern))
            | (Filter::Pattern(pattern), Filter::Prefix(prefix)) => {
                prefix_overlaps(prefix.as_bytes(), pattern.levels())
            }
        }
    }

    /// True if this filter matches every topic that the other matches. It may return false where coverage holds only
    /// because of the names that topics may have. For many filters at once there is `FilterSet`.
    pub fn covers(&self, other: &Filter) -> bool {
        match (self, other) {
            (filter, Filter::Exact(topic)) => filter.matches(topic.as_bytes()),
            (Filter::Exact(_), _) => false,
            (Filter::Pattern(a), Filter::Pattern(b)) => levels_cover(a.levels(), b.levels()),
            (Filter::Prefix(a), Filter::Prefix(b)) => b.as_bytes().starts_with(a.as_bytes()),
            (Filter::Prefix(prefix), Filter::Pattern(pattern)) => {
                pattern.head().starts_with(prefix.as_bytes())
            }
            (Filter::Pattern(pattern), Filter::Prefix(prefix)) => {
                pattern_covers_prefix(pattern.levels(), prefix.as_bytes())
            }
        }
    }
}

fn levels_cover<'a>(a: impl Iterator<Item = &'a [u8]>, mut b: impl Iterator<Item = &'a [u8]>) -> bool {
    for left in a {
        let Some(right) = b.next() else { return false };
        if left == [ALL_THE_REST] {
            return true;
        }
        let fits = left == [ANY_LEVEL] && right != [ALL_THE_REST];
        if !fits && left != right {
            return false;
        }
    }
    b.next().is_none()
}

/// True if a pattern matches all topics that begin with a prefix, whatever their bytes. It must end in `>`, and the levels
/// before that must be there whole: the last level of a prefix may be the start of a longer one.
fn pattern_covers_prefix<'a>(pattern: impl Iterator<Item = &'a [u8]>, prefix: &[u8]) -> bool {
    let mut levels = prefix.split(|b| *b == SEPARATOR).peekable();
    for asked in pattern {
        if asked == [ALL_THE_REST] {
            return true;
        }
        let (Some(level), Some(_)) = (levels.next(), levels.peek()) else { return false };
        if asked != [ANY_LEVEL] && asked != level {
            return false;
        }
    }
    false
}

fn levels_overlap<'a>(a: impl Iterator<Item = &'a [u8]>, mut b: impl Iterator<Item = &'a [u8]>) -> bool {
    for left in a {
        let Some(right) = b.next() else { return false };
        if left == [ALL_THE_REST] || right == [ALL_THE_REST] {
            return true;
        }
        if left != [ANY_LEVEL] && right != [ANY_LEVEL] && left != right {
            return false;
        }
    }
    b.next().is_none()
}

/// True if a topic can match both. The last level of a prefix may be the start of a longer level; those before it are
/// whole.
fn prefix_overlaps<'a>(prefix: &[u8], mut pattern: impl Iterator<Item = &'a [u8]>) -> bool {
    let mut levels = prefix.split(|b| *b == SEPARATOR).peekable();
    while let Some(level) = levels.next() {
        let Some(asked) = pattern.next() else { return false };
        let whole = levels.peek().is_some();
        let fits = match asked {
            [ALL_THE_REST] => return true,
            [ANY_LEVEL] => true,
            name if whole => name == level,
            name => name.starts_with(level),
        };
        if !fits {
            return false;
        }
    }
    true
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn filter(text: &str) -> Filter {
        Filter::parse(text).unwrap()
    }

    #[test]
    fn filters_that_share_a_topic_overlap() {
        for (a, b) in
            [("a", "a"), ("a.*", "*.b"), (">", "a.b.c"), ("a.>", "a.*.c"), ("*", ">"), ("a.>", "*.b")]
        {
            assert!(filter(a).overlaps(&filter(b)) && filter(b).overlaps(&filter(a)), "{a} {b}");
        }
        for (a, b) in [("a", "b"), ("a.*", "a"), ("a.>", "a"), ("a.>", "b.>"), ("*", "a.b"), ("*.b", "a.c")] {
            assert!(!filter(a).overlaps(&filter(b)) && !filter(b).overlaps(&filter(a)), "{a} {b}");
        }
        let prefix = |bytes: &str| Filter::prefix(bytes.as_bytes()).unwrap();
        assert!(prefix("").overlaps(&filter("a.*")));
        assert!(prefix("a.b").overlaps(&filter("a.*")));
        assert!(prefix("a.b").overlaps(&filter("a.bc")));
        assert!(prefix("a").overlaps(&prefix("ab")));
        assert!(!prefix("a.b.").overlaps(&filter("a.*")));
        assert!(!prefix("b").overlaps(&filter("a.*")));
    }

    #[test]
    fn a_filter_covers_what_asks_for_no_more() {
        for (wide, narrow) in [
            ("a", "a"),
            ("*", "a"),
            (">", "a"),
            (">", "*"),
            (">", ">"),
            ("*.>", "a.*"),
            ("a.>", "a.*.>"),
            ("a.*", "a.b"),
            ("*.*", "*.b"),
            ("a.>", "a.b.c"),
            ("*.>", "*.*.*"),
        ] {
            assert!(filter(wide).covers(&filter(narrow)), "{wide} {narrow}");
        }
        for (not, narrow) in [
            ("a", "*"),
            ("*", ">"),
            ("a.*", "a.>"),
            ("*.>", ">"),
            ("a.*", "*.b"),
            ("*.b", "*.*"),
            ("a", "b"),
            ("*.*", "*"),
            ("*", "*.*"),
            ("a.>", "a"),
        ] {
            assert!(!filter(not).covers(&filter(narrow)), "{not} {narrow}");
        }
        let prefix = |bytes: &str| Filter::prefix(bytes.as_bytes()).unwrap();
        assert!(prefix("").covers(&filter(">")) && filter(">").covers(&prefix("")));
        assert!(prefix("a").covers(&prefix("ab")) && prefix("a").covers(&filter("ab.c")));
        assert!(!prefix("ab").covers(&prefix("a")) && !filter("a.*").covers(&prefix("a.")));
        assert!(filter("a.>").covers(&prefix("a.")) && filter("*.b.>").covers(&prefix("a.b.c")));
        assert!(!filter("a.>").covers(&prefix("a")) && !filter("a.b.>").covers(&prefix("a.b")));
        assert!(prefix("a.").covers(&filter("a.*")) && prefix("a").covers(&filter("a.b.>")));
        assert!(!prefix("a.b").covers(&filter("a.*")) && !prefix("a.b.c").covers(&filter("a.b.>")));
    }

    proptest! {
        #[test]
        fn what_a_covered_filter_matches_is_matched(
            a in "[ab*](\\.[ab*]){0,2}(\\.>)?",
            b in "[ab*](\\.[ab*]){0,2}(\\.>)?",
            topic in "[ab](\\.[ab]){0,3}",
        ) {
            let (a, b) = (filter(&a), filter(&b));
            if a.covers(&b) {
                prop_assert!(a.overlaps(&b));
                prop_assert!(a.matches(topic.as_bytes()) || !b.matches(topic.as_bytes()));
            }
        }

        #[test]
        fn a_topic_that_both_match_means_that_they_overlap(
            a in "[ab*](\\.[ab*]){0,2}(\\.>)?",
            b in "[ab*](\\.[ab*]){0,2}(\\.>)?",
            topic in "[ab](\\.[ab]){0,3}",
        ) {
            let (a, b) = (filter(&a), filter(&b));
            if a.matches(topic.as_bytes()) && b.matches(topic.as_bytes()) {
                prop_assert!(a.overlaps(&b) && b.overlaps(&a));
            }
        }
    }
}
