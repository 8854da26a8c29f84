//! Subjects at the engine: from a topic or a filter to where its messages travel. Pure text; owned by the engine's state.
//!
//! Topics that are by the grammar of [`Topic`], and UTF-8, are subjects as they are. All others, which only ZeroMQ peers and
//! clients without that grammar have, travel over one subject of their own.

use crate::limits::ENGINE_CLUSTER_BYTES_MAX;
use crate::topic::{Filter, Topic};

/// The subjects of a cluster.
#[derive(Clone, Debug)]
pub(super) struct Subjects {
    /// `cc.<cluster>.`
    prefix: Box<str>,
}

/// The subjects under which all messages for a filter travel.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Wide {
    /// A name or a pattern: topics that are subjects. `None`: the filter matches no such topic.
    pub(super) filter: Option<Filter>,
    /// True if other topics may match as well.
    pub(super) has_odd: bool,
}

impl Subjects {
    /// The subjects of this cluster, whose name is checked.
    pub(super) fn new(cluster: &str) -> Self {
        Subjects { prefix: format!("cc.{cluster}.").into() }
    }

    /// Checks the name of a cluster: one level of a subject.
    ///
    /// # Errors
    /// A sentence for people.
    pub(super) fn check_cluster(cluster: &str) -> Result<(), String> {
        let is_plain = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_');
        if cluster.is_empty() || cluster.len() > ENGINE_CLUSTER_BYTES_MAX || !cluster.bytes().all(is_plain) {
            return Err(format!(
                "the name of a cluster has 1 to {ENGINE_CLUSTER_BYTES_MAX} letters, digits, '-' or '_'"
            ));
        }
        Ok(())
    }

    /// The subject of a topic.
    pub(super) fn of_topic(&self, topic: &[u8]) -> String {
        match std::str::from_utf8(topic) {
            Ok(text) if Topic::check(topic).is_ok() => format!("{}t.{text}", self.prefix),
            _ => self.odd(),
        }
    }

    /// The subject of a name or pattern of [`Wide`].
    pub(super) fn of_wide(&self, filter: &Filter) -> String {
        format!("{}t.{}", self.prefix, filter.text())
    }

    /// The subject of all topics that are no subjects.
    pub(super) fn odd(&self) -> String {
        format!("{}odd", self.prefix)
    }

    /// The subject under which a message of a topic is stored by the rule of this filter. Topics that are no subjects have a
    /// number in place of their name, so that each has a subject of its own.
    pub(super) fn of_stored(&self, rule: &Filter, topic: &[u8]) -> String {
        let (prefix, key) = (&self.prefix, number_of(rule.text().as_bytes()));
        match std::str::from_utf8(topic) {
            Ok(text) if Topic::check(topic).is_ok() => format!("{prefix}h.{key:016x}.t.{text}"),
            _ => format!("{prefix}h.{key:016x}.odd.{:016x}", number_of(topic)),
        }
    }

    /// The subjects of all that is stored by the rule of this filter.
    pub(super) fn all_stored(&self, rule: &Filter) -> String {
        format!("{}h.{:016x}.>", self.prefix, number_of(rule.text().as_bytes()))
    }

    /// The subject, perhaps a pattern, of what is stored by the rule of a filter, of the topics that another one matches. `None`: no
    /// subject is so. Topics that are no subjects are in it if it names one, or all of the rule.
    pub(super) fn some_stored(&self, rule: &Filter, filter: &Filter) -> Option<String> {
        match filter {
            Filter::Exact(topic) => Some(self.of_stored(rule, topic.as_bytes())),
            Filter::Pattern(_) if filter == rule || filter.as_bytes() == b">" => Some(self.all_stored(rule)),
            Filter::Pattern(_) => {
                let key = number_of(rule.text().as_bytes());
                Some(format!("{}h.{key:016x}.t.{}", self.prefix, filter.text()))
            }
            Filter::Prefix(_) => None,
        }
    }

    /// The name of the store of this filter.
    pub(super) fn store(&self, rule: &Filter) -> String {
        let cluster = self.prefix.trim_start_matches("cc.").trim_end_matches('.');
        format!("corecast_{cluster}_{:016x}", number_of(rule.text().as_bytes()))
    }

    /// The subject of words to all brokers.
    pub(super) fn words_to_all(&self) -> String {
        format!("{}w.all", self.prefix)
    }

    /// The subject of words to one broker, by its start.
    pub(super) fn words_to(&self, start: u64) -> String {
        format!("{}w.{start:016x}", self.prefix)
    }
}

/// A number for a text, which brokers of all versions and hosts have in common: FNV-1a, of 64 bits.
fn number_of(text: &[u8]) -> u64 {
    text.iter()
        .fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3))
}

/// The subjects that messages for a filter travel under.
pub(super) fn widen(filter: &Filter) -> Wide {
    let is_text = std::str::from_utf8(filter.as_bytes()).is_ok();
    match filter {
        Filter::Exact(_) if is_text => Wide { filter: Some(filter.clone()), has_odd: false },
        Filter::Exact(_) => Wide { filter: None, has_odd: true },
        // A level that `*` stands for may be empty or unprintable in topics of ZeroMQ peers.
        Filter::Pattern(_) => Wide { filter: is_text.then(|| filter.clone()), has_odd: true },
        Filter::Prefix(prefix) => Wide { filter: around_prefix(prefix.as_bytes()), has_odd: true },
    }
}

