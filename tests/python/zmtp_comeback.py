"""Brokers and peers that go and come back: cases of zmtp.py."""
import resource
import signal
import time

import zmq

from broker import Broker
from sockets import asked, is_, quiet, socket


def until_subscribed(broker, subs, count):
    """Waits for `count` subscriptions. A libzmq socket sends them again only when its application calls it."""
    while broker.count("corecast_subscriptions") != count:
        for sub in subs:
            sub.poll(0)
        time.sleep(0.02)


def restart_while_connecting():
    """A broker is asked to stop while many connect, and starts again: all come back, since an ERROR told none of them
    never to try again."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    for pause in (0.02, 0.1):
        broker = Broker()
        url, native = broker.url, broker.native
        # Their handshakes all are under way when it goes on, and is asked to stop.
        broker.process.send_signal(signal.SIGSTOP)
        subs = [socket(zmq.SUB, url, subscribe=[b"t"], reconnect_ivl=50) for _ in range(1000)]
        time.sleep(0.2)
        broker.process.send_signal(signal.SIGCONT)
        time.sleep(pause)
        broker.__exit__()
        with Broker(urls=[url], listen=native) as again:
            until_subscribed(again, subs, len(subs))
            pub = socket(zmq.XPUB, url)
            asked(pub, b"\x01t")
            pub.send(b"t")
            for sub in subs:
                is_(sub.recv(), b"t")
        for sub in subs:
            sub.close()
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def killed_under_many_prefixes():
    """A broker is killed under 20,000 prefixes, and comes back: all of them are in force again."""
    broker = Broker()
    url, native = broker.url, broker.native
    names = [b"%05d" % n for n in range(20_000)]
    sub = socket(zmq.SUB, url, subscribe=names, reconnect_ivl=50)
    broker.until(lambda n: n == len(names), "corecast_subscriptions")
    broker.kill()
    with Broker(urls=[url], listen=native) as again:
        until_subscribed(again, [sub], len(names))
        pub = socket(zmq.XPUB, url, xpub_verbose=1)
        is_({pub.recv() for _ in names}, {b"\x01" + name for name in names})
        for name in names:
            pub.send(name)
        is_([sub.recv() for _ in names], names)


def killed_subscribers():
    """Two subscribers of one prefix are killed: a publisher gets one subscription, and one cancel."""
    with Broker() as broker:
        pub = socket(zmq.XPUB, broker.url, xpub_verbose=1)
        subs = [socket(zmq.SUB, broker.url, subscribe=[b"t"]) for _ in range(2)]
        asked(pub, b"\x01t")
        broker.until(lambda n: n == 2, "corecast_subscriptions")
        quiet(pub)
        for sub in subs:
            sub.close()
        asked(pub, b"\x00t")
        quiet(pub)


def last_value_cache():
    """The pattern of ZeroMQ's guide: a cache sends the last value again whenever it gets a subscription. So it must get
    that of a prefix's second subscriber, too."""
    with Broker("--zmtp-verbose") as broker:
        cache = socket(zmq.XPUB, broker.url, xpub_verbose=1)
        subs = []
        for n in range(5):
            subs.append(socket(zmq.SUB, broker.url, subscribe=[b"price"]))
            asked(cache, b"\x01price")
            broker.until(lambda there: there == n + 1, "corecast_subscriptions")
            cache.send_multipart([b"price", b"%d" % n])
            for sub in subs:
                is_(sub.recv_multipart(), [b"price", b"%d" % n])
        for sub in subs:
            sub.close()
        asked(cache, b"\x00price")
        quiet(cache)


CASES = (restart_while_connecting, killed_under_many_prefixes, killed_subscribers, last_value_cache)
