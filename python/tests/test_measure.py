"""python/measure.py in small, as it is called: every row that needs no other command says what it has measured."""

import json
import pathlib
import subprocess
import sys

import pytest

from conftest import BINARY, ROOT

BENCH = pathlib.Path(BINARY).with_name("corecast-bench")
# Rows wait for seconds: this is the time after which one hangs.
LIMIT_SECONDS = 300


def measure(tmp_path, *arguments):
    """The output and the record of a call."""
    record = tmp_path / "record.json"
    line = [sys.executable, str(ROOT / "python/measure.py"), *arguments, "--bin", BINARY, "--rounds", "1", "--json", str(record)]
    ended = subprocess.run(line, capture_output=True, text=True, timeout=LIMIT_SECONDS)
    # A debug build meets no target.
    assert ended.returncode in (0, 1), ended.stderr
    targets = json.loads(record.read_text())["targets"]
    assert not [target for target in targets if "failed" in target], ended.stdout
    return ended.stdout, targets


@pytest.mark.parametrize("row, arguments, targets, lines", [
    ("flood", ["--seconds", "0.2"], 2, ["pyzmq, published by a bare socket", "recv_many, published by `corecast pub`"]),
    # Long enough for a debug build of the package, which takes a moment for each of these payloads.
    ("large", ["--seconds", "3"], 2, ["pyzmq through libzmq's proxy", "corecast straight from the publisher"]),
    ("memory", ["--idle", "100"], 2, ["a SUB socket of pyzmq", "each of a filter of its own"]),
    ("import", ["--imports", "2"], 1, ["import zmq", "import corecast.aio"]),
])
def test_a_row_says_what_it_has_measured(tmp_path, row, arguments, targets, lines):
    output, found = measure(tmp_path, row, *arguments)
    assert all(line in output for line in lines), output
    assert len(found) == targets and all(target["row"] == row and target["median"] > 0 for target in found), found


@pytest.mark.skipif(not BENCH.exists(), reason=f"{BENCH} is not there")
def test_the_ancestors_experiment_is_made_in_python(tmp_path):
    output, (target,) = measure(tmp_path, "swarm", "--subscribers", "20", "--swarm-seconds", "1")
    assert target["median"] > 0 and "corecast-python" in output and "pyzmq-proxy" in output, output


def test_wrong_usage_is_said():
    for arguments, text in ((["speed"], "no row `speed`"), (["--bin", "/nowhere"], "no command"), (["--bytes", "999"], "255")):
        ended = subprocess.run([sys.executable, str(ROOT / "python/measure.py"), *arguments], capture_output=True, text=True)
        assert ended.returncode == 2 and text in ended.stderr, ended.stderr
