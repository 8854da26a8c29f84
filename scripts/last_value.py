#!/usr/bin/env python3
"""Measures how long a late joiner waits for the last value of many topics: of a broker with --keep, and of a nats-server whose
stream keeps one message a subject (JetStream's LastPerSubject). Standard library only.

Both are asked over bare sockets of the same kind: the clock runs from connect() until the last value has been read. Only then is
it checked that each topic came once, with its newest value. Servers are started afresh in each round, in turns; what is kept is in
memory. Each is joined several times, and the median of these is its figure of the round.
"""

import argparse
import json
import os
import pathlib
import signal
import socket
import statistics
import struct
import subprocess
import sys
import tempfile
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "examples/python"))
from raw_client import decode, encode  # noqa: E402

# Feature 4: takes a Start frame.
GREETING = b"CORECAST" + struct.pack("<HHI", 1, 1, 1 << 4)
START_LAST = 1
MARK = b"#VALUE#"
# Seconds that anything may take: a watchdog, not a measure.
PATIENCE_S = 60
STREAM = "KEPT"


def value(topic, version, size):
    """The payload of a topic: it says which, and how new it is."""
    return (MARK + f"{topic}:{version}:".encode()).ljust(size, b"x")


class Connection:
    """A socket that is read in pieces as they come."""

    def __init__(self, port):
        self.socket = socket.create_connection(("127.0.0.1", port), timeout=PATIENCE_S)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.heard = bytearray()

    def say(self, data):
        self.socket.sendall(data)

    def hear(self):
        piece = self.socket.recv(1 << 18)
        if not piece:
            raise EOFError("the server closed the connection")
        self.heard += piece
        return piece

    def until(self, found):
        """Reads until `found` says what it has found in all that was heard; takes nothing away."""
        while (answer := found(self.heard)) is None:
            self.hear()
        return answer

    def until_values(self, count):
        """Reads until so many values have come whole. Nothing is taken apart meanwhile: it costs time, and depends on the form."""
        marks, rest = 0, b""
        while True:
            piece = rest + self.hear()
            marks += piece.count(MARK)
            rest = piece[-(len(MARK) - 1):]
            if marks >= count and self.is_whole(self.heard):
                return

    def close(self):
        self.socket.close()


def frames(heard):
    """The whole frames behind the greeting of a broker."""
    at = 16
    while at + 4 <= len(heard):
        (length,) = struct.unpack_from("<I", heard, at)
        if at + 4 + length > len(heard):
            return
        yield decode(bytes(heard[at + 4:at + 4 + length]))
        at += 4 + length


class Corecast(Connection):
    """A client of our broker."""

    def __init__(self, port, start=False):
        super().__init__(port)
        hello = GREETING + encode("Hello", name=b"late joiner", overflow=0)
        if start:
            hello += encode("Start", value=0, request=2, subscriptions=1, kind=START_LAST)
            hello += encode("Subscribe", filter=b"kept.>", request=1, subscriber=1, kind=1)
        self.say(hello)

    def publish(self, topics, versions, size):
        sequence = 0
        for version in range(versions):
            for topic in topics:
                sequence += 1
                self.say(encode("Message", topic=topic.encode(), payload=value(topic, version, size), publisher=7,
                                sequence=sequence, sent_at_ns=time.time_ns()))
        self.say(encode("Flush", request=9))
        self.until_answered(9)

    def until_answered(self, request):
        done = encode("Done", request=request)[4:]
        self.until(lambda heard: True if done in heard else None)

    @staticmethod
    def is_whole(heard):
        # The answer of the subscription comes behind the last value of history.
        return encode("Done", request=1) in heard[-2048:]

    def values(self):
        found = list(frames(self.heard))
        wrong = [values for name, values in found if name in ("Error", "Gap")]
        assert not wrong, wrong
        return [(values["topic"].decode(), values["payload"]) for name, values in found if name == "Message"]


