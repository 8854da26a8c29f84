#!/usr/bin/env bash
# libzmq 4.3.5 (pyzmq 27.1.0): ZMQ_HEARTBEAT_IVL on a publisher disconnects live subscribers because they read slowly.
#
# A SUB whose queue (ZMQ_RCVHWM) is full reads nothing more from its connection, PINGs included, until its application takes messages;
# so it answers no PING, and a publisher with heartbeats takes it for dead after ZMQ_HEARTBEAT_TIMEOUT. Observed on 2026-11-28: 2,000
# messages of 1 KB to a subscriber that takes the first 30 at 10 a second, with no high-water mark at the publisher. Without heartbeats
# all 2,000 arrive and nobody is disconnected; with an interval of 200 ms and a time-out of 1 s the publisher disconnects it once
# and the queued messages are lost, which neither side's receive or send reports. The option is meant to find dead hosts; behind a
# backlog it cannot distinguish one from a slow application.
#
# Needs python3 with venv and a package index; takes about 15 s. Exit code 1: the behaviour has changed.
set -euo pipefail

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
python3 -m venv python >/dev/null
python/bin/pip install --quiet --disable-pip-version-check 'pyzmq==27.1.0'
cat > slow.py <<'PYTHON'
import time

import zmq
from zmq.utils.monitor import recv_monitor_message

MESSAGES = 2_000
SLOWLY = 30


def run(name, heartbeats):
    publisher = zmq.Context().socket(zmq.PUB)
    subscriber = zmq.Context().socket(zmq.SUB)
    for socket in (publisher, subscriber):
        socket.setsockopt(zmq.LINGER, 0)
    publisher.setsockopt(zmq.SNDHWM, 0)
    subscriber.setsockopt(zmq.RCVHWM, 1)
    subscriber.setsockopt(zmq.RCVBUF, 4096)
    subscriber.setsockopt(zmq.RCVTIMEO, 3_000)
    if heartbeats:
        publisher.setsockopt(zmq.HEARTBEAT_IVL, 200)
        publisher.setsockopt(zmq.HEARTBEAT_TIMEOUT, 1_000)
    port = publisher.bind_to_random_port("tcp://127.0.0.1")
    monitor = publisher.get_monitor_socket(zmq.EVENT_HANDSHAKE_SUCCEEDED | zmq.EVENT_DISCONNECTED)
    subscriber.connect(f"tcp://127.0.0.1:{port}")
    subscriber.subscribe(b"")
    recv_monitor_message(monitor)
    time.sleep(0.5)  # the subscription follows the handshake, and a PUB tells nobody of it
    for _ in range(MESSAGES):
        publisher.send(b"x" * 1_000)
    received = 0
    try:
        while received < MESSAGES:
            subscriber.recv()
            received += 1
            if received < SLOWLY:
                time.sleep(0.1)
    except zmq.Again:
        pass
    disconnected = 0
    while monitor.poll(0):
        disconnected += recv_monitor_message(monitor)["event"] == zmq.EVENT_DISCONNECTED
    print(f"{name}: {'all' if received == MESSAGES else 'not all'} arrive, {'' if disconnected else 'not '}disconnected")


print("libzmq", zmq.zmq_version(), "pyzmq", zmq.__version__)
run("without heartbeats", False)
run("with heartbeats", True)
PYTHON
python/bin/python slow.py > seen
cat seen
diff - seen <<'EXPECTED'
libzmq 4.3.5 pyzmq 27.1.0
without heartbeats: all arrive, not disconnected
with heartbeats: not all arrive, disconnected
EXPECTED
echo "as described"
