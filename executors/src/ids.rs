//! Names of shards and cores. Plain values: anyone may make and copy them.

use std::fmt;

/// A shard of a pool: its index in the pool, from 0. Not a core: shards may share one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ShardId(pub u16);

impl ShardId {
    /// The shard's index into a slice that holds one entry per shard.
    #[must_use]
    pub fn index(self) -> usize {
        usize::from(self.0)
    }
}

impl fmt::Display for ShardId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// A logical CPU by the kernel's number, as in `/sys/devices/system/cpu/cpuN`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CoreId(pub u32);

impl CoreId {
    /// The number as an index into a CPU mask.
    #[must_use]
    pub fn index(self) -> usize {
        self.0 as usize
    }
}

impl fmt::Display for CoreId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_print_as_bare_numbers() {
        assert_eq!(ShardId(3).to_string(), "3");
        assert_eq!(format!("{:>4}", CoreId(12)), "  12");
        assert_eq!((ShardId(7).index(), CoreId(9).index()), (7, 9));
    }
}
