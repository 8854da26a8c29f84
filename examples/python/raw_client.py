#!/usr/bin/env python3
"""A corecast client on a plain socket, written from docs/PROTOCOL.md alone. Python 3.8, standard library only.

    raw_client.py sub BROKER FILTER [COUNT]     prints payloads; "ready" on stderr once the subscription is in force
    raw_client.py pub BROKER TOPIC MESSAGE...   waits for a subscriber, publishes, ends when the broker has taken all

BROKER is tcp://HOST:PORT or uds://PATH. Not a library: it shows the protocol in one page, one thread, one session.
"""

import random
import socket
import struct
import sys
import time

GREETING = b"CORECAST" + struct.pack("<HHI", 1, 1, 0)
ROOT_BYTES = 41

# Tag, and the fields in order: "v" is variable bytes, the others are struct's codes.
FRAMES = {
    "Message": (0, [("topic", "v"), ("payload", "v"), ("publisher", "Q"), ("sequence", "Q"), ("sent_at_ns", "Q")]),
    "Gap": (1, [("topic", "v"), ("missed", "Q"), ("reason", "B")]),
    "Hello": (2, [("name", "v"), ("overflow", "B")]),
    "Welcome": (3, [("session", "Q"), ("epoch", "Q"), ("frame_bytes_max", "I"), ("heartbeat_ms", "I"), ("overflow", "B")]),
    "Subscribe": (4, [("filter", "v"), ("request", "I"), ("subscriber", "I"), ("kind", "B")]),
    "Unsubscribe": (5, [("filter", "v"), ("request", "I"), ("subscriber", "I"), ("kind", "B")]),
    "Done": (6, [("request", "I")]),
    "Error": (7, [("text", "v"), ("request", "I"), ("code", "H")]),
    "WatchSubscribers": (8, [("topic", "v"), ("request", "I")]),
    "UnwatchSubscribers": (9, [("request", "I")]),
    "SubscriberCount": (10, [("request", "I"), ("count", "I")]),
    "Flush": (11, [("request", "I")]),
    "Ping": (12, [("token", "Q")]),
    "Pong": (13, [("token", "Q")]),
}
BY_TAG = {tag: (name, fields) for name, (tag, fields) in FRAMES.items()}


class ProtocolError(Exception):
    """The broker said no, or is no broker."""


def encode(name, /, **values):
    """One frame, length first: the variable bytes in order, then the root of 41 bytes."""
    tag, fields = FRAMES[name]
    variable = b"".join(values[field] for field, code in fields if code == "v")
    root_at, bytes_at = len(variable), 0
    root = bytes([tag])
    for field, code in fields:
        if code == "v":
            pointer = bytes_at - (root_at + len(root))
            root += struct.pack("<iI", pointer, len(values[field]))
            bytes_at += len(values[field])
        else:
            root += struct.pack("<" + code, values[field])
    body = variable + root.ljust(ROOT_BYTES, b"\0")
    return struct.pack("<I", len(body)) + body


def decode(body):
    """A body as (name, {field: value}); follows pointers and checks that they stay inside."""
    root_at = len(body) - ROOT_BYTES
    if root_at < 0 or body[root_at] not in BY_TAG:
        raise ProtocolError("a body that is no frame of version 1")
    name, fields = BY_TAG[body[root_at]]
    at, values = root_at + 1, {}
    for field, code in fields:
        if code == "v":
            pointer, length = struct.unpack_from("<iI", body, at)
            start = at + pointer
            if start < 0 or start + length > len(body):
                raise ProtocolError("a pointer that leaves its frame")
            values[field] = bytes(body[start : start + length])
            at += 8
        else:
            (values[field],) = struct.unpack_from("<" + code, body, at)
            at += struct.calcsize("<" + code)
    return name, values


