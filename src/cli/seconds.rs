//! The seconds of a command that says how far it is, told by a thread: its loops need not look at a clock with each message.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use corecast_executors::{Inbox, link, pause, spawn_plain};

use super::{Exit, Failure};

/// A tick each second, from the start on; none for commands that have nothing to say.
pub(super) struct Seconds {
    is_due: Arc<AtomicBool>,
    /// Closed where there are no ticks.
    ticks: Option<Inbox<()>>,
}

impl Seconds {
    /// Begins to tick, if it is wanted.
    ///
    /// # Errors
    /// There is no room for a thread.
    pub(super) fn start_if(is_wanted: bool) -> Result<Self, Failure> {
        let is_due = Arc::new(AtomicBool::new(false));
        if !is_wanted {
            return Ok(Seconds { is_due, ticks: None });
        }
        let (tick, ticks) = link(1);
        let due = Arc::clone(&is_due);
        let count = move || {
            while !tick.is_closed() {
                pause(Duration::from_secs(1));
                due.store(true, Ordering::Relaxed);
                // One that nobody has taken yet is as good as two.
                let _ = tick.try_send(());
            }
        };
        // Nobody joins it: it ends with the command.
        spawn_plain("seconds", count)
            .map_err(|e| Failure::new(Exit::Failed, format!("cannot make a thread: {e}")))?;
        Ok(Seconds { is_due, ticks: Some(ticks) })
    }

    /// True once after each tick. One load, for loops that look with each message.
    pub(super) fn take(&self) -> bool {
        self.is_due.load(Ordering::Relaxed) && self.is_due.swap(false, Ordering::Relaxed)
    }

    /// Waits for a tick; for ever, where there are none.
    pub(super) async fn next(&mut self) {
        match &mut self.ticks {
            // Its thread lives as long as this does.
            Some(ticks) => {
                let _ = ticks.recv().await;
            }
            None => std::future::pending().await,
        }
    }
}

#[cfg(test)]
mod tests {
    use corecast_executors::block_on;

    use super::*;

    #[test]
    fn a_second_is_told_once() {
        let mut seconds = Seconds::start_if(true).expect("a thread");
        assert!(!seconds.take());
        block_on(seconds.next());
        assert!(seconds.take() && !seconds.take());
        assert!(!Seconds::start_if(false).expect("none").take());
    }
}
