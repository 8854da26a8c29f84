"""The ancestor's experiment, written afresh on pyzmq: a thread and a socket for each subscriber, and messages in one part.

    ancestor.py proxy|direct PLAN

proxy: publisher -> zmq.proxy (XSUB, XPUB) -> subscribers. direct: a notifier tells subscribers where the publishers are
bound, once, when they subscribe. Both with libzmq's own defaults, as the ancestor had them. The rest is swarm.py's.
"""

import sys
import threading

import swarm
import zmq

LOOPBACK = "tcp://127.0.0.1:*"


def new_context():
    context = zmq.Context()
    context.set(zmq.MAX_SOCKETS, 65535)
    return context


class Subscriber(threading.Thread):
    """One subscriber: its own socket, its own thread."""

    def __init__(self, context, where, account):
        super().__init__(daemon=True)
        self.context, self.where, self.account = context, where, account

    def run(self):
        socket = self.context.socket(zmq.SUB)
        for prefix in self.account.filters:
            socket.setsockopt(zmq.SUBSCRIBE, prefix.encode())
        for address in self.where(self.context).split():
            socket.connect(address)
        while self.account.is_open():
            if socket.poll(swarm.LOOK_EVERY_MS):
                self.account.take(socket.recv())
        socket.close()


def subscribe(where, accounts):
    context = new_context()
    subscribers = [Subscriber(context, where, account) for account in accounts]
    for subscriber in subscribers:
        subscriber.start()
    return lambda: [subscriber.join() for subscriber in subscribers]


class Proxy:
    """Through a proxy, which passes everything on, in C."""

    direct = False

    def fan_out(self, pipe):
        context = new_context()
        front, back = context.socket(zmq.XSUB), context.socket(zmq.XPUB)
        front.bind(LOOPBACK)
        back.bind(LOOPBACK)
        pipe.send((front.get_string(zmq.LAST_ENDPOINT), back.get_string(zmq.LAST_ENDPOINT), version()))
        zmq.proxy(front, back)

    def publish(self, address):
        socket = new_context().socket(zmq.PUB)
        socket.connect(address)
        return lambda _, data: socket.send(data)

    def subscribe(self, address, accounts):
        return subscribe(lambda _: address, accounts)


class Direct(Proxy):
    """Straight from the publishers, once the notifier has said where they are."""

    direct = True

    def fan_out(self, pipe):
        socket = new_context().socket(zmq.REP)
        socket.bind(LOOPBACK)
        address = socket.get_string(zmq.LAST_ENDPOINT)
        pipe.send((address, address, version()))
        publishers = []
        while True:
            word, _, address = socket.recv().partition(b" ")
            if word == b"register":
                publishers.append(address)
            socket.send(b" ".join(publishers))

    def publish(self, address):
        context = new_context()
        socket = context.socket(zmq.PUB)
        socket.bind(LOOPBACK)
        ask(context, address, b"register " + socket.get_string(zmq.LAST_ENDPOINT).encode())
        return lambda _, data: socket.send(data)

    def subscribe(self, address, accounts):
        return subscribe(lambda context: ask(context, address, b"where").decode(), accounts)


def version():
    return f"{zmq.pyzmq_version()} (libzmq {zmq.zmq_version()})"


def ask(context, address, question):
    socket = context.socket(zmq.REQ)
    socket.connect(address)
    socket.send(question)
    answer = socket.recv()
    socket.close()
    return answer


if __name__ == "__main__":
    swarm.main(Proxy() if sys.argv[1] == "proxy" else Direct(), sys.argv[2])
