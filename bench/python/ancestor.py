"""The ancestor's experiment, written afresh on pyzmq: a process for each core, a thread and a socket for each
subscriber, and a publisher of `topic:id:timestamp` messages in one part.

    ancestor.py proxy|direct SUBSCRIBERS PROCESSES SIZE RATE MESSAGES

proxy: publisher -> zmq.proxy (XSUB, XPUB) -> subscribers. direct: a notifier tells subscribers where the publisher is
bound, once, when they subscribe. Both with libzmq's own defaults, as the ancestor had them.

It prints a line of JSON when a message has reached every subscriber, waits for a line on stdin, sends, prints a line
of JSON about what it sent, and then every delivery as `subscriber,id,latency in ns`. Timestamps are when a message
should have been sent, by CLOCK_MONOTONIC, which all processes of one machine share.
"""

import ctypes
import json
import multiprocessing
import os
import signal
import sys
import threading
import time

import zmq

TOPIC = b"bench"
LOOPBACK = "tcp://127.0.0.1:*"
PROBE_EVERY_S = 0.05  # until every subscription is in force
LOOK_EVERY_MS = 100  # how often a subscriber that gets nothing looks whether it shall end
LATE_AFTER_NS = 10_000_000  # as for every other peer: an interval, and no less than this
SETTLE_S = 10.0  # how long the last deliveries may take
PR_SET_PDEATHSIG = 1


def end_with_parent():
    """No process of an experiment outlives it, however it ends."""
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the one that was asked ends the others


def new_context():
    context = zmq.Context()
    context.set(zmq.MAX_SOCKETS, 65535)
    return context


def proxy(pipe):
    """The broker of proxy mode: passes everything on, in C."""
    end_with_parent()
    context = new_context()
    front, back = context.socket(zmq.XSUB), context.socket(zmq.XPUB)
    front.bind(LOOPBACK)
    back.bind(LOOPBACK)
    pipe.send((front.get_string(zmq.LAST_ENDPOINT), back.get_string(zmq.LAST_ENDPOINT)))
    zmq.proxy(front, back)


def notifier(pipe):
    """The broker of direct mode: answers every subscriber with where the publisher is."""
    end_with_parent()
    socket = new_context().socket(zmq.REP)
    socket.bind(LOOPBACK)
    pipe.send(socket.get_string(zmq.LAST_ENDPOINT))
    publisher = b""
    while True:
        word, _, address = socket.recv().partition(b" ")
        if word == b"register":
            publisher = address
        socket.send(publisher)


def message(identity, timestamp_ns, size):
    return (b"%s:%d:%d" % (TOPIC, identity, timestamp_ns)).ljust(size)


def publisher(pipe, mode, address, plan):
    """Probes until it is told that everybody hears it, then sends at the rate."""
    end_with_parent()
    size, rate, messages = plan
    context = new_context()
    socket = context.socket(zmq.PUB)
    if mode == "proxy":
        socket.connect(address)
    else:
        socket.bind(LOOPBACK)
        asked = context.socket(zmq.REQ)
        asked.connect(address)
        asked.send(b"register " + socket.get_string(zmq.LAST_ENDPOINT).encode())
        asked.recv()
    pipe.send("there")
    while not pipe.poll(PROBE_EVERY_S):
        socket.send(message(-1, 0, size))
    pipe.recv()
    pipe.recv()  # go
    interval_ns = 1e9 / rate
    start_ns = time.monotonic_ns() + 50_000_000
    late = 0
    for identity in range(messages):
        due_ns = start_ns + int(identity * interval_ns)
        while (left_ns := due_ns - time.monotonic_ns()) > 0:
            time.sleep(left_ns / 1e9)
        socket.send(message(identity, due_ns, size))
        late += time.monotonic_ns() - due_ns > max(interval_ns, LATE_AFTER_NS)
    pipe.send({"sent": messages, "intended": messages, "late": late, "started_ns": start_ns})
    pipe.recv()  # its queues empty while it stays


