"""ZeroMQ sockets and raw ZMTP peers, for tests against a real broker."""
import socket as plain
import struct

import zmq

CONTEXT = zmq.Context()
CONTEXT.set(zmq.MAX_SOCKETS, 4096)
PATIENCE_MS = 20_000


def socket(kind, url, *, subscribe=(), connect=True, **options):
    made = CONTEXT.socket(kind)
    made.rcvtimeo = made.sndtimeo = PATIENCE_MS
    made.linger = 0
    made.sndhwm = made.rcvhwm = 0
    for name, value in options.items():
        setattr(made, name, value)
    for prefix in subscribe:
        made.subscribe(prefix)
    made.connect(url) if connect else made.bind(url)
    return made


class Peer:
    """A ZMTP peer on a plain socket: 3.1, or 3.0 with minor=0."""

    def __init__(self, url, kind, minor=1):
        host, port = url.removeprefix("tcp://").split(":")
        self.socket = plain.create_connection((host, int(port)))
        self.socket.settimeout(PATIENCE_MS / 1000)
        self.socket.sendall(b"\xff" + bytes(7) + b"\x01\x7f\x03" + bytes([minor]) + b"NULL".ljust(20, b"\0") + bytes(32))
        self.command(b"READY", b"\x0bSocket-Type" + struct.pack(">I", len(kind)) + kind.encode())
        self.greeting = self.read(64)
        flags, body = self.frame()
        is_((flags, body[:6]), (4, b"\x05READY"))

    def read(self, size):
        data = b""
        while len(data) < size:
            more = self.socket.recv(size - len(data))
            if not more:
                raise EOFError(data)
            data += more
        return data

    def frame(self):
        flags, size = self.read(2)
        if flags & 2:
            size = struct.unpack(">Q", bytes([size]) + self.read(7))[0]
        return flags, self.read(size)

    def message(self, patience):
        """The parts of the next message, or None."""
        self.socket.settimeout(patience)
        parts = []
        try:
            while True:
                flags, body = self.frame()
                parts += [] if flags & 4 else [body]
                if not flags & 5:
                    return parts
        except TimeoutError:
            return None

    def next_message(self):
        """The parts of the next message, which must come."""
        parts = self.message(PATIENCE_MS / 1000)
        assert parts is not None, "no message came"
        return parts

    def send(self, body, flags=0):
        self.socket.sendall(bytes([flags, len(body)]) + body)

    def command(self, name, data=b""):
        self.send(bytes([len(name)]) + name + data, 4)


def is_(found, expected):
    assert found == expected, f"{found!r:.500} is not {expected!r:.500}"


def asked(xpub, *prefixes):
    """Checks that the publisher receives exactly these subscriptions, in any order."""
    is_(sorted(xpub.recv() for _ in prefixes), sorted(prefixes))


def quiet(s, ms=300):
    is_(s.poll(ms), 0)