/// A pattern that matches all topics by the grammar that begin with these bytes: its whole levels, and anything behind.
fn around_prefix(prefix: &[u8]) -> Option<Filter> {
    let whole = prefix.iter().rposition(|b| *b == b'.').map_or(0, |dot| dot + 1);
    let mut pattern = prefix[..whole].to_vec();
    let has_wildcard = pattern.iter().any(|b| matches!(b, b'*' | b'>'));
    pattern.push(b'>');
    let text = std::str::from_utf8(&pattern).ok().filter(|_| !has_wildcard)?;
    // A prefix that is as long as a topic leaves no room for the wildcard; then nothing narrower than everything is a filter.
    match Filter::parse(text) {
        Ok(filter) => Some(filter),
        Err(_) if Topic::check(&prefix[..whole.saturating_sub(1)]).is_ok() => Filter::parse(">").ok(),
        Err(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn filter(text: &str) -> Filter {
        Filter::parse(text).unwrap()
    }

    #[test]
    fn only_topics_by_the_grammar_are_subjects() {
        let subjects = Subjects::new("main");
        assert_eq!(subjects.of_topic(b"a.b"), "cc.main.t.a.b");
        assert_eq!(subjects.of_topic("ä.b".as_bytes()), "cc.main.t.ä.b");
        let odd: [&[u8]; 9] = [b"", b"a..b", b".a", b"a.", b"a b", b"a.*", b">", b"\xff", b"a\r\nPUB b"];
        for topic in odd {
            assert_eq!(subjects.of_topic(topic), "cc.main.odd", "{topic:?}");
        }
    }

    #[test]
    fn a_part_of_what_is_stored_has_a_subject_that_its_topics_match() {
        let (subjects, rule) = (Subjects::new("main"), filter("a.>"));
        let part = |text| subjects.some_stored(&rule, &filter(text)).expect("a subject");
        let own = subjects.of_stored(&rule, b"a.b");
        let stem = own.strip_suffix("t.a.b").expect("a topic by the grammar");
        assert_eq!(part("a.b"), own);
        assert_eq!(part("a.*"), format!("{stem}t.a.*"));
        assert_eq!(part("*.b.>"), format!("{stem}t.*.b.>"));
        assert_eq!([part(">"), part("a.>")], [format!("{stem}>"), format!("{stem}>")]);
        assert!(subjects.of_stored(&rule, b"a b").starts_with(stem), "it goes with all of the rule");
        assert_eq!(subjects.some_stored(&rule, &Filter::prefix(b"a").unwrap()), None);
    }

    #[test]
    fn what_is_stored_has_a_subject_of_its_rule_and_topic() {
        let subjects = Subjects::new("main");
        let rule = filter("a.>");
        // Brokers of other versions have to find it there.
        assert_eq!(subjects.store(&rule), "corecast_main_e61ded190466e0e8");
        let all = subjects.all_stored(&rule);
        let root = all.strip_suffix('>').unwrap();
        assert_eq!(subjects.of_stored(&rule, b"a.b"), format!("{root}t.a.b"));
        let odd: Vec<String> = [&b"a..b"[..], b"a. b"].map(|topic| subjects.of_stored(&rule, topic)).into();
        assert!(odd[0] != odd[1] && odd.iter().all(|odd| odd.starts_with(&format!("{root}odd."))), "{odd:?}");
    }

    #[test]
    fn a_prefix_is_its_whole_levels_and_all_behind() {
        let wide = |bytes: &[u8]| widen(&Filter::prefix(bytes).unwrap()).filter;
        assert_eq!(wide(b""), Some(filter(">")));
        assert_eq!(wide(b"a"), Some(filter(">")));
        assert_eq!(wide(b"a."), Some(filter("a.>")));
        assert_eq!(wide(b"a.b"), Some(filter("a.>")));
        assert_eq!(wide(b"a..b"), None);
        assert_eq!(wide(b"*.b"), None);
        assert_eq!(wide(b"\xff.b"), None);
        let long = [&[b'a'; 1023][..], b"."].concat();
        assert_eq!(wide(&long), Some(filter(">")), "no filter is longer");
    }

    #[test]
    fn the_name_of_a_cluster_is_one_level() {
        for good in ["default", "a", "A-b_9"] {
            assert_eq!(Subjects::check_cluster(good), Ok(()));
        }
        for bad in ["", "a.b", "*", ">", "a b", "ä", &"a".repeat(65)] {
            assert!(Subjects::check_cluster(bad).is_err(), "{bad}");
        }
    }

    proptest! {
        #[test]
        fn nothing_that_a_filter_matches_travels_elsewhere(
            asked in "(a|b|\\*)(\\.(a|b|\\*)){0,3}(\\.>)?",
            prefix in prop::collection::vec(prop::sample::select(b"ab..* \xff".to_vec()), 0..6),
            topic in prop::collection::vec(prop::sample::select(b"ab..* \xff".to_vec()), 0..8),
        ) {
            for there in [filter(&asked), Filter::prefix(&prefix).unwrap()] {
                if !there.matches(&topic) {
                    continue;
                }
                let wide = widen(&there);
                let is_odd = Subjects::new("c").of_topic(&topic) == "cc.c.odd";
                let is_covered = match wide.filter {
                    _ if is_odd => wide.has_odd,
                    filter => filter.is_some_and(|filter| filter.matches(&topic)),
                };
                prop_assert!(is_covered);
            }
        }
    }
}