class Subscriber(threading.Thread):
    """One subscriber: its own socket, its own thread."""

    def __init__(self, context, number, mode, address, messages):
        super().__init__(daemon=True)
        self.context, self.number, self.mode, self.address, self.messages = context, number, mode, address, messages
        self.heard, self.stopped = threading.Event(), threading.Event()
        self.deliveries = []
        self.last_ns = 0

    def run(self):
        socket = self.context.socket(zmq.SUB)
        socket.setsockopt(zmq.SUBSCRIBE, TOPIC)
        address = self.address
        if self.mode == "direct":
            asked = self.context.socket(zmq.REQ)
            asked.connect(address)
            asked.send(b"where")
            address = asked.recv().decode()
            asked.close()
        socket.connect(address)
        while not self.stopped.is_set() and len(self.deliveries) < self.messages:
            if not socket.poll(LOOK_EVERY_MS):
                continue
            received = socket.recv()
            now_ns = time.monotonic_ns()
            _, identity, timestamp_ns = received.split(b":")
            if int(identity) >= 0:
                self.deliveries.append((int(identity), now_ns - int(timestamp_ns)))
                self.last_ns = now_ns
            self.heard.set()
        socket.close()


def swarm(pipe, mode, address, numbers, messages):
    """The subscribers of one core."""
    end_with_parent()
    context = new_context()
    subscribers = [Subscriber(context, number, mode, address, messages) for number in numbers]
    for subscriber in subscribers:
        subscriber.start()
    for subscriber in subscribers:
        subscriber.heard.wait()
    pipe.send("heard")
    while any(subscriber.is_alive() for subscriber in subscribers):
        if pipe.poll(LOOK_EVERY_MS / 1000):
            pipe.recv()
            break
    for subscriber in subscribers:
        subscriber.stopped.set()
        subscriber.join()
    pipe.send([(subscriber.number, subscriber.last_ns, subscriber.deliveries) for subscriber in subscribers])


def start(role, *arguments):
    """A process of that role, and the pipe to it."""
    here, there = multiprocessing.Pipe()
    process = multiprocessing.Process(target=role, args=(there, *arguments), daemon=True)
    process.start()
    there.close()
    return process, here


def rss_bytes(process):
    with open(f"/proc/{process.pid}/statm", encoding="ascii") as statm:
        return int(statm.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def collect(pipes):
    """What all subscribers measured; those that miss something are not waited for beyond the bound."""
    deadline = time.monotonic() + SETTLE_S
    for pipe in pipes:
        if not pipe.poll(max(deadline - time.monotonic(), 0)):
            pipe.send("stop")
    return [row for pipe in pipes for row in pipe.recv()]


def main():
    mode = sys.argv[1]
    subscribers, processes, size = map(int, sys.argv[2:5])
    rate, messages = float(sys.argv[5]), int(sys.argv[6])
    if mode == "proxy":
        fan_out, pipe = start(proxy)
        publish_at, subscribe_at = pipe.recv()
    else:
        _, pipe = start(notifier)
        publish_at = subscribe_at = pipe.recv()
    sender, to_sender = start(publisher, mode, publish_at, (size, rate, messages))
    to_sender.recv()
    fan_out = fan_out if mode == "proxy" else sender
    rss_before = rss_bytes(fan_out)
    shares = [range(share, subscribers, processes) for share in range(processes)]
    pipes = [start(swarm, mode, subscribe_at, share, messages)[1] for share in shares if share]
    for pipe in pipes:
        pipe.recv()
    to_sender.send("everybody hears")
    ready = {"ready": True, "fan_out_pid": fan_out.pid, "rss_before_bytes": rss_before}
    print(json.dumps({**ready, "libzmq": zmq.zmq_version(), "pyzmq": zmq.pyzmq_version()}), flush=True)
    if not sys.stdin.readline():
        return
    to_sender.send("go")
    sent = to_sender.recv()
    rows = collect(pipes)
    print(json.dumps({**sent, "last_arrival_ns": max(last_ns for _, last_ns, _ in rows)}))
    for number, _, deliveries in rows:
        sys.stdout.writelines(f"{number},{identity},{latency_ns}\n" for identity, latency_ns in deliveries)
    sys.stdout.flush()
    # Whoever started this reads what the fan-out cost while it still is there.
    sys.stdin.readline()


if __name__ == "__main__":
    multiprocessing.set_start_method("fork")
    main()
