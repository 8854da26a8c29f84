"""CURVE and PLAIN with the sockets and keys of pyzmq and libzmq: cases of zmtp.py."""
import contextlib
import os
import re
import select
import shlex
import signal
import socket as plain
import subprocess
import tempfile
import threading

import zmq
import zmq.auth

from broker import Broker, corecast
from sockets import PATIENCE_MS, asked, is_, quiet, socket


class Keys:
    """A folder with the pair of a broker, made by corecast, and of clients, made by pyzmq."""

    def __init__(self):
        self.folder = tempfile.TemporaryDirectory()
        self.broker = os.path.join(self.folder.name, "broker")
        made = corecast("curve-keygen", self.broker)
        self.public = made.communicate(timeout=30)[0].strip()
        is_(made.returncode, 0)
        is_(zmq.auth.load_certificate(self.broker + ".key"), (self.public, None))
        is_(zmq.auth.load_certificate(self.broker + ".key_secret")[0], self.public)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.folder.cleanup()

    def client(self, name):
        """What a socket of this client is set to."""
        path = os.path.join(self.folder.name, name + ".key_secret")
        if not os.path.exists(path):
            zmq.auth.create_certificates(self.folder.name, name)
        public, secret = zmq.auth.load_certificate(path)
        return {"curve_publickey": public, "curve_secretkey": secret, "curve_serverkey": self.public}

    def serve(self, *args, **kwargs):
        return Broker("--zmtp-curve-key", self.broker + ".key_secret", *args, **kwargs)


class Tap:
    """A TCP connection to a broker in the middle of which somebody stands: `change` gets each piece that a client sends."""

    def __init__(self, url, change):
        host, port = url.removeprefix("tcp://").split(":")
        self.to, self.change = (host, int(port)), change
        self.listener = plain.create_server(("127.0.0.1", 0))
        self.url = "tcp://127.0.0.1:%d" % self.listener.getsockname()[1]
        threading.Thread(target=self.accept, daemon=True).start()

    def accept(self):
        while True:
            client = self.listener.accept()[0]
            broker = plain.create_connection(self.to)
            threading.Thread(target=self.carry, args=(client, broker), daemon=True).start()

    def carry(self, client, broker):
        with client, broker:
            while True:
                for end in select.select([client, broker], [], [])[0]:
                    try:
                        piece = end.recv(1 << 16)
                        if not piece:
                            return
                        if end is client:
                            broker.sendall(self.change(piece))
                        else:
                            client.sendall(piece)
                    except OSError:
                        return


def curve():
    """60,000 messages over CURVE, exact and in order, to subscribers over CURVE and to a native one; all sizes of parts."""
    with Keys() as keys, keys.serve() as broker:
        subs = [socket(zmq.SUB, broker.url, subscribe=[b"n"], **keys.client("sub")) for _ in range(3)]
        xsub = socket(zmq.XSUB, broker.url, **keys.client("xsub"))
        xsub.send(b"\x01n")
        native = corecast("sub", "--broker", broker.native, "--count", "60000", "n", text=True)
        pub = socket(zmq.XPUB, broker.url, xpub_verbose=1, **keys.client("pub"))
        asked(pub, b"\x01n")
        broker.until(lambda n: n == 5, "corecast_subscriptions")
        for n in range(60_000):
            pub.send_multipart([b"n", b"%d" % n])
        for sub in [*subs, xsub]:
            for n in range(60_000):
                is_(sub.recv_multipart(), [b"n", b"%d" % n])
        is_([line.split()[-1] for line in native.communicate(timeout=60)[0].splitlines()], [str(n) for n in range(60_000)])
        sizes = [0, 1, 221, 222, 223, 254, 255, 256, 65_535, 65_536, 100_000, 4_000_000]
        messages = [[b"n", b"z" * size] for size in sizes] + [[b"n", *(b"z" * size for size in sizes[:-1])], [b"n"] * 1000]
        for message in messages:
            pub.send_multipart(message)
        for sub in [*subs, xsub]:
            for message in messages:
                is_(sub.recv_multipart(), message)
        for sub in subs:
            sub.unsubscribe(b"n")
        xsub.send(b"\x00n")
        asked(pub, b"\x00n")
        # The native one, which has its 60,000.
        is_(broker.count("corecast_closes_total"), 1)


