#!/usr/bin/env python3
"""A corecast client on plain sockets, written from docs/PROTOCOL.md alone. Python 3.8, standard library only.

    raw_client.py sub BROKER FILTER [COUNT]     prints payloads; "ready" on stderr once the subscription is in force
    raw_client.py pub BROKER TOPIC MESSAGE...   waits for a subscriber, publishes, ends when the broker has taken all
    raw_client.py decode                        reads frames as hex, one per line, and prints them

BROKER is tcp://HOST:PORT, tls://HOST:PORT or uds://PATH. Not a library: it shows the protocol in little code. `sub` also receives from
direct publishers; `pub` always goes through the broker.
"""

import queue
import random
import socket
import ssl
import struct
import sys
import threading
import time

GREETING = b"CORECAST" + struct.pack("<HHI", 1, 1, 0)
ROOT_BYTES = 41

# Tag by tag: the name, and the fields in order. "v" is variable bytes, the others are struct's codes.
FRAMES = [
    ("Message", "topic:v payload:v publisher:Q sequence:Q sent_at_ns:Q"),
    ("Gap", "topic:v missed:Q reason:B"),
    ("Hello", "name:v overflow:B"),
    ("Welcome", "session:Q epoch:Q frame_bytes_max:I heartbeat_ms:I overflow:B"),
    ("Subscribe", "filter:v request:I subscriber:I kind:B"),
    ("Unsubscribe", "filter:v request:I subscriber:I kind:B"),
    ("Done", "request:I"),
    ("Error", "text:v request:I code:H"),
    ("WatchSubscribers", "topic:v request:I"),
    ("UnwatchSubscribers", "request:I"),
    ("SubscriberCount", "request:I count:I"),
    ("Flush", "request:I"),
    ("Ping", "token:Q"),
    ("Pong", "token:Q"),
    ("Modes", "rules:v"),
    ("Identity", "publisher:Q"),
    ("Register", "endpoints:v topics:v publisher:Q epoch:Q request:I"),
    ("Registered", "request:I lease_ms:I"),
    ("Renew", "publisher:Q epoch:Q request:I"),
    ("Unregister", "publisher:Q epoch:Q"),
    ("WatchPublishers", "filter:v request:I kind:B"),
    ("UnwatchPublishers", "request:I"),
    ("PublisherUp", "endpoints:v topics:v publisher:Q epoch:Q lease_left_ms:I"),
    ("PublisherDown", "publisher:Q epoch:Q reason:B"),
    ("ListPublishers", "request:I"),
    ("Parts", "topic:v payload:v publisher:Q sequence:Q sent_at_ns:Q"),
    ("Run", "topic:v messages:v publisher:Q sequence:Q sent_at_ns:Q"),
    ("Login", "token:v"),
    ("PublishRefused", "topic:v text:s publisher:Q code:H"),
    ("Ticket", "ticket:v publisher:Q"),
    ("TicketRules", "key:v epoch:Q now_ms:Q"),
    ("Start", "value:Q request:I subscriptions:I kind:B"),
    ("Position", "topic:v publisher:Q sequence:Q"),
]
FRAMES = [(name, [tuple(field.split(":")) for field in fields.split()]) for name, fields in FRAMES]
TAGS = {name: tag for tag, (name, _) in enumerate(FRAMES)}


class ProtocolError(Exception):
    """The other end refused, or does not speak this protocol."""


def encode(frame, /, **values):
    """One frame, length first: the variable bytes in order, then the root of 41 bytes."""
    tag = TAGS[frame]
    fields = FRAMES[tag][1]
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
    if root_at < 0 or body[root_at] >= len(FRAMES):
        raise ProtocolError("a body that is no frame of version 1")
    frame, fields = FRAMES[body[root_at]]
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
    return frame, values