class Session:
    """One connection to a broker: opened, and kept alive while something is waited for."""

    def __init__(self, broker):
        self.socket = connect(broker)
        self.buffer = b""
        self.heartbeat_s = 15.0
        self.frame_bytes_max = 1 << 20  # until the welcome says it
        self.heard_at = self.said_at = time.monotonic()
        self.socket.sendall(GREETING + encode("Hello", name=b"raw_client.py", overflow=0))
        greeting = self.read(16)
        highest, lowest = struct.unpack_from("<HH", greeting, 8)
        if greeting[:8] != GREETING[:8] or not lowest <= 1 <= highest:
            raise ProtocolError("this is no corecast broker of version 1")
        welcome = self.wait_for("Welcome")
        self.frame_bytes_max = welcome["frame_bytes_max"]
        self.heartbeat_s = welcome["heartbeat_ms"] / 1000

    def send(self, name, /, **values):
        self.socket.settimeout(None)  # a broker that blocks us is one to wait for
        self.socket.sendall(encode(name, **values))
        self.said_at = time.monotonic()

    def read(self, count):
        """So many bytes. Meanwhile it says that we live, however much comes in; gives a silent broker up."""
        while len(self.buffer) < count:
            now = time.monotonic()
            if now - self.heard_at > 3 * self.heartbeat_s:
                raise ProtocolError("the broker is silent")
            if now - self.said_at >= self.heartbeat_s:
                self.send("Ping", token=0)
            self.socket.settimeout(max(self.said_at + self.heartbeat_s - now, 0.001))
            try:
                received = self.socket.recv(1 << 16)
            except socket.timeout:
                continue
            if not received:
                raise EOFError("the broker closed the connection")
            self.heard_at = time.monotonic()
            self.buffer += received
        taken, self.buffer = self.buffer[:count], self.buffer[count:]
        return taken

    def receive(self):
        """The next frame, after those that are answered here."""
        while True:
            (length,) = struct.unpack("<I", self.read(4))
            if not ROOT_BYTES <= length <= self.frame_bytes_max:
                raise ProtocolError(f"a frame of {length} bytes")
            name, values = decode(self.read(length))
            if name == "Error":
                raise ProtocolError(f"{values['text'].decode()} (code {values['code']})")
            if name == "Ping":
                self.send("Pong", token=values["token"])
            elif name != "Pong":
                return name, values

    def wait_for(self, wanted):
        """The next frame of that name; for callers that expect no messages meanwhile."""
        while True:
            name, values = self.receive()
            if name == wanted:
                return values

    def close(self):
        """Ends in order: shut our side, read to the end, so that nothing of ours is lost in a reset."""
        self.socket.shutdown(socket.SHUT_WR)
        self.socket.settimeout(2)
        try:
            while self.socket.recv(1 << 16):
                pass
        except OSError:
            pass
        self.socket.close()


def connect(broker):
    if broker.startswith("uds://"):
        connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        connection.connect(broker[len("uds://") :])
        return connection
    if not broker.startswith("tcp://"):
        raise ProtocolError(f"{broker} is no endpoint: tcp://HOST:PORT or uds://PATH")
    host, port = broker[len("tcp://") :].rsplit(":", 1)
    connection = socket.create_connection((host.strip("[]"), int(port)), timeout=5)
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return connection


def subscribe(broker, pattern, count):
    session = Session(broker)
    session.send("Subscribe", filter=pattern.encode(), request=1, subscriber=1, kind=1)
    printed = 0
    while count is None or printed < count:
        name, values = session.receive()
        if name == "Message":
            sys.stdout.buffer.write(values["payload"] + b"\n")
            sys.stdout.buffer.flush()
            printed += 1
        elif name == "Gap":
            missed = values["missed"] or "an unknown number of"
            print(f"gap: {missed} messages of {values['topic'].decode(errors='replace') or 'any topic'} missed", file=sys.stderr)
        elif name == "Done":
            print("ready", file=sys.stderr, flush=True)
    session.close()


def publish(broker, topic, messages):
    session = Session(broker)
    topic = topic.encode()
    session.send("WatchSubscribers", topic=topic, request=1)
    while session.wait_for("SubscriberCount")["count"] == 0:
        pass
    session.send("UnwatchSubscribers", request=1)
    publisher = random.getrandbits(64)
    for sequence, message in enumerate(messages, 1):
        payload = message.encode()
        session.send(
            "Message", topic=topic, payload=payload, publisher=publisher, sequence=sequence, sent_at_ns=time.time_ns()
        )
    session.send("Flush", request=2)
    session.wait_for("Done")
    session.close()


def main(arguments):
    try:
        if len(arguments) in (3, 4) and arguments[0] == "sub":
            subscribe(arguments[1], arguments[2], int(arguments[3]) if len(arguments) == 4 else None)
        elif len(arguments) >= 4 and arguments[0] == "pub":
            publish(arguments[1], arguments[2], arguments[3:])
        else:
            print(__doc__, file=sys.stderr)
            return 2
    except (ProtocolError, EOFError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