def curve_keys_of_libzmq():
    """A pair that libzmq made, as a certificate of pyzmq and as the secret key alone; heartbeats go through boxes."""
    with Keys() as keys:
        public, secret = zmq.curve_keypair()
        alone = os.path.join(keys.folder.name, "alone")
        with open(os.open(alone, os.O_CREAT | os.O_WRONLY, 0o600), "wb") as file:
            file.write(secret + b"\n")
        zmq.auth.create_certificates(keys.folder.name, "certificate")
        certificate = os.path.join(keys.folder.name, "certificate.key_secret")
        os.chmod(certificate, 0o600)
        for path, server in ((alone, public), (certificate, zmq.auth.load_certificate(certificate)[0])):
            with Broker("--zmtp-curve-key", path, "--heartbeat", "100ms") as broker:
                beats = {"heartbeat_ivl": 50, "heartbeat_ttl": 1000, **keys.client("client"), "curve_serverkey": server}
                sub = socket(zmq.SUB, broker.url, subscribe=[b""], **beats)
                pub = socket(zmq.XPUB, broker.url, **beats)
                asked(pub, b"\x01")
                quiet(sub, 1000)
                pub.send(b"x")
                is_(sub.recv(), b"x")
                is_(broker.count("corecast_closes_total"), 0)


def curve_wrong():
    """A wrong server key, no CURVE at all, and a box that somebody changes: closed, counted, tried again, and nobody else is
    hurt."""
    with Keys() as keys, keys.serve() as broker:
        good = socket(zmq.SUB, broker.url, subscribe=[b""], **keys.client("good"))
        pub = socket(zmq.XPUB, broker.url, **keys.client("pub"))
        asked(pub, b"\x01")
        wrong = socket(zmq.SUB, broker.url, subscribe=[b""],
                       **{**keys.client("wrong"), "curve_serverkey": zmq.curve_keypair()[0]})
        broker.until(lambda n: n >= 3, "corecast_closes_total", 'reason="bad_box"')
        null = socket(zmq.SUB, broker.url, subscribe=[b""])
        name = socket(zmq.SUB, broker.url, subscribe=[b""], plain_username=b"a", plain_password=b"b")
        broker.until(lambda n: n >= 2, "corecast_closes_total", 'reason="mechanism"')
        pub.send(b"1")
        is_(good.recv(), b"1")
        for each in (wrong, null, name):
            quiet(each, 100)
            each.close()
        is_(broker.count("corecast_subscriptions"), 1)

        # A byte of the first box is changed; on the next connection all is well.
        def spoil(piece):
            if b"\x07MESSAGE" in piece and not spoilt:
                spoilt.append(piece)
                return piece[:-1] + bytes([piece[-1] ^ 1])
            return piece

        spoilt = []
        tap = Tap(broker.url, spoil)
        before = broker.count("corecast_closes_total", 'reason="bad_box"')
        late = socket(zmq.SUB, tap.url, subscribe=[b""], **keys.client("late"))
        broker.until(lambda n: n > before, "corecast_closes_total", 'reason="bad_box"')
        # libzmq says again what it subscribes to when somebody calls the socket.
        while broker.count("corecast_subscriptions") < 2:
            late.poll(20)
        pub.send(b"2")
        for sub in (good, late):
            is_(sub.recv(), b"2")
        is_(len(spoilt), 1)


def curve_again():
    """All that a publisher has sent, sent again on a connection of its own, opens nothing and publishes nothing."""
    with Keys() as keys, keys.serve() as broker:
        sub = socket(zmq.SUB, broker.url, subscribe=[b""], **keys.client("sub"))
        said = []
        tap = Tap(broker.url, lambda piece: said.append(piece) or piece)
        pub = socket(zmq.XPUB, tap.url, **keys.client("pub"))
        asked(pub, b"\x01")
        pub.send(b"pay")
        is_(sub.recv(), b"pay")
        host, port = broker.url.removeprefix("tcp://").split(":")
        with plain.create_connection((host, int(port))) as replay:
            replay.sendall(b"".join(said))
            broker.until(lambda n: n == 1, "corecast_closes_total")
        is_(broker.count("corecast_closes_total", 'reason="bad_box"') + broker.count("corecast_closes_total", 'reason="unexpected"'), 1)
        quiet(sub, 200)


class Users:
    """A file of users, which a broker reads again when it is told."""

    def __init__(self, folder):
        self.path = os.path.join(folder, "users.toml")

    def write(self, *users):
        with open(os.open(self.path, os.O_CREAT | os.O_WRONLY | os.O_TRUNC, 0o600), "w") as file:
            for name, credential in users:
                file.write(f"[[user]]\nname = '{name}'\n{credential}\npublish = ['>']\nsubscribe = ['>']\n")

    def reload(self, broker, *users):
        self.write(*users)
        broker.process.send_signal(signal.SIGHUP)


# Of the password sesame.
SESAME = "password = '$argon2id$v=19$m=19456,t=2,p=1$Y29yZWNhc3Qgc2FsdCAxNg$KcWNHtN6TgCsl4hAxvX2U7/5MSf4IWcDnp+2/d2guE4'"


