"""Signals, threads, forks, the end of Python, brokers that go and come, handles that are forgotten."""

import gc
import os
import resource
import signal
import subprocess
import sys
import textwrap
import threading
import time
import warnings

import pytest

import corecast
from conftest import PATIENCE_SECONDS


def python(program, *arguments, **options):
    """Runs a program in a Python of its own."""
    line = [sys.executable, "-c", textwrap.dedent(program), *arguments]
    return subprocess.run(line, capture_output=True, text=True, timeout=PATIENCE_SECONDS, **options)


BLOCKING_CALLS = {
    "recv": "s = corecast.Subscriber(url, 'quiet'); call = s.recv",
    "recv_many": "s = corecast.Subscriber(url, 'quiet'); call = s.recv_many",
    "next": "s = corecast.Subscriber(url, 'quiet'); call = lambda: next(s)",
    "connection_events": "s = corecast.Subscriber(url, 'quiet'); e = s.connection_events(); e.recv(); call = e.recv",
    "wait_for_subscribers": "p = corecast.Publisher(url); call = lambda: p.wait_for_subscribers('nobody', 1, 600)",
    "connect": "call = lambda: corecast.Publisher('tcp://127.0.0.1:1', connect_timeout=600)",
}


@pytest.mark.parametrize("name", BLOCKING_CALLS)
def test_ctrl_c_ends_a_call_that_waits(url, name):
    program = f"""
    import sys, threading, os, signal, time, corecast
    url = sys.argv[1]
    {BLOCKING_CALLS[name]}
    # Another thread runs meanwhile, so the GIL is free.
    threading.Timer(0.3, os.kill, (os.getpid(), signal.SIGINT)).start()
    began = time.monotonic()
    try:
        call()
    except KeyboardInterrupt:
        print("interrupted", time.monotonic() - began < 5)
    """
    ended = python(program, url)
    assert (ended.stdout, ended.stderr) == ("interrupted True\n", "")


