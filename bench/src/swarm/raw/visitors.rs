//! Owns clients of our broker that come and go: each connects, shakes hands, is welcomed, and closes. One plain thread does
//! it, for one after the other, in even steps; one that is late comes at once.

use super::dialect::sink::{Role, Wanted};
use super::session::RawSession;
use super::target::RawTarget;
use crate::interrupt::Interrupt;
use corecast_executors::spawn_plain;
use std::io;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// The visitors.
#[derive(Debug)]
pub struct Visitors {
    halt: Interrupt,
    thread: JoinHandle<io::Result<u64>>,
}

impl Visitors {
    /// Begins with the first of so many, the last of which is due before that time has passed. Each has `timeout` to be
    /// welcome.
    pub fn begin(target: RawTarget, visits: (u64, Duration), timeout: Duration) -> io::Result<Self> {
        let halt = Interrupt::default();
        let halted = halt.clone();
        let thread = spawn_plain("visitors", move || visit(&target, visits, timeout, &halted))?;
        Ok(Visitors { halt, thread })
    }

    /// Lets nobody else come. Returns the number of those that were welcome.
    pub fn end(self) -> io::Result<u64> {
        self.halt.set();
        self.thread.join().map_err(|_| io::Error::other("their thread has panicked"))?
    }
}

fn visit(
    target: &RawTarget,
    (visits, within): (u64, Duration),
    timeout: Duration,
    halt: &Interrupt,
) -> io::Result<u64> {
    let started = Instant::now();
    for visit in 0..visits {
        let due = started + within.mul_f64(visit as f64 / visits as f64);
        if !halt.pause(due.saturating_duration_since(Instant::now())) {
            return Ok(visit);
        }
        let nothing = Wanted { subscribers: 1, filters: Vec::new(), topic_bytes: 0 };
        drop(RawSession::connect((Role::Subscriber(nothing), 0), target, timeout)?);
    }
    Ok(visits)
}
