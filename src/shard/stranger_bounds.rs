//! Bounds of strangers: connections whose peers have not said who they are.

use crate::limits::{
    STRANGERS_HERE_MAX, STRANGERS_MAX, STRANGERS_OPEN_FILES_DIVISOR, STRANGERS_PER_HOST_MAX,
};

/// The most strangers of one shard at a time.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct StrangerBounds {
    /// From one other host.
    pub per_host: usize,
    /// From all other hosts.
    pub elsewhere: usize,
    /// From this host.
    pub here: usize,
}

impl Default for StrangerBounds {
    fn default() -> Self {
        StrangerBounds {
            per_host: STRANGERS_PER_HOST_MAX,
            elsewhere: STRANGERS_MAX,
            here: STRANGERS_HERE_MAX,
        }
    }
}

impl StrangerBounds {
    /// Those of each of so many shards, if the process may open so many files.
    pub fn within(open_files_max: u64, shards: usize) -> Self {
        let all = StrangerBounds::default();
        let files = usize::try_from(open_files_max).unwrap_or(usize::MAX);
        let elsewhere = (files / STRANGERS_OPEN_FILES_DIVISOR / shards).clamp(1, all.elsewhere);
        StrangerBounds { elsewhere, per_host: all.per_host.min(elsewhere.div_ceil(2)), ..all }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_with_few_files_takes_few_strangers() {
        let few = StrangerBounds::within(1_024, 2);
        assert_eq!((few.elsewhere, few.per_host, few.here), (128, 64, STRANGERS_HERE_MAX));
        assert_eq!(StrangerBounds::within(u64::MAX, 2), StrangerBounds::default());
        assert_eq!(StrangerBounds::within(0, 2).elsewhere, 1);
    }
}