@pytest.mark.parametrize("call", ["publish", "flush"])
def test_ctrl_c_ends_what_waits_for_a_broker_that_hangs(start_broker, call):
    broker = start_broker()
    program = """
    import sys, threading, os, signal, corecast
    p = corecast.Publisher(sys.argv[1], publish_timeout=600)
    print(p.publish("t", b"first"), flush=True)
    sys.stdin.readline()
    threading.Timer(0.5, os.kill, (os.getpid(), signal.SIGINT)).start()
    try:
        if sys.argv[2] == "flush":
            p.flush(600)
        while True:
            p.publish("t", bytes(100_000))
    except KeyboardInterrupt:
        print("interrupted", flush=True)
    os._exit(0)
    """
    line = [sys.executable, "-c", textwrap.dedent(program), broker.url, call]
    with subprocess.Popen(line, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout.readline() == "1\n"
        broker.stop()
        output, _ = process.communicate("\n", timeout=PATIENCE_SECONDS)
    assert output == "interrupted\n"


def test_a_signal_whose_function_returns_ends_no_wait(url):
    with corecast.Subscriber(url, "quiet") as subscriber:
        came = []
        before = signal.signal(signal.SIGUSR1, lambda *_: came.append(1))
        try:
            threading.Timer(0.1, os.kill, (os.getpid(), signal.SIGUSR1)).start()
            assert subscriber.recv(timeout=0.5) is None
        finally:
            signal.signal(signal.SIGUSR1, before)
        assert came == [1]


def test_threads_share_a_publisher(url):
    with corecast.Subscriber(url, "shared", queue_frames=1 << 20) as subscriber, corecast.Publisher(url) as publisher:
        publisher.wait_for_subscribers("shared")

        def publish(first):
            for n in range(5000):
                publisher.publish("shared", (first + n).to_bytes(4, "big"))
                if n % 1000 == 0:
                    publisher.flush()

        threads = [threading.Thread(target=publish, args=(i * 5000,)) for i in range(4)]
        for thread in threads:
            thread.start()
        received = [int.from_bytes(subscriber.recv(), "big") for _ in range(20_000)]
        for thread in threads:
            thread.join()
        assert sorted(received) == list(range(20_000))
        assert publisher.published == 20_000


def test_threads_share_a_subscriber(url):
    with corecast.Subscriber(url, "shared") as subscriber, corecast.Publisher(url) as publisher:
        received, lock = [], threading.Lock()

        def receive():
            while bytes(event := subscriber.recv()) != b"end":
                with lock:
                    received.append(int.from_bytes(event, "big"))

        threads = [threading.Thread(target=receive) for _ in range(3)]
        for thread in threads:
            thread.start()
        for n in range(3000):
            publisher.publish("shared", n.to_bytes(4, "big"))
        for _ in threads:
            publisher.publish("shared", b"end")
        for thread in threads:
            thread.join(PATIENCE_SECONDS)
        assert sorted(received) == list(range(3000))


def test_close_ends_the_wait_of_another_thread(url):
    subscriber = corecast.Subscriber(url, "quiet")
    caught = []

    def receive():
        try:
            subscriber.recv()
        except corecast.ClosedError as error:
            caught.append(str(error))

    threads = [threading.Thread(target=receive) for _ in range(2)]
    for thread in threads:
        thread.start()
    while not any(thread.is_alive() for thread in threads):
        pass
    time.sleep(0.1)
    subscriber.close()
    for thread in threads:
        thread.join(PATIENCE_SECONDS)
    assert caught == ["the subscriber is closed"] * 2


def test_other_threads_run_while_one_waits(url):
    with corecast.Subscriber(url, "quiet") as subscriber:
        turns = 0
        ended = threading.Event()

        def wait():
            subscriber.recv(timeout=0.5)
            ended.set()

        thread = threading.Thread(target=wait)
        thread.start()
        while not ended.is_set():
            turns += 1
        thread.join()
        assert turns > 1000


def test_a_clone_is_a_publisher_of_its_own(url):
    with corecast.Subscriber(url, "clones") as subscriber, corecast.Publisher(url) as publisher:
        with publisher.clone() as clone:
            assert clone.id != publisher.id and clone.published == 0
            clone.publish("clones", b"c")
            clone.flush()
        publisher.publish("clones", b"p")
        assert [(m.publisher, bytes(m)) for m in (subscriber.recv(), subscriber.recv())] == [
            (clone.id, b"c"), (publisher.id, b"p")]


def test_a_fork_after_use_is_refused_with_a_sentence(url):
    program = """
    import os, sys, warnings, corecast
    warnings.simplefilter("ignore", DeprecationWarning)
    url = sys.argv[1]
    publisher, subscriber = corecast.Publisher(url), corecast.Subscriber(url, "t")
    publisher.publish("t", b"of the parent")
    child = os.fork()
    if child == 0:
        calls = [lambda: publisher.publish("t", b""), publisher.flush, publisher.close, subscriber.recv,
                 subscriber.close, lambda: corecast.Publisher(url), lambda: corecast.Subscriber(url, "t"),
                 lambda: corecast.RegistryView(url)]
        for call in calls:
            try:
                call()
                print("not refused")
            except corecast.ForkedError as error:
                print("refused:", error, flush=True)
        del publisher, subscriber, call, calls
        sys.exit(3)
    _, status = os.waitpid(child, 0)
    print("child", os.waitstatus_to_exitcode(status))
    print("parent", bytes(subscriber.recv()))
    publisher.close()
    """
    ended = python(program, url)
    assert ended.stderr == ""
    lines = ended.stdout.splitlines()
    assert len(lines) == 10 and all("forked from one that had used corecast" in line for line in lines[:8]), lines
    assert lines[8:] == ["child 3", "parent b'of the parent'"]


def test_a_fork_before_the_first_use_is_fine(url):
    program = """
    import os, sys, corecast
    child = os.fork()
    with corecast.Publisher(sys.argv[1]) as publisher:
        publisher.publish("t", b"")
    if child:
        print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
    """
    ended = python(program, url)
    assert (ended.stdout, ended.stderr) == ("0\n", "")


@pytest.mark.parametrize("ending", ["", "del publisher", "raise SystemExit(0)", "publisher = None"])
def test_a_program_that_publishes_and_ends_loses_nothing(url, ending):
    program = f"""
    import sys, corecast
    publisher = corecast.Publisher(sys.argv[1])
    publisher.wait_for_subscribers("ends")
    for n in range(1000):
        publisher.publish("ends", n.to_bytes(4, "big"))
    {ending}
    """
    with corecast.Subscriber(url, "ends") as subscriber:
        ended = python(program, url)
        assert (ended.returncode, ended.stderr) == (0, "")
        assert [int.from_bytes(subscriber.recv(timeout=5), "big") for _ in range(1000)] == list(range(1000))


@pytest.mark.parametrize("ending, text", [
    ("", "Python ended with publishers open, and up to 10 of their messages are lost"),
    ("del publisher", "a publisher was dropped without close(), and up to 10 of its messages are lost"),
])
def test_messages_that_are_lost_at_the_end_are_a_warning_with_their_number(start_broker, ending, text):
    broker = start_broker()
    program = f"""
    import sys, corecast
    publisher = corecast.Publisher(sys.argv[1])
    print("ready", flush=True)
    sys.stdin.readline()
    for n in range(10):
        publisher.publish("t", b"lost")
    assert publisher.unconfirmed == 10
    {ending}
    """
    line = [sys.executable, "-c", textwrap.dedent(program), broker.url]
    with subprocess.Popen(line, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        process.stdout.readline()
        broker.stop()
        began = time.monotonic()
        _, errors = process.communicate("\n", timeout=PATIENCE_SECONDS)
    assert 1.5 < time.monotonic() - began < 20, "it lingers, for about 2 s"
    assert process.returncode == 0
    assert text in errors and "RuntimeWarning" in errors


def test_an_exception_in_the_block_is_what_is_told(url):
    with corecast.Subscriber(url, "block") as subscriber:
        with pytest.raises(ZeroDivisionError):
            with corecast.Publisher(url) as publisher:
                publisher.wait_for_subscribers("block")
                publisher.publish("block", b"before")
                1 / 0
        assert publisher.closed
        assert bytes(subscriber.recv(timeout=5)) == b"before"


def test_handles_that_are_forgotten_are_freed(url):
    descriptors = len(os.listdir("/proc/self/fd"))
    for _ in range(30):
        subscriber = corecast.Subscriber(url, "gc", sessions="per-subscriber")
        circle = [subscriber]
        circle.append(circle)
        publisher = corecast.Publisher(url)
        publisher.publish("gc", b"")
    del subscriber, circle, publisher
    gc.collect()
    # The sessions end in their own time.
    until = time.monotonic() + PATIENCE_SECONDS
    while len(os.listdir("/proc/self/fd")) > descriptors + 5 and time.monotonic() < until:
        time.sleep(0.01)
    assert len(os.listdir("/proc/self/fd")) <= descriptors + 5


def test_a_broker_that_goes_and_comes_leaves_a_gap(start_broker):
    broker = start_broker()
    with corecast.Subscriber(broker.url, "t") as subscriber:
        publisher = corecast.Publisher(broker.url)
        connection = subscriber.connection_events()
        assert connection.recv(timeout=5).what == "connected"
        publisher.publish("t", b"before")
        assert bytes(subscriber.recv()) == b"before"
        broker.kill()
        lost = connection.recv(timeout=PATIENCE_SECONDS)
        assert lost.what == "disconnected" and lost.why and lost.kind, lost
        broker.start()
        publisher.wait_for_subscribers("t", 1, timeout=PATIENCE_SECONDS)
        publisher.publish("t", b"after")
        gap = subscriber.recv()
        assert isinstance(gap, corecast.Gap) and gap.missed is None and gap.reason == "reconnect"
        events = [gap]
        while not isinstance(events[-1], corecast.Message):
            events.append(subscriber.recv())
        assert bytes(events[-1]) == b"after"
        with pytest.raises(corecast.LostError, match="may not have been taken"):
            publisher.close()


def test_resume_goes_on_where_the_connection_was_lost(url):
    with corecast.Subscriber(url, "kept.resume", resume=True) as subscriber:
        with corecast.Publisher(url) as publisher:
            publisher.publish("kept.resume", b"0")
        assert bytes(subscriber.recv()) == b"0"
        connection = subscriber.connection_events()
        assert connection.recv(timeout=5).what == "connected"
        break_connections()
        assert connection.recv(timeout=PATIENCE_SECONDS).what == "disconnected"
        with corecast.Publisher(url) as publisher:
            for n in range(1, 6):
                publisher.publish("kept.resume", str(n).encode())
        assert [bytes(subscriber.recv()) for _ in range(5)] == [b"1", b"2", b"3", b"4", b"5"]


def break_connections():
    """Shuts all TCP connections of this process down: sessions notice, and come back."""
    import socket

    for name in os.listdir("/proc/self/fd"):
        try:
            if not os.readlink(f"/proc/self/fd/{name}").startswith("socket:"):
                continue
            with socket.socket(fileno=os.dup(int(name))) as broken:
                if broken.type == socket.SOCK_STREAM and broken.family == socket.AF_INET:
                    broken.shutdown(socket.SHUT_RDWR)
        except OSError:
            continue


def test_memory_is_flat_over_many_messages(url):
    def resident():
        with open("/proc/self/statm") as statm:
            return int(statm.read().split()[1]) * resource.getpagesize()

    with corecast.Subscriber(url, "flat") as subscriber, corecast.Publisher(url) as publisher:
        publisher.wait_for_subscribers("flat")

        def send(rounds):
            for _ in range(rounds):
                for n in range(1000):
                    publisher.publish("flat", b"x" * 64)
                received = 0
                while received < 1000:
                    for event in subscriber.recv_many(timeout=30):
                        received += event.missed if isinstance(event, corecast.Gap) else 1

        send(20)
        gc.collect()
        before = resident()
        send(1000)
        gc.collect()
        assert resident() - before < 16 << 20, "1,000,000 messages leave nothing behind"


def test_importing_starts_nothing():
    program = """
    import threading, os, corecast, corecast.aio
    print(threading.active_count(), len(os.listdir("/proc/self/task")))
    """
    assert python(program).stdout == "1 1\n"


def test_warnings_are_errors_here():
    with pytest.raises(RuntimeWarning):
        warnings.warn("as pyproject.toml says", RuntimeWarning, stacklevel=1)
