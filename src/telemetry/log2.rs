//! Owns a histogram of plain integers with a bucket for each power of two. The shard that counts in it owns it.

/// Buckets up to 2^20, which is a second in microseconds, and one for everything above: a turn is a millisecond at most
/// when all is well, and a stall of over a second needs no finer scale.
const BUCKETS: usize = 22;

/// Counts of values up to 1, 2, 4, … 2^20, and above; and the sum in each bucket, so that the exported histogram has
/// the exact mean.
#[derive(Clone, Default, PartialEq, Eq, Debug)]
pub struct Log2Histogram {
    counts: [u64; BUCKETS],
    sums: [u64; BUCKETS],
}

impl Log2Histogram {
    /// Adds one value.
    pub fn record(&mut self, value: u64) {
        let bucket = bucket_of(value);
        self.counts[bucket] += 1;
        self.sums[bucket] += value;
    }

    /// The number of values.
    pub fn count(&self) -> u64 {
        self.counts.iter().sum()
    }

    /// The sum of all values.
    pub fn sum(&self) -> u64 {
        self.sums.iter().sum()
    }

    /// The upper bounds of all buckets but the last, which has none. Bounds are inclusive.
    pub fn bounds() -> impl Iterator<Item = u64> {
        (0..BUCKETS - 1).map(|bucket| 1 << bucket)
    }

    /// For each bucket that grew since `earlier`: the mean of the new values, which is in that bucket, and their
    /// number.
    pub(super) fn since<'a>(&'a self, earlier: &'a Self) -> impl Iterator<Item = (f64, usize)> + 'a {
        (0..BUCKETS).filter_map(|bucket| {
            let count = self.counts[bucket] - earlier.counts[bucket];
            let sum = self.sums[bucket] - earlier.sums[bucket];
            (count > 0).then(|| (sum as f64 / count as f64, count as usize))
        })
    }
}

fn bucket_of(value: u64) -> usize {
    let bits = u64::BITS - value.saturating_sub(1).leading_zeros();
    (bits as usize).min(BUCKETS - 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bounds_are_inclusive() {
        assert_eq!((bucket_of(0), bucket_of(1), bucket_of(2), bucket_of(3)), (0, 0, 1, 2));
        for (bucket, bound) in Log2Histogram::bounds().enumerate() {
            assert_eq!((bucket_of(bound), bucket_of(bound + 1)), (bucket, bucket + 1));
        }
        assert_eq!(bucket_of(u64::MAX), BUCKETS - 1);
    }

    #[test]
    fn differences_keep_bucket_and_sum() {
        let mut histogram = Log2Histogram::default();
        histogram.record(7);
        let earlier = histogram.clone();
        for value in [5, 6, 100, 3_000_000] {
            histogram.record(value);
        }
        let grown: Vec<_> = histogram.since(&earlier).collect();
        assert_eq!(grown, [(5.5, 2), (100.0, 1), (3_000_000.0, 1)]);
        assert_eq!((histogram.count(), histogram.sum()), (5, 3_000_118));
    }
}
