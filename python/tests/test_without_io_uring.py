"""A container's profile: io_uring is forbidden, by a filter of system calls in the client's process. The broker is outside."""

import subprocess
import sys
import textwrap

import pytest

from conftest import PATIENCE_SECONDS, ROOT, Broker

# Runs a command under the filter, as the Rust client's tests do.
FORBID = ROOT / "tests/without_io_uring/forbid.py"


def run(program, *arguments):
    line = [sys.executable, FORBID, sys.executable, "-c", textwrap.dedent(program), *arguments]
    ended = subprocess.run(line, capture_output=True, text=True, timeout=PATIENCE_SECONDS)
    assert ended.returncode == 0, ended.stderr
    return ended.stdout


@pytest.fixture(scope="module")
def blocking():
    broker = Broker("--overflow", "block", "--mode-rule", "direct.>=direct")
    yield broker.url
    broker.kill()


@pytest.mark.parametrize("topic", ["there", "direct.there"])
def test_every_message_arrives(blocking, topic):
    program = """
    import sys, threading, corecast
    assert "Seccomp:\\t2" in open("/proc/self/status").read(), "it is under the filter"
    url, topic, count = sys.argv[1], sys.argv[2], 100_000
    with corecast.Subscriber(url, topic, overflow="block") as subscriber, corecast.Publisher(url, direct_overflow="block") as publisher:
        publisher.wait_for_subscribers(topic)
        def publish():
            for n in range(count):
                publisher.publish(topic, n.to_bytes(4, "big"))
            publisher.flush()
        thread = threading.Thread(target=publish)
        thread.start()
        received = []
        while len(received) < count:
            received += [int.from_bytes(event, "big") for event in subscriber.recv_many(timeout=30)]
        thread.join()
        print("exact", received == list(range(count)))
    """
    assert run(program, blocking, topic) == "exact True\n"


def test_asyncio_needs_no_io_uring_either(blocking):
    program = """
    import asyncio, sys
    from corecast import aio

    async def main(url):
        async with aio.Subscriber(url, "aio.there") as subscriber, aio.Publisher(url) as publisher:
            for n in range(1000):
                await publisher.publish("aio.there", n.to_bytes(4, "big"))
                assert int.from_bytes(await subscriber.recv(), "big") == n
        print("exact")

    asyncio.run(main(sys.argv[1]))
    """
    assert run(program, blocking) == "exact\n"


def test_who_asks_for_io_uring_hears_why_there_is_none(blocking):
    program = """
    import sys, corecast
    try:
        corecast.Publisher(sys.argv[1], reactor="io_uring")
    except corecast.CorecastError as error:
        print(error.kind, "|", error)
    with corecast.Publisher(sys.argv[1]) as publisher:
        publisher.publish("t", b"")
    """
    kind, _, text = run(program, blocking).partition(" | ")
    assert kind == "executor" and "io_uring" in text, (kind, text)