def passwords():
    """PLAIN: a right password is let in, others go on trying, and are let in once theirs is right."""
    with tempfile.TemporaryDirectory() as folder:
        users = Users(folder)
        users.write(("alice", SESAME))
        with Broker("--users", users.path) as broker:
            alice = {"plain_username": b"alice", "plain_password": b"sesame"}
            sub = socket(zmq.SUB, broker.url, subscribe=[b""], **alice)
            pub = socket(zmq.XPUB, broker.url, **alice)
            asked(pub, b"\x01")
            wrong = {"plain_username": b"alice", "plain_password": b"Sesame"}, {"plain_username": b"bob", "plain_password": b"sesame"}, {}
            late = [socket(zmq.SUB, broker.url, subscribe=[b""], **each) for each in wrong]
            broker.until(lambda n: n >= 4, "corecast_closes_total", 'reason="unauthenticated"')
            pub.send(b"1")
            is_(sub.recv(), b"1")
            for each in late:
                quiet(each, 100)
            # Bob and anonymous become users, and have tried again without being restarted.
            users.reload(broker, ("alice", SESAME), ("bob", SESAME), ("anonymous", ""))
            while broker.count("corecast_subscriptions") < 3:
                for each in late:
                    each.poll(20)
            pub.send(b"2")
            for each in (sub, *late[1:]):
                is_(each.recv(), b"2")
            quiet(late[0], 100)


def curve_users():
    """CURVE: a key is a user; who is no user any more is cut off, and comes again once it is one."""
    with Keys() as keys:
        key = lambda name: f"curve_keys = ['{keys.client(name)['curve_publickey'].decode()}']"
        users = Users(keys.folder.name)
        users.write(("pub", key("pub")), ("sub", key("sub")))
        with keys.serve("--users", users.path) as broker:
            pub = socket(zmq.XPUB, broker.url, **keys.client("pub"))
            sub = socket(zmq.SUB, broker.url, subscribe=[b""], **keys.client("sub"))
            other = socket(zmq.SUB, broker.url, subscribe=[b""], **keys.client("other"))
            asked(pub, b"\x01")
            broker.until(lambda n: n >= 2, "corecast_closes_total", 'reason="unauthenticated"')
            pub.send(b"1")
            is_(sub.recv(), b"1")
            quiet(other, 100)
            users.reload(broker, ("pub", key("pub")), ("other", key("other")))
            n = 1
            while not other.poll(20):
                n += 1
                pub.send(b"%d" % n)
            # What was sent before the rules changed is all that the first has had.
            heard = [int(sub.recv()) for _ in iter(lambda: sub.poll(200), 0)]
            assert heard == list(range(2, 2 + len(heard))) and len(heard) < n - 1, (heard, n)


def curve_set_up():
    """The set-up of docs/SECURITY.md, as it stands there: its commands, and its clients."""
    here = os.path.dirname(os.path.abspath(__file__))
    with open(os.path.join(here, "../../docs/SECURITY.md")) as page:
        section = page.read().split("## Set-up: ZeroMQ with CURVE\n")[1].split("\n## ")[0]
    commands, clients = (block.split("```")[0] for block in re.split(r"```(?:sh|python)\n", section)[1:])
    *made, broker_line = commands.splitlines()
    path = os.path.dirname(os.environ["CORECAST_BIN"]) + os.pathsep + os.environ["PATH"]
    with tempfile.TemporaryDirectory() as folder, contextlib.chdir(folder):
        subprocess.run(["sh", "-ec", "\n".join(made)], env={**os.environ, "PATH": path}, check=True)
        args = shlex.split(broker_line)
        is_(args[:2], ["corecast", "broker"])
        at = args.index("--zmtp")
        is_(args[at + 1], "tcp://*:5555")
        # A free port instead, of the same kind.
        with Broker(*args[2:at], *args[at + 2:], urls=["tcp://*:0"]) as broker:
            names = {}
            url = broker.url.replace("*", "127.0.0.1")
            exec(clients.replace("tcp://broker.example.org:5555", url), names)
            desk, feeds = names["desk"], names["connect"](zmq.XPUB, "feeds")
            desk.rcvtimeo = feeds.rcvtimeo = PATIENCE_MS
            asked(feeds, b"\x01prices.")
            feeds.send_multipart([b"prices.eur.usd", b"1.0842"])
            is_(desk.recv_multipart(), [b"prices.eur.usd", b"1.0842"])
            # Each has its own rights only.
            desk.subscribe(b"news")
            broker.until(lambda n: n >= 1, "corecast_closes_total", 'reason="not_permitted"')
            names["zmq"].Context.instance().destroy(linger=0)


CASES = (curve, curve_keys_of_libzmq, curve_wrong, curve_again, passwords, curve_users, curve_set_up)
