//! Owns order: items once each, or in groups, as they first come; rising; and what stands in the middle.

/// The items, each once, in the order in which they come.
pub(crate) fn distinct<T: PartialEq>(items: impl IntoIterator<Item = T>) -> Vec<T> {
    let mut kept = Vec::new();
    for item in items {
        if !kept.contains(&item) {
            kept.push(item);
        }
    }
    kept
}

/// The items in groups of one key each, in the order in which the keys come.
pub(crate) fn grouped<T, K: PartialEq>(
    items: impl IntoIterator<Item = T>,
    key: impl Fn(&T) -> K,
) -> Vec<(K, Vec<T>)> {
    let mut groups: Vec<(K, Vec<T>)> = Vec::new();
    for item in items {
        let of_item = key(&item);
        match groups.iter_mut().find(|(other, _)| *other == of_item) {
            Some((_, items)) => items.push(item),
            None => groups.push((of_item, vec![item])),
        }
    }
    groups
}

/// The items, each once, rising.
pub(crate) fn rising<T: Ord>(items: impl IntoIterator<Item = T>) -> Vec<T> {
    std::collections::BTreeSet::from_iter(items).into_iter().collect()
}

/// The median; nothing if there are no values.
pub(crate) fn median(values: impl IntoIterator<Item = f64>) -> Option<f64> {
    let mut values: Vec<f64> = values.into_iter().collect();
    values.sort_unstable_by(f64::total_cmp);
    let lower = values.get(values.len().checked_sub(1)? / 2)?;
    Some(f64::midpoint(*lower, values[values.len() / 2]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_is_in_the_middle() {
        assert_eq!(median([]), None);
        assert_eq!(median([3.0]), Some(3.0));
        assert_eq!(median([4.0, 1.0, 2.0]), Some(2.0));
        assert_eq!(median([4.0, 1.0, 2.0, 3.0]), Some(2.5));
    }

    #[test]
    fn items_keep_the_order_in_which_they_first_come() {
        assert_eq!(distinct([3, 1, 3, 2, 1]), [3, 1, 2]);
        assert_eq!(grouped([3, 1, 5, 2], |item| item % 2), [(1, vec![3, 1, 5]), (0, vec![2])]);
        assert_eq!(rising([3, 1, 3, 2, 1]), [1, 2, 3]);
    }
}