class Session:
    """One connection, to a broker or a direct publisher: opened, and kept alive during waits."""

    def __init__(self, endpoint):
        self.socket = connect(endpoint)
        self.buffer = b""
        self.heartbeat_s = 15.0
        self.frame_bytes_max = 1 << 20  # until the welcome sets it
        self.heard_at = self.said_at = time.monotonic()
        self.socket.sendall(GREETING + encode("Hello", name=b"raw_client.py", overflow=0))
        greeting = self.read(16)
        highest, lowest = struct.unpack_from("<HH", greeting, 8)
        if greeting[:8] != GREETING[:8] or not lowest <= 1 <= highest:
            raise ProtocolError(f"{endpoint} does not speak version 1 of corecast")
        before = {}
        while "Welcome" not in before:
            frame, values = self.receive()
            before[frame] = values
        self.frame_bytes_max = before["Welcome"]["frame_bytes_max"]
        self.heartbeat_s = before["Welcome"]["heartbeat_ms"] / 1000
        self.identity = before.get("Identity", {}).get("publisher")
        self.has_direct_topics = b"=direct" in before.get("Modes", {}).get("rules", b"")

    def send(self, frame, /, **values):
        self.socket.settimeout(None)  # wait for a broker that blocks us
        self.socket.sendall(encode(frame, **values))
        self.said_at = time.monotonic()

    def read(self, count):
        """Reads `count` bytes. Sends heartbeats meanwhile, however much comes in; gives up a silent peer."""
        while len(self.buffer) < count:
            now = time.monotonic()
            if now - self.heard_at > 3 * self.heartbeat_s:
                raise ProtocolError("the other end is silent")
            if now - self.said_at >= self.heartbeat_s:
                self.send("Ping", token=0)
            self.socket.settimeout(max(self.said_at + self.heartbeat_s - now, 0.001))
            try:
                received = self.socket.recv(1 << 16)
            except socket.timeout:
                continue
            if not received:
                raise EOFError("the other end closed the connection")
            self.heard_at = time.monotonic()
            self.buffer += received
        taken, self.buffer = self.buffer[:count], self.buffer[count:]
        return taken

    def receive(self):
        """Returns the next frame; those that are answered here do not count."""
        while True:
            (length,) = struct.unpack("<I", self.read(4))
            if not ROOT_BYTES <= length <= self.frame_bytes_max:
                raise ProtocolError(f"a frame of {length} bytes")
            frame, values = decode(self.read(length))
            if frame == "Error":
                raise ProtocolError(f"{values['text'].decode()} (code {values['code']})")
            if frame == "Ping":
                self.send("Pong", token=values["token"])
            elif frame != "Pong":
                return frame, values

    def wait_for(self, wanted):
        """Returns the next frame of that name; for callers that expect no messages meanwhile."""
        while True:
            frame, values = self.receive()
            if frame == wanted:
                return values

    def close(self):
        """Ends the session in order: shuts down our side and reads to the end, so that no reset destroys what we sent."""
        self.socket.shutdown(socket.SHUT_WR)
        self.socket.settimeout(2)
        try:
            while self.socket.recv(1 << 16):
                pass
        except OSError:
            pass
        self.socket.close()


def connect(endpoint):
    if endpoint.startswith("uds://"):
        connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        connection.connect(endpoint[len("uds://") :])
        return connection
    if not endpoint.startswith(("tcp://", "tls://")):
        raise ProtocolError(f"{endpoint} is no endpoint: tcp://HOST:PORT, tls://HOST:PORT or uds://PATH")
    host, port = endpoint[len("tcp://") :].rsplit(":", 1)
    host = host.strip("[]")
    connection = socket.create_connection((host, int(port)), timeout=5)
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    if endpoint.startswith("tls://"):
        # Trusts what OpenSSL trusts here: SSL_CERT_FILE names another authority.
        connection = ssl.create_default_context().wrap_socket(connection, server_hostname=host)
    return connection


def follow(session, events):
    """Passes on every frame of a session, to its end."""
    try:
        while True:
            events.put(session.receive())
    except (ProtocolError, EOFError, OSError) as error:
        events.put(("Ended", {"error": error, "publisher": session.identity}))


