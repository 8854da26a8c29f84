//! The choice of a reactor, and the one line that says why it was not the first.

use std::fmt;
use std::str::FromStr;
use std::sync::Once;

use thiserror::Error;
use tracing::info;

use crate::executor::ExecutorError;

/// The reactor of an executor. As text: `auto`, `io_uring`, `epoll`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Reactor {
    /// io_uring, or epoll where io_uring cannot be had: the kernel, a container or a build without it forbids it, or there is no
    /// memory to lock for its rings. The first time in a process the log says which and why.
    #[default]
    Auto,
    /// The kernel's io_uring. It locks memory (`memlock`).
    IoUring,
    /// epoll: on every Linux, in every container, with no locked memory. It costs a few more system calls, and an executor
    /// that is told to spin or to be busy while it is idle sleeps all the same.
    Epoll,
}

/// An error for a text that is no reactor.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("unknown reactor `{text}`: use auto, io_uring or epoll")]
pub struct ReactorError {
    /// The text.
    pub text: String,
}

impl FromStr for Reactor {
    type Err = ReactorError;

    fn from_str(text: &str) -> Result<Self, ReactorError> {
        match text {
            "auto" => Ok(Self::Auto),
            "io_uring" => Ok(Self::IoUring),
            "epoll" => Ok(Self::Epoll),
            _ => Err(ReactorError { text: text.to_owned() }),
        }
    }
}

impl fmt::Display for Reactor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Auto => "auto",
            Self::IoUring => "io_uring",
            Self::Epoll => "epoll",
        })
    }
}

static REPORTED: Once = Once::new();

/// Reports that epoll stands in for io_uring, once in a process.
pub(super) fn report_fallback(reason: &ExecutorError) {
    REPORTED.call_once(|| info!(%reason, "epoll in place of io_uring"));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_goes_there_and_back() {
        for text in ["auto", "io_uring", "epoll"] {
            let reactor: Reactor = text.parse().unwrap();
            assert_eq!(reactor.to_string(), text);
        }
        let error = "uring".parse::<Reactor>().unwrap_err();
        assert_eq!(error.to_string(), "unknown reactor `uring`: use auto, io_uring or epoll");
    }
}
