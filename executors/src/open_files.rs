//! The limit of open files, raised as far as this process may. For commands, before they listen.

use std::io;

use nix::sys::resource::{Resource, getrlimit, setrlimit};

/// Raises the limit of open files to `wanted`, or as near as the hard limit lets it, and gives the
/// limit that now holds. Never lowers it.
///
/// # Errors
/// When the kernel refuses to say or to change it.
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
}
