"""Real ZeroMQ sockets against a real broker: python zmtp.py CASE. Exits with 0 if the case passes."""
import asyncio
import json
import os
import random
import socket as plain
import subprocess
import sys
import threading
import time

import zmq
import zmq.asyncio
import zmq.utils.monitor

import zmtp_2_0
import zmtp_comeback
import zmtp_security
import zmtp_silence
from broker import Broker, corecast
from sockets import CONTEXT, PATIENCE_MS, Peer, asked, is_, quiet, socket

def pub_sub():
    """PUB and SUB, without knowledge of each other: publishes until the first message arrives, then all of a thousand."""
    with Broker() as broker:
        sub = socket(zmq.SUB, broker.url, subscribe=[b"news."])
        pub = socket(zmq.PUB, broker.url)
        while not sub.poll(20):
            pub.send_multipart([b"news.hello", b"?"])
        for n in range(1000):
            pub.send_multipart([b"news.%d" % (n % 7), b"%d" % n])
            pub.send_multipart([b"other", b"%d" % n])
        got = []
        while len(got) < 1000:
            topic, body = sub.recv_multipart()
            if body != b"?":
                got.append(body)
        is_(got, [b"%d" % n for n in range(1000)])
        quiet(sub, 100)
        # The publisher filtered at the source: what nobody asked for never came.
        assert broker.count("corecast_messages_in_total") < 2000


def xpub_xsub():
    """Two ports, like a proxy; counted subscriptions; late ones; a cancel without a subscription changes nothing."""
    with Broker(doors=("--zmtp-xsub", "--zmtp-xpub")) as broker:
        up, down = broker.zmtp
        pub = socket(zmq.XPUB, up)
        sub = socket(zmq.XSUB, down)
        sub.send(b"\x01a")
        asked(pub, b"\x01a")
        sub.send(b"\x01a")
        sub.send(b"\x00a")  # libzmq counts, and does not send this one.
        sub.send(b"\x00never")
        quiet(pub)
        pub.send(b"a1")
        is_(sub.recv(), b"a1")
        sub.send(b"\x00a")
        asked(pub, b"\x00a")
        late = socket(zmq.XPUB, up)
        sub.send(b"\x01")
        for each in (pub, late):
            asked(each, b"\x01")
            each.send(b"any")
            is_(sub.recv(), b"any")
        third = socket(zmq.XPUB, up)
        asked(third, b"\x01")
        # First on, last off: a second subscriber changes nothing, until it is the last.
        other = socket(zmq.SUB, down, subscribe=[b""])
        broker.until(lambda n: n == 2, "corecast_subscriptions")
        sub.close()
        broker.until(lambda n: n == 1, "corecast_subscriptions")
        quiet(pub, 100)
        other.close()
        asked(pub, b"\x00")
        # The wrong side of the door.
        wrong = socket(zmq.SUB, up, subscribe=[b""])
        broker.until(lambda n: n > 0, "corecast_closes_total", 'reason="socket_type"')
        wrong.close()


def multipart():
    with Broker() as broker:
        sub = socket(zmq.SUB, broker.url, subscribe=[b""])
        pub = socket(zmq.XPUB, broker.url)
        asked(pub, b"\x01")
        sizes = [0, 1, 254, 255, 256, 257, 65_535, 65_536, 100_000]
        messages = [[b"t"], [b""], [b"", b""], [b"t", b"", b""], [b"x" * 70_000], [b"\xff\x00" * 600, b"y"]]
        messages += [[b"t", b"z" * size] for size in sizes] + [[b"z" * size for size in sizes]]
        messages += [[b"t"] + [b"%d" % n for n in range(1000)]]
        for message in messages:
            pub.send_multipart(message)
        for message in messages:
            is_(sub.recv_multipart(), message)


