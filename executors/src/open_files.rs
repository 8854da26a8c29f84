//! The limit of open files: raised as far as this process may, and how much of it is left. Commands raise it before
//! they listen; acceptors and outgoing connections leave the reserve to others.

use std::io;
use std::os::fd::{AsFd, AsRawFd as _};

use nix::sys::resource::{Resource, getrlimit, setrlimit};

/// The largest reserve, in descriptors: scrapes, look-ups of names and files at once, with room to spare.
pub const OPEN_FILES_RESERVED_MAX: u64 = 32;

/// The part of the limit that is reserved below that maximum.
const RESERVED_DIVISOR: u64 = 8;

/// The descriptors that connections leave to everything else of the process, under this limit of open files.
#[must_use]
pub fn reserved_open_files(limit: u64) -> u64 {
    (limit / RESERVED_DIVISOR).min(OPEN_FILES_RESERVED_MAX)
}

/// The most files that this process may have open.
#[must_use]
pub fn open_files_max() -> u64 {
    getrlimit(Resource::RLIMIT_NOFILE).map_or(u64::MAX, |(soft, _hard)| soft)
}

/// The room that this process has under its limit of open files.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct OpenFilesRoom {
    /// Descriptors from the lowest free one up to the limit. All below are in use; of these, some may be.
    pub free_max: u64,
    /// Those of the limit that connections leave to everything else.
    pub reserved: u64,
}

impl OpenFilesRoom {
    /// Looks at this process now. `any` is an open descriptor, which is duplicated for a moment: the kernel gives the
    /// lowest number that is free.
    pub fn now(any: impl AsFd) -> Self {
        let limit = open_files_max();
        // Standard streams aside, the duplicate has the lowest number that is free; without one there is no room.
        let duplicate = any.as_fd().try_clone_to_owned();
        let lowest = duplicate.map_or(limit, |fd| u64::from(fd.as_raw_fd().unsigned_abs()));
        OpenFilesRoom { free_max: limit.saturating_sub(lowest), reserved: reserved_open_files(limit) }
    }
}

/// Raises the limit of open files to `wanted`, or as near as the hard limit allows, and returns the limit now in force.
/// Never lowers it.
///
/// # Errors
/// If the kernel refuses to report or to change it.
pub fn raise_open_files(wanted: u64) -> io::Result<u64> {
    let (soft, hard) = getrlimit(Resource::RLIMIT_NOFILE)?;
    let raised = wanted.min(hard);
    if raised <= soft {
        return Ok(soft);
    }
    setrlimit(Resource::RLIMIT_NOFILE, raised, hard)?;
    Ok(raised)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_raised_to_the_hard_limit_at_most_and_never_lowered() {
        let (soft, hard) = getrlimit(Resource::RLIMIT_NOFILE).unwrap();
        assert_eq!(raise_open_files(1).unwrap(), soft);
        assert_eq!(raise_open_files(u64::MAX).unwrap(), hard);
        assert_eq!(raise_open_files(soft).unwrap(), hard);
    }

    #[test]
    fn what_is_opened_leaves_less_room() {
        let (reader, _writer) = std::io::pipe().unwrap();
        let before = OpenFilesRoom::now(&reader);
        // More than the other tests of this process have open or close meanwhile.
        let pipes: Vec<_> = (0..200).map(|_| std::io::pipe().unwrap()).collect();
        let after = OpenFilesRoom::now(&reader);
        assert!(after.free_max < before.free_max, "{before:?} {after:?}");
        drop(pipes);
    }

    #[test]
    fn the_reserve_is_a_part_of_a_small_limit_and_bounded() {
        assert_eq!([0, 64, 256, 1_024, 1 << 20].map(reserved_open_files), [0, 8, 32, 32, 32]);
    }
}