class Nats(Connection):
    """A client of a nats-server."""

    def __init__(self, port):
        super().__init__(port)
        self.say(b'CONNECT {"verbose":false,"headers":true}\r\n')

    def ask(self, subject, question):
        """The answer to a request of JetStream's."""
        self.heard.clear()
        self.say(b"SUB answers 9\r\nUNSUB 9 1\r\n")
        question = json.dumps(question).encode()
        self.say(f"PUB $JS.API.{subject} answers {len(question)}\r\n".encode() + question + b"\r\n")

        def answer(heard):
            # The greeting of the server may be before it.
            at = heard.find(b"MSG answers ")
            end = heard.find(b"\r\n", at)
            if at < 0 or end < 0:
                return None
            size = int(heard[at:end].split()[-1])
            return json.loads(heard[end + 2:end + 2 + size]) if len(heard) >= end + 4 + size else None

        answered = self.until(answer)
        assert "error" not in answered, answered
        return answered

    def publish(self, topics, versions, size):
        self.ask(f"STREAM.CREATE.{STREAM}", {"name": STREAM, "subjects": ["kept.>"], "storage": "memory",
                                             "max_msgs_per_subject": 1, "retention": "limits", "num_replicas": 1})
        for version in range(versions):
            for topic in topics:
                self.say(f"PUB {topic} {size}\r\n".encode() + value(topic, version, size) + b"\r\n")
        last = len(topics) * versions
        deadline = time.monotonic() + PATIENCE_S
        while (state := self.ask(f"STREAM.INFO.{STREAM}", {})["state"])["last_seq"] < last:
            assert time.monotonic() < deadline, state
        assert state["messages"] == len(topics), state

    def begin(self):
        """Asks for the last value of each subject."""
        consumer = {"deliver_subject": "values", "deliver_policy": "last_per_subject", "ack_policy": "none",
                    "replay_policy": "instant", "filter_subject": "kept.>"}
        question = json.dumps({"stream_name": STREAM, "config": consumer}).encode()
        self.say(b"SUB values 1\r\nSUB answers 2\r\n"
                 + f"PUB $JS.API.CONSUMER.CREATE.{STREAM} answers {len(question)}\r\n".encode() + question + b"\r\n")

    @staticmethod
    def is_whole(heard):
        return heard.endswith(b"x\r\n")

    def values(self):
        found, at = [], 0
        while at < len(self.heard):
            end = self.heard.index(b"\r\n", at)
            words = self.heard[at:end].split()
            at = end + 2
            if words[0] == b"MSG":
                size = int(words[-1])
                if words[1] != b"answers":
                    found.append((words[1].decode(), bytes(self.heard[at:at + size])))
                at += size + 2
        return found


class Server:
    """A process that serves at a port, and ends with this."""

    def __init__(self, words, port):
        self.log = tempfile.TemporaryFile()
        self.process = subprocess.Popen(words, stdin=subprocess.DEVNULL, stdout=self.log, stderr=self.log)
        deadline = time.monotonic() + PATIENCE_S
        while True:
            if self.process.poll() is not None or time.monotonic() > deadline:
                self.log.seek(0)
                raise SystemExit(f"{words[0]} does not serve: {self.log.read().decode(errors='replace')}")
            try:
                socket.create_connection(("127.0.0.1", port), timeout=1).close()
                return
            except OSError:
                time.sleep(0.01)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.send_signal(signal.SIGTERM)
        self.process.wait(PATIENCE_S)
        self.log.close()


def free_port():
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return one.getsockname()[1]


def start(name, program, folder):
    """The server of a round, and its port."""
    port = free_port()
    if name == "corecast":
        return Server([program, "broker", "--listen", f"tcp://127.0.0.1:{port}", "--keep", ">=last"], port), port
    conf = pathlib.Path(folder) / "nats.conf"
    conf.write_text(f'listen: "127.0.0.1:{port}"\njetstream {{ store_dir: "{folder}" }}\nmax_pending: 1073741824\n')
    return Server([program, "-c", str(conf)], port), port


