//! Every limit of the package, with its unit and reason.

use std::time::Duration;

/// Time after which a main thread that waits looks for signals, which do not end a wait by themselves: Ctrl-C takes no longer.
/// A look costs microseconds, 20 times a second.
pub(crate) const SIGNALS_EVERY: Duration = Duration::from_millis(50);

/// Operations of one event loop that may be woken before it looks; with more, it looks at all that wait. 32 KiB a loop.
pub(crate) const WOKEN_MAX: usize = 4096;

/// Time that a publisher which is not closed has to leave: as long as the library gives one that is dropped. All that are open
/// when Python ends share as much (`LINGER_SECONDS` of corecast/_exit.py).
pub(crate) const LINGER: Duration = Duration::from_secs(2);

/// Seconds for `close` at the end of a `with`: the library's default for a close.
pub(crate) const CLOSE_SECONDS: f64 = 30.0;
