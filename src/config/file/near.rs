//! Which of the known names somebody may have meant who wrote another one.

/// The known name that is nearest to a written one, if one is near: the same but for case, underscores and hyphens in
/// front; one that begins with it, or with which it begins; or one that a few wrong letters apart. `names` are pairs of a
/// spelling and the name that it stands for.
pub(super) fn nearest<'a>(written: &str, names: impl Iterator<Item = (&'a str, &'a str)>) -> Option<&'a str> {
    let plain = plain(written);
    let distances = names.filter_map(|(spelling, name)| {
        let spelling = self::plain(spelling);
        let distance = distance(&plain, &spelling);
        let is_begun = plain.len() >= BEGINNING_MIN && spelling.starts_with(&plain);
        let most = plain.chars().count().max(spelling.chars().count()) / LETTERS_PER_SLIP;
        (distance <= most || is_begun).then_some((distance, name))
    });
    distances.min_by_key(|(distance, _)| *distance).map(|(_, name)| name)
}

/// Letters of a name in which one may be wrong, or missing, or too many.
const LETTERS_PER_SLIP: usize = 4;

/// Letters after which a name is known by its beginning.
const BEGINNING_MIN: usize = 4;

fn plain(name: &str) -> String {
    name.trim_start_matches('-').to_lowercase().replace('_', "-")
}

/// The number of letters to change, to insert, to remove or to swap with their neighbour.
fn distance(one: &str, other: &str) -> usize {
    let (one, other): (Vec<char>, Vec<char>) = (one.chars().collect(), other.chars().collect());
    // Rows of the table of distances between beginnings: two rows ago, one row ago.
    let (mut before, mut last): (Vec<usize>, Vec<usize>) = (Vec::new(), (0..=other.len()).collect());
    for (i, a) in one.iter().enumerate() {
        let mut row = vec![i + 1];
        for (j, b) in other.iter().enumerate() {
            let mut least = (last[j] + usize::from(a != b)).min(last[j + 1] + 1).min(row[j] + 1);
            if i > 0 && j > 0 && *a == other[j - 1] && one[i - 1] == *b {
                least = least.min(before[j - 1] + 1);
            }
            row.push(least);
        }
        before = std::mem::replace(&mut last, row);
    }
    last[other.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn distances_count_slips() {
        for (one, other, slips) in [
            ("", "", 0),
            ("", "ab", 2),
            ("listen", "listne", 1),
            ("lease", "release", 2),
            ("mode", "code", 1),
        ] {
            assert_eq!((distance(one, other), distance(other, one)), (slips, slips), "{one} {other}");
        }
    }

    #[test]
    fn what_is_near_is_found_and_what_is_far_is_not() {
        let names = ["listen", "lease", "egress-bytes", "egress-frames", "mode", "mode-rule", "users"];
        let spellings = || names.iter().map(|name| (*name, *name)).chain([("mode_rules", "mode-rule")]);
        for (written, meant) in [
            ("egres-bytes", Some("egress-bytes")),
            ("egress_bytes", Some("egress-bytes")),
            ("--listen", Some("listen")),
            ("Listen", Some("listen")),
            ("lisetn", Some("listen")),
            ("mode-rules", Some("mode-rule")),
            ("egre", Some("egress-bytes")),
            ("user", Some("users")),
            ("colour", None),
            ("", None),
            ("x", None),
        ] {
            assert_eq!(nearest(written, spellings()), meant, "{written}");
        }
    }
}