def join(name, port, topics, versions, size):
    """Seconds until a late joiner has the last value of each topic."""
    begun = time.perf_counter()
    if name == "corecast":
        client = Corecast(port, start=True)
    else:
        client = Nats(port)
        client.begin()
    client.until_values(len(topics))
    seconds = time.perf_counter() - begun
    got = client.values()
    client.close()
    assert len(got) == len(topics), f"{name}: {len(got)} values of {len(topics)} topics"
    assert dict(got) == {topic: value(topic, versions - 1, size) for topic in topics}, f"{name}: a value is not the newest"
    return seconds


def measure(name, program, options):
    """The median of some joins, in milliseconds."""
    topics = [f"kept.{number % 100}.{number}" for number in range(options.topics)]
    with tempfile.TemporaryDirectory() as folder:
        server, port = start(name, program, folder)
        with server:
            publisher = Corecast(port) if name == "corecast" else Nats(port)
            publisher.publish(topics, options.versions, options.size)
            publisher.close()
            # The first join warms both up, and does not count.
            joins = [join(name, port, topics, options.versions, options.size) for _ in range(options.joins + 1)][1:]
    return statistics.median(joins) * 1e3


def version_of(program):
    said = subprocess.run([program, "--version"], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=True, text=True)
    return said.stdout.strip().splitlines()[0]


def holds(assertion, figures):
    """Says what does not hold: `NAME <= NUMBER`, of the median over the rounds."""
    name, sign, bound = assertion.split()
    found = figures.get(name, {}).get("median")
    if found is not None and (found <= float(bound) if sign == "<=" else found >= float(bound)):
        return True
    print(f"--assert '{assertion}' does not hold: {name} = {found}", file=sys.stderr)
    return False


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n", maxsplit=1)[0])
    parser.add_argument("--corecast", required=True, help="the corecast command")
    parser.add_argument("--nats", action="append", required=True, help="NAME=FILE of a nats-server; several are compared")
    parser.add_argument("--topics", type=int, default=10_000)
    parser.add_argument("--versions", type=int, default=2, help="values that each topic has had")
    parser.add_argument("--size", type=int, default=64)
    parser.add_argument("--rounds", type=int, default=4)
    parser.add_argument("--joins", type=int, default=5, help="joins in each round")
    parser.add_argument("--json", help="write the figures into this file")
    parser.add_argument("--assert", dest="assertions", action="append", default=[], metavar="'NAME <= NUMBER'")
    options = parser.parse_args()
    servers = [("corecast", options.corecast)] + [tuple(named.split("=", 1)) for named in options.nats]
    times = {name: [] for name, _ in servers}
    for number in range(options.rounds):
        # Each round begins with another one.
        for name, program in servers[number % len(servers):] + servers[:number % len(servers)]:
            times[name].append(measure(name, program, options))
    figures = {f"last_value.{name}_ms": found for name, found in times.items()}
    for name, _ in servers[1:]:
        figures[f"ratio.last_value.{name}"] = [ours / theirs for ours, theirs in zip(times["corecast"], times[name])]
    figures = {name: {"median": round(statistics.median(found), 4), "min": round(min(found), 4), "max": round(max(found), 4)}
               for name, found in figures.items()}
    for name, program in servers:
        print(f"{name}: {version_of(program)}")
    print(f"{options.topics} topics, {options.size} bytes, {options.rounds} rounds, load {os.getloadavg()[0]:.1f}")
    for name, figure in figures.items():
        print("{}: {median:.4g} ({min:.4g}–{max:.4g})".format(name, **figure))
    if options.json:
        pathlib.Path(options.json).write_text(json.dumps({"figures": figures}, indent=2) + "\n", encoding="utf-8")
    return 0 if all([holds(assertion, figures) for assertion in options.assertions]) else 2


if __name__ == "__main__":
    sys.exit(main())
