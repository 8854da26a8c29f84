//! All cases by the clock, by Criterion.

use std::process::ExitCode;
use std::time::{Duration, Instant};

use criterion::{Criterion, Throughput};

use crate::case::CASES;

/// Times every case that the arguments ask for.
pub(crate) fn run() -> ExitCode {
    let mut criterion = Criterion::default().configure_from_args();
    for case in CASES {
        let mut group = criterion.benchmark_group("hot_path");
        group.throughput(Throughput::Elements(case.elements));
        group.bench_function(case.name, |bencher| {
            let mut measured = (case.prepare)();
            bencher.iter_custom(|iterations| {
                let mut spent = Duration::ZERO;
                for _ in 0..iterations {
                    measured.restore();
                    let begun = Instant::now();
                    measured.run();
                    spent += begun.elapsed();
                }
                spent
            });
        });
        group.finish();
    }
    criterion.final_summary();
    ExitCode::SUCCESS
}
