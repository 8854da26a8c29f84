#!/usr/bin/env bash
# One percentile of one HdrHistogram, read by three of its ports: they do not agree on the rank.
#
# Observed on 2026-11-28 with the values 1 to 10, recorded once each: PyPI hdrhistogram 0.10.8 rounds the rank (percentile * count) to
# the nearest whole number, crate hdrhistogram 7.6.0 and npm hdr-histogram-js 3.0.1 round it up. So at 14 % Python reports 1, the
# others 2, and at 33 % 3 and 4. The three read each other's encoded logs, so a report that one of them writes and another
# checks differs by a rank if the product is not whole: with few samples that is a visible step in the tail.
#
# Needs cargo, python3 with venv, node and npm, and their registries. Exit code 1: the behaviour has changed.
set -euo pipefail

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"

python3 -m venv python >/dev/null
python/bin/pip install --quiet --disable-pip-version-check 'hdrhistogram==0.10.8'
cat > ranks.py <<'PYTHON'
from hdrh.histogram import HdrHistogram

histogram = HdrHistogram(1, 3_600_000_000, 3)
for value in range(1, 11):
    histogram.record_value(value)
print("python:", *(histogram.get_value_at_percentile(p) for p in (12, 14, 15, 25, 33, 45, 50, 90, 99)))
PYTHON

npm init -y >/dev/null
npm install --silent 'hdr-histogram-js@3.0.1' >/dev/null
cat > ranks.mjs <<'JS'
import * as hdr from "hdr-histogram-js";

const histogram = hdr.build({ lowestDiscernibleValue: 1, highestTrackableValue: 3_600_000_000, numberOfSignificantValueDigits: 3 });
for (let value = 1; value <= 10; value++) histogram.recordValue(value);
console.log("js:", ...[12, 14, 15, 25, 33, 45, 50, 90, 99].map((p) => histogram.getValueAtPercentile(p)));
JS

mkdir src
cat > Cargo.toml <<'TOML'
[package]
name = "ranks"
version = "0.0.0"
edition = "2021"

[dependencies]
hdrhistogram = { version = "=7.6.0", default-features = false }
TOML
cat > src/main.rs <<'RUST'
fn main() {
    let mut histogram = hdrhistogram::Histogram::<u64>::new_with_bounds(1, 3_600_000_000, 3).unwrap();
    for value in 1..=10 {
        histogram.record(value).unwrap();
    }
    let at = [12.0, 14.0, 15.0, 25.0, 33.0, 45.0, 50.0, 90.0, 99.0];
    let values: Vec<_> = at.iter().map(|p| histogram.value_at_percentile(*p).to_string()).collect();
    println!("rust: {}", values.join(" "));
}
RUST

{ python/bin/python ranks.py; node ranks.mjs; cargo run -q; } > seen
cat seen
diff - seen <<'EXPECTED'
python: 1 1 2 3 3 5 5 9 10
js: 2 2 2 3 4 5 5 9 10
rust: 2 2 2 3 4 5 5 9 10
EXPECTED
echo "as described"
