"""The cost of the package: memory of an idle subscriber, time of an import, size of the wheel."""

import gc
import glob
import os
import pathlib
import subprocess
import sys
import time
import zipfile

from figures import in_turns, target, tell
from processes import PATIENCE_S, Failed, Processes

WHEELS = pathlib.Path(__file__).resolve().parent.parent / "target/wheels"


def resident():
    with open("/proc/self/statm", encoding="ascii") as statm:
        return int(statm.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def settled():
    """Resident memory once it does not change any more."""
    gc.collect()
    before = 0
    for _ in range(20):
        now = resident()
        if now == before:
            return now
        before = now
        time.sleep(0.1)
    return before


def idle_of_package(url, own_topics, count):
    import corecast

    def subscribe(number):
        return corecast.Subscriber(url, f"idle.{number}" if own_topics else "idle", sessions="per-executor")

    # The session, the executor and what allocators keep in hand are there before.
    there = [subscribe(number) for number in range(200)]
    before = settled()
    there += [subscribe(number) for number in range(200, 200 + count)]
    return (settled() - before) / count


def idle_of_pyzmq(url, count):
    import zmq

    context = zmq.Context()
    context.set(zmq.MAX_SOCKETS, 65535)

    def subscribe():
        incoming = context.socket(zmq.SUB)
        incoming.connect(url)
        incoming.subscribe(b"idle")
        return incoming

    there = [subscribe() for _ in range(50)]
    before = settled()
    there += [subscribe() for _ in range(count)]
    time.sleep(1)
    return (settled() - before) / count


def row_memory(options):
    # Each takes two descriptors and a connection.
    sockets = max(1, options.idle // 8)
    print(f"resident memory of one more idle subscriber: of {options.idle} on a shared session, of {sockets} sockets of pyzmq")

    def package(own_topics):
        with Processes(options) as processes:
            return processes.role(idle_of_package, processes.broker(), own_topics, options.idle, receives=True).result()

    def pyzmq():
        with Processes(options) as processes:
            return processes.role(idle_of_pyzmq, processes.proxy()[1], sockets, receives=True).result()

    kinds = {
        "a SUB socket of pyzmq": pyzmq,
        "corecast, all of one filter": lambda: package(False),
        "corecast, each of a filter of its own": lambda: package(True),
    }
    bytes_each = in_turns(options, kinds)
    for kind, each in bytes_each.items():
        tell(kind, each, "bytes")
    yield target("bytes of an idle subscriber, one filter", bytes_each["corecast, all of one filter"], "<=", 2048)
    yield target("bytes of an idle subscriber, own filters", bytes_each["corecast, each of a filter of its own"], "<=", 2048)


def row_import(options):
    print(f"milliseconds of an import in a fresh Python, of {options.imports} after 3 that do not count")

    def once(module):
        program = f"import time; began = time.perf_counter(); import {module}; print(time.perf_counter() - began)"
        done = subprocess.run([sys.executable, "-P", "-c", program], capture_output=True, text=True, timeout=PATIENCE_S)
        if done.returncode:
            raise Failed(done.stderr.strip().splitlines()[-1])
        return 1e3 * float(done.stdout)

    modules = ("zmq", "corecast", "corecast.aio")
    times = {module: [] for module in modules}
    for turn in range(options.imports + 3):
        for module in modules:
            took = once(module)
            if turn >= 3:
                times[module].append(took)
    for module, took in times.items():
        tell(f"import {module}", took, "ms")
    yield target("import corecast, ms", times["corecast"], "<=", 30)


def row_wheel(options):
    found = [options.wheel] if options.wheel else sorted(glob.glob(str(WHEELS / "corecast-*.whl")), key=os.path.getmtime)
    if not found:
        raise Failed("there is no wheel: scripts/python-package.sh makes one, or name it with --wheel")
    print(found[-1])
    with zipfile.ZipFile(found[-1]) as wheel:
        largest = sorted(wheel.infolist(), key=lambda part: -part.compress_size)[:3]
    for part in largest:
        print(f"  {part.compress_size / 1e6:6.2f} MB of {part.file_size / 1e6:6.2f}: {part.filename}")
    yield target("wheel, MB", [os.path.getsize(found[-1]) / 1e6], "<=", 6)
