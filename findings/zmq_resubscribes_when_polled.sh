#!/usr/bin/env bash
# libzmq 4.3.5 (pyzmq 27.1.0): a SUB that has reconnected is subscribed to nothing until its application calls the socket again.
#
# The I/O thread reconnects and does the handshake by itself, and the monitor reports success; the subscriptions are sent by the
# thread that owns the socket, from inside its next call, whichever call that is. Observed on 2026-11-28: after a publisher's restart
# an XPUB receives no subscription for as long as the subscriber's application is busy with something else (2 s here), and at once when
# it polls with a time-out of 0. Meanwhile everything published is dropped at the publisher, and no counter of the subscriber shows it.
# An application that must not miss messages after a restart has to poll, or to learn of the restart from the other side.
#
# Needs python3 with venv and a package index. Exit code 1: the behaviour has changed.
set -euo pipefail

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
python3 -m venv python >/dev/null
python/bin/pip install --quiet --disable-pip-version-check 'pyzmq==27.1.0'
cat > restart.py <<'PYTHON'
import zmq
from zmq.utils.monitor import recv_monitor_message


def publisher(port):
    """Returns an XPUB of a context of its own, and its port."""
    socket = zmq.Context().socket(zmq.XPUB)
    socket.setsockopt(zmq.LINGER, 0)
    if port is None:
        return socket, socket.bind_to_random_port("tcp://127.0.0.1")
    socket.bind(f"tcp://127.0.0.1:{port}")
    return socket, port


print("libzmq", zmq.zmq_version(), "pyzmq", zmq.__version__)
first, port = publisher(None)
subscriber = zmq.Context().socket(zmq.SUB)
subscriber.setsockopt(zmq.LINGER, 0)
subscriber.setsockopt(zmq.RECONNECT_IVL, 50)
subscriber.connect(f"tcp://127.0.0.1:{port}")
subscriber.subscribe(b"a")
assert first.recv() == b"\x01a"

shaken = subscriber.get_monitor_socket(zmq.EVENT_HANDSHAKE_SUCCEEDED)
first.close()
first.context.term()
second, _ = publisher(port)
assert shaken.poll(20_000), "it reconnects"
recv_monitor_message(shaken)
print("2 s after the handshake:", "subscribed" if second.poll(2_000) else "not subscribed")
subscriber.poll(0)
print("after poll(0):", "subscribed" if second.poll(20_000) and second.recv() == b"\x01a" else "not subscribed")
PYTHON
python/bin/python restart.py > seen
cat seen
diff - seen <<'EXPECTED'
libzmq 4.3.5 pyzmq 27.1.0
2 s after the handshake: not subscribed
after poll(0): subscribed
EXPECTED
echo "as described"
