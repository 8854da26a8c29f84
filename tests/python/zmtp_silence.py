"""Peers that are silent for a reason: cases of zmtp.py."""
import time

import zmq

from broker import Broker
from sockets import asked, is_, socket


def slow_reader():
    """A subscriber reads all the time, but slowly: it answers a heartbeat only after it has read everything before it."""
    with Broker("--heartbeat", "100ms", "--overflow", "block") as broker:
        sub = socket(zmq.SUB, broker.url, subscribe=[b""], rcvhwm=10)
        pub = socket(zmq.XPUB, broker.url)
        asked(pub, b"\x01")
        for n in range(3000):
            pub.send_multipart([b"t", b"%d" % n, bytes(1000)])
        for n in range(3000):
            is_(int(sub.recv_multipart()[1]), n)
            time.sleep(0.001)
        is_(broker.count("corecast_closes_total"), 0)


def rare_reader():
    """An application takes one message a second, and its socket takes no more either."""
    with Broker("--heartbeat", "100ms") as broker:
        sub = socket(zmq.SUB, broker.url, subscribe=[b""], rcvhwm=1)
        pub = socket(zmq.XPUB, broker.url)
        asked(pub, b"\x01")
        for n in range(200):
            pub.send_multipart([b"t", b"%d" % n, bytes(1000)])
        for n in range(200):
            if n < 3:
                time.sleep(1)
            is_(int(sub.recv_multipart()[1]), n)
        is_(broker.count("corecast_closes_total"), 0)


def busy_publisher():
    """A busy publisher: its socket takes no more subscriptions, nor the heartbeats after them."""
    with Broker("--heartbeat", "100ms") as broker:
        pub = socket(zmq.XPUB, broker.url, rcvhwm=1)
        sub = socket(zmq.SUB, broker.url, subscribe=[b"%d" % n for n in range(2000)])
        broker.until(lambda n: n == 2000, "corecast_subscriptions")
        time.sleep(1)
        asked(pub, *[b"\x01%d" % n for n in range(2000)])
        pub.send(b"1999")
        is_(sub.recv(), b"1999")
        is_(broker.count("corecast_closes_total"), 0)


CASES = (slow_reader, rare_reader, busy_publisher)
