"""A flood of small messages to one process."""

import socket
import statistics
import struct
import subprocess
import time

from figures import best_of_rounds, in_turns, ratios, target, tell, warm_up
from processes import Processes

TOPIC = "measured.topic"


def flood_by_package(url, size):
    import corecast

    publisher, payload = corecast.Publisher(url), bytes(size)
    while True:
        publisher.publish(TOPIC, payload)


def flood_by_pyzmq(url, size):
    import zmq

    out, message = zmq.Context().socket(zmq.PUB), [TOPIC.encode(), bytes(size)]
    out.connect(url)
    while True:
        out.send_multipart(message)


def flood_by_socket(url, size):
    """A PUB socket's bytes (ZMTP 3.0, mechanism NULL) as fast as the proxy takes them."""
    host, port = url.removeprefix("tcp://").split(":")
    out = socket.create_connection((host, int(port)))
    out.sendall(b"\xff" + bytes(8) + b"\x7f\x03\x00" + b"NULL".ljust(20, b"\0") + bytes(32))
    exactly(out, 64)
    ready = b"\x05READY\x0bSocket-Type" + struct.pack(">I", 3) + b"PUB"
    out.sendall(bytes([4, len(ready)]) + ready)
    _, length = exactly(out, 2)
    exactly(out, length)
    topic = TOPIC.encode()
    message = bytes([1, len(topic)]) + topic + bytes([0, size]) + bytes(size)
    block = message * ((64 << 10) // len(message))
    while True:
        out.sendall(block)


def exactly(stream, length):
    got = b""
    while len(got) < length:
        more = stream.recv(length - len(got))
        if not more:
            raise ConnectionError("the other end has closed")
        got += more
    return got


def rate(seconds, receive):
    """Messages a second that `receive` takes, which returns how many it has taken; and the part that was told to be missing."""
    until = time.monotonic() + warm_up(seconds)
    while time.monotonic() < until:
        receive()
    count, missed, began = 0, 0, time.monotonic()
    while time.monotonic() < began + seconds:
        for _ in range(100):
            taken, missing = receive()
            count, missed = count + taken, missed + missing
    return count / (time.monotonic() - began), missed / max(1, count + missed)


def receive_by_package(url, many, seconds):
    import corecast
    from corecast import Gap, Message

    def account(events):
        gaps = [event for event in events if type(event) is Gap]
        return len(events) - len(gaps), sum(gap.missed or 0 for gap in gaps)

    with corecast.Subscriber(url, TOPIC) as subscriber:
        if many:
            return rate(seconds, lambda: account(subscriber.recv_many()))

        def one():
            event = subscriber.recv()
            return (1, 0) if type(event) is Message else account([event])

        return rate(seconds, one)


def receive_by_pyzmq(url, seconds):
    import zmq

    incoming = zmq.Context().socket(zmq.SUB)
    incoming.connect(url)
    incoming.subscribe(TOPIC.encode())
    return rate(seconds, lambda: (len(incoming.recv_multipart()) // 2, 0))


def flood_package(options, many, source):
    with Processes(options) as processes:
        url = processes.broker()
        receiver = processes.role(receive_by_package, url, many, options.seconds, receives=True)
        if source == "python":
            processes.role(flood_by_package, url, options.bytes)
        else:
            line = [options.corecast, "pub", TOPIC, "--broker", url, "--count", "1000000000", "--size", str(options.bytes)]
            processes.command(*line, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
        return receiver.result()


def flood_pyzmq(options, source):
    with Processes(options) as processes:
        into, out = processes.proxy()
        receiver = processes.role(receive_by_pyzmq, out, options.seconds, receives=True)
        processes.role(flood_by_pyzmq if source == "python" else flood_by_socket, into, options.bytes)
        return receiver.result()


def row_flood(options):
    print(f"one process receives a flood of {options.bytes} bytes for {options.seconds} s, after {warm_up(options.seconds)} s that do not count")
    kinds = {
        "pyzmq, published by pyzmq": lambda: flood_pyzmq(options, "python"),
        "pyzmq, published by a bare socket": lambda: flood_pyzmq(options, "fastest"),
        "recv, published by corecast in Python": lambda: flood_package(options, False, "python"),
        "recv, published by `corecast pub`": lambda: flood_package(options, False, "fastest"),
        "recv_many, published by corecast in Python": lambda: flood_package(options, True, "python"),
        "recv_many, published by `corecast pub`": lambda: flood_package(options, True, "fastest"),
    }
    measured = in_turns(options, kinds)
    rates = {kind: [rate for rate, _ in each] for kind, each in measured.items()}
    for kind, each in measured.items():
        missed = statistics.median(part for _, part in each)
        tell(kind, [rate / 1e3 for rate in rates[kind]], "k messages/s", f"{missed:.0%} told as missed" if missed else "")
    theirs = best_of_rounds(rates, "pyzmq")
    yield target("recv over pyzmq", ratios(best_of_rounds(rates, "recv,"), theirs), ">=", 3)
    yield target("recv_many over pyzmq", ratios(best_of_rounds(rates, "recv_many"), theirs), ">=", 8)
