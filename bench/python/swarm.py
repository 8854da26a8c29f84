"""A swarm of Python as a peer of corecast-bench, for systems whose subscribers are their own clients: a process for each
core, one for all publishers, messages that begin with `topic:publisher:id:timestamp:`, and an account of every delivery.

A script brings the system and calls `main`, with the file of a plan behind its own arguments. A system has:

    direct                        true if the publishers' process is the one that fans out
    fan_out(pipe)                 the process in between: sends (publish address, subscribe address, version) through the
                                  pipe, and goes on until it is ended
    publish(address)              a publisher: returns the function that sends (topic, bytes)
    subscribe(address, accounts)  subscribes once for each account, and returns the function that ends all of it

The plan is an object of JSON:

    processes, size, rate         how many processes subscribe, the bytes of a message, the messages/s of a publisher
    topics                        the names of all topics
    sends                         for each publisher, the topic of each of its messages
    wants, filters                for each subscriber, the topics that it wants, and the filters by which it asks for them

It prints a line of JSON when a message of each publisher on each topic has reached all who want it, waits for a line on
stdin, sends, prints a line of JSON about what it sent, and then every delivery as `subscriber,publisher,id,latency in ns`.
Timestamps are when a message should have been sent, by CLOCK_MONOTONIC, which all processes of one machine share.
"""

import ctypes
import json
import multiprocessing
import os
import signal
import sys
import threading
import time

PROBE_EVERY_S = 0.05  # until every subscription is in force
LOOK_EVERY_MS = 100  # how often a swarm looks whether all is there, or it shall end
LATE_AFTER_NS = 10_000_000  # as for every other peer: an interval, and no less than this
SETTLE_S = 10.0  # how long the last deliveries may take
PR_SET_PDEATHSIG = 1


class Account:
    """The deliveries to one subscriber."""

    def __init__(self, number, plan):
        self.number, self.size, self.filters = number, plan["size"], plan["filters"][number]
        wants = set(plan["wants"][number])
        wanted_of = [[topic for topic in sends if topic in wants] for sends in plan["sends"]]
        self.messages = sum(map(len, wanted_of))
        self.names = {plan["topics"][topic].encode() for topic in wants}
        # What is to be heard before it begins: each publisher on each of its topics.
        self.unheard = {
            (plan["topics"][topic].encode(), publisher) for publisher, topics in enumerate(wanted_of) for topic in topics
        }
        self.heard, self.stopped = threading.Event(), threading.Event()
        self.deliveries = []
        self.last_ns = 0
        if not self.unheard:
            self.heard.set()

    def is_open(self):
        return not self.stopped.is_set() and len(self.deliveries) < self.messages

    def take(self, received):
        now_ns = time.monotonic_ns()
        topic, publisher, identity, timestamp_ns, _ = received.split(b":", 4)
        if topic not in self.names or len(received) != self.size:
            raise ValueError(f"a message of {len(received)} bytes that begins with {topic!r}")
        if int(identity) >= 0:
            self.deliveries.append((int(publisher), int(identity), now_ns - int(timestamp_ns)))
            self.last_ns = now_ns
        elif self.unheard:
            self.unheard.discard((topic, int(publisher)))
            if not self.unheard:
                self.heard.set()


def end_with_parent():
    """No process of an experiment outlives it, however it ends."""
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the one that was asked ends the others


def fan_out(pipe, system):
    end_with_parent()
    system.fan_out(pipe)


def message(topic, publisher, identity, timestamp_ns, size):
    return (b"%s:%d:%d:%d:" % (topic, publisher, identity, timestamp_ns)).ljust(size)


def publishers(pipe, system, address, plan):
    """Probe until everybody is known to hear them, then send at the rate: their schedules interlock."""
    end_with_parent()
    size, rate, sends = plan["size"], plan["rate"], plan["sends"]
    names = [name.encode() for name in plan["topics"]]
    senders = [system.publish(address) for _ in sends]
    pipe.send("there")
    while not pipe.poll(PROBE_EVERY_S):
        for publisher, send in enumerate(senders):
            for topic in sorted(set(sends[publisher])):
                send(names[topic], message(names[topic], publisher, -1, 0, size))
    pipe.recv()
    pipe.recv()  # go
    interval_ns = 1e9 / rate
    start_ns = time.monotonic_ns() + 50_000_000
    late = 0
    for identity in range(len(sends[0])):
        for publisher, send in enumerate(senders):
            due_ns = start_ns + int((identity + publisher / len(senders)) * interval_ns)
            name = names[sends[publisher][identity]]
            while (left_ns := due_ns - time.monotonic_ns()) > 0:
                time.sleep(left_ns / 1e9)
            send(name, message(name, publisher, identity, due_ns, size))
            late += time.monotonic_ns() - due_ns > max(interval_ns, LATE_AFTER_NS)
    sent = sum(map(len, sends))
    pipe.send({"sent": sent, "intended": sent, "late": late, "started_ns": start_ns})
    pipe.recv()  # its queues empty while it stays


def swarm(pipe, system, address, accounts):
    """The subscribers of one core."""
    end_with_parent()
    end = system.subscribe(address, accounts)
    for account in accounts:
        account.heard.wait()
    pipe.send("heard")
    while any(account.is_open() for account in accounts):
        if pipe.poll(LOOK_EVERY_MS / 1000):
            pipe.recv()
            break
    for account in accounts:
        account.stopped.set()
    end()
    pipe.send([(account.number, account.last_ns, account.deliveries) for account in accounts])


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


def main(system, file):
    multiprocessing.set_start_method("fork")
    with open(file, encoding="ascii") as text:
        plan = json.load(text)
    subscribers, processes = len(plan["wants"]), plan["processes"]
    between, pipe = start(fan_out, system)
    publish_at, subscribe_at, version = pipe.recv()
    sender, to_sender = start(publishers, system, publish_at, plan)
    to_sender.recv()
    costs = sender if system.direct else between
    rss_before = rss_bytes(costs)
    shares = [range(share, subscribers, processes) for share in range(processes)]
    accounts = [[Account(number, plan) for number in share] for share in shares if share]
    pipes = [start(swarm, system, subscribe_at, share)[1] for share in accounts]
    for pipe in pipes:
        pipe.recv()
    to_sender.send("everybody hears")
    ready = {"fan_out_pid": costs.pid, "rss_before_bytes": rss_before, "version": version}
    print(json.dumps(ready), flush=True)
    if not sys.stdin.readline():
        return
    to_sender.send("go")
    sent = to_sender.recv()
    rows = collect(pipes)
    print(json.dumps({**sent, "last_arrival_ns": max(last_ns for _, last_ns, _ in rows)}))
    for number, _, deliveries in rows:
        sys.stdout.writelines("%d,%d,%d,%d\n" % (number, *delivery) for delivery in deliveries)
    sys.stdout.flush()
    # Whoever started this reads what the fan-out cost while it still is there.
    sys.stdin.readline()
