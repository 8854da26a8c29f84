#!/usr/bin/env python3
"""Messages a second that one Python process receives from a flood: corecast one by one and by `recv_many`, and pyzmq through
libzmq's proxy. Prints a table of the medians of some rounds, each kind in turn.

usage: python/measure.py [--bin corecast] [--bytes 64] [--seconds 3] [--rounds 3]
"""

import argparse
import json
import multiprocessing
import os
import statistics
import subprocess
import time

TOPIC = "flood.measured"


def flood_corecast(url, payload_bytes):
    import corecast

    publisher, payload = corecast.Publisher(url), bytes(payload_bytes)
    while True:
        publisher.publish(TOPIC, payload)


def flood_pyzmq(url, payload_bytes):
    import zmq

    socket, message = zmq.Context().socket(zmq.PUB), [TOPIC.encode(), bytes(payload_bytes)]
    socket.connect(url)
    while True:
        socket.send_multipart(message)


def proxy_pyzmq(ports):
    import zmq

    context = zmq.Context()
    ends = context.socket(zmq.XSUB), context.socket(zmq.XPUB)
    ports.send([end.bind_to_random_port("tcp://127.0.0.1") for end in ends])
    zmq.proxy(*ends)


def rate(seconds, receive):
    """Messages a second that `receive` takes, which returns how many there were."""
    until = time.monotonic() + 1
    while time.monotonic() < until:
        receive()
    count, began = 0, time.monotonic()
    while time.monotonic() < began + seconds:
        for _ in range(100):
            count += receive()
    return count / (time.monotonic() - began)


def corecast_one(subscriber):
    import corecast

    return 1 if type(subscriber.recv()) is corecast.Message else 0


def corecast_many(subscriber):
    import corecast

    return sum(type(event) is corecast.Message for event in subscriber.recv_many())


def measure_corecast(options, receive, flood):
    import corecast

    line = [options.bin, "broker", "-o", "json", "--listen", "tcp://127.0.0.1:0", "--metrics", "127.0.0.1:0", "--shards", "1"]
    with subprocess.Popen(line, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as broker:
        url = json.loads(broker.stdout.readline())["endpoints"][0]
        with corecast.Subscriber(url, TOPIC) as subscriber:
            stop = flood(options, url)
            try:
                return rate(options.seconds, lambda: receive(subscriber))
            finally:
                stop()
                broker.kill()


def by_python(flood):
    def start(options, url):
        process = multiprocessing.get_context("spawn").Process(target=flood, args=(url, options.bytes))
        process.start()
        return process.kill

    return start


def by_command(options, url):
    line = [options.bin, "pub", TOPIC, "--broker", url, "--count", "1000000000", "--size", str(options.bytes)]
    process = subprocess.Popen(line, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    return process.kill


def measure_pyzmq(options):
    import zmq

    spawn = multiprocessing.get_context("spawn")
    ours, theirs = spawn.Pipe()
    proxy = spawn.Process(target=proxy_pyzmq, args=(theirs,))
    proxy.start()
    into, out = ours.recv()
    context = zmq.Context()
    socket = context.socket(zmq.SUB)
    socket.connect(f"tcp://127.0.0.1:{out}")
    socket.subscribe(TOPIC.encode())
    stop = by_python(flood_pyzmq)(options, f"tcp://127.0.0.1:{into}")
    try:
        return rate(options.seconds, lambda: len(socket.recv_multipart()) // 2)
    finally:
        stop()
        proxy.kill()
        context.destroy(0)


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--bin", default=os.environ.get("CORECAST_BIN", "target/release/corecast"))
    parser.add_argument("--bytes", type=int, default=64)
    parser.add_argument("--seconds", type=float, default=3)
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    kinds = {
        "pyzmq, libzmq's proxy": lambda: measure_pyzmq(options),
        "corecast, recv": lambda: measure_corecast(options, corecast_one, by_python(flood_corecast)),
        "corecast, recv_many": lambda: measure_corecast(options, corecast_many, by_python(flood_corecast)),
        "corecast, recv, flood of `corecast pub`": lambda: measure_corecast(options, corecast_one, by_command),
        "corecast, recv_many, flood of `corecast pub`": lambda: measure_corecast(options, corecast_many, by_command),
    }
    rates = {kind: [] for kind in kinds}
    for _ in range(options.rounds):
        for kind, measured in kinds.items():
            rates[kind].append(measured())
    base = statistics.median(rates["pyzmq, libzmq's proxy"])
    for kind, measured in rates.items():
        middle = statistics.median(measured)
        print(f"{kind:46} {middle / 1e3:8.0f} k/s  {middle / base:5.2f} x  ({min(measured) / 1e3:.0f} to {max(measured) / 1e3:.0f})")


if __name__ == "__main__":
    main()
