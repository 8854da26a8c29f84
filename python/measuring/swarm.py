"""The ancestor's experiment in Python, which corecast-bench makes."""

import json
import os
import pathlib
import subprocess
import sys
import tempfile

from figures import target
from processes import Failed


def row_swarm(options):
    bench = pathlib.Path(options.corecast).with_name("corecast-bench")
    with tempfile.TemporaryDirectory() as folder:
        record = pathlib.Path(folder) / "peers.json"
        line = [
            str(bench), "peers", "--peers", "corecast-python,pyzmq-proxy", "--subscribers", str(options.subscribers), "--size", "64",
            "--rate", "4", "--duration", str(options.swarm_seconds), "--flood-messages", "0", "--sessions", "per-executor",
            "--rounds", str(options.rounds), "--json", str(record),
        ]
        print(" ".join(["CORECAST_BENCH_PYTHON=" + sys.executable, *line[:-2]]))
        environment = {**os.environ, "CORECAST_BENCH_PYTHON": sys.executable, "CORECAST_BIN": options.corecast}
        limit = (options.swarm_seconds + 60) * 2 * options.rounds
        try:
            made = subprocess.run(line, env=environment, timeout=limit, stderr=subprocess.PIPE, text=True)
        except (OSError, subprocess.TimeoutExpired) as error:
            raise Failed(f"corecast-bench peers: {error}") from None
        if made.returncode not in (0, 3) or not record.exists():
            raise Failed(f"corecast-bench peers: exit code {made.returncode}: {made.stderr.strip()}")
        peers = {peer["peer"]: peer for peer in json.loads(record.read_text())["peers"]}
    if made.returncode == 3:
        print("a run did not reach its rate: the machine is too slow for it, or busy")
    if len(peers) < 2 or any(peer["lost"] + peer["wrong"] for peer in peers.values()):
        raise Failed("not every delivery was made, or a peer is missing")
    ratio = peers["pyzmq-proxy"]["ratio"]["last_subscriber_us.median"]
    yield target("time to the last over pyzmq's", [ratio["min"], ratio["median"], ratio["max"]], "<=", 0.25)
