#!/usr/bin/env python3
"""The structure of this repository in figures, each beside its bound.

Run by scripts/check.sh from anywhere. A figure that is over its bound must not grow; one that has met it must keep to
it: exits with 1 otherwise.
"""

import pathlib
import subprocess
import sys

from rust_files import CRATES, Crate, circles, code_lines, methods

ROOT = pathlib.Path(__file__).resolve().parent.parent
CLIENT_WITHOUT = {"clap", "hyper", "metrics-exporter-prometheus", "tracing-subscriber"}


def figures():
    """Each figure: what it counts, how much it is, its bound, and how much it was when it was last lowered."""
    crates = {folder: Crate(ROOT / folder) for folder in CRATES}
    most = {"src": 3, "bench/src": 2, "executors/src": 3}
    for folder, crate in crates.items():
        largest = max((len(circle) for circle in circles(crate.imports())), default=1)
        yield f"files in the largest circle of imports of {folder}", largest, 4, most[folder]
    shard = [methods(code, "Shard") for code in crates["src"].code.values()]
    yield "methods of Shard", sum(shard), 40, 40
    yield "files with methods of Shard", sum(1 for count in shard if count), 3, 3
    bench = sum(code_lines(file.read_text(encoding="utf-8")) for file in crates["bench/src"].files.values())
    yield "lines of code in bench/src", bench, 12_000, 18_497
    client = client_crates()
    yield "crates that a client is built of", len(client), 90, 90
    yield "of these, those that only broker and command need", len(CLIENT_WITHOUT & {name for name, _ in client}), 0, 0


def client_crates():
    """The name and version of each package that a program gets with the client library."""
    command = ["cargo", "tree", "--locked", "--package", "corecast", "--edges", "normal", "--prefix", "none",
               "--no-default-features", "--features", "client,ring"]
    listed = subprocess.run(command, cwd=ROOT, check=True, stdout=subprocess.PIPE, text=True).stdout
    return {tuple(line.split()[:2]) for line in listed.splitlines() if line}


def main():
    worst = 0
    for name, value, bound, was in figures():
        most = max(bound, was)
        verdict = "" if value <= bound else f", at most {was} until then" if value <= most else f": IT WAS {was}"
        print(f"{name}: {value}, bound {bound}{verdict}")
        worst = max(worst, value > most)
    return int(worst)


if __name__ == "__main__":
    sys.exit(main())