def follow_publisher(endpoint, publisher, pattern, events):
    """Opens a session to a direct publisher that the broker has named."""
    try:
        session = Session(endpoint)
        if session.identity != publisher:  # its port may belong to another by now
            raise ProtocolError(f"{endpoint} is not publisher {publisher:016x}")
        session.send("Subscribe", filter=pattern, request=3, subscriber=1, kind=1)
    except (ProtocolError, EOFError, OSError) as error:
        events.put(("Ended", {"error": error, "publisher": publisher}))
    else:
        follow(session, events)


def parts(payload):
    """Returns the parts of a ZeroMQ message after its topic."""
    while payload:
        (length,) = struct.unpack("<I", payload[:4])
        if length > len(payload) - 4:
            raise ProtocolError("the parts of a message are not whole")
        yield payload[4:4 + length]
        payload = payload[4 + length:]


def subscribe(broker, pattern, count):
    pattern, events, publishers = pattern.encode(), queue.Queue(), {}
    session = Session(broker)
    session.send("Subscribe", filter=pattern, request=1, subscriber=1, kind=1)
    waiting = {1}
    if session.has_direct_topics:
        session.send("WatchPublishers", filter=pattern, request=2, kind=1)
        waiting.add(2)
    threading.Thread(target=follow, args=(session, events), daemon=True).start()
    printed = 0
    while count is None or printed < count:
        frame, values = events.get()
        if frame in ("Message", "Parts"):
            payload = values["payload"]
            sys.stdout.buffer.write((payload if frame == "Message" else b"\t".join(parts(payload))) + b"\n")
            sys.stdout.buffer.flush()
            printed += 1
        elif frame == "Gap":
            missed = values["missed"] or "an unknown number of"
            topic = values["topic"].decode(errors="replace") or "any topic"
            print(f"gap: {missed} messages of {topic} missed", file=sys.stderr)
        elif frame == "Done" and values["request"] in waiting:
            waiting.remove(values["request"])
            if not waiting:
                print("ready", file=sys.stderr, flush=True)
        elif frame == "PublisherUp" and values["publisher"] not in publishers:
            endpoint = values["endpoints"].decode().splitlines()[0]
            publishers[values["publisher"]] = endpoint
            start = (endpoint, values["publisher"], pattern, events)
            threading.Thread(target=follow_publisher, args=start, daemon=True).start()
        elif frame == "Ended" and values["publisher"] is not None:
            endpoint = publishers.pop(values["publisher"], None)
            print(f"note: publisher at {endpoint}: {values['error']}", file=sys.stderr)
        elif frame == "Ended":
            raise values["error"]


def publish(broker, topic, messages):
    session = Session(broker)
    topic = topic.encode()
    session.send("WatchSubscribers", topic=topic, request=1)
    while session.wait_for("SubscriberCount")["count"] == 0:
        pass
    session.send("UnwatchSubscribers", request=1)
    publisher = random.getrandbits(64)
    for sequence, message in enumerate(messages, 1):
        payload, now = message.encode(), time.time_ns()
        session.send(
            "Message", topic=topic, payload=payload, publisher=publisher, sequence=sequence, sent_at_ns=now
        )
    session.send("Flush", request=2)
    session.wait_for("Done")
    session.close()


def print_frames():
    """Decodes each line and encodes it again: a line that comes out different is not a frame as a writer makes it."""
    for line in sys.stdin:
        data = bytes.fromhex(line)
        if struct.unpack_from("<I", data)[0] != len(data) - 4:
            raise ProtocolError("a length that is not that of its body")
        frame, values = decode(data[4:])
        if encode(frame, **values) != data:
            raise ProtocolError(f"a {frame} that is not as it should be written")
        print(frame, values)


def main(arguments):
    try:
        if len(arguments) in (3, 4) and arguments[0] == "sub":
            subscribe(arguments[1], arguments[2], int(arguments[3]) if len(arguments) == 4 else None)
        elif len(arguments) >= 4 and arguments[0] == "pub":
            publish(arguments[1], arguments[2], arguments[3:])
        elif arguments == ["decode"]:
            print_frames()
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
