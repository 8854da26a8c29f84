"""What encryption costs between ZeroMQ sockets: libzmq's own XPUB/XSUB proxy and a broker of corecast, each with CURVE and
without, between one PUB socket and some SUB sockets.

    curve.py CORECAST [--subscribers N] [--messages N] [--bytes N] [--rounds N]

CORECAST is the command of that name. Needs pyzmq (scripts/python-env.sh). A line of JSON for each run, in turns: deliveries/s of all
subscribers together, the CPU that the process in between took for each, and the memory that it had at the end. Nothing is dropped:
a run whose subscribers do not get every message ends the script with an error.
"""

import argparse
import json
import multiprocessing
import os
import subprocess
import sys
import tempfile
import time
import zmq
import zmq.auth

TOPIC = b"t"
PROBE = TOPIC + b"probe"
PATIENCE_S = 120
PROCESSES = 2  # that subscribe


def dress(socket, keys, server):
    """Gives a socket the keys of its end; `server`: it is the one that is known by its key."""
    if keys is None:
        return
    public, secret = zmq.auth.load_certificate(keys["server" if server else "client"])
    socket.curve_publickey, socket.curve_secretkey = public, secret
    if server:
        socket.curve_server = True
    else:
        socket.curve_serverkey, _ = zmq.auth.load_certificate(keys["server"])


def without_limits(socket):
    socket.set(zmq.SNDHWM, 0)
    socket.set(zmq.RCVHWM, 0)
    socket.set(zmq.LINGER, 0)


def proxy(keys, pipe):
    context = zmq.Context(io_threads=1)
    front, back = context.socket(zmq.XSUB), context.socket(zmq.XPUB)
    for socket in (front, back):
        without_limits(socket)
        dress(socket, keys, server=True)
        socket.bind("tcp://127.0.0.1:*")
    pipe.send((front.get_string(zmq.LAST_ENDPOINT), back.get_string(zmq.LAST_ENDPOINT)))
    zmq.proxy(front, back)


def subscribe(address, keys, sockets, messages, pipe):
    """Hears probes until each socket has had one, then counts messages until each has had all."""
    context, poller = zmq.Context(io_threads=1), zmq.Poller()
    unheard, missing = set(), {}
    for _ in range(sockets):
        socket = context.socket(zmq.SUB)
        without_limits(socket)
        dress(socket, keys, server=False)
        socket.set(zmq.SUBSCRIBE, TOPIC)
        socket.connect(address)
        poller.register(socket, zmq.POLLIN)
        unheard.add(socket)
        missing[socket] = messages
    ends = time.monotonic() + PATIENCE_S
    while missing and time.monotonic() < ends:
        for socket, _ in poller.poll(1000):
            try:
                while True:
                    message = socket.recv(zmq.NOBLOCK)
                    if message == PROBE:
                        if socket in unheard:
                            unheard.remove(socket)
                            if not unheard:
                                pipe.send("heard")
                        continue
                    missing[socket] -= 1
                    if missing[socket] == 0:
                        poller.unregister(socket)
                        del missing[socket]
                        break
            except zmq.Again:
                pass
    pipe.send((time.monotonic_ns(), sum(missing.values())))


def cpu_ns(pid):
    tasks = f"/proc/{pid}/task"
    total = 0
    for task in os.listdir(tasks):
        with open(f"{tasks}/{task}/schedstat", encoding="ascii") as stat:
            total += int(stat.read().split()[0])
    return total


def rss_bytes(pid):
    with open(f"/proc/{pid}/statm", encoding="ascii") as statm:
        return int(statm.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")


class Corecast:
    """A broker with one shard, which holds the publisher back rather than drop anything."""

    def __init__(self, command, keys):
        options = ["--zmtp-curve-key", keys["server"]] if keys else []
        arguments = [command, "broker", "--listen", "tcp://127.0.0.1:0", "--zmtp", "tcp://127.0.0.1:0", "--shards", "1"]
        self.process = subprocess.Popen(
            [*arguments, "--overflow", "block", "-o", "json", "--log-level", "error", *options], stdout=subprocess.PIPE
        )
        zmtp = json.loads(self.process.stdout.readline())["zmtp"][0]
        self.pid, self.publish, self.subscribe = self.process.pid, zmtp, zmtp

    def end(self):
        self.process.kill()
        self.process.wait()


class Libzmq:
    """The proxy of libzmq, in a process of its own."""

    def __init__(self, _, keys):
        ours, theirs = multiprocessing.Pipe()
        self.process = multiprocessing.Process(target=proxy, args=(keys, theirs), daemon=True)
        self.process.start()
        self.pid = self.process.pid
        self.publish, self.subscribe = ours.recv()

    def end(self):
        self.process.kill()
        self.process.join()


def run(kind, options, keys):
    """Runs one of them; the figures of that run."""
    between = kind(options.corecast, keys)
    swarm = []
    for number in range(PROCESSES):
        ours, theirs = multiprocessing.Pipe()
        sockets = options.subscribers // PROCESSES + (number < options.subscribers % PROCESSES)
        arguments = (between.subscribe, keys, sockets, options.messages, theirs)
        process = multiprocessing.Process(target=subscribe, args=arguments, daemon=True)
        process.start()
        swarm.append((process, ours))
    context = zmq.Context(io_threads=1)
    publisher = context.socket(zmq.PUB)
    without_limits(publisher)
    dress(publisher, keys, server=False)
    publisher.connect(between.publish)
    ends = time.monotonic() + PATIENCE_S
    while not all(pipe.poll() for _, pipe in swarm):
        if time.monotonic() > ends:
            sys.exit("not every subscriber hears the publisher")
        publisher.send(PROBE)
        time.sleep(0.02)
    for _, pipe in swarm:
        pipe.recv()
    message = TOPIC.ljust(options.bytes, b"x")
    cpu_before, begun = cpu_ns(between.pid), time.monotonic_ns()
    for _ in range(options.messages):
        publisher.send(message)
    ended = [pipe.recv() for _, pipe in swarm]
    took_ns = max(at for at, _ in ended) - begun
    deliveries = options.subscribers * options.messages
    figures = {
        "between": kind.__name__.lower(),
        "mechanism": "curve" if keys else "null",
        "bytes": options.bytes,
        "subscribers": options.subscribers,
        "messages": options.messages,
        "missing": sum(missing for _, missing in ended),
        "deliveries_per_s": round(deliveries * 1e9 / took_ns),
        "cpu_ns_per_delivery": round((cpu_ns(between.pid) - cpu_before) / deliveries),
        "rss_bytes": rss_bytes(between.pid),
    }
    publisher.close()
    between.end()
    for process, _ in swarm:
        process.join()
    return figures


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n", maxsplit=1)[0])
    parser.add_argument("corecast")
    parser.add_argument("--subscribers", type=int, default=32)
    parser.add_argument("--messages", type=int, default=20_000)
    parser.add_argument("--bytes", type=int, default=64)
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    if options.subscribers < PROCESSES or options.bytes < len(PROBE) + 1:
        parser.error(f"at least {PROCESSES} subscribers, and {len(PROBE) + 1} bytes")
    with tempfile.TemporaryDirectory() as folder:
        keys = {end: zmq.auth.create_certificates(folder, end)[1] for end in ("server", "client")}
        os.chmod(keys["server"], 0o600)
        for _ in range(options.rounds):
            for kind in (Corecast, Libzmq):
                for mechanism in (keys, None):
                    figures = run(kind, options, mechanism)
                    print(json.dumps(figures), flush=True)
                    if figures["missing"]:
                        sys.exit("some messages were not delivered")


if __name__ == "__main__":
    main()
