#!/usr/bin/env python3
"""Measures the package beside pyzmq: the same machine, the same call, the same payloads, in turns.

usage: python/measure.py [ROW…] [--bin FOLDER] [--rounds 5] [--seconds 3] [--pin] [--json FILE] [--wheel FILE]

Each row prints what it did and its figures, with the target of each; without ROW it measures all.

  flood     messages of 64 bytes a second that one process receives: by `recv` and by `recv_many`, and pyzmq through libzmq's
            proxy. Each system has two sources: its own publisher in Python, and the fastest that there is (`corecast pub`; blocks
            of ready ZMTP frames from a bare socket). Ours from either is held against the better of theirs.
  large     payloads of 1 MiB to 4 processes over Unix sockets: through broker and proxy, and straight from the publisher.
            Nothing is dropped: a few messages are on their way to the slowest process.
  swarm     the ancestor's experiment in Python, which `corecast-bench peers` makes: 512 subscribers, 4 messages a second, the
            time to the last of them
  memory    resident memory of an idle subscriber on a shared session
  import    time of `import corecast`
  wheel     size of the wheel

Needs the package, pyzmq, and for `swarm` corecast-bench beside corecast (scripts/python-package.sh --env makes such a Python).
Exit code: 0 if all targets are met, 1 if one is missed or was not measured, 2 for wrong usage.
"""

import argparse
import importlib
import importlib.metadata
import json
import os
import pathlib
import platform
import sys

HERE = pathlib.Path(__file__).resolve().parent
# The package is the one that was installed, and not its sources beside this file.
sys.path[:] = [place for place in sys.path if pathlib.Path(place or ".").resolve() != HERE]
sys.path.insert(0, str(HERE / "measuring"))

from cost import row_import, row_memory, row_wheel  # noqa: E402
from flood import row_flood  # noqa: E402
from large import row_large  # noqa: E402
from processes import Failed  # noqa: E402
from swarm import row_swarm  # noqa: E402

ROWS = {
    "flood": row_flood, "large": row_large, "swarm": row_swarm, "memory": row_memory, "import": row_import, "wheel": row_wheel,
}


def about(options):
    """Where it is measured, and of what."""
    with open("/proc/loadavg", encoding="ascii") as loadavg:
        load = loadavg.read().split()[0]
    versions = {"Python": platform.python_version(), "Linux": platform.release()}
    for name in ("corecast", "pyzmq"):
        versions[name] = importlib.metadata.version(name)
    import zmq

    versions["libzmq"] = zmq.zmq_version()
    cores = f"receivers on {sorted(options.receiver_cores)}, all else on {sorted(options.other_cores)}"
    text = ", ".join(f"{name} {version}" for name, version in versions.items())
    print(f"{text}; {options.corecast}; cores: {cores}; load {load}")
    return {"versions": versions, "command": options.corecast, "cores": cores, "load": load}


def parse():
    parser = argparse.ArgumentParser(usage=__doc__.split("usage: ")[1].split("\n\n")[0], description=__doc__.split("\n\n")[0])
    count = lambda text: max(1, int(text))  # noqa: E731
    parser.add_argument("rows", nargs="*", metavar="ROW", help=", ".join(ROWS))
    parser.add_argument("--bin", default=os.environ.get("CORECAST_BIN", str(HERE.parent / "target/release/corecast")),
                        help="the command, or its folder [default: CORECAST_BIN, or target/release]")
    parser.add_argument("--bytes", type=count, default=64, help="payload of `flood`, 255 at most")
    parser.add_argument("--seconds", type=float, default=3, help="of each measurement of `flood` and `large`")
    parser.add_argument("--subscribers", type=count, default=512, help="of `swarm`")
    parser.add_argument("--swarm-seconds", type=count, default=10, help="of each run of `swarm`")
    parser.add_argument("--idle", type=count, default=4000, help="subscribers of `memory`")
    parser.add_argument("--imports", type=count, default=15, help="of `import`")
    parser.add_argument("--rounds", type=count, default=5)
    parser.add_argument("--pin", action="store_true", help="receivers on the last core, everything else on the others")
    parser.add_argument("--wheel", help="[default: the newest in python/target/wheels]")
    parser.add_argument("--json", help="file for the figures")
    options = parser.parse_args()
    for row in options.rows:
        if row not in ROWS:
            parser.error(f"there is no row `{row}`: {', '.join(ROWS)}")
    if options.bytes > 255:
        parser.error("--bytes: 255 at most, so that each message has a short frame")
    path = pathlib.Path(options.bin)
    options.corecast = str((path / "corecast" if path.is_dir() else path).resolve())
    if not os.access(options.corecast, os.X_OK):
        parser.error(f"{options.corecast} is no command: cargo build --release, or --bin")
    for module in ("corecast._corecast", "zmq"):
        try:
            importlib.import_module(module)
        except ImportError as error:
            parser.error(f"{sys.executable}: {error}: scripts/python-package.sh --env makes a Python that has all")
    allowed = os.sched_getaffinity(0)
    options.receiver_cores = options.other_cores = allowed
    if options.pin:
        if len(allowed) < 2:
            parser.error("--pin takes two cores")
        options.receiver_cores = {max(allowed)}
        options.other_cores = allowed - options.receiver_cores
    return options


def main():
    options = parse()
    record = {"about": about(options), "targets": []}
    fine = True
    for row in options.rows or ROWS:
        print(f"\n== {row}", flush=True)
        try:
            for figure in ROWS[row](options):
                record["targets"].append({"row": row, **figure})
                fine &= figure["met"]
        except Failed as error:
            print(f"  NOT MEASURED: {error}")
            record["targets"].append({"row": row, "failed": str(error)})
            fine = False
        sys.stdout.flush()
    if options.json:
        pathlib.Path(options.json).write_text(json.dumps(record, indent=1) + "\n")
    return 0 if fine else 1


if __name__ == "__main__":
    sys.exit(main())
