//! The seeds of a test: those that the environment names, or as many as the test has by itself.

use std::ops::Range;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};

/// Some of them, and the number without the variables.
pub(crate) struct Seeds {
    seeds: Range<u64>,
    usual: u64,
}

fn number_from(variable: &str) -> Option<u64> {
    let text = std::env::var(variable).ok()?;
    Some(
        text.parse()
            .expect("CORECAST_SIM_SEED and CORECAST_SIM_SEEDS are numbers, and so is CORECAST_SIM_FROM"),
    )
}

impl Seeds {
    /// `CORECAST_SIM_SEED`; or `CORECAST_SIM_SEEDS` of them, without that `usual`, from `CORECAST_SIM_FROM` on, without that the first.
    pub(crate) fn of(usual: u64) -> Self {
        let seeds = match number_from("CORECAST_SIM_SEED") {
            Some(seed) => seed..seed + 1,
            None => {
                let from = number_from("CORECAST_SIM_FROM").unwrap_or(0);
                from..from + number_from("CORECAST_SIM_SEEDS").unwrap_or(usual)
            }
        };
        Seeds { seeds, usual }
    }

    /// Runs each, and returns what comes of them. The seed of a run that panics is printed.
    #[expect(clippy::print_stderr, reason = "whoever sees a run fail needs its seed")]
    pub(crate) fn run<T>(&self, run: impl Fn(u64) -> T) -> impl Iterator<Item = T> {
        self.seeds.clone().map(move |seed| {
            catch_unwind(AssertUnwindSafe(|| run(seed))).unwrap_or_else(|panic| {
                eprintln!("CORECAST_SIM_SEED={seed}");
                resume_unwind(panic)
            })
        })
    }

    /// True if they are so many that all that is to happen has happened in some.
    pub(crate) fn are_many(&self) -> bool {
        self.seeds.end - self.seeds.start >= self.usual
    }
}
