//! The times of a thread as the kernel's scheduler counts them: how long it ran, and how long it could have run and waited for
//! its CPU.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt as _;
use std::time::Duration;

/// Longest content of the file: three numbers of 64 bits.
const BYTES_MAX: usize = 64;

/// The times of one thread. Reading them takes one system call.
#[derive(Debug)]
pub struct ThreadTimes(File);

impl ThreadTimes {
    /// Those of the thread that calls.
    ///
    /// # Errors
    /// If the kernel does not count them.
    pub fn here() -> io::Result<Self> {
        let times = ThreadTimes(File::open("/proc/thread-self/schedstat")?);
        times.read().map(|_| times)
    }

    /// The time that the thread has run, and the time that it has waited for a CPU.
    ///
    /// # Errors
    /// If the thread has ended.
    pub fn read(&self) -> io::Result<(Duration, Duration)> {
        let mut bytes = [0; BYTES_MAX];
        let length = self.0.read_at(&mut bytes, 0)?;
        parse(&bytes[..length]).ok_or_else(|| io::ErrorKind::InvalidData.into())
    }
}

/// The format of /proc/TID/schedstat: nanoseconds on a CPU, nanoseconds in a run queue, timeslices.
fn parse(content: &[u8]) -> Option<(Duration, Duration)> {
    let mut numbers = std::str::from_utf8(content).ok()?.split_ascii_whitespace();
    let mut next = || numbers.next()?.parse().ok().map(Duration::from_nanos);
    Some((next()?, next()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_two_times_are_the_first_two_numbers() {
        let read = parse(b"3000000123 5 6\n");
        assert_eq!(read, Some((Duration::from_nanos(3_000_000_123), Duration::from_nanos(5))));
        assert_eq!(parse(b""), None);
        assert_eq!(parse(b"3 x"), None);
    }

    #[test]
    fn a_thread_that_works_has_run_for_longer() {
        let times = ThreadTimes::here().expect("this kernel counts them");
        let (before, _) = times.read().unwrap();
        let mut now = before;
        while now == before {
            (now, _) = times.read().unwrap();
        }
        assert!(now > before);
    }
}
