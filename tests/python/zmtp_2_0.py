"""A real library of ZMTP 2.0 (JeroMQ 0.3.6) beside libzmq: cases of zmtp.py."""
import os
import subprocess

import zmq

from broker import Broker
from sockets import asked, is_, socket

ROOT = os.path.join(os.path.dirname(os.path.abspath(__file__)), "../..")


def jeromq():
    """Its publisher gets subscriptions and reaches subscribers; its subscriber receives from libzmq, and gets no heartbeats."""
    jar = subprocess.run([ROOT + "/scripts/jeromq-env.sh"], check=True, stdout=subprocess.PIPE, text=True).stdout.strip()

    def java(*args):
        line = ["java", "-cp", jar, ROOT + "/tests/java/Zmtp2.java", *args]
        return subprocess.Popen(line, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    with Broker("--heartbeat", "100ms") as broker:
        old_sub = java("sub", broker.url, "a.", "2000")
        broker.until(lambda n: n == 1, "corecast_subscriptions")
        sub = socket(zmq.SUB, broker.url, subscribe=[b"a.java"])
        broker.until(lambda n: n == 2, "corecast_subscriptions")
        pub = socket(zmq.XPUB, broker.url)
        asked(pub, b"\x01a.", b"\x01a.java")
        old_pub = java("pub", broker.url, "a.java", "1000")
        is_([sub.recv_multipart() for _ in range(1000)], [[b"a.java", b"", b"%d" % n] for n in range(1000)])
        for n in range(1000):
            pub.send_multipart([b"a.zmq", b"%d" % n])
        heard = old_sub.communicate(timeout=60)[0].splitlines()
        is_(heard, [f"a.java  {n}" for n in range(1000)] + [f"a.zmq {n}" for n in range(1000)])
        assert old_pub.communicate("\n", timeout=60)[0].startswith("asked 1a."), "it heard a subscription"
        is_(broker.count("corecast_closes_total", 'reason="malformed"'), 0)


CASES = (jeromq,)