def many_subscriptions():
    with Broker() as broker:
        pub = socket(zmq.XPUB, broker.url, xpub_verbose=1)
        names = [b"%d." % n for n in range(10_000)]
        sub = socket(zmq.SUB, broker.url, subscribe=names)
        is_({pub.recv() for _ in names}, {b"\x01" + name for name in names})
        random.seed(5)
        some = random.sample(names, 500)
        for name in some:
            pub.send_multipart([name, b"x"])
            is_(sub.recv_multipart(), [name, b"x"])
        for name in names[:5000]:
            sub.unsubscribe(name)
        is_({pub.recv() for _ in range(5000)}, {b"\x00" + name for name in names[:5000]})
        late = socket(zmq.XPUB, broker.url)
        is_({late.recv() for _ in range(5000)}, {b"\x01" + name for name in names[5000:]})


def churn():
    """Subscriptions that come and go while messages flow cost the others nothing."""
    with Broker() as broker:
        sub = socket(zmq.SUB, broker.url, subscribe=[b"steady"])
        pub = socket(zmq.XPUB, broker.url)
        asked(pub, b"\x01steady")
        for n in range(5000):
            pub.send_multipart([b"steady", b"%d" % n])
            pub.send_multipart([b"flicker%d" % (n % 10), b"-"])
            prefix = b"flicker%d" % (n // 2 % 10)
            sub.subscribe(prefix) if n % 2 == 0 else sub.unsubscribe(prefix)
        got = []
        while len(got) < 5000:
            topic, body = sub.recv_multipart()
            if topic == b"steady":
                got.append(int(body))
        is_(got, list(range(5000)))


def chained():
    """libzmq's proxy on both sides of the broker, with PUB and SUB at the ends."""
    with Broker() as broker:
        def proxy(front, back):
            threading.Thread(target=zmq.proxy, args=(front, back), daemon=True).start()
        before, behind = "inproc://before", "inproc://behind"
        proxy(socket(zmq.XSUB, before, connect=False), socket(zmq.XPUB, broker.url))
        proxy(socket(zmq.XSUB, broker.url), socket(zmq.XPUB, behind, connect=False))
        pub = socket(zmq.XPUB, before)
        sub = socket(zmq.SUB, behind, subscribe=[b"a"])
        asked(pub, b"\x01a")
        for n in range(1000):
            pub.send_multipart([b"a", b"%d" % n, b""])
        is_([sub.recv_multipart() for _ in range(1000)], [[b"a", b"%d" % n, b""] for n in range(1000)])
        sub.unsubscribe(b"a")
        asked(pub, b"\x00a")
        broker.__exit__()
        os._exit(0)  # The proxies have no other end.


def reconnect():
    """The broker is killed and comes back: sockets reconnect, and their subscriptions are in force again."""
    broker = Broker()
    url = broker.url
    sub = socket(zmq.SUB, url, subscribe=[b"a"], reconnect_ivl=20)
    pub = socket(zmq.XPUB, url, reconnect_ivl=20)
    asked(pub, b"\x01a")
    pub.send(b"a1")
    is_(sub.recv(), b"a1")
    broker.kill()
    with Broker(urls=[url]):
        # To libzmq it is the same pipe as before, so its application does not get the subscription again.
        while not sub.poll(20):
            pub.send(b"a2")
        is_(sub.recv(), b"a2")


def heartbeat():
    """Peers that send heartbeats stay connected while nothing flows; the broker sends them, too."""
    beats = {"heartbeat_ivl": 50, "heartbeat_timeout": 1000, "heartbeat_ttl": 2000}
    with Broker("--heartbeat", "300ms", "--overflow", "block") as broker:
        sub = socket(zmq.SUB, broker.url, subscribe=[b""], **beats)
        still = socket(zmq.SUB, broker.url, subscribe=[b""])
        pub = socket(zmq.XPUB, broker.url, **beats)
        asked(pub, b"\x01")
        time.sleep(2.5)
        big = [os.urandom(300_000) for _ in range(5)]
        for n in range(50):
            pub.send_multipart([b"a", b"%d" % n, *big])
        for s in (sub, still):
            for n in range(50):
                is_(s.recv_multipart(), [b"a", b"%d" % n, *big])
        is_(broker.count("corecast_closes_total"), 0)


def conflate():
    with Broker() as broker:
        sub = socket(zmq.SUB, broker.url, subscribe=[b""], conflate=1)
        witness = socket(zmq.SUB, broker.url, subscribe=[b""])
        pub = socket(zmq.XPUB, broker.url)
        asked(pub, b"\x01")
        broker.until(lambda n: n == 2, "corecast_subscriptions")
        for n in range(1000):
            pub.send(b"%d" % n)
        while witness.recv() != b"999":
            pass
        last = b""
        while last != b"999":
            last = sub.recv()
        quiet(sub, 50)


def limit():
    """A message just under the limit arrives; one over it is skipped, and the next one of that socket arrives."""
    with Broker() as broker:
        sub = socket(zmq.SUB, broker.url, subscribe=[b""])
        pub = socket(zmq.XPUB, broker.url)
        asked(pub, b"\x01")
        most = (4 << 20) - 41 - 4 - 1
        pub.send_multipart([b"t", b"x" * most])
        is_([len(part) for part in sub.recv_multipart()], [1, most])
        for n in range(10):
            pub.send_multipart([b"t", b"x" * (64 << 20)] if n % 2 else [b"t", b"x" * most, b""])
            pub.send_multipart([b"behind", b"%d" % n])
            is_(sub.recv_multipart(), [b"behind", b"%d" % n])
        broker.until(lambda n: n == 10, "corecast_messages_too_long_total")
        # A length that no broker accepts ends the connection.
        pub.send_multipart([b"t", b"x" * (257 << 20)])
        broker.until(lambda n: n > 0, "corecast_closes_total", 'reason="too_large"')


def many_sockets():
    with Broker() as broker:
        subs = [socket(zmq.SUB, broker.url, subscribe=[b"t"]) for _ in range(512)]
        broker.until(lambda n: n == 512, "corecast_subscriptions")
        pub = socket(zmq.XPUB, broker.url)
        asked(pub, b"\x01t")
        for n in range(20):
            pub.send_multipart([b"t", b"%d" % n])
        for sub in subs:
            is_([sub.recv_multipart()[1] for _ in range(20)], [b"%d" % n for n in range(20)])


def with_asyncio():
    async def main(url):
        context = zmq.asyncio.Context()
        sub, pub = context.socket(zmq.SUB), context.socket(zmq.XPUB)
        sub.subscribe(b"a")
        sub.connect(url)
        pub.connect(url)
        is_(await asyncio.wait_for(pub.recv(), 20), b"\x01a")
        for n in range(100):
            await pub.send_multipart([b"a", b"%d" % n])
        for n in range(100):
            is_(await asyncio.wait_for(sub.recv_multipart(), 20), [b"a", b"%d" % n])
        context.destroy(linger=0)
    with Broker() as broker:
        asyncio.run(main(broker.url))


def ipc():
    path = f"ipc:///tmp/corecast-{os.getpid()}.sock"
    with Broker(urls=[path]) as broker:
        is_(broker.url, path)
        sub = socket(zmq.SUB, path, subscribe=[b""])
        pub = socket(zmq.XPUB, path)
        asked(pub, b"\x01")
        pub.send(b"x")
        is_(sub.recv(), b"x")


def native():
    """Native subscribers receive from ZeroMQ publishers, and vice versa."""
    with Broker() as broker:
        pub = socket(zmq.XPUB, broker.url)
        wanted = 6
        there = corecast("sub", ">", "--broker", broker.native, "--count", str(wanted), "-o", "json", "--timeout", "20")
        asked(pub, b"\x01")
        narrow = corecast("sub", "a.*.c", "--broker", broker.native, "--count", "2", "--timeout", "20")
        asked(pub, b"\x01a.")
        for message in ([b"a.b.c", b"two"], [b"a.b", b"no"], [b"a.x.c", b"", b"three"], [b"one:1:2"], [b""],
                        [b"l" * 2000, b""]):
            pub.send_multipart(message)
        got = [json.loads(line) for line in there.communicate(timeout=30)[0].splitlines()]
        parts = [[m["topic"]] + ([m["payload"]] if "payload" in m else [p["payload"] for p in m["parts"]]) for m in got]
        is_(parts, [["a.b.c", "two"], ["a.b", "no"], ["a.x.c", "", "three"], ["one:1:2"], [""], ["l" * 2000, ""]])
        is_([m["sequence"] for m in got], [1, 2, 3, 4, 5, 6])
        is_(len({m["publisher"] for m in got}), 1)
        is_(narrow.communicate(timeout=30)[0], b"two\n\tthree\n")
        sub = socket(zmq.SUB, broker.url, subscribe=[b"a."])
        sent = corecast("pub", "a.b", "hello", "--broker", broker.native, "--wait-subscribers", "1")
        sent.communicate(timeout=30)
        is_(sub.recv_multipart(), [b"a.b", b"hello"])


def direct():
    """Topics that go direct: ZeroMQ subscribers receive from direct publishers through both shards of the broker, from
    the first message on, and direct subscribers receive from ZeroMQ publishers. Nobody receives anything twice."""
    with Broker("--mode", "direct") as broker:
        subs = [socket(zmq.SUB, broker.url, subscribe=[b"video."]) for _ in range(4)]
        broker.until(lambda n: n == 4, "corecast_subscriptions")
        native = corecast("sub", "video.>", "--broker", broker.native, "--count", "12", "--timeout", "30", text=True)
        broker.until(lambda n: n == 5, "corecast_subscriptions")
        # All five are waited for, though they come in two ways.
        publisher = corecast("pub", "video.a", "--lines", "-", "--broker", broker.native, "--wait-subscribers", "5",
                             stdin=subprocess.PIPE, text=True)
        publisher.stdin.write("".join(f"{n}\n" for n in range(10)))
        publisher.stdin.flush()
        for sub in subs:
            is_([sub.recv_multipart() for _ in range(10)], [[b"video.a", b"%d" % n] for n in range(10)])
        late = socket(zmq.SUB, broker.url, subscribe=[b"video.a"])
        broker.until(lambda n: n == 6, "corecast_subscriptions")
        while not late.poll(20):
            publisher.stdin.write("late\n")
            publisher.stdin.flush()
        is_(late.recv_multipart(), [b"video.a", b"late"])
        pub = socket(zmq.XPUB, broker.url)
        told = {pub.recv() for _ in range(2)}
        assert told == {b"\x01video.", b"\x01video.a"}, told
        pub.send_multipart([b"video.b", b"by zmq"])
        publisher.stdin.close()
        is_(publisher.wait(30), 0)
        lines = native.communicate(timeout=30)[0].split()
        is_(lines[:10], [str(n) for n in range(10)])
        for sub in subs:
            rest = []
            while sub.poll(300):
                rest.append(sub.recv_multipart())
            assert [b"video.b", b"by zmq"] in rest and rest.count([b"video.b", b"by zmq"]) == 1, rest


def direct_door():
    """A direct publisher's own ZeroMQ endpoint: subscribers connect to it as to any PUB socket."""
    path = f"ipc:///tmp/corecast-pub-{os.getpid()}.sock"
    with Broker("--mode", "direct") as broker:
        publisher = corecast("pub", "video.a", "--lines", "-", "--broker", broker.native, "--zmtp", path,
                             stdin=subprocess.PIPE, text=True)
        sub = socket(zmq.SUB, path, subscribe=[b"video."], reconnect_ivl=20)
        while not sub.poll(20):
            publisher.stdin.write("hello\n")
            publisher.stdin.flush()
        is_(sub.recv_multipart(), [b"video.a", b"hello"])
        # It takes no messages from others.
        pub = CONTEXT.socket(zmq.PUB)
        monitor = pub.get_monitor_socket(zmq.EVENT_HANDSHAKE_FAILED_PROTOCOL | zmq.EVENT_DISCONNECTED)
        pub.connect(path)
        assert monitor.poll(PATIENCE_MS)
        pub.close(0)
        # Nor does the broker send anything twice: it receives from the publisher, but not vice versa.
        other = socket(zmq.SUB, broker.url, subscribe=[b"video."])
        while not other.poll(20):
            publisher.stdin.write("again\n")
            publisher.stdin.flush()
        # Lines that it had not read yet may come first.
        while other.recv_multipart() != [b"video.a", b"again"]:
            pass
        publisher.stdin.close()
        is_(publisher.wait(30), 0)
        assert not os.path.exists(path.removeprefix("ipc://"))


def direct_again():
    """A direct publisher is killed and another comes; then the broker is killed and comes back: ZeroMQ subscribers of
    direct topics receive again, each message once."""
    def publisher(broker):
        made = corecast("pub", "video.a", "--lines", "-", "--broker", broker.native, stdin=subprocess.PIPE, text=True)
        return made, lambda line: (made.stdin.write(line + "\n"), made.stdin.flush())

    def until_heard(sub, say, line):
        heard = None
        while heard != line.encode():
            # Queued messages may be older: the line is sent until it arrives.
            say(line)
            if sub.poll(20):
                heard = sub.recv_multipart()[1]
    broker = Broker("--mode", "direct", "--lease", "500ms")
    sub = socket(zmq.SUB, broker.url, subscribe=[b"video."], reconnect_ivl=20)
    first, say = publisher(broker)
    until_heard(sub, say, "first")
    first.kill()
    first.wait()
    second, say = publisher(broker)
    until_heard(sub, say, "second")
    broker.kill()
    again = Broker("--mode", "direct", "--lease", "500ms", urls=[broker.url], listen=broker.native)
    with again:
        until_heard(sub, say, "third")
        say("last")
        got = []
        while not got or got[-1] != b"last":
            got.append(sub.recv_multipart()[1])
        is_(set(got) - {b"third"}, {b"last"})
        # The publisher leaves, and so does the session to it.
        second.stdin.close()
        is_(second.wait(30), 0)
        again.until(lambda n: n == 1, "corecast_sessions")


def as_libzmq():
    """A raw peer gets the same subscriptions and messages from this door as from libzmq's proxy: subscriptions of one
    connection are a set, since libzmq's sockets count for themselves, and of two cancels send one."""
    front, back = CONTEXT.socket(zmq.XSUB), CONTEXT.socket(zmq.XPUB)
    urls = [f"tcp://127.0.0.1:{s.bind_to_random_port('tcp://127.0.0.1')}" for s in (front, back)]
    threading.Thread(target=zmq.proxy, args=(front, back), daemon=True).start()

    def script(up, down):
        said = []
        pub, peer = socket(zmq.XPUB, up), Peer(down, "XSUB")
        peer.send(b"\x01start")
        is_(pub.recv(), b"\x01start")
        commands = (b"\x01a", b"\x01a", b"\x00a", b"\x00a", b"\x01b", b"\x01", b"\x00b", b"\x00")
        for n, command in enumerate(commands):
            # Marks end the wait for what may not come: all of it comes before them.
            mark = b"~%d" % n
            peer.send(command)
            peer.send(b"\x01" + mark)
            said.append(list(iter(pub.recv, b"\x01" + mark)))
            pub.send_multipart([b"ab", b"", b"x"])
            pub.send_multipart([mark, b"", b"x"])
            said.append(list(iter(peer.next_message, [mark, b"", b"x"])))
        pub.close()
        return said
    with Broker(doors=("--zmtp-xsub", "--zmtp-xpub")) as broker:
        is_(script(*broker.zmtp), script(*urls))
        broker.__exit__()
        os._exit(0)  # The proxy has no other end.


def slow():
    """A subscriber that does not read loses messages without a notice; they are counted. The other one gets all."""
    with Broker("--egress-bytes", "8MiB") as broker:
        stalled = socket(zmq.SUB, broker.url, subscribe=[b""], rcvhwm=1, rcvbuf=4096)
        good = socket(zmq.SUB, broker.url, subscribe=[b""])
        pub = socket(zmq.XPUB, broker.url)
        asked(pub, b"\x01")
        broker.until(lambda n: n == 2, "corecast_subscriptions")
        for n in range(1000):
            pub.send_multipart([b"a", b"%d" % n, b"x" * 60_000])
            is_(int(good.recv_multipart()[1]), n)
        broker.until(lambda n: n > 0, "corecast_gaps_untold_total")
        got = []
        while not got or got[-1] != 999:
            got.append(int(stalled.recv_multipart()[1]))
        is_(got, sorted(set(got)))
        assert len(got) < 1000


def mute():
    """A thousand peers that connect and send nothing, and one that speaks HTTP, do not slow a good one down."""
    with Broker() as broker:
        host, port = broker.url.removeprefix("tcp://").split(":")
        strangers = [plain.create_connection((host, int(port))) for _ in range(1000)]
        strangers[0].sendall(b"GET / HTTP/1.1\r\n\r\n")
        sub = socket(zmq.SUB, broker.url, subscribe=[b""])
        pub = socket(zmq.XPUB, broker.url)
        asked(pub, b"\x01")
        pub.send(b"x")
        is_(sub.recv(), b"x")
        broker.until(lambda n: n == 1, "corecast_closes_total", 'reason="not_zmtp"')
        broker.until(lambda n: n == 999, "corecast_closes_total", 'reason="handshake_timeout"')


def notifier():
    """One part, `topic:id:timestamp`; subscribers by prefix. A second subscription needs a second cancel."""
    with Broker() as broker:
        sub = socket(zmq.SUB, broker.url, subscribe=[b"orders:", b"orders:"])
        pub = socket(zmq.XPUB, broker.url)
        asked(pub, b"\x01orders:")
        sub.unsubscribe(b"orders:")
        pub.send(b"order:0:1")
        pub.send(b"orders:1:2")
        is_(sub.recv(), b"orders:1:2")
        sub.unsubscribe(b"orders:")
        asked(pub, b"\x00orders:")


def examples():
    folder = os.path.join(os.path.dirname(__file__), "../../examples/python/")
    def python(*args):
        return subprocess.Popen([sys.executable, folder + args[0], *args[1:]], stdout=subprocess.PIPE, text=True)
    with Broker() as broker:
        source = python("weather.py", "publish", broker.url, "10")
        try:
            average = python("weather.py", "average", broker.url, "1", "5").communicate(timeout=30)[0]
            assert average.startswith("average at 1: "), average
            one = python("subscribe.py", broker.url, "3 ").communicate(timeout=30)[0]
            assert one.startswith("3 "), one
        finally:
            source.kill()


CASES = {f.__name__: f for f in (pub_sub, xpub_xsub, multipart, many_subscriptions, churn, chained, reconnect, heartbeat,
                                 conflate, limit, many_sockets, with_asyncio, ipc, native, direct, direct_door, direct_again, as_libzmq, slow, mute, notifier, examples,
                                 *zmtp_silence.CASES, *zmtp_comeback.CASES, *zmtp_2_0.CASES, *zmtp_security.CASES)}

if __name__ == "__main__":
    for name in sys.argv[1:] or CASES:
        CASES[name]()
    CONTEXT.destroy(linger=0)
